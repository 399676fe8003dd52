"""Stage: bring the source in, keep its original untouched, and type it by the schema."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .core.config import redact
from .core.errors import UserError
from .core.files import file_sha256, fingerprint, write_atomic
from .core.pipeline import write_report
from .core.project import Project, Report
from .data.cast import conform
from .data.differences import differences
from .data.infer import check_target, conditions, infer_schema, refuse_missing
from .data.keys import ROW, content_keys, row_keys, table_fingerprint
from .data.original import (
    FETCHED,
    Original,
    appended_files,
    find_original,
    keep_original,
    sha256_of,
)
from .data.readers import column_names, read_table, reading_notes
from .data.schema import (
    INFER_AGAIN,
    Column,
    Schema,
    SchemaFile,
    columns_fingerprint,
    read_schema_file,
    save_schema,
    with_roles,
)
from .data.sources import locate
from .data.split import data_keys, load_manifest
from .data.words import read_words
from .data.writers import write_parquet

if TYPE_CHECKING:
    import pandas as pd

    from .core.config import Settings

LEAST_ROWS = 3
# So many notes are printed; all of them stand in data/schema.yaml.
MOST_NOTES = 20


def ingest(project: Project, settings: Settings, infer: bool = False) -> Report:
    """Read the source into `data/typed.parquet`, typed and checked by `data/schema.yaml`.

    Args:
        project: Where to write.
        settings: `[data]`, the task, and the most values of a category.
        infer: Whether to infer the schema again even if somebody edited it.

    Raises:
        UserError: If the source cannot be read, or does not fit the schema. Nothing of what an
            earlier ingest wrote is changed then.
    """
    try:
        original = find_original(project, settings)
        earlier = read_schema_file(project)
        again = infer or (earlier and _is_outdated(earlier, settings, original))
        kept = None if again else earlier
        frame = _read(original, settings, kept.schema if kept else None)
        name = original.name
        target = None if infer or earlier is None else earlier.schema.target
        frame, file = _choose_schema(frame, kept, settings, original, target)
        typed = conform(frame, file.schema, where=name, values=True, advice=INFER_AGAIN)
        check_target(typed, file.schema, settings)
        for column in file.schema.ids:
            refuse_missing(typed[column.name], "id", "name other columns as id")
        manifest = load_manifest(project) if project.manifest_file.exists() else None
        version = data_keys(manifest, redact(settings.data.source))
        # From here on, nothing is refused any more.
        notes = _kept_notes(kept.schema, settings) if kept else []
        notes += _positive_note(typed, file.schema, settings)
        if kept and kept.schema.is_earlier:
            notes.append(_read_otherwise(typed, file.schema, settings, original))
        aloud = _cut_off([*notes, *file.notes])
        return _write(project, settings, original, file, typed, version, aloud, inferred=not kept)
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
        schema = with_roles(kept.schema, settings.data, names)
        schema = replace(schema, source=redact(settings.data.source))
        return frame, replace(kept, schema=schema)
    try:
        reading = read_words(frame, settings.data)
        file = infer_schema(reading, settings, target)
    except UserError as error:
        raise UserError(f"{original.name}: {error}") from None
    notes = (*reading_notes(original.path, settings.data), *file.notes)
    return reading.frame, replace(file, notes=notes)


def _kept_notes(schema: Schema, settings: Settings) -> list[str]:
    """Say that a new source is held against the schema of another, or one that is older."""
    notes = []
    if schema.source != redact(settings.data.source):
        notes.append(
            f"data/schema.yaml was made for {schema.source} and is kept; `ingest --infer` makes a "
            "new one"
        )
    if schema.is_earlier:
        notes.append(
            "data/schema.yaml is of an earlier version, and CSV and Excel are read as they were "
            "then; `ingest --infer` reads each column by its own values"
        )
    return notes


def _positive_note(typed: pd.DataFrame, schema: Schema, settings: Settings) -> list[str]:
    """Say where an earlier schema looks for the more frequent of two classes."""
    target = schema.target
    if target is None or len(target.categories or ()) != 2 or target.positive:
        return []
    counts = typed[target.name].value_counts()
    last = max(counts.index)
    if settings.decision.positive or counts[last] == counts.min():
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
    more = f" and {len(found) - MOST_NOTES} more" if len(found) > MOST_NOTES else ""
    return f"would be read otherwise: {', '.join(found[:MOST_NOTES])}{more}"


def _cut_off(notes: list[str]) -> list[str]:
    """Return what people should hear of how the table was read, a long list cut off."""
    more = len(notes) - MOST_NOTES
    return notes if more <= 0 else [*notes[:MOST_NOTES], f"{more} more notes in data/schema.yaml"]


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
    data = fingerprint(content, columns_fingerprint(schema), _roles(schema))
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
