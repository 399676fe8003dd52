"""Writing: the index first and the files after it, so that one command undoes all of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from .git import Refusal, git, listing, names_of
from .merging import Merged
from .project import Project, note_of_update


def changed_files(before: str, after: str) -> dict[str, tuple[str, str]]:
    """Return path → (mode, blob) of what differs between two trees; no blob where it goes."""
    words = names_of(git("diff-tree", "-r", "-z", "--no-renames", before, after))
    return {
        name: (facts.split()[1], "" if facts.split()[4] == "D" else facts.split()[3])
        for facts, name in zip(words[::2], words[1::2], strict=True)
    }


def refuse_overwriting(project: Project, changes: Mapping[str, tuple[str, str]]) -> None:
    """Raise Refusal where a new file of the template lies on one that git does not know."""
    tracked = listing(project.tree)
    for name, (_, blob) in changes.items():
        if blob and name not in tracked and os.path.lexists(name):
            raise Refusal(
                f"{name} is ignored by git and would be overwritten by the template's file of that "
                "name: move it away, then try again."
            )


def write(project: Project, merged: Merged, changes: Mapping[str, tuple[str, str]]) -> None:
    """Bring the index, then the files, to the merged tree.

    Index first: whatever happens then, `git reset --hard` knows every file that is concerned. The
    index is exchanged as a whole, so that no lock is left behind by a kill.
    """
    folder = project.git_folder
    staged, index = folder / "template-update.index", folder / "index"
    staged.with_suffix(".index.lock").unlink(missing_ok=True)
    shutil.copy2(index, staged)
    gone, lines = "0" * len(project.head), []
    for name, (mode, blob) in changes.items():
        path = project.prefix + name
        lines.append(f"{mode} {blob}\t{path}\0" if blob else f"0 {gone}\t{path}\0")
    for name, stages in merged.unmerged.items():
        path = project.prefix + name
        lines.append(f"0 {gone}\t{path}\0")
        lines += [f"{mode} {blob} {stage}\t{path}\0" for stage, (mode, blob) in stages.items()]
    git("update-index", "-z", "--index-info", stdin="".join(lines), index=staged)
    files = folder / "template-update.files"
    git("read-tree", merged.tree, index=files)
    note_of_update(project).write_text(f"{project.head}\n", encoding="utf-8", newline="\n")
    staged.replace(index)
    for name, (_, blob) in changes.items():
        if not blob:
            remove(Path(name))
    checkout = ["checkout-index", "--force", "-z", "--stdin"]
    present = "".join(f"{name}\0" for name, (_, blob) in changes.items() if blob)
    at = [f"--git-dir={folder}", f"--work-tree={Path.cwd()}"]
    git(*at, *checkout, stdin=present, index=files)
    files.unlink()
    note_of_update(project).unlink()


def remove(path: Path) -> None:
    """Remove a file, and the folders above it in which only byte code is left."""
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == Path() or any(each.name != "__pycache__" for each in folder.iterdir()):
            return
        shutil.rmtree(folder)
