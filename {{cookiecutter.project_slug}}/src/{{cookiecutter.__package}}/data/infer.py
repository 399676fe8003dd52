"""Inferring the schema from all rows (`infer_schema`).

A value that is likely an error (one word in a column of numbers) is refused with its row. What may
be meant in two ways (dates such as 01.02.2024) is read in the likelier one and noted.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..core import registry
from ..core.config import redact
from ..core.errors import UserError
from ..core.files import fingerprint
from .cast import cast_column, example_of, refuse
from .dates import CALENDAR, COMPACT, SAMPLED, date_formats, is_compact
from .infer_dates import (
    MONTHS_OF_A_YEAR,
    TIME_NAME,
    Clues,
    clock_of,
    counted_notes,
    date_column,
    date_like_notes,
    distinct_words,
    find_dates,
    has_few_errors,
    odd_dates,
    own_zone,
)
from .numbers import COMMA, NumberForm, read_numbers
from .schema import (
    NAMES_ROWS,
    SCHEMA_VERSION,
    WORDS,
    Column,
    Schema,
    SchemaFile,
    columns_fingerprint,
    plain_name,
    require_columns,
    with_roles,
)
from .words import MISSING, Reading, value_notes, with_missing

if TYPE_CHECKING:
    from ..core.config import Settings

TOTAL = re.compile(r"(grand |sub)?(total|sum|summe|gesamt|totale|somme)s?\b", re.IGNORECASE)
# With this share of codes of as many capitals, NA is a code, too.
HALF = 0.5
# Values of so many words are sentences.
TEXT_WORDS = 4
# With this share of different values, words name the rows, in at least so many rows.
UNIQUE = 0.98
FEWEST_NAMES = 50
# Integers drawn at random from a column's range would repeat. Where at least so many repeats are
# expected and at most this share of them is there, the column numbers the rows.
EXPECTED_REPEATS = 10
SEEN_REPEATS = 0.1
# What a column that names the rows is often called, and one whose numbers are measures all the
# same, though they differ in every row. Words are divided by signs, or by a capital: customerId.
ID_NAME = r"(^|_)(id|ids|uuid|guid|key|index|idx|nr|no|row|rows|row_?(num|number|names?))$|^id_|#"
MEASURE_NAME = (
    r"(^|_)(year|quarter|month|week|day|hour|minute|second|age|rank|position|distance|"
    r"jahr|monat|woche|tag|stunde|alter|rang)s?($|_)"
)
UNNAMED = r"unnamed_\d+"
# Columns of numbers that may be the time: years, months beside them, and what only sorts the rows.
YEAR_COLUMN = r"years?|yr|jahr|an|ann[eé]e|año|ano|anno|rok"
MONTH_COLUMN = r"months?|mon|monat|mois|mes"
ORDER_COLUMN = r"time|t|date|day|week|month|quarter|period|step|epoch|timestamp|zeit|tag|woche"
YEARS = (1800, 2100)
FEWEST_TIMES = 10
# 1949.083 is a month of a year, as near as three digits tell.
GRID = 0.05
# Columns that count equal rows, and those that weigh rows for sure.
OUTSIDE = ("id", "ignore")
COUNT_NAME = r"freq|frequency|frequencies|counts?|cases|n|anzahl|häufigkeit"
FREQUENCY_NAME = r"freq|frequency|frequencies|häufigkeit"
WEIGHT_NAME = r"(sample|sampling|survey|case|person|p|obs)_?(weights?|wgts?|wts?)|fnlwgt"


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
    find_dates(frame, chosen, clues)
    missing = _missing_words(frame, chosen, reading, clues)
    frame = with_missing(frame, missing)
    columns = [_infer_column(frame[column.name], column.roles, clues) for column in chosen]
    columns = [replace(each, missing=missing.get(each.name)) for each in columns]
    columns = _without_names(frame, columns, clues)
    words = {column.name for column in columns if column.type in WORDS}
    spelt = {name: reading.spelt[name] for name in reading.spelt if name in words}
    clues.notes += value_notes(spelt, missing)
    clues.notes += _time_notes(frame, columns, settings)
    clues.notes += [*_weight_notes(frame, columns, settings), *_total_note(frame)]
    schema = Schema(tuple(columns), roles.source)
    one_line = tuple(" ".join(note.split()) for note in clues.notes)
    return SchemaFile(schema, columns_fingerprint(schema), conditions(settings), one_line)


def _without_names(frame: pd.DataFrame, columns: Sequence[Column], clues: Clues) -> list[Column]:
    """Return the columns, those ignored that only name or number the rows, and say which."""
    free = [column for column in columns if not set(column.roles) - {"sensitive"}]
    found = {
        column.name
        for column in free
        if column.name not in clues.settings.data.keep and _names_rows(frame[column.name], column)
    }
    if not found:
        return list(columns)
    listed = ", ".join(sorted(found, key=list(frame.columns).index))
    if len(found) == len(free) and not any(column.parts for column in columns):
        clues.notes.append(
            f"there is no column to learn from but what may only name or number the rows: {listed}"
        )
        return list(columns)
    them = "it" if len(found) == 1 else "them"
    clues.notes.append(
        f"left out, since each row has another value: {listed}; to learn from {them}, set "
        f"[data] keep, and to name predictions by {them}, [data] id"
    )
    return [
        replace(column, roles=(*column.roles, *NAMES_ROWS)) if column.name in found else column
        for column in columns
    ]


def _time_notes(frame: pd.DataFrame, columns: Sequence[Column], settings: Settings) -> list[str]:
    """Say what the model gets of the time, or that there are dates which may be one."""
    time = next((column for column in columns if "time" in column.roles), None)
    if time is not None:
        return calendar_note(time, settings)
    if settings.split.rule != "auto":
        return []
    dates = [column.name for column in columns if column.type == "datetime" and not column.roles]
    if not dates:
        return _number_of_time(frame, columns)
    holds = "holds" if len(dates) == 1 else "hold"
    return [
        f"{', '.join(dates)} {holds} dates; if rows are to be predicted for later, set [data] time "
        f"= {dates[0]} in conf.cfg"
    ]


def calendar_note(time: Column, settings: Settings) -> list[str]:
    """Say which parts of the time the model gets, if it gets any."""
    return [
        f"{time.name} orders the rows, and the model gets its month, weekday and hour as far as "
        "train covers them; to leave them out, set [features] time = no"
    ] * bool(time.parts and settings.features.time)


def _number_of_time(frame: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """Say which column of numbers may be the time, if one may."""
    numbers = [
        column.name
        for column in columns
        if column.type in ("integer", "number")
        and not (column.roles or column.nullable or column.format or column.unit)
    ]
    later = "if rows are to be predicted for later,"
    for name in numbers:
        some = frame[name].iloc[:: max(len(frame) // SAMPLED, 1)]  # enough for most columns
        held = _time_in(name, some) and _time_in(name, frame[name])
        if not held:
            continue
        months = (other for other in numbers if re.fullmatch(MONTH_COLUMN, other.lower()))
        month = next((each for each in months if frame[each].between(1, 12).all()), None)
        if held == "holds years" and month:
            return [
                f"{name} and {month} hold years and months; {later} write them as one date in the "
                "source, and name that column in [data] time"
            ]
        return [f"{name} {held}; {later} set [data] time = {name} in conf.cfg"]
    return []


def _time_in(name: str, series: pd.Series[Any]) -> str:
    """Return what makes a column of numbers look like the time, or nothing."""
    low, high = float(series.min()), float(series.max())
    is_year = bool(re.fullmatch(YEAR_COLUMN, name.lower()))
    whole = not (series % 1).any()
    if is_year and whole and YEARS[0] <= low and high <= YEARS[1] and series.nunique() > 2:
        return "holds years"
    if series.nunique() < FEWEST_TIMES:
        return ""
    if whole and 100 * YEARS[0] <= low and high <= 100 * YEARS[1]:
        is_month = (series % 100).between(1, MONTHS_OF_A_YEAR).all()
        return f"holds months such as {int(low)}" if is_month else ""
    ordered = series.is_monotonic_increasing or series.is_monotonic_decreasing
    if not ordered and not is_year:
        return ""
    if YEARS[0] <= low and high <= YEARS[1] and not whole:
        off = (series * MONTHS_OF_A_YEAR + 0.5) % 1 - 0.5
        if (off.abs() <= GRID).all():
            return f"holds months as parts of years, such as {low:g}"
    if ordered and re.fullmatch(ORDER_COLUMN, name.lower()):
        return "puts the rows in order, and may be the time"
    return ""


def _weight_notes(frame: pd.DataFrame, columns: Sequence[Column], settings: Settings) -> list[str]:
    """Offer as weight a column that says how often its row was seen, or how much it counts."""
    if settings.data.weight:
        return []
    for column in columns:
        name = column.name.lower()
        if column.type not in ("integer", "number") or column.roles or column.nullable:
            continue
        if re.fullmatch(COUNT_NAME, name) and _counts_rows(frame, columns, column, settings):
            return [
                f"{column.name} counts equal rows, since each combination of the other columns is "
                "there once; without a weight each line counts once, so set [data] weight = "
                f"{column.name} in conf.cfg"
            ]
        if re.fullmatch(f"{FREQUENCY_NAME}|{WEIGHT_NAME}", name) and frame[column.name].min() >= 0:
            return [
                f"{column.name} may say how much a row counts; if so, set [data] weight = "
                f"{column.name} in conf.cfg"
            ]
    return []


def _counts_rows(
    frame: pd.DataFrame, columns: Sequence[Column], counts: Column, settings: Settings
) -> bool:
    """Tell whether a table lists combinations of a few values each, and how often each was seen."""
    values = frame[counts.name]
    others = [
        column for column in columns if column is not counts and not {*column.roles} & {*OUTSIDE}
    ]
    most = min(settings.features.max_categories, len(frame) // 2)
    listed = (
        counts.type == "integer"
        and values.min() >= 0
        and values.max() > 1
        and len(others) > 1
        and any(column.type in WORDS and not column.roles for column in others)
        and all(frame[column.name].nunique(dropna=False) <= most for column in others)
    )
    return listed and not frame.duplicated([column.name for column in others]).any()


def conditions(settings: Settings, version: int = SCHEMA_VERSION) -> str:
    """Return the fingerprint of the settings that the inference uses, or used in that version."""
    data = settings.data
    roles: tuple[Any, ...] = (data.target, data.id, data.time, data.group, data.ignore)
    # What came later counts where somebody uses it, so that no schema is outdated by an update.
    roles += (data.weight,) if data.weight else ()
    reading = [data.missing, data.text, data.header_row, data.sheet]
    if version == 1:
        reading[2:] = [data.query, *(later for later in reading[2:] if later)]
    if data.months:
        reading.append(data.months)
    if data.keep:
        reading.append(("keep", *data.keep))
    return fingerprint(roles, reading, settings.model.task, settings.features.max_categories)


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


def _missing_words(
    frame: pd.DataFrame, columns: Sequence[Column], reading: Reading, clues: Clues
) -> dict[str, tuple[str, ...]]:
    """Return which words stand for missing values in columns of words, and note it.

    `NA` does where another column, of numbers or dates, has it: there it cannot be a value. Beside
    codes of as many capitals it stays one of them, such as a country.
    """
    is_worded = {
        name: frame[name].dtype == "str" and name not in clues.dates for name in frame.columns
    }
    known: dict[str, str] = {}
    for name, spelt in reading.spelt.items():
        if not is_worded.get(name, True):
            known |= {word: name for word in spelt if word and word not in known}
    found = {}
    for column in columns:
        name = column.name
        if not is_worded[name] or {"id", "group", "ignore"} & set(column.roles):
            continue
        spelt = reading.spelt.get(name, Counter())
        words = [word for word in spelt if word in known and not _is_code(word, frame[name])]
        if words:
            found[name] = tuple(sorted(words))
        clues.notes += [
            f"{name}: '{word}' counts as missing, in {spelt[word]:,} "
            f"row{'s' if spelt[word] > 1 else ''}, as in {known[word]}; if it is a value, move it "
            "from missing to categories in data/schema.yaml"
            for word in words
        ]
    return found


def _is_code(word: str, series: pd.Series[Any]) -> bool:
    """Tell whether at least half of a column's other values are as many capitals."""
    others = pd.Series(series.unique()).dropna()
    others = others[others != word]
    alike = others.str.isalpha() & others.str.isupper() & (others.str.len() == len(word))
    return word.isalpha() and word.isupper() and bool(alike.mean() >= HALF)


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
    if "time" in roles:
        column = replace(column, parts=CALENDAR if column.type == "datetime" else ())
    free = {"id", "group", "time", "weight"} & set(roles)
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
    # Of equals the first here.
    return replace(column, positive=str(counts.idxmin())) if len(counts) == 2 else column


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


def _names_rows(series: pd.Series[Any], column: Column) -> bool:
    """Tell whether a column only names or numbers the rows: nearly every one has another value.

    Of words that is enough: what is true of one row only tells nothing of others. Numbers may be a
    measure, so they have to be named like an id, or to differ where numbers drawn at random from
    their range would repeat (1 to n in any order, or with gaps). A few rows may be there twice.
    """
    if column.nullable or column.format or column.type not in ("string", "integer", "number"):
        return False
    unnamed = bool(re.fullmatch(UNNAMED, column.name))
    if column.type == "string":
        if len(series) < FEWEST_NAMES:
            return unnamed and series.is_unique
        # Dates with a few other words among them are not names: a note lists these words.
        return _is_unlike(series) and not date_formats(series.iloc[:SAMPLED])
    numbers = series.to_numpy(dtype="float64")
    if (numbers[:SAMPLED] % 1).any() or (numbers % 1).any():  # of most fractions the first show it
        return False
    low, high = float(numbers.min()), float(numbers.max())
    span = high - low + 1
    if span < UNIQUE * len(series) or not _is_unlike(series):
        return False
    name = plain_name(column.name)
    if unnamed or re.search(ID_NAME, name):
        return True
    if re.search(MEASURE_NAME, name) or re.search(TIME_NAME, name):
        return False
    rows = len(series)
    expected = rows - span * -math.expm1(rows * math.log1p(-1 / span))
    seen = rows - series.nunique()
    return expected >= EXPECTED_REPEATS and seen <= SEEN_REPEATS * expected


def _is_unlike(series: pd.Series[Any]) -> bool:
    """Tell whether nearly all values differ."""
    first = series.iloc[:SAMPLED]  # of most columns enough to see that they do not
    return all(part.nunique() > UNIQUE * len(part) for part in (first, series))


def _type_of(series: pd.Series[Any], roles: tuple[str, ...], clues: Clues) -> Column:
    """Return a column with the type, and a datetime's format."""
    settings = clues.settings
    name = str(series.name)
    kind = _plain_type(series)
    if form := clock_of(series, roles, clues):
        return Column(name, "number", True, format=form, unit="s")
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
    if kind in ("integer", "number") and not roles:
        clues.notes += counted_notes(series)
    if kind == "datetime":
        return Column(name, kind, True, zone=own_zone(series, clues.notes))
    if kind != "string":
        return Column(name, kind, True)
    return _type_of_text(series, roles, clues)


def _plain_type(series: pd.Series[Any]) -> str:
    """Return the type that follows from the data type alone."""
    if pd.api.types.is_bool_dtype(series.dtype):
        return "boolean"
    if pd.api.types.is_integer_dtype(series.dtype):
        return "integer"
    if pd.api.types.is_float_dtype(series.dtype) or series.dtype.kind == "m":
        return "number"
    return "datetime" if pd.api.types.is_datetime64_any_dtype(series.dtype) else "string"


# ---------------------------------------------------------------------------------- columns of text


def _type_of_text(series: pd.Series[Any], roles: tuple[str, ...], clues: Clues) -> Column:
    """Decide whether text holds numbers, dates, categories, sentences or other strings."""
    name = str(series.name)
    counts, words = distinct_words(series)
    form = clues.numbers.get(name)
    if form is not None and _holds_numbers(words, counts, form):
        return Column(name, "number", True)
    written = clues.dates.get(name, [])
    if len(written) == 1:
        return date_column(name, words[~words.isin(MISSING)], clues)
    if len(written) > 1:
        ways = " or ".join(form or "ISO 8601" for form in written)
        clues.notes.append(
            f"{name} may be dates written as {ways}, so it is taken as text; to settle it, set "
            "its type to datetime and its format in data/schema.yaml"
        )
    if {"id", "group", "time"} & set(roles):
        return Column(name, "string", True)
    clues.notes += odd_dates(name, counts, words) or date_like_notes(series, words)
    total = int(counts.sum())
    few = len(counts) <= clues.settings.features.max_categories
    if few and (len(counts) <= total / 2 or len(counts) <= 2):
        return Column(name, "category", True)
    sampled = words.iloc[:: max(len(words) // SAMPLED, 1)]
    spaces = float(sampled.str.count(r"\S+").mean())
    sentences = spaces >= TEXT_WORDS and len(counts) > total / 10
    return Column(name, "text" if sentences else "string", True)


def _holds_numbers(words: pd.Series[Any], counts: pd.Series[Any], form: NumberForm) -> bool:
    """Tell whether a column of text holds numbers, apart from a few errors."""
    import pyarrow as pa

    numbers = read_numbers(pa.array(words, type=pa.string()), form)
    if words.str.match(r"0\d").any():
        return False
    return has_few_errors(numbers.is_valid().to_numpy(zero_copy_only=False), counts)
