"""A table against the schema: cast to its types, checked against its bounds and categories.

`conform` casts a whole table and refuses one that does not fit. `cast_column` and `check_table`
return the violations instead, for callers that count them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from .dates import CLOCKS, COMPACT, read_clock, read_seconds
from .numbers import POINT, NumberForm, read_number
from .schema import NUMBERS, Column, Schema
from .words import read_column, spells_missing, without_missing

if TYPE_CHECKING:
    import pandas as pd

SHOWN_ROWS = 5
TRUE = ("true", "yes", "t", "y", "1", "1.0")
FALSE = ("false", "no", "f", "n", "0", "0.0")
TRUTHS = {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}


def conform(
    frame: pd.DataFrame,
    schema: Schema,
    *,
    where: str,
    first_row: int = 1,
    target: bool = True,
    values: bool = False,
    advice: str = "correct the data",
) -> pd.DataFrame:
    """Return the table with the schema's columns, order and types.

    integer becomes int64 (Int64 where values are missing), number float64, boolean bool (boolean
    where values are missing), datetime datetime64[us] in UTC without a zone, and the others str.
    A column of the right type is not copied, and a table that fits is returned as it is.

    Args:
        frame: The table.
        schema: What it has to be.
        where: What the table is called in an error.
        first_row: The number of its first row.
        target: Whether the columns that only training needs have to be there too.
        values: Whether missing values, bounds and categories are checked as well.
        advice: The end of an error's sentence.

    Raises:
        UserError: With column, row and value, for all that does not fit.
    """
    import pandas as pd

    names = [str(name) for name in frame.columns]
    violations = _wrong_names(frame, schema, target)
    columns: dict[str, pd.Series[Any]] = {}
    there = set(names)
    fits = True
    for column in schema.columns:
        if column.name in there:
            given = frame[column.name]
            series, violation = cast_column(given, column, first_row)
            columns[column.name] = series
            fits = fits and series is given
            violations += [violation] if violation else []
    fits = fits and list(columns) == names
    typed = frame if fits else pd.DataFrame(columns, index=frame.index, copy=False)
    if values:
        failed = {violation.column for violation in violations} & set(columns)
        violations += check_table(typed.drop(columns=list(failed)), schema, first_row)
    refuse(violations, where, advice)
    return typed


def _wrong_names(frame: pd.DataFrame, schema: Schema, target: bool) -> list[Violation]:
    """Return the columns that the table lacks, and those that the schema does not know.

    A column without any value is left out, as it was when the schema was inferred.
    """
    names = [str(name) for name in frame.columns]
    needed = {column.name for column in schema.needed}
    if target:
        needed = {column.name for column in schema.columns if "ignore" not in column.roles}
    there = set(names)
    lacking = [name for name in schema.names if name in needed and name not in there]
    known = set(schema.names)
    return [
        *(Violation(name, "is missing from the table") for name in lacking),
        *(
            Violation(name, "is not in the schema")
            for name in names
            if name not in known and frame[name].notna().any()
        ),
    ]


def check_table(frame: pd.DataFrame, schema: Schema, first_row: int = 1) -> list[Violation]:
    """Return the values of a conformed table that violate the schema.

    A missing target is none: `[data] target_missing` says what becomes of its row.
    """
    return [
        _violation_of(frame[name], rows, rule, problem, first_row)
        for name, rule, problem, rows in _broken(frame, schema)
    ]


def mark_rows(frame: pd.DataFrame, schema: Schema) -> pd.Series[Any]:
    """Return what is wrong with each row of a conformed table; missing where nothing is.

    Such as `fee is above 90; city is not one of Lima, Quito`.
    """
    import pandas as pd

    marks: list[str | None] = [None] * len(frame)
    for name, _, problem, rows in _broken(frame, schema):
        for at in rows.to_numpy().nonzero()[0].tolist():
            marks[at] = "; ".join(filter(None, [marks[at], f"{name} {problem}"]))
    return pd.Series(marks, index=frame.index, dtype="str")


def _broken(frame: pd.DataFrame, schema: Schema) -> Iterator[tuple[str, str, str, pd.Series[bool]]]:
    """Yield column, rule, problem and a boolean per row, for each rule that a table breaks."""
    for column in schema.columns:
        if column.name in frame.columns and "ignore" not in column.roles:
            for rule, problem, rows in broken_rules(frame[column.name], column):
                if rule != "nullable" or "target" not in column.roles:
                    yield column.name, rule, problem, rows


def broken_rules(
    series: pd.Series[Any], column: Column
) -> Iterator[tuple[str, str, pd.Series[bool]]]:
    """Yield each rule that a cast column breaks, the problem, and a boolean per row."""
    rules = []
    if not column.nullable:
        rules.append(("nullable", "is missing, but the schema says nullable: false", series.isna()))
    if column.minimum is not None:
        below = series < column.minimum
        rules.append(("minimum", f"is below {spell(column.minimum)}", below))
    if column.maximum is not None:
        above = series > column.maximum
        rules.append(("maximum", f"is above {spell(column.maximum)}", above))
    if column.categories is not None:
        few = ", ".join(column.categories[:10])
        more = " ..." if len(column.categories) > 10 else ""
        unknown = set(series.dropna().unique()) - set(column.categories)
        rules.append(("categories", f"is not one of {few}{more}", series.isin(unknown)))
    for rule, problem, rows in rules:
        if rows.any():
            yield rule, problem, rows.fillna(False).astype(bool)


def cast_column(
    given: pd.Series[Any], column: Column, first_row: int = 1
) -> tuple[pd.Series[Any], Violation | None]:
    """Cast one column to its type; return it as it is where it has that type already.

    Values that cannot be cast become missing and count as a violation. So do infinite numbers: no
    model can use them.
    """
    if column.type not in CASTS:
        return _to_text(given, column), None
    cast, data_type, problem = CASTS[column.type]
    given = _without_missing(given)
    series, bad = cast(given, column)
    if bad is None or "ignore" in column.roles or not bad.any():
        return series, None
    if column.type in NUMBERS and column.format in CLOCKS:
        problem = "is neither a time of day nor a duration (14:35, 1:02:03.5, PT1H30M)"
    problem = problem.format(column.format or "ISO 8601 (2024-01-31 or 2024-01-31T12:30:00)")
    violation = _violation_of(given, bad, "type", problem, first_row)
    return series.mask(bad).astype(data_type), violation


def _without_missing(given: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column with missing values in place of texts that spell them."""
    if given.dtype == "str":
        return without_missing(given)
    if given.dtype != "object":
        return given
    spelt = given.map(lambda each: isinstance(each, str) and spells_missing(each)).astype("bool")
    return given.mask(spelt) if spelt.any() else given


def refuse(violations: Sequence[Violation], where: str, advice: str) -> None:
    """Raise when there are violations.

    Raises:
        UserError: One sentence for one violation, a list for several.
    """
    if len(violations) == 1:
        raise UserError(f"{where}, {violations[0].sentence()}; {advice}.")
    if violations:
        listed = "\n".join(f"  - {violation.sentence()}" for violation in violations)
        raise UserError(f"{where} has {len(violations)} violations; {advice}:\n{listed}")


@dataclass(frozen=True)
class Violation:
    """What is wrong with one column, and in which rows.

    Attributes:
        column: Its name.
        problem: The end of a sentence that begins with a value, or with the column if no row is
            concerned.
        rows: The first rows concerned, from 1.
        count: How many rows are concerned.
        example: The value in the first of them.
        rule: type, nullable, minimum, maximum or categories; empty for a column as a whole.
    """

    column: str
    problem: str
    rows: tuple[int, ...] = ()
    count: int = 0
    example: str = ""
    rule: str = ""

    def sentence(self) -> str:
        """Return it as a sentence without a full stop."""
        if not self.rows:
            return f"column '{self.column}' {self.problem}"
        shown = self.example if len(self.example) <= 60 else self.example[:57] + "..."
        text = f"column '{self.column}', row {self.rows[0]:,}: {shown} {self.problem}"
        if self.count > 1:
            more = ", ".join(f"{row:,}" for row in self.rows)
            text += f" ({self.count:,} rows: {more}{' ...' if self.count > len(self.rows) else ''})"
        return text


def merged(violations: Iterable[Violation]) -> list[Violation]:
    """Return one violation per rule and column of a table's pieces, the most frequent first."""
    found: dict[tuple[str, str], Violation] = {}
    for each in violations:
        key = each.column, each.rule
        earlier = found.get(key, replace(each, rows=(), count=0))
        rows = (earlier.rows + each.rows)[:SHOWN_ROWS]
        found[key] = replace(earlier, rows=rows, count=earlier.count + each.count)
    return sorted(found.values(), key=lambda each: (-each.count, each.rows))


def _violation_of(
    series: pd.Series[Any], bad: Any, rule: str, problem: str, first_row: int
) -> Violation:
    """Describe the rows for which `bad`, one boolean per row, is true."""
    import pandas as pd

    at = bad.to_numpy().nonzero()[0]
    rows = tuple(int(position) + first_row for position in at[:SHOWN_ROWS])
    value = series.iloc[int(at[0])]
    example = f"'{value}'" if isinstance(value, str) else spell(value)
    if pd.isna(value):
        example = "the value"
    return Violation(str(series.name), problem, rows, len(at), example, rule)


def spell(value: Any) -> str:
    """Write a value as text, alike for every file format: 1 and 1.0 are `1`, true is `True`."""
    import numpy as np

    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def example_of(series: pd.Series[Any]) -> str:
    """Return the first value that is not missing, and its row."""
    at = int(series.notna().to_numpy().argmax())
    return f"'{spell(series.iloc[at])}' in row {at + 1:,}"


# ------------------------------------------------------------------------------------- to each type

# Each returns the column as far as it can be cast, and a boolean per row that cannot be (None: all
# can).


def _to_integer(given: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], Any]:
    """Cast to int64, or Int64 where values are missing; fractions are bad."""
    if given.dtype == "int64":
        return given, None
    if given.dtype == "Int64":
        return (given if given.isna().any() else given.astype("int64")), None
    parsed = _parse_numbers(given, column)
    if parsed.dtype in ("int64", "Int64") and not (parsed.isna() & given.notna()).any():
        return parsed, None
    numbers, unreadable = _to_number(given, column)
    bad = numbers.notna() & ((numbers % 1 != 0) | (numbers.abs() >= 2**63))
    if unreadable is not None:
        bad |= unreadable
    if bad.any():
        return numbers, bad
    return numbers.astype("Int64" if numbers.isna().any() else "int64"), None


def _to_number(given: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], Any]:
    """Cast to float64; text that is not a number, and infinite values, are bad."""
    import numpy as np
    import pandas as pd

    series = given
    if given.dtype != "float64":
        series = _parse_numbers(given, column).astype("float64")
    infinite = np.isinf(series.to_numpy())
    # A wide table has thousands of columns, and most are right: arrays are quicker than Series.
    if series is given and not infinite.any():
        return series, None
    bad = pd.Series(infinite, index=series.index)
    return series, bad if series is given else bad | (series.isna() & given.notna())


def _parse_numbers(given: pd.Series[Any], column: Column) -> pd.Series[Any]:
    """Read numbers from text, and seconds from times; what is neither becomes missing."""
    import numpy as np
    import pandas as pd

    if pd.api.types.is_numeric_dtype(given.dtype):
        return given
    is_clock = column.format in CLOCKS
    if pd.api.types.is_timedelta64_dtype(given.dtype):
        # A schema without a format is of before durations were read as seconds.
        moments = pd.Series(
            given.to_numpy() / np.timedelta64(1, "us"), given.index, name=given.name
        )
        return moments / 1_000_000 if is_clock else moments
    if is_clock and given.dtype == "str":
        return read_seconds(given, str(column.format))
    if given.dtype == "str":
        return read_column(given, number_form(column))
    if given.dtype == "object":
        # Text is in the column's form; a number beside it is what it is.
        given = given.map(lambda each: number_in(each, column) if isinstance(each, str) else each)
    return pd.to_numeric(given.astype("object"), errors="coerce")


def number_form(column: Column) -> NumberForm:
    """Return how a column of numbers writes them in text."""
    return NumberForm(column.decimal or POINT, column.unit or "")


def number_in(word: str, column: Column) -> float | None:
    """Read one number, time or duration as a column writes it; None where it is none."""
    if column.format in CLOCKS:
        return read_clock(word, str(column.format))
    return read_number(word, number_form(column))


def _to_boolean(given: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], Any]:
    """Cast to bool, or boolean where values are missing."""
    import pandas as pd

    if given.dtype == "bool":
        return given, None
    series = given
    if given.dtype != "boolean":
        # By distinct value, of which there are few.
        codes, distinct = given.astype("object").factorize()
        truths = [TRUTHS.get(str(value).strip().casefold()) for value in distinct]
        table = pd.array([*truths, None], dtype="boolean")
        series = pd.Series(table.take(codes), index=given.index, name=given.name)
    missing = series.isna()
    return (series if missing.any() else series.astype("bool")), missing & given.notna()


def _to_datetime(given: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], Any]:
    """Cast to datetime64[us], in UTC without a zone."""
    import pandas as pd

    from .dates import parse_dates

    if given.dtype == "datetime64[us]":
        return given, None
    if isinstance(given.dtype, pd.DatetimeTZDtype):
        return given.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]"), None
    if pd.api.types.is_datetime64_dtype(given.dtype):
        return given.astype("datetime64[us]"), None
    if given.isna().all():
        return pd.to_datetime(given.astype("object")).astype("datetime64[us]"), None
    if pd.api.types.is_numeric_dtype(given.dtype) and column.format != COMPACT:
        return given, given.notna()
    words = given if given.dtype == "str" else given.map(spell, na_action="ignore")
    parsed = parse_dates(words, column.format, column.months, column.last_year)
    series = parsed.dt.tz_localize(None).astype("datetime64[us]")
    return series, series.isna() & given.notna()


# By type: its cast, the data type in which values may be missing, and what is wrong with the bad.
CASTS: dict[str, tuple[Callable[[pd.Series[Any], Column], tuple[Any, Any]], Any, str]] = {
    "integer": (_to_integer, "Int64", "is not a whole number (for fractions: type: number)"),
    "number": (_to_number, "float64", "is not a finite number (leave it empty if it is unknown)"),
    "boolean": (_to_boolean, "boolean", "is neither true nor false"),
    "datetime": (_to_datetime, "datetime64[us]", "is not a date as {}"),
}


def _to_text(given: pd.Series[Any], column: Column) -> pd.Series[Any]:
    """Cast to str; numbers and booleans are spelt as the categories are."""
    import numpy as np
    import pandas as pd

    if given.dtype != "str":
        # By distinct value: a table has few of them, and spelling is slow.
        codes, distinct = given.factorize()
        spelt = [spell(value) for value in distinct]
        table = np.array([*spelt, None], dtype=object)  # code -1 is a missing value
        given = pd.Series(table[codes], index=given.index, name=given.name, dtype="str")
    if column.categories is None:
        return given
    known = set(column.categories)
    distinct = given.dropna().unique()
    spelt_as = {word: as_category(word, column.categories) for word in {*distinct} - known}
    respelt = {word: category for word, category in spelt_as.items() if category != word}
    return given.replace(respelt) if respelt else given


def as_category(word: str, categories: Sequence[str]) -> str:
    """Return the category that `word` spells differently (TRUE, 1.0), else the word itself."""
    same = [known for known in categories if known.casefold() == word.strip().casefold()]
    if len(same) == 1 and word.strip().casefold() in ("true", "false"):
        return same[0]
    try:
        number = spell(float(word))
    except ValueError:
        return word
    return number if number in categories else word
