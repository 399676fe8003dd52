"""Tables to files: `open_writer` piece by piece, in any format; `write_parquet` at once."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from ..core.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

EXCEL_ROWS = 1_048_575
EXCEL_DIGITS = 15

# Adds rows to a table; every piece has to have the same columns.
Write = Callable[[pd.DataFrame], object]


def open_writer(path: Path, format: str) -> AbstractContextManager[Write]:
    """Open a table for writing in pieces: csv, tsv, parquet, jsonl or xlsx.

    The caller gives `path` a temporary name (`write_atomic`). Floats are written so that reading
    them gives the same value again (JSON lines: 15 digits).

    Returns:
        A context, which gives the function to call with each piece.

    Raises:
        UserError: If a sheet would have too many rows.
    """
    if format in ("csv", "tsv"):
        return _csv_writer(path, "," if format == "csv" else "\t")
    writers = {"parquet": _parquet_writer, "jsonl": _json_lines_writer, "xlsx": _excel_writer}
    return writers[format](path)


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


@contextmanager
def _csv_writer(path: Path, delimiter: str) -> Iterator[Write]:
    """Write CSV through Arrow, several times as fast as pandas; pandas writes the header."""
    import pyarrow as pa
    import pyarrow.csv

    def formatted(table: pa.Table, quoting: Any) -> memoryview:
        buffer = io.BytesIO()
        options = pyarrow.csv.WriteOptions(
            include_header=False, delimiter=delimiter, quoting_style=quoting
        )
        pyarrow.csv.write_csv(table, buffer, options)
        return buffer.getbuffer()

    with path.open("wb") as file:

        def write(frame: pd.DataFrame) -> None:
            if file.tell() == 0:
                frame.head(0).to_csv(file, sep=delimiter, index=False, lineterminator="\n")
            table = pa.Table.from_pandas(frame, preserve_index=False)
            try:
                file.write(formatted(table, "none"))
            except pa.ArrowInvalid:  # a text with a delimiter, quote or line end in it
                file.write(formatted(table, "needed"))

        yield write


@contextmanager
def _parquet_writer(path: Path) -> Iterator[Write]:
    """Write one row group per piece, all with the types of the first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file: Any = None

    def write(frame: pd.DataFrame) -> None:
        nonlocal file
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if file is None:
            file = pq.ParquetWriter(path, table.schema, compression="lz4")
        file.write_table(table.cast(file.schema))

    try:
        yield write
    finally:
        if file is not None:
            file.close()


@contextmanager
def _json_lines_writer(path: Path) -> Iterator[Write]:
    """Write one JSON object per line."""
    with path.open("w", encoding="utf-8", newline="\n") as file:

        def write(frame: pd.DataFrame) -> None:
            if len(frame):
                frame.to_json(
                    file,
                    orient="records",
                    lines=True,
                    date_format="iso",
                    double_precision=15,
                    force_ascii=False,
                )

        yield write


def _for_excel(value: Any) -> Any:
    """Return a whole number of more digits than Excel keeps as text."""
    too_long = isinstance(value, int) and abs(value) >= 10**EXCEL_DIGITS
    return str(value) if too_long else value


@contextmanager
def _excel_writer(path: Path) -> Iterator[Write]:
    """Write the rows of one sheet."""
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("data")
    rows = 0

    def write(frame: pd.DataFrame) -> None:
        nonlocal rows
        if rows == 0:
            sheet.append([str(name) for name in frame.columns])
        rows += len(frame)
        if rows > EXCEL_ROWS:
            raise UserError(
                f"{path.name} would have more than {EXCEL_ROWS:,} rows, the most that an Excel "
                "sheet holds; choose .csv or .parquet."
            )
        plain = frame.astype(object).where(frame.notna(), None).map(_for_excel)
        for row in plain.itertuples(index=False, name=None):
            sheet.append(row)

    yield write
    book.save(path)
