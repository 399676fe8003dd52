"""The order of the stages, which follows from what each says it comes after or before.

Light on purpose: the command line, which has a command per stage, imports it at every start.
"""

from __future__ import annotations

from . import registry
from .errors import UserError
from .registry import Stage


def stages() -> dict[str, Stage]:
    """Return every stage by its name, each after those that it builds on.

    Of the stages that are ready, the one that was added first comes first.

    Raises:
        UserError: If a stage names one that is not there, waits for itself, or shares its report.
    """
    registry.extend_by_modules()
    _refuse_unknown_names()
    _refuse_shared_reports()
    waiting = {name: builds_on(name) for name in registry.STAGES}
    found: dict[str, Stage] = {}
    while waiting:
        ready = next((name for name, after in waiting.items() if after <= found.keys()), None)
        if ready is None:
            raise UserError(
                f"The stages wait for each other in a circle: {_circle(waiting)}; correct the "
                "`after` or the `before` of one of them."
            )
        found[ready] = registry.STAGES[ready]
        del waiting[ready]
    return found


def builds_on(name: str) -> set[str]:
    """Return the stages right before a stage: those it names, and those that name it."""
    naming = {stage.name for stage in registry.STAGES.values() if name in stage.before}
    return {*registry.STAGES[name].after, *naming}


def stages_before(name: str) -> list[Stage]:
    """Return all stages that a stage builds on, by way of others too, in their order."""
    needed = {name}
    for stage in reversed(stages().values()):
        if stage.name in needed:
            needed |= builds_on(stage.name)
    return [stage for stage in stages().values() if stage.name in needed - {name}]


def _refuse_unknown_names() -> None:
    """Refuse a stage that names one that is not there."""
    for stage in registry.STAGES.values():
        for key, names in (("after", stage.after), ("before", stage.before)):
            unknown = [name for name in names if name not in registry.STAGES]
            if unknown:
                raise UserError(
                    f"The stage '{stage.name}' ({stage.function}) has to come {key} "
                    f"'{unknown[0]}', but the stages are: {', '.join(registry.STAGES)}."
                )


def _refuse_shared_reports() -> None:
    """Refuse two stages that would write one file."""
    owners: dict[str, Stage] = {}
    for stage in registry.STAGES.values():
        other = owners.setdefault(stage.report, stage)
        if other is not stage:
            raise UserError(
                f"The stages '{other.name}' ({other.function}) and '{stage.name}' "
                f"({stage.function}) both write reports/{stage.report}.json; give one of them "
                "another report."
            )


def _circle(waiting: dict[str, set[str]]) -> str:
    """Return stages that wait for each other, the first one again at the end."""
    path = [next(iter(waiting))]
    while path[-1] not in path[:-1]:
        path.append(min(waiting[path[-1]] & waiting.keys()))
    return " after ".join(path[path.index(path[-1]) :])
