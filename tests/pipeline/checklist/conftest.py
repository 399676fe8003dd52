"""What the tests of the checklist's commands share: a small project, and the commands in it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from few_items import Run, make_root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a project with data and a model, as far as the checklist looks at them."""
    return make_root(tmp_path)


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
def run_in(every: Callable[[Path], Run], monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Run]:
    """Return as `every` does, but the checklist is the team's file alone."""
    importlib.import_module("mlproj.checklist.verify")  # which keeps the names of all areas
    monkeypatch.setattr(importlib.import_module("mlproj.checklist.catalogue"), "AREAS", ())
    return every


@pytest.fixture
def run(root: Path, run_in: Callable[[Path], Run]) -> Run:
    """Return the command line of a project whose checklist is the team's file alone."""
    return run_in(root)
