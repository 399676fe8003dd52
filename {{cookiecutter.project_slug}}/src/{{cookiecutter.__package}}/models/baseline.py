"""The naive baseline, which every model has to beat."""

from typing import Any

from sklearn.dummy import DummyClassifier, DummyRegressor

from . import Candidate, configure

LABEL = "BASELINE"


def baseline(task: str, seed: int, params: dict[str, Any]) -> Candidate:
    """Predict the share of each class, or the mean, whatever the row says."""
    if task == "classification":
        estimator = configure(DummyClassifier, "baseline", params, strategy="prior")
    else:
        estimator = configure(DummyRegressor, "baseline", params, strategy="mean")
    return Candidate("baseline", LABEL, "constant", estimator)
