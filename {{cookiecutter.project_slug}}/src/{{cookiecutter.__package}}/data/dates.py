"""Dates as people write them: which format a column of text is in, by all of its values.

A format is one of `strptime`'s; None stands for ISO 8601. Day before month or month before day is
decided by the values that allow only one, else by what the table shows besides. Times of day and
durations are read as seconds, and dates with offsets belong to a time zone.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# What a model may get of a date, in this order; and of the time by which rows are split, of which
# later rows have years and days that no model has learnt from.
DATE_PARTS = ("year", "month", "day", "weekday", "hour", "days")
CALENDAR = ("month", "weekday", "hour")
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
# Months by language, where they are not written as English computers do. A date may shorten them.
LANGUAGES = {
    "English": MONTH_NAMES,
    **{
        language: tuple(names.split())
        for language, names in {
            "German": "Januar Februar März April Mai Juni Juli August September Oktober November "
            "Dezember",
            "French": "janvier février mars avril mai juin juillet août septembre octobre novembre "
            "décembre",
            "Spanish": "enero febrero marzo abril mayo junio julio agosto septiembre octubre "
            "noviembre diciembre",
            "Italian": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre "
            "ottobre novembre dicembre",
            "Portuguese": "janeiro fevereiro março abril maio junho julho agosto setembro outubro "
            "novembro dezembro",
            "Dutch": "januari februari maart april mei juni juli augustus september oktober "
            "november december",
        }.items()
    },
}
# A month with its full stop, or the "de" of 5 de mayo de 2021.
MONTH_WORD = re.compile(r"\bdel?\b|[^\W\d_]{3,}(?:\.(?=[\s,]|$))?", re.IGNORECASE)
# Digits and a word of letters, as in 5 mars 2021.
NAMES_MONTH = r"(?=.*\d)(?=.*[^\W\d_]{3}).{5,40}"
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
# Years of two digits are of the hundred up to this one, as computers have it.
LAST_YEAR = 2068
# Unless some dates would be further ahead than so many years, and all of them, with those ahead
# taken as past, no further apart than so many times what they were.
AHEAD = 10
APART = 1.1
FEWEST_COMPACT = 3
YEARS = (1900, 2100)
# Of so many days, the order of the rows shows which reading is right; so do firsts of months.
FEWEST_SORTED = 5
FEWEST_MONTHS = 3
# How far a time of day is ahead of UTC.
OFFSET = r"[T :]\d[\d:.,]*\s?(?:Z|z|[+-]\d\d(?::?\d\d)?)$"
# Zones that are tried first, where the offsets fit several.
USUAL_ZONES = (
    *("Europe/London", "Europe/Berlin", "Europe/Athens", "America/New_York", "America/Chicago"),
    *("America/Denver", "America/Los_Angeles", "America/Halifax", "America/St_Johns"),
    *("America/Sao_Paulo", "America/Santiago", "Australia/Sydney", "Australia/Adelaide"),
    *("Pacific/Auckland", "Asia/Jerusalem", "Africa/Cairo"),
)
REGIONS = ("Africa", "America", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
# What 1:30 is in a column of times: hours and minutes, or minutes and seconds.
HOURS, MINUTES = "H:M:S", "M:S"
CLOCKS = (HOURS, MINUTES)
# 08:30, 1:02:03.5, 8:30 PM, 1 day, 2:03:04.
CLOCK = (
    r"(?:(?P<days>-?\d+) days?,? ?)?(?P<sign>[+-])?(?P<first>\d{1,3}):(?P<second>[0-5]\d)"
    r"(?::(?P<third>[0-5]\d))?(?P<fraction>[.,]\d+)?(?: ?(?P<half>[ap])\.?m\.?)?"
)
# PT1H30M, of ISO 8601; years and months have no fixed length.
DURATION = (
    r"(?P<sign>[+-])?P(?=[\dT])(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:[.,]\d+)?)S)?)?"
)


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
    return _look_dated(_some(words))


def _some(words: pd.Series[Any]) -> list[str]:
    """Return a few words. On so few, a loop is quicker than pandas, for each of many columns."""
    return list(words.iloc[:: max(len(words) // LOOKED_AT, 1)].dropna())


def _look_dated(words: list[str]) -> bool:
    """Tell whether most of a few words look like dates."""
    return mostly(words, lambda word: re.fullmatch(SHAPE, word) and re.search(DIGITS, word))


def mostly(words: list[str], test: Callable[[str], Any], share: float = LIKELY) -> bool:
    """Tell whether a test holds for such a share of some words, of which there is one at least."""
    return bool(words) and sum(bool(test(word)) for word in words) >= share * len(words)


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


def parse_dates(
    words: pd.Series[Any],
    form: str | None,
    months: Sequence[str] | None = None,
    last_year: int | None = None,
) -> pd.Series[Any]:
    """Read dates by a format (None: ISO 8601), in UTC; what does not fit becomes missing.

    Args:
        words: As they are written; missing ones stay missing.
        form: One of `strptime`'s.
        months: The names of the months; None: as English computers write them.
        last_year: Of the hundred that years of two digits are of; None: 2068.
    """
    import pandas as pd

    if months:
        words = words.map(lambda word: in_english(word, tuple(months)), na_action="ignore")
    dates = pd.to_datetime(words, format=form or "ISO8601", errors="coerce", utc=True)
    return dates if last_year is None else _in_years_up_to(dates, last_year)


def _in_years_up_to(dates: pd.Series[Any], last_year: int) -> pd.Series[Any]:
    """Return dates with other centuries, so that all are of the hundred years up to one."""
    import pandas as pd

    moves = (last_year - dates.dt.year) // 100 * 100
    for years in moves[moves != 0].dropna().unique():
        dates = dates.mask(moves == years, dates + pd.DateOffset(years=int(years)))
    return dates


def choose_last_year(dates: pd.Series[Any], form: str | None) -> int | None:
    """Return the last of the hundred years that years of two digits are of; None for 2068.

    Dates of birth from 28/10/64 on are of 1964, not of 2064. Plans for 2024 to 2056 stay: with
    those ahead taken as past, the dates would lie far apart.

    Args:
        dates: As `parse_dates` reads them without it.
        form: How they are written.
    """
    years = dates.dt.year.dropna()
    today = datetime.now(UTC).year
    ahead = years[years > today]
    if "%y" not in (form or "") or not (ahead > today + AHEAD).any():
        return None
    last_year = int(min(today + AHEAD, ahead.min() - 1))
    past = years.mask(years > last_year, years - 100)
    apart = [each.max() - each.min() for each in (past, years)]
    return last_year if apart[0] <= APART * apart[1] else None


# ------------------------------------------------------------------------------ months in languages


def in_english(text: str, months: tuple[str, ...]) -> str:
    """Write the months of a date as English computers do: `5 de mayo de 2021` is `5 May 2021`."""
    return " ".join(MONTH_WORD.sub(lambda found: _month(found[0], months), text).split())


@cache
def _month(word: str, months: tuple[str, ...]) -> str:
    """Return the English month that a word names or shortens (`Mrz`), else the word itself."""
    if word.casefold() in ("de", "del"):
        return ""
    letters = _letters(word)
    names = [_letters(month) for month in months]
    short = [at for at, name in enumerate(names) if _shortens(letters, name)]
    at = names.index(letters) if letters in names else short[0] if len(short) == 1 else None
    return word if at is None else SHORT_MONTHS[at]


def _letters(word: str) -> str:
    """Return a word's letters without case and accents."""
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(filter(str.isalpha, plain))


def _shortens(letters: str, name: str) -> bool:
    """Tell whether letters stand in a name in the same order, the first at its beginning."""
    rest = iter(name)
    return letters[:1] == name[:1] and all(letter in rest for letter in letters)


def month_languages(words: pd.Series[Any], own: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the languages whose months most values of a column may name, with these months.

    Args:
        words: A column of text.
        own: The months of a language that is not known here; may be empty.
    """
    some = _some(words)
    if not mostly(some, lambda word: re.fullmatch(NAMES_MONTH, word)):
        return {}
    known = {"your": own, **LANGUAGES} if own else LANGUAGES
    return {language: months for language, months in known.items() if _name_months(some, months)}


def _name_months(words: list[str], months: tuple[str, ...]) -> bool:
    """Tell whether most of a few words are dates with such a month in them."""

    def named(text: str) -> bool:
        return any(_month(word, months) in SHORT_MONTHS for word in MONTH_WORD.findall(text))

    return mostly(words, named) and _look_dated([in_english(word, months) for word in words])


# ----------------------------------------------------------------------------- times and durations


def looks_timed(words: pd.Series[Any]) -> bool:
    """Tell from a few values whether a column of text may hold times of day or durations."""
    return mostly(
        _some(words),
        lambda word: re.fullmatch(CLOCK, word, re.IGNORECASE) or re.fullmatch(DURATION, word),
    )


def clock_form(words: pd.Series[Any]) -> str:
    """Return how a column's distinct values write times of day or durations.

    Two parts are hours and minutes, unless they have a fraction, or stand beside three parts of
    which the first is one digit, as in 59:30 and 1:02:10.
    """
    parts = words.str.extract(f"^{CLOCK}$", flags=re.IGNORECASE)
    parts = parts[parts["first"].notna()]
    three = parts["third"].notna()
    short = bool((parts["first"].str.len() < 2).any()) and three.any() and not three.all()
    fractions = bool((parts["fraction"].notna() & ~three).any())
    halves = bool(parts["half"].notna().any())
    return MINUTES if (short or fractions) and not halves else HOURS


def read_seconds(words: pd.Series[Any], form: str) -> pd.Series[Any]:
    """Read times of day and durations as seconds, float64; what is neither becomes missing.

    Args:
        words: As they are written; missing ones stay missing.
        form: One of `CLOCKS`.
    """
    import numpy as np
    import pandas as pd

    codes, distinct = words.factorize()
    read = [read_clock(word, form) for word in distinct]
    values = np.array([*read, None], dtype="float64")[codes]  # code -1 is a missing value
    return pd.Series(values, index=words.index, name=words.name)


def read_clock(text: str, form: str) -> float | None:
    """Return a time of day or a duration in seconds; None where it is neither.

    Args:
        text: As it is written.
        form: One of `CLOCKS`.
    """
    text = text.strip()
    length = re.fullmatch(DURATION, text)
    if length:
        weeks, days, hours, minutes, seconds = (
            _decimal(length[part]) for part in ("weeks", "days", "hours", "minutes", "seconds")
        )
        whole = ((weeks * 7 + days) * 24 + hours) * 3600 + minutes * 60
        return _signed(_sum(whole, seconds), length["sign"])
    found = re.fullmatch(CLOCK, text, re.IGNORECASE)
    if not found:
        return None
    first, second, third = (_decimal(found[part]) for part in ("first", "second", "third"))
    half, two = found["half"], found["third"] is None
    short = two and form == MINUTES
    if half and (short or not 1 <= first <= 12) or two and found["fraction"] and not short:
        return None
    hours = first % 12 + 12 * (half in "pP") if half else first
    whole = first * 60 + second if short else hours * 3600 + second * 60 + third
    time = _signed(_sum(whole, _decimal(found["fraction"])), found["sign"])
    return _decimal(found["days"]) * 86_400 + time


def _decimal(digits: str | None) -> float:
    """Return a part of a duration as a number; 0 where it is not there."""
    return float((digits or "0").replace(",", "."))


def _signed(seconds: float, sign: str | None) -> float:
    """Return seconds with their sign."""
    return -seconds if sign == "-" else seconds


def _sum(whole: float, part: float) -> float:
    """Add seconds to the microsecond, so that every source gives the same number."""
    return (whole * 1_000_000 + round(part * 1_000_000)) / 1_000_000


# -------------------------------------------------------------------------------------- time zones


@cache
def zone_info(zone: str) -> tzinfo:
    """Return a time zone by its name (Europe/Berlin) or its offset (+01:00).

    Raises:
        ValueError: If there is none.
    """
    offset = re.fullmatch(r"([+-])(\d\d):([0-5]\d)", zone)
    if offset:
        ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-ahead if offset[1] == "-" else ahead)
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(zone)
    except (KeyError, OSError):
        raise ValueError(f"no time zone {zone!r}") from None


def zone_name(zone: tzinfo) -> str | None:
    """Return a zone's name or offset; None for UTC, and for what has no name."""
    name = re.sub(r"^UTC(?=[+-])", "", str(zone))
    try:
        utc = zone == UTC or name.rpartition("/")[2] in ("UTC", "UCT", "Zulu", "GMT")
        return None if utc or not zone_info(name) else name
    except ValueError:
        return None


def local_times(times: pd.Series[Any], zone: str | None) -> pd.Series[Any]:
    """Return times of a zone for times of UTC, both without a zone."""
    if zone is None:
        return times
    local: pd.Series[Any] = times.dt.tz_localize("UTC").dt.tz_convert(zone_info(zone))
    naive: pd.Series[Any] = local.dt.tz_localize(None)
    return naive


def offsets_of(words: pd.Series[Any], form: str | None) -> pd.Series[Any]:
    """Return how far each value says that it is ahead of UTC (+01:00); missing if it does not."""
    import pandas as pd

    nothing = pd.Series(None, index=words.index, dtype="str")
    if form is not None and "%z" not in form:
        return nothing
    ahead = words.str.strip()
    ahead = ahead[ahead.str.contains(OFFSET, na=False)]
    # Few ends differ, where each value does.
    ends = ahead.str.slice(-6)
    found = {end: _plain_offset(end) for end in ends.unique()}
    return nothing.where(~words.index.isin(ends.index), ends.map(found).reindex(words.index))


def _plain_offset(end: str) -> str:
    """Return the offset at the end of a time as +01:00."""
    if end[-1] in "zZ":
        return "+00:00"
    sign, hours, minutes = re.findall(r"([+-])(\d\d):?(\d\d)?$", end)[0]
    return f"{sign}{hours}:{minutes or '00'}"


def common_zone(words: pd.Series[Any], form: str | None, offsets: pd.Series[Any]) -> str | None:
    """Return the first zone that is ahead of UTC by just these offsets at these times, if any is.

    Args:
        words: Dates as they are written.
        form: How, as in `parse_dates`.
        offsets: Of `offsets_of`; several.
    """
    from zoneinfo import available_timezones

    times = parse_dates(words, form).dt.tz_localize(None)
    there = times.notna()
    times, signs = times[there], offsets[there].fillna("+00:00")
    ahead = signs.map({sign: zone_info(sign).utcoffset(None) for sign in signs.unique()})
    few = slice(None, None, max(len(times) // SAMPLED, 1))
    known = available_timezones()
    others = sorted(name for name in known if name.partition("/")[0] in REGIONS)
    for name in (*(usual for usual in USUAL_ZONES if usual in known), *others):
        for some in (few, slice(None)):
            found = local_times(times.iloc[some], name) - times.iloc[some]
            if not (found == ahead.iloc[some]).all():
                break
        else:
            return name
    return None


# --------------------------------------------------------------------------- day or month at first


def orders(forms: Iterable[str | None]) -> set[str]:
    """Return which of "day" and "month" stands first in formats that have both as numbers."""
    return set(filter(None, map(_first_part, forms)))


def same_order(forms: list[str | None], order: str) -> Iterator[str | None]:
    """Yield the formats in which that part stands first."""
    return (form for form in forms if _first_part(form) == order)


def ordered_rows(series: pd.Series[Any], forms: list[str | None]) -> set[str]:
    """Return which of "day" and "month" may stand first if the rows are in order of time."""
    read = {form: parse_dates(series, form).dropna() for form in forms}
    return orders(
        form
        for form, dates in read.items()
        if dates.nunique() >= FEWEST_SORTED
        and (dates.is_monotonic_increasing or dates.is_monotonic_decreasing)
    )


def monthly_rows(series: pd.Series[Any], forms: list[str | None]) -> set[str]:
    """Return which of "day" and "month" may stand first if each date is the first of a month."""
    read = {form: parse_dates(series, form).dropna() for form in forms}
    return orders(
        form
        for form, dates in read.items()
        if (dates.dt.day == 1).all() and dates.dt.month.nunique() >= FEWEST_MONTHS
    )


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
