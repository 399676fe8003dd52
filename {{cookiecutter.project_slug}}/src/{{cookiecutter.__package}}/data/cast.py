"""A table against the schema: cast to its types, checked against its bounds and categories.

`conform` casts a table and `validate` checks it; both refuse a table that does not fit.
`cast_table` and `check_table` return the violations instead, for callers that add their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..core.errors import UserError
from .dates import COMPACT
from .numbers import POINT, NumberForm
from .schema import Column, Schema
from .words import read_column, without_missing

if TYPE_CHECKING:
    import pandas as pd

SHOWN_ROWS = 5
TRUE = ("true", "yes", "t", "y", "1", "1.0")
FALSE = ("false", "no", "f", "n", "0", "0.0")
TRUTHS = {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}
# Returns the column as far as it can be cast, a boolean per row that cannot be (None: all can), and
# the problem of those rows.
Cast = Callable[["pd.Series[Any]", "Column"], tuple["pd.Series[Any]", Any, str]]


def conform(
    frame: pd.DataFrame,
    schema: Schema,
    *,
    where: str,
    first_row: int = 1,
    target: bool = True,
    extra: Literal["refuse", "drop"] = "refuse",
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
        extra: What to do with columns that the schema does not know.
        advice: The end of an error's sentence.

    Raises:
        UserError: With column, row and value, for all that cannot be cast.
    """
    typed, violations = cast_table(frame, schema, first_row, target=target, extra=extra)
    refuse(violations, where, advice)
    return typed


def validate(
    frame: pd.DataFrame,
    schema: Schema,
    where: str,
    *,
    first_row: int = 1,
    advice: str = "correct the data",
) -> None:
    """Check a conformed table's values against the schema.

    Args:
        frame: What `conform` returned.
        schema: Bounds, categories, and whether values may be missing.
        where: What the table is called in an error.
        first_row: The number of its first row.
        advice: The end of an error's sentence.

    Raises:
        UserError: Listing every violation with column, check, count and first rows.
    """
    refuse(check_table(frame, schema, first_row), where, advice)


def cast_table(
    frame: pd.DataFrame,
    schema: Schema,
    first_row: int = 1,
    *,
    target: bool = True,
    extra: Literal["refuse", "drop"] = "refuse",
) -> tuple[pd.DataFrame, list[Violation]]:
    """Cast every column; return what could be cast, and the violations of the rest."""
    import pandas as pd

    needed = {column.name for column in schema.features}
    if target:
        needed = {column.name for column in schema.columns if "ignore" not in column.roles}
    names = [str(name) for name in frame.columns]
    violations = [
        Violation(name, "is missing from the table")
        for name in schema.names
        if name in needed and name not in names
    ]
    if extra == "refuse":
        known = set(schema.names)
        violations += [
            Violation(name, "is not in the schema")
            for name in names
            if name not in known and frame[name].notna().any()
        ]
    columns: dict[str, pd.Series[Any]] = {}
    changed = False
    for column in schema.columns:
        if column.name in names:
            given = frame[column.name]
            series, violation = cast_column(given, column, first_row)
            columns[column.name] = series
            changed = changed or series is not given
            violations += [violation] if violation else []
    if not changed and list(columns) == names:
        return frame, violations
    return pd.DataFrame(columns, index=frame.index, copy=False), violations


def check_table(frame: pd.DataFrame, schema: Schema, first_row: int = 1) -> list[Violation]:
    """Return the values of a conformed table that violate the schema.

    Arithmetic over whole columns finds the columns at fault, and pandera their rows. It gets these
    columns alone, so that a table that fits costs next to nothing.
    """
    suspects = [
        column
        for column in schema.columns
        if column.name in frame.columns
        and "ignore" not in column.roles
        and _breaks_schema(frame[column.name], column)
    ]
    if not suspects:
        return []
    import pandera.pandas as pa

    chosen = frame[[column.name for column in suspects]].reset_index(drop=True)
    try:
        _pandera_schema(suspects).validate(chosen, lazy=True)
    except pa.errors.SchemaErrors as errors:
        return _from_pandera(errors.failure_cases, chosen, suspects, first_row)
    return []


def cast_column(
    given: pd.Series[Any], column: Column, first_row: int = 1
) -> tuple[pd.Series[Any], Violation | None]:
    """Cast one column to its type; return it as it is where it has that type already.

    Infinite numbers count as violations: no model can use them.
    """
    casts: dict[str, Cast] = {
        "integer": _to_integer,
        "number": _to_number,
        "boolean": _to_boolean,
        "datetime": _to_datetime,
    }
    if column.type in casts and given.dtype == "str":
        given = without_missing(given)
    series, bad, problem = casts.get(column.type, _to_text)(given, column)
    if bad is None or "ignore" in column.roles or not bad.any():
        return series, None
    return series, _violation_of(column.name, given, bad, problem, first_row)


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
    """

    column: str
    problem: str
    rows: tuple[int, ...] = ()
    count: int = 0
    example: str = ""

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


def _violation_of(
    name: str, series: pd.Series[Any], bad: Any, problem: str, first_row: int
) -> Violation:
    """Describe the rows for which `bad`, one boolean per row, is true."""
    at = bad.to_numpy().nonzero()[0] if hasattr(bad, "to_numpy") else bad.nonzero()[0]
    rows = tuple(int(position) + first_row for position in at[:SHOWN_ROWS])
    value = series.iloc[int(at[0])]
    example = f"'{value}'" if isinstance(value, str) else spell(value)
    return Violation(name, problem, rows, len(at), example)


def spell(value: Any) -> str:
    """Write a value as text, alike for every file format: 1 and 1.0 are `1`, true is `True`."""
    import numpy as np

    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


# ------------------------------------------------------------------------------------- to each type


def _to_integer(given: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], Any, str]:
    """Cast to int64, or Int64 where values are missing; fractions are bad."""
    import numpy as np
    import pandas as pd

    if given.dtype == "int64":
        return given, None, ""
    if given.dtype == "Int64":
        return (given if given.isna().any() else given.astype("int64")), None, ""
    if not pd.api.types.is_numeric_dtype(given.dtype):
        parsed = _parse_numbers(given, column)
        if parsed.dtype in ("int64", "Int64") and not (parsed.isna() & given.notna()).any():
            return parsed, None, ""
    numbers, bad, problem = _to_number(given, column)
    if bad.any():
        return numbers, bad, problem
    values = numbers.to_numpy()
    fraction = ~np.isnan(values) & (values != np.floor(values))
    if fraction.any():
        return numbers, fraction, "is not a whole number (for fractions: type: number)"
    if np.isnan(values).any():
        return numbers.astype("Int64"), None, ""
    return numbers.astype("int64"), None, ""


def _to_number(given: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], Any, str]:
    """Cast to float64; text that is not a number, and infinite values, are bad."""
    import numpy as np
    import pandas as pd

    if given.dtype == "float64":
        series = given
    elif pd.api.types.is_numeric_dtype(given.dtype):
        series = given.astype("float64")
    else:
        series = _parse_numbers(given, column).astype("float64")
        unread = series.isna() & given.notna()
        if unread.any():
            return series, unread, "is not a number"
    return series, np.isinf(series.to_numpy()), "is infinite; leave it empty where it is unknown"


def _parse_numbers(given: pd.Series[Any], column: Column) -> pd.Series[Any]:
    """Read numbers from text; what is not a number becomes missing."""
    import pandas as pd

    if given.dtype == "str":
        return read_column(given, NumberForm(column.decimal or POINT, column.unit or ""))
    return pd.to_numeric(given.astype("object"), errors="coerce")


def _to_boolean(given: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], Any, str]:
    """Cast to bool, or boolean where values are missing."""
    import pandas as pd

    if given.dtype == "bool":
        return given, None, ""
    if given.dtype != "boolean":
        # By distinct value, of which there are few.
        codes, distinct = given.astype("object").factorize()
        truths = [TRUTHS.get(str(value).strip().casefold()) for value in distinct]
        table = pd.array([*truths, None], dtype="boolean")
        series = pd.Series(table.take(codes), index=given.index, name=given.name)
        bad = series.isna() & given.notna()
        if bad.any():
            return series, bad, "is neither true nor false"
    else:
        series = given
    return (series if series.isna().any() else series.astype("bool")), None, ""


def _to_datetime(given: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], Any, str]:
    """Cast to datetime64[us], in UTC without a zone."""
    import pandas as pd

    if given.dtype == "datetime64[us]":
        return given, None, ""
    if isinstance(given.dtype, pd.DatetimeTZDtype):
        return given.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]"), None, ""
    if pd.api.types.is_datetime64_dtype(given.dtype):
        return given.astype("datetime64[us]"), None, ""
    if given.isna().all():
        return pd.to_datetime(given.astype("object")).astype("datetime64[us]"), None, ""
    problem = f"is not a date as {column.format or 'ISO 8601 (2024-01-31 or 2024-01-31T12:30:00)'}"
    if pd.api.types.is_numeric_dtype(given.dtype) and column.format != COMPACT:
        return given, given.notna(), problem
    words = given if given.dtype == "str" else given.map(spell, na_action="ignore")
    parsed = pd.to_datetime(words, format=column.format or "ISO8601", errors="coerce", utc=True)
    series = parsed.dt.tz_localize(None).astype("datetime64[us]")
    return series, series.isna() & given.notna(), problem


def _to_text(given: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], Any, str]:
    """Cast to str; numbers and booleans are spelt as the categories are."""
    if given.dtype != "str":
        # By distinct value: a table has few of them, and spelling is slow.
        codes, distinct = given.factorize()
        spelt = [spell(value) for value in distinct]
        given = _words_of_codes(given, codes, spelt)
    if column.categories is None:
        return given, None, ""
    known = set(column.categories)
    distinct = given.dropna().unique()
    spelt_as = {word: _as_category(word, column.categories) for word in {*distinct} - known}
    respelt = {word: category for word, category in spelt_as.items() if category != word}
    return (given.replace(respelt) if respelt else given), None, ""


def _words_of_codes(given: pd.Series[Any], codes: Any, words: list[str]) -> pd.Series[Any]:
    """Return a str column of one word per code; code -1 is a missing value."""
    import numpy as np
    import pandas as pd

    table = np.array([*words, None], dtype=object)
    return pd.Series(table[codes], index=given.index, name=given.name, dtype="str")


def _as_category(word: str, categories: Sequence[str]) -> str:
    """Return the category that `word` spells differently (TRUE, 1.0), else the word itself."""
    same = [known for known in categories if known.casefold() == word.strip().casefold()]
    if len(same) == 1 and word.strip().casefold() in ("true", "false"):
        return same[0]
    try:
        number = spell(float(word))
    except ValueError:
        return word
    return number if number in categories else word


# ---------------------------------------------------------------------------- bounds and categories


def _breaks_schema(series: pd.Series[Any], column: Column) -> bool:
    """Tell quickly whether any value violates the schema."""
    if not column.nullable and series.isna().any():
        return True
    if column.minimum is not None and (series < column.minimum).any():
        return True
    if column.maximum is not None and (series > column.maximum).any():
        return True
    if column.categories is not None:
        return not set(series.dropna().unique()) <= set(column.categories)
    return False


def _pandera_schema(columns: Sequence[Column]) -> Any:
    """Return the `pandera.DataFrameSchema` of some columns."""
    import pandera.pandas as pa

    def checks(column: Column) -> list[Any]:
        found = []
        if column.minimum is not None:
            found.append(pa.Check.ge(column.minimum, error=f"is below {spell(column.minimum)}"))
        if column.maximum is not None:
            found.append(pa.Check.le(column.maximum, error=f"is above {spell(column.maximum)}"))
        if column.categories is not None:
            few = ", ".join(column.categories[:10])
            more = " ..." if len(column.categories) > 10 else ""
            found.append(pa.Check.isin(column.categories, error=f"is not one of {few}{more}"))
        return found

    return pa.DataFrameSchema(
        {
            column.name: pa.Column(checks=checks(column), nullable=column.nullable)
            for column in columns
        }
    )


def _from_pandera(
    cases: pd.DataFrame, frame: pd.DataFrame, columns: Sequence[Column], first_row: int
) -> list[Violation]:
    """Turn pandera's failure cases, one per value, into one violation per column and check."""
    import numpy as np

    violations = []
    for column in columns:
        own = cases[cases["column"] == column.name]
        for check, failed in own.groupby("check", sort=False):
            bad = np.zeros(len(frame), dtype=bool)
            bad[failed["index"].to_numpy(dtype="int64")] = True
            violation = _violation_of(column.name, frame[column.name], bad, str(check), first_row)
            if check == "not_nullable":
                problem = "is missing, but the schema says nullable: false"
                violation = replace(violation, example="the value", problem=problem)
            violations.append(violation)
    return violations
