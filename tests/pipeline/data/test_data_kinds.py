"""Columns of every kind, as people and programs write them, against what they hold in truth.

Each column is made of a kind (money, percent, dates ...), a locale, a share of values that are none
of the kind, the row of the first odd value, and a source. It has to be read right, or refused, or
noted; it must never be wrong in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.data.cast import conform
from mlproj.data.infer import infer_schema
from mlproj.data.readers import read_table
from mlproj.data.words import read_words
from tables import write_source

ROWS = 1100
LATE = 1050
# Decimal sign and mark between thousands.
LOCALES: dict[str, tuple[str, str]] = {
    "en": (".", ","),
    "de": (",", "."),
    "fr": (",", "\u202f"),
    "ch": (".", "\u2019"),
    "plain": (".", " "),
}
DIRT = {"none": (), "NA": ("NA",), "words": ("n.a.", "#DIV/0!", "missing", "-", "unknown")}
SHARES = (0.02, 0.12)
SOURCES = ("csv", "semicolon", "tsv", "jsonl", "parquet", "xlsx")
Write = Callable[[float, str], str]


def number(value: float, locale: str, places: int) -> str:
    """Write a number in a locale."""
    decimal, mark = LOCALES[locale]
    text = f"{abs(value):,.{places}f}"
    return text.replace(",", "\0").replace(".", decimal).replace("\0", mark)


def signed(text: str, value: float) -> str:
    """Put a minus before what is below zero."""
    return f"-{text}" if value < 0 else text


KINDS: dict[str, Write] = {
    "fraction": lambda value, locale: signed(number(value, locale, 2), value),
    "whole": lambda value, locale: signed(number(round(value), locale, 0), value),
    "dollars": lambda value, locale: signed(f"${number(value, locale, 2)}", value),
    "euros": lambda value, locale: signed(f"{number(value, locale, 2)} €", value),
    "percent": lambda value, locale: signed(f"{number(value, locale, 1)}%", value),
    "accounting": lambda value, locale: (
        f"({number(value, locale, 2)})" if value < 0 else number(value, locale, 2)
    ),
    "behind": lambda value, locale: number(value, locale, 2) + ("-" if value < 0 else ""),
    "unit": lambda value, locale: signed(f"{number(value, locale, 1)} kg", value),
    "close unit": lambda value, locale: signed(f"{number(round(value), locale, 0)}hp", value),
}
PLACES = {"whole": 0, "close unit": 0, "percent": 1, "unit": 1}
DATES = (
    *("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%y"),
    *("%m/%d/%Y %I:%M %p", "%d %b %Y", "%B %d, %Y", "%Y%m%d", "%d-%b-%y", "%a %d %b %Y"),
)


@dataclass
class Case:
    """A column as written, and what it holds in truth; None where a value is missing."""

    name: str
    written: list[str]
    truth: list[Any]
    source: str
    clear: bool = True


def dirty(
    written: list[str], truth: list[Any], words: tuple[str, ...], share: float, first: int
) -> tuple[list[str], list[Any]]:
    """Put words that are none of the kind in a share of the rows from one on."""
    step = max(int(1 / share), 1) if words else ROWS
    written, truth = [*written], [*truth]
    for turn, row in enumerate(range(first, ROWS, step) if words else ()):
        written[row], truth[row] = words[turn % len(words)], None
    return written, truth


def cases() -> Iterator[Case]:
    """Make every combination."""
    values = np.random.default_rng(7).normal(0, 4000, ROWS)
    days = pd.Timestamp("2021-01-01") + pd.to_timedelta(np.arange(ROWS), "D")
    for (kind, write), locale, (dirt, words), first in product(
        KINDS.items(), LOCALES, DIRT.items(), (0, LATE)
    ):
        share = SHARES[(len(kind) + first) % 2]
        rounded = [round(float(value), PLACES.get(kind, 2)) for value in values]
        written = [write(value, locale) for value in rounded]
        written, truth = dirty(written, rounded, words, share, first)
        clear = PLACES.get(kind, 2) > 0 or locale in ("fr", "ch", "plain")
        name = f"{kind}, {locale}, {dirt} from {first}"
        sources = SOURCES if dirt == "none" and first == 0 else (SOURCES[len(name) % 6],)
        for source in sources:
            yield Case(f"{name}, {source}", written, truth, source, clear)
    for form, (dirt, words), first in product(DATES, DIRT.items(), (0, LATE)):
        written = [day.strftime(form) for day in days]
        written, truth = dirty(written, list(days), words, SHARES[first > 0], first)
        name = f"date {form}, {dirt} from {first}"
        for source in SOURCES if dirt == "none" else (SOURCES[len(name) % 6],):
            yield Case(f"{name}, {source}", written, truth, source)


def verdict(case: Case, folder: Path, settings: Any) -> str:
    """Return "right", "said" or "wrong", by reading the column as a project would."""
    frame = pd.DataFrame({"x": case.written, "label": ["a", "b"] * (ROWS // 2)})
    suffix = {"semicolon": "csv"}.get(case.source, case.source)
    path = folder / f"t.{suffix}"
    if case.source == "semicolon":
        frame.to_csv(path, index=False, sep=";")
    else:
        write_source(frame, path)
    try:
        reading = read_words(read_table(path, settings.data), settings.data)
        file = infer_schema(reading, settings)
        typed = conform(reading.frame, file.schema, where="t", values=True)
    except UserError as error:
        return "said" if "'x'" in str(error) else "wrong"
    column = file.schema.column("x")
    noted = any(note.startswith(("x ", "x:")) for note in file.notes)
    truth = pd.Series(case.truth)
    if column.type == "datetime":
        same = typed["x"].dt.normalize().equals(truth.astype("datetime64[us]").dt.normalize())
    elif column.type in ("integer", "number"):
        read = typed["x"].astype("float64").to_numpy()
        same = bool(np.allclose(read, truth.astype("float64"), equal_nan=True))
    else:
        same = False
    return "right" if same else "said" if noted else "wrong"


@pytest.fixture
def settings(place: Any) -> Any:
    """The settings of a project with a label."""
    return load_settings(place("x,label\n1,a\n2,b\n"), ())


def test_every_kind_is_read_right_or_said(settings: Any, tmp_path: Path) -> None:
    cleaned = settings.model_copy(
        update={"data": settings.data.model_copy(update={"missing": DIRT["words"]})}
    )
    found: Counter[str] = Counter()
    wrong: list[str] = []
    total = 0
    for case in cases():
        total += 1
        result = verdict(case, tmp_path, settings)
        may_help = result == "said" and "words" in case.name
        # What is said names the setting that helps.
        if may_help and verdict(case, tmp_path, cleaned) == "right":
            result = "right with [data] missing"
        found[result] += 1
        if result == "wrong" or (result == "said" and case.clear):
            wrong.append(f"{result}: {case.name}, such as {case.written[1]!r}")
    print(f"{total} columns: {dict(found)}")
    assert not wrong, "\n".join(wrong)
    assert total >= 600 and found["said"] <= 0.1 * total
