"""What the columns with a role have to hold, so that there is something to learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from ..core import registry
from ..core.errors import UserError
from .cast import example_of, spell
from .schema import NUMBERS, Column, Schema

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..core.config import Settings
    from ..tasks.task import Task


def check_target(frame: pd.DataFrame, schema: Schema, settings: Settings) -> None:
    """Check that the target can be learnt: its type fits the task, and its values differ.

    Raises:
        UserError: If the target is not named, of the wrong type, missing in all rows, or constant.
    """
    target = require_target(schema)
    task: Task = registry.task(settings.model.task)
    if target.type not in task.target_types:
        raise UserError(
            f"[data] target = {target.name} is of type {target.type} in data/schema.yaml, but "
            f"{task.name} needs {task.target_word}; change one, or infer again: `ingest --infer`."
        )
    known = frame[target.name].dropna()
    if known.empty:
        raise UserError(
            f"[data] target = {target.name} has no value in any of {len(frame):,} rows; fill it, "
            "or name another target."
        )
    if known.nunique() < 2:
        having = "" if len(known) == len(frame) else " that have one"
        raise UserError(
            f"[data] target = {target.name} is '{spell(known.iloc[0])}' in all "
            f"{len(known):,} rows{having}, so there is nothing to learn."
        )


def has_target(series: pd.Series[Any], settings: Settings) -> NDArray[np.bool_]:
    """Tell which rows have a target, and so can be learnt from.

    Raises:
        UserError: If more rows lack it than `[data] target_missing` allows.
    """
    known: NDArray[np.bool_] = series.notna().to_numpy()
    rows, missing = len(known), int((~known).sum())
    allowed = {"auto": rows / 2, "refuse": 0, "drop": rows}[settings.data.target_missing]
    if missing > allowed:
        raise UserError(
            f"[data] target = {series.name} is missing in {missing:,} of {rows:,} rows; fill it, "
            "or leave those rows out: [data] target_missing = drop in conf.cfg."
        )
    return known


def check_weights(frame: pd.DataFrame, schema: Schema) -> None:
    """Check the column of weights, where there is one.

    Raises:
        UserError: If it does not hold numbers, one is missing or below 0, or all are 0.
    """
    column = schema.weight
    if column is None:
        return
    series = frame[column.name]
    if column.type not in NUMBERS:
        odd = series.where(pd.to_numeric(series.astype("str"), errors="coerce").isna())
        raise UserError(
            f"[data] weight = {column.name} is of type {column.type}, with {example_of(odd)}, but "
            "weights are numbers; correct the column, or name another."
        )
    refuse_missing(series, "weight", "leave those rows out of the source")
    negative = (series < 0).to_numpy()
    if negative.any():
        at = int(negative.argmax())
        raise UserError(
            f"[data] weight = {column.name} is below 0 in {int(negative.sum()):,} of "
            f"{len(series):,} rows, first {spell(series.iloc[at])} in row {at + 1:,}; correct "
            "them, or write 0 for a row that is not to count."
        )
    if (series == 0).all():
        raise UserError(
            f"[data] weight = {column.name} is 0 in all {len(series):,} rows, so that none counts; "
            "correct it, or empty [data] weight."
        )


def refuse_missing(series: pd.Series[Any], role: str, otherwise: str) -> None:
    """Refuse missing values in a column with a role.

    Raises:
        UserError: With their number and the first row.
    """
    missing = series.isna().to_numpy()
    if missing.any():
        raise UserError(
            f"[data] {role} = {series.name} is missing in {int(missing.sum()):,} of "
            f"{len(series):,} rows, first in row {int(missing.argmax()) + 1:,}; fill them, or "
            f"{otherwise}."
        )


def require_target(schema: Schema) -> Column:
    """Return the column to predict.

    Raises:
        UserError: If conf.cfg does not name it.
    """
    if schema.target is None:
        raise UserError(
            f"[data] target is not set; name the column to predict, one of: "
            f"{', '.join(schema.names[:20])}{' ...' if len(schema.names) > 20 else ''}."
        )
    return schema.target
