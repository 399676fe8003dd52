"""How models are judged: metrics, the bar over the baseline, the test split's ledger, the page."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from {{ cookiecutter.__package }} import evaluate
from {{ cookiecutter.__package }}.bundle.bundle import load_bundle
from {{ cookiecutter.__package }}.core import files
from {{ cookiecutter.__package }}.core.config import load_settings
from {{ cookiecutter.__package }}.core.errors import (
    GateError,
    UserError,
)
from {{ cookiecutter.__package }}.core.project import Project
from {{ cookiecutter.__package }}.core.registry import task
from {{ cookiecutter.__package }}.data.split import load_split
from {{ cookiecutter.__package }}.evaluation import ledger
from {{ cookiecutter.__package }}.evaluation.metrics import score
from {{ cookiecutter.__package }}.evaluation.predictions import (
    Predictions,
)
from {{ cookiecutter.__package }}.report import report


@pytest.fixture
def project(sample_project: Project, tmp_path: Path) -> Project:
    """Return a copy of the finished project, to be changed at will."""
    shutil.copytree(sample_project.root, tmp_path / "copy")
    return Project(tmp_path / "copy")


def facts(project: Project, name: str) -> dict[str, Any]:
    """Return what a report says."""
    document = files.read_json(project.report_file(name))
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
    rows = files.read_json_lines(sample_project.worst_rows)
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
