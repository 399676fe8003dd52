"""The worked examples of `custom.py` are right as they stand once their `#` is gone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from answers import SKELETON
from baking import BakedProject
from uncomment import examples, uncommented

TEXT = next(SKELETON.glob("src/*/custom.py")).read_text(encoding="utf-8")
EXAMPLES = examples(TEXT)
ONE_BY_ONE = [[each] for each in EXAMPLES]


@pytest.fixture(name="project", scope="module")
def project_fixture(
    bake_into: Callable[..., BakedProject], tmp_path_factory: pytest.TempPathFactory
) -> BakedProject:
    """A project whose custom.py is edited here."""
    return bake_into(tmp_path_factory.mktemp("examples"))


def found_by(project: BakedProject, tool: str, *arguments: str) -> str:
    """What a tool of the project finds in custom.py."""
    done = subprocess.run(
        [sys.executable, "-m", tool, *arguments, f"src/{project.package}/custom.py"],
        cwd=project.root,
        capture_output=True,
        encoding="utf-8",
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def put(project: BakedProject, wanted: list[tuple[int, int]]) -> None:
    """Write custom.py with these examples as code."""
    path = project.root / "src" / project.package / "custom.py"
    path.write_text(uncommented(TEXT, *wanted), encoding="utf-8", newline="\n")


def test_there_is_an_example_of_each_part() -> None:
    shown = uncommented(TEXT, *EXAMPLES)
    for name in ("TRANSFORMERS", "ESTIMATORS", "METRICS", "SOURCES"):
        assert f'\n{name}["' in shown
    assert "\ndef decide(" in shown
    assert len(EXAMPLES) == 7


@pytest.mark.parametrize("wanted", [*ONE_BY_ONE, EXAMPLES], ids=str)
def test_black_and_ruff_find_nothing(project: BakedProject, wanted: list[tuple[int, int]]) -> None:
    put(project, wanted)
    assert found_by(project, "black", "--check", "--quiet", "--diff") == ""
    assert found_by(project, "ruff", "check", "--no-cache", "--output-format=concise") == ""


def test_mypy_finds_nothing(project: BakedProject, tmp_path: Path) -> None:
    for wanted in (EXAMPLES, *ONE_BY_ONE):
        put(project, wanted)
        assert found_by(project, "mypy", "--cache-dir", str(tmp_path)) == ""


OWN_CLASS = '''

class AboveMean(TransformerMixin, BaseEstimator):
    """Which numbers are above train's mean, times a weight."""

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def fit(self, inputs: pd.DataFrame, target: Any = None) -> AboveMean:
        """Take the means."""
        self.means_ = inputs.mean().to_numpy()
        return self

    def transform(self, inputs: pd.DataFrame) -> Any:
        """Compare with the means."""
        return self.weight * (inputs.to_numpy() > self.means_)


def above_mean(inputs: pd.DataFrame, kind: str, seed: int) -> tuple[Any, list[str]]:
    """Numbers above their mean."""
    return AboveMean(), [name for name in inputs.columns if inputs[name].dtype == float]


TRANSFORMERS["above_mean"] = above_mean
'''


def test_a_transformer_of_a_class_of_ones_own_passes_lint_and_types(
    project: BakedProject, tmp_path: Path
) -> None:
    path = project.root / "src" / project.package / "custom.py"
    head = "from typing import TYPE_CHECKING, Any\n"
    imported = f"{head}\nfrom sklearn.base import BaseEstimator, TransformerMixin\n"
    text = TEXT.replace(head, imported, 1) + OWN_CLASS
    path.write_text(text, encoding="utf-8", newline="\n")
    assert found_by(project, "black", "--check", "--quiet", "--diff") == ""
    assert found_by(project, "ruff", "check", "--no-cache", "--output-format=concise") == ""
    assert found_by(project, "mypy", "--cache-dir", str(tmp_path)) == ""
