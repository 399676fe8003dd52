"""Which columns of a table hold dates, times of day or durations, and what is said of it.

`find_dates` looks at all columns of text, since the others may show whether the day or the month
stands first. The rest is of one column.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from ..core import registry
from .cast import example_of, spell
from .dates import (
    HOURS,
    LAST_YEAR,
    MINUTES,
    SAMPLED,
    choose_last_year,
    clock_form,
    common_zone,
    date_formats,
    in_english,
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
from .numbers import COMMA, NumberForm
from .schema import Column
from .words import MISSING, NOTED, odd_note

if TYPE_CHECKING:
    from ..core.config import Settings

# With this share of dates (or numbers), the other values of a column are errors.
MEANT = 0.99
# So they are with this share and so few other spellings ("?", "unknown").
LIKELY = 0.9
FEW_SPELLINGS = 3
FEW_VALUES = 50
SHOWN = 3
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


def distinct_words(series: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Return how often each value occurs, and the values as text."""
    counts = series.value_counts(sort=False)
    if series.dtype == "str":
        return counts, pd.Series(counts.index)
    return counts, pd.Series([spell(value) for value in counts.index], dtype="str")


def present_words(series: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Return the same, without what spells a missing value."""
    counts, words = distinct_words(series)
    present = ~words.isin(MISSING)
    return counts[present.to_numpy()], words[present]


def has_few_errors(fits: Any, counts: pd.Series[Any]) -> bool:
    """Tell whether nearly all rows fit, but not all."""
    share = float(counts[fits].sum() / counts.sum())
    others = int((~fits).sum())
    # Of two spellings, one is not "nearly all", whatever its count.
    enough = int(fits.sum()) > FEW_SPELLINGS
    likely = share >= LIKELY and others <= FEW_SPELLINGS
    return enough and others > 0 and (share >= MEANT or likely)


def find_dates(frame: pd.DataFrame, columns: Sequence[Column], clues: Clues) -> None:
    """Find out which columns of text hold dates, in which formats, and by which months."""
    for column in columns:
        series = frame[column.name]
        name = column.name
        free = not {"id", "group", "ignore"} & set(column.roles)
        if series.dtype != "str" or not free or name in clues.settings.data.text:
            continue
        found = _date_formats(*present_words(series)) if looks_dated(series) else []
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
        elif has_few_errors(fits, counts):
            nearly.append((float(counts[fits].sum()), form))
    if fitting:
        return [form for form, _ in fitting]
    return [max(nearly, key=lambda pair: pair[0])[1]] if nearly else []


def _named_dates(series: pd.Series[Any], clues: Clues) -> list[str | None]:
    """Return the formats of dates with months of another language, and keep and note its months."""
    for language, months in month_languages(series, clues.settings.data.months).items():
        counts, words = present_words(series)
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
        read = parse_dates(words, taken, last_year=choose_last_year(read, taken))
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


def own_zone(series: pd.Series[Any], notes: list[str]) -> str | None:
    """Return the zone of dates that are not text, None for UTC."""
    zone = getattr(series.dtype, "tz", None)
    if zone is not None:
        return zone_name(zone)
    # Files with different zones make a column of objects.
    mixed = series.dtype == object
    return _zone_of(str(series.name), distinct_words(series)[1], None, notes) if mixed else None


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


def clock_of(series: pd.Series[Any], roles: tuple[str, ...], clues: Clues) -> str | None:
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
    counts, words = present_words(series)
    form = clock_form(words)
    fits = read_seconds(words, form).notna().to_numpy()
    if not fits.all() and not has_few_errors(fits, counts):
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


def date_column(name: str, words: pd.Series[Any], clues: Clues) -> Column:
    """Return a column of text that holds dates, and note what may be meant otherwise.

    Args:
        name: Its name.
        words: Its distinct values, without what spells a missing one.
        clues: Which know its format.
    """
    (form,), months = clues.dates[name], clues.months.get(name)
    last_year = choose_last_year(parse_dates(words, form, months), form)
    if "%y" in (form or ""):
        dates = parse_dates(words, form, months, last_year)
        clues.notes.append(_century_note(name, words, dates, last_year))
    zone = _zone_of(name, words, form, clues.notes)
    return Column(
        name, "datetime", True, format=form, months=months, last_year=last_year, zone=zone
    )


def _century_note(
    name: str, words: pd.Series[Any], dates: pd.Series[Any], last_year: int | None
) -> str:
    """Say how years of two digits are read, by the date that is the likeliest to be wrong."""
    at = int(dates.argmax() if last_year is None else dates.argmin())
    last = last_year or LAST_YEAR
    other = LAST_YEAR if last_year else datetime.now(UTC).year
    return (
        f"{name} has years of two digits, read as of {last - 99}-{last}: "
        f"'{words.iloc[at]}' is in {dates.iloc[at].year}; if that is wrong, set its last_year to "
        f"{other} in data/schema.yaml"
    )


def odd_dates(name: str, counts: pd.Series[Any], words: pd.Series[Any]) -> list[str]:
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


def date_like_notes(series: pd.Series[Any], words: pd.Series[Any]) -> list[str]:
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


def counted_notes(series: pd.Series[Any]) -> list[str]:
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
