"""Inputs follow from their own row, and what is fitted from train alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj import custom, train
from mlproj.bundle.onnx.export import export_onnx
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.project import Project
from mlproj.data.schema import Column, Schema
from mlproj.models import features, make_candidate
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from trained import SMALL, TARGETS


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


def text_columns(pipeline: Any) -> list[str]:
    """Return the names of the features that are words or pairs of words."""
    names = pipeline["features"].get_feature_names_out()
    return [name.partition("__")[2] for name in names if name.partition(" ")[0] in KINDS_OF_TEXT]


KINDS_OF_TEXT = ("text", "pairs")
LINEAR = make_candidate("linear", "classification", 0, {})


def test_a_linear_model_gets_pairs_of_words_of_rows_enough(
    material: train.TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a text is about a red dog is in no single word."""
    rows = len(material.inputs)
    assert not any(" " in name for name in text_columns(train.fit(LINEAR, material)))
    monkeypatch.setattr(features, "ROWS_OF_PAIRS", range(rows, rows + 1))
    told = material.inputs["note"].str.contains("red dog").to_numpy()
    made = replace(
        material,
        inputs=material.inputs[["note"]],
        target=np.where(told, "yes", "no").astype(object),
    )
    assert "red dog" in text_columns(train.fit(LINEAR, made))
    single = made.settings.features.model_copy(update={"text_words": 10_000})
    without = replace(made, settings=made.settings.model_copy(update={"features": single}))
    fits = [train.fit(LINEAR, each) for each in (made, without)]
    scores = [roc_auc_score(told, each.predict_proba(made.inputs)[:, 1]) for each in fits]
    assert scores[0] > 0.98 > scores[1]
    trees = train.fit(make_candidate("hgb", "classification", 0, SMALL["hgb"]), made)
    assert not any(" " in name for name in text_columns(trees))
    # Nothing is paired where texts are of one word.
    alone = replace(made, inputs=made.inputs.assign(note=made.inputs["note"].str.split().str[0]))
    assert not any(" " in name for name in text_columns(train.fit(LINEAR, alone)))


def test_pairs_convert_to_onnx_also_those_of_words_that_are_left_out(
    material: train.TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "ROWS_OF_PAIRS", range(1, 10_000))
    monkeypatch.setattr(features, "MOST_WORDS", 4)
    made = replace(material, inputs=material.inputs[["size", "note"]])
    pipeline = train.fit(LINEAR, made)
    words = set(text_columns(pipeline))
    assert any(not set(name.split()) <= words for name in words)
    document = {
        **{"task": "classification", "classes": made.classes, "positive": "yes"},
        **{"threshold": 0.5, "calibration": {"temperature": 1.0}},
    }
    found = export_onnx(pipeline, material.valid[["size", "note"]], document)
    assert found.facts["equal"], found.facts["reason"]


@pytest.mark.parametrize("name", ["linear", "hgb"])
def test_rows_of_train_are_seen_as_they_were_learnt_from(
    material: train.TrainingData, name: str
) -> None:
    candidate, rows = make_candidate(name, "classification", 0, SMALL.get(name, {})), len(
        material.inputs
    )
    words = material.inputs["note"] + [f" word{row % 97}" for row in range(rows)]
    material = replace(material, inputs=material.inputs.assign(note=words))
    pipeline, given = train.fit(candidate, material), (material.inputs, material.target)
    learnt = features.as_learnt(pipeline["features"], *given, rows)
    again = clone(pipeline["features"]).fit_transform(*given)
    later = pipeline["features"].transform(material.inputs)
    assert issparse(learnt) == (name == "linear")
    dense = [each.toarray() if issparse(each) else each for each in (learnt, again, later)]
    assert np.allclose(dense[0], dense[1], equal_nan=True)
    assert not np.allclose(dense[0], dense[2], equal_nan=True)
    assert features.as_learnt(pipeline["features"], *given, rows + 1) is None
    other = replace(material, inputs=material.inputs[["size", "note"]])
    pipeline = train.fit(make_candidate(name, "classification", 0, SMALL.get(name, {})), other)
    assert (
        features.as_learnt(pipeline["features"], other.inputs, other.target, 2 * rows) is not None
    )


@pytest.mark.parametrize("name", ["linear", "hgb"])
def test_a_changed_input_changes_its_own_steps_alone(
    material: train.TrainingData, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = material.inputs["note"] + [f" word{row % 97}" for row in range(len(material.inputs))]
    material = replace(material, inputs=material.inputs.assign(note=words))
    fitted = train.fit(make_candidate(name, "classification", 0, SMALL.get(name, {})), material)[0]

    def dense(rows: Any) -> Any:
        assert issparse(rows) == (name == "linear")
        return rows.toarray() if issparse(rows) else rows

    made = fitted.transform(material.inputs)
    before, differ = dense(made).copy(), []
    for column in material.inputs:
        inputs = material.inputs.copy()
        inputs[column] = inputs[column].to_numpy()[::-1]
        found = dense(features.transform_again(fitted, made, inputs, [column]))
        assert np.array_equal(found, dense(fitted.transform(inputs)), equal_nan=True), column
        differ += [] if np.array_equal(found, before, equal_nan=True) else [column]
    assert {"size", "note"} <= set(differ)
    assert np.array_equal(dense(made), before, equal_nan=True)
    # What does not depend on the input is not made again.
    monkeypatch.setattr(features.TfidfVectorizer, "transform", None)
    features.transform_again(fitted, made, material.inputs, ["size"])


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
