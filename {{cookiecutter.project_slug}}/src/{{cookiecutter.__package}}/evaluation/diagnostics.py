"""Where a model is wrong, as data: its curves, what it leans on, the worst rows, how it learns.

Everything is measured on valid, so that looking at it costs the test split nothing. Plots are drawn
from what is returned here; nothing is computed for them again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core import registry
from ..data.schema import row_weights
from ..data.split import draw
from .curves import plain, significant
from .metrics import find_metric, score
from .predictions import PredictionsWithTruth

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from ..bundle.bundle import Bundle
    from ..data.schema import Column

Weights = NDArray[np.float64] | None
LEARNING_ROWS = 5_000
LEARNING_SIZES = 3
JUDGED_ROWS = 5_000
IMPORTANCE_ROWS = 2_000
IMPORTANCE_COLUMNS = 100
REPEATS = 3
SMALL_ROWS = 10_000
WORST = 10
WORST_COLUMNS = 6


@dataclass(frozen=True)
class Subject:
    """A packaged model and its predictions of the rows of valid.

    Attributes:
        bundle: The model.
        metric: What it is judged by.
        seed: Of every random choice.
        frame: The rows of valid.
        labelled: The predictions of these rows beside the truth.
    """

    bundle: Bundle
    metric: str
    seed: int
    frame: pd.DataFrame
    labelled: PredictionsWithTruth

    @property
    def target(self) -> str:
        """The column to predict."""
        return str(self.bundle.document["target"])


def diagnose(subject: Subject) -> dict[str, Any]:
    """Return every diagnostic of the model on valid: those of its task, and those of all models."""
    own = {
        each.name: registry.load(each.measure)(subject) for each in subject.bundle.task.diagnostics
    }
    with _threads(IMPORTANCE_ROWS):
        ranks = importance(subject)
    return {
        "rows": len(subject.frame),
        "metric": subject.metric,
        **own,
        "importance": ranks,
        "worst": worst(subject, [entry["feature"] for entry in ranks["features"]]),
    }


def importance(subject: Subject) -> dict[str, Any]:
    """Return how much the metric suffers when a column is shuffled (Breiman, 2001).

    On at most `IMPORTANCE_ROWS` rows and `IMPORTANCE_COLUMNS` columns; the most important first.
    """
    frame = subject.frame.iloc[draw(len(subject.frame), IMPORTANCE_ROWS, subject.seed)]
    features = subject.bundle.schema.features
    metric = find_metric(subject.metric)
    before = score(subject.bundle.evaluate(frame))[metric.name]
    random = np.random.default_rng(subject.seed)
    rows = len(frame)
    shuffling = Shuffling(subject, frame)
    entries: list[dict[str, Any]] = []
    for column in features[:IMPORTANCE_COLUMNS]:
        order = np.concatenate([random.permutation(rows) for _ in range(REPEATS)])
        labelled = shuffling.evaluate(column, order)
        parts = [labelled.take(np.arange(rows) + rows * part) for part in range(REPEATS)]
        losses = [metric.sign * (before - score(part)[metric.name]) for part in parts]
        entries.append(
            {
                "feature": column.name,
                "mean": significant(np.mean(losses)),
                "std": significant(np.std(losses)),
            }
        )
    entries.sort(key=lambda entry: math.inf if math.isnan(entry["mean"]) else -entry["mean"])
    return {
        "metric": metric.name,
        "rows": rows,
        "repeats": REPEATS,
        "left_out": max(0, len(features) - IMPORTANCE_COLUMNS),
        "features": entries,
    }


class Shuffling:
    """The rows of valid, `REPEATS` times over, to predict with one column shuffled.

    Typed, prepared and encoded once: of a table with texts or thousands of columns, all that is
    done for each shuffled column is that column's.
    """

    def __init__(self, subject: Subject, frame: pd.DataFrame) -> None:
        """Prepare the rows."""
        from ..models.features import prepare, transform_again

        self.bundle, self.prepare = subject.bundle, prepare
        self.transform_again = transform_again
        self.truth = np.tile(frame[subject.target].to_numpy(), REPEATS)
        weights = row_weights(frame, subject.bundle.schema)
        self.weights = None if weights is None else np.tile(weights, REPEATS)
        typed = subject.bundle.conform(frame, strict=False)
        # The copy keeps columns of one type together, which makes the steps behind it fast.
        self.typed = pd.concat([typed] * REPEATS, ignore_index=True).copy()
        self.inputs = prepare(self.typed, subject.bundle.schema, subject.bundle.custom).copy()
        self.encoded = subject.bundle.model[0].transform(self.inputs)

    def evaluate(self, column: Column, order: NDArray[np.intp]) -> PredictionsWithTruth:
        """Return the predictions with one column's values in another order.

        Args:
            column: A feature.
            order: The row that each row gets its value from.
        """
        bundle, name = self.bundle, column.name
        typed = self.typed.copy(deep=False)
        typed[name] = self.typed[name].take(order).array
        if getattr(bundle.custom, "add_features", None):  # which may use any column
            inputs = self.prepare(typed, bundle.schema, bundle.custom)
            encoded = bundle.model[0].transform(inputs)
        else:
            alone = replace(bundle.schema, columns=(column,))
            own = self.prepare(typed[[name]], alone, bundle.custom)
            inputs = self.inputs.copy(deep=False)
            inputs[list(own.columns)] = own
            encoded = self.transform_again(bundle.model[0], self.encoded, inputs, own.columns)
        raw = bundle.task.raw_scores(bundle.model[1:], encoded, bundle.classes)
        labelled = bundle.task.with_truth(
            self.truth, bundle.decide(typed, raw), bundle.classes, bundle.document["positive"]
        )
        return labelled.weighted(self.weights)


def worst(subject: Subject, ranked: list[str]) -> dict[str, Any]:
    """Return the rows with the largest errors: ids, the most important columns, truth, prediction.

    Sensitive columns are left out.
    """
    bundle, schema = subject.bundle, subject.bundle.schema
    errors, measured = bundle.task.row_errors(subject.labelled)
    predicted = bundle.task.predicted(subject.labelled, bundle.classes)
    hidden = {column.name for column in schema.having("sensitive")}
    shown = [name for name in ranked if name not in hidden][:WORST_COLUMNS]
    ids = [column.name for column in schema.ids if column.name not in hidden]
    rows = []
    for place in np.argsort(-errors, kind="stable")[:WORST]:
        row = subject.frame.iloc[int(place)]
        rows.append(
            {
                "id": {name: plain(row[name]) for name in ids},
                "features": {name: plain(row[name]) for name in shown},
                "truth": plain(row[subject.target]),
                "prediction": plain(predicted[place]),
                "error": significant(errors[place]),
            }
        )
    return {"error": measured, "rows": rows}


def learning_curve(subject: Subject, train: pd.DataFrame, pipeline: Any) -> dict[str, Any]:
    """Return the metric on train and on valid after fits on more and more rows of train.

    At most `LEARNING_ROWS` rows are fitted again; the last point is the model on all rows, before
    calibration. Rows of train are judged as the model learnt from them, so that a column encoded by
    the target's mean holds that of other folds. Where these folds are of more rows than are read
    here, the last point has no score on train.

    Args:
        subject: The model and valid.
        train: Rows of train: all of them, or at least `LEARNING_ROWS` drawn at random.
        pipeline: The model's fitted pipeline; clones of it are fitted, it stays as it is.
    """
    from ..models.features import as_learnt, prepare

    order = _mixed_order(train[subject.target], bool(subject.bundle.classes), subject.seed)
    order, rows = order[:LEARNING_ROWS], int(subject.bundle.document["rows"]["train"])
    schema, custom = subject.bundle.schema, subject.bundle.custom
    inputs = prepare(train.iloc[order], schema, custom)
    target = train[subject.target].to_numpy()[order]
    weights = row_weights(train.iloc[order], schema)
    kept = draw(len(subject.frame), JUDGED_ROWS, subject.seed)
    valid = prepare(subject.frame.iloc[kept], schema, custom)
    valid_target = subject.frame[subject.target].to_numpy()[kept]
    valid_weights = row_weights(subject.frame.iloc[kept], schema)
    points = []
    for size in _sizes(rows):
        first = None if weights is None else weights[:size]
        fitted = pipeline if size == rows else _refit(pipeline, inputs[:size], target[:size], first)
        if fitted is None:
            continue
        # In the order of the fit, which the folds of strings follow.
        places = np.argsort(order) if fitted is pipeline else np.arange(size)
        seen = places[:JUDGED_ROWS]
        with _threads(JUDGED_ROWS):
            learnt = as_learnt(fitted[0], inputs.iloc[places], target[places], size)
            on_train = math.nan
            if learnt is not None:
                first = None if weights is None else weights[seen]
                on_train = _judge(subject, fitted[1:], learnt[: len(seen)], target[seen], first)
            on_valid = _judge(subject, fitted, valid, valid_target, valid_weights)
        points.append(
            {"rows": size, "train": significant(on_train), "valid": significant(on_valid)}
        )
    return {
        "metric": subject.metric,
        "points": points,
        "fitted_rows": min(rows, LEARNING_ROWS),
    }


def _sizes(rows: int) -> list[int]:
    """Return the sizes of a learning curve, each twice the one before; the last is all rows."""
    largest = rows // 2 if rows <= LEARNING_ROWS else LEARNING_ROWS
    halved = [largest // 2**step for step in range(LEARNING_SIZES)]
    return [*(size for size in reversed(halved) if size >= 20), rows]


def _mixed_order(target: pd.Series[Any], classes: bool, seed: int) -> NDArray[np.intp]:
    """Return the rows at random; of classes, so that every beginning has each in proportion."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(target))
    if not classes:
        return order
    mixed = target.iloc[order].reset_index(drop=True)
    rank = mixed.groupby(mixed).cumcount().to_numpy()
    size = mixed.groupby(mixed).transform("size").to_numpy()
    return order[np.argsort((rank + 0.5) / size, kind="stable")]


def _refit(pipeline: Any, inputs: pd.DataFrame, target: NDArray[Any], weights: Weights) -> Any:
    """Return a clone fitted on some rows; None where they are too few or too alike for it."""
    from sklearn.base import clone
    from sklearn.ensemble import BaseEnsemble

    from ..models.training_data import fit_weighted

    fresh = clone(pipeline)
    parallel = "n_jobs" in fresh[-1].get_params(deep=False)
    if parallel:
        fresh[-1].set_params(n_jobs=-1 if isinstance(fresh[-1], BaseEnsemble) else None)
    try:
        with warnings.catch_warnings(), _threads(len(inputs)):
            warnings.simplefilter("ignore")  # few rows make solvers complain
            fit_weighted(fresh, inputs, target, weights)
    except ValueError:
        return None
    if parallel:
        fresh[-1].set_params(n_jobs=1)  # so that sums have the same order each time
    return fresh


@contextmanager
def _threads(rows: int) -> Iterator[None]:
    """Keep small work on one thread: on a busy machine many threads only wait for each other."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1 if rows <= SMALL_ROWS else None, user_api="openmp"):
        yield


def _judge(
    subject: Subject,
    pipeline: Pipeline,
    inputs: Any,
    target: NDArray[Any],
    weights: Weights,
) -> float:
    """Return the metric of a pipeline, or its end, on its inputs, uncalibrated."""
    bundle, task = subject.bundle, subject.bundle.task
    predictions = task.uncalibrated(task.raw_scores(pipeline, inputs, bundle.classes))
    labelled = task.with_truth(target, predictions, bundle.classes, bundle.document["positive"])
    return score(labelled.weighted(weights))[subject.metric]
