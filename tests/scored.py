"""Predictions of mediocre models beside the truth, and scikit-learn's scores of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from mlproj.evaluation.predictions import Predictions, PredictionsWithTruth
from mlproj.tasks.classification import CLASSIFICATION
from mlproj.tasks.regression import REGRESSION
from sklearn import metrics as reference


def label(
    truth: Any, *, classes: Any = (), positive: Any = None, **predicted: Any
) -> PredictionsWithTruth:
    """Return predictions beside the truth: of classes where there are some, else of numbers."""
    task = CLASSIFICATION if len(classes) else REGRESSION
    arrays = {name: np.asarray(values) for name, values in predicted.items()}
    return task.with_truth(truth, Predictions(**arrays), classes, positive)


def classes(rows: int, number: int, seed: int, *, ties: bool = False) -> PredictionsWithTruth:
    """Predictions of a mediocre classifier; with ties, few different probabilities."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, number, rows)
    logits = random.normal(size=(rows, number))
    logits[np.arange(rows), truth] += 1
    shares = np.exp(logits)
    if ties:
        shares = np.round(shares) + 1
    shares /= shares.sum(axis=1, keepdims=True)
    return label(truth, probabilities=shares, classes=list(range(number)))


def numbers(rows: int, seed: int) -> PredictionsWithTruth:
    """Predictions of a mediocre regression."""
    random = np.random.default_rng(seed)
    truth = random.normal(10, 3, rows)
    return label(truth, values=truth + random.normal(size=rows))


def scikit_learns(labelled: PredictionsWithTruth, weights: np.ndarray) -> dict[str, float]:
    """The same metrics from scikit-learn."""
    truth, options = labelled.truth, {"sample_weight": weights}
    if labelled.values is not None:
        values = labelled.values
        return {
            "rmse": reference.root_mean_squared_error(truth, values, **options),
            "mae": reference.mean_absolute_error(truth, values, **options),
            "r2": reference.r2_score(truth, values, **options),
            "mape": reference.mean_absolute_percentage_error(truth, values, **options),
        }
    labels, shares = labelled.labels, labelled.probabilities
    assert shares is not None
    binary = labelled.classes == 2
    each = {"average": "binary" if binary else "macro", "zero_division": 0, **options}
    return {
        "roc_auc": reference.roc_auc_score(
            truth, shares[:, 1] if binary else shares, multi_class="ovr", **options
        ),
        "log_loss": reference.log_loss(truth, shares, labels=range(labelled.classes), **options),
        "accuracy": reference.accuracy_score(truth, labels, **options),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, labels, **options),
        "f1": reference.f1_score(truth, labels, **each),
        "precision": reference.precision_score(truth, labels, **each),
        "recall": reference.recall_score(truth, labels, **each),
    }
