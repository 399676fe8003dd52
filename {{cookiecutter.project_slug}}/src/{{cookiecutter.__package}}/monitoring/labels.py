"""What labels say, and what can be said before they are there: label shift and concept drift."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..bundle.bundle import Bundle, with_truth
from ..evaluation.bootstrap import Interval, bootstrap, in_words
from ..evaluation.drift import Finding, compare_names, compare_numbers
from ..evaluation.metrics import find_metric, number, show, skill
from ..evaluation.predictions import Predictions, PredictionsWithTruth

if TYPE_CHECKING:
    from .window import Window

LEAST_LABELLED = 30
LEAST_OF_A_CLASS = 5
RESAMPLES = 500
NORMAL = 1.96  # half-width of a 95% interval in standard errors
# A confusion matrix that blurs classes more than this does not tell their shares.
WORST_CONDITION = 100.0


def compare_target(
    bundle: Bundle, reference: Mapping[str, Any], truth: pd.Series[Any], bar: float
) -> Finding:
    """Compare labels with those of train: label shift, seen directly."""
    name = str(bundle.document["target"])
    if "edges" in reference["target"]:
        values = truth.to_numpy(dtype=np.float64)
        return compare_numbers("target", name, values, reference["target"], bar)
    return compare_names("target", name, truth.map(str), reference["target"]["counts"], bar)


def compare_predictions(
    bundle: Bundle, reference: Mapping[str, Any], predictions: Predictions, bar: float
) -> list[Finding]:
    """Compare the predictions with those for valid, in all parts that the reference describes."""
    known, found = reference["prediction"], []
    if "values" in known and predictions.values is not None:
        values = predictions.values[np.isfinite(predictions.values)]
        found.append(compare_numbers("prediction", "value", values, known["values"], bar))
    if "labels" in known and predictions.labels is not None:
        labels = pd.Series(predictions.labels).map(str)
        found.append(compare_names("prediction", "class", labels, known["labels"]["counts"], bar))
    if "classes" in known and predictions.probabilities is not None:
        # Of two classes one probability says all.
        names = [str(name) for name in bundle.classes]
        for at in range(1 if len(names) == 2 else 0, len(names)):
            shares, bins = predictions.probabilities[:, at], known["classes"][names[at]]
            title = f"probability of {names[at]}"
            found.append(compare_numbers("prediction", title, shares, bins, bar))
    return found


def estimate_shares(
    bundle: Bundle, reference: Mapping[str, Any], predictions: Predictions
) -> dict[str, Any] | None:
    """Estimate the classes' shares before any label is there (black-box shift estimation).

    Solves C w = m, with C the joint distribution of predicted and true class on valid and m the
    predicted classes now; w then is the factor by which each class became more frequent (Lipton et
    al., 2018). It holds where the classes look as they did, and only their shares changed.

    Returns:
        By class its share on valid, the estimate, and a 95% interval of it from resampled counts;
        None where no classes are predicted, valid has too few rows, or the model confuses classes.
    """
    known = reference["prediction"]
    if "confusion" not in known or predictions.labels is None:
        return None
    confusion = np.asarray(known["confusion"], dtype=np.float64).T  # predicted, true
    rows = confusion.sum()
    if confusion.sum(axis=0).min() < LEAST_OF_A_CLASS:
        return None
    if np.linalg.cond(confusion / rows) > WORST_CONDITION:
        return None
    names = [str(name) for name in bundle.classes]
    counts = pd.Series(predictions.labels).map(str).value_counts()
    now = np.array([float(counts.get(name, 0)) for name in names])
    shares = _solve(confusion[np.newaxis], now[np.newaxis])[0]
    low, high = _interval(confusion, now)
    before = confusion.sum(axis=0) / rows
    columns = zip(names, before, shares, low, high, strict=True)
    return {
        name: {"reference": float(was), "estimate": float(share), "low": float(a), "high": float(b)}
        for name, was, share, a, b in columns
    }


def _solve(confusion: NDArray[np.float64], now: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the classes' shares (draws, classes) from counts: (draws, classes, classes)."""
    joint = confusion / confusion.sum(axis=(1, 2), keepdims=True)
    predicted = now / now.sum(axis=1, keepdims=True)
    weights = np.linalg.solve(joint, predicted[..., np.newaxis])[..., 0]
    shares: NDArray[np.float64] = np.clip(weights, 0, None) * joint.sum(axis=1)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def _interval(
    confusion: NDArray[np.float64], now: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bounds of each share, from redrawn counts of both samples."""
    random = np.random.default_rng(0)
    size = len(now)
    # Half a row more in each cell keeps a redrawn matrix from being singular.
    cells = random.multinomial(int(confusion.sum()), confusion.ravel() / confusion.sum(), RESAMPLES)
    matrices = cells.reshape(-1, size, size) + 0.5 * np.eye(size)
    counts = random.multinomial(int(now.sum()), now / now.sum(), RESAMPLES)
    low, high = np.quantile(_solve(matrices, counts.astype(float)), [0.025, 0.975], axis=0)
    return low, high


def compare_performance(
    bundle: Bundle, reference: Mapping[str, Any], window: Window, bar: float
) -> tuple[Finding | None, dict[str, Any] | None]:
    """Compare the metric on rows with labels with its interval on valid: concept drift.

    One-sided, for a loss: the difference over its standard error, of both samples' bootstrap
    (Efron, 1979). Each is taken to be at least what the other's is, scaled to its number of rows: a
    bootstrap of few rows is too sure, above all where these rows happen to be easy.

    Returns:
        The comparison and its facts; None where too few labels are there.
    """
    labelled = labelled_rows(bundle, window)
    name = str(bundle.document["metric"])
    measured, base = reference["metrics"], bundle.document["baseline"]["metrics"]
    if window.weights is None and "unweighted" in reference:  # so are the rows
        measured, base = (reference["unweighted"][each] for each in ("metrics", "baseline"))
    if labelled is None or len(labelled) < LEAST_LABELLED or name not in measured:
        return None, None
    metric = find_metric(name)
    if getattr(labelled, metric.part(labelled)) is None:
        return None, None
    before = Interval(**{key: number(value) for key, value in measured[name].items()})
    intervals, _ = bootstrap(labelled, None, name, resamples=RESAMPLES)
    now, rows = intervals[name], len(labelled)
    if not (math.isfinite(now.value) and math.isfinite(before.value)):
        return None, None
    floor = float(base[name])
    lost = skill(name, before.value, floor) - skill(name, now.value, floor)
    p = _worse(before, now, reference["prediction"]["rows"], rows, metric.greater_is_better)
    story = (
        f"{metric.title} is {show(now.value)} ({in_words(now.low, now.high)}) on {rows:,} rows "
        f"with labels, {show(before.value)} ({in_words(before.low, before.high)}) on valid"
    )
    finding = Finding(
        about="performance",
        name=metric.title,
        method="difference of two intervals",
        statistic=now.value - before.value,
        p=p,
        measure="skill lost",
        size=lost,
        bar=bar,
        story=story,
    )
    facts = {"metric": name, "rows": rows, "now": vars(now), "reference": vars(before)}
    if bundle.schema.weight is not None:
        facts["weighted"] = window.weights is not None
    return finding, {**facts, "skill_lost": lost}


def labelled_rows(bundle: Bundle, window: Window) -> PredictionsWithTruth | None:
    """Return truth and predictions of the rows with a label, weighted where they have weights.

    None where there are none.
    """
    truth, predictions = window.truth, window.labelled_predictions
    if truth is None or predictions is None:
        return None
    column = bundle.schema.column(bundle.document["target"])
    kind = {"integer": "int64", "boolean": "bool", "number": "float64"}.get(column.type, object)
    labelled = with_truth(bundle.document, truth.to_numpy(dtype=kind), predictions)
    return labelled.weighted(window.weights)


def _worse(before: Interval, now: Interval, n: int, m: int, greater_is_better: bool) -> float:
    """Return the one-sided p of a loss."""
    from scipy.stats import norm

    def error(each: Interval) -> float:
        return (each.high - each.low) / (2 * NORMAL)

    # Towards the worse, an interval is wider: the side on which chance makes a loss counts.
    def towards_worse(each: Interval) -> float:
        reach = each.value - each.low if greater_is_better else each.high - each.value
        return reach / NORMAL

    loss = before.value - now.value if greater_is_better else now.value - before.value
    error_before = max(error(before), towards_worse(now) * math.sqrt(m / n))
    error_now = max(error(now), towards_worse(before) * math.sqrt(n / m), 0.5 / m)
    return float(norm.sf(loss / math.hypot(error_before, error_now)))
