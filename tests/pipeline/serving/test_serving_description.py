"""What the service says of itself."""

from __future__ import annotations

import json
import re
from operator import attrgetter
from typing import Any
from urllib.parse import urljoin

import pytest
from asking import Asked
from mlproj.bundle import champion

SCHEMA_OF = attrgetter("service.fleet.champion.schema")


def test_openapi_comes_from_the_schema(asked: Asked) -> None:
    document = asked.ask("GET", "/openapi.json").json
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    row = body["schema"]["properties"]["rows"]["items"]
    most = asked.service.fleet.champion.schema.column("age").maximum
    age = row["properties"]["age"]
    assert age.pop("description").startswith("a number, or text as the data writes it: 1,234.5;")
    assert age == {"type": ["integer", "string", "null"], "minimum": 0, "maximum": most}
    assert "plus" in row["properties"]["plan"]["enum"]
    assert row["additionalProperties"] is False
    assert asked.ask("POST", "/predict", body["example"]).status == 200
    outside = row["properties"].keys() - {column.name for column in SCHEMA_OF(asked).features}
    assert outside
    assert {row["properties"][name]["description"] for name in outside} == {
        "accepted, but not used by the model"
    }


def test_openapi_names_the_model_its_operations_and_where_they_are(asked: Asked) -> None:
    document = asked.ask("GET", "/openapi.json").json
    assert document["info"]["title"] == f"mlproj: predictions of {SCHEMA_OF(asked).target.name}"
    operations = {
        path: operation["operationId"]
        for path, methods in document["paths"].items()
        for operation in methods.values()
    }
    assert operations["/predict"] == "predict" and operations["/readyz"] == "readyz"
    assert len(set(operations.values())) == len(operations)
    for prefix in ("http://localhost:8000/", "https://example.org/models/churn/"):
        base = urljoin(f"{prefix}openapi.json", document["servers"][0]["url"])
        assert base == prefix


def test_the_card_and_the_models(asked: Asked, made: dict[str, Any]) -> None:
    facts = asked.ask("GET", "/model").json
    assert facts["model"] == champion.read_champion(made["binary"])["run_id"]
    assert facts["card"].startswith(f"# Model {facts['model']}")
    assert facts["models"][0]["role"] == "champion"
    page = asked.ask("GET", "/model", headers={"accept": "text/html"}).body.decode()
    assert "<h2>Model" in page and "<!--" not in page


def test_an_explanation_adds_up_for_one_column(asked: Asked, rows: list[Any]) -> None:
    """With all columns but one as usual, that column's share is the whole difference."""
    usual = asked.service.fleet.champion.example
    row = {**usual, "visits": rows[0]["visits"]}
    found = asked.ask("POST", "/explain", {"row": row}).json
    base = asked.predict([usual]).json["predictions"][0]["probability"]["yes"]
    shares = {column["field"]: column["change"] for column in found["columns"]}
    assert shares.pop("visits") == pytest.approx(found["score"]["value"] - base, abs=1e-6)
    assert set(shares.values()) == {0.0}
    assert asked.ask("POST", "/explain", {"row": {}}).status == 422


def test_the_page_has_a_labelled_field_per_column_and_no_outside_assets(asked: Asked) -> None:
    page = asked.ask("GET", "/").body.decode()
    for column in asked.service.fleet.champion.reader.columns:
        label = rf'<label for="(f\d+)">{column.name}</label><(input|select)[^>]* id="\1"'
        assert re.search(label, page)
    assert re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page) == []
    for name in ("page.css", "page.js"):
        assert asked.ask("GET", f"/page/{name}").status == 200
    assert asked.ask("GET", "/page/app.py").status == 404
    assert "visits" in asked.ask("GET", "/docs").body.decode()


def test_pages_can_be_switched_off(project: Any) -> None:
    with Asked(project, "serving.docs=no").running() as asked:
        for path in ("/", "/docs", "/openapi.json", "/page/page.js"):
            assert asked.ask("GET", path).status == 404


def test_log_lines_hold_no_feature(
    made: dict[str, Any], rows: list[Any], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with Asked(made["binary"]).running() as asked:
        answers = [
            asked.predict([{**rows[0], "city": "Zyxville", "comment": "zyxword"}]),
            asked.predict([{**rows[0], "plan": "zyxplan"}]),
        ]
    text = capfdbinary.readouterr().out.decode()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    # A service of an earlier test may still write its last lines.
    own = {answer.json["request_id"] for answer in answers}
    asked_for = [line for line in lines if line.get("request_id") in own]
    assert [line["status"] for line in asked_for] == [200, 422]
    assert asked_for[0]["rows"] == 1 and asked_for[0]["run_id"]
    assert "zyx" not in text.lower()


def test_an_error_inside_shows_nothing_outside(project: Any, rows: list[Any]) -> None:
    with Asked(project).running() as asked:

        def fail(table: Any) -> Any:
            raise RuntimeError("secret detail")

        asked.service.fleet.champion.score = fail
        answer = asked.predict(rows[:1])
    assert answer.status == 500
    assert "secret" not in answer.body.decode() and "request_id" in answer.json
