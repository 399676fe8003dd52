"""Two small projects that the tests share: one where everything has run, one where nothing has."""

import configparser
import sys
from pathlib import Path

import pytest

from {{ cookiecutter.__package }}.core.config import (
    ModelSettings,
    load_settings,
)
from {{ cookiecutter.__package }}.core.pipeline import run
from {{ cookiecutter.__package }}.core.project import Project

ROOT = Path(__file__).resolve().parents[1]
TARGETS = {"classification": "churned", "regression": "spend"}

# Small enough for seconds, large enough that a model beats the baseline.
SAMPLE = """\
[data]
source = sample:2000
target = {target}
id = customer_id
sensitive = gender

[model]
task = {task}
candidates = linear, forest
folds = 3

[params]
forest.n_estimators = 30
forest.min_samples_leaf = 5

[evaluate]
bootstrap = 100
"""


def model_of_this_repository() -> ModelSettings:
    """Return the task and the candidates that the repository's own `conf.cfg` names."""
    settings = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=("#",))
    settings.read(ROOT / "conf.cfg", encoding="utf-8")
    given = {key: settings.get("model", key, fallback="") for key in ("task", "candidates")}
    return ModelSettings.model_validate({key: value for key, value in given.items() if value})


def new_project(root: Path) -> Project:
    """Write a `conf.cfg` for the seeded sample table into `root` and return the project."""
    root.mkdir(parents=True, exist_ok=True)
    task = model_of_this_repository().task
    text = SAMPLE.format(task=task, target=TARGETS[task])
    (root / "conf.cfg").write_text(text, encoding="utf-8", newline="\n")
    return Project(root)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a `candidate` once for each that `[model] candidates` names."""
    if "candidate" in metafunc.fixturenames:
        metafunc.parametrize("candidate", model_of_this_repository().candidates)


@pytest.fixture(scope="session")
def command() -> list[str]:
    """Return the command line's first words, for tests that start a process."""
    return [sys.executable, "-m", "{{ cookiecutter.__package }}"]


@pytest.fixture
def fresh_project(tmp_path: Path) -> Project:
    """Return a project on 2,000 sample rows in which nothing has run."""
    return new_project(tmp_path / "fresh")


@pytest.fixture(scope="session")
def sample_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project on 2,000 sample rows in which every stage has run; leave it as it is."""
    project = new_project(tmp_path_factory.mktemp("sample") / "project")
    run(project, load_settings(project))
    return project
