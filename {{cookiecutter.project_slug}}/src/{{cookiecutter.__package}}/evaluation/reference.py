"""What the training data looked like, as later data is compared with it (`reference.json`).

Features and target are those of train; equal rows count as often as the source held them, since
later rows come with their copies. What the model says, and how good it is, is that of valid: on the
rows that it was fitted on, a model is surer and better than on any later ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .bootstrap import bootstrap
from .metrics import score

if TYPE_CHECKING:
    from ..data.schema import Column, Schema
    from .predictions import PredictionsWithTruth

REFERENCE_VERSION = 2
ROWS = 50_000
RESAMPLES = 200
# Fine enough for a Kolmogorov-Smirnov test to lose little: at most 0.02 of its statistic.
BINS = 50
BUCKETS = 16
# Edges lie this much (relatively) beside a value, but short of the next, so that a value which came
# by way of float32, as in a service, falls on the same side as the one that it was.
BESIDE = 1e-6


def make_reference(
    schema: Schema,
    document: Mapping[str, Any],
    train: pd.DataFrame,
    copies: NDArray[np.int64],
    labelled: PredictionsWithTruth,
    baseline: PredictionsWithTruth,
) -> dict[str, Any]:
    """Describe each feature and the target on at most 50,000 rows of train, and the predictions.

    - Numbers, dates (in days since 1970) and texts (by their length in characters): `edges` at up
      to 49 quantiles, and below the least value where many rows hold it; `counts` of the bins, of
      which bin i holds `edges[i-1] < value <= edges[i]`, open at both ends; `mean` and `std`.
    - Categories and flags: `counts` by value.
    - Columns of many strings: `counts` by `crc32(value) % 16`, so that no value is kept here.
    - `missing` is the share of missing values, which no count includes.
    - `target`: like a feature; classes have `counts`.
    - `prediction`, of valid: `values` like a number's, or `classes` (the calibrated probability of
      each), `labels` (`counts` by predicted class) and `confusion` (rows: true class; columns:
      predicted class; in the order of the bundle's classes).
    - `rows`: how many the source held for train; estimated where `train` is a sample.
    - `metrics`, of valid: each with its value and bootstrap interval, at 95%. Where rows have
      weights, only these are weighted, and `unweighted` holds `metrics` and the baseline's without.

    Args:
        schema: The columns.
        document: What bundle.json says of the model.
        train: The rows that the model was fitted on, or a sample of them.
        copies: How often each of these counts.
        labelled: The predictions for valid.
        baseline: Those of the baseline.
    """
    places = np.repeat(np.arange(len(train)), copies)
    sample = train.iloc[places[:: max(1, -(-len(places) // ROWS))]]
    target = schema.column(document["target"])
    found = {
        "version": REFERENCE_VERSION,
        "rows": round(float(copies.mean()) * document["rows"]["train"]),
        "sampled": len(sample),
        "features": {each.name: describe(sample[each.name], each) for each in schema.features},
        "target": _target(sample[target.name], document),
        "prediction": _prediction(document, labelled),
        "metrics": _metrics(document, labelled),
    }
    if labelled.weights is not None:  # later rows may come without
        model, floor = (replace(each, weights=None) for each in (labelled, baseline))
        metrics = _metrics(document, model)
        found["unweighted"] = {"metrics": metrics, "baseline": score(floor)}
    return found


def _target(values: pd.Series[Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the target's statistics: counts by class, or bins."""
    present = values.dropna()
    if not document["classes"]:
        return describe_numbers(present.to_numpy(dtype=np.float64))
    found = {str(value): int(count) for value, count in present.value_counts().items()}
    return {"counts": {str(name): found.get(str(name), 0) for name in document["classes"]}}


def _prediction(document: Mapping[str, Any], labelled: PredictionsWithTruth) -> dict[str, Any]:
    """Return what the model said of valid."""
    if labelled.probabilities is None:
        return {"rows": len(labelled), "values": describe_numbers(np.asarray(labelled.values))}
    names = [str(name) for name in document["classes"]]
    labels, truth = np.asarray(labelled.labels), labelled.truth
    counts = np.bincount(labels, minlength=len(names)).tolist()
    seen = truth < len(names)  # valid may hold a class that train lacks
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (truth[seen], labels[seen]), 1)
    return {
        "rows": len(labelled),
        "classes": {
            name: describe_numbers(labelled.probabilities[:, at]) for at, name in enumerate(names)
        },
        "labels": {"counts": dict(zip(names, counts, strict=True))},
        "confusion": confusion.tolist(),
    }


def _metrics(document: Mapping[str, Any], labelled: PredictionsWithTruth) -> dict[str, Any]:
    """Return each metric on valid with its interval."""
    chosen: Any = {"resamples": RESAMPLES, "seed": document["seed"]}
    found, _ = bootstrap(labelled, None, document["metric"], **chosen)
    return {name: vars(each) for name, each in found.items()}


def describe(values: pd.Series[Any], column: Column) -> dict[str, Any]:
    """Return the statistics of one feature."""
    present = values.dropna()
    shared = {"type": column.type, "missing": 1 - len(present) / len(values)}
    if column.type in ("integer", "number", "datetime", "text"):
        return shared | describe_numbers(as_numbers(present, column.type))
    if column.type == "string":
        return shared | {"counts": bucket_counts(present)}
    names = column.categories or ("False", "True")
    by_name = {str(value): int(count) for value, count in present.value_counts().items()}
    return shared | {"counts": {name: by_name.get(name, 0) for name in names}}


def as_numbers(present: pd.Series[Any], kind: str) -> NDArray[np.float64]:
    """Return values that are not missing as numbers: dates as days, texts by their length."""
    if kind == "datetime":
        present = (present - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)
    elif kind == "text":
        present = present.str.len()
    return present.to_numpy(dtype=np.float64)


def bucket_counts(present: pd.Series[Any]) -> list[int]:
    """Return how many values fall into each of 16 buckets, by a hash of their text."""
    counts = present.value_counts()
    buckets = [zlib.crc32(str(value).encode()) % BUCKETS for value in counts.index]
    found: list[int] = np.bincount(buckets, counts, BUCKETS).astype(int).tolist()
    return found


def describe_numbers(values: NDArray[Any]) -> dict[str, Any]:
    """Return bins of about equal counts."""
    if not len(values):
        return {"edges": [], "counts": [0], "mean": None, "std": None}
    edges = _edges(values)
    return {
        "edges": edges.tolist(),
        "counts": count_bins(values, edges).tolist(),
        "mean": float(values.mean()),
        "std": float(values.std()),
    }


def _edges(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return edges just above the quantiles, and just below a least value that is one of them.

    Without the latter, values that training never saw would be taken for that least value: -1 for
    the zeros of a count, or anything smaller for a constant.
    """
    distinct = np.unique(values)
    cuts = np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
    following = np.append(distinct, np.inf)[np.searchsorted(distinct, cuts, side="right")]
    edges: NDArray[np.float64] = cuts + np.minimum(BESIDE * np.abs(cuts), (following - cuts) / 2)
    if cuts[0] > distinct[0]:
        return edges
    return np.insert(edges, 0, np.nextafter(cuts[0] - BESIDE * abs(cuts[0]), -np.inf))


def count_bins(values: NDArray[Any], edges: Any) -> NDArray[np.int64]:
    """Return how many values fall into each bin, of which there is one more than edges."""
    places = np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="left")
    return np.bincount(places, minlength=len(edges) + 1)
