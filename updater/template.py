"""The template: a clone of it, its releases and other versions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from .git import Refusal, git, start_git
from .project import STATE

SEMVER = re.compile(r"v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+.*)?")


@dataclass(frozen=True)
class Version:
    """A commit of the template and how people call it."""

    name: str
    commit: str


@dataclass(frozen=True)
class Template:
    """A clone of the template, with every tag, of which only what is committed is read."""

    folder: Path
    directory: str | None
    releases: tuple[str, ...]

    def git(self, *arguments: str) -> str:
        """Return what git prints about the template's repository."""
        return git(f"--git-dir={self.folder}", *arguments).strip()

    @property
    def address(self) -> str:
        """Where it was cloned from, without a password; its own folder if it is the original."""
        command = [f"--git-dir={self.folder}", "config", "--get", "remote.origin.url"]
        origin = start_git(command).stdout.decode("utf-8", "replace").strip()
        return without_password(origin) or str(self.folder.parent)

    def find(self, name: str) -> str | None:
        """Return the commit of a tag, a branch or an id, or None."""
        reference = f"{name}^{{commit}}"
        command = [f"--git-dir={self.folder}", "rev-parse", "--verify", "--quiet"]
        done = start_git([*command, "--end-of-options", reference])
        return None if done.returncode else done.stdout.decode("ascii").strip()

    def text(self, commit: str, name: str) -> str | None:
        """Return a text file of a version of the template, or None if it has none."""
        path = (PurePosixPath(self.directory or "") / name).as_posix()
        done = start_git([f"--git-dir={self.folder}", "show", f"{commit}:{path}"])
        return None if done.returncode else done.stdout.decode("utf-8", "replace")

    def check_out(self, commit: str, folder: Path) -> Path:
        """Write the files of a version into a new folder; return where the template is in it."""
        git("clone", "--quiet", "--shared", "--no-checkout", "--", str(self.folder), str(folder))
        own = (f"--git-dir={folder / '.git'}", f"--work-tree={folder}")
        git(*own, "checkout", "--quiet", "--detach", commit)
        return folder / (self.directory or "")

    def merged(self, commit: str) -> list[str]:
        """Return the releases that a commit contains, the newest last."""
        tags = set(self.git("tag", "--merged", commit).split())
        return [tag for tag in self.releases if tag in tags]

    def version(self, commit: str) -> Version:
        """Name a commit after the newest release that it contains."""
        short = commit[:10]
        merged = self.merged(commit)
        if not merged:
            return Version(short, commit)
        later = self.git("rev-list", "--count", f"{merged[-1]}..{commit}")
        return Version(merged[-1] if later == "0" else f"{merged[-1]}+{later} ({short})", commit)

    @property
    def head(self) -> Version:
        """The tip of the default branch."""
        return self.version(self.git("rev-parse", "HEAD"))

    @property
    def newest(self) -> Version:
        """The newest release, or the tip of the default branch where there are none."""
        final = [tag for tag in self.releases if "-" not in tag] or list(self.releases)
        return Version(final[-1], str(self.find(final[-1]))) if final else self.head


def without_password(address: str) -> str:
    """Return a web address without the name and password that may stand in it."""
    return re.sub(r"^(\S*https?://)[^/]*@", r"\1", address)


def rank(tag: str) -> tuple[Any, ...]:
    """Return what SemVer orders versions by: a pre-release comes before its release."""
    found = SEMVER.fullmatch(tag)
    if found is None:
        return ()
    early = [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in (found[4] or "")[1:].split(".")
        if part
    ]
    return (int(found[1]), int(found[2]), int(found[3]), not early, early)


def open_template(folder: Path, directory: str | None = None) -> Template:
    """Return the template in a clone of its repository, and there maybe in a folder."""
    tags = git(f"--git-dir={folder}", "tag", "--list").split()
    releases = sorted((tag for tag in tags if SEMVER.fullmatch(tag)), key=rank)
    return Template(folder, directory, tuple(releases))


def recorded(template: Template, state: Mapping[str, Any]) -> Version:
    """Return the version that a project was made from; raises Refusal if the template lacks it."""
    commit = template.find(str(state.get("commit")))
    if commit is None:
        raise Refusal(
            f"The template {template.address} has no commit {state.get('commit')!s:.60}: write the "
            f'commit that the project was made from as "commit" into {STATE}.'
        )
    return template.version(commit)


def next_version(template: Template, before: Version) -> Version:
    """Return what an update brings.

    A project that was made after the newest release is not taken back to it.
    """
    newest = template.newest
    return before if newest.name in template.merged(before.commit) else newest


def wanted(template: Template, name: str) -> Version:
    """Return the version that a person asked for; raises Refusal if there is none of that name."""
    for candidate in (name, f"v{name}", f"refs/tags/{name}"):
        commit = template.find(candidate)
        if commit is not None:
            tag = candidate if candidate in template.releases else None
            return Version(tag, commit) if tag else template.version(commit)
    last = ", ".join(template.releases[-5:]) or "no releases; give a branch or a commit"
    raise Refusal(f"The template has no version {name!a}: it has {last}.")
