"""What has to hold of any model that this repository trains, and how models are judged.

Judged by: metrics, the bar over the baseline, the ledger of the test split, the page.
"""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from {{ cookiecutter.__package }} import evaluate, train
from {{ cookiecutter.__package }}.bundle.bundle import load_bundle
from {{ cookiecutter.__package }}.core.config import load_settings
from {{ cookiecutter.__package }}.core.errors import (
    GateError,
    UserError,
)
from {{ cookiecutter.__package }}.core.files import (
    read_json,
    read_json_lines,
)
from {{ cookiecutter.__package }}.core.pipeline import run
from {{ cookiecutter.__package }}.core.project import Project
from {{ cookiecutter.__package }}.core.registry import task
from {{ cookiecutter.__package }}.data.split import load_split
from {{ cookiecutter.__package }}.evaluation import ledger
from {{ cookiecutter.__package }}.evaluation.metrics import (
    score,
    skill,
)
from {{ cookiecutter.__package }}.evaluation.predictions import (
    Predictions,
)
from {{ cookiecutter.__package }}.models import (
    make_candidate,
    training_data,
)
from {{ cookiecutter.__package }}.models.features import prepare
from {{ cookiecutter.__package }}.models.persist import (
    load_model,
    save_model,
)
from {{ cookiecutter.__package }}.report import report
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
    trained = [read_json(each.report_file("train")) for each in (sample_project, fresh_project)]
    assert trained[0]["run_id"] == trained[1]["run_id"]
    assert trained[0]["model"] == trained[1]["model"]
    for one, two in zip(*(each["facts"]["candidates"] for each in trained), strict=True):
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


@pytest.fixture
def project(sample_project: Project, tmp_path: Path) -> Project:
    """Return a copy of the finished project, to be changed at will."""
    shutil.copytree(sample_project.root, tmp_path / "copy")
    return Project(tmp_path / "copy")


def facts(project: Project, name: str) -> dict[str, Any]:
    """Return what a report says."""
    document = read_json(project.report_file(name))
    found: dict[str, Any] = document["facts"] | {"run_id": document["run_id"]}
    return found


def test_metrics_of_classes_equal_scikit_learns() -> None:
    random = np.random.default_rng(0)
    truth = random.choice(["no", "yes"], 300)
    said = np.round(np.clip(random.normal(0.3 + 0.4 * (truth == "yes"), 0.2), 0.01, 0.99), 2)
    shares = np.column_stack([1 - said, said])
    predictions = Predictions(probabilities=shares)
    scores = score(task("classification").with_truth(truth, predictions, ["no", "yes"], "yes"))
    labels = np.where(said > 0.5, "yes", "no")
    assert scores["roc_auc"] == pytest.approx(reference.roc_auc_score(truth, said))
    assert scores["log_loss"] == pytest.approx(reference.log_loss(truth, shares))
    assert scores["f1"] == pytest.approx(reference.f1_score(truth, labels, pos_label="yes"))


def test_metrics_of_numbers_equal_scikit_learns() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(10, 3, 300)
    values = truth + random.normal(0, 1, 300)
    scores = score(task("regression").with_truth(truth, Predictions(values=values)))
    assert scores["rmse"] == pytest.approx(reference.root_mean_squared_error(truth, values))
    assert scores["mae"] == pytest.approx(reference.mean_absolute_error(truth, values))
    assert scores["r2"] == pytest.approx(reference.r2_score(truth, values))


def test_the_model_beats_the_baseline(sample_project: Project) -> None:
    found = facts(sample_project, "metrics")
    assert found["passed"]
    assert found["skill"] >= found["margin"]


def test_the_report_says_what_the_bundle_scores(sample_project: Project) -> None:
    written = facts(sample_project, "metrics")
    bundle = load_bundle(sample_project, written["run_id"])
    scores = score(bundle.evaluate(load_split(sample_project, "valid")))
    for name, found in written["metrics"].items():
        assert found["value"] == pytest.approx(scores[name], nan_ok=True)
        assert found["low"] <= found["value"] <= found["high"]


def test_test_is_opened_once_for_a_model(project: Project) -> None:
    before = project.ledger.read_text(encoding="utf-8")
    assert len(before.splitlines()) == 1
    evaluate.evaluate(project, load_settings(project), final=True)
    assert project.ledger.read_text(encoding="utf-8") == before
    assert not evaluate.may_open_test(project)


def test_another_model_needs_a_reason_to_open_test(project: Project) -> None:
    state = ledger.state_of_test(project)
    with pytest.raises(UserError, match="--again"):
        ledger.check_opening(project, state, "another model", None)
    ledger.check_opening(project, state, "another model", "a new colleague doubts it")


def test_a_model_that_misses_its_bar_ends_with_the_sentence(project: Project) -> None:
    settings = load_settings(project, ["evaluate.margin=0.999"])
    with pytest.raises(GateError, match="does not beat the baseline by the margin"):
        evaluate.evaluate(project, settings)
    assert not facts(project, "metrics")["passed"]


def test_worst_rows_leave_sensitive_columns_out(sample_project: Project) -> None:
    rows = read_json_lines(sample_project.worst_rows)
    assert rows
    assert all("gender" not in row["features"] for row in rows)


def test_the_page_loads_nothing_from_elsewhere(sample_project: Project) -> None:
    page = (sample_project.reports / "index.html").read_text(encoding="utf-8")
    shell = re.sub(r'srcdoc="[^"]*"', "", page)
    assert "default-src 'none'" in shell
    assert all(link.startswith("#") for link in re.findall(r'\b(?:src|href)="([^"]*)"', shell))
    for name in ("summary", "data", "split", "models", "curves", "errors", "test", "card"):
        assert f'<section id="{name}"' in shell


def test_a_page_needs_the_stages_before_it(fresh_project: Project) -> None:
    with pytest.raises(UserError, match="run `ingest` first"):
        report(fresh_project, load_settings(fresh_project))
