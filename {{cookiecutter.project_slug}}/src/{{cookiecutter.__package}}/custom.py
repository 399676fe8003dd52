"""The team's own part: cleaning rules, features, estimators and sources.

The template renders this file once and never touches it again. Each part below works as it stands
(it changes nothing) and carries an example: take the `#` away, adapt, and run the pipeline.
Keep heavy imports inside the functions, so that the command line starts fast, and pass over columns
that are not there: the tests run these rules on a sample table, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import narwhals as nw
    import pandas as pd


def clean(frame: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
    """Drop or mend rows before the split; each row by itself, so that nothing leaks.

    Written over narwhals, whose expressions read like polars and run on every data engine.
    """
    # import narwhals as nw
    #
    # if "age" in frame.columns:
    #     frame = frame.filter(nw.col("age") < 120)
    return frame


def add_features(frame: pd.DataFrame) -> pd.DataFrame:
    """Add columns to the model's inputs, in training and in prediction alike.

    Gets the columns that `data/schema.yaml` types, one row per example, without the target. A new
    column is a number or text and follows from its own row: what is fitted belongs in
    models/features.py.
    """
    # if {"price", "rooms"} <= set(frame.columns):
    #     frame = frame.assign(price_per_room=frame["price"] / frame["rooms"])
    return frame


# An estimator of your own: name it in `[model] candidates`. `kind` says which inputs it gets:
# "linear" (scaled, one-hot), "tree" (numbers as they are, missing ones too) or "filled" (as "tree",
# without missing values).
#
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

ESTIMATORS: dict[str, Any] = {
    # "extra_trees": extra_trees,
}


# A source of your own: `source = warehouse:sales` in conf.cfg calls fetch_warehouse("sales", ...).
#
# def fetch_warehouse(location: str, folder: Path, data: DataSettings) -> Path:
#     """Fetch a table of the warehouse into the folder."""
#     from .data.sources import save_table
#
#     return save_table(read_from_your_warehouse(location), folder, location)

SOURCES: dict[str, Any] = {
    # "warehouse": fetch_warehouse,
}
