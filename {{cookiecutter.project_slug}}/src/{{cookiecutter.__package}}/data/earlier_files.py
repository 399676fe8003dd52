"""A schema of version 1, with what was left to the rules of its time written into its columns.

Then, a CSV file had one decimal sign, what pandas takes for missing was missing in every column of
CSV and Excel, and text stayed as it was written. By the schema that `upgraded` returns, a file is
read as it was then, or refused.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.config import DataSettings
from ..core.errors import UserError
from .cast import Violation, refuse, spell
from .readers import CSV, column_names, format_of, iter_tables
from .schema import NUMBERS, SCHEMA_VERSION, WORDS, Column, Schema, plain_names
from .text_files import csv_layout, open_text, text_errors
from .words import EARLIER_MISSING, composed, without_missing, without_padding

# So many rows at the start of a file showed its decimal sign.
FIRST_ROWS = 1000
ROWS = 100_000
ABSENT = "left out"
# What Excel shows where a formula has no result.
ERRORS = ("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!")


def upgraded(
    schema: Schema, paths: Sequence[Path], data: DataSettings, advice: str = "correct the data"
) -> Schema:
    """Return a schema by which files are read as version 1 read them; any other one as it is.

    Args:
        schema: The schema.
        paths: The files that it is for; each is read whole.
        data: How they are read.
        advice: The end of an error's sentence.

    Raises:
        UserError: If a file cannot be read, or not as it was then.
    """
    if not schema.is_earlier:
        return schema
    found = {column.name: Found(column) for column in schema.columns}
    as_text = tuple(Column(name, "string", True, exact=True) for name in schema.names)
    written = replace(schema, columns=as_text, version=SCHEMA_VERSION)
    for path in paths:
        kind, decimal = format_of(path), _decimal(path, data, schema)
        there = {*column_names(path, data, written)}
        names = [name for name in schema.names if name in there]
        first_row = 1
        for piece in iter_tables(path, ROWS, data, written, names):
            for name in piece.columns[piece.dtypes == "str"]:
                found[name].add(piece[name], kind, decimal, first_row)
            first_row += len(piece)
        refuse([each.wrong for each in found.values() if each.wrong], str(path), advice)
    columns = tuple(each.upgraded() for each in found.values())
    return replace(schema, columns=columns, version=SCHEMA_VERSION)


@dataclass
class Found:
    """What the text of a column shows that was read by other rules.

    Attributes:
        column: As the schema has it.
        missing: Words that were missing, and would not be by the column's type alone.
        exact: Whether some words would now be tidied.
        decimal: The decimal sign of its numbers; empty where none has a fraction.
        wrong: The first value that was refused then, and might be misread now.
    """

    column: Column
    missing: set[str] = field(default_factory=set)
    exact: bool = False
    decimal: str = ""
    wrong: Violation | None = None

    def add(self, words: pd.Series[Any], kind: str, decimal: str, first_row: int) -> None:
        """Add rows of a file.

        Args:
            words: The rows as they are written.
            kind: The file's format.
            decimal: The decimal sign of a CSV file.
            first_row: The number of the first of the rows.
        """
        column = self.column
        spelt = [*ERRORS] if kind == "xlsx" else []
        if column.type in WORDS:
            spelt += EARLIER_MISSING if kind in (*CSV, "xlsx") else ()
            self.exact = self.exact or not without_padding(composed(words)).equals(words)
        self.missing |= {*words[words.isin(spelt)]}
        # Somebody may have written into the schema how a column writes its numbers.
        written = column.decimal or column.unit or "ignore" in column.roles
        if decimal and column.type in NUMBERS and not written:
            self._add_numbers(without_missing(words), decimal, first_row)

    def _add_numbers(self, words: pd.Series[Any], decimal: str, first_row: int) -> None:
        """Find the decimal sign, which all numbers of a column share."""
        for mark in (",", "."):
            marked = words.str.contains(mark, regex=False).fillna(False).to_numpy(dtype=bool)
            if not marked.any():
                continue
            self.decimal = self.decimal or (mark if mark == decimal else ".")
            if mark != self.decimal and not self.wrong:
                at = int(marked.argmax())
                problem = f"is not a number where the decimal sign is '{self.decimal}'"
                row, word = (at + first_row,), f"'{words.iloc[at]}'"
                self.wrong = Violation(self.column.name, problem, row, 1, word)

    def upgraded(self) -> Column:
        """Return the column with what was found written into it."""
        column = self.column
        return replace(
            column,
            decimal="," if self.decimal == "," else column.decimal,
            missing=tuple(sorted({*self.missing, *(column.missing or ())})) or None,
            exact=self.exact or column.exact,
        )


def _decimal(path: Path, data: DataSettings, schema: Schema) -> str:
    """Return the decimal sign of a CSV file, which its first rows showed; empty for other files.

    Raises:
        UserError: If its header is not found where it was.
    """
    kind = format_of(path)
    if kind not in CSV:
        return ""
    layout = csv_layout(path, kind, data)
    with open_text(path, layout.encoding) as file, text_errors(path, layout.encoding):
        rows = enumerate(csv.reader(file, delimiter=layout.delimiter), 1)
        at, header = next((at, row) for at, row in rows if row)
        head = [row for (_, row), _ in zip(rows, range(FIRST_ROWS), strict=False)]
    needed = {*plain_names(schema.names)[0]}
    if needed <= {*plain_names(header)[0]} and not needed <= {*layout.names}:
        raise UserError(
            f"{path} had its column names in row {at} for the earlier version, and would not now; "
            f"set [data] header_row = {at} in conf.cfg."
        )
    values = [value for row in head for value in row]
    comma = any(re.fullmatch(r"-?\d+,\d+", value) for value in values)
    point = any(re.fullmatch(r"-?\d+\.\d+", value) for value in values)
    return "," if layout.delimiter == ";" and comma and not point else "."


# ------------------------------------------------------------- what two schemas make of a table


def differences(
    before: pd.DataFrame, earlier: Schema, after: pd.DataFrame, later: Schema
) -> list[str]:
    """Return how each column is read, where two schemas differ: `price (string, then number)`.

    Args:
        before: The table as the earlier schema types it.
        earlier: One schema.
        after: The same table as the later schema types it.
        later: The other schema.
    """
    then = {column.name: column.type for column in earlier.columns}
    now = {column.name: column.type for column in later.columns}
    found = []
    if len(before) != len(after):
        found.append(f"the table ({len(before):,} rows, then {len(after):,})")
    for name in dict.fromkeys([*then, *now]):
        kinds = (then.get(name, ABSENT), now.get(name, ABSENT))
        if kinds[0] != kinds[1]:
            found.append(f"{name} ({kinds[0]}, then {kinds[1]})")
        elif name in before and name in after and len(before) == len(after):
            found += _differing_value(before[name], after[name])
    return found


def _differing_value(before: pd.Series[Any], after: pd.Series[Any]) -> list[str]:
    """Return the first row in which two columns of a type differ: `pieces (9.1, then 9100)`."""
    same = (before == after).fillna(False) | (before.isna() & after.isna())
    differing = (~same.astype(bool)).to_numpy()
    if not differing.any():
        return []
    at = int(differing.argmax())
    first, then = (_shown(series.iloc[at]) for series in (before, after))
    rows = int(differing.sum())
    more = f" ({rows:,} rows)" if rows > 1 else ""
    return [f"{before.name} (row {at + 1:,}: {first}, then {then}{more})"]


def _shown(value: Any) -> str:
    """Return a value as a sentence shows it."""
    if pd.isna(value):
        return "missing"
    return f"'{value}'" if isinstance(value, str) else spell(value)
