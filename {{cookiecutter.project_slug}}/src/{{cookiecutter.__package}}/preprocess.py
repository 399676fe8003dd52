"""Stage: clean the typed table, split it, and prove that the splits share nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from .core.config import Settings, kept_rules, newest_rules
from .core.errors import UserError, listed
from .core.files import fingerprint, read_json, write_atomic, write_json
from .core.pipeline import write_report
from .core.project import SPLITS, Project, Report, read_report
from .data.arrow import read_parquet
from .data.cast import spell
from .data.checks import check_target, refuse_missing
from .data.clean import CleanedRows, clean
from .data.keys import ROW, content_keys, recorded_version, row_keys, table_fingerprint
from .data.overlap import (
    BY_KEY,
    EqualRows,
    SplitRows,
    contents,
    drop_leaks,
    find_equal_rows,
    prove_no_overlap,
)
from .data.schema import Schema, load_schema
from .data.sources import verify_original
from .data.split import (
    MANIFEST_VERSION,
    ONE,
    TOGETHER,
    SplitRule,
    Thresholds,
    assign,
    choose_rule,
    fit_thresholds,
    kept_thresholds,
    load_manifest,
    placed_as_before,
    rare_strata,
    split_keys,
    with_bucket,
)
from .data.writers import write_parquet

# By more than this share of its rows, a class has other shares than those asked for.
UNEVEN = 0.02


@dataclass(frozen=True)
class SplitPlan:
    """How to split, decided before any row is read.

    Attributes:
        rule: How rows are assigned.
        ids: The columns that identify a row.
        kept: The thresholds of the last split; None where they are to be fitted.
        key_version: Of the rows' keys; where thresholds are kept, so are the keys.
        duplicates: What becomes of equal rows: the setting.
    """

    rule: SplitRule
    ids: list[str]
    kept: Thresholds | None
    key_version: int
    duplicates: str


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
    equal = find_equal_rows(rows, schema) if plan.duplicates != "drop" else EqualRows(0, 0, False)
    facts = prove_no_overlap(rows, plan.rule, schema, settings, equal)
    facts |= _describe(rows, cleaned, plan, thresholds)
    rules = kept_rules(project) or newest_rules()
    aloud = [*_row_notes(cleaned, rows, equal, plan), *_split_notes(rows, plan, thresholds)]
    aloud += _rule_notes(project, rules)
    facts |= {"equal_rows": equal.rows, "copies": equal.copies, "aloud": aloud}
    facts["notes"] = [*_kept_notes(plan), *aloud]
    # From here on, nothing is refused any more.
    split = _split_record(rows, plan, thresholds, ingested)
    parts = _write_parts(project, rows, plan.rule, split["fingerprint"])
    _write_manifest(project, ingested, split, parts, rules)
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
    earlier = load_manifest(project) if project.manifest_file.exists() else None
    rule = placed_as_before(choose_rule(schema, settings), earlier, settings)
    ids = [column.name for column in schema.ids]
    kept = None if refit else kept_thresholds(earlier, rule, ingested.facts["source"], ids)
    return SplitPlan(rule, ids, kept, split_keys(earlier, kept), settings.data.duplicates)


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
    otherwise = "drop them in clean of custom.py"
    for column in schema.ids:
        refuse_missing(rows[column.name], "id", f"name other columns as id, or {otherwise}")
    if plan.rule.name == "time":
        refuse_missing(rows[plan.rule.column], "time", otherwise)
    if schema.group and plan.kept is None and not rows[schema.group.name].duplicated().any():
        raise UserError(
            f"[data] group = {schema.group.name} differs in every row, so it groups nothing; empty "
            "it, or name the column that rows of one customer, device or the like share."
        )
    if plan.rule.equals == TOGETHER and (schema.ids or cleaned.changed):
        held = content_keys(rows, contents(schema), plan.key_version) >> np.uint64(1)
        keyed = rows.assign(**{ROW: held.astype(np.int64)})
        return replace(cleaned, frame=nw.from_native(keyed, eager_only=True))
    return cleaned


# ---------------------------------------------------------------------------------------- split


def _split(cleaned: CleanedRows, plan: SplitPlan, schema: Schema) -> tuple[Thresholds, SplitRows]:
    """Fit the thresholds and assign every row, without duplicates across splits."""
    bucketed = with_bucket(cleaned.frame, plan.rule)
    thresholds = fit_thresholds(bucketed, plan.rule, plan.kept)
    assigned = assign(bucketed, plan.rule, thresholds).to_native()
    rows = drop_leaks(cleaned, assigned, plan.rule, schema, plan.key_version)
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
    shown = " / ".join(f"{count:,}" for count in rows.counts().values())
    missing = cleaned.without_target
    left_out = f"; {missing:,} without a target left out" if missing else ""
    return {
        "summary": f"{rule.name} split, train / valid / test {shown}{left_out}",
        "rule": rule.name,
        "column": rule.column,
        "reason": rule.reason,
        "seed": rule.seed,
        "fractions": dict(zip(SPLITS, rule.fractions, strict=True)),
        "thresholds": "fitted" if plan.kept is None else "kept",
        "duplicates": plan.duplicates,
        "duplicates_dropped": cleaned.duplicates,
        "without_target": missing,
        "removed_by_custom": cleaned.removed,
        "purged": rows.purged,
        "twins_removed": rows.leaked,
        "weightless": cleaned.weightless,
    }


def _kept_notes(plan: SplitPlan) -> list[str]:
    """Say that the thresholds are those of the last split."""
    if plan.kept is None:
        return []
    return [
        "the thresholds of the last split were kept, so that no earlier row moved; another [split] "
        "seed splits again"
    ]


def _rule_notes(project: Project, rules: dict[str, str]) -> list[str]:
    """Say which rules of an earlier version are written into the manifest, and so stay."""
    if not project.manifest_file.exists() or "rules" in read_json(project.manifest_file):
        return []
    return [
        f"[data] {key} = {value}, by which this project was split so far, now stands in "
        f"data/manifest.json; `ingest --infer` takes today's default, {newest_rules()[key]}"
        for key, value in rules.items()
        if value != newest_rules()[key]
    ]


def _row_notes(
    cleaned: CleanedRows, rows: SplitRows, equal: EqualRows, plan: SplitPlan
) -> list[str]:
    """Say which rows were left out, and which equal another."""
    total = len(cleaned.frame) + cleaned.duplicates + cleaned.removed
    total += cleaned.without_target + cleaned.weightless

    def of(count: int) -> str:
        return f"{count:,} of {total:,} rows ({count / total:.2%})"

    notes = []
    if cleaned.without_target:
        notes.append(f"left out, since the target is missing: {of(cleaned.without_target)}")
    if cleaned.weightless:
        notes.append(f"left out, since their weight is 0: {of(cleaned.weightless)}")
    if cleaned.duplicates:
        setting = "[data] duplicates = drop"
        notes.append(f"dropped, since they equal another row: {of(cleaned.duplicates)}; {setting}")
    ids = ", ".join(plan.ids)
    apart = f", {ids} apart," if ids else " in every column"
    together = plan.rule.equals == TOGETHER
    otherwise = "[data] duplicates = drop would leave out all but one"
    otherwise += "" if together else ", together keep them in one split"
    if equal.copies:
        why = f"they equal others{apart} far more often than by chance"
        if not equal.by_copying:
            why = f"they equal others in every column, {ids} among them"
        notes.append(f"almost certainly copies: {of(equal.copies)}; {why}; {otherwise}")
    if equal.rows > equal.copies:
        how = "in the split of those" if together else "as different people or events"
        kept = f"{of(equal.rows - equal.copies)} equal others{apart} and are kept {how}"
        notes.append(f"{kept}; {otherwise}")
    repeated = int(rows.frame[ROW].duplicated().sum()) - equal.with_id if ids else 0
    if repeated and plan.rule.name in BY_KEY:
        notes.append(
            f"{of(repeated)} repeat an id ({ids}), and stay in one split; if it is that of a "
            "person or a thing with several rows, name it as [data] group instead"
        )
    return notes


def _split_notes(rows: SplitRows, plan: SplitPlan, thresholds: Thresholds) -> list[str]:
    """Say which rows the split left out, and where it is not as conf.cfg asks for."""
    notes = []
    rare = rare_strata(thresholds) if plan.rule.name == "stratified" else []
    if rare:
        notes.append(f"too rare for valid and test, so only in train: {listed(rare, 10)}")
    if rows.purged:
        notes.append(f"{rows.purged:,} rows left out: their {plan.rule.purge_by} has later rows")
    if rows.leaked:
        notes.append(f"{rows.leaked:,} rows left out: an earlier split has equal rows")
    if plan.duplicates == "keep" and plan.rule.equals == ONE:
        notes.append("equal rows stay in one split, as before; `ingest --infer` spreads them")
    uneven = _uneven_shares(rows, plan.rule, {*rare})
    if uneven:
        asked = _in_percent(plan.rule.fractions)
        more = f" and {len(uneven) - 5} more" if len(uneven) > 5 else ""
        notes.append(
            f"train / valid / test are not as asked for ({asked} %): {'; '.join(uneven[:5])}{more}"
        )
    return notes


def _uneven_shares(rows: SplitRows, rule: SplitRule, rare: set[str]) -> list[str]:
    """Return the classes, or all rows, whose shares are not those asked for, with their shares."""
    if rule.name == "stratified":
        strata, names = pd.factorize(rows.frame[rule.column])
    else:
        strata, names = np.zeros(len(rows.codes), dtype=np.int64), pd.Index(["all rows"])
    held = np.bincount(strata * 3 + rows.codes, minlength=3 * len(names)).reshape(-1, 3)
    uneven = []
    for name, counts in zip(map(spell, names), held, strict=True):
        total = counts.sum()
        off = np.abs(counts - total * np.array(rule.fractions)).max()
        if name not in rare and off > max(1.5, UNEVEN * total):  # rows cannot be divided further
            uneven.append(f"{name}: {_in_percent(counts / total)} %")
    return uneven


def _in_percent(shares: Iterable[float]) -> str:
    """Write shares as whole percent."""
    return " / ".join(f"{100 * share:.3g}" for share in shares)


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
    if plan.duplicates != "drop":
        split["equals"] = plan.rule.equals
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
    rules: dict[str, str],
) -> None:
    """Write data/manifest.json, with which the new parts become the splits."""
    manifest = {
        "version": MANIFEST_VERSION,
        "fingerprint": ingested.data,
        "keys": recorded_version(ingested.facts),
        "source": ingested.facts["source"],
        "original": ingested.facts["original"],
        "rows": {name: sum(part["rows"] for part in parts[name]) for name in SPLITS},
        "rules": rules,
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
