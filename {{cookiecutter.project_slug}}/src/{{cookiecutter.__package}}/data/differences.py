"""What two schemas make of the same table, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .cast import spell

if TYPE_CHECKING:
    import pandas as pd

    from .schema import Schema

ABSENT = "left out"


def differences(
    before: pd.DataFrame, earlier: Schema, after: pd.DataFrame, later: Schema
) -> list[str]:
    """Return how each column is read, where two schemas differ: `price (string, then number)`.

    Args:
        before: The table as the earlier schema types it.
        earlier: One schema.
        after: The same table as the later schema types it.
        later: The other schema.
    """
    then = {column.name: column.type for column in earlier.columns}
    now = {column.name: column.type for column in later.columns}
    found = []
    if len(before) != len(after):
        found.append(f"the table ({len(before):,} rows, then {len(after):,})")
    for name in dict.fromkeys([*then, *now]):
        kinds = (then.get(name, ABSENT), now.get(name, ABSENT))
        if kinds[0] != kinds[1]:
            found.append(f"{name} ({kinds[0]}, then {kinds[1]})")
        elif name in before and name in after and len(before) == len(after):
            found += _differing_value(before[name], after[name])
    return found


def _differing_value(before: pd.Series[Any], after: pd.Series[Any]) -> list[str]:
    """Return the first row in which two columns of a type differ: `pieces (9.1, then 9100)`."""
    same = (before == after).fillna(False) | (before.isna() & after.isna())
    differing = (~same.astype(bool)).to_numpy()
    if not differing.any():
        return []
    at = int(differing.argmax())
    first, then = (_shown(series.iloc[at]) for series in (before, after))
    rows = int(differing.sum())
    more = f" ({rows:,} rows)" if rows > 1 else ""
    return [f"{before.name} (row {at + 1:,}: {first}, then {then}{more})"]


def _shown(value: Any) -> str:
    """Return a value as a sentence shows it."""
    import pandas as pd

    if pd.isna(value):
        return "missing"
    return f"'{value}'" if isinstance(value, str) else spell(value)
