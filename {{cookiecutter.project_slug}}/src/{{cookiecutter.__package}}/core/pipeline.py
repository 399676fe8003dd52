"""Running the stages in their order, each only where its last result no longer stands.

A stage is current when its report says that it ran on the same inputs (settings, code, what earlier
stages found) and every file it wrote is still there at its size. Times of files play no part.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import registry
from .aliases import gone, lost
from .code_fingerprint import PACKAGE, Modules, check_team_code, code_fingerprint, reached
from .errors import GateError, UserError
from .files import fingerprint, write_json
from .project import REPORT_VERSION, Project, Report, read_report
from .registry import Registry, Stage, builds_on, stages

if TYPE_CHECKING:
    from .config import Settings

# What stages inferred or left out is shown under this title, in at most so many lines.
ASSUMED = "What was assumed"
MOST_LINES = 10


def run(
    project: Project,
    settings: Settings,
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
    for stage in stages_until(until):
        if force or not is_current(project, settings, stage.name):
            missed = _run_aloud(project, settings, stage, say) or missed
        else:
            say(f"{stage.name:<12} unchanged")
        report = require(project, stage.name)
        missed = missed or _missed_bar(report)
        if missed is None:
            for word, entry in stage.then.items():
                try:
                    line = registry.load(entry)(project, settings, report.run_id)
                except GateError as error:
                    missed, line = error, None
                if line is not None:
                    say(f"{word:<12} {line}")
    if missed:
        raise missed


def run_stage(project: Project, settings: Settings, name: str) -> Report:
    """Run one stage, whether or not its inputs have changed."""
    check_team()
    stage: Stage = registry.lookup(registry.STAGES, name, "The stage")
    options: dict[str, Any] = registry.load(stage.options)(project) if stage.options else {}
    report: Report = registry.load(stage.function)(project, settings, **options)
    return report


def stages_until(last: str | None) -> list[Stage]:
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
    project: Project, settings: Settings, stage: Stage, say: Callable[[str], None]
) -> GateError | None:
    """Run a stage, say what it found, and return the bar that it missed."""
    began, missed = time.perf_counter(), None
    try:
        facts = run_stage(project, settings, stage.name).facts
    except GateError as error:
        missed, facts = error, {"summary": "missed its bar"}
    _give_memory_back()
    say_assumed(stage, facts, say)
    summary = facts.get("summary", "done")
    say(f"{stage.name:<12} {summary} ({time.perf_counter() - began:.1f} s)")
    return missed


def say_assumed(stage: Stage, facts: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Say under a title what a stage inferred or left out, if anything."""
    lines = assumed([(stage, facts)])
    for line in [f"{ASSUMED}:", *(f"  - {each}" for each in lines)] if lines else []:
        say(line)


def assumed(found: Iterable[tuple[Stage, Mapping[str, Any]]], most: int = MOST_LINES) -> list[str]:
    """Return what stages inferred or left out, in their order, in at most so many lines.

    A stage that says little leaves its lines to the others. Of a list that is too long, the last
    line counts the rest and names the file that holds it.

    Args:
        found: Stages, each with the facts of its report.
        most: How many lines there may be; each stage gets one at least.
    """
    said = [(stage, list(facts.get("aloud", ()))) for stage, facts in found]
    said = [(stage, notes) for stage, notes in said if notes]
    shown: dict[str, list[str]] = {}
    for place, (stage, notes) in enumerate(sorted(said, key=lambda pair: len(pair[1]))):
        room = max(1, (most - sum(map(len, shown.values()))) // (len(said) - place))
        if len(notes) > room:
            where = stage.notes or f"reports/{stage.report}.json"
            notes = [*notes[: room - 1], f"{len(notes) - room + 1} more in {where}"]
        shown[stage.name] = notes
    return [line for stage, _ in said for line in shown[stage.name]]


def _give_memory_back() -> None:
    """Return what a stage no longer uses to the system, so that it does not add to the next peak.

    Arrow and glibc (Linux) keep freed memory for later; after a million rows that is as much as
    the table takes.
    """
    if "pyarrow" in sys.modules:
        import pyarrow as pa

        pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        import ctypes

        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def _missed_bar(report: Report) -> GateError | None:
    """Return the bar that a report says was missed, so that a skipped stage still fails."""
    return None if report.facts.get("passed", True) else GateError(report.facts["verdict"])


def stage_key(project: Project, settings: Settings, name: str) -> str:
    """Return the fingerprint of all that the stage's result follows from, 16 hexadecimal digits."""
    registry.extend_by_modules()
    stage, before = registry.STAGES[name], builds_on(name)
    chosen = {path: _setting(settings, path) for path in stage.settings}
    code = code_of(name, settings)
    reports = [each.report for each in registry.STAGES.values() if each.name in before]
    earlier = [_identity(read_report(project, report)) for report in reports]
    inputs = registry.load(stage.inputs)(project, settings) if stage.inputs else None
    return fingerprint(chosen, code, earlier, inputs)


def is_current(project: Project, settings: Settings, name: str) -> bool:
    """Tell whether the stage's last result still stands."""
    report = read_report(project, registry.STAGES[name].report)
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
    wanted = registry.STAGES[name].report
    report = read_report(project, wanted)
    if report is None:
        raise UserError(f"There is no reports/{wanted}.json; run `{name}` first.")
    return report


def code_of(name: str, settings: Settings, **chosen: tuple[str, ...]) -> str:
    """Return the fingerprint of the code that a stage's result follows from.

    Args:
        name: The stage.
        settings: They say what the stage looks up by name.
        chosen: By registry, names to take instead: `ESTIMATORS=("linear",)`.

    Raises:
        UserError: If a file of it is not valid Python, or the team's code imports a stage.
    """
    check_team()
    return _fingerprint(code_entries(registry.STAGES[name], settings, **chosen))


def code_entries(stage: Stage, settings: Settings, **chosen: tuple[str, ...]) -> frozenset[str]:
    """Return where a stage's code begins: its functions, and what it looks up by name."""
    entries = {stage.function, *([stage.inputs] if stage.inputs else [])}
    if stage.chooses:
        registry.team()  # it may add to a registry, and replace what stands there
    for kind, names in {**stage.chooses, **chosen}.items():
        entries.update(_entries(getattr(registry, kind), names, settings))
    return frozenset(entries)


@cache
def _fingerprint(entries: frozenset[str]) -> str:
    """Return the fingerprint of the entries' code as it was when this process first asked.

    What was imported goes on running, whatever is saved to its file meanwhile.
    """
    return code_fingerprint(entries, _modules())


@cache
def _modules() -> Modules:
    """Return where this process found the files of the package."""
    return Modules(PACKAGE, registry.LENT, gone, lost)


@cache
def check_team() -> None:
    """Refuse a `custom` that imports a stage, or is not valid Python.

    Raises:
        UserError: With the file and the line.
    """
    functions = [stage.function for stage in registry.STAGES.values()]
    check_team_code(functions, _modules())


def team_reaches() -> set[Path]:
    """Return the files that the team's code is made of: its own, and what it imports."""
    return reached([registry.TEAM], _modules())


def _entries(known: Registry[Any], names: Iterable[str], settings: Settings) -> Iterator[str]:
    """Yield what a registry holds for names; an unknown one is refused where it is looked up."""
    for name in names:
        for each in known if name == "*" else _named(name, settings):
            if each in known:
                yield from _places(known[each])


def _places(entry: Any) -> Iterator[str]:
    """Yield where an entry of a registry stands: itself, or what its attributes name."""
    if isinstance(entry, str):
        yield entry
    elif callable(entry):
        yield registry.TEAM
    else:
        for value in registry.named_by(entry):
            if callable(value):
                yield registry.TEAM
            elif isinstance(value, str) and ":" in value:
                yield value


def _named(name: str, settings: Settings) -> Iterator[str]:
    """Yield a name, or those that a setting holds, of a URL its scheme."""
    if "." not in name:
        yield name
        return
    values = _setting(settings, name)
    for value in [values] if isinstance(values, str) else values:
        yield value
        yield re.split(r"\W", value)[0].lower()


def _setting(settings: Settings, path: str) -> Any:
    """Return a section, or one key of it, as plain values without credentials."""
    section, _, key = path.partition(".")
    values = settings.section(section)
    return values[key] if key else values


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
    """Write `reports/<name>.json` (default: the stage's own report) and return it."""
    report = Report(stage, run_id, data, model, stage_key(project, settings, stage), facts)
    document = {"version": REPORT_VERSION, **vars(report)}
    write_json(project.report_file(name or registry.STAGES[stage].report), document)
    return report


@contextmanager
def progress_bar(stage: str, steps: int) -> Iterator[Callable[[str], None]]:
    """Show a bar of so many steps; yield what to call as each of them begins."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    text, bar = TextColumn("{task.description}"), BarColumn()
    columns = (text, bar, MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(stage, total=steps)
        begun = count()

        def advance(what: str) -> None:
            progress.update(task, completed=next(begun), description=what)

        yield advance


@contextmanager
def spinner(stage: str, what: str) -> Iterator[Callable[[str], None]]:
    """Show what a stage does; yield what to call when it does something else."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(f"{stage}: {what}") as status:
        yield lambda text: status.update(f"{stage}: {text}")
