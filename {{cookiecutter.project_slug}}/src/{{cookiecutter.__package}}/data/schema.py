"""The schema: each column's type, bounds and roles; inferred once, then owned by the team.

`conform` gives a table the schema's types, `validate` holds its values against the schema. Both are
used at ingest and at prediction alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..config import redact
from ..errors import UserError
from ..files import fingerprint, write_text
from ..project import Project

if TYPE_CHECKING:
    import pandas as pd

    from ..config import DataSettings

TYPES = ("integer", "number", "boolean", "category", "string", "text", "datetime")
ROLES = ("target", "time", "group", "sensitive", "id", "ignore")
WORDS = ("category", "string", "text")
SCHEMA_VERSION = 1
SHOWN_ROWS = 5
Cast = Callable[["pd.Series[Any]", "Column"], tuple["pd.Series[Any]", Any, str]]
INFER_ANEW = "correct the data, or data/schema.yaml, or infer it anew with `ingest --infer`"

NOTE = "# Note: "
HEADER = """\
# What each column holds. Inferred once from the source; from now on yours to edit: later data is
# held against it, and every violation is listed.
#   type      integer, number, boolean, category (of a fixed list), string (of many values), text
#             (sentences) or datetime (with format: %d.%m.%Y and the like where it is not ISO 8601)
#   nullable  whether values may be missing
#   minimum, maximum  the observed range, widened on each side by its own width, so that new data
#             slightly beyond is not refused; never across zero where no observed value was
#   roles     follow conf.cfg: change them there
# `ingest --infer` infers it anew and keeps this file as schema.old.yaml.
"""


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        name: As in the source.
        type: One of `TYPES`.
        nullable: Whether values may be missing.
        minimum: The least value allowed, for integer and number.
        maximum: The greatest value allowed, for integer and number.
        categories: The values allowed, for category, in sorted order.
        roles: Some of `ROLES`.
        format: How a datetime is written; None stands for ISO 8601.
    """

    name: str
    type: str
    nullable: bool
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] | None = None
    roles: tuple[str, ...] = ()
    format: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, those that say nothing left out."""
        values: dict[str, Any] = {"name": self.name, "type": self.type, "nullable": self.nullable}
        for key in ("minimum", "maximum", "format"):
            if getattr(self, key) is not None:
                values[key] = getattr(self, key)
        if self.categories is not None:
            values["categories"] = list(self.categories)
        if self.roles:
            values["roles"] = list(self.roles)
        return values


@dataclass(frozen=True)
class Schema:
    """All columns of a table, in the order of the source."""

    columns: tuple[Column, ...]
    source: str
    version: int = SCHEMA_VERSION

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    @property
    def target(self) -> Column | None:
        """The column to predict."""
        return next(iter(self.having("target")), None)

    @property
    def time(self) -> Column | None:
        """The column that orders the rows."""
        return next(iter(self.having("time")), None)

    @property
    def group(self) -> Column | None:
        """The column whose rows stay together."""
        return next(iter(self.having("group")), None)

    @property
    def ids(self) -> tuple[Column, ...]:
        """The columns that name a row."""
        return self.having("id")

    @property
    def features(self) -> tuple[Column, ...]:
        """What a model sees: neither target, id, group, ignored columns nor the ordering time."""
        unseen = {"target", "id", "group", "ignore", "time"}
        return tuple(column for column in self.columns if not unseen & set(column.roles))

    def having(self, role: str) -> tuple[Column, ...]:
        """Return the columns with a role."""
        return tuple(column for column in self.columns if role in column.roles)

    def column(self, name: str) -> Column:
        """Return one column.

        Raises:
            UserError: If there is none of that name.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise UserError(f"data/schema.yaml has no column '{name}'.")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as written into bundles."""
        columns = [column.to_dict() for column in self.columns]
        return {"version": self.version, "source": self.source, "columns": columns}

    @classmethod
    def from_dict(cls, values: Any, where: str = "data/schema.yaml") -> Schema:
        """Read what `to_dict` returned, or a person wrote.

        Raises:
            UserError: Naming the column and what is wrong with it.
        """
        if not isinstance(values, dict) or not isinstance(values.get("columns"), list):
            raise UserError(f"{where} has no list of columns; infer it anew: `ingest --infer`.")
        if values.get("version") != SCHEMA_VERSION:
            raise UserError(f"{where} is not of version {SCHEMA_VERSION}.")
        columns = tuple(_read_column(item, where) for item in values["columns"])
        names = [column.name for column in columns]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UserError(f"{where} names the column '{twice}' twice.")
        return cls(columns, str(values.get("source", "")))


def _read_column(item: Any, where: str) -> Column:
    """Read one column of a schema."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise UserError(f"{where} has a column without a name: {item!r}.")
    place = f"{where}, column '{item['name']}'"
    known = Column.__dataclass_fields__
    unknown = next((key for key in item if key not in known), None)
    if unknown is not None:
        raise UserError(f"{place}: '{unknown}' is unknown; known are: {', '.join(known)}.")
    if item.get("type") not in TYPES:
        raise UserError(f"{place}: type is '{item.get('type')}', but has to be {_one_of(TYPES)}.")
    if not isinstance(item.get("nullable", True), bool):
        raise UserError(f"{place}: nullable has to be true or false.")
    for key in ("minimum", "maximum"):
        value = item.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UserError(f"{place}: {key} is '{value}', but has to be a number.")
    categories = item.get("categories")
    if item["type"] == "category" and not isinstance(categories, list):
        raise UserError(f"{place}: a category needs a list of categories (else type: string).")
    wrong = [value for value in categories or () if not isinstance(value, str)]
    if wrong:
        raise UserError(f"{place}: put the category {wrong[0]} into quotes.")
    roles = tuple(item.get("roles") or ())
    if any(role not in ROLES for role in roles):
        raise UserError(f"{place}: roles have to be of {_one_of(ROLES)}.")
    return Column(
        item["name"],
        item["type"],
        item.get("nullable", True),
        item.get("minimum"),
        item.get("maximum"),
        None if categories is None else tuple(categories),
        roles,
        item.get("format"),
    )


def _one_of(words: Sequence[str]) -> str:
    """Write `a, b or c`."""
    return f"{', '.join(words[:-1])} or {words[-1]}"


# -------------------------------------------------------------------------------- data/schema.yaml


@dataclass(frozen=True)
class SchemaFile:
    """data/schema.yaml: the schema, and what it was inferred from.

    Attributes:
        schema: The columns as they stand there now.
        inferred: Fingerprint of the columns as they were inferred.
        conditions: Fingerprint of the settings under which they were.
        notes: What could not be settled then; comments in the file.
    """

    schema: Schema
    inferred: str
    conditions: str
    notes: tuple[str, ...] = ()

    @property
    def edited(self) -> bool:
        """Whether a person changed what was inferred; roles do not count."""
        return columns_fingerprint(self.schema) != self.inferred


def columns_fingerprint(schema: Schema) -> str:
    """Return the fingerprint of the columns apart from their roles, 16 hexadecimal digits."""
    return fingerprint([replace(column, roles=()).to_dict() for column in schema.columns])


def load_schema(project: Project) -> Schema:
    """Return the project's schema.

    Raises:
        UserError: If there is none yet, or it is broken.
    """
    file = read_schema_file(project)
    if file is None:
        raise UserError("There is no data/schema.yaml; run `ingest` first.")
    return file.schema


def read_schema_file(project: Project) -> SchemaFile | None:
    """Return data/schema.yaml, or None where there is none.

    Raises:
        UserError: If it is no YAML, or no schema.
    """
    import yaml

    path = project.schema_file
    if not path.exists():
        return None
    try:
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"data/schema.yaml cannot be read: {reason}.") from None
    schema = Schema.from_dict(values)
    marks = values.get("inferred")
    marks = marks if isinstance(marks, dict) else {}
    notes = (line.removeprefix(NOTE) for line in text.splitlines() if line.startswith(NOTE))
    return SchemaFile(
        schema, str(marks.get("columns", "")), str(marks.get("settings", "")), tuple(notes)
    )


def save_schema(project: Project, file: SchemaFile) -> None:
    """Write data/schema.yaml, a line per column; a file that says the same already stays.

    So a person's comments outlive every ingest that changes nothing.
    """
    import yaml

    def line(value: Any) -> str:
        text = yaml.safe_dump(
            value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1 << 30
        )
        return str(text).removesuffix("...\n").rstrip("\n")

    schema = file.schema
    lines = [HEADER.rstrip("\n")]
    lines += [f"{NOTE}{' '.join(note.split())}" for note in file.notes]
    lines += [f"version: {schema.version}", f"source: {line(redact(schema.source))}"]
    lines += [f"inferred: {line({'columns': file.inferred, 'settings': file.conditions})}"]
    lines += ["columns:", *(f"  - {line(column.to_dict())}" for column in schema.columns)]
    if read_schema_file(project) != file:
        write_text(project.schema_file, "\n".join(lines) + "\n")


def with_roles(schema: Schema, data: DataSettings, names: Sequence[str] | None = None) -> Schema:
    """Return the schema with the roles that conf.cfg gives.

    Args:
        schema: The columns.
        data: The roles.
        names: The table's columns, where they may differ from the schema's.

    Raises:
        UserError: If a role names a column that is not there, or the target has a second role.
    """
    from .formats import require_columns

    named = {
        "target": (data.target,) if data.target else (),
        "time": (data.time,) if data.time else (),
        "group": (data.group,) if data.group else (),
        "sensitive": data.sensitive,
        "id": data.id,
        "ignore": data.ignore,
    }
    for role, chosen in named.items():
        require_columns(names or schema.names, chosen, f"[data] {role}: the table")
    for role in ("time", "group", "id", "ignore"):
        if data.target in named[role]:
            raise UserError(f"[data] target = {data.target} is also [data] {role}; it can be one.")
    return replace(
        schema,
        columns=tuple(
            replace(column, roles=tuple(role for role in ROLES if column.name in named[role]))
            for column in schema.columns
        ),
    )


# ------------------------------------------------------------------------- conform and validate


@dataclass(frozen=True)
class Violation:
    """What is wrong with one column.

    Attributes:
        column: Its name.
        problem: The end of a sentence that begins with a value, or with the column if no row is
            concerned.
        rows: The first rows concerned, from 1.
        count: How many rows are.
        example: The value in the first of them.
    """

    column: str
    problem: str
    rows: tuple[int, ...] = ()
    count: int = 0
    example: str = ""

    def sentence(self) -> str:
        """Say it, without a full stop."""
        if not self.rows:
            return f"column '{self.column}' {self.problem}"
        shown = self.example if len(self.example) <= 60 else self.example[:57] + "..."
        text = f"column '{self.column}', row {self.rows[0]:,}: {shown} {self.problem}"
        if self.count > 1:
            more = ", ".join(f"{row:,}" for row in self.rows)
            text += f" ({self.count:,} rows: {more}{' ...' if self.count > len(self.rows) else ''})"
        return text


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


def cast_table(
    frame: pd.DataFrame,
    schema: Schema,
    first_row: int = 1,
    *,
    target: bool = True,
    extra: Literal["refuse", "drop"] = "refuse",
) -> tuple[pd.DataFrame, list[Violation]]:
    """Cast every column; return what could be cast, and what stands against the rest."""
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
            Violation(name, "is not in the schema") for name in names if name not in known
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
    series, bad, problem = casts.get(column.type, _to_words)(given, column)
    if bad is None or "ignore" in column.roles or not bad.any():
        return series, None
    return series, violation_of(column.name, given, bad, problem, first_row)


def violation_of(
    name: str, series: pd.Series[Any], bad: Any, problem: str, first_row: int
) -> Violation:
    """Describe the rows that `bad`, one boolean per row, points at."""
    at = bad.to_numpy().nonzero()[0] if hasattr(bad, "to_numpy") else bad.nonzero()[0]
    rows = tuple(int(position) + first_row for position in at[:SHOWN_ROWS])
    value = series.iloc[int(at[0])]
    example = f"'{value}'" if isinstance(value, str) else spell(value)
    return Violation(name, problem, rows, len(at), example)


def _to_number(given: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], Any, str]:
    """Cast to float64; text that is no number, and infinite values, are bad."""
    import numpy as np
    import pandas as pd

    if given.dtype == "float64":
        series = given
    elif pd.api.types.is_numeric_dtype(given.dtype):
        series = given.astype("float64")
    else:
        series = _parse(given).astype("float64")
        unread = series.isna() & given.notna()
        if unread.any():
            return series, unread, "is no number"
    return series, np.isinf(series.to_numpy()), "is infinite; leave it empty where it is unknown"


def _to_integer(given: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], Any, str]:
    """Cast to int64, or Int64 where values are missing; fractions are bad."""
    import numpy as np
    import pandas as pd

    if given.dtype == "int64":
        return given, None, ""
    if given.dtype == "Int64":
        return (given if given.isna().any() else given.astype("int64")), None, ""
    if not pd.api.types.is_numeric_dtype(given.dtype):
        parsed = _parse(given)
        if parsed.dtype == "int64":
            return parsed, None, ""
    numbers, bad, problem = _to_number(given, column)
    if bad.any():
        return numbers, bad, problem
    values = numbers.to_numpy()
    fraction = ~np.isnan(values) & (values != np.floor(values))
    if fraction.any():
        return numbers, fraction, "is no whole number (for fractions: type: number)"
    if np.isnan(values).any():
        return numbers.astype("Int64"), None, ""
    return numbers.astype("int64"), None, ""


def _parse(given: pd.Series[Any]) -> pd.Series[Any]:
    """Read numbers out of text; what is none becomes missing."""
    import pandas as pd

    return pd.to_numeric(given.astype("object"), errors="coerce")


TRUTHS = {"true": True, "yes": True, "t": True, "y": True, "1": True, "1.0": True}
TRUTHS |= {"false": False, "no": False, "f": False, "n": False, "0": False, "0.0": False}


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
    problem = f"is no date as {column.format or 'ISO 8601 (2024-01-31 or 2024-01-31T12:30:00)'}"
    if pd.api.types.is_numeric_dtype(given.dtype):
        return given, given.notna(), problem
    words = given if given.dtype == "str" else given.map(spell, na_action="ignore")
    parsed = pd.to_datetime(words, format=column.format or "ISO8601", errors="coerce", utc=True)
    series = parsed.dt.tz_localize(None).astype("datetime64[us]")
    return series, series.isna() & given.notna(), problem


def _to_words(given: pd.Series[Any], column: Column) -> tuple[pd.Series[Any], Any, str]:
    """Cast to str; numbers and booleans are spelt as the categories are."""
    if given.dtype != "str":
        # By distinct value: a table has few of them, and spelling is slow.
        codes, distinct = given.factorize()
        spelt = [spell(value) for value in distinct]
        given = _from_codes(given, codes, spelt)
    if column.categories is None:
        return given, None, ""
    known = set(column.categories)
    distinct = given.dropna().unique()
    spelt_as = {word: _as_category(word, column.categories) for word in {*distinct} - known}
    respelt = {word: category for word, category in spelt_as.items() if category != word}
    return (given.replace(respelt) if respelt else given), None, ""


def _from_codes(given: pd.Series[Any], codes: Any, words: list[str]) -> pd.Series[Any]:
    """Return a str column of one word per code; code -1 is a missing value."""
    import numpy as np
    import pandas as pd

    table = np.array([*words, None], dtype=object)
    return pd.Series(table[codes], index=given.index, name=given.name, dtype="str")


def spell(value: Any) -> str:
    """Write a value as text, alike for every file format: 1 and 1.0 are `1`, true is `True`."""
    import numpy as np

    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _as_category(word: str, categories: Sequence[str]) -> str:
    """Return the category that `word` is another spelling of (TRUE, 1.0), else the word itself."""
    same = [known for known in categories if known.casefold() == word.strip().casefold()]
    if len(same) == 1 and word.strip().casefold() in ("true", "false"):
        return same[0]
    try:
        number = spell(float(word))
    except ValueError:
        return word
    return number if number in categories else word


def validate(
    frame: pd.DataFrame,
    schema: Schema,
    where: str,
    *,
    first_row: int = 1,
    advice: str = "correct the data",
) -> None:
    """Hold a conformed table's values against the schema.

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


def check_table(frame: pd.DataFrame, schema: Schema, first_row: int = 1) -> list[Violation]:
    """Return what of a conformed table's values stands against the schema.

    Arithmetic over whole columns finds those at fault, if any; only these are given to pandera,
    which finds the rows: a table that fits, as most do, costs next to nothing.
    """
    suspects = [
        column
        for column in schema.columns
        if column.name in frame.columns
        and "ignore" not in column.roles
        and _is_suspect(frame[column.name], column)
    ]
    if not suspects:
        return []
    import pandera.pandas as pa

    chosen = frame[[column.name for column in suspects]].reset_index(drop=True)
    try:
        pandera_schema(suspects).validate(chosen, lazy=True)
    except pa.errors.SchemaErrors as errors:
        return _from_pandera(errors.failure_cases, chosen, suspects, first_row)
    return []


def pandera_schema(columns: Sequence[Column]) -> Any:
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
            found.append(pa.Check.isin(column.categories, error=f"is none of {few}{more}"))
        return found

    return pa.DataFrameSchema(
        {
            column.name: pa.Column(checks=checks(column), nullable=column.nullable)
            for column in columns
        }
    )


def _is_suspect(series: pd.Series[Any], column: Column) -> bool:
    """Tell quickly whether any value stands against the schema."""
    if not column.nullable and series.isna().any():
        return True
    if column.minimum is not None and (series < column.minimum).any():
        return True
    if column.maximum is not None and (series > column.maximum).any():
        return True
    if column.categories is not None:
        return not set(series.dropna().unique()) <= set(column.categories)
    return False


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
            violation = violation_of(column.name, frame[column.name], bad, str(check), first_row)
            if check == "not_nullable":
                problem = "is missing, but the schema says nullable: false"
                violation = replace(violation, example="the value", problem=problem)
            violations.append(violation)
    return violations
