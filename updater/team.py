"""What the team writes, and how a change beside the template's is merged there."""

from __future__ import annotations

import configparser
import difflib
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from .git import listing, read_blob, with_changes, write_blob

# A change beside one of the template's is not a conflict here.
FILES = ("conf.cfg", "checklist/*.yaml")

# The team's code. Once the team has changed or deleted it, it stays as it is: lines of the
# template's examples between the team's would make code that nobody wrote.
CODE = ("src/*/custom.py", "src/*/custom")

# Which table a project works on, and the sources that it began with before there was an example.
SOURCE = re.compile(r"^(source|target) = .*$", re.MULTILINE)
EARLIER_SOURCES = ("source = sklearn:breast_cancer", "source = sklearn:diabetes")

Change = tuple[int, int, list[str]]


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a path, or a folder above it, is one of the patterns."""
    paths = [name, *(parent.as_posix() for parent in PurePosixPath(name).parents)]
    return any(fnmatch.fnmatchcase(path, pattern) for path in paths for pattern in patterns)


def without_team_code(base: str, mine: str, theirs: str, work: Path) -> str:
    """Return the template's new tree with the code that is the team's by now as it was."""
    before, own = listing(base), listing(mine)
    code = [name for name in listing(theirs) if name in before and matches(name, CODE)]
    names = [name for name in code if own.get(name) != before[name]]
    lines = [f"{before[name][0]} {before[name][1]}\t{name}\0" for name in names]
    return with_changes(theirs, lines, work)


def with_earlier_source(base: str, theirs: str, work: Path) -> str:
    """Return the template's new tree, in which conf.cfg names the table that it named before.

    New projects begin with another table; one that is there keeps its rows and its models.
    """
    before, after = listing(base).get("conf.cfg"), listing(theirs).get("conf.cfg")
    if before is None or after is None:
        return theirs
    earlier, text = (read_blob(each[1]).decode("utf-8") for each in (before, after))
    lines = {found[1]: found[0] for found in SOURCE.finditer(earlier)}
    if lines.get("source") not in EARLIER_SOURCES or "\nsource = example\n" not in text:
        return theirs
    kept = SOURCE.sub(lambda found: lines.get(found[1], found[0]), text)
    return with_changes(theirs, [f"{after[0]} {write_blob(kept.encode())}\tconf.cfg\0"], work)


def merged_lines(name: str, stages: Mapping[int, tuple[str, str]]) -> bytes | None:
    """Merge a file of the team's line by line; None if both changed the very same lines.

    git itself calls it a conflict when two changes touch.
    """
    if set(stages) != {1, 2, 3} or not matches(name, FILES):
        return None
    try:
        base, ours, theirs = (
            read_blob(stages[stage][1]).decode("utf-8").splitlines(keepends=True)
            for stage in (1, 2, 3)
        )
    except UnicodeDecodeError:
        return None
    lines = weave(base, ours, theirs)
    if lines is None or any(not line.endswith("\n") for line in lines[:-1]):
        return None
    if name.endswith(".cfg"):
        try:
            configparser.ConfigParser(interpolation=None).read_string("".join(lines))
        except configparser.Error:
            return None
    return "".join(lines).encode("utf-8")


def line_changes(base: Sequence[str], other: Sequence[str]) -> list[Change]:
    """Return (first line, line after the last, new lines) of each difference."""
    matcher = difflib.SequenceMatcher(None, base, other, autojunk=False)
    return [(a, b, list(other[c:d])) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]


def weave(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> list[str] | None:
    """Apply both sides' changes to the base; None where two change the same lines."""
    mine = line_changes(base, ours)
    new = [change for change in line_changes(base, theirs) if change not in mine]
    for a, b, added in mine:
        for c, d, others in new:
            same_place = a == b == c == d
            if max(a, c) < min(b, d) or a < c == d < b or c < a == b < d:
                return None
            if same_place and opens_section(added) == opens_section(others) is False:
                return None
    # What continues a section comes before what opens one.
    changes = sorted([*mine, *new], key=lambda c: (c[0], c[1], opens_section(c[2])))
    result, at = [], 0
    for start, end, lines in changes:
        result += [*base[at:start], *lines]
        at = end
    return [*result, *base[at:]]


def opens_section(lines: Sequence[str]) -> bool:
    """Tell whether lines of an INI file begin a section of their own."""
    words = (line.strip() for line in lines)
    return next((word for word in words if word and word[0] not in "#;"), "").startswith("[")
