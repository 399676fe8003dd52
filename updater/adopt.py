"""Adoption: the template joins a repository that was not made from it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from .answers import changed_answers, prompts_at, refuse_choices
from .git import Refusal, listing, with_changes
from .merging import merge
from .project import STATE, Project, open_repository, refuse_no_repository, refuse_unclean
from .rendering import render
from .template import Template, open_template, wanted
from .update import Plan, carry_out, context_of, finished


def adopt(options: argparse.Namespace, work: Path) -> int:
    """Bring the template into this repository; return 1 if something is left to a person."""
    if Path(STATE).exists():
        raise Refusal(
            f"{Path(STATE).absolute()} is there already: this project follows a template, `update` "
            "brings its later versions and `set` changes answers."
        )
    refuse_no_repository()
    template = open_template(options.template, options.directory)
    project = open_repository(state_of(template))
    if not options.dry_run:
        refuse_unclean(project)
    return carry_out(project, plan_adoption(project, template, options, work), options)


def state_of(template: Template) -> dict[str, Any]:
    """Return what .cruft.json says about a template before any answer."""
    return {
        "template": template.address,
        "commit": None,
        "checkout": None,
        "context": {"cookiecutter": {}},
        "directory": template.directory,
    }


def plan_adoption(
    project: Project, template: Template, options: argparse.Namespace, work: Path
) -> Plan:
    """Merge the template's files with those that are here; both have only the names in common."""
    after = wanted(template, options.to) if options.to else template.newest
    prompts = prompts_at(template, after)
    given = changed_answers(options.answers, prompts, after)
    refuse_choices(given, prompts, after, "adopt")
    given = {"project_name": Path.cwd().name, **given}
    if sys.stdin.isatty() and not options.no_input:
        given = asked(prompts, given)
    new, complete = render(project, template, after, given, work)
    refuse_collisions(project, new)
    nothing = with_changes(None, [], work)
    merged = merge(project, [(nothing, new)], ("nothing", f"template {after.name}"), work)
    state = {**project.state, "commit": after.commit, **context_of(complete)}
    notes = [f"{name} is {value!a}." for name, value in complete.items()]
    return finished(project, f"{after.name} adopted", merged, state, new, notes, work)


def asked(prompts: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Ask the template's questions as cookiecutter does, with what was given as defaults."""
    from cookiecutter.generate import apply_overwrites_to_context
    from cookiecutter.prompt import prompt_for_config

    questions = dict(prompts)
    apply_overwrites_to_context(questions, given)
    try:
        answers = prompt_for_config({"cookiecutter": questions})
    except EOFError:
        raise Refusal("The questions were not answered, so nothing was done.") from None
    return {name: value for name, value in answers.items() if not name.startswith("_")}


def refuse_collisions(project: Project, rendered: str) -> None:
    """Raise Refusal where a name of the template's and one of here cannot both be.

    A file in the place of a folder; and names that differ in case alone, which Windows and macOS
    take for one: git would write the template's file over the other.
    """
    own, new = paths_of(project.tree), paths_of(rendered)
    folded = {path.casefold(): path for path in own}
    for path in sorted(new):
        here = folded.get(path.casefold(), path)
        if here != path or (path in own and own[path] != new[path]):
            kind = "folder" if new[path] else "file"
            raise Refusal(
                f"{here} is in the way of the template's {kind} {path}: rename it with `git mv`, "
                "commit, then try again."
            )


def paths_of(tree: str) -> dict[str, bool]:
    """Return every path of a tree, and whether it is a folder."""
    files = dict.fromkeys(listing(tree), False)
    above = (parent.as_posix() for name in files for parent in PurePosixPath(name).parents)
    return {**dict.fromkeys(above, True), **files}
