"""The order of the stages, and when one may be skipped.

A stage is current when its report says that it ran on the same inputs (settings, code, what earlier
stages found) and every file it wrote is still there at its size. Times of files play no part.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from . import registry
from .errors import GateError, UserError
from .project import Project
from .reports import Report
from .stages import TABLE, is_current, require

if TYPE_CHECKING:
    from .config import Settings


registry.STAGES.update(
    ingest=".ingest:ingest",
    preprocess=".preprocess:preprocess",
    train=".train:train",
    postprocess=".postprocess:postprocess",
    evaluate=".evaluate:evaluate",
    report=".report:report",
)


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
    state: str = registry.load(".bundle.champion:offer")(project, run_id)
    say(f"{'champion':<12} {state}")
