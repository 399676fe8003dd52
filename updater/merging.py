"""The merge: what the template has changed goes into the project's last commit, as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from .git import (
    Refusal,
    git,
    last_words,
    listing,
    names_of,
    read_blob,
    start_git,
    with_changes,
    write_blob,
)
from .project import Project
from .team import merged_lines, with_earlier_source, without_team_code


@dataclass
class Merged:
    """A tree to come, and what git could not decide: path → stage → (mode, blob)."""

    tree: str
    unmerged: dict[str, dict[int, tuple[str, str]]] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether everything was applied and nothing is left for a person."""
        return not (self.conflicts or self.orphans or self.left_out or self.remaining)


def merge(
    project: Project, steps: Iterable[tuple[str, str]], labels: tuple[str, str], work: Path
) -> Merged:
    """Merge the steps from one tree to another into the last commit, without touching any file."""
    merged = Merged(project.tree)
    for base, theirs in steps:
        merge_step(project, merged, base, theirs, labels, work)
    return merged


def merge_step(
    project: Project,
    merged: Merged,
    base: str,
    theirs: str,
    labels: tuple[str, str],
    work: Path,
) -> None:
    """Merge as git merges branches.

    Git sees no .gitattributes: `merge=union`, say, would bring a changed line back beside the new.
    """
    theirs = without_team_code(base, merged.tree, theirs, work)
    theirs = with_earlier_source(base, theirs, work)
    pristine = git("commit-tree", "-m", "pristine", base).strip()
    mine = git("commit-tree", "-m", "yours", "-p", pristine, merged.tree).strip()
    new = git("commit-tree", "-m", "template", "-p", pristine, theirs).strip()
    nothing = work / "nothing"
    nothing.mkdir(exist_ok=True)
    at = ["-C", str(nothing), f"--git-dir={project.git_folder}", f"--work-tree={nothing}"]
    done = start_git([*at, "merge-tree", "--write-tree", "-z", "--no-messages", mine, new])
    if done.returncode not in (0, 1):
        raise Refusal(f"git cannot merge: {last_words(done)}")
    merged.tree, *lines = names_of(done.stdout.decode("utf-8", "surrogateescape"))
    unmerged: dict[str, dict[int, tuple[str, str]]] = {}
    for line in filter(None, lines):
        facts, _, name = line.partition("\t")
        mode, blob, stage = facts.split()
        unmerged.setdefault(name, {})[int(stage)] = (mode, blob)
    if done.returncode == 1 and not unmerged:
        raise Refusal("git found a conflict that it does not name: update by plain `cruft update`.")
    words = {mine: "yours", new: labels[1], pristine: labels[0]}
    settle(merged, unmerged, words, work)


def settle(
    merged: Merged,
    unmerged: Mapping[str, dict[int, tuple[str, str]]],
    labels: Mapping[str, str],
    work: Path,
) -> None:
    """Sort what git could not decide, and decide what a person need not."""
    changes = []
    content = listing(merged.tree)
    for name, stages in sorted(unmerged.items()):
        if set(stages) == {1, 3}:
            # Deleted here, changed by the template: it stays deleted, and is listed.
            merged.left_out.append(name)
            changes.append(f"0 {'0' * len(merged.tree)}\t{name}\0")
            continue
        if set(stages) == {1, 2}:
            merged.orphans.append(name)
            merged.unmerged[name] = stages
            continue
        text = merged_lines(name, stages)
        if text is None:
            merged.conflicts.append(name)
            merged.unmerged[name] = stages
            text = labelled(content[name][1], labels) if name in content else None
        if text is not None:
            changes.append(f"{content[name][0]} {write_blob(text)}\t{name}\0")
    merged.tree = with_changes(merged.tree, changes, work)


def without_new(before: str, after: str, work: Path) -> str:
    """Return the second tree without the files that the first does not have."""
    known = listing(before)
    gone = [name for name in listing(after) if name not in known]
    return with_changes(after, [f"0 {'0' * len(after)}\t{name}\0" for name in gone], work)


def labelled(blob: str, labels: Mapping[str, str]) -> bytes:
    """Return a conflicting file with words instead of ids at its markers."""
    content = read_blob(blob)
    for commit, words in labels.items():
        for length in (40, 64, 10, 7):
            content = content.replace(f" {commit[:length]}\n".encode(), f" {words}\n".encode())
            content = content.replace(f" {commit[:length]}\r\n".encode(), f" {words}\r\n".encode())
    return content


def remaining_files(base: str, theirs: str, result: str) -> list[str]:
    """Return the files that stay behind in folders that the template has left."""

    def folders(tree: str) -> set[str]:
        parents = (PurePosixPath(name).parents for name in listing(tree))
        return {folder.as_posix() for above in parents for folder in above}

    left = folders(base) - folders(theirs)
    return [name for name in listing(result) if PurePosixPath(name).parent.as_posix() in left]
