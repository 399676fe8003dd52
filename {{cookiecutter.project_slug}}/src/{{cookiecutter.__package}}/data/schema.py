"""The schema: each column's type, bounds and roles; inferred once, then owned by the team.

`load_schema` returns it. data/schema.yaml holds it, read and written as a `SchemaFile`. How it is
inferred stands in `infer`, how a table is held against it in `cast`.
"""

from __future__ import annotations

import difflib
import re
import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..core.config import redact
from ..core.errors import UserError
from ..core.files import fingerprint, write_atomic, write_text, yaml_loader
from ..core.project import Project
from . import is_feature
from .dates import CALENDAR, CLOCKS, DATE_PARTS, zone_info

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from ..core.config import DataSettings, Settings

TYPES = ("integer", "number", "boolean", "category", "string", "text", "datetime")
ROLES = ("target", "time", "group", "sensitive", "id", "ignore", "weight", "name")
# Of a column that was found to name the rows only: it is ignored, though conf.cfg does not say so.
NAMES_ROWS = ("ignore", "name")
NUMBERS = ("integer", "number")
WORDS = ("category", "string", "text")
# From a category to the value that the source has: what `values` of a target may be.
GIVEN: dict[str, Callable[[str], Any]] = {
    "integer": int,
    "number": float,
    "boolean": {"False": False, "True": True}.__getitem__,
}
# In each of the hundreds of years up to one of these, 00 is a leap year.
LAST_YEARS = range(2000, 2100)
# Version 1 was made by other rules of reading: `earlier_files` writes down what they decided.
SCHEMA_VERSION = 2
VERSIONS = (1, SCHEMA_VERSION)
INFER_AGAIN = "correct the data, or data/schema.yaml, or infer it again with `ingest --infer`"

NOTE = "# Note: "
HEADER = """\
# What each column holds. Inferred once from the source; from now on yours to edit: later data is
# held against it, and every violation is listed.
#   type      integer, number, boolean, category (of a fixed list), string (of many values), text
#             (sentences) or datetime (with format: %d.%m.%Y and the like where it is not ISO 8601)
#   format    of a number: H:M:S for times of day and durations in seconds, in which 1:30 is an hour
#             and a half; M:S where it is a minute and a half
#   months    the names of the months in dates, where they are not English
#   last_year of dates with years of two digits: they are of the hundred years up to this one, else
#             of those up to 2068
#   zone      whose hours, days and months count, such as Europe/Berlin or +01:00; else those of UTC
#   parts     what the model gets of the time: month, weekday, hour, each where train covers it
#   nullable  whether values may be missing
#   minimum, maximum  the observed range, widened on each side by its own width, so that new data
#             slightly beyond is not refused; never across zero where no observed value was
#   decimal   ',' where a column writes its numbers like 1.234,5
#   unit      what stands beside each number and is taken off, such as $ or kg
#   missing   words that stand for a missing value in this column, besides those of conf.cfg
#   exact     true where text keeps the spaces around it and accents as they are written
#   values    integer, number or boolean where a target's classes are such in the source, and
#             predictions give them so
#   positive  of two classes the one to find, unless [decision] positive names the other
#   roles     follow conf.cfg: change them there; what only names the rows is ignored, unless
#             [data] keep lists it
# `ingest --infer` infers it again and keeps this file as schema.old.yaml.
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
        format: How a datetime is written; None stands for ISO 8601. Of a number, one of `CLOCKS`
            where text holds times of day or durations.
        months: The names of the months in a datetime; None stands for English ones.
        last_year: Of the hundred that years of two digits are of; None stands for `LAST_YEAR`.
        zone: The time zone whose hours, days and months a datetime has; None stands for UTC.
        parts: What a model gets of a datetime, some of `DATE_PARTS`; None stands for all, and for
            none of the time in a schema from before it gave any.
        decimal: The decimal sign where text holds the number; None stands for the point.
        unit: The currency or unit beside each number in text.
        missing: Words that stand for a missing value, besides those of conf.cfg.
        exact: Whether text keeps the spaces around it, and accents beside their letters.
        categories: The values allowed, for category, in sorted order.
        values: What the categories of a target are in the source, of `GIVEN`; None stands for text.
        positive: Of a target's two categories the one to find; None stands for the last in order.
        roles: Some of `ROLES`.
    """

    name: str
    type: str
    nullable: bool
    minimum: float | None = None
    maximum: float | None = None
    format: str | None = None
    months: tuple[str, ...] | None = None
    last_year: int | None = None
    zone: str | None = None
    parts: tuple[str, ...] | None = None
    decimal: str | None = None
    unit: str | None = None
    missing: tuple[str, ...] | None = None
    exact: bool | None = None
    categories: tuple[str, ...] | None = None
    values: str | None = None
    positive: str | None = None
    roles: tuple[str, ...] = ()

    def as_given(self, category: str) -> Any:
        """Return a category as the source has it: `1` as 1, `True` as true."""
        return GIVEN[self.values](category) if self.values else category

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without those that are not set."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in vars(self).items()
            if value is not None and (key != "roles" or value)
        }


@dataclass(frozen=True)
class Schema:
    """All columns of a table, in the order of the source."""

    columns: tuple[Column, ...]
    source: str
    version: int = SCHEMA_VERSION

    @property
    def is_earlier(self) -> bool:
        """Whether it was made when files were read by other rules."""
        return self.version == 1

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
    def weight(self) -> Column | None:
        """The column that says how much each row counts."""
        return next(iter(self.having("weight")), None)

    @property
    def ids(self) -> tuple[Column, ...]:
        """The columns that identify a row."""
        return self.having("id")

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that a model may use: not target, id, group, weight or ignored ones.

        Of the time it may use the parts that its column names.
        """
        return tuple(column for column in self.columns if is_feature(column.roles, column.parts))

    @property
    def needed(self) -> tuple[Column, ...]:
        """The features that a row to predict has to have: not its time, if there are others."""
        others = tuple(column for column in self.features if "time" not in column.roles)
        return others or self.features

    def having(self, role: str) -> tuple[Column, ...]:
        """Return the columns with a role."""
        return tuple(column for column in self.columns if role in column.roles)

    def column(self, name: str) -> Column:
        """Return one column.

        Raises:
            UserError: If no column has that name.
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
            raise UserError(f"{where} has no list of columns; infer it again: `ingest --infer`.")
        version = values.get("version")
        if version not in VERSIONS:
            raise UserError(f"{where} is not of version {SCHEMA_VERSION}.")
        columns = tuple(_read_column(item, where) for item in values["columns"])
        refuse_names(where, [column.name for column in columns])
        return cls(columns, str(values.get("source", "")), version)


def _read_column(item: Any, where: str) -> Column:
    """Read one column of a schema."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise UserError(f"{where} has a column without a name: {item!r}.")
    place = f"{where}, column '{item['name']}'"
    known = Column.__dataclass_fields__
    unknown = next((key for key in item if key not in known), None)
    if unknown is not None:
        raise UserError(f"{place}: '{unknown}' is unknown; use one of {', '.join(known)}.")
    if item.get("type") not in TYPES:
        raise UserError(f"{place}: type is '{item.get('type')}', but has to be {_one_of(TYPES)}.")
    for key in ("nullable", "exact"):
        if not isinstance(item.get(key, True), bool):
            raise UserError(f"{place}: {key} has to be true or false.")
    for key in ("minimum", "maximum"):
        value = item.get(key)
        if value is not None and (item["type"] not in NUMBERS or type(value) not in (int, float)):
            raise UserError(
                f"{place}: {key} is '{value}', but has to be a number, for {_one_of(NUMBERS)}."
            )
    if item.get("decimal") not in (None, ".", ","):
        raise UserError(f"{place}: decimal is '{item['decimal']}', but has to be '.' or ','.")
    _check_times(item, place)
    _check_parts(item, place)
    categories = item.get("categories")
    if item["type"] == "category" and not isinstance(categories, list):
        raise UserError(f"{place}: a category needs a list of categories (else type: string).")
    missing = item.get("missing")
    if not isinstance(missing, list | None):
        raise UserError(f"{place}: missing has to be a list of words.")
    wrong = [value for value in [*(categories or ()), *(missing or ())] if type(value) is not str]
    if wrong:
        raise UserError(f"{place}: put the word {wrong[0]} into quotes.")
    _check_classes(item, place)
    roles = item.get("roles") or []
    if any(role not in ROLES for role in roles):
        raise UserError(f"{place}: roles have to be of {_one_of(ROLES)}.")
    given: dict[str, Any] = {"nullable": True, **item, "roles": roles}
    lists = {key: tuple(each) for key, each in given.items() if isinstance(each, list)}
    return Column(**(given | lists))


def _check_times(item: dict[str, Any], place: str) -> None:
    """Refuse what cannot be how a column writes its times."""
    if item["type"] in NUMBERS and item.get("format") not in (None, *CLOCKS):
        raise UserError(
            f"{place}: format is '{item['format']}', but has to be {_one_of(CLOCKS)} for numbers."
        )
    last_year, dated = item.get("last_year"), "%y" in str(item.get("format"))
    if last_year is not None and not (dated and type(last_year) is int and last_year in LAST_YEARS):
        raise UserError(
            f"{place}: last_year is '{last_year}', but has to be a year from {LAST_YEARS[0]} to "
            f"{LAST_YEARS[-1]}, for dates with years of two digits (%y in their format)."
        )
    months, zone = item.get("months"), item.get("zone")
    if months is not None and not (
        isinstance(months, list)
        and len(months) == 12
        and all(isinstance(month, str) for month in months)
    ):
        raise UserError(f"{place}: months has to be a list of twelve names.")
    try:
        if zone is not None:
            zone_info(str(zone))
    except ValueError:
        raise UserError(
            f"{place}: zone is '{zone}', but has to be a name such as Europe/Berlin or an offset "
            "in quotes such as '+01:00'."
        ) from None


def _check_classes(item: Mapping[str, Any], place: str) -> None:
    """Refuse `values` and `positive` that do not suit a column's categories."""
    categories, values, positive = (item.get(key) for key in ("categories", "values", "positive"))
    if positive is not None and positive not in (categories or ()):
        raise UserError(f"{place}: positive is '{positive}', but has to be one of its categories.")
    if values is None:
        return
    if values not in GIVEN or categories is None:
        raise UserError(
            f"{place}: values is '{values}', but has to be {_one_of(tuple(GIVEN))}, for a category."
        )
    for category in categories:
        try:
            GIVEN[values](category)
        except (ValueError, KeyError):
            raise UserError(
                f"{place}: the category '{category}' is not of {values} values."
            ) from None


def _check_parts(item: dict[str, Any], place: str) -> None:
    """Refuse what a model cannot get of a date."""
    parts = item.get("parts")
    allowed = CALENDAR if "time" in (item.get("roles") or ()) else DATE_PARTS
    if parts is not None and not (isinstance(parts, list) and set(parts) <= set(allowed)):
        raise UserError(f"{place}: parts has to be a list of {', '.join(allowed)}.")
    if parts and item["type"] != "datetime":
        raise UserError(f"{place}: parts is for datetime, but type is {item['type']}.")


def _one_of(words: Sequence[str]) -> str:
    """Write `a, b or c`."""
    return f"{', '.join(words[:-1])} or {words[-1]}"


# --------------------------------------------------------------------------------- data/schema.yaml


def load_schema(project: Project) -> Schema:
    """Return the project's schema.

    Raises:
        UserError: If it was not inferred yet, or is broken.
    """
    file = read_schema_file(project)
    if file is None:
        raise UserError("There is no data/schema.yaml; run `ingest` first.")
    return file.schema


@dataclass(frozen=True)
class SchemaFile:
    """data/schema.yaml: the schema, and what it was inferred from.

    Attributes:
        schema: The columns as they stand there now.
        inferred: Fingerprint of the columns as they were inferred.
        conditions: Fingerprint of the settings that the inference used.
        notes: What the inference could not decide; comments in the file.
    """

    schema: Schema
    inferred: str
    conditions: str
    notes: tuple[str, ...] = ()

    @property
    def edited(self) -> bool:
        """Whether a person changed what was inferred; roles do not count."""
        return columns_fingerprint(self.schema) != self.inferred


def read_schema_file(project: Project) -> SchemaFile | None:
    """Return data/schema.yaml, or None where there is none.

    Raises:
        UserError: If it is not YAML, or not a schema.
    """
    import yaml

    path = project.schema_file
    if not path.exists():
        return None
    try:
        text = path.read_text(encoding="utf-8")
        # The parser in C, where PyYAML has it, is ten times as fast: tables may be wide.
        values = yaml.load(text, yaml_loader())  # noqa: S506  # which is a safe one
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
    """Write data/schema.yaml, a line per column, unless the file there says the same.

    So a person's comments stay through every ingest that changes nothing. A file with other columns
    or of an earlier version is kept as schema.old.yaml.
    """
    import yaml

    def line(value: Any) -> str:
        text = yaml.safe_dump(
            value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1 << 30
        )
        return str(text).removesuffix("...\n").rstrip("\n")

    schema = file.schema
    lines = [HEADER.rstrip("\n")]
    lines += [f"{NOTE}{note}" for note in file.notes]
    lines += [f"version: {schema.version}", f"source: {line(redact(schema.source))}"]
    lines += [f"inferred: {line({'columns': file.inferred, 'settings': file.conditions})}"]
    lines += ["columns:", *(f"  - {line(column.to_dict())}" for column in schema.columns)]
    earlier = read_schema_file(project)
    if earlier == file:
        return
    path = project.schema_file
    marks = (schema.version, columns_fingerprint(schema))
    if earlier and marks != (earlier.schema.version, columns_fingerprint(earlier.schema)):
        with write_atomic(path.with_name("schema.old.yaml")) as temporary:
            shutil.copyfile(path, temporary)
    write_text(path, "\n".join(lines) + "\n")


def with_positive(settings: Settings, schema: Schema) -> Settings:
    """Return the settings with the schema's class to find, where conf.cfg names none."""
    target = schema.target
    if settings.decision.positive is not None or target is None or target.positive is None:
        return settings
    decision = settings.decision.model_copy(update={"positive": target.positive})
    return settings.model_copy(update={"decision": decision})


def columns_fingerprint(schema: Schema) -> str:
    """Return the fingerprint of the columns apart from their roles, 16 hexadecimal digits."""
    return fingerprint([replace(column, roles=()).to_dict() for column in schema.columns])


def types_fingerprint(schema: Schema) -> str:
    """Return the fingerprint of the columns apart from their roles and how values are written.

    What changes only how a file is read leaves the data the same: its split, and the models on it.
    """
    as_typed = [replace(each, decimal=None, missing=None, exact=None) for each in schema.columns]
    return columns_fingerprint(replace(schema, columns=tuple(as_typed)))


# -------------------------------------------------------------------------------------------- roles


def with_roles(schema: Schema, data: DataSettings, names: Sequence[str] | None = None) -> Schema:
    """Return the schema with the roles that conf.cfg gives.

    What names the rows stays ignored, unless conf.cfg gives it a role or keeps it as a feature.

    Args:
        schema: The columns.
        data: The roles.
        names: The table's columns, where they may differ from the schema's.

    Raises:
        UserError: If a role names a column that is not there, or target or weight has a second one.
    """
    named = {
        "target": (data.target,) if data.target else (),
        "time": (data.time,) if data.time else (),
        "group": (data.group,) if data.group else (),
        "sensitive": data.sensitive,
        "id": data.id,
        "ignore": data.ignore,
        "weight": (data.weight,) if data.weight else (),
    }
    for role, chosen in {**named, "keep": data.keep}.items():
        require_columns(names or schema.names, chosen, f"[data] {role}: the table")
    for column, role, others in (
        (data.target, "target", ("time", "group", "id", "ignore", "weight")),
        (data.weight, "weight", ("time", "group", "id", "ignore", "sensitive")),
    ):
        for other in others:
            if column in named[other]:
                raise UserError(f"[data] {role} = {column} is also [data] {other}; it can be one.")

    def roles_of(column: Column) -> tuple[str, ...]:
        given = tuple(role for role, chosen in named.items() if column.name in chosen)
        names_rows = set(NAMES_ROWS) <= set(column.roles) and column.name not in data.keep
        return given + NAMES_ROWS if names_rows and set(given) <= {"sensitive"} else given

    return replace(
        schema,
        columns=tuple(replace(column, roles=roles_of(column)) for column in schema.columns),
    )


def row_weights(frame: pd.DataFrame, schema: Schema) -> NDArray[np.float64] | None:
    """Return how much each row counts; (rows,), with mean 1, since only their ratios matter.

    None where all rows count alike: no column weighs, it is not there, or holds one value only.
    """
    if schema.weight is None or schema.weight.name not in frame.columns:
        return None
    weights: NDArray[np.float64] = frame[schema.weight.name].to_numpy(dtype="float64")
    if not len(weights) or (weights == weights[0]).all():
        return None
    weights = weights / weights.mean()
    return weights


def plain_name(name: str) -> str:
    """Return a column's name in small letters, its words divided by underscores.

    >>> plain_name("customerId (old)")
    'customer_id_old'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])|\W+", "_", name).lower().strip("_")


def require_columns(names: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """Check that every wanted column is there.

    Raises:
        UserError: Naming the first that is not, and the names closest to it.
    """
    there = set(names)
    for column in wanted:
        if column not in there:
            raise UserError(f"{where} has no column '{column}'; {close_names(column, names)}.")


def refuse_names(where: object, names: Sequence[str]) -> None:
    """Refuse duplicate column names, and those that the pipeline itself adds.

    Raises:
        UserError: Naming the column, and its positions where there are several.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            positions = [str(at + 1) for at, other in enumerate(names) if other == name]
            raise UserError(
                f"{where} has {len(positions)} columns named '{name}' (columns "
                f"{', '.join(positions)}); give each its own name."
            )
        seen.add(name)
    for name in ("_row", "_split"):
        if name in seen:
            raise UserError(f"{where} has a column '{name}', a name the pipeline uses; rename it.")


def plain_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return names without spaces around them, each character in its composed form, none empty.

    Returns:
        The names, and half a sentence for each kind of change.
    """
    plain = [unicodedata.normalize("NFC", " ".join(name.split())) for name in names]
    changed = [
        f"{new!r} (written {old!r})"
        for old, new in zip(names, plain, strict=True)
        if new and old != new
    ]
    notes = [f"spaces and accents in column names are put right: {', '.join(changed)}"] * bool(
        changed
    )
    return [name or f"unnamed_{at + 1}" for at, name in enumerate(plain)], notes


def with_columns(frame: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return a table with some columns replaced or added; a name may be any, `self` too."""
    changed = frame.copy(deep=False)
    for name, values in columns.items():
        changed[name] = values
    return changed


def close_names(name: str, names: Sequence[str]) -> str:
    """Return half a sentence that names the columns closest to `name`, or else the first ones."""
    folded = {str(known).strip().casefold(): str(known) for known in names}
    close = difflib.get_close_matches(name.strip().casefold(), folded, n=3, cutoff=0.6)
    if close:
        return "close to it: " + ", ".join(f"'{folded[match]}'" for match in close)
    known = [f"'{each}'" for each in names]
    if len(known) > 20:  # the target is often the last
        known[10:-10] = ["..."]
    return f"its columns are: {', '.join(known)}"
