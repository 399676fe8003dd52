"""What code a result follows from, found in the imports rather than in a list kept by hand.

Starting from its entries (`"module:function"`), a stage reaches every module that is imported, at
the top of a file or inside a function, and every file that such a module names. The fingerprint
follows from their syntax without docstrings and positions, so comments and formatting leave it
alone. Third-party packages count elsewhere, by their versions.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from .code_imports import (
    Import,
    Source,
    as_import,
    digest,
    keep,
    place_of,
    project_of,
    read_source,
    relative,
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
        # Logs, records, progress and printing.
        *("tracking", "tracking.logs", "tracking.runlog", "tracking.runs"),
        *("core.progress", "core.listeners"),
        # The command line.
        *("__main__", "cli", "core.options"),
        # Where files are, and how settings are read: their values count.
        *("core.project", "core.config"),
        # The order of the stages and whether one is due, these two files included.
        *(
            "__init__",
            "core.stage_order",
            "core.pipeline",
            "core.stages",
            "core.code_fingerprint",
            "core.code_imports",
        ),
        # Look-ups by name: what a stage has chosen there is among its entries.
        *("core.registry", "core.aliases", "data", "tasks"),
    }
)
INSTALLED = frozenset({"site-packages", "dist-packages"})


class Step(NamedTuple):
    """A file that an import reaches."""

    importer: Path
    found: Import
    file: Path


def code_fingerprint(
    entries: Iterable[str],
    *,
    package: Path = PACKAGE,
    aliases: Mapping[str, str] | None = None,
    modules: Modules | None = None,
) -> str:
    """Return 16 hexadecimal digits that follow from all code that the entries reach.

    Args:
        entries: Each `"module:function"`, below the package where it begins with a dot.
        package: The folder of the package.
        aliases: The new name of each module that moved, both without the package's name.
        modules: What earlier calls found on disk, which saves most of the time; else it is looked
            for again.

    Raises:
        UserError: If a reached file is not valid Python, or the package lacks an entry's module.
    """
    chosen = sorted(set(entries))
    reached = _reach(modules or Modules(package, aliases or {}), chosen)
    code = {relative(path, package): digest(path, package) for path in reached}
    keep(package)
    return hashlib.sha256(json.dumps([chosen, code], sort_keys=True).encode()).hexdigest()[:16]


def reached_files(
    entries: Iterable[str],
    *,
    package: Path = PACKAGE,
    aliases: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the files that `code_fingerprint` follows from, sorted, relative to the package.

    Raises:
        UserError: As `code_fingerprint`.
    """
    reached = _reach(Modules(package, aliases or {}), entries)
    return sorted(relative(path, package) for path in reached)


def check_team_code(
    stages: Iterable[str],
    *,
    package: Path = PACKAGE,
    aliases: Mapping[str, str] | None = None,
    modules: Modules | None = None,
) -> None:
    """Refuse a `custom` that reaches a stage: every result would then follow from every stage.

    Args:
        stages: Each `"module:function"`.
        package: The folder of the package.
        aliases: As for `code_fingerprint`.
        modules: As for `code_fingerprint`.

    Raises:
        UserError: With the file and the line of the import; or as `code_fingerprint`.
    """
    modules = modules or Modules(package, aliases or {})
    refused = {modules.entry(stage) for stage in stages}
    team = [f".{CUSTOM}"] if modules.entry(f".{CUSTOM}") else []
    for step in _steps(modules, team):
        if step.file in refused:
            raise UserError(
                f"{place_of(step.importer, package)}, line {step.found.line}, imports "
                f"{relative(step.file, package)}, which is a stage, so every result would follow "
                "from every stage; import what that stage builds on, or move the shared code to a "
                "file of its own."
            )
    keep(package)


class Modules:
    """Where the modules of a package, and of the team's folders beside it, are on disk.

    Each folder is listed once, so a change on disk needs a new instance.
    """

    def __init__(
        self,
        package: Path,
        aliases: Mapping[str, str],
        lost: Callable[[str, str], str | None] = lambda module, name: None,
    ) -> None:
        """Look in `package`, and in the folders of its project from which Python imports.

        Args:
            package: The folder of the package.
            aliases: The new name of each module that moved, both without the package's name.
            lost: From a module that is still there and a name to the module where that name is
                now; None where it never moved.
        """
        self.package = package
        self.lost = lost
        self.project = project_of(package)
        self.aliases = aliases
        self.roots = _roots(package, self.project)
        self._listed: dict[Path, frozenset[str]] = {}
        self._found: dict[tuple[Path, tuple[str, ...]], tuple[list[Path], bool]] = {}
        self._reached: dict[tuple[Path, Import], tuple[list[Path], list[str]]] = {}
        self._named: dict[Path, list[Path]] = {}
        self._sources: dict[Path, Source] = {}
        self._folders: dict[tuple[Path, int], list[tuple[Path, tuple[str, ...]]]] = {}

    def source(self, module: Path) -> Source:
        """Return what a module's file said when this instance first read it."""
        if module not in self._sources:
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
            self._listed[folder] = frozenset()
            with suppress(OSError), os.scandir(folder) as entries:
                self._listed[folder] = frozenset(each.name for each in entries)
        return self._listed[folder]


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


def _reach(modules: Modules, entries: Iterable[str]) -> set[Path]:
    """Return every counted file that the entries reach."""
    reached = {step.file for step in _steps(modules, entries)}
    for module in list(reached):
        reached.update(modules.named(module))
    return reached


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
