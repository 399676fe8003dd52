"""What the training data looked like, as later data is compared with it (`reference.json`).

Features and target are those of train; equal rows count as often as the source held them, since
later rows come with their copies. What the model says, and how good it is, is that of valid: on the
rows that it was fitted on, a model is surer and better than on any later ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..evaluation.bootstrap import bootstrap
from ..evaluation.distributions import describe, describe_numbers
from .bundle import baseline_with_truth, with_truth

if TYPE_CHECKING:
    from ..data.schema import Schema
    from ..evaluation.predictions import Predictions

REFERENCE_VERSION = 2
ROWS = 50_000
RESAMPLES = 200


def make_reference(
    schema: Schema,
    document: Mapping[str, Any],
    train: pd.DataFrame,
    copies: NDArray[np.int64],
    predictions: Predictions,
    truth: NDArray[Any],
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
    - `metrics`, of valid: each with its value and bootstrap interval, at 95%.

    Args:
        schema: The columns.
        document: What bundle.json says of the model.
        train: The rows that the model was fitted on, or a sample of them.
        copies: How often each of these counts.
        predictions: For valid.
        truth: The target on valid.
    """
    places = np.repeat(np.arange(len(train)), copies)
    sample = train.iloc[places[:: max(1, -(-len(places) // ROWS))]]
    target = schema.column(document["target"])
    return {
        "version": REFERENCE_VERSION,
        "rows": round(float(copies.mean()) * document["rows"]["train"]),
        "sampled": len(sample),
        "features": {each.name: describe(sample[each.name], each) for each in schema.features},
        "target": _target(sample[target.name], document),
        "prediction": _prediction(document, predictions, truth),
        "metrics": _metrics(document, predictions, truth),
    }


def _target(values: pd.Series[Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the target's statistics: counts by class, or bins."""
    present = values.dropna()
    if not document["classes"]:
        return describe_numbers(present.to_numpy(dtype=np.float64))
    found = {str(value): int(count) for value, count in present.value_counts().items()}
    return {"counts": {str(name): found.get(str(name), 0) for name in document["classes"]}}


def _prediction(
    document: Mapping[str, Any], predicted: Predictions, truth: NDArray[Any]
) -> dict[str, Any]:
    """Return what the model said of valid."""
    if predicted.probabilities is None:
        return {"rows": len(truth), "values": describe_numbers(np.asarray(predicted.values))}
    names = [str(name) for name in document["classes"]]
    codes = pd.Index(document["classes"]).get_indexer(pd.Index(np.asarray(predicted.labels)))
    labels = np.bincount(codes, minlength=len(names)).tolist()
    known = pd.Index(document["classes"]).get_indexer(pd.Index(truth))
    seen = known >= 0  # valid may hold a class that train lacks
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (known[seen], codes[seen]), 1)
    return {
        "rows": len(truth),
        "classes": {
            name: describe_numbers(predicted.probabilities[:, at]) for at, name in enumerate(names)
        },
        "labels": {"counts": dict(zip(names, labels, strict=True))},
        "confusion": confusion.tolist(),
    }


def _metrics(
    document: Mapping[str, Any], predictions: Predictions, truth: NDArray[Any]
) -> dict[str, Any]:
    """Return each metric on valid with its interval."""
    labelled = with_truth(document, truth, predictions)
    baseline = baseline_with_truth(document, labelled)
    found, _ = bootstrap(
        labelled,
        baseline,
        document["metric"],
        resamples=RESAMPLES,
        seed=document["seed"],
    )
    return {name: vars(each) for name, each in found.items()}
