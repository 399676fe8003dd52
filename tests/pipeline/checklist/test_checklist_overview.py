"""The checklist looked at, item by item, and decided on."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from answers import SKELETON
from few_items import DATA, MODEL, OWN, Run, answer, measure, write_notes
from mlproj.core.files import write_json
from rich.console import Console

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


def test_a_run_ends_with_how_many_items_are_done(
    run: Run, root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from mlproj import cli
    from mlproj.core.project import Project

    assert run()[0] == 0  # the folders have registered themselves
    (root / "reports" / "metrics.json").unlink()
    with cli._results_shown(Project(root)):
        pass
    last = capfd.readouterr().out.splitlines()[-1]
    assert last == "Checklist: 1 of 4 done at poc; next: own-notes (`checklist next`)"


def test_a_later_model_that_does_not_serve_costs_nothing_and_is_named(run: Run, root: Path) -> None:
    def write(name: str, run_id: str) -> Path:
        facts = {"passed": run_id == MODEL, "trained_as": run_id}
        stage = {"release": "postprocess", "metrics": "evaluate"}[name.rpartition("/")[2]]
        report = {"version": 1, "stage": stage, "run_id": run_id, "data": DATA, "facts": facts}
        write_json(root / f"reports/{name}.json", report)
        return root / f"reports/{name}.json"

    write("release", "11111111")
    write("metrics", "11111111")
    out = run("show", "own-bar")[1]  # an earlier version kept no reports of the champion
    assert "stale: reports/metrics.json is about the model 11111111, but in service is" in out
    assert "`champion promote 11111111`, or bring back what" in out.replace("\n  ", " ")

    write("champion/release", MODEL)
    kept = write("champion/metrics", MODEL)
    line = "The last model, 11111111, is not in service; `champion promote 11111111` changes that."
    assert line in run()[1].splitlines()
    assert json.loads(run("--json")[1])["newer"] == "11111111"
    assert "done: reports/champion/metrics.json: passed is" in run("show", "own-bar")[1]
    assert run("report")[0] == 0
    for name in ("checklist/checklist.md", "reports/checklist.html"):
        assert "11111111" in (root / name).read_text(encoding="utf-8")
    kept.unlink()
    missing = run("show", "own-bar")[1]
    assert "open: reports/champion/metrics.json is not there yet; `run` writes it" in missing
    write("champion/release", "22222222")  # of a champion before this one
    assert "stale: reports/metrics.json" in run("show", "own-bar")[1]


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
    assert out.endswith("1 more after this one: `checklist next --skip`.\n")
    for skips in (1, 9):
        after = run("next", *["--skip"] * skips)[1]
        assert after.startswith("Somebody knows the table\n")
        assert after.endswith("The last one of this stage.\n")
    write_notes(root)
    out = run("next")[1]
    assert out.startswith("Somebody knows the table\n")
    assert out.endswith("The last one of this stage.\n")
    run("sign", "own-table", "--by", "A. Person", "--note", "read")
    assert run("next")[1] == "✓ Nothing is missing at poc.\n1 more at mvp: --stage mvp\n"


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
    from mlproj.checklist import show
    from mlproj.checklist.verify import open_context, places, verify
    from mlproj.core.project import Project

    shutil.copytree(SKELETON / "docs", root / "docs", dirs_exist_ok=True)
    catalogue, context = open_context(Project(root))
    for item in catalogue.items.values():
        where = places(context, item)
        part = show.item(verify(context, item), context.records, where)
        text = show.as_text(Console(width=100, markup=False), part)
        assert item.id in text and "\nProof" in text
        assert where, item.id
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
