"""Keys of rows: 64-bit hashes of typed values, the same for every order, file format and engine.

They are computed once, at ingest, and decide which split a row belongs to: changing this module
would move rows between train and test of every project (a test holds it to known values).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .schema import Schema

Keys = NDArray[np.uint64]
ROW = "_row"
# Integers up to here are exact as float64, so that 1 and 1.0 have one key.
EXACT = 2**53


def row_keys(frame: pd.DataFrame, schema: Schema) -> NDArray[np.int64]:
    """Return the key of each row: the hash of its id, or of all its values where it has none.

    Columns that conf.cfg ignores count too: leaving out a column must not move rows.

    Returns:
        Shape (rows,), in 0 .. 2**63 - 1: negative numbers have no one remainder on all engines.
    """
    ids = [column.name for column in schema.ids]
    keys = content_keys(frame, ids or list(schema.names))
    return (keys >> np.uint64(1)).astype(np.int64)


def content_keys(frame: pd.DataFrame, names: Sequence[str]) -> Keys:
    """Return a hash of each row's values in some columns, whatever the columns' order.

    A missing value adds nothing, so that a column added later moves no row that lacks it.

    Returns:
        Shape (rows,).
    """
    total = np.zeros(len(frame), dtype=np.uint64)
    for name in names:
        if name in frame.columns:
            hashed, missing = _column_hashes(frame[name])
            hashed = _mix(hashed ^ _seed(name))
            if missing is not None:
                hashed[missing] = 0
            total += hashed
    return _mix(total)


def table_fingerprint(keys: Keys | NDArray[np.int64]) -> str:
    """Return 16 hexadecimal digits for a set of rows, whatever their order."""
    mixed = _mix(keys.astype(np.uint64))
    return f"{int(mixed.sum(dtype=np.uint64)) ^ (len(keys) << 40) & (2**64 - 1):016x}"


def _seed(name: str) -> np.uint64:
    """Return a number that stands for a column's name."""
    return np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big"))


def _column_hashes(series: pd.Series[Any]) -> tuple[Keys, NDArray[np.bool_] | None]:
    """Hash each value by what it is, not how it is held; also say which are missing."""
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        moments = series.to_numpy(dtype="datetime64[us]")
        return _hash(moments.view(np.int64)), np.isnat(moments)
    if pd.api.types.is_numeric_dtype(series.dtype):
        if series.dtype == "int64":
            whole = series.to_numpy()
            if len(whole) and max(abs(int(whole.min())), abs(int(whole.max()))) >= EXACT:
                return _hash(whole), None
        # Adding zero turns -0.0 into 0.0.
        numbers = series.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0
        return _hash(numbers), np.isnan(numbers)
    codes, distinct = pd.factorize(series)
    words = np.array([str(word) for word in distinct], dtype=object)
    hashed = _hash(words) if len(words) else np.zeros(1, dtype=np.uint64)
    return hashed[codes], codes < 0


def _hash(values: NDArray[Any]) -> Keys:
    """Hash values one by one."""
    return np.asarray(pd.util.hash_array(values, categorize=False), dtype=np.uint64)


def _mix(values: Keys) -> Keys:
    """Spread 64-bit numbers evenly: the finalizer of SplitMix64 (Steele et al., 2014)."""
    mixed: Keys = values ^ (values >> np.uint64(30))
    # In place: on long columns, fresh memory costs more than the arithmetic.
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
