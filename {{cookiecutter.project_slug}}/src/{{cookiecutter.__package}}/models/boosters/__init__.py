"""Gradient boosting by XGBoost, LightGBM and CatBoost, each an extra of pyproject.toml."""

import sys

from ...core import aliases
from ...core.registry import ESTIMATORS, WEIGHTS
from .. import Weights

ESTIMATORS.add(
    xgboost=".models.boosters.estimators:xgboost",
    lightgbm=".models.boosters.estimators:lightgbm",
    catboost=".models.boosters.estimators:catboost",
)
WEIGHTS.add(
    **{
        ".models.boosters.estimators:Booster": Weights(
            "booster",
            ("xgboost.json", "lightgbm.txt", "catboost.cbm"),
            save=".models.boosters.estimators:save_booster",
            load=".models.boosters.estimators:load_booster",
        )
    }
)
# What stood here in an earlier version stands in estimators.py.
aliases.add({"models.boosters": "models.boosters.estimators"})
__getattr__ = aliases.finder_of_names(sys.modules[__name__])
