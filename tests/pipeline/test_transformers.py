"""Transformers of custom.py: fitted on train only, inside the model, refused where they are odd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj import train
from mlproj.core import registry
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.pipeline import run_stage
from mlproj.core.project import Project
from mlproj.models import make_candidate
from mlproj.models.training_data import load_training_data
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import KBinsDiscretizer

Declare = Callable[..., None]


class Standing(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The rank of a number among those of train."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Standing:
        """Remember the numbers."""
        self.sorted_ = np.sort(X.iloc[:, 0].dropna().to_numpy())
        return self

    def transform(self, X: pd.DataFrame) -> Any:
        """Return the share of train that is below."""
        places = np.searchsorted(self.sorted_, X.iloc[:, 0].fillna(0).to_numpy())
        return places.reshape(-1, 1) / len(self.sorted_)


class Shortened(Standing):
    """Loses a row."""

    def transform(self, X: pd.DataFrame) -> Any:
        """Return all rows but the first."""
        return super().transform(X)[1:]


class Failing(Standing):
    """Fails on rows that it was not fitted on."""

    def transform(self, X: pd.DataFrame) -> Any:
        """Fail where a value is new."""
        raise KeyError("no such age")


@pytest.fixture(name="project", scope="module")
def project_fixture(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose data is split."""
    project: Project = make_project(
        tmp_path_factory.mktemp("transformers"),
        data={"source": "sample:600", "id": "customer_id", "target": "churned"},
        model={"candidates": "linear", "folds": 0},
    )
    for stage in ("ingest", "preprocess"):
        run_stage(project, load_settings(project), stage)
    return project


@pytest.fixture(name="declare")
def declare_fixture(monkeypatch: pytest.MonkeyPatch) -> Declare:
    """``declare(name=function)``: what custom.py declares."""
    registry.team()

    def declare(**declared: Any) -> None:
        for name, function in declared.items():
            monkeypatch.setitem(registry.TRANSFORMERS, name, function)

    return declare


def fitted(project: Project, name: str = "linear") -> tuple[Any, Any]:
    """A fitted pipeline, and the data that it was fitted on."""
    data = load_training_data(project, load_settings(project))
    return train.fit(make_candidate(name, "classification", 0, {}), data), data


@pytest.mark.parametrize("name", ["linear", "forest", "hgb"])
def test_it_is_fitted_on_train_only_and_inside_the_model(
    project: Project, declare: Declare, name: str
) -> None:
    declare(standing=lambda inputs, kind, seed: (Standing(), ["age"]))
    pipeline, data = fitted(project, name)
    step = pipeline["features"].named_transformers_["standing"]
    np.testing.assert_array_equal(step.sorted_, np.sort(data.inputs["age"].dropna()))
    width = pipeline["features"].transform(data.valid).shape[1]
    registry.TRANSFORMERS.clear()
    without, _ = fitted(project, name)
    assert width == without["features"].transform(data.valid).shape[1] + 1


def test_it_hears_of_inputs_kind_and_seed(project: Project, declare: Declare) -> None:
    heard: list[Any] = []

    def bins(inputs: pd.DataFrame, kind: str, seed: int) -> Any:
        heard.append((list(inputs.columns), kind, seed))
        step = KBinsDiscretizer(3, encode="ordinal", random_state=seed, quantile_method="linear")
        return step, ["visits"] if "visits" in inputs.columns else ["age"]

    declare(bins=bins)
    fitted_, data = fitted(project, "forest")
    assert heard == [(list(data.inputs.columns), "filled", data.settings.split.seed)]


def _raise(inputs: pd.DataFrame, kind: str, seed: int) -> Any:
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda *given: (Standing, ["age"]), "'odd' of custom.py is the class Standing, not an es"),
        (lambda *given: (np.log, ["age"]), "'odd' of custom.py is ufunc, not an estimator"),
        (lambda *given: Standing(), r"returned Standing; let its function return \(transformer, c"),
        (lambda *given: (Standing(), ["agee"]), "'odd' of custom.py has no column 'agee'; .*'age'"),
        (lambda *given: (Shortened(), ["age"]), "rows into .*; let it return a row for every row"),
        (lambda *given: (Failing(), ["age"]), "'odd' of custom.py failed with KeyError: 'no such"),
        (_raise, "'odd' of custom.py failed with ZeroDivisionError: division by zero; correct it"),
    ],
)
def test_what_is_refused(project: Project, declare: Declare, function: Any, sentence: str) -> None:
    declare(odd=function)
    with pytest.raises(UserError, match=sentence):
        train.train(project, load_settings(project))


class Tabular(Standing):
    """Keeps a table of pandas."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Tabular:
        """Keep the rows."""
        self.rows_ = X
        super().fit(X)
        return self


def test_what_cannot_be_saved_is_refused(project: Project, declare: Declare) -> None:
    declare(tabular=lambda inputs, kind, seed: (Tabular(), ["age"]))
    with pytest.raises(UserError, match="cannot be saved .*numpy arrays, not tables of pandas"):
        train.train(project, load_settings(project))
