"""Where earlier versions kept things: `from <package>.champion import ...` goes on working.

The table below says where each module, and each renamed thing, went. It holds until the next
release, so that bundles, notebooks and code of the team's own have a release's time to follow; a
DeprecationWarning names the new place.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    # The import of importlib.abc would cost every start more than all of this module.
    Loader = object

PACKAGE = __package__.rpartition(".")[0]
FOLDER = Path(__file__).parents[1]

# Module of the earlier version -> the modules that hold its names now, the likeliest first.
# "module:name" -> "module:name" for what is called differently, too.
MOVED = {
    "bundle": "bundle.bundle evaluation.decision evaluation.predictions",
    "card": "bundle.card",
    "champion": "bundle.champion",
    "champion:offer": "bundle.promotion:offer",
    "bundle.reference": "evaluation.reference",
    "cli": "core.options",
    "config": "core.config",
    "core.listeners": "core.registry",
    "core.reports": "core.project",
    "core.stage_order": "core.registry",
    "core.stages": "core.pipeline core.project",
    "data.clean:Cleaned": "data.clean:CleanedRows",
    "data.formats": "data.readers data.writers data.schema data.arrow data.text_files",
    "data.formats:SNIFFED_ROWS": "data.earlier_files:FIRST_ROWS",
    "data.ingest": "ingest data.sources",
    "data.infer": "data.checks data.infer_dates",
    "data.infer:parse_dates": "data.dates:parse_dates",
    "data.names": "data.schema",
    "data.original": "data.sources",
    "data.schema": "data.cast",
    "data.schema:INFER_ANEW": "data.schema:INFER_AGAIN",
    "data.split:Rule": "data.split:SplitRule",
    "diagnostics": "evaluation.diagnostics evaluation.curves",
    "errors": "core.errors",
    "evaluation.distributions": "evaluation.reference",
    "evaluate": "evaluation.ledger",
    "evaluate:Trial": "evaluate:Evaluation",
    "features": "models.features",
    "files": "core.files",
    "inputs": "models",
    "ledger": "evaluation.ledger",
    "logs": "tracking.runs",
    "metrics": "evaluation.metrics evaluation.bootstrap",
    "metrics:Form": "evaluation.metrics:Weighted",
    "metrics:Outcome": "evaluation.predictions:PredictionsWithTruth",
    "models.baseline": "models",
    "models.inputs": "models",
    "models.team_steps": "models.features",
    "pipeline": "core.pipeline core.project",
    "plots": "reporting.plots",
    "postprocess": "evaluation.decision",
    "preprocess": "data.overlap",
    "preprocess:Assigned": "data.overlap:SplitRows",
    "project": "core.project core.pipeline",
    "reference": "evaluation.reference evaluation.drift",
    "registry": "core.registry",
    "registry:extend_by_custom": "core.registry:team",
    "report": "reporting.html reporting.sections",
    "reporting.profile": "reporting.sections",
    "runs": "tracking.runs",
    "tracking": "tracking.runs",
    "tracking.logs": "tracking.runs",
    "tracking.runlog": "tracking.runs",
    "train:Material": "models.training_data:TrainingData",
    "train:Onwards": "models.training_data:WarmStart",
    "train:choose": "train:find_winner",
    "train:load_material": "models.training_data:load_training_data",
}
# The modules of the table.
_MODULES: set[str] = set()
# Where a warning was given: old name, file, line.
_warned: set[tuple[str, str, int]] = set()


def add(moved: Mapping[str, str]) -> None:
    """Add moves to the table: those of a folder that is not in every project."""
    MOVED.update(moved)
    _MODULES.update(f"{PACKAGE}.{entry.partition(':')[0]}" for entry in moved)


def install() -> None:
    """Let imports of this package find what an earlier version had elsewhere."""
    add(MOVED)
    others = [finder for finder in sys.meta_path if getattr(finder, "serves", None) != PACKAGE]
    sys.meta_path[:] = [Finder(), *others]


def gone() -> dict[str, str]:
    """Return where most of each module is that has no file and no folder any more."""
    modules = {old: new.split()[0] for old, new in MOVED.items() if ":" not in old}
    return {
        old: new
        for old, new in modules.items()
        if not (FOLDER / old.replace(".", "/")).with_suffix(".py").exists()
        and not (FOLDER / old.replace(".", "/") / "__init__.py").exists()
    }


def lost(module: str, name: str) -> str | None:
    """Return where a name is now that a module, still there, has lost; None for any other."""
    if f"{PACKAGE}.{module}" not in _MODULES or _defines(f"{PACKAGE}.{module}", name):
        return None
    for place, new in _places(f"{PACKAGE}.{module}", name):
        if _defines(place, new):
            return place.removeprefix(f"{PACKAGE}.")
    return None


class Finder:
    """Finds the modules of the table: those that are gone, and those that lost names."""

    serves = PACKAGE

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module of the table; None for any other."""
        if fullname not in _MODULES:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        # A folder without code, such as one of which git left `__pycache__`, is not a module.
        if spec is None or spec.origin is None:
            spec = ModuleSpec(fullname, None, origin="core/aliases.py")
        spec.loader = Earlier(spec.loader)
        return spec


class Earlier(Loader):
    """Runs a module's file, if it still has one, and lets it find the names that it has lost."""

    file: Any = None

    def __init__(self, file: Any) -> None:
        """Stand before the loader of the file."""
        self.file = file

    def __getattr__(self, name: str) -> Any:
        """Do all else as the file's own loader does."""
        return getattr(self.file, name)

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python."""

    def get_code(self, fullname: str) -> CodeType:
        """Return what `python -m` runs: nothing where there is no file."""
        return self.file.get_code(fullname) if self.file else compile("", "core/aliases.py", "exec")

    def exec_module(self, module: ModuleType) -> None:
        """Run the file; names that are neither there nor in its own `__getattr__` come later."""
        names = vars(module)
        names.pop("__getattr__", None)  # of an earlier run, after `importlib.reload`
        if self.file:
            self.file.exec_module(module)
        else:
            names["__dir__"] = lambda: sorted({*names, *_public(module.__name__)})
        names["__getattr__"] = finder_of_names(module, names.get("__getattr__"))


def finder_of_names(
    module: ModuleType, own: Callable[[str], Any] | None = None
) -> Callable[[str], Any]:
    """Return a `__getattr__` that looks in the module's own, then where its names are now."""

    def find(name: str) -> Any:
        if own is not None:
            try:
                return own(name)
            except AttributeError:
                pass
        if name == "__all__" and "__file__" not in vars(module):
            return _public(module.__name__)
        if not (name.startswith("__") or _is_submodule(module, name)):
            for place, new in _places(module.__name__, name):
                if _has(place, new):
                    _warn(f"{module.__name__}.{name}", f"{place}.{new}")
                    return vars(import_module(place))[new]
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    return find


def _places(module: str, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the modules in which a name of an old module may be, and what it is called there."""
    old = module.removeprefix(f"{PACKAGE}.")
    if renamed := MOVED.get(f"{old}:{name}"):
        place, _, new = renamed.partition(":")
        yield f"{PACKAGE}.{place}", new
    for place in MOVED.get(old, "").split():
        yield f"{PACKAGE}.{place}", name


def _has(place: str, name: str) -> bool:
    """Tell whether a module defines or imports a name, without importing it.

    Libraries such as skops ask every loaded module for any name; none of them is to be imported
    for that.
    """
    return any(name in names for names in _names(place))


def _defines(place: str, name: str) -> bool:
    """Tell whether a module itself defines a name."""
    return name in _names(place)[0]


@cache
def _names(place: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that a module's file defines, and those that it imports on one line."""
    path = FOLDER.joinpath(*place.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    assigned = " ".join(re.findall(r"^([\w, *]+?) ?[=:]", text, re.MULTILINE))
    defined = re.findall(r"^(?:def|class) (\w+)", text, re.MULTILINE)
    imported = " ".join(re.findall(r"^from \S+ import ([\w, ]+)$", text, re.MULTILINE))
    return frozenset([*defined, *re.findall(r"\w+", assigned)]), frozenset(
        re.findall(r"\w+", imported)
    )


def _is_submodule(module: ModuleType, name: str) -> bool:
    """Tell whether a folder has a module of that name, which Python is about to import."""
    folder = vars(module).get("__path__")
    return (
        folder is not None and PathFinder.find_spec(f"{module.__name__}.{name}", folder) is not None
    )


def _public(module: str) -> list[str]:
    """Return what `from module import *` gives, and completion shows."""
    # What an answer does not bring has no names.
    places = [place for place, _ in _places(module) if any(_names(place))]
    names = {name for place in places for name in vars(import_module(place)) if _has(place, name)}
    return sorted(name for name in names if not name.startswith("_"))


def _warn(old: str, new: str) -> None:
    """Warn the line that uses an old name, once."""
    frame = sys._getframe()
    while frame.f_back and (frame.f_globals is globals() or _is_of_import(frame.f_code)):
        frame = frame.f_back
    place = (old, frame.f_code.co_filename, frame.f_lineno)
    if place in _warned:
        return
    warnings.warn_explicit(
        f"{old} is now {new}; the old name works until the next release of the template.",
        DeprecationWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=frame.f_globals.get("__name__", "<string>"),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )
    _warned.add(place)


def _is_of_import(code: CodeType) -> bool:
    """Tell whether code is Python's own machinery of imports."""
    return code.co_filename.startswith("<frozen importlib")
