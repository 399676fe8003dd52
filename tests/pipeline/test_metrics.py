"""The metrics equal scikit-learn's, and the intervals around them cover what they say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from mlproj.core.errors import UserError
from mlproj.evaluation import metrics
from mlproj.evaluation.bootstrap import bootstrap
from mlproj.evaluation.predictions import PredictionsWithTruth
from mlproj.tasks.classification import CLASSIFICATION
from mlproj.tasks.regression import REGRESSION
from scored import classes, label, numbers, scikit_learns
from sklearn import metrics as reference


def constant(
    labelled: PredictionsWithTruth, values: dict[str, Any], classes: Any = ()
) -> PredictionsWithTruth:
    """Return a constant prediction beside the same truth."""
    task = CLASSIFICATION if len(classes) else REGRESSION
    return task.constant_with_truth(labelled, values, classes)


def score_all(truth: Any, **predicted: Any) -> dict[str, float]:
    """Return every metric of some predictions."""
    scores: dict[str, float] = metrics.score(label(truth, **predicted))
    return scores


# ------------------------------------------------------------------------------------- metrics


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("number", [2, 3, 7])
@pytest.mark.parametrize("seed", range(3))
def test_weighted_metrics_of_classes_equal_scikit_learns(
    number: int, seed: int, ties: bool
) -> None:
    labelled = classes(400, number, seed, ties=ties)
    weights = np.random.default_rng(seed + 100).integers(0, 4, (5, 400)).astype(float)
    for name in CLASSIFICATION.metrics:
        ours = metrics.METRICS[name].prepare(labelled)(weights)
        theirs = [scikit_learns(labelled, row)[name] for row in weights]
        assert ours == pytest.approx(theirs), name


def test_a_class_that_was_only_predicted_counts_and_one_that_never_occurs_does_not() -> None:
    truth, labels = np.array([0, 0, 1, 1, 1]), np.array([0, 2, 1, 1, 0])
    labelled = label(truth, labels=labels, classes=[0, 1, 2, 3])
    for name in ("f1", "precision", "recall"):
        ours = metrics.METRICS[name].prepare(labelled)(np.ones((1, 5)))
        theirs = getattr(reference, f"{name}_score")(truth, labels, average="macro")
        assert ours == pytest.approx([theirs]), name


def test_weighted_metrics_of_numbers_equal_scikit_learns() -> None:
    labelled = numbers(120, 0)
    weights = np.random.default_rng(0).integers(0, 4, (5, 120)).astype(float)
    for name in REGRESSION.metrics:
        ours = metrics.METRICS[name].prepare(labelled)(weights)
        assert ours == pytest.approx([scikit_learns(labelled, row)[name] for row in weights]), name


def test_scores_from_cells_equal_scores_from_rows() -> None:
    labelled = classes(500, 4, 1)
    assert metrics.score(labelled) == pytest.approx(scikit_learns(labelled, np.ones(500)))


def test_positive_class_can_be_the_first() -> None:
    truth, shares = np.array(["a", "b", "b", "a"]), np.array([[0.9, 0.1]] * 3 + [[0.4, 0.6]])
    scores = score_all(truth, probabilities=shares, classes=["a", "b"], positive="a")
    assert scores["precision"] == pytest.approx(1 / 3)
    assert scores["recall"] == pytest.approx(1 / 2)


def test_unknown_positive_class_is_refused() -> None:
    with pytest.raises(UserError, match=r"\[decision\] positive = c: the classes are a, b"):
        score_all(["a"], probabilities=[[1, 0]], classes=["a", "b"], positive="c")


def test_class_that_train_never_saw_counts_as_never_found() -> None:
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    scores = score_all(["a", "b", "c"], probabilities=shares, classes=["a", "b"])
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["balanced_accuracy"] == pytest.approx(2 / 3)
    assert scores["log_loss"] > 10


def test_metrics_that_are_not_defined_are_nan() -> None:
    one = score_all(["a", "a"], probabilities=[[0.8, 0.2]] * 2, classes=["a", "b"])
    assert np.isnan(one["roc_auc"])
    assert one["accuracy"] == 1
    zero = score_all([0.0, 1.0], values=[0.5, 0.5])
    assert np.isnan(zero["mape"])
    assert zero["mae"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("metric", "value", "baseline", "expected"),
    [
        ("roc_auc", 0.75, 0.5, 0.5),
        ("log_loss", 0.2, 0.8, 0.75),
        ("rmse", 12.0, 10.0, -0.2),
        ("r2", 0.5, 0.0, 0.5),
        ("accuracy", 1.0, 1.0, 0.0),
    ],
)
def test_skill(metric: str, value: float, baseline: float, expected: float) -> None:
    assert metrics.skill(metric, value, baseline) == pytest.approx(expected)


def test_metric_of_the_other_task_is_refused() -> None:
    with pytest.raises(UserError, match="metric = rmse: a classification is scored by auto"):
        CLASSIFICATION.choose_metric("rmse")


# ----------------------------------------------------------------------------------- intervals


def test_intervals_cover_what_they_say() -> None:
    hits = 0
    for seed in range(120):
        random = np.random.default_rng(seed)
        truth = random.integers(0, 2, 150)
        said = np.where(random.random(150) < 0.8, truth, 1 - truth) * 0.8 + 0.1
        labelled = label(truth, probabilities=np.column_stack([1 - said, said]), classes=[0, 1])
        naive = constant(labelled, {"probabilities": {0: 0.5, 1: 0.5}}, [0, 1])
        intervals, _ = bootstrap(labelled, naive, "roc_auc", resamples=300, seed=seed)
        hits += intervals["roc_auc"].low <= 0.8 <= intervals["roc_auc"].high
    assert 0.89 <= hits / 120 <= 0.99


def test_intervals_are_the_same_for_a_seed() -> None:
    labelled = classes(200, 3, 0)
    naive = constant(labelled, {"probabilities": {0: 1.0}}, [0, 1, 2])
    one, two, other = (
        bootstrap(labelled, naive, "f1", resamples=100, seed=seed) for seed in (1, 1, 2)
    )
    assert one == two != other


def test_difference_is_paired_with_the_baseline() -> None:
    labelled = numbers(300, 0)
    naive = constant(labelled, {"value": 10.0})
    intervals, difference = bootstrap(labelled, naive, "rmse", resamples=500)
    alone = metrics.score(naive)["rmse"]
    assert difference.value == pytest.approx(intervals["rmse"].value - alone)
    assert difference.low < difference.value < difference.high < 0
    itself = bootstrap(labelled, labelled, "rmse", resamples=50)[1]
    assert (itself.low, itself.high) == (0, 0)


def test_an_interval_of_a_draw_is_as_wide_as_one_of_all_rows() -> None:
    labelled = classes(15_000, 2, 0)
    naive = constant(labelled, {"probabilities": {0: 0.5, 1: 0.5}}, [0, 1])
    few, gain = bootstrap(labelled, naive, "roc_auc", resamples=500, rows=2_000)
    every, gain_of_all = bootstrap(labelled, naive, "roc_auc", resamples=500)
    for name, whole in every.items():
        assert few[name].value == whole.value
        width = few[name].high - few[name].low
        assert width == pytest.approx(whole.high - whole.low, rel=0.2)
        assert few[name].low < whole.value < few[name].high
    assert gain.high - gain.low == pytest.approx(gain_of_all.high - gain_of_all.low, rel=0.2)


def test_the_interval_of_a_mean_is_that_of_the_closed_form() -> None:
    errors = np.random.default_rng(0).normal(size=150_000)
    labelled = label(np.full(len(errors), 10.0), values=10 + errors)
    found = bootstrap(labelled, labelled, "mae", resamples=2_000)[0]["mae"]
    half = 1.96 * np.abs(errors).std() / math.sqrt(len(errors))
    assert found.value == pytest.approx(np.abs(errors).mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_a_baseline_that_is_not_constant_is_resampled_row_by_row() -> None:
    truth = np.random.default_rng(0).integers(0, 2, 400)
    model = label(truth, labels=truth, classes=[0, 1])
    baseline = label(truth, labels=np.where(np.arange(400) % 4, truth, 1 - truth), classes=[0, 1])
    _, difference = bootstrap(model, baseline, "accuracy", resamples=400)
    assert difference.value == pytest.approx(0.25)
    assert 0.15 < difference.low < 0.25 < difference.high < 0.35
    itself = bootstrap(baseline, baseline, "accuracy", resamples=50)[1]
    assert (itself.value, itself.low, itself.high) == (0, 0, 0)
