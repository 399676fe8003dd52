"""Break one proof of an item on purpose: the smallest change that makes its claim false."""

from __future__ import annotations

import configparser
import json
import subprocess
from pathlib import Path
from typing import Any

from answers import CHOICES
from mlproj.checklist.catalogue import Evidence
from mlproj.checklist.conditions import Condition, parse_condition
from mlproj.core.files import read_json, write_json
from mlproj.core.project import Project


def break_proof(project: Project, evidence: Evidence) -> None:
    """Change the project such that this proof, and if possible no other one, is gone."""
    {
        "file": break_file,
        "fact": break_fact,
        "config": break_config,
        "answer": break_answer,
        "champion": break_champion,
        "git": break_git,
        "fresh": break_fresh,
    }[evidence.kind](project, evidence)


def break_file(project: Project, evidence: Evidence) -> None:
    """Take the text out of every matching file, or all of their content."""
    text = evidence.further.get("contains", "").replace("{package}", "mlproj")
    for pattern in evidence.rule.replace("{package}", "mlproj").split(" | "):
        for path in project.root.glob(pattern):
            content = path.read_text(encoding="utf-8")
            path.write_text(content.replace(text, "") if text else "", encoding="utf-8")


def break_fact(project: Project, evidence: Evidence) -> None:
    """Let the report say the opposite."""
    condition = parse_condition(evidence.rule)
    path = project.report_file(condition.path[0])
    document = read_json(path)
    put(document["facts"], condition.path[1:], opposite(condition))
    write_json(path, document)


def put(values: Any, path: tuple[str, ...], value: Any) -> None:
    """Set what stands at a path; `*` is the first element there."""
    for step in path[:-1]:
        values = values[first(values) if step == "*" else step]
    values[first(values) if path[-1] == "*" else path[-1]] = value


def first(values: Any) -> Any:
    """Return the key of the first element."""
    return 0 if isinstance(values, list) else next(iter(values))


def opposite(condition: Condition) -> Any:
    """Return a value that breaks a condition."""
    if condition.counted:
        number = opposite(Condition(condition.path, condition.operator, condition.value))
        return ["x"] * max(int(number or 0), 0)
    value = condition.value
    if condition.operator in ("==", "<="):
        if isinstance(value, bool) or value is None:
            return not value
        return f"not {value}" if isinstance(value, str) else value + 1
    if condition.operator == ">=":
        return value - 1
    return value if condition.operator in ("!=", "<", ">") else None


def break_config(project: Project, evidence: Evidence) -> None:
    """Write a setting into conf.cfg that the rule does not allow."""
    condition = parse_condition(evidence.rule)
    section, key = condition.path
    wrong = opposite(condition)
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    parser.read(project.conf, encoding="utf-8")
    if section not in parser:
        parser.add_section(section)
    parser[section][key] = "" if wrong is None else str(wrong)
    with project.conf.open("w", encoding="utf-8") as file:
        parser.write(file)


def break_answer(project: Project, evidence: Evidence) -> None:
    """Record another choice; none where every choice is as good."""
    condition = parse_condition(evidence.rule)
    state = read_json(project.answers_file)
    answers = state["context"]["cookiecutter"]
    others = [
        choice
        for choice in [*CHOICES[condition.name], ""]
        if condition.fault({condition.name: choice})
    ]
    answers[condition.name] = others[0]
    write_json(project.answers_file, state)


def break_fresh(project: Project, evidence: Evidence) -> None:
    """Change a setting after the run."""
    text = project.conf.read_text(encoding="utf-8")
    project.conf.write_text(text.replace("seed = 42", "seed = 43"), encoding="utf-8")


def break_champion(project: Project, evidence: Evidence) -> None:
    """Let models/champion.json say the opposite."""
    condition = parse_condition(evidence.rule)
    entry = read_json(project.champion_file)
    put(entry, condition.path, opposite(condition))
    write_json(project.champion_file, entry)


def break_git(project: Project, evidence: Evidence) -> None:
    """Have git track what it should not, or forget what it should know."""
    if evidence.rule == "remote":
        git(project, "remote", "remove", "origin")
        return
    name, content = {
        "originals": ("data/original/copy.csv", "a,b\n"),
        "models": ("models/fe7ff51c/model.skops", "x"),
        "sizes": ("large.txt", "x" * 500_001),
        "secrets": ("settings.py", f"KEY = 'AKIA{'Q' * 16}'\n"),
        "notebooks": ("notebooks/full.ipynb", json.dumps({"cells": [{"outputs": [1]}]})),
    }[evidence.rule]
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    git(project, "add", "--force", name)


def git(project: Project, *words: str) -> None:
    """Run git in the project."""
    subprocess.run(["git", "-C", project.root, *words], check=True, capture_output=True)


def snapshot(project: Project) -> dict[Path, bytes]:
    """Return the content of every file that proofs are looked for in, git's own among them."""
    skipped = {"original", "train", "valid", "test"}
    return {
        path: path.read_bytes()
        for path in project.root.rglob("*")
        if path.is_file() and path.parent.name not in skipped and path.suffix != ".parquet"
    }


def restore(project: Project, before: dict[Path, bytes]) -> None:
    """Bring every file back to what it was, and delete the others."""
    after = snapshot(project)
    for path in after.keys() - before.keys():
        path.unlink()
    for path, content in before.items():
        if after.get(path) != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
