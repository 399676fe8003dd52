"""CSV, TSV and Excel as read before each column was decided by its own values.

For schemas of version 1, whose projects and bundles keep their rows and predictions until
`ingest --infer` makes a new schema: one decimal sign for the file, types by pandas, codes such as
007 by the first rows, and pandas's spellings of a missing value in every column.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pandas as pd

from ..core.config import DataSettings
from ..core.errors import UserError
from .schema import refuse_names, with_columns
from .text_files import BLOCK, known_delimiter, open_bytes, open_text, text_errors

if TYPE_CHECKING:
    from .schema import Schema

# So many rows at the start of a file show how it is written.
FIRST_ROWS = 1000
TEXT_TYPES = ("category", "string", "text", "datetime")


def read_csv(path: Path, kind: str, data: DataSettings, schema: Schema | None) -> pd.DataFrame:
    """Read a whole CSV or TSV file."""
    options = _options(path, kind, data, schema)
    refuse_names(path, options["names"])
    with _csv_errors(path, data):
        frame: pd.DataFrame = pd.read_csv(path, **options)
        # A reader that works in parts may type them differently: such columns once more, as text.
        objects = [str(name) for name in frame if frame[name].dtype == object]
        kinds = {name: pd.api.types.infer_dtype(frame[name], skipna=True) for name in objects}
        mixed = [name for name in kinds if kinds[name] not in ("boolean", "string", "empty")]
        if mixed:
            options["dtype"] = {**options["dtype"], **dict.fromkeys(mixed, "str")}
            again = pd.read_csv(path, usecols=mixed, **options)
            frame = with_columns(frame, {name: again[name] for name in mixed})
    if len(frame) and frame.iloc[:, -1].isna().any():
        _refuse_short_rows(path, options)
    return frame


def iter_csv(
    path: Path,
    kind: str,
    data: DataSettings,
    schema: Schema | None,
    chunk_rows: int,
    columns: Sequence[str] | None,
) -> Iterator[pd.DataFrame]:
    """Read a CSV or TSV file in pieces."""
    options = _options(path, kind, data, schema)
    last = options["names"][-1]
    # The last column shows rows that are too short, so it is read in any case.
    used = None if columns is None else [*dict.fromkeys([*columns, last])]
    checked = False
    with (
        _csv_errors(path, data),
        pd.read_csv(path, chunksize=chunk_rows, usecols=used, **options) as pieces,
    ):
        for piece in pieces:
            if not checked and piece[last].isna().any():
                _refuse_short_rows(path, options)
                checked = True
            yield piece.reset_index(drop=True)


def csv_names(path: Path, kind: str, data: DataSettings) -> list[str]:
    """Return the column names in the header."""
    names: list[str] = _options(path, kind, data, None)["names"]
    return names


def read_excel(path: Path, names: Sequence[str]) -> pd.DataFrame:
    """Read the first sheet of an Excel file, whose column names are given."""
    frame = pd.read_excel(path, header=None, skiprows=1, engine="openpyxl")
    if frame.shape[1] > len(names):
        raise UserError(f"{path} has {frame.shape[1]} columns, but names for {len(names)}.")
    frame = frame.reindex(columns=range(len(names)))
    return frame.set_axis(list(names), axis=1).infer_objects()


def _options(path: Path, kind: str, data: DataSettings, schema: Schema | None) -> dict[str, Any]:
    """Return the arguments that `pandas.read_csv` gets, by the header and the first rows.

    A column without a name is called unnamed_<position>.
    """
    csv.field_size_limit(1 << 30)
    with open_text(path, data.encoding) as file, text_errors(path, data.encoding):
        delimiter = _delimiter(kind, data, file)
        file.seek(0)
        try:
            rows = csv.reader(file, delimiter=delimiter)
            header = next((row for row in rows if row), [])
            head = [row for row, _ in zip(rows, range(FIRST_ROWS), strict=False)]
        except csv.Error as error:
            raise UserError(f"{path} cannot be read as {kind.upper()}: {error}.") from None
    if not any(name.strip() for name in header):
        raise UserError(f"{path} has no column names in its first line.")
    names = [name or f"unnamed_{at + 1}" for at, name in enumerate(header)]
    return {
        "sep": delimiter,
        "decimal": "," if delimiter == ";" and _uses_decimal_comma(head) else ".",
        "encoding": data.encoding,
        "header": 0,
        "names": names,
        # Without it, rows with one field too many would make their first field the index.
        "index_col": False,
        "dtype": dict.fromkeys(_text_columns(names, head, data, schema), "str"),
        "na_values": list(data.missing) or None,
    }


def _delimiter(kind: str, data: DataSettings, file: IO[str]) -> str:
    """Return the delimiter that is known, or that is most frequent in the header."""
    if known := known_delimiter(kind, data):
        return known
    header = re.sub(r'"[^"]*"', "", file.readline())
    return max(",;\t|", key=header.count)


def _uses_decimal_comma(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether some numbers are written like 1,5 and none like 1.5."""
    values = [value for row in rows for value in row]
    comma = any(re.fullmatch(r"-?\d+,\d+", value) for value in values)
    return comma and not any(re.fullmatch(r"-?\d+\.\d+", value) for value in values)


def _text_columns(
    names: Sequence[str], head: Sequence[Sequence[str]], data: DataSettings, schema: Schema | None
) -> tuple[str, ...]:
    """Return the columns to read as text: by conf.cfg, by the schema, or for codes like 007."""
    if schema is not None:
        # Somebody may have written into an earlier schema how a column writes its numbers.
        text = {
            column.name
            for column in schema.columns
            if column.type in TEXT_TYPES or column.decimal or column.unit
        }
        return tuple(name for name in names if name in text or name in data.text)
    coded = {
        names[at]
        for row in head
        for at, value in enumerate(row[: len(names)])
        if len(value) > 1 and value[0] == "0" and value.isdigit()
    }
    return tuple(name for name in names if name in coded or name in data.text)


@contextmanager
def _csv_errors(path: Path, data: DataSettings) -> Iterator[None]:
    """Turn pandas's errors for a broken CSV file into one sentence."""
    with text_errors(path, data.encoding), warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            yield
        except pd.errors.ParserWarning:
            raise UserError(
                f"{path} has more fields in its first rows than column names in its header."
            ) from None
        except pd.errors.ParserError as error:
            ragged = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
            if ragged:
                expected, line, found = ragged.groups()
                raise UserError(
                    f"{path}, line {line}, has {found} fields, but the header names {expected} "
                    "columns; mend that line (a field with the delimiter in it needs quotes)."
                ) from None
            if "EOF inside string" in str(error):
                raise UserError(f"{path} opens a quote that it never closes.") from None
            reason = " ".join(str(error).split())
            raise UserError(f"{path} cannot be read as a table: {reason}.") from None


def _refuse_short_rows(path: Path, options: Mapping[str, Any]) -> None:
    """Refuse rows with too few fields, which pandas would fill with missing values.

    For most files, counting delimiters is enough, at the speed of the disk; files with quotes are
    read row by row.
    """
    width = len(options["names"])
    delimiter = options["sep"].encode()
    quoted, delimiters, lines, last = False, 0, 0, b"\n"
    with open_bytes(path) as file:
        while (block := file.read(BLOCK)) and not quoted:
            quoted = b'"' in block or b"\r" in block
            delimiters += block.count(delimiter)
            # A newline directly after another ends a blank line, which holds no row.
            lines += block.count(b"\n") - block.count(b"\n\n") - (last + block[:1] == b"\n\n")
            last = block[-1:]
    lines += last != b"\n"
    if not quoted and delimiters == lines * (width - 1):
        return
    with open_text(path, options["encoding"]) as text:
        rows = csv.reader(text, delimiter=options["sep"])
        for row in rows:
            if 0 < len(row) < width and (len(row) > 1 or row[0].strip() or width == 1):
                raise UserError(
                    f"{path}, line {rows.line_num}, has {len(row)} fields, but the header names "
                    f"{width} columns; mend that line (a missing value still needs its delimiter)."
                )
