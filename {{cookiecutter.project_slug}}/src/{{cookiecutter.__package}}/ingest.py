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
from .data.cast import cast_table, check_table, refuse
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
class Chosen:
    """The schema to type the table by.

    Attributes:
        file: The schema, and what it was inferred from.
        anew: Whether it was inferred just now.
    """

    file: SchemaFile
    anew: bool


def ingest(project: Project, settings: Settings, infer: bool = False) -> Report:
    """Read the source into `data/typed.parquet`, typed and checked by `data/schema.yaml`.

    Args:
        project: Where to write.
        settings: `[data]`, the task, and the most values of a category.
        infer: Whether to infer the schema anew even if somebody edited it.

    Raises:
        UserError: If the source cannot be read, or does not fit the schema. Nothing of what an
            earlier ingest wrote is changed then.
    """
    try:
        original = find_original(project, settings)
        known = read_schema_file(project)
        kept = None if known and (infer or _is_outdated(known, settings)) else known
        more = appended_files(project, settings)
        frame = _with_appended(_read(original, settings, kept), more, original, settings, kept)
        chosen = _choose_schema(frame, kept, settings, original)
        typed = _typed(frame, chosen.file.schema, original)
        del frame
        check_target(typed, chosen.file.schema, settings)
        _refuse_missing_ids(typed, chosen.file.schema)
        earlier = load_manifest(project) if project.manifest_file.exists() else None
        version = data_keys(earlier, redact(settings.data.source))
        # From here on, nothing is refused any more.
        return _commit(project, settings, original, known, chosen, typed, more, version)
    finally:
        shutil.rmtree(project.original / FETCHED, ignore_errors=True)


def _read(original: Original, settings: Settings, known: SchemaFile | None) -> pd.DataFrame:
    """Read the original; what a known schema holds as text is read as text."""
    frame = read_table(original.path, settings.data, known.schema if known else None)
    if original.has_changed():
        raise UserError(f"{original.name} changed while it was read; try again when it is whole.")
    if len(frame) < LEAST_ROWS:
        raise UserError(
            f"{original.name} has {len(frame)} row{'s' if len(frame) > 1 else ''}; train, valid "
            f"and test need at least {LEAST_ROWS}, and a model many more."
        )
    return frame


def appended_files(project: Project, settings: Settings) -> list[Path]:
    """Return the files of `[data] append`.

    Raises:
        UserError: If one is no file, or not there.
    """
    files = []
    for named in settings.data.append:
        scheme, location = locate(named, project.root)
        if scheme != "file":
            raise UserError(f"[data] append = {redact(named)}: has to be a file.")
        files.append(local_file(location))
    return files


def _with_appended(
    frame: pd.DataFrame,
    more: list[Path],
    original: Original,
    settings: Settings,
    known: SchemaFile | None,
) -> pd.DataFrame:
    """Return the source's rows with those of the further files below them."""
    if not more:
        return frame
    import pandas as pd

    names, frames = list(frame.columns), [frame]
    for path in more:
        rows = read_table(path, settings.data, known.schema if known else None)
        differing = set(names) ^ set(rows.columns)
        if differing:
            raise UserError(
                f"{path.name} has to have the columns of {original.name}; only one of them has "
                f"'{min(differing)}'."
            )
        frames.append(rows[names])
    return pd.concat(frames, ignore_index=True)


def _commit(
    project: Project,
    settings: Settings,
    original: Original,
    known: SchemaFile | None,
    chosen: Chosen,
    typed: pd.DataFrame,
    more: list[Path],
    version: int,
) -> Report:
    """Write the original, the schema and the typed table; the report, last, makes them count."""
    schema = chosen.file.schema
    keys = row_keys(typed, schema, version)
    content = table_fingerprint(content_keys(typed, schema.names, version) if schema.ids else keys)
    data = fingerprint(content, columns_fingerprint(schema), _roles(schema))
    described = _schema_facts(typed, chosen)
    typed.insert(0, ROW, keys)
    path = keep_original(original)
    if known and chosen.anew and columns_fingerprint(known.schema) != chosen.file.inferred:
        _keep_old_schema(project)
    with write_atomic(project.typed) as temporary:
        write_parquet(typed, temporary)
    save_schema(project, chosen.file)
    files = [project.typed, project.schema_file]
    if path.is_relative_to(project.root) and FETCHED not in path.parts:
        files.append(path)
    where = project.relative(path) if path.is_relative_to(project.root) else str(path)
    facts = {
        **_facts(typed, chosen, settings),
        "content": content,
        "keys": version,
        "original": {
            "path": redact(settings.data.source) if FETCHED in path.parts else where,
            "mode": settings.data.original,
            "sha256": original.sha256,
            "bytes": original.size,
        },
        "appended": [
            {"file": each.name, "sha256": sha256_of(each), "bytes": each.stat().st_size}
            for each in more
        ],
        "files": project.sizes(*files),
    }
    write_report(project, settings, "ingest", described, name="schema", data=data)
    return write_report(project, settings, "ingest", facts, data=data)


def source_state(project: Project, settings: Settings) -> str:
    """Return what a new ingest would follow from besides settings and code.

    That is the SHA-256 of a local file, else the source and its query, without credentials; those
    of appended files; and the schema, which a person may have edited.
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


# ------------------------------------------------------------------------------------ the schema


def _is_outdated(known: SchemaFile, settings: Settings) -> bool:
    """Tell whether an unedited schema belongs to another source or to other settings."""
    other_source = known.schema.source != redact(settings.data.source)
    return (other_source or known.conditions != conditions(settings)) and not known.edited


def _choose_schema(
    frame: pd.DataFrame, known: SchemaFile | None, settings: Settings, original: Original
) -> Chosen:
    """Return the schema that is known, with the roles of conf.cfg, or infer it."""
    if known is not None:
        schema = _updated_roles(known.schema, settings, list(frame.columns))
        return Chosen(replace(known, schema=schema), anew=False)
    try:
        inference = infer_schema(frame, settings)
    except UserError as error:
        raise UserError(f"{original.name}: {error}") from None
    schema = inference.schema
    notes = tuple(" ".join(note.split()) for note in inference.notes)
    marks = columns_fingerprint(schema), conditions(settings)
    return Chosen(SchemaFile(schema, *marks, notes), anew=True)


def _updated_roles(schema: Schema, settings: Settings, names: list[str]) -> Schema:
    """Return a schema that is kept, with the source and roles that conf.cfg gives now.

    A role may name a column that the schema lacks but the table has: that is listed with the rest.
    """
    roles = with_roles(schema, settings.data, [*names, *schema.names])
    return replace(roles, source=redact(settings.data.source))


def _typed(frame: pd.DataFrame, schema: Schema, original: Original) -> pd.DataFrame:
    """Cast and check a table, and list everything that stands against the schema."""
    typed, violations = cast_table(frame, schema)
    failed = {violation.column for violation in violations}
    fine = typed[[name for name in typed.columns if name not in failed]]
    refuse([*violations, *check_table(fine, schema)], original.name, INFER_AGAIN)
    return typed


def _keep_old_schema(project: Project) -> None:
    """Keep the schema that is about to be replaced beside it."""
    path = project.schema_file
    with write_atomic(path.with_name("schema.old.yaml")) as temporary:
        shutil.copyfile(path, temporary)


def _refuse_missing_ids(frame: pd.DataFrame, schema: Schema) -> None:
    """Refuse rows that their id does not name."""
    for column in schema.ids:
        missing = frame[column.name].isna().to_numpy()
        if missing.any():
            raise UserError(
                f"[data] id = {column.name} is missing in {int(missing.sum()):,} rows, first in "
                f"row {int(missing.argmax()) + 1:,}; fill them, or name other columns as id."
            )


def _roles(schema: Schema) -> list[Any]:
    """Return the roles, apart from those that change nothing in the data."""
    return [[column.name, [role for role in column.roles if role != "sensitive"]]
            for column in schema.columns]  # fmt: skip


# ------------------------------------------------------------------------------------- the facts


def _facts(typed: pd.DataFrame, chosen: Chosen, settings: Settings) -> dict[str, Any]:
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


def _schema_facts(typed: pd.DataFrame, chosen: Chosen) -> dict[str, Any]:
    """Return what reports/schema.json holds: each column's type, roles and missing share."""

    def missing(name: str) -> float | None:
        return round(float(typed[name].isna().mean()), 6) if name in typed else None

    return {
        "inferred": chosen.anew,
        "edited": chosen.file.edited,
        "notes": list(chosen.file.notes),
        "columns": [
            {**column.to_dict(), "missing": missing(column.name)}
            for column in chosen.file.schema.columns
        ],
    }
