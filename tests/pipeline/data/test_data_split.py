"""The split: the same rows for every engine and order, kept as the data grows, and proved."""

from __future__ import annotations

import itertools
import json
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from mlproj import custom, ingest
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.data import clean, keys, overlap, schema, split
from mlproj.preprocess import preprocess
from tables import members, mixed_table, run_data

# ---------------------------------------------------------------------------------------- sample


def divide(project: Any, name: str, sizes: list[int]) -> None:
    """Write a split again, in files of so many rows, of row groups of 7."""
    manifest = json.loads(project.manifest_file.read_text(encoding="utf-8"))
    (part,) = manifest["parts"][name]
    table, first, parts = pq.read_table(project.root / part["file"]), 0, []
    for number, rows in enumerate(sizes):
        path = project.split_folder(name) / f"part-divided-{number}.parquet"
        pq.write_table(table.slice(first, rows), path, row_group_size=7)
        first += rows
        size = path.stat().st_size
        parts.append({"file": project.relative(path), "rows": rows, "bytes": size})
    assert first == len(table)
    manifest["parts"][name] = parts
    project.manifest_file.write_text(json.dumps(manifest), encoding="utf-8")


def test_a_sample_is_the_same_however_files_divide_the_rows(place: Any) -> None:
    project = place(mixed_table(200), data={"id": ["key"]})
    run_data(project)
    whole = split.load_split(project, "train")
    sample = split.load_split(project, "train", rows=40, seed=1)
    places = whole.index[whole["key"].isin(sample["key"])]
    assert len(sample) == sample["key"].nunique() == 40
    pd.testing.assert_frame_equal(sample, whole.loc[places].reset_index(drop=True))
    divide(project, "train", [1, 50, 0, len(whole) - 51])
    pd.testing.assert_frame_equal(split.load_split(project, "train"), whole)
    pd.testing.assert_frame_equal(split.load_split(project, "train", rows=40, seed=1), sample)
    assert not split.load_split(project, "train", rows=40, seed=2).equals(sample)
    keys_alone = split.load_split(project, "train", ["key"], rows=40, seed=1)
    pd.testing.assert_frame_equal(keys_alone, sample[["key"]])
    pd.testing.assert_frame_equal(split.load_split(project, "train", rows=len(whole)), whole)


def test_a_sample_favours_no_row_group(place: Any) -> None:
    """Of 400 samples, each row is in about 100; four standard deviations are 35."""
    project = place(mixed_table(120), data={"id": ["key"]})
    run_data(project)
    rows = len(split.load_split(project, "train"))
    divide(project, "train", [10, rows - 10])
    counts: dict[Any, int] = dict.fromkeys(split.load_split(project, "train")["key"], 0)
    for seed in range(400):
        for key in split.load_split(project, "train", ["key"], rows=rows // 4, seed=seed)["key"]:
            counts[key] += 1
    expected = 400 * (rows // 4) / rows
    assert max(abs(count - expected) for count in counts.values()) < 35


# ----------------------------------------------------------------------------------------- split


def rule_of(
    name: str, column: str | None, seed: int = 42, purge_by: str | None = None
) -> split.SplitRule:
    return split.SplitRule(name, column, seed, (0.7, 0.15, 0.15), "", purge_by)


RULES = [
    rule_of("random", None),
    rule_of("stratified", "label"),
    rule_of("group", "shop"),
    rule_of("time", "when"),
    rule_of("time", "when", purge_by="key"),
]


@pytest.mark.parametrize(
    "rule", RULES, ids=lambda rule: rule.name + ("-purged" * bool(rule.purge_by))
)
def test_every_engine_and_order_gives_the_same_rows(rule: split.SplitRule) -> None:
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
    mixed = split._with_mixed_key(split._own_keys(frame), 7).get_column("_bucket").to_numpy()
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


def test_another_seed_splits_again(place: Any) -> None:
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


def test_a_row_without_a_time_is_refused(place: Any) -> None:
    table = mixed_table()
    table.loc[4, "when"] = pd.NaT
    project = place(table, data={"time": "when"})
    with pytest.raises(
        UserError, match=r"time = when is missing in 1 of \d+ rows, first in row 5;"
    ):
        run_data(project)


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


def test_where_equal_rows_are_dropped_those_of_later_splits_are_too(place: Any) -> None:
    table = mixed_table(300)
    equal = table.iloc[:100].assign(key=[f"T{number}" for number in range(100)])
    copies = table.iloc[200:250]
    project = place(pd.concat([table, equal, copies]), data={"id": "key"})
    facts = run_data(project, "data.duplicates=drop")
    assert facts["duplicates_dropped"] == 50
    assert facts["twins_removed"] > 10 and facts["overlap_rows"] == 0
    content = [column for column in table.columns if column != "key"]
    train = split.load_split(project, "train").merge(split.load_split(project, "test"), on=content)
    assert train.empty


def test_the_proof_counts_every_row_of_a_value_in_several_splits() -> None:
    codes = np.array([0, 2, 0, 1, 1, 0])
    assert overlap._count_shared(np.array([7, 7, 8, 9, 9, 7]), codes) == 3
    assert overlap._count_shared(pd.Series(["a", "b", "a", "c", "c", "a"]), codes) == 0
    assert overlap._count_shared(np.array([], dtype="int64"), codes[:0]) == 0


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
    with pytest.raises(UserError, match="class 'yes' has 1 row;"):
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


# -------------------------------------------------------------------------- cleaning, and proofs


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


def test_rows_that_cleaning_makes_equal_leave_later_splits_where_they_are_dropped(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = place(mixed_table().drop(columns=["key", "when", "note", "price"]))
    monkeypatch.setattr(custom, "clean", lambda frame: frame.with_columns(size=nw.lit(1)))
    facts = run_data(project, "data.duplicates=drop")
    assert facts["twins_removed"] > 0 and facts["overlap_rows"] == 0


def test_copies_are_counted_as_the_source_held_them(place: Any) -> None:
    def counts(project: Any, *overrides: str) -> tuple[int, int]:
        settings = load_settings(project, overrides)
        schema_ = schema.load_schema(project)
        parts = [split.load_split(project, name) for name in split.SPLITS]
        found = [clean.count_copies(project, settings, schema_, part) for part in parts]
        return sum(map(len, found)), sum(int(each.sum()) for each in found)

    table = mixed_table().drop(columns="key")
    copied = pd.concat([table, table.head(50), table.head(10)], ignore_index=True)
    project = place(copied, data={"duplicates": "drop"})
    run_data(project)
    assert counts(project) == (len(table), len(copied))
    assert counts(project, "data.duplicates=keep") == (len(table), len(table))
    keyed = mixed_table()
    twice = pd.concat([keyed, keyed.head(50)], ignore_index=True)
    project = place(twice, data={"id": "key", "duplicates": "drop"})
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
