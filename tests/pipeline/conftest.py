"""Import the skeleton's package as ``mlproj`` and make small projects for it.

The package holds no Jinja, so its tests need no bake: a copy under a legal name is enough.
"""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TEMPLATE = Path(__file__).resolve().parents[2]
PACKAGE = TEMPLATE / "{{cookiecutter.project_slug}}" / "src" / "{{cookiecutter.__package}}"


def copy_package() -> Path:
    """Copy the package to ``<temporary folder>/src/mlproj`` and return ``src``."""
    scratch = Path(tempfile.mkdtemp(prefix="mlproj-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    shutil.copytree(
        PACKAGE, scratch / "src" / "mlproj", ignore=shutil.ignore_patterns("__pycache__")
    )
    return scratch / "src"


# Done when this file is loaded, before the test modules beside it are: they import at their top.
SOURCE = copy_package()
sys.path.insert(0, str(SOURCE))


def conf_text(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Write sections as an INI file; tuples and lists become comma-separated values."""
    lines: list[str] = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        for key, value in values.items():
            text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            lines.append(f"{key} = {text}")
        lines.append("")
    return "\n".join(lines)


@pytest.fixture(scope="session")
def package() -> ModuleType:
    """The skeleton's package, imported as ``mlproj``."""
    return importlib.import_module("mlproj")


@pytest.fixture(scope="session")
def package_environment() -> dict[str, str]:
    """Environment variables with which ``python -m mlproj`` runs in a process of its own."""
    # Byte code may be written: compiling the package takes longer than most of its commands.
    return {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": ""}


@pytest.fixture(name="make_project", scope="session")
def make_project_fixture() -> Callable[..., Any]:
    """``make_project(folder, data={"source": ...}, split={...})``: see `make_project`."""
    return make_project


def make_project(folder: Path, **sections: Mapping[str, Any]) -> Any:
    """Write ``folder/conf.cfg`` with one section per keyword and return its `Project`.

    ``make_project(tmp_path, data={"source": "t.csv", "target": "y"}, split={"seed": 7})``
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "conf.cfg").write_text(conf_text(sections), encoding="utf-8", newline="\n")
    return importlib.import_module("mlproj.core.project").Project(folder)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a browser, or skip."""
    from browser import BROWSER, Browser

    if BROWSER is None:
        pytest.skip("chromium is not installed")
    found = Browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.close()
