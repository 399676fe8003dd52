"""Proof that train, valid and test do not overlap: in rows, in groups and, by time rule, in time.

`drop_leaks` removes rows that an earlier split has as well, where that is asked for;
`find_equal_rows` tells equal people from copies; `prove_no_overlap` checks the splits as they will
be written, and refuses those that share anything.
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
from .checks import require_target
from .clean import CleanedRows
from .keys import ROW, Keys, content_keys
from .schema import Schema
from .split import SPLIT, SplitRule

BY_KEY = ("random", "stratified")
# So many times as often as chance has it: then equal rows are copies, as good as certainly.
CERTAIN = 10
# Two rows agree so seldom in a column of many values.
SELDOM = 0.01
# So many cells are read to learn what chance would give.
CELLS = 1_000_000


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


@dataclass(frozen=True)
class EqualRows:
    """The rows that equal another one, of which one each is not counted.

    Attributes:
        rows: How many there are, ids apart.
        with_id: How many of them have its id as well.
        by_copying: Whether the others are more than chance gives for values like these.
    """

    rows: int
    with_id: int
    by_copying: bool

    @property
    def copies(self) -> int:
        """How many of them are copies, as good as certainly."""
        return self.rows if self.by_copying else self.with_id


def drop_leaks(
    cleaned: CleanedRows, assigned: pd.DataFrame, rule: SplitRule, schema: Schema, version: int
) -> SplitRows:
    """Remove rows of valid and test that duplicate, apart from their id, a row of an earlier split.

    Equal rows that are kept, as different people, are not removed.

    Args:
        cleaned: The rows before they were assigned.
        assigned: The rows with the column `_split`.
        rule: Says whether equal rows may be in several splits.
        schema: Says which columns are ids.
        version: Of the keys that the rows are compared by.
    """
    codes = assigned[SPLIT].to_numpy(dtype=np.int64)
    frame = assigned.drop(columns=SPLIT)
    if schema.ids or cleaned.changed:
        keys = content_keys(frame, contents(schema), version)
    else:
        keys = frame[ROW].to_numpy(dtype=np.uint64)
    purged = len(cleaned.frame) - len(assigned)
    if rule.keeps_equals:
        return SplitRows(frame, codes, keys, purged, 0)
    leaked = codes > _first_and_last(keys, codes)[0]
    if leaked.any():
        frame, codes, keys = frame[~leaked], codes[~leaked], keys[~leaked]
    return SplitRows(frame, codes, keys, purged, int(leaked.sum()))


def contents(schema: Schema) -> list[str]:
    """Return the columns by which rows are equal: all but the ids."""
    ids = {column.name for column in schema.ids}
    return [name for name in schema.names if name not in ids]


def find_equal_rows(rows: SplitRows, schema: Schema) -> EqualRows:
    """Count the rows that equal another, and tell whether they are copies or equal by chance."""
    repeated = pd.Series(rows.keys).duplicated().to_numpy()
    equal = int(repeated.sum())
    if not equal:
        return EqualRows(0, 0, False)
    if not schema.ids:
        return EqualRows(equal, 0, _is_beyond_chance(rows.frame, rows.keys, contents(schema)))
    named = pd.DataFrame({"key": rows.keys, ROW: rows.frame[ROW].to_numpy()})
    once = ~named.duplicated().to_numpy()
    frame, keys = rows.frame[once], rows.keys[once]
    return EqualRows(equal, int((~once).sum()), _is_beyond_chance(frame, keys, contents(schema)))


def _is_beyond_chance(frame: pd.DataFrame, keys: Keys, names: list[str]) -> bool:
    """Tell whether there are many more equal rows than chance gives for values like these.

    Either a column has so many different values that two rows hardly ever agree in it, unless they
    agree in all: a name, or a measurement. Or two rows agree in all columns far more often than if
    the columns were independent, and far more often than in all columns but one: of people who are
    equal by chance, there are also many who differ in one thing.

    Args:
        frame: The rows.
        keys: Of their content; shape (rows,).
        names: The columns that the content stands in.
    """
    equal, pairs = _agreeing(keys), len(keys) * (len(keys) - 1) / 2
    if not equal:
        return False
    # By key, so that equal rows are drawn together and the order of rows plays no part.
    share = min(1.0, CELLS / len(names) / len(keys))
    drawn = keys % np.uint64(2**32) < share * 2**32
    columns = [content_keys(frame[[name]][drawn], [name]) for name in names]
    found, whole = _agreeing(keys[drawn]), np.sum(columns, axis=0, dtype=np.uint64)
    every = max(int(drawn.sum()) * (int(drawn.sum()) - 1) / 2, 1)
    alike = np.array([_agreeing(column) for column in columns])
    others = (alike - found) / share**2
    if ((alike / every <= SELDOM) & (equal >= CERTAIN * others)).any():
        return True
    nearly = sum(_agreeing(whole - column) - found for column in columns) / share**2
    by_chance = pairs * float(np.prod(alike / every))
    return equal >= CERTAIN * max(nearly, by_chance)


def _agreeing(keys: Keys) -> int:
    """Count the pairs of rows with equal keys."""
    counts = np.unique(keys, return_counts=True)[1].astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())


def prove_no_overlap(
    rows: SplitRows, rule: SplitRule, schema: Schema, settings: Settings, equal: EqualRows
) -> dict[str, Any]:
    """Check the splits as they will be written.

    Where equal rows are kept, only those that are copies count as one row in several splits. They
    are not refused: that is for people to decide.

    Returns:
        Counts, shares, overlaps, bounds in time and the target's distribution.

    Raises:
        UserError: If splits share rows or groups, train is later than valid, or a class is not in
            train.
    """
    frame, codes = rows.frame, rows.codes
    counts = rows.counts()
    shared = 0 if rule.keeps_equals and not equal.by_copying else _count_shared(rows.keys, codes)
    # An id that several rows have takes them all to one split, as far as the rule allows it.
    by_id = bool(schema.ids) and rule.name in BY_KEY
    shared_ids = _count_shared(frame[ROW].to_numpy(), codes) if by_id else 0
    facts: dict[str, Any] = {
        "rows": counts,
        "shares": {name: round(count / len(codes), 6) for name, count in counts.items()},
        "overlap_rows": shared + shared_ids,
        "overlap_groups": None,
    }
    if schema.group:
        groups = frame[schema.group.name]
        present = groups.notna().to_numpy()
        facts["overlap_groups"] = _count_shared(groups[present], codes[present])
        facts["rows_without_group"] = int((~present).sum())
    if shared_ids:
        raise UserError(_id_repeats(schema, shared_ids, rule))
    if facts["overlap_groups"] or (shared and not rule.keeps_equals):
        raise UserError(
            f"The split would share {shared} rows and {facts['overlap_groups'] or 0} groups "
            "between train, valid and test, so it is refused; name [data] id or group."
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


def _id_repeats(schema: Schema, rows: int, rule: SplitRule) -> str:
    """Say that an id which several rows have is a group, and how to name it one."""
    ids = [column.name for column in schema.ids]
    what = ids[0] if len(ids) == 1 else "the column whose rows belong together"
    return (
        f"[data] id = {', '.join(ids)} has values that several rows share, and the {rule.name} "
        f"split would put {rows:,} of those rows in more than one of train, valid and test; set "
        f"`group = {what}` instead."
    )


def _count_shared(values: Any, codes: NDArray[np.int64]) -> int:
    """Count the rows whose value is in more than one split."""
    first, last = _first_and_last(np.asarray(values), codes)
    return int((first != last).sum())


def _first_and_last(
    values: NDArray[Any], codes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and the last split that has each row's value."""
    first, last = codes.copy(), codes.copy()
    # Of keys most come once, and to find that out takes a quarter of the time to group them.
    again = pd.Series(values).duplicated(keep=False).to_numpy()
    splits = pd.Series(codes[again]).groupby(values[again])
    first[again], last[again] = splits.transform("min"), splits.transform("max")
    return first, last


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
