"""The project as a whole: its command line, its settings, its documents."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("ingest", "preprocess", "train", "postprocess", "evaluate", "report", "predict", "run")


def start(command: list[str], *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder and return what it said."""
    return subprocess.run(
        [*command, *words], cwd=folder, capture_output=True, text=True, encoding="utf-8"
    )


def test_help_names_every_stage(command: list[str]) -> None:
    result = start(command, "--help", folder=ROOT)
    assert result.returncode == 0, result.stderr
    assert [name for name in COMMANDS if name not in result.stdout] == []


def test_own_settings_are_valid(command: list[str]) -> None:
    result = start(command, "config", "show", folder=ROOT)
    assert result.returncode == 0, result.stderr
    assert "[data]" in result.stdout


def test_wrong_setting_is_one_sentence(command: list[str], fresh_project: Any) -> None:
    result = start(command, "ingest", "--set", "split.rule=odd", folder=fresh_project.root)
    assert result.returncode == 2
    assert re.search(r"\[split\] rule = odd", result.stderr)
    assert "Traceback" not in result.stderr


def test_pipeline_runs_from_the_command_line(command: list[str], fresh_project: Any) -> None:
    result = start(command, "run", folder=fresh_project.root)
    assert result.returncode == 0, result.stdout + result.stderr
    facts = json.loads((fresh_project.reports / "metrics.json").read_text("utf-8"))["facts"]
    assert facts["passed"]
    assert facts["skill"] > facts["margin"]
    assert json.loads(fresh_project.champion_file.read_text("utf-8"))["run_id"]
    assert (fresh_project.reports / "index.html").stat().st_size > 10_000


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/*.md")), ids=lambda path: path.stem)
def test_document_has_one_title_and_no_section_twice(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    sections = [line for line in lines if line.startswith("## ")]
    assert sum(line.startswith("# ") for line in lines) == 1
    assert sections
    assert len(sections) == len(set(sections))
