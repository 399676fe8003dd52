"""Which columns only name the rows, and which dates may order them."""

from __future__ import annotations

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
    assert "no column to learn from but what may only name or number the rows: x" in file.notes[0]


@pytest.mark.parametrize(("time", "said"), [(None, True), ("when", False)])
def test_dates_are_said_to_be_a_time_that_may_order_the_rows(time: str | None, said: bool) -> None:
    when = pd.date_range("2024-01-01", periods=ROWS, unit="us")
    found, notes = inferred(pd.DataFrame({"when": when}), time=time)
    hints = [note for note in notes if note.startswith("when holds dates; if rows are to be")]
    assert bool(hints) == said and all("set [data] time = when" in note for note in hints)
    assert found.column("when").parts == (None if said else ("month", "weekday", "hour"))
