"""A schema of version 1, with what was left to the rules of its time written into its columns.

Then, a CSV file had one decimal sign, what pandas takes for missing was missing in every column of
CSV and Excel, and text stayed as it was written. By the schema that `upgraded` returns, a file is
read as it was then, or refused.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.config import DataSettings
from ..core.errors import UserError
from .cast import Violation, refuse
from .readers import CSV, column_names, format_of, iter_tables
from .schema import NUMBERS, SCHEMA_VERSION, WORDS, Column, Schema, plain_names
from .text_files import DELIMITERS, csv_layout, known_delimiter, open_text, text_errors
from .words import MISSING, composed, without_missing, without_padding

# So many rows at the start of a file showed its decimal sign.
FIRST_ROWS = 1000
ROWS = 100_000
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
    for path in paths:
        kind = format_of(path)
        decimal = _decimal(path, kind, data, schema) if kind in CSV else ""
        first_row = 1
        for piece in _as_written(path, data, schema):
            for name in piece.columns[piece.dtypes == "str"]:
                found[name].add(piece[name], kind, decimal, first_row)
            first_row += len(piece)
        refuse([each.wrong for each in found.values() if each.wrong], str(path), advice)
    columns = tuple(each.upgraded() for each in found.values())
    return replace(schema, columns=columns, version=SCHEMA_VERSION)


def _as_written(path: Path, data: DataSettings, schema: Schema) -> Iterator[pd.DataFrame]:
    """Return the pieces of a file, of which text is as it is written."""
    columns = tuple(Column(name, "string", True, exact=True) for name in schema.names)
    written = replace(schema, columns=columns, version=SCHEMA_VERSION)
    there = set(column_names(path, data, written))
    return iter_tables(path, ROWS, data, written, [name for name in schema.names if name in there])


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
            spelt += MISSING if kind in (*CSV, "xlsx") else ()
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
            self.decimal = self.decimal or mark
            if self.decimal != mark or (mark == "," and decimal != ","):
                at = int(marked.argmax())
                problem = f"is not a number with the decimal sign '{self.decimal}' of the others"
                if self.decimal == mark:
                    problem = "is not a number in a file whose decimal sign is the point"
                row, word = (at + first_row,), f"'{words.iloc[at]}'"
                self.wrong = self.wrong or Violation(self.column.name, problem, row, 1, word)

    def upgraded(self) -> Column:
        """Return the column with what was found written into it."""
        column = self.column
        return replace(
            column,
            decimal="," if self.decimal == "," else column.decimal,
            missing=tuple(sorted(self.missing)) or column.missing,
            exact=self.exact or column.exact,
        )


def _decimal(path: Path, kind: str, data: DataSettings, schema: Schema) -> str:
    """Return the decimal sign of a CSV file, which its first rows showed.

    Raises:
        UserError: If its delimiter or header are not found as they were.
    """
    layout = csv_layout(path, kind, data)
    with open_text(path, layout.encoding) as file, text_errors(path, layout.encoding):
        first = re.sub(r'"[^"]*"', "", file.readline())
        delimiter = known_delimiter(kind, data) or max(DELIMITERS, key=first.count)
        file.seek(0)
        rows = enumerate(csv.reader(file, delimiter=delimiter), 1)
        at, header = next((at, row) for at, row in rows if row)
        head = [row for (_, row), _ in zip(rows, range(FIRST_ROWS), strict=False)]
    needed = {*plain_names(schema.names)[0]}
    if needed <= {*plain_names(header)[0]} and not needed <= {*layout.names}:
        named = {"\t": "tab"}.get(delimiter, delimiter)
        setting = f"header_row = {at}" if delimiter == layout.delimiter else f"delimiter = {named}"
        raise UserError(
            f"{path} would be divided into other columns than by the earlier version; set "
            f"[data] {setting} in conf.cfg."
        )
    values = [value for row in head for value in row]
    comma = any(re.fullmatch(r"-?\d+,\d+", value) for value in values)
    point = any(re.fullmatch(r"-?\d+\.\d+", value) for value in values)
    return "," if delimiter == ";" and comma and not point else "."
