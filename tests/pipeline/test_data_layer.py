"""The data layer in depth: sources, formats, schema, split; and what bad input says."""

from __future__ import annotations

import base64
import functools
import http.server
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest
from mlproj import custom, ingest
from mlproj.core import files, registry
from mlproj.core.config import DataSettings, load_settings
from mlproj.core.errors import UserError
from mlproj.core.project import Project
from mlproj.data import cast, clean, keys, readers, schema, sources, split, writers
from mlproj.data.infer import widen
from mlproj.data.sample import sample_table
from mlproj.data.sources import parse_source
from mlproj.preprocess import preprocess

ROWS = 400


def mixed_table(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """A table with a column of each type, every one of which CSV can hold."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "key": [f"K{number:05d}" for number in range(rows)],
            "when": (pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows), "h")).astype(
                "datetime64[us]"
            ),
            "shop": random.integers(0, 200, rows).astype(str),
            "size": random.integers(1, 50, rows),
            "price": random.normal(100, 25, rows),
            "colour": random.choice(["red", "green", "blue"], rows),
            "member": random.choice([True, False], rows),
            "note": [f"order {number} came in good time and whole" for number in range(rows)],
            "label": random.choice(["no", "yes"], rows, p=[0.7, 0.3]),
        }
    ).assign(shop=lambda frame: "shop-" + frame["shop"])


@pytest.fixture
def place(tmp_path: Path, make_project: Callable[..., Any]) -> Callable[..., Any]:
    """``place(table_or_text, name="t.csv", target=..., **sections)``: a project with a source."""

    def place(table: Any, name: str = "t.csv", **sections: Any) -> Any:
        data = {"source": name, "target": "label", **sections.pop("data", {})}
        project = make_project(tmp_path, data=data, **sections)
        write_source(table, tmp_path / name)
        return project

    return place


def write_source(table: Any, path: Path) -> None:
    """Write bytes, text or a frame in the format of the name."""
    if isinstance(table, bytes):
        path.write_bytes(table)
    elif isinstance(table, str):
        path.write_text(table, encoding="utf-8", newline="\n")
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    elif path.suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True, double_precision=15, date_format="iso")
    elif path.suffix == ".xlsx":
        table.to_excel(path, index=False)
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")


def run_data(project: Any, *overrides: str) -> dict[str, Any]:
    """Run ingest and preprocess; return the facts of reports/split.json."""
    settings = load_settings(project, overrides)
    ingest.ingest(project, settings)
    facts: dict[str, Any] = preprocess(project, settings).facts
    return facts


def members(project: Any, column: str = "key") -> dict[str, set[Any]]:
    """Return the values of a column in each split."""
    return {name: set(split.load_split(project, name)[column]) for name in split.SPLITS}


def everything(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, apart from sources and settings at its top."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent != folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# ------------------------------------------------------------------------------------- bad input


def long_numbers(rows: int, slip: int) -> str:
    """A CSV whose number column holds a word in one row."""
    lines = [f"{row * 0.5},{row % 2}" for row in range(1, rows + 1)]
    lines[slip - 1] = "oops,1"
    return "x,label\n" + "\n".join(lines) + "\n"


GOOD = "x,label\n" + "".join(f"{row}.5,{'ab'[row % 2]}\n" for row in range(40))


def bad(name: str, table: str | bytes, expected: str, file: str = "t.csv", **data: str) -> Any:
    """A table that is refused, settings of [data], and a part of the sentence."""
    return pytest.param(table, file, data, expected, id=name)


DAYS = "d,label\n" + "".join(f"2024-01-{1 + row % 28:02d},{'ab'[row % 2]}\n" for row in range(200))
PRICES = "x,label\n" + "".join(f"{row},{row}.25\n" for row in range(50))
NAMES = "x,label\n" + "".join(f"{row},name-{row}\n" for row in range(50))
BAD_INPUT = [
    bad("empty file", "", "is empty"),
    bad("header only", "x,label\n", "no row"),
    bad("one row", "x,label\n1,a\n", "has 1 row;"),
    bad("blank header", "\n\n", "no column names"),
    bad("no such target", GOOD.replace("label", "lable"), "close to it: 'lable'"),
    bad("no target set", GOOD, "target is not set", target=""),
    bad("constant target", GOOD.replace("b\n", "a\n"), "is 'a' in all 40 rows"),
    bad("target missing", GOOD.replace("3.5,b", "3.5,"), "first in row 4"),
    bad("duplicate names", "x,x,label\n1,2,a\n3,4,b\n5,6,a\n", "2 columns named 'x'"),
    bad("all missing", GOOD.replace("x,", "x,z,").replace(".5,", ".5,,"), "'z' has no value"),
    bad("text in row 70,000", long_numbers(99_999, 70_000), "row 70,000: 'oops'"),
    bad("rare placeholder", GOOD.replace("\n7.5", "\n?"), "'?' is no number"),
    bad("wrong encoding", GOOD.encode() + "é,a\n".encode("latin-1"), "is not utf-8: byte"),
    bad("utf-16", GOOD.encode("utf-16"), "utf-16"),
    bad("unknown encoding", GOOD, "no known encoding", encoding="klingon"),
    bad("long line", GOOD.replace("7.5,b", "7.5,b,c"), "line 9, has 3 fields"),
    bad("long first line", GOOD.replace("0.5,a", "0.5,a,c", 1), "more fields"),
    bad("short line", GOOD.replace("\n7.5,b", "\n7.5"), "line 9, has 1 fields"),
    bad("open quote", GOOD + '"3,a\n', "quote that it never closes"),
    bad("infinite", GOOD.replace("\n7.5", "\ninf"), "row 8: inf is infinite"),
    bad("overflow", GOOD.replace("\n7.5", "\n1e999"), "is infinite"),
    bad("bad date", DAYS + "2024-02-31,a\n", "row 201: '2024-02-31' is no date"),
    bad("time is words", GOOD.replace("7.5", "x").replace(".5", "st"), "no dates", time="x"),
    bad("many numbers as classes", PRICES, "= regression"),
    bad("ids as classes", NAMES, "too many"),
    bad("missing id", GOOD.replace("\n7.5", "\n"), "id = x is missing in 1 rows", id="x"),
    bad("reserved name", GOOD.replace("x,", "_row,"), "'_row'"),
    bad("unknown suffix", GOOD, "known are: .csv", file="t.data"),
    bad("no Parquet", b"PAR1 no", "cannot be read as Parquet", file="t.parquet"),
    bad("no Excel", b"PK no", "cannot be read as Excel", file="t.xlsx"),
    bad("no JSON", '{"x": 1, "label": "a"}\n{"x": \n', "line 2, is no JSON", file="t.jsonl"),
    bad("JSON list", '{"x": [1], "label": "a"}\n' * 3, "a list or an object", file="t.jsonl"),
    bad("cut-off gzip", b"\x1f\x8b\x08\x00abc", "t.csv.gz", file="t.csv.gz"),
    bad("no such role", GOOD, "[data] group", group="shop"),
    bad("target is id", GOOD, "is also [data] id", id="label"),
    bad("missing file", GOOD, "close to it: 't.csv'", source="tt.csv"),
    bad("unknown scheme word", GOOD, "known are", source="pigeon:t"),
    bad("missing secret", GOOD, "NO_SUCH_SECRET_HERE", source="env:NO_SUCH_SECRET_HERE"),
    bad("no such set", GOOD, "known are: breast_cancer", source="sklearn:flowers"),
    bad("bad sample", GOOD, "sample:ROWS", source="sample:many"),
    bad("a folder", GOOD, "is a folder", source="."),
]


@pytest.mark.parametrize(("table", "file", "data", "expected"), BAD_INPUT)
def test_bad_input_is_one_sentence_and_changes_nothing(
    table: str | bytes,
    file: str,
    data: dict[str, str],
    expected: str,
    place: Any,
    tmp_path: Path,
) -> None:
    project = place(mixed_table(60), "good.csv")
    run_data(project)
    before = everything(tmp_path)
    project = place(table, file, data=data)
    with pytest.raises(UserError) as caught:
        run_data(project)
    message = str(caught.value)
    assert expected in message
    assert message.endswith(".") and "\n" not in message and "Traceback" not in message
    assert everything(tmp_path) == before


def test_the_same_violation_everywhere_is_listed_with_count_and_rows(place: Any) -> None:
    table = mixed_table()
    project = place(table)
    run_data(project)
    table.loc[[3, 5, 8], "price"] = 1e9
    table.loc[[2], "colour"] = "mauve"
    table.loc[[9], "size"] = np.nan
    project = place(table)
    with pytest.raises(UserError) as caught:
        run_data(project)
    message = str(caught.value)
    assert "has 3 violations" in message and "`ingest --infer`" in message
    assert "column 'price', row 4: 1000000000 is above" in message
    assert "(3 rows: 4, 6, 9)" in message
    assert "column 'colour', row 3: 'mauve' is none of blue, green, red" in message
    assert "column 'size', row 10" in message


def test_a_mostly_number_column_can_be_declared_text_or_cleaned(place: Any) -> None:
    text = GOOD.replace("\n7.5", "\n?")
    run_data(place(text, data={"missing": "?"}))
    project = place(text, data={"text": "x"})
    run_data(project)
    assert schema.load_schema(project).column("x").type == "string"


# --------------------------------------------------------------------------------------- sources


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a/b.csv", ("file", "a/b.csv")),
        (r"C:\data\b.csv", ("file", r"C:\data\b.csv")),
        ("sample", ("sample", "")),
        ("sample:10:3", ("sample", "10:3")),
        ("sklearn:iris", ("sklearn", "iris")),
        ("https://h/x.csv", ("https", "https://h/x.csv")),
        ("postgresql+psycopg://u:p@h/d", ("postgresql", "postgresql+psycopg://u:p@h/d")),
        ("s3://bucket/x.parquet", ("s3", "s3://bucket/x.parquet")),
    ],
)
def test_a_source_is_parsed_by_its_scheme(source: str, expected: tuple[str, str]) -> None:
    assert parse_source(source) == expected


@pytest.mark.parametrize("suffix", [".parquet", ".tsv", ".jsonl", ".xlsx", ".csv.gz"])
def test_the_same_table_in_another_format_splits_the_same(suffix: str, place: Any) -> None:
    table = mixed_table().round({"price": 3})
    first = members_of(place(table, "t.csv"))
    assert members_of(place(table, f"u{suffix}")) == first


def members_of(project: Any) -> dict[str, set[Any]]:
    """Run and return the keys in each split."""
    run_data(project)
    return members(project)


def test_missing_values_spelt_differently_split_the_same(place: Any) -> None:
    table = mixed_table()
    table["price"] = table["price"].mask(table.index % 7 == 0)
    table["colour"] = table["colour"].mask(table.index % 5 == 0)
    first = members_of(place(table.to_csv(index=False, na_rep="")))
    assert members_of(place(table.to_csv(index=False, na_rep="NA"), "u.csv")) == first
    assert members_of(place(table, "v.parquet")) == first


def test_sql_reads_a_query_and_never_writes_credentials(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = mixed_table()
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        table.to_sql("orders", connection, index=False)
    query = "SELECT key, price, colour, label FROM orders WHERE size > 0 AND '12:30' < '2'"
    monkeypatch.setenv("SHOP_DB", "sqlite:///shop.db?password=hunter2")
    data = {"source": "env:SHOP_DB", "query": query, "id": "key"}
    project = place("", data=data)
    monkeypatch.setenv("SHOP_DB", "sqlite:///shop.db")
    run_data(project)
    assert sum(len(keys) for keys in members(project).values()) == ROWS
    assert (project.original / "shop.parquet").exists()
    with pytest.raises(UserError, match="no such table") as caught:
        ingest.ingest(project, load_settings(project, ["data.query=SELECT * FROM nowhere"]))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(UserError, match="query has to hold"):
        ingest.ingest(project, load_settings(project, ["data.query="]))
    with pytest.raises(UserError, match="does not exist"):
        ingest.ingest(project, load_settings(project, ["data.source=sqlite:///none.db"]))
    assert not (tmp_path / "none.db").exists()


def test_credentials_are_written_nowhere(place: Any, tmp_path: Path) -> None:
    url = "postgresql://me:hunter2@127.0.0.1:1/shop"
    project = place("", data={"source": url, "query": "SELECT 1"})
    with pytest.raises(UserError) as caught:
        ingest.ingest(project, load_settings(project))
    assert "hunter2" not in str(caught.value)
    assert not any(b"hunter2" in content for content in everything(tmp_path).values())


class _Guarded(http.server.SimpleHTTPRequestHandler):
    """Serves a folder to those who know the password."""

    def do_GET(self) -> None:
        pair = base64.b64encode(b"me:s%cret").decode()
        if self.headers.get("Authorization") == f"Basic {pair}":
            super().do_GET()
        else:
            self.send_error(401)

    def log_message(self, *values: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """A server on loopback that serves tmp_path/served."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(_Guarded, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield httpd.server_port
        httpd.shutdown()


def test_http_downloads_with_basic_auth(place: Any, server: int, tmp_path: Path) -> None:
    mixed_table().to_csv(tmp_path / "served" / "far.csv", index=False)
    project = place("", data={"source": f"http://me:s%25cret@127.0.0.1:{server}/far.csv"})
    run_data(project)
    original = project.original / "far.csv"
    assert original.read_bytes() == (tmp_path / "served" / "far.csv").read_bytes()
    assert not any(b"s%25cret" in content for content in everything(project.data).values())
    wrong = f"data.source=http://127.0.0.1:{server}/far.csv"
    with pytest.raises(UserError, match="answers 401"):
        ingest.ingest(project, load_settings(project, [wrong]))
    with pytest.raises(UserError, match="cannot be reached"):
        ingest.ingest(project, load_settings(project, ["data.source=http://127.0.0.1:9/x.csv"]))


def test_a_bucket_is_read_by_fsspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")

    with fsspec.open("memory://bucket/far.csv", "wb") as file:
        file.write(GOOD.encode())
    fetched = sources.fetch_bucket("memory://bucket/far.csv", tmp_path, DataSettings())
    assert fetched.read_text(encoding="utf-8") == GOOD
    with pytest.raises(UserError, match="does not exist"):
        sources.fetch_bucket("memory://bucket/near.csv", tmp_path, DataSettings())
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(UserError, match="needs the package gcsfs"):
        sources.fetch_bucket("gs://bucket/far.csv", tmp_path, DataSettings())


def test_a_source_of_the_team_is_found(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch_warehouse(location: str, folder: Path, data: DataSettings) -> Path:
        path: Path = sources.save_table(mixed_table(60), folder, location)
        return path

    monkeypatch.setattr(custom, "fetch_warehouse", fetch_warehouse, raising=False)
    monkeypatch.setitem(registry.SOURCES, "warehouse", ".custom:fetch_warehouse")
    project = place("", data={"source": "warehouse:sales"})
    run_data(project)
    assert (project.original / "sales.parquet").exists()


@pytest.mark.parametrize(
    ("name", "target", "classes"),
    [("breast_cancer", "diagnosis", ("benign", "malignant")), ("iris", "target", None)],
)
def test_sklearn_targets_are_names(name: str, target: str, classes: Any, place: Any) -> None:
    project = place("", data={"source": f"sklearn:{name}", "target": target})
    run_data(project)
    column = schema.load_schema(project).target
    assert column is not None and column.categories is not None
    assert column.categories == (classes or ("setosa", "versicolor", "virginica"))


def test_the_sample_is_seeded_and_messy() -> None:
    one, two, other = sample_table(500, 3), sample_table(500, 3), sample_table(500, 4)
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(other)
    assert one.duplicated().sum() >= 3
    assert one["income"].isna().any() and one["age"].isna().any()
    early, late = one["income"].iloc[:250].mean(), one["income"].iloc[400:].mean()
    assert late > 1.1 * early


# ------------------------------------------------------------------------------------- originals


def test_an_original_is_kept_and_new_content_sits_beside_it(place: Any) -> None:
    project = place(mixed_table(60))
    run_data(project)
    first = (project.original / "t.csv").read_bytes()
    place(mixed_table(80, seed=1))
    run_data(project)
    names = sorted(path.name for path in project.original.iterdir())
    assert len(names) == 2 and names[0].startswith("t-") and names[1] == "t.csv"
    assert (project.original / "t.csv").read_bytes() == first
    run_data(project)
    assert sorted(path.name for path in project.original.iterdir()) == names


def test_a_reference_copies_nothing_and_notices_changes(place: Any, tmp_path: Path) -> None:
    project = place(mixed_table(60), data={"original": "reference"})
    run_data(project)
    assert not project.original.exists() or not list(project.original.iterdir())
    report = json.loads((project.reports / "ingest.json").read_text(encoding="utf-8"))
    assert report["facts"]["original"]["path"] == "t.csv"
    write_source(mixed_table(60, seed=2), tmp_path / "t.csv")
    with pytest.raises(UserError, match="changed since it was ingested"):
        preprocess(project, load_settings(project))


def test_a_file_put_into_the_originals_by_hand_stays_where_it_is(place: Any) -> None:
    project = place("")
    project.original.mkdir(parents=True)
    write_source(mixed_table(60), project.original / "mine.csv")
    run_data(project, "data.source=data/original/mine.csv")
    assert [path.name for path in project.original.iterdir()] == ["mine.csv"]


# ---------------------------------------------------------------------------------------- schema


def test_types_are_inferred_from_all_rows(place: Any) -> None:
    project = place(mixed_table(), data={"id": "key", "time": "when"})
    run_data(project)
    types = {column.name: column.type for column in schema.load_schema(project).columns}
    assert types == {
        "key": "string", "when": "datetime", "shop": "string", "size": "integer",
        "price": "number", "colour": "category", "member": "boolean", "note": "text",
        "label": "category",
    }  # fmt: skip
    names = [column.name for column in schema.load_schema(project).features]
    assert names == ["shop", "size", "price", "colour", "member", "note"]


@pytest.mark.parametrize(
    ("written", "type", "format"),
    [
        ("2024-03-{day:02d}", "datetime", None),
        ("2024-03-{day:02d}T10:00:00+02:00", "datetime", None),
        ("{day:02d}.03.2024", "datetime", "%d.%m.%Y"),
        ("03/{day:02d}/2024", "datetime", "%m/%d/%Y"),
        ("{day:02d}/03/2024 12:30", "datetime", "%d/%m/%Y %H:%M"),
        ("{day} Mar 2024", "datetime", "%d %b %Y"),
        ("0{day:02d}", "string", None),
        ("part-{day}", "string", None),
    ],
)
def test_dates_are_read_strictly(written: str, type: str, format: str | None, place: Any) -> None:
    rows = [f"{written.format(day=1 + row % 28)},{row},{'ab'[row % 2]}" for row in range(56)]
    project = place("d,x,label\n" + "\n".join(rows) + "\n")
    run_data(project, "features.max_categories=10")
    column = schema.load_schema(project).column("d")
    assert (column.type, column.format) == (type, format)


def test_ambiguous_dates_stay_text_with_a_note(place: Any) -> None:
    rows = [f"{1 + row % 12:02d}/{1 + row % 7:02d}/2024,{'ab'[row % 2]}" for row in range(100)]
    project = place("d,label\n" + "\n".join(rows) + "\n")
    run_data(project)
    assert schema.load_schema(project).column("d").type in ("string", "category")
    text = project.schema_file.read_text(encoding="utf-8")
    assert "# Note: d may be dates written as %m/%d/%Y or %d/%m/%Y" in text


def test_codes_with_leading_zeros_stay_text(place: Any) -> None:
    rows = [f"{row % 50:05d},{row},{'ab'[row % 2]}" for row in range(200)]
    project = place("zip,x,label\n" + "\n".join(rows) + "\n")
    run_data(project)
    assert "00007" in members(project, "zip")["train"]


def test_bounds_are_wider_than_what_was_seen() -> None:
    assert widen(18, 90, whole=True) == (0, 162)
    assert widen(-1.0, 1.0, whole=False) == (-3.0, 3.0)
    assert widen(-5.0, 0.0, whole=False) == (-10.0, 0.0)
    assert widen(7, 7, whole=True) == (0, 14)


def test_an_unedited_schema_follows_a_new_source_and_the_old_one_is_kept(place: Any) -> None:
    project = place(mixed_table())
    run_data(project)
    old = project.schema_file.read_text(encoding="utf-8")
    place(sample_table(300), "other.parquet", data={"target": "churned"})
    run_data(project)
    assert schema.load_schema(project).names[0] == "customer_id"
    assert (project.data / "schema.old.yaml").read_text(encoding="utf-8") == old


def test_an_edited_schema_is_never_replaced_unasked(place: Any) -> None:
    project = place(mixed_table())
    run_data(project)
    edited = project.schema_file.read_text(encoding="utf-8").replace("type: text", "type: string")
    edited += "# Notes are short: Ada\n"
    project.schema_file.write_text(edited, encoding="utf-8")
    run_data(project)
    assert schema.load_schema(project).column("note").type == "string"
    assert project.schema_file.read_text(encoding="utf-8") == edited
    place(sample_table(300), "other.parquet", data={"target": "churned"})
    with pytest.raises(UserError, match="ingest --infer"):
        ingest.ingest(project, load_settings(project))
    assert project.schema_file.read_text(encoding="utf-8") == edited
    ingest.ingest(project, load_settings(project), infer=True)
    assert schema.load_schema(project).target.name == "churned"
    assert (project.data / "schema.old.yaml").read_text(encoding="utf-8") == edited


def test_a_column_that_names_the_rows_is_noted(place: Any) -> None:
    project = place(mixed_table().assign(number=range(ROWS)))
    run_data(project)
    text = project.schema_file.read_text(encoding="utf-8")
    assert "# Note: key differs in every row" in text and "# Note: number differs" in text
    assert "note differs" not in text and "price differs" not in text
    run_data(project, "data.id=key, number")
    assert "# Note" not in project.schema_file.read_text(encoding="utf-8")


def test_roles_follow_the_settings_even_in_an_edited_schema(place: Any) -> None:
    project = place(mixed_table())
    run_data(project)
    edited = project.schema_file.read_text(encoding="utf-8").replace("type: text", "type: string")
    project.schema_file.write_text(edited, encoding="utf-8")
    run_data(project, "data.sensitive=colour", "data.ignore=note")
    columns = schema.load_schema(project)
    assert columns.column("colour").roles == ("sensitive",)
    assert columns.column("note").roles == ("ignore",)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("type: text", "type: novel", "type is 'novel'"),
        ("nullable: false", "nullable: perhaps", "nullable has to be"),
        ("['no', 'yes']", "[no, yes]", "into quotes"),
        ("columns:", "colums:", "no list of columns"),
        ("{name: size", "{name: price", "'price' twice"),
        ("{name: size", "{name: [size", "cannot be read"),
        ("type: text", "type: text, colour: red", "'colour' is unknown"),
    ],
)
def test_a_broken_schema_is_one_sentence(old: str, new: str, expected: str, place: Any) -> None:
    project = place(mixed_table())
    run_data(project)
    text = project.schema_file.read_text(encoding="utf-8")
    assert old in text
    project.schema_file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match="schema.yaml") as caught:
        run_data(project)
    assert expected in str(caught.value)


def test_conform_returns_a_fitting_table_as_it_is(place: Any) -> None:
    project = place(mixed_table())
    run_data(project)
    train = split.load_split(project, "train")
    known = schema.load_schema(project)
    assert cast.conform(train, known, where="t") is train
    assert schema.Schema.from_dict(json.loads(json.dumps(known.to_dict()))) == known


def test_conform_for_prediction_needs_only_features(place: Any) -> None:
    project = place(mixed_table(), data={"id": "key", "time": "when"})
    run_data(project)
    known = schema.load_schema(project)
    frame = split.load_split(project, "test").drop(columns=["label", "when", "key"])
    assert list(cast.conform(frame, known, where="t", target=False)) == list(frame)
    words = frame.assign(size=frame["size"].astype(str), member=frame["member"].map(str))
    typed = cast.conform(words, known, where="t", target=False)
    pd.testing.assert_frame_equal(typed, frame)
    with pytest.raises(UserError, match="column 'size', row 103: 'much' is no number"):
        words.iloc[2, words.columns.get_loc("size")] = "much"
        cast.conform(words, known, where="t", target=False, first_row=101)
    with pytest.raises(UserError, match="column 'extra' is not in the schema"):
        cast.conform(frame.assign(extra=1), known, where="t", target=False)
    assert "extra" not in cast.conform(
        frame.assign(extra=1), known, where="t", target=False, extra="drop"
    )


# ----------------------------------------------------------------------------------------- split


def rule_of(name: str, column: str | None, seed: int = 42, apart: str | None = None) -> split.Rule:
    return split.Rule(name, column, seed, (0.7, 0.15, 0.15), "", apart)


RULES = [
    rule_of("random", None),
    rule_of("stratified", "label"),
    rule_of("group", "shop"),
    rule_of("time", "when"),
    rule_of("time", "when", apart="key"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name + ("-apart" * bool(rule.apart)))
def test_every_engine_and_order_gives_the_same_rows(rule: split.Rule) -> None:
    table = mixed_table(3000)
    table["_row"] = keys.content_keys(table, ["key"]) // 2
    table["_row"] = table["_row"].astype("int64")
    shuffled = table.sample(frac=1, random_state=1)
    frames = [
        nw.from_native(table, eager_only=True),
        nw.from_native(shuffled, eager_only=True),
        nw.from_native(pl.from_pandas(shuffled), eager_only=True),
        nw.from_native(pl.from_pandas(table).lazy()),
    ]
    results = []
    for frame in frames:
        thresholds = split.fit_thresholds(frame, rule)
        placed = split.assign(frame, rule, thresholds)
        native = (placed.collect() if isinstance(placed, nw.LazyFrame) else placed).to_pandas()
        results.append((thresholds, native.set_index("key")["_split"].sort_index().astype("int64")))
    counts = results[0][1].value_counts()
    assert set(counts.index) == {0, 1, 2} and counts[0] > 0.6 * len(table)
    for thresholds, codes in results[1:]:
        assert thresholds == results[0][0]
        pd.testing.assert_series_equal(codes, results[0][1])


def test_the_mixer_is_a_bijection() -> None:
    rows = np.arange(500_000, dtype="int64") * 4099 % split.PRIME
    frame = nw.from_native(pd.DataFrame({"_row": rows}), eager_only=True)
    mixed = split._with_mixed_key(frame, 7).get_column("_bucket").to_numpy()
    assert len(np.unique(mixed)) == len(rows)
    assert mixed.min() >= 0 and mixed.max() < split.PRIME
    assert mixed[:3].tolist() == GOLDEN_MIXED
    hits, _ = np.histogram(mixed, bins=16)
    assert abs(hits / len(rows) - 1 / 16).max() < 0.005


def test_keys_are_the_ones_that_projects_were_split_by() -> None:
    """Should this fail after an upgrade, rows would move between train and test everywhere."""
    table = pd.DataFrame(
        {
            "n": [1.5, -0.0, np.nan],
            "i": [1, 2, 2**60],
            "s": ["a", "é", None],
            "b": [True, False, True],
            "d": np.array(["2024-01-01", "NaT", "2024-01-02T03:04:05.000006"], "datetime64[us]"),
        }
    )
    assert keys.content_keys(table, list(table), keys.BY_COLUMN).tolist() == GOLDEN
    turned = table[table.columns[::-1]]
    assert keys.content_keys(turned, list(turned), keys.BY_COLUMN).tolist() == GOLDEN
    same = table.assign(n=[1.5, 0.0, np.nan], b=[1, 0, 1], s=table["s"].astype(object))
    assert keys.content_keys(same, list(table), keys.BY_COLUMN).tolist() == GOLDEN


GOLDEN = [
    5923915498135561105,
    12767142782077838596,
    1587281005514776615,
]
GOLDEN_MIXED = [1864207384, 1834870431, 959648881]


def test_no_earlier_row_moves_when_the_data_grows(place: Any) -> None:
    table = mixed_table(1200)
    for rule in ("stratified", "random", "group"):
        data = {"group": "shop"} if rule == "group" else {}
        project = place(table.iloc[:1000], data=data, split={"rule": rule})
        ingest.ingest(project, load_settings(project), infer=True)
        preprocess(project, load_settings(project))
        before = members(project)
        place(table, data=data, split={"rule": rule})
        facts = run_data(project)
        after = members(project)
        assert facts["thresholds"] == "kept"
        assert all(before[name] <= after[name] for name in split.SPLITS)
        assert sum(map(len, after.values())) == 1200


def test_kept_thresholds_that_leave_a_split_empty_say_so(place: Any) -> None:
    table = mixed_table()
    run_data(place(table, data={"time": "when"}))
    later = table.assign(when=table["when"] + pd.Timedelta(days=900))
    project = place(later, data={"time": "when"})
    with pytest.raises(UserError, match="train is left empty by the thresholds of the last split"):
        run_data(project)
    assert run_data(project, "split.seed=7")["time_travel"] == 0


def test_another_seed_splits_anew(place: Any) -> None:
    project = place(mixed_table())
    run_data(project)
    before = members(project)
    assert run_data(project, "split.seed=7")["thresholds"] == "fitted"
    assert members(project) != before


def test_an_ignored_column_moves_no_row(place: Any) -> None:
    project = place(mixed_table())
    run_data(project)
    before = members(project)
    run_data(project, "data.ignore=price, note")
    assert members(project) == before


def test_auto_takes_time_then_group_then_classes(place: Any) -> None:
    project = place(mixed_table())
    assert run_data(project)["rule"] == "stratified"
    assert run_data(project, "data.group=shop")["rule"] == "group"
    facts = run_data(project, "data.time=when")
    assert facts["rule"] == "time" and "when" in facts["reason"]
    facts = run_data(project, "data.target=price", "model.task=regression")
    assert facts["rule"] == "random" and set(facts["target"]["train"]) == {"mean", "std"}


def test_groups_stay_together(place: Any) -> None:
    project = place(mixed_table(), data={"group": "shop"})
    facts = run_data(project)
    shops = members(project, "shop")
    assert all(not shops[one] & shops[two] for one, two in itertools.combinations(shops, 2))
    assert facts["overlap_groups"] == 0 and facts["overlap_rows"] == 0


def test_rows_without_a_group_stand_alone(place: Any) -> None:
    table = mixed_table()
    table["shop"] = table["shop"].mask(table.index % 3 == 0)
    facts = run_data(place(table, data={"group": "shop"}))
    assert facts["rows_without_group"] > 100 and facts["overlap_groups"] == 0


def test_time_never_travels_and_ties_stay_together(place: Any) -> None:
    table = mixed_table()
    table["when"] = table["when"].dt.floor("D")
    project = place(table, data={"time": "when"})
    facts = run_data(project)
    days = members(project, "when")
    assert max(days["train"]) < min(days["valid"]) and max(days["valid"]) < min(days["test"])
    assert facts["time_travel"] == 0 and facts["time"]["train"][1] < facts["time"]["valid"][0]


def test_time_with_groups_takes_groups_out_of_the_earlier_split(place: Any) -> None:
    table = mixed_table()
    table["shop"] = [f"shop-{row // 9}" for row in range(len(table))]
    project = place(table, data={"time": "when", "group": "shop"})
    facts = run_data(project)
    assert 0 < facts["purged"] < 20 and facts["overlap_groups"] == 0
    table["shop"] = [f"shop-{row % 5}" for row in range(len(table))]
    place(table, data={"time": "when", "group": "shop"})
    with pytest.raises(UserError, match="train is left empty"):
        run_data(project)


def test_exact_copies_are_dropped_and_twins_leave_the_later_split(place: Any) -> None:
    table = mixed_table(300)
    twins = table.iloc[:100].assign(key=[f"T{number}" for number in range(100)])
    copies = table.iloc[200:250]
    project = place(pd.concat([table, twins, copies]), data={"id": "key"})
    facts = run_data(project)
    assert facts["duplicates_dropped"] == 50
    assert facts["twins_removed"] > 10 and facts["overlap_rows"] == 0
    content = [column for column in table.columns if column != "key"]
    train = split.load_split(project, "train").merge(split.load_split(project, "test"), on=content)
    assert train.empty


def test_copies_that_are_kept_stay_in_one_split(place: Any) -> None:
    table = pd.concat([mixed_table(300)] * 2).drop(columns="key")
    facts = run_data(place(table), "data.duplicates=keep")
    assert sum(facts["rows"].values()) == 600 and facts["overlap_rows"] == 0


def test_a_rare_class_is_learnt_and_said_so(place: Any) -> None:
    table = mixed_table()
    table.loc[:1, "label"] = "perhaps"
    project = place(table)
    facts = run_data(project)
    assert "perhaps" in members(project, "label")["train"]
    assert any("only in train: perhaps" in note for note in facts["notes"])


def test_too_few_rows_of_a_class_is_a_sentence(place: Any) -> None:
    table = mixed_table()
    table["label"] = "no"
    table.loc[0, "label"] = "yes"
    with pytest.raises(UserError, match="class 'yes' has 1 different rows"):
        run_data(place(table))


@pytest.mark.parametrize("rows", [6, 9, 20])
def test_tiny_tables_fill_every_split(rows: int, place: Any) -> None:
    table = mixed_table(rows)
    table["label"] = ["no", "yes"] * (rows // 2) + ["no"] * (rows % 2)
    project = place(table.drop(columns=["colour", "note"]))
    facts = run_data(project)
    assert min(facts["rows"].values()) >= 1
    assert members(project, "label")["train"] == {"no", "yes"}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("split.rule=time", "needs \\[data\\] time"),
        ("split.rule=group", "needs \\[data\\] group"),
    ],
)
def test_a_rule_without_its_column_is_refused(override: str, expected: str, place: Any) -> None:
    with pytest.raises(UserError, match=expected):
        run_data(place(mixed_table()), override)


def test_a_rule_that_would_part_groups_is_refused(place: Any) -> None:
    with pytest.raises(UserError, match="into several splits"):
        run_data(place(mixed_table()), "data.group=shop", "split.rule=random")


# ----------------------------------------------------------------------------- custom.py, atomicity


def test_custom_rules_clean_and_are_checked(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    project = place(mixed_table())
    monkeypatch.setattr(custom, "clean", lambda frame: frame.filter(nw.col("size") > 10))
    facts = run_data(project)
    assert facts["removed_by_custom"] > 0
    assert min(members(project, "size")["train"]) > 10
    wrong = {
        "took away the column 'size'": lambda frame: frame.drop("size"),
        "added the column 'twice'": lambda frame: frame.with_columns(twice=nw.col("size") * 2),
        "left none": lambda frame: frame.filter(nw.col("size") < 0),
        "return the narwhals frame": lambda frame: None,
    }
    for expected, rule in wrong.items():
        monkeypatch.setattr(custom, "clean", rule)
        with pytest.raises(UserError, match=expected):
            preprocess(project, load_settings(project))


def test_cleaning_that_makes_rows_equal_keeps_them_in_one_split(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = place(mixed_table().drop(columns=["key", "when", "note", "price"]))
    monkeypatch.setattr(custom, "clean", lambda frame: frame.with_columns(size=nw.lit(1)))
    facts = run_data(project)
    assert facts["twins_removed"] > 0 and facts["overlap_rows"] == 0


KILLED = """
import contextlib, os, sys
from pathlib import Path
import mlproj.data.original, mlproj.ingest, mlproj.preprocess
from mlproj.core.config import load_settings
from mlproj.core.files import write_atomic
from mlproj.core.project import Project

import mlproj.core.files

def run(folder, dies_at):
    left = dies_at

    @contextlib.contextmanager
    def dying(path):
        nonlocal left
        with write_atomic(path) as temporary:
            yield temporary
            left -= 1
            if left == 0:
                content = temporary.read_bytes()
                temporary.write_bytes(content[: len(content) // 2])
                os._exit(9)

    modules = (mlproj.core.files, mlproj.data.original, mlproj.ingest, mlproj.preprocess)
    for module in modules:
        module.write_atomic = dying
    project = Project(Path(folder))
    settings = load_settings(project)
    mlproj.ingest.ingest(project, settings)
    mlproj.preprocess.preprocess(project, settings)

for at, folder in enumerate(sys.argv[1:], 1):
    child = os.fork()
    if child == 0:
        run(folder, at)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_at_any_write_loses_nothing(
    tmp_path: Path, make_project: Callable[..., Any], package_environment: dict[str, str]
) -> None:
    first = make_project(tmp_path / "0", data={"source": "t.csv", "target": "label"})
    table = mixed_table(120)
    write_source(table.iloc[:80], first.root / "t.csv")
    run_data(first)
    before = {name: split.load_split(first, name) for name in split.SPLITS}
    write_source(table, first.root / "t.csv")
    folders = [shutil.copytree(first.root, tmp_path / str(at)) for at in range(1, 13)]
    command = [sys.executable, "-c", KILLED, *map(str, folders)]
    driven = subprocess.run(command, env=package_environment, capture_output=True, text=True)
    codes = driven.stdout.split()
    writes = codes.index("0")
    # Original, typed, schema report, ingest report, three parts, manifest, split report.
    assert codes == ["9"] * 9 + ["0"] * 3, driven.stderr
    for folder in folders[:writes]:
        project = Project(folder)
        (left,) = folder.rglob(".partial-*")
        os.utime(left, (0, 0))
        if split.load_manifest(project) == split.load_manifest(first):
            for name, frame in before.items():
                pd.testing.assert_frame_equal(split.load_split(project, name), frame)
        else:
            assert sum(len(split.load_split(project, name)) for name in split.SPLITS) == 120
        facts = run_data(project)
        assert sum(facts["rows"].values()) == 120
        assert [path for path in everything(folder) if ".partial" in path] == []
        assert len(list(project.split_folder("train").glob("*.parquet"))) == 1


WRITES = """
import sys
from pathlib import Path
from mlproj.core.files import read_json, write_json

path = Path(sys.argv[1])
for at in range(200):
    write_json(path, [at] * 2_000)
    assert len(read_json(path)) == 2_000
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows replaces no file that is being read")
def test_processes_can_write_the_same_file(
    tmp_path: Path, package_environment: dict[str, str]
) -> None:
    words = [sys.executable, "-c", WRITES, str(tmp_path / "same.json")]
    several = [
        subprocess.Popen(words, env=package_environment, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [each.communicate()[1] for each in several] == [""] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["same.json"]


def test_what_a_kill_left_goes_after_an_hour_and_what_is_being_written_stays(
    tmp_path: Path,
) -> None:
    dead, alive = tmp_path / ".partial-00000000-a.parquet", tmp_path / ".partial-11111111-b.json"
    for path in (dead, alive):
        path.touch()
    (tmp_path / ".partial-export").mkdir()
    os.utime(dead, (0, 0))
    files.write_json(tmp_path / "b.json", 1)
    assert {path.name for path in tmp_path.iterdir()} == {alive.name, ".partial-export", "b.json"}
    with files.write_atomic(tmp_path / "b.json") as temporary:
        assert temporary.name.startswith(".partial-") and temporary.suffix == ".json"
        with files.write_atomic(tmp_path / "b.json") as other:
            other.write_text("2", encoding="utf-8")
        temporary.write_text("3", encoding="utf-8")
    assert files.read_json(tmp_path / "b.json") == 3


def test_copies_are_counted_as_the_source_held_them(place: Any) -> None:
    def counts(project: Any, *overrides: str) -> tuple[int, int]:
        settings = load_settings(project, overrides)
        schema_ = schema.load_schema(project)
        parts = [split.load_split(project, name) for name in split.SPLITS]
        found = [clean.count_copies(project, settings, schema_, part) for part in parts]
        return sum(map(len, found)), sum(int(each.sum()) for each in found)

    table = mixed_table().drop(columns="key")
    copied = pd.concat([table, table.head(50), table.head(10)], ignore_index=True)
    project = place(copied)
    run_data(project)
    assert counts(project) == (len(table), len(copied))
    assert counts(project, "data.duplicates=keep") == (len(table), len(table))
    keyed = mixed_table()
    project = place(pd.concat([keyed, keyed.head(50)], ignore_index=True), data={"id": "key"})
    run_data(project)
    assert counts(project) == (len(keyed), len(keyed))
    project.typed.unlink()
    assert counts(project) == (len(keyed), len(keyed))


def test_reports_prove_the_split(place: Any) -> None:
    project = place(mixed_table(), data={"id": "key"})
    run_data(project)
    report = json.loads((project.reports / "split.json").read_text(encoding="utf-8"))
    facts = report["facts"]
    assert report["stage"] == "preprocess" and facts["overlap_rows"] == 0
    assert report["data"] == split.load_manifest(project)["fingerprint"]
    assert set(facts["files"]) > {"data/manifest.json"}
    for path, size in facts["files"].items():
        assert (project.root / path).stat().st_size == size


def test_a_split_with_a_changed_part_is_refused(place: Any) -> None:
    project = place(mixed_table())
    run_data(project)
    part = next(project.split_folder("valid").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(UserError, match="run `preprocess` again"):
        split.load_split(project, "valid")


# -------------------------------------------------------------------------------- reading, writing


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "jsonl", "xlsx"])
def test_what_is_written_in_pieces_reads_back_equal(suffix: str, tmp_path: Path) -> None:
    table = mixed_table(100)
    table["note"] = [f'said "{row}", then\nleft' for row in range(100)]
    table["price"] = table["price"].mask(table.index % 4 == 0)
    path = tmp_path / f"t.{suffix}"
    with writers.open_writer(path, suffix) as writer:
        for at in range(0, 100, 30):
            writer.write(table.iloc[at : at + 30])
    back = readers.read_table(path)
    assert list(back) == list(table)
    back["when"] = pd.to_datetime(back["when"]).dt.tz_localize(None)
    exact = suffix in ("csv", "tsv", "parquet")
    pd.testing.assert_frame_equal(back, table, check_dtype=False, check_exact=exact)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "xlsx"])
def test_pieces_are_the_whole(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{suffix}"
    write_source(mixed_table(100), path)
    pieces = list(readers.iter_tables(path, 30, columns=["price", "key"]))
    assert [len(piece) for piece in pieces] == [30, 30, 30, 10]
    whole = readers.read_table(path)[["price", "key"]]
    joined = pd.concat(pieces, ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole, check_exact=True)
    with pytest.raises(UserError, match="close to it: 'price'"):
        list(readers.iter_tables(path, 30, columns=["prices"]))


def test_a_european_csv_is_understood(place: Any) -> None:
    rows = [f"{row},{row % 10}5;{'ab'[row % 2]};{row}" for row in range(1, 60)]
    project = place("\ufeffprice;label;n\n" + "\n".join(rows) + "\n")
    run_data(project)
    assert schema.load_schema(project).column("price").type == "number"
    assert (
        1.15
        in members(project, "price")["train"]
        | members(project, "price")["test"]
        | members(project, "price")["valid"]
    )
