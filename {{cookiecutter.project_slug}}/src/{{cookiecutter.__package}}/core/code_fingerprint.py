"""What code a result follows from, found in the imports rather than in a list kept by hand.

Starting from its entries (`"module:function"`), a stage reaches every module that is imported, at
the top of a file or inside a function, and every file that such a module names. The fingerprint
follows from their syntax, so it is the same whatever the comments, the formatting, the docstrings
and the version of Python. Third-party packages count elsewhere, by their versions.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from time import time_ns
from typing import Any, NamedTuple

from .errors import UserError

PACKAGE = Path(__file__).parents[1]
# The team's own module; where it is a folder, all of its modules count.
CUSTOM = "custom"
# No result follows from these, so they are neither counted nor followed: a change in what a person
# is shown, or in how a stage is found and started, must not train a model again.
UNCOUNTED = frozenset(
    {
        # Errors: sentences and exit codes.
        "core.errors",
        # Logs, records and printing.
        *("tracking", "tracking.runs"),
        # The command line.
        *("__main__", "cli", "core.options"),
        # Where files and reports are, and how settings are read: their values count.
        *("core.project", "core.config"),
        # The order of the stages and whether one is due, this file included.
        *("__init__", "core.pipeline", "core.code_fingerprint"),
        # Look-ups by name: what a stage has chosen there is among its entries.
        *("core.registry", "core.aliases", "data", "tasks"),
    }
)
# A file that is written twice within this time, in nanoseconds, may bear the same time both times.
SETTLED = 2_000_000_000
INSTALLED = frozenset({"site-packages", "dist-packages"})
FILE_NAME = re.compile(r"[\w.-]+(/[\w.-]+)*\.\w+")
ENTRY = re.compile(r"\.\w+(\.\w+)*:\w+")
# When a file was written and changed, in nanoseconds, how large it is, and its place on the disk.
State = tuple[int, int, int, int]
# A file that is reached, the file that imports it, and in which line.
Step = tuple[Path, Path | None, int]


class Source(NamedTuple):
    """What a Python file says.

    Attributes:
        code: SHA-256 of its syntax.
        imports: What it imports, wherever in the file, and the first line of each: a module, or a
            name in one, with dots before it as in the file; below the package after a colon.
        files: Strings that look like names of files.
        entries: Its `"module:function"` strings, as imports, by the keyword that they are given as.
        loads: The attributes whose strings it loads: `measure` for `load(each.measure)`.
    """

    code: str
    imports: Mapping[str, int]
    files: Iterable[str]
    entries: Mapping[str, list[str]]
    loads: frozenset[str]


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
        refused = {modules.module(stage.partition(":")[0]) for stage in chosen}
        for file, importer, line in _steps(modules, [f":{CUSTOM}"]):
            if importer and file in refused:
                raise UserError(
                    f"{place_of(importer, modules.package)}, line {line}, imports "
                    f"{relative(file, modules.package)}, which is a stage, so every result "
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
    targets = []
    for entry in sorted(set(entries)):
        module = entry.partition(":")[0]
        if not module or (module.startswith(".") and modules.module(module) is None):
            raise UserError(
                f"There is no module for '{entry}' in {modules.package}; correct its name."
            )
        targets.append(_as_target(entry))
    found = {file for file, *_ in _steps(modules, targets)}
    return found.union(*map(modules.named, found))


def _steps(modules: Modules, targets: Iterable[str]) -> Iterator[Step]:
    """Follow the imports from some on, nearest first; yield each file, its importer and the line.

    The `"module:function"` strings of a file are followed once a reached file loads them: a task
    names what measures and what draws it, but only a stage that measures follows the one, and only
    a stage that draws the other.
    """
    waiting: list[tuple[str, Path | None, int]] = [(each, None, 0) for each in targets]
    seen = {target for target, *_ in waiting}
    read: set[Path] = set()
    named: dict[str, list[str]] = {}
    loaded: set[str] = set()
    for target, importer, line in waiting:  # grows while it is read
        for file in modules.files(target):
            yield file, importer, line
            if file in read:
                continue
            read.add(file)
            source = modules.source(file)
            for keyword, found in source.entries.items():
                named.setdefault(keyword, []).extend(found)
            loaded |= source.loads
            ahead = modules.imports(file)
            for keyword in loaded & named.keys():
                ahead |= dict.fromkeys(named.pop(keyword), 0)
            waiting += [(each, file, at) for each, at in ahead.items() if each not in seen]
            seen |= ahead.keys()


class Modules:
    """Where the modules of a package, and of the team's folders beside it, are on disk.

    What was found is kept for later processes as long as nothing has changed of what was looked at:
    that takes a tenth of the time that following imports does. Each file and folder is looked at
    once, so a change on disk needs a new instance.
    """

    def __init__(
        self,
        package: Path,
        lent: Mapping[str, str] | None = None,
        gone: Callable[[], Mapping[str, str]] = dict,
        lost: Callable[[str, str], str | None] = lambda module, name: None,
    ) -> None:
        """Look in `package`, and in the folders of its project from which Python imports.

        Args:
            package: The folder of the package.
            lent: The modules of the names that the package itself lends to others.
            gone: Returns the new name of each module that moved, both without the package's name.
            lost: From a module that is still there and a name to the module where that name is
                now; None where it never moved.
        """
        self.package = package
        self._lent, self._gone, self._lost = lent or {}, gone, lost
        self._project = project_of(package)
        self._roots = _roots(package, self._project)
        # Where Python keeps what it compiles.
        compiled = importlib.util.cache_from_source(str(package / "__init__.py"))
        self._kept = Path(compiled).with_name("stages.json")
        self._folders: dict[str, list[str]] = {}
        self._states: dict[str, State] = {}
        self._found: dict[str, tuple[list[Path], list[str]]] = {}
        self._named: dict[Path, list[Path]] = {}

    def once(self, question: str, find: Callable[[], str]) -> str:
        """Return what `find` finds, or what it found before in the same files."""
        answer = self._answers.get(question)
        if answer is None:
            answer = self._answers[question] = find()
            self._keep()
        return answer

    @cached_property
    def _answers(self) -> dict[str, str]:
        """The answers that an earlier process found in the files as they are now."""
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or damaged
            kept = json.loads(self._kept.read_bytes())
            states = {path: tuple(state) for path, state in kept["states"].items()}
            if (
                kept["roots"] == [*map(str, self._roots)]
                and all(_names_in(path) == names for path, names in kept["folders"].items())
                and all(_state(path) == state for path, state in states.items())
            ):
                answers = dict(kept["answers"])
                self._folders, self._states = kept["folders"], states
                return answers
        return {}

    def _keep(self) -> None:
        """Keep the answers, unless Python may keep nothing, or a file has only just been edited."""
        newest = max((max(state[:2]) for state in self._states.values()), default=0)
        if sys.dont_write_bytecode or time_ns() - newest <= SETTLED:
            return
        document = {
            "roots": [*map(str, self._roots)],
            "folders": self._folders,
            "states": self._states,
            "answers": self._answers,
        }
        partial = self._kept.with_name(f"{self._kept.name}.{os.getpid()}")
        with suppress(OSError):  # a folder for reading only: the next process looks again
            self._kept.parent.mkdir(exist_ok=True)
            partial.write_text(json.dumps(document), encoding="utf-8")
            partial.replace(self._kept)

    def _names(self, folder: Path) -> list[str]:
        """Return the names in a folder; none where it is not one."""
        path = str(folder)
        if path not in self._folders:
            self._folders[path] = _names_in(path)
        return self._folders[path]

    def source(self, file: Path) -> Source:
        """Return what a module's file says."""
        self._states.setdefault(str(file), _state(file))
        return read_source(file, self.package)

    def module(self, name: str) -> Path | None:
        """Return the file of a module; None where it is not in this project."""
        files, rest = self._find(_as_target(name))
        return files[-1] if files and not rest else None

    def files(self, target: str) -> list[Path]:
        """Return the files that are executed for a module, or a name in one, and that count."""
        return [file for file in self._find(target)[0] if _counts(file, self.package)]

    def imports(self, file: Path) -> dict[str, int]:
        """Return what a file imports, in full, with the lines; the folder `custom` all it holds."""
        bases = [(self.package, [self.package.name]), *((root, []) for root in self._roots)]
        base, top = next(each for each in bases if file.is_relative_to(each[0]))
        here = [*top, *file.relative_to(base).parts[:-1]]
        source = self.source(file)
        found = {_absolute(name, here): line for name, line in source.imports.items()}
        if file == self.package / CUSTOM / "__init__.py":  # it may look for them by itself
            for path in sorted(file.parent.rglob("*.py")):
                parts = path.relative_to(self.package).with_suffix("").parts
                found.setdefault(f":{'.'.join(parts)}", 1)
        return found

    def named(self, module: Path) -> list[Path]:
        """Return the files, other than Python's, that a module's strings name.

        They lie beside the module or in the package; what lies in the project's own folder is
        settings, data and results, which count elsewhere.
        """
        if module not in self._named:
            folders = {module.parent, self.package} - {self._project}
            names = self.source(module).files
            paths = {Path(os.path.normpath(each / name)) for each in folders for name in names}
            self._named[module] = [
                path
                for path in sorted(paths)
                if path.name in self._names(path.parent)
                and path.suffix != ".py"
                and any(path.is_relative_to(each) for each in folders)
                and path.is_file()
            ]
            self._states |= {str(path): _state(path) for path in self._named[module]}
        return self._named[module]

    def _find(self, target: str) -> tuple[list[Path], list[str]]:
        """Return the files that a target executes, its own last, and names inside the last."""
        if target not in self._found:
            self._found[target] = self._look_for(target)
        return self._found[target]

    def _look_for(self, target: str) -> tuple[list[Path], list[str]]:
        """Look for a target in the package, or in the team's folders."""
        in_full = target.replace(":", f"{self.package.name}.", 1).rstrip(".")
        top, *parts = in_full.split(".")
        if top != self.package.name:
            walks = (self._walk(root, [top, *parts]) for root in self._roots)
            return next((walk for walk in walks if walk[0]), ([], []))
        files, rest = self._walk(self.package, parts)
        if parts in ([], ["*"]):  # the package itself, with all that it lends
            lent = (self.module(each) for each in self._lent.values())
            return [*filter(None, lent), *files], []
        new = self._moved(parts, rest) if rest else None
        return self._find(f":{new}") if new else (files, rest)

    def _walk(self, base: Path, parts: list[str]) -> tuple[list[Path], list[str]]:
        """Look for a module below a folder as Python does: package, module, bare folder."""
        folder = base
        own = base == self.package and "__init__.py" in self._names(base)
        files = [base / "__init__.py"] if own else []
        for at, part in enumerate(parts):
            inside = self._names(folder)
            below = self._names(folder / part) if part in inside else []
            if f"{part}.py" in inside and "__init__.py" not in below:
                return [*files, folder / f"{part}.py"], parts[at + 1 :]
            if not below:
                return files, parts[at:]
            folder /= part
            if "__init__.py" in below:
                files.append(folder / "__init__.py")
        return files, []

    def _moved(self, parts: list[str], rest: list[str]) -> str | None:
        """Return the new place of a name that has moved; None where it never did."""
        if parts == rest and rest[0] in self._lent:
            return self._lent[rest[0]].lstrip(".")
        for length in range(len(parts), len(parts) - len(rest), -1):
            new = self._aliases.get(".".join(parts[:length]))
            if new is not None:
                return ".".join([new, *parts[length:]])
        return self._lost(".".join(parts[:-1]), rest[0]) if len(rest) == 1 else None

    @cached_property
    def _aliases(self) -> Mapping[str, str]:
        """The new name of each module that moved."""
        return self._gone()


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


@cache
def _counts(path: Path, package: Path) -> bool:
    """Tell whether results follow from a module."""
    name = relative(path, package).removesuffix(".py").removesuffix("/__init__")
    return name.replace("/", ".") not in UNCOUNTED


# ------------------------------------------------------------------------------------ single files


def digest(path: Path, package: Path) -> str:
    """Return what a file counts by: its syntax, or its bytes where it is not Python."""
    if path.suffix == ".py":
        return read_source(path, package).code
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_source(path: Path, package: Path) -> Source:
    """Return what a Python file says, parsed once per state of the file.

    Raises:
        UserError: If it is not valid Python.
    """
    return _read(path, _state(path), place_of(path, package))


@cache
def _read(path: Path, state: State, place: str) -> Source:
    """Parse a file as it is in this state."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whoever imports the module sees them
            return _read_tree(ast.parse(path.read_bytes()))
    except SyntaxError as error:
        line = f", line {error.lineno}," if error.lineno else ""
        raise UserError(f"{place}{line} is not valid Python: {error.msg}; correct it.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{place} cannot be read as Python: {reason}; correct it.") from None


def _read_tree(tree: ast.Module) -> Source:
    """Collect what a file says."""
    text: list[str] = []
    imports: dict[str, int] = {}
    files: dict[str, None] = {}
    entries: dict[str, list[str]] = {}
    loads: set[str] = set()
    for node in _nodes(tree, text):
        if isinstance(node, ast.Constant):
            if FILE_NAME.fullmatch(_text(node)):
                files[_text(node)] = None
        elif isinstance(node, ast.keyword):
            if node.arg and ENTRY.fullmatch(_text(node.value)):
                entries.setdefault(node.arg, []).append(_as_target(_text(node.value)))
        elif isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
            for name in _imports(node):
                imports.setdefault(name, node.lineno)
            if isinstance(node, ast.Call) and _called(node) == "load" and node.args:
                loads.add(getattr(node.args[0], "attr", ""))
    code = hashlib.sha256("".join(text).encode()).hexdigest()
    return Source(code, imports, tuple(files), entries, frozenset(loads))


def _imports(node: ast.Import | ast.ImportFrom | ast.Call) -> list[str]:
    """Return what a statement or a call imports."""
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    if isinstance(node, ast.ImportFrom):
        module = "." * node.level + (f"{node.module}." if node.module else "")
        return [f"{module}{each.name}" for each in node.names]
    if _called(node) in ("import_module", "__import__") and node.args:
        given = [*node.args[1:2], *(each.value for each in node.keywords if each.arg == "package")]
        package = _text(given[0]) if given else ""
        # A package that is not spelt out is the file's own.
        name = _text(node.args[0])
        return [_absolute(name, package.split(".")) if package else name] if name else []
    if _called(node) == "team" and not node.args:  # of core/registry.py, the one way to that code
        return [f":{CUSTOM}"]
    return []


def _called(node: ast.Call) -> str | None:
    """Return the last part of the name that is called."""
    return getattr(node.func, "attr", None) or getattr(node.func, "id", None)


def _text(node: ast.AST) -> str:
    """Return a literal string; an empty one of any other node."""
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) else ""


def _as_target(entry: str) -> str:
    """Return `"module:function"` as an import; a dot stands for the package."""
    name = entry.replace(":", ".")
    return f":{name[1:]}" if name.startswith(".") else name


def _absolute(name: str, here: Sequence[str]) -> str:
    """Return an imported name in full; dots before it count from a package."""
    below = name.lstrip(".")
    dots = len(name) - len(below)
    return ".".join([*here[: max(0, len(here) + 1 - dots)], below]) if dots else name


def _nodes(tree: ast.Module, text: list[str]) -> Iterator[ast.AST]:
    """Yield the nodes that do anything, and add their syntax to a text.

    Without recursion, which long expressions would exhaust. The text is this module's own, not that
    of `ast.dump`, which differs between versions of Python: an empty field is left out, since newer
    versions add fields that older code leaves empty.
    """
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if type(node) is str:
            text.append(node)
            continue
        yield node
        text.append(f"({type(node).__name__}")
        waiting.append(")")
        for name in _fields(node.__class__):
            items = getattr(node, name, None)
            if type(items) is not list:
                items = [] if items is None else [items]
            elif items and isinstance(items[0], ast.stmt):
                items = [*_statements(items)]
            elif type(node) is ast.JoinedStr:  # Python 3.12 may end them with an empty string
                items = [each for each in items if getattr(each, "value", None) != ""]
            if items:
                waiting.append("]")
                for each in reversed(items):
                    waiting.append(each if isinstance(each, ast.AST) else _literal(each))
                waiting.append(f" {name}[")


@cache
def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """Return the fields of a kind of node that count, sorted: their order differs by version."""
    return tuple(sorted({*kind._fields} - {"ctx", "kind"}))  # follow from the place; u"" is ""


def _statements(block: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that do anything: no docstrings, no `pass`, nothing for types alone."""
    for statement in block:
        if isinstance(statement, ast.If):
            for_types = _for_types(statement.test)
            if for_types is None:
                yield statement
            else:
                yield from _statements(statement.orelse if for_types else statement.body)
        elif not isinstance(statement, ast.Pass):
            bare = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not bare:
                yield statement


def _for_types(test: ast.expr) -> bool | None:
    """Tell whether a condition holds for type checkers alone; None where it says nothing of it."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        opposite = _for_types(test.operand)
        return None if opposite is None else not opposite
    name = getattr(test, "id", None) or getattr(test, "attr", None)
    return True if name == "TYPE_CHECKING" else None


def _literal(value: Any) -> str:
    """Return a constant, in the same characters whatever the version of Python."""
    # Decimal digits of a long number may be refused.
    return f"<{value:x}>" if type(value) is int else f"<{type(value).__name__} {value!a}>"


def _names_in(folder: str) -> list[str]:
    """Return the names in a folder, apart from what Python compiled; none where it is not one."""
    with suppress(OSError), os.scandir(folder) as entries:
        return sorted(each.name for each in entries if each.name != "__pycache__")
    return []


def _state(path: str | Path) -> State:
    """Return what changes whenever a file does.

    A copy may bring its time along, so the time of its entry in the folder counts too.
    """
    stat = Path(path).stat()
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


def project_of(package: Path) -> Path:
    """Return the folder of the project: above `src/`, else the one that holds the package."""
    return package.parents[1] if package.parent.name == "src" else package.parent


@cache
def relative(path: Path, package: Path) -> str:
    """Return a file's path relative to the package, with forward slashes."""
    return Path(os.path.relpath(path, package)).as_posix()


def place_of(path: Path, package: Path) -> str:
    """Return a file's path as a person finds it from the project's folder."""
    return Path(os.path.relpath(path, project_of(package))).as_posix()
