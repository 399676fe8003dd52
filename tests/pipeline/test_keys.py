"""Keys of rows: by value, and the earlier ones of a project that was split by them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj import ingest
from mlproj.bundle.bundle import load_bundle
from mlproj.bundle.champion import read_champion
from mlproj.core import config, pipeline
from mlproj.core.errors import UserError
from mlproj.data import keys, split
from mlproj.data.arrow import read_parquet
from mlproj.data.clean import count_copies
from mlproj.data.schema import load_schema
from mlproj.monitoring import commands, retrain
from mlproj.preprocess import preprocess

EXACT = 2**53


# ------------------------------------------------------------------------------- one value, one key


def hashes(values: Any, dtype: Any = None, version: int = keys.BY_VALUE) -> list[int]:
    """Return the key of each value, in a table of one column."""
    table = pd.DataFrame({"x": pd.Series(values, dtype=dtype)})
    return [int(key) for key in keys.content_keys(table, ["x"], version)]


SMALL = [0, 1, 2, 100]
SIGNED = [-128, -1, 0, 1, 127]
NUMBERS = ("int8", "int16", "int32", "int64", "Int8", "Int32", "Int64", "float32", "float64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64", "UInt8", "UInt64")


@pytest.mark.parametrize("dtype", [*NUMBERS, *UNSIGNED, "Float64", "category", object])
def test_a_small_integer_has_one_key_whatever_holds_it(dtype: Any) -> None:
    assert hashes(SMALL, dtype) == hashes(SMALL, "int64")


@pytest.mark.parametrize("dtype", [*NUMBERS, object])
def test_so_has_a_negative_one(dtype: Any) -> None:
    assert hashes(SIGNED, dtype) == hashes(SIGNED, "int64")


LARGE = [EXACT, EXACT + 1, 2**60, 2**62 + 1, 2**63 - 1]


@pytest.mark.parametrize("dtype", ["Int64", "uint64", "UInt64", "category", object])
def test_a_large_integer_has_one_key_whatever_holds_it(dtype: Any) -> None:
    assert hashes(LARGE, dtype) == hashes(LARGE, "int64")


@pytest.mark.parametrize("dtype", ["UInt64", "category", object])
def test_so_has_one_beyond_int64(dtype: Any) -> None:
    beyond = [2**63, 2**63 + 1, 2**64 - 1]
    assert hashes(beyond, dtype) == hashes(beyond, "uint64")


@pytest.mark.parametrize("dtype", ["bool", "boolean", object])
def test_a_boolean_has_the_key_of_its_number(dtype: Any) -> None:
    assert hashes([True, False], dtype) == hashes([1, 0], "int64")


def test_what_else_a_column_holds_changes_no_key() -> None:
    alone = [hashes([value], object)[0] for value in (*SIGNED, *LARGE, "word", 1.5)]
    assert hashes([*SIGNED, *LARGE], "int64") == alone[:-2]
    assert hashes([*SIGNED, *LARGE, None], "Int64")[:-1] == alone[:-2]
    assert hashes([*SIGNED, *LARGE, "word", 1.5, 2**70], object)[:-1] == alone


AROUND = [power + step for power in (EXACT, 2**60, 2**63, 2**64, 2**70) for step in range(-3, 4)]
# 1.0 and -2.0**62 have the bits of these.
BITS = [int(np.float64(value).view(np.int64)) for value in (1.0, 2.0, EXACT)]
INTEGERS = sorted({*AROUND, *(-value for value in AROUND), *range(-9, 9), *BITS, 2**64 - 2**62})


def test_no_two_integers_share_a_key() -> None:
    assert len(set(hashes(INTEGERS, object))) == len(INTEGERS)
    fit = [value for value in INTEGERS if -(2**63) <= value < 2**63]
    assert hashes(fit, "int64") == hashes(fit, object)
    assert len(set(hashes([*fit, None], "Int64"))) == len(fit) + 1
    above = [value for value in INTEGERS if 0 <= value < 2**64]
    assert len(set(hashes(above, "uint64"))) == len(above)
    assert len(set(hashes([*above, None], "UInt64"))) == len(above) + 1
    # The first version rounded them, which is why there is a second one.
    assert len(set(hashes([*fit, None], "Int64", keys.BY_COLUMN))) < len(fit) + 1


@pytest.mark.parametrize("sign", [1, -1])
def test_one_above_the_limit_is_not_rounded_to_it(sign: int) -> None:
    pair = [sign * EXACT, sign * (EXACT + 1)]
    for dtype in ("int64", "Int64", object):
        assert len(set(hashes(pair, dtype))) == 2
        assert hashes(pair, dtype)[0] == hashes([float(pair[0])], "float64")[0]


def test_a_large_float_is_not_taken_for_one_of_its_integers() -> None:
    assert hashes([2.0**53], "float64") == hashes([EXACT], "int64")
    assert hashes([2.0**60], "float64") != hashes([2**60], "int64")
    # Python takes the two for equal; the order must not decide which of the keys both get.
    one, other = hashes([2**60, 2.0**60], object), hashes([2.0**60, 2**60], object)
    assert one == other[::-1] == hashes([2**60], "int64") + hashes([2.0**60], "float64")


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([EXACT + 1, None], "Int64"),
        ([2**64 - 1, None], "UInt64"),
        ([1.5, None], "float64"),
        ([True, None], "boolean"),
        (["word", None], "str"),
        (["word", None], "category"),
        ([2**70, None], object),
        ([EXACT + 1, float("nan")], object),
        ([True, pd.NA], object),
        (["word", pd.NaT], object),
        ([None, None], object),
    ],
)
def test_what_is_missing_adds_nothing(values: list[Any], dtype: Any) -> None:
    table = pd.DataFrame({"a": [1, 2], "b": pd.Series(values, dtype=dtype)})
    both, without = (keys.content_keys(table, names).tolist() for names in (["a", "b"], ["a"]))
    assert both[1] == without[1]
    assert (both[0] == without[0]) == (values[0] is None)


def test_a_column_without_rows_has_no_keys() -> None:
    for dtype in ("int64", "Int64", "uint64", "float64", "str", "category", object):
        assert hashes([], dtype) == []


def test_both_versions_agree_where_integers_are_small() -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "whole": random.integers(-EXACT + 1, EXACT, 1000),
            "byte": random.integers(-128, 128, 1000).astype("int8"),
            "gaps": pd.Series(random.integers(-9, 9, 1000), dtype="Int64").mask(
                random.random(1000) < 0.2
            ),
            "float": np.where(random.random(1000) < 0.2, np.nan, random.normal(0, 1e30, 1000)),
            "flag": random.random(1000) < 0.5,
            "word": np.array(["a", "é", None])[random.integers(0, 3, 1000)],
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 99, 1000), "h"),
        }
    )
    table["kind"] = table["word"].astype("category")
    for names in (*([name] for name in table), list(table)):
        old, new = (keys.content_keys(table, names, version) for version in keys.VERSIONS)
        assert old.tolist() == new.tolist()


def test_keys_by_value_are_the_ones_that_projects_were_split_by() -> None:
    """Should this fail after an upgrade, rows would move between train and test everywhere."""
    table = pd.DataFrame(
        {
            "n": [1.5, -0.0, np.nan, 2.0**60],
            "i": pd.Series([1, -(2**53), 2**60, None], dtype="Int64"),
            "u": np.array([1, 2**53 + 1, 2**63, 2**64 - 1], dtype="uint64"),
            "s": ["a", "é", None, "1"],
            "o": [True, -(2**63) - 1, "word", 1.5],
            "d": np.array(["2024-01-01", "NaT", "2024-01-02", "2024-01-03"], "datetime64[us]"),
        }
    )
    assert keys.content_keys(table, list(table)).tolist() == GOLDEN
    assert keys.content_keys(table, list(table)[::-1]).tolist() == GOLDEN


# Derived in plain Python from what the module says of version 2.
GOLDEN = [
    6560844122284084194,
    7432572562889773582,
    11135359686467640499,
    5954763240503211787,
]


# ---------------------------------------------------------------------- the split of a project


def customers(rows: int = 600, first: int = 1) -> pd.DataFrame:
    """Return rows with a small whole number as id, which the label follows roughly."""
    random = np.random.default_rng(first)
    age = random.integers(18, 90, rows)
    return pd.DataFrame(
        {
            "key": np.arange(first, first + rows),
            "age": age,
            "spend": random.normal(100, 20, rows).round(2),
            "shop": random.choice(["north", "south"], rows),
            "label": np.where(age + random.normal(0, 10, rows) > 50, "yes", "no"),
        }
    )


def large_ids(rows: int = 600, first: int = 1) -> pd.DataFrame:
    """Return the same with ids that float64 does not hold."""
    table = customers(rows, first)
    return table.assign(key=2**60 + table["key"] * 1_000_003)


Place = Callable[..., Any]


@pytest.fixture
def place(tmp_path: Path, make_project: Any) -> Place:
    """``place(table, folder, data={...})``: a project with `table` as t.csv and t.parquet."""

    def place(table: pd.DataFrame, folder: str = "project", **sections: Any) -> Any:
        data = {"source": "t.csv", "target": "label"} | sections.pop("data", {})
        model = {"candidates": "linear", "folds": 0}
        project = make_project(tmp_path / folder, data=data, model=model, **sections)
        table.to_csv(project.root / "t.csv", index=False)
        table.to_parquet(project.root / "t.parquet", index=False)
        return project

    return place


def run_data(project: Any, *overrides: str, infer: bool = False) -> dict[str, Any]:
    """Run ingest and preprocess, and return the manifest."""
    settings = config.load_settings(project, overrides)
    ingest.ingest(project, settings, infer=infer)
    preprocess(project, settings)
    manifest: dict[str, Any] = split.load_manifest(project)
    return manifest


def places(project: Any) -> dict[Any, str]:
    """Return the split of each row by its column `key`."""
    frames = {name: split.load_split(project, name, ["key"]) for name in split.SPLITS}
    return {key: name for name, frame in frames.items() for key in frame["key"].tolist()}


def typed_keys(project: Any) -> dict[Any, int]:
    """Return the key that ingest gave each row, by its column `key`."""
    typed = read_parquet(project.typed)
    return dict(zip(typed["key"].tolist(), typed[keys.ROW].tolist(), strict=True))


@pytest.fixture
def by_column(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """``by_column(project)``: split it as code did that knew the first version only."""

    def make(project: Any, until: str = "preprocess") -> dict[str, Any]:
        with monkeypatch.context() as patch:
            patch.setattr(split, "NEWEST", keys.BY_COLUMN)
            settings = config.load_settings(project, [])
            pipeline.run(project, settings, until=until, say=lambda text: None)
        for path in (project.manifest_file, project.report_file("ingest")):
            document = json.loads(path.read_text(encoding="utf-8"))
            for holder in (document, document.get("split", {}), document.get("facts", {})):
                holder.pop("keys", None)
            path.write_text(json.dumps(document), encoding="utf-8")
        manifest: dict[str, Any] = split.load_manifest(project)
        return manifest

    return make


DATA = [{}, {"id": "key"}]


@pytest.mark.parametrize("data", DATA, ids=["no id", "id"])
def test_one_large_id_moves_no_other_row(place: Place, data: dict[str, str]) -> None:
    table = customers()
    project = place(table, data=data)
    assert run_data(project)["split"]["keys"] == keys.BY_VALUE
    before, keyed = places(project), typed_keys(project)
    assert len(before) == len(keyed) == len(table)
    odd = table.iloc[:1].assign(key=EXACT + 1, spend=1.25)
    pd.concat([table, odd]).to_csv(project.root / "t.csv", index=False)
    run_data(project, infer=True)  # the schema of before refuses so large a value
    after = places(project)
    assert after.pop(EXACT + 1) in split.SPLITS
    assert after == before
    assert {key: value for key, value in typed_keys(project).items() if key <= EXACT} == keyed


def test_the_first_version_moved_them(place: Place, by_column: Callable[..., Any]) -> None:
    table = customers()
    project = place(table, data={"id": "key"})
    by_column(project)
    before = places(project)
    odd = table.iloc[:1].assign(key=EXACT + 1, spend=1.25)
    pd.concat([table, odd]).to_csv(project.root / "t.csv", index=False)
    run_data(project)
    after = places(project)
    assert sum(after[key] != name for key, name in before.items()) > 100


def test_large_integers_with_gaps_have_keys_of_their_own(place: Place) -> None:
    account = pd.Series(np.arange(600) + EXACT, dtype="Int64")
    table = pd.DataFrame({"account": account, "label": ["yes", "no"] * 300})
    table.loc[599, "account"] = pd.NA
    # Of a CSV, a column of integers with gaps is read as float64.
    project = place(table, data={"source": "t.parquet"})
    run_data(project)
    typed = read_parquet(project.typed)
    assert typed["account"].dtype == "Int64"
    assert typed[keys.ROW].nunique() == 600
    facts = pipeline.require(project, "ingest").facts
    assert facts["keys"] == keys.BY_VALUE and facts["repeated_keys"] == 0
    rows = sum(len(split.load_split(project, name)) for name in split.SPLITS)
    assert rows == 600  # none was taken for the equal of a row in an earlier split


def test_an_earlier_split_keeps_its_keys_while_the_data_grows(
    place: Place, by_column: Callable[..., Any]
) -> None:
    project = place(large_ids(), data={"id": "key"})
    earlier, before = by_column(project), places(project)
    again = run_data(project)
    assert again["split"].pop("keys") == again.pop("keys") == keys.BY_COLUMN
    assert again == earlier
    assert places(project) == before
    pd.concat([large_ids(), large_ids(200, first=601)]).to_csv(project.root / "t.csv", index=False)
    grown = run_data(project)
    assert grown["split"]["keys"] == grown["keys"] == keys.BY_COLUMN
    after = places(project)
    assert len(after) == 800 and before.items() <= after.items()


SPLIT_AGAIN: list[dict[str, Any]] = [
    {"overrides": ["split.seed=7"]},
    {"overrides": ["split.train=0.6", "split.valid=0.25"]},
    {"overrides": ["split.rule=random"]},
    {"refit": True},
]


@pytest.mark.parametrize("change", SPLIT_AGAIN, ids=str)
def test_whoever_splits_the_rows_again_gets_keys_by_value(
    place: Place, by_column: Callable[..., Any], change: dict[str, Any]
) -> None:
    project = place(large_ids(), data={"id": "key"})
    data = by_column(project)["fingerprint"]
    settings = config.load_settings(project, change.get("overrides", ()))
    preprocess(project, settings, refit=change.get("refit", False))
    assert split.load_manifest(project)["fingerprint"] == data
    manifest = split.load_manifest(project)
    assert manifest["split"]["keys"] == keys.BY_VALUE
    rule = split.choose_rule(load_schema(project), settings)
    for code, name in enumerate(split.SPLITS):
        frame = split.load_split(project, name)
        frame[keys.ROW] = keys.row_keys(frame, load_schema(project), keys.BY_VALUE)
        assigned = split.assign(as_narwhals(frame), rule, manifest["split"]["thresholds"])
        assert set(assigned.to_native()[split.SPLIT]) == {code}
    # The data goes by its earlier name, and the rows stay where they are, however often it is read.
    before = places(project)
    ingest.ingest(project, settings)
    preprocess(project, settings)
    assert split.load_manifest(project)["fingerprint"] == manifest["fingerprint"]
    assert split.load_manifest(project)["split"] == manifest["split"]
    assert places(project) == before


def as_narwhals(frame: pd.DataFrame) -> Any:
    """Return a frame as `assign` takes it."""
    import narwhals as nw

    return nw.from_native(frame, eager_only=True)


def test_so_does_whoever_names_another_id(place: Place, by_column: Callable[..., Any]) -> None:
    project = place(large_ids(), data={"id": "key"})
    by_column(project)
    manifest = run_data(project, "data.id=")
    assert (manifest["keys"], manifest["split"]["keys"]) == (keys.BY_COLUMN, keys.BY_VALUE)


def test_another_source_and_a_lost_manifest_start_with_keys_by_value(
    place: Place, by_column: Callable[..., Any]
) -> None:
    project = place(large_ids(), data={"id": "key"})
    by_column(project)
    shutil.copy(project.root / "t.csv", project.root / "u.csv")
    manifest = run_data(project, "data.source=u.csv")
    assert manifest["split"]["keys"] == manifest["keys"] == keys.BY_VALUE
    by_column(place(large_ids(), "lost", data={"id": "key"}))
    project = type(project)(project.root.parent / "lost")
    project.manifest_file.unlink()
    manifest = run_data(project)
    assert manifest["split"]["keys"] == manifest["keys"] == keys.BY_VALUE


def test_copies_are_counted_by_the_keys_that_ingest_gave(
    place: Place, by_column: Callable[..., Any]
) -> None:
    table = pd.concat([large_ids(), large_ids().iloc[:100]])
    project = place(table, data={"duplicates": "drop"})
    by_column(project)
    settings = config.load_settings(project, ["split.seed=7"])
    preprocess(project, settings)  # by value now, while data/typed.parquet stays as it is
    schema = load_schema(project)
    frames = [split.load_split(project, name) for name in split.SPLITS]
    counts = np.concatenate([count_copies(project, settings, schema, each) for each in frames])
    assert sorted(counts) == [1] * 500 + [2] * 100


@pytest.mark.parametrize("version", [3, 0, "two", None])
def test_keys_of_a_later_version_are_refused(place: Place, version: Any) -> None:
    project = place(customers())
    manifest = run_data(project)
    settings = config.load_settings(project, [])
    held: tuple[dict[str, Any], ...] = (manifest["split"], manifest)
    for holder, stage in zip(held, (preprocess, ingest.ingest), strict=True):
        holder["keys"] = version
        project.manifest_file.write_text(json.dumps(manifest), encoding="utf-8")
        with pytest.raises(UserError, match="keys of version .* only 1 and 2; run `make update`"):
            stage(project, settings)


# ------------------------------------------------------------------------------ retrain and monitor


def retrained(project: Any, path: Path) -> Any:
    """Retrain quietly with a file of new rows."""
    settings = config.load_settings(project, [])
    return retrain.retrain(project, settings, data=path, say=lambda text: None)


def test_retrain_and_monitor_work_on_earlier_keys(
    place: Place,
    by_column: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = place(large_ids(), data={"id": "key"}, evaluate={"bootstrap": 200})
    by_column(project, until="evaluate")
    before, champion = places(project), read_champion(project)
    new = tmp_path / "new.csv"
    large_ids(1000, first=601).to_csv(new, index=False)
    monkeypatch.chdir(project.root)
    commands.monitor([], new)
    result = retrained(project, new)
    assert "new since the champion" in result.about
    after = places(project)
    assert before.items() <= after.items() and len(after) == 1600
    assert result.rows == sum(name == "valid" and key not in before for key, name in after.items())
    assert split.load_manifest(project)["split"]["keys"] == keys.BY_COLUMN
    assert read_champion(project) == champion


def test_rows_that_an_earlier_retraining_noted_stay_known(
    place: Place, by_column: Callable[..., Any], tmp_path: Path
) -> None:
    project = place(large_ids(), data={"id": "key"}, evaluate={"bootstrap": 200})
    by_column(project, until="evaluate")
    known, bundle = set(places(project)), load_bundle(project, read_champion(project)["run_id"])
    frames = [split.load_split(project, name) for name in split.SPLITS]
    noted = np.concatenate([keys.row_keys(each, bundle.schema, keys.BY_COLUMN) for each in frames])
    np.save(project.data / f"champion-rows-{bundle.document['data']}.npy", noted)
    new = tmp_path / "new.csv"
    large_ids(1000, first=601).to_csv(new, index=False)
    result = retrained(project, new)
    valid = split.load_split(project, "valid")["key"]
    assert result.rows == len(set(valid) - known)
    assert len(list(project.data.glob("champion-rows-*.npy"))) == 1


# ----------------------------------------------------------------------------- the code of before


@pytest.fixture(scope="module")
def code_before(earlier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the package of the earlier version, as `mlbefore`.

    Its keys went by the largest value of a column.
    """
    folder = tmp_path_factory.mktemp("before")
    shutil.copytree(earlier, folder / "mlbefore")
    return folder


def run_before(code: Path, project: Any, *commands: Sequence[str]) -> None:
    """Run commands of the code before in a project."""
    environment = {**os.environ, "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
    for command in commands:
        subprocess.run(
            [sys.executable, "-m", "mlbefore", *command],
            cwd=project.root,
            env=environment,
            check=True,
            capture_output=True,
        )


def test_a_project_of_the_code_before_goes_on_unchanged(place: Place, code_before: Path) -> None:
    project = place(large_ids(), data={"id": "key"}, evaluate={"bootstrap": 200})
    run_before(code_before, project, ["run", "--until", "evaluate"])
    earlier, before, keyed = split.load_manifest(project), places(project), typed_keys(project)
    assert "keys" not in earlier and "keys" not in earlier["split"]
    champion, opened = project.champion_file.read_bytes(), project.ledger.read_bytes()
    pipeline.run(
        project, config.load_settings(project, []), until="evaluate", say=lambda text: None
    )
    now = split.load_manifest(project)
    assert now["split"].pop("keys") == now.pop("keys") == keys.BY_COLUMN
    assert now.pop("rules") == {"duplicates": "drop"}
    assert now == earlier
    assert places(project) == before and typed_keys(project) == keyed
    assert project.champion_file.read_bytes() == champion
    assert project.ledger.read_bytes() == opened


def test_a_new_project_of_small_integers_is_split_as_by_the_code_before(
    place: Place, code_before: Path
) -> None:
    table = customers()
    table["visits"] = pd.Series(np.arange(600) % 7, dtype="Int64").mask(table.index % 5 == 0)
    for data in DATA:
        name = data.get("id", "none")
        one, other = (place(table, f"{name}-{each}", data=data) for each in ("old", "new"))
        run_before(code_before, one, ["ingest"], ["preprocess"])
        now, earlier = run_data(other), split.load_manifest(one)
        assert now["split"].pop("keys") == now.pop("keys") == keys.BY_VALUE
        assert now["split"].pop("equals") == (split.BY_ID if data else split.SPREAD)
        assert now["split"] == {**earlier["split"], "fingerprint": now["split"]["fingerprint"]}
        # With some missing, whole numbers are integers now, and were numbers: the keys are equal.
        assert typed_keys(other) == typed_keys(one) and places(other) == places(one)
