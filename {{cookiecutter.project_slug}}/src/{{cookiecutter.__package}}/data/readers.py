"""Tables in files: read whole or in pieces, and written piece by piece.

Every way in which a file can be broken ends in a `UserError` that says where. Rows are counted from
1, the header apart; lines of a text file from 1, the header included.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import json
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import pandas as pd

from ..core.config import DataSettings
from ..core.errors import UserError
from .arrow import arrow_to_pandas, is_index
from .names import require_columns

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
SNIFFED_ROWS = 1000
BLOCK = 1 << 24
TEXT_TYPES = ("category", "string", "text", "datetime")


def format_of(path: Path) -> str:
    """Return the format that a file's name promises: csv, tsv, parquet, jsonl or xlsx.

    Raises:
        UserError: If the suffix is none of those known.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    suffix = (suffixes[:-1] if zipped else suffixes)[-1:]
    kind = SUFFIXES.get(suffix[0]) if suffix else None
    if kind is None or (zipped and kind in ("parquet", "xlsx")):
        known = ", ".join(SUFFIXES)
        raise UserError(
            f"{path} has no suffix of a known table format; known are: {known} "
            "(the text formats also with .gz)."
        )
    return kind


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
    kind = _open_check(path)
    frame: pd.DataFrame
    if kind in ("csv", "tsv"):
        frame = _read_csv(path, kind, data, schema)
    elif kind == "parquet":
        frame = _read_parquet(path)
    elif kind == "jsonl":
        frame = _read_json_lines(path, data)
    else:
        frame = _read_excel(path)
    _refuse_names(path, list(frame.columns))
    if frame.empty:
        raise UserError(f"{path} holds column names, but no row.")
    return frame if kind in ("csv", "tsv") else _blank_out(frame, data.missing)


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
    kind = _open_check(path)
    names = column_names(path, data)
    _refuse_names(path, names)
    if columns is not None:
        require_columns(names, columns, str(path))
    pieces: Iterable[pd.DataFrame]
    if kind in ("csv", "tsv"):
        pieces = _iter_csv(path, kind, data, schema, chunk_rows, columns)
    elif kind == "parquet":
        pieces = _iter_parquet(path, chunk_rows, columns)
    elif kind == "jsonl":
        pieces = _iter_json_lines(path, data, chunk_rows)
    else:
        whole = _read_excel(path)
        pieces = (whole.iloc[at : at + chunk_rows] for at in range(0, len(whole), chunk_rows))
    empty = True
    for piece in pieces:
        if len(piece):
            empty = False
            chosen = piece if columns is None else piece.reindex(columns=list(columns))
            yield chosen if kind in ("csv", "tsv") else _blank_out(chosen, data.missing)
    if empty:
        raise UserError(f"{path} holds column names, but no row.")


def column_names(path: Path, data: DataSettings | None = None) -> list[str]:
    """Return a table's column names without reading it whole (JSON lines: of the first rows)."""
    data = data or DataSettings()
    kind = _open_check(path)
    if kind in ("csv", "tsv"):
        return list(_csv_layout(path, kind, data, None).names)
    if kind == "parquet":
        with _arrow_errors(path):
            import pyarrow.parquet as pq

            return [name for name in pq.read_schema(path).names if not is_index(name)]
    if kind == "xlsx":
        return _excel_header(path)
    with _open_text(path, data.encoding) as file, _text_errors(path, data.encoding):
        # A row may leave out what is missing in it.
        first = enumerate(itertools.islice(file, SNIFFED_ROWS), 1)
        objects = [_json_object(path, line, text) for line, text in first if text.strip()]
        return list(dict.fromkeys(name for item in objects for name in item))


# ---------------------------------------------------------------------------------------- checks


def _open_check(path: Path) -> str:
    """Return the format of a file that is there and not empty."""
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


def _refuse_names(path: Path, names: Sequence[str]) -> None:
    """Refuse duplicate column names, and those that the pipeline itself adds."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            positions = [str(at + 1) for at, other in enumerate(names) if other == name]
            raise UserError(
                f"{path} has {len(positions)} columns named '{name}' (columns "
                f"{', '.join(positions)}); give each its own name."
            )
        seen.add(name)
    for name in ("_row", "_split"):
        if name in seen:
            raise UserError(f"{path} has a column '{name}', a name the pipeline uses; rename it.")


def _blank_out(frame: pd.DataFrame, spellings: Sequence[str]) -> pd.DataFrame:
    """Turn further spellings of a missing value into missing values."""
    if not spellings:
        return frame
    worded = [name for name in frame if frame[name].dtype in ("object", "str")]
    blanked = {str(name): frame[name].mask(frame[name].isin(spellings)) for name in worded}
    return frame.assign(**blanked)


@contextmanager
def _text_errors(path: Path, encoding: str) -> Iterator[None]:
    """Turn errors of decoding into a sentence with the byte."""
    try:
        yield
    except LookupError as error:
        if "encoding" not in str(error):
            raise
        raise UserError(
            f"[data] encoding = {encoding} is no known encoding; try utf-8, cp1252 or utf-16."
        ) from None
    except UnicodeError:
        raise UserError(_encoding_sentence(path, encoding)) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is no whole gzip file: {str(error).rstrip('.')}.") from None


def _encoding_sentence(path: Path, encoding: str) -> str:
    """Say at which byte and line a file stops being text in `encoding`."""
    decoder = codecs.getincrementaldecoder(encoding)()
    at, line = 0, 1
    with _open_bytes(path) as file:
        while block := file.read(1 << 20):
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                place = max(error.start - pending, 0)
                line += block[:place].count(b"\n")
                return (
                    f"{path} is not {encoding}: byte {at + place} (line {line}) is "
                    f"0x{block[place]:02x}; set [data] encoding, for instance to "
                    f"{_likely_encoding(path)}."
                )
            at += len(block)
            line += block.count(b"\n")
    return f"{path} is not {encoding}: it ends within a character; is it cut off?"


def _likely_encoding(path: Path) -> str:
    """Guess from the first bytes: a mark of UTF-16, else the common one of Western Windows."""
    with _open_bytes(path) as file:
        mark = file.read(2)
    return "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "cp1252"


def _open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading its bytes, unzipped."""
    return cast("IO[bytes]", gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb"))


def _open_text(path: Path, encoding: str) -> IO[str]:
    """Open a file for reading text; a byte order mark is passed over."""
    with _text_errors(path, encoding):
        name = codecs.lookup(encoding).name
        name = "utf-8-sig" if name == "utf-8" else name
        return io.TextIOWrapper(_open_bytes(path), encoding=name, newline="")


# ------------------------------------------------------------------------------------------- CSV


@dataclass(frozen=True)
class _Layout:
    """How a CSV file is written, as its first rows show.

    Attributes:
        names: The column names; a column without one is called unnamed_<position>.
        delimiter: One character.
        decimal: "." or ",".
        text: Columns to read as text.
    """

    names: tuple[str, ...]
    delimiter: str
    decimal: str
    text: tuple[str, ...]


def _csv_layout(path: Path, kind: str, data: DataSettings, schema: Schema | None) -> _Layout:
    """Look at the header and the first rows."""
    csv.field_size_limit(1 << 30)
    with _open_text(path, data.encoding) as file, _text_errors(path, data.encoding):
        delimiter = _delimiter(path, kind, data, file)
        file.seek(0)
        try:
            rows = csv.reader(file, delimiter=delimiter)
            header = next((row for row in rows if row), [])
            head = [row for row, _ in zip(rows, range(SNIFFED_ROWS), strict=False)]
        except csv.Error as error:
            raise UserError(f"{path} cannot be read as {kind.upper()}: {error}.") from None
    if not any(name.strip() for name in header):
        raise UserError(f"{path} has no column names in its first line.")
    if not any(head):
        raise UserError(f"{path} holds column names, but no row.")
    names = tuple(name or f"unnamed_{at + 1}" for at, name in enumerate(header))
    decimal = "," if delimiter == ";" and _uses_decimal_comma(head) else "."
    return _Layout(names, delimiter, decimal, _text_columns(names, head, data, schema))


def _delimiter(path: Path, kind: str, data: DataSettings, file: IO[str]) -> str:
    """Return the delimiter that the settings or the header tell."""
    if data.delimiter != "auto":
        delimiter = {"tab": "\t", "\\t": "\t"}.get(data.delimiter, data.delimiter)
        if len(delimiter) != 1:
            raise UserError(
                f"[data] delimiter = {data.delimiter} has to be auto, tab or one character."
            )
        return delimiter
    if kind == "tsv":
        return "\t"
    header = re.sub(r'"[^"]*"', "", file.readline())
    return max(",;\t|", key=header.count)


def _uses_decimal_comma(rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether numbers are written 1,5 and none 1.5."""
    values = [value for row in rows for value in row]
    comma = any(re.fullmatch(r"-?\d+,\d+", value) for value in values)
    return comma and not any(re.fullmatch(r"-?\d+\.\d+", value) for value in values)


def _text_columns(
    names: Sequence[str], head: Sequence[Sequence[str]], data: DataSettings, schema: Schema | None
) -> tuple[str, ...]:
    """Return the columns to read as text: by settings, by schema, or since they hold 007."""
    if schema is not None:
        text = {column.name for column in schema.columns if column.type in TEXT_TYPES}
        return tuple(name for name in names if name in text or name in data.text)
    coded = {
        names[at]
        for row in head
        for at, value in enumerate(row[: len(names)])
        if len(value) > 1 and value[0] == "0" and value.isdigit()
    }
    return tuple(name for name in names if name in coded or name in data.text)


def _csv_options(path: Path, kind: str, layout: _Layout, data: DataSettings) -> dict[str, Any]:
    """Return the arguments that `pandas.read_csv` gets."""
    return {
        "sep": layout.delimiter,
        "decimal": layout.decimal,
        "encoding": data.encoding,
        "header": 0,
        "names": list(layout.names),
        # Without it, rows with one field too many would make their first field the index.
        "index_col": False,
        "dtype": dict.fromkeys(layout.text, "str"),
        "na_values": list(data.missing) or None,
    }


def _read_csv(path: Path, kind: str, data: DataSettings, schema: Schema | None) -> pd.DataFrame:
    """Read a whole CSV or TSV file."""
    layout = _csv_layout(path, kind, data, schema)
    _refuse_names(path, layout.names)
    options = _csv_options(path, kind, layout, data)
    with _csv_errors(path, data):
        frame: pd.DataFrame = pd.read_csv(path, **options)
        # A reader that works in parts may type them differently: such columns once more, as text.
        mixed = [str(name) for name in frame if _is_mixed(frame[name])]
        if mixed:
            options["dtype"] = {**options["dtype"], **dict.fromkeys(mixed, "str")}
            again = pd.read_csv(path, usecols=mixed, **options)
            frame = frame.assign(**{name: again[name] for name in mixed})
    if len(frame) and frame.iloc[:, -1].isna().any():
        _refuse_short_rows(path, layout, data)
    return frame


def _iter_csv(
    path: Path,
    kind: str,
    data: DataSettings,
    schema: Schema | None,
    chunk_rows: int,
    columns: Sequence[str] | None,
) -> Iterator[pd.DataFrame]:
    """Read a CSV or TSV file in pieces."""
    layout = _csv_layout(path, kind, data, schema)
    options = _csv_options(path, kind, layout, data)
    # The last column shows rows that are too short, so it is read in any case.
    used = None if columns is None else [*dict.fromkeys([*columns, layout.names[-1]])]
    checked = False
    with (
        _csv_errors(path, data),
        pd.read_csv(path, chunksize=chunk_rows, usecols=used, **options) as pieces,
    ):
        for piece in pieces:
            if not checked and piece[layout.names[-1]].isna().any():
                _refuse_short_rows(path, layout, data)
                checked = True
            yield piece.reset_index(drop=True)


def _is_mixed(column: pd.Series[Any]) -> bool:
    """Tell whether a column holds several Python types, such as numbers and text."""
    if column.dtype != object:
        return False
    return pd.api.types.infer_dtype(column, skipna=True) not in ("boolean", "string", "empty")


@contextmanager
def _csv_errors(path: Path, data: DataSettings) -> Iterator[None]:
    """Turn what pandas says of a broken CSV file into one sentence."""
    with _text_errors(path, data.encoding), warnings.catch_warnings():
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


def _refuse_short_rows(path: Path, layout: _Layout, data: DataSettings) -> None:
    """Refuse rows with too few fields, which pandas would fill with missing values.

    Counting delimiters settles it for most files at the speed of the disk.
    """
    width = len(layout.names)
    delimiter = layout.delimiter.encode()
    quoted, delimiters, lines, last = False, 0, 0, b"\n"
    with _open_bytes(path) as file:
        while (block := file.read(BLOCK)) and not quoted:
            quoted = b'"' in block or b"\r" in block
            delimiters += block.count(delimiter)
            # A newline directly after another ends a blank line, which holds no row.
            lines += block.count(b"\n") - block.count(b"\n\n") - (last + block[:1] == b"\n\n")
            last = block[-1:]
    lines += last != b"\n"
    if not quoted and delimiters == lines * (width - 1):
        return
    with _open_text(path, data.encoding) as text:
        rows = csv.reader(text, delimiter=layout.delimiter)
        for row in rows:
            if 0 < len(row) < width and (len(row) > 1 or row[0].strip() or width == 1):
                raise UserError(
                    f"{path}, line {rows.line_num}, has {len(row)} fields, but the header names "
                    f"{width} columns; mend that line (a missing value still needs its delimiter)."
                )


# --------------------------------------------------------------------------------------- Parquet


@contextmanager
def _arrow_errors(path: Path) -> Iterator[None]:
    """Turn what pyarrow says of a broken file into one sentence."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{path} cannot be read as Parquet: {reason}.") from None


def _read_parquet(path: Path) -> pd.DataFrame:
    """Read a whole Parquet file."""
    import pyarrow.parquet as pq

    with _arrow_errors(path):
        table = pq.ParquetFile(path).read()
        return arrow_to_pandas(table, str(path))


def _iter_parquet(
    path: Path, chunk_rows: int, columns: Sequence[str] | None
) -> Iterator[pd.DataFrame]:
    """Read a Parquet file in pieces."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _arrow_errors(path), pq.ParquetFile(path) as file:
        chosen = None if columns is None else list(columns)
        for batch in file.iter_batches(batch_size=chunk_rows, columns=chosen):
            yield arrow_to_pandas(pa.Table.from_batches([batch]), str(path))


# ------------------------------------------------------------------------- JSON lines and Excel


def _read_json_lines(path: Path, data: DataSettings) -> pd.DataFrame:
    """Read a whole JSON-lines file."""
    pieces = list(_iter_json_lines(path, data, 1 << 62))
    return pieces[0] if pieces else pd.DataFrame()


def _iter_json_lines(path: Path, data: DataSettings, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Read a JSON-lines file in pieces."""
    with _open_text(path, data.encoding) as file, _text_errors(path, data.encoding):
        objects: list[dict[str, Any]] = []
        for line, text in enumerate(file, 1):
            if text.strip():
                objects.append(_json_object(path, line, text))
            if len(objects) >= chunk_rows:
                yield _objects_to_pandas(path, objects)
                objects = []
        if objects:
            yield _objects_to_pandas(path, objects)


def _json_object(path: Path, line: int, text: str) -> dict[str, Any]:
    """Read one line; each is an object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"{path}, line {line}, is no JSON ({error}); each line has to be one JSON object."
        ) from None
    if not isinstance(value, dict):
        raise UserError(f'{path}, line {line}, is no JSON object, such as {{"age": 41}}.')
    return value


def _objects_to_pandas(path: Path, objects: list[dict[str, Any]]) -> pd.DataFrame:
    """Turn objects into a table; a key that one lacks is missing there."""
    frame = pd.DataFrame.from_records(objects)
    for name in frame.columns:
        if frame[name].dtype == object:
            nested = frame[name].map(lambda value: isinstance(value, dict | list))
            if nested.any():
                raise UserError(
                    f"{path}, row {int(nested.to_numpy().argmax()) + 1}, column '{name}', holds "
                    "a list or an object, where one number or text is needed."
                )
    return frame


def _read_excel(path: Path) -> pd.DataFrame:
    """Read the first sheet of an Excel file."""
    names = _excel_header(path)
    frame = pd.read_excel(path, header=None, skiprows=1, engine="openpyxl")
    if frame.shape[1] > len(names):
        raise UserError(f"{path} has {frame.shape[1]} columns, but names for {len(names)}.")
    frame = frame.reindex(columns=range(len(names)))
    frame.columns = pd.Index(names)
    return frame.infer_objects()


def _excel_header(path: Path) -> list[str]:
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


# --------------------------------------------------------------------------------------- writers
