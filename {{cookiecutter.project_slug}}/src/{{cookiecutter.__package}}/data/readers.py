"""Tables from files of any known format, whole or in pieces.

Every way in which a file can be broken ends in a `UserError` that says where. Rows are counted from
1, the header apart; lines of a text file from 1, the header included. `text_files` reads CSV,
`arrow` Parquet. In JSON, one object per line or a list of them, an object within an object becomes
columns of its own, `address.city`; lists are left out.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..core.config import DataSettings
from ..core.errors import UserError
from .arrow import (
    array_of,
    arrow_to_pandas,
    iter_parquet,
    lists_note,
    parquet_names,
    parquet_notes,
    read_parquet,
)
from .schema import NUMBERS, plain_names, refuse_names, require_columns, with_columns
from .text_files import csv_layout, iter_csv, open_text, read_csv, text_errors
from .words import composed, read_words, with_missing, without_padding

if TYPE_CHECKING:
    from .schema import Schema

SUFFIXES = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "xlsx",
}
CSV = ("csv", "tsv")
# So many objects at the start of a JSON file show its keys.
FIRST_ROWS = 1000


def read_table(
    path: Path, data: DataSettings | None = None, schema: Schema | None = None
) -> pd.DataFrame:
    """Read a whole table, with the types that the file itself shows.

    A column of a CSV file is text, for `read_words` or the schema to decide what it holds; where a
    schema is given, those that it does not know become numbers where all their values are.

    Args:
        path: The file; its suffix names the format.
        data: Encoding, delimiter and spellings of missing values; default: those of conf.cfg's
            defaults.
        schema: Where given, the one that the table will be held against.

    Raises:
        UserError: If the file is missing, empty, without rows, or broken.
    """
    data = data or DataSettings()
    kind = _check_file(path)
    frame: pd.DataFrame
    if kind in CSV:
        frame = read_csv(path, kind, data, _kept(data, schema))
    elif kind == "parquet":
        frame = read_parquet(path)
    elif kind == "jsonl":
        frame = next(_iter_json(path, data, 1 << 62), pd.DataFrame())
    else:
        frame = _read_excel(path, data)
    frame = _named(path, frame, schema)
    if frame.empty:
        raise UserError(f"{path} holds column names, but no row.")
    return _finished(frame, kind, data, schema)


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
    names = column_names(path, data, schema)
    refuse_names(path, names)
    if columns is not None:
        require_columns(names, columns, str(path))
    pieces: Iterable[pd.DataFrame]
    if kind in CSV:
        layout = csv_layout(path, kind, data)
        written = None if columns is None else _as_written(layout.names, names, columns)
        pieces = iter_csv(path, kind, data, _kept(data, schema), chunk_rows, written)
    elif kind == "parquet":
        written = None if columns is None else _as_written(parquet_names(path), names, columns)
        pieces = iter_parquet(path, chunk_rows, written)
    elif kind == "jsonl":
        pieces = _iter_json(path, data, chunk_rows)
    else:
        whole = _read_excel(path, data)
        pieces = (whole.iloc[at : at + chunk_rows] for at in range(0, len(whole), chunk_rows))
    empty = True
    for piece in pieces:
        if len(piece):
            empty = False
            named = _named(path, piece, schema)
            chosen = named if columns is None else named.reindex(columns=list(columns))
            yield _finished(chosen, kind, data, schema)
    if empty:
        raise UserError(f"{path} holds column names, but no row.")


def column_names(
    path: Path, data: DataSettings | None = None, schema: Schema | None = None
) -> list[str]:
    """Return a table's column names without reading it whole (JSON: of the first rows)."""
    data = data or DataSettings()
    kind = _check_file(path)
    if kind in CSV:
        names = list(csv_layout(path, kind, data).names)
    elif kind == "parquet":
        names = parquet_names(path)
    elif kind == "jsonl":
        names, _ = _json_names(path, data)
    else:
        with _open_book(path) as book:
            names = _sheet_names(path, book, data)
    return _known_names(names, schema)


def reading_notes(path: Path, data: DataSettings) -> list[str]:
    """Return what was passed over or changed in reading a table, in half sentences."""
    kind = _check_file(path)
    if kind in CSV:
        return list(csv_layout(path, kind, data).notes)
    if kind == "parquet":
        return [*parquet_notes(path), *plain_names(parquet_names(path))[1]]
    if kind == "jsonl":
        names, listed = _json_names(path, data)
        return [*lists_note(listed), *plain_names(names)[1]]
    with _open_book(path) as book:
        names = _sheet_names(path, book, data)
        return [*_sheet_notes(book, data), *plain_names(names)[1]]


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


def _kept(data: DataSettings, schema: Schema | None) -> set[str]:
    """Return the columns of a CSV file that stay text: by conf.cfg, or for the schema to read."""
    if schema is None:
        return {*data.text}
    plain, _ = plain_names(schema.names)
    return {
        name
        for name, column in zip(plain, schema.columns, strict=True)
        if column.type not in NUMBERS or column.decimal or column.unit or column.format
    }


def _named(path: Path, frame: pd.DataFrame, schema: Schema | None) -> pd.DataFrame:
    """Return a table with the column names of the schema, or else plain ones, no two alike."""
    names = _known_names([str(name) for name in frame.columns], schema)
    refuse_names(path, names)
    return frame if names == list(frame.columns) else frame.set_axis(names, axis=1)


def _known_names(names: Sequence[str], schema: Schema | None) -> list[str]:
    """Return column names as the schema writes them, which may be with spaces, or else plain."""
    known = schema.names if schema else ()
    written = dict(zip(plain_names(known)[0], known, strict=True))
    return [written.get(name, name) for name in plain_names(names)[0]]


def _as_written(written: Sequence[str], names: list[str], columns: Sequence[str]) -> list[str]:
    """Return the names in the file of some columns."""
    chosen = set(columns)
    return [old for old, new in zip(written, names, strict=True) if new in chosen]


def _finished(
    frame: pd.DataFrame, kind: str, data: DataSettings, schema: Schema | None
) -> pd.DataFrame:
    """Return a table with missing values as missing, and what a schema does not know as numbers."""
    columns = schema.columns if schema else ()
    as_given = {column.name for column in columns if column.exact}
    frame = _tidy(frame, as_given, _exact(data, schema))
    # A CSV file is read without those of conf.cfg.
    spelt = {str(name): [] if kind in CSV else [*data.missing] for name in frame}
    for column in columns:
        if column.missing and column.name in spelt:
            spelt[column.name] += column.missing
    frame = with_missing(frame, spelt)
    if kind not in CSV or schema is None:
        return frame
    known = set(schema.names)
    others = [name for name in frame if name not in known]
    return with_columns(frame, dict(read_words(frame[others], data).frame)) if others else frame


def _exact(data: DataSettings, schema: Schema | None) -> set[str]:
    """Return the columns that pass exactly as they are written: ids and the group."""
    columns = schema.columns if schema else ()
    known = {column.name for column in columns if {"id", "group"} & {*column.roles}}
    return {*data.id, *([data.group] if data.group else []), *known}


def _tidy(frame: pd.DataFrame, as_given: set[str], exact: set[str]) -> pd.DataFrame:
    """Return a table whose text has accents within their letters, and no spaces around it."""
    changed = {}
    for name in map(str, frame.columns):
        given = frame[name]
        if given.dtype == "str" and name not in as_given:
            words = composed(given)
            words = words if name in exact else without_padding(words)
            if words is not given:
                changed[name] = words
    return with_columns(frame, changed) if changed else frame


# -------------------------------------------------------------------------------------------- Excel


def _read_excel(path: Path, data: DataSettings) -> pd.DataFrame:
    """Read a sheet of an Excel file, the first unless conf.cfg names another."""
    import pyarrow as pa

    with _open_book(path) as book:
        names = _sheet_names(path, book, data)
        below = _sheet(book, data).iter_rows(min_row=2, values_only=True)
        rows = [row for row in below if any(map(_holds, row))]
    width = max((_width(row) for row in rows), default=0)
    if width > len(names):
        raise UserError(f"{path} has {width} columns, but names for {len(names)}.")
    columns = [
        array_of([row[at] if at < len(row) and _holds(row[at]) else None for row in rows])
        for at in range(len(names))
    ]
    return arrow_to_pandas(pa.table(columns, names=names), str(path))


def _holds(value: Any) -> bool:
    """Tell whether a cell holds a value."""
    return value is not None and value != ""


def _width(row: Sequence[Any]) -> int:
    """Return how many cells a row has up to the last that holds a value."""
    return max((at + 1 for at, value in enumerate(row) if _holds(value)), default=0)


def _sheet(book: Any, data: DataSettings) -> Any:
    """Return the sheet that is read."""
    return book[data.sheet] if data.sheet else book.worksheets[0]


def _sheet_names(path: Path, book: Any, data: DataSettings) -> list[str]:
    """Return the column names in the first row of the sheet that is read."""
    if data.sheet and data.sheet not in book.sheetnames:
        raise UserError(
            f"{path} has no sheet '{data.sheet}', which [data] sheet names; it has: "
            f"{', '.join(book.sheetnames)}."
        )
    first = next(_sheet(book, data).iter_rows(min_row=1, max_row=1, values_only=True), ())
    names = [str(value) if value is not None else "" for value in first]
    while names and not names[-1]:
        names.pop()
    if not names:
        shown = f"the sheet '{data.sheet}'" if data.sheet else "its first sheet; see [data] sheet"
        raise UserError(f"{path} has no column names in the first row of {shown}.")
    return [name or f"unnamed_{at + 1}" for at, name in enumerate(names)]


def _sheet_notes(book: Any, data: DataSettings) -> list[str]:
    """Say which sheet is read where there are several."""
    sheets = list(book.sheetnames)
    if data.sheet or len(sheets) == 1:
        return []
    return [f"the sheet '{sheets[0]}' is read; [data] sheet names another: {', '.join(sheets[1:])}"]


@contextmanager
def _open_book(path: Path) -> Iterator[Any]:
    """Open an Excel file for reading."""
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
        yield book
    finally:
        book.close()


# --------------------------------------------------------------------------------------------- JSON


def _iter_json(path: Path, data: DataSettings, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Read a file in pieces; a list of objects has to be read whole for that."""
    objects = _objects(path, data)
    while piece := list(itertools.islice(objects, chunk_rows)):
        yield _to_frame(path, piece)


def _json_names(path: Path, data: DataSettings) -> tuple[list[str], list[str]]:
    """Return the keys of the first objects, each of which may leave out what is missing.

    Returns:
        Those that become columns, and those that hold lists, which are left out.
    """
    first = list(itertools.islice(_objects(path, data), FIRST_ROWS))
    listed = list(dict.fromkeys(key for item in first for key in _lists(item)))
    return [key for key in _keys(first) if key not in listed], listed


def _objects(path: Path, data: DataSettings) -> Iterator[dict[str, Any]]:
    """Yield a file's objects, with those inside unfolded."""
    with open_text(path, data.encoding) as file, text_errors(path, data.encoding):
        start = next((line for line in file if line.strip()), "")
        file.seek(0)
        if start.lstrip().startswith("["):
            yield from map(_unfolded, _list_of_objects(path, file.read()))
            return
        for line, text in enumerate(file, 1):
            if text.strip():
                yield _unfolded(_json_object(path, line, text))


def _json_object(path: Path, line: int, text: str) -> dict[str, Any]:
    """Read one line, which has to hold one JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"{path}, line {line}, is not JSON ({error}); each line has to be one JSON object, "
            "or the file one list of objects."
        ) from None
    if not isinstance(value, dict):
        raise UserError(f'{path}, line {line}, is not a JSON object, such as {{"age": 41}}.')
    return value


def _list_of_objects(path: Path, text: str) -> list[dict[str, Any]]:
    """Read a file that is one list."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}).") from None
    for at, value in enumerate(values, 1):
        if not isinstance(value, dict):
            raise UserError(f'{path}, value {at}, is not a JSON object, such as {{"age": 41}}.')
    return list(values)


def _unfolded(item: dict[str, Any]) -> dict[str, Any]:
    """Return an object without objects inside; only deeper ones stay."""
    flat: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{inner}": each for inner, each in value.items()})
        else:
            flat[key] = value
    return flat


def _lists(item: dict[str, Any]) -> list[str]:
    """Return the keys whose values are lists, or objects within objects."""
    return [key for key, value in item.items() if isinstance(value, list | dict)]


def _keys(objects: Iterable[dict[str, Any]]) -> list[str]:
    """Return every key, in the order in which they appear."""
    return list(dict.fromkeys(key for item in objects for key in item))


def _to_frame(path: Path, objects: list[dict[str, Any]]) -> pd.DataFrame:
    """Turn objects into a table; a key that an object lacks becomes a missing value."""
    import pyarrow as pa

    listed = {key for item in objects for key in _lists(item)}
    columns = {
        key: array_of([item.get(key) for item in objects])
        for key in _keys(objects)
        if key not in listed
    }
    return arrow_to_pandas(pa.table(columns), str(path))
