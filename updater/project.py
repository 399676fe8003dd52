"""The project: a folder in a git repository, and what its .cruft.json says."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .git import Refusal, git, names_of, start_git

STATE = ".cruft.json"
MARKER = re.compile(r"[{][{#%]")


@dataclass(frozen=True)
class Project:
    """The project as a part of a git repository, and what .cruft.json says about it."""

    state: Mapping[str, Any]
    git_folder: Path
    prefix: str
    head: str
    tree: str

    @property
    def answers(self) -> dict[str, Any]:
        """The recorded answers; keys that begin with _ are the template's own."""
        recorded = self.state["context"]["cookiecutter"]
        return {name: value for name, value in recorded.items() if not name.startswith("_")}


def read_state() -> dict[str, Any]:
    """Return what .cruft.json holds; raises Refusal unless it holds a template and answers."""
    path = Path(STATE).absolute()
    again = f"restore it with `git checkout HEAD -- {STATE}`"
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        answers = state["context"]["cookiecutter"]
    except FileNotFoundError:
        raise Refusal(
            f"{path} is missing, so the template is not known: {again}; the command `adopt` "
            "brings the template into a repository that never had it."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise Refusal(
            f"{path} is not what cruft writes (JSON with template, commit and "
            f"context.cookiecutter): {again}."
        ) from None
    if not isinstance(answers, dict) or not state.get("template"):
        raise Refusal(f"{path} names no template or no answers: {again}.")
    for name, value in answers.items():
        if not name.startswith("_"):
            refuse_markers(name, value)
    return state


def refuse_markers(name: str, value: Any) -> None:
    """Raise Refusal for an answer that would be run as a template."""
    if MARKER.search(str(value)):
        raise Refusal(
            f"{name} {value!a} holds a template marker: an opening brace followed by another "
            "brace, % or # is not allowed."
        )


def open_project() -> Project:
    """Find the project in its repository; raises Refusal where there is none."""
    refuse_no_repository()
    project = open_repository(read_state())
    if start_git(["rev-parse", "--verify", "--quiet", f"{project.tree}:{STATE}"]).returncode:
        raise Refusal(f"{Path(STATE).absolute()} is not committed: commit the project first.")
    return project


def refuse_no_repository() -> None:
    """Raise Refusal unless the folder lies in a git repository, and git can merge there."""
    if shutil.which("git") is None:
        raise Refusal("git was not found: install git 2.38 or newer, then try again.")
    version = re.search(r"(\d+)\.(\d+)", git("--version"))
    if version and (int(version[1]), int(version[2])) < (2, 38):
        raise Refusal(
            f"git {version[0]} cannot merge without a work tree: install git 2.38 or newer."
        )
    inside = start_git(["rev-parse", "--is-inside-work-tree"])
    if inside.returncode and b"not a git repository" not in inside.stderr:
        git("rev-parse", "--is-inside-work-tree")
    if inside.stdout.strip() != b"true":
        raise Refusal(
            f"{Path.cwd()} is not in a git repository: run `git init`, `git add --all` and "
            '`git commit -m "Start"` there first, so that every step can be undone.'
        )


def open_repository(state: Mapping[str, Any]) -> Project:
    """Return the folder as a part of its repository; raises Refusal where nothing is committed."""
    if start_git(["rev-parse", "--verify", "--quiet", "HEAD"]).returncode:
        raise Refusal(f"{Path.cwd()} has no commit yet: commit the project first.")
    prefix = git("rev-parse", "--show-prefix").rstrip("\n")
    if start_git(["rev-parse", "--verify", "--quiet", f"HEAD:{prefix}"]).returncode:
        raise Refusal(f"{Path.cwd()} is not committed: commit the project first.")
    lines = git("rev-parse", "--absolute-git-dir", "HEAD", f"HEAD:{prefix}").splitlines()
    return Project(state, Path(lines[0]), prefix, lines[1], lines[2])


def refuse_unclean(project: Project) -> None:
    """Raise Refusal unless the work tree is that of the last commit."""
    note = note_of_update(project)
    changed = names_of(git("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames"))
    inside = ["status", "--porcelain", "-z", "--untracked-files=normal", "--no-renames", "."]
    changed += [line for line in names_of(git(*inside)) if line.startswith("??")]
    if changed and note.exists():
        commit = note.read_text(encoding="utf-8").strip()
        raise Refusal(f"An update was stopped half-way: undo it with `git reset --hard {commit}`.")
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise Refusal(
            f"The work tree has changes that are not committed ({changed[0][3:]}{more}): commit "
            "them, or put them aside with `git stash --include-untracked`."
        )
    if (project.git_folder / "index.lock").exists():
        raise Refusal(
            f"{project.git_folder / 'index.lock'} is there: wait until the other git command ends, "
            "or delete that file if none runs."
        )
    note.unlink(missing_ok=True)


def note_of_update(project: Project) -> Path:
    """Return the file that is there while an update writes."""
    return project.git_folder / "template-update"


def skipped(project: Project) -> list[str]:
    """Return what is never to be updated: cruft's own setting, in .cruft.json or pyproject.toml."""
    patterns = list(project.state.get("skip") or [])
    path = Path("pyproject.toml")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        document = {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refusal(f"{path.absolute()} cannot be read: {error}") from None
    return patterns + list(document.get("tool", {}).get("cruft", {}).get("skip", []))


def windows_files() -> set[str]:
    """Return the committed files whose lines end in CRLF: the template's are compared as such."""
    found = set()
    for line in names_of(git("ls-files", "--eol", "-z", ".")):
        facts, _, name = line.partition("\t")
        if facts.startswith("i/crlf"):
            found.add(name)
    return found
