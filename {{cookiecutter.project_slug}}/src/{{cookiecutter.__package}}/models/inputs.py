"""What a date and a text become as a model's inputs, in plain Python."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..data.schema import Schema

DATE_PARTS = ("year", "month", "day", "weekday", "hour", "days")
EPOCH = datetime(1970, 1, 1)
WORD = re.compile(r"\w\w+")


def input_sources(schema: Schema) -> dict[str, tuple[int, int | None]]:
    """Return, by the name of each input, the feature it comes from and which part of a date."""
    found: dict[str, tuple[int, int | None]] = {}
    for at, column in enumerate(schema.features):
        if column.type == "datetime":
            for part, name in enumerate(DATE_PARTS):
                found[f"{column.name}__{name}"] = (at, part)
        else:
            found[column.name] = (at, None)
    return found


def words(text: str) -> str:
    """Return the words of a text, in lower case, with one blank between them.

    Other runtimes split and lower text by rules of their platform; these are Python's.
    """
    return " ".join(WORD.findall(text.lower()))


def date_parts(date: datetime) -> tuple[float, ...]:
    """Return the numbers that stand for a date, in the order of `DATE_PARTS`.

    Args:
        date: In UTC, without a zone.
    """
    days = (date - EPOCH).total_seconds() / 86_400
    return (date.year, date.month, date.day, date.weekday(), date.hour, days)


def read_date(text: str, form: str | None = None) -> datetime:
    """Read a date as UTC without a zone.

    Args:
        text: The date.
        form: How it is written (`%d.%m.%Y`); None stands for ISO 8601.

    Raises:
        ValueError: If it is no such date.
    """
    date = datetime.strptime(text, form) if form else datetime.fromisoformat(text)
    try:
        return date.astimezone(UTC).replace(tzinfo=None) if date.tzinfo else date
    except OverflowError:
        raise ValueError("beyond the years 1 to 9999 in UTC") from None
