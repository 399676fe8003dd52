"""Packages of a few lines, and the package itself, whose code is followed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from mlproj.core import code_fingerprint as code

Write = Callable[[Mapping[str, str]], Path]


@pytest.fixture(name="write")
def write_fixture(tmp_path: Path) -> Write:
    """``write({"train.py": "..."})`` writes files below ``src/own`` and returns that package."""
    package = tmp_path / "src" / "own"

    def write(files: Mapping[str, str]) -> Path:
        for name, text in {"__init__.py": "", **files}.items():
            path = package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return package

    return write


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the skeleton's package that a test may change."""
    folder = tmp_path_factory.mktemp("real") / "src" / "mlproj"
    return Path(shutil.copytree(code.PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__")))
