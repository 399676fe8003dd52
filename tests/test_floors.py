"""The package's parts import downwards and never in a circle, and whatever breaks that is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from baking import BakedProject
from floors import hold_to_floors

Bake = Callable[..., BakedProject]

FULL = {
    "stage": "production",
    "platform": "kubernetes",
    "serving": "rest",
    "monitoring": "yes",
    "boosters": "yes",
}


@pytest.mark.parametrize(
    "answers", [{}, {"checklist": "no"}, FULL], ids=["default", "less", "full"]
)
def test_a_project_keeps_to_its_floors(bake: Bake, answers: dict[str, str]) -> None:
    code, text = hold_to_floors(bake(**answers).root)
    assert (code, "4 kept, 0 broken" in text) == (0, True), text


# What is planted: at the end of which file, which line, and the import that has to be named.
# Inside a function, all of them: a lazy import is an import.
PLANTED = {
    "upwards": ("core/files.py", "from .. import train", "core.files -> ml_project.train"),
    "upwards into a module": (
        *("reporting/html.py", "from ..serving.page import page"),
        "reporting.html -> ml_project.serving.page",
    ),
    "sideways": ("data/keys.py", "from ..tracking import runs", "data.keys -> ml_project.tracking"),
    "in a circle of files": ("data/schema.py", "from . import cast", "data.schema -> "),
    "in a circle with the folder's own file": (
        *("models/__init__.py", "from .classic import linear"),
        "models -> ml_project.models.classic",
    ),
    "in a circle of stages": ("train.py", "from . import train", "train -> ml_project.train"),
    "the team's part": (
        *("models/features.py", "from .. import custom"),
        "models.features -> ml_project.custom",
    ),
    "the team's part by a name": (
        *("cli.py", "from .custom import clean"),
        "cli -> ml_project.custom",
    ),
}


def plant(project: BakedProject, folder: Path, path: str, line: str) -> tuple[Path, int]:
    """Copy a project's package with one more line in one file; return its root and the line."""
    shutil.copytree(project.root / "src", folder / "src")
    file = folder / "src" / project.package / path
    text = file.read_text(encoding="utf-8") if file.exists() else '"""Planted."""\n'
    text += f"\n\ndef planted() -> None:\n    {line}\n"
    file.write_text(text, encoding="utf-8")
    return folder, len(text.splitlines())


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_import_is_named_with_its_line(bake: Bake, tmp_path: Path, case: str) -> None:
    path, line, named = PLANTED[case]
    root, number = plant(bake(**FULL), tmp_path, path, line)
    code, text = hold_to_floors(root)
    assert code == 1
    found = [each for each in text.splitlines() if f"- ml_project.{named}" in each]
    assert any(f"l.{number})" in each for each in found), text


def test_an_import_for_types_alone_may_go_upwards(bake: Bake, tmp_path: Path) -> None:
    line = "from typing import TYPE_CHECKING\n\n    if TYPE_CHECKING:\n        from .. import train"
    root, _ = plant(bake(**FULL), tmp_path, "core/files.py", line)
    code, text = hold_to_floors(root)
    assert code == 0, text


def test_a_new_file_has_to_be_given_its_floor(bake: Bake, tmp_path: Path) -> None:
    root, _ = plant(bake(), tmp_path, "utils.py", "from .core import files")
    code, text = hold_to_floors(root)
    assert (code, "- ml_project.utils" in text) == (1, True), text
