"""Comparing two tables and explaining a row, in a project without monitoring or a service."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj.data.schema import Column
from mlproj.evaluation.drift import compare_features, judge
from mlproj.evaluation.explain import explain_row
from mlproj.evaluation.reference import describe

COLUMNS = (
    Column("size", "number", True),
    Column("visits", "integer", False),
    Column("plan", "category", False, categories=("basic", "plus")),
    Column("town", "string", False),
    Column("note", "text", False),
    Column("since", "datetime", False),
)


def table(rows: int, seed: int, start: str = "2024-01-01") -> pd.DataFrame:
    """Return rows of every type, all drawn alike; only their dates begin at `start`."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "size": random.normal(size=rows),
            "visits": random.integers(0, 20, rows),
            "plan": random.choice(["basic", "plus"], rows),
            "town": random.choice([f"town {at}" for at in range(40)], rows),
            "note": ["a" * length for length in random.integers(5, 50, rows)],
            "since": pd.Timestamp(start) + pd.to_timedelta(random.integers(0, 90, rows), "D"),
        }
    )
    frame.loc[random.uniform(size=rows) < 0.1, "size"] = np.nan
    return frame


def compared(before: pd.DataFrame, now: pd.DataFrame) -> dict[tuple[str, str], Any]:
    """Describe one table, hold the other against it, and return the findings by what they say."""
    known = {each.name: describe(before[each.name], each) for each in COLUMNS}
    reference = {"sampled": len(before), "features": known}
    findings = compare_features(now, reference, COLUMNS, psi=0.1, missing=0.05)
    return {(each.about, each.name): each for each in judge(findings, 0.01)}


def test_tables_drawn_alike_differ_in_nothing_but_their_dates() -> None:
    found = compared(table(3000, 0), table(2000, 1, start="2025-01-01"))
    assert {key for key, each in found.items() if each.found} == set()
    dates = found["feature", "since"]
    assert dates.p is None
    assert dates.size > 1
    assert {key for key in found if key[0] == "feature"} == {("feature", c.name) for c in COLUMNS}
    assert ("missing", "size") in found


def test_what_was_shifted_is_found_and_nothing_else() -> None:
    now = table(2000, 1)
    now["size"] += 1.0
    now.loc[:800, "plan"] = "plus"
    now.loc[::4, "size"] = np.nan
    found = compared(table(3000, 0), now)
    assert {key for key, each in found.items() if each.found} == {
        ("feature", "size"),
        ("feature", "plan"),
        ("missing", "size"),
    }


def test_a_column_that_is_not_there_is_left_out() -> None:
    found = compared(table(300, 0), table(300, 1).drop(columns="plan"))
    assert ("feature", "plan") not in found
    assert ("feature", "visits") in found


# --------------------------------------------------------------------------------- one row


WEIGHTS = np.array([2.0, -1.0, 0.5])


def heights(rows: list[tuple[Any, ...]]) -> Any:
    """Return the values of a linear model."""
    return np.array(rows, dtype=float) @ WEIGHTS


def shares(rows: list[tuple[Any, ...]]) -> Any:
    """Return probabilities of two classes."""
    second = 1 / (1 + np.exp(-heights(rows)))
    return np.column_stack([1 - second, second])


def test_the_columns_of_a_linear_model_explain_its_value_exactly() -> None:
    given, usual = (1.0, 2.0, 3.0), (0.5, 0.0, 3.0)
    found = explain_row(given, usual, heights)
    assert found.at is None
    assert found.score == pytest.approx(1.5)
    assert found.changes == pytest.approx([1.0, -2.0, 0.0])
    assert found.score - sum(found.changes) == pytest.approx(heights([usual])[0])


def test_the_probability_of_the_chosen_class_is_explained() -> None:
    given, usual = [1.0, 2.0, 3.0], [0.0, 2.0, 3.0]
    found = explain_row(given, usual, shares, lambda outputs: int(outputs[0].argmax()))
    assert found.at == 1
    assert found.outputs.shape == (1, 2)
    expected = shares([(1, 2, 3)])[0, 1] - shares([(0, 2, 3)])[0, 1]
    assert found.changes == pytest.approx([expected, 0.0, 0.0])
    other = explain_row(given, usual, shares, lambda outputs: 0)
    assert other.changes == pytest.approx([-expected, 0.0, 0.0])


def test_both_stand_without_monitoring_and_serving(
    tmp_path: Path, package_environment: dict[str, str]
) -> None:
    package = tmp_path / "mlproj"
    ignored = shutil.ignore_patterns("monitoring", "serving", "__pycache__")
    shutil.copytree(Path(package_environment["PYTHONPATH"]) / "mlproj", package, ignore=ignored)
    code = (
        "import sys, mlproj.evaluation.drift, mlproj.evaluation.explain\n"
        "print(sorted(name for name in sys.modules if name.startswith('mlproj.bundle')))"
    )
    environment = {**package_environment, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
