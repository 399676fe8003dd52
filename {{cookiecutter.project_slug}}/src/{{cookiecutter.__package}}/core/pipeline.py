"""Running the stages in their order, each only where its last result no longer stands.

A stage is current when its report says that it ran on the same inputs (settings, code, what earlier
stages found) and every file it wrote is still there at its size. Times of files play no part.
"""

import ctypes
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import registry
from .errors import GateError, UserError
from .project import Project
from .registry import Stage
from .reports import Report
from .stage_order import stages
from .stages import check_team, is_current, require

if TYPE_CHECKING:
    from .config import Settings


def run(
    project: Project,
    settings: "Settings",
    *,
    force: bool = False,
    until: str | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Run every stage up to `until` (default: all) whose inputs have changed.

    Raises:
        UserError: If a stage refuses its input; what earlier stages wrote stays.
        GateError: If a stage misses its bar, once the stages behind it, which show why, have run.
    """
    missed = None
    for stage in _stages_until(until):
        if force or not is_current(project, settings, stage.name):
            missed = _run_aloud(project, settings, stage, say) or missed
        else:
            say(f"{stage.name:<12} unchanged")
        report = require(project, stage.name)
        missed = missed or _missed_bar(report)
        if missed is None:
            for word, entry in stage.then.items():
                say(f"{word:<12} {registry.load(entry)(project, report.run_id)}")
    if missed:
        raise missed


def run_stage(project: Project, settings: "Settings", name: str) -> Report:
    """Run one stage, whether or not its inputs have changed."""
    check_team()
    stage: Stage = registry.lookup(registry.STAGES, name, "The stage")
    options: dict[str, Any] = registry.load(stage.options)(project) if stage.options else {}
    report: Report = registry.load(stage.function)(project, settings, **options)
    return report


def _stages_until(last: str | None) -> list[Stage]:
    """Return the stages in their order, up to and with `last`.

    Raises:
        UserError: If there is no such stage.
    """
    ordered = stages()
    if last is not None and last not in ordered:
        raise UserError(f"--until is '{last}', but the stages are: {', '.join(ordered)}.")
    names = list(ordered)
    return [ordered[name] for name in names[: names.index(last) + 1 if last else None]]


def _run_aloud(
    project: Project, settings: "Settings", stage: Stage, say: Callable[[str], None]
) -> GateError | None:
    """Run a stage, say what it found, and return the bar that it missed."""
    began, missed = time.perf_counter(), None
    try:
        facts = run_stage(project, settings, stage.name).facts
        summary, notes = facts.get("summary", "done"), facts.get("aloud", ())
    except GateError as error:
        missed, summary, notes = error, "missed its bar", ()
    _give_memory_back()
    say(f"{stage.name:<12} {summary} ({time.perf_counter() - began:.1f} s)")
    for note in notes:
        say(f"{'':<12} - {note}")
    return missed


def _give_memory_back() -> None:
    """Return what a stage no longer uses to the system, so that it does not add to the next peak.

    Arrow and glibc (Linux) keep freed memory for later; after a million rows that is as much as
    the table takes.
    """
    if "pyarrow" in sys.modules:
        import pyarrow as pa

        pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def _missed_bar(report: Report) -> GateError | None:
    """Return the bar that a report says was missed, so that a skipped stage still fails."""
    return None if report.facts.get("passed", True) else GateError(report.facts["verdict"])
