"""Updates: another version, other answers, or both, merged into the project and written."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .answers import (
    carried_over,
    changed_answers,
    migration_notes,
    new_questions,
    prompts_at,
    refuse_choices,
)
from .checks import leftovers, pristine_files, run_checks
from .git import listing, start_git, with_changes, write_blob
from .merging import Merged, merge, remaining_files, without_new
from .project import STATE, Project, open_project, refuse_unclean
from .rendering import render
from .screen import plural, say, show_list
from .template import next_version, open_template, recorded, wanted
from .writing import changed_files, refuse_overwriting, write


@dataclass(frozen=True)
class Plan:
    """What would be done: its name, the merge, the files that are written, and what to tell."""

    title: str
    merged: Merged
    changes: Mapping[str, tuple[str, str]]
    pristine: Collection[str]
    notes: Sequence[str]


def bring(options: argparse.Namespace, work: Path) -> int:
    """Bring another version, other answers, or both; return 1 if something is left to a person."""
    project = open_project()
    if not options.dry_run:
        refuse_unclean(project)
    plan = plan_update(project, options, work)
    if plan is None:
        say("Nothing to do: the project is at that version, with those answers.")
        return 0
    return carry_out(project, plan, options)


def plan_update(project: Project, options: argparse.Namespace, work: Path) -> Plan | None:
    """Merge without writing; None if nothing is to be done."""
    template = open_template(options.template, project.state.get("directory"))
    before = recorded(template, project.state)
    if options.to:
        after = wanted(template, options.to)
    else:
        after = before if options.answers else next_version(template, before)
    same = after.commit == before.commit
    prompts = prompts_at(template, after)
    answers, notes = carried_over(project.answers, prompts, after)
    changes = changed_answers(options.answers, prompts, after)
    if same and all(answers.get(name) == value for name, value in changes.items()):
        return None
    known = {**answers, **changes}
    refuse_choices(known, prompts, after)
    refuse_choices(project.answers, prompts_at(template, before), before)
    if not same:
        notes = [*migration_notes(template, before, after), *notes]
    old, _ = render(project, template, before, project.answers, work)
    new, complete = render(project, template, after, known, work)
    notes += new_questions(known, prompts, complete)
    steps = [(old, new)]
    if same and all(isinstance(prompts[name], list) for name in changes):
        # Between two choices no file is renamed: what looks alike is another part. Git sees a
        # rename where a file goes and one comes, so the new ones come in a step of their own.
        between = without_new(old, new, work)
        steps = [(old, between), (between, new)]
    merged = merge(project, steps, (before.name, f"template {after.name}"), work)
    remaining = remaining_files(old, new, merged.tree)
    merged.remaining = [name for name in remaining if name not in merged.orphans]
    title = f"{after.name}, other answers" if same else f"{before.name} -> {after.name}"
    state = {**project.state, "commit": after.commit, **context_of(complete)}
    return finished(project, title, merged, state, new, notes, work)


def context_of(answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return answers as .cruft.json keeps them."""
    return {"context": {"cookiecutter": dict(sorted(answers.items()))}}


def finished(
    project: Project,
    title: str,
    merged: Merged,
    state: Mapping[str, Any],
    rendered: str,
    notes: Sequence[str],
    work: Path,
) -> Plan:
    """Add the new .cruft.json, in ASCII, to a merge, and see what it would change."""
    blob = write_blob((json.dumps(state, indent=2) + "\n").encode("ascii"))
    merged.tree = with_changes(merged.tree, [f"100644 {blob}\t{STATE}\0"], work)
    changes = changed_files(project.tree, merged.tree)
    return Plan(title, merged, changes, pristine_files(rendered, merged.tree), notes)


def carry_out(project: Project, plan: Plan, options: argparse.Namespace) -> int:
    """Write a plan, or only show it; return 1 if something is left to a person."""
    if not options.dry_run:
        refuse_overwriting(project, plan.changes)
    for note in plan.notes:
        say(f"Note: {note}")
    if options.dry_run:
        show_changes(project, plan, patch=options.diff)
        show_rest(plan.merged)
        return 0 if plan.merged.is_whole else 1
    say(f"To undo all of it, now or later: git reset --hard {project.head[:12]}")
    write(project, plan.merged, plan.changes)
    return close(plan, options.no_checks)


def show_changes(project: Project, plan: Plan, *, patch: bool) -> None:
    """List what a plan would write, by what becomes of each file, or show it as a patch."""
    if patch:
        sys.stdout.flush()
        start_git(["--no-pager", "diff", project.tree, plan.merged.tree], show=True)
        return
    here = listing(project.tree)
    lists: dict[str, list[str]] = {"New:": [], "Changed:": [], "Removed:": []}
    for name, (_, blob) in sorted(plan.changes.items()):
        lists["Removed:" if not blob else "Changed:" if name in here else "New:"].append(name)
    for words, names in lists.items():
        if names:
            say(words)
            show_list(names)
    say("Nothing was written; --diff shows the lines.")


def close(plan: Plan, no_checks: bool) -> int:
    """Say what was done and what is left, run the checks if nothing is; return the exit code."""
    files = [name for name in plan.changes if name != STATE]
    say(f"{plan.title}: {len(files)} {plural('file', len(files))} written, removed or merged.")
    again = sorted({"pyproject.toml", "constraints.txt"} & set(files))
    if again:
        say(f"{' and '.join(again)} changed: run `make setup` to install what they ask for.")
    show_rest(plan.merged)
    strays = [name for name in leftovers(files) if name not in plan.merged.unmerged]
    if strays:
        say("These hold a conflict's markers or a rejected patch:")
        show_list(strays)
    if not plan.merged.is_whole or strays:
        say("Not everything was applied, so nothing was checked: see above, then `make lint`.")
        return 1
    if not no_checks and run_checks(files, plan.pristine):
        return 1
    say('Look at it with `git diff --cached`, then `git commit -m "Update from the template"`.')
    return 0


def show_rest(merged: Merged) -> None:
    """List what is left to a person, and what to do with it."""
    lists = {
        "Both changed the same lines: edit, then `git add`:": merged.conflicts,
        "Changed here, dropped by the template: `git rm` it, or `git add` it to keep it:": (
            merged.orphans
        ),
        "Deleted here, changed by the template: left out; list it as `skip` below [tool.cruft] in "
        "pyproject.toml to hear no more of it:": merged.left_out,
        "Your own, in a folder that the template has left: move or delete it:": merged.remaining,
    }
    for words, names in lists.items():
        if names:
            say(words)
            show_list(names)
