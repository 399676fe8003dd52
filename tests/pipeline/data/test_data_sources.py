"""Where data comes from, and the originals that are kept of it."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlproj import custom, ingest
from mlproj.core import registry
from mlproj.core.config import DataSettings, load_settings
from mlproj.core.errors import UserError
from mlproj.data import schema, sources
from mlproj.data.sample import sample_table
from mlproj.data.sources import parse_source
from mlproj.preprocess import preprocess
from tables import GOOD, ROWS, everything, members, mixed_table, run_data, write_source

# --------------------------------------------------------------------------------------- sources


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a/b.csv", ("file", "a/b.csv")),
        (r"C:\data\b.csv", ("file", r"C:\data\b.csv")),
        ("sample", ("sample", "")),
        ("sample:10:3", ("sample", "10:3")),
        ("example", ("example", "")),
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
    absent = {"missing": "NA"}
    assert members_of(place(table.to_csv(index=False, na_rep="NA"), "u.csv", data=absent)) == first
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
    with pytest.raises(UserError, match="query has 2 columns named 'key'"):
        twice = "data.query=SELECT key, price, key FROM orders"
        ingest.ingest(project, load_settings(project, [twice]))
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


def test_the_example_is_a_real_table_of_every_kind_with_its_licence(place: Any) -> None:
    """It stands for a user's table: numbers, words, missing values, sensitive columns."""
    project = place("", data={"source": "example", "target": "died"})
    run_data(project)
    facts = json.loads((project.root / "reports" / "ingest.json").read_text("utf-8"))["facts"]
    assert (facts["rows"], facts["columns"]) == (1629, 18)
    typed = schema.load_schema(project)
    types = {column.name: column.type for column in typed.columns}
    assert {types["age"], types["height_cm"], types["sex"]} == {"integer", "number", "category"}
    assert typed.column("drinks_at_a_time").nullable and typed.column("family_income").nullable
    assert {"sex", "race", "weight_kg"} <= set(types)
    assert typed.target.positive == "yes"
    source = Path(sources.__file__).with_name("example.csv")
    assert source.stat().st_size <= 250_000
    assert "public domain" in source.with_suffix(".md").read_text("utf-8")
    assert (project.root / "data" / "original" / "example.csv").read_bytes() == source.read_bytes()


def test_of_the_example_no_column_that_was_seen_later_is_an_input(place: Any) -> None:
    project = place("", data={"source": "example", "target": "weight_kg"})
    run_data(project, "model.task=regression")
    columns = [column.name for column in schema.load_schema(project).columns]
    assert "weight_kg" in columns and "died" not in columns and len(columns) == 17
    kept = project.root / "data" / "original" / "example.csv"
    with Path(sources.__file__).with_name("example.csv").open(encoding="utf-8") as lines:
        whole = [line.rstrip("\n").rpartition(",")[0] for line in lines]
    assert kept.read_text(encoding="utf-8").splitlines() == whole
