"""git, run in the project's folder, which is the current one; and trees and files as it keeps them.

What git keeps of the project is computed here without touching a file of it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

# What people have set up for their own work must not change what is computed here.
SETTINGS = [
    *("-c", "core.quotePath=false"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "gc.auto=0"),
    *("-c", "merge.directoryRenames=false"),
    *("-c", "merge.renames=true"),
]
# The commits that git merges are never kept, so they need nobody's name.
NOBODY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in {
        "NAME": "template",
        "EMAIL": "template@example.invalid",
        "DATE": "2000-01-01T00:00:00Z",
    }.items()
}


class Refusal(Exception):
    """One sentence that says what is wrong, where, and what to do; the exit code is 2."""


def start_git(
    arguments: Sequence[str], stdin: bytes = b"", index: Path | None = None, show: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """Run git, with an index of its own if one is given."""
    own = {"GIT_INDEX_FILE": str(index)} if index else {}
    return subprocess.run(  # noqa: S603
        ["git", *SETTINGS, *arguments],  # noqa: S607
        env={**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", **NOBODY, **own},
        input=stdin,
        stdout=None if show else subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def git(*arguments: str, stdin: str = "", index: Path | None = None) -> str:
    """Return what git prints; its own words become a refusal if it fails."""
    done = start_git(arguments, stdin.encode("utf-8", "surrogateescape"), index)
    if done.returncode:
        command = next(word for word in arguments if not word.startswith("-"))
        raise Refusal(f"git {command} failed in {Path.cwd()}: {last_words(done)}")
    return done.stdout.decode("utf-8", "surrogateescape")


def last_words(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the last line in which git says why it failed."""
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return said[-1] if said else "no reason given"


def names_of(text: str) -> list[str]:
    """Split what git prints with -z."""
    return text.split("\0")[:-1] if text.endswith("\0") else text.split("\0") if text else []


def listing(tree: str) -> dict[str, tuple[str, str]]:
    """Return path → (mode, blob) of every file of a tree."""
    lines = names_of(git("ls-tree", "-r", "-z", "--full-tree", tree))
    parts = (line.partition("\t") for line in lines)
    return {name: (facts.split()[0], facts.split()[2]) for facts, _, name in parts}


def read_blob(blob: str) -> bytes:
    """Return a file's content as git keeps it."""
    return start_git(["cat-file", "blob", blob]).stdout


def write_blob(content: bytes) -> str:
    """Put content into the project's repository and return its id."""
    text = content.decode("utf-8", "surrogateescape")
    return git("hash-object", "-w", "--no-filters", "--stdin", stdin=text).strip()


def with_changes(tree: str | None, changes: Sequence[str], work: Path) -> str:
    """Apply lines of `git update-index --index-info` to a tree, an empty one if None."""
    if tree and not changes:
        return tree
    index = work / "changes.index"
    git("read-tree", tree or "--empty", index=index)
    git("update-index", "-z", "--index-info", stdin="".join(changes), index=index)
    return git("write-tree", index=index).strip()
