"""Schemas of version 1: what their rules decided is written into them, and tables stay the same."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cases import every_case
from earlier import printed, python
from mlproj import ingest
from mlproj.bundle.bundle import load_bundle
from mlproj.core import pipeline
from mlproj.core.config import DataSettings, load_settings
from mlproj.core.errors import UserError
from mlproj.core.pipeline import is_current
from mlproj.core.project import Project
from mlproj.data import schema
from mlproj.data.cast import conform
from mlproj.data.earlier_files import upgraded
from mlproj.data.keys import BY_COLUMN
from mlproj.data.readers import read_table
from mlproj.data.split import load_manifest
from mlproj.monitoring.window import open_file
from mlproj.predict import predict
from mlproj.preprocess import preprocess
from tables import everything

Place = Callable[..., Any]
Run = Callable[..., str]

ROWS = 240
REGIONS = ["NA", "EU", "ASIA"]
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


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


def odd(frame: pd.DataFrame) -> pd.DataFrame:
    """Add columns, and rows after the first thousand, that were read by rules of their own."""
    long = pd.concat([frame] * 5, ignore_index=True)
    rows = range(len(long))
    long["key"] = [f"{row:05d}{DECOMPOSED}" for row in rows]
    return long.assign(
        **{
            " wide  name": [str(row % 17) for row in rows],
            f"{DECOMPOSED} name": [f" {row % 11} " for row in rows],
            "padded": [["EU", " EU", "EU ", "\tUS", " NA"][row % 5] for row in rows],
            "shop": [(COMPOSED, DECOMPOSED)[row % 2] for row in rows],
            "late": ["007" if row > 1100 else str(row % 9) for row in rows],
            "mixed": ["n/b" if row % 5 == 0 else str(row % 30) for row in rows],
            "flag": ["False" if row % 3 else "True" for row in rows],
            "gaps": [["null", "TRUE", "false"][row % 3] for row in rows],
            "large": [str(2**60 + row) for row in rows],
            "note": ["None" if row % 50 == 0 else f"a, b; c {row % 400}" for row in rows],
        }
    )


def delimited(frame: pd.DataFrame, delimiter: str = ";") -> str:
    """Write a table as text."""
    return frame.to_csv(index=False, sep=delimiter, lineterminator="\n")


def typed_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with the types that a format other than CSV keeps."""
    return frame.assign(
        price=frame["price"].str.replace(",", ".").astype("float64"),
        size=frame["size"].astype("int64"),
    )


def blank_lines(text: str) -> str:
    """Put lines without a value into a table."""
    lines = text.splitlines()
    return "\n".join([*lines[:5], "", *lines[5:9], "   ", *lines[9:], ""]) + "\n"


QUOTED = odd(table(thousands=False)).to_csv(index=False, sep="\t", quoting=csv.QUOTE_ALL)
SOURCES: dict[str, tuple[str, Any]] = {
    "thousands": ("t.csv", blank_lines(delimited(odd(table())))),
    "decimal comma": ("t.csv", delimited(odd(table(thousands=False)))),
    "tabs": ("t.tsv", QUOTED),
    "commas": ("t.csv", delimited(typed_columns(odd(table())), ",")),
    "Excel": ("t.xlsx", typed_columns(odd(table()))),
    "JSON": ("t.jsonl", typed_columns(odd(table()))),
    "Parquet": ("t.parquet", typed_columns(odd(table()))),
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
    assert project.schema_file.with_name("schema.old.yaml").read_text("utf-8") == lines
    assert any("was of an earlier version" in note for note in aloud)
    assert not any("before the update" in note for note in aloud)
    lines = project.schema_file.read_text("utf-8")
    assert "\nversion: 2\n" in lines
    file = schema.read_schema_file(project)
    assert file is not None and not file.edited
    assert is_current(project, load_settings(project), "ingest")
    preprocess(project, load_settings(project))
    again = load_manifest(project)
    assert again["split"].pop("keys") == BY_COLUMN
    for part in ("fingerprint", "rows", "split"):
        assert again[part] == manifest[part], part

    later, aloud = read(project)
    pd.testing.assert_frame_equal(later, before)
    assert project.schema_file.read_text("utf-8") == lines
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
    assert "version: 1" in project.schema_file.with_name("schema.old.yaml").read_text("utf-8")


def test_a_table_that_a_new_schema_would_refuse_is_read_on(place: Place, run_earlier: Run) -> None:
    text = delimited(typed_columns(table()), ",").replace(",ASIA,", ",AS\0IA,")
    project = place(text)
    run_earlier(project, "ingest")
    before = pd.read_parquet(project.typed)
    assert "would refuse the table: t.csv: Column 'region' holds the character NUL" in (
        said_otherwise(project)
    )
    pd.testing.assert_frame_equal(pd.read_parquet(project.typed), before)


def test_the_schema_says_what_the_old_rules_decided(place: Place, run_earlier: Run) -> None:
    project = place(delimited(odd(table(thousands=False))), data={"id": "key"})
    run_earlier(project, "ingest")
    then = pd.read_parquet(project.typed)
    then.assign(size=then["size"].replace(29, 28)).to_parquet(project.typed)
    _, aloud = read(project)
    assert "read otherwise than before the update: size (row 30: 28, then 29 (40 rows))" in aloud
    found = {
        column.name: (column.decimal, column.missing, column.exact)
        for column in schema.load_schema(project).columns
        if column.decimal or column.missing or column.exact
    }
    assert found == {
        "key": (None, None, True),
        "price": (",", None, None),
        "region": (None, ("NA",), None),
        "padded": (None, None, True),
        "shop": (None, None, True),
        "note": (None, ("None",), None),
    }
    (note,) = [each for each in aloud if "was of an earlier version" in each]
    assert "price (decimal ','), region (missing NA), " in note
    assert "padded (exact), shop (exact), note (missing None); the earlier one is kept" in note


def test_a_number_that_was_none_then_is_refused_still(place: Place, run_earlier: Run) -> None:
    frame = table(thousands=False).assign(price=[f"{row % 9}.{row:03d}" for row in range(ROWS)])
    project = place(delimited(frame.drop(columns="pieces", errors="ignore")))
    run_earlier(project, "ingest")
    before = everything(project.root)
    # Read as text for this value, 1,500 was not fifteen hundred.
    changed = frame.assign(price=["1.500", "1,500", *frame["price"][2:]])
    (project.root / "t.csv").write_text(delimited(changed), encoding="utf-8")
    with pytest.raises(UserError, match=r"t.csv, column 'price', row 2: '1,500' is not a number"):
        read(project)
    assert everything(project.root) == before


def test_what_a_person_wrote_into_an_earlier_schema_stays(place: Place, run_earlier: Run) -> None:
    project = place(delimited(table()), data={"id": "key"})
    run_earlier(project, "ingest")
    lines = project.schema_file.read_text("utf-8")
    edited = re.sub(r"\{name: pieces, .*\}", "{name: pieces, type: integer, decimal: ','}", lines)
    edited = re.sub(r"\{name: price, .*\}", "{name: price, type: number, decimal: ','}", edited)
    project.schema_file.write_text(f"{edited}# ours\n", encoding="utf-8")
    with (project.root / "t.csv").open("a", encoding="utf-8") as source:
        source.write("\n")
    typed, aloud = read(project)
    assert not any("before the update" in note for note in aloud)  # it is another file
    assert list(typed["pieces"][:3]) == [1000, 2100, 3200]
    assert list(typed["price"][:3]) == [0, 1.1, 2.2]
    file = schema.read_schema_file(project)
    assert file is not None and file.edited and file.schema.version == 2
    assert file.schema.column("pieces").decimal == ","
    assert "# ours" in project.schema_file.with_name("schema.old.yaml").read_text("utf-8")


def earlier_schema(*columns: dict[str, Any]) -> schema.Schema:
    """A schema of version 1, of columns of words unless they say otherwise."""
    plain = [{"type": "string", "nullable": True, **column} for column in columns]
    return schema.Schema.from_dict({"version": 1, "source": "t.csv", "columns": plain})


def read_as_then(path: Path, earlier: schema.Schema) -> tuple[schema.Schema, pd.DataFrame]:
    """Return the schema of today that a file gives, and the file read by it."""
    later = upgraded(earlier, [path], DataSettings())
    frame = read_table(path, DataSettings(), later)
    return later, conform(frame, later, where=path.name)


NUMBER, WORD = {"name": "a", "type": "number"}, {"name": "b"}
# What the columns a and b of a file hold: each as version 1 read it.
READ: dict[str, tuple[str, list[Any], list[Any]]] = {
    "comma in a file of points": ("a;b\n1.5;1,5\n2;x\n", [1.5, 2.0], ["1,5", "x"]),
    "comma": ("a;b\n1,5;x\n2;y\n", [1.5, 2.0], ["x", "y"]),
    "comma in the first thousand rows": (
        "a;b\n1,5;x\n" + "2;y\n" * 1000 + "2;1.5\n",
        [1.5, *[2.0] * 1001],
        ["x", *["y"] * 1000, "1.5"],
    ),
    "comma beside a missing value": ("a;b\n1,5;x\n1.#IND;y\n", [1.5, None], ["x", "y"]),
    "points after the comma of another": ("a;b\n1.234;2,5\n2;y\n", [1.234, 2.0], ["2,5", "y"]),
    "quoted": ('a,b\n"1.5"," x"\n"NA","NA"\n', [1.5, None], [" x", None]),
    "spelt as missing": ("a,b\n1.#IND,<NA>\n2,nan \n", [None, 2.0], [None, "nan "]),
    "spaces": ("a,b\n 1 ,  \n2,\n", [1.0, 2.0], ["  ", None]),
    "name": (" a ,b\n1,x\n2,y\n", [1.0, 2.0], ["x", "y"]),
    "zeros": ("a,b\n007,007\n+5,5\n", [7.0, 5.0], ["007", "5"]),
}


@every_case("case", READ)
def test_a_file_is_read_as_it_was(case: str, tmp_path: Path) -> None:
    text, numbers, words = READ[case]
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    _, typed = read_as_then(path, earlier_schema(NUMBER, WORD))
    assert typed["a"].astype("object").where(typed["a"].notna(), None).tolist() == numbers
    assert typed["b"].astype("object").where(typed["b"].notna(), None).tolist() == words


# A file that would be read otherwise, and what is said of it.
REFUSED = {
    "decimal comma and point": (
        "a;b\n1,5;x\n 1.234;y\n",
        r"column 'a', row 2: ' 1.234' is not a number where the decimal sign is ','",
    ),
    "comma in a file of points": (
        'a,b\n"1,500",x\n',
        r"column 'a', row 1: '1,500' is not a number where the decimal sign is '.'",
    ),
    "header like a title": (
        "\nb,,,,a\nx,1,1,1,1\ny,2,2,2,2\n",
        "in row 2 for the earlier version, and would not now; set [data] header_row = 2",
    ),
}


@every_case("case", REFUSED)
def test_what_might_be_misread_is_refused(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlproj.data.earlier_files.ROWS", 1)
    text, message = REFUSED[case]
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(message)):
        read_as_then(path, earlier_schema(NUMBER, WORD))


def test_an_appended_file_with_another_decimal_sign_is_refused(tmp_path: Path) -> None:
    paths = [tmp_path / "first.csv", tmp_path / "second.csv"]
    for path, number in zip(paths, ("1,5", "1.234"), strict=True):
        path.write_text(f"a;b\n{number};x\n", encoding="utf-8")
    earlier = earlier_schema(NUMBER, WORD)
    assert upgraded(earlier, paths[:1], DataSettings()).column("a").decimal == ","
    with pytest.raises(UserError, match=r"second.csv, column 'a', row 1: '1.234' is not a number"):
        upgraded(earlier, paths, DataSettings())


def test_errors_of_excel_count_as_missing(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path = tmp_path / "t.xlsx"
    book = openpyxl.Workbook()
    for row in (["a", "b"], [1.5, "x"], ["#DIV/0!", "#REF!"], [None, "None"]):
        book.active.append(row)
    book.active["A3"].data_type = book.active["B3"].data_type = "e"
    book.save(path)
    later, typed = read_as_then(path, earlier_schema(NUMBER, WORD))
    assert later.column("a").missing == ("#DIV/0!",)
    assert later.column("b").missing == ("#REF!", "None")
    assert typed["a"].isna().tolist() == typed["b"].isna().tolist() == [False, True, True]


def test_an_edited_schema_that_fits_nothing_ends_in_one_sentence(place: Place) -> None:
    project = place(delimited(table()))
    project.schema_file.parent.mkdir(exist_ok=True)
    project.schema_file.write_text(
        "version: 1\nsource: t.csv\ncolumns:\n- {name: age, type: number}\n", encoding="utf-8"
    )
    before = everything(project.root)
    with pytest.raises(UserError, match=r"^t.csv has no column of data/schema.yaml, which is "):
        read(project)
    assert everything(project.root) == before


@pytest.mark.modules
@pytest.mark.parametrize("kind", ["decimal comma", "Excel"])
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
    assert then.count(b"\n") == 5 * ROWS + 1
    assert now == then
    window = open_file(project, load_bundle(project, run_id), load_settings(project), source)
    assert window.faults == () and window.truth is not None
