"""What can be chosen by name: dicts that the folders of this package and `custom` extend.

An entry is `"module:function"`, where a module that begins with a dot is below this package. So
nothing is imported before it is asked for, and the command line starts fast. A folder adds its
entries in its own `__init__.py`: a folder that is not there adds none. `custom` declares dicts of
the same names, whose values are the functions themselves.
"""

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import UserError

PACKAGE = __package__.rpartition(".")[0]
FOLDER = Path(__file__).parents[1]

TASKS: dict[str, Any] = {}
SOURCES: dict[str, Any] = {}
ESTIMATORS: dict[str, Any] = {}
STAGES: dict[str, str] = {}
COMMANDS: dict[str, str] = {}
REPORT_SECTIONS: dict[str, Any] = {}
SETTINGS: dict[str, str] = {}
EVIDENCE: dict[str, Any] = {}
# By the class of an estimator, `"module:Class"`, the `models.Weights` that keep it in files.
WEIGHTS: dict[str, Any] = {}
# By the kind of input, its `models.Input`.
INPUTS: dict[str, Any] = {}
# By any name, what is called with each event, see `core.listeners`.
LISTENERS: dict[str, Any] = {}
# What `custom` may declare, too.
FOR_THE_TEAM = {
    "SOURCES": SOURCES,
    "ESTIMATORS": ESTIMATORS,
    "REPORT_SECTIONS": REPORT_SECTIONS,
    "EVIDENCE": EVIDENCE,
    "WEIGHTS": WEIGHTS,
    "INPUTS": INPUTS,
    "LISTENERS": LISTENERS,
}


def lookup(registry: dict[str, Any], name: str, what: str) -> Any:
    """Import and return the entry `name`.

    Raises:
        UserError: If there is none; the sentence opens with `what` and lists the names.
    """
    team()
    if name not in registry:
        allowed = ", ".join(sorted(registry))
        raise UserError(f"{what} is '{name}', but known are: {allowed}.")
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
    """Import every folder of the package once, so that it adds its entries."""
    for module in pkgutil.iter_modules([str(FOLDER)]):
        if module.ispkg and module.name != "custom":
            importlib.import_module(f".{module.name}", PACKAGE)


@cache
def team() -> ModuleType:
    """Return `custom`, the team's part, once its entries stand beside those of the folders."""
    extend_by_modules()
    custom = importlib.import_module(".custom", PACKAGE)
    for name, registry in FOR_THE_TEAM.items():
        registry.update(getattr(custom, name, {}))
    return custom
