"""How sure a score is: percentile intervals from resampled rows (Efron, 1979)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .metrics import Array, Weighted, distinct_rows, metrics_by_need, score, show
from .predictions import PredictionsWithTruth

LEVEL = 0.95
# Resamples are drawn in blocks of about this many weights, which stay in a processor's cache.
BLOCK = 100_000
# More rows than this narrow an interval as the square root foretells, and need not be resampled.
ROWS = 20_000


@dataclass(frozen=True)
class Interval:
    """A value with the bounds of its bootstrap interval, at the level `LEVEL`."""

    value: float
    low: float
    high: float


def in_words(low: float | None, high: float | None) -> str:
    """Return an interval for people."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    return f"{show(low)} to {show(high)}"


def bootstrap(
    model: PredictionsWithTruth,
    baseline: PredictionsWithTruth | None,
    metric: str,
    *,
    resamples: int = 1000,
    seed: int = 42,
    rows: int = ROWS,
) -> tuple[dict[str, Interval], Interval]:
    """Return percentile intervals (Efron, 1979) of every metric, and of one difference.

    Args:
        model: The model's predictions beside the truth.
        baseline: The baseline's, of the same rows: they are resampled together with the model's.
            None where nobody asks for the difference.
        metric: The one whose difference, model minus baseline, is returned.
        resamples: How many are drawn.
        seed: Of the draws.
        rows: Above so many, a seeded draw of them is resampled. Intervals stand around the values
            of all rows and are as wide as for all of them: the spread of a mean over n rows falls
            with the square root of n, so deviations are multiplied by the root of the share drawn.

    Returns:
        The intervals by metric, and that of the difference; nan where a metric is not defined.
    """
    baseline = model if baseline is None else baseline
    values, base = score(model), score(baseline)
    random = np.random.default_rng(seed)
    scale = math.sqrt(min(1.0, rows / len(model)))
    if len(model) > rows:
        drawn = np.sort(random.choice(len(model), rows, replace=False))
        model, baseline = model.take(drawn), baseline.take(drawn)
    intervals: dict[str, Interval] = {}
    difference = Interval(np.nan, np.nan, np.nan)
    for needs, metrics in metrics_by_need(model).items():
        (of_model, of_baseline), counts, place = distinct_rows(needs, model, baseline)
        functions = {each.name: each.prepare(of_model) for each in metrics}
        decides = next((each for each in metrics if each.name == metric), None)
        if decides is not None:
            functions["baseline"] = decides.prepare(of_baseline)
        if model.weights is None:
            draws = _draw_blocks(counts, resamples, random)
        else:
            rows_drawn = _draw_blocks(np.ones(len(model)), resamples, random)
            draws = _weigh(rows_drawn, model.weights, place)
        deviations = _deviations(functions, counts, draws)
        spread = {name: scale * each for name, each in deviations.items()}
        for each in metrics:
            intervals[each.name] = _interval(values[each.name], spread[each.name])
        if decides is not None:
            gap = spread[metric] - spread["baseline"]
            difference = _interval(values[metric] - base[metric], gap)
    return {name: intervals[name] for name in values}, difference


def _deviations(
    functions: Mapping[str, Weighted], counts: Array, draws: Iterable[Array]
) -> dict[str, Array]:
    """Return each metric on resamples of the rows, minus its value on the rows themselves.

    All metrics see the same resamples.
    """
    found: dict[str, list[Array]] = {name: [] for name in functions}
    for weights in draws:
        for name, function in functions.items():
            found[name].append(function(weights))
    here = {name: float(each(counts[np.newaxis])[0]) for name, each in functions.items()}
    return {name: np.concatenate(parts) - here[name] for name, parts in found.items()}


def _draw_blocks(counts: Array, resamples: int, random: np.random.Generator) -> Iterator[Array]:
    """Yield how often each row is in each resample, in blocks; see `_draw_counts`."""
    block = max(1, BLOCK // len(counts))
    for start in range(0, resamples, block):
        yield _draw_counts(counts, min(block, resamples - start), random)


def _weigh(
    draws: Iterable[Array], weights: Array, place: NDArray[np.intp] | None
) -> Iterator[Array]:
    """Yield resamples in which each row counts by its weight, as often as it was drawn.

    Args:
        draws: How often each row is in each resample; (resamples, rows).
        weights: Of the rows; (rows,).
        place: The cell in which each row is counted; None where each is its own.
    """
    if place is None:
        yield from (drawn * weights for drawn in draws)
        return
    order = np.argsort(place, kind="stable")
    begins = np.flatnonzero(np.diff(place[order], prepend=-1))
    for drawn in draws:
        yield np.add.reduceat((drawn * weights)[:, order], begins, axis=1)


def _draw_counts(counts: Array, resamples: int, random: np.random.Generator) -> Array:
    """Return how often each row is in each resample, (resamples, rows).

    Args:
        counts: How often each row occurs; (rows,).
        resamples: How many are drawn.
        random: Draws them.
    """
    rows, total = len(counts), int(counts.sum())
    if total > rows:  # cells that stand for several rows each
        return random.multinomial(total, counts / total, size=resamples).astype(float)
    drawn = random.integers(0, rows, size=(resamples, rows))
    drawn += np.arange(0, resamples * rows, rows)[:, np.newaxis]
    occurring = np.bincount(drawn.ravel(), minlength=resamples * rows)
    return occurring.reshape(resamples, rows).astype(float)


def _interval(value: float, deviations: Array) -> Interval:
    """Return the interval around a value from the deviations of the resamples."""
    defined = deviations[np.isfinite(deviations)]
    if not len(defined) or not np.isfinite(value):
        return Interval(value, np.nan, np.nan)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Interval(value, value + float(low), value + float(high))
