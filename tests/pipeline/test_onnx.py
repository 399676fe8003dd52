"""ONNX beside the bundle: only where the project serves, added later, verified, the same bytes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from answers import MODULES
from asking import promote_copy
from mlproj.bundle import champion
from mlproj.bundle.bundle import load_bundle, read_bundle, read_document
from mlproj.bundle.card import TO_FILL
from mlproj.bundle.onnx.form import FOREIGN, MISSING, read_onnx
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.files import file_sha256, read_json, write_json
from mlproj.core.pipeline import require, run
from mlproj.data.split import load_split
from mlproj.postprocess import postprocess
from mlproj.serving.rows import Rules
from mlproj.serving.scoring import load_model

DATA = {"source": "sample:600", "target": "churned", "id": "customer_id"}
PACKAGES = ("onnx", "onnxruntime", "skl2onnx")
ONNX = {"model.onnx", "onnx.json"}


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of each file of a folder, without what is about valid."""
    files = {path.name: path for path in folder.iterdir() if path.is_file()}
    about = ("predictions.csv", "reports.json")
    return {name: path.read_bytes() for name, path in files.items() if name not in about}


def promoted(project: Any) -> str:
    """Return the run id of the model in service."""
    return str(read_json(project.champion_file)["run_id"])


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory, package: Any) -> Path:
    """The package of a project that scores batches, where the packages of ONNX are missing."""
    source = tmp_path_factory.mktemp("batch")
    shutil.copytree(Path(package.__file__).parent, source / "mlproj")
    for path in MODULES["serving=rest"]:
        if path.startswith("src/{package}/"):
            gone = source / "mlproj" / path.removeprefix("src/{package}/")
            shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    for name in PACKAGES:
        (source / f"{name}.py").write_text(f'raise ModuleNotFoundError("{name}", name="{name}")\n')
    return source


@pytest.fixture(scope="module")
def scored(
    without: Path,
    tmp_path_factory: pytest.TempPathFactory,
    make_project: Callable[..., Any],
    package_environment: dict[str, str],
) -> Any:
    """A project that scores batches: a model in service, and a later one that is not."""
    project = make_project(
        tmp_path_factory.mktemp("scored"),
        data=DATA,
        model={"candidates": "linear", "folds": 0},
        evaluate={"bootstrap": 10, "margin": 0},
    )
    for costs in ("", "\n[decision]\ncost_fn = 5\n"):
        with (project.root / "conf.cfg").open("a", encoding="utf-8") as file:
            file.write(costs)
        done = subprocess.run(
            [sys.executable, "-m", "mlproj", "run", "--until", "evaluate"],
            cwd=project.root,
            env={**package_environment, "PYTHONPATH": str(without)},
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "onnx" not in (done.stdout + done.stderr).lower()
    assert promoted(project) != require(project, "postprocess").run_id
    return project


@pytest.fixture
def project(scored: Any, tmp_path: Path) -> Any:
    """A copy of that project."""
    shutil.copytree(scored.root, tmp_path / "project")
    return type(scored)(tmp_path / "project")


@pytest.fixture(scope="module")
def switched(scored: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[str]]:
    """A copy of that project after `set serving=rest` and `run`, and what was said."""
    copy = type(scored)(tmp_path_factory.mktemp("switched") / "project")
    shutil.copytree(scored.root, copy.root)
    card = copy.bundle_folder(promoted(copy)) / "card.md"
    text = card.read_text(encoding="utf-8").replace(TO_FILL, "For the call centre.\n- ONNX: ours.")
    card.write_text(text, encoding="utf-8")
    said: list[str] = []
    run(copy, load_settings(copy), until="postprocess", say=said.append)
    return copy, said


# ------------------------------------------------------------------------------- off, then on


def test_a_project_that_scores_batches_makes_no_onnx(scored: Any) -> None:
    report = require(scored, "postprocess")
    assert report.facts["onnx"] == {"equal": False, "reason": "not installed"}
    for run_id in (promoted(scored), report.run_id):
        folder = scored.bundle_folder(run_id)
        assert set(contents(folder)) == {"bundle.json", "card.md", "model.skops", "reference.json"}
        for name in ("bundle.json", "card.md", "reference.json"):
            assert "onnx" not in (folder / name).read_text(encoding="utf-8").lower()


def test_switched_on_it_is_made_for_run_and_champion_without_training(
    scored: Any, switched: tuple[Any, list[str]]
) -> None:
    project, said = switched
    before = {line.split()[0]: line.split()[1] for line in said}
    assert {name for name, word in before.items() if word == "unchanged"} == {
        *("ingest", "preprocess", "train")
    }
    assert said[-1].startswith("postprocess ") and ", with ONNX (" in said[-1]
    report = require(project, "postprocess")
    assert report.run_id == require(scored, "postprocess").run_id
    assert report.model == require(scored, "postprocess").model
    for run_id in (promoted(scored), report.run_id):
        old, new = (contents(each.bundle_folder(run_id)) for each in (scored, project))
        assert set(new) - set(old) == ONNX
        for name in set(old) - {"card.md"}:
            assert new[name] == old[name], name
        assert b"\n- ONNX: model.onnx predicts the same on " in new["card.md"]
        facts = json.loads(new["onnx.json"])
        assert facts["equal"] and facts["rows"] > 100
        assert facts["max_abs_diff"] <= facts["tolerance"]
        assert facts["bundle"] == file_sha256(project.bundle_folder(run_id) / "bundle.json")
        assert facts["sha256"] == file_sha256(project.bundle_folder(run_id) / "model.onnx")
        assert set(facts["versions"]) == set(PACKAGES)
    assert project.champion_file.read_bytes() == scored.champion_file.read_bytes()
    made = project.bundle_folder(report.run_id)
    assert report.facts["onnx"] == read_json(made / "onnx.json")
    assert {Path(path).name for path in report.facts["files"]} >= ONNX


def test_both_then_serve_by_onnx_and_predict_as_before(switched: tuple[Any, list[str]]) -> None:
    project, _ = switched
    rows = load_split(project, "valid")
    for run_id in (promoted(project), str(require(project, "postprocess").run_id)):
        model = load_model(project, run_id, None, Rules(True, "refuse", 1000))
        assert model.onnx
        bundle = load_bundle(project, run_id)
        typed = bundle.conform(rows, strict=False)
        features = typed[[column.name for column in bundle.schema.features]]
        plain = features.astype(object).where(features.notna(), None)
        found = model._engine.scores(model.table([tuple(row) for row in plain.to_numpy()]))
        assert np.abs(found - bundle.score(typed)).max() < 1e-5


def test_the_card_of_the_champion_says_so_and_keeps_what_people_wrote(
    scored: Any, switched: tuple[Any, list[str]]
) -> None:
    project, _ = switched
    run_id = promoted(project)
    old, new = (
        (each.bundle_folder(run_id) / "card.md").read_text(encoding="utf-8").splitlines()
        for each in (scored, project)
    )
    added = [line for line in new if line not in old]
    assert added[:2] == ["For the call centre.", "- ONNX: ours."]
    assert len(added) == 3 and added[2].startswith("- ONNX: model.onnx predicts the same on ")
    at = new.index(added[2])
    assert new[at - 1].startswith("- It finds associations, not causes")
    assert new[at + 1 : at + 3] == ["", "## How to load it"]
    assert champion.describe(project)["ONNX"] == "equal to scikit-learn"


def test_what_is_in_service_is_exported_with_it(
    switched: tuple[Any, list[str]], tmp_path: Path
) -> None:
    project, _ = switched
    (run_id,) = champion.export(project, tmp_path / "release")
    assert contents(tmp_path / "release" / run_id) == contents(project.bundle_folder(run_id))


def test_a_champion_that_valid_does_not_fit_stops_nothing(
    project: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as one for another source, which stays in service until somebody decides."""
    first = promoted(project)
    path = project.bundle_folder(first) / "bundle.json"
    document = read_json(path)
    for column in document["schema"]["columns"]:
        column["name"] += "_before"
    write_json(path, {**document, "target": "churned_before"})
    champion.release(project, first, "promote")
    facts = postprocess(project, load_settings(project)).facts
    assert facts["onnx"]["equal"]
    assert f"Warning: {first}, in service, gets no ONNX form: " in capsys.readouterr().err
    assert champion.describe(project)["ONNX"] == f"none: {MISSING}"


def test_without_its_packages_the_stage_says_what_to_do(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(project.root / "reports")
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(UserError, match="An ONNX form needs skl2onnx, which is not installed; run"):
        postprocess(project, load_settings(project))
    assert contents(project.root / "reports") == before


# ------------------------------------------------------------------------------- verified


@pytest.fixture
def whole(switched: tuple[Any, list[str]], tmp_path: Path) -> Any:
    """A copy of the project in which both models have their ONNX form."""
    project, _ = switched
    shutil.copytree(project.root, tmp_path / "whole")
    return type(project)(tmp_path / "whole")


def test_a_damaged_file_is_refused_and_made_again(whole: Any) -> None:
    """In service or not, and the bundle keeps its name."""
    for run_id in (promoted(whole), str(require(whole, "postprocess").run_id)):
        folder = whole.bundle_folder(run_id)
        before = contents(folder)
        (folder / "model.onnx").write_bytes(before["model.onnx"][:-1] + b"!")
        with pytest.raises(UserError, match=r"model\.onnx has changed since it was made; bring"):
            read_bundle(whole, run_id)
        (folder / "onnx.json").unlink()
        assert read_onnx(folder, read_document(whole, run_id))["reason"] == MISSING
        run(whole, load_settings(whole), until="postprocess", say=lambda _: None)
        if run_id == promoted(whole):  # whose files do not make the stage due
            postprocess(whole, load_settings(whole))
        assert contents(folder) == before
        assert require(whole, "postprocess").run_id != promoted(whole)


def test_packaging_again_mends_it_and_keeps_the_name_of_what_is_in_service(whole: Any) -> None:
    run_id = promoted(whole)
    before = contents(whole.bundle_folder(run_id))
    (whole.bundle_folder(run_id) / "model.onnx").write_bytes(b"cut off")
    settings = load_settings(whole, ["decision.cost_fn=1"])  # as when it was packaged
    assert postprocess(whole, settings).run_id == run_id
    assert contents(whole.bundle_folder(run_id)) == before


def test_facts_about_another_bundle_are_not_used(whole: Any) -> None:
    run_id = promoted(whole)
    copy = promote_copy(whole, run_id, "0badcafe", threshold=0.9)
    shutil.copy(whole.bundle_folder(run_id) / "onnx.json", whole.bundle_folder(copy))
    assert not load_model(whole, copy, None, Rules(True, "refuse", 1000)).onnx
    assert read_onnx(whole.bundle_folder(copy), read_document(whole, copy))["reason"] == FOREIGN


def as_before(project: Any, run_id: str) -> Path:
    """Make a bundle one of an earlier version, which described ONNX in bundle.json."""
    folder = project.bundle_folder(run_id)
    facts = read_json(folder / "onnx.json")
    (folder / "onnx.json").unlink()
    document = read_json(folder / "bundle.json")
    document["files"]["model.onnx"] = facts["sha256"]
    for key in ("bundle", "sha256", "versions"):
        del facts[key]
    write_json(folder / "bundle.json", {**document, "onnx": facts})
    return Path(folder)


def test_a_bundle_of_before_is_read_served_and_left_as_it_was(whole: Any) -> None:
    run_id = promoted(whole)
    folder = as_before(whole, run_id)
    champion.release(whole, run_id, "promote")
    before = contents(folder)
    assert load_model(whole, run_id, file_sha256(folder / "bundle.json"), Rules(True, "no", 9)).onnx
    assert champion.describe(whole)["ONNX"] == "equal to scikit-learn"
    postprocess(whole, load_settings(whole))
    assert contents(folder) == before
    (folder / "model.onnx").write_bytes(b"other")
    with pytest.raises(UserError, match=r"model\.onnx has changed since the bundle was made"):
        champion.verify_champion(whole)


def test_one_of_before_whose_file_is_not_listed_is_not_served_by_it(whole: Any) -> None:
    folder = as_before(whole, promoted(whole))
    document = read_json(folder / "bundle.json")
    del document["files"]["model.onnx"]
    write_json(folder / "bundle.json", document)
    assert read_onnx(folder, document)["equal"] is False


def test_a_project_that_scores_batches_reads_all_of_them(
    whole: Any, without: Path, package_environment: dict[str, str]
) -> None:
    """Also what `set serving=batch` leaves behind, and bundles of an earlier version."""
    rows = load_split(whole, "valid")
    rows.to_csv(whole.root / "new.csv", index=False)
    first, second = promoted(whole), str(require(whole, "postprocess").run_id)
    expected = {each: load_bundle(whole, each).predict(rows) for each in (first, second)}
    as_before(whole, second)
    for run_id, predictions in expected.items():
        done = subprocess.run(
            [sys.executable, "-m", "mlproj", "predict", "new.csv", "out.csv", "--model", run_id],
            cwd=whole.root,
            env={**package_environment, "PYTHONPATH": str(without)},
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr
        found = pd.read_csv(whole.root / "out.csv")
        assert found["prediction"].tolist() == predictions["prediction"].tolist()


# ------------------------------------------------------------------------------- the same bytes


def test_two_processes_write_the_same_bytes(
    switched: tuple[Any, list[str]], package_environment: dict[str, str], tmp_path: Path
) -> None:
    """Whatever the seed of Python's hashes."""
    project, _ = switched
    run_id = str(require(project, "postprocess").run_id)
    expected = contents(project.bundle_folder(run_id))
    for seed in ("0", "1"):  # these differed
        copy = type(project)(tmp_path / seed)
        shutil.copytree(project.root, copy.root)
        for name in ONNX:
            (copy.bundle_folder(run_id) / name).unlink()
        done = subprocess.run(
            [sys.executable, "-m", "mlproj", "postprocess"],
            cwd=copy.root,
            env={**package_environment, "PYTHONHASHSEED": seed},
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr
        assert contents(copy.bundle_folder(run_id)) == expected
