"""What can be chosen by name: dicts that the folders of this package and `custom` extend.

An entry is `"module:function"`, where a module that begins with a dot is below this package. So
nothing is imported before it is asked for, and the command line starts fast. A folder adds its
entries in its own `__init__.py`: a folder that is not there adds none. `custom` declares dicts of
the same names, whose values are the functions themselves.
"""

import importlib
import sys
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .errors import UserError

if TYPE_CHECKING:
    from .project import Project

PACKAGE = __package__.rpartition(".")[0]

Entry = TypeVar("Entry")


class Registry(dict[str, Entry]):
    """Entries by name; no two folders may add the same name."""

    def __init__(self, what: str) -> None:
        """Begin empty; `what` is the kind of entry in the sentence that refuses a second one."""
        super().__init__()
        self.what = what
        self.replaced: dict[str, Entry] = {}  # what stood there before custom.py took the name

    def add(self, /, **entries: Entry) -> None:
        """Add a folder's entries.

        Raises:
            UserError: If another folder has added one of the names.
        """
        for name, entry in entries.items():
            if self.get(name, entry) != entry:
                raise UserError(
                    f"Two modules add the {self.what} '{name}': {_place(self[name])} and "
                    f"{_place(entry)}; rename one of them."
                )
            self[name] = entry


class Stage(NamedTuple):
    """One step of the pipeline, and all that its result follows from.

    A named tuple, since `dataclasses` would double the time that importing this package takes. A
    stage with a bar says in the facts of its report whether it `passed`, and in one sentence its
    `verdict`; `run` then fails, whether the stage ran or was skipped. What it inferred or left out
    it says in `aloud`, a list of clauses: `run` prints them, and the report shows those of all
    stages at its head.

    Attributes:
        name: As on the command line.
        function: `"module:function"` of (project, settings) that writes and returns the report.
        report: The name of that report, which the stage writes last.
        after: The stages whose findings it builds on.
        before: The stages that build on its findings but do not name it, since its folder is not
            in every project.
        settings: Sections of conf.cfg, or single `section.key`s.
        chooses: What the stage looks up by name: for each registry, the names, or the settings
            (`section.key`) that hold them, or "*" for all.
        inputs: `"module:function"` of (project, settings) that names what else it reads.
        options: `"module:function"` of (project) that returns further arguments of the function.
        then: What follows once it has passed, by the word that opens its line: `"module:function"`
            of (project, settings, run id), which returns the rest of the line; None for no line.
        command: `"module:function"` of its command, where it has options of its own.
        notes: The file in which people find all that it says `aloud`; default: its report.
    """

    name: str
    function: str
    report: str
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    chooses: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    inputs: str | None = None
    options: str | None = None
    then: Mapping[str, str] = MappingProxyType({})
    command: str | None = None
    notes: str | None = None


TASKS = Registry[Any]("task")
SOURCES = Registry[Any]("source")
ESTIMATORS = Registry[Any]("estimator")
# What a folder's task names beside the metrics that are here; those of `custom` count for any task.
METRICS = Registry[Any]("metric")
STAGES = Registry[Stage]("stage")
# By its name, a function, or a `typer.Typer` for a group of commands.
COMMANDS = Registry[str]("command")
# By the word that opens it, what makes the rest of a line, of (project): `run` ends with these.
LAST_LINES = Registry[str]("last line of a run")
REPORT_SECTIONS = Registry[Any]("section of the report")
SETTINGS = Registry[str]("section of conf.cfg")
EVIDENCE = Registry[Any]("kind of evidence")
# Fitted on train as a part of the model, beside what becomes of every input; see custom.py.
TRANSFORMERS = Registry[Any]("transformer")
# By the class of an estimator, `"module:Class"`, the `models.Weights` that keep it in files.
WEIGHTS = Registry[Any]("weights of the class")
# By the kind of input, its `models.Input`.
INPUTS = Registry[Any]("kind of input")
# By its name in reports/release.json, another form that a model is packaged in, a `bundle.Form`.
FORMS = Registry[Any]("form of a bundle")
# By any name, what is called with each event, see `announce`.
LISTENERS = Registry[Any]("listener")
# What the package itself lends to notebooks and scripts, by name: the module that has it.
LENT: dict[str, str] = {}
# The folders that come with an answer. They are the template's, not the team's.
PARTS: set[str] = set()
# The module, or the folder, that is the team's.
TEAM = ".custom"
# What stands for it where a bundle needs nothing of it.
NO_TEAM = ModuleType("no_custom")
_IMPORTED: dict[str, tuple[Path, int, int]] = {}
# What it may declare, too, and may replace.
FOR_THE_TEAM: dict[str, Registry[Any]] = {
    "SOURCES": SOURCES,
    "ESTIMATORS": ESTIMATORS,
    "METRICS": METRICS,
    "TRANSFORMERS": TRANSFORMERS,
    "REPORT_SECTIONS": REPORT_SECTIONS,
    "EVIDENCE": EVIDENCE,
    "WEIGHTS": WEIGHTS,
    "INPUTS": INPUTS,
    "LISTENERS": LISTENERS,
}


def add_stages(*stages: Stage) -> None:
    """Add stages of the pipeline; those that are ready at the same time run in this order.

    Raises:
        UserError: If another folder has added a stage of that name.
    """
    for stage in stages:
        STAGES.add(**{stage.name: stage})


def stages() -> dict[str, Stage]:
    """Return every stage by its name, each after those that it builds on.

    Of the stages that are ready, the one that was added first comes first.

    Raises:
        UserError: If a stage names one that is not there, waits for itself, or shares its report.
    """
    extend_by_modules()
    _refuse_unknown_names()
    _refuse_shared_reports()
    waiting = {name: builds_on(name) for name in STAGES}
    found: dict[str, Stage] = {}
    while waiting:
        ready = next((name for name, after in waiting.items() if after <= found.keys()), None)
        if ready is None:
            raise UserError(
                f"The stages wait for each other in a circle: {_circle(waiting)}; correct the "
                "`after` or the `before` of one of them."
            )
        found[ready] = STAGES[ready]
        del waiting[ready]
    return found


def builds_on(name: str) -> set[str]:
    """Return the stages right before a stage: those it names, and those that name it."""
    naming = {stage.name for stage in STAGES.values() if name in stage.before}
    return {*STAGES[name].after, *naming}


def stages_before(name: str) -> list[Stage]:
    """Return all stages that a stage builds on, by way of others too, in their order."""
    needed = {name}
    for stage in reversed(stages().values()):
        if stage.name in needed:
            needed |= builds_on(stage.name)
    return [stage for stage in stages().values() if stage.name in needed - {name}]


def _refuse_unknown_names() -> None:
    """Refuse a stage that names one that is not there."""
    for stage in STAGES.values():
        for key, names in (("after", stage.after), ("before", stage.before)):
            unknown = [name for name in names if name not in STAGES]
            if unknown:
                raise UserError(
                    f"The stage '{stage.name}' ({stage.function}) has to come {key} "
                    f"'{unknown[0]}', but the stages are: {', '.join(STAGES)}."
                )


def _refuse_shared_reports() -> None:
    """Refuse two stages that would write one file."""
    owners: dict[str, Stage] = {}
    for stage in STAGES.values():
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


def _place(entry: Any) -> str:
    """Return where the function of an entry stands."""
    if isinstance(entry, str):
        return entry
    if isinstance(entry, Stage):
        return entry.function
    if not callable(entry):  # the functions that it names say more than its own class
        named = (value for value in named_by(entry) if isinstance(value, str))
        found = next((value for value in named if ":" in value), None)
        if found is not None:
            return found
    return f"{entry.__module__}:{getattr(entry, '__qualname__', type(entry).__qualname__)}"


def named_by(entry: Any) -> list[Any]:
    """Return what the attributes of an entry hold, where it is more than a name or a function."""
    as_dict = getattr(entry, "_asdict", None)  # of a named tuple
    values = vars(entry) if as_dict is None else as_dict()
    return [value for value in values.values() if value is not None]


def lookup(registry: dict[str, Any], name: str, what: str) -> Any:
    """Import and return the entry `name`.

    Raises:
        UserError: If there is none; the sentence opens with `what` and lists the names.
    """
    if any(registry is each for each in FOR_THE_TEAM.values()):
        team()
    else:
        extend_by_modules()
    if name not in registry:
        allowed = ", ".join(sorted(registry))
        raise UserError(f"{what} is '{name}'; choose one of: {allowed}.")
    return load(registry[name])


def task(name: str) -> Any:
    """Return the `Task` that `[model] task` names.

    Raises:
        UserError: If there is none.
    """
    return lookup(TASKS, name, "conf.cfg, [model] task")


def load(entry: Any) -> Any:
    """Return the entry, or what it names: `"module:attribute"`, with a dot below this package."""
    if not isinstance(entry, str):
        return entry
    module, _, attribute = entry.partition(":")
    return getattr(importlib.import_module(module, PACKAGE), attribute)


@cache
def extend_by_modules() -> None:
    """Import every folder of the package, and those in them, once: each adds its entries."""
    package = Path(sys.modules[PACKAGE].__path__[0])
    found = [*package.glob("*/__init__.py"), *package.glob("*/*/__init__.py")]
    for name in sorted(".".join(path.relative_to(package).parts[:-1]) for path in found):
        if not f".{name}.".startswith(f"{TEAM}."):
            importlib.import_module(f".{name}", PACKAGE)


@cache
def team() -> ModuleType:
    """Return `custom`, the team's part, once its entries stand beside those of the folders."""
    extend_by_modules()
    custom = importlib.import_module(TEAM, PACKAGE)
    _IMPORTED.update(team_files(custom))
    for name, registry in FOR_THE_TEAM.items():
        own = declared(name, custom)
        registry.replaced = {each: registry[each] for each in own if each in registry}
        registry.update(own)
    return custom


def entries(name: str, custom: ModuleType) -> dict[str, Any]:
    """Return the folders' entries of a registry, and those of a `custom` other than today's.

    Args:
        name: One of `FOR_THE_TEAM`.
        custom: The team's code that a bundle carries.
    """
    extend_by_modules()
    registry = FOR_THE_TEAM[name]
    today = declared(name, sys.modules.get(f"{PACKAGE}{TEAM}"))
    folders = {each: entry for each, entry in registry.items() if today.get(each) is not entry}
    return folders | registry.replaced | declared(name, custom)


def declared(name: str, custom: ModuleType | None) -> dict[str, Any]:
    """Return what a `custom` declares for a registry; nothing where it imports that registry."""
    found: dict[str, Any] = getattr(custom, name, {})
    return {} if found is FOR_THE_TEAM[name] else found


def team_files(custom: ModuleType) -> dict[str, tuple[Path, int, int]]:
    """Return the files of `custom` by their names in the package: path, time and size."""
    if custom.__file__ is None:  # a folder without __init__.py
        return {}
    own = Path(custom.__file__)
    if own.name == "__init__.py":
        paths = [each for each in own.parent.rglob("*") if each.is_file()]
        paths = sorted(each for each in paths if "__pycache__" not in each.parts)
    else:
        paths = [own]
    base = Path(sys.modules[PACKAGE].__path__[0])
    states = {path.relative_to(base).as_posix(): (path, path.stat()) for path in paths}
    return {name: (path, stat.st_mtime_ns, stat.st_size) for name, (path, stat) in states.items()}


def imported_files() -> dict[str, tuple[Path, int, int]]:
    """Return `team_files` as they were when this process imported them."""
    return _IMPORTED


def announce(event: str, project: "Project", /, **facts: Any) -> None:
    """Call every listener with the event, the project and the facts.

    What has happened is on disk and stays so, whatever a listener does: one that fails is named in
    a warning on standard error, and the next one is called. Listeners are waited for, without a
    limit: what may take long, such as a server that does not answer, needs a timeout in the
    listener.

    The events, with what a listener finds in `facts`:

    - `run`: a candidate was trained: its line of `logs/runs.jsonl`.
    - `bundle`: a model was packaged, or found packaged with the same content: `run_id`, `model`
      (the fingerprint), and the facts of `reports/release.json`.
    - `opening`: the test split was opened: its line of `reports/test_ledger.jsonl`.
    - `promote`, `rollback`, `challenge`, `dismiss`: another model serves, or another one beside it:
      the line of `models/champion_history.jsonl`. Its `action` is `auto` where `run` promoted.
    """
    try:
        team()
    except Exception as error:  # noqa: BLE001  # the team's code may raise anything
        _warn(f"no listener heard of '{event}', since custom.py cannot be imported", error)
        return
    for name, entry in list(LISTENERS.items()):
        try:
            load(entry)(event, project, deepcopy(facts))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a listener's as well
            _warn(f"listener '{name}' failed on '{event}'", error)


def _warn(what: str, error: BaseException) -> None:
    """Say in one line what went wrong."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    print(f"Warning: {what}: {reason}", file=sys.stderr)
