"""The rows to monitor: a file, scored or not, or the service's logs of predictions and labels.

Whatever they hold is looked at: a value that the schema refuses is counted and then left out, so
that one bad row hides nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..bundle.batch import for_file
from ..bundle.bundle import Bundle
from ..core.errors import UserError
from ..core.files import fingerprint
from ..core.project import Project
from ..data.arrow import arrow_to_pandas
from ..data.cast import Violation, cast_column, check_table
from ..data.readers import read_table
from ..data.schema import Column, Schema
from ..evaluation.predictions import Predictions
from .settings import monitor_settings
from .words import counted

if TYPE_CHECKING:
    from ..core.config import Settings

Places = NDArray[np.intp]
# By request and row, the label and its time.
Labels = dict[tuple[str, int], tuple[Any, Any]]
DAY = 86_400
LOG = "predictions"
FEEDBACK = "feedback.jsonl"
# The log's own columns, beside what else was predicted, such as probability_<class>; a feature of
# such a name stands there as `feature_<name>`.
OWN = ("time", "request_id", "row", "run_id", "role", "prediction")


@dataclass(frozen=True)
class Fault:
    """A rule of the schema that some rows break.

    Attributes:
        column: The column.
        rule: "there", "type", "nullable", "minimum", "maximum" or "categories".
        rows: How many rows break it.
        share: As a share of all rows.
        example: In words, with the first rows.
    """

    column: str
    rule: str
    rows: int
    share: float
    example: str


@dataclass(frozen=True)
class Delay:
    """How late labels come.

    Attributes:
        labelled: Predictions with a label.
        unlabelled: Those without.
        median: Days from prediction to label, of those labelled; None where that is not known.
        slowest: Days within which nine of ten arrived.
        due: Predictions that are old enough to need a label.
        due_labelled: How many of those have one.
    """

    labelled: int
    unlabelled: int
    median: float | None = None
    slowest: float | None = None
    due: int = 0
    due_labelled: int = 0


@dataclass(frozen=True)
class Window:
    """Rows to compare with the reference.

    Attributes:
        where: What they are called in a sentence.
        rows: How many there are.
        frame: The features that are there, typed; values that the schema refuses are missing. At
            most `[monitor] rows` of them, evenly spread.
        predictions: For these rows; None where they could not be scored.
        truth: The labels, typed, of the rows that have one, at most as many; None without any.
        labelled_predictions: For the rows that have a label.
        weights: How much each row that has a label counts: 0 where that is not known. None where
            the rows have no column of weights.
        faults: What the schema refuses.
        absent: Features that are not there, and need not be.
        delay: How late labels come.
        span: The first and the last time; None for a file.
        content: Fingerprint of what was looked at.
        notes: What a reader has to know.
    """

    where: str
    rows: int
    frame: pd.DataFrame
    predictions: Predictions | None
    truth: pd.Series[Any] | None
    labelled_predictions: Predictions | None
    faults: tuple[Fault, ...]
    absent: tuple[str, ...]
    delay: Delay
    span: tuple[str, str] | None
    content: str
    notes: tuple[str, ...] = field(default=())
    weights: NDArray[np.float64] | None = None


def open_file(project: Project, bundle: Bundle, settings: Settings, source: Path) -> Window:
    """Return the rows of a file; one without a column `prediction` is scored.

    Raises:
        UserError: If it cannot be read, or has no feature of the model.
    """
    bundle = for_file(bundle, source, settings.data, bundle.schema.names)
    frame = read_table(source, settings.data, bundle.schema)
    return window_of(bundle, frame, _place(project, source), monitor_settings(settings).rows)


def window_of(bundle: Bundle, frame: pd.DataFrame, where: str, most: int = 50_000) -> Window:
    """Return rows typed, scored where they are not, and with their labels if any.

    Args:
        bundle: The model.
        frame: The rows; faults are counted in all of them.
        where: What they are called in a sentence.
        most: So many of them are compared and scored.

    Raises:
        UserError: If they have no feature of the model.
    """
    _require_some(bundle, list(frame.columns), where)
    # A column of the data is never a prediction, whatever its name.
    in_schema = set(bundle.schema.names)
    answers = frame[[name for name in frame.columns if name not in in_schema]]
    scored = "prediction" in answers.columns
    typed, faults, absent = conform(bundle, frame, required=not scored)
    lacking = not scored and any(fault.rule == "there" for fault in faults)
    notes = ["a feature is missing, so the rows were not scored"] if lacking else []

    def predict(at: Places) -> Predictions | None:
        if scored:
            return _logged(bundle, answers.iloc[at])
        if lacking:
            return None
        return bundle.predict_typed(typed.iloc[at])

    target = bundle.document["target"]
    truth = None
    if target in frame.columns:
        truth, wrong = _labels(bundle, frame[target])
        faults += wrong
    weights, wrong = _weights(bundle, frame)
    faults += wrong
    known = 0 if truth is None else int(truth.notna().sum())
    rows, labelled = _places(len(frame), truth, most)
    predictions = predict(rows)
    labelled_predictions = None
    if known:
        same = np.array_equal(rows, labelled)
        labelled_predictions = predictions if same else predict(labelled)
    return Window(
        where=where,
        rows=len(frame),
        frame=typed.iloc[rows],
        predictions=predictions,
        truth=None if truth is None or not known else truth.iloc[labelled],
        labelled_predictions=labelled_predictions,
        faults=faults,
        absent=absent,
        delay=Delay(known, len(frame) - known),
        span=None,
        content=_content(frame),
        notes=tuple(notes),
        weights=None if weights is None or not known else weights[labelled],
    )


def open_log(
    project: Project,
    bundle: Bundle,
    *,
    days: float,
    label_days: float,
    now: datetime,
    most: int = 50_000,
) -> Window:
    """Return what the service logged for this model in the last days, with the labels sent since.

    Raises:
        UserError: If there is no such log, or nothing of this model in it.
    """
    begins = now - timedelta(days=days)

    def is_meant(frame: pd.DataFrame) -> pd.Series[Any]:
        since = (frame["time"] >= pd.Timestamp(begins)) & (frame["time"] <= pd.Timestamp(now))
        return since & (frame["run_id"].astype(str) == bundle.run_id)

    frame, unread = read_log(project, is_meant, "`monitor new.csv` takes a file")
    if frame.empty:
        raise UserError(
            f"logs/{LOG} holds no prediction of the model {bundle.run_id} since "
            f"{begins.isoformat(timespec='minutes')}; raise [monitor] days, or name a --model."
        )
    typed, faults, absent = conform(bundle, features_of(bundle.schema, frame), required=False)
    labels = match_labels(read_labels(project), frame)
    truth, wrong = _labels(bundle, labels["label"])
    times = frame["time"]
    notes = [f"{counted(unread, 'file')} of the log could not be read"] if unread else []
    rows, labelled = _places(len(frame), truth, most)
    return Window(
        where=f"the prediction log of the last {days:g} days",
        rows=len(frame),
        frame=typed.iloc[rows],
        predictions=_logged(bundle, frame.iloc[rows]),
        truth=truth.iloc[labelled] if len(labelled) else None,
        labelled_predictions=_logged(bundle, frame.iloc[labelled]) if len(labelled) else None,
        faults=faults + wrong,
        absent=absent,
        delay=_delay(times, truth.notna(), labels["time"], now, label_days),
        span=(times.min().isoformat(), times.max().isoformat()),
        content=_content(frame),
        notes=tuple(notes),
    )


def _places(rows: int, truth: pd.Series[Any] | None, most: int) -> tuple[Places, Places]:
    """Return which rows to compare, and which with a label: evenly spread, at most so many.

    Labels may be few, so that they are chosen by themselves.
    """
    every, labelled = np.arange(rows), np.empty(0, dtype=np.intp)
    if truth is not None:
        labelled = np.flatnonzero(truth.notna().to_numpy())
    return every[:: max(1, -(-rows // most))], labelled[:: max(1, -(-len(labelled) // most))]


# ------------------------------------------------------------------------------------ the features


def conform(
    bundle: Bundle, frame: pd.DataFrame, *, required: bool
) -> tuple[pd.DataFrame, tuple[Fault, ...], tuple[str, ...]]:
    """Type the features and count what the schema refuses.

    Args:
        bundle: Has the schema.
        frame: Rows before any type.
        required: Whether a feature that is not there is a fault.

    Returns:
        The features that are there, without refused values; the faults; the features not there.
    """
    rows = len(frame)
    typed: dict[str, pd.Series[Any]] = {}
    faults: list[Fault] = []
    relaxed: list[Column] = []
    absent = [each.name for each in bundle.schema.features if each.name not in frame.columns]
    if required:
        needed = {each.name for each in bundle.schema.needed}
        faults += [
            Fault(name, "there", rows, 1.0, "the column is missing")
            for name in absent
            if name in needed
        ]
    for column in bundle.schema.features:
        if column.name in absent:
            continue
        series, violation = cast_column(frame[column.name], column)
        if violation is not None:
            faults.append(_fault(violation, rows))
            column = replace(column, nullable=True)  # what was refused is not missing as well
        typed[column.name] = series
        relaxed.append(column)
    table = pd.DataFrame(typed, index=frame.index, copy=False)
    found = check_table(table, replace(bundle.schema, columns=tuple(relaxed)))
    faults += [_fault(each, rows) for each in found]
    return table, tuple(faults), tuple(absent)


def _fault(violation: Violation, rows: int) -> Fault:
    """Return what the report says of a violation."""
    return Fault(violation.column, violation.rule, violation.count, violation.count / rows,
                 violation.sentence())  # fmt: skip


def _require_some(bundle: Bundle, names: Sequence[str], where: str) -> None:
    """Refuse a table that has nothing to do with the model."""
    features = [column.name for column in bundle.schema.features]
    if not set(features) & set(names):
        raise UserError(
            f"{where} has no feature of the model {bundle.run_id}, such as '{features[0]}'; name "
            "the rows that went into it (a file that `predict` wrote holds the predictions alone)."
        )


# ------------------------------------------------------------------------- predictions and labels


def features_of(schema: Schema, frame: pd.DataFrame) -> pd.DataFrame:
    """Return logged features by their own names: some clash with a column of the log."""
    names = {column.name for column in schema.features}
    # What else was predicted, and so may clash, depends on the model that answered.
    clash = {
        name
        for name in names
        if name in OWN
        or name.startswith("probability_")
        or (f"feature_{name}" in frame.columns and f"feature_{name}" not in names)
    }
    logged = {
        column.name: f"feature_{column.name}" if column.name in clash else column.name
        for column in schema.features
    }
    there = {name: frame[column] for name, column in logged.items() if column in frame.columns}
    return pd.DataFrame(there, index=frame.index, copy=False)


def _logged(bundle: Bundle, frame: pd.DataFrame) -> Predictions | None:
    """Return predictions that stand in the table already."""
    empty = frame["prediction"].isna().to_numpy()
    if empty.any():
        row = frame.index[int(empty.argmax())] + 1
        raise UserError(
            f"The column 'prediction' is empty in row {row:,}; leave the columns of predictions "
            "out, and the rows are scored."
        )
    return bundle.task.read_columns(bundle.document, frame, _numbers)


def _numbers(frame: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Return columns of predictions, (rows, columns).

    Raises:
        UserError: If one holds something else than numbers.
    """
    given = frame[list(columns)]
    found = given.apply(pd.to_numeric, errors="coerce")
    numbers: NDArray[np.float64] = found.to_numpy(np.float64, na_value=np.nan)
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        row, at = bad[0]
        raise UserError(
            f"The column '{columns[at]}' holds '{given.iloc[row, at]}', where a predicted number "
            "has to be; leave the columns of predictions out, and the rows are scored."
        )
    return numbers


def _labels(bundle: Bundle, given: pd.Series[Any]) -> tuple[pd.Series[Any], tuple[Fault, ...]]:
    """Return labels as the target's type, missing where they are not of that type; the faults."""
    column = bundle.schema.column(bundle.document["target"])
    series, violation = cast_column(given, column)
    return series, () if violation is None else (_fault(violation, len(given)),)


def _weights(
    bundle: Bundle, frame: pd.DataFrame
) -> tuple[NDArray[np.float64] | None, tuple[Fault, ...]]:
    """Return how much each row counts, 0 where it does not say so, and the faults.

    None where the model's data has no weights, or these rows have none.
    """
    column = bundle.schema.weight
    if column is None or column.name not in frame.columns:
        return None, ()
    series, violation = cast_column(frame[column.name], column)
    faults = [] if violation is None else [violation]
    column = replace(column, nullable=bool(faults), minimum=0.0)
    faults += check_table(series.to_frame(), replace(bundle.schema, columns=(column,)))
    weights: NDArray[np.float64] = series.to_numpy(np.float64, na_value=np.nan)
    known = np.where(weights > 0, weights, 0.0)
    return known, tuple(_fault(each, len(frame)) for each in faults)


def read_labels(project: Project) -> Labels:
    """Return the label of each row that has one, and its time; the last one sent counts."""
    return {
        (str(line["request_id"]), int(line.get("row", 0))): (line["label"], line.get("time"))
        for line in _feedback(project)
    }


def match_labels(known: Labels, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the label and its time for each logged row, missing where there is none."""
    keys = zip(frame["request_id"].astype(str), frame["row"].astype(int).tolist(), strict=True)
    found = [known.get(key, (None, None)) for key in keys]
    labels = pd.DataFrame(found, columns=["label", "time"], index=frame.index, dtype=object)
    labels["time"] = _as_times(labels["time"])
    return labels


def _feedback(project: Project) -> Iterator[dict[str, Any]]:
    """Yield the labels that were sent, oldest first; lines that hold none are passed over."""
    path = project.logs / FEEDBACK
    if not path.exists():
        return
    with path.open("rb") as file:  # bytes that are no UTF-8 spoil their own line only
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            known = isinstance(line, dict) and {"request_id", "label"} <= line.keys()
            if known and isinstance(line.get("row", 0), int):
                yield line


def _delay(
    times: pd.Series[Any],
    labelled: pd.Series[Any],
    label_times: pd.Series[Any],
    now: datetime,
    label_days: float,
) -> Delay:
    """Return how late labels come, by the times of predictions and labels."""
    # Clocks differ, and so do the digits of their times.
    waited = (label_times - times).dt.total_seconds().clip(lower=0) / DAY
    days = waited[labelled & label_times.notna()].to_numpy(np.float64)
    due = (pd.Timestamp(now) - times).dt.total_seconds() / DAY >= label_days
    due &= label_days > 0
    return Delay(
        labelled=int(labelled.sum()),
        unlabelled=int((~labelled).sum()),
        median=float(np.median(days)) if len(days) else None,
        slowest=float(np.quantile(days, 0.9)) if len(days) else None,
        due=int(due.sum()),
        due_labelled=int((due & labelled).sum()),
    )


# ---------------------------------------------------------------------------------------- the log


def read_log(
    project: Project, is_meant: Callable[[pd.DataFrame], pd.Series[Any]], instead: str
) -> tuple[pd.DataFrame, int]:
    """Return the logged rows that are meant, and how many files could not be read.

    A row that was asked twice under one request's id, as clients do that try again, is one row: the
    last.

    Raises:
        UserError: If there is no log; `instead` says what to do then.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = project.logs / LOG
    files = sorted(folder.rglob("*.parquet")) if folder.is_dir() else []
    files = [path for path in files if not path.name.startswith(".")]
    if not files:
        raise UserError(f"There is no prediction log in logs/{LOG}; {instead}.")
    frames, unread = [], 0
    for path in files:
        try:
            table = pq.ParquetFile(path).read()
        except (pa.ArrowInvalid, OSError):  # cut off, or not yet whole
            table = None
        if table is None or not set(OWN) <= set(table.column_names):
            unread += 1
            continue
        frame = arrow_to_pandas(table, str(path))
        frame["time"] = _as_times(frame["time"])
        frames.append(frame[is_meant(frame)])
    kept = [frame for frame in frames if len(frame)]
    if not kept:
        return pd.DataFrame(), unread
    rows = pd.concat(kept).sort_values("time", kind="stable")
    return rows.drop_duplicates(["request_id", "row"], keep="last", ignore_index=True), unread


def _as_times(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return times in UTC, from text, times with a zone, or seconds since 1970."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return pd.to_datetime(values, utc=True)
    seconds = pd.to_numeric(values, errors="coerce").astype("float64")
    texts = values.astype(object).where(seconds.isna(), None)
    times = pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601")
    return times.fillna(pd.to_datetime(seconds, utc=True, unit="s", errors="coerce"))


def _place(project: Project, source: Path) -> str:
    """Return how reports call a file: by its place in the project, else by its name."""
    path = source.resolve()
    root = project.root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _content(frame: pd.DataFrame) -> str:
    """Return the fingerprint of a table's rows, 16 hexadecimal digits."""
    from ..data.keys import content_keys, table_fingerprint

    return fingerprint(table_fingerprint(content_keys(frame, [str(n) for n in frame.columns])))
