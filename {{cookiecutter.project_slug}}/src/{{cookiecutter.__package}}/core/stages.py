"""What a stage of the pipeline is, and when its last result still stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import registry
from .errors import UserError
from .files import file_sha256, fingerprint, write_json
from .project import Project
from .reports import REPORT_VERSION, Report, read_report

if TYPE_CHECKING:
    from .config import Settings

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline, and all that its result follows from.

    Attributes:
        name: As on the command line.
        report: The report that the stage writes last.
        after: The stages whose findings it builds on.
        settings: Sections of conf.cfg, or single `section.key`s.
        code: Files and folders of the package; the rest may change without a new run.
        inputs: `"module:function"` of (project, settings) that names what else it reads.
    """

    name: str
    report: str
    after: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    inputs: str | None = None


TABLE = {
    stage.name: stage
    for stage in (
        Stage(
            "ingest",
            "ingest",
            settings=("data", "features.max_categories", "model.task"),
            code=("ingest.py", "data"),
            inputs=".ingest:source_state",
        ),
        Stage(
            "preprocess",
            "split",
            after=("ingest",),
            settings=("data", "split", "model.task"),
            code=("data", "preprocess.py", "custom.py"),
        ),
        Stage(
            "train",
            "train",
            after=("preprocess",),
            settings=("model", "features", "params", "split.seed", "decision.positive"),
            code=("models", "train.py", "custom.py"),
        ),
        Stage(
            "postprocess",
            "release",
            after=("train",),
            settings=("decision",),
            code=("postprocess.py", "bundle"),
        ),
        Stage(
            "evaluate",
            "metrics",
            after=("postprocess",),
            settings=("evaluate", "model.metric"),
            code=("evaluate.py", "evaluation"),
        ),
        Stage("report", "profile", after=("evaluate",), code=("report.py", "reporting")),
    )
}


def stage_key(project: Project, settings: Settings, name: str) -> str:
    """Return the fingerprint of all that the stage's result follows from, 16 hexadecimal digits."""
    stage = TABLE[name]
    chosen = {path: _setting(settings, path) for path in stage.settings}
    code = {path.as_posix(): file_sha256(PACKAGE / path) for path in _code_files(stage)}
    earlier = [_identity(read_report(project, TABLE[before].report)) for before in stage.after]
    inputs = registry.load(stage.inputs)(project, settings) if stage.inputs else None
    return fingerprint(chosen, code, earlier, inputs)


def is_current(project: Project, settings: Settings, name: str) -> bool:
    """Tell whether the stage's last result still stands."""
    report = read_report(project, TABLE[name].report)
    if report is None:
        return False
    files = report.facts.get("files", {})
    whole = all(_has_size(project.root / path, size) for path, size in files.items())
    return whole and report.config == stage_key(project, settings, name)


def require(project: Project, name: str) -> Report:
    """Return the report of an earlier stage.

    Raises:
        UserError: If that stage has not run.
    """
    report = read_report(project, TABLE[name].report)
    if report is None:
        raise UserError(f"There is no reports/{TABLE[name].report}.json; run `{name}` first.")
    return report


def _setting(settings: Settings, path: str) -> Any:
    """Return a section, or one key of it, as plain values without credentials."""
    section, _, key = path.partition(".")
    values = settings.section(section)
    return values[key] if key else values


def _code_files(stage: Stage) -> Iterator[Path]:
    """Yield the stage's source files, relative to the package, in a fixed order."""
    for name in stage.code:
        path = PACKAGE / name
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        yield from (file.relative_to(PACKAGE) for file in files)


def _identity(report: Report | None) -> Any:
    """Return what of an earlier stage a later one depends on."""
    return report and (report.run_id, report.data, report.model, report.config)


def _has_size(path: Path, size: int) -> bool:
    """Tell whether the file is there, whole."""
    return path.is_file() and path.stat().st_size == size


def write_report(
    project: Project,
    settings: Settings,
    stage: str,
    facts: dict[str, Any],
    *,
    name: str | None = None,
    run_id: str | None = None,
    data: str | None = None,
    model: str | None = None,
) -> Report:
    """Write `reports/<name>.json` (default: the stage's own name) and return it."""
    report = Report(stage, run_id, data, model, stage_key(project, settings, stage), facts)
    document = {"version": REPORT_VERSION, **vars(report)}
    write_json(project.report_file(name or stage), document)
    return report
