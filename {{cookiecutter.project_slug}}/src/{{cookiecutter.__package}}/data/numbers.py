"""Numbers as people write them: `$1,234.50`, `1.234,50 €`, `12 %`, `(67.00)`, `54 kg`.

How a column writes its numbers is decided from all its values: each is tried with the point and
with the comma as the decimal sign. Marks that only group digits (`,`, `.`, an apostrophe, a space)
go, a sign of accounting becomes a minus, and a currency or unit is taken off, the same throughout.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from .dates import MONTH_NAMES, SHORT_MONTHS

if TYPE_CHECKING:
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
