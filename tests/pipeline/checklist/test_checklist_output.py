"""What the commands print: any text, on any terminal, and for programs."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from answers import TEMPLATE
from cases import every_case, posix_only
from few_items import DATA, OWN, Run, answer, cells, make_root, process, read_badge
from rich.console import Console

# ------------------------------------------------------------------------------- hostile text

HOSTILE = [
    "<script>alert(1)</script> & \"quotes\" 'too'",
    "a | b || `c | d` \\| e",
    "**bold** _it_ [x](javascript:alert) ![y](//z) $x$ ~~s~~ <br> &lt;",
    "ends with \\",
    "`` ` ``` `<script>`",
    "東京 Zoë \u202e gnirts \u0007 \x1b[31mred\x1b[0m",
]


@every_case("text", HOSTILE)
def test_any_text_is_only_itself(run_in: Callable[[Path], Run], tmp_path: Path, text: str) -> None:
    root = make_root(tmp_path)
    run = run_in(root)
    own = OWN.replace("title: There is a page to begin with", f"title: {json.dumps(text)}")
    own = own.replace("name: By hand", f"name: {json.dumps(text)}")
    (root / "checklist/own.yaml").write_text(own, encoding="utf-8")
    answer(root, stage="poc", project_name=text)
    run("waive", "own-notes", "--reason", text, "--by", text)
    # What people see; the signs that turn text round or command a terminal are left out.
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    for arguments in ((), ("list",), ("show", "own-readme"), ("score",)):
        code, out, _ = run(*arguments)
        assert code == 0 and not re.search("[\x00-\x08\x0b-\x1f\u202e]", out)
    assert " ".join(run("show", "own-readme")[1].split()).startswith(plain)
    run("report")
    words = re.sub(r"[`\s]", "", plain)
    row = [re.sub(r"\s", "", unescaped(cell)) for cell in cells(root)["own-readme"]]
    assert len(row) == 3
    assert row[1] == f"{words}own-readme,poc,automatic"
    assert re.sub(r"\s", "", unescaped(cells(root)["own-notes"][2])).startswith(f"waived:{words}(")
    assert read_badge(root).get("role") == "img"


def unescaped(html: str) -> str:
    """Return the text of a cell, its backticks left out as they are in what is compared."""
    from html import unescape

    return unescape(html).replace("`", "")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437"])
def test_an_old_encoding_gets_letters_for_signs(
    root: Path, package_environment: dict[str, str], encoding: str
) -> None:
    own = OWN.replace("There is a page", "東京 ✓ is a page")
    (root / "checklist/own.yaml").write_text(own, encoding="utf-8")
    for arguments in ((), ("show", "own-readme"), ("list", "--area", "own")):
        done = process(root, package_environment, *arguments, PYTHONIOENCODING=encoding)
        text = done.stdout.decode(encoding)
        assert (done.returncode, done.stderr) == (0, b"")
        assert not set("✓○↻") & set(text)
        # The encoding of old consoles has the parts of a bar.
        assert bool(set("█░") & set(text)) == (encoding == "cp437" and not arguments)
    assert "* own-readme" in text and "?? * is a page" in text


@posix_only
@pytest.mark.parametrize(
    ("more", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_on_a_terminal_unless_unwanted(
    root: Path, package_environment: dict[str, str], more: dict[str, str], coloured: bool
) -> None:
    ours, theirs = os.openpty()
    environment = package_environment | {"TERM": "xterm", "COLUMNS": "80"} | more
    if "NO_COLOR" not in more:
        environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "mlproj", "checklist", "list", "--area", "own"]
    with os.fdopen(ours, "rb", buffering=0) as screen:
        done = subprocess.Popen(command, cwd=root, env=environment, stdout=theirs)
        os.close(theirs)
        text = b""
        try:
            while piece := screen.read(4096):
                text += piece
        except OSError:  # Linux: the other end was closed
            pass
        assert done.wait() == 0
    assert "✓ own-readme" in text.decode()
    assert (b"\x1b[" in text) is coloured


def test_no_colours_in_a_pipe(root: Path, package_environment: dict[str, str]) -> None:
    assert b"\x1b" not in process(root, package_environment).stdout


@pytest.mark.parametrize("width", [60, 80])
def test_lines_fit_the_terminal(package: ModuleType, root: Path, width: int) -> None:
    from mlproj.checklist import show
    from mlproj.checklist.verify import assess
    from mlproj.core.project import Project

    assessment = assess(Project(root), "production")
    console = Console(width=width, markup=False)
    results = list(assessment.results.values())
    for part in (show.overview(assessment), show.listing(results)):
        text = show.as_text(console, part)
        wide = [line for line in text.splitlines() if len(line) > width]
        # The heading and the ids stay whole.
        assert [line for line in wide[1:] if not line.strip().startswith("`")] == []


def test_commands_import_nothing_heavy(root: Path, package_environment: dict[str, str]) -> None:
    code = (
        "import sys\n"
        "import mlproj.checklist.commands\n"
        "assert not {'yaml', 'rich', 'json', 'mlproj.core.config'} & set(sys.modules)\n"
        "sys.argv = ['mlproj', 'checklist']\n"
        "from mlproj.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'pandas', 'numpy', 'sklearn', 'scipy', 'matplotlib', 'pyarrow'}\n"
        "heavy.add('rich._emoji_codes')\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=root, env=package_environment, capture_output=True, encoding="utf-8"
    )
    assert (done.stderr, done.stdout.splitlines()[-1]) == ("", "[]")


# ----------------------------------------------------------------------------------- programs


def test_json_is_what_its_schema_says(
    root: Path, every: Callable[[Path], Run], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = json.loads((TEMPLATE / "docs/checklist.schema.json").read_text(encoding="utf-8"))
    validator = importlib.import_module("jsonschema").Draft202012Validator(schema)
    validator.check_schema(schema)
    run("sign", "own-table", "--by", "A. Person", "--note", "read")
    run("waive", "own-notes", "--reason", "too small")
    document = json.loads(run("--json", "--stage", "mvp")[1])
    items = {item["id"]: item for item in document["items"]}
    assert {name: item["state"] for name, item in items.items()} == {
        "own-readme": "done",
        "own-notes": "waived",
        "own-table": "done",
        "own-bar": "done",
        "own-time": "not applicable",
        "own-later": "open",
    }
    assert document["counts"] == {
        "total": 4,
        "done": 3,
        "open": 1,
        "stale": 0,
        "waived": 1,
        "not_applicable": 1,
    }
    assert items["own-table"]["signoff"]["data"] == DATA
    assert items["own-notes"]["waiver"]["reason"] == "too small"
    assert list(validator.iter_errors(document)) == []
    monkeypatch.undo()
    for stage in ("poc", "production"):
        whole = json.loads(every(root)("--json", "--stage", stage)[1])
        assert [error.message for error in validator.iter_errors(whole)] == []
        assert whole["counts"]["total"] > 40
