"""What whole numbers become as inputs: the share of the largest one."""

from __future__ import annotations

from typing import Any

from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from ..models.features import Step, StepOptions


def count_steps(columns: list[str], options: StepOptions) -> list[Step]:
    """Return the one step for all columns, whichever estimator gets them."""
    fill = SimpleImputer(strategy="most_frequent", keep_empty_features=True)
    steps: list[tuple[str, Any]] = [("fill", fill), ("scale", MinMaxScaler())]
    return [("counts", Pipeline(steps), columns)]
