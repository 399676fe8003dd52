"""Inferring the schema from all rows (`infer_schema`).

A value that is likely an error (one word in a column of numbers) is refused with its row. What may
be meant in two ways (dates such as 01.02.2024) is read in the likelier one and noted.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from ..core import registry
from ..core.config import redact
from ..core.errors import UserError
from ..core.files import fingerprint
from .cast import cast_column, example_of, refuse, spell
from .dates import (
    CALENDAR,
    COMPACT,
    HOURS,
    MINUTES,
    clock_form,
    common_zone,
    date_formats,
    in_english,
    is_compact,
    looks_dated,
    looks_timed,
    month_languages,
    monthly_rows,
    mostly,
    offsets_of,
    ordered_rows,
    orders,
    parse_dates,
    read_seconds,
    same_order,
    zone_name,
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
from .words import MISSING, NOTED, Reading, odd_note, value_notes

if TYPE_CHECKING:
    from ..core.config import Settings

# With this share of numbers (or dates), the other values of a column are errors.
MEANT = 0.99
# So they are with this share and so few other spellings ("?", "unknown").
LIKELY = 0.9
FEW_SPELLINGS = 3
# So many different values suffice for a first look at a column.
SAMPLED = 2000
FEW_VALUES = 50
SHOWN = 3
TOTAL = re.compile(r"(grand |sub)?(total|sum|summe|gesamt|totale|somme)s?\b", re.IGNORECASE)
# 2021-W05, Q1 2021, 2021Q1: a part of a year, which is not a day.
PERIOD = r"\d{4}[- ]?W[0-5]\d(?:-?[1-7])?|Q[1-4][-/ ]?\d{4}|\d{4}[-/ ]?Q[1-4]"
# Names of columns that hold times, where a number may count from some day on.
TIME_NAME = r"date|time|stamp|when|epoch|(?:^|_)(?:day|ts|at|on|created|updated)(?:$|_)"
# What numbers count, the first day, and the least and the greatest that stand for 1990 to 2050.
COUNTED: tuple[tuple[Literal["s", "ms", "D"], str, int, int], ...] = (
    ("s", "seconds since 1970", 631_152_000, 2_524_608_000),
    ("ms", "milliseconds since 1970", 631_152_000_000, 2_524_608_000_000),
    ("D", "days as Excel counts them", 32_874, 54_789),
)
EXCEL = "1899-12-30"
# A day and a year around a word, such as 5 maja 2021 or 12-paź-21.
NAMED_DAY = r"\d{1,4}[.]?[-/ ]?[^\W\d_]{3,}[.]?[-/ ]?\d{2,4}|[^\W\d_]{3,} \d{4}"
MONTHS_OF_A_YEAR = 12
# Units beside numbers where the day stands first, and where the month does.
DAY_FIRST = ("€", "EUR", "£", "GBP", "₹", "INR", "R$", "BRL")
MONTH_FIRST = ("$", "USD", "US$")
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
    _find_dates(frame, chosen, clues)
    columns = [_infer_column(frame[column.name], column.roles, clues) for column in chosen]
    columns = _without_names(frame, columns, clues)
    words = {column.name for column in columns if column.type in WORDS}
    clues.notes += value_notes(
        {name: reading.spelt[name] for name in reading.spelt if name in words}
    )
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


@dataclass
class Clues:
    """What the columns' types follow from, besides their values.

    Attributes:
        settings: The task, roles, and how many values a category may have.
        notes: What should be said; grows.
        numbers: How columns of text write their numbers.
        target: As an earlier schema has it.
        dates: The formats that columns of text may be dates in; grows.
        months: The months of those whose months are not English; grows.
    """

    settings: Settings
    notes: list[str]
    numbers: dict[str, NumberForm]
    target: Column | None = None
    dates: dict[str, list[str | None]] = field(default_factory=dict)
    months: dict[str, tuple[str, ...]] = field(default_factory=dict)


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
    if form := _clock_of(series, roles, clues):
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
        clues.notes += _counted_notes(series)
    if kind == "datetime":
        return Column(name, kind, True, zone=_own_zone(series, clues.notes))
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
    counts, words = _distinct(series)
    form = clues.numbers.get(name)
    if form is not None and _holds_numbers(words, counts, form):
        return Column(name, "number", True)
    written = clues.dates.get(name, [])
    if len(written) == 1:
        clues.notes += _century_notes(series, written[0])
        zone = _zone_of(name, words[~words.isin(MISSING)], written[0], clues.notes)
        months = clues.months.get(name)
        return Column(name, "datetime", True, format=written[0], months=months, zone=zone)
    if len(written) > 1:
        ways = " or ".join(form or "ISO 8601" for form in written)
        clues.notes.append(
            f"{name} may be dates written as {ways}, so it is taken as text; to settle it, set "
            "its type to datetime and its format in data/schema.yaml"
        )
    if {"id", "group", "time"} & set(roles):
        return Column(name, "string", True)
    clues.notes += _odd_dates(name, counts, words) or _date_like_notes(series, words)
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
    return _has_few_errors(numbers.is_valid().to_numpy(zero_copy_only=False), counts)


def _distinct(series: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Return how often each value occurs, and the values as text."""
    counts = series.value_counts(sort=False)
    if series.dtype == "str":
        return counts, pd.Series(counts.index)
    return counts, pd.Series([spell(value) for value in counts.index], dtype="str")


def _present(series: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Return the same, without what spells a missing value."""
    counts, words = _distinct(series)
    present = ~words.isin(MISSING)
    return counts[present.to_numpy()], words[present]


def _has_few_errors(fits: Any, counts: pd.Series[Any]) -> bool:
    """Tell whether nearly all rows fit, but not all."""
    share = float(counts[fits].sum() / counts.sum())
    others = int((~fits).sum())
    # Of two spellings, one is not "nearly all", whatever its count.
    enough = int(fits.sum()) > FEW_SPELLINGS
    likely = share >= LIKELY and others <= FEW_SPELLINGS
    return enough and others > 0 and (share >= MEANT or likely)


# ---------------------------------------------------------------------------------- dates and times


def _find_dates(frame: pd.DataFrame, columns: Sequence[Column], clues: Clues) -> None:
    """Find out which columns of text hold dates, in which formats, and by which months."""
    for column in columns:
        series = frame[column.name]
        name = column.name
        free = not {"id", "group", "ignore"} & set(column.roles)
        if series.dtype != "str" or not free or name in clues.settings.data.text:
            continue
        found = _date_formats(*_present(series)) if looks_dated(series) else []
        found = found or _named_dates(series, clues)
        if found:
            clues.dates[name] = found
    _choose_orders(frame, clues)


def _date_formats(counts: pd.Series[Any], words: pd.Series[Any]) -> list[str | None]:
    """Return the formats by which the text reads as dates: none, one, or some that differ.

    None in the list stands for ISO 8601. Where nearly all rows fit a format, it is returned too:
    casting then names the row that does not.

    Args:
        counts: How often each of the values occurs.
        words: A column's distinct values, apart from what spells a missing one.
    """
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


def _named_dates(series: pd.Series[Any], clues: Clues) -> list[str | None]:
    """Return the formats of dates with months of another language, and keep and note its months."""
    for language, months in month_languages(series, clues.settings.data.months).items():
        counts, words = _present(series)
        english = words.map(lambda word, months=months: in_english(word, months))
        forms = _date_formats(counts, english)
        if forms:
            name = str(series.name)
            clues.months[name] = months
            clues.notes.append(f"{name} is read as dates with {language} names of months")
            return forms
    return []


def _choose_orders(frame: pd.DataFrame, clues: Clues) -> None:
    """Decide whether day or month stands first, where a column's values fit both.

    The table's other dates decide; else whether each is the first of a month; else the order of the
    rows; else how the table writes numbers and times; else the day stands first, as in most
    countries.
    """
    unsure = {
        name: forms
        for name, forms in clues.dates.items()
        if len(forms) == 2 and orders(forms) == {"day", "month"}
    }
    if not unsure:
        return
    sure = orders(forms[0] for forms in clues.dates.values() if len(forms) == 1)

    def shown_by(rule: Callable[[pd.Series[Any], list[str | None]], set[str]]) -> set[str]:
        shown = [rule(frame[name], forms) for name, forms in unsure.items()]
        return {order for each in shown if len(each) == 1 for order in each}

    reasons = (
        (sure, "the table's other dates begin with the {}"),
        (shown_by(monthly_rows), "all are first days of months if the {} stands first"),
        (shown_by(ordered_rows), "the rows are in order of time if the {} stands first"),
        (_local_order(unsure, clues), "the table is written as where the {} stands first"),
        ({"day"}, "in most countries the {} stands first"),
    )
    order, reason = next((min(found), why) for found, why in reasons if len(found) == 1)
    for name, forms in unsure.items():
        (taken,) = same_order(forms, order)
        (other,) = (form for form in forms if form != taken)
        words = frame[name].dropna()
        read = parse_dates(words, taken)
        differing = (read != parse_dates(words, other)) & read.notna()
        at = int(differing.to_numpy().argmax())
        clues.dates[name] = [taken]
        clues.notes.append(
            f"{name} may be written in two ways: '{words.iloc[at]}' is read as "
            f"{read.iloc[at]:%d %B %Y} ({taken}), since {reason.format(order)}; if that is wrong, "
            f"set its format to '{other}' in data/schema.yaml"
        )


def _local_order(unsure: dict[str, list[str | None]], clues: Clues) -> set[str]:
    """Return which of "day" and "month" stands first where numbers and times are so written."""
    found = set()
    forms = [form or "" for each in unsure.values() for form in each]
    numbers = clues.numbers.values()
    if any(each.decimal == COMMA or each.unit in DAY_FIRST for each in numbers) or any(
        "%d.%m" in form for form in forms
    ):
        found.add("day")
    if any(each.unit in MONTH_FIRST for each in numbers) or any("%p" in form for form in forms):
        found.add("month")
    return found


def _own_zone(series: pd.Series[Any], notes: list[str]) -> str | None:
    """Return the zone of dates that are not text, None for UTC."""
    zone = getattr(series.dtype, "tz", None)
    if zone is not None:
        return zone_name(zone)
    # Files with different zones make a column of objects.
    mixed = series.dtype == object
    return _zone_of(str(series.name), _distinct(series)[1], None, notes) if mixed else None


def _zone_of(name: str, words: pd.Series[Any], form: str | None, notes: list[str]) -> str | None:
    """Return the zone that the offsets of written dates belong to, None for UTC, and note it."""
    offsets = offsets_of(words, form)
    found = sorted(offsets.dropna().unique())
    if found in ([], ["+00:00"]):
        return None
    alone = len(found) == 1 and offsets.notna().all()
    zone = found[0] if alone else common_zone(words, form, offsets)
    if zone is None:
        notes.append(
            f"{name} has offsets of several time zones ({', '.join(found[:SHOWN])}), so its hours "
            "and days are those of UTC; for those of one place set its zone in data/schema.yaml, "
            "such as zone: Europe/Berlin"
        )
    else:
        notes.append(
            f"{name} has the hours and days of zone {zone}, which its offsets fit; to take "
            "another, set its zone in data/schema.yaml"
        )
    return zone


def _clock_of(series: pd.Series[Any], roles: tuple[str, ...], clues: Clues) -> str | None:
    """Return how a column writes times of day or durations, if it holds them, and note it.

    A target may be one where the task predicts numbers.
    """
    settings = clues.settings
    predicts_words = "number" not in registry.task(settings.model.task).target_types
    if {"id", "group", "time", *(["target"] * predicts_words)} & set(roles):
        return None
    if series.dtype.kind == "m":
        clues.notes.append(f"{series.name} holds durations, and is read as seconds")
        return HOURS
    if series.dtype != "str" or series.name in settings.data.text or not looks_timed(series):
        return None
    counts, words = _present(series)
    form = clock_form(words)
    fits = read_seconds(words, form).notna().to_numpy()
    if not fits.all() and not _has_few_errors(fits, counts):
        return None
    clues.notes.append(_clock_note(str(series.name), words[fits].iloc[:SAMPLED], form))
    return form


def _clock_note(name: str, words: pd.Series[Any], form: str) -> str:
    """Say how times of day and durations are read, by one that may be meant otherwise if any is."""
    other = MINUTES if form == HOURS else HOURS
    seconds, otherwise = read_seconds(words, form), read_seconds(words, other)
    differing = ((seconds != otherwise) & otherwise.notna()).to_numpy()
    at = int(differing.argmax())
    note = f"{name} is read as seconds: '{words.iloc[at]}' is {seconds.iloc[at]:.15g}"
    if not differing.any():
        return note
    how = f"set its format to {other} in data/schema.yaml"
    return f"{note}; if it is {otherwise.iloc[at]:.15g}, {how}"


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


def _odd_dates(name: str, counts: pd.Series[Any], words: pd.Series[Any]) -> list[str]:
    """Note other words among dates, as is done among numbers."""
    present = ~words.isin(MISSING).to_numpy()
    counts, words = counts[present], words[present]
    fitting = [parse_dates(words, form).notna().to_numpy() for form in date_formats(words)]
    fits = max(fitting, key=sum, default=None)
    if fits is None or fits.all() or not fits.any():
        return []
    odd = Counter(dict(zip(words[~fits], counts[~fits].astype(int), strict=True)))
    share = float(counts[fits].sum() / counts.sum())
    return [odd_note(name, "dates", share, odd)] if share >= NOTED else []


def _date_like_notes(series: pd.Series[Any], words: pd.Series[Any]) -> list[str]:
    """Note text that looks like dates, and is not read as such."""
    some = list(words.iloc[:: max(len(words) // FEW_VALUES, 1)])
    name = str(series.name)
    if mostly(some, lambda word: re.fullmatch(PERIOD, word, re.IGNORECASE), MEANT):
        return [
            f"{name} holds weeks or quarters, such as {example_of(series)}, and is taken as text; "
            "for their order write the first day of each (2021-01-31)"
        ]
    names = {name.casefold() for word in some for name in re.findall(r"[^\W\d_]{3,}", word)}
    named = mostly(some, lambda word: re.fullmatch(NAMED_DAY, word), MEANT)
    if named and len(names) <= MONTHS_OF_A_YEAR:
        return [
            f"{name} looks like dates, such as {example_of(series)}, and is taken as text; if it "
            "names months, list the twelve names in [data] months in conf.cfg"
        ]
    return []


def _counted_notes(series: pd.Series[Any]) -> list[str]:
    """Note numbers that may count the seconds or days up to a date."""
    name = str(series.name)
    if not re.search(TIME_NAME, name, re.IGNORECASE) and not re.search(r"[a-z](?:At|On)$", name):
        return []
    low, high = series.min(), series.max()
    for unit, what, least, most in COUNTED:
        if least <= low and high <= most:
            origin = EXCEL if unit == "D" else "unix"
            first = pd.to_datetime(series.dropna().iloc[:1], unit=unit, origin=origin)
            return [
                f"{name} may be {what} (the first is in {first.iloc[0]:%B %Y}), and is read as "
                "numbers; for dates write them as 2024-01-31T12:30:00 in the source"
            ]
    return []
