"""Values as Markdown for the measured parts: tables, code and prose that are safe, numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .records import one_line

# A page is for reading: what is longer is in the file that the part names.
MAX_ROWS = 20
MAX_VALUES = 8
MAX_CHARACTERS = 80

PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
MARKUP = "&*<>[\\]_`|~$"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: int = 0) -> list[str]:
    """Return a table whose last `right` columns are aligned to the right."""
    marks = ["---"] * (len(header) - right) + ["--:"] * right
    lines = [" | ".join(cells) for cells in (header, marks, *rows)]
    return [f"| {line} |" for line in lines]


def rest_of_table(total: int, noun: str, file: str, limit: int = MAX_ROWS) -> Iterator[str]:
    """Yield a line about the rows that a table leaves out, and the file that has them."""
    if total > limit:
        yield ""
        yield f"{plural(total - limit, 'more ' + noun)} in `{file}`."


def code(value: Any) -> str:
    """Return a value from the data as code on one line, safe in a table."""
    text = _shorten(value)
    if not text:
        return "(empty)"
    # Nothing can escape a backtick or a bar inside code for every renderer.
    return _escape(text, PUNCTUATION) if set(text) & set("`|<>\\&") else f"`{text}`"


def codes(values: Sequence[Any]) -> str:
    """Return the first of some values as code, and how many more there are."""
    more = f" and {len(values) - MAX_VALUES} more" if len(values) > MAX_VALUES else ""
    return ", ".join(map(code, values[:MAX_VALUES])) + more


def prose(value: Any) -> str:
    """Return words from outside as plain text on one line, safe in a table."""
    return _escape(one_line(str(value)), MARKUP)


def _escape(text: str, characters: str) -> str:
    """Write characters as references, which Markdown never takes for its own."""
    return "".join(f"&#{ord(each)};" if each in characters else each for each in text)


def _shorten(value: Any) -> str:
    """Return a value as text on one line, cut where it is very long."""
    text = one_line(str(value))
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"


def plural(value: int, noun: str) -> str:
    """Return a number of things: `1 column`, `3 classes`."""
    plural = "" if value == 1 else "es" if noun.endswith("s") else "s"
    return f"{count(value)} {noun}{plural}"


def count(value: int) -> str:
    """Return a whole number for people."""
    return f"{value:,}"


def number(value: float | None) -> str:
    """Return a setting or bound for people, as short as it was given."""
    return "-" if value is None else f"{value:,.6g}"


def score(value: float | None) -> str:
    """Return a measured number for people, as the report's page shows it."""
    if value is None:
        return "-"
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}"
    return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.1f}"


def mean_and_deviation(mean: float | None, deviation: float | None) -> str:
    """Return a mean with its standard deviation."""
    if mean is None or deviation is None:
        return score(mean)
    return f"{score(mean)} ± {score(deviation)}"


def bounds(interval: Mapping[str, Any]) -> str:
    """Return an interval from its `low` and `high`."""
    low, high = interval.get("low"), interval.get("high")
    return "-" if low is None or high is None else f"{score(low)} to {score(high)}"


def percent(share: float) -> str:
    """Return a share for people; one that is small but not zero does not read as zero."""
    return "< 0.1 %" if 0 < share < 0.001 else f"{100 * share:.3g} %"


def share_of(share: float, rows: int) -> str:
    """Return how many of some rows a share is, and the share."""
    return f"{count(round(share * rows))} ({percent(share)})"


def size(value: int) -> str:
    """Return a number of bytes for people (1 MB is 10^6 bytes)."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value} bytes"
