"""Inferring the schema from all rows (`infer_schema`), and checking the target (`check_target`).

A value that is likely an error (one word in a column of numbers) is refused with its row. What may
be meant in two ways (dates such as 01.02.2024) is left as text and noted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..core import registry
from ..core.config import redact
from ..core.errors import UserError
from ..core.files import fingerprint
from .cast import cast_column, refuse, spell
from .dates import COMPACT, date_formats, is_compact, looks_dated, orders, parse_dates, same_order
from .numbers import COMMA, NumberForm, read_numbers
from .schema import (
    SCHEMA_VERSION,
    WORDS,
    Column,
    Schema,
    SchemaFile,
    columns_fingerprint,
    require_columns,
    with_roles,
)
from .words import MISSING, Reading, value_notes

if TYPE_CHECKING:
    from ..core.config import Settings
    from ..tasks.task import Task

# With this share of numbers (or dates), the other values of a column are errors.
MEANT = 0.99
# So they are with this share and so few other spellings ("?", "unknown").
LIKELY = 0.9
FEW_SPELLINGS = 3
# So many different values suffice for a first look at a column.
SAMPLED = 2000
TOTAL = re.compile(r"(grand |sub)?(total|sum|summe|gesamt|totale|somme)s?\b", re.IGNORECASE)
# 08:30, 1:02:03.5, 8:30 PM, 0 days 00:00:58, PT90M.
CLOCK = (
    r"(?:-?\d+ days?,? )?[+-]?\d{1,3}:[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?(?: ?[ap]\.?m\.?)?"
    r"|-?P(?=[\dT])(?:\d+[YMWD])*(?:T(?:[\d.]+[HMS])+)?"
)
# Values of so many words are sentences.
TEXT_WORDS = 4
# This share of different values, in at least so many rows, suggests an id.
UNIQUE = 0.98
FEWEST_IDS = 50


def infer_schema(reading: Reading, settings: Settings, target: Column | None = None) -> SchemaFile:
    """Infer types, bounds and categories from a whole table.

    Args:
        reading: The table, its numbers read by `read_words`.
        settings: Roles, the task, and how many values a category may have.
        target: As an earlier schema has it: while its classes are the same, so is the one to find.

    Returns:
        The schema with the roles of conf.cfg, and notes on what was decided or could not be.
        Columns without any value are left out of it.

    Raises:
        UserError: If a column with a role is all missing, a value stands out as an error, or the
            target does not fit the task.
    """
    names = [str(name) for name in reading.frame.columns]
    require_columns(names, settings.data.text, "[data] text: the table")
    blank = tuple(Column(name, "string", True) for name in names)
    roles = with_roles(Schema(blank, redact(settings.data.source)), settings.data)
    clues = Clues(settings, [*reading.notes], reading.forms, target)
    frame = _without_empty(reading.frame, roles, clues.notes)
    chosen = [column for column in roles.columns if column.name in frame.columns]
    _find_dates(frame, chosen, clues)
    columns = [_infer_column(frame[column.name], column.roles, clues) for column in chosen]
    words = {column.name for column in columns if column.type in WORDS}
    clues.notes += value_notes(
        {name: reading.spelt[name] for name in reading.spelt if name in words}
    )
    clues.notes += [*_name_notes(frame, columns), *_total_note(frame)]
    schema = Schema(tuple(columns), roles.source)
    one_line = tuple(" ".join(note.split()) for note in clues.notes)
    return SchemaFile(schema, columns_fingerprint(schema), conditions(settings), one_line)


def _name_notes(frame: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """Note columns that may only name or number the rows."""
    notes = [
        f"{column.name} differs in every row; if it is an id, add it to [data] id in conf.cfg"
        for column in columns
        if not column.roles and _looks_like_id(frame[column.name], column)
    ]
    unnamed = [column.name for column in columns if re.fullmatch(r"unnamed_\d+", column.name)]
    if unnamed:
        notes.append(
            f"{', '.join(unnamed)} had no name; if it only numbers the rows, add it to "
            "[data] ignore in conf.cfg"
        )
    return notes


@dataclass
class Clues:
    """What the columns' types follow from, besides their values.

    Attributes:
        settings: The task, roles, and how many values a category may have.
        notes: What should be said; grows.
        numbers: How columns of text write their numbers.
        target: As an earlier schema has it.
        dates: The formats that columns of text may be dates in; grows.
    """

    settings: Settings
    notes: list[str]
    numbers: dict[str, NumberForm]
    target: Column | None = None
    dates: dict[str, list[str | None]] = field(default_factory=dict)


def conditions(settings: Settings, version: int = SCHEMA_VERSION) -> str:
    """Return the fingerprint of the settings that the inference uses, or used in that version."""
    data = settings.data
    roles = (data.target, data.id, data.time, data.group, data.ignore)
    reading = [data.missing, data.text, data.header_row, data.sheet]
    if version == 1:
        # The settings that came later count where somebody uses them.
        reading[2:] = [data.query, *(later for later in reading[2:] if later)]
    return fingerprint(roles, reading, settings.model.task, settings.features.max_categories)


def check_target(frame: pd.DataFrame, schema: Schema, settings: Settings) -> None:
    """Check that the target can be learnt: its type fits the task, and its values differ.

    Raises:
        UserError: If the target is not named, of the wrong type, constant, or missing in a row.
    """
    target = require_target(schema)
    task: Task = registry.task(settings.model.task)
    if target.type not in task.target_types:
        raise UserError(
            f"[data] target = {target.name} is of type {target.type} in data/schema.yaml, but "
            f"{task.name} needs {task.target_word}; change one, or infer again: `ingest --infer`."
        )
    series = frame[target.name]
    refuse_missing(series, "target", "leave those rows out of the source")
    if series.nunique() < 2:
        raise UserError(
            f"[data] target = {target.name} is '{spell(series.iloc[0])}' in all "
            f"{len(series):,} rows, so there is nothing to learn."
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


# --------------------------------------------------------------------------------------- one column


def _total_note(frame: pd.DataFrame) -> list[str]:
    """Note a last row that looks like the sum of the others."""
    last = frame.iloc[-1]
    words = [value for value in last if isinstance(value, str) and TOTAL.match(value)]
    if not words:
        return []
    return [f"the last row looks like a total ('{words[0]}'); if it is, take it out of the source"]


def _without_empty(frame: pd.DataFrame, roles: Schema, notes: list[str]) -> pd.DataFrame:
    """Return the table without columns that hold no value, unless conf.cfg gives them a role."""
    free = [column.name for column in roles.columns if not column.roles]
    empty = [name for name in free if frame[name].isna().all()]
    if empty:
        notes.append(f"left out, since no row has a value in it: {', '.join(empty)}")
    return frame.drop(columns=empty)


def _infer_column(series: pd.Series[Any], roles: tuple[str, ...], clues: Clues) -> Column:
    """Infer one column."""
    name = str(series.name)
    if "ignore" in roles:
        return Column(name, _plain_type(series), True, roles=roles)
    if series.isna().all():
        raise UserError(
            f"Column '{name}' has no value in any of {len(series):,} rows; fill it, or take its "
            "role away in conf.cfg."
        )
    column = _type_of(series, roles, clues)
    form = clues.numbers.get(name)
    if form is not None and column.type in ("integer", "number"):
        decimal = COMMA if form.decimal == COMMA else None
        column = replace(column, decimal=decimal, unit=form.unit or None)
    if "time" in roles and column.type not in ("datetime", "integer", "number"):
        raise UserError(
            f"[data] time = {name} cannot be read as dates, such as {example_of(series)}; "
            "write them as 2024-01-31 or 2024-01-31T12:30:00 (ISO 8601)."
        )
    typed, violation = cast_column(series, column)
    refuse(
        [violation] if violation else [],
        f"[data] source = {redact(clues.settings.data.source)}",
        "correct the value, list it in [data] missing, or take the column as text with "
        "[data] text in conf.cfg",
    )
    nullable = bool(typed.isna().any())
    free = {"id", "group", "time"} & set(roles)
    if column.type in ("integer", "number") and not free:
        low, high = widen(float(typed.min()), float(typed.max()), whole=column.type == "integer")
        return replace(column, nullable=nullable, minimum=low, maximum=high, roles=roles)
    if column.type == "category":
        column = replace(column, categories=tuple(sorted(typed.dropna().unique())))
        if "target" in roles:
            column = _with_positive(column, typed, clues)
    return replace(column, nullable=nullable, roles=roles)


def _with_positive(column: Column, classes: pd.Series[Any], clues: Clues) -> Column:
    """Return a target of two classes with the one to find: the rarer, else the last in order."""
    earlier = clues.target
    if earlier and (earlier.name, earlier.categories) == (column.name, column.categories):
        return replace(column, values=earlier.values, positive=earlier.positive)
    counts = classes.value_counts().sort_index(ascending=False)
    if len(counts) != 2:
        return column
    positive = str(counts.idxmin())  # of equals the first here
    why = "the last in order of two equal classes" if counts.nunique() == 1 else "the rarer of two"
    share = 100 * counts[positive] / counts.sum()
    clues.notes.append(
        f"the positive class, the one to find, is '{positive}', {why} ({share:.2g}% of the rows); "
        "[decision] positive in conf.cfg names the other"
    )
    return replace(column, positive=positive)


def widen(low: float, high: float, *, whole: bool) -> tuple[float, float]:
    """Widen a range by its own width on each side, but not across zero where no value was.

    >>> widen(18.0, 90.0, whole=True)
    (0, 162)
    """
    width = high - low or max(abs(high), 1.0)
    lower = max(low - width, 0.0) if low >= 0 else low - width
    upper = min(high + width, 0.0) if high <= 0 and low < 0 else high + width
    if whole:
        return math.floor(lower), math.ceil(upper)
    return float(f"{lower:.6g}"), float(f"{upper:.6g}")


def example_of(series: pd.Series[Any]) -> str:
    """Return the first value that is not missing, and its row."""
    at = int(series.notna().to_numpy().argmax())
    return f"'{spell(series.iloc[at])}' in row {at + 1:,}"


def _looks_like_id(series: pd.Series[Any], column: Column) -> bool:
    """Tell whether a column looks like an id: words that do not repeat, or a running number."""
    if len(series) < FEWEST_IDS or column.type not in ("string", "integer") or column.nullable:
        return False
    if column.type == "integer":
        steps = series.diff().iloc[1:]
        return bool((steps == 1).all())
    # A few rows may be there twice.
    return series.nunique() > UNIQUE * len(series)


def _type_of(series: pd.Series[Any], roles: tuple[str, ...], clues: Clues) -> Column:
    """Return a column with the type, and a datetime's format."""
    settings = clues.settings
    name = str(series.name)
    kind = _plain_type(series)
    if series.dtype == object:
        found = pd.api.types.infer_dtype(series, skipna=True)
        dated = ("datetime", "date", "datetime64")
        kind = "boolean" if found == "boolean" else "datetime" if found in dated else "string"
    if "target" in roles:
        column: Column = registry.task(settings.model.task).infer_target(series, kind)
        return column
    if name in settings.data.text:
        return Column(name, "string", True)
    if kind == "integer" and not roles and is_compact(series):
        clues.notes.append(f"{name} holds days such as {example_of(series)}, and is read as dates")
        return Column(name, "datetime", True, format=COMPACT)
    if kind != "string":
        return Column(name, kind, True)
    return _type_of_text(series, roles, clues)


def _plain_type(series: pd.Series[Any]) -> str:
    """Return the type that follows from the data type alone."""
    if pd.api.types.is_bool_dtype(series.dtype):
        return "boolean"
    if pd.api.types.is_integer_dtype(series.dtype):
        return "integer"
    if pd.api.types.is_float_dtype(series.dtype):
        return "number"
    return "datetime" if pd.api.types.is_datetime64_any_dtype(series.dtype) else "string"


# ---------------------------------------------------------------------------------- columns of text


def _type_of_text(series: pd.Series[Any], roles: tuple[str, ...], clues: Clues) -> Column:
    """Decide whether text holds numbers, dates, categories, sentences or other strings."""
    name = str(series.name)
    counts, words = _distinct(series)
    form = clues.numbers.get(name)
    if form is not None and _holds_numbers(words, counts, form):
        return Column(name, "number", True)
    written = clues.dates.get(name, [])
    if len(written) == 1:
        clues.notes += _century_notes(series, written[0])
        return Column(name, "datetime", True, format=written[0])
    if len(written) > 1:
        ways = " or ".join(form or "ISO 8601" for form in written)
        clues.notes.append(
            f"{name} may be dates written as {ways}, so it is taken as text; to settle it, set "
            "its type to datetime and its format in data/schema.yaml"
        )
    if {"id", "group", "time"} & set(roles):
        return Column(name, "string", True)
    if len(words) and words.str.fullmatch(CLOCK, case=False).all():
        clues.notes.append(
            f"{name} holds times of day or durations, such as {example_of(series)}, and is taken "
            "as text; add_features in custom.py can make a number of hours of it"
        )
    total = int(counts.sum())
    few = len(counts) <= clues.settings.features.max_categories
    if few and (len(counts) <= total / 2 or len(counts) <= 2):
        return Column(name, "category", True)
    sampled = words.iloc[:: max(len(words) // SAMPLED, 1)]
    spaces = float(sampled.str.count(r"\S+").mean())
    sentences = spaces >= TEXT_WORDS and len(counts) > total / 10
    return Column(name, "text" if sentences else "string", True)


def _century_notes(series: pd.Series[Any], form: str | None) -> list[str]:
    """Say how years of two digits are read."""
    if "%y" not in (form or ""):
        return []
    dates = parse_dates(series, form)
    at = int(dates.argmax())
    return [
        f"{series.name} has years of two digits, of which 69 to 99 are read as 19.. and 00 to 68 "
        f"as 20..: the last, '{spell(series.iloc[at])}', is in {dates.iloc[at].year}; where that "
        "is wrong, write four digits"
    ]


def _holds_numbers(words: pd.Series[Any], counts: pd.Series[Any], form: NumberForm) -> bool:
    """Tell whether a column of text holds numbers, apart from a few errors."""
    import pyarrow as pa

    numbers = read_numbers(pa.array(words, type=pa.string()), form)
    if words.str.match(r"0\d").any():
        return False
    return _has_few_errors(numbers.is_valid().to_numpy(zero_copy_only=False), counts)


def _distinct(series: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Return how often each value occurs, and the values as text."""
    counts = series.value_counts(sort=False)
    return counts, pd.Series([spell(value) for value in counts.index], dtype="str")


def _find_dates(frame: pd.DataFrame, columns: Sequence[Column], clues: Clues) -> None:
    """Find out which columns of text hold dates, and in which formats.

    Where days and months may be meant either way round, the table's other columns decide.
    """
    for column in columns:
        series = frame[column.name]
        free = not {"id", "group", "ignore"} & set(column.roles)
        if series.dtype == "str" and free and column.name not in clues.settings.data.text:
            found = _date_formats(series) if looks_dated(series) else []
            if found:
                clues.dates[column.name] = found
    sure = orders(forms[0] for forms in clues.dates.values() if len(forms) == 1)
    for name, forms in clues.dates.items():
        same = list(same_order(forms, *sure)) if len(forms) > 1 and len(sure) == 1 else []
        if len(same) == 1:
            clues.dates[name] = same
            clues.notes.append(
                f"{name} is read as {same[0]}, since the table's other dates begin with the "
                f"{min(sure)}; if that is wrong, set its format in data/schema.yaml"
            )


def _date_formats(series: pd.Series[Any]) -> list[str | None]:
    """Return the formats by which the text reads as dates: none, one, or some that differ.

    None in the list stands for ISO 8601. Where nearly all rows fit a format, it is returned too:
    casting then names the row that does not.
    """
    counts, words = _distinct(series)
    present = ~words.isin(MISSING)
    counts, words = counts[present.to_numpy()], words[present]
    fitting: list[tuple[str | None, pd.Series[Any]]] = []
    nearly: list[tuple[float, str | None]] = []
    for form in date_formats(words):
        parsed = parse_dates(words, form)
        fits = parsed.notna().to_numpy()
        if fits.all():
            if not any(parsed.equals(other) for _, other in fitting):
                fitting.append((form, parsed))
        elif _has_few_errors(fits, counts):
            nearly.append((float(counts[fits].sum()), form))
    if fitting:
        return [form for form, _ in fitting]
    return [max(nearly, key=lambda pair: pair[0])[1]] if nearly else []


def _has_few_errors(fits: Any, counts: pd.Series[Any]) -> bool:
    """Tell whether nearly all rows fit, but not all."""
    share = float(counts[fits].sum() / counts.sum())
    others = int((~fits).sum())
    # Of two spellings, one is not "nearly all", whatever its count.
    enough = int(fits.sum()) > FEW_SPELLINGS
    likely = share >= LIKELY and others <= FEW_SPELLINGS
    return enough and others > 0 and (share >= MEANT or likely)
