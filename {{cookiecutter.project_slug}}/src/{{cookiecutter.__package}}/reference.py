"""What the training data looked like, as later data is compared with it (`reference.json`)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .bundle import raw_scores, temper
from .features import prepare

if TYPE_CHECKING:
    from .data.schema import Column, Schema

REFERENCE_VERSION = 1
ROWS = 50_000
BINS = 10
BUCKETS = 16


def make_reference(
    model: Any, schema: Schema, document: Mapping[str, Any], train: pd.DataFrame
) -> dict[str, Any]:
    """Describe each feature, and the predictions, on at most 50,000 evenly spread rows of train.

    - Numbers, dates (in days since 1970) and texts (by their length in characters): `edges` at the
      deciles and `counts` of the bins, of which bin i holds `edges[i-1] < value <= edges[i]`, open
      at both ends; also `mean` and `std`.
    - Categories and flags: `counts` by value.
    - Columns of many strings: `counts` by `crc32(value) % 16`, so that no value is kept here.
    - `missing` is the share of missing values, which no count includes.
    - `prediction`: `values` as numbers are, or per class `counts` of its calibrated probability in
      ten equal bins from 0 to 1.
    """
    sample = train.iloc[:: max(1, -(-len(train) // ROWS))]
    raw = raw_scores(model, prepare(sample, schema))
    if document["task"] == "regression":
        prediction: dict[str, Any] = {"values": _bins(raw)}
    else:
        shares = temper(raw, document["calibration"]["temperature"])
        prediction = {"classes": _probability_bins(shares, document["classes"])}
    features = {column.name: _describe(sample[column.name], column) for column in schema.features}
    return {
        "version": REFERENCE_VERSION,
        "rows": len(train),
        "sampled": len(sample),
        "features": features,
        "prediction": prediction,
    }


def _describe(values: pd.Series[Any], column: Column) -> dict[str, Any]:
    """Return the statistics of one feature."""
    present = values.dropna()
    shared = {"type": column.type, "missing": 1 - len(present) / len(values)}
    if column.type in ("integer", "number"):
        return shared | _bins(present.to_numpy(dtype=np.float64))
    if column.type == "datetime":
        days = (present - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)
        return shared | _bins(days.to_numpy(dtype=np.float64))
    if column.type == "text":
        return shared | _bins(present.str.len().to_numpy(dtype=np.float64))
    counts = present.value_counts()
    if column.type == "string":
        buckets = [zlib.crc32(str(value).encode()) % BUCKETS for value in counts.index]
        return shared | {"counts": np.bincount(buckets, counts, BUCKETS).astype(int).tolist()}
    names = column.categories or ("False", "True")
    by_name = {str(value): int(count) for value, count in counts.items()}
    return shared | {"counts": {name: by_name.get(name, 0) for name in names}}


def _bins(values: NDArray[Any]) -> dict[str, Any]:
    """Return bins of about equal counts."""
    if not len(values):
        return {"edges": [], "counts": [0], "mean": None, "std": None}
    edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "mean": float(values.mean()),
        "std": float(values.std()),
    }


def _probability_bins(shares: NDArray[np.float64], classes: list[Any]) -> dict[str, Any]:
    """Return how often each class got which probability."""
    return {
        str(name): np.histogram(shares[:, at], bins=BINS, range=(0, 1))[0].tolist()
        for at, name in enumerate(classes)
    }
