"""What the tests of updating share: a template with releases, and a project of its first."""

from __future__ import annotations

from pathlib import Path

import pytest
from living import (
    Checkout,
    Project,
    Upstream,
    copy_of,
    create,
    make_upstream,
)


@pytest.fixture(scope="session")
def upstream(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    return make_upstream(template, tmp_path_factory.mktemp("upstream") / "template.git")


@pytest.fixture(scope="session")
def born(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """``born(version="v1.0.0", ci="none")``: one project per set of answers, left as it is."""
    made: dict[tuple[str, ...], Checkout] = {}

    def maker(version: str = "v1.0.0", **answers: str) -> Checkout:
        given = [f"{prompt}={value}" for prompt, value in answers.items()]
        key = (version, *sorted(given))
        if key not in made:
            folder = tmp_path_factory.mktemp("born")
            made[key] = create(upstream.address, folder, *given, version=version)
        return made[key]

    return maker


@pytest.fixture
def project(born: Project, tmp_path: Path) -> Project:
    """A project of the test's own."""

    def maker(version: str = "v1.0.0", **answers: str) -> Checkout:
        original = born(version, **answers)
        return copy_of(original, tmp_path / original.root.name)

    return maker
