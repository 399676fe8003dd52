"""What code a result follows from, found in the imports rather than in a list kept by hand.

Starting from its entries (`"module:function"`), a stage reaches every module that is imported, at
the top of a file or inside a function, and every file that such a module names. The fingerprint
follows from their syntax without docstrings and positions, so comments and formatting leave it
alone. Third-party packages count elsewhere, by their versions.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from time import time_ns
from typing import NamedTuple

from .code_imports import (
    Import,
    Source,
    State,
    as_import,
    digest,
    place_of,
    project_of,
    read_source,
    relative,
    state_of,
)
from .errors import UserError

PACKAGE = Path(__file__).parents[1]
# The team's own module; where it is a folder, all of its modules count.
CUSTOM = "custom"
# No result follows from these, so they are neither counted nor followed: a change in what a person
# is shown, or in how a stage is found and started, must not train a model again. Of the package's
# own `__init__.py`, which declares the stages, the names that it lends to others are followed.
UNCOUNTED = frozenset(
    {
        # Errors: sentences and exit codes.
        "core.errors",
        # Logs, records and printing.
        *("tracking", "tracking.runlog", "tracking.runs"),
        # The command line.
        *("__main__", "cli", "core.options"),
        # Where files and reports are, and how settings are read: their values count.
        *("core.project", "core.config"),
        # The order of the stages and whether one is due, these two files included.
        *("__init__", "core.pipeline", "core.code_fingerprint", "core.code_imports"),
        # Look-ups by name: what a stage has chosen there is among its entries.
        *("core.registry", "core.aliases", "data", "tasks"),
    }
)
# A file that is written twice within this time, in nanoseconds, may bear the same time both times.
SETTLED = 2_000_000_000
INSTALLED = frozenset({"site-packages", "dist-packages"})


class Step(NamedTuple):
    """A file that an import reaches."""

    importer: Path
    found: Import
    file: Path


def code_fingerprint(entries: Iterable[str], modules: Modules) -> str:
    """Return 16 hexadecimal digits that follow from all code that the entries reach.

    Args:
        entries: Each `"module:function"`, below the package where it begins with a dot.
        modules: Where they are found.

    Raises:
        UserError: If a reached file is not valid Python, or the package lacks an entry's module.
    """
    chosen = sorted(set(entries))

    def find() -> str:
        code = {
            relative(path, modules.package): digest(path, modules.package)
            for path in reached(chosen, modules)
        }
        return hashlib.sha256(json.dumps([chosen, code], sort_keys=True).encode()).hexdigest()[:16]

    return modules.once(" ".join(chosen), find)


def check_team_code(stages: Iterable[str], modules: Modules) -> None:
    """Refuse a `custom` that reaches a stage: every result would then follow from every stage.

    Args:
        stages: Each `"module:function"`.
        modules: Where they are found.

    Raises:
        UserError: With the file and the line of the import; or as `code_fingerprint`.
    """
    chosen = sorted(set(stages))

    def check() -> str:
        refused = {modules.entry(stage) for stage in chosen}
        team = [f".{CUSTOM}"] if modules.entry(f".{CUSTOM}") else []
        for step in _steps(modules, team):
            if step.file in refused:
                raise UserError(
                    f"{place_of(step.importer, modules.package)}, line {step.found.line}, imports "
                    f"{relative(step.file, modules.package)}, which is a stage, so every result "
                    "would follow from every stage; import what that stage builds on, or move the "
                    "shared code to a file of its own."
                )
        return "passed"

    modules.once(f"{CUSTOM} beside {' '.join(chosen)}", check)


def reached(entries: Iterable[str], modules: Modules) -> set[Path]:
    """Return the files that `code_fingerprint` follows from.

    Raises:
        UserError: As `code_fingerprint`.
    """
    found = {step.file for step in _steps(modules, entries)}
    return found.union(*map(modules.named, found))


class Modules:
    """Where the modules of a package, and of the team's folders beside it, are on disk.

    Each folder is listed once, so a change on disk needs a new instance.
    """

    def __init__(
        self,
        package: Path,
        gone: Callable[[], Mapping[str, str]] = dict,
        lost: Callable[[str, str], str | None] = lambda module, name: None,
    ) -> None:
        """Look in `package`, and in the folders of its project from which Python imports.

        Args:
            package: The folder of the package.
            gone: Returns the new name of each module that moved, both without the package's name.
            lost: From a module that is still there and a name to the module where that name is
                now; None where it never moved.
        """
        self.package = package
        self.lost = lost
        self.project = project_of(package)
        self.roots = _roots(package, self.project)
        self._gone = gone
        self._kept = Kept(package, self.roots)
        self._listed: dict[Path, frozenset[str]] = {}
        self._found: dict[tuple[Path, tuple[str, ...]], tuple[list[Path], bool]] = {}
        self._reached: dict[tuple[Path, Import], tuple[list[Path], list[str]]] = {}
        self._named: dict[Path, list[Path]] = {}
        self._sources: dict[Path, Source] = {}
        self._folders: dict[tuple[Path, int], list[tuple[Path, tuple[str, ...]]]] = {}

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """The new name of each module that moved."""
        return self._gone()

    def once(self, question: str, find: Callable[[], str]) -> str:
        """Return what `find` finds, or what it found before in the same files."""
        answer = self._kept.answers.get(question)
        if answer is None:
            answer = self._kept.answers[question] = find()
            self._kept.write()
        return answer

    def source(self, module: Path) -> Source:
        """Return what a module's file said when this instance first read it."""
        if module not in self._sources:
            self._kept.note(module)
            self._sources[module] = read_source(module, self.package)
        return self._sources[module]

    def targets(self, importer: Path, found: Import) -> tuple[list[Path], list[str]]:
        """Return the files that an import executes, and the names it asks the last one for."""
        if (importer, found) not in self._reached:
            self._reached[importer, found] = self._targets(importer, found)
        return self._reached[importer, found]

    def _targets(self, importer: Path, found: Import) -> tuple[list[Path], list[str]]:
        """Look for the files of an import."""
        for base, parts in self._starts(importer, found):
            files, whole = self.find(base, parts)
            if not files and not whole:
                continue  # not in this folder, perhaps in the next
            submodules: list[Path] = []
            asked = [] if found.names else ["*"]
            for name in found.names:
                below, is_module = self.find(base, (*parts, name))
                new = self.lost(".".join(parts), name) if base == self.package else None
                if is_module:
                    submodules += below
                elif new is not None:
                    submodules += self.find(base, tuple(new.split(".")))[0]
                else:
                    asked.append(name)
            if found.names and not asked and files and files[-1].name != "__init__.py":
                files = files[:-1]  # nothing is asked of the module itself
            return [*submodules, *files], asked
        return [], []

    def entry(self, entry: str) -> Path | None:
        """Return the file of an entry's module; None where it is not in this project."""
        for base, parts in self._starts(self.package / "__init__.py", as_import(entry)):
            files, whole = self.find(base, parts)
            if whole and files:
                return files[-1]
        return None

    def find(self, base: Path, parts: tuple[str, ...]) -> tuple[list[Path], bool]:
        """Return the files executed for a module, its own last, and whether it is there."""
        if (base, parts) not in self._found:
            files, whole = self._find(base, parts)
            if not whole and base == self.package:
                moved = self._moved(parts)
                files, whole = self._find(base, moved) if moved else (files, whole)
            self._found[base, parts] = files, whole
        return self._found[base, parts]

    def named(self, module: Path) -> list[Path]:
        """Return the files, other than Python's, that a module's strings name.

        They lie beside the module or in the package; what lies in the project's own folder is
        settings, data and results, which count elsewhere.
        """
        if module not in self._named:
            names = self.source(module).files
            self._named[module] = list(self._files_named(module, names))
        return self._named[module]

    def _files_named(self, module: Path, names: Iterable[str]) -> Iterator[Path]:
        """Yield those of the names that are files."""
        folders = dict.fromkeys((module.parent, self.package))
        for folder in (each for each in folders if each != self.project):
            for name in names:
                path = Path(os.path.normpath(folder / name))
                if path.name in self._names(path.parent) and path.suffix != ".py":
                    near = any(path.is_relative_to(each) for each in folders)
                    if near and path.is_file():
                        self._kept.note(path)
                        yield path

    def _starts(self, importer: Path, found: Import) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Yield each folder in which an import may be found, and the module's path below it."""
        parts = tuple(found.module.split(".")) if found.module else ()
        if found.dots:
            for base, above in self._above(importer, found.dots):
                yield base, (*above, *parts)
        elif parts[:1] == (self.package.name,):
            yield self.package, parts[1:]
        elif parts:
            yield from ((root, parts) for root in self.roots)

    def _above(self, importer: Path, dots: int) -> list[tuple[Path, tuple[str, ...]]]:
        """Return the folder that so many dots stand for: a base, and the path below it."""
        if (importer, dots) not in self._folders:
            folder = importer.parents[min(dots, len(importer.parents)) - 1]
            bases = (base for base in (self.package, *self.roots) if folder.is_relative_to(base))
            found = [(base, folder.relative_to(base).parts) for base in bases]
            self._folders[importer, dots] = found[:1]
        return self._folders[importer, dots]

    def _find(self, base: Path, parts: tuple[str, ...]) -> tuple[list[Path], bool]:
        """Look for a module below a folder as Python does: package, module, bare folder."""
        folder = base
        own = base == self.package and "__init__.py" in self._names(base)
        files = [base / "__init__.py"] if own else []
        for number, part in enumerate(parts, start=1):
            inside = self._names(folder)
            if part in inside and "__init__.py" in self._names(folder / part):
                folder /= part
                files.append(folder / "__init__.py")
            elif f"{part}.py" in inside:
                return [*files, folder / f"{part}.py"], number == len(parts)
            elif part in inside and self._names(folder / part):
                folder /= part
            else:
                return files, False
        return files, True

    def _moved(self, parts: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the new path of a module that moved, or that is in a folder that moved."""
        for length in range(len(parts), 0, -1):
            new = self.aliases.get(".".join(parts[:length]))
            if new is not None:
                return (*new.split("."), *parts[length:])
        return None

    def _names(self, folder: Path) -> frozenset[str]:
        """Return the names in a folder; none where it is not one."""
        if folder not in self._listed:
            self._kept.note(folder)
            self._listed[folder] = frozenset()
            with suppress(OSError), os.scandir(folder) as entries:
                self._listed[folder] = frozenset(each.name for each in entries)
        return self._listed[folder]


class Kept:
    """What was found, kept for later processes as long as no file has changed.

    Looking at the files' times and sizes takes a tenth of the time that following imports does.
    """

    def __init__(self, package: Path, roots: tuple[Path, ...]) -> None:
        """Look at nothing yet; `roots` are the folders from which the team's modules come."""
        self._package = package
        self._roots = roots
        # Where Python keeps what it compiles.
        compiled = importlib.util.cache_from_source(str(package / "__init__.py"))
        self._file = Path(compiled).with_name("stages.json")
        # The package's files, and what else was looked at, each as it was before that.
        self._inside: dict[str, State] = {}
        self._outside: dict[str, State | None] = {}

    @cached_property
    def answers(self) -> dict[str, str]:
        """The answers that an earlier process found in the files as they are now."""
        self._inside = dict(_states_in(self._package))
        with suppress(OSError, ValueError, KeyError, TypeError):  # none, or damaged
            kept = json.loads(self._file.read_bytes())
            outside = {path: _state(path) for path in kept["outside"]}
            if kept["state"] == self._digest(outside):
                self._outside = outside
                return dict(kept["answers"])
        return {}

    def note(self, path: Path) -> None:
        """Take down how a file or folder is right before it is looked at."""
        if not path.is_relative_to(self._package):
            self._outside.setdefault(str(path), _state(path))

    def write(self) -> None:
        """Keep the answers, unless Python may keep nothing, or a file has only just been edited."""
        states = [*self._inside.values(), *filter(None, self._outside.values())]
        newest = max((max(modified, changed) for modified, changed, *_ in states), default=0)
        if sys.dont_write_bytecode or time_ns() - newest <= SETTLED:
            return
        state = self._digest(self._outside)
        document = {"state": state, "outside": [*self._outside], "answers": self.answers}
        partial = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        with suppress(OSError):  # a folder for reading only: the next process looks again
            self._file.parent.mkdir(exist_ok=True)
            partial.write_text(json.dumps(document), encoding="utf-8")
            partial.replace(self._file)

    def _digest(self, outside: Mapping[str, State | None]) -> str:
        """Return a digest of all that the answers follow from."""
        found = [[*map(str, self._roots)], sorted(self._inside.items()), sorted(outside.items())]
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _state(path: str | Path) -> State | None:
    """Return the state of a file or folder; None where there is none."""
    try:
        return state_of(Path(path).stat())
    except OSError:
        return None


def _states_in(folder: str | Path) -> Iterator[tuple[str, State]]:
    """Yield every file below a folder with its state, apart from what Python compiled."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == "__pycache__":
                continue
            if entry.is_dir():
                yield from _states_in(entry.path)
            else:
                yield entry.path, state_of(entry.stat())


def _roots(package: Path, project: Path) -> tuple[Path, ...]:
    """Return the folders from which the team's modules are imported by their full name.

    Those of an installed package are third-party, and so is what an environment in the project
    holds.
    """
    if INSTALLED.intersection(package.parts):
        return ()
    folders = [package.parent, project]
    for path in map(Path, sys.path):
        if path.is_relative_to(project) and not INSTALLED.intersection(path.parts):
            folders.append(path)
    return tuple(each for each in dict.fromkeys(folders) if each != package)


def _steps(modules: Modules, entries: Iterable[str]) -> Iterator[Step]:
    """Follow the imports from the entries on, nearest first; yield each that ends in a file."""
    package = modules.package
    own = package / "__init__.py"
    waiting: list[tuple[Path, Import]] = []
    for entry in sorted(set(entries)):
        if entry[:1] in ("", ".", ":") and modules.entry(entry) is None:
            raise UserError(f"There is no module for '{entry}' in {package}; correct its name.")
        waiting.append((own, as_import(entry)))
    read: set[Path] = set()
    seen = set(waiting)
    by_name = Strings(own)
    for importer, found in waiting:  # grows while it is read
        files, asked = modules.targets(importer, found)
        for file in files:
            counts = _counts(file, package)
            if not counts and file != own:
                continue
            if counts:
                yield Step(importer, found, file)
            ahead = _imports_of(modules, file) if counts and file not in read else []
            if asked and file == files[-1]:
                ahead += _asked_of(modules.source(file), asked)
            steps = dict.fromkeys((file, each) for each in ahead)
            if counts and file not in read:
                steps |= dict.fromkeys(by_name.ahead(modules.source(file)))
            waiting += [step for step in steps if step not in seen]
            seen.update(steps)
            read.add(file)


class Strings:
    """The `"module:function"` strings of reached files, followed once a reached file loads them.

    A task names what measures and what draws it: only a stage that measures follows the one, and
    only a stage that draws the other.
    """

    def __init__(self, own: Path) -> None:
        """Begin empty; `own` is the file that the strings are relative to."""
        self._own = own
        self._given: dict[str, list[Import]] = {}
        self._loaded: set[str] = set()

    def ahead(self, source: Source) -> Iterator[tuple[Path, Import]]:
        """Take one more file's strings and calls in, and yield what is to be followed now."""
        for name, found in source.entries.items():
            self._given.setdefault(name, []).extend(found)
        self._loaded.update(source.loads)
        for name in self._loaded & self._given.keys():
            yield from ((self._own, each) for each in self._given.pop(name))


def _imports_of(modules: Modules, file: Path) -> list[Import]:
    """Return what a module imports; the team's folder imports all that it holds."""
    package = modules.package
    imports = [
        each if each.dots or each.module else each._replace(module=package.name)
        for each in modules.source(file).imports
    ]
    if file == package / CUSTOM / "__init__.py":
        imports += _whole(file.parent)
    return imports


def _asked_of(source: Source, names: list[str]) -> list[Import]:
    """Return what a module imports when it is asked for some of its names, or `*` for all."""
    wanted = source.lazy if "*" in names else ["", *names]
    return [each for name in wanted for each in source.lazy.get(name, ())]


def _whole(folder: Path) -> Iterator[Import]:
    """Yield an import of each module in a folder, whichever of them its `__init__.py` imports."""
    for path in sorted(folder.rglob("*.py")):
        *above, _ = path.relative_to(folder).parts
        yield Import(1, 1, ".".join(above), (path.stem,))


@cache
def _counts(path: Path, package: Path) -> bool:
    """Tell whether results follow from a module."""
    name = relative(path, package).removesuffix(".py").removesuffix("/__init__")
    return name.replace("/", ".") not in UNCOUNTED
