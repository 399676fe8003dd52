"""A whole project, as its owner goes the way: to an open gate at mvp, and on the second day."""

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

    def done(self) -> set[str]:
        """Return the items that are done at poc."""
        items = json.loads(self.checklist("--stage", "poc", "--json").stdout)["items"]
        return {item["id"] for item in items if item["state"] == "done"}

    def champion(self) -> str:
        """Return the model in service."""
        return str(json.loads(self.project.text("models/champion.json"))["run_id"])

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


# What proves that the model in service was made by the code of today.
ABOUT_THE_CODE = {"data-fit-on-train", "deploy-end-to-end"}
EDITS = [
    'frame.assign(ratio=frame["weight_kg"] / frame["height_cm"])',
    'frame.assign(noise=frame["age"] % 7)',
    'frame.assign(spread=frame["age"] - frame["years_smoked"])',
]


@pytest.mark.modules
def test_three_changes_of_the_code_cost_no_item_that_is_not_about_them(owner: Owner) -> None:
    conf = owner.project.root / "conf.cfg"
    text = re.sub(r"(?m)^candidates = .*", "candidates = linear", conf.read_text(encoding="utf-8"))
    for section, quick in (("model", "folds = 0"), ("evaluate", "bootstrap = 20")):
        text = text.replace(f"[{section}]\n", f"[{section}]\n{quick}\n")
    conf.write_text(text, encoding="utf-8", newline="\n")
    first = owner.run("-m", "mlproj", "run")
    assert first.returncode == 0, first.stdout + first.stderr
    owner.commit("The first model")
    done, champion = owner.done(), owner.champion()
    custom = owner.project.root / "src/mlproj/custom.py"
    original = custom.read_text(encoding="utf-8")
    examples = original.index("def add_features(")
    for edit in EDITS:
        changed = original[examples:].replace("return frame\n", f"return {edit}\n", 1)
        custom.write_text(original[:examples] + changed, encoding="utf-8", newline="\n")
        run = owner.run("-m", "mlproj", "run")
        assert run.returncode == 0, run.stdout + run.stderr
        newest = json.loads(owner.project.text("reports/release.json"))["run_id"]
        earlier, champion = champion, owner.champion()
        fallen = done - owner.done()
        if champion == newest:
            said = f"champion     {newest} is in service: "
            assert fallen == set() and newest != earlier
        else:
            said = f"champion     {earlier} stays in service: "
            assert fallen == ABOUT_THE_CODE and champion == earlier
            assert f"The last model, {newest}, is not in service" in owner.checklist().stdout
        line = next(line for line in run.stdout.splitlines() if line.startswith("champion "))
        assert line.startswith(said) and line.count("roc_auc") == 1
        owner.commit("Another feature")
    assert owner.project.git("log", "-1", "--format=%H", "--", "reports/test_ledger.jsonl") == (
        owner.project.git("log", "-1", "--format=%H", "--grep=The first model")
    )

    # Nothing changed: nothing is written. A stage alone shows no scores of another model.
    for words in (("run",), ("run", "--until", "preprocess")):
        run = owner.run("-m", "mlproj", *words)
        assert run.returncode == 0, run.stderr
        assert owner.project.git("status", "--porcelain") == ""
        assert ("ROC AUC" in run.stdout, "Report: " in run.stdout) == (len(words) == 1,) * 2

    # The champion is judged by its own reports, wherever the last model stands.
    if champion == newest:
        custom.write_text(original, encoding="utf-8", newline="\n")
        assert owner.run("-m", "mlproj", "run").returncode == 0
        assert owner.run("-m", "mlproj", "champion", "promote", newest).returncode == 0
    (owner.project.root / "reports/champion/metrics.json").unlink()
    assert "model-baseline" in done - owner.done()
    assert owner.run("-m", "mlproj", "run").returncode == 0  # which brings it back
    assert done - owner.done() <= ABOUT_THE_CODE
