"""The team's rule after the prediction: the same answer wherever a model predicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asking import Asked
from mlproj import train
from mlproj.bundle import champion
from mlproj.bundle.bundle import Bundle, load_bundle
from mlproj.bundle.onnx.form import read_onnx
from mlproj.bundle.rule import check_alone
from mlproj.core import registry
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.pipeline import run_stage
from mlproj.core.project import Project
from mlproj.data.split import load_split
from mlproj.monitoring.window import window_of
from mlproj.predict import predict
from mlproj.serving.rows import Rules
from mlproj.serving.scoring import load_model
from room import Room

Rule = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]

RULES = {
    "classification": """

def decide(frame, predictions):
    young = frame["age"] < 40
    predictions.loc[young, "prediction"] = "no"
    predictions.loc[young, ["probability_no", "probability_yes"]] = [1.0, 0.0]
    return predictions
""",
    "regression": """

def decide(frame, predictions):
    return predictions.clip(lower=30)
""",
}


@pytest.fixture(name="room", scope="module", params=RULES)
def room_fixture(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Room:
    """A project whose model was packaged and judged under a rule."""
    room = Room(tmp_path_factory.mktemp("rule"), task=request.param)
    room.write(RULES[request.param])
    room.trained()
    return room


@pytest.fixture(name="project")
def project_fixture(room: Room) -> Project:
    """The same project, in this process."""
    return Project(room.root)


@pytest.fixture(name="bundle")
def bundle_fixture(room: Room, project: Project) -> Bundle:
    """The packaged model."""
    return load_bundle(project, room.report("release")["run_id"])


@pytest.fixture(name="rows")
def rows_fixture(project: Project) -> pd.DataFrame:
    """Rows that the model was not fitted on."""
    found: pd.DataFrame = load_split(project, "test")
    return found


def as_model(bundle: Bundle, typed: pd.DataFrame) -> pd.DataFrame:
    """What the model says before the rule."""
    found = bundle.task.decide(bundle.document, bundle.score(typed))
    return pd.DataFrame(bundle.task.columns(bundle.document, found), index=typed.index)


def expected(bundle: Bundle, rows: pd.DataFrame) -> pd.DataFrame:
    """What the rule makes of what the model says."""
    typed = bundle.conform(rows, strict=False)
    found = as_model(bundle, typed)
    if bundle.task.name == "regression":
        return pd.DataFrame(found.clip(lower=30))
    young = (typed["age"] < 40).fillna(False)  # as `loc` takes an age that is missing
    for column, value in {"prediction": "no", "probability_no": 1, "probability_yes": 0}.items():
        found[column] = found[column].mask(young, value)
    return found


def with_rule(bundle: Bundle, rule: Rule) -> Bundle:
    """The same model under another rule."""
    custom = ModuleType("custom")
    custom.__dict__["decide"] = rule
    return replace(bundle, custom=custom)


def test_the_rule_changes_predictions(bundle: Bundle, rows: pd.DataFrame) -> None:
    found = bundle.predict(rows).drop(columns="customer_id")
    pd.testing.assert_frame_equal(found, expected(bundle, rows))
    before = as_model(bundle, bundle.conform(rows, strict=False))
    assert (found["prediction"] != before["prediction"]).any()


def test_one_row_and_many_agree(bundle: Bundle, rows: pd.DataFrame) -> None:
    alone = pd.concat([bundle.predict(rows.iloc[[at]]) for at in range(20)])
    pd.testing.assert_frame_equal(alone, bundle.predict(rows).head(20))


def test_evaluation_and_gate_judge_what_the_rule_decides(
    room: Room, project: Project, bundle: Bundle
) -> None:
    judged, release = room.report("metrics")["facts"], room.report("release")["facts"]
    valid = load_split(project, "valid")
    truth, decided = valid[bundle.document["target"]], expected(bundle, valid)
    if bundle.task.name == "classification":
        name, value = "accuracy", (decided["prediction"] == truth).mean()
    else:
        name, value = "rmse", float(np.sqrt(((decided["prediction"] - truth) ** 2).mean()))
        covered = truth.between(decided["lower"], decided["upper"]).mean()
        assert judged["interval"]["coverage"] == pytest.approx(covered)
    assert judged["metrics"][name]["value"] == pytest.approx(value)
    assert release["metrics"][name] == pytest.approx(value)
    reference = json.loads((bundle.folder / "reference.json").read_text(encoding="utf-8"))
    assert reference["metrics"][name]["value"] == pytest.approx(value)


def test_a_batch_gets_what_a_notebook_gets(
    project: Project, bundle: Bundle, rows: pd.DataFrame, tmp_path: Path
) -> None:
    rows.to_parquet(tmp_path / "in.parquet")
    settings = load_settings(project, ["predict.chunk_rows=50"])
    predict(project, settings, tmp_path / "in.parquet", tmp_path / "out.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(found, bundle.predict(rows).reset_index(drop=True))


def test_the_monitor_scores_by_the_rule(bundle: Bundle, rows: pd.DataFrame) -> None:
    unlabelled = rows.drop(columns=bundle.document["target"])
    found = window_of(bundle, unlabelled, "rows").predictions
    assert found is not None
    decided = expected(bundle, rows)["prediction"].tolist()
    parts = found.labels if found.labels is not None else found.values
    assert np.asarray(parts).tolist() == decided


def test_the_service_answers_by_the_rule(
    project: Project, bundle: Bundle, rows: pd.DataFrame
) -> None:
    """Also a model whose ONNX form is equal, since the rule is Python."""
    assert read_onnx(bundle.folder, bundle.document)["equal"]
    model = load_model(project, bundle.run_id, None, Rules(True, "refuse", 1000))
    assert not model.onnx
    names = [column.name for column in model.schema.features]
    given = json.loads(rows[names].to_json(orient="records", date_format="iso"))
    scores = model.score(model.table(model.reader.read(json.dumps({"rows": given}).encode())))
    answers = model.predictions(scores, model.codes(scores))
    decided = expected(bundle, rows)
    assert [each.prediction for each in answers] == decided["prediction"].tolist()
    if bundle.task.name == "regression":
        bounds = [[each.lower, each.upper] for each in answers]
        np.testing.assert_allclose(bounds, decided[["lower", "upper"]])
    else:
        shares = [each.probability.p1 for each in answers]
        np.testing.assert_allclose(shares, decided["probability_yes"])


def test_the_service_says_who_decides(project: Project, bundle: Bundle) -> None:
    """Not by a threshold that a rule may overrule."""
    champion.release(project, bundle.run_id, "promote")
    with Asked(project).running() as asked:
        document = asked.ask("GET", "/openapi.json").json
        example = asked.service.fleet.champion.example
        answers = {
            "/predict": asked.predict([example]).json,
            "/explain": asked.ask("POST", "/explain", {"row": example}).json,
        }
        assert asked.ask("GET", "/model").json["decided_by"] == "decide"
    for path, answer in answers.items():
        assert answer["decided_by"] == "decide"
        assert not {"threshold", "positive"} & answer.keys()
        said = document["paths"][path]["post"]["responses"]["200"]["content"]
        form = said["application/json"]["schema"]
        assert set(form["required"]) == form["properties"].keys() == answer.keys()
        assert form["properties"]["decided_by"] == {"const": "decide"}


def test_an_image_without_pandas_refuses_a_rule(room: Room) -> None:
    """So the build notices, and installs all packages."""
    done = room.run_without("pandas", "serve", "--check")
    assert done.returncode == 2
    assert "cannot be served here (ModuleNotFoundError" in done.stderr
    assert "needs all that pyproject.toml depends on" in done.stderr
    assert "Traceback" not in done.stderr
    assert "can be served here" in room.run("serve", "--check").stdout


def test_the_page_refuses_a_rule(project: Project, tmp_path: Path) -> None:
    from mlproj.serving.browser import write_page

    with pytest.raises(UserError, match="needs code of custom.py .*which no browser runs"):
        write_page(project, load_settings(project), tmp_path / "page")


def _fail(frame: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    raise ZeroDivisionError("division by zero")


FAILS = _fail.__code__.co_firstlineno + 1


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (lambda frame, found: found.iloc[1:], "returned .* rows for .*every row in its place"),
        (lambda frame, found: found.iloc[::-1], "returned .* rows for .*every row in its place"),
        (lambda frame, found: found.reset_index(drop=True), "every row in its place"),
        (lambda frame, found: found.assign(more=1), "returned the columns .*more; return pred"),
        (lambda frame, found: found.iloc[:, ::-1], "returned the columns .*; return pred"),
        (lambda frame, found: None, "returned NoneType; return the frame of predictions"),
        (
            _fail,
            rf"decide in test_rule.py, line {FAILS}, failed with ZeroDivisionError: .*; correct",
        ),
        (lambda frame, found: found.assign(prediction=None), "the classes are|prediction = nan"),
    ],
)
def test_what_a_rule_must_not_return(
    bundle: Bundle, rows: pd.DataFrame, rule: Rule, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        with_rule(bundle, rule).predict(rows.set_index(rows.index + 7))


@pytest.mark.parametrize("room", ["classification"], indirect=True)
def test_classes_and_probabilities_that_a_rule_must_not_return(
    bundle: Bundle, rows: pd.DataFrame
) -> None:
    unknown = with_rule(bundle, lambda frame, found: found.assign(prediction="maybe"))
    with pytest.raises(UserError, match="the prediction 'maybe'; the classes are no, yes"):
        unknown.predict(rows)
    above = with_rule(bundle, lambda frame, found: found.assign(probability_no=1.5))
    with pytest.raises(UserError, match="probability_no = 1.5; it has to be a number from 0 to 1"):
        above.predict(rows)


def test_a_rule_by_which_rows_depend_on_each_other_is_refused(
    bundle: Bundle, rows: pd.DataFrame
) -> None:
    def ranked(frame: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
        column = predictions.columns[-1]
        predictions[column] = predictions[column].rank(pct=True)
        return predictions

    typed = bundle.conform(rows, strict=False)
    check_alone(bundle, typed, bundle.predict_typed(typed))
    wrong = with_rule(bundle, ranked)
    with pytest.raises(UserError, match="gives row 1 of valid another prediction alone"):
        check_alone(wrong, typed, wrong.predict_typed(typed))


def _spoil(frame: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    predictions.loc[:, predictions.columns[-1]] = np.nan
    return predictions


def test_a_number_that_a_rule_takes_away_in_place_is_missed(
    bundle: Bundle, rows: pd.DataFrame
) -> None:
    with pytest.raises(UserError, match="returned .* = nan; it has to be a number"):
        with_rule(bundle, _spoil).predict(rows)


@pytest.fixture(name="split", scope="module", params=RULES)
def split_fixture(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, make_project: Any
) -> Project:
    """A project whose data is split, and where nothing was trained."""
    target = {"classification": "churned", "regression": "spend"}[request.param]
    project: Project = make_project(
        tmp_path_factory.mktemp("split"),
        data={"source": "sample:600", "id": "customer_id", "target": target},
        model={"candidates": "linear", "folds": 0, "task": request.param},
    )
    for stage in ("ingest", "preprocess"):
        run_stage(project, load_settings(project), stage)
    return project


def _misspelt(frame: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    young = frame["aeg"] < 40
    return predictions[young]


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (_misspelt, f"line {_misspelt.__code__.co_firstlineno + 1}, failed with KeyError: 'aeg'"),
        (lambda frame, found: found.iloc[1:], "returned 199 rows for 200, or other ones; return"),
        (lambda frame, found: found[["prediction"]], "returned the columns prediction; return"),
        (lambda frame, found: None, "returned NoneType; return the frame of predictions"),
    ],
)
def test_a_wrong_rule_is_refused_before_anything_is_fitted(
    split: Project, monkeypatch: pytest.MonkeyPatch, rule: Rule, sentence: str
) -> None:
    monkeypatch.setattr(registry.team(), "decide", rule, raising=False)
    with pytest.raises(UserError, match=f"^decide in test_rule.py, .*{sentence}"):
        train.train(split, load_settings(split))
    assert not (split.logs / "runs.jsonl").exists()
    assert [each for each in split.models.glob("*") if each.is_dir()] == []


@pytest.mark.parametrize("split", ["classification"], indirect=True)
def test_an_unknown_class_is_refused_before_anything_is_fitted(
    split: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decide(frame: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
        old = frame["age"] > 60
        return predictions.assign(prediction=predictions["prediction"].mask(old, "maybe"))

    monkeypatch.setattr(registry.team(), "decide", decide, raising=False)
    with pytest.raises(UserError, match="the prediction 'maybe'; the classes are no, yes"):
        train.train(split, load_settings(split))
    assert not (split.logs / "runs.jsonl").exists()


def test_what_depends_on_the_model_is_left_to_the_model(
    split: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers of no use come from the baseline here, and perhaps from no other model."""
    seen = []

    def decide(frame: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
        seen.append((frame, predictions.copy()))
        numbers = predictions.columns[1:]
        return predictions.assign(**{name: np.inf for name in numbers})

    monkeypatch.setattr(registry.team(), "decide", decide, raising=False)
    assert train.train(split, load_settings(split)).run_id
    ((frame, given),) = seen
    assert set(frame.columns) == set(load_split(split, "train").columns) - {target_of(split)}
    assert given.notna().all(axis=None)
    if "lower" in given:
        assert (given["lower"] < given["prediction"]).all()


def target_of(project: Project) -> str:
    """The column to predict."""
    return str(load_settings(project).data.target)
