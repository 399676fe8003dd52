"""Retraining: what it learns from, what it is compared on, and when it replaces the champion."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cases import every_case
from mlproj.bundle import champion
from mlproj.bundle.bundle import load_bundle
from mlproj.core import config, pipeline
from mlproj.core.errors import GateError, UserError
from mlproj.core.project import SPLITS
from mlproj.data.sample import sample_table
from mlproj.data.schema import load_schema
from mlproj.data.split import load_manifest, load_split
from mlproj.evaluation.metrics import score
from mlproj.evaluation.predictions import Predictions
from mlproj.ingest import ingest
from mlproj.models.training_data import load_training_data
from mlproj.monitoring import retrain
from mlproj.preprocess import preprocess
from mlproj.tasks.classification import CLASSIFICATION
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline
from tables import run_data, titanic

TARGET = {"source": "rows.csv", "target": "churned", "id": "customer_id", "ignore": "signup"}


def train(make_project: Any, folder: Path, candidate: str = "linear", **sections: Any) -> Any:
    """Return a project whose champion was made from 500 rows."""
    folder.mkdir(parents=True, exist_ok=True)
    table = sample_table(500, seed=1)
    # The first rows are noisy, so that more and better ones make a better model.
    noisy = np.random.default_rng(0).random(len(table)) < 0.3
    wrong = np.where(table["churned"] == "yes", "no", "yes")
    table["churned"] = np.where(noisy, wrong, table["churned"])
    table.to_csv(folder / "rows.csv", index=False)
    given = {
        "data": TARGET,
        "model": {"candidates": candidate, "folds": 0},
        "params": {"forest.n_estimators": 20, "hgb.max_iter": 20},
        "evaluate": {"bootstrap": 200, "margin": 0},
        **sections,
    }
    project = make_project(folder, **given)
    pipeline.run(project, config.load_settings(project), until="evaluate", say=lambda text: None)
    return project


def more_rows(path: Path, rows: int = 3000) -> Path:
    """Write labelled rows that came later."""
    table = sample_table(rows, seed=2)
    table["customer_id"] = "later-" + table["customer_id"]
    table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, make_project: Any) -> Any:
    """Return a project with a champion; leave it unchanged."""
    return train(make_project, tmp_path_factory.mktemp("retrain"))


@pytest.fixture
def project(trained: Any, tmp_path: Path) -> Any:
    """Return a copy of that project."""
    shutil.copytree(trained.root, tmp_path / "project")
    return type(trained)(tmp_path / "project")


def run(project: Any, *overrides: str, **options: Any) -> Any:
    """Retrain quietly."""
    settings = config.load_settings(project, overrides)
    return retrain.retrain(project, settings, say=lambda text: None, **options)


def test_a_better_challenger_takes_over_only_when_asked_to(project: Any, tmp_path: Path) -> None:
    data, before = more_rows(tmp_path / "new.csv"), champion.verify_champion(project)
    result = run(project, data=data)
    assert result.better
    assert not result.promoted
    assert champion.verify_champion(project) == before == result.champion
    assert f"champion promote {result.challenger}" in result.verdict
    again = run(project, data=data, promote=True)
    assert again.challenger == result.challenger
    assert champion.verify_champion(project) == result.challenger
    facts = json.loads(project.report_file("retrain").read_text("utf-8"))["facts"]
    assert facts["promoted"]
    assert facts["gain"]["low"] > 0


def test_both_are_judged_on_rows_that_neither_was_made_from(project: Any, tmp_path: Path) -> None:
    result = run(project, data=more_rows(tmp_path / "new.csv"))
    valid = load_split(project, "valid")
    newest = valid[valid["customer_id"].str.startswith("later-")]
    assert result.rows == len(newest) < len(valid)
    labelled = load_bundle(project, result.champion).evaluate(newest)
    assert result.scores["roc_auc"][0] == pytest.approx(score(labelled)["roc_auc"])


def test_what_is_new_stays_known_where_the_champion_stays(project: Any, tmp_path: Path) -> None:
    first = run(project, "monitor.better=0.9", data=more_rows(tmp_path / "new.csv"), promote=True)
    assert not first.promoted
    again = run(project, "model.candidates=forest", data=more_rows(tmp_path / "new.csv"))
    assert again.rows == first.rows < len(load_split(project, "valid"))
    assert again.about == first.about
    run(project, data=more_rows(tmp_path / "new.csv"), promote=True)
    with pytest.raises(UserError, match="no new row"):
        run(project, data=more_rows(tmp_path / "new.csv"))
    assert len(list((project.root / "data").glob("champion-rows-*.npy"))) == 1


@every_case("rule", ["stratified", "time"])
def test_of_equal_people_those_who_came_later_are_new(
    rule: str, make_project: Any, tmp_path: Path
) -> None:
    """As many of each kind are new as were added, in the split where they are."""
    people, data = titanic(), {"source": "t.csv", "target": "survived"}
    if rule == "time":
        people, data = people.assign(day=np.arange(2201) // 100), data | {"time": "day"}
    project = make_project(tmp_path, data=data)
    people.iloc[:1500].to_csv(tmp_path / "t.csv", index=False)
    run_data(project)
    before = {name: len(load_split(project, name)) for name in SPLITS}
    document = {"data": load_manifest(project)["fingerprint"]}
    served: Any = SimpleNamespace(document=document, schema=load_schema(project))
    retrain._known_rows(project, served)
    people.to_csv(tmp_path / "t.csv", index=False)
    settings = config.load_settings(project)
    ingest(project, settings)
    preprocess(project, settings, refit=rule == "time")
    known = retrain._known_rows(project, served)  # as it was written down
    new = {name: retrain._is_new(project, name, served, known) for name in SPLITS}
    assert sum(int(each.sum()) for each in new.values()) == 701
    if rule == "stratified":
        for name, each in new.items():
            assert each.sum() == len(each) - before[name] > 50
    else:
        for name, each in new.items():
            assert (load_split(project, name)["day"][each] >= 15).all(), name


def test_a_champion_that_came_meanwhile_is_not_replaced(
    project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = retrain._compare

    def and_somebody_promotes(*given: Any) -> Any:
        result = compare(*given)
        document = json.loads(project.champion_file.read_text("utf-8"))
        project.champion_file.write_text(json.dumps(document | {"run_id": "0ther0ne"}))
        return result

    monkeypatch.setattr(retrain, "_compare", and_somebody_promotes)
    with pytest.raises(UserError, match="was replaced by 0ther0ne while"):
        run(project, data=more_rows(tmp_path / "new.csv"), promote=True)
    assert champion.read_champion(project)["run_id"] == "0ther0ne"


def test_no_earlier_row_moves_to_another_part(project: Any, tmp_path: Path) -> None:
    before = {name: set(load_split(project, name)["customer_id"]) for name in ("train", "test")}
    run(project, data=more_rows(tmp_path / "new.csv"))
    for name, ids in before.items():
        assert ids <= set(load_split(project, name)["customer_id"])


def test_a_challenger_has_to_be_ahead_by_the_margin(project: Any, tmp_path: Path) -> None:
    data, before = more_rows(tmp_path / "new.csv"), champion.verify_champion(project)
    result = run(project, "monitor.better=0.9", data=data, promote=True)
    assert result.gain.low > 0
    assert not result.better
    assert champion.verify_champion(project) == before
    assert f"{before} stays" in result.verdict


def test_a_model_below_the_baseline_never_takes_over(project: Any, tmp_path: Path) -> None:
    before = champion.verify_champion(project)
    with pytest.raises(GateError, match="does not beat the baseline"):
        run(project, "evaluate.margin=0.99", data=more_rows(tmp_path / "new.csv"), promote=True)
    assert champion.verify_champion(project) == before


def test_without_new_rows_nothing_is_trained(project: Any) -> None:
    runs = (project.logs / "runs.jsonl").read_bytes()
    with pytest.raises(UserError, match="There is no new row"):
        run(project)
    assert (project.logs / "runs.jsonl").read_bytes() == runs


def test_a_source_that_grew_needs_no_file(project: Any, tmp_path: Path) -> None:
    old = pd.read_csv(project.root / "rows.csv")
    new = pd.read_csv(more_rows(tmp_path / "new.csv", 600))
    pd.concat([old, new]).to_csv(project.root / "rows.csv", index=False)
    result = run(project)
    assert result.challenger != champion.verify_champion(project)
    assert sum(load_manifest(project)["rows"].values()) > 1000


def test_new_rows_reach_train_under_the_time_rule(tmp_path: Path, make_project: Any) -> None:
    data = {**TARGET, "time": "signup", "ignore": ""}
    project = train(make_project, tmp_path / "timed", data=data)
    last = pd.Timestamp(load_split(project, "test")["signup"].max())
    table = sample_table(3000, seed=2)
    table["customer_id"] = "later-" + table["customer_id"]
    table["signup"] = table["signup"] + pd.Timedelta(days=800)
    assert table["signup"].min() > last
    table.to_csv(tmp_path / "new.csv", index=False)
    result = run(project, data=tmp_path / "new.csv")
    assert load_split(project, "train")["signup"].max() > last
    assert result.rows == len(load_split(project, "valid"))


def test_exit_codes_tell_a_scheduler(
    project: Any, tmp_path: Path, package_environment: dict[str, str]
) -> None:
    data = str(more_rows(tmp_path / "new.csv"))
    words = ["retrain", "--data", data, "--promote", "--set", "monitor.better=0.9"]
    done = subprocess.run(
        [sys.executable, "-m", "mlproj", *words],
        cwd=project.root,
        env=package_environment,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 1, done.stderr
    assert "ROC AUC" in done.stdout
    assert "the champion stays" in done.stderr


# ------------------------------------------------------------------------ going on


def test_what_cannot_go_on_is_refused_before_anything_is_touched(
    tmp_path: Path, make_project: Any
) -> None:
    data = {**TARGET, "target": "spend"}
    model = {"candidates": "linear", "task": "regression", "folds": 0}
    project = train(make_project, tmp_path / "ridge", data=data, model=model)
    before = project.manifest_file.read_bytes()
    with pytest.raises(UserError, match="RIDGE cannot go on .* without --warm"):
        run(project, data=more_rows(tmp_path / "new.csv"), warm=True)
    assert project.manifest_file.read_bytes() == before


@pytest.mark.parametrize(
    ("candidate", "size", "grown"), [("forest", "n_estimators", 25), ("hgb", "max_iter", 25)]
)
def test_an_ensemble_goes_on_by_growing(
    tmp_path: Path, make_project: Any, candidate: str, size: str, grown: int
) -> None:
    project = train(make_project, tmp_path / candidate, candidate)
    old = champion.load_champion(project)
    result = run(project, data=more_rows(tmp_path / "new.csv"), warm=True)
    new = load_bundle(project, result.challenger)
    assert new.model[-1].get_params()[size] == grown
    frame = load_split(project, "train")[:20]
    assert not np.allclose(
        old.predict_arrays(frame).probabilities, new.predict_arrays(frame).probabilities
    )
    if candidate == "forest":  # the trees that were there are there still
        trees = [each.model[-1].estimators_[0].tree_ for each in (old, new)]
        assert np.array_equal(trees[0].threshold, trees[1].threshold)
    lines = (project.logs / "runs.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[-1])["onwards_from"] == result.champion


def test_partial_fit_sees_the_new_rows_only(trained: Any) -> None:
    material = load_training_data(trained, config.load_settings(trained))
    features = champion.load_champion(trained).model[:-1]
    model = SGDClassifier(loss="log_loss", random_state=0)
    model.fit(features.transform(material.inputs), material.target)
    fitted = Pipeline([*features.steps, ("model", model)])
    new = np.zeros(len(material.target), dtype=bool)
    new[:7] = True
    went_on = retrain.go_on(fitted, material, new)
    assert went_on[-1].t_ == model.t_ + 7  # and the champion itself stays as it is
    with pytest.raises(UserError, match="no new row"):
        retrain.go_on(fitted, material, ~new & False)


def test_going_on_with_another_class_or_column_is_refused(trained: Any) -> None:
    material = load_training_data(trained, config.load_settings(trained))
    fitted, new = champion.load_champion(trained).model, np.ones(len(material.target), dtype=bool)
    with pytest.raises(UserError, match="a class that the champion lacks"):
        retrain.go_on(fitted, replace(material, classes=["maybe", "no", "yes"]), new)
    other = replace(material, inputs=material.inputs.drop(columns="age"))
    with pytest.raises(UserError, match="inputs changed"):
        retrain.go_on(fitted, other, new)


# ------------------------------------------------------------------------ the comparison


def label(truth: Any, shares: Any) -> Any:
    predictions = Predictions(probabilities=np.column_stack([1 - shares, shares]))
    return CLASSIFICATION.with_truth(truth, predictions, [0, 1])


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "accuracy", "f1"])
def test_the_gain_of_a_model_over_itself_is_nothing(metric: str) -> None:
    random = np.random.default_rng(0)
    truth, shares = random.integers(0, 2, 200), random.random(200)
    same = label(truth, shares)
    gain = retrain.paired_gain(same, same, metric, resamples=100, seed=1, rows=1000)
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "accuracy", "f1"])
def test_the_interval_of_a_gain_holds_what_it_is_on_all_rows(metric: str) -> None:
    """Of 60 samples, about 57 intervals hold the gain of the whole; fewer than 51 would be odd."""
    random = np.random.default_rng(3)
    truth = random.integers(0, 2, 60_000)
    good = np.clip(0.5 + 0.25 * (truth - 0.5) + random.normal(0, 0.2, len(truth)), 0.01, 0.99)
    poor = np.clip(0.5 + 0.18 * (truth - 0.5) + random.normal(0, 0.2, len(truth)), 0.01, 0.99)
    new, old = label(truth, good), label(truth, poor)
    sign = -1 if metric == "log_loss" else 1
    whole = sign * (score(new)[metric] - score(old)[metric])
    assert whole > 0
    held = 0
    for sample in range(60):
        rows = np.arange(sample * 400, (sample + 1) * 400)
        gain = retrain.paired_gain(
            new.take(rows), old.take(rows), metric, resamples=300, seed=sample, rows=1000
        )
        held += gain.low <= whole <= gain.high
    assert held >= 51


# ------------------------------------------------------------------------ [data] append


def test_appended_files_are_part_of_the_source(project: Any, tmp_path: Path) -> None:
    path = more_rows(project.root / "new.csv", 600)
    settings = config.load_settings(project, ("data.append=new.csv",))
    assert not pipeline.is_current(project, settings, "ingest")
    report = ingest(project, settings)
    assert report.facts["rows"] == 1100
    assert [each["file"] for each in report.facts["appended"]] == ["new.csv"]
    preprocess(project, settings)
    assert pipeline.is_current(project, settings, "ingest")
    more_rows(path, 700)
    assert not pipeline.is_current(project, settings, "ingest")


def test_a_row_that_the_schema_refuses_is_named_by_its_file(project: Any, tmp_path: Path) -> None:
    path = more_rows(tmp_path / "new.csv", 50)
    table = pd.read_csv(path).astype({"age": object})
    table.loc[0, "age"] = "old"
    table.to_csv(path, index=False)
    with pytest.raises(UserError, match=r"new\.csv, column 'age', row 1: 'old' is not a whole"):
        run(project, data=path)


@pytest.mark.parametrize(
    ("columns", "sentence"), [("age", "only one of them has 'age'"), (None, "does not exist")]
)
def test_an_appended_file_that_does_not_fit_is_refused(
    project: Any, columns: str | None, sentence: str
) -> None:
    if columns is not None:
        sample_table(100).drop(columns=columns).to_csv(project.root / "new.csv", index=False)
    before = project.typed.read_bytes()
    with pytest.raises(UserError, match=sentence):
        ingest(project, config.load_settings(project, ("data.append=new.csv",)))
    assert project.typed.read_bytes() == before
