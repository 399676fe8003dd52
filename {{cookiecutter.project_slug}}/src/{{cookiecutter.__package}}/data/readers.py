"""Tables from files of any known format, whole or in pieces.

Every way in which a file can be broken ends in a `UserError` that says where. Rows are counted from
1, the header apart; lines of a text file from 1, the header included. `text_files` reads CSV and
JSON lines, `arrow` reads Parquet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..core.config import DataSettings
from ..core.errors import UserError
from .arrow import iter_parquet, parquet_names, read_parquet
from .schema import refuse_names, require_columns
from .text_files import (
    csv_names,
    iter_csv,
    iter_json_lines,
    json_lines_names,
    read_csv,
    read_json_lines,
)

if TYPE_CHECKING:
    from .schema import Schema

SUFFIXES = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "xlsx",
}


def read_table(
    path: Path, data: DataSettings | None = None, schema: Schema | None = None
) -> pd.DataFrame:
    """Read a whole table, with the types that the file itself shows.

    Args:
        path: The file; its suffix names the format.
        data: Encoding, delimiter and spellings of missing values; default: those of conf.cfg's
            defaults.
        schema: Where given, what it holds as text is read as text (`007` stays `007`).

    Raises:
        UserError: If the file is missing, empty, without rows, or broken.
    """
    data = data or DataSettings()
    kind = _check_file(path)
    frame: pd.DataFrame
    if kind in ("csv", "tsv"):
        frame = read_csv(path, kind, data, schema)
    elif kind == "parquet":
        frame = read_parquet(path)
    elif kind == "jsonl":
        frame = read_json_lines(path, data)
    else:
        frame = _read_excel(path)
    refuse_names(path, list(frame.columns))
    if frame.empty:
        raise UserError(f"{path} holds column names, but no row.")
    return frame if kind in ("csv", "tsv") else _with_missing(frame, data.missing)


def iter_tables(
    path: Path,
    chunk_rows: int,
    data: DataSettings | None = None,
    schema: Schema | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[pd.DataFrame]:
    """Read a table in pieces of at most `chunk_rows` rows; see `read_table`.

    Args:
        path: The file; its suffix names the format.
        chunk_rows: Rows in memory at a time (Excel files are read whole).
        data: As in `read_table`.
        schema: As in `read_table`.
        columns: The columns to read; default: all.

    Raises:
        UserError: If the file is missing, empty, without rows, broken, or lacks a column.
    """
    data = data or DataSettings()
    kind = _check_file(path)
    names = column_names(path, data)
    refuse_names(path, names)
    if columns is not None:
        require_columns(names, columns, str(path))
    pieces: Iterable[pd.DataFrame]
    if kind in ("csv", "tsv"):
        pieces = iter_csv(path, kind, data, schema, chunk_rows, columns)
    elif kind == "parquet":
        pieces = iter_parquet(path, chunk_rows, columns)
    elif kind == "jsonl":
        pieces = iter_json_lines(path, data, chunk_rows)
    else:
        whole = _read_excel(path)
        pieces = (whole.iloc[at : at + chunk_rows] for at in range(0, len(whole), chunk_rows))
    empty = True
    for piece in pieces:
        if len(piece):
            empty = False
            chosen = piece if columns is None else piece.reindex(columns=list(columns))
            yield chosen if kind in ("csv", "tsv") else _with_missing(chosen, data.missing)
    if empty:
        raise UserError(f"{path} holds column names, but no row.")


def column_names(path: Path, data: DataSettings | None = None) -> list[str]:
    """Return a table's column names without reading it whole (JSON lines: of the first rows)."""
    data = data or DataSettings()
    kind = _check_file(path)
    if kind in ("csv", "tsv"):
        return csv_names(path, kind, data)
    if kind == "parquet":
        return parquet_names(path)
    if kind == "jsonl":
        return json_lines_names(path, data)
    return _excel_names(path)


def format_of(path: Path) -> str:
    """Return the format that a file's name promises: csv, tsv, parquet, jsonl or xlsx.

    Raises:
        UserError: If the suffix is not that of a table.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    suffix = (suffixes[:-1] if zipped else suffixes)[-1:]
    kind = SUFFIXES.get(suffix[0]) if suffix else None
    if kind is None or (zipped and kind in ("parquet", "xlsx")):
        known = ", ".join(SUFFIXES)
        raise UserError(
            f"{path} does not have the suffix of a table; use one of {known} (the text formats "
            "also with .gz)."
        )
    return kind


def _check_file(path: Path) -> str:
    """Return a file's format, after making sure that the file is there and not empty."""
    if path.is_dir():
        raise UserError(f"{path} is a folder, where one file with a table is needed.")
    if not path.exists():
        raise UserError(f"{path} does not exist.")
    kind = format_of(path)
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty (0 bytes).")
        with path.open("rb"):
            pass
    except PermissionError:
        raise UserError(f"{path} may not be read: permission denied.") from None
    return kind


def _with_missing(frame: pd.DataFrame, spellings: Sequence[str]) -> pd.DataFrame:
    """Turn further spellings of a missing value into missing values."""
    if not spellings:
        return frame
    worded = [name for name in frame if frame[name].dtype in ("object", "str")]
    blanked = {str(name): frame[name].mask(frame[name].isin(spellings)) for name in worded}
    return frame.assign(**blanked)


# -------------------------------------------------------------------------------------------- Excel


def _read_excel(path: Path) -> pd.DataFrame:
    """Read the first sheet of an Excel file."""
    names = _excel_names(path)
    frame = pd.read_excel(path, header=None, skiprows=1, engine="openpyxl")
    if frame.shape[1] > len(names):
        raise UserError(f"{path} has {frame.shape[1]} columns, but names for {len(names)}.")
    frame = frame.reindex(columns=range(len(names)))
    frame.columns = pd.Index(names)
    return frame.infer_objects()


def _excel_names(path: Path) -> list[str]:
    """Return the column names in the first row of the first sheet."""
    try:
        import openpyxl
    except ImportError:
        raise UserError(f"{path} needs the package openpyxl; install it.") from None
    from zipfile import BadZipFile

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, KeyError, ValueError) as error:
        raise UserError(f"{path} cannot be read as Excel: {error}.") from None
    try:
        first = next(book.worksheets[0].iter_rows(min_row=1, max_row=1, values_only=True), ())
    finally:
        book.close()
    names = [str(value) if value is not None else "" for value in first]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise UserError(f"{path} has no column names in the first row of its first sheet.")
    return [name or f"unnamed_{at + 1}" for at, name in enumerate(names)]
