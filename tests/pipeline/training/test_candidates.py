"""Folds follow the split's rule; the simplest candidate within the tolerance wins."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj import train
from mlproj.core import registry
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.project import Project
from mlproj.models import training_data
from mlproj.models.persist import MODEL_FILE, load_model
from trained import TARGETS, copy_of, trained


def test_folds_of_the_stratified_rule_keep_the_shares(material: train.TrainingData) -> None:
    share = (material.target == "yes").mean()
    for fit_rows, judge_rows in train.folds(material):
        assert not set(fit_rows) & set(judge_rows)
        assert (material.target[judge_rows] == "yes").mean() == pytest.approx(share, abs=0.01)
    expected = material.task.folds(material.target, material.settings.model.folds, 42)
    by_words = expected.split(material.inputs, material.target)
    for ours, theirs in zip(train.folds(material), by_words, strict=True):
        assert np.array_equal(ours[1], theirs[1])


def test_folds_of_the_group_rule_share_no_group(ready: Callable[..., Project]) -> None:
    project = ready("two", "group")
    made = train.load_training_data(project, load_settings(project))
    assert made.groups is not None
    for fit_rows, judge_rows in train.folds(made):
        assert not set(made.groups[fit_rows]) & set(made.groups[judge_rows])


def test_a_row_without_a_group_is_a_group_of_its_own() -> None:
    codes = training_data.group_codes(pd.Series(["a", None, "b", "a", None], dtype="str"))
    assert codes[0] == codes[3]
    assert len(set(codes)) == 4


def test_folds_of_the_time_rule_look_ahead(ready: Callable[..., Project]) -> None:
    from mlproj.data.split import load_split

    project = ready("amount", "time")
    made = train.load_training_data(project, load_settings(project))
    when = load_split(project, "train", ["since"])["since"].to_numpy()
    for fit_rows, judge_rows in train.folds(made):
        assert when[fit_rows].max() <= when[judge_rows].min()


def test_folds_become_fewer_where_there_are_few_rows_of_a_class(
    material: train.TrainingData,
) -> None:
    few = replace(
        material, inputs=material.inputs.iloc[:4], target=np.array(["a", "b", "a", "c"], object)
    )
    few = replace(few, settings=load_settings_with(few, folds=50))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(train.folds(few)) == 2


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        (np.array(["no", "yes", "maybe", "no"], object), ["maybe", "no", "yes"]),
        (np.array([30, 4, 30]), [4, 30]),
        (np.array([True, False]), [False, True]),
        (np.array([2.0, -1.0, 2.0]), [-1.0, 2.0]),
    ],
    ids=["words", "integers", "flags", "floats"],
)
def test_classes_are_in_order_and_one_alone_teaches_nothing(
    target: np.ndarray[Any, Any], classes: list[Any]
) -> None:
    task = registry.task("classification")
    assert task.classes_of(target) == classes
    assert [type(each) for each in task.classes_of(target)] == [type(each) for each in classes]
    assert task.can_learn(target)
    assert not task.can_learn(np.repeat(target[:1], 3))
    assert not task.can_learn(target[:0])


def test_folds_are_at_most_as_many_as_rows_of_the_largest_class() -> None:
    folds = registry.task("classification").folds
    target = np.array(["b", "a", "b", "c", "b"], object)
    assert (folds(target, 2, 0).n_splits, folds(target, 9, 0).n_splits) == (2, 3)
    assert folds(target[:2], 9, 0) is None


def load_settings_with(material: train.TrainingData, **model: Any) -> Any:
    """Return the material's settings with some of `[model]` changed."""
    settings = material.settings
    return settings.model_copy(update={"model": settings.model.model_copy(update=model)})


def test_no_folds_no_cross_validation(project: Project) -> None:
    facts = trained(project, "model.folds=0")
    assert [each["cv"] for each in facts["candidates"]] == [None, None]
    assert facts["candidates"][0]["valid"]["roc_auc"] > 0.6


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("rule", ["auto", "group", "time"])
def test_every_task_and_rule_is_trained(
    ready: Callable[..., Project], tmp_path: Path, target: str, rule: str
) -> None:
    project = copy_of(ready(target, rule), tmp_path / "project")
    facts = trained(project, "model.candidates=linear, forest, hgb")
    skills = [each["skill"] for each in facts["candidates"]]
    assert min(skills) > 0.1
    assert facts["baseline"]["skill"] == 0
    assert len(facts["candidates"][0]["cv"]["folds"]) == 2
    assert facts["files"] == {
        f"models/{facts['run_id']}/{MODEL_FILE}": model_size(project, facts["run_id"])
    }


def model_size(project: Project, run_id: str) -> int:
    """Return the size of a model's file."""
    return int((project.bundle_folder(run_id) / MODEL_FILE).stat().st_size)


def scored(name: str, value: float | None) -> dict[str, Any]:
    """Return a run with an ROC AUC."""
    return {"name": name, "label": name.upper(), "valid": {"roc_auc": value}}


@pytest.mark.parametrize(
    ("scores", "winner", "reason"),
    [
        ([0.90, 0.95, 0.96], "c", "highest"),
        ([0.90, 0.957, 0.96], "b", "simplest within 0.01"),
        ([0.96, 0.90, 0.957], "a", "highest"),
        ([None, 0.7, 0.6], "b", "highest"),
    ],
)
def test_the_simplest_within_the_tolerance_wins(
    material: train.TrainingData, scores: list[float | None], winner: str, reason: str
) -> None:
    runs_ = [scored(name, value) for name, value in zip("abc", scores, strict=True)]
    chosen, why = train.find_winner(material, scored("baseline", 0.5), runs_)
    assert chosen["name"] == winner
    assert reason in why


def test_a_metric_that_is_undefined_on_valid_is_said(material: train.TrainingData) -> None:
    with pytest.raises(UserError, match="roc_auc is not defined on valid"):
        train.find_winner(material, scored("baseline", None), [scored("a", None)])


def test_absolute_errors_are_compared_with_the_median(
    ready: Callable[..., Project], tmp_path: Path
) -> None:
    project = copy_of(ready("amount"), tmp_path / "project")
    facts = trained(project, "model.metric=mae", "model.candidates=linear")
    made = train.load_training_data(project, load_settings(project))
    assert facts["baseline"]["constant"]["value"] == pytest.approx(np.median(made.target))


def test_the_baseline_is_the_shares_of_the_classes(project: Project) -> None:
    facts = trained(project, "model.candidates=linear")
    made = train.load_training_data(project, load_settings(project))
    share = (made.target == "yes").mean()
    assert facts["classes"] == ["no", "yes"]
    assert facts["baseline"]["constant"]["probabilities"]["yes"] == pytest.approx(share)


def test_the_baseline_may_be_a_candidate(project: Project) -> None:
    facts = trained(project, "model.candidates=baseline")
    made = train.load_training_data(project, load_settings(project))
    model = load_model(project.bundle_folder(facts["run_id"]))
    assert len(model.predict(made.valid)) == len(made.valid)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.candidates=linear, forrest", "'forrest'; choose one of: baseline, catboost"),
        ("params.linear.depth=3", r"linear\.depth: linear has no parameter 'depth'; it has: C,"),
        ("params.forst.max_depth=3", "there is no candidate 'forst'; choose from: baseline"),
        ("params.hgb.max_iter=none at all", "hgb cannot be fitted: .*'max_iter'.*tells more"),
        ("model.metric=rmse", "a classification is scored by"),
        ("decision.positive=maybe", "the classes are no, yes"),
    ],
)
def test_a_wrong_setting_ends_in_a_sentence(project: Project, override: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        trained(project, override)
    assert not project.report_file("train").exists()


def test_an_estimator_that_is_not_installed_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(UserError, match=r"xgboost is not installed; .*\[xgboost\]"):
        trained(project, "model.candidates=xgboost")


@pytest.mark.parametrize(
    ("values", "task", "sentence"),
    [
        ([0.5, 1.5, 2.0, 3.0], "classification", "numbers with fractions"),
        (["a", "b", "a", "b"], "regression", "not a number"),
    ],
)
def test_a_target_that_does_not_suit_the_task_is_refused(
    values: list[Any], task: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        registry.task(task).target_array(pd.Series(values, name="y"))


def test_a_target_with_one_value_in_train_is_refused() -> None:
    with pytest.raises(UserError, match="same value in all 4 rows"):
        training_data._refuse_constant(pd.Series(["a"] * 4, name="y"))


def test_config_show_has_the_parameters_and_what_they_are_called(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlproj.cli import config_show

    monkeypatch.chdir(project.root)
    config_show(["params.hgb.max_iter=7"])
    shown = capsys.readouterr().out.partition("\n[params]\n")[2]
    assert (
        "# of forest (from conf.cfg; default: the candidate's own)\nforest.n_estimators = 20"
        in shown
    )
    assert "# of hgb (from --set; default: the candidate's own)\nhgb.max_iter = 7\n" in shown


def test_config_show_says_what_params_takes_where_none_is_set(
    make_project: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from mlproj.cli import config_show

    make_project(tmp_path / "plain", data={"source": "sample"})
    monkeypatch.chdir(tmp_path / "plain")
    config_show([])
    shown = capsys.readouterr().out
    assert shown.endswith("\n[params]\n# of an estimator, such as forest.n_estimators = 500\n")
