"""Metrics of custom.py: what they get, where they stand, and what they must not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mlproj import custom, evaluate, postprocess, train
from mlproj.core import registry
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.pipeline import run_stage
from mlproj.core.project import Project
from mlproj.data.split import load_split
from mlproj.evaluation import MetricFunction, metrics, team_metrics
from mlproj.evaluation.bootstrap import bootstrap
from mlproj.evaluation.predictions import Predictions, PredictionsWithTruth
from mlproj.reporting import sections
from mlproj.tasks.classification import CLASSIFICATION
from mlproj.tasks.regression import REGRESSION

Declare = Callable[..., None]


def lost_calls(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """Mean cost of a row: 5 for a miss, 1 for a false alarm."""
    costs = 5.0 * ((y_true == "yes") & (y_pred == "no")) + (y_true == "no") * (y_pred == "yes")
    return float(np.average(costs, weights=sample_weight))


def average_precision(y_true: Any, y_proba: Any, sample_weight: Any = None) -> float:
    """Area under precision and recall."""
    from sklearn.metrics import average_precision_score

    found = average_precision_score(y_true == "yes", y_proba, sample_weight=sample_weight)
    return float(found)


def within_ten(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    """Share of rows within 10 of the truth."""
    return float(np.average(abs(y_true - y_pred) <= 10, weights=sample_weight))


DECLARED = {
    "lost_calls": MetricFunction(lost_calls, greater_is_better=False),
    "average_precision": average_precision,
}


@pytest.fixture(name="declare")
def declare_fixture(monkeypatch: pytest.MonkeyPatch) -> Declare:
    """``declare(name=function)``: what custom.py declares."""

    registry.team()  # before anything is declared here

    def declare(**declared: Any) -> None:
        monkeypatch.setattr(custom, "METRICS", declared, raising=False)
        monkeypatch.setattr(team_metrics, "_TRIED", set())

    return declare


@pytest.fixture(name="project", scope="module")
def project_fixture(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose data is split."""
    project: Project = make_project(
        tmp_path_factory.mktemp("metrics"),
        data={"source": "sample:900", "id": "customer_id", "target": "churned"},
        model={"candidates": "linear", "folds": 2, "metric": "lost_calls"},
        evaluate={"bootstrap": 50, "margin": 0},
    )
    for stage in ("ingest", "preprocess"):
        run_stage(project, load_settings(project), stage)
    return project


def classes(rows: int = 300, positive: str = "yes") -> PredictionsWithTruth:
    """Predictions of a mediocre classifier of "no" and "yes"."""
    random = np.random.default_rng(0)
    truth = random.choice(["no", "yes"], rows)
    shares = np.clip(random.normal(0.3 + 0.4 * (truth == "yes"), 0.25), 0, 1)
    found = Predictions(
        labels=np.where(shares > 0.5, "yes", "no"),
        probabilities=np.column_stack([1 - shares, shares]),
    )
    return CLASSIFICATION.with_truth(truth, found, ["no", "yes"], positive)


def test_functions_get_names_and_the_probability_of_the_class_to_find(declare: Declare) -> None:
    declare(**DECLARED)
    labelled = classes()
    names = np.array(["no", "yes"], dtype=object)
    truth, predicted = names[labelled.truth], names[np.asarray(labelled.labels)]
    found = metrics.score(labelled)
    assert found["lost_calls"] == pytest.approx(lost_calls(truth, predicted))
    shares = np.asarray(labelled.probabilities)[:, 1]
    assert found["average_precision"] == pytest.approx(average_precision(truth, shares))


def test_a_metric_may_ask_for_the_class_to_find(declare: Declare) -> None:
    given: list[Any] = []

    def found(y_true: Any, y_pred: Any, sample_weight: Any = None, *, positive: Any) -> float:
        given.append(positive)
        return float(np.average(y_pred == positive, weights=sample_weight))

    declare(found=found)
    for wanted, labelled in (("yes", classes()), ("no", classes(positive="no"))):
        share = (np.array(["no", "yes"])[np.asarray(labelled.labels)] == wanted).mean()
        assert metrics.score(labelled)["found"] == pytest.approx(share)
        assert set(given) == {wanted}
        given.clear()
    shares = Predictions(probabilities=np.eye(3))
    metrics.score(CLASSIFICATION.with_truth([1, 2, 3], shares, [1, 2, 3]))
    assert set(given) == {None}
    assert {found} == team_metrics._TRIED  # once, whatever the class


def test_scikit_learn_s_own_function_is_a_metric(declare: Declare) -> None:
    from functools import partial

    from sklearn.metrics import fbeta_score

    declare(own=partial(fbeta_score, beta=1, pos_label="yes"))
    labelled = classes()
    assert metrics.score(labelled)["own"] == pytest.approx(metrics.score(labelled)["f1"])


def test_the_interval_is_that_of_the_same_metric_of_ours(declare: Declare) -> None:
    def own_accuracy(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        return float(np.average(y_true == y_pred, weights=sample_weight))

    declare(own_accuracy=own_accuracy)
    labelled = classes()
    constant = CLASSIFICATION.constant_with_truth(
        labelled, {"probabilities": {"no": 0.6, "yes": 0.4}}, ["no", "yes"]
    )
    found, _ = bootstrap(labelled, constant, "own_accuracy", resamples=200)
    ours, own = found["accuracy"], found["own_accuracy"]
    assert (own.value, own.low, own.high) == pytest.approx((ours.value, ours.low, ours.high))


def test_a_class_that_training_never_saw_has_its_name(declare: Declare) -> None:
    seen: list[Any] = []

    def strange(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        seen.extend(y_true)
        return 0.0

    declare(strange=strange)
    found = Predictions(probabilities=np.array([[0.2, 0.8], [0.7, 0.3]]))
    metrics.score(CLASSIFICATION.with_truth(["yes", "maybe"], found, ["no", "yes"]))
    assert set(seen) == {"yes", "maybe"}


def test_it_decides_and_stands_in_every_table(project: Project, declare: Declare) -> None:
    declare(**DECLARED)
    settings = load_settings(project)
    trained = train.train(project, settings).facts
    release = postprocess.postprocess(project, settings)
    judged = evaluate.evaluate(project, settings).facts
    valid = load_split(project, "valid")["churned"].to_numpy()
    assert trained["metric"] == judged["metric"] == "lost_calls"
    assert trained["candidates"][0]["skill"] > 0
    assert trained["candidates"][0]["cv"]["folds"]
    floor = min(lost_calls(valid, np.full(len(valid), name)) for name in ("yes", "no"))
    found = judged["metrics"]["lost_calls"]
    assert found["low"] <= found["value"] <= found["high"]
    assert judged["skill"] == pytest.approx(1 - found["value"] / found["baseline"])
    assert found["baseline"] >= floor
    assert release.facts["metrics"]["average_precision"] > 0.5
    for section in (sections.summary_section, sections.models_section):
        html = section(project, settings).html
        assert "Lost calls" in html
        assert "Average precision" in html
    shown = evaluate.summary_table(project)
    assert shown is not None
    assert {"Lost calls", "Average precision"} <= set(shown.columns[0]._cells)


def test_values_are_scored_too(declare: Declare) -> None:
    declare(within_ten=within_ten)
    truth = np.array([1.0, 20.0, 30.0, 40.0])
    labelled = REGRESSION.with_truth(truth, Predictions(values=truth + [0, 9, 11, 12]))
    assert metrics.score(labelled)["within_ten"] == 0.5


def nothing(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    return float("nan")


def broken(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    raise KeyError("price")


def unweighted(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    return float((y_true == y_pred).mean())


def in_cents(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
    return 100 * lost_calls(y_true, y_pred, sample_weight)


def unnamed(y_true: Any, prediction: Any, sample_weight: Any = None) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"nothing": nothing}, "The metric 'nothing' of custom.py returned nan; let it return"),
        ({"broken": broken}, "'broken' of custom.py failed with KeyError: 'price'; correct it"),
        ({"unweighted": unweighted}, "does not use sample_weight as the number of times"),
        ({"unnamed": unnamed}, r"takes \(y_true, prediction, sample_weight\); its parameters"),
        ({"in_cents": in_cents}, "returned .*, better than 1, which counts as perfect; declare"),
        ({"accuracy": within_ten}, "The metric 'accuracy' of custom.py exists already; rename"),
    ],
)
def test_what_a_metric_must_not_do(
    project: Project, declare: Declare, declared: dict[str, Any], sentence: str
) -> None:
    declare(**declared)
    settings = load_settings(project, ["model.metric=auto"])
    with pytest.raises(UserError, match=sentence):
        train.train(project, settings)


def test_probabilities_are_refused_where_there_are_none(declare: Declare) -> None:
    declare(average_precision=average_precision)
    with pytest.raises(UserError, match="takes y_proba, but a regression predicts no prob"):
        metrics.choose_metric(REGRESSION, "auto")


def test_a_metric_that_is_gone_is_named(declare: Declare) -> None:
    declare()
    with pytest.raises(UserError, match="The metric 'lost_calls' no longer exists; bring it back"):
        metrics.find_metric("lost_calls")
    with pytest.raises(UserError, match="metric = lost_calls: a classification is scored by auto"):
        metrics.choose_metric(CLASSIFICATION, "lost_calls")
