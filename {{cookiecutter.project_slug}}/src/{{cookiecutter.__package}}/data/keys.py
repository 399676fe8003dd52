"""Keys of rows: 64-bit hashes of typed values, the same for every order, file format and engine.

They decide which split a row belongs to: changing what a version gives would move rows between
train and test of every project that was split by it (tests hold each to known values).

Versions, as data/manifest.json names them:

1. An integer column without missing values is hashed as int64 if any of its values reaches 2**53,
   else as float64, so that one large value changes the key of every row; integers of other types
   are rounded to float64.
2. Each value is hashed by what it is, whatever its column holds besides. An integer up to 2**53 in
   size is hashed as float64, so that 1 and 1.0 have one key; a larger one as itself. A float is
   always hashed as float64: above 2**53 it stands for all integers that round to it, so 2.0**60
   does not have the key of the integer 2**60.

The versions agree on tables whose integers are all smaller than 2**53.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.errors import UserError

if TYPE_CHECKING:
    from .schema import Schema

Keys = NDArray[np.uint64]
Hashes = tuple[Keys, NDArray[np.bool_] | None]
ROW = "_row"
BY_COLUMN, BY_VALUE = 1, 2
VERSIONS = (BY_COLUMN, BY_VALUE)
NEWEST = BY_VALUE
# Integers up to here are exact as float64.
EXACT = 2**53
INT64 = np.iinfo(np.int64)
# The bits of a large integer are also those of some float: this tells their hashes apart.
LARGE = np.uint64(0x9E3779B97F4A7C15)


def recorded_version(found: Mapping[str, Any]) -> int:
    """Return the version of the keys that a manifest, its split or ingest's facts speak of.

    Raises:
        UserError: If it is one of a later template.
    """
    version = found.get("keys", BY_COLUMN)  # files that name none come from before there were two
    if version not in VERSIONS:
        raise UserError(
            f"The rows of data/ have keys of version {version!r}, but this code knows only "
            f"{' and '.join(map(str, VERSIONS))}; run `make update`, or delete data/manifest.json "
            "and run `ingest` to split the rows again."
        )
    return int(version)


def row_keys(frame: pd.DataFrame, schema: Schema, version: int) -> NDArray[np.int64]:
    """Return the key of each row: the hash of its id, or of all its values where it has none.

    Columns that conf.cfg ignores count too: leaving out a column must not move rows.

    Args:
        frame: The rows, typed.
        schema: Says which columns are ids.
        version: Of the keys; only keys of one version can be compared.

    Returns:
        Shape (rows,), in 0 .. 2**63 - 1: negative numbers have no one remainder on all engines.
    """
    ids = [column.name for column in schema.ids]
    keys = content_keys(frame, ids or list(schema.names), version)
    return (keys >> np.uint64(1)).astype(np.int64)


def content_keys(frame: pd.DataFrame, names: Sequence[str], version: int = NEWEST) -> Keys:
    """Return a hash of each row's values in some columns, whatever the columns' order.

    A missing value adds nothing, so that a column added later moves no row that lacks it.

    Returns:
        Shape (rows,).
    """
    total = np.zeros(len(frame), dtype=np.uint64)
    for name in names:
        if name in frame.columns:
            hashed, missing = _column_hashes(frame[name], version)
            seed = hashlib.blake2b(name.encode(), digest_size=8).digest()
            hashed = _mix(hashed ^ np.uint64(int.from_bytes(seed, "big")))
            if missing is not None:
                hashed[missing] = 0
            total += hashed
    return _mix(total)


def table_fingerprint(keys: Keys | NDArray[np.int64]) -> str:
    """Return 16 hexadecimal digits for a set of rows, whatever their order."""
    mixed = _mix(keys.astype(np.uint64))
    return f"{int(mixed.sum(dtype=np.uint64)) ^ (len(keys) << 40) & (2**64 - 1):016x}"


def _column_hashes(series: pd.Series[Any], version: int) -> Hashes:
    """Hash each value by what it is, not how it is held; also say which are missing."""
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        moments = series.to_numpy(dtype="datetime64[us]")
        return _hash(moments.view(np.int64)), np.isnat(moments)
    if pd.api.types.is_numeric_dtype(series.dtype):
        if version == BY_COLUMN and series.dtype == "int64":
            whole = series.to_numpy()
            if len(whole) and max(abs(int(whole.min())), abs(int(whole.max()))) >= EXACT:
                return _hash(whole), None
        # Adding zero turns -0.0 into 0.0.
        numbers = series.to_numpy(dtype=np.float64, na_value=np.nan) + 0.0
        whole_by_value = version == BY_VALUE and pd.api.types.is_integer_dtype(series.dtype)
        # Rounded to float64, the largest may have lost something; few columns have such.
        if whole_by_value and np.fmax.reduce(np.abs(numbers), initial=0) >= EXACT:
            unsigned = pd.api.types.is_unsigned_integer_dtype(series.dtype)
            whole = series.to_numpy(dtype=np.uint64 if unsigned else np.int64, na_value=0)
            return _whole_hashes(whole), np.isnan(numbers)
        return _hash(numbers), np.isnan(numbers)
    if version == BY_VALUE and isinstance(series.dtype, pd.CategoricalDtype):
        hashed, _ = _column_hashes(pd.Series(series.cat.categories), version)
        return _taken(hashed, series.cat.codes.to_numpy())
    if version == BY_VALUE and series.dtype == object:
        return _object_hashes(series.to_numpy())
    return _word_hashes(series)


def _whole_hashes(whole: NDArray[Any]) -> Keys:
    """Hash integers, held as int64, uint64 or Python's own: no two are rounded to one."""
    large = (whole < -EXACT) | (whole > EXACT)
    hashed = _hash(np.where(large, 0, whole).astype(np.float64))
    fits = (whole >= INT64.min) & (whole <= INT64.max)
    hashed[large & fits] = _hash(whole[large & fits].astype(np.int64)) ^ LARGE
    if not fits.all():
        digits = np.array([str(value) for value in whole[~fits].tolist()], dtype=object)
        hashed[~fits] = _hash(digits) ^ LARGE
    return hashed


def _object_hashes(values: NDArray[Any]) -> Hashes:
    """Hash Python objects: numbers as in a column of numbers, all others as words."""
    if pd.api.types.infer_dtype(values, skipna=True) in ("string", "empty"):
        return _word_hashes(values)
    whole = np.array([isinstance(value, (int, np.integer, np.bool_)) for value in values])
    real = np.array([isinstance(value, (float, np.floating)) for value in values])
    words = values.copy()
    words[whole | real] = None
    hashed, missing = _word_hashes(words)
    hashed[whole] = _whole_hashes(np.array([int(value) for value in values[whole]], dtype=object))
    numbers = values[real].astype(np.float64) + 0.0
    hashed[real], missing[real] = _hash(numbers), np.isnan(numbers)
    missing[whole] = False
    return hashed, missing


def _word_hashes(values: pd.Series[Any] | NDArray[Any]) -> tuple[Keys, NDArray[np.bool_]]:
    """Hash values by how they are written."""
    codes, distinct = pd.factorize(values)
    return _taken(_hash(np.array([str(word) for word in distinct], dtype=object)), codes)


def _taken(hashed: Keys, codes: NDArray[Any]) -> tuple[Keys, NDArray[np.bool_]]:
    """Return the hash that each code names; codes below 0 stand for what is missing."""
    return (hashed if len(hashed) else np.zeros(1, dtype=np.uint64))[codes], codes < 0


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
