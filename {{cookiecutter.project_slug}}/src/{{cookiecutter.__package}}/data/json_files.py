"""JSON: one object per line, or a list of objects.

An object within an object becomes columns of its own, `address.city`; lists are left out.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.config import DataSettings
from ..core.errors import UserError
from .arrow import array_of, arrow_to_pandas
from .text_files import open_text, text_errors

# So many objects at the start of a file show its keys.
FIRST_ROWS = 1000


def read_json_table(path: Path, data: DataSettings) -> pd.DataFrame:
    """Read a whole file."""
    pieces = list(iter_json(path, data, 1 << 62))
    return pieces[0] if pieces else pd.DataFrame()


def iter_json(path: Path, data: DataSettings, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Read a file in pieces; a list of objects has to be read whole for that."""
    objects = _objects(path, data)
    while piece := list(itertools.islice(objects, chunk_rows)):
        yield _to_frame(path, piece)


def json_names(path: Path, data: DataSettings) -> tuple[list[str], list[str]]:
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
