"""Model tests: what has to hold of any model that this repository trains."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.__package }} import train
from {{ cookiecutter.__package }}.core.config import load_settings
from {{ cookiecutter.__package }}.core.files import read_json
from {{ cookiecutter.__package }}.core.pipeline import run
from {{ cookiecutter.__package }}.core.project import Project
from {{ cookiecutter.__package }}.data.split import load_split
from {{ cookiecutter.__package }}.evaluation.metrics import skill
from {{ cookiecutter.__package }}.models import (
    make_candidate,
    training_data,
)
from {{ cookiecutter.__package }}.models.features import prepare
from {{ cookiecutter.__package }}.models.persist import (
    load_model,
    save_model,
)
from {{ cookiecutter.__package }}.tracking.runs import list_runs

# Each with parameters under which it is able to learn a few rows by heart.
ABLE = {
    "forest": {"min_samples_leaf": 1, "bootstrap": False},
    "hgb": {"min_samples_leaf": 1, "max_iter": 300},
}


@pytest.fixture(scope="module")
def data(sample_project: Project) -> training_data.TrainingData:
    """Return the prepared rows of train and valid."""
    return training_data.load_training_data(sample_project, load_settings(sample_project))


def test_training_twice_gives_the_same_model(
    sample_project: Project, fresh_project: Project
) -> None:
    run(fresh_project, load_settings(fresh_project), until="train")
    reports = [read_json(each.report_file("train")) for each in (sample_project, fresh_project)]
    assert reports[0]["run_id"] == reports[1]["run_id"]
    assert reports[0]["model"] == reports[1]["model"]
    for one, two in zip(*(report["facts"]["candidates"] for report in reports), strict=True):
        assert (one["run_id"], one["cv"], one["valid"]) == (two["run_id"], two["cv"], two["valid"])


@pytest.mark.parametrize("name", ABLE)
def test_a_model_overfits_a_small_batch(data: training_data.TrainingData, name: str) -> None:
    # Without high-cardinality columns: their encoding hides from each row its own target.
    coded = [column.name for column in data.schema.features if column.type == "string"]
    kept = tuple(column for column in data.schema.columns if column.name not in coded)
    few = data.inputs.drop(columns=coded).iloc[:40]
    schema = replace(data.schema, columns=kept)
    batch = replace(data, schema=schema, inputs=few, target=data.target[:40])
    candidate = make_candidate(name, data.task.name, 0, ABLE[name])
    pipeline = train.fit(candidate, batch)
    scores = train.judge(pipeline, batch, few, batch.target)
    assert scores.get("accuracy", scores.get("r2", 0.0)) > 0.95


def test_features_follow_from_their_own_row(
    sample_project: Project, data: training_data.TrainingData
) -> None:
    # Those of custom.py among them.
    rows = load_split(sample_project, "train").head(200)
    found = prepare(rows, data.schema)
    shuffled = prepare(rows.sample(frac=1, random_state=0), data.schema)
    pd.testing.assert_frame_equal(shuffled.loc[rows.index], found)
    pd.testing.assert_frame_equal(prepare(rows.head(1), data.schema), found.head(1))


def test_two_fits_give_the_same_predictions(
    data: training_data.TrainingData, candidate: str
) -> None:
    one, two = (train.fit(make_candidate(candidate, data.task.name, 0, {}), data) for _ in "12")
    np.testing.assert_array_equal(one.predict(data.valid), two.predict(data.valid))


def test_a_model_learns_the_rows_that_it_is_fitted_on(
    data: training_data.TrainingData, candidate: str
) -> None:
    """Whatever the estimator: better on train than the naive baseline."""
    scores = {}
    for name in (candidate, "baseline"):
        pipeline = train.fit(make_candidate(name, data.task.name, 0, {}), data)
        scores[name] = train.judge(pipeline, data, data.inputs, data.target)[data.metric]
    assert skill(data.metric, scores[candidate], scores["baseline"]) > 0


def test_predictions_do_not_depend_on_the_order_of_rows(
    data: training_data.TrainingData, candidate: str
) -> None:
    pipeline = train.fit(make_candidate(candidate, data.task.name, 0, {}), data)
    order = np.random.default_rng(0).permutation(len(data.valid))
    shuffled = pipeline.predict(data.valid.iloc[order])
    np.testing.assert_array_equal(shuffled, pipeline.predict(data.valid)[order])


def test_the_winner_beats_the_baseline(sample_project: Project) -> None:
    facts = read_json(sample_project.report_file("train"))["facts"]
    winner = next(each for each in facts["candidates"] if each["run_id"] == facts["run_id"])
    assert winner["skill"] > load_settings(sample_project).evaluate.margin


def test_features_are_fitted_on_train_only(data: training_data.TrainingData) -> None:
    pipeline = train.fit(make_candidate("linear", data.task.name, 0, {}), data)
    filler = pipeline["features"].named_transformers_["numbers"]["fill"]
    medians = data.inputs[list(filler.feature_names_in_)].median()
    np.testing.assert_allclose(filler.statistics_, medians)


def test_a_saved_model_predicts_as_the_fitted_one(
    data: training_data.TrainingData, candidate: str, tmp_path: Path
) -> None:
    fitted = train.fit(make_candidate(candidate, data.task.name, 0, {}), data)
    save_model(fitted, tmp_path)
    saved = load_model(tmp_path)
    np.testing.assert_array_equal(saved.predict(data.valid), fitted.predict(data.valid))


def test_each_run_leaves_a_log_and_a_line(sample_project: Project) -> None:
    runs = list_runs(sample_project)
    assert {each["name"] for each in runs} == {"baseline", "linear", "forest"}
    for each in runs:
        log = sample_project.logs / f"run_{each['number']}_{each['label']}_ID_{each['run_id']}.log"
        assert "fitted on train" in log.read_text(encoding="utf-8")


def test_a_finished_run_is_not_fitted_again(sample_project: Project, tmp_path: Path) -> None:
    project = Project(tmp_path / "copy")
    shutil.copytree(sample_project.root, project.root)
    before = (project.logs / "runs.jsonl").read_bytes()
    train.train(project, load_settings(project))
    assert (project.logs / "runs.jsonl").read_bytes() == before
