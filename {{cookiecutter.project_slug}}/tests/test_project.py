"""The project as a whole: its command line, its settings, its documents, its notebooks."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
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


class LocalKernelManager(AsyncKernelManager):
    """Talks to its kernel through files where that is possible: no port, and no network needed."""

    def __init__(self, **options: Any) -> None:
        if os.name != "nt":
            self.folder = TemporaryDirectory(prefix="kernel-")
            options |= {"transport": "ipc", "ip": f"{self.folder.name}/socket"}
        super().__init__(**options)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(
    path: Path, sample_project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    folder = sample_project.root / "notebooks"
    folder.mkdir(exist_ok=True)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=120,
        kernel_manager_class=LocalKernelManager,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert code[-1].outputs, "the last cell shows nothing"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_without_outputs(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert [cell.id for cell in cells if cell.get("outputs")] == []
