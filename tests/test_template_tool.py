"""The parts of the updater that need no template: quick to test one by one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from answers import COOKIECUTTER, SKELETON, TEMPLATE

from updater import answers, team, template


def test_versions_are_ordered_as_semver_orders_them() -> None:
    ordered = [
        *("v0.9.10", "v1.0.0-alpha", "v1.0.0-alpha.1", "v1.0.0-alpha.beta", "v1.0.0-beta"),
        *("v1.0.0-beta.2", "v1.0.0-beta.11", "v1.0.0-rc.1", "1.0.0", "v1.0.1", "v1.2.0"),
        *("v1.10.0", "v2.0.0"),
    ]
    assert sorted(reversed(ordered), key=template.rank) == ordered
    others = ["v1", "v1.0", "latest", "v1.0.0.0", "v01.0.0", "release-1.0.0"]
    assert [name for name in others if template.SEMVER.fullmatch(name)] == []


BASE = ["a\n", "b\n", "c\n", "d\n"]


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [
        ("a B c d", "a b C d", "a B C d"),
        ("A b c d", "a b c D", "A b c D"),
        ("a x b c d", "a b c D", "a x b c D"),
        ("A b c d", "x a b c d", "x A b c d"),
        ("a B c d", "a b x c d", "a B x c d"),
        ("a c d", "a b C d", "a C d"),
        ("a B c d", "a B c d", "a B c d"),
        ("a B c d", "a b c d", "a B c d"),
        ("a B c d", "a X c d", None),
        ("a c d", "a X c d", None),
        ("a x b c d", "a y b c d", None),
        ("d", "a b x c d", None),
        ("a b c d [mine] x", "a b c d key", "a b c d key [mine] x"),
        ("a b c d key", "a b c d [new] x", "a b c d key [new] x"),
        ("a b c d [mine] x", "a b c d [new] y", "a b c d [mine] x [new] y"),
    ],
)
def test_changes_that_touch_are_merged_and_those_that_overlap_are_not(
    ours: str, theirs: str, merged: str | None
) -> None:
    sides = [[f"{line}\n" for line in side.split()] for side in (ours, theirs)]
    result = team.weave(BASE, *sides)
    assert result == (None if merged is None else [f"{line}\n" for line in merged.split()])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("conf.cfg", True),
        ("src/churn/custom.py", True),
        ("src/churn/custom/__init__.py", True),
        ("src/churn/custom/rules/cleaning.py", True),
        ("src/churn/data/custom.txt", False),
        ("checklist/own.yaml", True),
        ("src/churn/train.py", False),
        ("src/conf.cfg", False),
    ],
)
def test_the_team_s_files_are_known_by_their_paths(name: str, found: bool) -> None:
    assert team.matches(name, team.FILES + team.CODE) is found


def test_every_file_of_the_team_is_there() -> None:
    rendered = [path.relative_to(SKELETON).as_posix() for path in SKELETON.rglob("*.*")]
    patterns = [*team.FILES, team.CODE[0]]
    there = [p for p in patterns if any(team.matches(name, [p]) for name in rendered)]
    assert there == patterns


def carried(given: dict[str, str], migrations: dict[str, str]) -> Any:
    """Return the answers for a version that asks for ci and owner, and the notes."""
    prompts = {"ci": ["none"], "owner": "", "_migrations": migrations}
    return answers.carried_over(given, prompts, template.Version("v2", "0" * 40))


def test_answers_are_carried_over_by_the_notes_of_the_template() -> None:
    assert carried({"ci": "none"}, {}) == ({"ci": "none"}, [])
    kept, notes = carried({"author": "We"}, {"author": "owner"})
    assert kept == {"owner": "We"} and "is called owner now" in notes[0]
    kept, notes = carried({"colour": "red"}, {"colour": "every project is blue."})
    assert kept == {} and notes == [
        "colour (your answer was 'red') has gone: every project is blue."
    ]
    assert "v2 does not ask for it any more" in carried({"colour": "red"}, {})[1][0]


def test_the_template_s_migrations_name_what_has_gone_and_lead_to_what_is_there() -> None:
    """A question that is still asked, or a choice that is still offered, has not gone."""
    for gone, note in COOKIECUTTER["_migrations"].items():
        name, equals, choice = gone.partition("=")
        assert choice not in COOKIECUTTER.get(name, []) if equals else name not in COOKIECUTTER
        assert note in COOKIECUTTER or " " in note


def test_help_teaches_the_commands() -> None:
    command = [sys.executable, str(TEMPLATE / "updater"), "--help"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    for words in ("status", "update --to v1.2.0", "set stage=mvp", "updater adopt", "exit code"):
        assert words in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 100


@pytest.mark.parametrize(
    "arguments", [[], ["upgrade"], ["set"], ["update", "--too", "v1"], ["update", "v1.2.0"]]
)
def test_a_wrong_command_line_is_one_sentence(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, str(TEMPLATE / "updater"), *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert "--help" in done.stderr
