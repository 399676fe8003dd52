"""Dates as people write them: which format a column of text is in, by all of its values.

A format is one of `strptime`'s; None stands for ISO 8601. Day before month or month before day is
decided by the values that allow only one, else by the table's other columns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# So many different values suffice for a first look at a column.
SAMPLED = 2000
LOOKED_AT = 20
# With this share of dates in the first look, a format is tried on all values.
LIKELY = 0.5
# What may be a date: digits, and little else.
SHAPE = r"[A-Za-z]{0,9},? ?\d?[\dA-Za-z ,./:+'-]{3,40}"
DIGITS = r"\d\D*\d"

NUMERIC = ("%Y{0}%m{0}%d", "%m{0}%d{0}%Y", "%d{0}%m{0}%Y", "%m{0}%d{0}%y", "%d{0}%m{0}%y")
NAMED = (
    *("%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%d.%b.%Y", "%d. %b %Y", "%d%b%Y"),
    *("%d %B %Y", "%d-%B-%Y", "%d. %B %Y", "%d %b %y", "%d-%b-%y", "%d%b%y"),
    *("%b %d %Y", "%b %d, %Y", "%B %d %Y", "%B %d, %Y", "%Y %b %d", "%Y-%b-%d"),
    *("%a %d %b %Y", "%a, %d %b %Y", "%a %b %d %Y", "%a, %b %d, %Y"),
    *("%A %d %B %Y", "%A, %d %B %Y", "%A, %B %d, %Y"),
)
MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%m.%Y", "%b-%y", "%b %y", "%b-%Y", "%b %Y", "%B %Y", "%Y %b")
COMPACT = "%Y%m%d"
DAYS = (
    *(form.format(mark) for mark in "-/." for form in NUMERIC),
    *NAMED,
    *MONTHS,
    COMPACT,
)
TIMES = (
    *("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p"),
    *("T%H:%M", "T%H:%M:%S", " %H:%M%z", " %H:%M:%S%z", " %H:%M:%S %z", ", %H:%M", ", %I:%M %p"),
)
MONTH_NAMES = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
SHORT_MONTHS = tuple(name[:3] for name in MONTH_NAMES)
PATTERNS = {
    "Y": r"\d{4}",
    "y": r"\d\d",
    "m": r"(?:1[0-2]|0?[1-9])",
    "d": r"(?:[12]\d|3[01]|0?[1-9])",
    "b": f"(?:{'|'.join(SHORT_MONTHS).lower()})",
    "B": f"(?:{'|'.join(MONTH_NAMES).lower()})",
    "a": "(?:mon|tue|wed|thu|fri|sat|sun)",
    "A": "(?:mon|tues|wednes|thurs|fri|satur|sun)day",
    "H": r"(?:2[0-3]|[01]?\d)",
    "I": r"(?:1[0-2]|0?[1-9])",
    "M": r"[0-5]\d",
    "S": r"[0-5]\d",
    "f": r"\d{1,6}",
    "p": "(?:am|pm)",
    "z": r"(?:z|[+-]\d\d:?\d\d)",
}
FEWEST_COMPACT = 3
YEARS = (1900, 2100)


def date_formats(words: pd.Series[Any]) -> list[str | None]:
    """Return the formats that most of a column's distinct values may be in, ISO 8601 first."""
    if not looks_dated(words):
        return []
    looked_at = words.iloc[:: max(len(words) // LOOKED_AT, 1)]
    found: list[str | None] = []
    if parse_dates(looked_at, None).notna().mean() >= LIKELY and not _is_compact(looked_at):
        found.append(None)
    fitting = Counter(form for word in looked_at for form in _formats_of(word.lower()))
    found += [form for form in _all_formats() if fitting[form] >= LIKELY * len(looked_at)]
    sampled = words.iloc[:: max(len(words) // SAMPLED, 1)]
    return [form for form in found if parse_dates(sampled, form).notna().mean() >= LIKELY]


def looks_dated(words: pd.Series[Any]) -> bool:
    """Tell from a few values whether a column of text may hold dates."""
    looked_at = words.iloc[:: max(len(words) // LOOKED_AT, 1)].dropna()
    shaped = looked_at.str.fullmatch(SHAPE) & looked_at.str.contains(DIGITS)
    return bool(len(looked_at)) and float(shaped.mean()) >= LIKELY


@cache
def _all_formats() -> tuple[str, ...]:
    """Return every format that is looked for."""
    return tuple(day + time for day in DAYS for time in _times_of(day))


def _formats_of(word: str) -> Iterator[str]:
    """Yield every format that a word in lower case fits."""
    for day in DAYS:
        begun = _pattern_of(day).match(word)
        rest = word[begun.end() :] if begun else ""
        for time in _times_of(day) if begun else ():
            if _pattern_of(time).fullmatch(rest):
                yield day + time


def _times_of(day: str) -> tuple[str, ...]:
    """Return the times of day that may stand behind a day; behind a month none does."""
    return ("",) if day in MONTHS else TIMES


@cache
def _pattern_of(form: str) -> re.Pattern[str]:
    """Return the regular expression of what a format reads, in lower case."""
    parts = re.split(r"%(.)", form)
    literal = [re.escape(part.lower()) for part in parts[::2]]
    read = [PATTERNS[directive] for directive in parts[1::2]]
    return re.compile("".join(chain.from_iterable(zip_longest(literal, read, fillvalue=""))))


def parse_dates(words: pd.Series[Any], form: str | None) -> pd.Series[Any]:
    """Read dates by a format (None: ISO 8601); what does not fit becomes missing."""
    import pandas as pd

    return pd.to_datetime(words, format=form or "ISO8601", errors="coerce", utc=True)


def orders(forms: Iterable[str | None]) -> set[str]:
    """Return which of "day" and "month" stands first in formats that have both as numbers."""
    return set(filter(None, map(_first_part, forms)))


def same_order(forms: list[str | None], order: str) -> Iterator[str | None]:
    """Yield the formats in which that part stands first."""
    return (form for form in forms if _first_part(form) == order)


def is_compact(series: pd.Series[Any]) -> bool:
    """Tell whether whole numbers are days such as 20240131, each of them a day that exists."""
    import pandas as pd

    values = series.dropna()
    low, high = (year * 10_000 for year in YEARS)
    if not len(values) or not values.between(low, high).all():
        return False
    days = pd.Series(values.unique()).astype("int64").astype("str")
    return len(days) >= FEWEST_COMPACT and bool(parse_dates(days, COMPACT).notna().all())


def _is_compact(words: pd.Series[Any]) -> bool:
    """Tell whether words are mostly digits alone, which ISO 8601 may read as years."""
    return float(words.str.fullmatch(r"\d+").mean()) >= LIKELY


def _first_part(form: str | None) -> str | None:
    """Return "day" or "month" for a format such as %d/%m/%Y, else None."""
    at = {part: (form or "").find(f"%{part}") for part in "dmY"}
    if at["d"] < 0 or at["m"] < 0 or at["Y"] == 0:
        return None
    return "day" if at["d"] < at["m"] else "month"
