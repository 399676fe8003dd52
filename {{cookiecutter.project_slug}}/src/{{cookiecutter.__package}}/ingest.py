"""Stage: bring the source in, keep its original untouched, and type it by the schema."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .core.config import redact
from .core.errors import UserError, listed
from .core.files import file_sha256, fingerprint, write_atomic, write_json
from .core.pipeline import write_report
from .core.project import Project, Report, read_report
from .data.arrow import read_parquet
from .data.cast import conform
from .data.checks import check_target, check_weights, require_target
from .data.dates import CALENDAR, MONTH_NAMES
from .data.earlier_files import differences, upgraded
from .data.infer import calendar_note, conditions, infer_schema
from .data.keys import ROW, content_keys, row_keys, table_fingerprint
from .data.readers import column_names, read_table, reading_notes
from .data.schema import (
    INFER_AGAIN,
    Column,
    Schema,
    SchemaFile,
    columns_fingerprint,
    read_schema_file,
    save_schema,
    types_fingerprint,
    with_roles,
)
from .data.sources import (
    FETCHED,
    Original,
    appended_files,
    find_original,
    keep_original,
    locate,
    sha256_of,
)
from .data.split import data_keys, load_manifest, with_newest_rules
from .data.words import read_words, with_missing
from .data.writers import write_parquet

if TYPE_CHECKING:
    import pandas as pd

    from .core.config import Settings

LEAST_ROWS = 3
# Of so many columns it is said how they would be read otherwise.
MOST_NOTES = 20
# So many columns are named of those that a note of another holds for, too.
ALIKE = 3
# What a note says by example: values with digits, numbers, months. Dates, zones and %d stay.
EXAMPLE = re.compile(
    rf"'[^']*\d[^']*'|(?<= )-?\d[\d.,%]*(?![\d:-])|\b(?:{'|'.join(MONTH_NAMES)})\b"
)


def ingest(project: Project, settings: Settings, infer: bool = False) -> Report:
    """Read the source into `data/typed.parquet`, typed and checked by `data/schema.yaml`.

    Args:
        project: Where to write.
        settings: `[data]`, the task, and the most values of a category.
        infer: Whether to infer the schema again even if somebody edited it; from then on, rows are
            split by the rules of today.

    Raises:
        UserError: If the source cannot be read, or does not fit the schema. Nothing of what an
            earlier ingest wrote is changed then.
    """
    try:
        original = find_original(project, settings)
        earlier = read_schema_file(project)
        again = infer or (earlier and _is_outdated(earlier, settings, original))
        kept = None if again else earlier
        migrated = kept is not None and kept.schema.is_earlier
        kept = _upgraded(kept, original, settings) if kept and migrated else kept
        frame = _read(original, settings, kept.schema if kept else None)
        name = original.name
        target = None if infer or earlier is None else earlier.schema.target
        frame, file = _choose_schema(frame, kept, settings, original, target)
        typed = conform(frame, file.schema, where=name, values=True, advice=INFER_AGAIN)
        check_target(typed, file.schema, settings)
        check_weights(typed, file.schema)
        manifest = load_manifest(project) if project.manifest_file.exists() else None
        version = data_keys(manifest, redact(settings.data.source))
        # From here on, nothing is refused any more.
        notes = _kept_notes(kept.schema, file.schema, settings) if kept else []
        found = require_target(file.schema)
        decided = not kept and (target is None or target.categories != found.categories)
        notes += _positive_note(typed, found, settings, decided=decided)
        if earlier and migrated:
            notes += _migration_notes(earlier.schema, file.schema)
            notes += _changed_values(project, original, typed, earlier.schema, file.schema)
            notes.append(_read_otherwise(typed, file.schema, settings, original))
        aloud = [*notes, *_grouped(file.notes, {*file.schema.names})]
        report = _write(project, settings, original, file, typed, version, aloud, inferred=not kept)
        if infer and manifest:
            write_json(project.manifest_file, with_newest_rules(manifest))
        return report
    finally:
        shutil.rmtree(project.original / FETCHED, ignore_errors=True)


# ------------------------------------------------------------------------------------------- read


def _read(original: Original, settings: Settings, schema: Schema | None) -> pd.DataFrame:
    """Read all rows; what the schema, if one is kept, holds as text is read as text."""
    import pandas as pd

    frame = read_table(original.path, settings.data, schema)
    if original.has_changed():
        raise UserError(f"{original.name} changed while it was read; try again when it is whole.")
    if len(frame) < LEAST_ROWS:
        raise UserError(
            f"{original.name} has {len(frame)} row{'s' if len(frame) > 1 else ''}; train, valid "
            f"and test need at least {LEAST_ROWS}, and a model many more."
        )
    frames = [frame]
    for path in original.appended:
        rows = read_table(path, settings.data, schema)
        differing = set(frame.columns) ^ set(rows.columns)
        if differing:
            raise UserError(
                f"{path.name} has to have the columns of {original.name}; only one of them has "
                f"'{min(differing)}'."
            )
        frames.append(rows[frame.columns])
    return pd.concat(frames, ignore_index=True) if original.appended else frame


def source_state(project: Project, settings: Settings) -> str:
    """Return a fingerprint of what the result depends on, besides settings and code.

    That is the SHA-256 of a local file, else the source and its query, without credentials; the
    SHA-256 of appended files; and the schema, which a person may have edited.
    """
    data = settings.data
    scheme, location = locate(data.source, project.root)
    if scheme == "file" and Path(location).is_file():
        state = sha256_of(Path(location))
    else:
        state = fingerprint(redact(data.source), redact(location), data.query)
    schema = file_sha256(project.schema_file) if project.schema_file.exists() else ""
    more = [sha256_of(path) for path in appended_files(project, settings)]
    return fingerprint(state, schema, *more)


# ---------------------------------------------------------------------------------------- schema


def _is_outdated(file: SchemaFile, settings: Settings, original: Original) -> bool:
    """Tell whether an unedited schema was inferred by other settings, or from another table.

    Next month's file of the same table is held against the schema that is there; one that shares
    no column with it, the target apart, is another table.
    """
    if file.edited:
        return False
    schema = file.schema
    if file.conditions != conditions(settings, schema.version):
        return True
    if schema.source == redact(settings.data.source):
        return False
    names = {*column_names(original.path, settings.data, schema)} - {settings.data.target}
    return not names & {*schema.names}


def _choose_schema(
    frame: pd.DataFrame,
    kept: SchemaFile | None,
    settings: Settings,
    original: Original,
    target: Column | None = None,
) -> tuple[pd.DataFrame, SchemaFile]:
    """Return the table and the schema: the one that is kept, with source and roles of conf.cfg.

    Else one is inferred, and the table's numbers are read; `target` is that of an earlier schema.
    """
    if kept is not None:
        # A role may name a column that the schema lacks but the table has: conform lists it.
        names = [*map(str, frame.columns), *kept.schema.names]
        schema = _with_calendar(with_roles(kept.schema, settings.data, names), kept.schema.time)
        schema = replace(schema, source=redact(settings.data.source))
        return frame, replace(kept, schema=schema)
    try:
        reading = read_words(frame, settings.data)
        file = infer_schema(reading, settings, target)
    except UserError as error:
        raise UserError(f"{original.name}: {error}") from None
    notes = (*reading_notes(original.path, settings.data), *file.notes)
    missing = {column.name: column.missing or () for column in file.schema.columns}
    return with_missing(reading.frame, missing), replace(file, notes=notes)


def _grouped(notes: Iterable[str], names: set[str]) -> list[str]:
    """Return the notes, one for all columns of which the same is said.

    Args:
        notes: Those about one column begin with its name.
        names: The columns.
    """
    alike: dict[str, list[tuple[str, str]]] = {}
    for note in notes:
        starts = [note[: end.start()] for end in re.finditer("[ :]", note)]
        name = max((start for start in starts if start in names), default="")
        kind = EXAMPLE.sub("", note.removeprefix(name)) if name else note
        alike.setdefault(kind, []).append((name, note))
    found = []
    for (_, note), *others in alike.values():
        also = [name for name, _ in others if name]
        found.append(f"{note}; likewise {listed(also, ALIKE)}" if also else note)
    return found


def _with_calendar(schema: Schema, earlier: Column | None) -> Schema:
    """Return a kept schema whose time has the parts that an inferred one has, if it is a new time.

    A time that was there keeps its rule, as the split and the models do.
    """
    time = schema.time
    if time is None or time.type != "datetime" or (earlier and earlier.name == time.name):
        return schema
    parts = tuple(part for part in CALENDAR if time.parts is None or part in time.parts)
    columns = (replace(each, parts=parts) if each is time else each for each in schema.columns)
    return replace(schema, columns=tuple(columns))


def _kept_notes(before: Schema, schema: Schema, settings: Settings) -> list[str]:
    """Say that a new source is held against the schema of another, and what a new time gives."""
    notes = []
    if before.source != schema.source:
        notes.append(
            f"data/schema.yaml was made for {before.source} and is kept; `ingest --infer` makes a "
            "new one"
        )
    if schema.time and (before.time is None or before.time.name != schema.time.name):
        notes += calendar_note(schema.time, settings)
    return notes


def _upgraded(file: SchemaFile, original: Original, settings: Settings) -> SchemaFile:
    """Return a schema of version 1 as one of today's that reads the files alike.

    What somebody edited still counts as edited, and the rest as inferred.

    Raises:
        UserError: If the table has nothing in common with the schema, or is read otherwise.
    """
    if not {*column_names(original.path, settings.data, file.schema)} & {*file.schema.names}:
        raise UserError(
            f"{original.name} has no column of data/schema.yaml, which is of an earlier version; "
            "correct [data] source, or infer it again with `ingest --infer`."
        )
    files = [original.path, *original.appended]
    schema = upgraded(file.schema, files, settings.data, INFER_AGAIN)
    inferred = file.inferred if file.edited else columns_fingerprint(schema)
    return replace(file, schema=schema, inferred=inferred, conditions=conditions(settings))


def _migration_notes(before: Schema, after: Schema) -> list[str]:
    """Say what an update wrote into the schema."""
    added = []
    for old, new in zip(before.columns, after.columns, strict=True):
        changed = [f"decimal '{new.decimal}'"] if new.decimal != old.decimal else []
        changed += [f"missing {', '.join(new.missing)}"] if new.missing and not old.missing else []
        changed += ["exact"] if new.exact and not old.exact else []
        added += [f"{new.name} ({'; '.join(changed)})"] if changed else []
    now = f", with {listed(added, MOST_NOTES)}" if added else ""
    return [
        "data/schema.yaml was of an earlier version, and now says itself how its columns are "
        f"read{now}; the earlier one is kept as schema.old.yaml, and `ingest --infer` reads "
        "each column by its own values"
    ]


def _changed_values(
    project: Project, original: Original, typed: pd.DataFrame, before: Schema, after: Schema
) -> list[str]:
    """Say what differs from the table that the earlier version made of the same file."""
    report = read_report(project, "ingest")
    if report is None or not project.typed.exists():
        return []
    files = [report.facts["original"], *report.facts["appended"]]
    same = [original.sha256, *map(sha256_of, original.appended)]
    if [file["sha256"] for file in files] != same:
        return []
    found = differences(read_parquet(project.typed), before, typed, after)
    if not found:
        return []
    return [f"read otherwise than before the update: {listed(found, MOST_NOTES)}"]


def _positive_note(
    typed: pd.DataFrame, target: Column, settings: Settings, *, decided: bool
) -> list[str]:
    """Say which of two classes is the one to find, where that was just decided or may surprise."""
    if len(target.categories or ()) != 2 or settings.decision.positive:
        return []
    counts = typed[target.name].value_counts()
    if decided and target.positive:
        rarer = counts[target.positive] < counts.max()
        why = "the rarer of two" if rarer else "the last in order of two equal classes"
        share = 100 * counts[target.positive] / counts.sum()
        return [
            f"the positive class, the one to find, is '{target.positive}', {why} ({share:.2g}% of "
            "the rows); [decision] positive in conf.cfg names the other"
        ]
    last = max(counts.index)
    if target.positive or counts[last] == counts.min():
        return []
    return [
        f"the positive class stays '{last}', the last in order; `ingest --infer` takes the rarer, "
        "and [decision] positive in conf.cfg names either"
    ]


def _read_otherwise(
    typed: pd.DataFrame, schema: Schema, settings: Settings, original: Original
) -> str:
    """Say which columns `ingest --infer` would read otherwise than an earlier schema does."""
    try:
        frame, file = _choose_schema(_read(original, settings, None), None, settings, original)
        again = conform(frame, file.schema, where=original.name)
    except UserError as error:
        return f"`ingest --infer` would refuse the table: {error}"
    found = differences(typed, schema, again, file.schema)
    if not found:
        return "`ingest --infer` would read each column as it is read now"
    return f"would be read otherwise: {listed(found, MOST_NOTES)}"


# ----------------------------------------------------------------------------------------- write


def _write(
    project: Project,
    settings: Settings,
    original: Original,
    file: SchemaFile,
    typed: pd.DataFrame,
    version: int,
    aloud: list[str],
    *,
    inferred: bool,
) -> Report:
    """Write the original, the schema and the typed table; the report, last, makes them count."""
    import pandas as pd

    schema = file.schema
    keys = row_keys(typed, schema, version)
    content = table_fingerprint(content_keys(typed, schema.names, version) if schema.ids else keys)
    data = fingerprint(content, types_fingerprint(schema), _roles(schema))
    schema_facts = {"inferred": inferred, **_schema_facts(typed, file)}
    # Not by `insert`: pandas warns of it where a table has many columns.
    typed = pd.concat([pd.Series(keys, index=typed.index, name=ROW), typed], axis=1)
    path = keep_original(original)
    with write_atomic(project.typed) as temporary:
        write_parquet(typed, temporary)
    save_schema(project, file)
    files = [project.typed, project.schema_file]
    if path.is_relative_to(project.root) and FETCHED not in path.parts:
        files.append(path)
    facts = {
        **_table_facts(typed, file, settings),
        "aloud": aloud,
        "content": content,
        "keys": version,
        **_source_facts(project, settings, original, path),
        "files": project.sizes(*files),
    }
    write_report(project, settings, "ingest", schema_facts, name="schema", data=data)
    return write_report(project, settings, "ingest", facts, data=data)


def _roles(schema: Schema) -> list[Any]:
    """Return the roles, apart from those that change nothing in the data."""
    return [[column.name, [role for role in column.roles if role != "sensitive"]]
            for column in schema.columns]  # fmt: skip


def _source_facts(
    project: Project, settings: Settings, original: Original, path: Path
) -> dict[str, Any]:
    """Return what reports/ingest.json says of the files that were read, of which `path` is kept."""
    where = project.relative(path) if path.is_relative_to(project.root) else str(path)
    return {
        "original": {
            "path": redact(settings.data.source) if FETCHED in path.parts else where,
            "mode": settings.data.original,
            "sha256": original.sha256,
            "bytes": original.size,
        },
        "appended": [
            {"file": each.name, "sha256": sha256_of(each), "bytes": each.stat().st_size}
            for each in original.appended
        ],
    }


def _table_facts(typed: pd.DataFrame, file: SchemaFile, settings: Settings) -> dict[str, Any]:
    """Return what reports/ingest.json says of the table."""
    rows, columns = len(typed), len(file.schema.columns)
    source = redact(settings.data.source)
    return {
        "summary": f"{rows:,} rows, {columns} columns from {source}",
        "source": source,
        "query": settings.data.query,
        "rows": rows,
        "columns": columns,
        "repeated_keys": int(rows - typed[ROW].nunique()),
    }


def _schema_facts(typed: pd.DataFrame, file: SchemaFile) -> dict[str, Any]:
    """Return what reports/schema.json holds: each column's type, roles and missing share."""

    def missing(name: str) -> float | None:
        return round(float(typed[name].isna().mean()), 6) if name in typed else None

    return {
        "edited": file.edited,
        "notes": list(file.notes),
        "columns": [
            {**column.to_dict(), "missing": missing(column.name)} for column in file.schema.columns
        ],
    }
