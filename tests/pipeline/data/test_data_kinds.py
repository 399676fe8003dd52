"""Columns of every kind, as people and programs write them, against what they hold in truth.

Each column is made of a kind (money, percent, dates ...), a locale, a share of values that are none
of the kind, the row of the first odd value, and a source. It has to be read right, or refused, or
noted; it must never be wrong in silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, product
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
from mlproj.data.writers import open_writer
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
TOGETHER = ("jsonl", "parquet", "xlsx")
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
    """A column as written, and what it holds in truth; None where a value is missing.

    In one that is `worded`, words stand for missing values that no one but its owner knows.
    """

    name: str
    written: list[str]
    truth: list[Any]
    source: str
    worded: bool
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
            yield Case(f"{name}, {source}", written, truth, source, dirt == "words", clear)
    for form, (dirt, words), first in product(DATES, DIRT.items(), (0, LATE)):
        written = [day.strftime(form) for day in days]
        written, truth = dirty(written, list(days), words, SHARES[first > 0], first)
        name = f"date {form}, {dirt} from {first}"
        for source in SOURCES if dirt == "none" else (SOURCES[len(name) % 6],):
            yield Case(f"{name}, {source}", written, truth, source, dirt == "words")


def read_cases(cases: Sequence[Case], folder: Path, settings: Any) -> list[pd.DataFrame]:
    """Return each case's column as read from a file of them all, beside a label."""
    source = cases[0].source
    columns = {f"x{at}": case.written for at, case in enumerate(cases)}
    frame = pd.DataFrame({**columns, "label": ["a", "b"] * (ROWS // 2)})
    if len(cases) == 1:
        frame = frame.rename(columns={"x0": "x"})
    path = folder / f"t.{'csv' if source == 'semicolon' else source}"
    if source == "semicolon":
        frame.to_csv(path, index=False, sep=";")
    elif source == "xlsx":
        with open_writer(path, source) as write:
            write(frame)
    else:
        write_source(frame, path)
    table = read_table(path, settings.data)
    return [table[[name, "label"]].set_axis(["x", "label"], axis=1) for name in table.columns[:-1]]


def verdict(case: Case, frame: pd.DataFrame, settings: Any) -> str:
    """Return "right", "said" or "wrong", by reading the column as a project would."""
    try:
        reading = read_words(frame, settings.data)
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


def verdicts(cases: Sequence[Case], folder: Path, settings: Any) -> list[str]:
    """Return the verdict of each case."""
    # What a text file holds beside a column may decide its delimiter. In other files columns are
    # apart, and one file of many is read in a fraction of the time.
    apart = len(cases) if cases and cases[0].source in TOGETHER else 1
    return [
        verdict(case, frame, settings)
        for at in range(0, len(cases), apart)
        for case, frame in zip(
            cases[at : at + apart],
            read_cases(cases[at : at + apart], folder, settings),
            strict=True,
        )
    ]


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
    every = [*cases()]
    for source, worded in product(SOURCES, (False, True)):
        some = [case for case in every if case.source == source and case.worded == worded]
        results = verdicts(some, tmp_path, settings)
        # What is said names the setting that helps.
        helped = [each == "said" and worded for each in results]
        again = iter(verdicts([*compress(some, helped)], tmp_path, cleaned))
        for case, first, helps in zip(some, results, helped, strict=True):
            right = helps and next(again) == "right"
            result = "right with [data] missing" if right else first
            found[result] += 1
            if result == "wrong" or (result == "said" and case.clear):
                wrong.append(f"{result}: {case.name}, such as {case.written[1]!r}")
    total = found.total()
    print(f"{total} columns: {dict(found)}")
    assert not wrong, "\n".join(wrong)
    assert total >= 600 and found["said"] <= 0.1 * total
