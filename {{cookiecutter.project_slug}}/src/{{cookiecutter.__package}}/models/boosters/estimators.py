"""XGBoost, LightGBM and CatBoost, where they are installed, behind scikit-learn's interface.

Each keeps its own file format: JSON, LightGBM's text, CatBoost's binary one. Only class codes reach
the library, so that a model whose classes are names is saved and loaded like any other.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from ...core.errors import UserError
from ...core.files import write_atomic
from .. import Candidate, configure


@dataclass(frozen=True)
class Library:
    """What differs between the three.

    Attributes:
        classifier: The name of the library's class for classes, in scikit-learn's style.
        regressor: The same for numbers.
        seed: The name of the parameter that holds the seed.
        defaults: Parameters that keep it quiet and its results the same on every run.
        file: The name of the file beside `model.skops`.
        native: From a fitted object of those classes to what is saved and predicts.
        scores: From that and an array (rows, features) to probabilities or values.
        save: Writes that to a file.
        load: Reads it again.
    """

    classifier: str
    regressor: str
    seed: str
    defaults: dict[str, Any]
    file: str
    native: Callable[[Any], Any]
    scores: Callable[[Any, Any, str], Any]
    save: Callable[[Any, Path], Any]
    load: Callable[[Path, str], Any]


def xgboost(task: str, seed: int, params: dict[str, Any]) -> Candidate:
    """XGBoost (Chen and Guestrin, 2016)."""
    return _candidate("xgboost", task, seed, params)


def lightgbm(task: str, seed: int, params: dict[str, Any]) -> Candidate:
    """LightGBM (Ke et al., 2017)."""
    return _candidate("lightgbm", task, seed, params)


def catboost(task: str, seed: int, params: dict[str, Any]) -> Candidate:
    """CatBoost (Prokhorenkova et al., 2018)."""
    return _candidate("catboost", task, seed, params)


def _candidate(name: str, task: str, seed: int, params: dict[str, Any]) -> Candidate:
    """Build the candidate; the parameters are checked here, long before anything is fitted."""
    _configured(name, task, seed, params)
    kind = BoosterClassifier if task == "classification" else BoosterRegressor
    return Candidate(name, name.upper(), "tree", kind(name, seed, params))


class Booster(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both tasks share: the library's name, the seed, and the parameters of `[params]`."""

    task = ""

    def __init__(self, library: str = "", seed: int = 0, params: Any = None) -> None:
        """Keep the parameters as they are, as scikit-learn asks."""
        self.library = library
        self.seed = seed
        self.params = params

    def _fit(self, features: Any, target: Any, weights: Any) -> None:
        """Fit the library's own estimator and keep what of it predicts."""
        estimator = _configured(self.library, self.task, self.seed, self.params or {})
        estimator.fit(np.asarray(features), target, sample_weight=weights)
        self.n_features_in_ = features.shape[1]
        self.booster_ = LIBRARIES[self.library].native(estimator)

    def _scores(self, features: Any) -> Any:
        """Return the library's probabilities or values for an array (rows, features)."""
        array = np.ascontiguousarray(features, dtype=np.float64)
        return LIBRARIES[self.library].scores(self.booster_, array, self.task)


class BoosterClassifier(ClassifierMixin, Booster):  # type: ignore[misc]
    """A booster that predicts classes of any kind: names, numbers or flags."""

    task = "classification"

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None  # noqa: N803  # scikit-learn's names
    ) -> BoosterClassifier:
        """Fit on an array (rows, features), the classes of the rows and their weights."""
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._fit(X, codes, sample_weight)
        return self

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """Return probabilities (rows, classes), in the order of `classes_`."""
        scores = np.asarray(self._scores(X), dtype=np.float64)
        return np.column_stack([1 - scores, scores]) if scores.ndim == 1 else scores

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Return the most probable class of each row."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class BoosterRegressor(RegressorMixin, Booster):  # type: ignore[misc]
    """A booster that predicts numbers."""

    task = "regression"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> BoosterRegressor:  # noqa: N803
        """Fit on an array (rows, features), the numbers of the rows and their weights."""
        self._fit(X, y, sample_weight)
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Return one number per row."""
        return np.asarray(self._scores(X), dtype=np.float64)


def save_booster(model: Booster, folder: Path) -> tuple[list[Path], dict[str, Any]]:
    """Write the booster's own file; return it, and the rest of the model as plain values."""
    library = LIBRARIES[model.library]
    with write_atomic(folder / library.file) as temporary:
        library.save(model.booster_, temporary)
    rest = {**model.get_params(), "task": model.task, "features": model.n_features_in_}
    return [folder / library.file], rest | {"classes": getattr(model, "classes_", None)}


def load_booster(folder: Path, rest: dict[str, Any]) -> Booster:
    """Rebuild what `save_booster` took apart."""
    kind = BoosterClassifier if rest["task"] == "classification" else BoosterRegressor
    model = kind(rest["library"], rest["seed"], rest["params"])
    _import(model.library)
    library = LIBRARIES[model.library]
    model.booster_ = library.load(folder / library.file, model.task)
    model.n_features_in_ = rest["features"]
    if rest["classes"] is not None:
        model.classes_ = rest["classes"]
    return model


def _import(name: str) -> Any:
    """Import the library.

    Raises:
        UserError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(
            f"{name} is not installed; install the project with its extra, "
            f"`python -m pip install -e '.[{name}]'`, or take it out of [model] candidates."
        ) from None


def _configured(name: str, task: str, seed: int, params: dict[str, Any]) -> Any:
    """Return the library's own unfitted estimator."""
    module, library = _import(name), LIBRARIES[name]
    classes = task == "classification"
    estimator = getattr(module, library.classifier if classes else library.regressor)
    defaults = library.defaults | {library.seed: seed}
    if name == "catboost":  # its get_params holds only what was set
        return estimator(**(defaults | params))
    return configure(estimator, name, params, **defaults)


def _xgboost_scores(booster: Any, features: Any, task: str) -> Any:
    """Predict with the rounds that training kept."""
    return booster.inplace_predict(features, validate_features=False)


def _load_xgboost(path: Path, task: str) -> Any:
    """Read XGBoost's JSON."""
    booster = _import("xgboost").Booster()
    booster.load_model(path)
    return booster


def _catboost_scores(model: Any, features: Any, task: str) -> Any:
    """Predict probabilities or values."""
    classes = task == "classification"
    return model.predict(features, prediction_type="Probability" if classes else "RawFormulaVal")


def _load_catboost(path: Path, task: str) -> Any:
    """Read CatBoost's own format; its JSON does not give equal predictions back."""
    module = _import("catboost")
    kind = module.CatBoostClassifier if task == "classification" else module.CatBoostRegressor
    model = kind()
    model.load_model(str(path))
    return model


LIBRARIES = {
    "xgboost": Library(
        classifier="XGBClassifier",
        regressor="XGBRegressor",
        seed="random_state",
        defaults={"tree_method": "hist"},
        file="xgboost.json",
        native=lambda estimator: estimator.get_booster(),
        scores=_xgboost_scores,
        save=lambda booster, path: booster.save_model(path),
        load=_load_xgboost,
    ),
    "lightgbm": Library(
        classifier="LGBMClassifier",
        regressor="LGBMRegressor",
        seed="random_state",
        defaults={"verbose": -1},
        file="lightgbm.txt",
        native=lambda estimator: estimator.booster_,
        scores=lambda booster, features, task: booster.predict(features),
        save=lambda booster, path: booster.save_model(str(path)),
        load=lambda path, task: _import("lightgbm").Booster(model_file=str(path)),
    ),
    "catboost": Library(
        classifier="CatBoostClassifier",
        regressor="CatBoostRegressor",
        seed="random_seed",
        defaults={"verbose": 0, "allow_writing_files": False},
        file="catboost.cbm",
        native=lambda estimator: estimator,
        scores=_catboost_scores,
        save=lambda model, path: model.save_model(str(path)),
        load=_load_catboost,
    ),
}
