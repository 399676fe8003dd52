"""What the tests of the checklist's commands share: a small project, and the commands in it."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from few_items import DATA, MODEL, NOTES, OWN, Run, answer, measure


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a project with data and a model, as far as the checklist looks at them."""
    folder = tmp_path / "project"
    texts = {
        "conf.cfg": "[data]\nsource = table.csv\ntarget = y\n",
        "README.md": "Begin here.\n",
        "docs/notes.md": NOTES,
        "checklist/own.yaml": OWN,
        "data/manifest.json": json.dumps({"fingerprint": DATA}),
        "models/champion.json": json.dumps({"run_id": MODEL, "sha256": "0" * 64}),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    answer(folder, stage="poc")
    measure(folder)
    return folder


@pytest.fixture
def every(
    package: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[Path], Run]:
    """Return a function that gives the command line in a folder, run in this process."""
    from mlproj.cli import main

    def at(root: Path) -> Run:
        def run(*arguments: str) -> tuple[int, str, str]:
            monkeypatch.chdir(root)
            monkeypatch.setattr(sys, "argv", ["mlproj", "checklist", *arguments])
            capfd.readouterr()
            with pytest.raises(SystemExit) as stop:
                main()
            code = stop.value.code
            return (code if isinstance(code, int) else 0), *capfd.readouterr()

        return run

    return at


@pytest.fixture
def run(root: Path, every: Callable[[Path], Run], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the command line of a project whose checklist is the team's file alone."""
    importlib.import_module("mlproj.checklist.verify")  # which keeps the names of all areas
    monkeypatch.setattr(importlib.import_module("mlproj.checklist.catalogue"), "AREAS", ())
    return every(root)
