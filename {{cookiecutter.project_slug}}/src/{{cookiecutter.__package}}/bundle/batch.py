"""Scoring one table in pieces, each held against the schema of the model's data first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from ..core.files import fingerprint
from ..core.project import Project
from .bundle import Bundle

if TYPE_CHECKING:
    import pandas as pd

    from ..core.config import DataSettings, PredictSettings
    from ..data.cast import Violation

# Of a large file so many bytes at each end are looked at.
MARKED_BYTES = 1 << 20
# The column of `[predict] violations = mark`.
MARK = "violations"
ADVICE = "correct the data, or let such rows pass with [predict] violations = mark or count"


@dataclass(frozen=True)
class Job:
    """What the scoring of every file of one call has in common; it travels to other processes.

    Attributes:
        project: Where the bundle is.
        run_id: The bundle.
        sha256: Of its bundle.json.
        options: `[predict]`.
        data: How text files are read.
    """

    project: Project
    run_id: str
    sha256: str
    options: PredictSettings
    data: DataSettings

    def is_refused(self, violation: Violation) -> bool:
        """Tell whether a value that violates the schema stops the scoring."""
        if self.options.violations is None:
            return self.options.strict and violation.rule == "categories"
        return self.options.violations == "refuse"

    def key(self, source: Path) -> str:
        """Return the fingerprint of all that the predictions for a file follow from.

        Of a large file only its size, its time, its beginning and its end are looked at: reading it
        all would take longer than scoring it again.
        """
        state = source.stat()
        with source.open("rb") as file:
            start = file.read(MARKED_BYTES)
            file.seek(max(0, state.st_size - MARKED_BYTES))
            ends = fingerprint((start + file.read()).hex())
        reading = [self.data.encoding, self.data.delimiter, self.data.missing]
        rules = [self.options.strict, self.options.violations]
        return fingerprint(ends, state.st_size, state.st_mtime_ns, self.sha256, rules, reading)


def scored(
    bundle: Bundle, job: Job, source: Path, skip: int = 0
) -> Iterator[tuple[pd.DataFrame, list[Violation]]]:
    """Yield the predictions for a file's rows after the first `skip`, and the violations in these.

    Raises:
        UserError: If violations are refused, with those of the whole file.
    """
    from ..data.cast import Violation, check_table, merged, refuse

    bundle = for_file(bundle, source, job.data, bundle.columns_to_read([*bundle.schema.names]))
    where, strict = str(source), job.options.strict
    refused: list[Violation] = []
    at = 0
    for piece in _ahead(_pieces(bundle, job, source)):
        first, at = at, at + len(piece)
        if at <= skip:
            continue
        rows = piece.iloc[max(0, skip - first) :]
        first = max(first, skip) + 1
        typed = bundle.typed(rows, strict=strict, where=where, first_row=first)
        absent = [  # the time: a table without any other feature was refused already
            Violation(each.name, "is not in the table, so it is unknown in all rows")
            for each in bundle.schema.features
            if each.name not in rows.columns
        ]
        violations = check_table(typed, bundle.feature_schema, first)
        refused += filter(job.is_refused, violations)
        if not refused:  # else nothing is scored any more, but listed
            predictions = predictions_of(bundle, job, typed).reset_index(drop=True)
            yield predictions, [*absent, *violations]
    refuse(merged(refused), where, ADVICE)


def predictions_of(bundle: Bundle, job: Job, typed: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions for conformed rows, and the marks where they are asked for."""
    from ..data.cast import mark_rows
    from ..data.schema import with_columns

    scored = bundle.predict_table(typed)
    if job.options.violations != "mark":
        return scored
    if MARK in scored:
        raise UserError(
            f"The id column '{MARK}' has the name of the column that marks rows; rename it, or set "
            "[predict] violations = count."
        )
    return with_columns(scored, {MARK: mark_rows(typed, bundle.feature_schema)})


def for_file(bundle: Bundle, path: Path, data: DataSettings, names: Sequence[str]) -> Bundle:
    """Return a bundle whose schema says how a file is read.

    One of an earlier version leaves that to the rules of its time.

    Args:
        bundle: The model.
        path: The file.
        data: How text files are read.
        names: The columns that will be read.

    Raises:
        UserError: If the file cannot be read, or not as it was then.
    """
    schema = bundle.schema
    if not schema.is_earlier:
        return bundle
    from ..data.earlier_files import upgraded

    read = tuple(column for column in schema.columns if column.name in names)
    later = upgraded(replace(schema, columns=read), [path], data)
    found = {column.name: column for column in later.columns}
    columns = tuple(found.get(column.name, column) for column in schema.columns)
    document = {**bundle.document, "schema": replace(later, columns=columns).to_dict()}
    return replace(bundle, document=document)


def _pieces(bundle: Bundle, job: Job, source: Path) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file, of which only the columns that prediction reads."""
    from ..data.readers import column_names, format_of, iter_tables
    from ..data.schema import with_columns

    names = column_names(source, job.data, bundle.schema)
    bundle.check_columns(names, str(source), strict=job.options.strict)
    # Of JSON lines, only the first's keys are known; a later object may lack some, or have more.
    read = bundle.columns_to_read(names)
    columns = None if format_of(source) == "jsonl" else read
    for piece in iter_tables(source, job.options.chunk_rows, job.data, bundle.schema, columns):
        absent = [name for name in read if name not in piece.columns]
        yield with_columns(piece, dict.fromkeys(absent)) if absent else piece


def _ahead(pieces: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Yield the pieces, reading the next one while the last one is scored."""
    with ThreadPoolExecutor(1, thread_name_prefix="read") as reader:
        coming = reader.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = reader.submit(next, pieces, None)
            yield piece


def read_violations(values: Sequence[dict[str, Any]]) -> list[Violation]:
    """Return violations from what `asdict` made of them."""
    from ..data.cast import Violation

    return [Violation(**{**each, "rows": tuple(each["rows"])}) for each in values]
