"""The sets of answers that the tests bake: a pairwise cover of every choice."""

from __future__ import annotations

import ast
import fnmatch
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).resolve().parents[1]
SKELETON = TEMPLATE / "{{cookiecutter.project_slug}}"

Answers = dict[str, str]


def hook_literal(hook: str, name: str) -> Any:
    """Return the value of a literal in ``hooks/<hook>_project.py``, without running the file."""
    tree = ast.parse((TEMPLATE / "hooks" / f"{hook}_project.py").read_text(encoding="utf-8"))
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return ast.literal_eval(statement.value)  # type: ignore[attr-defined]
    raise LookupError(f"{hook} has no literal {name}")


COOKIECUTTER = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
# prompt -> its choices, the default first; and the prompts that take any text.
CHOICES: dict[str, list[str]] = {
    prompt: value
    for prompt, value in COOKIECUTTER.items()
    if isinstance(value, list) and not prompt.startswith("_")
}
FREE_TEXT = [
    prompt
    for prompt, value in COOKIECUTTER.items()
    if isinstance(value, str) and not prompt.startswith("_")
]
MODULES: dict[str, list[str]] = hook_literal("post_gen", "MODULES")
IMPOSSIBLE: list[tuple[dict[str, str], str]] = hook_literal("pre_gen", "IMPOSSIBLE")
DEPENDENCIES: dict[str, str] = hook_literal("pre_gen", "DEPENDENCIES")

CACHES = ("__pycache__", ".*_cache", ".ipynb_checkpoints", ".venv", "*.egg-info")

DEFAULTS: Answers = {prompt: choices[0] for prompt, choices in CHOICES.items()}


def skeleton_files() -> Iterator[str]:
    """Yield the relative path of every file of the skeleton, caches left out."""
    for path in SKELETON.rglob("*"):
        relative = path.relative_to(SKELETON)
        cached = any(fnmatch.fnmatch(part, name) for part in relative.parts for name in CACHES)
        if path.is_file() and not cached:
            yield relative.as_posix()


def pins_of(constraints: Path) -> list[str]:
    """Return the lines of a constraints.txt, the skeleton's without its Jinja."""
    lines = constraints.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("{%")]


def is_possible(answers: Mapping[str, str]) -> bool:
    """Tell whether no row of the hook's table of impossible combinations matches."""
    return not any(together.items() <= answers.items() for together, _ in IMPOSSIBLE)


def pairs_of(answers: Mapping[str, str]) -> set[frozenset[tuple[str, str]]]:
    """Return every pair of answers, each as a set of two (prompt, choice)."""
    return {frozenset(pair) for pair in itertools.combinations(answers.items(), 2)}


def pairwise(choices: Mapping[str, list[str]]) -> list[Answers]:
    """Return sets of answers that hold every possible pair of choices, the defaults first.

    Greedy: each set starts with a pair that is still missing and takes, prompt by prompt, the
    choice that adds most missing pairs; ties go to the first choice, so the result never varies.
    """
    wanted = [
        dict(pair)
        for one, two in itertools.combinations(choices, 2)
        for pair in itertools.product(
            [(one, c) for c in choices[one]], [(two, c) for c in choices[two]]
        )
        if is_possible(dict(pair))
    ]
    sets = [{prompt: values[0] for prompt, values in choices.items()}]
    covered = pairs_of(sets[0])
    for start in wanted:
        if frozenset(start.items()) in covered:
            continue
        answers = dict(start)
        for prompt, values in choices.items():
            if prompt not in answers:
                options = [{**answers, prompt: value} for value in values]
                possible = [option for option in options if is_possible(option)]
                answers = max(possible, key=lambda option: len(pairs_of(option) - covered))
        answers = {prompt: answers[prompt] for prompt in choices}
        covered |= pairs_of(answers)
        sets.append(answers)
    return sets


def describe(answers: Mapping[str, str]) -> str:
    """Return the choices that are not the default ones, as a test's id."""
    return "-".join(c for prompt, c in answers.items() if c != DEFAULTS.get(prompt)) or "defaults"


PAIRWISE = pairwise(CHOICES)
