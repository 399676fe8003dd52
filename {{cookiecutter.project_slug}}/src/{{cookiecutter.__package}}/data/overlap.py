"""Proof that train, valid and test do not overlap: in rows, in groups and, by time rule, in time.

`drop_leaks` removes rows that an earlier split has as well; `prove_no_overlap` checks the splits as
they will be written, and refuses those that share anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core import registry
from ..core.config import Settings
from ..core.errors import UserError
from ..core.project import SPLITS
from .cast import spell
from .clean import CleanedRows
from .infer import require_target
from .keys import ROW, Keys, content_keys
from .schema import Schema
from .split import SPLIT, SplitRule

BY_KEY = ("random", "stratified")


@dataclass(frozen=True)
class SplitRows:
    """The rows of all three splits.

    Attributes:
        frame: The rows, with their keys and without the column of splits.
        codes: 0, 1 or 2 for train, valid or test; shape (rows,).
        keys: A hash of each row's content apart from its id; shape (rows,).
        purged: How many rows were removed because their group has rows in a later split.
        leaked: How many rows of valid and test were removed as duplicates of an earlier split's.
    """

    frame: pd.DataFrame
    codes: NDArray[np.int64]
    keys: Keys
    purged: int
    leaked: int

    def counts(self) -> dict[str, int]:
        """Return the number of rows of each split."""
        return {name: int((self.codes == code).sum()) for code, name in enumerate(SPLITS)}


def drop_leaks(
    cleaned: CleanedRows, assigned: pd.DataFrame, schema: Schema, version: int
) -> SplitRows:
    """Remove rows of valid and test that duplicate, apart from their id, a row of an earlier split.

    Args:
        cleaned: The rows before they were assigned.
        assigned: The rows with the column `_split`.
        schema: Says which columns are ids.
        version: Of the keys that the rows are compared by.
    """
    codes = assigned[SPLIT].to_numpy(dtype=np.int64)
    frame = assigned.drop(columns=SPLIT)
    ids = {column.name for column in schema.ids}
    if ids or cleaned.changed:
        keys = content_keys(frame, [name for name in schema.names if name not in ids], version)
    else:
        keys = frame[ROW].to_numpy(dtype=np.uint64)
    leaked = codes > pd.Series(codes).groupby(keys).transform("min").to_numpy()
    if leaked.any():
        frame, codes, keys = frame[~leaked], codes[~leaked], keys[~leaked]
    purged = len(cleaned.frame) - len(assigned)
    return SplitRows(frame, codes, keys, purged, int(leaked.sum()))


def prove_no_overlap(
    rows: SplitRows, rule: SplitRule, schema: Schema, settings: Settings
) -> dict[str, Any]:
    """Check the splits as they will be written.

    Returns:
        Counts, shares, overlaps, bounds in time and the target's distribution.

    Raises:
        UserError: If splits share rows or groups, train is later than valid, or a class is not in
            train.
    """
    frame, codes = rows.frame, rows.codes
    counts = rows.counts()
    # An id that several rows have takes them all to one split, as far as the rule allows it.
    shared_ids = _count_shared(frame[ROW].to_numpy(), codes) if rule.name in BY_KEY else 0
    facts: dict[str, Any] = {
        "rows": counts,
        "shares": {name: round(count / len(codes), 6) for name, count in counts.items()},
        "overlap_rows": _count_shared(rows.keys, codes) + shared_ids,
        "overlap_groups": None,
    }
    if schema.group:
        groups = frame[schema.group.name]
        present = groups.notna().to_numpy()
        facts["overlap_groups"] = _count_shared(groups[present], codes[present])
        facts["rows_without_group"] = int((~present).sum())
    if facts["overlap_rows"] or facts["overlap_groups"]:
        raise UserError(
            f"The split would share {facts['overlap_rows']} rows and {facts['overlap_groups']} "
            "groups between train, valid and test, so it is refused; name [data] id or group."
        )
    if schema.time:
        facts["time"] = _time_bounds(frame[schema.time.name], codes)
        facts["time_travel"] = _count_late(frame[schema.time.name], codes)
        if rule.name == "time" and facts["time_travel"]:
            raise UserError("The split would train on later rows than it is tested on; refused.")
    target = require_target(schema)
    parts = {name: frame[target.name][codes == code] for code, name in enumerate(SPLITS)}
    task = registry.task(settings.model.task)
    facts["target"] = task.describe_target(parts, target, rule.name)
    if schema.weight:
        facts["weight"] = schema.weight.name
    return facts


def _count_shared(values: Any, codes: NDArray[np.int64]) -> int:
    """Count the rows whose value is in more than one split."""
    splits = pd.Series(codes).groupby(np.asarray(values))
    return int((splits.transform("min") != splits.transform("max")).sum())


def _time_bounds(times: pd.Series[Any], codes: NDArray[np.int64]) -> dict[str, list[Any]]:
    """Return the first and last time of each split."""

    def plain(value: Any) -> Any:
        return None if pd.isna(value) else spell(value) if hasattr(value, "isoformat") else value

    bounds = {}
    for code, name in enumerate(SPLITS):
        own = times[codes == code]
        bounds[name] = [plain(own.min()), plain(own.max())]
    return bounds


def _count_late(times: pd.Series[Any], codes: NDArray[np.int64]) -> int:
    """Count the rows of train and valid that are as late as the first row of a later split."""
    late = 0
    for earlier in (0, 1):
        begins = times[codes > earlier].min()
        late += int((times[codes == earlier] >= begins).sum())
    return late
