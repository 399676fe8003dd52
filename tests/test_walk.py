"""A whole project, from fresh to a gate of the stage mvp that opens, as its owner goes the way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from baking import BakedProject, bake_project

ANSWER = "We asked the account team, who decided it in writing in March after two trials.\n"


class Owner:
    """The owner of a project, at the command line."""

    def __init__(self, project: BakedProject) -> None:
        self.project = project
        self.environment = {**os.environ, "PYTHONPATH": str(project.root / "src")}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a Python command in the project."""
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.project.root,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
        )

    def checklist(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `checklist`."""
        return self.run("-m", self.project.package, "checklist", *words)

    def missing(self, stage: str) -> list[dict[str, Any]]:
        """Return what is missing at a stage, from the output for programs."""
        done = self.checklist("--stage", stage, "--json")
        assert done.returncode == 0, done.stderr
        items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return [item for item in items if item["state"] in ("open", "stale")]

    def answer(self, rule: str) -> None:
        """Write an answer below a heading, in front of the next one."""
        name, _, slug = rule.partition("#")
        path = self.project.root / name
        parts = re.split(r"(?m)^(?=## )", path.read_text(encoding="utf-8"))
        for number, part in enumerate(parts):
            title = part.partition("\n")[0].removeprefix("## ").lower()
            if title.replace(" ", "-") == slug:
                parts[number] = f"{part.rstrip()}\n\n{ANSWER * 4}\n"
                path.write_text("".join(parts), encoding="utf-8", newline="\n")
                return
        raise AssertionError(f"{name} has no heading for {slug}")

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.project.git("add", "--all")
        self.project.git("commit", "--quiet", "--message", message)

    def settle(self, item: dict[str, Any]) -> None:
        """Do what an item asks of a person."""
        for finding in item["findings"]:
            if finding["holds"]:
                continue
            if finding["kind"] == "section":
                self.answer(finding["rule"])
            elif finding["kind"] == "signoff":
                done = self.checklist("sign", item["id"], "--by", "A. Person", "--note", "seen")
                assert done.returncode == 0, done.stderr
            else:
                BY_HAND[item["id"]](self.project)


def add_remote(project: BakedProject) -> None:
    """Let git know a second place for the work."""
    project.git("remote", "add", "origin", "https://example.invalid/x.git")


# What a machine proves, and a person has to do first.
BY_HAND: dict[str, Callable[[BakedProject], object]] = {"vc-remote": add_remote}


@pytest.fixture
def owner(template: Path, tmp_path: Path) -> Owner:
    """The owner of a default project that was just made."""
    return Owner(bake_project(template, tmp_path, {"project_slug": "mlproj"}))


@pytest.mark.modules
def test_from_a_fresh_project_to_an_open_gate_at_mvp(owner: Owner) -> None:
    gate = owner.checklist("gate")
    assert gate.returncode == 1, gate.stderr
    assert owner.checklist("gate", "--warn-at-poc").returncode == 0

    done = owner.run("-m", "mlproj", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    missing = owner.missing("poc")
    assert 1 <= len(missing) <= 12
    assert {item["kind"] for item in missing} == {"written"}
    assert owner.checklist("gate").returncode == 1
    for item in missing:
        owner.settle(item)
    assert owner.checklist("gate").stdout.count("poc") >= 1
    assert owner.checklist("gate").returncode == 0
    owner.commit("The proof of concept is done")

    raised = owner.run("tools/template.py", "set", "stage=mvp")
    assert raised.returncode == 0, raised.stdout + raised.stderr
    owner.commit("Raise the stage")
    assert owner.project.has_file("docs/modelling.md")
    gate = owner.checklist("gate")
    missing = owner.missing("mvp")
    assert gate.returncode == 1
    assert [item["id"] for item in missing if item["id"] not in gate.stdout] == []
    for item in missing:
        owner.settle(item)
    gate = owner.checklist("gate", "--stage", "mvp")
    assert gate.returncode == 0, gate.stdout
    assert owner.missing("mvp") == []
    assert owner.checklist("gate", "--stage", "production").returncode == 1
    assert owner.checklist("report").returncode == 0
    assert "mvp" in owner.project.text("checklist/badge.svg")
