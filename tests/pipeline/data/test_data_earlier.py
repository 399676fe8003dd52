"""Schemas of version 1: tables are read as then, and what would be read otherwise is said."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from earlier import printed, python
from mlproj import ingest
from mlproj.core import pipeline
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.project import Project
from mlproj.data import schema
from mlproj.data.keys import BY_COLUMN
from mlproj.data.split import load_manifest
from mlproj.predict import predict
from mlproj.preprocess import preprocess

Place = Callable[..., Any]
Run = Callable[..., str]

ROWS = 240
REGIONS = ["NA", "EU", "ASIA"]


def table(*, thousands: bool = True) -> pd.DataFrame:
    """A table as a German program exports it: each value is text."""
    rows = range(ROWS)
    columns = {
        "key": [f"{row:05d}" for row in rows],
        "price": [f"{row % 50},{row % 10}" for row in rows],
        "pieces": [f"{1 + row % 9}.{row % 5}00" for row in rows],
        "size": [str(row % 30) for row in rows],
        "region": [REGIONS[row % 3] for row in rows],
        "seen": [f"{1 + row % 28:02d}.{1 + row % 12:02d}.2024" for row in rows],
        "filled": ["None" if row % 8 == 0 else str(row % 7) for row in rows],
        "label": ["yes" if row % 50 > 20 + row % 7 else "no" for row in rows],
    }
    return pd.DataFrame(columns).drop(columns=[] if thousands else ["pieces"])


def delimited(frame: pd.DataFrame, delimiter: str = ";") -> str:
    """Write a table as text."""
    return frame.to_csv(index=False, sep=delimiter, lineterminator="\n")


def typed_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with the types that a format other than CSV keeps."""
    return frame.assign(
        price=frame["price"].str.replace(",", ".").astype("float64"),
        size=frame["size"].astype("int64"),
    )


SOURCES: dict[str, tuple[str, Any]] = {
    "thousands": ("t.csv", delimited(table())),
    "decimal comma": ("t.csv", delimited(table(thousands=False))),
    "tabs": ("t.tsv", delimited(table(thousands=False), "\t")),
    "commas": ("t.csv", delimited(typed_columns(table()), ",")),
    "Excel": ("t.xlsx", typed_columns(table())),
    "JSON": ("t.jsonl", typed_columns(table())),
    "Parquet": ("t.parquet", typed_columns(table())),
}


@pytest.fixture(name="run_earlier", scope="module")
def run_earlier_fixture(earlier: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """``run_earlier(project, "ingest")``: what a command of the earlier version prints."""
    source = tmp_path_factory.mktemp("then")
    shutil.copytree(earlier, source / "mlearlier")

    def run(project: Project, *words: str) -> str:
        command = ("-m", "mlearlier", *words)
        return printed(python(project.root, *command, PYTHONPATH=str(source)))

    return run


def read(project: Project, *, infer: bool = False) -> tuple[pd.DataFrame, list[str]]:
    """Ingest; return the typed table and what was said."""
    report = ingest.ingest(project, load_settings(project), infer=infer)
    return pd.read_parquet(project.typed), report.facts["aloud"]


@pytest.mark.parametrize(("name", "content"), SOURCES.values(), ids=SOURCES)
def test_an_earlier_project_keeps_rows_types_and_split(
    name: str, content: Any, place: Place, run_earlier: Run
) -> None:
    project = place(content, name, data={"id": "key"})
    run_earlier(project, "ingest")
    run_earlier(project, "preprocess")
    before, lines = pd.read_parquet(project.typed), project.schema_file.read_text("utf-8")
    manifest = load_manifest(project)
    assert "\nversion: 1\n" in lines

    after, aloud = read(project)
    pd.testing.assert_frame_equal(after, before)
    assert project.schema_file.read_text("utf-8") == lines
    assert any("is of an earlier version" in note for note in aloud)
    preprocess(project, load_settings(project))
    again = load_manifest(project)
    assert again["split"].pop("keys") == BY_COLUMN
    for part in ("fingerprint", "rows", "split"):
        assert again[part] == manifest[part], part

    read(project, infer=True)
    assert schema.load_schema(project).version == schema.SCHEMA_VERSION
    _, aloud = read(project)
    assert not any("earlier" in note or "otherwise" in note for note in aloud)


def test_an_earlier_project_goes_on_dropping_equal_rows(place: Place, run_earlier: Run) -> None:
    """Rows, split, champion and the closed test stay; `ingest --infer` then keeps equal rows."""
    frame = typed_columns(table()).drop(columns=["key", "seen"])
    project = place(
        pd.concat([frame, frame.head(40)]),
        model={"candidates": "linear", "folds": "0"},
        evaluate={"bootstrap": "100", "margin": "0"},
    )
    run_earlier(project, "run", "--until", "evaluate")
    kept = {path: path.read_bytes() for path in (project.champion_file, project.ledger)}
    manifest = load_manifest(project)
    lines: list[str] = []
    assert sum(manifest["rows"].values()) == ROWS
    pipeline.run(project, load_settings(project), until="evaluate", say=lines.append)
    again = load_manifest(project)
    assert again["rules"] == {"duplicates": "drop"}
    assert again["split"].pop("keys") == BY_COLUMN
    for part in ("fingerprint", "rows", "split"):
        assert again[part] == manifest[part], part
    assert {path: path.read_bytes() for path in kept} == kept
    assert any("duplicates = drop, by which this project was split" in line for line in lines)
    read(project, infer=True)
    preprocess(project, load_settings(project))
    assert sum(load_manifest(project)["rows"].values()) == ROWS + 40


def said_otherwise(project: Project) -> str:
    """Return what ingest says that a new schema would change."""
    _, aloud = read(project)
    (note,) = [each for each in aloud if each.startswith(("would be", "`ingest --infer` "))]
    return note


def test_what_would_be_read_otherwise_is_said_column_by_column(
    place: Place, run_earlier: Run
) -> None:
    project = place(delimited(table()), data={"id": "key"})
    run_earlier(project, "ingest")
    note = said_otherwise(project)
    assert note.startswith("would be read otherwise: ")
    assert "price (string, then number)" in note
    assert "pieces (number, then integer)" in note
    assert "region (row 1: missing, then 'NA' (80 rows))" in note
    assert "filled (number, then integer)" in note
    for alike in ("key", "size", "seen", "label"):
        assert f"{alike} (" not in note, note
    report = json.loads((project.reports / "ingest.json").read_text("utf-8"))
    assert note in report["facts"]["aloud"]


def test_a_table_that_is_read_alike_is_said_to_be(place: Place, run_earlier: Run) -> None:
    frame = typed_columns(table()).drop(columns="filled")
    frame["gaps"] = [None if row % 5 == 0 else row + 0.5 for row in range(ROWS)]
    project = place(delimited(frame, ",").replace(",NA,", ",US,"))
    run_earlier(project, "ingest")
    assert said_otherwise(project) == "`ingest --infer` would read each column as it is read now"


def test_a_table_that_a_new_schema_would_refuse_is_read_on(place: Place, run_earlier: Run) -> None:
    text = delimited(typed_columns(table()), ",").replace(",ASIA,", ",AS\0IA,")
    project = place(text)
    run_earlier(project, "ingest")
    before = pd.read_parquet(project.typed)
    assert "would refuse the table: t.csv: Column 'region' holds the character NUL" in (
        said_otherwise(project)
    )
    pd.testing.assert_frame_equal(pd.read_parquet(project.typed), before)


def test_text_that_was_no_number_then_is_refused_still(place: Place, run_earlier: Run) -> None:
    frame = table(thousands=False).assign(price=[f"{row % 9},{row:03d}" for row in range(ROWS)])
    project = place(delimited(frame))
    run_earlier(project, "ingest")
    before = project.typed.read_bytes()
    # Read as text for its second value, 1,500 is not fifteen hundred.
    (project.root / "t.csv").write_text(
        delimited(frame.assign(price=["1,500", "1 000", *frame["price"][2:]])), encoding="utf-8"
    )
    with pytest.raises(UserError, match=r"column 'price', row 1: '1,500' is not a finite number"):
        read(project)
    assert project.typed.read_bytes() == before


def test_a_person_may_say_how_a_column_of_an_earlier_schema_writes_its_numbers(
    place: Place, run_earlier: Run
) -> None:
    project = place(delimited(table()), data={"id": "key"})
    run_earlier(project, "ingest")
    lines = project.schema_file.read_text("utf-8")
    edited = re.sub(r"\{name: pieces, .*\}", "{name: pieces, type: integer, decimal: ','}", lines)
    assert edited != lines
    project.schema_file.write_text(edited, encoding="utf-8")
    typed, _ = read(project)
    assert list(typed["pieces"][:3]) == [1000, 2100, 3200]
    assert schema.load_schema(project).version == 1


@pytest.mark.modules
@pytest.mark.parametrize("kind", ["thousands", "decimal comma", "Excel"])
def test_an_earlier_bundle_predicts_the_same(kind: str, place: Place, run_earlier: Run) -> None:
    name, content = SOURCES[kind]
    quick = {"model": {"candidates": "linear", "folds": 0}, "evaluate": {"bootstrap": 10}}
    project = place(content, name, data={"id": "key"}, **quick)
    for stage in ("ingest", "preprocess", "train", "postprocess"):
        run_earlier(project, stage)
    (run_id,) = (path.parent.name for path in project.models.glob("*/bundle.json"))
    run_earlier(project, "predict", name, "then.csv", "--model", run_id)
    source, output = project.root / name, project.root / "now.csv"
    predict(project, load_settings(project), source, output, model=run_id)
    then, now = ((project.root / each).read_bytes() for each in ("then.csv", "now.csv"))
    assert then.count(b"\n") == ROWS + 1
    assert now == then
