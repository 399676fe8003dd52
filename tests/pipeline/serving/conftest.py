"""What the tests of the service share: projects with a model in service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import Asked, as_rows, make_model
from mlproj.bundle import champion
from mlproj.data.split import load_split
from served import PROJECTS, copy_of


def package(make_project: Any, folder: Path, kind: str) -> Any:
    """Return a project with a packaged model in service."""
    sections = {name: dict(values) for name, values in PROJECTS[kind].items()}
    sections["model"] |= {"folds": 0}
    project = make_project(folder, **sections, params={"forest.n_estimators": 20})
    run_id = make_model(project)
    champion.release(project, run_id, "promote")
    return project


@pytest.fixture(scope="session")
def made(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Projects, made once each when they are asked for."""

    class Made(dict[str, Any]):
        def __missing__(self, kind: str) -> Any:
            self[kind] = package(make_project, tmp_path_factory.mktemp(kind), kind)
            return self[kind]

    return Made()


@pytest.fixture
def project(made: dict[str, Any], tmp_path: Path) -> Any:
    """A copy of the binary project."""
    return copy_of(made["binary"], tmp_path / "project")


@pytest.fixture(scope="module")
def asked(made: dict[str, Any]) -> Iterator[Asked]:
    """The binary project's service."""
    with Asked(made["binary"]).running() as asked:
        yield asked


@pytest.fixture(scope="session")
def rows(made: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows that the binary model was not fitted on."""
    bundle = champion.load_champion(made["binary"])
    return as_rows(bundle, load_split(made["binary"], "test").head(20))
