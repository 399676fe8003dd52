"""What is a finding, and how often it is a false one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj.bundle import champion
from mlproj.core import pipeline
from mlproj.core.errors import GateError
from mlproj.core.files import read_json
from mlproj.data.sample import sample_table
from mlproj.data.split import load_split
from mlproj.evaluation import drift, reference
from mlproj.monitoring import commands, labels, monitor, window
from scipy import stats
from watching import POLICY, ROWS, emptied, found, inspect, piece, scaled, train

SEEDS = 50


# ------------------------------------------------------------------- no drift, and planted drift


def command(project: Any, frame: pd.DataFrame) -> tuple[bool, Any]:
    """Run the command on rows in a file; return whether it ended in the alert, and its facts."""
    frame.to_parquet(project.root / "new.parquet")
    raised = False
    try:
        commands.monitor([], Path("new.parquet"))
    except GateError:  # exit code 1
        raised = True
    return raised, read_json(project.report_file("drift"))["facts"]


def logged_alerts(project: Any) -> list[set[str]]:
    """Return the alerts of each check, as the log has them."""
    lines = (project.logs / "alerts.jsonl").read_text("utf-8").splitlines()
    return [set(json.loads(line)["alert"]) for line in lines]


def test_no_drift_raises_no_alert_at_the_stated_rate(
    project: Any, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over 50 seeds: alerts at 1%, and the certainty alone, without the bar, at 20%."""
    monkeypatch.chdir(project.root)
    lowest, alarms = [], 0
    for seed in range(SEEDS):
        raised, facts = command(project, piece(rows, seed))
        adjusted = [each["adjusted"] for each in facts["findings"]]
        lowest.append(min(p for p in adjusted if p is not None))
        alarms += raised
    certain = int((np.array(lowest) <= 0.2).sum())
    print(f"no drift, {SEEDS} checks: {alarms} alerts, {certain} adjusted p of 0.2 or less")
    assert sum(map(bool, logged_alerts(project))) == alarms
    assert len(logged_alerts(project)) == SEEDS
    assert alarms <= stats.binom.ppf(0.999, SEEDS, POLICY.false_alarms)
    assert certain <= stats.binom.ppf(0.999, SEEDS, 0.2)


def renamed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(plan=frame["plan"].mask(np.arange(len(frame)) % 8 == 0, "platinum"))


def mislabelled(frame: pd.DataFrame) -> pd.DataFrame:
    wrong = np.arange(len(frame)) % 4 == 0
    other = np.where(frame["churned"] == "yes", "no", "yes")
    return frame.assign(churned=np.where(wrong, other, frame["churned"]))


PLANTED: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "feature:income": scaled,
    "missing:rating": emptied,
    "feature:plan": renamed,
    "performance:ROC AUC": mislabelled,
}


@pytest.mark.modules
@pytest.mark.parametrize("key", PLANTED)
def test_planted_drift_raises_the_alert(
    project: Any, rows: pd.DataFrame, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over 50 seeds, each kind alone."""
    monkeypatch.chdir(project.root)
    raised = [command(project, PLANTED[key](piece(rows, seed)))[0] for seed in range(SEEDS)]
    named = [key in keys for keys in logged_alerts(project)]
    print(f"{key}, {SEEDS} checks: {sum(raised)} alerts, {sum(named)} that name it")
    assert [bool(keys) for keys in logged_alerts(project)] == raised
    assert sum(named) >= 0.95 * SEEDS


def test_many_columns_that_belong_together_raise_no_more_alarms() -> None:
    """Holm's bound holds under dependence: forty copies of one column are one risk, not forty."""
    random, alarms = np.random.default_rng(5), 0
    bins = reference.describe_numbers(random.normal(size=3000))
    for _ in range(100):
        values = random.normal(size=(300, 1)) + 0.05 * random.normal(size=(300, 40))
        values /= np.sqrt(1.0025)
        tests = [
            drift.compare_numbers("feature", str(at), values[:, at], bins, 0.0) for at in range(40)
        ]
        alarms += any(each.found for each in drift.judge(tests, 0.1))
    assert alarms <= stats.binom.ppf(0.999, 100, 0.1)


def test_rows_that_are_equal_by_chance_are_no_drift(tmp_path: Path, make_project: Any) -> None:
    """The model learns from one of them, later rows come with all of them."""
    random = np.random.default_rng(1)

    def draw(size: int) -> pd.DataFrame:
        shares = 1 / np.arange(1, 13)
        drawn = random.choice(12, (size, 4), p=shares / shares.sum())
        frame = pd.DataFrame(drawn, columns=list("abcd"))
        sure = 1 / (1 + np.exp(-0.4 * (frame.sum(axis=1) - 11)))
        return frame.assign(churned=np.where(random.random(size) < sure, "yes", "no"))

    dropped = {"source": "rows.parquet", "target": "churned", "duplicates": "drop"}
    project = train(make_project, tmp_path / "coarse", draw(3000), data=dropped)
    model = champion.load_champion(project)
    assert len(load_split(project, "train")) < 1600  # of 2,100
    assert monitor.read_reference(model)["rows"] > 2000
    assert [found(model, draw(500)) for _ in range(6)] == [set()] * 6


def test_what_a_model_said_of_train_is_not_what_it_is_held_against(
    tmp_path: Path, make_project: Any, rows: pd.DataFrame
) -> None:
    """A forest that knows its rows by heart is surer of them than of any later ones."""
    project = train(
        make_project,
        tmp_path / "forest",
        rows[:1500],
        model={"candidates": "forest"},
        params={"forest.n_estimators": 20, "forest.min_samples_leaf": 1},
    )
    by_heart = champion.load_champion(project)
    valid = pipeline.require(project, "preprocess").facts["rows"]["valid"]
    assert monitor.read_reference(by_heart)["prediction"]["rows"] == valid
    alarms = [found(by_heart, piece(rows, seed)) for seed in range(5)]
    assert set().union(*alarms) == set()


def test_dates_go_on_without_a_finding(tmp_path: Path, make_project: Any) -> None:
    table = sample_table(1000).drop(columns="customer_id")
    project = train(make_project, tmp_path / "dates", table)
    later = table.assign(signup=table["signup"] + pd.Timedelta(days=3000))
    dated = champion.load_champion(project)
    assert "feature:signup" not in found(dated, later)
    assert any(each.name == "signup" for each in inspect(dated, later))


def test_a_feature_that_may_change_is_left_out(model: Any, rows: pd.DataFrame) -> None:
    policy = POLICY.model_copy(update={"ignore": ("income",)})
    assert "feature:income" not in found(model, scaled(piece(rows, 0)), policy)


def test_numbers_that_are_predicted_are_watched_too(
    tmp_path: Path, make_project: Any, rows: pd.DataFrame
) -> None:
    project = train(
        make_project,
        tmp_path / "spend",
        rows[:2000],
        data={"source": "rows.parquet", "target": "spend"},
        model={"task": "regression"},
    )
    watched = champion.load_champion(project)
    assert found(watched, piece(rows, 1)) == set()
    dearer = piece(rows, 2)
    dearer = dearer.assign(spend=dearer["spend"] * 2)
    assert {"target:spend", "performance:RMSE"} <= found(watched, dearer)
    assert "prediction:value" in found(watched, dearer.assign(income=dearer["income"] * 3))
    garbled = dearer.astype({"spend": object})
    garbled.loc[:249, "spend"] = "huh"
    seen = window.window_of(watched, garbled, "rows")
    faults = [(each.column, each.rule, each.share) for each in seen.faults]
    assert faults == [("spend", "type", 0.5)]
    assert len(seen.truth) == ROWS - 250


def test_a_column_of_the_data_is_not_taken_for_the_models_answer(
    tmp_path: Path, make_project: Any, rows: pd.DataFrame
) -> None:
    names = {"spend": "prediction", "income": "probability_yes"}
    for target, task in (("prediction", "regression"), ("churned", "classification")):
        project = train(
            make_project,
            tmp_path / task,
            rows[:2000].rename(columns=names),
            data={"source": "rows.parquet", "target": target},
            model={"task": task},
        )
        watched = champion.load_champion(project)
        later = piece(rows, 1).rename(columns=names)
        assert found(watched, later) == set()
        if task == "regression":
            dearer = later.assign(prediction=later["prediction"] * 2)
            assert "performance:RMSE" in found(watched, dearer)
        assert "feature:probability_yes" in found(watched, later.assign(probability_yes=1e6))


@pytest.mark.parametrize("classes", [(0, 1, 2), (False, True)], ids=["numbers", "flags"])
def test_classes_of_any_kind_are_watched(
    tmp_path: Path, make_project: Any, rows: pd.DataFrame, classes: tuple[Any, ...]
) -> None:
    cut = pd.qcut(rows["spend"][:6000], len(classes), labels=False)
    table = rows[:6000].assign(grade=[classes[code] for code in cut]).drop(columns="spend")
    data = {"source": "rows.parquet", "target": "grade"}
    project = train(make_project, tmp_path / "grades", table[:3000], data=data)
    watched = champion.load_champion(project)
    later = table[3000:4000].reset_index(drop=True)
    findings = inspect(watched, later)
    assert {each.about for each in findings} >= {"prediction", "target", "performance"}
    assert not any(each.found for each in findings)
    said = watched.predict(later)
    scored = inspect(watched, pd.concat([later, said], axis=1))
    assert [(e.name, e.p) for e in scored] == [(e.name, e.p) for e in findings]
    lowest = later.assign(grade=classes[0])
    assert {"target:grade"} <= found(watched, lowest)


# ------------------------------------------------------------------------ labels


def test_label_shift_is_seen_with_labels_and_estimated_without(
    model: Any, rows: pd.DataFrame
) -> None:
    pool = piece(rows, 0, 8000)
    churned = pool["churned"] == "yes"
    shifted = pd.concat([pool[churned][:1600], pool[~churned][:400]]).sample(frac=1, random_state=0)
    assert "target:churned" in found(model, shifted.reset_index(drop=True))
    unlabelled = window.window_of(model, shifted.drop(columns="churned"), "rows")
    known = monitor.read_reference(model)
    shares = labels.estimate_shares(model, known, unlabelled.predictions)
    assert shares is not None
    assert shares["yes"]["low"] <= 0.8 <= shares["yes"]["high"]
    assert shares["yes"]["high"] - shares["yes"]["low"] < 0.3
    assert shares["yes"]["reference"] < 0.6


def test_shares_are_not_estimated_where_classes_are_taken_for_each_other(model: Any) -> None:
    known = monitor.read_reference(model)
    blurred = {**known, "prediction": {**known["prediction"], "confusion": [[50, 50], [50, 50]]}}
    said = labels.Predictions(labels=np.array(["yes", "no"], dtype=object))
    assert labels.estimate_shares(model, blurred, said) is None


def test_few_labels_are_no_judgement(model: Any, rows: pd.DataFrame) -> None:
    frame = mislabelled(piece(rows, 0))
    frame["churned"] = frame["churned"].astype(object).where(np.arange(len(frame)) < 20, None)
    assert [each for each in inspect(model, frame) if each.about == "performance"] == []


def test_why_the_metric_was_not_compared_is_told(model: Any, rows: pd.DataFrame) -> None:
    frame, known = piece(rows, 0), monitor.read_reference(model)
    cases = {
        "the rows were not scored": frame.drop(columns="age"),
        "fewer than 30 labels": frame[:25],
        "it needs probabilities": frame.assign(prediction="yes"),
    }
    for why, given in cases.items():
        seen = window.window_of(model, given, "rows")
        notes = monitor.inspect(model, known, seen, POLICY)[1]["notes"]
        assert [why in note for note in notes if "was not compared" in note] == [True]
