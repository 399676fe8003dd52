"""`checklist` as people, CI and programs meet it: texts, exit codes, files."""

from __future__ import annotations

import importlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from answers import SKELETON, TEMPLATE
from colours import contrast
from markdown_it import MarkdownIt

Run = Callable[..., tuple[int, str, str]]

# The whole checklist of most tests: a few items of each kind, in the team's own file.
OWN = """\
title: Our own
about: What we agreed on.
items:
  - id: own-readme
    title: There is a page to begin with
    why: A page says what is here. Without it nobody begins.
    how: Write `README.md`.
    stage: poc
    evidence:
      - file: README.md
    options:
      - {name: By hand, when: When it is short, built_in: true}
    tools:
      - {name: An editor, for: writing}
    references:
      - {title: On pages, by: "A. Writer, 2001", url: "https://example.invalid/pages"}
    ml_test_score: data-1
  - id: own-notes
    title: The notes say why
    why: Notes are for later. Without them all is asked twice.
    how: Answer the question.
    stage: poc
    evidence:
      - section: docs/notes.md#why
  - id: own-table
    title: Somebody knows the table
    why: A table has a meaning. Without one it is numbers.
    how: Read it, and sign.
    stage: poc
    evidence:
      - signoff: data
    ml_test_score: model-1
  - id: own-bar
    title: The bar is cleared
    why: A bar is agreed on. Without it anything goes.
    how: Run it.
    stage: poc
    evidence:
      - fact: metrics.passed == true
  - id: own-time
    title: Time is looked at
    why: Time passes. Without it all is now.
    how: Plot it.
    stage: poc
    applies:
      - config: data.time
    evidence:
      - file: README.md
  - id: own-later
    title: Two people read every change
    why: Two see more. One sees less.
    how: Ask for two.
    stage: mvp
    evidence:
      - signoff: project
"""
NOTES = "# Notes\n\n## Why\n\n> Why is it so?\n"
DATA, MODEL = "d" * 16, "0a1b2c3d"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a project with data and a model, as far as the checklist looks at them."""
    folder = tmp_path / "project"
    texts = {
        "conf.cfg": "[data]\nsource = table.csv\ntarget = y\n",
        "README.md": "Begin here.\n",
        "docs/notes.md": NOTES,
        "checklist/own.yaml": OWN,
        "data/manifest.json": json.dumps({"fingerprint": DATA}),
        "models/champion.json": json.dumps({"run_id": MODEL, "sha256": "0" * 64}),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    answer(folder, stage="poc")
    measure(folder)
    return folder


def answer(root: Path, **answers: str) -> None:
    """Record the answers that the project was made with."""
    context = {"project_name": "Small", **answers}
    text = json.dumps({"context": {"cookiecutter": context}})
    (root / ".cruft.json").write_text(text, encoding="utf-8")


def measure(root: Path, data: str = DATA, passed: bool = True) -> None:
    """Write the one report that an item asks for."""
    (root / "reports").mkdir(exist_ok=True)
    report = {"version": 1, "stage": "evaluate", "run_id": MODEL, "data": data, "model": None}
    report |= {"config": None, "facts": {"passed": passed}}
    (root / "reports" / "metrics.json").write_text(json.dumps(report), encoding="utf-8")


@pytest.fixture
def every(
    package: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[Path], Run]:
    """Return a function that gives the command line in a folder, run in this process."""
    from mlproj.cli import main

    def at(root: Path) -> Run:
        def run(*arguments: str) -> tuple[int, str, str]:
            monkeypatch.chdir(root)
            monkeypatch.setattr(sys, "argv", ["mlproj", "checklist", *arguments])
            capfd.readouterr()
            with pytest.raises(SystemExit) as stop:
                main()
            code = stop.value.code
            return (code if isinstance(code, int) else 0), *capfd.readouterr()

        return run

    return at


@pytest.fixture
def run(root: Path, every: Callable[[Path], Run], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the command line of a project whose checklist is the team's file alone."""
    importlib.import_module("mlproj.checklist.summary")  # which keeps the names of all areas
    monkeypatch.setattr(importlib.import_module("mlproj.checklist.catalogue"), "AREAS", ())
    return every(root)


# ---------------------------------------------------------------------------------- looking


def test_before_the_first_run_the_overview_says_so(run: Run, root: Path) -> None:
    told = "Nothing has run yet: `make run` first proves what a machine can."
    assert told not in run()[1]
    (root / "data/manifest.json").unlink()
    assert told in run()[1].splitlines()


def test_overview_has_a_line_per_area_and_what_is_next(run: Run) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out == f"""\
Small: stage poc, data {DATA}, model {MODEL}

  Our own  ███████░░░░░░░  2/4  ○ 2 open  · 1 not applicable
  All      ███████░░░░░░░  2/4  ○ 2 open  · 1 not applicable

Next:
  1. own-notes: The notes say why
     Answer the question.
  2. own-table: Somebody knows the table
     Read it, and sign.

`checklist next` shows the first of them in full.
1 more at mvp: --stage mvp
"""


@pytest.mark.parametrize("arguments", [(), ("list",), ("list", "--state", "open"), ("gate",)])
def test_later_items_stay_out_of_sight_until_asked_for(run: Run, arguments: tuple[str]) -> None:
    assert "own-later" not in run(*arguments)[1]
    assert "own-later" in run(*arguments, "--stage", "mvp")[1]


def test_the_projects_own_stage_decides(run: Run, root: Path) -> None:
    answer(root, stage="mvp")
    assert "own-later" in run()[1]
    assert "more at" not in run("--stage", "production")[1]


def test_stale_comes_before_open(run: Run, root: Path) -> None:
    measure(root, data="another")
    found = re.findall(r"^  \d\. (\S+):", run("--stage", "mvp")[1], flags=re.MULTILINE)
    assert found == ["own-bar", "own-notes", "own-table"]
    assert "Stale: reports/metrics.json is about the data another" in run()[1]


def test_an_earlier_stage_comes_first_wherever_its_item_stands(run: Run, root: Path) -> None:
    head, *items = re.split(r"(?m)^(?=  - id:)", OWN)
    text = "".join([head, items[-1], *items[:-1]])
    (root / "checklist/own.yaml").write_text(text, encoding="utf-8")
    found = re.findall(r"^(own-\w+):", run("gate", "--stage", "mvp")[1], flags=re.MULTILINE)
    assert found == ["own-notes", "own-table", "own-later"]


def test_next_leads_through_the_items_to_the_end(run: Run, root: Path) -> None:
    out = run("next")[1]
    assert out.startswith("The notes say why\nown-notes, from poc on, in writing\n")
    assert out.endswith("1 more after this one.\n")
    write_notes(root)
    out = run("next")[1]
    assert out.startswith("Somebody knows the table\n")
    assert out.endswith("The last one of this stage.\n")
    run("sign", "own-table", "--by", "A. Person", "--note", "read")
    assert run("next")[1] == "✓ Nothing is missing at poc.\n1 more at mvp: --stage mvp\n"


def write_notes(root: Path) -> None:
    """Answer the question of the notes."""
    text = NOTES + "\nBecause it was so before, and nobody minded it since.\n"
    (root / "docs/notes.md").write_text(text, encoding="utf-8")


def test_list_takes_area_state_and_stage(run: Run) -> None:
    def ids(*arguments: str) -> list[str]:
        return re.findall(r"\bown-\w+", run("list", *arguments)[1])

    applying = ["own-readme", "own-notes", "own-table", "own-bar"]
    assert ids() == applying
    assert ids("--all") == [*applying, "own-time", "own-later"]
    assert ids("--state", "open") == ["own-notes", "own-table"]
    assert ids("--state", "not-applicable") == ["own-time"]
    assert ids("--area", "own", "--state", "open", "--stage", "mvp")[-1] == "own-later"
    assert run("list", "--area", "version-control")[1] == "No item fits.\n"


def test_show_tells_all_about_an_item(run: Run) -> None:
    assert run("show", "own-readme")[1] == """\
There is a page to begin with
own-readme, from poc on, automatic

✓ done: README.md is there

Why
  A page says what is here. Without it nobody begins.

How
  Write `README.md`.

Where
  README.md

Proof
  ✓ README.md is there
    file: README.md

Options
  - By hand [built in]: When it is short

Tools
  - An editor: writing

Read on
  - On pages (A. Writer, 2001)
    https://example.invalid/pages

ML Test Score
  data-1 (features and data; Breck et al., 2017)
"""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("own-notes", "docs/notes.md:3"),
        ("own-bar", "reports/metrics.json\n"),
        ("own-table", "checklist/signoffs.yaml"),
        ("own-time", "Proof, if it applies\n  file: README.md"),
        ("own-later", "from mvp on"),
    ],
)
def test_show_says_where_the_proof_is(run: Run, name: str, told: str) -> None:
    assert told in run("show", name)[1]


def test_every_item_of_the_template_can_be_shown(
    package: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlproj.checklist import show, summary
    from mlproj.checklist.verify import open_context, verify
    from mlproj.core.project import Project

    shutil.copytree(SKELETON / "docs", root / "docs", dirs_exist_ok=True)
    catalogue, context = open_context(Project(root))
    for item in catalogue.items.values():
        places = summary.places(context, item)
        text = show.item(show.Look(), verify(context, item), context.records, places)
        assert item.id in text and "\nProof" in text
        assert places, item.id
        # Nothing but addresses and rules, which no line end may part, is wider than the screen.
        wide = [line for line in text.splitlines() if len(line) > 100]
        assert [line for line in wide if " " in line.strip()] == [], item.id


# --------------------------------------------------------------------------------- deciding


def test_a_sign_off_is_shown_and_goes_stale_with_the_data(run: Run, root: Path) -> None:
    said = run("sign", "own-table", "--by", "A. Person", "--note", "read the table")[1]
    assert re.fullmatch(
        r"✓ own-table: done: signed by A. Person on \d{4}-\d\d-\d\d: read the table\n", said
    )
    assert re.search(r"Signed\n  A. Person, .*: read the table\n", run("show", "own-table")[1])
    (root / "data/manifest.json").write_text('{"fingerprint": "new"}', encoding="utf-8")
    assert "↻ own-table" in run("list", "--state", "stale")[1]
    assert "○ own-table" in (run("withdraw", "own-table"), run("list")[1])[1]


def test_a_waiver_shows_its_reason_and_who_decided(run: Run) -> None:
    assert run("waive", "own-notes", "--reason", "too small")[1].startswith(
        "» own-notes: waived: too small (Test Person, "
    )
    assert "2/3  ○ 1 open  » 1 waived  · 1 not applicable" in run()[1]
    run("waive", "own-notes", "--reason", "far too small", "--by", "B. Person")
    assert re.search(r"Waived\n  B. Person, .*: far too small\n", run("show", "own-notes")[1])


def test_a_waiver_needs_a_name(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    code, _, err = run("waive", "own-notes", "--reason", "too small")
    assert (code, "--by NAME" in err) == (2, True)
    assert not (root / "checklist/signoffs.yaml").exists()


def test_the_machines_items_cannot_be_signed(run: Run, root: Path) -> None:
    code, _, err = run("sign", "own-bar", "--by", "A. Person", "--note", "looks good")
    assert (code, "not by a signature" in err) == (2, True)
    assert not (root / "checklist/signoffs.yaml").exists()


# ------------------------------------------------------------------------------------- gate


def test_a_closed_gate_lists_what_is_missing_on_a_line_each(run: Run, root: Path) -> None:
    measure(root, data="another")
    code, out, err = run("gate")
    assert code == 1
    assert [line.split(": ")[:2] for line in out.splitlines()] == [
        ["own-bar", "stale"],
        ["own-notes", "open"],
        ["own-table", "open"],
    ]
    assert out.splitlines()[1] == (
        "own-notes: open: docs/notes.md, line 3, 'Why': not answered yet. Answer the question."
    )
    assert err == (
        'Error: Gate "poc" failed: 3 of 4 items are missing; `checklist next` leads '
        "through them.\n"
    )


def test_an_open_gate_says_what_was_counted_apart(run: Run, root: Path) -> None:
    write_notes(root)
    run("waive", "own-table", "--reason", "none")
    assert run("gate") == (
        0,
        'Gate "poc" passed: 3/3 items are done (1 waived, 1 not applicable).\n',
        "",
    )


def test_at_poc_a_gate_can_warn_and_later_it_cannot(run: Run, root: Path) -> None:
    code, out, _ = run("gate", "--warn-at-poc")
    assert code == 0
    assert "own-notes: open:" in out
    assert 'Warning: Gate "poc" failed: 2 of 4 items are missing' in out
    assert run("gate", "--warn-at-poc", "--stage", "mvp")[0] == 1
    answer(root, stage="mvp")
    assert run("gate", "--warn-at-poc")[0] == 1


# ------------------------------------------------------------------------------------ score


def test_score_is_the_lowest_section_and_shows_all_28_tests(run: Run) -> None:
    run("sign", "own-table", "--by", "A. Person", "--note", "read")
    out = run("score")[1]
    assert out.startswith("ML Test Score: 0 of 7, ")
    assert "Features and data    ██░░░░░░░░░░░░  1/7" in out
    assert "Model development    █░░░░░░░░░░░░░  0.5/7" in out
    assert len(re.findall(r"^  [✓○] \S+ +(?:data|model|infra|monitor)-\d", out, re.M)) == 28
    assert "  ✓ 0.5  model-1     Somebody knows the table (own-table)" in out


# ----------------------------------------------------------------------------------- report


def test_report_writes_three_files_and_says_where(run: Run, root: Path) -> None:
    code, out, _ = run("report")
    names = ["reports/checklist.html", "checklist/checklist.md", "checklist/badge.svg"]
    assert (code, out.splitlines()) == (0, [str(root / name) for name in names])
    assert all((root / name).stat().st_size for name in names)


def test_what_git_keeps_is_the_same_at_every_time(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlproj.checklist.formats as formats

    class Tomorrow(formats.datetime):  # type: ignore[misc]
        @classmethod
        def now(cls, zone: Any = None) -> Any:
            return cls(2031, 5, 6, tzinfo=zone)

    kept = [root / "checklist" / name for name in ("checklist.md", "badge.svg")]
    run("report")
    before = [path.read_bytes() for path in kept]
    monkeypatch.setattr(formats, "datetime", Tomorrow)
    run("report")
    assert [path.read_bytes() for path in kept] == before
    assert "2031-05-06" in (root / "reports/checklist.html").read_text(encoding="utf-8")


def test_markdown_has_the_verdict_of_every_item_and_no_later_one(run: Run, root: Path) -> None:
    run("report")
    rows = cells(root)
    assert rows["own-readme"][0] == "✓"
    assert rows["own-notes"][2] == "open: docs/notes.md, line 3, 'Why': not answered yet"
    assert rows["own-time"][2].startswith("not applicable: conf.cfg, [data] time is empty")
    assert "own-later" not in rows
    text = (root / "checklist/checklist.md").read_text(encoding="utf-8")
    assert f"Stage **poc**, data `{DATA}`, model in service `{MODEL}`." in text
    run("report", "--stage", "mvp")
    assert "own-later" in cells(root)


def cells(root: Path) -> dict[str, list[str]]:
    """Return the text of the cells of each item's row, as a reader of Markdown sees it."""
    text = (root / "checklist/checklist.md").read_text(encoding="utf-8")
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert (
        re.findall(r"<(?!/?(?:h\d|p|img|table|thead|tbody|tr|t[hd]|code|strong|em|br)\b)\w+", html)
        == []
    )
    rows = {}
    for row in re.findall(r"<tr>(.*?)</tr>", html, flags=re.DOTALL):
        found = re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL)
        name = re.search(r"<code>(own-[\w-]+)</code>", row)
        if name:
            rows[name[1]] = [re.sub(r"<[^>]+>", "", cell) for cell in found]
    return rows


def test_badge_says_how_much_is_done(run: Run, root: Path) -> None:
    run("report")
    badge = read_badge(root)
    space = {"svg": "http://www.w3.org/2000/svg"}
    assert badge.findtext("svg:title", namespaces=space) == "Checklist: 2 of 4 items done at poc"
    assert [text.text for text in badge.findall(".//svg:text", space)] == ["checklist", "2/4 poc"]
    colours = {rect.get("fill") for rect in badge.findall(".//svg:rect", space)} - {None}
    assert min(contrast(colour, "#ffffff") for colour in colours if colour) >= 4.5


def read_badge(root: Path) -> ET.Element:
    """Return the badge, which has to be XML."""
    text = (root / "checklist/badge.svg").read_text(encoding="utf-8")
    return ET.fromstring(text)  # noqa: S314  # written by the test itself


def test_badge_changes_its_colour_with_the_share(run: Run, root: Path) -> None:
    seen = set()
    for done in (False, True):
        if done:
            write_notes(root)
            run("sign", "own-table", "--by", "A. Person", "--note", "read")
        run("report")
        seen.add((root / "checklist/badge.svg").read_text(encoding="utf-8").count("#00694c"))
    assert seen == {0, 1}


# ------------------------------------------------------------------------------- hostile text

HOSTILE = [
    "<script>alert(1)</script> & \"quotes\" 'too'",
    "a | b || `c | d` \\| e",
    "**bold** _it_ [x](javascript:alert) ![y](//z) $x$ ~~s~~ <br> &lt;",
    "ends with \\",
    "`` ` ``` `<script>`",
    "東京 Zoë \u202e gnirts \u0007 \x1b[31mred\x1b[0m",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_is_only_itself(run: Run, root: Path, text: str) -> None:
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


# ------------------------------------------------------------------------------------ terminals


def process(
    root: Path, environment: dict[str, str], *arguments: str, **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own, with the template's whole checklist."""
    command = [sys.executable, "-m", "mlproj", "checklist", *arguments]
    return subprocess.run(command, cwd=root, env=environment | more, capture_output=True)


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
        assert not set("✓○↻█░") & set(text)
    assert "* own-readme" in text and "?? ? is a page" in text


@pytest.mark.parametrize(
    ("more", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_on_a_terminal_unless_unwanted(
    root: Path, package_environment: dict[str, str], more: dict[str, str], coloured: bool
) -> None:
    ours, theirs = pty.openpty()
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
    look = show.Look(width=width)
    results = list(assessment.results.values())
    for text in (show.overview(look, assessment), show.listing(look, results)):
        wide = [line for line in text.splitlines() if len(line) > width]
        # The heading and the ids stay whole.
        assert [line for line in wide[1:] if not line.strip().startswith("`")] == []


def test_commands_import_nothing_heavy(root: Path, package_environment: dict[str, str]) -> None:
    code = (
        "import sys\n"
        "import mlproj.checklist.commands\n"
        "assert not {'yaml', 'pydantic', 'json', 'mlproj.core.config'} & set(sys.modules)\n"
        "sys.argv = ['mlproj', 'checklist']\n"
        "from mlproj.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'pandas', 'numpy', 'sklearn', 'scipy', 'rich', 'matplotlib', 'pyarrow'}\n"
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


# ----------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--stage", "beta"), "There is no stage 'beta'; choose one of poc, mvp, production."),
        (("gate", "--stage", "POC"), "There is no stage 'POC'"),
        (
            ("list", "--area", "dta"),
            "There is no area 'dta'; choose one of scoping, version-control",
        ),
        (("list", "--state", "red"), "choose one of done, open, stale, waived, not-applicable."),
        (("show", "own-readm"), "no item 'own-readm' in the checklist; did you mean own-readme"),
        (("sign", "own", "--by", "A", "--note", "b"), "There is no item 'own'"),
        (("waive", "own-readm", "--reason", "b"), "did you mean own-readme"),
        (("withdraw", "own-readme"), "there is nothing to withdraw"),
        (("--stage", "mvp", "gate"), "--stage before `gate` would be lost"),
        (("--json", "list"), "--json before `list` would be lost"),
    ],
)
def test_what_cannot_be_is_answered_in_one_sentence(
    run: Run, arguments: tuple[str, ...], told: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("Error: ") and told in err


BROKEN = {
    "no YAML": ("checklist/own.yaml", "title: [\n", "own.yaml, line 2"),
    "unknown key": ("checklist/own.yaml", OWN.replace("how:", "hwo:", 1), "own.yaml, line 7"),
    "unknown kind": ("checklist/own.yaml", OWN.replace("file:", "fiel:", 1), "own.yaml, line 10"),
    "id twice": ("checklist/own.yaml", OWN.replace("own-notes", "own-readme"), "own.yaml, line 18"),
    "key twice": (
        "checklist/own.yaml",
        OWN.replace("    stage: poc\n", "    stage: poc\n    stage: mvp\n", 1),
        "own.yaml, line 9",
    ),
    "conflict": (
        "checklist/signoffs.yaml",
        "signoffs:\n<<<<<<< HEAD\n  own-table: {}\n=======\n>>>>>>> b\n",
        "signoffs.yaml, line 2: a merge conflict",
    ),
    "unknown id": (
        "checklist/signoffs.yaml",
        'signoffs:\n  own-gone: {by: "A", date: "2025-01-02", note: "b"}\n',
        "signoffs.yaml, line 2: 'own-gone' is not an item",
    ),
    "cut-off report": ("reports/metrics.json", '{"version": 1,\n"facts": {"pas', "line 2"),
    "report of a later version": (
        "reports/metrics.json",
        '{"version": 2, "stage": "evaluate", "facts": {}}',
        "reports/metrics.json is no report of version 1",
    ),
    "report without facts": (
        "reports/metrics.json",
        '{"version": 1, "stage": "evaluate", "facts": [true]}',
        "reports/metrics.json is no report of version 1",
    ),
    "impossible date": (
        "checklist/signoffs.yaml",
        'signoffs:\n  own-table: {by: "A", date: 2025-02-30, note: "b"}\n',
        "signoffs.yaml, line 2: not valid YAML (day is out of range",
    ),
    "pattern that leads away": (
        "checklist/own.yaml",
        OWN.replace("file: README.md", "file: ../../secret", 1),
        "own.yaml, line 10: has the pattern '../../secret'",
    ),
    "unknown stage": (
        ".cruft.json",
        '{"context": {"cookiecutter": {"stage": "MVP"}}}',
        ".cruft.json has the stage 'MVP'; change it there to one of poc, mvp, production",
    ),
    "settings": ("conf.cfg", "[data]\nsource = a\nx\n", "conf.cfg cannot be read"),
    "cut-off manifest": ("data/manifest.json", '{"finger', "manifest.json is not complete JSON"),
    "cut-off answers": (".cruft.json", '{"context": {', ".cruft.json is not complete JSON"),
    "conflict in a document": (
        "docs/notes.md",
        "## Why\n\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> c\n",
        "docs/notes.md, line 3: a merge conflict",
    ),
}


@pytest.mark.parametrize("command", [(), ("gate",), ("report",)], ids=["plain", "gate", "report"])
@pytest.mark.parametrize("fault", BROKEN)
def test_bad_input_is_one_sentence_with_file_and_line_and_never_a_pass(
    run: Run, root: Path, fault: str, command: tuple[str, ...]
) -> None:
    name, text, told = BROKEN[fault]
    (root / name).write_text(text, encoding="utf-8")
    code, out, err = run(*command)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err and "Traceback" not in err
    assert not (root / "checklist/checklist.md").exists()


def test_a_kind_of_ones_own_is_found_in_custom(
    root: Path, every: Callable[[Path], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = importlib.import_module("mlproj.core.registry")
    custom = importlib.import_module("mlproj.custom")
    Finding = importlib.import_module("mlproj.checklist.evidence").Finding

    def ticket(context: Any, item: Any, evidence: Any) -> Any:
        if evidence.rule == "none":
            return "closed"
        return Finding(evidence.rule == "T-1", f"ticket {evidence.rule} is looked at")

    monkeypatch.setattr(custom, "ticket", ticket, raising=False)
    monkeypatch.setitem(registry.EVIDENCE, "ticket", ".custom:ticket")
    own = OWN.replace("file: README.md", "ticket: T-1", 1)
    (root / "checklist/own.yaml").write_text(own, encoding="utf-8")
    run = every(root)
    assert "\u2713 ticket T-1 is looked at" in run("show", "own-readme")[1]
    (root / "checklist/own.yaml").write_text(own.replace("T-1", "T-2"), encoding="utf-8")
    assert "own-readme: open: ticket T-2 is looked at" in run("gate")[1]
    (root / "checklist/own.yaml").write_text(own.replace("T-1", "none"), encoding="utf-8")
    assert "(.custom:ticket) has to return a Verdict" in run("gate")[2]


def test_an_item_of_ones_own_raises_the_ml_test_score_and_never_lowers_it(
    root: Path, every: Callable[[Path], Run]
) -> None:
    run = every(root)
    score = json.loads(run("--json")[1])["ml_test_score"]
    assert score["tests"]["data-1"] == 1  # by own-readme
    assert score["tests"]["model-1"] == 0
    assert "own-readme" not in run("score")[1].partition("data-2")[2]
    (root / "README.md").unlink()
    assert json.loads(run("--json")[1])["ml_test_score"]["tests"]["data-1"] == 0
    assert max(score["sections"].values()) <= 7


def test_two_processes_that_decide_at_once_lose_nothing(
    root: Path, package_environment: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "mlproj", "checklist", "waive"]
    both = [
        subprocess.Popen(
            [*command, name, "--reason", "r", "--by", "b"],
            cwd=root,
            env={**os.environ, **package_environment},
            stdout=subprocess.DEVNULL,
        )
        for name in ("own-notes", "own-bar")
    ]
    assert [each.wait() for each in both] == [0, 0]
    kept = (root / "checklist/signoffs.yaml").read_text(encoding="utf-8")
    assert "own-notes:" in kept and "own-bar:" in kept


def test_a_subfolder_is_as_good_as_the_root(
    root: Path, package_environment: dict[str, str]
) -> None:
    whole = process(root, package_environment)
    below = process(root / "docs", package_environment)
    assert (below.returncode, below.stdout) == (0, whole.stdout)
    assert b"README" not in below.stderr and whole.stdout.startswith(b"Small")


def test_bad_input_through_the_real_process(
    root: Path, package_environment: dict[str, str]
) -> None:
    from mlproj.checklist.catalogue import load_area, template_file

    taken = load_area(template_file("scoping")).items[0].id
    own = OWN.replace("own-readme", taken)
    (root / "checklist/own.yaml").write_text(own, encoding="utf-8")
    done = process(root, package_environment, "gate")
    assert (done.returncode, done.stdout) == (2, b"")
    told = f"Error: checklist/own.yaml, line 4: has the item '{taken}' twice"
    assert done.stderr.decode().startswith(told)
    assert done.stderr.count(b"\n") == 1


def test_help_names_every_command(run: Run) -> None:
    out = run("--help")[1]
    for name in ("next", "list", "show", "sign", "waive", "withdraw", "gate", "score", "report"):
        assert re.search(rf"^  {name} ", out, flags=re.MULTILINE), name
