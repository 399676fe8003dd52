"""What can be chosen by name: dicts that the folders of this package and `custom` extend.

An entry is `"module:function"`, where a module that begins with a dot is below this package. So
nothing is imported before it is asked for, and the command line starts fast. A folder adds its
entries in its own `__init__.py`: a folder that is not there adds none. `custom` declares dicts of
the same names, whose values are the functions themselves.
"""

import importlib
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple, TypeVar

from .errors import UserError

PACKAGE = __package__.rpartition(".")[0]

Entry = TypeVar("Entry")


class Registry(dict[str, Entry]):
    """Entries by name; no two folders may add the same name."""

    def __init__(self, what: str) -> None:
        """Begin empty; `what` is the kind of entry in the sentence that refuses a second one."""
        super().__init__()
        self.what = what

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
    `verdict`; `run` then fails, whether the stage ran or was skipped.

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
            of (project, run id), which returns the rest of the line.
        command: `"module:function"` of its command, where it has options of its own.
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


TASKS = Registry[Any]("task")
SOURCES = Registry[Any]("source")
ESTIMATORS = Registry[Any]("estimator")
STAGES = Registry[Stage]("stage")
# By its name, a function, or a `typer.Typer` for a group of commands.
COMMANDS = Registry[str]("command")
# By the word that opens it, what makes the rest of a line, of (project): `run` ends with these.
LAST_LINES = Registry[str]("last line of a run")
REPORT_SECTIONS = Registry[Any]("section of the report")
SETTINGS = Registry[str]("section of conf.cfg")
EVIDENCE = Registry[Any]("kind of evidence")
# By the class of an estimator, `"module:Class"`, the `models.Weights` that keep it in files.
WEIGHTS = Registry[Any]("weights of the class")
# By the kind of input, its `models.Input`.
INPUTS = Registry[Any]("kind of input")
# By any name, what is called with each event, see `core.listeners`.
LISTENERS = Registry[Any]("listener")
# The module, or the folder, that is the team's.
TEAM = ".custom"
# What it may declare, too, and may replace.
FOR_THE_TEAM: dict[str, Registry[Any]] = {
    "SOURCES": SOURCES,
    "ESTIMATORS": ESTIMATORS,
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


def _place(entry: Any) -> str:
    """Return where the function of an entry stands."""
    if isinstance(entry, str):
        return entry
    if isinstance(entry, Stage):
        return entry.function
    if not callable(entry):  # the functions that it names say more than its own class
        named = (value for value in vars(entry).values() if isinstance(value, str))
        found = next((value for value in named if ":" in value), None)
        if found is not None:
            return found
    return f"{entry.__module__}:{getattr(entry, '__qualname__', type(entry).__qualname__)}"


def lookup(registry: dict[str, Any], name: str, what: str) -> Any:
    """Import and return the entry `name`.

    Raises:
        UserError: If there is none; the sentence opens with `what` and lists the names.
    """
    team()
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
    for name, registry in FOR_THE_TEAM.items():
        registry.update(getattr(custom, name, {}))
    return custom
