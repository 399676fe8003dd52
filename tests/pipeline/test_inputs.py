"""Kinds of inputs: those of the template, and one that a module adds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj.bundle.bundle import load_bundle
from mlproj.bundle.onnx.form import read_onnx
from mlproj.core import config, pipeline
from mlproj.core.registry import INPUTS
from mlproj.data.schema import Column, Schema
from mlproj.data.split import load_split
from mlproj.models import Input, are_plain, input_kinds, kinds_by_type
from mlproj.models.features import build_features, input_types, prepare
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

OPTIONS = config.Settings().features
EXPECTED = {
    "linear": ["numbers", "present", "categories", "strings", "text note", "text more"],
    "tree": ["numbers", "categories", "strings", "text note", "text more"],
    "filled": ["numbers", "categories", "strings", "text note", "text more"],
}


def table(rows: int = 60) -> tuple[pd.DataFrame, Schema]:
    """Return a column of every type, with a missing number, and their schema."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "note": ["one two"] * rows,
            "town": [f"town {at % 30}" for at in range(rows)],
            "size": random.normal(size=rows),
            "plan": random.choice(["basic", "plus"], rows),
            "since": pd.Timestamp(2024, 1, 1) + pd.to_timedelta(np.arange(rows), "D"),
            "member": random.uniform(size=rows) < 0.5,
            "visits": random.integers(0, 9, rows),
            "more": ["three"] * rows,
        }
    )
    frame.loc[3, "size"] = np.nan
    columns = (
        Column("note", "text", False),
        Column("town", "string", False),
        Column("size", "number", True),
        Column("plan", "category", False, categories=("basic", "plus")),
        Column("since", "datetime", False),
        Column("member", "boolean", False),
        Column("visits", "integer", False),
        Column("more", "text", False),
    )
    return frame, Schema(columns, "test")


def features_of(kind: str) -> Any:
    """Return the unfitted transformer for that table."""
    frame, schema = table()
    inputs = prepare(frame, schema)
    return build_features(inputs, schema, kind, target_kind="continuous", seed=0, settings=OPTIONS)


@pytest.mark.parametrize("kind", EXPECTED)
def test_each_kind_has_its_step_in_a_fixed_order(kind: str) -> None:
    made = features_of(kind)
    assert [name for name, _, _ in made.transformers] == EXPECTED[kind]
    columns = {name: of for name, _, of in made.transformers}
    dates = [f"since__{part}" for part in ("year", "month", "day", "weekday", "hour", "days")]
    assert columns["numbers"] == ["size", *dates, "member", "visits"]
    assert columns["categories"] == ["plan"]
    assert columns["strings"] == ["town"]
    assert columns["text note"] == "note"
    assert columns.get("present", ["size"]) == ["size"]


def test_every_type_of_a_schema_has_a_kind() -> None:
    served = ("boolean", "category", "datetime", "integer", "number", "string", "text")
    assert sorted(kinds_by_type(input_kinds())) == list(served)
    assert are_plain(served)


# ------------------------------------------------------------------------------- a kind of a module


def shift(values: pd.Series[Any]) -> dict[Any, Any]:
    return {values.name: values.astype("float64") + 0.5}


def range_steps(columns: list[str], options: Any) -> list[Any]:
    steps = [("fill", SimpleImputer(strategy="most_frequent")), ("scale", MinMaxScaler())]
    return [(f"range {options.kind}", Pipeline(steps), columns)]


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a kind of its own serve integers, as a module does by its `__init__.py`."""
    monkeypatch.setitem(INPUTS, "count", Input(("integer",), shift, range_steps))


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_module_takes_a_type_over_and_leaves_the_rest(counts: None, kind: str) -> None:
    made = features_of(kind)
    assert [name for name, _, _ in made.transformers] == [*EXPECTED[kind], f"range {kind}"]
    columns = {name: of for name, _, of in made.transformers}
    assert columns[f"range {kind}"] == ["visits"]
    assert "visits" not in columns["numbers"]
    frame, schema = table()
    assert (prepare(frame, schema)["visits"] == frame["visits"] + 0.5).all()
    assert input_types(prepare(frame, schema), schema, OPTIONS)["visits"] == "count"


def test_the_order_of_kinds_follows_from_their_names_not_from_imports(
    counts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(INPUTS, "age", Input((), shift))
    own = ["number", "category", "string", "text", "datetime"]
    assert list(input_kinds()) == [*own, "age", "count"]
    # As if the module had been imported first.
    monkeypatch.setattr("mlproj.models.INPUTS", dict(reversed(INPUTS.items())))
    assert list(input_kinds()) == [*own, "age", "count"]


def lengths(values: pd.Series[Any]) -> dict[Any, Any]:
    length = values.astype(object).fillna("").str.len().astype("float64")
    return {f"{values.name}__length": length}


def test_inputs_of_a_kind_without_steps_count_as_what_they_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(INPUTS, "count", Input(("integer",), shift))
    columns = {name: of for name, _, of in features_of("tree").transformers}
    assert "visits" in columns["numbers"]


def test_inputs_of_floats_under_other_names_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INPUTS, "length", Input(("text",), lengths))
    columns = {name: of for name, _, of in features_of("tree").transformers}
    assert {"note__length", "more__length"} < set(columns["numbers"])
    assert not any(name.startswith("text") for name in columns)


def test_a_model_with_such_inputs_is_trained_packaged_and_served(
    make_project: Any, tmp_path: Path, counts: None
) -> None:
    data = {"source": "sample:600", "id": "customer_id", "target": "churned"}
    project = make_project(tmp_path, data=data, model={"candidates": "linear", "folds": 0})
    settings = config.load_settings(project)
    pipeline.run(project, settings, until="postprocess", say=lambda _: None)
    bundle = load_bundle(project, pipeline.require(project, "postprocess").run_id)
    kinds = {column.name for column in bundle.schema.features if column.type == "integer"}
    assert kinds
    # The ONNX form is equal, yet a service must not feed it: it would leave `shift` out.
    onnx = read_onnx(bundle.folder, bundle.document)
    assert onnx["equal"], onnx["reason"]
    from asking import Asked, as_rows
    from mlproj.bundle import champion

    champion.promote(project, bundle.run_id)
    rows = load_split(project, "valid").head(20)
    expected = bundle.predict(rows)
    with Asked(project).running() as asked:
        answer = asked.predict(as_rows(bundle, rows))
    assert answer.status == 200, answer.body
    shares = [each["probability"]["yes"] for each in answer.json["predictions"]]
    assert np.allclose(shares, expected["probability_yes"], atol=1e-9)


def test_kinds_are_listed_without_importing_pandas(package_environment: dict[str, str]) -> None:
    code = (
        "import sys; from mlproj.models import are_plain\n"
        "print(are_plain(['number', 'text']), sorted({'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=package_environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "True []", done.stderr
