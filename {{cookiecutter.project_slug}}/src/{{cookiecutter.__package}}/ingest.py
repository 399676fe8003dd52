"""Stage: bring the source in, keep its original untouched, and type it by the schema."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .core.config import redact
from .core.errors import UserError
from .core.files import file_sha256, fingerprint, write_atomic
from .core.project import Project
from .core.reports import Report
from .core.stages import write_report
from .data.cast import conform
from .data.infer import check_target, conditions, infer_schema
from .data.keys import ROW, content_keys, row_keys, table_fingerprint
from .data.original import FETCHED, Original, find_original, keep_original, sha256_of
from .data.readers import read_table
from .data.schema import (
    INFER_AGAIN,
    Schema,
    SchemaFile,
    columns_fingerprint,
    read_schema_file,
    save_schema,
    with_roles,
)
from .data.sources import local_file, locate
from .data.split import data_keys, load_manifest
from .data.writers import write_parquet

if TYPE_CHECKING:
    import pandas as pd

    from .core.config import Settings

LEAST_ROWS = 3


@dataclass(frozen=True)
class Source:
    """Where the rows come from.

    Attributes:
        original: The file that `[data] source` stands for.
        appended: The files of `[data] append`, whose rows stand below.
    """

    original: Original
    appended: list[Path]


@dataclass(frozen=True)
class ChosenSchema:
    """The schema to type the table by.

    Attributes:
        file: The schema, and what it was inferred from.
        inferred: Whether it was inferred just now.
        replaces: Whether it replaces one with other columns, which is kept beside it.
    """

    file: SchemaFile
    inferred: bool
    replaces: bool


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
        source = Source(find_original(project, settings), appended_files(project, settings))
        typed, chosen = _read_typed(project, settings, source, infer)
        check_target(typed, chosen.file.schema, settings)
        _refuse_missing_ids(typed, chosen.file.schema)
        earlier = load_manifest(project) if project.manifest_file.exists() else None
        key_version = data_keys(earlier, redact(settings.data.source))
        # From here on, nothing is refused any more.
        return _write(project, settings, source, chosen, typed, key_version)
    finally:
        shutil.rmtree(project.original / FETCHED, ignore_errors=True)


# ------------------------------------------------------------------------------------------- read


def _read_typed(
    project: Project, settings: Settings, source: Source, infer: bool
) -> tuple[pd.DataFrame, ChosenSchema]:
    """Return the source's rows, typed and checked by the schema that is kept or inferred."""
    earlier = read_schema_file(project)
    kept = None if earlier and (infer or _is_outdated(earlier, settings)) else earlier
    frame = _read(source, settings, kept.schema if kept else None)
    chosen = _choose_schema(frame, earlier, kept, settings, source.original)
    schema, name = chosen.file.schema, source.original.name
    return conform(frame, schema, where=name, values=True, advice=INFER_AGAIN), chosen


def _read(source: Source, settings: Settings, schema: Schema | None) -> pd.DataFrame:
    """Read all rows; what the schema, if one is kept, holds as text is read as text."""
    original = source.original
    frame = read_table(original.path, settings.data, schema)
    if original.has_changed():
        raise UserError(f"{original.name} changed while it was read; try again when it is whole.")
    if len(frame) < LEAST_ROWS:
        raise UserError(
            f"{original.name} has {len(frame)} row{'s' if len(frame) > 1 else ''}; train, valid "
            f"and test need at least {LEAST_ROWS}, and a model many more."
        )
    return _with_appended(frame, source, settings, schema) if source.appended else frame


def _with_appended(
    frame: pd.DataFrame, source: Source, settings: Settings, schema: Schema | None
) -> pd.DataFrame:
    """Return the original's rows with those of the appended files below them."""
    import pandas as pd

    names, frames = list(frame.columns), [frame]
    for path in source.appended:
        rows = read_table(path, settings.data, schema)
        differing = set(names) ^ set(rows.columns)
        if differing:
            raise UserError(
                f"{path.name} has to have the columns of {source.original.name}; only one of them "
                f"has '{min(differing)}'."
            )
        frames.append(rows[names])
    return pd.concat(frames, ignore_index=True)


def _refuse_missing_ids(frame: pd.DataFrame, schema: Schema) -> None:
    """Refuse rows without an id."""
    for column in schema.ids:
        missing = frame[column.name].isna().to_numpy()
        if missing.any():
            raise UserError(
                f"[data] id = {column.name} is missing in {int(missing.sum()):,} rows, first in "
                f"row {int(missing.argmax()) + 1:,}; fill them, or name other columns as id."
            )


def appended_files(project: Project, settings: Settings) -> list[Path]:
    """Return the files of `[data] append`.

    Raises:
        UserError: If one of them is not a file, or does not exist.
    """
    files = []
    for named in settings.data.append:
        scheme, location = locate(named, project.root)
        if scheme != "file":
            raise UserError(f"[data] append = {redact(named)}: has to be a file.")
        files.append(local_file(location))
    return files


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


def _is_outdated(file: SchemaFile, settings: Settings) -> bool:
    """Tell whether an unedited schema belongs to another source or to other settings."""
    other_source = file.schema.source != redact(settings.data.source)
    return (other_source or file.conditions != conditions(settings)) and not file.edited


def _choose_schema(
    frame: pd.DataFrame,
    earlier: SchemaFile | None,
    kept: SchemaFile | None,
    settings: Settings,
    original: Original,
) -> ChosenSchema:
    """Return the schema that is kept, with the roles of conf.cfg, or else infer one."""
    if kept is not None:
        schema = _updated_roles(kept.schema, settings, list(frame.columns))
        return ChosenSchema(replace(kept, schema=schema), inferred=False, replaces=False)
    try:
        inference = infer_schema(frame, settings)
    except UserError as error:
        raise UserError(f"{original.name}: {error}") from None
    columns = columns_fingerprint(inference.schema)
    notes = tuple(" ".join(note.split()) for note in inference.notes)
    file = SchemaFile(inference.schema, columns, conditions(settings), notes)
    other = earlier is not None and columns_fingerprint(earlier.schema) != columns
    return ChosenSchema(file, inferred=True, replaces=other)


def _updated_roles(schema: Schema, settings: Settings, names: list[str]) -> Schema:
    """Return a schema that is kept, with the source and roles that conf.cfg gives now.

    A role may name a column that the schema lacks but the table has: that is listed with the rest.
    """
    roles = with_roles(schema, settings.data, [*names, *schema.names])
    return replace(roles, source=redact(settings.data.source))


# ----------------------------------------------------------------------------------------- write


def _write(
    project: Project,
    settings: Settings,
    source: Source,
    chosen: ChosenSchema,
    typed: pd.DataFrame,
    key_version: int,
) -> Report:
    """Write the original, the schema and the typed table; the report, last, makes them count."""
    schema = chosen.file.schema
    keys = row_keys(typed, schema, key_version)
    content = table_fingerprint(
        content_keys(typed, schema.names, key_version) if schema.ids else keys
    )
    data = fingerprint(content, columns_fingerprint(schema), _roles(schema))
    schema_facts = _schema_facts(typed, chosen)
    typed.insert(0, ROW, keys)
    path = keep_original(source.original)
    if chosen.replaces:
        _keep_old_schema(project)
    with write_atomic(project.typed) as temporary:
        write_parquet(typed, temporary)
    save_schema(project, chosen.file)
    files = [project.typed, project.schema_file]
    if path.is_relative_to(project.root) and FETCHED not in path.parts:
        files.append(path)
    facts = {
        **_table_facts(typed, chosen, settings),
        "content": content,
        "keys": key_version,
        **_source_facts(project, settings, source, path),
        "files": project.sizes(*files),
    }
    write_report(project, settings, "ingest", schema_facts, name="schema", data=data)
    return write_report(project, settings, "ingest", facts, data=data)


def _keep_old_schema(project: Project) -> None:
    """Keep the schema that is about to be replaced beside it."""
    path = project.schema_file
    with write_atomic(path.with_name("schema.old.yaml")) as temporary:
        shutil.copyfile(path, temporary)


def _roles(schema: Schema) -> list[Any]:
    """Return the roles, apart from those that change nothing in the data."""
    return [[column.name, [role for role in column.roles if role != "sensitive"]]
            for column in schema.columns]  # fmt: skip


def _source_facts(
    project: Project, settings: Settings, source: Source, path: Path
) -> dict[str, Any]:
    """Return what reports/ingest.json says of the files that were read; `path` is the original."""
    original = source.original
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
            for each in source.appended
        ],
    }


def _table_facts(typed: pd.DataFrame, chosen: ChosenSchema, settings: Settings) -> dict[str, Any]:
    """Return what reports/ingest.json says of the table."""
    rows, columns = len(typed), len(chosen.file.schema.columns)
    source = redact(settings.data.source)
    notes = f"; notes in data/schema.yaml: {len(chosen.file.notes)}" if chosen.file.notes else ""
    return {
        "summary": f"{rows:,} rows, {columns} columns from {source}{notes}",
        "source": source,
        "query": settings.data.query,
        "rows": rows,
        "columns": columns,
        "repeated_keys": int(rows - typed[ROW].nunique()),
    }


def _schema_facts(typed: pd.DataFrame, chosen: ChosenSchema) -> dict[str, Any]:
    """Return what reports/schema.json holds: each column's type, roles and missing share."""

    def missing(name: str) -> float | None:
        return round(float(typed[name].isna().mean()), 6) if name in typed else None

    return {
        "inferred": chosen.inferred,
        "edited": chosen.file.edited,
        "notes": list(chosen.file.notes),
        "columns": [
            {**column.to_dict(), "missing": missing(column.name)}
            for column in chosen.file.schema.columns
        ],
    }
