"""Rows to learn from: the requests that the service logged, with the labels sent later."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.errors import UserError
from ..core.files import write_atomic
from ..core.project import Project
from ..data.cast import broken_rules, cast_column
from ..data.schema import WORDS, Column, Schema, load_schema, with_columns
from ..data.writers import write_parquet
from .window import (
    FEEDBACK,
    features_of,
    match_labels,
    read_labels,
    read_log,
)
from .words import counted


@dataclass(frozen=True)
class LabelledRows:
    """What was written.

    Attributes:
        rows: How many rows.
        missing: Columns of the source that the log does not hold.
        left_out: By column, how many rows the schema refuses because of it.
        unread: Files of the log that could not be read.
    """

    path: Path
    rows: int
    missing: tuple[str, ...]
    left_out: dict[str, int]
    unread: int

    @property
    def sentences(self) -> list[str]:
        """Say it, a line for each thing to know."""
        found = [f"{counted(self.rows, 'row')} with labels: {self.path}"]
        if self.missing:
            found.append(f"Missing in all of them, since not logged: {', '.join(self.missing)}")
        if self.left_out:
            columns = _listed(self.left_out)
            found.append(f"Left out, since data/schema.yaml refuses them, by column: {columns}")
        if self.unread:
            found.append(f"Files of the log that could not be read: {self.unread}")
        return found


def _listed(counts: dict[str, int]) -> str:
    """Write names with their counts."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def write_labelled(project: Project, path: Path) -> LabelledRows:
    """Write a row with the source's columns for each logged row that has a label.

    An answer that was logged twice is one row. A row's id is that of its request; its time, where
    one orders the rows, is that of the prediction.

    Args:
        project: Holds the service's logs.
        path: A Parquet file.

    Raises:
        UserError: If there is no such row, or the source has a column that rows need and the log
            does not hold.
    """
    if path.suffix.lower() != ".parquet":
        raise UserError(f"{path} has to end in .parquet, which keeps the types of the columns.")
    schema = load_schema(project)
    if schema.target is None:
        raise UserError("data/schema.yaml names no target, so that no label says anything.")
    frame, unread = _labelled_log(project)
    inputs = features_of(schema, frame)
    absent = [column for column in schema.columns if _is_absent(column, inputs)]
    for column in absent:
        _refuse_needed(column)
    table, left_out = _conform(schema, _fill(schema, frame, inputs))
    if table.empty:
        raise UserError(
            f"data/schema.yaml refuses all of the {len(frame):,} rows with labels; by column: "
            f"{_listed(left_out)}."
        )
    with write_atomic(path) as temporary:
        write_parquet(_spelt(schema, table), temporary)
    missing = tuple(column.name for column in absent)
    return LabelledRows(path, len(table), missing, left_out, unread)


def _labelled_log(project: Project) -> tuple[pd.DataFrame, int]:
    """Return the logged rows that have a label, with the column `_label`."""
    known = read_labels(project)
    ids = {request_id for request_id, _ in known}

    def is_meant(frame: pd.DataFrame) -> pd.Series[Any]:
        return frame["request_id"].isin(ids) & (frame["role"] != "shadow")

    frame, unread = read_log(project, is_meant, "a service writes it while it answers")
    if not frame.empty:
        frame = frame.assign(_label=match_labels(known, frame)["label"])
        frame = frame[frame["_label"].notna()].reset_index(drop=True)
    if frame.empty:
        raise UserError(
            f"No logged prediction has a label in logs/{FEEDBACK}; they come by POST /feedback."
        )
    return frame, unread


def _is_absent(column: Column, inputs: pd.DataFrame) -> bool:
    """Tell whether neither the log nor a request stands for a column."""
    if "target" in column.roles or column.name in inputs.columns:
        return False
    if "id" in column.roles:
        return column.type not in WORDS
    return "time" not in column.roles or column.type != "datetime"


def _refuse_needed(column: Column) -> None:
    """Refuse to go on without a column that rows need.

    Raises:
        UserError: With what to do.
    """
    role = next((each for each in ("id", "group", "time", "weight") if each in column.roles), None)
    if role is not None:
        raise UserError(
            f"[data] {role} = {column.name} is not in the prediction log, and no row can do "
            "without it; join it to logs/predictions by request_id and row, and `retrain --data` "
            "that file."
        )
    if not column.nullable and "ignore" not in column.roles:
        why = " (it is sensitive)" if "sensitive" in column.roles else ""
        raise UserError(
            f"'{column.name}' is not in the prediction log{why}, and data/schema.yaml says that it "
            "is never missing; set nullable: true there if rows may lack it."
        )


def _fill(schema: Schema, frame: pd.DataFrame, inputs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with all columns of the source, in its order."""
    named = frame["request_id"].astype(str) + "-" + frame["row"].astype(str)
    columns: dict[str, Any] = {}
    for column in schema.columns:
        if "target" in column.roles:
            columns[column.name] = frame["_label"]
        elif column.name in inputs.columns:
            given = inputs[column.name]
            if "time" in column.roles and column.type == "datetime":
                given = pd.to_datetime(given, utc=True).fillna(frame["time"])
            columns[column.name] = given
        elif _is_absent(column, inputs):
            columns[column.name] = pd.Series(None, index=frame.index, dtype=object)
        else:
            columns[column.name] = named if "id" in column.roles else frame["time"]
    return pd.DataFrame(columns, index=frame.index)


def _conform(schema: Schema, table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the typed rows that the schema allows, and by column how many it refuses."""
    typed: dict[str, pd.Series[Any]] = {}
    refused = pd.Series(False, index=table.index)
    left_out = {}
    for column in schema.columns:
        given = table[column.name]
        typed[column.name] = series = cast_column(given, column)[0]
        bad = _is_refused(given, series, column)
        if bad.any():
            left_out[column.name] = int(bad.sum())
            refused |= bad
    allowed = pd.DataFrame(typed, index=table.index)[~refused]
    return allowed.reset_index(drop=True), left_out


def _is_refused(given: pd.Series[Any], series: pd.Series[Any], column: Column) -> pd.Series[Any]:
    """Tell in which rows the schema refuses a value: by its type, for missing it, or as it is."""
    if "ignore" in column.roles:
        return pd.Series(False, index=series.index)
    bad = series.isna() & given.notna()
    needed = replace(column, nullable=column.nullable and "target" not in column.roles)
    for _, _, rows in broken_rules(series, needed):
        bad |= rows
    return bad


def _spelt(schema: Schema, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with dates written as the source writes them, below which they will stand."""
    formats = {column.name: column.format for column in schema.columns if column.format}
    spelt = {name: table[name].dt.strftime(form) for name, form in formats.items()}
    return with_columns(table, spelt)
