"""Metrics of custom.py: a function of truth and predictions becomes one of weights.

A function is called with the counts of a resample as `sample_weight`. What it must not do is
refused in one sentence: fail, return nan, leave the weights out, or be better than perfect.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import registry
from ..core.errors import UserError, failure
from . import MetricFunction
from .predictions import PredictionsWithTruth

Array = NDArray[np.float64]
# What the second parameter is called, and the part of the predictions that it gets.
NEEDS = {"y_pred": "labels", "y_proba": "probabilities"}
# Rows on which a function has to use weights as if rows were repeated.
TRIED_ROWS = 200
_TRIED: set[Callable[..., Any]] = set()


def team_metrics() -> dict[str, MetricFunction]:
    """Return the metrics that custom.py declares, by name."""
    found = registry.declared("METRICS", registry.team())
    return {
        name: each if isinstance(each, MetricFunction) else MetricFunction(each)
        for name, each in found.items()
    }


def needs_of(name: str, metric: MetricFunction) -> str:
    """Return the part of the predictions that a metric is computed from.

    Raises:
        UserError: If its parameters do not say so, or it takes no weights.
    """
    parameters = _parameters(metric)
    second = parameters[1] if len(parameters) > 1 else ""
    if second not in NEEDS or "sample_weight" not in parameters:
        raise UserError(
            f"{_place(name)} takes ({', '.join(parameters)}); its parameters have to be y_true, "
            "then y_pred (classes or values) or y_proba (probabilities), and sample_weight=None."
        )
    return NEEDS[second]


def _parameters(metric: MetricFunction) -> list[str]:
    """Return the names of a metric's parameters; none where Python does not know them."""
    try:
        return list(inspect.signature(metric.function).parameters)
    except (TypeError, ValueError):
        return []


def perfect_of(metric: MetricFunction) -> float:
    """Return what a faultless model scores."""
    if metric.perfect is None:
        return 1.0 if metric.greater_is_better else 0.0
    return metric.perfect


def weighted_metric(
    name: str, metric: MetricFunction, labelled: PredictionsWithTruth
) -> Callable[[Array], Array]:
    """Return the function from weights (resamples, rows) to the metric (resamples,).

    Raises:
        UserError: If the metric does not use its weights.
    """
    truth, given = _arguments(name, metric, labelled)
    asked = _with_positive(metric, labelled)
    if metric.function not in _TRIED and len(truth):
        _try_weights(name, asked, truth[:TRIED_ROWS], given[:TRIED_ROWS])
        _TRIED.add(metric.function)

    def weighted(weights: Array) -> Array:
        return np.array([_value(name, asked, truth, given, each) for each in weights])

    return weighted


def _place(name: str) -> str:
    """Return how a sentence names a metric."""
    return f"The metric '{name}' of custom.py"


def _arguments(
    name: str, metric: MetricFunction, labelled: PredictionsWithTruth
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the truth, and what was predicted: classes by their names, as the data has them."""
    if labelled.values is not None:
        return labelled.truth, labelled.values
    words = any(isinstance(each, str) for each in labelled.names)
    names = np.array(labelled.names, dtype=object if words else None)
    if needs_of(name, metric) == "labels":
        return names[labelled.truth], names[np.asarray(labelled.labels)]
    shares = np.asarray(labelled.probabilities)
    if labelled.positive is not None:
        shares = shares[:, labelled.positive]
    return names[labelled.truth], shares


def _with_positive(metric: MetricFunction, labelled: PredictionsWithTruth) -> MetricFunction:
    """Return a metric that gets the class to find, if it has the parameter `positive`."""
    if "positive" not in _parameters(metric):
        return metric
    at = labelled.positive
    positive = None if at is None else labelled.names[at]
    return metric._replace(function=partial(metric.function, positive=positive))


def _value(
    name: str, metric: MetricFunction, truth: NDArray[Any], given: NDArray[Any], weights: Array
) -> float:
    """Return the metric of the rows that have a weight.

    A resample may lack a class, and the metric then be undefined: nan, as of any other metric.

    Raises:
        UserError: If every row has a weight, and the metric fails or is not a number.
    """
    kept = weights > 0
    try:
        value = float(metric.function(truth[kept], given[kept], sample_weight=weights[kept]))
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever the team's code raises
        if not kept.all():
            return math.nan
        raise failure(_place(name), error) from error
    if kept.all():
        _refuse_odd(name, metric, value)
    return value


def _refuse_odd(name: str, metric: MetricFunction, value: float) -> None:
    """Refuse a value from which no skill follows."""
    if not math.isfinite(value):
        raise UserError(
            f"{_place(name)} returned {value}; let it return a number for every set of rows, such "
            "as 0 where it is not defined."
        )
    perfect = perfect_of(metric)
    ahead = value - perfect if metric.greater_is_better else perfect - value
    if ahead > 1e-9 * max(1.0, abs(perfect)):
        raise UserError(
            f"{_place(name)} returned {value:g}, better than {perfect:g}, which counts as perfect; "
            "declare its best value and its direction: MetricFunction(function, "
            "greater_is_better=..., perfect=...)."
        )


def _try_weights(
    name: str, metric: MetricFunction, truth: NDArray[Any], given: NDArray[Any]
) -> None:
    """Refuse a metric for which a row of weight 2 is not the same as two rows."""
    counts = 1 + np.arange(len(truth)) % 3
    value = _value(name, metric, truth, given, counts.astype(float))
    repeated = np.repeat(truth, counts), np.repeat(given, counts, axis=0)
    wanted = _value(name, metric, *repeated, np.ones(counts.sum()))
    if not math.isclose(value, wanted, rel_tol=1e-6, abs_tol=1e-9):
        raise UserError(
            f"{_place(name)} does not use sample_weight as the number of times that a row counts: "
            f"it returns {value:g} with weights and {wanted:g} with rows repeated; correct it."
        )
