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
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.project import Project
from mlproj.data.schema import Column, Schema
from mlproj.models import features, make_candidate
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
