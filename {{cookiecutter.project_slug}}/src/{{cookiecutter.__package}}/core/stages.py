"""When the last result of a stage still stands, and the reports that stages write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import registry
from .aliases import gone, lost
from .code_fingerprint import PACKAGE, Modules, check_team_code, code_fingerprint, reached
from .errors import UserError
from .files import fingerprint, write_json
from .project import Project
from .registry import Registry, Stage
from .reports import REPORT_VERSION, Report, read_report
from .stage_order import builds_on

if TYPE_CHECKING:
    from .config import Settings


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
    return Modules(PACKAGE, gone, lost)


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
