"""What one source file says: its imports, the files it names, and its syntax as a hash.

The hash is the same whatever the comments, the formatting, the docstrings and the version of
Python. A process parses each file once.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .errors import UserError

T = TypeVar("T")
# When a file was written and changed, in nanoseconds, how large it is, and its place on the disk.
State = tuple[int, int, int, int]

FILE_NAME = re.compile(r"[\w.-]+(/[\w.-]+)*\.\w+")
MODULE_NAME = re.compile(r"\.*\w+(\.\w+)*(:\w+)?")
ENTRY = re.compile(r"\.\w+(\.\w+)*:\w+")
# What this process has read, by file, with the state that the file was in.
_READ: dict[Path, tuple[State, Any]] = {}


class Import(NamedTuple):
    """`from <dots><module> import <names>`, or `import <module>`, which has no names.

    Without dots and module, the names are modules right below the package.
    """

    line: int
    dots: int
    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """What a Python file says.

    Attributes:
        code: SHA-256 of its syntax.
        imports: What it imports, wherever in the file.
        lazy: What it imports once it is asked for a name; "" stands for any name.
        files: Strings that look like names of files.
        entries: The modules of `"module:function"` strings, by the keyword that they are given as.
        loads: The attributes whose strings it loads: `measure` for `load(each.measure)`.
    """

    code: str
    imports: tuple[Import, ...] = ()
    lazy: Mapping[str, tuple[Import, ...]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    entries: Mapping[str, tuple[Import, ...]] = field(default_factory=dict)
    loads: tuple[str, ...] = ()


def digest(path: Path, package: Path) -> str:
    """Return what a file counts by: its syntax, or its bytes where it is not Python."""
    if path.suffix == ".py":
        return read_source(path, package).code
    return _once(path, lambda: hashlib.sha256(path.read_bytes()).hexdigest())


def read_source(path: Path, package: Path) -> Source:
    """Return what a Python file says, parsed once per state of the file."""
    return _once(path, lambda: _parse(path.read_bytes(), place_of(path, package)))


def _once(path: Path, read: Callable[[], T]) -> T:
    """Return what `read` makes of a file, and read again only where the file has changed."""
    state = state_of(path.stat())
    known = _READ.get(path)
    if known is None or known[0] != state:
        known = _READ[path] = (state, read())
    value: T = known[1]
    return value


def state_of(stat: os.stat_result) -> State:
    """Return what changes whenever a file does.

    A copy may bring its time along, so the time of its entry in the folder counts too.
    """
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


def _parse(content: bytes, place: str) -> Source:
    """Parse a file's bytes.

    Raises:
        UserError: If they are not Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whoever imports the module sees them
            return _read_tree(ast.parse(content))
    except SyntaxError as error:
        line = f", line {error.lineno}," if error.lineno else ""
        raise UserError(f"{place}{line} is not valid Python: {error.msg}; correct it.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{place} cannot be read as Python: {reason}; correct it.") from None


def _read_tree(tree: ast.Module) -> Source:
    """Write the syntax down without recursion, which long expressions would exhaust.

    The text is this module's own, not that of `ast.dump`, which differs between versions of Python.
    """
    text: list[str] = []
    imports: dict[tuple[Any, ...], Import] = {}  # the first of each kind
    files: dict[str, None] = {}
    entries: dict[str, list[Import]] = {}
    loads: dict[str, None] = {}
    lazy = _lazy_names(tree)
    asked = _asked_later(tree)
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if type(node) is str:
            text.append(node)
        elif type(node) is ast.Constant:
            text.append(_literal(node.value))
            if type(node.value) is str and FILE_NAME.fullmatch(node.value):
                files[node.value] = None
        else:
            if type(node) is ast.keyword and node.arg and ENTRY.fullmatch(_text(node.value) or ""):
                found = as_import(_text(node.value) or "")._replace(line=node.lineno)
                entries.setdefault(node.arg, []).append(found)
            elif type(node) is ast.Call and (attribute := _loaded(node)):
                loads[attribute] = None
            for found in _imports(node):
                if id(node) in asked:
                    lazy.setdefault("", []).append(found)
                else:
                    imports.setdefault(found[1:], found)
            if type(node) is ast.JoinedStr:  # Python 3.12 may end them with an empty string
                node.values = [each for each in node.values if _text(each) != ""]
            text.append(f"({type(node).__name__}")
            waiting.append(")")
            for name in _fields(node.__class__):
                waiting += _field(name, getattr(node, name, None))
    code = hashlib.sha256("".join(text).encode()).hexdigest()
    later = {name: tuple(found) for name, found in lazy.items()}
    given = {name: tuple(found) for name, found in entries.items()}
    return Source(code, tuple(imports.values()), later, tuple(files), given, tuple(loads))


@cache
def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """Return the fields of a kind of node that count, sorted: their order differs by version."""
    return tuple(sorted(name for name in kind._fields if name != "ctx"))  # follows from the place


def _field(name: str, value: Any) -> list[Any]:
    """Return a field as nodes and text, last first.

    An empty one is left out, since newer versions of Python add fields that older code leaves so.
    """
    if value is None:
        return []
    if isinstance(value, ast.AST):
        return [value, f" {name}="]
    if not isinstance(value, list):
        return [f" {name}={value!a}"]
    if value and isinstance(value[0], ast.stmt):
        value = list(_statements(value))
    items = [each if isinstance(each, ast.AST) else f" {each!a}" for each in reversed(value)]
    return ["]", *items, f" {name}["] if items else []


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


def _imports(node: ast.AST) -> list[Import]:
    """Return what a statement or a call imports."""
    if isinstance(node, ast.Import):
        return [Import(node.lineno, 0, each.name) for each in node.names]
    if isinstance(node, ast.ImportFrom):
        names = tuple(each.name for each in node.names)
        return [Import(node.lineno, node.level, node.module or "", names)]
    if isinstance(node, ast.Call) and node.args:
        called = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
        module = _text(node.args[0])
        if called in ("import_module", "__import__") and module:
            return [_called(node, module)]
    if isinstance(node, ast.Call) and not node.args:
        called = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
        if called == "team":  # of core/registry.py, the one way to the team's code
            return [Import(node.lineno, 0, "", ("custom",))]
    return []


def _loaded(node: ast.Call) -> str | None:
    """Return the attribute whose string a call of `load` of core/registry.py loads."""
    called = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
    if called == "load" and node.args and isinstance(node.args[0], ast.Attribute):
        return node.args[0].attr
    return None


def _called(node: ast.Call, module: str) -> Import:
    """Return a call of `import_module`; a package that is not spelt out is the file's own."""
    name = module.lstrip(".")
    dots = len(module) - len(name)
    given = [*node.args[1:2], *(each.value for each in node.keywords if each.arg == "package")]
    if dots and given and (package := _text(given[0])):
        above = package.split(".")[: 1 - dots or None]
        return Import(node.lineno, 0, ".".join([*above, name]))
    return Import(node.lineno, dots, name)


def _text(node: ast.expr) -> str | None:
    """Return a literal string."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _asked_later(tree: ast.Module) -> set[int]:
    """Return the nodes of a module's `__getattr__`, which runs when a name is not there yet."""
    functions = (each for each in tree.body if isinstance(each, ast.FunctionDef))
    later = (each for each in functions if each.name == "__getattr__")
    return {id(node) for function in later for node in ast.walk(function)}


def _lazy_names(tree: ast.Module) -> dict[str, list[Import]]:
    """Return the module of each name that the tables of a `__getattr__` hold."""
    lazy: dict[str, list[Import]] = {}
    if not _asked_later(tree):
        return lazy
    for statement in tree.body:
        table = getattr(statement, "value", None)
        if not isinstance(table, ast.Dict):
            continue
        for key, value in zip(table.keys, table.values, strict=True):
            name, module = key and _text(key), _text(value)
            if name and module and MODULE_NAME.fullmatch(module):
                found = as_import(module)._replace(line=value.lineno)
                lazy.setdefault(name, []).append(found._replace(dots=found.dots or 1))
    return lazy


def as_import(entry: str) -> Import:
    """Return `"module:function"` as an import in the package's own folder."""
    module, _, function = entry.partition(":")
    name = module.lstrip(".")
    return Import(0, len(module) - len(name), name, (function,) if function else ())


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
