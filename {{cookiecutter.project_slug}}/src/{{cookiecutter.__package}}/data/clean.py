"""Cleaning before the split: row by row, without anything fitted, so that nothing can leak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core import registry
from ..core.config import Settings
from ..core.errors import UserError
from ..core.project import Project, read_report
from .cast import conform
from .infer import check_weights, has_target, require_target
from .keys import ROW, recorded_version, row_keys
from .schema import Column, Schema

Frame = nw.DataFrame[Any]


@dataclass(frozen=True)
class CleanedRows:
    """What cleaning left.

    Attributes:
        frame: The rows, with their keys.
        changed: Whether the team's rules did anything, so that keys no longer tell content.
        duplicates: How many rows were dropped since they equal another in every column.
        removed: How many rows the team's rules took out.
        without_target: How many rows were left out since their target is missing.
        weightless: How many rows had the weight 0.
    """

    frame: Frame
    changed: bool
    duplicates: int
    removed: int
    without_target: int
    weightless: int


def clean(frame: Frame, schema: Schema, settings: Settings) -> CleanedRows:
    """Drop equal rows where asked to, apply `clean` of custom.py, leave out what tells nothing.

    That is rows without a target, and rows of weight 0.

    Raises:
        UserError: If custom.py takes out needed columns or adds some, or leaves no row; or if more
            rows lack the target than `[data] target_missing` allows; or if a weight cannot be used.
    """
    before = len(frame)
    if settings.data.duplicates == "drop":
        frame = drop_duplicates(frame)
    duplicates = before - len(frame)
    cleaned = _apply_custom(frame, schema)
    known = _with_target(cleaned, require_target(schema), settings)
    kept = _without_weightless(known, schema)
    return CleanedRows(
        kept,
        changed=cleaned is not frame,
        duplicates=duplicates,
        removed=len(frame) - len(cleaned),
        without_target=len(cleaned) - len(known),
        weightless=len(known) - len(kept),
    )


def _without_weightless(frame: Frame, schema: Schema) -> Frame:
    """Return the rows that count: one of weight 0 is neither learnt from nor judged by."""
    if schema.weight is None:
        return frame
    check_weights(frame.select(schema.weight.name).to_pandas(), schema)
    return frame.filter(nw.col(schema.weight.name) > 0)


def drop_duplicates(frame: Frame) -> Frame:
    """Keep one of each set of rows that are equal in every column.

    Equal rows have equal keys, so only rows whose key comes twice are compared in full.
    """
    repeated = frame.get_column(ROW).is_duplicated()
    if not repeated.any():
        return frame
    kept = frame.filter(repeated).unique(keep="any")
    return nw.concat([frame.filter(~repeated), kept], how="vertical")


def _with_target(frame: Frame, target: Column, settings: Settings) -> Frame:
    """Return the rows whose target is known."""
    known = has_target(frame.get_column(target.name).to_pandas(), settings)
    return frame if known.all() else frame.filter(known.tolist())


def count_copies(
    project: Project, settings: Settings, schema: Schema, rows: pd.DataFrame
) -> NDArray[np.int64]:
    """Return how often the source held each row of a split, of which cleaning kept one.

    Without an id, rows are equal by chance, and later rows will be as well. Equal rows with an id
    are a fault of the source, so they count once; also rows that custom.py changed, which the
    source does not hold.

    Returns:
        Shape (rows,).
    """
    import pyarrow.parquet as pq

    once = np.ones(len(rows), dtype=np.int64)
    if settings.data.duplicates != "drop" or schema.ids or not project.typed.exists():
        return once
    source = pq.ParquetFile(project.typed).read(columns=[ROW])[ROW].to_numpy()
    held, counts = np.unique(source, return_counts=True)
    if len(held) == len(source):
        return once
    ingested = read_report(project, "ingest")
    keys = row_keys(rows, schema, recorded_version(ingested.facts if ingested else {}))
    at = np.minimum(np.searchsorted(held, keys), len(held) - 1)
    return np.where(held[at] == keys, counts[at], once)


def _apply_custom(frame: Frame, schema: Schema) -> Frame:
    """Apply the team's rules, and check that what they return is still the table."""
    rules = getattr(registry.team(), "clean", None)
    cleaned: Frame = frame if rules is None else rules(frame)
    if cleaned is frame:
        return frame
    if not isinstance(cleaned, nw.DataFrame):
        raise UserError(
            f"clean in custom.py returned {type(cleaned).__name__}; return the narwhals frame."
        )
    needed = {ROW} | {column.name for column in schema.columns if "ignore" not in column.roles}
    lost = sorted(needed - set(cleaned.columns))
    if lost:
        raise UserError(
            f"clean in custom.py took away the column '{lost[0]}'; to leave a column out of the "
            "model, add it to [data] ignore in conf.cfg."
        )
    new = sorted(set(cleaned.columns) - set(frame.columns))
    if new:
        raise UserError(
            f"clean in custom.py added the column '{new[0]}', which prediction would lack; add "
            "features in add_features."
        )
    if len(cleaned) == 0:
        raise UserError(f"clean in custom.py left none of {len(frame):,} rows.")
    if len(cleaned) > len(frame):
        raise UserError("clean in custom.py added rows; it may only drop or change them.")
    native = cleaned.to_native()
    if not isinstance(native, pd.DataFrame):
        return cleaned
    # A column may have changed its type.
    typed = conform(native.drop(columns=ROW), schema, where="What clean in custom.py returned")
    return nw.from_native(typed.assign(**{ROW: native[ROW]}), eager_only=True)
