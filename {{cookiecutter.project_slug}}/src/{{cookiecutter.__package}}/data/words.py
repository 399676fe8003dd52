"""Columns of text that hold numbers or truth values: found by all of their values, and read.

`read_words` turns such columns of a table into numbers, each by its own form; `read_column` reads
one by the form that the schema has written down.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.errors import UserError, listed
from .numbers import (
    COMMA,
    POINT,
    SCALES,
    WHOLE,
    NumberCounts,
    NumberForm,
    all_match,
    count_numbers,
    plain_numbers,
    read_numbers,
    tally,
    to_pandas,
)
from .schema import with_columns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ..core.config import DataSettings

# What stands for a missing value in a column of numbers, dates or truth values. In a column of
# words each of these is a value like any other: a country, a class, a name. The point is of SAS
# and Stata; earlier versions did not know it.
EARLIER_MISSING = (
    *("NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NULL", "null", "None"),
    *("NaN", "nan", "-NaN", "-nan", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN"),
)
MISSING = (*EARLIER_MISSING, ".")
# 007 is a code: a number would lose its zeros.
CODE = r"^[+-]?0\d+$"
# Quotes that a CSV reader takes for part of the value, since a space stands before them.
QUOTED = r'^\s+"(?:[^"]|"")*"\s*$'
# Of a number, and of a name, whose plus would be lost.
SIGNED = r"^[+-]?(?:0|[1-9]\d*)$"
UNSIGNED = r"^-?(?:0|[1-9]\d*)$"
TRUTHS = ("true", "false")
# True, TRUE and true are different words.
MOST_TRUTHS = 6
# With at least this share of numbers, the other values of a column are worth a note.
NOTED = 0.5
# Where at most this share uses the other decimal sign, those values are errors.
FEW = 0.01
# So is a spelling of a missing value that takes more than this share.
SAID = 0.01
SHOWN = 3


class Words(NamedTuple):
    """The distinct values of a column of text, and how often each occurs.

    Attributes:
        words: Without missing values and what spells them, and without spaces around them.
        rows: As many numbers.
        missing: Rows by the word that spells a missing value.
    """

    words: pa.Array
    rows: pa.Array
    missing: Counter[str]


@dataclass(frozen=True)
class Reading:
    """What a table's columns of text hold.

    Attributes:
        frame: The table, with numbers and truth values where columns hold them.
        forms: How numbers are written, of each column that was text and holds some.
        notes: What was decided and somebody should know, a sentence each.
        spelt: Of each column that was text, rows by the word that may spell a missing value.
    """

    frame: pd.DataFrame
    forms: dict[str, NumberForm]
    notes: list[str]
    spelt: dict[str, Counter[str]]


def read_words(frame: pd.DataFrame, data: DataSettings) -> Reading:
    """Read every column of text that holds numbers or truth values.

    A column is read where all its values can be. Its decimal sign follows from all of them; where
    each may be meant either way, from the table's other columns, else it is the point.

    Raises:
        UserError: If a value holds the character NUL.
    """
    names = {*data.id, *([data.group] if data.group else [])}
    columns: dict[str, pd.Series[Any]] = {}
    values: dict[str, Counter[str]] = {}
    notes: list[str] = []
    undecided: dict[str, tuple[Words, NumberCounts]] = {}
    for name in map(str, frame.columns):
        if frame[name].dtype != "str" or name in data.text:
            continue
        array = _arrow(frame[name])
        read = plain_numbers(array)
        if read is None:
            words = distinct(array)
            _refuse_nul(name, words)
            values[name] = words.missing
            if not len(words.words):
                columns[name] = without_missing(frame[name])
                continue
            read = _truths(array, words)
            if read is None:
                read = _whole_numbers(array, words, signed=name not in names)
            if read is not None:
                notes += _missing_notes(name, words, len(array))
            elif name not in names:
                notes += _long_note(name, words)
                if not _is_coded(words):
                    undecided[name] = (words, count_numbers(words.words, words.rows))
        if read is not None:
            columns[name] = _as_series(frame[name], read)
    forms = _forms_of({name: counts for name, (_, counts) in undecided.items()})
    for name, form in forms.items():
        words, counts = undecided[name]
        notes += _number_notes(name, words, counts, form)
        if _is_read(counts, form):
            columns[name] = read_column(frame[name], form)
            notes += _missing_notes(name, words, len(frame))
    return Reading(with_columns(frame, columns), forms, notes, values)


def _forms_of(counts: dict[str, NumberCounts]) -> dict[str, NumberForm]:
    """Return how the columns that hold numbers write them."""
    sure = Counter(
        COMMA if each.comma else POINT
        for each in counts.values()
        if bool(each.comma) != bool(each.point)
    )
    usual = COMMA if sure[COMMA] > sure[POINT] else POINT
    forms = {name: choose_form(each, usual) for name, each in counts.items()}
    return {name: form for name, form in forms.items() if form is not None}


def choose_form(counts: NumberCounts, usual: str) -> NumberForm | None:
    """Return how a column writes its numbers, or None if it holds none, or too unlike ones.

    Args:
        counts: Of all its rows.
        usual: The decimal sign where each number may be meant either way.
    """
    units = {unit for unit in counts.units if unit}
    if not counts.numbers or len(units) > 1:
        return None
    if counts.point and counts.comma:
        fewer = min(counts.point, counts.comma)
        if fewer > FEW * counts.numbers:
            return None
        decimal = COMMA if counts.comma > counts.point else POINT
    elif counts.point or counts.comma:
        decimal = COMMA if counts.comma else POINT
    else:
        decimal = usual if counts.unclear else POINT
    unit = next(iter(units), "")
    # 5k beside 300 is no unit but a scale.
    return None if unit in SCALES and counts.units[""] else NumberForm(decimal, unit)


def read_column(series: pd.Series[Any], form: NumberForm) -> pd.Series[Any]:
    """Return a column of text as float64, or int64 where all are whole; missing for what is not."""
    return _as_series(series, _numbers(series, form))


def without_missing(series: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column of text with missing values in place of what spells them."""
    import pyarrow.compute as pc

    spelt = pc.fill_null(is_missing(_arrow(series)), False)
    return series.mask(spelt.to_numpy()) if pc.any(spelt).as_py() else series


def _numbers(series: pd.Series[Any], form: NumberForm) -> pa.ChunkedArray:
    """Return a column of text as Arrow's float64 or int64."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = _arrow(series)
    plain = plain_numbers(array) if form == NumberForm() else None
    if plain is not None:
        return plain
    encoded = array.combine_chunks().dictionary_encode()
    read = read_numbers(encoded.dictionary, form)
    numbers = read.take(encoded.indices)
    largest = pc.max(pc.abs(numbers)).as_py()
    small = largest is not None and largest < 2**53
    written = encoded.dictionary.filter(read.is_valid())
    fractions = pc.any(pc.match_substring_regex(written, f"[{form.decimal}eE]")).as_py()
    if small and not form.unit and not fractions:
        return pa.chunked_array([numbers.cast(pa.int64())])
    return pa.chunked_array([numbers])


def composed(series: pd.Series[Any]) -> pd.Series[Any]:
    """Return text in which an accent is part of its letter, so that what looks alike is equal."""
    import numpy as np
    import pyarrow.compute as pc

    array = _arrow(series)
    for chunk in array.chunks:
        data = np.frombuffer(chunk.buffers()[2] or b"", dtype="uint8")
        # Accents that follow their letter begin with one of these two bytes in UTF-8.
        if ((data == 0xCC) | (data == 0xCD)).any():
            return _as_series(series, pc.utf8_normalize(array, "NFC"))
    return series


def without_padding(series: pd.Series[Any]) -> pd.Series[Any]:
    """Return text without spaces around it, nor the quotes that spaces kept from being read.

    In `"Usain Bolt",   "JAM"` the second value begins with spaces, so that its quotes are part of
    it for a CSV reader.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = _arrow(series)
    trimmed = pc.utf8_trim_whitespace(array)
    blank = pc.equal(trimmed, "")
    if trimmed.equals(array) and not pc.any(blank).as_py():
        return series
    if pc.any(pc.starts_with(trimmed, '"')).as_py():
        quoted = pc.match_substring_regex(array, QUOTED)
        inner = pc.replace_substring(pc.utf8_slice_codeunits(trimmed, 1, -1), '""', '"')
        trimmed = pc.if_else(quoted, pc.utf8_trim_whitespace(inner), trimmed)
        blank = pc.equal(trimmed, "")
    return _as_series(series, pc.if_else(blank, pa.scalar(None, pa.string()), trimmed))


def with_missing(frame: pd.DataFrame, spelt: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Turn further spellings of a missing value, of each column, into missing values."""
    worded = [name for name in spelt if spelt[name] and frame[name].dtype in ("object", "str")]
    blanked = {name: frame[name].mask(frame[name].isin(spelt[name])) for name in worded}
    return with_columns(frame, blanked) if blanked else frame


def spells_missing(word: str) -> bool:
    """Tell of one word what `is_missing` tells of many."""
    return word.strip() in ("", *MISSING)


def is_missing(words: pa.Array) -> pa.Array:
    """Tell which words spell a missing value in a column of numbers, dates or truth values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(pc.utf8_trim_whitespace(words), pa.array(["", *MISSING]))


def distinct(array: pa.ChunkedArray) -> Words:
    """Return a column's distinct values, and how often each occurs."""
    import pyarrow.compute as pc

    counted = pc.value_counts(array)
    words = pc.utf8_trim_whitespace(pc.fill_null(counted.field("values"), ""))
    rows = counted.field("counts")
    missing = is_missing(words)
    present = pc.invert(missing)
    return Words(words.filter(present), rows.filter(present), tally(words, rows, missing))


def _truths(array: pa.ChunkedArray, words: Words) -> pa.ChunkedArray | None:
    """Read a column whose every value is true or false, in any case, else return None."""
    import pyarrow.compute as pc

    if not 1 <= len(words.words) <= MOST_TRUTHS:
        return None
    found = {word.casefold() for word in words.words.to_pylist()}
    return pc.equal(pc.utf8_lower(_blanked(array)), "true") if found <= {*TRUTHS} else None


def _whole_numbers(array: pa.ChunkedArray, words: Words, *, signed: bool) -> pa.ChunkedArray | None:
    """Read whole numbers of 64 bits beside spellings of a missing one, else return None.

    A plus is taken for a sign where `signed`; a name of a row has none.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(words.words) or not all_match(words.words, SIGNED if signed else UNSIGNED):
        return None
    try:
        return pc.utf8_ltrim(_blanked(array), "+").cast(pa.int64())
    except pa.ArrowInvalid:
        return None


def _blanked(array: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return words without spaces around them, null where they spell a missing value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(array)
    return pc.if_else(is_missing(array), pa.scalar(None, pa.string()), trimmed)


def _is_coded(words: Words) -> bool:
    """Tell whether a column holds codes such as 007, or whole numbers that only text keeps."""
    import pyarrow.compute as pc

    code = pc.any(pc.match_substring_regex(words.words, CODE))
    return bool(code.as_py()) or all_match(words.words, WHOLE)


def _is_read(counts: NumberCounts, form: NumberForm) -> bool:
    """Tell whether every value is a number in the form."""
    return not counts.odd and not (counts.point if form.decimal == COMMA else counts.comma)


def _refuse_nul(name: str, words: Words) -> None:
    """Refuse the character NUL, which ends a text in other programs."""
    import pyarrow.compute as pc

    held = words.words.filter(pc.match_substring(words.words, "\0"))
    if len(held):
        shown = held[0].as_py().replace("\0", "\\0")
        raise UserError(f"Column '{name}' holds the character NUL, as in '{shown}'; take it out.")


# ------------------------------------------------------------------------------------------- notes


def _number_notes(name: str, words: Words, counts: NumberCounts, form: NumberForm) -> list[str]:
    """Return what should be said about a column that holds numbers."""
    notes = []
    if not _is_read(counts, form):
        share = counts.numbers / counts.rows
        if share >= NOTED:
            notes.append(odd_note(name, "numbers", share, counts.odd))
        return notes
    if form.unit:
        bare = f", which {counts.units['']:,} rows lack" if counts.units[""] else ""
        notes.append(f"{name} is read as numbers in {form.unit}{bare}")
    if not counts.point and not counts.comma and counts.unclear:
        notes.append(_unclear_note(name, words, form))
    elif form.decimal == COMMA:
        notes.append(f"{name} is read with the comma as its decimal sign")
    return notes


def odd_note(name: str, what: str, share: float, odd: Counter[str]) -> str:
    """Say which words stand among the numbers or dates that most rows of a column hold."""
    words = listed([f"'{word}' ({rows:,})" for word, rows in odd.most_common()], SHOWN)
    setting = json.dumps([word for word, _ in odd.most_common(SHOWN)], ensure_ascii=False)
    return (
        f"{name} holds {what} in {share:.0%} of its rows, but also {words}; where these are "
        f"missing values, set [data] missing = {setting} in conf.cfg"
    )


def _long_note(name: str, words: Words) -> list[str]:
    """Say that whole numbers of too many digits are text, where they are."""
    if not len(words.words) or not all_match(words.words, SIGNED):
        return []
    return [f"{name} is text, since only that keeps whole numbers of more than 64 bits exactly"]


def _unclear_note(name: str, words: Words, form: NumberForm) -> str:
    """Say how a column is read of which each value may be meant in two ways."""
    import pyarrow.compute as pc

    point = read_numbers(words.words, NumberForm(POINT, form.unit))
    comma = read_numbers(words.words, NumberForm(COMMA, form.unit))
    at = int(pc.index(pc.not_equal(point, comma), True).as_py())
    word = words.words[at].as_py()
    taken, other = (point, comma) if form.decimal == POINT else (comma, point)
    sign = COMMA if form.decimal == POINT else POINT
    return (
        f"{name} may be written in two ways: '{word}' is read as {taken[at].as_py():.15g}; if it "
        f"is {other[at].as_py():.15g}, set its decimal to '{sign}' in data/schema.yaml"
    )


def value_notes(spelt: dict[str, Counter[str]], missing: Mapping[str, Sequence[str]]) -> list[str]:
    """Say which words that may spell a missing value are values, in columns of words.

    Args:
        spelt: By column, the rows of each such word.
        missing: By column, those that are missing values after all.
    """
    found = [
        f"'{word}' in {name} ({count:,} row{'s' if count > 1 else ''})"
        for name, words in spelt.items()
        for word, count in words.items()
        if word and word not in missing.get(name, ())
    ]
    if not found:
        return []
    return [
        f"read as values like any other: {listed(found, SHOWN)}; where they are missing values, "
        "list them in [data] missing in conf.cfg"
    ]


def _missing_notes(name: str, words: Words, rows: int) -> list[str]:
    """Say which spellings of a missing value took more than 1 % of a column."""
    return [
        f"{name}: '{word}' counts as missing, in {count:,} row{'s' if count > 1 else ''}"
        for word, count in words.missing.items()
        if word and count > SAID * rows
    ]


# ------------------------------------------------------------------------------------ Arrow, pandas


def _arrow(series: pd.Series[Any]) -> pa.ChunkedArray:
    """Return a column of text as Arrow."""
    import pyarrow as pa

    array = pa.array(series, type=pa.string(), from_pandas=True)
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _as_series(given: pd.Series[Any], array: pa.ChunkedArray) -> pd.Series[Any]:
    """Return what was read of a column, in its place."""
    return to_pandas(array).set_axis(given.index)
