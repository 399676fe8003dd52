"""A small project with a column of every type, split by each rule, ready to be trained in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlproj import train
from mlproj.core.config import load_settings
from mlproj.core.project import Project
from mlproj.ingest import ingest
from mlproj.preprocess import preprocess
from trained import TARGETS, copy_of, table


@pytest.fixture(scope="session")
def ready(
    make_project: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Project]:
    """Return a function that gives a split project for a target and a rule, made once each."""
    made: dict[tuple[str, str], Project] = {}

    def get(target: str = "two", rule: str = "auto") -> Project:
        if (target, rule) not in made:
            folder = tmp_path_factory.mktemp("ready")
            ignored = [name for name in TARGETS if name != target]
            roles = {"group": {"group": "store"}, "time": {"time": "since"}}.get(rule, {})
            table().to_csv(folder / "t.csv", index=False)
            project = make_project(
                folder,
                data={"source": "t.csv", "target": target, "ignore": ignored, **roles},
                split={"rule": rule},
                model={"task": TARGETS[target], "candidates": "linear, hgb", "folds": 2},
                params={"forest.n_estimators": 20, "hgb.max_iter": 20},
            )
            settings = load_settings(project)
            ingest(project, settings)
            preprocess(project, settings)
            made[target, rule] = project
        return made[target, rule]

    return get


@pytest.fixture
def project(ready: Callable[..., Project], tmp_path: Path) -> Project:
    """Return a copy of the split project with two classes, to train in."""
    return copy_of(ready(), tmp_path / "project")


@pytest.fixture(scope="module")
def material(ready: Callable[..., Project]) -> train.TrainingData:
    """Return the prepared rows of the project with two classes."""
    return train.load_training_data(ready(), load_settings(ready()))
