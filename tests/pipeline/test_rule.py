"""The team's rule after the prediction: the same answer wherever a model predicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj import custom, evaluate, postprocess, train
from mlproj.bundle.bundle import Bundle, load_bundle
from mlproj.bundle.champion import _put_in_service
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.pipeline import run_stage
from mlproj.core.project import Project
from mlproj.data.split import load_split
from mlproj.monitoring.window import window_of
from mlproj.predict import predict
from mlproj.serving.rows import Rules
from mlproj.serving.scoring import load_model

Rule = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]


def never_young(frame: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Nobody below 40 leaves, whatever the model says."""
    young = frame["age"] < 40
    predictions.loc[young, "prediction"] = "no"
    predictions.loc[young, ["probability_no", "probability_yes"]] = [1.0, 0.0]
    return predictions


def not_below_30(frame: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Predict 30 or more."""
    return predictions.clip(lower=30)


RULES: dict[str, Rule] = {"classification": never_young, "regression": not_below_30}


@pytest.fixture(name="made", scope="module", params=RULES)
def made_fixture(
    request: pytest.FixtureRequest, make_project: Any, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """A project whose model was packaged and judged under a rule, and what it was judged to be."""
    task = request.param
    project = make_project(
        tmp_path_factory.mktemp(task),
        data={
            "source": "sample:900",
            "id": "customer_id",
            "target": "churned" if task == "classification" else "spend",
        },
        model={"task": task, "candidates": "linear", "folds": 0},
        evaluate={"bootstrap": 20, "margin": 0},
    )
    settings = load_settings(project)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(custom, "decide", RULES[task], raising=False)
        for stage in ("ingest", "preprocess"):
            run_stage(project, settings, stage)
        train.train(project, settings)
        release = postprocess.postprocess(project, settings)
        judged = evaluate.evaluate(project, settings)
        _put_in_service(project, str(release.run_id), "promote")
        yield project, release, judged


@pytest.fixture(name="bundle")
def bundle_fixture(made: Any) -> Bundle:
    """The packaged model."""
    return load_bundle(made[0], made[1].run_id)


@pytest.fixture(name="rows")
def rows_fixture(made: Any) -> pd.DataFrame:
    """Rows that the model was not fitted on."""
    return load_split(made[0], "test")


def as_model(bundle: Bundle, typed: pd.DataFrame) -> pd.DataFrame:
    """What the model says before the rule."""
    found = bundle.task.decide(bundle.document, bundle.score(typed))
    return pd.DataFrame(bundle.task.columns(bundle.document, found), index=typed.index)


def expected(bundle: Bundle, rows: pd.DataFrame) -> pd.DataFrame:
    """What the rule makes of what the model says."""
    typed = bundle.conform(rows, strict=False)
    return RULES[bundle.task.name](typed, as_model(bundle, typed))


def test_the_rule_changes_predictions(bundle: Bundle, rows: pd.DataFrame) -> None:
    found = bundle.predict(rows).drop(columns="customer_id")
    pd.testing.assert_frame_equal(found, expected(bundle, rows))
    before = as_model(bundle, bundle.conform(rows, strict=False))
    assert (found["prediction"] != before["prediction"]).any()


def test_one_row_and_many_agree(bundle: Bundle, rows: pd.DataFrame) -> None:
    alone = pd.concat([bundle.predict(rows.iloc[[at]]) for at in range(20)])
    pd.testing.assert_frame_equal(alone, bundle.predict(rows).head(20))


def test_evaluation_and_gate_judge_what_the_rule_decides(made: Any, bundle: Bundle) -> None:
    project, release, judged = made
    valid = load_split(project, "valid")
    truth, decided = valid[bundle.document["target"]], expected(bundle, valid)
    if bundle.task.name == "classification":
        name, value = "accuracy", (decided["prediction"] == truth).mean()
    else:
        name, value = "rmse", float(np.sqrt(((decided["prediction"] - truth) ** 2).mean()))
        covered = truth.between(decided["lower"], decided["upper"]).mean()
        assert judged.facts["interval"]["coverage"] == pytest.approx(covered)
    assert judged.facts["metrics"][name]["value"] == pytest.approx(value)
    assert release.facts["metrics"][name] == pytest.approx(value)
    reference = json.loads((bundle.folder / "reference.json").read_text(encoding="utf-8"))
    assert reference["metrics"][name]["value"] == pytest.approx(value)


def test_a_batch_gets_what_a_notebook_gets(
    made: Any, bundle: Bundle, rows: pd.DataFrame, tmp_path: Path
) -> None:
    rows.to_parquet(tmp_path / "in.parquet")
    settings = load_settings(made[0], ["predict.chunk_rows=50"])
    predict(made[0], settings, tmp_path / "in.parquet", tmp_path / "out.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(found, bundle.predict(rows).reset_index(drop=True))


def test_the_monitor_scores_by_the_rule(bundle: Bundle, rows: pd.DataFrame) -> None:
    unlabelled = rows.drop(columns=bundle.document["target"])
    found = window_of(bundle, unlabelled, "rows").predictions
    assert found is not None
    decided = expected(bundle, rows)["prediction"].tolist()
    parts = found.labels if found.labels is not None else found.values
    assert np.asarray(parts).tolist() == decided


def test_the_service_answers_by_the_rule(made: Any, bundle: Bundle, rows: pd.DataFrame) -> None:
    """Also a model whose ONNX form is equal, since the rule is Python."""
    assert bundle.document["onnx"]["equal"]
    model = load_model(made[0], bundle.run_id, None, Rules(True, "refuse", 1000))
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


def test_the_page_refuses_a_rule(made: Any, tmp_path: Path) -> None:
    from mlproj.serving.browser import write_page

    with pytest.raises(UserError, match="needs code of custom.py .*which no browser runs"):
        write_page(made[0], load_settings(made[0]), tmp_path / "page")


def _fail(frame: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (lambda frame, found: found.iloc[1:], "returned .* rows for .*every row in its place"),
        (lambda frame, found: found.iloc[::-1], "returned .* rows for .*every row in its place"),
        (lambda frame, found: found.reset_index(drop=True), "every row in its place"),
        (lambda frame, found: found.assign(more=1), "returned the columns .*more; return pred"),
        (lambda frame, found: found.iloc[:, ::-1], "returned the columns .*; return pred"),
        (lambda frame, found: None, "returned NoneType; return the frame of predictions"),
        (_fail, "decide in custom.py failed with ZeroDivisionError: division by zero; correct"),
        (lambda frame, found: found.assign(prediction=None), "the classes are|prediction = nan"),
    ],
)
def test_what_a_rule_must_not_return(
    bundle: Bundle, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, rule: Rule, sentence: str
) -> None:
    monkeypatch.setattr(custom, "decide", rule)
    with pytest.raises(UserError, match=f"decide in custom.py .*{sentence}|{sentence}"):
        bundle.predict(rows.set_index(rows.index + 7))


def test_classes_and_probabilities_that_a_rule_must_not_return(
    bundle: Bundle, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bundle.task.name != "classification":
        pytest.skip("there are no classes")
    monkeypatch.setattr(custom, "decide", lambda frame, found: found.assign(prediction="maybe"))
    with pytest.raises(UserError, match="the prediction 'maybe'; the classes are no, yes"):
        bundle.predict(rows)
    monkeypatch.setattr(custom, "decide", lambda frame, found: found.assign(probability_no=1.5))
    with pytest.raises(UserError, match="probability_no = 1.5; it has to be a number from 0 to 1"):
        bundle.predict(rows)


def test_a_rule_by_which_rows_depend_on_each_other_is_refused(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project: Project = made[0]

    def ranked(frame: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
        column = predictions.columns[-1]
        predictions[column] = predictions[column].rank(pct=True)
        return predictions

    monkeypatch.setattr(custom, "decide", ranked)
    with pytest.raises(UserError, match="gives row 1 of valid another prediction alone"):
        postprocess.postprocess(project, load_settings(project))
