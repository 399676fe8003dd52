"""Rows: equal people are kept, copies are found, rows without a target are left out, ids repeat."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest
from cases import every_case
from mlproj import custom, ingest
from mlproj.core.config import explain_settings, load_settings
from mlproj.core.errors import UserError
from mlproj.core.pipeline import run
from mlproj.data import keys, overlap, split
from mlproj.preprocess import preprocess
from sklearn import datasets
from tables import mixed_table, run_data, titanic

Place = Callable[..., Any]


def parts(project: Any) -> dict[str, pd.DataFrame]:
    """Return the three splits."""
    return {name: split.load_split(project, name) for name in split.SPLITS}


def written(project: Any) -> list[bytes]:
    """Return the parts of the split, as they stand on the disk."""
    return [path.read_bytes() for path in sorted(project.data.glob("*/part-*.parquet"))]


def said(facts: dict[str, Any], *words: str) -> list[str]:
    """Return the notes on the terminal that hold some words."""
    return [note for note in facts["aloud"] if all(word in note for word in words)]


# --------------------------------------------------------------------------------- equal people


@every_case(("target", "task"), [("survived", "classification"), ("male", "regression")])
def test_equal_people_are_kept_in_the_shares_asked_for(
    target: str, task: str, make_project: Place, tmp_path: Any
) -> None:
    project = make_project(
        tmp_path, data={"source": "t.csv", "target": target}, model={"task": task}
    )
    people = titanic()
    people.to_csv(tmp_path / "t.csv", index=False)
    facts = run_data(project)
    assert sum(facts["rows"].values()) == len(people) == 2201
    shares = [facts["shares"][name] for name in split.SPLITS]
    assert shares == pytest.approx([0.7, 0.15, 0.15], abs=0.003)
    if task == "classification":
        for name in split.SPLITS:
            assert facts["target"][name]["1"] == pytest.approx(711 / 2201, abs=0.003)
    together = pd.concat(parts(project).values()).astype(int)
    assert together.value_counts().sort_index().equals(people.value_counts().sort_index())
    assert (facts["equal_rows"], facts["copies"], facts["overlap_rows"]) == (2177, 0, 0)
    assert said(facts, "2,177 of 2,201 rows (98.91%)", "are kept as different people")
    assert not said(facts, "not as asked for")
    before = written(project)
    people.iloc[::-1].to_csv(tmp_path / "t.csv", index=False)
    run_data(project)
    assert written(project) == before


def test_equal_rows_may_be_dropped_or_kept_together(place: Place) -> None:
    project = place(titanic(), data={"target": "survived"})
    facts = run_data(project, "data.duplicates=drop")
    assert sum(facts["rows"].values()) == 24 and facts["duplicates_dropped"] == 2177
    assert said(facts, "dropped, since they equal another row: 2,177 of 2,201 rows")
    facts = run_data(project, "data.duplicates=together")
    assert facts["thresholds"] == "fitted" and sum(facts["rows"].values()) == 2201
    kinds = [set(part.itertuples(index=False, name=None)) for part in parts(project).values()]
    assert sum(map(len, kinds)) == len(set.union(*kinds)) == 24
    (note,) = said(facts, "train / valid / test are not as asked for (70 / 15 / 15 %)")
    died = [(part["survived"] == "0").sum() for part in parts(project).values()]
    assert f"0: {' / '.join(f'{100 * count / 1490:.3g}' for count in died)} %" in note
    assert said(facts, "kept in the split of those")


def test_people_with_ids_who_are_equal_are_kept_and_an_id_stays_in_one_split(place: Place) -> None:
    people = titanic().assign(person=[f"P{number}" for number in range(2201)])
    project = place(people, data={"target": "survived", "id": "person"})
    facts = run_data(project)
    assert sum(facts["rows"].values()) == 2201 and facts["overlap_rows"] == facts["copies"] == 0
    assert said(facts, "2,177 of 2,201 rows (98.91%) equal others, person apart,")
    facts = run_data(project, "data.duplicates=together")
    kinds = [
        set(part.drop(columns="person").itertuples(index=False, name=None))
        for part in parts(project).values()
    ]
    assert sum(map(len, kinds)) == 24 and sum(facts["rows"].values()) == 2201


def test_rows_that_cleaning_makes_equal_are_kept(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = place(mixed_table().drop(columns=["key", "when", "note", "price", "shop"]))
    monkeypatch.setattr(custom, "clean", lambda frame: frame.with_columns(size=nw.lit(1)))
    facts = run_data(project)
    assert sum(facts["rows"].values()) == 400 and facts["equal_rows"] == 400 - 12
    facts = run_data(project, "data.duplicates=together")
    kinds = [set(part.itertuples(index=False, name=None)) for part in parts(project).values()]
    assert sum(map(len, kinds)) == 12 and facts["overlap_rows"] == facts["twins_removed"] == 0


def test_every_engine_spreads_equal_rows_alike() -> None:
    table = pd.DataFrame({"_row": np.repeat(np.arange(1, 41) * 2**57 + 12345, 50)})
    shuffled = table.sample(frac=1, random_state=3)
    rule = split.SplitRule("random", None, 42, (0.7, 0.15, 0.15), "", equals=split.SPREAD)
    counts = []
    for frame in (
        nw.from_native(table, eager_only=True),
        nw.from_native(shuffled, eager_only=True),
        nw.from_native(pl.from_pandas(shuffled), eager_only=True),
        nw.from_native(pl.from_pandas(table).lazy()),
    ):
        placed = split.assign(frame, rule, split.fit_thresholds(frame, rule))
        native = (placed.collect() if isinstance(placed, nw.LazyFrame) else placed).to_pandas()
        counts.append(native.astype("int64").value_counts().sort_index())
    assert counts[0].groupby("_split").sum().tolist() == [1400, 300, 300]
    for each in counts[1:]:
        pd.testing.assert_series_equal(each, counts[0])
    own = split._spread_keys(nw.from_native(table, eager_only=True)).get_column("_bucket")
    assert own.min() >= 0 and own.n_unique() == len(table)
    firsts = own.to_numpy()[::50]
    assert firsts.tolist() == table["_row"].unique().tolist()  # number 0: the key itself


def test_equal_rows_that_come_later_move_none(place: Place) -> None:
    people = titanic()
    project = place(people.iloc[:1500], data={"target": "survived"})
    run_data(project)
    before = {name: part.value_counts() for name, part in parts(project).items()}
    place(people, data={"target": "survived"})
    facts = run_data(project)
    assert facts["thresholds"] == "kept" and sum(facts["rows"].values()) == 2201
    for name, part in parts(project).items():
        now = part.value_counts()
        assert (now.reindex(before[name].index, fill_value=0) >= before[name]).all(), name


# ---------------------------------------------------------------------------------------- copies


def continuous(rows: int, random: np.random.Generator) -> pd.DataFrame:
    """A measurement with six decimals, and a small number."""
    return pd.DataFrame({"a": random.normal(size=rows).round(6), "b": random.integers(0, 5, rows)})


def many_counts(rows: int, random: np.random.Generator) -> pd.DataFrame:
    """Six numbers of which each has a hundred values."""
    return pd.DataFrame({f"c{at}": random.integers(0, 100, rows) for at in range(6)})


def answers(rows: int, random: np.random.Generator) -> pd.DataFrame:
    """Six questions, yes or no."""
    return pd.DataFrame({f"c{at}": random.integers(0, 2, rows) for at in range(6)})


def rare_flags(rows: int, random: np.random.Generator) -> pd.DataFrame:
    """Three flags that are hardly ever up."""
    return pd.DataFrame({f"c{at}": random.random(rows) < 0.02 for at in range(3)})


def one_feature(rows: int, random: np.random.Generator) -> pd.DataFrame:
    """One measurement with two decimals."""
    return pd.DataFrame({"x": random.normal(size=rows).round(2)})


def articles(rows: int, random: np.random.Generator) -> pd.DataFrame:
    """What was shown to a customer: 300 articles, each with its price, size and brand."""
    article = random.integers(0, 300, rows)
    return pd.DataFrame(
        {"price": 10 + article % 97 / 10, "size": article % 7, "brand": article % 11}
    )


def flowers(rows: int, random: np.random.Generator) -> pd.DataFrame:
    """The iris data, which has an equal pair."""
    table: pd.DataFrame = datasets.load_iris(as_frame=True).data
    return table


def is_copied(table: pd.DataFrame) -> bool:
    """Tell whether equal rows of a table are taken for copies."""
    names = [*table.columns]
    return bool(overlap._is_beyond_chance(table, keys.content_keys(table, names), names))


def with_label(table: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Add the column to predict, of which one in ten is up."""
    return table.assign(label=np.where(random.random(len(table)) < 0.1, "yes", "no"))


MAKERS = [continuous, many_counts, answers, rare_flags, one_feature, articles, flowers]


@every_case("make", MAKERS, ids=lambda make: make.__name__)
def test_people_who_are_equal_by_chance_are_not_copies(make: Any) -> None:
    for seed in range(10):
        random = np.random.default_rng(seed)
        assert not is_copied(with_label(make(1000, random), random)), seed


def test_rows_of_rare_events_are_not_copies() -> None:
    """Nearly all rows are equal, and hardly any differ in one thing: as independent flags do."""
    for seed in range(10):
        random = np.random.default_rng(seed)
        flags = {f"c{at}": random.random(1000) < 0.005 for at in range(4)}
        assert not is_copied(pd.DataFrame(flags)), seed


@every_case("make", [continuous, many_counts], ids=lambda make: make.__name__)
def test_copies_are_found(make: Any) -> None:
    for seed in range(10):
        random = np.random.default_rng(seed)
        table = with_label(make(1000, random), random)
        assert is_copied(pd.concat([table, table.head(10)], ignore_index=True)), seed


def test_copies_are_found_in_a_sample_of_a_large_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "CELLS", 8_000)
    random = np.random.default_rng(5)
    table = with_label(many_counts(20_000, random), random)
    assert is_copied(pd.concat([table, table.head(500)], ignore_index=True))
    people = titanic()
    assert not is_copied(pd.concat([people] * 3, ignore_index=True).sample(5000, random_state=1))


def test_copies_are_said_with_their_share_and_count_as_an_overlap(place: Place) -> None:
    table = with_label(many_counts(1000, np.random.default_rng(0)), np.random.default_rng(1))
    project = place(pd.concat([table, table.head(50)], ignore_index=True))
    facts = run_data(project)
    assert facts["copies"] == facts["equal_rows"] == 50 and facts["overlap_rows"] > 10
    assert said(facts, "almost certainly copies: 50 of 1,050 rows (4.76%)", "duplicates = drop")
    placed = pd.concat([part.assign(split=name) for name, part in parts(project).items()])
    splits = placed.groupby([*table.columns])["split"].transform("nunique")
    assert facts["overlap_rows"] == (splits > 1).sum()
    for choice in ("drop", "together"):
        facts = run_data(project, f"data.duplicates={choice}")
        assert facts["overlap_rows"] == 0, choice


def test_copies_with_their_id_are_said(place: Place) -> None:
    people = titanic().assign(person=[f"P{number}" for number in range(2201)])
    table = pd.concat([people, people.head(30)], ignore_index=True)
    facts = run_data(place(table, data={"target": "survived", "id": "person"}))
    assert (facts["copies"], facts["equal_rows"], facts["overlap_rows"]) == (30, 2207, 0)
    assert said(facts, "copies: 30 of 2,231 rows", "person among them")


# -------------------------------------------------------------------------------- missing targets


@every_case(("target", "task"), [("label", "classification"), ("size", "regression")])
def test_rows_without_a_target_are_left_out_and_counted(
    target: str, task: str, make_project: Place, tmp_path: Any
) -> None:
    project = make_project(
        tmp_path, data={"source": "t.csv", "target": target}, model={"task": task}
    )
    table = mixed_table()
    table[target] = table[target].astype(object).where(table.index % 5 != 0, None)
    table.to_csv(tmp_path / "t.csv", index=False)
    facts = run_data(project)
    assert facts["without_target"] == 80 and sum(facts["rows"].values()) == 320
    assert facts["summary"].endswith("80 without a target left out")
    assert said(facts, "80 of 400 rows (20.00%)")
    plain = mixed_table()[target].dtype
    for name, part in parts(project).items():
        assert part[target].dtype == plain and not part[target].isna().any(), name
    with pytest.raises(UserError, match="is missing in 80 of 400 rows; .*target_missing = drop"):
        run_data(project, "data.target_missing=refuse")


def test_above_half_it_asks(place: Place) -> None:
    table = mixed_table(200)
    table["label"] = table["label"].where(table.index % 5 < 2)
    project = place(table)
    with pytest.raises(UserError, match="label is missing in 120 of 200 rows; .* = drop"):
        run_data(project)
    assert run_data(project, "data.target_missing=drop")["without_target"] == 120
    table["label"] = None
    (project.root / "t.csv").write_text(table.to_csv(index=False), encoding="utf-8")
    with pytest.raises(UserError, match="label has no value in any of 200 rows; fill it, or name"):
        run_data(project, "data.target_missing=drop")


def test_rows_that_are_appended_may_lack_the_target(place: Place) -> None:
    table = mixed_table()
    project = place(table.iloc[:300])
    run_data(project)
    later = table.iloc[300:].assign(label=None)
    later.to_csv(project.root / "later.csv", index=False)
    facts = run_data(project, "data.append=later.csv")
    assert facts["without_target"] == 100 and sum(facts["rows"].values()) == 300


def test_the_team_cleans_before_its_result_is_judged(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = mixed_table()
    table["label"] = table["label"].where(table.index % 5 < 2)
    table.loc[7, "key"] = None
    project = place(table, data={"id": "key"})
    with pytest.raises(UserError, match="label is missing in 240 of 400 rows"):
        run_data(project)

    def fill(frame: Any) -> Any:
        return frame.filter(~nw.col("key").is_null()).with_columns(nw.col("label").fill_null("no"))

    monkeypatch.setattr(custom, "clean", fill)
    facts = run_data(project)
    assert facts["without_target"] == 0 and sum(facts["rows"].values()) == 399
    monkeypatch.setattr(custom, "clean", lambda frame: frame.filter(nw.col("size") > 10))
    with pytest.raises(UserError, match="label is missing in"):
        run_data(project)


# ------------------------------------------------------------------------------------ roles of rows


def visits() -> pd.DataFrame:
    """Three visits of each of a hundred patients."""
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "patient": np.repeat(np.arange(100), 3),
            "x": random.random(300).round(4),
            "y": random.choice(["a", "b"], 300),
        }
    )


def test_an_id_that_repeats_is_a_group(place: Place) -> None:
    project = place(visits(), data={"target": "y", "id": "patient"})
    with pytest.raises(UserError, match=r"id = patient has .* set `group = patient`"):
        run_data(project)
    facts = run_data(project, "data.target=x", "model.task=regression")
    assert said(facts, "200 of 300 rows (66.67%) repeat an id (patient)", "[data] group")
    project = place(visits(), data={"target": "y", "group": "patient"})
    assert run_data(project)["overlap_groups"] == 0


def one_class_of(rows: int, word: str) -> pd.DataFrame:
    """A table of 400 rows, in which so many have a class of their own."""
    table = mixed_table()
    table.loc[: rows - 1, "label"] = word
    return table


@every_case(
    ("change", "data", "expected"),
    [
        ({"shop": [f"s{at}" for at in range(400)]}, {"group": "shop"}, "shop differs in every row"),
        ({"when": "2024-01-01"}, {"time": "when"}, "time = when is the same in all"),
        (
            {"key": [None] + [f"k{at}" for at in range(399)]},
            {"id": "key"},
            "id = key is missing in 1 of 400 rows, first in row 1; .*, or drop them in clean",
        ),
        ({"label": ["yes"] + ["no"] * 399}, {}, "the class 'yes' has 1 row; each of two classes"),
    ],
    ids=lambda case: case[2],
)
def test_roles_that_cannot_be_are_a_sentence(
    change: dict[str, Any], data: dict[str, str], expected: str, make_project: Place, tmp_path: Any
) -> None:
    project = make_project(tmp_path, data={"source": "t.csv", "target": "label", **data})
    mixed_table().assign(**change).to_csv(tmp_path / "t.csv", index=False)
    ingest.ingest(project, load_settings(project))
    with pytest.raises(UserError, match=expected) as caught:
        preprocess(project, load_settings(project))
    assert str(caught.value).count(". ") == 0 and not project.manifest_file.exists()


def test_one_row_of_a_class_is_learnt_and_said(place: Place) -> None:
    facts = run_data(place(one_class_of(1, "perhaps")))
    assert said(facts, "too rare for valid and test, so only in train: perhaps")


# ------------------------------------------------------------------------------ earlier projects


def as_earlier(project: Any, *overrides: str) -> dict[str, Any]:
    """Split as a version did that had no rules in the manifest; return that manifest."""
    run_data(project, *overrides)
    manifest: dict[str, Any] = split.load_manifest(project)
    del manifest["rules"]
    manifest["split"].pop("equals", None)
    project.manifest_file.write_text(json.dumps(manifest), encoding="utf-8")
    return manifest


def test_an_earlier_project_goes_on_dropping_until_it_infers(place: Place) -> None:
    project = place(titanic(), data={"target": "survived"})
    earlier = as_earlier(project, "data.duplicates=drop")
    shown = {each.key: each for each in explain_settings(project)}
    assert (shown["duplicates"].value, shown["duplicates"].origin) == ("drop", "data/manifest.json")
    facts = run_data(project)
    now = split.load_manifest(project)
    assert now["rules"] == {"duplicates": "drop"}
    assert {key: now[key] for key in earlier} == earlier
    assert said(facts, "duplicates = drop, by which", "`ingest --infer` takes", "default, keep")
    assert not said(run_data(project), "by which this project")  # it is said once
    asked = run_data(project, "data.duplicates=keep")
    assert sum(asked["rows"].values()) == 2201
    run_data(project)
    ingest.ingest(project, load_settings(project), infer=True)
    assert split.load_manifest(project)["rules"] == {"duplicates": "keep"}
    facts = run_data(project)
    assert sum(facts["rows"].values()) == 2201 and facts["shares"]["valid"] > 0.14
    again = split.load_manifest(project)["split"]
    ingest.ingest(project, load_settings(project), infer=True)
    run_data(project)
    assert split.load_manifest(project)["split"] == again


def test_an_earlier_project_that_kept_equal_rows_keeps_them_in_one_split(place: Place) -> None:
    project = place(titanic(), data={"target": "survived", "duplicates": "keep"})
    earlier = as_earlier(project, "data.duplicates=together")
    facts = run_data(project)
    assert facts["thresholds"] == "kept" and said(facts, "equal rows stay in one split, as before")
    assert split.load_manifest(project)["split"]["fingerprint"] == earlier["split"]["fingerprint"]
    assert said(run_data(project), "as before")
    ingest.ingest(project, load_settings(project), infer=True)
    facts = run_data(project)
    assert facts["shares"]["valid"] > 0.14 and not said(facts, "as before")


def test_a_table_without_equal_rows_is_split_alike_by_every_choice(place: Place) -> None:
    found = set()
    for choice in ("keep", "drop", "together"):
        project = place(mixed_table(), data={"duplicates": choice})
        project.manifest_file.unlink(missing_ok=True)
        run_data(project)
        found.add(split.load_manifest(project)["split"]["fingerprint"])
    assert len(found) == 1


def test_what_is_left_out_is_printed_by_run_and_stands_in_the_report(place: Place) -> None:
    table = titanic().astype({"survived": object})
    table.loc[:99, "survived"] = None
    project = place(table, data={"target": "survived"})
    lines: list[str] = []
    run(project, load_settings(project), until="preprocess", say=lines.append)
    printed = "\n".join(lines)
    assert "100 without a target left out" in printed
    assert "- left out, since the target is missing: 100 of 2,201 rows (4.54%)" in printed
    assert "equal others in every column and are kept" in printed
