"""Numbers as people write them: `$1,234.50`, `1.234,50 €`, `12 %`, `(67.00)`, `54 kg`.

How a column writes its numbers is decided from all its values: each is tried with the point and
with the comma as the decimal sign. Marks that only group digits (`,`, `.`, an apostrophe, a space)
go, a sign of accounting becomes a minus, and a currency or unit is taken off, the same throughout.

Most columns hold numbers as computers write them. `plain_numbers` reads a column of these that is
there as a whole, `ColumnBlocks` one that comes in blocks; both by all of its values, and alike.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from .dates import MONTH_NAMES, SHORT_MONTHS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

POINT, COMMA = ".", ","
# Unlike spellings of one character: minus signs, apostrophes, spaces that do not break.
ALIKE = {"\u2212": "-", "\u2013": "-", "\u2019": "'", "\u00a0": " ", "\u202f": " ", "\u2009": " "}
# What may stand before a number: a currency's sign (US$, R$) or its code. Other letters are names,
# as in Q1 or A12.
CODES = (
    "USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|TRY|KRW|SGD|HKD"
)
BEFORE = rf"(?:[A-Z]{{0,3}}\p{{Sc}}|{CODES}|Rs\.?|Fr\.?|kr\.?)"
# What may stand behind it: besides these a unit (kg, km/h, m²). One capital letter directly behind
# the digits is part of a code, as in 12A. All letters there are, or a limit to their number, would
# take 10 ms to compile, for each of thousands of columns.
LETTERS = "A-Za-zµÀ-ÖØ-öø-ɏͰ-ԯ°²³/%."
AFTER = rf"(?:[A-Z]{{0,3}}\p{{Sc}}|[%‰°]|[a-zµ°][{LETTERS}]*|[A-Z][{LETTERS}]+| [A-Z])"
LONGEST_UNIT = 12
# Read as such, and refused later with its row.
INFINITE = r"^[+-]?(?i:inf|infinity)$"
# Not units: ordinals and the hours of a clock.
NO_UNITS = (
    *("st", "nd", "rd", "th", "am", "pm", "a.m.", "p.m.", "AM", "PM", "e", "E"),
    *(f"{month}{end}" for month in (*MONTH_NAMES, *SHORT_MONTHS, "Sept") for end in ("", ".")),
)
# These multiply a number.
SCALES = frozenset(
    {"k", "K", "M", "B", "bn", "mn", "Mio", "mio", "Mio.", "Mrd", "Mrd.", "Tsd", "Tsd."}
    | {"thousand", "million", "billion", "lakh", "crore"}
)


def _written(before: str, after: str) -> str:
    """Return the pattern of a number, given those of what may stand before and behind it."""
    return (
        rf"^(?P<open>\()?(?P<sign>[-+])? ?(?P<before>{before})? ?(?P<inner>[-+])?"
        r"(?P<digits>\d[\d.,' ]*\d[.,]?|\d[.,]?|[.,]\d+)(?P<exponent>[eE][-+]?\d+)?"
        rf"(?P<after> ?{after})?(?P<behind> ?-)?(?P<close>\))?$"
    )


WRITTEN = _written(BEFORE, AFTER)


def _digits(decimal: str) -> str:
    """Return the pattern of a number's digits; the other mark, and neutral ones, group them."""
    mark, other = (r"\.", ",") if decimal == POINT else (",", r"\.")
    # Groups are of three; in India of two, but for the last.
    groups = "|".join(
        [rf"[1-9]\d{{0,2}}(?:{each}\d{{3}})+" for each in (other, "'", " ")]
        + [rf"[1-9]\d?(?:{other}\d{{2}})+{other}\d{{3}}"]
    )
    return rf"^(?:(?:\d+|{groups})(?:{mark}\d*)?|{mark}\d+)$"


DIGITS = {decimal: _digits(decimal) for decimal in (POINT, COMMA)}
GROUPING = {POINT: "[,' ]", COMMA: "[.' ]"}


@dataclass(frozen=True)
class NumberForm:
    """How a column writes its numbers.

    Attributes:
        decimal: "." or ",".
        unit: The currency or unit beside each number, "" for none.
    """

    decimal: str = POINT
    unit: str = ""


@dataclass
class NumberCounts:
    """How many rows of a column fit each form.

    Attributes:
        rows: Rows with a value.
        point: Rows that are numbers with a decimal point alone.
        comma: Rows that are numbers with a decimal comma alone.
        alike: Rows that are the same number either way.
        unclear: Rows that are one number with a point and another with a comma, such as 1.234.
        units: Rows by the currency or unit beside the number.
        odd: Rows by the value that is not a number.
    """

    rows: int = 0
    point: int = 0
    comma: int = 0
    alike: int = 0
    unclear: int = 0
    units: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)

    @property
    def numbers(self) -> int:
        """Rows that are numbers in one form or the other."""
        return self.point + self.comma + self.alike + self.unclear


class Parts(NamedTuple):
    """The parts of written numbers, an array each; null where a word is not a number.

    Attributes:
        sign: "-" or "".
        digits: With the marks that group them.
        exponent: Such as "e-3", or "".
        unit: The currency or unit, "" for none.
    """

    sign: pa.Array
    digits: pa.Array
    exponent: pa.Array
    unit: pa.Array


def count_numbers(words: pa.Array, rows: pa.Array) -> NumberCounts:
    """Count how many rows fit each form.

    Args:
        words: The distinct values of a column, without missing ones.
        rows: How often each occurs.
    """
    import pyarrow.compute as pc

    # Most columns of words have no digit, and a table may have thousands.
    if not pc.any(pc.match_substring_regex(words, "[0-9]")).as_py():
        odd = dict(zip(words.to_pylist(), rows.to_pylist(), strict=True))
        return NumberCounts(rows=sum(odd.values()), odd=Counter(odd))
    parts = _parts(words)
    fits = {mark: _fits(parts.digits, mark) for mark in (POINT, COMMA)}
    point, comma = fits[POINT], fits[COMMA]
    both = pc.and_(point, comma)
    read = {mark: _plain(parts, mark) for mark in (POINT, COMMA)}
    alike = pc.and_(both, pc.fill_null(pc.equal(read[POINT], read[COMMA]), False))
    number = pc.or_(point, comma)

    def total(mask: pa.Array) -> int:
        return int(pc.sum(rows.filter(mask)).as_py() or 0)

    return NumberCounts(
        rows=int(pc.sum(rows).as_py() or 0),
        point=total(pc.and_not(point, comma)),
        comma=total(pc.and_not(comma, point)),
        alike=total(alike),
        unclear=total(pc.and_not(both, alike)),
        units=tally(parts.unit, rows, number),
        odd=tally(words, rows, pc.invert(number)),
    )


def tally(words: pa.Array, rows: pa.Array, mask: pa.Array) -> Counter[str]:
    """Return how many rows each word has, of those in a mask; a word may stand there twice."""
    found: Counter[str] = Counter()
    chosen = words.filter(mask).to_pylist(), rows.filter(mask).to_pylist()
    for word, count in zip(*chosen, strict=True):
        found[word] += count
    return found


def read_numbers(words: pa.Array, form: NumberForm) -> pa.Array:
    """Return the numbers, float64; null where a word is not a number in this form."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = _parts(words)
    unit = pc.or_(pc.equal(parts.unit, form.unit), pc.equal(parts.unit, ""))
    fits = pc.and_(_fits(parts.digits, form.decimal), pc.fill_null(unit, False))
    plain = pc.if_else(fits, _plain(parts, form.decimal), pa.scalar(None, pa.string()))
    infinite = pc.fill_null(pc.match_substring_regex(words, INFINITE), False)
    return pc.if_else(infinite, words, plain).cast(pa.float64())


class Patterns(NamedTuple):
    """How one form writes numbers, as regular expressions that Python and JavaScript know.

    Attributes:
        written: As `WRITTEN`, with the form's unit for every other.
        digits: What has to match its group `digits`.
        grouping: What goes from these.
    """

    written: str
    digits: str
    grouping: str


@cache
def patterns_of(form: NumberForm) -> Patterns:
    """Return the patterns that one word at a time is read by."""
    sides = _at_side(BEFORE, form.unit), _at_side(AFTER, form.unit)
    return Patterns(_written(*sides), DIGITS[form.decimal], GROUPING[form.decimal])


def _at_side(side: str, unit: str) -> str:
    """Return the pattern of a unit at one side of a number, where it may stand there at all."""
    # Arrow's classes of letters and currency signs, which others lack, as far as the unit goes.
    letters = "".join(filter(str.isalpha, unit))
    signs = "".join(sign for sign in unit if unicodedata.category(sign) == "Sc")
    known = side.replace(r"\pL", letters).replace(r"\p{Sc}", f"[{signs}]" if signs else "(?!)")
    there = (each for each in (unit, f" {unit}") if re.fullmatch(known, each))
    return re.escape(next(there, "")) if unit not in NO_UNITS else ""


def read_number(word: str, form: NumberForm) -> float | None:
    """Return the number that `read_numbers` reads; None where that is not finite, or nothing.

    One word is read a hundred times as fast, and without pyarrow.
    """
    patterns = patterns_of(form)
    word = word.strip()
    for found, meant in ALIKE.items():
        word = word.replace(found, meant)
    taken = re.match(patterns.written, word, re.ASCII)
    if taken is None or not re.match(patterns.digits, taken["digits"], re.ASCII):
        return None
    negative = [taken[name].strip() for name in ("open", "sign", "inner", "behind") if taken[name]]
    one_sign = len(negative) <= 1 and bool(taken["open"]) == bool(taken["close"])
    if not one_sign or (taken["before"] and taken["after"]):
        return None
    digits = re.sub(patterns.grouping, "", taken["digits"]).replace(COMMA, POINT)
    value = float(digits + (taken["exponent"] or ""))
    if not math.isfinite(value):
        return None
    return value if negative in ([], ["+"]) else -value


def _parts(words: pa.Array) -> Parts:
    """Take written numbers apart."""
    import pyarrow as pa
    import pyarrow.compute as pc

    words = pc.utf8_trim_whitespace(words.cast(pa.string()))
    for found, meant in ALIKE.items():
        words = pc.replace_substring(words, found, meant)
    taken = pc.extract_regex(words, WRITTEN)

    def part(name: str) -> pa.Array:
        return pc.utf8_trim_whitespace(pc.struct_field(taken, name))

    before, after = part("before"), part("after")
    negative = [part(name) for name in ("open", "sign", "inner", "behind")]
    minus = pc.binary_join_element_wise(*negative, "")
    # One sign, or a pair of brackets; a unit on one side.
    paired = pc.equal(pc.equal(part("open"), "("), pc.equal(part("close"), ")"))
    one = pc.and_(paired, pc.less_equal(pc.utf8_length(minus), 1))
    one = pc.and_(one, pc.or_(pc.equal(before, ""), pc.equal(after, "")))
    unit = pc.binary_join_element_wise(before, after, "")
    one = pc.and_(one, pc.less_equal(pc.utf8_length(after), LONGEST_UNIT))
    one = pc.and_(one, pc.invert(pc.is_in(unit, pa.array(NO_UNITS))))
    one = pc.fill_null(one, False)
    nothing = pa.scalar(None, pa.string())

    def kept(values: pa.Array) -> pa.Array:
        return pc.if_else(one, values, nothing)

    sign = pc.if_else(pc.is_in(minus, pa.array(["", "+"])), "", "-")
    return Parts(kept(sign), kept(part("digits")), kept(part("exponent")), kept(unit))


def _fits(digits: pa.Array, decimal: str) -> pa.Array:
    """Tell which digits are a number with this decimal sign."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.match_substring_regex(digits, DIGITS[decimal]), False)


def _plain(parts: Parts, decimal: str) -> pa.Array:
    """Write numbers as computers do: no mark but the decimal point."""
    import pyarrow.compute as pc

    digits = pc.replace_substring_regex(parts.digits, GROUPING[decimal], "")
    digits = pc.replace_substring(digits, COMMA, POINT)
    return pc.binary_join_element_wise(parts.sign, digits, parts.exponent, "")


# ------------------------------------------------------------------ numbers as computers write them

# 007, 0x1F and +49 are codes: a number would lose what they begin with.
CODED = r"^[+-]?0[\dxX]|^\+"
WHOLE = r"^[+-]?\d+$"
# 1.234 and the like: a fraction, or a number in the thousands. 56 may stand beside both.
UNCLEAR = r"^[+-]?(?:0|[1-9]\d{0,2}(?:[.]\d{3})?)$"
# Written with a fraction or an exponent, so that nobody counts on its last digit.
FRACTION = r"[.eE]|^[+-]?(?:\d{1,15}|(?i:inf(?:inity)?))$"
# From here on, float64 rounds whole numbers.
EXACT = 2**53
# So many values suffice for a first look.
FIRST = 1000


def plain_numbers(array: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Read a column whose every value is a number as computers write it, else return None.

    So it is for 007, which is a code, for 1.234 throughout, which may be in the thousands, and for
    whole numbers that float64 would round.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    head = array.slice(0, FIRST)
    if array.null_count == len(array) or _cast(head, pa.float64()) is None:
        return None
    if "." not in next((word for word in head.to_pylist() if word), ""):
        whole = _cast(array, pa.int64())
        if whole is not None:
            return None if _has_codes(array) else whole
    numbers = _cast(array, pa.float64())
    if numbers is None or all_match(head, UNCLEAR) and all_match(array, UNCLEAR):
        return None
    if pc.any(pc.starts_with(array, "+")).as_py() and all_match(array, WHOLE):
        return None
    large = any(map(_is_large, numbers.chunks))
    return None if large and not all_match(array, FRACTION) else numbers


def first_type(array: pa.Array) -> pa.DataType:
    """Return what `ColumnBlocks` takes a column for whose first block of text this is.

    Text stands for whatever only the whole column can decide.
    """
    import pyarrow as pa

    numbers = plain_numbers(pa.chunked_array([array]))
    if numbers is None or numbers.type == pa.float64() and _is_large(numbers.chunk(0)):
        return pa.string()
    return numbers.type


class ColumnBlocks:
    """A column of a file that comes in blocks; plain numbers are read while a block is at hand.

    That takes a fraction of the time, and the text need not be kept. Where a block does not fit the
    type of the first, or makes it doubtful, the column has failed, and has to be read once more, as
    text. What `plain_numbers` says of the whole column is what comes out.

    Args:
        type: By `first_type`. float64 comes as such, whole numbers come as text.
        rows: About how many there will be.
    """

    def __init__(self, type: pa.DataType, rows: int = 0) -> None:
        """See the class."""
        import numpy as np
        import pyarrow as pa

        self.type = type
        self.failed = False
        self._arrays: list[pa.Array] = []
        # Fresh memory costs more than the numbers in it; room that is not used costs nothing.
        self._values = np.empty(rows if type == pa.float64() else 0)
        self._filled = 0

    def add(self, array: pa.Array) -> None:
        """Add a block."""
        import pyarrow as pa

        if self.failed:
            return
        read = _read_as(array, self.type)
        if read is None:
            self.failed = True
            self._arrays, self._values = [], self._values[:0].copy()
        elif self.type == pa.float64():
            self._fill(read)
        else:
            self._arrays.append(read)

    def _fill(self, array: pa.Array) -> None:
        """Put numbers behind those that are there."""
        import numpy as np

        end = self._filled + len(array)
        if end > len(self._values):
            self._values = np.concatenate([self._values, np.empty(end // 2 + len(array))])
        self._values[self._filled : end] = array.to_numpy(zero_copy_only=False)
        self._filled = end

    def to_series(self, *, worded: bool) -> pd.Series[Any]:
        """Return the column, as text where it is `worded`; its memory is given back."""
        import pandas as pd
        import pyarrow as pa

        if self.type == pa.float64():
            return pd.Series(self._values[: self._filled], copy=False)
        array, self._arrays = pa.chunked_array(self._arrays, self.type), []
        if self.type == pa.int64() or worded:
            return to_pandas(array)
        numbers = plain_numbers(array)
        return to_pandas(array if numbers is None else numbers)


def _read_as(array: pa.Array, type: pa.DataType) -> pa.Array | None:
    """Read a further block as the type of the first, or return None where that is in doubt."""
    import pyarrow as pa

    if type == pa.float64():
        return None if _is_large(array) else array
    if type == pa.int64():
        whole = _cast(array, type)
        return None if whole is None or _has_codes(array) else whole
    return array


def _cast(array: Any, type: pa.DataType) -> Any:
    """Return text as numbers, or None if any word is not one."""
    import pyarrow as pa

    try:
        return array.cast(type)
    except pa.ArrowInvalid:
        return None


def all_match(array: pa.Array, pattern: str) -> bool:
    """Tell whether every value matches a pattern."""
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(array, pattern)).as_py())


def to_pandas(array: pa.ChunkedArray) -> pd.Series[Any]:
    """Return Arrow's text, numbers or truth values in the types of `arrow_to_pandas`."""
    import pandas as pd
    import pyarrow as pa

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    series: pd.Series[Any] = array.to_pandas(
        types_mapper=nullable.get if array.null_count else None
    )
    return series


def _is_large(numbers: pa.Array) -> bool:
    """Tell whether any number is so large that float64 may have rounded it."""
    import pyarrow.compute as pc

    if numbers.null_count == len(numbers):
        return False
    if numbers.null_count == 0:
        # Without missing values, NumPy is many times as fast; with NaN, neither holds.
        values = numbers.to_numpy()
        if values.min() > -EXACT and values.max() < EXACT:
            return False
    low, high = pc.min_max(numbers).as_py().values()
    return bool(max(-low, high) >= EXACT)


def _has_codes(array: pa.Array) -> bool:
    """Tell whether any value begins with what a number would lose: zeros, 0x or a plus."""
    import pyarrow.compute as pc

    # Comparing a few characters is many times as fast as a regular expression on every value.
    for start in ("0", "-0", "+"):
        begun = pc.starts_with(array, start)
        if not pc.any(begun).as_py():
            continue
        if pc.any(pc.match_substring_regex(array.filter(begun), CODED)).as_py():
            return True
    return False
