"""Take the `#` away from the worked examples of `custom.py`."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator


def examples(text: str) -> list[tuple[int, int]]:
    """Return the first line and the line after the last of each commented example."""
    lines = text.splitlines()
    return [
        (first, last)
        for start, last in _comments(lines)
        for first in range(start, last)
        if _is_code(lines[first:last])
        and not any(_is_code(lines[at:last]) for at in range(start, first))
    ]


def uncommented(text: str, *wanted: tuple[int, int]) -> str:
    """Return the text with these examples as code."""
    lines = text.splitlines()
    for first, last in wanted:
        lines[first:last] = _as_code(lines[first:last])
    return "\n".join(lines) + "\n"


def _comments(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the first line and the line after the last of each block of comments."""
    start = None
    for at, line in enumerate([*lines, ""]):
        if line.lstrip().startswith("#"):
            start = at if start is None else start
        elif start is not None:
            yield start, at
            start = None


def _as_code(lines: list[str]) -> list[str]:
    """Return lines without their `#`."""
    return [re.sub(r"^( *)# ?", r"\1", line).rstrip() for line in lines]


def _is_code(lines: list[str]) -> bool:
    """Tell whether lines are statements once their `#` is gone, and not prose."""
    try:
        tree = ast.parse(textwrap.dedent("\n".join(_as_code(lines))))
    except SyntaxError:
        return False
    return bool(tree.body) and not isinstance(tree.body[0], ast.Expr)
