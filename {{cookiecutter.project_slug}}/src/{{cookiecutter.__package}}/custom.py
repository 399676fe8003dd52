"""The team's own part: cleaning rules, features, estimators, metrics, a rule, sources.

The template renders this file once and never touches it again. It may become a folder, `custom/`.
Each example below works as it stands: take the `#` away, adapt, and run the pipeline. Keep heavy
imports inside the functions, so that the command line starts fast, and pass over columns that are
not there: the tests run this code on a sample table, too.

A bundle whose predictions need this code carries a copy and predicts by that: an edit here changes
the next model, never one that is packaged already.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .evaluation import MetricFunction

if TYPE_CHECKING:
    import narwhals as nw
    import pandas as pd

    from .core.config import DataSettings
    from .models import Candidate


def clean(frame: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
    """Drop or mend rows before the split; each row by itself, so that nothing leaks.

    Written over narwhals, whose expressions read like polars: a data engine may hand over a lazy
    frame, which has no rows to look at yet. What comes after the split is pandas.
    """
    # import narwhals as nw
    #
    # if "age" in frame.columns:
    #     frame = frame.filter(nw.col("age") < 120)
    return frame


def add_features(frame: pd.DataFrame) -> pd.DataFrame:
    """Add columns to the model's inputs, in training and in prediction alike.

    Gets the columns that `data/schema.yaml` types, many rows or one, without the target. A new
    column is a number or text and follows from its own row: what is fitted is a transformer.
    """
    # if {"price", "rooms"} <= set(frame.columns):
    #     frame = frame.assign(price_per_room=frame["price"] / frame["rooms"])
    return frame


# A transformer is fitted on train, inside the model; what it makes of its columns is added to what
# the model gets anyway. The function gets the inputs of train, the `kind` of estimator (see below)
# and the seed of the split; it returns a transformer of scikit-learn's kind and the columns that it
# takes, as a DataFrame in which numbers may be missing. A class of your own inherits from
# scikit-learn's TransformerMixin and BaseEstimator, and keeps what it has fitted as numbers, text
# and numpy arrays, not as tables.
TRANSFORMERS: dict[str, Callable[[pd.DataFrame, str, int], tuple[Any, list[str]]]] = {}


# def ten_groups(inputs: pd.DataFrame, kind: str, seed: int) -> tuple[Any, list[str]]:
#     """Numbers in ten groups of about as many rows each."""
#     from sklearn.impute import SimpleImputer
#     from sklearn.pipeline import make_pipeline
#     from sklearn.preprocessing import KBinsDiscretizer
#
#     groups = KBinsDiscretizer(10, encode="ordinal", quantile_method="averaged_inverted_cdf")
#     columns = [name for name in ("age", "price") if name in inputs.columns]
#     return make_pipeline(SimpleImputer(strategy="median"), groups), columns
#
#
# TRANSFORMERS["ten_groups"] = ten_groups


# An estimator, named in `[model] candidates`. `kind` says which inputs it gets: "linear" (scaled,
# one-hot, maybe sparse), "tree" (numbers as they are, missing ones too) or "filled" (as "tree",
# without missing values). `params` come from conf.cfg: `[params]`, `extra_trees.max_depth = 8`.
ESTIMATORS: dict[str, Callable[[str, int, dict[str, Any]], Candidate]] = {}


# def extra_trees(task: str, seed: int, params: dict[str, Any]) -> Candidate:
#     """Extremely randomised trees (Geurts et al., 2006)."""
#     from sklearn import ensemble
#
#     from .models import Candidate, configure
#
#     classes = task == "classification"
#     kind = ensemble.ExtraTreesClassifier if classes else ensemble.ExtraTreesRegressor
#     estimator = configure(kind, "extra_trees", params, random_state=seed)
#     return Candidate("extra_trees", "EXTRATREES", "filled", estimator)
#
#
# ESTIMATORS["extra_trees"] = extra_trees


# A metric, in every table beside the others, and named in `[model] metric` to decide. `y_true`
# holds classes by their names (`1` and `True` as text), or values. The second parameter is `y_pred`
# (the same) or `y_proba` (of two classes the probability of the one to find, else of each class);
# `sample_weight` says how much a row counts. A parameter `positive` gets the class to find, None
# unless there are two. Greater is better and 1 is perfect, unless declared otherwise: the skill
# over the baseline follows from `perfect`. The baseline gives every row the same probability, so a
# metric that sorts rows by it has to treat equal ones alike.
METRICS: dict[str, Callable[..., float] | MetricFunction] = {}


# def wrong_share(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
#     """Share of wrong predictions."""
#     import numpy as np
#
#     return float(np.average(y_true != y_pred, weights=sample_weight))
#
#
# METRICS["wrong_share"] = MetricFunction(wrong_share, greater_is_better=False, perfect=0)


# A rule after the prediction, wherever the model predicts: in the evaluation, a notebook, a batch
# and the service. It gets the features (and ids, where a table has them) and the predictions:
# `prediction`, and `probability_<class>` or `lower` and `upper`; it returns these, changed in place
# or not. Each row has to be decided by itself, since a service gets rows one by one. It is tried on
# rows of train before anything is fitted, with the baseline's predictions. Define it only
# if you need it: the image of a service then holds all packages that training needs, and a model
# with a rule cannot become a page that predicts in the browser.
# def decide(frame: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
#     """Predict no number below 0."""
#     if "lower" in predictions.columns:
#         predictions = predictions.clip(lower=0)
#     return predictions


# A source: `source = folder:data/incoming` in conf.cfg calls fetch_folder("data/incoming", ...).
SOURCES: dict[str, Callable[[str, Path, DataSettings], Path]] = {}


# def fetch_folder(location: str, folder: Path, data: DataSettings) -> Path:
#     """Fetch the CSV files of a folder as one table."""
#     import pandas as pd
#
#     from .data.sources import save_table
#
#     tables = [pd.read_csv(path) for path in sorted(Path(location).glob("*.csv"))]
#     return save_table(pd.concat(tables), folder, Path(location).name)
#
#
# SOURCES["folder"] = fetch_folder
