"""scikit-learn's own estimators, from simple to complex."""

from typing import Any

from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge

from . import Candidate, configure


def linear(task: str, seed: int, params: dict[str, Any]) -> Candidate:
    """Logistic regression for classes, ridge regression for numbers."""
    if task == "classification":
        estimator = configure(
            LogisticRegression, "linear", params, max_iter=1000, random_state=seed
        )
        return Candidate("linear", "LOGISTIC", "linear", estimator)
    estimator = configure(Ridge, "linear", params, random_state=seed)
    return Candidate("linear", "RIDGE", "linear", estimator)


def forest(task: str, seed: int, params: dict[str, Any]) -> Candidate:
    """Random forest (Breiman, 2001), whose leaves are kept large and few enough to be saved."""
    shared = {
        "n_estimators": 200,
        "min_samples_leaf": 3,
        "max_leaf_nodes": 10_000,
        "n_jobs": -1,
        "random_state": seed,
    }
    if task == "classification":
        estimator = configure(RandomForestClassifier, "forest", params, **shared)
    else:
        estimator = configure(RandomForestRegressor, "forest", params, max_features=1 / 3, **shared)
    # scikit-learn's forests take missing numbers, but do not convert to an equal form then.
    return Candidate("forest", "FOREST", "filled", estimator)


def hgb(task: str, seed: int, params: dict[str, Any]) -> Candidate:
    """Histogram gradient boosting, which takes missing numbers as they are."""
    regressor, classifier = HistGradientBoostingRegressor, HistGradientBoostingClassifier
    estimator = configure(
        classifier if task == "classification" else regressor, "hgb", params, random_state=seed
    )
    return Candidate("hgb", "HGB", "tree", estimator)
