"""What the checklist's commands say to bad input; and kinds and items of the team's own."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cases import every_case
from few_items import OWN, Run, make_root, process


@every_case(
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
        (("--stage", "mvp", "gate"), "--stage before `gate` has no effect"),
        (("--json", "list"), "--json before `list` has no effect"),
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


@every_case(("fault", "command"), itertools.product(BROKEN, [(), ("gate",), ("report",)]))
def test_bad_input_is_one_sentence_with_file_and_line_and_never_a_pass(
    run_in: Callable[[Path], Run], tmp_path: Path, fault: str, command: tuple[str, ...]
) -> None:
    root = make_root(tmp_path)
    name, text, told = BROKEN[fault]
    (root / name).write_text(text, encoding="utf-8")
    code, out, err = run_in(root)(*command)
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
