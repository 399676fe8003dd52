"""Answers: what a version of the template asks, and how recorded answers are carried over to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .git import Refusal
from .project import refuse_markers
from .template import Template, Version


def prompts_at(template: Template, version: Version) -> dict[str, Any]:
    """Return cookiecutter.json of a version."""
    try:
        prompts = json.loads(template.text(version.commit, "cookiecutter.json") or "")
    except ValueError:
        prompts = None
    if not isinstance(prompts, dict):
        raise Refusal(f"The template's {version.name} has no readable cookiecutter.json.")
    return prompts


def carried_over(
    answers: dict[str, Any], prompts: Mapping[str, Any], version: Version
) -> tuple[dict[str, Any], list[str]]:
    """Return the answers under the names that a version asks for, and notes on what moved."""
    moved: Mapping[str, str] = prompts.get("_migrations", {})
    result, notes = {}, []
    for name, value in answers.items():
        target = moved.get(name, "")
        if name in prompts:
            result[name] = value
        elif target in prompts and target not in answers:
            result[target] = value
            notes.append(f"{name} is called {target} now: your answer {value!a} is carried over.")
        else:
            why = target or f"{version.name} does not ask for it any more."
            notes.append(f"{name} (your answer was {value!a}) has gone: {why}")
    return result, notes


def public(prompts: Mapping[str, Any]) -> list[str]:
    """Return the names of the questions."""
    return [name for name in prompts if not name.startswith("_")]


def changed_answers(
    pairs: Sequence[str], prompts: Mapping[str, Any], version: Version
) -> dict[str, str]:
    """Read KEY=VALUE pairs; raises Refusal for what the version does not ask for."""
    moved: Mapping[str, str] = prompts.get("_migrations", {})
    changes = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise Refusal(f"{pair!a} is not an answer: write KEY=VALUE, such as stage=mvp.")
        if name not in public(prompts):
            note = f" ({moved[name]})" if name in moved else ""
            known = ", ".join(public(prompts))
            raise Refusal(f"{version.name} does not ask for {name!a}{note}: it asks for {known}.")
        refuse_markers(name, value)
        changes[name] = value
    return changes


def refuse_choices(
    answers: Mapping[str, Any],
    prompts: Mapping[str, Any],
    version: Version,
    command: str = "python tools/template.py set",
) -> None:
    """Raise Refusal for an answer that the version does not offer."""
    moved: Mapping[str, str] = prompts.get("_migrations", {})
    for name, choices in prompts.items():
        value = answers.get(name)
        if name.startswith("_") or not isinstance(choices, list) or value in (None, *choices):
            continue
        allowed = " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
        note = f" ({moved[f'{name}={value}']})" if f"{name}={value}" in moved else ""
        raise Refusal(
            f"{name} {value!a} is not a choice of {version.name}{note}: choose {allowed}, as in "
            f"`{command} {name}={choices[0]} --to {version.name.split('+')[0]}`."
        )


def new_questions(
    answers: Mapping[str, Any], prompts: Mapping[str, Any], rendered: Mapping[str, Any]
) -> Iterator[str]:
    """Yield a note for each question that was answered with its default."""
    for name in public(prompts):
        if name not in answers:
            yield (
                f"{name} is a new question, answered with {rendered[name]!a}: "
                f"`python tools/template.py set {name}=...` changes it."
            )


def migration_notes(template: Template, before: Version, after: Version) -> list[str]:
    """Return what the template's CHANGELOG.md says about migrating, for each release between."""
    text = template.text(after.commit, "CHANGELOG.md") or ""
    known = set(template.merged(before.commit))
    between = {tag.removeprefix("v") for tag in template.merged(after.commit) if tag not in known}
    notes, release, inside = [], "", False
    for line in text.splitlines():
        if line.startswith("## "):
            release, inside = line[3:].split()[0].strip("[]").removeprefix("v"), False
        elif line.startswith("### "):
            inside = line[4:].strip() == "Migration"
        elif inside and line.strip() and release in between:
            notes.append(line.strip().removeprefix("- "))
    return notes
