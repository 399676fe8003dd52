"""Plain numbers: columns of text whose every value is a number as computers write it.

`plain_numbers` reads a column that is there as a whole, `ColumnBlocks` one that comes in blocks.
Both decide by all of its values, and alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# 007, 0x1F and +49 are codes: a number would lose what they begin with.
CODED = r"^[+-]?0[\dxX]|^\+"
SIGNED = r"^[+-]?\d+$"
# 1.234 and the like: a fraction, or a number in the thousands. 56 may stand beside both.
UNCLEAR = r"^[+-]?(?:0|[1-9]\d{0,2}(?:[.]\d{3})?)$"
# Written with a fraction or an exponent, so that nobody counts on its last digit.
FRACTION = r"[.eE]|^[+-]?(?:\d{1,15}|(?i:inf(?:inity)?))$"
# From here on, float64 rounds whole numbers.
EXACT = 2**53
# So many values suffice for a first look.
FIRST = 1000


def plain_numbers(array: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Read a column whose every value is a number as computers write it, else return None.

    So it is for 007, which is a code, for 1.234 throughout, which may be in the thousands, and for
    whole numbers that float64 would round.
    """
    import pyarrow as pa

    head = array.slice(0, FIRST)
    if array.null_count == len(array) or _cast(head, pa.float64()) is None:
        return None
    if "." not in next((word for word in head.to_pylist() if word), ""):
        whole = _cast(array, pa.int64())
        if whole is not None:
            return None if _has_codes(array) else whole
    numbers = _cast(array, pa.float64())
    if numbers is None or all_match(head, UNCLEAR) and all_match(array, UNCLEAR):
        return None
    if _begins(array, "+") and all_match(array, SIGNED):
        return None
    large = any(map(_is_large, numbers.chunks))
    return None if large and not all_match(array, FRACTION) else numbers


def first_type(array: pa.Array) -> pa.DataType:
    """Return what `ColumnBlocks` takes a column for whose first block of text this is.

    Text stands for whatever only the whole column can decide.
    """
    import pyarrow as pa

    numbers = plain_numbers(pa.chunked_array([array]))
    if numbers is None or numbers.type == pa.float64() and _is_large(numbers.chunk(0)):
        return pa.string()
    return numbers.type


class ColumnBlocks:
    """A column of a file that comes in blocks; plain numbers are read while a block is at hand.

    That takes a fraction of the time, and the text need not be kept. Where a block does not fit the
    type of the first, or makes it doubtful, the column has failed, and has to be read once more, as
    text. What `plain_numbers` says of the whole column is what comes out.

    Args:
        type: By `first_type`. float64 comes as such, whole numbers come as text.
        rows: About how many there will be.
    """

    def __init__(self, type: pa.DataType, rows: int = 0) -> None:
        """See the class."""
        import numpy as np
        import pyarrow as pa

        self.type = type
        self.failed = False
        self._arrays: list[pa.Array] = []
        # Fresh memory costs more than the numbers in it; room that is not used costs nothing.
        self._values = np.empty(rows if type == pa.float64() else 0)
        self._filled = 0

    def add(self, array: pa.Array) -> None:
        """Add a block."""
        import pyarrow as pa

        if self.failed:
            return
        read = _read_as(array, self.type)
        if read is None:
            self.failed = True
            self._arrays, self._values = [], self._values[:0].copy()
        elif self.type == pa.float64():
            self._fill(read)
        else:
            self._arrays.append(read)

    def _fill(self, array: pa.Array) -> None:
        """Put numbers behind those that are there."""
        import numpy as np

        end = self._filled + len(array)
        if end > len(self._values):
            self._values = np.concatenate([self._values, np.empty(end // 2 + len(array))])
        self._values[self._filled : end] = array.to_numpy(zero_copy_only=False)
        self._filled = end

    def to_series(self, *, worded: bool) -> pd.Series[Any]:
        """Return the column, as text where it is `worded`; its memory is given back."""
        import pandas as pd
        import pyarrow as pa

        if self.type == pa.float64():
            return pd.Series(self._values[: self._filled], copy=False)
        array, self._arrays = pa.chunked_array(self._arrays, self.type), []
        if self.type == pa.int64() or worded:
            return to_pandas(array)
        numbers = plain_numbers(array)
        return to_pandas(array if numbers is None else numbers)


def _read_as(array: pa.Array, type: pa.DataType) -> pa.Array | None:
    """Read a further block as the type of the first, or return None where that is in doubt."""
    import pyarrow as pa

    if type == pa.float64():
        return None if _is_large(array) else array
    if type == pa.int64():
        whole = _cast(array, type)
        return None if whole is None or _has_codes(array) else whole
    return array


def _cast(array: Any, type: pa.DataType) -> Any:
    """Return text as numbers, or None if any word is not one."""
    import pyarrow as pa

    try:
        return array.cast(type)
    except pa.ArrowInvalid:
        return None


def all_match(array: pa.Array, pattern: str) -> bool:
    """Tell whether every value matches a pattern."""
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(array, pattern)).as_py())


def to_pandas(array: pa.ChunkedArray) -> pd.Series[Any]:
    """Return Arrow's text, numbers or truth values in the types of `arrow_to_pandas`."""
    import pandas as pd
    import pyarrow as pa

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    series: pd.Series[Any] = array.to_pandas(
        types_mapper=nullable.get if array.null_count else None
    )
    return series


def _is_large(numbers: pa.Array) -> bool:
    """Tell whether any number is so large that float64 may have rounded it."""
    import pyarrow.compute as pc

    if numbers.null_count == len(numbers):
        return False
    if numbers.null_count == 0:
        # Without missing values, NumPy is many times as fast; with NaN, neither holds.
        values = numbers.to_numpy()
        if values.min() > -EXACT and values.max() < EXACT:
            return False
    low, high = pc.min_max(numbers).as_py().values()
    return bool(max(-low, high) >= EXACT)


def _has_codes(array: pa.Array) -> bool:
    """Tell whether any value begins with what a number would lose: zeros, 0x or a plus."""
    import pyarrow.compute as pc

    # Comparing a few characters is many times as fast as a regular expression on every value.
    for start in ("0", "-0", "+"):
        begun = pc.starts_with(array, start)
        if not pc.any(begun).as_py():
            continue
        if pc.any(pc.match_substring_regex(array.filter(begun), CODED)).as_py():
            return True
    return False


def _begins(array: pa.Array, start: str) -> bool:
    """Tell whether any value begins so."""
    import pyarrow.compute as pc

    return bool(pc.any(pc.starts_with(array, start)).as_py())
