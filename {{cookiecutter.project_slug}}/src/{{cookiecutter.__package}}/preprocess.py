"""Stage: clean the typed table, split it, and prove that the splits share nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np

from .core.config import Settings
from .core.errors import UserError
from .core.files import fingerprint, write_atomic, write_json
from .core.pipeline import write_report
from .core.project import SPLITS, Project, Report, read_report
from .data.arrow import read_parquet
from .data.clean import CleanedRows, clean
from .data.infer import check_target, refuse_missing
from .data.keys import ROW, recorded_version, row_keys, table_fingerprint
from .data.original import verify_original
from .data.overlap import SplitRows, drop_leaks, prove_no_overlap
from .data.schema import Schema, load_schema
from .data.split import (
    MANIFEST_VERSION,
    SplitRule,
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


@dataclass(frozen=True)
class SplitPlan:
    """How to split, decided before any row is read.

    Attributes:
        rule: How rows are assigned.
        ids: The columns that identify a row.
        kept: The thresholds of the last split; None where they are to be fitted.
        key_version: Of the rows' keys; where thresholds are kept, so are the keys.
    """

    rule: SplitRule
    ids: list[str]
    kept: Thresholds | None
    key_version: int


def preprocess(project: Project, settings: Settings, *, refit: bool = False) -> Report:
    """Clean and split: train, valid and test.

    Writes data/train, data/valid, data/test and data/manifest.json.

    Args:
        project: Where to write.
        settings: `[data]`, `[split]` and the task.
        refit: Whether to fit the thresholds even where those of the last split still apply: under
            the time rule, new rows would otherwise all be test. The rows' keys are then of the
            newest version.

    Raises:
        UserError: If ingest has not run, or the rows cannot be split in three. The earlier split
            then stays as it was.
    """
    ingested, schema = _read_ingested(project)
    plan = _plan_split(project, settings, ingested, schema, refit)
    cleaned = _clean(project, settings, ingested, schema, plan)
    thresholds, rows = _split(cleaned, plan, schema)
    facts = prove_no_overlap(rows, plan.rule, schema, settings)
    facts |= _describe(rows, cleaned, plan, thresholds)
    # From here on, nothing is refused any more.
    split = _split_record(rows, plan, thresholds, ingested)
    parts = _write_parts(project, rows, plan.rule, split["fingerprint"])
    _write_manifest(project, ingested, split, parts)
    _remove_old_parts(project, parts)
    files = [project.root / part["file"] for name in SPLITS for part in parts[name]]
    facts["files"] = project.sizes(project.manifest_file, *files)
    facts["fingerprint"] = split["fingerprint"]
    return write_report(project, settings, "preprocess", facts, name="split", data=ingested.data)


def _read_ingested(project: Project) -> tuple[Report, Schema]:
    """Return ingest's report and schema, once its files are known to be as it wrote them."""
    report = read_report(project, "ingest")
    if report is None or not project.typed.exists():
        raise UserError("There is no data/typed.parquet; run `ingest` first.")
    if report.facts["files"].get(project.relative(project.typed)) != project.typed.stat().st_size:
        raise UserError("data/typed.parquet is not the one that ingest reported; run `ingest`.")
    verify_original(project, report)
    return report, load_schema(project)


def _plan_split(
    project: Project, settings: Settings, ingested: Report, schema: Schema, refit: bool
) -> SplitPlan:
    """Choose the rule, and keep thresholds and keys of the last split where they still apply."""
    rule = choose_rule(schema, settings)
    ids = [column.name for column in schema.ids]
    earlier = load_manifest(project) if project.manifest_file.exists() else None
    kept = None if refit else kept_thresholds(earlier, rule, ingested.facts["source"], ids)
    return SplitPlan(rule, ids, kept, split_keys(earlier, kept))


# ---------------------------------------------------------------------------------------- clean


def _clean(
    project: Project, settings: Settings, ingested: Report, schema: Schema, plan: SplitPlan
) -> CleanedRows:
    """Return the rows of the typed table that can be learnt from and split."""
    frame = read_parquet(project.typed)
    if recorded_version(ingested.facts) != plan.key_version:
        frame[ROW] = row_keys(frame, schema, plan.key_version)
    cleaned = clean(nw.from_native(frame, eager_only=True), schema, settings)
    rows = cleaned.frame.to_native()
    check_target(rows, schema, settings)
    if plan.rule.name == "time":
        refuse_missing(rows[plan.rule.column], "time", "drop them in clean of custom.py")
    return cleaned


# ---------------------------------------------------------------------------------------- split


def _split(cleaned: CleanedRows, plan: SplitPlan, schema: Schema) -> tuple[Thresholds, SplitRows]:
    """Fit the thresholds and assign every row, without duplicates across splits."""
    bucketed = with_bucket(cleaned.frame, plan.rule)
    thresholds = fit_thresholds(bucketed, plan.rule, plan.kept)
    assigned = assign(bucketed, plan.rule, thresholds).to_native()
    rows = drop_leaks(cleaned, assigned, schema, plan.key_version)
    empty = next((name for name, count in rows.counts().items() if count == 0), None)
    if empty:
        raise UserError(_why_empty(empty, rows, plan))
    return thresholds, rows


def _why_empty(empty: str, rows: SplitRows, plan: SplitPlan) -> str:
    """Say why a split has no row, and what to do."""
    if plan.kept is not None:
        return (
            f"{empty} is left empty by the thresholds of the last split, which are kept while the "
            "source stays the same; set another [split] seed to split again."
        )
    if rows.purged:
        return (
            f"{empty} is left empty: {rows.purged:,} rows were taken out since their "
            f"{plan.rule.purge_by} also has later rows; empty [data] group, or set [split] rule = "
            "group."
        )
    if rows.leaked:
        return (
            f"{empty} is left empty: all its rows equal rows of an earlier split apart from "
            "their id; is the id the only difference between rows?"
        )
    return f"{empty} is left empty by the {plan.rule.name} rule; the table has too few rows."


def _describe(
    rows: SplitRows, cleaned: CleanedRows, plan: SplitPlan, thresholds: Thresholds
) -> dict[str, Any]:
    """Return what reports/split.json says beside the proof: how and why the rows were split."""
    rule = plan.rule
    aloud = [f"{cleaned.weightless:,} rows have the weight 0 and are left out"]
    shown = " / ".join(f"{count:,}" for count in rows.counts().values())
    return {
        "summary": f"{rule.name} split, train / valid / test {shown}",
        "rule": rule.name,
        "column": rule.column,
        "reason": rule.reason,
        "seed": rule.seed,
        "fractions": dict(zip(SPLITS, rule.fractions, strict=True)),
        "thresholds": "fitted" if plan.kept is None else "kept",
        "duplicates_dropped": cleaned.duplicates,
        "removed_by_custom": cleaned.removed,
        "purged": rows.purged,
        "twins_removed": rows.leaked,
        "notes": _notes(rows, plan, thresholds),
        **({"aloud": aloud, "weightless": cleaned.weightless} if cleaned.weightless else {}),
    }


def _notes(rows: SplitRows, plan: SplitPlan, thresholds: Thresholds) -> list[str]:
    """Return what a reader of the report might not expect."""
    notes = []
    if plan.kept is not None:
        notes.append(
            "the thresholds of the last split were kept, so that no earlier row moved; another "
            "[split] seed splits again"
        )
    rare = rare_strata(thresholds) if plan.rule.name == "stratified" else []
    if rare:
        listed = ", ".join(rare[:10])
        notes.append(f"too rare for valid and test, so only in train: {listed}")
    if rows.purged:
        notes.append(f"{rows.purged:,} rows left out: their {plan.rule.purge_by} has later rows")
    if rows.leaked:
        notes.append(f"{rows.leaked:,} rows left out: an earlier split has equal rows")
    return notes


# ---------------------------------------------------------------------------------------- write


def _split_record(
    rows: SplitRows, plan: SplitPlan, thresholds: Thresholds, ingested: Report
) -> dict[str, Any]:
    """Return what the manifest records of the split, so that it can be repeated and compared."""
    split: dict[str, Any] = {
        **plan.rule.conditions(),
        "reason": plan.rule.reason,
        "ids": plan.ids,
        "thresholds": thresholds,
    }
    contents = {
        name: table_fingerprint(rows.keys[rows.codes == code]) for code, name in enumerate(SPLITS)
    }
    split["fingerprint"] = fingerprint(split, contents, ingested.data)
    split["contents"] = contents  # which rows, whatever the roles of their columns
    split["keys"] = plan.key_version
    return split


def _write_parts(
    project: Project, rows: SplitRows, rule: SplitRule, split: str
) -> dict[str, list[dict[str, Any]]]:
    """Write each split under a name of its content, so that no earlier part is touched."""
    parts: dict[str, list[dict[str, Any]]] = {}
    # An order that does not depend on the source's: by time, key, content.
    by = [rows.keys, rows.frame[ROW].to_numpy()]
    if rule.name == "time":
        by.append(rows.frame[str(rule.column)].to_numpy())
    order = np.lexsort(by)
    ordered_codes = rows.codes[order]
    for code, name in enumerate(SPLITS):
        frame = rows.frame.drop(columns=ROW).take(order[ordered_codes == code])
        path = project.split_folder(name) / f"part-{split[:8]}-0.parquet"
        with write_atomic(path) as temporary:
            write_parquet(frame, temporary)
        relative = project.relative(path)
        parts[name] = [{"file": relative, "rows": len(frame), "bytes": path.stat().st_size}]
    return parts


def _write_manifest(
    project: Project,
    ingested: Report,
    split: dict[str, Any],
    parts: dict[str, list[dict[str, Any]]],
) -> None:
    """Write data/manifest.json, with which the new parts become the splits."""
    manifest = {
        "version": MANIFEST_VERSION,
        "fingerprint": ingested.data,
        "keys": recorded_version(ingested.facts),
        "source": ingested.facts["source"],
        "original": ingested.facts["original"],
        "rows": {name: sum(part["rows"] for part in parts[name]) for name in SPLITS},
        "split": split,
        "parts": parts,
    }
    write_json(project.manifest_file, manifest)


def _remove_old_parts(project: Project, parts: dict[str, list[dict[str, Any]]]) -> None:
    """Remove parts that the manifest does not name, also those that a killed run left."""
    for name in SPLITS:
        named = {Path(part["file"]).name for part in parts[name]}
        for path in project.split_folder(name).glob("*part-*.parquet"):
            if path.name not in named:
                path.unlink()
