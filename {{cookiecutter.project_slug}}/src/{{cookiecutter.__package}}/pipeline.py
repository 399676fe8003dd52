"""The order of the stages, and when one may be skipped.

A stage is current when its report says that it ran on the same inputs (settings, code, what earlier
stages found) and every file it wrote is still there at its size. Times of files play no part.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import registry
from .errors import GateError, UserError
from .files import file_sha256, fingerprint
from .project import Project, Report, read_report

if TYPE_CHECKING:
    from .config import Settings

PACKAGE = Path(__file__).parent


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
            code=("data",),
            inputs=".data.ingest:source_state",
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
            code=("features.py", "models", "train.py", "custom.py"),
        ),
        Stage(
            "postprocess",
            "release",
            after=("train",),
            settings=("decision",),
            code=("postprocess.py", "bundle.py", "onnx_export.py", "reference.py", "card.py"),
        ),
        Stage(
            "evaluate",
            "metrics",
            after=("postprocess",),
            settings=("evaluate", "model.metric"),
            code=("evaluate.py", "metrics.py", "diagnostics.py"),
        ),
        Stage(
            "report", "profile", after=("evaluate",), code=("report.py", "report.css", "plots.py")
        ),
    )
}
registry.STAGES.update(
    ingest=".data.ingest:ingest",
    preprocess=".preprocess:preprocess",
    train=".train:train",
    postprocess=".postprocess:postprocess",
    evaluate=".evaluate:evaluate",
    report=".report:report",
)


def stage_key(project: Project, settings: "Settings", name: str) -> str:
    """Return the fingerprint of all that the stage's result follows from, 16 hexadecimal digits."""
    stage = TABLE[name]
    chosen = {path: _setting(settings, path) for path in stage.settings}
    code = {path.as_posix(): file_sha256(PACKAGE / path) for path in _code_files(stage)}
    earlier = [_identity(read_report(project, TABLE[before].report)) for before in stage.after]
    inputs = registry.load(stage.inputs)(project, settings) if stage.inputs else None
    return fingerprint(chosen, code, earlier, inputs)


def is_current(project: Project, settings: "Settings", name: str) -> bool:
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


def run(
    project: Project,
    settings: "Settings",
    *,
    force: bool = False,
    until: str = "report",
    say: Callable[[str], None] = print,
) -> None:
    """Run every stage up to `until` whose inputs have changed, and put a first model in service.

    Raises:
        UserError: If a stage refuses its input; what earlier stages wrote stays.
        GateError: If the model misses its bar, once the report that shows why is written.
    """
    missed = None
    for name in _names_until(until):
        began = time.perf_counter()
        if not force and is_current(project, settings, name):
            say(f"{name:<12} unchanged")
        else:
            try:
                summary = run_stage(project, settings, name).facts.get("summary", "done")
                say(f"{name:<12} {summary} ({time.perf_counter() - began:.1f} s)")
            except GateError as error:
                missed = error
                say(f"{name:<12} missed its bar ({time.perf_counter() - began:.1f} s)")
        if name == "evaluate":
            missed = missed or _missed_bar(project)
            if missed is None:
                _serve_first(project, say)
    if missed:
        raise missed


def run_stage(project: Project, settings: "Settings", name: str) -> Report:
    """Run one stage; `evaluate` opens the test split if this is a split's first model."""
    function = registry.lookup(registry.STAGES, name, "The stage")
    options: dict[str, Any] = {}
    if name == "evaluate":
        options["final"] = registry.load(".evaluate:may_open_test")(project)
    report: Report = function(project, settings, **options)
    return report


def _names_until(last: str) -> Iterator[str]:
    """Yield the stages' names in order, up to and with `last`."""
    if last not in TABLE:
        raise UserError(f"--until is '{last}', but the stages are: {', '.join(TABLE)}.")
    for name in TABLE:
        yield name
        if name == last:
            return


def _missed_bar(project: Project) -> GateError | None:
    """Return what an earlier evaluation found wanting, so that a skipped stage still fails."""
    report = require(project, "evaluate")
    return None if report.facts["passed"] else GateError(report.facts["verdict"])


def _serve_first(project: Project, say: Callable[[str], None]) -> None:
    """Promote the model when none is in service for this data; else say how to."""
    run_id = require(project, "evaluate").run_id
    state: str = registry.load(".champion:offer")(project, run_id)
    say(f"{'champion':<12} {state}")


def _setting(settings: "Settings", path: str) -> Any:
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
