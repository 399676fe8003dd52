"""What a model is scored by: the metrics, skill over a baseline, and bootstrap intervals.

Each metric is written once, over rows that carry weights: with weights of one it is the metric,
with the counts of a resample it is one draw of the bootstrap. The tests compare each of them with
scikit-learn.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.errors import UserError

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
Form = Callable[[Array], Array]  # weights (resamples, rows) -> the metric (resamples,)

LEVEL = 0.95
# Resamples are drawn in blocks of about this many weights, which stay in a processor's cache.
BLOCK = 100_000


@dataclass(frozen=True)
class Outcome:
    """What is true of some rows, and what a model said about them.

    Attributes:
        truth: Class codes, or values in the target's unit; (rows,).
        labels: Predicted class codes; (rows,). None for a regression.
        probabilities: Of each class, in the order of the codes; (rows, classes).
        values: Predicted values; (rows,). None for a classification.
        classes: How many there are; 0 for a regression.
        positive: The code of the class to find; None unless there are two classes.
    """

    truth: NDArray[Any]
    labels: Codes | None = None
    probabilities: Array | None = None
    values: Array | None = None
    classes: int = 0
    positive: int | None = None

    def take(self, rows: NDArray[Any]) -> "Outcome":
        """Return the outcome of some of the rows."""
        labels, probabilities, values = self.labels, self.probabilities, self.values
        return replace(
            self,
            truth=self.truth[rows],
            labels=None if labels is None else labels[rows],
            probabilities=None if probabilities is None else probabilities[rows],
            values=None if values is None else values[rows],
        )


@dataclass(frozen=True)
class Metric:
    """A score of a model.

    Attributes:
        name: As in `[model] metric` and in the reports.
        title: As people write it.
        form: Prepares an outcome; the result maps weights to the metric.
        greater_is_better: Its direction.
        perfect: What a faultless model scores.
        needs: What it is computed from: "label", "probability" or "value".
        task: "classification" or "regression".
    """

    name: str
    title: str
    form: Callable[[Outcome], Form]
    greater_is_better: bool
    perfect: float
    needs: str
    task: str


@dataclass(frozen=True)
class Interval:
    """A value with the bounds of its bootstrap interval, at the level `LEVEL`."""

    value: float
    low: float
    high: float


def in_words(low: float | None, high: float | None) -> str:
    """Return an interval for people."""
    return "-" if low is None or high is None else f"{show(low)} to {show(high)}"


def show(value: float | None) -> str:
    """Return a score for people, with as many decimals as tell models apart."""
    if value is None or not math.isfinite(value):
        return "-"
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}"
    return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.1f}"


def default_metric(task: str) -> str:
    """Return what `[model] metric = auto` stands for."""
    return "roc_auc" if task == "classification" else "rmse"


def metric_names(task: str) -> tuple[str, ...]:
    """Return the metrics of a task, in the order in which reports show them."""
    return tuple(name for name, metric in METRICS.items() if metric.task == task)


def chosen_metric(name: str, task: str) -> str:
    """Return the metric that `[model] metric` names.

    Raises:
        UserError: If the task has no such metric.
    """
    if name == "auto":
        return default_metric(task)
    if name not in metric_names(task):
        allowed = ", ".join(metric_names(task))
        raise UserError(
            f"conf.cfg, [model] metric = {name}: a {task} is scored by auto, {allowed}."
        )
    return name


def skill(metric: str, value: float, baseline: float) -> float:
    """Return the share of the way from the baseline to perfection (skill score; Murphy, 1988).

    0 is the baseline's equal, 1 is perfect, below 0 is worse than the baseline; 0 as well where the
    baseline is perfect already, since nothing is left to show; nan where a score is.
    """
    perfect = METRICS[metric].perfect
    if baseline == perfect:
        return 0.0
    return (value - baseline) / (perfect - baseline)


def make_outcome(
    task: str,
    truth: Any,
    *,
    labels: Any = None,
    probabilities: Any = None,
    values: Any = None,
    classes: Sequence[Any] | None = None,
    positive: Any = None,
) -> Outcome:
    """Return truth and predictions in the form that metrics take.

    Args:
        task: "classification" or "regression".
        truth: Classes, or values; (rows,).
        labels: Predicted classes, (rows,); default: the likeliest by `probabilities`.
        probabilities: (rows, classes), columns in the order of `classes`.
        values: Predicted values, (rows,).
        classes: Those that the model knows. One that only `truth` has counts as a class that the
            model never finds.
        positive: Of two classes the one to find; default: the last.
    """
    if task == "regression":
        return Outcome(np.asarray(truth, float), values=np.asarray(values, float))
    index = pd.Index(classes if classes is not None else np.unique(np.asarray(truth)))
    known, count = index.get_indexer(pd.Index(truth)), len(index)
    unseen = bool((known < 0).any())
    shares = None if probabilities is None else np.asarray(probabilities, float)
    if labels is not None:
        codes = index.get_indexer(pd.Index(labels))
    elif shares is not None:
        codes = shares.argmax(axis=1)
    else:
        raise ValueError("a classification needs labels or probabilities")
    if unseen and shares is not None:
        shares = np.column_stack([shares, np.zeros(len(shares))])
    return Outcome(
        np.where(known < 0, count, known),
        labels=codes,
        probabilities=shares,
        classes=count + unseen,
        positive=_positive(index, positive),
    )


def constant_outcome(
    outcome: Outcome, constant: Mapping[str, Any], classes: Sequence[Any] = ()
) -> Outcome:
    """Return what a baseline that says the same of every row would have scored.

    Args:
        outcome: Of the model to compare with, on the same rows.
        constant: `{"probabilities": {class: probability}}` or `{"value": value}`.
        classes: Those that the model knows, in the order of the codes.
    """
    rows = len(outcome.truth)
    if "value" in constant:
        return replace(outcome, values=np.full(rows, float(constant["value"])))
    by_name = {str(name): share for name, share in constant["probabilities"].items()}
    shares = np.zeros(outcome.classes)
    shares[: len(classes)] = [by_name.get(str(name), 0.0) for name in classes]
    return replace(
        outcome,
        labels=np.full(rows, shares.argmax()),
        probabilities=np.broadcast_to(shares, (rows, len(shares))),
    )


def score(outcome: Outcome) -> dict[str, float]:
    """Return every metric that the outcome allows; nan where one is not defined on these rows."""
    scores = {}
    for needs, rows, weights in _atoms(outcome):
        for metric in _metrics(outcome, needs):
            scores[metric.name] = float(metric.form(rows)(weights[np.newaxis])[0])
    return {name: scores[name] for name in METRICS if name in scores}


def score_all(
    task: str,
    truth: Any,
    *,
    labels: Any = None,
    probabilities: Any = None,
    values: Any = None,
    classes: Sequence[Any] | None = None,
    positive: Any = None,
) -> dict[str, float]:
    """Return every metric of the task; see `make_outcome` for the arguments."""
    return score(
        make_outcome(
            task,
            truth,
            labels=labels,
            probabilities=probabilities,
            values=values,
            classes=classes,
            positive=positive,
        )
    )


def bootstrap(
    outcome: Outcome,
    baseline: Outcome,
    metric: str,
    *,
    resamples: int = 1000,
    seed: int = 42,
    rows: int = 50_000,
) -> tuple[dict[str, Interval], Interval]:
    """Return percentile intervals (Efron, 1979) of every metric, and of one difference.

    Args:
        outcome: Of the model.
        baseline: Of the baseline, on the same rows: it is resampled together with the model.
        metric: The one whose difference, model minus baseline, is returned.
        resamples: How many are drawn.
        seed: Of the draws.
        rows: Above so many, a seeded draw of them is resampled; intervals then stand around the
            values of all rows, and are as wide as for the rows drawn.

    Returns:
        The intervals by metric, and that of the difference; nan where a metric is not defined.
    """
    values, base = score(outcome), score(baseline)
    random = np.random.default_rng(seed)
    if len(outcome.truth) > rows:
        drawn = np.sort(random.choice(len(outcome.truth), rows, replace=False))
        outcome, baseline = outcome.take(drawn), baseline.take(drawn)
    intervals: dict[str, Interval] = {}
    difference = Interval(np.nan, np.nan, np.nan)
    for needs, atoms, weights in _atoms(outcome):
        forms = {each.name: each.form(atoms) for each in _metrics(outcome, needs)}
        if metric in forms:
            forms["baseline"] = METRICS[metric].form(_like(atoms, baseline))
        draws = _resample(forms, weights, resamples, random)
        here = {name: float(form(weights[np.newaxis])[0]) for name, form in forms.items()}
        for name in forms.keys() - {"baseline"}:
            intervals[name] = _interval(values[name], draws[name] - here[name])
        if metric in forms:
            gap = draws[metric] - draws["baseline"] - (here[metric] - here["baseline"])
            difference = _interval(values[metric] - base[metric], gap)
    return {name: intervals[name] for name in values}, difference


def _positive(index: pd.Index, positive: Any) -> int | None:
    """Return the code of the class to find, None unless there are two classes."""
    if len(index) != 2:
        return None
    if positive is None:
        return 1
    names = [str(name) for name in index]
    if str(positive) not in names:
        raise UserError(
            f"conf.cfg, [decision] positive = {positive}: the classes are {', '.join(names)}."
        )
    return names.index(str(positive))


def _metrics(outcome: Outcome, needs: str) -> Iterator[Metric]:
    """Yield the metrics that are computed from this kind of prediction."""
    task = "classification" if outcome.classes else "regression"
    yield from (each for each in METRICS.values() if each.task == task and each.needs == needs)


def _atoms(outcome: Outcome) -> Iterator[tuple[str, Outcome, Array]]:
    """Yield the outcome once per kind of prediction, as the fewest rows with weights that do."""
    rows = np.ones(len(outcome.truth))
    if outcome.values is not None:
        yield "value", outcome, rows
    if outcome.probabilities is not None:
        yield "probability", outcome, rows
    if outcome.labels is not None:
        # Metrics of labels see only how often each pair of classes occurs: a few cells do.
        cells = np.bincount(outcome.truth * outcome.classes + outcome.labels)
        truth, labels = np.divmod(np.flatnonzero(cells), outcome.classes)
        pairs = replace(outcome, truth=truth, labels=labels, probabilities=None)
        yield "label", pairs, cells[cells > 0].astype(float)


def _like(atoms: Outcome, baseline: Outcome) -> Outcome:
    """Return the baseline's outcome on the rows or cells of the model's."""
    if len(atoms.truth) == len(baseline.truth) and atoms.probabilities is not None:
        return baseline
    if atoms.values is not None or baseline.labels is None:
        return baseline
    return replace(atoms, labels=np.full(len(atoms.truth), baseline.labels[0]))


def _resample(
    forms: Mapping[str, Form], weights: Array, resamples: int, random: np.random.Generator
) -> dict[str, Array]:
    """Return each metric on as many resamples of the rows; the same resamples for all of them."""
    block = max(1, BLOCK // len(weights))
    draws: dict[str, list[Array]] = {name: [] for name in forms}
    for start in range(0, resamples, block):
        counts = _draw(weights, min(block, resamples - start), random)
        for name, form in forms.items():
            draws[name].append(form(counts))
    return {name: np.concatenate(parts) for name, parts in draws.items()}


def _draw(weights: Array, resamples: int, random: np.random.Generator) -> Array:
    """Return how often each row is in each resample, (resamples, rows)."""
    rows, total = len(weights), int(weights.sum())
    if total > rows:
        return random.multinomial(total, weights / total, size=resamples).astype(float)
    drawn = random.integers(0, rows, size=(resamples, rows))
    drawn += np.arange(0, resamples * rows, rows)[:, np.newaxis]
    counts = np.bincount(drawn.ravel(), minlength=resamples * rows)
    return counts.reshape(resamples, rows).astype(float)


def _interval(value: float, deviations: Array) -> Interval:
    """Return the interval around a value from the deviations of the resamples."""
    defined = deviations[np.isfinite(deviations)]
    if not len(defined) or not np.isfinite(value):
        return Interval(value, np.nan, np.nan)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Interval(value, value + float(low), value + float(high))


def _ratio(part: Array, whole: Array, empty: float) -> Array:
    """Divide, with a stated result for what is empty."""
    quotient: Array = np.divide(part, whole, out=np.full(part.shape, empty), where=whole > 0)
    return quotient


def _tallies(outcome: Outcome) -> Callable[[Array], tuple[Array, Array, Array]]:
    """Return, per resample and class, how many rows were found, belong to it, were taken for it."""
    actual = np.eye(outcome.classes)[outcome.truth]
    predicted = np.eye(outcome.classes)[np.asarray(outcome.labels)]
    found = actual * predicted
    return lambda weights: (weights @ found, weights @ actual, weights @ predicted)


def _class_mean(outcome: Outcome, each: Array, counted: NDArray[np.bool_]) -> Array:
    """Return the positive class's column of two, else the mean over the classes that count."""
    if outcome.positive is not None:
        return each[:, outcome.positive]
    return _ratio((each * counted).sum(axis=1), counted.sum(axis=1) * 1.0, np.nan)


def _accuracy(outcome: Outcome) -> Form:
    """Share of rows whose class was found."""
    hit = (outcome.truth == outcome.labels).astype(float)
    return lambda weights: (weights @ hit) / weights.sum(axis=1)


def _balanced(outcome: Outcome) -> Form:
    """Mean over the classes of the share of a class that was found."""
    tallies = _tallies(outcome)

    def form(weights: Array) -> Array:
        found, actual, _ = tallies(weights)
        recall = _ratio(found, actual, 0.0)
        return _ratio(recall.sum(axis=1), (actual > 0).sum(axis=1) * 1.0, np.nan)

    return form


def _f1(outcome: Outcome) -> Form:
    """Harmonic mean of precision and recall."""
    tallies = _tallies(outcome)

    def form(weights: Array) -> Array:
        found, actual, predicted = tallies(weights)
        each = _ratio(2 * found, actual + predicted, 0.0)
        return _class_mean(outcome, each, actual + predicted > 0)

    return form


def _precision(outcome: Outcome) -> Form:
    """Share of the rows taken for a class that belong to it; 0 where none was."""
    tallies = _tallies(outcome)

    def form(weights: Array) -> Array:
        found, actual, predicted = tallies(weights)
        return _class_mean(outcome, _ratio(found, predicted, 0.0), actual + predicted > 0)

    return form


def _recall(outcome: Outcome) -> Form:
    """Share of a class that was found; 0 where there is none of it."""
    tallies = _tallies(outcome)

    def form(weights: Array) -> Array:
        found, actual, predicted = tallies(weights)
        return _class_mean(outcome, _ratio(found, actual, 0.0), actual + predicted > 0)

    return form


def _roc_auc(outcome: Outcome) -> Form:
    """Share of pairs that are ranked right; of many classes, the mean of each against the rest."""
    shares, positive = np.asarray(outcome.probabilities), outcome.positive
    columns = range(outcome.classes) if positive is None else [positive]
    forms = [_ranked_pairs(outcome.truth == c, shares[:, c]) for c in columns]
    if len(forms) == 1:
        return forms[0]

    def form(weights: Array) -> Array:
        each = np.stack([one(weights) for one in forms])
        defined = np.isfinite(each)
        return _ratio(np.where(defined, each, 0.0).sum(axis=0), defined.sum(axis=0) * 1.0, np.nan)

    return form


def _ranked_pairs(truth: NDArray[np.bool_], scores: Array) -> Form:
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

    def form(weights: Array) -> Array:
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

    return form


def _mean(each: Array) -> Form:
    """The weighted mean of a loss per row."""
    return lambda weights: (weights @ each) / weights.sum(axis=1)


def _log_loss(outcome: Outcome) -> Form:
    """Mean negative logarithm (nats) of the probability that the true class was given."""
    given = np.asarray(outcome.probabilities)[np.arange(len(outcome.truth)), outcome.truth]
    smallest = float(np.finfo(float).eps)
    return _mean(-np.log(np.clip(given, smallest, 1 - smallest)))


def _errors(outcome: Outcome) -> Array:
    """What was predicted minus what is true, in the target's unit."""
    errors: Array = np.asarray(outcome.values) - outcome.truth
    return errors


def _mae(outcome: Outcome) -> Form:
    """Mean absolute error, in the target's unit."""
    return _mean(np.abs(_errors(outcome)))


def _rmse(outcome: Outcome) -> Form:
    """Root of the mean squared error, in the target's unit."""
    mean = _mean(_errors(outcome) ** 2)

    def form(weights: Array) -> Array:
        root: Array = np.sqrt(mean(weights))
        return root

    return form


def _mape(outcome: Outcome) -> Form:
    """Mean absolute error as a share of the true value; nan where a true value is 0."""
    size = np.abs(outcome.truth)
    return _mean(_ratio(np.abs(_errors(outcome)), size, np.nan))


def _r2(outcome: Outcome) -> Form:
    """Share of the target's variance that the model explains; nan for a constant target."""
    squares = _mean(_errors(outcome) ** 2)
    centred = outcome.truth - outcome.truth.mean()
    second, first = _mean(centred**2), _mean(centred)

    def form(weights: Array) -> Array:
        variance = second(weights) - first(weights) ** 2
        explained: Array = 1 - _ratio(squares(weights), variance, np.nan)
        return explained

    return form


CLASSES, NUMBERS = "classification", "regression"
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", "ROC AUC", _roc_auc, True, 1.0, "probability", CLASSES),
        Metric("log_loss", "Log loss", _log_loss, False, 0.0, "probability", CLASSES),
        Metric("accuracy", "Accuracy", _accuracy, True, 1.0, "label", CLASSES),
        Metric("balanced_accuracy", "Balanced accuracy", _balanced, True, 1.0, "label", CLASSES),
        Metric("f1", "F1", _f1, True, 1.0, "label", CLASSES),
        Metric("precision", "Precision", _precision, True, 1.0, "label", CLASSES),
        Metric("recall", "Recall", _recall, True, 1.0, "label", CLASSES),
        Metric("rmse", "RMSE", _rmse, False, 0.0, "value", NUMBERS),
        Metric("mae", "MAE", _mae, False, 0.0, "value", NUMBERS),
        Metric("r2", "R²", _r2, True, 1.0, "value", NUMBERS),
        Metric("mape", "MAPE", _mape, False, 0.0, "value", NUMBERS),
    )
}
