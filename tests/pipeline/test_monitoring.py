"""Monitoring: what is a finding, how often it is a false one, and what becomes of it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj.bundle import champion, reference
from mlproj.bundle.bundle import load_bundle
from mlproj.core import config, pipeline, registry
from mlproj.core.errors import GateError, UserError
from mlproj.core.files import read_json
from mlproj.data.sample import sample_table
from mlproj.data.split import load_split
from mlproj.evaluation.bootstrap import bootstrap
from mlproj.evaluation.predictions import Predictions
from mlproj.monitoring import alerts, commands, drift, labels, monitor, page, settings, window
from scipy import stats
from scipy.spatial.distance import jensenshannon

SEEDS = 50
ROWS = 500
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
POLICY = settings.MonitorSettings()


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Rows in random order: any piece is distributed as any other, whatever the generator drew."""
    table = sample_table(60_000, seed=11).drop(columns=["customer_id", "signup"])
    mixed: pd.DataFrame = table.sample(frac=1, random_state=0).reset_index(drop=True)
    return mixed


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, make_project: Any, rows: Any) -> Any:
    """A project with a champion, made from the first 4,000 rows; leave it unchanged."""
    return train(make_project, tmp_path_factory.mktemp("monitor"), rows[:4000])


def train(make_project: Any, folder: Path, rows: pd.DataFrame, **sections: Any) -> Any:
    """Return a project whose champion was made from the rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(folder / "rows.parquet")
    given = {"data": {"source": "rows.parquet", "target": "churned"}, **sections}
    given["model"] = {"candidates": "linear", "folds": 0, **sections.get("model", {})}
    project = make_project(folder, **given, evaluate={"bootstrap": 50})
    pipeline.run(project, config.load_settings(project), until="evaluate", say=lambda text: None)
    return project


@pytest.fixture
def project(trained: Any, tmp_path: Path) -> Any:
    """Return a copy of that project."""
    shutil.copytree(trained.root, tmp_path / "project")
    return type(trained)(tmp_path / "project")


@pytest.fixture(scope="module")
def model(trained: Any) -> Any:
    """Return its champion."""
    return champion.load_champion(trained)


def piece(rows: pd.DataFrame, seed: int, size: int = ROWS) -> pd.DataFrame:
    """Return rows that the champion was not made from; others for each seed."""
    begin = 4000 + seed * size
    return rows.iloc[begin : begin + size].reset_index(drop=True)


def inspect(model: Any, frame: pd.DataFrame, policy: Any = POLICY) -> list[Any]:
    """Return every comparison of some rows with the model's reference."""
    seen = window.window_of(model, frame, "rows")
    return list(monitor.inspect(model, monitor.read_reference(model), seen, policy)[0])


def found(model: Any, frame: pd.DataFrame, policy: Any = POLICY) -> set[str]:
    """Return what of it are findings."""
    return {f"{each.about}:{each.name}" for each in inspect(model, frame, policy) if each.found}


# ---------------------------------------------------------------------------- the statistics


def test_chi_square_is_that_of_scipy() -> None:
    before, now = np.array([300, 200, 500]), np.array([100, 90, 170])
    expected = stats.chi2_contingency([before, now], correction=False)
    statistic, p = drift.chi_square(before, now)
    assert statistic == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue)


def test_small_p_values_of_rare_cells_are_simulated() -> None:
    before, now = np.array([4960, 40]), np.array([96, 4])
    _, p = drift.chi_square(before, now)
    exact = stats.fisher_exact([before, now]).pvalue
    assert p == pytest.approx(exact, rel=0.3)
    assert stats.chi2_contingency([before, now], correction=False).pvalue < exact / 5


def test_kolmogorov_smirnov_is_that_of_scipy_or_more_careful() -> None:
    random = np.random.default_rng(0)
    before, now = random.normal(size=5000), random.normal(0.15, 1, 400)
    bins = reference._bins(before)
    distance, p = drift.kolmogorov_smirnov(
        np.array(bins["counts"]), reference.count_bins(now, bins["edges"])
    )
    expected = stats.ks_2samp(before, now)
    assert expected.statistic - 0.02 <= distance <= expected.statistic
    assert expected.pvalue * 0.9 <= p <= expected.pvalue * 10


@pytest.mark.parametrize(("now", "m"), [(5, 100), (30, 100), (0, 40)])
def test_two_proportions_is_never_bolder_than_fishers_test(now: int, m: int) -> None:
    p = drift.two_proportions(50, 1000, now, m)
    table = [[50, 950], [now, m - now]]
    assert stats.fisher_exact(table).pvalue <= p * (1 + 1e-9)
    assert p <= 2.2 * stats.fisher_exact(table).pvalue


def test_sizes_of_a_difference() -> None:
    before, now = np.array([600, 300, 100]) * 1000, np.array([500, 300, 200]) * 1000
    p, q = before / before.sum(), now / now.sum()
    index = ((q - p) * np.log(q / p)).sum()
    assert drift.population_stability(before, now) == pytest.approx(index, rel=1e-3)
    assert drift.jensen_shannon(before, now) == pytest.approx(jensenshannon(p, q, base=2))
    assert drift.population_stability(np.array([10, 0]), np.array([0, 10])) < 10


def test_p_values_are_adjusted_as_holm_did() -> None:
    def finding(p: float | None) -> Any:
        return drift.Finding("feature", "x", "test", 0.0, p, "PSI", 1.0, 0.1)

    judged = drift.judge([finding(p) for p in (0.03, None, 0.01, 0.04)], 0.05)
    assert [each.adjusted for each in judged] == [0.06, None, 0.03, 0.06]
    assert [each.found for each in judged] == [False, False, True, False]


NUMBERS: dict[str, Callable[[Any, int], Any]] = {
    "smooth": lambda random, size: random.normal(size=size),
    "ties": lambda random, size: random.normal(size=size).round(1),
    "few values": lambda random, size: random.poisson(2, size).astype(float),
    "rare flag": lambda random, size: (random.random(size) < 0.03).astype(float),
}


@pytest.mark.parametrize("size", [30, 1000])
@pytest.mark.parametrize("kind", [*NUMBERS, "even categories", "rare categories"])
def test_p_values_keep_what_they_promise(kind: str, size: int) -> None:
    """A p below a tenth comes at most once in ten, but for chance, in small samples and ties."""
    random, tries, p_values = np.random.default_rng(len(kind)), 250, []
    shares = np.ones(8) / 8 if kind == "even categories" else 1 / np.arange(1, 31)
    shares = shares / shares.sum()
    for _ in range(tries):
        if kind in NUMBERS:
            bins = reference._bins(NUMBERS[kind](random, 2000))
            values = NUMBERS[kind](random, size)
            p = drift.compare_numbers("feature", "x", values, bins, 0.1).p
        else:
            before, now = random.multinomial(2000, shares), random.multinomial(size, shares)
            p = drift.chi_square(before, now)[1]
        p_values.append(1.0 if p is None else p)
    below = (np.array(p_values) <= 0.1).sum()
    assert below <= stats.binom.ppf(0.999, tries, 0.1)


@pytest.mark.parametrize("kind", ["many categories", "even categories", "smooth", "few values"])
def test_small_samples_can_still_be_told_apart(kind: str) -> None:
    random, size = np.random.default_rng(0), 40
    if kind == "many categories":  # of which none expects a row
        assert (drift.chi_square(np.full(60, 50), np.array([size, *[0] * 59]))[1] or 1) < 1e-3
        return
    if kind == "even categories":
        before, now = np.full(8, 250), random.multinomial(size, [0.6, *[0.4 / 7] * 7])
        assert (drift.chi_square(before, now)[1] or 1) < 1e-3
    else:
        bins = reference._bins(NUMBERS[kind](random, 2000))
        values = NUMBERS[kind](random, size) + 1.2
        assert (drift.compare_numbers("feature", "x", values, bins, 0.1).p or 1) < 1e-3


@pytest.mark.parametrize("metric", ["roc_auc", "rmse"])
def test_a_small_valid_that_was_easy_makes_no_later_rows_worse(metric: str) -> None:
    """Without a change, a p of a hundredth comes once in a hundred, and a large loss is seen."""
    random = np.random.default_rng(1)

    def interval(rows: int, wrong: bool = False) -> Any:
        signal = random.normal(size=rows) * (4 if metric == "roc_auc" else 1)
        shown = random.permutation(signal) if wrong else signal
        if metric == "roc_auc":
            truth, share = random.random(rows) < 1 / (1 + np.exp(-signal)), 1 / (1 + np.exp(-shown))
            said = Predictions(probabilities=np.c_[1 - share, share])
            outcome = registry.task("classification").label(truth, said, [False, True])
        else:
            truth = np.exp(signal + 0.7 * random.normal(size=rows))
            said = Predictions(values=np.exp(shown + 0.245))
            outcome = registry.task("regression").label(truth, said)
        return bootstrap(outcome, outcome, metric, resamples=200)[0][metric]

    def worse(wrong: bool = False) -> bool:
        p = labels._worse(interval(85), interval(3000, wrong), 85, 3000, metric == "roc_auc")
        return bool(p <= 0.01)

    assert sum(worse() for _ in range(150)) <= stats.binom.ppf(0.999, 150, 0.01)
    if metric == "roc_auc":  # 85 errors with so long a tail tell little
        assert all(worse(wrong=True) for _ in range(20))


def test_a_trifle_in_a_huge_sample_is_certain_and_no_finding() -> None:
    random = np.random.default_rng(0)
    bins = reference._bins(random.normal(size=50_000))
    finding = drift.compare_numbers("feature", "x", random.normal(0.05, 1, 50_000), bins, 0.1)
    judged = drift.judge([finding], 0.01)[0]
    assert judged.adjusted is not None
    assert judged.adjusted < 1e-6
    assert not judged.found


def test_values_that_came_by_float32_fall_where_they_were() -> None:
    values = np.random.default_rng(0).integers(1, 40, 5000) / 30
    bins = reference._bins(values)
    again = reference.count_bins(values.astype(np.float32).astype(float), bins["edges"])
    assert again.tolist() == bins["counts"]


def draw(kind: str, size: int) -> tuple[Any, Any]:
    """Return numbers as training knew them, and with values that it never saw."""
    random = np.random.default_rng(0)
    zeros, flags = np.where(random.random(size) < 0.9, 0, 2.5), random.integers(0, 2, size)
    stars = random.integers(1, 6, size)
    pairs = {
        "a smaller constant": (np.full(size, 5.0), np.full(size, 3.0)),
        "a greater constant": (np.full(size, 5.0), np.full(size, 7.0)),
        "zeros marked -999": (zeros, np.where(zeros == 0, -999, zeros)),
        "flags with -1": (flags, np.where(flags == 0, -1, flags)),
        "99 for the most": (stars, np.where(stars == 5, 99, stars)),
        "a latitude": (
            52.52 + random.normal(0, 1e-5, size),
            52.52005 + random.normal(0, 1e-5, size),
        ),
    }
    return pairs[kind]


@pytest.mark.parametrize(
    "kind",
    ["a smaller constant", "a greater constant", "zeros marked -999", "flags with -1",
     "99 for the most", "a latitude"],
)  # fmt: skip
def test_values_beyond_those_of_training_are_found(kind: str) -> None:
    before, now = draw(kind, 600)
    bins = reference._bins(before)
    finding = drift.compare_numbers("feature", "x", now, bins, 0.1)
    assert drift.judge([finding], 0.01)[0].found
    same = drift.compare_numbers("feature", "x", before[:300], bins, 0.1)
    assert not drift.judge([same], 0.01)[0].found


def test_bins_are_named_by_what_they_hold() -> None:
    zeros = np.repeat([0.0, 1.0, 2.0], [710, 145, 145])
    cells = drift.compare_numbers("feature", "x", np.full(50, -1.0), reference._bins(zeros), 0.1)
    assert cells.cells == ("below 0", "0", "0 to 1", "1 to 2", "above 2")
    assert cells.now == (1, 0, 0, 0, 0)


def test_many_tests_leave_what_is_certain_certain() -> None:
    """With 1,000 tests at 0.001, a p as small as draws can tell would never be a finding."""
    _, p = drift.chi_square(np.full(10, 2000), np.array([500, *[0] * 9]))
    assert p is not None
    assert p < 1e-12
    before, now = np.array([49_500, 500]), np.array([180, 20])
    _, rare = drift.chi_square(before, now)
    exact = stats.fisher_exact([before, now]).pvalue
    assert exact <= (rare or 0) <= 10 * exact < 1e-12


def test_huge_values_are_compared_without_a_warning() -> None:
    bins = reference._bins(np.arange(1000.0))
    with np.errstate(all="raise"):
        finding = drift.compare_numbers("feature", "x", np.full(100, 1.7e308), bins, 0.1)
    assert drift.judge([finding], 0.01)[0].found


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


def scaled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(income=frame["income"] * 1.3)


def emptied(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(rating=frame["rating"].mask(np.arange(len(frame)) % 6 == 0))


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
    bins = reference._bins(random.normal(size=3000))
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

    project = train(make_project, tmp_path / "coarse", draw(3000))
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


# ------------------------------------------------------------------------ files


def test_bad_values_are_counted_by_column_and_rule_and_hide_nothing(
    model: Any, rows: pd.DataFrame, tmp_path: Path
) -> None:
    frame = scaled(piece(rows, 0)).astype({"age": object, "plan": object, "visits": object})
    frame.loc[:9, "age"] = "old"
    frame.loc[10:14, "visits"] = 2.5
    frame.loc[:4, "plan"] = "platinum"
    frame.loc[5:7, "income"] = np.inf
    frame.loc[20:21, "visits"] = 10_000
    frame.loc[30:36, "gender"] = None
    seen = window.window_of(model, frame, "rows")
    faults = {(fault.column, fault.rule): fault.rows for fault in seen.faults}
    assert faults == {
        ("age", "type"): 10,
        ("visits", "type"): 5,
        ("plan", "categories"): 5,
        ("income", "type"): 3,
        ("visits", "maximum"): 2,
        ("gender", "nullable"): 7,
    }
    assert seen.predictions is not None
    assert np.isfinite(seen.predictions.probabilities).all()
    assert "feature:income" in found(model, frame)


def test_a_missing_column_is_a_problem_and_the_others_are_watched(
    model: Any, rows: pd.DataFrame
) -> None:
    seen = window.window_of(model, scaled(piece(rows, 0)).drop(columns="age"), "rows")
    known = monitor.read_reference(model)
    findings, _ = monitor.inspect(model, known, seen, POLICY)
    problems = {each.key for each in monitor.find_problems(findings, seen, POLICY)}
    assert {"quality:age:there", "feature:income"} <= problems


def test_scored_rows_are_not_scored_again(model: Any, rows: pd.DataFrame) -> None:
    frame = piece(rows, 0).drop(columns="age")
    frame["prediction"], frame["probability_no"], frame["probability_yes"] = "yes", 0.01, 0.99
    seen = window.window_of(model, frame, "rows")
    assert set(seen.predictions.labels) == {"yes"}
    assert seen.absent == ("age",)
    assert seen.faults == ()
    assert "prediction:class" in found(model, frame)
    with pytest.raises(UserError, match="'maybe' is not a class"):
        window.window_of(model, frame.assign(prediction="maybe"), "rows")
    frame.loc[[3, 7], "prediction"] = None
    with pytest.raises(UserError, match="'prediction' is empty in row 4; leave"):
        window.window_of(model, frame, "rows")


@pytest.mark.parametrize(("value", "shown"), [("x", "'x'"), (np.nan, "'nan'"), (np.inf, "'inf'")])
def test_predictions_that_are_no_numbers_are_refused(
    model: Any, rows: pd.DataFrame, value: Any, shown: str
) -> None:
    frame = piece(rows, 0).assign(prediction="yes", probability_no=0.1, probability_yes=0.9)
    frame["probability_no"] = frame["probability_no"].astype(object).where(frame.index != 3, value)
    with pytest.raises(UserError, match=f"'probability_no' holds {shown}"):
        window.window_of(model, frame, "rows")


def test_a_table_of_something_else_is_refused(model: Any) -> None:
    with pytest.raises(UserError, match="has no feature of the model"):
        window.window_of(model, pd.DataFrame({"prediction": ["yes"]}), "scored.csv")


def test_more_rows_than_asked_for_are_thinned_evenly(model: Any, rows: pd.DataFrame) -> None:
    frame = piece(rows, 0).assign(age=200)
    frame["churned"] = frame["churned"].astype(object).where(np.arange(ROWS) < 60, None)
    seen = window.window_of(model, frame, "rows", 100)
    assert seen.frame.index.tolist() == list(range(0, ROWS, 5))
    assert len(seen.predictions.labels) == 100
    assert (
        len(seen.truth) == len(seen.labelled_predictions.labels) == 60
    )  # labels are few: all of them
    assert seen.rows == seen.faults[0].rows == ROWS


# ------------------------------------------------------------------------ the log


def write_log(project: Any, model: Any, frame: pd.DataFrame, when: datetime, name: str) -> None:
    """Write predictions the way the service does."""
    said = model.predict(frame, strict=False)
    own = {
        "time": [when] * len(frame),
        "request_id": [f"{name}-{at // 5}" for at in range(len(frame))],
        "row": [at % 5 for at in range(len(frame))],
        "run_id": model.run_id,
        "role": "champion",
    }
    features = frame[[column.name for column in model.schema.features]]
    table = pd.concat([pd.DataFrame(own, index=frame.index), features, said], axis=1)
    folder = project.logs / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / f"{name}.parquet")


def test_the_log_is_watched_with_the_labels_that_came(
    project: Any, model: Any, rows: pd.DataFrame
) -> None:
    frame = piece(rows, 0)
    write_log(project, model, frame, NOON - timedelta(days=3), "new")
    write_log(project, model, scaled(frame), NOON - timedelta(days=30), "old")
    (project.logs / "predictions" / "cut.parquet").write_bytes(b"PAR1")
    lines = [
        {"request_id": f"new-{at // 5}", "row": at % 5, "label": str(label),
         "time": (NOON - timedelta(days=1)).isoformat()}
        for at, label in enumerate(frame["churned"][:200])
    ]  # fmt: skip
    wrong = {**lines[0], "label": "no" if lines[0]["label"] == "yes" else "yes"}
    broken = {**wrong, "row": "first"}
    text = "".join(json.dumps(line) + "\n" for line in [wrong, broken, *lines])
    content = b"\xff\n" + text.encode() + b'{"request_id": "cut'
    (project.logs / "feedback.jsonl").write_bytes(content)
    seen = window.open_log(project, model, days=7, label_days=2, now=NOON)
    assert seen.rows == ROWS
    assert seen.truth.tolist() == frame["churned"][:200].tolist()
    delay = seen.delay
    assert (delay.labelled, delay.unlabelled, delay.due, delay.due_labelled) == (200, 300, 500, 200)
    assert delay.median == pytest.approx(2)
    assert seen.notes == ("1 file of the log could not be read",)
    options = ("monitor.label_days=2",)
    check = monitor.monitor(project, config.load_settings(project, options), now=NOON)
    assert [each["key"] for each in check.facts["problems"]] == ["delay"]


def test_a_row_that_was_asked_twice_counts_once(
    project: Any, model: Any, rows: pd.DataFrame
) -> None:
    frame = piece(rows, 0)
    write_log(project, model, frame, NOON, "new")
    path = project.logs / "predictions" / "new.parquet"
    logged = pd.read_parquet(path)
    hour = timedelta(hours=1)
    earlier = logged.assign(time=NOON - hour, age=99.0)
    earlier[:100].to_parquet(path.with_name("tried.parquet"))
    shadow = logged.assign(time=NOON + hour, run_id="00000000", role="shadow", age=1.0)
    shadow.to_parquet(path.with_name("shadow.parquet"))
    frame.to_parquet(path.with_name("a_copy.parquet"))  # not of the log: it has no such columns
    seen = window.open_log(project, model, days=7, label_days=0, now=NOON + 2 * hour)
    assert seen.rows == ROWS
    pd.testing.assert_series_equal(seen.frame["age"], frame["age"], check_dtype=False)
    assert seen.notes == ("1 file of the log could not be read",)


def test_times_of_each_kind_are_read_for_themselves() -> None:
    given = [NOON.isoformat(), NOON.timestamp(), str(NOON.timestamp()), "soon", None, 1e300]
    read = window._as_times(pd.Series(given, dtype=object))
    assert read[:3].tolist() == [pd.Timestamp(NOON)] * 3
    assert read[3:].isna().all()
    assert window._as_times(pd.Series([NOON.timestamp()] * 2)).eq(pd.Timestamp(NOON)).all()


def test_labels_that_could_never_be_late_are_refused(project: Any) -> None:
    with pytest.raises(UserError, match=r"label_days is 7, but has to be below days, 7: only"):
        config.load_settings(project, ("monitor.label_days=7",))
    assert config.load_settings(project, ("monitor.label_days=7", "monitor.days=14"))


def test_another_models_rows_are_not_this_ones(
    project: Any, model: Any, rows: pd.DataFrame
) -> None:
    write_log(project, model, piece(rows, 0), NOON, "new")
    path = project.logs / "predictions" / "new.parquet"
    pd.read_parquet(path).assign(run_id="00000000").to_parquet(path)
    with pytest.raises(UserError, match="no prediction of the model"):
        window.open_log(project, model, days=7, label_days=0, now=NOON)


def test_without_a_log_a_file_is_asked_for(project: Any) -> None:
    with pytest.raises(UserError, match="takes a file"):
        monitor.monitor(project, config.load_settings(project))


# ------------------------------------------------------------------------ alerts


def check(project: Any, frame: pd.DataFrame, *overrides: str) -> Any:
    """Monitor rows as a file."""
    path = project.root / "new.csv"
    frame.to_csv(path, index=False)
    return monitor.monitor(project, config.load_settings(project, overrides), path, now=NOON)


def test_a_problem_is_an_alert_once_it_was_found_often_enough(
    project: Any, rows: pd.DataFrame
) -> None:
    policy = ("monitor.checks=2", "monitor.whom=the shop", "monitor.what=call them")
    first = check(project, scaled(piece(rows, 0)), *policy)
    assert first.alert is None
    assert first.facts["problems"][0]["checks"] == 1
    assert check(project, scaled(piece(rows, 0)), *policy).alert is None  # the same rows again
    second = check(project, scaled(piece(rows, 1)), *policy)
    assert second.alert is not None
    assert "Tell: the shop. Do: call them." in second.alert
    assert check(project, piece(rows, 2), *policy).alert is None  # quiet: the count starts anew
    assert check(project, scaled(piece(rows, 3)), *policy).alert is None
    lines = [json.loads(t) for t in (project.logs / "alerts.jsonl").read_text("utf-8").splitlines()]
    assert [bool(line["alert"]) for line in lines] == [False, False, True, False, False]


def test_checks_of_another_model_do_not_count(project: Any) -> None:
    problem = alerts.Problem("feature:income", "drift", "it drifted")
    policy = settings.MonitorSettings(checks=2)
    quiet = alerts.decide(project, policy, [problem], run_id="a", content="1")
    told = {"content": "1", "where": "x", "time": NOON, "sent": "nothing"}
    alerts.record(project, [problem], quiet, run_id="a", **told)
    assert not alerts.decide(project, policy, [problem], run_id="b", content="2").firing
    assert alerts.decide(project, policy, [problem], run_id="a", content="2").firing


def test_checks_of_files_and_of_the_log_count_apart(project: Any) -> None:
    problem = alerts.Problem("feature:income", "drift", "it drifted")
    policy = settings.MonitorSettings()
    fires = alerts.decide(project, policy, [problem], run_id="a", content="1", log=True)
    told = {"where": "x", "time": NOON, "run_id": "a"}
    alerts.record(project, [problem], fires, **told, content="1", sent="yes", log=True)
    quiet = alerts.decide(project, policy, [], run_id="a", content="2")
    alerts.record(project, [], quiet, **told, content="2", sent="nothing")
    again = alerts.decide(project, policy, [problem], run_id="a", content="3", log=True)
    assert again.firing
    assert not again.fresh
    twice = policy.model_copy(update={"checks": 2})
    assert alerts.decide(project, twice, [problem], run_id="a", content="3", log=True).firing
    assert not alerts.decide(project, twice, [problem], run_id="a", content="3").firing


def test_lines_of_alerts_that_are_broken_are_passed_over(project: Any, rows: pd.DataFrame) -> None:
    check(project, scaled(piece(rows, 0)))
    path = project.logs / "alerts.jsonl"
    path.write_bytes(b'\xff\xfe{"run"\n[]\n' + path.read_bytes() + b'{"time": "2026-')
    second = check(project, scaled(piece(rows, 1)), "monitor.checks=2")
    assert second.alert
    assert len(path.read_bytes().splitlines()) == 5


@contextmanager
def receiver(status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """Yield the address of a server on loopback, and what it was sent."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802  # the library's name
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Location", f"http://{self.headers['Host']}/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:  # noqa: N802  # what a redirected POST becomes
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook/s3cret", received
    finally:
        server.shutdown()
        server.server_close()


def test_the_webhook_gets_each_alert_once_and_its_address_stays_secret(
    project: Any, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver() as (url, received):
        monkeypatch.setenv("HOOK", url)
        for seed in (0, 1):
            assert check(project, scaled(piece(rows, seed)), "monitor.webhook=env:HOOK").alert
        assert len(received) == 1
        assert "'income' drifted" in received[0]["text"]
        assert {each["key"] for each in received[0]["problems"]} >= {"feature:income"}
        assert check(project, emptied(scaled(piece(rows, 2))), "monitor.webhook=env:HOOK").alert
        assert len(received) == 2
    written = [path for path in project.root.rglob("*") if path.is_file()]
    assert not any(b"s3cret" in path.read_bytes() for path in written)


def test_an_alert_that_did_not_arrive_is_sent_again(
    project: Any, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver(status=500) as (url, received):
        monkeypatch.setenv("HOOK", url)
        unsent = check(project, scaled(piece(rows, 0)), "monitor.webhook=env:HOOK")
        assert unsent.alert
        assert "it answered 500" in unsent.unsent
        assert "s3cret" not in unsent.unsent
    assert check(project, scaled(piece(rows, 1)), "monitor.webhook=env:HOOK").unsent  # gone
    with receiver() as (url, received):
        monkeypatch.setenv("HOOK", url)
        assert check(project, scaled(piece(rows, 2)), "monitor.webhook=env:HOOK").unsent is None
        assert len(received) == 1


def test_a_webhook_that_redirects_did_not_get_the_alert(
    project: Any, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver(status=302) as (url, _):
        monkeypatch.setenv("HOOK", url)
        sent = check(project, scaled(piece(rows, 0)), "monitor.webhook=env:HOOK")
    assert "it answered 302" in sent.unsent


def test_a_webhook_that_drips_its_answer_holds_the_check_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alerts, "TIMEOUT", 0.5)
    over = threading.Event()

    def drip() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            while not over.wait(0.1):
                connection.sendall(b"H")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, daemon=True).start()
        started = time.monotonic()
        unsent = alerts.send(f"http://127.0.0.1:{server.getsockname()[1]}/", {})
        took = time.monotonic() - started
        over.set()
    assert unsent is not None
    assert "no answer in 0.5 seconds" in unsent
    assert took < 3


def test_a_webhook_that_is_named_later_gets_the_alert_that_lasts(
    project: Any, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(project, scaled(piece(rows, 0))).alert
    with receiver() as (url, received):
        monkeypatch.setenv("HOOK", url)
        assert check(project, scaled(piece(rows, 1)), "monitor.webhook=env:HOOK").alert
        assert len(received) == 1


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("https://hooks.example.com/s3cret", None, "name its environment variable"),
        ("env:HOOK", None, "HOOK, which is not set"),
        ("env:HOOK", "file:///etc/passwd", "no http or https URL"),
        ("env:HOOK", "https://[half", "no http or https URL"),
        ("env:HOOK", "https://me:s3cret@hooks.example.com/", "names a user before its host"),
    ],
)
def test_a_webhook_that_cannot_work_is_refused_before_the_check(
    project: Any, monkeypatch: pytest.MonkeyPatch, setting: str, value: str | None, sentence: str
) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    if value is not None:
        monkeypatch.setenv("HOOK", value)
    with pytest.raises(UserError, match=sentence):
        loaded = config.load_settings(project, (f"monitor.webhook={setting}",))
        monitor.monitor(project, loaded, project.root / "rows.parquet")


# ------------------------------------------------------------------------ what is written


def test_the_report_keeps_values_of_rows_out_of_what_git_tracks(
    project: Any, rows: pd.DataFrame
) -> None:
    frame = piece(rows, 0).astype({"age": object})
    frame.loc[:20, "age"] = "Ms Secret"
    check(project, frame)
    text = (project.reports / "drift.json").read_text(encoding="utf-8")
    document = json.loads(text)
    assert document["stage"] == "monitor"
    assert document["run_id"] == champion.verify_champion(project)
    assert "Ms Secret" not in text
    assert str(project.root) not in text
    html = (project.reports / "drift.html").read_text(encoding="utf-8")
    assert "Ms Secret" in html  # for the people at this machine
    assert "http" not in html.replace("http-equiv", "")


def test_folders_of_this_machine_are_not_written_down(
    project: Any, rows: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "elsewhere.csv"
    piece(rows, 0).to_csv(path, index=False)
    monitor.monitor(project, config.load_settings(project), path, now=NOON)
    for written in (project.report_file("drift"), project.logs / "alerts.jsonl"):
        text = written.read_text(encoding="utf-8")
        assert "elsewhere.csv" in text
        assert str(tmp_path) not in text


def test_the_report_shows_the_last_check(project: Any, rows: pd.DataFrame) -> None:
    loaded = config.load_settings(project)
    assert page.use_section(project, loaded) is None
    check(project, piece(rows, 0))
    assert "All quiet" in page.use_section(project, loaded).html
    check(project, scaled(piece(rows, 1)), "monitor.whom=<b>the shop</b>")
    pipeline.run_stage(project, loaded, "report")
    html = (project.reports / "index.html").read_text(encoding="utf-8")
    section = html.partition('<section id="use"')[2].partition("</section>")[0]
    assert '<h2 id="use-title">In use</h2>' in section
    for told in ("Alert", "&#x27;income&#x27; drifted", "500 rows", "new.csv", "2026-03-02 12:00"):
        assert told in section
    assert "&lt;b&gt;the shop" in section
    assert 'href="drift.html"' in section
    (project.reports / "drift.html").unlink()
    assert "href" not in page.use_section(project, loaded).html


def test_names_of_the_data_cannot_break_out_of_the_page() -> None:
    cells = ["<script>alert(1)</script>", "b"]
    finding = drift._compare_cells("feature", cells[0], [9, 9], np.array([99, 1]), cells, 0.1)
    drawn = page.draw_shares(cells[0], vars(finding))
    assert "<script>" not in drawn.svg
    assert "<script>" not in page.figures([drawn])


def test_a_bundle_of_an_older_pipeline_is_refused(project: Any, tmp_path: Path) -> None:
    bundle = load_bundle(project, champion.verify_champion(project))
    path = bundle.folder / "reference.json"
    path.write_text(json.dumps({"version": 1}), encoding="utf-8")
    with pytest.raises(UserError, match="is not of version 2"):
        monitor.read_reference(bundle)


def test_exit_codes_tell_a_scheduler(
    project: Any, rows: pd.DataFrame, package_environment: dict[str, str]
) -> None:
    piece(rows, 0).to_csv(project.root / "same.csv", index=False)
    scaled(piece(rows, 1)).to_csv(project.root / "other.csv", index=False)
    codes = {}
    for name in ("same.csv", "other.csv", "nothing.csv"):
        done = subprocess.run(
            [sys.executable, "-m", "mlproj", "monitor", name],
            cwd=project.root,
            env=package_environment,
            capture_output=True,
            encoding="utf-8",
        )
        codes[name] = done.returncode
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") <= 1
    assert codes == {"same.csv": 0, "other.csv": 1, "nothing.csv": 2}
