"""Conditions such as `split.overlap_rows == 0`: a path into nested values, and a comparison."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

# Operators, with how a sentence names them.
OPERATORS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "==": (operator.eq, ""),
    "!=": (operator.ne, "other than "),
    "<=": (operator.le, "at most "),
    ">=": (operator.ge, "at least "),
    "<": (operator.lt, "below "),
    ">": (operator.gt, "above "),
    "in": (lambda value, allowed: value in allowed, "one of "),
}
SYNTAX = re.compile(
    r"(?P<length>len\()?(?P<path>[\w*-]+(?:\.[\w*-]+)*)(?(length)\))"
    r"(?:\s*(?P<operator>==|!=|<=|>=|<|>|\bin\b)\s*(?P<value>\S.*))?"
)


@dataclass(frozen=True)
class Condition:
    """A comparison with a nested value; without an operator, the value must not be empty.

    Attributes:
        path: Names from the outside in; `*` stands for every element of a list or mapping.
        counted: Whether it compares the number of elements, as in `len(train.candidates) >= 2`.
    """

    path: tuple[str, ...]
    operator: str | None = None
    value: Any = None
    counted: bool = False

    def fault(self, values: Any) -> str | None:
        """Return how the values break the condition, as `path is 3, but has to be 0`; else None."""
        found = list(_follow(values, self.path))
        if not found:
            return f"{self.name} is not there"
        for value in found:
            actual = len(value) if self.counted and isinstance(value, list | dict | str) else value
            if not self._holds(actual):
                return f"{self.name} is {_as_text(actual)}, but has to be {self.requirement}"
        return None

    def check(self, values: Any) -> tuple[bool, str]:
        """Return whether it holds for the values, and a clause that says so."""
        fault = self.fault(values)
        return fault is None, fault or f"{self.name} is {self.requirement}"

    @property
    def name(self) -> str:
        """The path as people read it."""
        path = ".".join(self.path)
        return f"the number of {path}" if self.counted else path

    @property
    def requirement(self) -> str:
        """What the value has to be, as the end of a sentence."""
        if self.operator is None:
            return "set"
        value = (
            ", ".join(map(_as_text, self.value)) if self.operator == "in" else _as_text(self.value)
        )
        return f"{OPERATORS[self.operator][1]}{value}"

    def _holds(self, value: Any) -> bool:
        if self.operator is None:
            return value not in (None, False, "", [], {}, ())
        try:
            return OPERATORS[self.operator][0](value, self.value)
        except TypeError:  # a number against null, say
            return False


@cache
def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        ValueError: If it is malformed; the message shows the right form.
    """
    match = SYNTAX.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a rule such as split.overlap_rows == 0")
    path, name = tuple(match["path"].split(".")), match["operator"]
    value = _literal(match["value"]) if name else None
    if name == "in" and not isinstance(value, list):
        raise ValueError(f'\'{text}\' needs a list after in, such as ["time", "group"]')
    return Condition(path, name, value, counted=match["length"] is not None)


def _literal(text: str) -> Any:
    """Read a JSON value; anything else is a word."""
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


def _follow(values: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Yield the values at the path; nothing if any branch lacks it."""
    found = [values]
    for step in path:
        below: list[Any] = []
        for value in found:
            if step == "*" and isinstance(value, list | tuple):
                below.extend(value)
            elif step == "*" and isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, dict) and step in value:
                below.append(value[step])
            else:
                return
        found = below
    yield from found


def _as_text(value: Any) -> str:
    """Return a value as a sentence shows it."""
    if value is None or value == "" or value == [] or value == ():
        return "empty"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
