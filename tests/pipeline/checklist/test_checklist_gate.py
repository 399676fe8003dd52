"""The gate, the score and the report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from colours import contrast
from few_items import DATA, MODEL, Run, answer, cells, measure, read_badge, write_notes

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
        'Gate "poc" passed for the first time: commit checklist/signoffs.yaml.\n'
        'Gate "poc" passed: 3/3 items are done (1 waived, 1 not applicable).\n',
        "",
    )
    noted = (root / "checklist/signoffs.yaml").read_bytes()
    assert run("gate")[1].startswith('Gate "poc" passed: 3/3')
    assert (root / "checklist/signoffs.yaml").read_bytes() == noted


def test_a_gate_can_warn_at_poc_and_later_until_the_stage_before_has_once_passed(
    run: Run, root: Path
) -> None:
    code, out, _ = run("gate", "--warn-at-poc")
    assert code == 0
    assert "own-notes: open:" in out
    assert 'Warning: Gate "poc" failed: 2 of 4 items are missing' in out

    answer(root, stage="mvp")
    code, out, _ = run("gate", "--warn-at-poc")
    assert (code, "Begin with `checklist gate --stage poc`" in out) == (0, True)
    assert "Begin at poc: 2 of its items are missing" in run()[1]
    assert run("gate")[0] == 1

    write_notes(root)
    run("sign", "own-table", "--by", "A. Person", "--note", "read")
    assert "Begin at poc" not in run()[1]
    code, out, _ = run("gate", "--warn-at-poc")
    assert (code, 'Gate "poc" passed for the first time' in out) == (1, True)
    run("withdraw", "own-table")  # once a stage has passed, its gate fails and does not warn
    assert run("gate", "--warn-at-poc")[0] == 1
    assert run("gate", "--stage", "production", "--warn-at-poc")[0] == 0


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


def test_badge_says_how_much_is_done(run: Run, root: Path) -> None:
    run("report")
    badge = read_badge(root)
    space = {"svg": "http://www.w3.org/2000/svg"}
    assert badge.findtext("svg:title", namespaces=space) == "Checklist: 2 of 4 items done at poc"
    assert [text.text for text in badge.findall(".//svg:text", space)] == ["checklist", "2/4 poc"]
    colours = {rect.get("fill") for rect in badge.findall(".//svg:rect", space)} - {None}
    assert min(contrast(colour, "#ffffff") for colour in colours if colour) >= 4.5


def test_badge_changes_its_colour_with_the_share(run: Run, root: Path) -> None:
    seen = set()
    for done in (False, True):
        if done:
            write_notes(root)
            run("sign", "own-table", "--by", "A. Person", "--note", "read")
        run("report")
        seen.add((root / "checklist/badge.svg").read_text(encoding="utf-8").count("#00694c"))
    assert seen == {0, 1}
