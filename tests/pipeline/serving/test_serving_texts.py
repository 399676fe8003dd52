"""Text in place of numbers, flags and dates: over HTTP it is read as batches read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from asking import Asked, make_model
from cases import every_case
from mlproj.bundle import champion
from mlproj.core import config
from mlproj.core.errors import UserError
from mlproj.data.cast import cast_column, conform
from mlproj.data.numbers import NumberForm, read_number, read_numbers
from mlproj.data.readers import read_table
from mlproj.data.schema import Column, Schema
from mlproj.predict import predict
from mlproj.serving.rows import Refusal, RowReader, Rules

DATA = config.DataSettings(missing=("unknown",))
COLUMNS = {
    column.name: column
    for column in (
        Column("price", "number", True, maximum=5000, unit="$"),
        Column("weight", "number", True, unit="kg"),
        Column("ratio", "number", True, decimal=","),
        Column("share", "number", True, unit="%"),
        Column("length", "number", True, format="H:M:S", unit="s"),
        Column("plain", "number", True),
        Column("count", "integer", True),
        Column("flag", "boolean", True),
        Column("day", "datetime", True, format="%d.%m.%Y"),
        Column("moment", "datetime", True),
        Column("kind", "category", True, categories=("1", "True", "r\u00e9d")),
        Column("name", "string", True),
    )
}
REFUSED, NAN = "refused", float("nan")
VALUES: list[tuple[str, Any, Any]] = [
    ("price", "$1,234.50", 1234.5),
    ("price", "(67.00)", -67.0),
    ("price", "1 234 $", 1234.0),
    ("price", "5 \u20ac", REFUSED),
    ("price", "1.234,5", REFUSED),
    ("price", 12.5, 12.5),
    ("weight", "54 kg", 54.0),
    ("weight", " 54kg ", 54.0),
    ("weight", "54", 54.0),
    ("weight", "kg", REFUSED),
    ("weight", "12 lb", REFUSED),
    ("ratio", "1.234,5", 1234.5),
    ("ratio", "1.234", 1234.0),
    ("ratio", 1.234, 1.234),
    ("ratio", "1234.5", REFUSED),
    ("share", "12%", 12.0),
    ("share", "\u221212,5 %", REFUSED),
    ("length", "1:30:00", 5400.0),
    ("length", " 2:05 pm", 50_700.0),
    ("length", "PT1H30M", 5400.0),
    ("length", "1:60", REFUSED),
    ("length", "NA", None),
    ("length", 5400, 5400.0),
    ("plain", "1'234.5", 1234.5),
    ("plain", "12.", 12.0),
    ("plain", "1e5", 1e5),
    ("plain", "inf", REFUSED),
    ("plain", "1e400", REFUSED),
    ("plain", "old", REFUSED),
    ("plain", "NA", None),
    ("plain", "n/a", None),
    ("plain", "", None),
    ("plain", "unknown", None),
    ("count", "1,234", 1234),
    ("count", "1.5", REFUSED),
    ("count", 1e300, REFUSED),
    ("flag", "Yes", True),
    ("flag", "0.0", False),
    ("flag", "NaN", None),
    ("flag", "perhaps", REFUSED),
    ("day", "31.01.2024", datetime(2024, 1, 31)),
    ("day", " 1.2.2024", datetime(2024, 2, 1)),
    ("day", "NA", None),
    ("day", "2024-01-31", REFUSED),
    ("moment", "2024-01", datetime(2024, 1, 1)),
    ("moment", "2024/1/5 8:30", datetime(2024, 1, 5, 8, 30)),
    ("moment", "2024-01-31T12:30:00+02:00", datetime(2024, 1, 31, 10, 30)),
    ("moment", "unknown", None),
    ("moment", "soon", REFUSED),
    ("kind", " TRUE ", "True"),
    ("kind", "1.0", "1"),
    ("kind", "re\u0301d", "r\u00e9d"),
    ("kind", "unknown", None),
    ("kind", "", None),
    ("kind", "blue", "blue"),
    ("name", " NA", "NA"),
    ("name", "e\u0301te\u0301", "\u00e9t\u00e9"),
]


def in_batch(column: Column, value: Any, path: Path) -> Any:
    """Return what a batch makes of a value in a file of JSON lines."""
    schema = Schema((column, Column("other", "integer", True)), "table")
    path.write_text(json.dumps({column.name: value, "other": 1}) + "\n", encoding="utf-8")
    try:
        typed = conform(read_table(path, DATA, schema), schema, where="table")
    except UserError:
        return REFUSED
    found = typed[column.name].iloc[0]
    return None if pd.isna(found) else found


def over_http(column: Column, value: Any, *, strict: bool = False, **rules: Any) -> Any:
    """Return what the service makes of a value."""
    schema = Schema((column, Column("other", "integer", True)), "table")
    reader = RowReader(schema, Rules(strict, True, 10, DATA.missing))
    try:
        return reader.read(json.dumps({"rows": [{column.name: value, "other": 1}]}).encode())[0][0]
    except Refusal as refusal:
        assert refusal.status == 422
        return REFUSED


@every_case(("name", "value", "expected"), VALUES)
def test_a_value_is_the_same_in_batches_and_over_http(
    name: str, value: Any, expected: Any, tmp_path: Path
) -> None:
    column = COLUMNS[name]
    assert in_batch(column, value, tmp_path / "table.jsonl") == expected
    assert over_http(column, value) == expected
    if expected != "blue":
        assert over_http(column, value, strict=True) == expected


def test_text_among_numbers_is_read_by_the_form_and_numbers_are_what_they_are() -> None:
    """As labels come from several clients, or cells from Excel."""
    given = pd.Series(["1.234,5", 1.234, "NA", None, "7", "many"], dtype="object", name="ratio")
    series, violation = cast_column(given, COLUMNS["ratio"])
    assert series.tolist() == pytest.approx([1234.5, 1.234, NAN, NAN, 7, NAN], nan_ok=True)
    assert violation is not None and (violation.rows, violation.example) == ((6,), "'many'")


WORDS = (
    *(
        "$5",
        "5$",
        "$ 5",
        "$5$",
        "US$ 5",
        "5 kg",
        "kg 5",
        "5kg",
        "5 A",
        "5A",
        "A5",
        "kr. 5",
        "5 kr.",
    ),
    *("1,234.50", "1.234,50", "12,34,567", "1'234", "1 234", "1.2.3", "12.", "12,", ".5", "5th"),
    *(
        "-5",
        "- 5",
        "5-",
        "+5",
        "(5)",
        "(-5)",
        "(5",
        "5)",
        "\u22125",
        "1\u202f234",
        "1e5",
        "5e",
        "-",
    ),
)


def test_one_word_is_read_as_many_are() -> None:
    read = 0
    for unit in ("", "$", "US$", "kg", "A", "kr.", "km/h", "th"):
        for form in (NumberForm(".", unit), NumberForm(",", unit)):
            many = read_numbers(pa.array(WORDS), form).to_pylist()
            assert [read_number(word, form) for word in WORDS] == many, form
            read += len(many) - many.count(None)
    assert read > 200


def test_an_unknown_category_is_refused_where_training_is_the_rule() -> None:
    assert over_http(COLUMNS["kind"], "blue", strict=True) == REFUSED


def test_models_of_earlier_versions_take_no_text_for_numbers() -> None:
    values = {"name": "plain", "type": "number"}
    schema = Schema.from_dict({"version": 1, "source": "t", "columns": [values]})
    reader = RowReader(schema, Rules(True, True, 10))
    assert reader.read(b'{"rows": [{"plain": 12}]}') == [(12.0,)]
    with pytest.raises(Refusal):
        reader.read(b'{"rows": [{"plain": "12"}]}')


def fault(body: Any, **rules: Any) -> Refusal:
    """Return why a request is refused."""
    schema = Schema((COLUMNS["price"], COLUMNS["day"]), "table")
    reader = RowReader(schema, Rules(True, True, 2))
    with pytest.raises(Refusal) as raised:
        reader.read(json.dumps(body).encode())
    return raised.value


RIGHT = {"price": "$5", "day": "31.01.2024"}


@every_case(
    ("body", "status", "words"),
    [
        ({"rows": [RIGHT, {**RIGHT, "price": "$5,001"}]}, 422, "has to be at most 5000"),
        ({"rows": [{**RIGHT, "price": "5 kg"}]}, 422, "has to be a number"),
        ({"rows": [{**RIGHT, "day": "1/2/2024"}]}, 422, "has to be a date as %d.%m.%Y"),
        ({"rows": [RIGHT], "more": 1}, 422, "is not known beside rows"),
        ({"rows": [{**RIGHT, "colour": "red"}]}, 422, "was not there in training"),
        ({"rows": [{"price": "$5"}]}, 422, "has to be there"),
        ({"rows": [RIGHT, 7]}, 422, "has to be {column: value, ...}"),
        ({"rows": [RIGHT] * 3}, 413, "The request has 3 rows"),
    ],
)
def test_what_is_wrong_beside_text_is_refused(body: Any, status: int, words: str) -> None:
    refusal = fault(body)
    assert refusal.status == status
    detail = refusal.detail
    assert words in (detail if isinstance(detail, str) else detail[0]["rule"])
    if "at most" in words:
        assert detail == [{"row": 1, "field": "price", "value": "$5,001", "rule": words}]


@pytest.fixture(scope="module")
def asked(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """The service of a model whose numbers have units, and a decimal comma each."""
    folder = tmp_path_factory.mktemp("texts")
    project = make_project(
        folder,
        data={"source": "table.csv", "target": "cost"},
        model={"candidates": "linear", "folds": 0, "task": "regression"},
        predict={"violations": "refuse"},
    )
    written(table()).to_csv(folder / "table.csv", index=False)
    run_id = make_model(project)
    champion.release(project, run_id, "promote")
    with Asked(project).running() as asked:
        yield asked


def table() -> pd.DataFrame:
    """Return rows of numbers and dates."""
    random = np.random.default_rng(0)
    price, weight = random.uniform(1000, 9000, 300).round(2), random.uniform(1, 90, 300).round(1)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 900, 300), "D")
    return pd.DataFrame(
        {"price": price, "weight": weight, "day": days, "cost": (price / 7 + weight).round(2)}
    )


def comma(number: float) -> str:
    """Write a number with a decimal comma."""
    return f"{number:,.2f}".translate(str.maketrans(",.", ".,"))


def written(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows as people write them."""
    return pd.DataFrame(
        {
            "price": [f"${price:,.2f}" for price in frame["price"]],
            "weight": [f"{comma(weight)} kg" for weight in frame["weight"]],
            "day": frame["day"].dt.strftime("%d.%m.%Y"),
            "cost": [f"{comma(cost)} \u20ac" for cost in frame["cost"]],
        }
    )


def test_answers_to_text_are_those_to_numbers_and_of_batches(asked: Asked) -> None:
    texts = written(table()).drop(columns="cost").to_dict("records")
    numbers = table().drop(columns="cost").assign(day=written(table())["day"]).to_dict("records")
    header = {"x_request_id": "same"}
    answer = asked.predict(numbers, **header)
    assert answer.status == 200, answer.body
    assert asked.predict(texts, **header).body == answer.body
    # One row of text among others of numbers.
    assert asked.predict([*numbers[:3], texts[3]]).json["predictions"] == (
        answer.json["predictions"][:4]
    )
    project = asked.service.project
    settings = config.load_settings(project)
    written(table()).to_csv(project.root / "new.csv", index=False)
    predict(project, settings, project.root / "new.csv", project.root / "scored.csv")
    scored = pd.read_csv(project.root / "scored.csv")["prediction"]
    found = [each["prediction"] for each in answer.json["predictions"]]
    assert found == pytest.approx(scored.tolist(), rel=1e-6)


def test_an_explanation_takes_text(asked: Asked) -> None:
    row = written(table()).drop(columns="cost").iloc[0].to_dict()
    answer = asked.ask("POST", "/explain", {"row": row})
    assert answer.status == 200, answer.body
    assert {each["field"]: each["value"] for each in answer.json["columns"]} == row
    plain = table().iloc[0][["price", "weight"]].to_dict() | {"day": row["day"]}
    other = asked.ask("POST", "/explain", {"row": plain})
    assert other.json["prediction"] == answer.json["prediction"]


def test_a_label_is_read_in_the_form_of_the_target(asked: Asked) -> None:
    labels = [
        {"request_id": "a", "label": "1.234,50 \u20ac"},
        {"request_id": "b", "label": 7},
        {"request_id": "c", "label": "12 $"},
        {"request_id": "d", "label": "NA"},
    ]
    refused = asked.ask("POST", "/feedback", {"labels": labels})
    assert [each["row"] for each in refused.json["detail"]] == [2, 3]
    assert [each["value"] for each in refused.json["detail"]] == ["12 $", "NA"]
    assert asked.ask("POST", "/feedback", {"labels": labels[:2]}).status == 200
    lines = (asked.service.project.logs / "feedback.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["label"] for line in lines] == [1234.5, 7.0]


def test_the_api_says_how_text_is_read(asked: Asked) -> None:
    document = asked.ask("GET", "/openapi.json").json
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    columns = body["schema"]["properties"]["rows"]["items"]["properties"]
    assert columns["price"]["type"] == ["number", "string", "null"]
    assert "1,234.5, with or without $" in columns["price"]["description"]
    assert "1.234,5, with or without kg" in columns["weight"]["description"]
    page = asked.ask("GET", "/").body.decode()
    assert 'data-column="weight" data-type="number" data-decimal=","' in page
    assert "a number in kg with a decimal comma" in page
    assert 'data-column="price" data-type="number" aria' in page
