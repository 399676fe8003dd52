"""Where a model is wrong, as data: curves, calibration, residuals, importance and the worst rows.

Everything is measured on valid, so that looking at it costs the test split nothing. Plots are drawn
from what is returned here; nothing is computed for them again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .metrics import METRICS, Outcome, make_outcome, score

if TYPE_CHECKING:
    from ..bundle.bundle import Bundle
    from ..data.schema import Schema

POINTS = 200
CURVES = 6
MATRIX = 20
MOST_BINS, FEWEST_BINS, ROWS_OF_BIN = 10, 3, 20
RESIDUALS = 1_000
LEARNING_ROWS = 10_000
LEARNING_SIZES = 4
JUDGED_ROWS = 10_000
IMPORTANCE_ROWS = 2_000
IMPORTANCE_COLUMNS = 100
REPEATS = 3
SMALL_ROWS = 10_000
WORST = 10
WORST_COLUMNS = 6
TEXT_SHOWN = 60


@dataclass(frozen=True)
class Subject:
    """A packaged model and what it said about the rows of valid.

    Attributes:
        bundle: The model.
        schema: The types and roles of the columns.
        target: The column to predict.
        classes: As the model orders them; empty for a regression.
        positive: Of two classes the one to find.
        metric: What the model is judged by.
        seed: Of every random choice.
        frame: The rows of valid.
        outcome: Truth and predictions for them.
    """

    bundle: Bundle
    schema: Schema
    target: str
    classes: list[Any]
    positive: Any
    metric: str
    seed: int
    frame: pd.DataFrame
    outcome: Outcome

    def judge(self, frame: pd.DataFrame) -> Outcome:
        """Return what the packaged model says about other rows."""
        said = self.bundle.predict_arrays(frame)
        return self.compare(
            frame[self.target].to_numpy(), said.labels, said.probabilities, said.values
        )

    def compare(
        self, truth: Any, labels: Any = None, probabilities: Any = None, values: Any = None
    ) -> Outcome:
        """Return truth and predictions in the form that metrics take."""
        task = "classification" if self.classes else "regression"
        return make_outcome(
            task,
            truth,
            labels=labels if self.classes else None,
            probabilities=probabilities,
            values=values,
            classes=self.classes or None,
            positive=self.positive,
        )


def diagnose(subject: Subject) -> dict[str, Any]:
    """Return every diagnostic of the model on valid; None for those of the other task."""
    classes = bool(subject.classes)
    with _threads(IMPORTANCE_ROWS):
        ranks = importance(subject)
    return {
        "rows": len(subject.frame),
        "metric": subject.metric,
        "confusion": confusion(subject) if classes else None,
        "roc": list(_roc(subject)) if classes else None,
        "pr": list(_precision_recall(subject)) if classes else None,
        "calibration": calibration(subject) if classes else None,
        "residuals": None if classes else residuals(subject),
        "importance": ranks,
        "worst": worst(subject, [entry["feature"] for entry in ranks["features"]]),
    }


def confusion(subject: Subject) -> dict[str, Any]:
    """Return how often each class (row) was taken for each (column).

    Of more than `MATRIX` classes the most frequent stay, the others become one.
    """
    outcome = subject.outcome
    names = [str(name) for name in subject.classes]
    if outcome.classes > len(names):
        names.append("(not in train)")
    truth, labels = outcome.truth, np.asarray(outcome.labels)
    if len(names) > MATRIX:
        kept = np.sort(
            np.argsort(-np.bincount(truth, minlength=len(names)), kind="stable")[:MATRIX]
        )
        place = np.full(len(names), MATRIX)
        place[kept] = np.arange(MATRIX)
        truth, labels = place[truth], place[labels]
        names = [*(names[code] for code in kept), "(other)"]
    size = len(names)
    counts = np.bincount(truth * size + labels, minlength=size * size).reshape(size, size)
    return {"classes": names, "counts": counts.tolist()}


def calibration(subject: Subject) -> dict[str, Any]:
    """Return how often a probability came true, in bins of equal width.

    Of two classes the one to find; of many the predicted one. Bins are fewer where rows are few.
    `error` is the expected calibration error (Naeini et al., 2015): the mean gap, weighted by rows.
    """
    outcome = subject.outcome
    shares = np.asarray(outcome.probabilities)
    if outcome.positive is not None:
        said, came = shares[:, outcome.positive], outcome.truth == outcome.positive
        about = str(subject.classes[outcome.positive])
    else:
        said, came = shares.max(axis=1), outcome.truth == shares.argmax(axis=1)
        about = "the likeliest class"
    number = int(np.clip(len(said) // ROWS_OF_BIN, FEWEST_BINS, MOST_BINS))
    bins = np.minimum((said * number).astype(int), number - 1)
    count = np.bincount(bins, minlength=number)
    filled = count > 0
    mean = np.bincount(bins, said, number)[filled] / count[filled]
    share = np.bincount(bins, came, number)[filled] / count[filled]
    low, high = _wilson(share, count[filled])
    error = float(np.average(np.abs(mean - share), weights=count[filled]))
    columns = {"mean": mean, "share": share, "low": low, "high": high, "count": count[filled]}
    return {
        "about": about,
        "error": _round(error),
        "bins": [
            {name: _plain(values[place]) for name, values in columns.items()}
            for place in range(len(mean))
        ],
    }


def residuals(subject: Subject) -> dict[str, Any]:
    """Return predictions and truth of a sample of rows, and what the errors look like."""
    truth, values = subject.outcome.truth, np.asarray(subject.outcome.values)
    errors = values - truth
    drawn = _draw(len(truth), RESIDUALS, subject.seed)
    levels = (5, 25, 50, 75, 95)
    return {
        "points": [
            [_round(v), _round(t)] for v, t in zip(values[drawn], truth[drawn], strict=True)
        ],
        "mean": _round(errors.mean()),
        "std": _round(errors.std()),
        "quantiles": {
            f"{level}": _round(value)
            for level, value in zip(levels, np.percentile(errors, levels), strict=True)
        },
    }


def importance(subject: Subject) -> dict[str, Any]:
    """Return how much the metric suffers when a column is shuffled (Breiman, 2001).

    On at most `IMPORTANCE_ROWS` rows and `IMPORTANCE_COLUMNS` columns; the most important first.
    """
    frame = subject.frame.iloc[_draw(len(subject.frame), IMPORTANCE_ROWS, subject.seed)]
    names = [column.name for column in subject.schema.features]
    metric = METRICS[subject.metric]
    sign = 1 if metric.greater_is_better else -1
    before = score(subject.judge(frame))[metric.name]
    random = np.random.default_rng(subject.seed)
    rows = len(frame)
    entries: list[dict[str, Any]] = []
    for name in names[:IMPORTANCE_COLUMNS]:
        shuffled = pd.concat([frame] * REPEATS, ignore_index=True)
        order = np.concatenate([random.permutation(rows) for _ in range(REPEATS)])
        shuffled[name] = frame[name].take(order).array
        outcome = subject.judge(shuffled)
        parts = [outcome.take(np.arange(rows) + rows * part) for part in range(REPEATS)]
        losses = [sign * (before - score(part)[metric.name]) for part in parts]
        entries.append(
            {"feature": name, "mean": _round(np.mean(losses)), "std": _round(np.std(losses))}
        )
    entries.sort(key=lambda entry: math.inf if math.isnan(entry["mean"]) else -entry["mean"])
    return {
        "metric": metric.name,
        "rows": rows,
        "repeats": REPEATS,
        "left_out": max(0, len(names) - IMPORTANCE_COLUMNS),
        "features": entries,
    }


def worst(subject: Subject, ranked: list[str]) -> dict[str, Any]:
    """Return the rows with the largest errors: ids, the most important columns, truth, prediction.

    Sensitive columns are left out.
    """
    outcome, schema = subject.outcome, subject.schema
    if subject.classes:
        given = np.asarray(outcome.probabilities)[np.arange(len(outcome.truth)), outcome.truth]
        errors, said = 1 - given, [*subject.classes, None]
        predicted = [said[code] for code in np.asarray(outcome.labels)]
    else:
        errors = np.abs(np.asarray(outcome.values) - outcome.truth)
        predicted = np.asarray(outcome.values).tolist()
    hidden = {column.name for column in schema.having("sensitive")}
    shown = [name for name in ranked if name not in hidden][:WORST_COLUMNS]
    ids = [column.name for column in schema.ids if column.name not in hidden]
    rows = []
    for place in np.argsort(-errors, kind="stable")[:WORST]:
        row = subject.frame.iloc[int(place)]
        rows.append(
            {
                "id": {name: _plain(row[name]) for name in ids},
                "features": {name: _plain(row[name]) for name in shown},
                "truth": _plain(row[subject.target]),
                "prediction": _plain(predicted[place]),
                "error": _round(errors[place]),
            }
        )
    return {
        "error": "1 - probability of the true class" if subject.classes else "absolute error",
        "rows": rows,
    }


def learning_curve(subject: Subject, train: pd.DataFrame, pipeline: Any) -> dict[str, Any]:
    """Return the metric on train and on valid after fits on more and more rows of train.

    At most `LEARNING_ROWS` rows are fitted anew; the last point is the model itself, on all rows.

    Args:
        subject: The model and valid.
        train: All rows of train.
        pipeline: The model's fitted pipeline; clones of it are fitted, it stays as it is.
    """
    from ..models.features import prepare

    order = _mixed_order(train[subject.target], bool(subject.classes), subject.seed)
    order = order[:LEARNING_ROWS]
    inputs = prepare(train.iloc[order], subject.schema)
    target = train[subject.target].to_numpy()[order]
    kept = _draw(len(subject.frame), JUDGED_ROWS, subject.seed)
    valid = prepare(subject.frame.iloc[kept], subject.schema)
    valid_target = subject.frame[subject.target].to_numpy()[kept]
    points = []
    for size in _sizes(len(train)):
        fitted = pipeline if size == len(train) else _refit(pipeline, inputs[:size], target[:size])
        if fitted is None:
            continue
        seen = min(size, JUDGED_ROWS)
        with _threads(JUDGED_ROWS):
            on_train = _judge(subject, fitted, inputs[:seen], target[:seen])
            on_valid = _judge(subject, fitted, valid, valid_target)
        points.append({"rows": size, "train": _round(on_train), "valid": _round(on_valid)})
    return {
        "metric": subject.metric,
        "points": points,
        "fitted_rows": min(len(train), LEARNING_ROWS),
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


def _refit(pipeline: Any, inputs: pd.DataFrame, target: NDArray[Any]) -> Any:
    """Return a clone fitted on some rows; None where they are too few or too alike for it."""
    from sklearn.base import clone
    from sklearn.ensemble import BaseEnsemble

    fresh = clone(pipeline)
    parallel = "n_jobs" in fresh[-1].get_params(deep=False)
    if parallel:
        fresh[-1].set_params(n_jobs=-1 if isinstance(fresh[-1], BaseEnsemble) else None)
    try:
        with warnings.catch_warnings(), _threads(len(inputs)):
            warnings.simplefilter("ignore")  # few rows make solvers complain
            fresh.fit(inputs, target)
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


def _judge(subject: Subject, pipeline: Any, inputs: pd.DataFrame, target: NDArray[Any]) -> float:
    """Return the metric of a pipeline on prepared rows."""
    if not subject.classes:
        return score(subject.compare(target, values=pipeline.predict(inputs)))[subject.metric]
    shares = np.zeros((len(target), len(subject.classes)))
    known = pd.Index(subject.classes).get_indexer(pd.Index(pipeline.classes_))
    shares[:, known] = pipeline.predict_proba(inputs)
    return score(subject.compare(target, probabilities=shares))[subject.metric]


def _shown_classes(subject: Subject) -> list[int]:
    """Return the codes of the classes that get a curve: the one to find, else the most frequent."""
    outcome = subject.outcome
    if outcome.positive is not None:
        return [outcome.positive]
    count = np.bincount(outcome.truth, minlength=outcome.classes)[: len(subject.classes)]
    likely = np.argsort(-count, kind="stable")[:CURVES]
    return sorted(int(code) for code in likely if 0 < count[code] < len(outcome.truth))


def _roc(subject: Subject) -> Iterator[dict[str, Any]]:
    """Yield a curve per class: [false positive rate, true positive rate]."""
    from sklearn.metrics import auc, roc_curve

    outcome = subject.outcome
    for code in _shown_classes(subject):
        truth = outcome.truth == code
        if truth.all() or not truth.any():
            continue
        false, true, _ = roc_curve(truth, np.asarray(outcome.probabilities)[:, code])
        yield {
            "class": str(subject.classes[code]),
            "area": _round(auc(false, true)),
            "points": _thin(false, true),
        }


def _precision_recall(subject: Subject) -> Iterator[dict[str, Any]]:
    """Yield a curve per class: [recall, precision]."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    outcome = subject.outcome
    for code in _shown_classes(subject):
        truth, said = outcome.truth == code, np.asarray(outcome.probabilities)[:, code]
        if not truth.any():
            continue
        precision, recall, _ = precision_recall_curve(truth, said)
        yield {
            "class": str(subject.classes[code]),
            "area": _round(average_precision_score(truth, said)),
            "share": _round(truth.mean()),
            "points": _thin(recall[::-1], precision[::-1]),
        }


def _wilson(share: NDArray[Any], count: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the 95 % interval of shares of so many rows (Wilson, 1927)."""
    z = 1.96
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2) / (1 + z**2 / count)
    return centre - half, centre + half


def _thin(across: NDArray[Any], up: NDArray[Any]) -> list[list[float]]:
    """Return at most `POINTS` points of a curve, evenly along its length."""
    if len(across) > POINTS:
        length = np.r_[0, np.cumsum(np.abs(np.diff(across)) + np.abs(np.diff(up)))]
        kept = np.searchsorted(length, np.linspace(0, length[-1], POINTS))
        kept = np.unique(np.clip(kept, 0, len(across) - 1))
        kept[-1] = len(across) - 1
        across, up = across[kept], up[kept]
    return [[_round(x), _round(y)] for x, y in zip(across, up, strict=True)]


def _draw(rows: int, most: int, seed: int) -> NDArray[np.intp]:
    """Return the places of at most so many rows, drawn with the seed, in order."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _round(value: Any) -> float:
    """Keep six significant digits: a report is read, and the last bits differ between machines."""
    return float(f"{float(value):.6g}")


def _plain(value: Any) -> Any:
    """Return a cell as JSON takes it; long texts are cut."""
    if pd.isna(value):
        return None
    if isinstance(value, float | np.floating):
        return _round(value)
    if isinstance(value, int | np.integer | np.bool_ | bool):
        return value.item() if isinstance(value, np.generic) else value
    text = str(value)
    return text if len(text) <= TEXT_SHOWN else text[: TEXT_SHOWN - 1] + "…"
