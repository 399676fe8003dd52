"""Text files: opened in their encoding, and JSON lines as tables."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import pandas as pd

from ..core.config import DataSettings
from ..core.errors import UserError

# So many rows at the start of a file show how it is written.
FIRST_ROWS = 1000


def read_json_lines(path: Path, data: DataSettings) -> pd.DataFrame:
    """Read a whole JSON-lines file."""
    pieces = list(iter_json_lines(path, data, 1 << 62))
    return pieces[0] if pieces else pd.DataFrame()


def iter_json_lines(path: Path, data: DataSettings, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Read a JSON-lines file in pieces."""
    with open_text(path, data.encoding) as file, text_errors(path, data.encoding):
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
    with open_text(path, data.encoding) as file, text_errors(path, data.encoding):
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


def open_text(path: Path, encoding: str) -> IO[str]:
    """Open a file for reading text; a byte order mark is passed over."""
    with text_errors(path, encoding):
        name = codecs.lookup(encoding).name
        name = "utf-8-sig" if name == "utf-8" else name
        return io.TextIOWrapper(open_bytes(path), encoding=name, newline="")


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading its bytes, unzipped."""
    return cast("IO[bytes]", gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb"))


@contextmanager
def text_errors(path: Path, encoding: str) -> Iterator[None]:
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
    with open_bytes(path) as file:
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
    """Guess from the first bytes: UTF-16 by its mark, else what Windows uses in the West."""
    with open_bytes(path) as file:
        mark = file.read(2)
    return "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "cp1252"
