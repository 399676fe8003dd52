"""The written answers: what is asked, what counts as a person's words, and what is measured."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from cases import every_case
from markdown_it import MarkdownIt
from mlproj.checklist import catalogue, documents, measured
from mlproj.checklist.catalogue import load_catalogue
from mlproj.core import pipeline
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.project import Project, read_report
from mlproj.tracking import runs as tracking

Make = Callable[..., Project]
DOCS = Path(__file__).resolve().parents[2] / "{{cookiecutter.project_slug}}" / "docs"
# Those to be filled in; what modules bring is to be read.
NAMES = sorted(
    {
        proof.rule.partition("#")[0].removeprefix("docs/")
        for item in load_catalogue(Project(DOCS.parent)).items.values()
        for proof in item.evidence
        if proof.kind == "section"
    }
)
PART = re.compile(r"(<!-- measured: ([\w-]+) -->\r?\n)(.*?)(<!-- end of measured -->)", re.DOTALL)
QUICK: dict[str, dict[str, Any]] = {
    "model": {"candidates": "linear", "folds": 2},
    "evaluate": {"bootstrap": 50},
}
HOSTILE = {
    "a|b": "a|b",
    "tick`s ``two``": "tick`s ``two``",
    "<script>alert(1)</script>": "<script>alert(1)</script>",
    "<!-- end of measured -->": "<!-- end of measured -->",
    "two\nlines | here": "two lines | here",
    "back\\|slash\\": "back\\|slash\\",
    "[link](x) **bold** $x$": "[link](x) **bold** $x$",
    "&amp; &#124;": "&amp; &#124;",
    "\u202eturned\u200b": "turned",
    "## heading": "## heading",
    "": "(empty)",
    "long" * 100: "long" * 19 + "lon…",
}


def table(rows: int = 400) -> pd.DataFrame:
    """Contracts with gaps, a time and a customer, of which a third is cancelled."""
    draw = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "contract": np.arange(rows),
            "customer": draw.integers(0, rows, rows),
            "month": pd.date_range("2025-01-01", periods=rows, freq="D").strftime("%Y-%m-%d"),
            "turnover": draw.normal(40, 9, rows).round(2),
            "channel": draw.choice(["shop", "web", "phone"], rows),
        }
    )
    frame["usage"] = (frame["turnover"] * 3 + draw.normal(0, 20, rows)).round(1)
    left = frame["turnover"] + draw.normal(0, 5, rows) < 36
    frame.loc[draw.random(rows) < 0.2, "turnover"] = np.nan
    return frame.assign(cancelled=np.where(left, "yes", "no"))


def run_project(folder: Path, make_project: Make, **data: str) -> Project:
    """Return a project that ran on the table, with every document."""
    frame = table()
    folder.mkdir(parents=True)
    frame.to_csv(folder / "contracts.csv", index=False)
    task = "regression" if data["target"] == "usage" else "classification"
    sections = {**QUICK, "model": {**QUICK["model"], "task": task}}
    project = make_project(folder, data={"source": "contracts.csv", **data}, **sections)
    shutil.copytree(DOCS, project.docs)
    answers = {"description": "Who *leaves*?", "stage": "mvp", "author_name": "A|B"}
    cruft = {"template": "t", "context": {"cookiecutter": answers}}
    (project.root / ".cruft.json").write_text(json.dumps(cruft), encoding="utf-8")
    pipeline.run(project, load_settings(project), say=lambda _: None)
    return project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, make_project: Make) -> Project:
    """A project whose documents are as `refresh` leaves them after a run."""
    folder = tmp_path_factory.mktemp("documents") / "project"
    roles = {"target": "cancelled", "id": "contract", "time": "month", "group": "customer"}
    project = run_project(folder, make_project, **roles)
    measured.refresh(project)
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, to change."""
    return Project(Path(shutil.copytree(finished.root, tmp_path / "copy")))


def text_of(project: Project, name: str) -> str:
    """Return a document with its line ends as they are."""
    return bytes((project.docs / f"{name}.md").read_bytes()).decode("utf-8")


def parts_of(project: Project) -> dict[str, str]:
    """Return every measured part by its name."""
    texts = (text_of(project, path.stem) for path in sorted(project.docs.glob("*.md")))
    return {found[2]: found[3] for text in texts for found in PART.finditer(text)}


def write(folder: Path, text: str) -> Path:
    """Write a document as `docs/page.md`, byte by byte."""
    path = folder / "docs" / "page.md"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode("utf-8"))
    return path


def words(folder: Path, body: str) -> int:
    """Count the words below one heading."""
    section = documents.read_document(write(folder, f"# T\n\n## S\n{body}"))["s"]
    return int(section.words)


# ---------------------------------------------------------------------------- the eight documents


@every_case("name", NAMES)
def test_every_section_has_a_question_and_an_example_and_no_answer(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    bodies = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", text, re.MULTILINE))
    sections = documents.read_document(DOCS / name)
    assert [section.title for section in sections.values()] == list(bodies)
    for section in sections.values():
        assert "?" in section.question, section.title
        assert len(section.question.split()) < 45, section.title
        assert section.words == 0, section.title
        lines = bodies[section.title].splitlines()
        assert lines[2:4] == [">", lines[3]], section.title
        assert lines[3].startswith("> *For example:* "), section.title
        assert len(lines[3].split()) > 15, section.title


def test_an_example_holds_the_numbers_that_its_question_asks_for(tmp_path: Path) -> None:
    asked = [
        (proof.rule, proof.further["numbers"])
        for name in catalogue.AREAS
        for item in catalogue.load_area(catalogue.template_file(name)).items
        for proof in item.evidence
        if "numbers" in proof.further
    ]
    assert len(asked) > 10
    for rule, numbers in asked:
        name, _, slug = rule.partition("#")
        line = documents.read_document(DOCS.parent / name)[slug].line
        lines = (DOCS.parent / name).read_text(encoding="utf-8").splitlines()[line:]
        example = next(each for each in lines if "*For example:*" in each).lstrip("> ")
        page = documents.read_document(write(tmp_path, f"## S\n{example}\n"))
        assert page["s"].numbers >= numbers, rule


def test_documents_stay_inviting() -> None:
    lengths = {name: len((DOCS / name).read_text("utf-8").splitlines()) for name in NAMES}
    assert len(lengths) == 8
    assert max(lengths.values()) <= 170


def test_every_measured_part_is_in_a_document_and_empty_in_the_template() -> None:
    found = [part for name in NAMES for part in PART.findall((DOCS / name).read_text("utf-8"))]
    assert {name for _, name, _, _ in found} == set(measured.parts())
    assert {content for _, _, content, _ in found} == {""}


def test_the_diary_takes_the_lines_of_train(tmp_path: Path) -> None:
    project = Project(tmp_path)
    shutil.copytree(DOCS, project.docs)
    for run in ("`0a1b2c3d` LOGISTIC: roc_auc 0.990 on valid, baseline 0.500. Why:",) * 2:
        tracking.add_experiment(project, run)
    entries = documents.read_document(project.docs / "experiments.md")["entries"]
    assert entries.words == 0
    assert entries.question.startswith("Why was this run tried")


# ---------------------------------------------------------------------------- a person's words


@every_case(
    ("body", "count"),
    [
        ("", 0),
        ("One two, three - four.\n", 4),
        ("no line end at the last word", 7),
        ("> Which?\n>\n> *For example:* such.\n\nOwn words.\n", 2),
        ("> Which?\nown words right below the quote\n", 6),
        ("<!-- a note -->\n", 0),
        ("before <!-- a note --> after\n", 2),
        ("before <!-- a\nlonger > note\n## here\n--> after\n", 2),
        ("<!-- one --> x <!-- two\n--> y <!-- three\n--> z\n", 3),
        ("code `<!--` is none\n", 3),
        ("<!-- measured: split -->\nnine words\n<!-- end of measured -->\nown\n", 1),
        ("### A sub-heading\ncounts\n", 3),
        ("- [ ] open\n- [x] done\n3. third\n* star\n", 4),
        ("| a | b |\n|---|--:|\n| c | 1.5 |\n", 4),
        ("---\n***\n...\n", 0),
        ("```\n## no heading\n> no quote <!-- no comment\n```\nafter\n", 7),
        ("~~~ python\n```\nx = 1\n~~~\n", 3),
        ("- 2026-11-21 `fe7ff51c` LOGISTIC: roc_auc 0.990 on valid. Why:\n", 0),
        ("- 2026-11-21 `fe7ff51c` LOGISTIC: roc_auc 0.990. Why: to see. Why: twice\n", 4),
        ("- 2026-11-21 `fe7ff51c` LOGISTIC: its end is gone\n", 0),
        ("- 2026-11-21 a person's own line\n", 5),
        ("über ñandú жизнь\n", 3),
        ("\u8fd9\u662f\u6570\u636e\u96c6\n", 5),
        ("own\r\nwords\r\n> quote\r\n", 2),
    ],
)
def test_words_are_a_persons_own(tmp_path: Path, body: str, count: int) -> None:
    assert words(tmp_path, body) == count


def test_sections_have_titles_slugs_lines_and_questions(tmp_path: Path) -> None:
    text = (
        "\ufeff# Title\n\nwords of nobody\n\n## Non-ML alternatives ##\n> Which\n> rule?\n>\n"
        "> Such.\n\n## KPIs, *and* more\nx\n# Appendix\nfar away\n"
    )
    first, second = documents.read_document(write(tmp_path, text)).values()
    assert first == documents.Heading(
        "Non-ML alternatives", "non-ml-alternatives", 5, "Which rule?", 0, 0
    )
    assert (second.slug, second.line, second.question, second.words) == ("kpis-and-more", 11, "", 1)


@every_case(("mark", "end"), itertools.product(["", "\ufeff"], ["\n", "\r\n"]))
def test_sections_are_the_same_however_the_file_was_saved(
    tmp_path: Path, mark: str, end: str
) -> None:
    path = write(tmp_path, mark + end.join(["## A b", "> Why?", ">", "> So.", "", "own words"]))
    assert documents.read_document(path) == {
        "a-b": documents.Heading("A b", "a-b", 1, "Why?", 2, 0)
    }


@pytest.mark.parametrize("reader", ["read", "refresh"])
@every_case(
    ("text", "line", "fault"),
    [
        ("# T\n## A\n\n<!-- measured: split -->\nx\n", 4, "no end"),
        ("# T\n<!-- measured: split -->\nx\n## A\n<!-- end of measured -->\n", 2, "no end"),
        ("<!-- measured: split -->\n<!-- measured: missing -->\n", 1, "no end"),
        ("# T\n\n<!-- end of measured -->\n", 3, "begins nowhere"),
        ("## A\nx\n## B\n## a\n", 4, "heading 'a' is in line 1 already"),
        ("# T\r\n## A\r\n<<<<<<< ours\r\nx\r\n=======\r\ny\r\n>>>>>>> theirs\r\n", 3, "conflict"),
        ("# T\ny\n>>>>>>> theirs\n", 3, "conflict"),
        ("# T\n\nx <!-- a note\n## A\n", 3, "comment has no end"),
        ("# T\n```python\n## A\n``\n", 2, "code has no end"),
    ],
)
def test_a_fault_is_told_with_file_and_line(
    tmp_path: Path, text: str, line: int, fault: str, reader: str
) -> None:
    path = write(tmp_path, f"{text}\nmeasured\n")
    before = path.read_bytes()
    if reader == "refresh" and "already" in fault:
        assert measured.refresh(Project(tmp_path)) == []
        return
    with pytest.raises(UserError, match=rf"^docs/page\.md, line {line}: .*{fault}.*\.$") as raised:
        if reader == "read":
            documents.read_document(path)
        else:
            measured.refresh(Project(tmp_path))
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == before


def test_a_document_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    path.write_bytes(b"# T\n\n## A\nna\xefve measured\n")
    with pytest.raises(UserError, match=r"docs/page\.md, line 4: .*UTF-8"):
        documents.read_document(path)


# --------------------------------------------------------------------------------- measured parts


def test_refresh_fills_every_part_after_a_run(finished: Project) -> None:
    parts = parts_of(finished)
    assert set(parts) == set(measured.parts())
    for name, text in parts.items():
        assert text.strip(), name
        assert text.startswith("\n"), name
        assert text.endswith(".*\n\n"), name


def test_parts_say_what_the_reports_say(finished: Project) -> None:
    parts = parts_of(finished)
    metrics, train, split, ingest, release = (
        read_report(finished, name) for name in ("metrics", "train", "split", "ingest", "release")
    )
    assert metrics and train and split and ingest and release
    auc = metrics.facts["metrics"]["roc_auc"]
    assert f"| `roc_auc` | {auc['baseline']:.3f} | {auc['value']:.3f} |" in parts["baseline"]
    assert f"| {auc['value']:.3f} | {auc['low']:.3f} to {auc['high']:.3f} |" in parts["evaluation"]
    assert "Test was opened once so far" in parts["evaluation"]
    assert f"`{train.run_id}`" in parts["candidates"]
    assert f"Chosen: LOGISTIC `{train.run_id}`" in parts["selection"]
    assert f"| train | {split.facts['rows']['train']} |" in parts["split"]
    assert "Rule: time, by `month`" in parts["split"]
    assert split.facts["time"]["test"][1] in parts["split"]
    assert ingest.facts["original"]["sha256"] in parts["sources"]
    for mark in (ingest.data, split.facts["fingerprint"], release.model):
        assert f"`{mark}`" in parts["lineage"]
    assert "`channel` | category | `phone`, `shop`, `web` | always there | feature" in (
        parts["dictionary"]
    )
    assert re.search(
        r"`turnover` \| number .* may be missing \(\d\d\.?\d? % missing\)", (parts["dictionary"])
    )
    assert re.search(r"\| `turnover` \| \d\d\.?\d? % \|", parts["missing"])
    assert "- In: 4 columns (2 `number`, 1 `datetime`, 1 `category`)" in parts["inputs"]
    assert "- Not read by the model: `customer` (group)" in parts["inputs"]
    assert "- Description: Who &#42;leaves&#42;?\n- Responsible: A&#124;B" in parts["answers"]
    assert "- Stage: minimum viable product" in parts["answers"]
    assert f"models/{train.run_id}/reference.json" in parts["reference"]
    assert f"`models/{train.run_id}/model.skops`" in parts["bundle"]
    assert re.search(r"\| `models` \| [\d.]+ [kM]B \|", parts["storage"])


def test_parts_of_a_regression(tmp_path: Path, make_project: Make) -> None:
    project = run_project(tmp_path / "project", make_project, target="usage", ignore="cancelled")
    conf = project.conf.read_text("utf-8").replace("bootstrap", "human_score = 5.5\nbootstrap")
    project.conf.write_text(conf, encoding="utf-8")
    pipeline.run(project, load_settings(project), say=lambda _: None)
    measured.refresh(project)
    parts = parts_of(project)
    assert [name for name, text in parts.items() if not text.strip()] == []
    assert "| Metric on valid | Naive baseline | A person |" in parts["baseline"]
    assert re.search(r"\| `rmse` \| [\d.]+ \| 5\.500 \| [\d.]+ \|", parts["baseline"])
    assert "Mean of the target" in parts["quantity"]
    assert "- Interval at 90 %: ± " in parts["decision"]
    assert "a number, with an interval of ± " in parts["inputs"]


def test_refresh_changes_nothing_the_second_time(project: Project) -> None:
    before = {path: (path.read_bytes(), path.stat().st_ino) for path in project.docs.iterdir()}
    assert measured.refresh(project) == []
    assert {p: (p.read_bytes(), p.stat().st_ino) for p in project.docs.iterdir()} == before


def test_refresh_names_what_it_changed(project: Project) -> None:
    shutil.copy(DOCS / "data.md", project.docs / "data.md")
    assert measured.refresh(project) == ["docs/data.md"]


def test_nothing_is_said_before_there_are_reports(tmp_path: Path) -> None:
    project = Project(tmp_path)
    shutil.copytree(DOCS, project.docs)
    assert measured.refresh(project) == []


def test_documents_that_the_stage_does_not_ask_for_are_passed_over(tmp_path: Path) -> None:
    assert measured.refresh(Project(tmp_path)) == []
    assert not (tmp_path / "docs").exists()


@every_case(("seed", "mark", "end"), itertools.product(range(15), ["", "\ufeff"], ["\n", "\r\n"]))
def test_a_persons_words_survive_byte_by_byte(
    project: Project, seed: int, mark: str, end: str
) -> None:
    draw = random.Random(seed)  # noqa: S311  # the same edits each time
    kinds = [
        "Own words.",
        "",
        "  - a list ",
        "> a quote",
        "\t",
        "| a | b |",
        "é\u2028x\x0b",
        "### h",
    ]
    path = project.docs / draw.choice(["data.md", "scoping.md", "modelling.md"])
    kept, inside = [], False
    for line in (DOCS / path.name).read_text("utf-8").split("\n"):
        inside = line.startswith("<!-- measured") or (inside and not line.startswith("<!-- end"))
        if draw.random() > 0.1 or "<!--" in line:
            kept.append(line)
        # In a measured part words are the pipeline's; what a person puts there is not theirs.
        kept += [draw.choice(kinds) for _ in range(draw.randrange(3)) if not inside]
    text = mark + end.join(kept)
    text = draw.choice([text, text.rstrip("\r\n"), text + " no line end"])
    path.write_bytes(text.encode("utf-8"))

    assert measured.refresh(project) == [f"docs/{path.name}"]
    after = path.read_bytes().decode("utf-8")
    assert PART.sub(r"\1\4", after) == text
    assert all(found[3].strip() for found in PART.finditer(after))
    assert "\r\n" not in after or "\n" not in after.replace("\r\n", "")
    assert measured.refresh(project) == []


def test_a_part_that_a_person_took_out_stays_out(project: Project) -> None:
    path = project.docs / "data.md"
    whole = path.read_text("utf-8")
    path.write_text(PART.sub("", whole, count=1), encoding="utf-8", newline="\n")
    before = path.read_bytes()
    assert measured.refresh(project) == []
    assert path.read_bytes() == before


def test_markers_in_a_block_of_code_are_left_alone(project: Project) -> None:
    path = write(
        project.root, "# T\n```\n<!-- measured: split -->\n<!-- end of measured -->\n```\n"
    )
    before = path.read_bytes()
    assert measured.refresh(project) == []
    assert path.read_bytes() == before


def test_a_document_that_is_being_written_is_left_alone(project: Project) -> None:
    shutil.copy(DOCS / "data.md", project.docs / "data.md")
    (project.docs / ".partial-01234567-data.md").write_text("<!-- measured: spl", encoding="utf-8")
    assert measured.refresh(project) == ["docs/data.md"]


def test_an_unknown_part_is_told_and_nothing_is_written(project: Project) -> None:
    write(project.root, "# T\n\n<!-- measured: splitt -->\n<!-- end of measured -->\n")
    shutil.copy(DOCS / "data.md", project.docs / "data.md")
    fault = (
        r"^docs/page\.md, line 3: there is no measured part 'splitt'; choose one of answers, .*\.$"
    )
    with pytest.raises(UserError, match=fault):
        measured.refresh(project)
    assert text_of(project, "data") == (DOCS / "data.md").read_text("utf-8")


def change(path: Path, key: str, value: Any) -> None:
    """Change one entry of a JSON file."""
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**content, key: value}), encoding="utf-8")


def test_parts_about_other_data_say_so(project: Project) -> None:
    before = parts_of(project)
    change(project.manifest_file, "fingerprint", "0" * 16)
    measured.refresh(project)
    parts = parts_of(project)
    for name in ("split", "baseline", "sources"):
        assert "about other data than `data/manifest.json`: `run` updates it.*" in parts[name]
    assert parts["dictionary"] == before["dictionary"]
    project.manifest_file.unlink()  # nothing to compare with
    measured.refresh(project)
    assert parts_of(project) == before


def test_parts_about_another_model_say_so(project: Project) -> None:
    change(project.champion_file, "run_id", "00000000")
    measured.refresh(project)
    parts = parts_of(project)
    for name in ("baseline", "decision", "importance"):
        assert "about another model than the one in service.*" in parts[name]
    assert "another model" not in parts["split"]


@pytest.mark.parametrize(
    ("report", "emptied"),
    [
        ("metrics", {"baseline", "evaluation"}),
        ("split", {"lineage", "quantity", "split", "storage"}),
    ],
)
def test_a_report_that_is_gone_empties_its_parts_alone(
    project: Project, report: str, emptied: set[str]
) -> None:
    for name in (report, f"champion/{report}"):
        project.report_file(name).unlink(missing_ok=True)
    measured.refresh(project)
    assert {name for name, text in parts_of(project).items() if not text} == emptied


def test_a_write_that_fails_leaves_the_document_whole(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("the disk is full")

    path = project.docs / "data.md"
    shutil.copy(DOCS / "data.md", path)
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="the disk is full"):
        measured.refresh(project)
    assert path.read_bytes() == (DOCS / "data.md").read_bytes()
    assert [each.name for each in project.docs.glob(".*")] == []


@pytest.mark.parametrize(
    ("file", "content", "fault"),
    [
        ("reports/split.json", '{"version": 1, "fac', "split.json is not complete JSON"),
        ("reports/split.json", None, r"reports/split\.json lacks what the measured part '\w+'"),
        (
            ".cruft.json",
            '{"context',
            r"\.cruft\.json is not complete JSON .*earlier version from git",
        ),
        ("data/manifest.json", "[]", r"manifest\.json has no fingerprint"),
        ("data/schema.yaml", "columns: [", r"data/schema\.yaml, line 2: not valid YAML"),
    ],
)
def test_broken_files_are_told_and_nothing_is_written(
    project: Project, file: str, content: str | None, fault: str
) -> None:
    before = {path: path.read_bytes() for path in project.docs.iterdir()}
    if content is None:
        change(project.root / file, "facts", {"rows": {"train": 3, "valid": 1, "test": 1}})
    else:
        (project.root / file).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=fault) as raised:
        measured.refresh(project)
    assert "\n" not in str(raised.value)
    assert {path: path.read_bytes() for path in project.docs.iterdir()} == before


def test_a_part_never_leaves_out_what_its_report_lacks(project: Project) -> None:
    path = project.report_file("split")
    facts = json.loads(path.read_text("utf-8"))["facts"]
    del facts["reason"]
    change(path, "facts", facts)
    with pytest.raises(UserError, match="lacks what the measured part 'split' shows .*'reason'"):
        measured.refresh(project)


# -------------------------------------------------------------------------- names from the data


def cells(markdown: str) -> list[list[str]]:
    """Return the text of a rendered table's cells; refuse raw HTML but comments."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        assert token.type != "html_block" or token.content.startswith("<!--")
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline" and rows:
            children = token.children or []
            kinds = {child.type for child in children}
            assert kinds <= {"text", "text_special", "code_inline"}, token.content
            rows[-1].append("".join(child.content for child in children))
    return rows


def test_hostile_names_stay_in_their_cells(project: Project) -> None:
    columns: list[dict[str, Any]] = [
        {"name": name, "type": "number", "nullable": False, "minimum": 0} for name in HOSTILE
    ]
    columns.append({"name": "y", "type": "category", "categories": list(HOSTILE)[:8]})
    schema = {"version": 1, "source": "s", "columns": columns}
    project.schema_file.write_text(yaml.safe_dump(schema), encoding="utf-8")
    measured.refresh(project)
    rows = cells(parts_of(project)["dictionary"].rpartition("*From")[0])
    assert [len(row) for row in rows] == [5] * (len(HOSTILE) + 2)
    assert [row[0] for row in rows[1:]] == [*HOSTILE.values(), "y"]
    assert rows[-1][2] == ", ".join(list(HOSTILE.values())[:8])
    assert measured.refresh(project) == []


def test_a_wide_table_is_cut_and_says_so(project: Project) -> None:
    columns = [{"name": f"c{number}", "type": "number"} for number in range(1300)]
    project.schema_file.write_text(yaml.safe_dump({"columns": columns}), encoding="utf-8")
    measured.refresh(project)
    part = parts_of(project)["dictionary"]
    assert part.count("\n| `c") == 200
    assert "1,100 more columns in `data/schema.yaml`." in part


def test_pages_render_without_raw_html(finished: Project) -> None:
    for path in finished.docs.glob("*.md"):
        for token in MarkdownIt("commonmark").enable("table").parse(path.read_text("utf-8")):
            assert token.type != "html_block" or re.fullmatch(r"\s*<!--.*-->\s*", token.content)
            kinds = {child.type for child in token.children or []}
            assert "html_inline" not in kinds
    tables = text_of(finished, "data").count("\n| --- ")
    rendered = MarkdownIt("commonmark").enable("table").render(text_of(finished, "data"))
    assert rendered.count("<table>") == tables > 4


def test_reading_and_refreshing_import_nothing_heavy(
    project: Project, package_environment: dict[str, str]
) -> None:
    shutil.copy(DOCS / "data.md", project.docs / "data.md")
    code = (
        "import sys; from pathlib import Path; from mlproj.checklist.measured import refresh\n"
        "from mlproj.core.project import Project\n"
        "assert refresh(Project(Path('.'))) == ['docs/data.md']\n"
        "print(*{'pandas', 'numpy', 'sklearn', 'pydantic', 'rich'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env=package_environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
