"""Tables with thousands of columns: costs grow about as the columns do, and nothing warns.

Processor seconds of two sizes are compared in one process, with a wide margin: four times the
columns take four times as long where a step is linear, and 16 times where it is quadratic.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mlproj.bundle.bundle import Bundle, load_bundle
from mlproj.bundle.onnx import export
from mlproj.core import pipeline, registry
from mlproj.core.config import load_settings
from mlproj.core.project import Project
from mlproj.data import cast
from mlproj.data import numbers as written
from mlproj.data.arrow import arrow_to_pandas
from mlproj.data.schema import Column, Schema, require_columns
from mlproj.data.split import load_split
from mlproj.evaluation import diagnostics

FEW, MANY = 2_000, 8_000
# Between linear, 4, and quadratic, 16.
MOST = 9


def seconds(work: Callable[[], Any]) -> float:
    """Return the least processor time of five calls."""
    taken = []
    gc.disable()  # which looks at all that there is the more often, the more there is
    try:
        for _ in range(5):
            began = time.process_time()
            work()
            taken.append(time.process_time() - began)
    finally:
        gc.enable()
    return min(taken)


def numbers(columns: int, rows: int = 20) -> pd.DataFrame:
    """Columns of random numbers."""
    values = np.random.default_rng(0).normal(size=(rows, columns))
    return pd.DataFrame(values, columns=[f"a rather long name {at}" for at in range(columns)])


def read(frame: pd.DataFrame) -> Callable[[], Any]:
    table = pa.Table.from_pandas(frame)
    return lambda: arrow_to_pandas(table, "table")


def schema_of(frame: pd.DataFrame) -> Schema:
    return Schema(tuple(Column(name, "number", False) for name in frame.columns), "table")


def typed(frame: pd.DataFrame) -> Callable[[], Any]:
    schema = schema_of(frame)
    return lambda: cast.conform(frame, schema, where="table")


def names(frame: pd.DataFrame) -> Callable[[], Any]:
    known = list(frame.columns)
    return lambda: require_columns(known, known, "table")


def predicted_names(frame: pd.DataFrame) -> Callable[[], Any]:
    document = {"run_id": "0" * 8, "schema": schema_of(frame).to_dict()}
    bundle = Bundle(Path("none"), document, None, registry.NO_TEAM)
    known = list(frame.columns)
    return lambda: bundle.check_columns(known, "table", strict=True)


@pytest.mark.parametrize("work", [read, typed, names, predicted_names])
def test_cost_grows_as_the_columns_do(work: Callable[[pd.DataFrame], Callable[[], Any]]) -> None:
    few, many = seconds(work(numbers(FEW))), seconds(work(numbers(MANY)))

    assert many < MOST * few, f"{FEW} columns: {few:.4f} s, {MANY}: {many:.4f} s"


# --------------------------------------------------------------------------------- a whole project

COLUMNS = 300


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, make_project: Callable[..., Project]
) -> tuple[Project, list[str]]:
    """A project with many columns in which every stage ran, and the warnings of libraries."""
    folder = tmp_path_factory.mktemp("wide")
    frame = numbers(COLUMNS, rows=120)
    frame["kind"] = np.where(frame.iloc[:, 0] > 0, "yes", "no")
    frame.to_csv(folder / "table.csv", index=False)
    project = make_project(
        folder,
        data={"source": "table.csv", "target": "kind"},
        model={"candidates": ["linear", "hgb"], "folds": 2},
        evaluate={"bootstrap": 50},
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipeline.run(project, load_settings(project), until="report", say=lambda _: None)
    shown = ("PerformanceWarning", "ConvergenceWarning", "UserWarning", "RuntimeWarning")
    return project, [str(each.message) for each in caught if each.category.__name__ in shown]


def subject_of(project: Project) -> diagnostics.Subject:
    """What the importance of columns is measured on: the packaged model, and valid."""
    run_id = next(each.name for each in project.models.iterdir() if each.is_dir())
    bundle, frame = load_bundle(project, run_id), load_split(project, "valid")
    return diagnostics.Subject(bundle, "roc_auc", 0, frame, bundle.evaluate(frame))


def test_no_library_warns(finished: tuple[Project, list[str]]) -> None:
    assert finished[1] == []


def test_importance_types_each_column_once_not_once_per_shuffled_one(
    finished: tuple[Project, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = subject_of(finished[0])
    calls = []

    def count(given: pd.Series, *rest: object) -> tuple[pd.Series, None]:
        calls.append(given.name)
        return given, None

    monkeypatch.setattr(cast, "cast_column", count)
    found = diagnostics.importance(subject)
    assert len(found["features"]) == diagnostics.IMPORTANCE_COLUMNS
    assert found["left_out"] == COLUMNS - diagnostics.IMPORTANCE_COLUMNS
    # Once for the rows as they are, once for those that are shuffled.
    assert len(calls) == 2 * COLUMNS


def test_shuffled_columns_predict_as_shuffled_rows_do(
    finished: tuple[Project, list[str]],
) -> None:
    subject = subject_of(finished[0])
    bundle, frame = subject.bundle, subject.frame
    shuffling, column = diagnostics.Shuffling(subject, frame), bundle.schema.features[0]
    order = np.tile(np.arange(len(frame))[::-1], diagnostics.REPEATS)
    rows = pd.concat([frame] * diagnostics.REPEATS, ignore_index=True)
    rows[column.name] = frame[column.name].take(order).array
    before = shuffling.typed.copy()
    expected, found = bundle.evaluate(rows), shuffling.evaluate(column, order)
    assert np.array_equal(expected.probabilities, found.probabilities)
    assert np.array_equal(expected.truth, found.truth)
    # One column's values do not stay for the next.
    pd.testing.assert_frame_equal(shuffling.typed, before)
    again = shuffling.evaluate(bundle.schema.features[1], np.arange(len(rows)) % len(frame))
    assert np.array_equal(again.probabilities[: len(frame)], subject.labelled.probabilities)


def test_hard_rows_of_a_wide_table_are_few() -> None:
    inputs = pd.DataFrame({f"c{at}": ["a", "b", "c"] * 20 for at in range(2_000)})
    *_, unseen = export._hard_rows(inputs)
    assert len(unseen) == export.HARD_ROWS
    assert int((unseen == export.NEVER_SEEN).to_numpy().sum()) == export.HARD_ROWS


def test_each_row_with_an_unseen_word_has_it_in_its_own_column() -> None:
    inputs = pd.DataFrame({name: ["a", "b", "c"] * 20 for name in ("first", "second")})
    *_, unseen = export._hard_rows(inputs)
    seen = (unseen == export.NEVER_SEEN).to_numpy()
    assert seen[:, 0].tolist() == [True] * 50 + [False] * 50
    assert seen[:, 1].tolist() == [False] * 50 + [True] * 50


def test_words_without_digits_are_counted_without_the_pattern_of_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words, rows = pa.array(["north", "n/a", "($)"]), pa.array([5, 2, 1])
    slow = written.count_numbers(pa.concat_arrays([words, pa.array(["7"])]), pa.array([5, 2, 1, 1]))
    monkeypatch.delattr(written, "_parts")
    found = written.count_numbers(words, rows)
    assert found.odd == slow.odd == {"north": 5, "n/a": 2, "($)": 1}
    assert (found.rows, found.numbers) == (8, 0)
