"""The team's own part: cleaning rules, features, estimators and sources.

The template renders this file once and never touches it again. Each part below works as it stands
(it changes nothing) and carries an example: take the `#` away, adapt, and run the pipeline.
Keep heavy imports inside the functions, so that the command line starts fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .registry import ESTIMATORS, SOURCES  # noqa: F401  # the examples below extend them

if TYPE_CHECKING:
    import narwhals as nw
    import pandas as pd


def clean(frame: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
    """Drop or mend rows before the split; each row by itself, so that nothing leaks.

    Written over narwhals, whose expressions read like polars and run on every data engine.
    """
    # import narwhals as nw
    #
    # frame = frame.filter(nw.col("age") < 120)
    return frame


def add_features(frame: pd.DataFrame) -> pd.DataFrame:
    """Add columns to the model's inputs, in training and in prediction alike.

    Gets the columns that `data/schema.yaml` types, one row per example, without the target. A new
    column is a number or text and follows from its own row: what is fitted belongs in features.py.
    """
    # frame = frame.assign(price_per_room=frame["price"] / frame["rooms"])
    return frame


# An estimator of your own: name it in `[model] candidates`. `kind` says which inputs it gets:
# "linear" (scaled, one-hot) or "tree" (numbers as they are).
#
# def neighbours(task: str, seed: int, params: dict[str, Any]) -> Candidate:
#     from sklearn.neighbors import KNeighborsClassifier
#
#     from .models import Candidate
#
#     return Candidate("neighbours", "KNN", "linear", KNeighborsClassifier(**params))
#
# ESTIMATORS["neighbours"] = ".custom:neighbours"


# A source of your own: `source = warehouse:sales` in conf.cfg calls fetch_warehouse("sales", ...).
#
# def fetch_warehouse(location: str, folder: Path, data: DataSettings) -> Path:
#     from .data.sources import save_table
#
#     return save_table(read_from_your_warehouse(location), folder, location)
#
# SOURCES["warehouse"] = ".custom:fetch_warehouse"
