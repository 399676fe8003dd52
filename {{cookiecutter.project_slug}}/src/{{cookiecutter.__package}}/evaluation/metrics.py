"""What a model is scored by: the metrics, and skill over a baseline.

Each metric is written once, over rows that carry weights: with weights of one it is the metric,
with the counts of a resample it is one draw of the bootstrap. The tests compare each of them with
scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core import registry
from ..core.errors import UserError
from .predictions import PredictionsWithTruth
from .team_metrics import needs_of, perfect_of, team_metrics, weighted_metric

if TYPE_CHECKING:
    from ..tasks.task import Task

Array = NDArray[np.float64]
Weighted = Callable[[Array], Array]  # weights (resamples, rows) -> the metric (resamples,)


@dataclass(frozen=True)
class Metric:
    """A score of a model.

    Attributes:
        name: As in `[model] metric` and in the reports.
        title: As people write it.
        prepare: From predictions beside the truth to the function that maps weights to the metric.
        greater_is_better: Its direction.
        perfect: What a faultless model scores.
        needs: What it is computed from: "labels", "probabilities" or "values".
    """

    name: str
    title: str
    prepare: Callable[[PredictionsWithTruth], Weighted]
    greater_is_better: bool
    perfect: float
    needs: str

    @property
    def sign(self) -> int:
        """1 where greater is better, else -1."""
        return 1 if self.greater_is_better else -1

    def part(self, labelled: PredictionsWithTruth) -> str:
        """Return what it is computed from: values, where it needs labels and there are none."""
        return "values" if self.needs == "labels" and labelled.labels is None else self.needs


def find_metric(name: str) -> Metric:
    """Return a metric by its name: one of `METRICS`, of a folder, or of custom.py.

    Raises:
        UserError: If there is none, or its function does not say what it is computed from.
    """
    if name in METRICS:
        return METRICS[name]
    own = team_metrics().get(name)
    if own is not None:
        return Metric(
            name,
            name.replace("_", " ").capitalize(),
            lambda labelled: weighted_metric(name, own, labelled),
            own.greater_is_better,
            perfect_of(own),
            needs_of(name, own),
        )
    if name not in registry.METRICS:
        raise UserError(
            f"The metric '{name}' no longer exists; bring it back in METRICS of custom.py, or name "
            "another [model] metric and run `run`."
        )
    found: Metric = registry.load(registry.METRICS[name])
    return found


def title_of(name: str) -> str:
    """Return a metric as people write it; one that is gone by its name."""
    try:
        return find_metric(name).title
    except UserError:
        return name


def choose_metric(task: Task, name: str) -> str:
    """Return the metric that `[model] metric` names.

    Raises:
        UserError: If the task has no such metric, or cannot use one of custom.py.
    """
    own = team_metrics()
    needed = {find_metric(each).needs for each in task.metrics}
    for each in own:
        if each in METRICS:
            raise UserError(f"The metric '{each}' of custom.py exists already; rename it.")
        if find_metric(each).needs == "probabilities" and "probabilities" not in needed:
            raise UserError(
                f"The metric '{each}' of custom.py takes y_proba, but a {task.name} predicts no "
                "probabilities; let it take y_pred."
            )
    return task.choose_metric(name, own)


def number(value: float | None) -> float:
    """Return a number from JSON, where null stands for nan."""
    return math.nan if value is None else float(value)


def show(value: float | None) -> str:
    """Return a score for people, with as many decimals as tell models apart."""
    if value is None or not math.isfinite(value):
        return "-"
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}"
    return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.1f}"


def skill(metric: str, value: float, baseline: float) -> float:
    """Return the share of the way from the baseline to perfection (skill score; Murphy, 1988).

    0 is the baseline's equal, 1 is perfect, below 0 is worse than the baseline; 0 as well where the
    baseline is perfect already, since nothing is left to show; nan where a score is.
    """
    perfect = find_metric(metric).perfect
    if baseline == perfect and math.isfinite(value):
        return 0.0
    return (value - baseline) / (perfect - baseline)


def score(labelled: PredictionsWithTruth) -> dict[str, float]:
    """Return every metric that the predictions allow; nan where one is not defined on the rows."""
    scores = {}
    for needs, metrics in metrics_by_need(labelled).items():
        (rows,), counts, _ = distinct_rows(needs, labelled)
        for metric in metrics:
            scores[metric.name] = float(metric.prepare(rows)(counts[np.newaxis])[0])
    return {name: scores[name] for name in _names(labelled) if name in scores}


def _names(labelled: PredictionsWithTruth) -> tuple[str, ...]:
    """Return what predictions are scored by: the metrics of their task, then those of custom.py."""
    return (*labelled.metrics, *team_metrics())


def metrics_by_need(labelled: PredictionsWithTruth) -> dict[str, list[Metric]]:
    """Return the metrics that can be computed, by the part of the predictions that they need."""
    chosen = [find_metric(name) for name in _names(labelled)]
    return {
        needs: [metric for metric in chosen if metric.part(labelled) == needs]
        for needs in ("values", "probabilities", "labels")
        if getattr(labelled, needs) is not None
    }


def distinct_rows(
    needs: str, *models: PredictionsWithTruth
) -> tuple[list[PredictionsWithTruth], Array, NDArray[np.intp] | None]:
    """Return rows that metrics need, how much each of them counts, and which is each row's.

    Metrics of labels see only which classes meet: a few cells stand for any number of rows. All
    others get the rows as they are, each once or by its weight.

    Args:
        needs: The part of the predictions that the metrics are computed from.
        models: Predictions of the same rows by one model or several.

    Returns:
        The rows of each model; their counts or sums of weights; of rows that have weights, the
        place of each in the returned ones, None where they are returned as they are.
    """
    first = models[0]
    if needs != "labels":
        return list(models), np.ones(len(first)) if first.weights is None else first.weights, None
    cell, sizes = first.truth, first.classes
    for model in models:
        cell = cell * sizes + np.asarray(model.labels)
    if first.weights is None:
        (occurring, counts), place = np.unique(cell, return_counts=True), None
    else:
        occurring, place = np.unique(cell, return_inverse=True)
        counts = np.bincount(place, first.weights)
    codes = []
    for _ in models:
        occurring, code = np.divmod(occurring, sizes)
        codes.append(code)
    rows = [
        replace(model, truth=occurring, labels=labels, probabilities=None, weights=None)
        for model, labels in zip(models, reversed(codes), strict=True)
    ]
    return rows, counts.astype(float), place


def _ratio(part: Array, whole: Array, empty: float) -> Array:
    """Divide, with a stated result for what is empty."""
    quotient: Array = np.divide(part, whole, out=np.full(part.shape, empty), where=whole > 0)
    return quotient


def _tallies(labelled: PredictionsWithTruth) -> Callable[[Array], tuple[Array, Array, Array]]:
    """Return, per resample and class, how many rows were found, belong to it, were taken for it."""
    actual = np.eye(labelled.classes)[labelled.truth]
    predicted = np.eye(labelled.classes)[np.asarray(labelled.labels)]
    found = actual * predicted
    return lambda weights: (weights @ found, weights @ actual, weights @ predicted)


def _by_class(
    labelled: PredictionsWithTruth, parts: Callable[[Array, Array, Array], tuple[Array, Array]]
) -> Weighted:
    """Return a share of each class: of the positive one of two, else the mean over the classes.

    Args:
        labelled: Predictions with labels.
        parts: From how many rows of a class were found, belong to it and were taken for it to the
            two numbers that are divided.
    """
    tallies = _tallies(labelled)

    def weighted(weights: Array) -> Array:
        found, actual, predicted = tallies(weights)
        each = _ratio(*parts(found, actual, predicted), 0.0)
        if labelled.positive is not None:
            return each[:, labelled.positive]
        counted = actual + predicted > 0
        return _ratio((each * counted).sum(axis=1), counted.sum(axis=1) * 1.0, np.nan)

    return weighted


def _accuracy(labelled: PredictionsWithTruth) -> Weighted:
    """Share of rows whose class was found."""
    hit = (labelled.truth == labelled.labels).astype(float)
    return lambda weights: (weights @ hit) / weights.sum(axis=1)


def _balanced(labelled: PredictionsWithTruth) -> Weighted:
    """Mean over the classes of the share of a class that was found."""
    tallies = _tallies(labelled)

    def weighted(weights: Array) -> Array:
        found, actual, _ = tallies(weights)
        recall = _ratio(found, actual, 0.0)
        return _ratio(recall.sum(axis=1), (actual > 0).sum(axis=1) * 1.0, np.nan)

    return weighted


def _f1(labelled: PredictionsWithTruth) -> Weighted:
    """Harmonic mean of precision and recall."""
    return _by_class(labelled, lambda found, actual, predicted: (2 * found, actual + predicted))


def _precision(labelled: PredictionsWithTruth) -> Weighted:
    """Share of the rows taken for a class that belong to it; 0 where none was."""
    return _by_class(labelled, lambda found, actual, predicted: (found, predicted))


def _recall(labelled: PredictionsWithTruth) -> Weighted:
    """Share of a class that was found; 0 where there is none of it."""
    return _by_class(labelled, lambda found, actual, predicted: (found, actual))


def _roc_auc(labelled: PredictionsWithTruth) -> Weighted:
    """Share of pairs that are ranked right; of many classes, the mean of each against the rest."""
    shares, positive = np.asarray(labelled.probabilities), labelled.positive
    columns = range(labelled.classes) if positive is None else [positive]
    each_class = [_ranked_pairs(labelled.truth == c, shares[:, c]) for c in columns]
    if len(each_class) == 1:
        return each_class[0]

    def weighted(weights: Array) -> Array:
        each = np.stack([one(weights) for one in each_class])
        defined = np.isfinite(each)
        return _ratio(np.where(defined, each, 0.0).sum(axis=0), defined.sum(axis=0) * 1.0, np.nan)

    return weighted


def _ranked_pairs(truth: NDArray[np.bool_], scores: Array) -> Weighted:
    """Share of (positive, negative) pairs with the positive above; ties count half (Hanley, 1982).

    nan where one of the two is missing.
    """
    positive, negative = np.flatnonzero(truth), np.flatnonzero(~truth)
    negative = negative[np.argsort(scores[negative])]
    ranked = scores[negative]
    first = np.searchsorted(ranked, scores[positive], side="left")
    last = np.searchsorted(ranked, scores[positive], side="right")
    tied = bool((first != last).any())
    same = bool((first == 0).all() and (last == len(negative)).all())

    def weighted(weights: Array) -> Array:
        if same:
            mixed = weights.take(positive, axis=1).sum(axis=1) * (weights @ ~truth)
            return np.where(mixed > 0, 0.5, np.nan)
        below = np.zeros((len(weights), len(negative) + 1))
        np.cumsum(weights.take(negative, axis=1), axis=1, out=below[:, 1:])
        found = weights.take(positive, axis=1)
        beaten = below.take(first, axis=1)
        if tied:
            beaten = (beaten + below.take(last, axis=1)) / 2
        pairs = found.sum(axis=1) * below[:, -1]
        return _ratio(np.einsum("ij,ij->i", found, beaten), pairs, np.nan)

    return weighted


def _mean(each: Array) -> Weighted:
    """The weighted mean of a loss per row."""
    return lambda weights: (weights @ each) / weights.sum(axis=1)


def _log_loss(labelled: PredictionsWithTruth) -> Weighted:
    """Mean negative logarithm (nats) of the probability that the true class was given."""
    given = np.asarray(labelled.probabilities)[np.arange(len(labelled.truth)), labelled.truth]
    smallest = float(np.finfo(float).eps)
    return _mean(-np.log(np.clip(given, smallest, 1 - smallest)))


def _errors(labelled: PredictionsWithTruth) -> Array:
    """What was predicted minus what is true, in the target's unit."""
    errors: Array = np.asarray(labelled.values) - labelled.truth
    return errors


def _mae(labelled: PredictionsWithTruth) -> Weighted:
    """Mean absolute error, in the target's unit."""
    return _mean(np.abs(_errors(labelled)))


def _rmse(labelled: PredictionsWithTruth) -> Weighted:
    """Root of the mean squared error, in the target's unit."""
    mean = _mean(_errors(labelled) ** 2)

    def weighted(weights: Array) -> Array:
        root: Array = np.sqrt(mean(weights))
        return root

    return weighted


def _mape(labelled: PredictionsWithTruth) -> Weighted:
    """Mean absolute error as a share of the true value; nan where a true value is 0."""
    size = np.abs(labelled.truth)
    return _mean(_ratio(np.abs(_errors(labelled)), size, np.nan))


def _r2(labelled: PredictionsWithTruth) -> Weighted:
    """Share of the target's variance that the model explains; nan for a constant target."""
    squares = _mean(_errors(labelled) ** 2)
    centred = labelled.truth - labelled.truth.mean()
    second, first = _mean(centred**2), _mean(centred)

    def weighted(weights: Array) -> Array:
        variance = second(weights) - first(weights) ** 2
        explained: Array = 1 - _ratio(squares(weights), variance, np.nan)
        return explained

    return weighted


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", "ROC AUC", _roc_auc, True, 1.0, "probabilities"),
        Metric("log_loss", "Log loss", _log_loss, False, 0.0, "probabilities"),
        Metric("accuracy", "Accuracy", _accuracy, True, 1.0, "labels"),
        Metric("balanced_accuracy", "Balanced accuracy", _balanced, True, 1.0, "labels"),
        Metric("f1", "F1", _f1, True, 1.0, "labels"),
        Metric("precision", "Precision", _precision, True, 1.0, "labels"),
        Metric("recall", "Recall", _recall, True, 1.0, "labels"),
        Metric("rmse", "RMSE", _rmse, False, 0.0, "values"),
        Metric("mae", "MAE", _mae, False, 0.0, "values"),
        Metric("r2", "R²", _r2, True, 1.0, "values"),
        Metric("mape", "MAPE", _mape, False, 0.0, "values"),
    )
}
