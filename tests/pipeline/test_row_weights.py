"""Rows count by their weight in fits, metrics, intervals and curves, as in scikit-learn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cases import every_case
from mlproj import predict, train
from mlproj.bundle import bundle as bundles
from mlproj.bundle.card import make_card
from mlproj.checklist import measured
from mlproj.core import pipeline
from mlproj.core.config import DataSettings, Settings, load_settings
from mlproj.core.errors import UserError
from mlproj.core.project import Project, read_report
from mlproj.data.infer import conditions
from mlproj.data.schema import Column, Schema, load_schema, row_weights
from mlproj.data.split import SPLITS, load_split
from mlproj.evaluation import MetricFunction, curves, decision, diagnostics, metrics, team_metrics
from mlproj.evaluation import bootstrap as resampling
from mlproj.evaluation.bootstrap import bootstrap
from mlproj.evaluation.predictions import PredictionsWithTruth
from mlproj.ingest import ingest
from mlproj.models import Candidate, make_candidate
from mlproj.models.training_data import fit_weighted, load_training_data, takes_weights
from mlproj.monitoring import labelled as labelled_rows
from mlproj.monitoring import labels, monitor, retrain, settings, window
from mlproj.tasks.classification import CLASSIFICATION
from mlproj.tasks.regression import REGRESSION
from scored import classes, label, numbers, scikit_learns
from sklearn import dummy, ensemble, linear_model, neighbors
from sklearn import metrics as reference
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

QUICK = {"candidates": "linear", "folds": 2}


def some_weights(rows: int, seed: int = 0) -> np.ndarray:
    """Weights that differ much, a tenth of them 0."""
    random = np.random.default_rng(seed)
    return random.exponential(size=rows) * (random.uniform(size=rows) > 0.1)


def repeated(labelled: PredictionsWithTruth, counts: np.ndarray) -> PredictionsWithTruth:
    """Each row as often as its count says."""
    return labelled.take(np.repeat(np.arange(len(labelled)), counts))


# ------------------------------------------------------------------------------------- metrics

MODELS = {
    "two classes": classes(400, 2, 0, ties=True),
    "five classes": classes(400, 5, 1),
    "numbers": numbers(300, 2),
}


@every_case("name", MODELS, ids=str)
def test_weighted_scores_equal_scikit_learns_and_weight_two_is_the_row_twice(name: str) -> None:
    labelled = MODELS[name]
    weights = some_weights(len(labelled))
    assert metrics.score(labelled.weighted(weights)) == pytest.approx(
        scikit_learns(labelled, weights)
    )
    counts = np.random.default_rng(3).integers(0, 4, len(labelled))
    assert metrics.score(labelled.weighted(counts.astype(float))) == pytest.approx(
        metrics.score(repeated(labelled, counts))
    )


def test_a_row_of_weight_0_does_not_even_make_a_metric_undefined() -> None:
    labelled = label([0.0, 2.0, 4.0], values=[1.0, 1.0, 5.0])
    assert np.isnan(metrics.score(labelled)["mape"])
    assert metrics.score(labelled.weighted(np.array([0.0, 1.0, 3.0])))["mape"] == pytest.approx(
        (0.5 + 3 * 0.25) / 4
    )


def test_metrics_of_the_team_get_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        return float(np.average(y_true != y_pred, weights=sample_weight))

    own = {"wrong": MetricFunction(wrong, greater_is_better=False, perfect=0)}
    for module in (metrics, team_metrics):
        monkeypatch.setattr(module, "team_metrics", lambda: own)
    labelled, weights = MODELS["five classes"], some_weights(400)
    found = metrics.score(labelled.weighted(weights))
    assert found["wrong"] == pytest.approx(1 - found["accuracy"])


@every_case("name", MODELS, ids=str)
def test_intervals_are_those_of_resampled_rows_that_keep_their_weights(name: str) -> None:
    """The standard error of a weighted mean is sqrt(sum of (w * (x - mean))^2) / sum of w."""
    labelled = MODELS[name].weighted(some_weights(len(MODELS[name])))
    if labelled.values is None:
        each, metric = labelled.truth == labelled.labels, "accuracy"
    else:
        each, metric = np.abs(labelled.values - labelled.truth), "mae"
    weights = labelled.weights
    assert weights is not None
    mean = np.average(each, weights=weights)
    error = np.sqrt((weights**2 * (each - mean) ** 2).sum()) / weights.sum()
    for rows in (20_000, 200):
        found, gap = bootstrap(labelled, labelled, metric, resamples=2000, rows=rows)
        assert found[metric].value == pytest.approx(mean)
        assert (found[metric].high - found[metric].low) / 3.92 == pytest.approx(error, rel=0.2)
        assert (gap.low, gap.high) == (0, 0)


def test_weights_of_a_cell_are_those_of_its_rows() -> None:
    labelled = MODELS["five classes"].weighted(some_weights(400))
    _, sums, place = metrics.distinct_rows("labels", labelled)
    once = np.ones((1, len(labelled)))
    (drawn,) = resampling._weigh([once], np.asarray(labelled.weights), place)
    assert drawn[0] == pytest.approx(sums)
    assert len(sums) < 30 < len(labelled)


# ------------------------------------------------------------------------------------ decisions


def test_the_cheapest_threshold_is_that_of_repeated_rows() -> None:
    random = np.random.default_rng(3)
    counts = random.integers(1, 9, 200)
    shares = random.uniform(size=200)
    truth = random.uniform(size=200) < shares
    often = np.repeat(np.arange(200), counts)
    found = decision.cheapest_threshold(shares, truth, 1.0, 3.0, counts.astype(float))
    assert found == decision.cheapest_threshold(shares[often], truth[often], 1.0, 3.0)
    assert found != decision.cheapest_threshold(shares, truth, 1.0, 3.0)


def sure_of_the_heavy() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities three times too sure of heavy rows and right of light ones, truth, weights."""
    random = np.random.default_rng(0)
    logits, heavy = random.normal(0, 4, 4000), np.arange(4000) % 2 == 0
    shares, honest = (1 / (1 + np.exp(-each)) for each in (logits, logits / np.where(heavy, 3, 1)))
    codes = (random.uniform(size=4000) < honest).astype(int)
    return np.column_stack([1 - shares, shares]), codes, np.where(heavy, 1000.0, 1.0)


def test_the_temperature_follows_the_heavy_rows() -> None:
    shares, codes, weights = sure_of_the_heavy()

    def loss(temperature: float) -> float:
        return float(
            reference.log_loss(codes, decision.temper(shares, temperature), sample_weight=weights)
        )

    found = decision.fit_temperature(shares, codes, 0, weights)
    assert found["temperature"] == pytest.approx(3, rel=0.05)
    assert found["before"] == pytest.approx(loss(1), abs=1e-3)
    # So good only if the folds' own temperatures follow the weights as well.
    assert found["after"] == pytest.approx(loss(found["temperature"]), abs=0.005)
    plain = decision.fit_temperature(shares, codes, 0)
    assert plain["temperature"] < 2.2
    assert plain == decision.fit_temperature(shares, codes, 0, np.ones(4000))


def test_the_packaged_decision_is_made_by_the_weights() -> None:
    shares, codes, weights = sure_of_the_heavy()
    truth, model = np.array(["no", "yes"])[codes], SimpleNamespace(classes_=np.array(["no", "yes"]))
    own = Settings(decision={"cost_fp": 1, "cost_fn": 3})
    fields, found = CLASSIFICATION.fit_decision(model, shares, truth, own, weights)
    assert found["calibration"] == decision.fit_temperature(shares, codes, 42, weights)
    tempered = decision.temper(shares, fields["calibration"]["temperature"])[:, 1]
    assert found["threshold"] == decision.fit_threshold(tempered, codes == 1, 1, 3, 42, weights)
    odd = np.where(np.arange(4000) < 10, "other", truth)  # a class that only valid has
    _, found = CLASSIFICATION.fit_decision(model, shares, odd, own, weights)
    rest = (shares[10:], codes[10:], 42, weights[10:])
    assert found["calibration"] == decision.fit_temperature(*rest)


def test_the_threshold_is_chosen_by_weighted_costs() -> None:
    random = np.random.default_rng(1)
    shares = random.uniform(size=4000)
    few = np.arange(4000) % 5 == 0
    # Of the few nobody is positive until 0.9; of all others the shares are right.
    truth = np.where(few, shares > 0.9, random.uniform(size=4000) < shares)
    plain = decision.fit_threshold(shares, truth, 1.0, 1.0, 0)
    assert (plain["kept"], plain["value"]) == (False, 0.5)
    weights = np.where(few, 1000.0, 1.0)
    found = decision.fit_threshold(shares, truth, 1.0, 1.0, 0, weights)
    assert found["kept"] and found["value"] == pytest.approx(0.9, abs=0.01)
    cost = np.average((shares >= 0.5) != truth, weights=weights)
    assert found["cost_of_theory"] == pytest.approx(cost)
    assert found["cost"] < 0.1 * cost
    light = decision.fit_threshold(shares, truth, 1.0, 1.0, 0, 1 / weights)
    assert (light["kept"], light["value"]) == (False, 0.5)


def test_the_interval_of_a_number_covers_its_level_of_the_weight() -> None:
    random = np.random.default_rng(2)
    wide = random.uniform(size=4000) < 0.2
    errors = np.abs(random.normal(0, np.where(wide, 10.0, 1.0)))
    weights = np.where(wide, 8.0, 1.0)
    half = decision.conformal_interval(errors, 0.9, weights)["half_width"]
    assert np.average(errors <= half, weights=weights) == pytest.approx(0.9, abs=0.005)
    assert half > 1.5 * decision.conformal_interval(errors, 0.9)["half_width"]
    for rows in (9, 10, 49, 57, 99):  # equal weights change nothing, not even by rounding
        few = errors[:rows]
        assert decision.conformal_interval(few, 0.9, np.full(rows, 0.3)) == (
            decision.conformal_interval(few, 0.9)
        )
    labelled = label(np.zeros(4000), values=errors).weighted(weights)
    document = {"interval": {"half_width": half, "level": 0.9}}
    found = REGRESSION.coverage(document, labelled)
    assert found is not None and found["coverage"] == pytest.approx(0.9, abs=0.005)


# --------------------------------------------------------------------------------------- curves


def subject_of(labelled: PredictionsWithTruth) -> Any:
    """A model that was evaluated, as the curves see it."""
    names = list(range(labelled.classes))
    return SimpleNamespace(labelled=labelled, bundle=SimpleNamespace(classes=names), seed=0)


def test_curves_are_weighted_as_scikit_learns() -> None:
    labelled = MODELS["two classes"].weighted(some_weights(400))
    weights, subject = labelled.weights, subject_of(labelled)
    shares = np.asarray(labelled.probabilities)[:, 1]
    options = {"sample_weight": weights}
    (roc,) = curves.roc(subject)
    assert roc["area"] == pytest.approx(
        reference.roc_auc_score(labelled.truth, shares, **options), abs=1e-6
    )
    (ranked,) = curves.precision_recall(subject)
    assert ranked["area"] == pytest.approx(
        reference.average_precision_score(labelled.truth, shares, **options), abs=1e-6
    )
    assert ranked["share"] == pytest.approx(np.average(labelled.truth, weights=weights), abs=1e-6)
    table = reference.confusion_matrix(labelled.truth, labelled.labels, **options)
    assert np.array(curves.confusion(subject)["counts"]) == pytest.approx(table, abs=0.05001)
    assert "weighted rows" in confusion_title(curves.confusion(subject))


def confusion_title(facts: dict[str, Any]) -> str:
    """What stands above the plot."""
    from mlproj.reporting.plots import draw_confusion

    return str(draw_confusion(facts).title)


def test_calibration_and_residuals_count_a_row_of_weight_two_twice() -> None:
    labelled = MODELS["two classes"]
    counts = np.random.default_rng(5).integers(1, 4, 400)
    plain, found, often = (
        curves.calibration(subject_of(each))
        for each in (labelled, labelled.weighted(counts * 1.0), repeated(labelled, counts))
    )
    shares = np.asarray(labelled.probabilities)[:, 1]
    for number, bin_of in enumerate(zip(found["bins"], often["bins"], plain["bins"], strict=True)):
        mine, twice, once = bin_of
        assert (mine["mean"], mine["share"]) == pytest.approx((twice["mean"], twice["share"]))
        # The rows stay as many, and weights that differ make them tell less.
        assert mine["count"] == once["count"]
        inside = counts[np.minimum((shares * 10).astype(int), 9) == number]
        effective = inside.sum() ** 2 / (inside**2).sum()
        bounds = curves._wilson(np.array([mine["share"]]), np.array([effective]))
        assert (mine["low"], mine["high"]) == pytest.approx(np.ravel(bounds), rel=1e-4)
    assert found["error"] == pytest.approx(often["error"], rel=1e-5)

    values = MODELS["numbers"]
    counts = np.random.default_rng(5).integers(0, 4, 300)
    found, often = (
        curves.residuals(subject_of(each))
        for each in (values.weighted(counts * 1.0), repeated(values, counts))
    )
    assert (found["mean"], found["std"]) == pytest.approx((often["mean"], often["std"]))
    assert list(found["quantiles"].values()) == pytest.approx(
        list(often["quantiles"].values()), abs=0.05
    )


# ----------------------------------------------------------------------------------------- fits


def test_an_estimator_gets_the_weights_if_it_takes_them_and_features_do_not() -> None:
    random = np.random.default_rng(0)
    inputs, weights = random.normal(size=(200, 3)), some_weights(200)
    target = inputs[:, 0] + random.normal(size=200)
    for estimator in (linear_model.Ridge(), ensemble.HistGradientBoostingRegressor(max_iter=5)):
        pipeline = Pipeline([("features", FunctionTransformer()), ("model", estimator)])
        fit_weighted(pipeline, inputs, target, weights)
        found = pipeline.predict(inputs)
        fit_weighted(pipeline, inputs, target, None)
        assert (found != pipeline.predict(inputs)).any()
        expected = estimator.fit(inputs, target, sample_weight=weights).predict(inputs)
        assert found == pytest.approx(expected)
    plain = Pipeline([("model", neighbors.KNeighborsRegressor())])
    fit_weighted(plain, inputs, target, weights)  # takes none, and is fitted all the same
    assert takes_weights(linear_model.SGDClassifier().partial_fit)
    assert not takes_weights(make_pipeline(linear_model.Ridge()).fit)


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "catboost"])
def test_boosters_are_fitted_with_weights(name: str) -> None:
    estimators = pytest.importorskip("mlproj.models.boosters.estimators")
    pytest.importorskip(name)
    sizes = {"catboost": {"iterations": 5, "thread_count": 1}}
    params = sizes.get(name, {"n_estimators": 5, "n_jobs": 1})
    random = np.random.default_rng(0)
    inputs = random.normal(size=(300, 2))
    heavy = np.arange(300) % 2 == 0
    target = np.where(heavy, 1, -1) * np.sign(inputs[:, 0])
    weights = np.where(heavy, 100.0, 1.0)
    for task, model in (("classification", "y"), ("regression", 1.0)):
        own = estimators.__dict__[name](task, 0, params).estimator
        own.fit(inputs, np.where(target > 0, "y", "n") if model == "y" else target, weights)
        found = own.predict(inputs) == "y" if model == "y" else own.predict(inputs) > 0
        assert np.mean(found == (inputs[:, 0] > 0)) > 0.9


# ------------------------------------------------------------------------------ a whole project


def rows_of(number: int = 600, seed: int = 0) -> pd.DataFrame:
    """Heavy rows in which x speaks for yes, and light ones in which it speaks against."""
    random = np.random.default_rng(seed)
    x, heavy = random.normal(size=number), random.uniform(size=number) < 0.4
    w = np.where(heavy, random.integers(5, 9, number), 1) * (random.uniform(size=number) > 0.1)
    score = np.where(heavy, x + 1, -x - 1) + 0.5 * random.normal(size=number)
    return pd.DataFrame(
        {
            "key": [f"k{at}" for at in range(number)],
            "x": x.round(6),
            "noise": random.normal(size=number).round(6),
            "w": w,
            "amount": score.round(6),
            "kind": np.where(score > 0, "yes", "no"),
        }
    )


def project_of(
    make_project: Any, folder: Path, table: pd.DataFrame, until: str = "evaluate", **data: str
) -> tuple[Project, list[str]]:
    """Run a project on the table, and return it with what it said."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "rows.csv", index=False)
    numeric = data.get("target") == "amount"
    model = {**QUICK, "task": "regression" if numeric else "classification"}
    project = make_project(
        folder,
        data={"source": "rows.csv", "target": "kind", "id": "key", **data},
        model=model,
        evaluate={"bootstrap": 50, "margin": 0},
    )
    said: list[str] = []
    pipeline.run(project, load_settings(project), until=until, say=said.append)
    return project, said


@pytest.fixture(scope="module")
def weighted(tmp_path_factory: Any, make_project: Any) -> tuple[Project, list[str]]:
    """A project whose rows have weights, run to its report."""
    folder = tmp_path_factory.mktemp("weighted")
    return project_of(make_project, folder, rows_of(), "report", weight="w", ignore="amount")


def facts(project: Project, name: str) -> dict[str, Any]:
    """The facts of a report."""
    found = read_report(project, name)
    assert found is not None
    return dict(found.facts)


def bundle_of(project: Project) -> Any:
    """The model that was packaged last."""
    found = read_report(project, "release")
    assert found is not None
    return bundles.load_bundle(project, str(found.run_id))


def test_rows_of_weight_0_are_left_out_and_counted(weighted: Any) -> None:
    project, said = weighted
    none = int((rows_of()["w"] == 0).sum())
    assert none > 30
    parts = [load_split(project, name) for name in SPLITS]
    assert sum(map(len, parts)) == 600 - none
    assert all((part["w"] > 0).all() for part in parts)
    assert facts(project, "split")["weightless"] == none
    assert any(f"left out, since their weight is 0: {none} of" in line for line in said)
    page = (project.reports / "index.html").read_text("utf-8")
    assert f"left out, since their weight is 0: {none} of" in page


def test_the_model_is_fitted_and_scored_by_the_weights(weighted: Any) -> None:
    project, said = weighted
    bundle, rows = bundle_of(project), load_split(project, "train")
    own = row_weights(rows, load_schema(project))
    assert own is not None and own.mean() == pytest.approx(1)
    # Later weights may be larger than any so far.
    assert load_schema(project).column("w").maximum is None
    inputs = rows[["x", "noise"]]
    scaled = (inputs - inputs.mean()) / inputs.std(ddof=0)
    plain = linear_model.LogisticRegression(max_iter=1000)
    expected = plain.fit(scaled.to_numpy(), rows["kind"], sample_weight=own)
    assert bundle.model[-1].coef_ == pytest.approx(expected.coef_, rel=1e-3)
    assert expected.coef_[0, 0] > 0.5  # where all rows counted alike, x would speak against
    share = np.average(rows["kind"] == "yes", weights=rows["w"])
    constant = bundle.document["baseline"]["constant"]["probabilities"]["yes"]
    assert constant == pytest.approx(share)

    valid = load_split(project, "valid")
    shares = bundle.predict(valid)["probability_yes"]
    area = reference.roc_auc_score(valid["kind"] == "yes", shares, sample_weight=valid["w"])
    found = facts(project, "metrics")
    assert found["metrics"]["roc_auc"]["value"] == pytest.approx(area)
    assert bundle.document["metrics"]["roc_auc"] == pytest.approx(area)
    (entry,) = facts(project, "train")["candidates"]
    assert entry["valid"]["roc_auc"] == pytest.approx(area)  # a temperature ranks alike
    naive = reference.log_loss(valid["kind"], np.full(len(valid), share), sample_weight=valid["w"])
    assert found["metrics"]["log_loss"]["baseline"] == pytest.approx(naive)
    assert found["metrics"]["roc_auc"]["low"] < area < found["metrics"]["roc_auc"]["high"]


def test_the_learning_curve_and_the_importance_are_weighted(weighted: Any) -> None:
    project, _ = weighted
    found = facts(project, "diagnostics")
    last = found["learning_curve"]["points"][-1]
    area = facts(project, "metrics")["metrics"]["roc_auc"]["value"]
    assert last["valid"] == pytest.approx(area, abs=1e-5)
    # Fits on a part, and scores on train, follow the heavy rows as well.
    points = found["learning_curve"]["points"]
    assert all(min(point["valid"], point["train"]) > 0.6 for point in points)
    importance = {each["feature"]: each["mean"] for each in found["importance"]["features"]}
    assert set(importance) == {"x", "noise"}
    assert importance["x"] > 0.1
    bundle, frame = bundle_of(project), load_split(project, "valid")
    subject = diagnostics.Subject(bundle, "roc_auc", 0, frame, bundle.evaluate(frame))
    rows, column = len(frame), bundle.schema.column("x")
    shuffled = diagnostics.Shuffling(subject, frame).evaluate(column, np.arange(3 * rows))
    third = shuffled.take(np.arange(rows))
    assert metrics.score(third) == pytest.approx(metrics.score(subject.labelled))


def test_folds_are_fitted_and_judged_by_the_weights(weighted: Any) -> None:
    project, _ = weighted
    data = load_training_data(project, load_settings(project))
    (entry,) = facts(project, "train")["candidates"]
    inputs, kind = data.inputs.to_numpy(), data.target
    expected = []
    for fit_rows, judge_rows in train.folds(data):
        centre, spread = inputs[fit_rows].mean(axis=0), inputs[fit_rows].std(axis=0)
        plain = linear_model.LogisticRegression(max_iter=1000)
        scaled = (inputs - centre) / spread
        plain.fit(scaled[fit_rows], kind[fit_rows], sample_weight=data.weights_of(fit_rows))
        shares = plain.predict_proba(scaled[judge_rows])[:, 1]
        weights = data.weights_of(judge_rows)
        expected.append(reference.roc_auc_score(kind[judge_rows], shares, sample_weight=weights))
    assert entry["cv"]["folds"] == pytest.approx(expected, rel=1e-3)
    half = np.arange(0, len(kind), 2)
    assert data.take(half).weights == pytest.approx(np.asarray(data.weights)[half])


def test_what_is_weighted_is_said(weighted: Any) -> None:
    project, said = weighted
    document = bundle_of(project).document
    assert document["weight"] == "w"
    assert "Each row counts by `w`" in make_card(document)
    assert "It reads 2 columns: `x`, `noise`." in make_card(document)
    page = (project.reports / "index.html").read_text("utf-8")
    assert "Scores, intervals and curves are weighted by w." in page
    weights = load_split(project, "valid")["w"]
    effective = weights.sum() ** 2 / (weights**2).sum()
    assert 0.5 * len(weights) < effective < 0.9 * len(weights)
    tell = f"the {len(weights)} rows of valid tell as much as {effective:.0f} of equal weight"
    assert tell in page
    assert "Target: share of each class, not weighted by w" in page
    assert any("fits and scores are weighted by w" in line for line in said)
    assert facts(project, "train")["unweighted"] == []
    read = measured.features_of(facts(project, "schema")["columns"])
    assert [each["name"] for each in read] == ["x", "noise"]


def test_a_weight_is_no_feature_and_not_demanded_at_prediction(
    weighted: Any, tmp_path: Path
) -> None:
    project, _ = weighted
    bundle, rows = bundle_of(project), load_split(project, "test")
    assert [column.name for column in bundle.schema.features] == ["x", "noise"]
    bare = bundle.predict(rows[["x", "noise"]])
    assert bare["prediction"].tolist() == bundle.predict(rows)["prediction"].tolist()
    odd = rows.assign(w="heavy")  # nobody looks at it
    assert bare["prediction"].tolist() == bundle.predict(odd)["prediction"].tolist()
    rows[["key", "x", "noise"]].to_csv(tmp_path / "new.csv", index=False)
    scored = predict.predict(
        project,
        load_settings(project),
        tmp_path / "new.csv",
        tmp_path / "out.csv",
        model=bundle.run_id,
    )
    assert scored == len(rows)


def test_equal_weights_give_the_same_bytes_as_none(make_project: Any, tmp_path: Path) -> None:
    table = rows_of(600, 1)
    table = table[table["w"] > 1].assign(w=1)
    for target, other in (("kind", "amount"), ("amount", "kind")):
        made = {}
        for name, data in (
            ("none", {"ignore": f"{other}, w"}),
            ("ones", {"ignore": other, "weight": "w"}),
        ):
            folder = tmp_path / target / name
            project, _ = project_of(make_project, folder, table, target=target, **data)
            bundle = bundle_of(project)
            found = facts(project, "metrics")
            told = json.dumps([found["metrics"], found["difference"], found["interval"]])
            report = facts(project, "diagnostics")
            made[name] = (
                (bundle.folder / "model.skops").read_bytes(),
                (bundle.folder / "reference.json").read_bytes(),
                [bundle.document[key] for key in ("threshold", "interval", "calibration")],
                told,
                json.dumps(report),
                facts(project, "release")["metrics"],
            )
        assert made["none"] == made["ones"], target


def test_a_regression_is_weighted_and_its_baseline_is(make_project: Any, tmp_path: Path) -> None:
    project, _ = project_of(
        make_project, tmp_path, rows_of(), target="amount", ignore="kind", weight="w"
    )
    bundle, rows = bundle_of(project), load_split(project, "train")
    constant = bundle.document["baseline"]["constant"]["value"]
    assert constant == pytest.approx(np.average(rows["amount"], weights=rows["w"]))
    valid = load_split(project, "valid")
    scored, options = bundle.predict(valid), {"sample_weight": valid["w"]}
    error = reference.root_mean_squared_error(valid["amount"], scored["prediction"], **options)
    found = facts(project, "metrics")
    assert found["metrics"]["rmse"]["value"] == pytest.approx(error)
    inside = valid["amount"].between(scored["lower"], scored["upper"])
    covered = np.average(inside, weights=valid["w"])
    assert found["interval"]["coverage"] == pytest.approx(covered)
    assert covered >= 0.9
    half = decision.conformal_interval(
        np.abs(valid["amount"] - scored["prediction"]).to_numpy(), 0.9, valid["w"].to_numpy(float)
    )["half_width"]
    assert bundle.document["interval"]["half_width"] == pytest.approx(half)


def test_who_takes_no_weights_is_fitted_without_and_named(
    weighted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, _ = weighted
    data = load_training_data(project, load_settings(project))
    plain = Candidate("near", "NEAR", "linear", neighbors.KNeighborsClassifier())
    ours = Candidate("dull", "DULL", "constant", dummy.DummyClassifier())
    found = train._weighing(data, [ours, plain])
    assert found["unweighted"] == ["near"]
    assert train._notes(data, found)[-1].endswith("does not take: near")
    assert train.fit(plain, data).predict_proba(data.inputs).shape == (len(data.target), 2)
    bare = replace(data.schema, columns=tuple(replace(c, roles=()) for c in data.schema.columns))
    assert train._weighing(replace(data, schema=bare), [plain]) == {}


def test_the_median_that_is_a_baseline_is_weighted(weighted: Any) -> None:
    data = load_training_data(weighted[0], load_settings(weighted[0]))
    amount, weights = load_split(weighted[0], "train")["amount"].to_numpy(), data.weights
    median = make_candidate("baseline", "regression", 0, REGRESSION.baseline_parameters("mae"))
    fitted = train.fit(median, replace(data, target=amount, task=REGRESSION))
    value = fitted.predict(data.inputs[:1])[0]
    assert weights is not None and value > np.median(amount) + 0.1
    assert weights[amount < value].sum() <= weights.sum() / 2 <= weights[amount <= value].sum()


def test_without_weights_nothing_is_new() -> None:
    """The fingerprints that decide whether a schema is kept, as they were before weights."""
    own = Settings(data=DataSettings(target="y", id="k"))
    assert [conditions(Settings()), conditions(Settings(), 1), conditions(own)] == [
        "a98bb68c035ea719",
        "4077fd94f3ef1315",
        "034c710b733ff7bd",
    ]
    assert conditions(Settings(data=DataSettings(target="y", id="k", weight="w"))) not in (
        "034c710b733ff7bd",
        conditions(Settings(data=DataSettings(target="y", id="k", weight="v"))),
    )
    columns = (Column("x", "number", False), Column("w", "number", False, roles=("weight",)))
    schema = Schema(columns, "s")
    assert [column.name for column in schema.features] == ["x"]
    assert row_weights(pd.DataFrame({"w": [2, 2]}), schema) is None
    assert row_weights(pd.DataFrame({"x": [2, 3]}), schema) is None
    found = row_weights(pd.DataFrame({"w": [1, 3]}), schema)
    assert found is not None and found.tolist() == [0.5, 1.5]


# ------------------------------------------------------------------------------------ bad input

WRONG: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({}, {"weight": "v"}, r"\[data\] weight: the table has no column 'v'; its columns are: 'key'"),
    ({"w": [1, -2, -3]}, {}, r"weight = w is below 0 in 2 of 60 rows, first -2.* in row 2; corr"),
    ({"w": [1, None]}, {}, r"weight = w is missing in 1 of 60 rows, first in row 2; fill them"),
    ({"w": [0] * 60}, {}, r"weight = w is 0 in all 60 rows, so that none counts"),
    ({"w": [1, "inf"]}, {}, r"w.*inf.*"),
    ({"w": ["a", "b"] * 30}, {}, r"weight = w is of type category, with 'a' in row 1, but weights"),
    ({"w": [True, False] * 30}, {}, r"weight = w is of type boolean, with '[Tt]rue' in row 1"),
    ({"w": [None] * 60}, {}, r"Column 'w' has no value in any of 60 rows"),
    ({"w": [1, "heavy"]}, {}, r"type category, with 'heavy' in row 2, but weights are numbers"),
    ({}, {"weight": "kind"}, r"\[data\] target = kind is also \[data\] weight; it can be one"),
    *(
        ({}, {role: "w"}, rf"\[data\] weight = w is also \[data\] {role}; it can be one")
        for role in ("id", "group", "time", "ignore", "sensitive")
    ),
]


@every_case(("changes", "roles", "message"), WRONG, ids=lambda case: str(case[2]))
def test_weights_that_cannot_be_used_are_refused(
    make_project: Any, tmp_path: Path, changes: Any, roles: Any, message: str
) -> None:
    table = rows_of(60).assign(w=3).astype({"w": object})
    for name, values in changes.items():
        table.loc[: len(values) - 1, name] = values
    table.to_csv(tmp_path / "rows.csv", index=False)
    data = {"source": "rows.csv", "target": "kind", "weight": "w", **roles}
    project = make_project(tmp_path, data=data)
    with pytest.raises(UserError, match=message) as refused:
        ingest(project, load_settings(project))
    assert "\n" not in str(refused.value)
    assert not project.typed.exists()


# ----------------------------------------------------------------------------------- monitoring


def test_later_rows_are_judged_by_their_weights_where_they_have_them(weighted: Any) -> None:
    project, _ = weighted
    bundle, rows = bundle_of(project), rows_of(400, 7)
    known, policy = monitor.read_reference(bundle), settings.MonitorSettings()
    own = window.window_of(bundle, rows, "rows")
    finding, found = labels.compare_performance(bundle, known, own, policy.worse)
    shares = bundle.predict(rows)["probability_yes"]
    area = reference.roc_auc_score(rows["kind"] == "yes", shares, sample_weight=rows["w"])
    assert finding is not None and found is not None
    assert found["now"]["value"] == pytest.approx(area)
    assert found["reference"]["value"] == bundle.document["metrics"]["roc_auc"]
    assert (found["weighted"], found["rows"]) == (True, int((rows["w"] > 0).sum()))

    bare = window.window_of(bundle, rows.drop(columns="w"), "rows")
    _, facts_of = monitor.inspect(bundle, known, bare, policy)
    plain = facts_of["performance"]
    assert plain["now"]["value"] == pytest.approx(
        reference.roc_auc_score(rows["kind"] == "yes", shares)
    )
    valid = load_split(project, "valid")
    assert plain["reference"]["value"] == pytest.approx(
        reference.roc_auc_score(valid["kind"] == "yes", bundle.predict(valid)["probability_yes"])
    )
    lost = plain["reference"]["value"] - plain["now"]["value"]
    assert plain["skill_lost"] == pytest.approx(2 * lost)
    assert any("no weights, so the metric was compared without" in n for n in facts_of["notes"])
    _, facts_of = monitor.inspect(bundle, known, own, policy)
    assert not any("no weights" in note for note in facts_of["notes"])


def test_of_rows_of_which_some_have_no_label_each_keeps_its_own_weight(weighted: Any) -> None:
    bundle, rows = bundle_of(weighted[0]), rows_of(400, 7)
    rows.loc[rows.index % 3 == 0, "kind"] = None
    seen = window.window_of(bundle, rows, "rows")
    with_label = rows.dropna(subset=["kind"])
    assert seen.weights is not None and seen.weights.tolist() == with_label["w"].tolist()
    found = labels.labelled_rows(bundle, seen)
    right = bundle.predict(with_label)["prediction"] == with_label["kind"]
    assert found is not None
    assert metrics.score(found)["accuracy"] == pytest.approx(
        np.average(right, weights=with_label["w"])
    )


def test_a_wrong_weight_is_counted_and_its_row_left_out(weighted: Any) -> None:
    bundle, rows = bundle_of(weighted[0]), rows_of(400, 7).astype({"w": object})
    rows.loc[:3, "w"] = "much"
    rows.loc[4:5, "w"] = -1
    seen = window.window_of(bundle, rows, "rows")
    assert {(each.rule, each.rows) for each in seen.faults} == {("type", 4), ("minimum", 2)}
    assert seen.weights is not None and (seen.weights[:6] == 0).all()
    found = labels.labelled_rows(bundle, seen)
    assert found is not None and len(found) == (seen.weights > 0).sum() < 395


def test_logged_rows_without_a_weight_are_not_learnt_from() -> None:
    column = Column("w", "number", False, roles=("weight",))
    with pytest.raises(UserError, match=r"\[data\] weight = w is not in the prediction log"):
        labelled_rows._refuse_needed(column)


def test_going_on_and_comparing_use_the_weights(weighted: Any) -> None:
    project, _ = weighted
    own, bundle = load_settings(project), bundle_of(project)
    data = load_training_data(project, own)
    result = retrain._compare(project, own, bundle, bundle, None)
    assert result.scores["roc_auc"][0] == pytest.approx(bundle.document["metrics"]["roc_auc"])
    assert result.scores["log_loss"][1] == pytest.approx(bundle.document["metrics"]["log_loss"])

    inputs, new = bundle.model[:-1].transform(data.inputs), np.arange(len(data.target)) % 2 == 0
    for estimator in (linear_model.SGDClassifier(random_state=0, loss="log_loss"),
                      linear_model.LogisticRegression()):  # fmt: skip
        fitted = Pipeline([*bundle.model.steps[:-1], ("model", estimator)])
        fit_weighted(fitted, data.inputs, data.target, data.weights)
        went_on = retrain.go_on(fitted, data, new)[-1]
        without = retrain.go_on(fitted, replace(data, weights=None), new)[-1]
        assert (went_on.coef_ != without.coef_).any()
        if hasattr(estimator, "partial_fit"):
            weights = np.asarray(data.weights)[new]
            estimator.partial_fit(inputs[new], data.target[new], sample_weight=weights)
            assert went_on.coef_ == pytest.approx(estimator.coef_)
