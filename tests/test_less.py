"""A project without the checklist and with the boosters runs, and passes its own tests and lint."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from baking import BakedProject, bake_project

pytestmark = pytest.mark.modules

Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def less(template: Path, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """A project of a late stage, in which everything has run."""
    answers = {"stage": "production", "checklist": "no", "boosters": "yes"}
    return bake_project(template, tmp_path_factory.mktemp("less"), answers)


@pytest.fixture(scope="module")
def python(less: BakedProject) -> Python:
    """Return a function that runs Python in the project, whose package is not installed."""
    environment = {**os.environ, "PYTHONPATH": str(less.root / "src")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=less.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    return run


def test_a_run_names_the_checklist_nowhere(less: BakedProject, python: Python) -> None:
    done = python("-m", less.package, "run", "--set", "model.candidates=linear, xgboost")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("Report: ")
    runs = map(json.loads, less.text("logs/runs.jsonl").splitlines())
    assert {run["label"] for run in runs} >= {"LOGISTIC", "XGBOOST"}
    assert "LOGISTIC" in less.text("docs/experiments.md")
    text = done.stdout + "".join(less.text(name) for name in less.files("*.json*")[1:])
    assert "checklist" not in text.lower()


def test_there_is_no_such_command(less: BakedProject, python: Python) -> None:
    assert "checklist" not in python("-m", less.package, "--help").stdout
    done = python("-m", less.package, "checklist")
    assert (done.returncode, "No such command 'checklist'" in done.stdout) == (2, True)


def test_its_own_tests_pass(python: Python) -> None:
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"[1-9]\d* passed", done.stdout.splitlines()[-1])
