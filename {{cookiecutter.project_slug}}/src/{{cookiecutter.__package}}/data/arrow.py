"""Parquet files and Arrow tables as pandas tables, in the few types that the pipeline knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..core.errors import UserError
from .numbers import to_pandas

if TYPE_CHECKING:
    import pyarrow as pa

# From so many columns on, a table with fewer rows than columns is kept in few blocks of memory.
WIDE = 500


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a whole Parquet file."""
    import pyarrow.parquet as pq

    with _arrow_errors(path):
        return arrow_to_pandas(_unfolded(pq.ParquetFile(path).read()), str(path))


def iter_parquet(
    path: Path, chunk_rows: int, columns: Sequence[str] | None
) -> Iterator[pd.DataFrame]:
    """Read a Parquet file in pieces."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _arrow_errors(path), pq.ParquetFile(path) as file:
        chosen = None if columns is None else list(columns)
        for batch in file.iter_batches(batch_size=chunk_rows, columns=chosen):
            yield arrow_to_pandas(_unfolded(pa.Table.from_batches([batch])), str(path))


def parquet_names(path: Path) -> list[str]:
    """Return the column names, without the row index that pandas may have written."""
    import pyarrow.parquet as pq

    with _arrow_errors(path):
        table = _unfolded(pq.read_schema(path).empty_table())
        return [name for name in table.column_names if not _is_pandas_index(name)]


def parquet_notes(path: Path) -> list[str]:
    """Say which columns hold lists, and are left out."""
    import pyarrow.parquet as pq

    with _arrow_errors(path):
        table = pq.read_schema(path).empty_table().flatten()
    return lists_note(_nested(table))


def lists_note(names: Sequence[str]) -> list[str]:
    """Say which columns hold lists, and are left out."""
    return [f"left out, since they hold lists: {', '.join(names)}"] if names else []


def _unfolded(table: pa.Table) -> pa.Table:
    """Return a table with a column for each part of a structure, and without lists."""
    import pyarrow as pa

    if any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    listed = _nested(table)
    return table.drop_columns(listed) if listed else table


def _nested(table: pa.Table) -> list[str]:
    """Return the columns that hold several values per row."""
    import pyarrow as pa

    return [field.name for field in table.schema if pa.types.is_nested(field.type)]


def arrow_to_pandas(table: pa.Table, where: str) -> pd.DataFrame:
    """Turn an Arrow table into a frame of float64, int64, bool, str and datetime64[us] columns.

    Integers and booleans with missing values become Int64 and boolean; times keep their zone, if
    they have one, and durations are timedelta64[us]. The table's memory is given
    back column by column, so that hardly more than one copy is ever held.

    Raises:
        UserError: If a column holds lists, structures or bytes.
    """
    rows, names, given = table.num_rows, table.column_names, table.columns
    del table
    columns: dict[int, Any] = {}
    for at, name in enumerate(names):
        if not _is_pandas_index(name):
            column = _plain_column(given[at], where, name)
            given[at] = None
            columns[at] = to_pandas(column)
            del column
    frame = pd.DataFrame(columns, index=pd.RangeIndex(rows), copy=False)
    # Duplicate names are refused by the caller, who has to see both.
    frame.columns = pd.Index([names[at] for at in columns])
    # Each step takes a time for each block of memory: where there are more columns than rows, that
    # is most of it. A copy has one block for each type.
    return frame.copy() if len(columns) > max(rows, WIDE) else frame


def array_of(values: list[Any]) -> pa.Array:
    """Return Python values as one Arrow array: of one type, or else as text."""
    import pyarrow as pa

    from .cast import spell

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # NaN, which differs from itself, is missing, too.
        absent = [value is None or value != value for value in values]
        pairs = zip(values, absent, strict=True)
        return pa.array([None if missing else spell(value) for value, missing in pairs])


def _plain_column(column: pa.ChunkedArray, where: str, name: str) -> pa.ChunkedArray:
    """Cast an Arrow column to float64, int64, bool, string or timestamp."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain_column(column.cast(kind.value_type), where, name)
    if kind in (pa.float64(), pa.int64(), pa.bool_(), pa.string()):
        return column
    if pa.types.is_uint64(kind) or pa.types.is_decimal(kind):
        whole = pa.types.is_uint64(kind) or kind.scale <= 0
        with_limits = pa.int64() if whole else pa.float64()
        try:
            return column.cast(with_limits)
        except pa.ArrowInvalid:
            # Beyond 64 bits, only text keeps every digit.
            return column.cast(pa.string()) if whole else column.cast(pa.float64(), safe=False)
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zone = getattr(kind, "tz", None)
        moments = column.cast(pa.timestamp("us", tz=zone), safe=False)
        return moments if zone and _is_zone(zone) else moments.cast(pa.timestamp("us"))
    if pa.types.is_duration(kind):
        return column.cast(pa.duration("us"), safe=False)
    if pa.types.is_null(kind):
        return column.cast(pa.float64())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_time(kind):
        return column.cast(pa.string())
    raise UserError(
        f"{where}, column '{name}', holds {kind}, where one number, text or time per row is "
        "needed; unfold it, or leave it out of the file."
    )


def _is_zone(name: str) -> bool:
    """Tell whether a time zone is known here, and other than UTC."""
    from .dates import zone_info, zone_name

    try:
        return zone_name(zone_info(name)) is not None
    except ValueError:
        return False


def _is_pandas_index(name: str) -> bool:
    """Tell whether a column is the row index that pandas writes beside the data."""
    return re.fullmatch(r"__index_level_\d+__", name) is not None


@contextmanager
def _arrow_errors(path: Path) -> Iterator[None]:
    """Turn pyarrow's errors for a broken file into one sentence."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{path} cannot be read as Parquet: {reason}.") from None
