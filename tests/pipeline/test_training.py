"""Features, estimators, the comparison on valid, and what is written about a run."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj import custom, train
from mlproj.core import registry
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.project import Project
from mlproj.core.registry import ESTIMATORS
from mlproj.data.schema import Column, Schema
from mlproj.ingest import ingest
from mlproj.models import features, make_candidate, training_data
from mlproj.models.persist import MODEL_FILE, TRUSTED, load_model, model_files, save_model
from mlproj.preprocess import preprocess
from mlproj.tracking import logs, runs
from mlproj.tracking import runlog as tracking

ROWS = 900
BOOSTERS = ("xgboost", "lightgbm", "catboost")
SMALL: dict[str, dict[str, Any]] = {
    "forest": {"n_estimators": 20},
    "hgb": {"max_iter": 20},
    "xgboost": {"n_estimators": 20, "n_jobs": 1},
    "lightgbm": {"n_estimators": 20, "n_jobs": 1},
    "catboost": {"iterations": 20, "thread_count": 1},
}
TARGETS = {"two": "classification", "many": "classification", "amount": "regression"}


def table(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Return rows with a column of every type, and targets of every kind that follow from them."""
    random = np.random.default_rng(seed)
    towns = np.array([f"town{number}" for number in range(120)])
    effect = dict(zip(towns, random.normal(size=120), strict=True))
    words = np.array(["red", "Green", "blue", "dog", "cat-like", "\u00e9t\u00e9"])
    frame = pd.DataFrame(
        {
            "size": random.normal(size=rows),
            "age": random.normal(size=rows),
            "visits": random.integers(0, 50, rows),
            "member": random.uniform(size=rows) < 0.3,
            "plan": random.choice(["basic", "plus", "family"], rows),
            "town": random.choice(towns, rows),
            "since": pd.Timestamp(2024, 1, 1) + pd.to_timedelta(random.integers(0, 900, rows), "D"),
            "note": [" ".join(random.choice(words, 6)) for _ in range(rows)],
            "store": random.choice([f"s{number}" for number in range(24)], rows),
        }
    )
    score = frame["size"] + 0.5 * frame["age"] + (frame["plan"] == "plus")
    score += frame["town"].map(effect) + frame["note"].str.count("dog") - 1
    score += random.normal(0, 0.4, rows)
    for column in ("age", "plan", "member"):
        frame[column] = frame[column].astype(object).mask(random.uniform(size=rows) < 0.1)
    frame["two"] = np.where(score > 0, "yes", "no")
    frame["many"] = np.select([score > 1, score > 0], ["high", "middle"], "low")
    frame["amount"] = score
    return frame


@pytest.fixture(scope="session")
def ready(
    make_project: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Project]:
    """Return a function that gives a split project for a target and a rule, made once each."""
    made: dict[tuple[str, str], Project] = {}

    def get(target: str = "two", rule: str = "auto") -> Project:
        if (target, rule) not in made:
            folder = tmp_path_factory.mktemp("ready")
            ignored = [name for name in TARGETS if name != target]
            roles = {"group": {"group": "store"}, "time": {"time": "since"}}.get(rule, {})
            table().to_csv(folder / "t.csv", index=False)
            project = make_project(
                folder,
                data={"source": "t.csv", "target": target, "ignore": ignored, **roles},
                split={"rule": rule},
                model={"task": TARGETS[target], "candidates": "linear, hgb", "folds": 2},
                params={"forest.n_estimators": 20, "hgb.max_iter": 20},
            )
            settings = load_settings(project)
            ingest(project, settings)
            preprocess(project, settings)
            made[target, rule] = project
        return made[target, rule]

    return get


@pytest.fixture
def project(ready: Callable[..., Project], tmp_path: Path) -> Project:
    """Return a copy of the split project with two classes, to train in."""
    return copy_of(ready(), tmp_path / "project")


@pytest.fixture(scope="module")
def material(ready: Callable[..., Project]) -> train.TrainingData:
    """Return the prepared rows of the project with two classes."""
    return train.load_training_data(ready(), load_settings(ready()))


def copy_of(project: Project, folder: Path) -> Project:
    """Copy a project."""
    shutil.copytree(project.root, folder)
    return Project(folder)


def trained(project: Project, *overrides: str) -> dict[str, Any]:
    """Train and return the facts."""
    facts: dict[str, Any] = train.train(project, load_settings(project, overrides)).facts
    return facts


def lines(project: Project) -> list[dict[str, Any]]:
    """Return logs/runs.jsonl."""
    text = (project.logs / "runs.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


# ------------------------------------------------------------------------------------- features


def schema_of(**types: str) -> Schema:
    """Return a schema of nullable columns."""
    columns = (
        Column(name, kind, True, categories=("a", "b") if kind == "category" else None)
        for name, kind in types.items()
    )
    return Schema(tuple(columns), "t.csv")


def test_prepare_gives_floats_and_strings() -> None:
    frame = pd.DataFrame(
        {
            "n": pd.array([1, None], dtype="Int64"),
            "f": pd.array([True, None], dtype="boolean"),
            "c": pd.array(["a", None], dtype="str"),
            "t": pd.array(["One, TWO  th-ree x!", None], dtype="str"),
        }
    )
    inputs = features.prepare(frame, schema_of(n="integer", f="boolean", c="category", t="text"))
    assert inputs["n"].dtype == inputs["f"].dtype == np.float64
    assert inputs["n"].tolist()[0] == 1.0
    assert math.isnan(inputs["n"].tolist()[1])
    assert inputs["c"].tolist() == ["a", ""]
    assert inputs["t"].tolist() == ["one two th ree", ""]


def test_prepare_turns_a_date_into_six_numbers() -> None:
    moment = pd.Timestamp(1970, 1, 2, 12)
    frame = pd.DataFrame({"d": pd.array([moment, pd.NaT], dtype="datetime64[us]")})
    inputs = features.prepare(frame, schema_of(d="datetime"))
    assert inputs.columns.tolist() == [f"d__{part}" for part in features.DATE_PARTS]
    assert inputs.iloc[0].tolist() == [1970, 1, 2, 4, 12, 1.5]
    assert inputs.iloc[1].isna().all()


def test_prepare_does_not_copy_numbers() -> None:
    frame = pd.DataFrame(np.zeros((5, 3)), columns=["a", "b", "c"])
    inputs = features.prepare(frame, schema_of(a="number", b="number", c="number"))
    assert np.shares_memory(inputs.to_numpy(), frame.to_numpy())


def test_prepare_looks_at_each_row_by_itself(ready: Callable[..., Project]) -> None:
    from mlproj.data.schema import load_schema
    from mlproj.data.split import load_split

    schema, frame = load_schema(ready()), load_split(ready(), "valid")
    whole = features.prepare(frame, schema)
    parts = [features.prepare(frame.iloc[[row]], schema) for row in range(len(frame))]
    pd.testing.assert_frame_equal(pd.concat(parts), whole)


def test_columns_of_custom_py_reach_the_model(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_features(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(
            double=frame["visits"] * 2, old=frame["visits"] > 20, band=frame["plan"] + "!"
        )

    monkeypatch.setattr(custom, "add_features", add_features)
    made = train.load_training_data(project, load_settings(project))
    assert made.inputs["double"].equals(made.inputs["visits"] * 2)
    assert made.inputs["old"].dtype == np.float64
    pipeline = train.fit(make_candidate("linear", "classification", 0, {}), made)
    names = pipeline["features"].get_feature_names_out()
    assert {"numbers__double", "categories__band_plus!"} <= set(names)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda frame: frame.iloc[1:],
        lambda frame: None,
        lambda frame: frame.assign(c=[[1]] * len(frame)),
    ],
    ids=["rows", "nothing", "lists"],
)
def test_wrong_columns_of_custom_py_are_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Any], Any]
) -> None:
    monkeypatch.setattr(custom, "add_features", wrong)
    with pytest.raises(UserError, match=r"add_features in custom\.py"):
        train.load_training_data(project, load_settings(project))


@pytest.mark.parametrize("name", ["linear", "forest", "hgb"])
@pytest.mark.parametrize("target", TARGETS)
def test_missing_and_unknown_values_are_predicted(
    ready: Callable[..., Project], name: str, target: str
) -> None:
    project = ready(target)
    made = train.load_training_data(project, load_settings(project))
    pipeline = train.fit(make_candidate(name, made.task.name, 0, SMALL.get(name, {})), made)
    rows = made.valid.head(3).copy()
    for column in rows.columns:
        rows[column] = "never seen" if rows[column].dtype == object else np.nan
    predictions = pipeline.predict(rows) if made.classes == [] else pipeline.predict_proba(rows)
    assert np.isfinite(predictions).all()


def test_a_column_that_lacks_every_number_does_not_stop_a_linear_model(
    material: train.TrainingData,
) -> None:
    empty = replace(
        material,
        inputs=material.inputs.assign(age=np.nan),
        valid=material.valid.assign(age=np.nan),
    )
    pipeline = train.fit(make_candidate("linear", "classification", 0, {}), empty)
    assert np.isfinite(pipeline.predict_proba(empty.valid)).all()


def test_a_linear_model_sees_that_a_number_is_missing(material: train.TrainingData) -> None:
    """The target is whether `age` is missing, which the median alone would hide."""
    hidden = replace(
        material,
        inputs=material.inputs[["age"]],
        target=np.where(material.inputs["age"].isna(), "yes", "no").astype(object),
    )
    pipeline = train.fit(make_candidate("linear", "classification", 0, {"C": 100.0}), hidden)
    assert (pipeline.predict(hidden.inputs) == hidden.target).all()


def test_text_keeps_as_many_words_as_the_setting_says(ready: Callable[..., Project]) -> None:
    settings = load_settings(ready(), ["features.text_words=2"])
    made = train.load_training_data(ready(), settings)
    pipeline = train.fit(make_candidate("linear", "classification", 0, {}), made)
    words = [name for name in pipeline["features"].get_feature_names_out() if "note" in name]
    assert len(words) == 2


@pytest.mark.parametrize("name", ["forest", "hgb"])
def test_trees_count_words_so_that_float32_holds_them(
    material: train.TrainingData, name: str
) -> None:
    pipeline = train.fit(make_candidate(name, "classification", 0, SMALL[name]), material)
    names = pipeline["features"].get_feature_names_out()
    counts = pipeline["features"].transform(material.valid)[
        :, [n.startswith("text") for n in names]
    ]
    assert counts.max() > 1
    assert (counts == counts.round()).all()


def test_a_high_cardinality_column_does_not_leak_the_target(material: train.TrainingData) -> None:
    """Encoded by the mean of its own row, a column of pure noise would predict train perfectly."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 250, len(material.inputs)).astype(str).astype(object)
    made = replace(
        material,
        inputs=pd.DataFrame({"town": noise}),
        target=random.permutation(material.target),
        valid=pd.DataFrame({"town": noise[: len(material.valid)]}),
    )
    pipeline = train.fit(make_candidate("linear", "classification", 0, {}), made)
    assert abs(float(pipeline[-1].coef_[0, 0])) < 0.5


# --------------------------------------------------------------------------------------- folds


def test_folds_of_the_stratified_rule_keep_the_shares(material: train.TrainingData) -> None:
    share = (material.target == "yes").mean()
    for fit_rows, judge_rows in train.folds(material):
        assert not set(fit_rows) & set(judge_rows)
        assert (material.target[judge_rows] == "yes").mean() == pytest.approx(share, abs=0.01)


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


def load_settings_with(material: train.TrainingData, **model: Any) -> Any:
    """Return the material's settings with some of `[model]` changed."""
    settings = material.settings
    return settings.model_copy(update={"model": settings.model.model_copy(update=model)})


def test_no_folds_no_cross_validation(project: Project) -> None:
    facts = trained(project, "model.folds=0")
    assert [each["cv"] for each in facts["candidates"]] == [None, None]
    assert facts["candidates"][0]["valid"]["roc_auc"] > 0.6


# ------------------------------------------------------------------------------------ the choice


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


# ------------------------------------------------------------------------------------ bad settings


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.candidates=linear, forrest", "'forrest', but known are: baseline, catboost"),
        ("params.linear.depth=3", r"linear\.depth: linear has no parameter 'depth'; known are: C,"),
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


# -------------------------------------------------------------------------------- runs and resuming


def test_a_run_id_follows_from_what_the_run_follows_from(project: Project) -> None:
    first = trained(project)
    again = trained(project, "model.tolerance=0.5", "model.candidates=hgb, linear")
    assert {each["run_id"] for each in first["candidates"]} == {
        each["run_id"] for each in again["candidates"]
    }
    ids = {first["run_id"]}
    for override in ("params.linear.C=0.5", "split.seed=7", "features.text_words=5"):
        ids.add(trained(project, override, "model.candidates=linear")["candidates"][0]["run_id"])
    assert len(ids) == 4


def test_a_killed_training_goes_on_where_it_stopped(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, fitted = train.fit, []

    def killed(candidate: Any, *arguments: Any) -> Any:
        fitted.append(candidate.name)
        if candidate.name == "hgb":
            raise KeyboardInterrupt
        return fit(candidate, *arguments)

    monkeypatch.setattr(train, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(project)
    assert [each["name"] for each in lines(project)] == ["baseline", "linear"]
    assert not project.report_file("train").exists()

    monkeypatch.setattr(train, "fit", fit)
    facts = trained(project)
    assert [each["name"] for each in lines(project)] == ["baseline", "linear", "hgb"]
    assert [each["number"] for each in lines(project)] == [1, 2, 3]
    names = sorted(path.name for path in project.logs.glob("*.log"))
    assert len(names) == 3
    assert names[2] == f"run_3_HGB_ID_{facts['candidates'][1]['run_id']}.log"


def test_a_lost_model_is_fitted_again_to_the_same_bytes(project: Project) -> None:
    facts = trained(project)
    path = project.bundle_folder(facts["run_id"]) / MODEL_FILE
    before, recorded = path.read_bytes(), lines(project)
    shutil.rmtree(project.models)
    assert trained(project) == facts
    assert path.read_bytes() == before
    assert lines(project) == recorded


def test_models_that_lost_are_removed_and_bundles_stay(project: Project) -> None:
    bundle = project.models / "0123abcd"
    bundle.mkdir(parents=True)
    for name in (MODEL_FILE, "bundle.json"):
        (bundle / name).write_text("{}", encoding="utf-8")
    facts = trained(project)
    kept = {path.name for path in project.models.iterdir()}
    assert kept == {"0123abcd", facts["run_id"]}
    assert (bundle / MODEL_FILE).exists()


def test_a_run_records_what_it_follows_from(project: Project) -> None:
    trained(project)
    run = lines(project)[1]
    assert run["params"] == {"max_iter": 1000, "random_state": 42}
    assert run["versions"]["scikit-learn"]
    assert run["seed"] == 42
    assert run["fit_seconds"] > 0
    assert run["peak_memory_mb"] > 10
    assert len(run["data"]) == len(run["split"]) == 16
    assert run["rows"]["train"] + run["rows"]["valid"] < ROWS


def test_warnings_of_libraries_go_to_the_log(
    project: Project, recwarn: pytest.WarningsRecorder
) -> None:
    trained(project, "params.linear.max_iter=1", "model.candidates=linear")
    log = next(project.logs.glob("*LOGISTIC*")).read_text(encoding="utf-8")
    assert "ConvergenceWarning" in log
    assert not recwarn.list


def test_the_log_of_a_failed_run_holds_the_reason(project: Project) -> None:
    with pytest.raises(UserError):
        trained(project, "params.linear.C=-1", "model.candidates=linear")
    log = next(project.logs.glob("*LOGISTIC*")).read_text(encoding="utf-8")
    assert "InvalidParameterError" in log


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full")
def test_a_full_disk_is_an_error_of_the_run(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"), logs.run_log(path) as log:
        log.info("anything")


# -------------------------------------------------------------------------------- the diary


def diary(project: Project) -> str:
    """Return docs/experiments.md with its line ends."""
    return str((project.docs / "experiments.md").read_bytes(), "utf-8")


def test_a_training_adds_one_line_to_the_diary_and_none_when_nothing_is_new(
    project: Project,
) -> None:
    facts = trained(project)
    trained(project)
    entries = [line for line in diary(project).splitlines() if line.startswith("- ")]
    assert len(entries) == 1
    assert f"`{facts['run_id']}`" in entries[0]
    assert entries[0].endswith("Why:")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_diary_keeps_a_persons_words(project: Project, end: str) -> None:
    mine = f"# Mine{end}{end}{tracking.MARKER}{end}{end}- older: because{end}  of this{end}{end}End"
    project.docs.mkdir()
    (project.docs / "experiments.md").write_bytes(mine.encode())
    tracking.add_experiment(project, "sooner")
    tracking.add_experiment(project, "later")
    text = diary(project)
    assert text.startswith(f"# Mine{end}{end}{tracking.MARKER}{end}{end}- ")
    assert text.index("later") < text.index("sooner") < text.index("older")
    assert text.endswith(f"- older: because{end}  of this{end}{end}End")
    assert text.replace("\r\n", "").count("\r") == 0
    assert text.count("\n") == text.count(end)


def test_a_diary_without_the_marker_gets_it_at_its_end(project: Project) -> None:
    project.docs.mkdir()
    (project.docs / "experiments.md").write_text("My own notes.\n", encoding="utf-8")
    tracking.add_experiment(project, "first")
    assert diary(project).startswith(f"My own notes.\n\n{tracking.MARKER}\n\n- ")


# ------------------------------------------------------------------------------------ comparing


def test_two_runs_are_compared(project: Project) -> None:
    one = trained(project, "model.candidates=linear")
    two = trained(project, "model.candidates=linear", "params.linear.C=0.01")
    comparison = runs.compare_runs(project, one["run_id"], two["run_id"][:6])
    found = {(each.area, each.name): each.second for each in comparison.differences}
    assert found == {("model", "params.C"): 0.01}
    before, after, change = comparison.metrics["roc_auc"]
    assert before == one["candidates"][0]["valid"]["roc_auc"]
    assert change == pytest.approx((after or 0) - (before or 0))


def test_an_unknown_run_is_named(project: Project) -> None:
    with pytest.raises(UserError, match="There is no run 'ffff'"):
        runs.compare_runs(project, "ffff", "eeee")


def shown(renderable: object) -> str:
    """Return what the terminal would show."""
    from rich.console import Console

    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text()


def test_what_a_killed_run_left_of_its_model_goes(project: Project) -> None:
    left = project.bundle_folder("0badcafe") / ".partial-01234567-model.skops"
    left.parent.mkdir(parents=True)
    left.touch()
    os.utime(left, (0, 0))
    trained(project)
    assert not left.parent.exists()


def test_tables_show_the_runs(project: Project) -> None:
    assert "no runs yet" in shown(runs.list_table(project))
    facts = trained(project)
    listed = shown(runs.list_table(project))
    assert all(each["run_id"] in listed for each in facts["candidates"])
    one, two = (each["run_id"] for each in facts["candidates"])
    compared = shown(runs.compare_table(project, one, two))
    assert "roc_auc on valid" in compared
    assert "linear" in compared and "hgb" in compared


# ------------------------------------------------------------------------------ saving and loading


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["baseline", "linear", "forest", "hgb", *BOOSTERS])
def test_a_model_is_saved_and_loaded(
    ready: Callable[..., Project], tmp_path: Path, name: str, target: str
) -> None:
    if name in BOOSTERS:
        pytest.importorskip(name)
    made = train.load_training_data(ready(target), load_settings(ready(target)))
    pipeline = train.fit(make_candidate(name, made.task.name, 0, SMALL.get(name, {})), made)
    files = save_model(pipeline, tmp_path)
    assert sorted(files) == sorted(model_files(tmp_path)) == sorted(tmp_path.iterdir())
    loaded = load_model(tmp_path)
    np.testing.assert_array_equal(loaded.predict(made.valid), pipeline.predict(made.valid))
    if made.classes:
        assert pipeline[-1].classes_.tolist() == made.classes
        expected = pipeline.predict_proba(made.valid)
        np.testing.assert_array_equal(loaded.predict_proba(made.valid), expected)


@pytest.mark.parametrize("name", ["linear", "forest", "hgb"])
def test_the_same_model_has_the_same_bytes(
    material: train.TrainingData, tmp_path: Path, name: str
) -> None:
    candidate = make_candidate(name, "classification", 0, SMALL.get(name, {}))
    for folder in ("one", "two"):
        pipeline = train.fit(candidate, material)
        pipeline.predict(material.valid)
        save_model(pipeline, tmp_path / folder)
    assert (tmp_path / "one" / MODEL_FILE).read_bytes() == (
        tmp_path / "two" / MODEL_FILE
    ).read_bytes()


def test_a_parallel_forest_predicts_on_one_core(material: train.TrainingData) -> None:
    pipeline = train.fit(make_candidate("forest", "classification", 0, SMALL["forest"]), material)
    assert pipeline[-1].n_jobs == 1


@pytest.fixture
def neighbours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Register an estimator as custom.py would, of types that skops does not know."""

    def build(task: str, seed: int, params: dict[str, Any]) -> Any:
        from mlproj.models import Candidate
        from sklearn.neighbors import KNeighborsClassifier

        return Candidate("neighbours", "KNN", "linear", KNeighborsClassifier(**params))

    monkeypatch.setattr(custom, "neighbours", build, raising=False)
    monkeypatch.setitem(ESTIMATORS, "neighbours", ".custom:neighbours")
    yield


def test_an_estimator_of_custom_py_is_trained(project: Project, neighbours: None) -> None:
    facts = trained(project, "model.candidates=neighbours", "params.neighbours.n_neighbors=15")
    assert facts["candidates"][0]["params"] == {"n_neighbors": 15}
    assert (project.logs / f"run_2_KNN_ID_{facts['run_id']}.log").exists()
    with pytest.raises(UserError, match="'neighbours' cannot be built: .*'size'"):
        trained(project, "model.candidates=neighbours", "params.neighbours.size=15")


def test_a_type_that_is_not_trusted_is_neither_saved_nor_loaded(
    material: train.TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = "sklearn.tree._tree.Tree"
    pipeline = train.fit(make_candidate("forest", "classification", 0, SMALL["forest"]), material)
    save_model(pipeline, tmp_path / "before")
    monkeypatch.setattr("mlproj.models.persist.TRUSTED", TRUSTED - {tree})
    with pytest.raises(UserError, match=tree):
        save_model(pipeline, tmp_path / "after")
    assert not (tmp_path / "after" / MODEL_FILE).exists()
    with pytest.raises(UserError, match=tree):
        load_model(tmp_path / "before")


def test_a_damaged_or_absent_model_is_named(material: train.TrainingData, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; run `train` first"):
        load_model(tmp_path)
    save_model(train.fit(make_candidate("linear", "classification", 0, {}), material), tmp_path)
    path = tmp_path / MODEL_FILE
    assert zipfile.is_zipfile(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="is damaged"):
        load_model(tmp_path)
