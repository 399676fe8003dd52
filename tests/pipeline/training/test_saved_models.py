"""A model is saved with skops or its own format, and loaded as it was."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj import custom, train
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.project import Project
from mlproj.core.registry import ESTIMATORS
from mlproj.models import make_candidate
from mlproj.models.persist import MODEL_FILE, TRUSTED, load_model, model_files, save_model
from mlproj.models.training_data import fit_weighted
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from trained import BOOSTERS, SMALL, TARGETS, trained


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["baseline", "linear", "forest", "hgb", *BOOSTERS])
def test_a_model_is_saved_and_loaded(
    ready: Callable[..., Project], tmp_path: Path, name: str, target: str
) -> None:
    if name in BOOSTERS:
        pytest.importorskip(name)
    made = train.load_training_data(ready(target), load_settings(ready(target)))
    pipeline = train.fit(make_candidate(name, made.task.name, 0, SMALL.get(name, {})), made)
    files = save_model(pipeline, tmp_path)
    assert sorted(files) == sorted(model_files(tmp_path)) == sorted(tmp_path.iterdir())
    loaded = load_model(tmp_path)
    np.testing.assert_array_equal(loaded.predict(made.valid), pipeline.predict(made.valid))
    if made.classes:
        assert pipeline[-1].classes_.tolist() == made.classes
        expected = pipeline.predict_proba(made.valid)
        np.testing.assert_array_equal(loaded.predict_proba(made.valid), expected)


@pytest.mark.parametrize("name", ["linear", "forest", "hgb"])
def test_the_same_model_has_the_same_bytes(
    material: train.TrainingData, tmp_path: Path, name: str
) -> None:
    candidate = make_candidate(name, "classification", 0, SMALL.get(name, {}))
    for folder in ("one", "two"):
        pipeline = train.fit(candidate, material)
        pipeline.predict(material.valid)
        save_model(pipeline, tmp_path / folder)
    assert (tmp_path / "one" / MODEL_FILE).read_bytes() == (
        tmp_path / "two" / MODEL_FILE
    ).read_bytes()


def test_a_parallel_forest_predicts_on_one_core(material: train.TrainingData) -> None:
    pipeline = train.fit(make_candidate("forest", "classification", 0, SMALL["forest"]), material)
    assert pipeline[-1].n_jobs == 1


@pytest.fixture
def neighbours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Register an estimator as custom.py would, of types that skops does not know."""

    def build(task: str, seed: int, params: dict[str, Any]) -> Any:
        from mlproj.models import Candidate
        from sklearn.neighbors import KNeighborsClassifier

        return Candidate("neighbours", "KNN", "linear", KNeighborsClassifier(**params))

    monkeypatch.setattr(custom, "neighbours", build, raising=False)
    monkeypatch.setitem(ESTIMATORS, "neighbours", ".custom:neighbours")
    yield


def test_an_estimator_of_custom_py_is_trained(project: Project, neighbours: None) -> None:
    facts = trained(project, "model.candidates=neighbours", "params.neighbours.n_neighbors=15")
    assert facts["candidates"][0]["params"] == {"n_neighbors": 15}
    assert (project.logs / f"run_2_KNN_ID_{facts['run_id']}.log").exists()
    with pytest.raises(UserError, match="'neighbours' cannot be built: .*'size'"):
        trained(project, "model.candidates=neighbours", "params.neighbours.size=15")


def test_a_type_that_is_not_trusted_is_neither_saved_nor_loaded(
    material: train.TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = "sklearn.tree._tree.Tree"
    pipeline = train.fit(make_candidate("forest", "classification", 0, SMALL["forest"]), material)
    save_model(pipeline, tmp_path / "before")
    monkeypatch.setattr("mlproj.models.persist.TRUSTED", TRUSTED - {tree})
    with pytest.raises(UserError, match=tree):
        save_model(pipeline, tmp_path / "after")
    assert not (tmp_path / "after" / MODEL_FILE).exists()
    with pytest.raises(UserError, match=tree):
        load_model(tmp_path / "before")


def test_a_damaged_or_absent_model_is_named(material: train.TrainingData, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; run `train` first"):
        load_model(tmp_path)
    save_model(train.fit(make_candidate("linear", "classification", 0, {}), material), tmp_path)
    path = tmp_path / MODEL_FILE
    assert zipfile.is_zipfile(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="is damaged"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("classes", "weighted", "class_weight"),
    [
        (["no", "yes"], False, None),
        (["yes", "no"], True, "balanced"),
        (["z", "a", "m"], True, None),
    ],
)
def test_classes_in_words_give_the_model_that_scikit_learn_fits_on_them(
    tmp_path: Path, classes: list[str], weighted: bool, class_weight: str | None
) -> None:
    random = np.random.default_rng(0)
    inputs = pd.DataFrame(random.normal(size=(300, 3)), columns=list("abc"))
    target = np.array(classes, dtype=object)[random.integers(0, len(classes), 300)]
    weights = random.uniform(0.5, 2, 300) if weighted else None
    saved = {}
    for name in ("ours", "theirs"):
        model = HistGradientBoostingClassifier(
            max_iter=5, random_state=0, class_weight=class_weight
        )
        pipeline = Pipeline([("features", StandardScaler()), ("model", model)])
        if name == "ours":
            fit_weighted(pipeline, inputs, target, weights)
        else:
            pipeline.fit(inputs, target, model__sample_weight=weights)
        saved[name] = save_model(pipeline, tmp_path / name)[-1].read_bytes()
        assert set(pipeline.predict(inputs)) == set(classes)
    assert saved["ours"] == saved["theirs"]
