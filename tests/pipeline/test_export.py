"""`champion export` and `serve --check`: what goes into an image, verified before it does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asking import make_model, promote_copy
from mlproj.bundle import champion
from mlproj.core.errors import UserError
from mlproj.core.files import read_json, write_json

SAMPLE = {"source": "sample:300", "id": "customer_id", "target": "churned"}


@pytest.fixture(scope="module")
def made(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with a champion, a challenger, a shadow, and a bundle that is not in service."""
    folder = tmp_path_factory.mktemp("exported")
    project = make_project(folder, data=SAMPLE, model={"candidates": "linear", "folds": 0})
    run_id = make_model(project)
    champion.release(project, run_id, "promote")
    for copy, weight in (("0badbeef", 0.1), ("0badcafe", 0.0), ("0badfeed", None)):
        promote_copy(project, run_id, copy)
        if weight is not None:
            champion.challenge(project, copy, weight)
    return project


@pytest.fixture
def project(made: Any, tmp_path: Path) -> Any:
    """A copy of that project."""
    shutil.copytree(made.root, tmp_path / "project")
    return type(made)(tmp_path / "project")


def test_it_copies_what_is_in_service_and_nothing_else(project: Any, tmp_path: Path) -> None:
    first = str(champion.read_champion(project)["run_id"])
    folder = tmp_path / "release" / "models"
    assert champion.export(project, folder) == [first, "0badbeef", "0badcafe"]
    assert {path.name for path in folder.iterdir()} == {
        first,
        "0badbeef",
        "0badcafe",
        "champion.json",
    }
    assert (project.bundle_folder(first) / "reports.json").exists()
    assert list(folder.rglob("reports.json")) == []
    copy = type(project)(folder.parent)
    assert champion.verify_champion(copy) == first
    assert read_json(copy.champion_file) == read_json(project.champion_file)
    for path in folder.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (project.models / path.relative_to(folder)).read_bytes()


def test_it_fills_an_empty_folder_and_no_other(project: Any, tmp_path: Path) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    # What a kill leaves does not count.
    (folder / ".partial-export" / "models").mkdir(parents=True)
    champion.export(project, folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(UserError, match="is not empty"):
        champion.export(project, folder)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match="is not empty"):
        champion.export(project, tmp_path / "file")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("what", ["champion", "challenger", "no model", "gone"])
def test_what_is_not_as_it_was_promoted_is_refused_and_nothing_is_left(
    project: Any, tmp_path: Path, what: str
) -> None:
    first = str(champion.read_champion(project)["run_id"])
    if what == "no model":
        project.champion_file.unlink()
    elif what == "gone":
        shutil.rmtree(project.models / "0badcafe")
    else:
        model = project.models / {"champion": first, "challenger": "0badbeef"}[what] / "model.onnx"
        model.write_bytes(model.read_bytes()[:-1])
    folder = tmp_path / "release"
    with pytest.raises(UserError):
        champion.export(project, folder)
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_copy_that_fails_half_way_leaves_nothing(
    project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path, **_: Any) -> None:
        target.mkdir(parents=True)
        if "0badbeef" in str(target):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(champion.shutil, "copytree", full)
    with pytest.raises(OSError, match="No space"):
        champion.export(project, tmp_path / "release")
    assert list((tmp_path / "release").iterdir()) == []


def call(project: Any, environment: dict[str, str], *words: str) -> tuple[int, str]:
    """Run the command line, and return its exit code and all that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "mlproj", *words],
        cwd=project.root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    return done.returncode, done.stdout.strip()


def test_the_commands_say_in_a_sentence_what_they_did(
    project: Any, package_environment: dict[str, str], tmp_path: Path
) -> None:
    first = str(champion.read_champion(project)["run_id"])
    listed = f"{first}, 0badbeef, 0badcafe"
    folder = str(tmp_path / "release")
    code, said = call(project, package_environment, "champion", "export", folder)
    assert (code, said) == (0, f"{listed}: copied to {folder}")
    code, said = call(project, package_environment, "champion", "export", folder)
    assert (code, said) == (2, f"Error: {folder} is not empty; name a folder that is new or empty.")
    code, said = call(project, package_environment, "serve", "--check")
    assert (code, said) == (0, f"{listed}: can be served here")


def test_a_model_that_cannot_be_served_here_is_named(
    project: Any, package_environment: dict[str, str], tmp_path: Path
) -> None:
    """As in an image without the packages of training: here skops is hidden."""
    run_id = "0badbeef"
    facts = project.models / run_id / "onnx.json"
    write_json(facts, {**read_json(facts), "equal": False})
    champion.challenge(project, run_id, 0.1)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "skops.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'skops'\")\n", encoding="utf-8"
    )
    paths = f"{hidden}:{package_environment['PYTHONPATH']}"
    code, said = call(project, {**package_environment, "PYTHONPATH": paths}, "serve", "--check")
    assert code == 2
    assert said.startswith(f"Error: {run_id} cannot be served here (ModuleNotFoundError: No module")
    assert len(said.splitlines()) == 1
