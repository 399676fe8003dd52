"""How a column is distributed, reduced to counts, so that the rows need not be kept."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..data.schema import Column

# Fine enough for a Kolmogorov-Smirnov test to lose little: at most 0.02 of its statistic.
BINS = 50
BUCKETS = 16
# Edges lie this much (relatively) beside a value, but short of the next, so that a value which came
# by way of float32, as in a service, falls on the same side as the one that it was.
BESIDE = 1e-6


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
