"""Stage: clean the typed table, split it, and prove that the splits share nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .core import registry
from .core.config import Settings
from .core.errors import UserError
from .core.files import fingerprint, write_atomic, write_json
from .core.project import SPLITS, Project
from .core.reports import Report, read_report
from .core.stages import write_report
from .data.cast import spell
from .data.clean import Cleaned, clean
from .data.infer import check_target, require_target
from .data.keys import ROW, Keys, content_keys, recorded_version, row_keys, table_fingerprint
from .data.original import verify_original
from .data.binary_files import arrow_to_pandas
from .data.schema import Schema, load_schema
from .data.split import (
    MANIFEST_VERSION,
    SPLIT,
    Rule,
    Thresholds,
    assign,
    choose_rule,
    fit_thresholds,
    kept_thresholds,
    load_manifest,
    rare_strata,
    split_keys,
    with_bucket,
)
from .data.writers import write_parquet

BY_KEY = ("random", "stratified")


@dataclass(frozen=True)
class Assigned:
    """Rows and their splits.

    Attributes:
        frame: The rows, with keys and without the column of splits.
        codes: 0, 1 or 2 for train, valid or test; shape (rows,).
        keys: A hash of each row's content apart from its id; shape (rows,).
        purged: Rows taken out since their group reaches into a later split.
        twins: Rows taken out of valid and test since an earlier split holds their equal.
    """

    frame: pd.DataFrame
    codes: NDArray[np.int64]
    keys: Keys
    purged: int
    twins: int


def preprocess(project: Project, settings: Settings, *, anew: bool = False) -> Report:
    """Write data/train, data/valid, data/test and data/manifest.json.

    Args:
        project: Where to write.
        settings: `[data]`, `[split]` and the task.
        anew: Whether thresholds are fitted anew even where those of the last split still apply;
            under the time rule, new rows would otherwise all be test. The rows' keys are then of
            the newest version; where thresholds are kept, so are the keys.

    Raises:
        UserError: If ingest has not run, or the rows do not make three splits. The earlier split
            then stays as it was.
    """
    ingested, schema = _ingested(project, settings)
    rule = choose_rule(schema, settings)
    earlier = load_manifest(project) if project.manifest_file.exists() else None
    source = ingested.facts["source"]
    ids = [column.name for column in schema.ids]
    kept = None if anew else kept_thresholds(earlier, rule, source, ids)
    version = split_keys(earlier, kept)
    cleaned = clean(_typed(project, ingested, schema, version), schema, settings)
    check_target(cleaned.frame.to_native(), schema, settings)
    _refuse_missing_time(cleaned.frame.to_native(), rule)
    keyed = with_bucket(cleaned.frame, rule)
    thresholds = fit_thresholds(keyed, rule, kept)
    assigned = _drop_leaks(cleaned, assign(keyed, rule, thresholds).to_native(), schema, version)
    _refuse_empty(assigned, rule, kept is not None)
    facts = _prove(assigned, rule, schema, settings)
    facts |= _story(assigned, cleaned, rule, thresholds, kept is not None)
    split = {
        **rule.conditions(),
        "reason": rule.reason,
        "ids": ids,
        "thresholds": thresholds,
    }
    contents = {
        name: table_fingerprint(assigned.keys[assigned.codes == code])
        for code, name in enumerate(SPLITS)
    }
    split["fingerprint"] = fingerprint(split, contents, ingested.data)
    split["contents"] = contents  # which rows, whatever is said about their columns
    split["keys"] = version
    parts = _write_parts(project, assigned, rule, split["fingerprint"])
    manifest = {
        "version": MANIFEST_VERSION,
        "fingerprint": ingested.data,
        "keys": recorded_version(ingested.facts),
        "source": source,
        "original": ingested.facts["original"],
        "rows": {name: sum(part["rows"] for part in parts[name]) for name in SPLITS},
        "split": split,
        "parts": parts,
    }
    write_json(project.manifest_file, manifest)
    _remove_old_parts(project, parts)
    files = [project.root / part["file"] for name in SPLITS for part in parts[name]]
    facts["files"] = project.sizes(project.manifest_file, *files)
    facts["fingerprint"] = split["fingerprint"]
    return write_report(project, settings, "preprocess", facts, name="split", data=ingested.data)


def _ingested(project: Project, settings: Settings) -> tuple[Report, Schema]:
    """Return what ingest found, checked to be whole and of the source that conf.cfg names."""
    report = read_report(project, "ingest")
    if report is None or not project.typed.exists():
        raise UserError("There is no data/typed.parquet; run `ingest` first.")
    if report.facts["files"].get(project.relative(project.typed)) != project.typed.stat().st_size:
        raise UserError("data/typed.parquet is not the one that ingest reported; run `ingest`.")
    verify_original(project, report)
    return report, load_schema(project)


def _typed(project: Project, ingested: Report, schema: Schema, version: int) -> nw.DataFrame[Any]:
    """Return the typed table, with keys of the version that the split needs."""
    frame = read_typed(project)
    if recorded_version(ingested.facts) != version:
        frame[ROW] = row_keys(frame, schema, version)
    return nw.from_native(frame, eager_only=True)


def read_typed(project: Project) -> pd.DataFrame:
    """Return data/typed.parquet: the schema's columns and `_row`."""
    import pyarrow.parquet as pq

    return arrow_to_pandas(pq.ParquetFile(project.typed).read(), "data/typed.parquet")


def _refuse_missing_time(frame: pd.DataFrame, rule: Rule) -> None:
    """Refuse rows that cannot be ordered."""
    if rule.name != "time":
        return
    missing = int(frame[str(rule.column)].isna().sum())
    if missing:
        raise UserError(
            f"[data] time = {rule.column} is missing in {missing:,} rows, which the time rule "
            "cannot place; fill them, or drop them in clean of custom.py."
        )


def _drop_leaks(cleaned: Cleaned, placed: pd.DataFrame, schema: Schema, version: int) -> Assigned:
    """Take out rows of valid and test that equal, apart from their id, one of an earlier split."""
    codes = placed[SPLIT].to_numpy(dtype=np.int64)
    frame = placed.drop(columns=SPLIT)
    ids = {column.name for column in schema.ids}
    if ids or cleaned.changed:
        keys = content_keys(frame, [name for name in schema.names if name not in ids], version)
    else:
        keys = frame[ROW].to_numpy(dtype=np.uint64)
    twins = codes > _first_and_last(keys, codes)[0]
    if twins.any():
        frame, codes, keys = frame[~twins], codes[~twins], keys[~twins]
    return Assigned(frame, codes, keys, len(cleaned.frame) - len(placed), int(twins.sum()))


def _first_and_last(
    values: NDArray[Any], codes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for each row, the first and the last split that its value is in."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    differs = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    if differs.all():
        return codes, codes
    starts = np.flatnonzero(differs)
    run = np.cumsum(differs) - 1
    first, last = np.empty_like(codes), np.empty_like(codes)
    first[order] = np.minimum.reduceat(codes[order], starts)[run]
    last[order] = np.maximum.reduceat(codes[order], starts)[run]
    return first, last


# -------------------------------------------------------------------------------------- the proof


def _prove(assigned: Assigned, rule: Rule, schema: Schema, settings: Settings) -> dict[str, Any]:
    """Check the splits as they will be written.

    Returns:
        Counts, shares, overlaps, bounds in time and the target's distribution.

    Raises:
        UserError: If splits share rows or groups, train is later than valid, or a class is not in
            train.
    """
    frame, codes = assigned.frame, assigned.codes
    rows = {name: int((codes == code).sum()) for code, name in enumerate(SPLITS)}
    # An id that names several rows takes them all to one split, as far as the rule allows it.
    shared_ids = _overlap(frame[ROW].to_numpy(), codes) if rule.name in BY_KEY else 0
    facts: dict[str, Any] = {
        "rows": rows,
        "shares": {name: round(count / len(codes), 6) for name, count in rows.items()},
        "overlap_rows": _overlap(assigned.keys, codes) + shared_ids,
        "overlap_groups": None,
    }
    if schema.group:
        grouped = frame[schema.group.name]
        present = grouped.notna().to_numpy()
        facts["overlap_groups"] = _overlap(pd.factorize(grouped[present])[0], codes[present])
        facts["rows_without_group"] = int((~present).sum())
    if facts["overlap_rows"] or facts["overlap_groups"]:
        raise UserError(
            f"The split would share {facts['overlap_rows']} rows and {facts['overlap_groups']} "
            "groups between train, valid and test, so it is refused; name [data] id or group."
        )
    if schema.time:
        facts["time"] = _time_bounds(frame[schema.time.name], codes)
        facts["time_travel"] = _travels(frame[schema.time.name], codes)
        if rule.name == "time" and facts["time_travel"]:
            raise UserError("The split would train on later rows than it is tested on; refused.")
    facts["target"] = _target_facts(frame, codes, schema, settings, rule)
    return facts


def _refuse_empty(assigned: Assigned, rule: Rule, kept: bool) -> None:
    """Refuse a split without rows, and say why it has none.

    Raises:
        UserError: With what to do about it.
    """
    empty = [name for code, name in enumerate(SPLITS) if not (assigned.codes == code).any()]
    if empty:
        raise UserError(_why_empty(empty[0], assigned, rule, kept))


def _why_empty(empty: str, assigned: Assigned, rule: Rule, kept: bool) -> str:
    """Say why a split has no row, and what to do."""
    if kept:
        return (
            f"{empty} is left empty by the thresholds of the last split, which are kept while the "
            "source stays the same; set another [split] seed to split anew."
        )
    if assigned.purged:
        return (
            f"{empty} is left empty: {assigned.purged:,} rows were taken out since their "
            f"{rule.apart} also has later rows; empty [data] group, or set [split] rule = group."
        )
    if assigned.twins:
        return (
            f"{empty} is left empty: all its rows equal rows of an earlier split apart from "
            "their id; is the id the only thing that tells rows apart?"
        )
    return f"{empty} is left empty by the {rule.name} rule; the table has too few rows."


def _overlap(values: NDArray[Any], codes: NDArray[np.int64]) -> int:
    """Count the rows whose value is in more than one split."""
    if len(values) == 0:
        return 0
    first, last = _first_and_last(values, codes)
    return int((first != last).sum())


def _time_bounds(times: pd.Series[Any], codes: NDArray[np.int64]) -> dict[str, list[Any]]:
    """Return the first and last time of each split."""

    def plain(value: Any) -> Any:
        return None if pd.isna(value) else spell(value) if hasattr(value, "isoformat") else value

    bounds = {}
    for code, name in enumerate(SPLITS):
        own = times[codes == code]
        bounds[name] = [plain(own.min()), plain(own.max())]
    return bounds


def _travels(times: pd.Series[Any], codes: NDArray[np.int64]) -> int:
    """Count the rows of train and valid that are as late as the first row of a later split."""
    late = 0
    for earlier in (0, 1):
        begins = times[codes > earlier].min()
        late += int((times[codes == earlier] >= begins).sum())
    return late


def _target_facts(
    frame: pd.DataFrame, codes: NDArray[np.int64], schema: Schema, settings: Settings, rule: Rule
) -> dict[str, Any]:
    """Return how the target is distributed in each split; refuse classes that train lacks."""
    target = require_target(schema)
    parts = {name: frame[target.name][codes == code] for code, name in enumerate(SPLITS)}
    found: dict[str, Any] = registry.task(settings.model.task).describe_target(
        parts, target, rule.name
    )
    return found


def _story(
    assigned: Assigned, cleaned: Cleaned, rule: Rule, thresholds: Thresholds, kept: bool
) -> dict[str, Any]:
    """Return what a reader of reports/split.json wants to know beside the proof."""
    notes = []
    if kept:
        notes.append(
            "the thresholds of the last split were kept, so that no earlier row moved; another "
            "[split] seed splits anew"
        )
    rare = rare_strata(thresholds) if rule.name == "stratified" else []
    if rare:
        listed = ", ".join(rare[:10])
        notes.append(f"too rare for valid and test, so only in train: {listed}")
    if assigned.purged:
        notes.append(f"{assigned.purged:,} rows left out: their {rule.apart} has later rows")
    if assigned.twins:
        notes.append(f"{assigned.twins:,} rows left out: an earlier split holds their equal")
    counts = [int((assigned.codes == code).sum()) for code in range(len(SPLITS))]
    shown = " / ".join(f"{count:,}" for count in counts)
    return {
        "summary": f"{rule.name} split, train / valid / test {shown}",
        "rule": rule.name,
        "column": rule.column,
        "reason": rule.reason,
        "seed": rule.seed,
        "fractions": dict(zip(SPLITS, rule.fractions, strict=True)),
        "thresholds": "kept" if kept else "fitted",
        "duplicates_dropped": cleaned.duplicates,
        "removed_by_custom": cleaned.removed,
        "purged": assigned.purged,
        "twins_removed": assigned.twins,
        "notes": notes,
    }


# -------------------------------------------------------------------------------------- the parts


def _write_parts(
    project: Project, assigned: Assigned, rule: Rule, split: str
) -> dict[str, list[dict[str, Any]]]:
    """Write each split under a name of its content, so that no earlier part is touched."""
    parts: dict[str, list[dict[str, Any]]] = {}
    order = _order(assigned, rule)
    ordered_codes = assigned.codes[order]
    for code, name in enumerate(SPLITS):
        rows = order[ordered_codes == code]
        frame = assigned.frame.drop(columns=ROW).take(rows)
        path = project.split_folder(name) / f"part-{split[:8]}-0.parquet"
        with write_atomic(path) as temporary:
            write_parquet(frame, temporary)
        relative = project.relative(path)
        parts[name] = [{"file": relative, "rows": len(frame), "bytes": path.stat().st_size}]
    return parts


def _order(assigned: Assigned, rule: Rule) -> NDArray[np.int64]:
    """Return an order of rows that does not depend on the source's: by time, key, content."""
    by = [assigned.keys, assigned.frame[ROW].to_numpy()]
    if rule.name == "time":
        by.append(assigned.frame[str(rule.column)].to_numpy())
    return np.lexsort(by)


def _remove_old_parts(project: Project, parts: dict[str, list[dict[str, Any]]]) -> None:
    """Remove parts that the manifest does not name, also those that a killed run left."""
    for name in SPLITS:
        named = {Path(part["file"]).name for part in parts[name]}
        for path in project.split_folder(name).glob("*part-*.parquet"):
            if path.name not in named:
                path.unlink()
