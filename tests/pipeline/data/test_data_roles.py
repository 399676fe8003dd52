"""Which columns only name the rows, and which dates may order them."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cases import every_case
from mlproj.core.config import Settings
from mlproj.data.infer import infer_schema
from mlproj.data.words import Reading

ROWS = 200
RANDOM = np.random.default_rng(1)
ORDER = RANDOM.permutation(ROWS)
SPARSE = RANDOM.choice(10**8, ROWS, replace=False)
WORDS = pd.Series([str(uuid.UUID(int=int(each))) for each in SPARSE], dtype="str")
FEW = pd.Series(np.where(ORDER < 0.9 * ROWS, WORDS, "other"), dtype="str")


def inferred(frame: pd.DataFrame, **data: Any) -> tuple[Any, list[str]]:
    """Return the schema of a table with the target `label`, and its notes."""
    table = frame.assign(
        label=np.resize(["yes", "no"], len(frame)), other=RANDOM.random(len(frame))
    )
    settings = Settings.model_validate({"data": {"target": "label", **data}})
    file = infer_schema(Reading(table, {}, [], {}), settings)
    return file.schema, list(file.notes)


@every_case(
    ("name", "values", "names_rows"),
    [
        ("x", np.arange(1, ROWS + 1), True),
        ("x", ORDER, True),
        ("x", ORDER + 70_000, True),
        ("x", np.sort(RANDOM.choice(2 * ROWS, ROWS, replace=False)), True),
        ("x", ORDER.astype(float), True),
        ("x", np.append(ORDER, ORDER[:3]), True),
        ("x", np.append(ORDER, ORDER[:50]), False),
        ("x", SPARSE, False),
        ("income", 20_000 + SPARSE // 1_000, False),
        *(
            (name, SPARSE, True)
            for name in ("id", "customerId", "Cust ID", "lfd. Nr.", "row_names")
        ),
        *((name, SPARSE, False) for name in ("paid", "nitrogen", "knowhow", "rowing")),
        ("unnamed_1", SPARSE, True),
        ("unnamed_1", SPARSE / 7, False),
        *((name, ORDER, False) for name in ("year", "rank", "day_of_stay", "created_at")),
        ("x", ORDER + 0.5, False),
        ("x", WORDS, True),
        ("x", FEW, False),
        ("x", WORDS.where(ORDER > 3), False),
        ("x", "It says " + WORDS + " to all of us", False),
        ("x", WORDS[:20], False),
        ("unnamed_1", WORDS[:20], True),
    ],
    ids=lambda case: (
        f"{case[0]}, {case[1][0]} to {case[1][-1 if case[0] else 0]}"
        if isinstance(case[1], np.ndarray)
        else f"{case[0]}, words"
    ),
)
def test_what_only_names_the_rows_is_no_feature(name: str, values: Any, names_rows: bool) -> None:
    found, notes = inferred(pd.DataFrame({name: values}))
    assert (found.column(name) not in found.features) == names_rows
    assert found.column(name).roles == (("ignore", "name") if names_rows else ())
    assert any(f"another value: {name};" in note for note in notes) == names_rows
    kept, notes = inferred(pd.DataFrame({name: values}), keep=(name,))
    assert kept.column(name) in kept.features and not any("left out" in note for note in notes)


def test_whole_measures_stay_features_however_the_table_falls_out() -> None:
    for seed in range(50):
        random = np.random.default_rng(seed)
        rows = int(random.choice([30, 100, 400, 3_000]))
        frame = pd.DataFrame(
            {
                "income": random.lognormal(10.5, 0.5, rows).round(),
                "population": random.lognormal(9, 2, rows).astype(int),
                "grams": random.normal(70_000, 12_000, rows).astype(int),
                "spent": random.integers(0, 10**6, rows),
            }
        )
        found, _ = inferred(frame)
        assert found.having("name") == ()


def test_the_only_column_is_kept_and_that_is_said() -> None:
    table = pd.DataFrame({"x": ORDER, "label": np.resize(["yes", "no"], ROWS)})
    settings = Settings.model_validate({"data": {"target": "label"}})
    file = infer_schema(Reading(table, {}, [], {}), settings)
    assert [column.name for column in file.schema.features] == ["x"]
    said = "no column to learn from but what may only name or number the rows: x"
    assert any(said in note for note in file.notes)


@pytest.mark.parametrize(("time", "said"), [(None, True), ("when", False)])
def test_dates_are_said_to_be_a_time_that_may_order_the_rows(time: str | None, said: bool) -> None:
    when = pd.date_range("2024-01-01", periods=ROWS, unit="us")
    found, notes = inferred(pd.DataFrame({"when": when}), time=time)
    hints = [note for note in notes if note.startswith("when holds dates; if rows are to be")]
    assert bool(hints) == said and all("set [data] time = when" in note for note in hints)
    assert found.column("when").parts == (None if said else ("month", "weekday", "hour"))


MONTHS = np.arange(ROWS) % 12
IN_YEARS = (1949 + np.arange(ROWS) / 12).round(3)


@every_case(
    ("columns", "said"),
    [
        ({"Year": np.sort(ORDER) // 12 + 1949}, "Year holds years; if rows"),
        ({"year": ORDER // 12 + 1949}, "year holds years;"),
        ({"time": IN_YEARS}, "time holds months as parts of years, such as 1949;"),
        ({"x": IN_YEARS[::-1].copy()}, "x holds months as parts of years, such as 1949;"),
        ({"x": 100 * (1949 + ORDER // 12) + 1 + MONTHS}, "x holds months such as 1949"),
        ({"Week": np.arange(ROWS) // 2}, "Week puts the rows in order, and may be the time;"),
        ({"year": ORDER % 2 + 2007}, None),  # two years are groups
        ({"year": ORDER % 12 + 70}, None),
        ({"year": np.where(ORDER, 2000.0 + ORDER % 9, np.nan)}, None),  # a year of something else
        ({"year_built": ORDER // 12 + 1949}, None),
        ({"x": ORDER // 12 + 1949}, None),
        ({"x": np.random.default_rng(2).permutation(IN_YEARS)}, None),
        ({"x": IN_YEARS + 0.04}, None),
        ({"x": 100 * (1949 + ORDER // 12) + 3 + MONTHS}, None),  # a month 14
        ({"Week": ORDER // 2}, None),
        ({"size": np.arange(ROWS) // 2}, None),
        ({"t": np.arange(ROWS) // 50}, None),
    ],
    ids=lambda case: f"{next(iter(case[0]))}, {case[1]}",
)
def test_numbers_that_may_be_the_time_are_said(columns: dict[str, Any], said: str | None) -> None:
    table = pd.DataFrame(columns)
    found, notes = inferred(table)
    hints = [note for note in notes if "[data] time" in note]
    (name,) = columns
    assert [hint.startswith(said or "") for hint in hints] == [True] * bool(said)
    assert all(hint.endswith(f"set [data] time = {name} in conf.cfg") for hint in hints)
    assert found.time is None and "time" not in found.column(name).roles
    for settled in ({"time": name}, {"ignore": (name,)}):
        assert not any("rows are to be" in note for note in inferred(table, **settled)[1])
    random = Settings.model_validate({"data": {"target": "label"}, "split": {"rule": "random"}})
    read = Reading(table.assign(label=np.resize(["yes", "no"], ROWS)), {}, [], {})
    assert not any("[data] time" in note for note in infer_schema(read, random).notes)


def test_years_beside_months_are_to_become_one_date() -> None:
    table = pd.DataFrame({"Month": MONTHS + 1, "Year": ORDER // 12 + 1949})
    said = "Year and Month hold years and months; if rows are to be predicted for later, write them"
    (hint,) = (note for note in inferred(table)[1] if "[data] time" in note)
    assert hint.startswith(said)
    weeks = inferred(table.assign(Month=MONTHS * 5))[1]
    assert any(note.startswith("Year holds years;") for note in weeks)
    dated = table.assign(when=pd.date_range("2024-01-01", periods=ROWS, unit="us"))
    (hint,) = (note for note in inferred(dated)[1] if "[data] time" in note)
    assert hint.startswith("when holds dates;")


TITANIC = pd.DataFrame(
    [
        {"Class": kind, "Sex": sex, "Age": age, "Survived": survived, "Freq": 7 * place % 90}
        for place, (kind, sex, age, survived) in enumerate(
            itertools.product(("1st", "2nd", "3rd", "Crew"), ("m", "f"), (0, 1), ("No", "Yes"))
        )
    ]
)
NAMED = TITANIC.rename(columns={"Freq": "n"})
OFTEN = np.arange(ROWS) % 7


@every_case(
    ("table", "said"),
    [
        (TITANIC, "Freq counts equal rows, since each combination of the other columns"),
        (NAMED.assign(dose=np.tile([0.5, 1.5], 16)), "n counts equal rows, since"),
        (pd.concat([TITANIC, TITANIC]), "Freq may say how much"),  # each is there twice
        (TITANIC.assign(price=np.sqrt(np.arange(32))), "Freq may say how much"),
        (TITANIC.rename(columns={"Freq": "grams"}), None),
        (TITANIC.assign(Freq=TITANIC["Freq"] - 3), None),
        (NAMED.assign(price=np.sqrt(np.arange(32))), None),
        (NAMED.assign(Class=np.arange(32) // 8, Sex=np.arange(32) // 4 % 2), None),  # a grid
        (pd.DataFrame({"count": OFTEN, "Survived": np.resize(["a", "b"], ROWS)}), None),
        (pd.DataFrame({"sample_weight": OFTEN / 7, "Survived": ["a", "b"] * 100}), "sample_weight"),
        (pd.DataFrame({"weight": OFTEN / 7, "Survived": ["a", "b"] * 100}), None),
    ],
    ids=lambda case: f"{[*case[0]]}, {case[1]}",
)
def test_a_column_that_counts_its_row_is_offered_as_weight(
    table: pd.DataFrame, said: str | None
) -> None:
    table = table.reset_index(drop=True)

    def offers(**data: Any) -> list[str]:
        settings = Settings.model_validate({"data": {"target": "Survived", **data}})
        notes = infer_schema(Reading(table, {}, [], {}), settings).notes
        return [note for note in notes if "[data] weight" in note]

    assert [offer.startswith(said or "") for offer in offers()] == [True] * bool(said)
    for offer in offers():
        name = offer.split()[0]
        assert f"set [data] weight = {name} in conf.cfg" in offer
        assert offers(weight=name) == []
