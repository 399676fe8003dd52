"""Looks: how far behind the project is, and how its files differ from the template's."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .checks import leftovers
from .git import git, names_of, start_git
from .project import Project, open_project
from .rendering import render
from .screen import plural, say, show_list
from .template import Template, Version, next_version, open_template, recorded, without_password


def show_status(options: argparse.Namespace, work: Path) -> int:
    """Print the template's version, how far behind it is, and what differs from it here."""
    project = open_project()
    template = open_template(options.template, project.state.get("directory"))
    now = recorded(template, project.state)
    say(f"Template  {without_password(str(project.state['template']))}")
    say(f"Version   {now.name}, {standing(template, now)}")
    compare = [*against_rendering(project, template, now, work), "--name-status", "-z"]
    words = names_of(git(*compare, "--no-renames", index=work / "pristine"))
    found = list(zip(words[::2], words[1::2], strict=True))
    for title, deleted in {"Changed": False, "Deleted": True}.items():
        names = [name for state, name in found if (state == "D") is deleted]
        if names:
            say(f"{title} here, of the template's files:")
            show_list(names)
    if not found:
        say("Every file of the template is as it was rendered.")
    left = leftovers()
    if left:
        say("Not resolved yet (edit them, then `git add`; delete what ends in .rej):")
        show_list(left)
    return 1 if left else 0


def standing(template: Template, now: Version) -> str:
    """Say how far behind a version is: in releases, or in commits where there are none."""
    if not template.releases:
        commits = int(template.git("rev-list", "--count", f"{now.commit}..HEAD"))
        if not commits:
            return "the newest commit (the template has no releases)"
        return f"{commits} {plural('commit', commits)} behind (the template has no releases)"
    target = next_version(template, now)
    if target.commit == now.commit:
        return "the newest"
    known = template.merged(now.commit)
    later = [tag for tag in template.merged(target.commit) if tag not in known and "-" not in tag]
    count = len(later)
    return f"{count} {plural('release', count)} behind: {', '.join(later)}; `make update` brings it"


def show_diff(options: argparse.Namespace, work: Path) -> int:
    """Print how the template's files differ here from what it rendered."""
    project = open_project()
    template = open_template(options.template, project.state.get("directory"))
    now = recorded(template, project.state)
    compare = against_rendering(project, template, now, work)
    sys.stdout.flush()
    start_git(compare, index=work / "pristine", show=True)
    return 0


def against_rendering(project: Project, template: Template, now: Version, work: Path) -> list[str]:
    """Return the git command that compares with the rendering; its index is work/pristine."""
    tree, _ = render(project, template, now, project.answers, work)
    git("read-tree", tree, index=work / "pristine")
    return [f"--git-dir={project.git_folder}", f"--work-tree={Path.cwd()}", "--no-pager", "diff"]
