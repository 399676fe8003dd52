"""Tables to files: `open_writer` piece by piece, in any format; `write_parquet` at once."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

import pandas as pd

from ..core.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("csv", "tsv", "parquet", "jsonl", "xlsx")
EXCEL_ROWS = 1_048_575
EXCEL_DIGITS = 15


@contextmanager
def open_writer(path: Path, format: str) -> Iterator[TableWriter]:
    """Open a table for writing in pieces: csv, tsv, parquet, jsonl or xlsx.

    The caller gives `path` a temporary name (`write_atomic`). Floats are written so that reading
    them gives the same value again (JSON lines: 15 digits).

    Raises:
        UserError: If the format is unknown, or a sheet would have too many rows.
    """
    if format in ("csv", "tsv"):
        with path.open("wb") as file:
            yield _CsvWriter(file, "," if format == "csv" else "\t")
    elif format == "parquet":
        parquet = _ParquetWriter(path)
        try:
            yield parquet
        finally:
            parquet.close()
    elif format == "jsonl":
        with path.open("w", encoding="utf-8", newline="\n") as text:
            yield _JsonLinesWriter(text)
    elif format == "xlsx":
        excel = _ExcelWriter(path)
        yield excel
        excel.close()
    else:
        raise UserError(f"The format is '{format}', but has to be one of {', '.join(FORMATS)}.")


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet, in row groups of 131,072 rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    # Building dictionaries for floats takes five times as long and saves nothing.
    worded = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
    pq.write_table(
        table,
        path,
        compression="lz4",
        use_dictionary=cast("Any", worded),
        row_group_size=131_072,
    )


class TableWriter(Protocol):
    """Takes a table piece by piece; every piece has to have the same columns."""

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""


class _CsvWriter:
    """Writes CSV through Arrow, several times as fast as pandas."""

    def __init__(self, file: IO[bytes], delimiter: str) -> None:
        self._file = file
        self._delimiter = delimiter
        self._started = False

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows, after the header the first time."""
        import pyarrow as pa

        if not self._started:
            header = io.StringIO()
            names = [str(name) for name in frame.columns]
            csv.writer(header, delimiter=self._delimiter, lineterminator="\n").writerow(names)
            self._file.write(header.getvalue().encode())
            self._started = True
        table = pa.Table.from_pandas(frame, preserve_index=False)
        try:
            self._file.write(self._format(table, "none"))
        except pa.ArrowInvalid:  # a text with a delimiter, quote or line end in it
            self._file.write(self._format(table, "needed"))

    def _format(self, table: pa.Table, quoting: Any) -> memoryview:
        """Return the rows as bytes."""
        import pyarrow.csv

        buffer = io.BytesIO()
        options = pyarrow.csv.WriteOptions(
            include_header=False, delimiter=self._delimiter, quoting_style=quoting
        )
        pyarrow.csv.write_csv(table, buffer, options)
        return buffer.getbuffer()


class _ParquetWriter:
    """Writes one row group per piece, all with the types of the first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pandas(frame, preserve_index=False)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="lz4")
        self._writer.write_table(table.cast(self._writer.schema))

    def close(self) -> None:
        """Write the footer, without which the file cannot be read."""
        if self._writer is not None:
            self._writer.close()


class _JsonLinesWriter:
    """Writes one JSON object per line."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows."""
        text = frame.to_json(
            orient="records", lines=True, date_format="iso", double_precision=15, force_ascii=False
        )
        self._file.write(text if text.endswith("\n") or not text else text + "\n")


def _for_excel(value: Any) -> Any:
    """Return a whole number of more digits than Excel keeps as text."""
    too_long = isinstance(value, int) and abs(value) >= 10**EXCEL_DIGITS
    return str(value) if too_long else value


class _ExcelWriter:
    """Writes the rows of one sheet."""

    def __init__(self, path: Path) -> None:
        import openpyxl

        self._path = path
        self._book = openpyxl.Workbook(write_only=True)
        self._sheet = self._book.create_sheet("data")
        self._rows = 0

    def write(self, frame: pd.DataFrame) -> None:
        """Add rows, after the header the first time."""
        if self._rows == 0:
            self._sheet.append([str(name) for name in frame.columns])
        self._rows += len(frame)
        if self._rows > EXCEL_ROWS:
            raise UserError(
                f"{self._path.name} would have more than {EXCEL_ROWS:,} rows, the most that an "
                "Excel sheet holds; choose .csv or .parquet."
            )
        plain = frame.astype(object).where(frame.notna(), None).map(_for_excel)
        for row in plain.itertuples(index=False, name=None):
            self._sheet.append(row)

    def close(self) -> None:
        """Write the file."""
        self._book.save(self._path)
