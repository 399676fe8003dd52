"""What the tests of monitoring share: rows, and a project with a model of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlproj.bundle import champion
from mlproj.data.sample import sample_table
from watching import train


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    """Rows in random order: any piece is distributed as any other, whatever the generator drew."""
    table = sample_table(60_000, seed=11).drop(columns=["customer_id", "signup"])
    mixed: pd.DataFrame = table.sample(frac=1, random_state=0).reset_index(drop=True)
    return mixed


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, make_project: Any, rows: Any) -> Any:
    """A project with a champion, made from the first 4,000 rows; leave it unchanged."""
    return train(make_project, tmp_path_factory.mktemp("monitor"), rows[:4000])


@pytest.fixture
def project(trained: Any, tmp_path: Path) -> Any:
    """Return a copy of that project."""
    shutil.copytree(trained.root, tmp_path / "project")
    return type(trained)(tmp_path / "project")


@pytest.fixture(scope="session")
def model(trained: Any) -> Any:
    """Return its champion."""
    return champion.load_champion(trained)
