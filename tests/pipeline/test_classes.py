"""The classes of a target: which of two is the positive one, and in which type they come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from asking import Asked
from cases import every_case
from mlproj import ingest, predict
from mlproj.bundle import champion
from mlproj.bundle.bundle import load_bundle
from mlproj.core import pipeline
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.project import Project
from mlproj.data.readers import read_table
from mlproj.data.schema import (
    Schema,
    columns_fingerprint,
    load_schema,
    read_schema_file,
    save_schema,
)
from mlproj.data.split import load_split
from mlproj.evaluation.predictions import Predictions
from mlproj.models.training_data import load_training_data
from mlproj.monitoring.window import _labels
from mlproj.serving.browser import _facts
from sklearn.metrics import recall_score
from tables import write_source

ROWS = 240
SUFFIXES = ("csv", "parquet", "jsonl", "xlsx")


def table_of(rare: Any, often: Any, share: float = 0.25) -> pd.DataFrame:
    """Return rows whose label follows from a number."""
    size = np.random.default_rng(0).permutation(np.arange(ROWS) / ROWS)
    label = np.where(size < share, rare, often)
    return pd.DataFrame({"size": size, "label": label})


def project_of(make_project: Callable[..., Any], folder: Path, table: Any, name: str) -> Any:
    """Return a project around a table."""
    project = make_project(
        folder,
        data={"source": name, "target": "label"},
        model={"candidates": "linear", "folds": 0},
    )
    write_source(table, folder / name)
    return project


def ingested(project: Any, *overrides: str, infer: bool = False) -> tuple[Any, str]:
    """Return the schema's target, and what was said."""
    report = ingest.ingest(project, load_settings(project, overrides), infer=infer)
    return load_schema(project).target, " / ".join(report.facts["aloud"])


def packaged(project: Any, *overrides: str) -> str:
    """Train and package a model, and return its run id."""
    settings = load_settings(project, overrides)
    pipeline.run(project, settings, until="postprocess", say=lambda _: None)
    return str(pipeline.require(project, "postprocess").run_id)


KINDS: dict[str, tuple[Any, Any, str, str | None, str]] = {
    "integers, the first rarer": (0, 1, "csv", "integer", "0"),
    "integers, the last rarer": (2, 1, "xlsx", "integer", "2"),
    "integers with gaps": (1.0, 0.0, "parquet", "integer", "1"),
    "fractions": (1.5, 2.0, "parquet", "number", "1.5"),
    "flags": (False, True, "parquet", "boolean", "False"),
    "flags in text": ("true", "false", "csv", "boolean", "True"),
    "flags in JSON": (True, False, "jsonl", "boolean", "True"),
    "words": ("good", "poor", "csv", None, "good"),
    "codes": ("007", "008", "csv", None, "007"),
}


@every_case("case", KINDS, str)
def test_the_rarer_class_is_positive_and_the_type_is_kept(
    case: str, make_project: Callable[..., Any], tmp_path: Path
) -> None:
    rare, often, suffix, values, positive = KINDS[case]
    target, said = ingested(
        project_of(make_project, tmp_path, table_of(rare, often), f"t.{suffix}")
    )
    assert (target.values, target.positive) == (values, positive)
    assert f"is '{positive}', the rarer of two (25% of the rows)" in said


def test_of_equal_classes_the_last_is_positive_and_of_three_none(
    make_project: Callable[..., Any], tmp_path: Path
) -> None:
    equal = project_of(make_project, tmp_path / "two", table_of("a", "b", 0.5), "t.csv")
    target, said = ingested(equal)
    assert target.positive == "b"
    assert "the last in order of two equal classes" in said
    three = table_of(0, 1).assign(label=lambda frame: frame.index % 3)
    target, said = ingested(project_of(make_project, tmp_path / "three", three, "t.csv"))
    assert (target.values, target.positive) == ("integer", None)
    assert "positive" not in said


def test_what_is_positive_stays_while_the_classes_do(
    make_project: Callable[..., Any], tmp_path: Path
) -> None:
    project = project_of(make_project, tmp_path, table_of("a", "b"), "t.csv")
    assert ingested(project)[0].positive == "a"
    write_source(table_of("b", "a").assign(more=1.0), tmp_path / "t.csv")
    # Inferred again, since another setting asks for it, and not by a person.
    target, said = ingested(project, "data.ignore=more")
    assert target.positive == "a"
    assert "positive" not in said
    assert ingested(project, "data.ignore=more", infer=True)[0].positive == "b"


def test_a_project_of_before_keeps_the_last_class_as_text(
    make_project: Callable[..., Any], tmp_path: Path
) -> None:
    project = project_of(make_project, tmp_path, table_of(0, 1), "t.csv")
    ingested(project)
    file = read_schema_file(project)
    columns = [replace(column, values=None, positive=None) for column in file.schema.columns]
    schema = replace(file.schema, columns=tuple(columns))
    before = replace(file, schema=schema, inferred=columns_fingerprint(schema), notes=())
    save_schema(project, before)
    target, said = ingested(project)
    assert (target.values, target.positive) == (None, None)
    assert "the positive class stays '1', the last in order; `ingest --infer` takes" in said
    assert "positive" not in ingested(project, "decision.positive=0")[1]
    run_id = packaged(project)
    bundle = load_bundle(project, run_id)
    assert bundle.document["positive"] == "1"
    assert bundle.predict(table_of(0, 1))["prediction"].isin(["0", "1"]).all()
    # The same after a setting changed by which the columns are inferred again.
    target, said = ingested(project, "features.max_categories=20")
    assert (target.values, target.positive) == (None, None)
    target, said = ingested(project, infer=True)
    assert (target.values, target.positive) == ("integer", "0")


def test_conf_cfg_names_the_positive_class(
    make_project: Callable[..., Any], tmp_path: Path
) -> None:
    project = project_of(make_project, tmp_path, table_of(0, 1), "t.csv")
    bundle = load_bundle(project, packaged(project, "decision.positive=1"))
    assert bundle.document["positive"] == "1"
    with pytest.raises(UserError, match=r"positive = 7: the classes are 0, 1\."):
        packaged(project, "decision.positive=7")


@every_case(
    ("written", "problem"),
    [
        ("values: whole", "values is 'whole', but has to be integer, number or boolean"),
        ("values: boolean", "the category '0' is not of boolean values"),
        ("positive: '7'", "positive is '7', but has to be one of its categories"),
    ],
    str,
)
def test_a_wrong_line_of_the_schema_is_refused(written: str, problem: str) -> None:
    column = "{name: label, type: category, categories: ['0', '1'], roles: [target], %s}"
    document = {"version": 2, "columns": [yaml.safe_load(column % written)]}
    with pytest.raises(UserError, match=problem):
        Schema.from_dict(document)


# ------------------------------------------------------------------------------ what is answered


@pytest.fixture(scope="module")
def made(
    make_project: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Projects with a model in service, by the type of their classes."""
    projects = {}
    for kind, (rare, often) in {"integer": (0, 1), "boolean": (False, True)}.items():
        folder = tmp_path_factory.mktemp(kind)
        project = project_of(make_project, folder, table_of(rare, often), "t.parquet")
        champion.release(project, packaged(project), "promote")
        projects[kind] = project
    return projects


TYPES = {"integer": int, "boolean": bool}


@every_case(("kind", "suffix"), [(kind, each) for kind in TYPES for each in SUFFIXES], str)
def test_files_hold_classes_as_the_source_does(
    kind: str, suffix: str, made: dict[str, Project], tmp_path: Path
) -> None:
    project, output = made[kind], tmp_path / f"out.{suffix}"
    settings = load_settings(project, ["predict.chunk_rows=100"])
    predict.predict(project, settings, project.root / "t.parquet", output, progress=False)
    readers: dict[str, Any] = {
        "csv": pd.read_csv,
        "parquet": pd.read_parquet,
        "xlsx": pd.read_excel,
        "jsonl": lambda path: pd.read_json(path, lines=True),
    }
    found = readers[suffix](output)
    names = [str(TYPES[kind](each)) for each in (0, 1)]
    assert found.columns.tolist() == ["prediction", *(f"probability_{name}" for name in names)]
    values = found["prediction"].tolist()
    assert {type(value) for value in values} == {TYPES[kind]}
    truth = pd.read_parquet(project.root / "t.parquet")["label"].tolist()
    assert np.mean([a == b for a, b in zip(values, truth, strict=True)]) > 0.95
    # Read back with their predictions, they are the model's classes again.
    bundle = champion.load_champion(project)
    scored = read_table(output, settings.data)
    back = bundle.task.read_columns(
        bundle.document, scored, lambda frame, columns: frame[columns].to_numpy(float)
    )
    assert np.asarray(back.labels).tolist() == [str(value) for value in values]


@every_case("kind", TYPES, str)
def test_the_service_answers_and_takes_classes_as_the_source_has_them(
    kind: str, made: dict[str, Project]
) -> None:
    project = made[kind]
    low, high = (TYPES[kind](each) for each in (0, 1))
    with Asked(project).running() as asked:
        rows = [{"size": 0.01}, {"size": 0.99}]
        answer = asked.ask("POST", "/predict", {"rows": rows}).json
        predictions = answer["predictions"]
        assert [each["prediction"] for each in predictions] == [low, high]
        assert type(predictions[0]["prediction"]) is TYPES[kind]
        assert list(predictions[0]["probability"]) == [str(low), str(high)]
        assert answer["positive"] is low
        known = asked.ask("GET", "/model").json
        assert (known["classes"], known["positive"]) == ([low, high], low)
        operation = asked.ask("GET", "/openapi.json").json["paths"]["/feedback"]["post"]
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        label = body["properties"]["labels"]["items"]["properties"]["label"]
        assert json.dumps(label) == json.dumps({"enum": [low, high]})
        sent = {"request_id": answer["request_id"], "row": 0}
        for right in (low, high, str(low)):
            feedback = {"labels": [{**sent, "label": right}]}
            assert asked.ask("POST", "/feedback", feedback).status == 200
        wrong = {"labels": [{**sent, "label": 2}]}
        assert asked.ask("POST", "/feedback", wrong).status == 422
        facts = _facts(asked.service.fleet.champion)
        assert (facts["given"], facts["classes"]) == ([low, high], [str(low), str(high)])
    bundle = champion.load_champion(project)
    series, faults = _labels(bundle, pd.Series([low, high, str(low)], dtype=object))
    assert (series.tolist(), faults) == ([str(low), str(high), str(low)], ())


def test_candidates_are_judged_by_the_class_that_the_bundle_looks_for(
    made: dict[str, Project],
) -> None:
    project = made["integer"]
    assert load_training_data(project, load_settings(project)).settings.decision.positive == "0"
    bundle, valid = champion.load_champion(project), load_split(project, "valid")
    truth, found = valid["label"], bundle.predict(valid)["prediction"]
    assert bundle.document["metrics"]["recall"] == recall_score(truth == "0", found == 0)


def test_the_rule_of_the_team_gets_classes_by_their_names(
    made: dict[str, Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlproj.bundle.rule import apply_rule

    seen: list[Any] = []

    def decide(rows: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
        seen.extend(predictions["prediction"].tolist())
        return predictions.assign(prediction="True")

    bundle = champion.load_champion(made["boolean"])
    typed = bundle.conform(pd.DataFrame({"size": [0.01, 0.99]}))
    given: Predictions = bundle.predict_typed(typed)
    decided = apply_rule(decide, bundle.task, bundle.document, typed, given)
    assert seen == ["False", "True"]
    assert np.asarray(decided.labels).tolist() == ["True", "True"]
