"""Projects that are really installed, in an environment of their own, and then have no network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import offline
import pytest
from baking import BakedProject, bake_project
from offline import OFFLINE

pytestmark = pytest.mark.modules

# The default answers, and those that bring most.
ANSWERS = {
    "classification": {},
    "regression": {
        "stage": "production",
        "platform": "kubernetes",
        "serving": "rest",
        "monitoring": "yes",
    },
}


@dataclass(frozen=True)
class Installed:
    """A project after `make setup`."""

    root: Path
    task: str

    def make(self, target: str) -> str:
        """Run a target without a network and return what it printed; a failure fails the test."""
        return checked([*OFFLINE, "make", "--no-print-directory", target], self.root)

    def facts(self, report: str) -> dict[str, Any]:
        """Return the facts of a report."""
        text = (self.root / "reports" / f"{report}.json").read_text(encoding="utf-8")
        facts: dict[str, Any] = json.loads(text)["facts"]
        return facts


def checked(command: list[str], folder: Path, **environment: str) -> str:
    """Run a command with no variable of this test run's own environment in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    kept.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        command,
        cwd=folder,
        env={**kept, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@pytest.fixture(scope="module", params=list(ANSWERS))
def installed(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    if not offline.works("true"):
        pytest.skip("unshare cannot take the network away here")
    folder = tmp_path_factory.mktemp(request.param)
    answers = {"task": request.param, **ANSWERS[request.param]}
    project: BakedProject = bake_project(template, folder, answers)
    checked(["make", "setup"], project.root)
    checked([*OFFLINE, "make", "run"], project.root)
    return Installed(project.root, request.param)


def test_the_exact_versions_are_installed(installed: Installed) -> None:
    command = [".venv/bin/python", "-m", "pip", "list", "--format=freeze"]
    got = dict(re.findall(r"^(\S+)==(\S+)$", checked(command, installed.root), re.MULTILINE))
    names = {name.lower().replace("_", "-"): version for name, version in got.items()}
    text = (installed.root / "constraints.txt").read_text(encoding="utf-8")
    wanted = dict(line.split("==") for line in text.splitlines())
    assert {"pandas", "scikit-learn", "black", "pytest"} <= names.keys()
    own = {installed.root.name, "pip", "setuptools"}
    assert {n: v for n, v in names.items() if n not in own and wanted.get(n) != v} == {}


def test_the_run_beats_the_baseline(installed: Installed) -> None:
    facts = installed.facts("metrics")
    assert facts["passed"]
    assert facts["metric"] == {"classification": "roc_auc", "regression": "rmse"}[installed.task]
    assert facts["skill"] > facts["margin"] > 0
    score = facts["metrics"][facts["metric"]]
    assert score["low"] <= score["value"] <= score["high"]
    # Models of the example, which other packages fit too, are near these.
    if installed.task == "classification":
        assert score["value"] > 0.77
        assert score["baseline"] == pytest.approx(0.5)
    else:
        assert score["value"] < 13.5 < score["baseline"]


def test_the_test_split_was_opened_once(installed: Installed) -> None:
    assert installed.facts("metrics")["test"] is not None
    ledger = (installed.root / "reports" / "test_ledger.jsonl").read_text(encoding="utf-8")
    assert len(ledger.splitlines()) == 1


def test_the_champion_is_a_whole_bundle(installed: Installed) -> None:
    models = installed.root / "models"
    champion = json.loads((models / "champion.json").read_text(encoding="utf-8"))
    bundle = models / champion["run_id"]
    assert hashlib.sha256((bundle / "bundle.json").read_bytes()).hexdigest() == champion["sha256"]
    document = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    assert document["task"] == installed.task
    assert {"model.skops", "reference.json"} <= document["files"].keys()
    for name, sha256 in document["files"].items():
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == sha256


def test_it_scores_a_file(installed: Installed, tmp_path: Path) -> None:
    program = str(installed.root / ".venv" / "bin" / installed.root.name)
    valid = next((installed.root / "data" / "valid").glob("part-*.parquet"))
    scored = tmp_path / "scored.csv"
    checked([*OFFLINE, program, "predict", str(valid), str(scored)], installed.root)
    lines = scored.read_text(encoding="utf-8").splitlines()
    assert "prediction" in lines[0].split(",")
    assert len(lines) - 1 == installed.facts("split")["rows"]["valid"]


@pytest.mark.parametrize("installed", ["regression"], indirect=True)
def test_service_and_monitoring_work(installed: Installed) -> None:
    program = str(installed.root / ".venv" / "bin" / installed.root.name)
    checked([*OFFLINE, program, "serve", "--check"], installed.root)
    valid = next((installed.root / "data" / "valid").glob("part-*.parquet"))
    checked([*OFFLINE, program, "monitor", str(valid)], installed.root)
    assert installed.facts("drift")["problems"] == []


def test_the_report_is_one_page(installed: Installed) -> None:
    page = (installed.root / "reports" / "index.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert re.findall(r"""<(?:script|link|img)[^>]+(?:src|href)=["']https?:""", page) == []


def test_a_second_run_changes_nothing(installed: Installed) -> None:
    before = installed.facts("metrics")
    assert installed.make("run").count("unchanged") == 6
    assert installed.facts("metrics") == before


def test_format_style_and_types_are_clean(installed: Installed) -> None:
    """Also with a test of the team's, from which no types are asked."""
    mine = installed.root / "tests" / "test_mine.py"
    mine.write_text("def test_mine(tmp_path):\n    assert tmp_path.exists()\n", encoding="utf-8")
    assert "Success: no issues found" in installed.make("lint")


def test_its_own_tests_pass(installed: Installed) -> None:
    closing = installed.make("test").splitlines()[-1]
    assert re.search(r"[1-9]\d* passed", closing), closing
    assert not re.search(r"failed|error", closing), closing


def test_the_pipeline_check_passes(installed: Installed) -> None:
    assert re.search(r"1 passed", installed.make("check").splitlines()[-1])


def test_it_knows_its_template(installed: Installed) -> None:
    printed = installed.make("template-status")
    assert re.search(r"^Version +[0-9a-f]{10}, the newest commit", printed, re.MULTILINE)


def test_git_sees_what_has_to_travel_and_no_data(installed: Installed) -> None:
    if not (installed.root / ".git").exists():
        checked(["git", "init", "--quiet"], installed.root)
    text = checked(["git", "status", "--porcelain", "--untracked-files=all"], installed.root)
    changed = {line[3:] for line in text.splitlines()}
    assert {"data/schema.yaml", "data/manifest.json", "reports/metrics.json"} <= changed
    assert {"logs/runs.jsonl", "reports/test_ledger.jsonl", "models/champion.json"} <= changed
    assert [p for p in changed if re.search(r"\.(parquet|skops|onnx|log|html)$|^\.venv", p)] == []
