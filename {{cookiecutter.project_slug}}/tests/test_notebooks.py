"""Every notebook runs from top to bottom, in a project that has run."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

NOTEBOOKS = sorted(Path(__file__).resolve().parents[1].joinpath("notebooks").glob("*.ipynb"))


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
