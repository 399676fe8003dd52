"""CSV, TSV and JSON lines: text in any encoding, read as tables.

A line that is broken is refused by its number, a byte of another encoding by its place.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import pandas as pd

from ..core.config import DataSettings
from ..core.errors import UserError
from .schema import refuse_names

if TYPE_CHECKING:
    from .schema import Schema

# So many rows at the start of a file show how it is written.
FIRST_ROWS = 1000
BLOCK = 1 << 24
TEXT_TYPES = ("category", "string", "text", "datetime")


# -------------------------------------------------------------------------------------- CSV and TSV


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
            frame = frame.assign(**{name: again[name] for name in mixed})
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


def _options(path: Path, kind: str, data: DataSettings, schema: Schema | None) -> dict[str, Any]:
    """Return the arguments that `pandas.read_csv` gets, by the header and the first rows.

    A column without a name is called unnamed_<position>.
    """
    csv.field_size_limit(1 << 30)
    with _open_text(path, data.encoding) as file, _text_errors(path, data.encoding):
        delimiter = _delimiter(path, kind, data, file)
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


def _delimiter(path: Path, kind: str, data: DataSettings, file: IO[str]) -> str:
    """Return the delimiter that conf.cfg names, or that is most frequent in the header."""
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
    """Tell whether some numbers are written like 1,5 and none like 1.5."""
    values = [value for row in rows for value in row]
    comma = any(re.fullmatch(r"-?\d+,\d+", value) for value in values)
    return comma and not any(re.fullmatch(r"-?\d+\.\d+", value) for value in values)


def _text_columns(
    names: Sequence[str], head: Sequence[Sequence[str]], data: DataSettings, schema: Schema | None
) -> tuple[str, ...]:
    """Return the columns to read as text: by conf.cfg, by the schema, or for codes like 007."""
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


@contextmanager
def _csv_errors(path: Path, data: DataSettings) -> Iterator[None]:
    """Turn pandas's errors for a broken CSV file into one sentence."""
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


def _refuse_short_rows(path: Path, options: Mapping[str, Any]) -> None:
    """Refuse rows with too few fields, which pandas would fill with missing values.

    For most files, counting delimiters is enough, at the speed of the disk; files with quotes are
    read row by row.
    """
    width = len(options["names"])
    delimiter = options["sep"].encode()
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
    with _open_text(path, options["encoding"]) as text:
        rows = csv.reader(text, delimiter=options["sep"])
        for row in rows:
            if 0 < len(row) < width and (len(row) > 1 or row[0].strip() or width == 1):
                raise UserError(
                    f"{path}, line {rows.line_num}, has {len(row)} fields, but the header names "
                    f"{width} columns; mend that line (a missing value still needs its delimiter)."
                )


# --------------------------------------------------------------------------------------- JSON lines


def read_json_lines(path: Path, data: DataSettings) -> pd.DataFrame:
    """Read a whole JSON-lines file."""
    pieces = list(iter_json_lines(path, data, 1 << 62))
    return pieces[0] if pieces else pd.DataFrame()


def iter_json_lines(path: Path, data: DataSettings, chunk_rows: int) -> Iterator[pd.DataFrame]:
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


def json_lines_names(path: Path, data: DataSettings) -> list[str]:
    """Return the keys of the first rows' objects, each of which may leave out what is missing."""
    with _open_text(path, data.encoding) as file, _text_errors(path, data.encoding):
        first = enumerate(itertools.islice(file, FIRST_ROWS), 1)
        objects = [_json_object(path, line, text) for line, text in first if text.strip()]
        return list(dict.fromkeys(name for item in objects for name in item))


def _json_object(path: Path, line: int, text: str) -> dict[str, Any]:
    """Read one line, which has to hold one JSON object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"{path}, line {line}, is not JSON ({error}); each line has to be one JSON object."
        ) from None
    if not isinstance(value, dict):
        raise UserError(f'{path}, line {line}, is not a JSON object, such as {{"age": 41}}.')
    return value


def _objects_to_pandas(path: Path, objects: list[dict[str, Any]]) -> pd.DataFrame:
    """Turn objects into a table; a key that an object lacks becomes a missing value."""
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


# ----------------------------------------------------------------------------- text in any encoding


def _open_text(path: Path, encoding: str) -> IO[str]:
    """Open a file for reading text; a byte order mark is passed over."""
    with _text_errors(path, encoding):
        name = codecs.lookup(encoding).name
        name = "utf-8-sig" if name == "utf-8" else name
        return io.TextIOWrapper(_open_bytes(path), encoding=name, newline="")


def _open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading its bytes, unzipped."""
    return cast("IO[bytes]", gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb"))


@contextmanager
def _text_errors(path: Path, encoding: str) -> Iterator[None]:
    """Turn errors of decoding into a sentence with the byte."""
    try:
        yield
    except LookupError as error:
        if "encoding" not in str(error):
            raise
        raise UserError(
            f"[data] encoding = {encoding} is not a known encoding; try utf-8, cp1252 or utf-16."
        ) from None
    except UnicodeError:
        raise UserError(_encoding_sentence(path, encoding)) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is not a complete gzip file: {str(error).rstrip('.')}.") from None


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
                with _open_bytes(path) as again:
                    marked = again.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
                return (
                    f"{path} is not {encoding}: byte {at + place} (line {line}) is "
                    f"0x{block[place]:02x}; set [data] encoding, for instance to "
                    f"{'utf-16' if marked else 'cp1252'}."
                )
            at += len(block)
            line += block.count(b"\n")
    return f"{path} is not {encoding}: it ends within a character; is it cut off?"
