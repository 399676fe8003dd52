"""Train, valid and test: the rule that assigns rows to them, and reading what was written.

`choose_rule`, `fit_thresholds` and `assign` are the three steps of a split; `load_split` reads one.

The random, stratified and group rules hash a row's key (or its group) with the seed into one of
65,536 buckets, and two thresholds on the buckets separate train, valid and test. The thresholds are
fitted once to the shares that conf.cfg asks for, and kept in the manifest: when the data grows, no
earlier row moves. All is written over narwhals, so that each data engine gives the same rows.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import narwhals as nw
import numpy as np
from numpy.typing import NDArray

from ..core import registry
from ..core.config import Settings, newest_rules
from ..core.errors import UserError
from ..core.files import read_json
from ..core.project import SPLITS, Project
from .cast import spell
from .keys import NEWEST, ROW, recorded_version
from .schema import Schema

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

Frame = TypeVar("Frame", nw.DataFrame[Any], nw.LazyFrame[Any])
Thresholds = dict[str, list[Any]]

PRIME = 2**31 - 1
BUCKETS = 2**16
BUCKET_WIDTH = 2**15
ROUNDS = 2
# Between the keys of equal rows that are spread: below 2**31, so that 2**31 steps stay in 2**62.
STEP = 1_640_531_527
# How equal rows are placed.
ONE = "one"  # a later split has none that, ids apart, an earlier one has
SPREAD = "spread"  # each by its number among its equals
BY_ID = "id"  # each by its id
TOGETHER = "together"  # by what they hold, ids apart
# In a manifest: equal rows are kept, but placed as before there was SPREAD.
AS_THEN = ("equals", ONE)
SPLIT = "_split"
BUCKET = "_bucket"
ALL = "all"
# A class (or a table) needs one row for each split.
FEWEST = len(SPLITS)
MANIFEST_VERSION = 1


@dataclass(frozen=True)
class SplitRule:
    """How rows are assigned to train, valid and test.

    Attributes:
        name: random, stratified, group or time.
        column: The target, group or time that decides; None for random.
        seed: Of the hash; the time rule does not use it.
        fractions: Shares of train, valid and test.
        reason: Why this rule was chosen.
        purge_by: The group of which the time rule keeps only the rows of the latest split.
        equals: How equal rows are placed: ONE, SPREAD, BY_ID or TOGETHER.
    """

    name: str
    column: str | None
    seed: int
    fractions: tuple[float, float, float]
    reason: str
    purge_by: str | None = None
    equals: str = ONE

    @property
    def keeps_equals(self) -> bool:
        """Whether equal rows may be in several splits, as different people."""
        return self.equals in (SPREAD, BY_ID)

    def conditions(self) -> dict[str, Any]:
        """Return what the thresholds depend on; while it stays equal, they are kept."""
        return {
            "rule": self.name,
            "column": self.column,
            "seed": self.seed,
            "fractions": list(self.fractions),
        }


def choose_rule(schema: Schema, settings: Settings) -> SplitRule:
    """Return the rule of conf.cfg; `auto` takes time, else group, else what the task suggests.

    Raises:
        UserError: If the rule's column is not set, or the rule would separate rows of one group.
    """
    asked = settings.split.rule
    usual = registry.task(settings.model.task).split_rule()
    time, group, target = schema.time, schema.group, schema.target
    if asked != "auto":
        name, reason = asked, f"[split] rule = {asked}"
    elif time:
        name, reason = "time", f"[data] time = {time.name}: a model is used on what comes later"
    elif group:
        name, reason = "group", f"[data] group = {group.name}: its rows resemble each other"
    else:
        name, reason = usual
    classes = target if usual[0] == "stratified" else None
    columns = {"time": time, "group": group, "stratified": classes}
    column = columns.get(name)
    if name in ("time", "group") and column is None:
        raise UserError(f"[split] rule = {name} needs [data] {name} to name a column.")
    if name == "stratified" and column is None:
        raise UserError("[split] rule = stratified needs classes; for numbers choose random.")
    if group and name in ("random", "stratified"):
        raise UserError(
            f"[split] rule = {name} would put rows of one {group.name} into several splits, but "
            f"[data] group = {group.name} keeps them together; set rule = group, or empty group."
        )
    split = settings.split
    places = {"drop": ONE, "keep": BY_ID if schema.ids else SPREAD, "together": TOGETHER}
    return SplitRule(
        name,
        column.name if column else None,
        split.seed,
        (split.train, split.valid, split.test),
        reason,
        group.name if group and name == "time" else None,
        places[settings.data.duplicates],
    )


# ------------------------------------------------------------------------------------- thresholds


def fit_thresholds(frame: Frame, rule: SplitRule, kept: Thresholds | None = None) -> Thresholds:
    """Return the two thresholds of each stratum; those of an earlier split are kept.

    Args:
        frame: The rows with their keys (`_row`).
        rule: How they are assigned.
        kept: The thresholds of an earlier split under the same conditions.

    Returns:
        Buckets (or times, for the time rule) from which valid and test begin: `{"all": [a, b]}`, or
        one pair per class for the stratified rule.

    Raises:
        UserError: If there are too few rows, groups, times or classes for three splits.
    """
    if kept is not None and rule.name != "stratified":
        return kept
    if rule.name == "time":
        return {ALL: _time_thresholds(frame, rule)}
    strata: list[str] = [str(rule.column)] if rule.name == "stratified" else []
    counts = _count_rows(with_bucket(frame, rule), [*strata, BUCKET])
    if not strata:
        pair = _bucket_thresholds(counts[BUCKET].to_numpy(), counts["_rows"].to_numpy(), rule)
        if pair is None:
            what = f"different values of {rule.column}" if rule.column else "rows"
            raise UserError(
                f"The {rule.name} split needs at least {FEWEST} {what}, and keys that fall into "
                "as many buckets; there are too few."
            )
        return {ALL: pair}
    fitted = dict(kept or {})
    for value, own in counts.groupby(rule.column, sort=True):
        if spell(value) not in fitted:
            pair = _bucket_thresholds(own[BUCKET].to_numpy(), own["_rows"].to_numpy(), rule)
            # Too rare for valid and test: all rows go to train.
            fitted[spell(value)] = pair or [BUCKETS, BUCKETS]
    if sum(pair != [BUCKETS, BUCKETS] for pair in fitted.values()) < 2:
        rarest = min(counts.groupby(rule.column)["_rows"].sum().items(), key=lambda item: item[1])
        raise UserError(
            f"[data] target = {rule.column}: the class '{rarest[0]}' has {rarest[1]} "
            f"row{'s' * (rarest[1] != 1)}; each of two classes needs at least {FEWEST}, one for "
            "train, valid and test."
        )
    return fitted


def rare_strata(thresholds: Thresholds) -> list[str]:
    """Return the classes that are too rare to be in valid and test."""
    return [name for name, pair in thresholds.items() if pair == [BUCKETS, BUCKETS]]


def _bucket_thresholds(
    buckets: NDArray[np.int64], rows: NDArray[np.int64], rule: SplitRule
) -> list[int] | None:
    """Choose thresholds so that the shares are as close as possible and no split is empty.

    Returns:
        The first buckets of valid and of test; None where fewer than three buckets are filled.
    """
    order = np.argsort(buckets)
    buckets, total = buckets[order], np.cumsum(rows[order])
    if len(buckets) < FEWEST:
        return None
    train, valid, _ = rule.fractions
    first, second = _begins(total, rule)
    # Every threshold between two filled buckets gives the same split of these rows; the one closest
    # to the nominal share suits later rows best.
    pair = []
    for at, share in ((first, train), (second, train + valid)):
        nominal = round(share * BUCKETS)
        pair.append(int(np.clip(nominal, buckets[at - 1] + 1, buckets[at])))
    return pair


def _begins(total: NDArray[np.int64], rule: SplitRule) -> tuple[int, int]:
    """Return how many buckets or times come before valid and before test.

    Of all counts that leave no split empty, they come closest to the shares.

    Args:
        total: The rows up to and with each bucket or time.
        rule: Has the shares.
    """
    train, valid, _ = rule.fractions
    first = 1 + int(np.abs(total[:-2] - train * total[-1]).argmin())
    second = 1 + int(np.abs(total[first:-1] - (train + valid) * total[-1]).argmin())
    return first, first + second


def _time_thresholds(frame: Frame, rule: SplitRule) -> list[Any]:
    """Return the times from which valid and test begin; rows of one time stay together."""
    column = str(rule.column)
    counts = _count_rows(frame, [column]).sort_values(column)
    times, total = counts[column], np.cumsum(counts["_rows"].to_numpy())
    if len(times) == 1:
        raise UserError(
            f"[data] time = {column} is the same in all {total[-1]:,} rows, so none is later than "
            "another; name the column that orders them, or empty [data] time."
        )
    if len(times) < FEWEST:
        raise UserError(
            f"[data] time = {column} has {len(times)} different value{'s' * (len(times) != 1)}; "
            f"the time rule needs at least {FEWEST}, one for train, valid and test."
        )
    begins = [times.iloc[at] for at in _begins(total, rule)]
    if hasattr(begins[0], "isoformat"):
        return [time.isoformat(timespec="microseconds") for time in begins]
    return list(np.array(begins).tolist())


# ------------------------------------------------------------------------------------- assignment


def assign(frame: Frame, rule: SplitRule, thresholds: Thresholds) -> Frame:
    """Add the column `_split`: 0 for train, 1 for valid, 2 for test (Int64).

    Under the time rule with a group, a group with rows in a later split loses those in earlier
    ones (purging).

    Args:
        frame: The rows with their keys (`_row`); any order, any engine.
        rule: How they are assigned.
        thresholds: Of `fit_thresholds`.
    """
    if rule.name == "time":
        column = nw.col(str(rule.column))
        begins = [
            dt.datetime.fromisoformat(value) if isinstance(value, str) else value
            for value in thresholds[ALL]
        ]
        later = [(column >= nw.lit(value)).cast(nw.Int64) for value in begins]
        assigned = frame.with_columns((later[0] + later[1]).alias(SPLIT))
        return _purge(assigned, rule.purge_by) if rule.purge_by else assigned
    mixed = with_bucket(frame, rule)
    if rule.name == "stratified":
        column = nw.col(str(rule.column))
        tables = ({name: int(pair[at]) for name, pair in thresholds.items()} for at in (0, 1))
        starts = [
            column.replace_strict(table, default=BUCKETS, return_dtype=nw.Int64) for table in tables
        ]
    else:
        starts = [nw.lit(value) for value in thresholds[ALL]]
    later = [(nw.col(BUCKET) >= start).cast(nw.Int64) for start in starts]
    return mixed.with_columns((later[0] + later[1]).alias(SPLIT)).drop(BUCKET)


def with_bucket(frame: Frame, rule: SplitRule) -> Frame:
    """Add the column `_bucket`, 0 .. 65535, of a row's key or, for the group rule, of its group.

    Equal rows that are spread have a key each: see `_spread_keys`.
    """
    if BUCKET in frame.columns or rule.name == "time":
        return frame
    bucket = (nw.col(BUCKET) // BUCKET_WIDTH).cast(nw.Int64).alias(BUCKET)
    if isinstance(frame, nw.DataFrame):
        # On the keys alone: each step copies all columns of some engines, which may be thousands.
        keys = frame.select(ROW)
        # Most tables have no equal rows, and looking for them is quicker than counting them.
        spread = rule.equals == SPREAD and keys.get_column(ROW).is_duplicated().any()
        mixed = _with_mixed_key(_spread_keys(keys) if spread else _own_keys(keys), rule.seed)
        own = frame.with_columns(mixed.with_columns(bucket).get_column(BUCKET))
    else:
        keyed = _spread_keys(frame) if rule.equals == SPREAD else _own_keys(frame)
        own = _with_mixed_key(keyed, rule.seed).with_columns(bucket)
    if rule.name != "group":
        return own
    group = str(rule.column)
    values = _to_pandas(frame.select(group).unique())[group].dropna().tolist()
    table = {value: _group_bucket(value, rule.seed) for value in values}
    if not table:
        return own
    # A row without a group is a group of its own.
    shared = nw.col(group).replace_strict(table, default=-1, return_dtype=nw.Int64)
    return own.with_columns(
        nw.when(nw.col(group).is_null()).then(nw.col(BUCKET)).otherwise(shared).alias(BUCKET)
    )


def _group_bucket(value: Any, seed: int) -> int:
    """Return the bucket of a group, by a keyed hash of its name."""
    digest = hashlib.blake2b(spell(value).encode(), digest_size=8, key=str(seed).encode()).digest()
    return int.from_bytes(digest, "big") % BUCKETS


def _own_keys(frame: Frame) -> Frame:
    """Add the column `_bucket` with each row's key."""
    return frame.with_columns(nw.col(ROW).alias(BUCKET))


def _spread_keys(frame: Frame) -> Frame:
    """Add the column `_bucket` with a key of each row's own, equal rows among them.

    It follows from the key and the row's number among its equals, from 0: number 0 leaves the key
    as it is. Which of the equals has which number does not matter, since they are equal; so every
    engine that can count within a group gives the same rows. Nothing exceeds 63 bits.
    """
    number = nw.col(BUCKET)
    counted = number.cum_count().over(ROW, order_by=BUCKET).cast(nw.Int64) - 1
    numbered = _own_keys(frame).with_columns(counted.alias(BUCKET))
    later = nw.col(ROW) // 2 + number * STEP
    return numbered.with_columns(
        nw.when(number == 0).then(nw.col(ROW)).otherwise(later).alias(BUCKET)
    )


def _with_mixed_key(frame: Frame, seed: int) -> Frame:
    """Mix the key in the column `_bucket` by the seed: 0 .. 2**31 - 2.

    Two rounds of a seeded affine step and a fifth power, all modulo the prime 2**31 - 1. Both steps
    are bijections (5 and the prime less one share no factor), so no two residues fall together;
    every product stays below 2**62. Step by step, since an expression is evaluated once per use.
    """
    key = nw.col(BUCKET)
    mixed = frame.with_columns((key % PRIME).cast(nw.Int64).alias(BUCKET))
    for number in range(ROUNDS):
        digest = hashlib.blake2b(f"{seed}:{number}".encode(), digest_size=16).digest()
        factor = 1 + int.from_bytes(digest[:8], "big") % (PRIME - 1)
        shift = int.from_bytes(digest[8:], "big") % PRIME
        mixed = mixed.with_columns(((key * factor + shift) % PRIME).alias(BUCKET))
        mixed = mixed.with_columns((key * key % PRIME).alias("_power"))
        mixed = mixed.with_columns((nw.col("_power") * nw.col("_power") % PRIME).alias("_power"))
        mixed = mixed.with_columns((nw.col("_power") * key % PRIME).alias(BUCKET)).drop("_power")
    return mixed


def _purge(frame: Frame, group: str) -> Frame:
    """Keep of each group only the rows in the latest of its splits."""
    latest = _to_pandas(frame.group_by(group).agg(nw.col(SPLIT).max().alias("_latest")))
    latest = latest.dropna(subset=[group])
    table = dict(zip(latest[group].tolist(), latest["_latest"].astype(int).tolist(), strict=True))
    if not table:
        return frame
    last = nw.col(group).replace_strict(table, default=-1, return_dtype=nw.Int64)
    return frame.filter(nw.col(group).is_null() | (nw.col(SPLIT) == last))


def _count_rows(frame: Frame, columns: Sequence[str]) -> pd.DataFrame:
    """Count rows by the values of some columns: those columns, and `_rows`."""
    counts = _to_pandas(frame.group_by(*columns).agg(nw.len().alias("_rows")))
    # Not every engine counts in signed numbers, with which arithmetic is safe.
    return counts.astype({"_rows": "int64"})


def _to_pandas(frame: nw.DataFrame[Any] | nw.LazyFrame[Any]) -> pd.DataFrame:
    """Bring a small table, such as one of counts, into memory."""
    eager = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    return eager.to_pandas()


# ---------------------------------------------------------------------------- reading the splits


def load_manifest(project: Project) -> dict[str, Any]:
    """Return data/manifest.json: source, fingerprints, counts, rule, seed and files.

    Raises:
        UserError: If nothing was split yet, or the manifest is broken.
    """
    if not project.manifest_file.exists():
        raise UserError("There is no data/manifest.json; run `preprocess` first.")
    manifest = read_json(project.manifest_file)
    if not isinstance(manifest, dict) or manifest.get("version") != MANIFEST_VERSION:
        raise UserError(
            f"data/manifest.json is not of version {MANIFEST_VERSION}; run `preprocess` again."
        )
    return manifest


def with_newest_rules(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest with the rules of a new project, by which the rows are split next."""
    split = {key: value for key, value in manifest["split"].items() if (key, value) != AS_THEN}
    return {**manifest, "rules": newest_rules(), "split": split}


def placed_as_before(
    rule: SplitRule, manifest: Mapping[str, Any] | None, settings: Settings
) -> SplitRule:
    """Return the rule that goes on placing equal rows as a split of before there was SPREAD.

    Where `duplicates = keep` was set then, equal rows stay in one split until `ingest --infer`.
    """
    if manifest is None or settings.data.duplicates != "keep":
        return rule
    as_then = "rules" not in manifest or AS_THEN in manifest["split"].items()
    return replace(rule, equals=ONE) if as_then else rule


def data_keys(manifest: Mapping[str, Any] | None, source: str) -> int:
    """Return the version of the keys that ingest computes, and fingerprints the table by.

    It stays the same as long as the source does, even if the rows are split by newer keys, because
    the champion, and what people sign, refer to the data by that fingerprint.
    """
    if manifest is None or manifest["source"] != source:
        return NEWEST
    return recorded_version(manifest)


def split_keys(manifest: Mapping[str, Any] | None, kept: Thresholds | None) -> int:
    """Return the version of the keys to split by: the earlier one where its thresholds are kept."""
    if manifest is None or kept is None:
        return NEWEST
    return recorded_version(manifest["split"])


def load_split(
    project: Project,
    name: str,
    columns: Sequence[str] | None = None,
    *,
    rows: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return one split as the manifest lists it, or a sample of its rows.

    A sample is drawn over all rows without replacement, each as likely as any other, and keeps
    their order. It is the same whatever files and row groups hold the rows. Only one row group at a
    time is in memory.

    Args:
        project: Whose data it is.
        name: train, valid or test.
        columns: The columns to read; default: all.
        rows: How many rows to return at most; default: all.
        seed: Of the sample.

    Raises:
        UserError: If the split is missing, or one of its files is not as it was written.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    from .arrow import arrow_to_pandas

    if name not in SPLITS:
        raise UserError(f"The split is '{name}', but has to be one of {', '.join(SPLITS)}.")
    parts = load_manifest(project)["parts"][name]
    total, first, frames = sum(part["rows"] for part in parts), 0, []
    places = None if rows is None or rows >= total else draw(total, rows, seed)
    chosen = None if columns is None else list(columns)
    for part in parts:
        path = project.root / part["file"]
        if not path.is_file() or path.stat().st_size != part["bytes"]:
            raise UserError(f"{part['file']} is missing or not whole; run `preprocess` again.")
        with pq.ParquetFile(path) as file:
            if places is None:
                table = file.read(columns=chosen)
            else:
                table = _read_rows(file, _within(places, first, part["rows"]), chosen)
        first += part["rows"]
        frames.append(arrow_to_pandas(table, part["file"]))
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def draw(rows: int, most: int, seed: int) -> NDArray[np.intp]:
    """Return the places of at most so many rows, drawn with the seed, in order."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _read_rows(
    file: pq.ParquetFile, places: NDArray[np.intp], columns: list[str] | None
) -> pa.Table:
    """Return the rows of a file at some places, read by row group."""
    import pyarrow as pa

    tables, first = [], 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        tables.append(file.read_row_group(group, columns).take(_within(places, first, rows)))
        first += rows
    return pa.concat_tables(tables)


def _within(places: NDArray[np.intp], first: int, rows: int) -> NDArray[np.intp]:
    """Return the places among so many rows from `first` on, counted from there."""
    start, end = np.searchsorted(places, [first, first + rows])
    return places[start:end] - first


def kept_thresholds(
    manifest: Mapping[str, Any] | None, rule: SplitRule, source: str, ids: Sequence[str]
) -> Thresholds | None:
    """Return the thresholds of the last split where they still apply, else None."""
    if manifest is None or manifest["source"] != source:
        return None
    split = manifest["split"]
    same = all(split.get(key) == value for key, value in rule.conditions().items())
    places = {split.get("equals", ONE), rule.equals}
    same = same and (len(places) == 1 or places == {ONE, BY_ID})  # which have the same keys
    thresholds: Thresholds = split["thresholds"]
    return thresholds if same and split.get("ids") == list(ids) else None
