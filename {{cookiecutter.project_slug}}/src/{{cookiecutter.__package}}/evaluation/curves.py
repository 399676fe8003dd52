"""Curves and tables of a model's errors, as data: ranking, calibration, confusion, residuals.

Each takes the evaluated model (`diagnostics.Subject`); a task names those that suit it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.split import draw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .diagnostics import Subject

POINTS = 200
CURVES = 6
MATRIX = 20
MOST_BINS, FEWEST_BINS, ROWS_OF_BIN = 10, 3, 20
RESIDUALS = 1_000
TEXT_SHOWN = 60


def roc(subject: Subject) -> list[dict[str, Any]]:
    """Return a curve per class: [false positive rate, true positive rate]."""
    from sklearn.metrics import auc, roc_curve

    curves = []
    for name, truth, probability in _one_against_rest(subject):
        if not truth.all():
            false, true, _ = roc_curve(truth, probability, sample_weight=subject.labelled.weights)
            area = significant(auc(false, true))
            curves.append({"class": name, "area": area, "points": _thin(false, true)})
    return curves


def precision_recall(subject: Subject) -> list[dict[str, Any]]:
    """Return a curve per class: [recall, precision]."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    curves = []
    weights = subject.labelled.weights
    for name, truth, probability in _one_against_rest(subject):
        precision, recall, _ = precision_recall_curve(truth, probability, sample_weight=weights)
        area = average_precision_score(truth, probability, sample_weight=weights)
        curves.append(
            {
                "class": name,
                "area": significant(area),
                "share": significant(np.average(truth, weights=weights)),
                "points": _thin(recall[::-1], precision[::-1]),
            }
        )
    return curves


def calibration(subject: Subject) -> dict[str, Any]:
    """Return how often a probability came true, in bins of equal width.

    Of two classes the one to find; of many the predicted one. Bins are fewer where rows are few.
    `error` is the expected calibration error (Naeini et al., 2015): the mean gap, weighted by rows.
    Where rows have weights, shares follow these, and intervals the effective number of rows, which
    is their sum squared over the sum of their squares (Kish, 1965).
    """
    labelled = subject.labelled
    shares = np.asarray(labelled.probabilities)
    if labelled.positive is not None:
        predicted, observed = shares[:, labelled.positive], labelled.truth == labelled.positive
        about = str(subject.bundle.classes[labelled.positive])
    else:
        predicted, observed = shares.max(axis=1), labelled.truth == shares.argmax(axis=1)
        about = "the likeliest class"
    number = int(np.clip(len(predicted) // ROWS_OF_BIN, FEWEST_BINS, MOST_BINS))
    bins = np.minimum((predicted * number).astype(int), number - 1)
    weights = np.ones(len(bins)) if labelled.weights is None else labelled.weights
    count = np.bincount(bins, minlength=number)
    filled = count > 0
    weight = np.bincount(bins, weights, number)[filled]
    mean = np.bincount(bins, weights * predicted, number)[filled] / weight
    share = np.bincount(bins, weights * observed, number)[filled] / weight
    low, high = _wilson(share, weight**2 / np.bincount(bins, weights**2, number)[filled])
    error = float(np.average(np.abs(mean - share), weights=weight))
    columns = {"mean": mean, "share": share, "low": low, "high": high, "count": count[filled]}
    return {
        "about": about,
        "error": significant(error),
        "bins": [
            {name: plain(values[place]) for name, values in columns.items()}
            for place in range(len(mean))
        ],
    }


def confusion(subject: Subject) -> dict[str, Any]:
    """Return how often each class (row) was taken for each (column), weighted as the rows are.

    Of more than `MATRIX` classes the most frequent stay, the others become one.
    """
    labelled = subject.labelled
    names = [str(name) for name in subject.bundle.classes]
    if labelled.classes > len(names):
        names.append("(not in train)")
    truth, labels = labelled.truth, np.asarray(labelled.labels)
    if len(names) > MATRIX:
        kept = np.sort(
            np.argsort(-np.bincount(truth, minlength=len(names)), kind="stable")[:MATRIX]
        )
        place = np.full(len(names), MATRIX)
        place[kept] = np.arange(MATRIX)
        truth, labels = place[truth], place[labels]
        names = [*(names[code] for code in kept), "(other)"]
    size = len(names)
    counts = np.bincount(truth * size + labels, labelled.weights, size * size).reshape(size, size)
    if labelled.weights is not None:
        counts = counts.round(1)
    return {"classes": names, "counts": counts.tolist()}


def residuals(subject: Subject) -> dict[str, Any]:
    """Return predictions and truth of a sample of rows, and what the errors look like."""
    truth, values = subject.labelled.truth, np.asarray(subject.labelled.values)
    errors = values - truth
    drawn = draw(len(truth), RESIDUALS, subject.seed)
    levels, weights = (5, 25, 50, 75, 95), subject.labelled.weights
    mean = np.average(errors, weights=weights)
    spread = math.sqrt(np.average((errors - mean) ** 2, weights=weights))
    weighing: Any = {} if weights is None else {"weights": weights, "method": "inverted_cdf"}
    return {
        "points": [
            [significant(v), significant(t)]
            for v, t in zip(values[drawn], truth[drawn], strict=True)
        ],
        "mean": significant(mean),
        "std": significant(spread),
        "quantiles": {
            f"{level}": significant(value)
            for level, value in zip(levels, np.percentile(errors, levels, **weighing), strict=True)
        },
    }


def _one_against_rest(
    subject: Subject,
) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.float64]]]:
    """Yield name, truth and probability of each class that gets a curve.

    Of two classes the one to find, of many the most frequent ones; a class without a row gets none.
    """
    labelled, names = subject.labelled, subject.bundle.classes
    if labelled.positive is not None:
        codes = [labelled.positive]
    else:
        count = np.bincount(labelled.truth, minlength=labelled.classes)[: len(names)]
        likely = np.argsort(-count, kind="stable")[:CURVES]
        codes = sorted(code for code in likely if 0 < count[code] < len(labelled))
    for code in codes:
        truth = labelled.truth == code
        if truth.any():
            yield str(names[code]), truth, np.asarray(labelled.probabilities)[:, code]


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
    return [[significant(x), significant(y)] for x, y in zip(across, up, strict=True)]


def significant(value: Any) -> float:
    """Keep six significant digits: a report is read, and the last bits differ between machines."""
    return float(f"{float(value):.6g}")


def plain(value: Any) -> Any:
    """Return a cell as JSON takes it; long texts are cut."""
    if pd.isna(value):
        return None
    if isinstance(value, float | np.floating):
        return significant(value)
    if isinstance(value, int | np.integer | np.bool_ | bool):
        return value.item() if isinstance(value, np.generic) else value
    text = str(value)
    return text if len(text) <= TEXT_SHOWN else text[: TEXT_SHOWN - 1] + "…"
