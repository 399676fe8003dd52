"""What is printed."""

from __future__ import annotations

import sys
from collections.abc import Iterable


def say(text: str) -> None:
    """Print at once, whatever the console can show."""
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def show_list(names: Iterable[str]) -> None:
    """Print one path a line."""
    for name in names:
        say(f"  {name}")


def plural(word: str, count: int) -> str:
    """Return a word in the form that a count asks for."""
    return word if count == 1 else f"{word}s"
