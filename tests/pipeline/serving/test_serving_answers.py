"""What the service answers: the bundle's own predictions, and a sentence to what it cannot take."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from asking import JSON_TYPE, Asked, as_rows, largest_gap, promote_copy
from mlproj.bundle import champion
from mlproj.core.errors import UserError
from mlproj.data.split import load_split
from served import PROJECTS, copy_of


def compare(project: Any, *overrides: str) -> Asked:
    """Compare answers with the bundle's own predictions, to 1e-6, on all of test."""
    bundle, table = champion.load_champion(project), load_split(project, "test")
    # As the rows arrive: JSON has its own rounding.
    sent = as_rows(bundle, table)
    expected = bundle.predict(table)
    with Asked(project, *overrides).running() as asked:
        for size in (1, 3, len(sent)):
            answer = asked.predict(sent[:size])
            assert answer.status == 200, answer.body
            gap = largest_gap(bundle, expected.head(size), answer.json["predictions"])
            assert gap <= 1e-6, size
    return asked


@pytest.mark.parametrize("kind", PROJECTS)
def test_predictions_are_the_bundles_own(made: dict[str, Any], kind: str) -> None:
    asked = compare(made[kind])
    fleet = asked.service.keeper.fleet
    assert fleet is not None and fleet.champion.onnx == ("without" not in kind)


@pytest.mark.parametrize("kind", [kind for kind in PROJECTS if "without" not in kind])
@pytest.mark.parametrize(
    "changed",
    [{"equal": False}, {"inputs": [{"column": "x", "name": "x", "type": "float"}]}],
    ids=["no ONNX", "inputs of an earlier version"],
)
def test_predictions_without_onnx_are_the_same(
    made: dict[str, Any], changed: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    project = copy_of(made[kind], tmp_path / "project")
    run_id = champion.read_champion(project)["run_id"]
    copy = promote_copy(project, run_id, "0badbeef", onnx=changed)
    champion.release(project, copy, "promote")
    asked = compare(project)
    fleet = asked.service.keeper.fleet
    assert fleet is not None and not fleet.champion.onnx


def test_what_custom_says_later_does_not_matter(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, rows: list[Any]
) -> None:
    """A bundle without code of the team was made without it, and ONNX Runtime still scores."""
    from mlproj import custom

    expected = champion.load_champion(made["binary"]).predict(
        load_split(made["binary"], "test").head(5)
    )
    monkeypatch.setattr(custom, "add_features", lambda frame: frame.assign(age=40))
    monkeypatch.setattr(custom, "decide", lambda frame, found: found * 0, raising=False)
    with Asked(made["binary"]).running() as asked:
        assert asked.service.fleet.champion.onnx is True
        found = [each["prediction"] for each in asked.predict(rows[:5]).json["predictions"]]
    assert found == list(expected["prediction"])


def test_missing_and_unknown_follow_the_bundles_policy(project: Any, rows: list[Any]) -> None:
    """Missing is fine everywhere; a new category is refused, or counts as unknown."""
    bundle = champion.load_champion(project)
    empty = dict.fromkeys(rows[0])
    strange = {**rows[0], "plan": "platinum"}
    frame = load_split(project, "test").head(1)
    unknown = bundle.predict(frame.assign(plan="platinum"), strict=False)["probability_yes"].iloc[0]
    with Asked(project).running() as asked:
        assert asked.predict([empty]).status == 200
        refused = asked.predict([rows[0], strange])
        assert refused.status == 422
        rule = "has to be one of basic, business, family, plus"
        fault = {"row": 1, "field": "plan", "value": "platinum", "rule": rule}
        assert refused.json["detail"] == [fault]
    with Asked(project, "predict.strict=no").running() as asked:
        answer = asked.predict([{**strange, "colour": "red"}])
        assert answer.json["predictions"][0]["probability"]["yes"] == pytest.approx(
            unknown, abs=1e-6
        )


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a word for a number": ({"income": "much"}, "income", "has to be a number"),
    "a flag for a number": ({"income": True}, "income", "has to be a number"),
    "a fraction": ({"visits": 1.5}, "visits", "has to be a whole number"),
    "too small": ({"age": -1}, "age", "has to be at least 0"),
    "too large": ({"age": 1e9}, "age", "has to be at most 1"),
    "a number for a flag": ({"newsletter": 1}, "newsletter", "has to be true or false"),
    "a number for a word": ({"city": 3}, "city", "has to be text"),
    "no date": ({"signup": "soon"}, "signup", "has to be a date as ISO 8601"),
    "no such day": ({"signup": "2024-02-30"}, "signup", "has to be a date as ISO 8601"),
    "NUL": ({"city": "a\0b"}, "city", "without the character NUL"),
    "a list": ({"city": ["a"]}, "city", "has to be text"),
    "a new column": ({"colour": "red"}, "colour", "was not there in training"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_named_with_row_field_value_and_rule(
    asked: Asked, rows: list[Any], case: str
) -> None:
    change, name, rule = WRONG[case]
    answer = asked.predict([rows[0], {**rows[1], **change}, rows[2]])
    assert answer.status == 422
    (fault,) = answer.json["detail"]
    assert (fault["row"], fault["field"]) == (1, name)
    assert rule in fault["rule"]
    shown = fault["value"]
    assert shown == change[name] or shown == "a list"


def test_all_faults_are_listed_at_once(asked: Asked, rows: list[Any]) -> None:
    lacking = {name: value for name, value in rows[0].items() if name != "age"}
    answer = asked.predict([lacking, {**rows[1], "income": "x", "visits": "y"}, 7])
    places = [(fault["row"], fault["field"]) for fault in answer.json["detail"]]
    assert places == [(0, "age"), (1, "income"), (1, "visits"), (2, None)]
    assert len(asked.predict([{}] * 500).json["detail"]) == 100


BODIES = {
    b"": 400,
    b"{": 400,
    b"null": 422,
    b"[]": 422,
    b"{}": 422,
    b'{"rows": []}': 422,
    b'{"rows": {}}': 422,
    b'{"rows": [1], "more": 1}': 422,
    b'{"rows": [NaN]}': 400,
    b'{"rows": [{"age": 1e400}]}': 422,
    b'{"rows": [{"age": \xff}]}': 400,
    b'\xef\xbb\xbf{"rows": []}': 400,
    b'{"rows": [{"city": "\\ud800"}]}': 400,
    b'{"rows": ' + b"[" * 100_000: 400,
    b'{"rows": [{"city": ' + b'{"a":' * 100_000: 400,
    '{"rows": []}'.encode("utf-16"): 400,
}


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:30]))
def test_a_broken_body_is_refused(asked: Asked, body: bytes) -> None:
    answer = asked.ask("POST", "/predict", body)
    assert answer.status == BODIES[body]
    assert "Traceback" not in answer.body.decode()


@pytest.mark.parametrize(
    ("other", "status"), {b"7": 422, b"1e400": 422, b'"\xff"': 400, b"[[1]]": 422}.items()
)
def test_nul_is_refused_whatever_stands_beside_it(
    asked: Asked, rows: list[Any], other: bytes, status: int
) -> None:
    """The column of ids is known, but not looked into by the decoder."""
    row = {**rows[0], "comment": "a\0b"}
    body = json.dumps({"rows": [row]}).encode().replace(b"{", b'{"customer_id": %s, ' % other, 2)
    body = body.replace(b'{"customer_id": %s, "rows"' % other, b'{"rows"')
    answer = asked.ask("POST", "/predict", body)
    assert answer.status == status
    if other == b"7":
        assert "NUL" in answer.json["detail"][0]["rule"]


def test_a_text_that_only_spells_nul_is_taken(asked: Asked, rows: list[Any]) -> None:
    assert asked.predict([{**rows[0], "comment": "a\\u0000b"}]).status == 200


def test_an_announced_body_that_is_too_large_is_refused_before_it_is_sent(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Asked(project, "serving.body_kilobytes=10").running() as asked:

        async def drain(receive: Any) -> None:
            raise AssertionError("the client was asked to go on")

        monkeypatch.setattr(asked.app, "_drain", drain)
        headers = {**JSON_TYPE, "content-length": "20000", "expect": "100-continue"}
        assert asked.ask("POST", "/predict", b"", headers).status == 413


def test_limits(project: Any, rows: list[Any]) -> None:
    with Asked(project, "serving.rows=5", "serving.body_kilobytes=10").running() as asked:
        assert asked.predict(rows[:5]).status == 200
        assert asked.predict(rows[:6]).status == 413
        assert asked.predict(rows * 20).status == 413
        assert asked.ask("GET", "/predict").status == 405
        refused = asked.ask("PUT", "/predict")
        assert (refused.headers["allow"], refused.headers["connection"]) == ("POST", "close")
        typed = asked.ask("POST", "/predict", b"{}", {"content-type": "text/plain"})
        assert (typed.status, "Content-Type: application/json" in typed.json["detail"]) == (
            415,
            True,
        )
        zipped = asked.ask("POST", "/predict", b"{}", {**JSON_TYPE, "content-encoding": "gzip"})
        assert (zipped.status, "Content-Encoding" in zipped.json["detail"]) == (415, True)
        asked.service._at_work = 64
        fleet = asked.service.fleet
        fleet.champion.pace = 1.0  # slow enough for a thread
        full = asked.predict(rows[:1])
        assert (full.status, full.headers["retry-after"]) == (503, "1")
        asked.service._at_work = 0
        assert asked.predict(rows[:1]).status == 200
        metrics = asked.ask("GET", "/metrics").body.decode()
    for reason in ("rows", "body", "method", "type", "full"):
        assert f'serving_refused_total{{reason="{reason}"}}' in metrics


def test_a_body_with_nan_is_refused_with_the_hint_that_null_stands_for_unknown(
    asked: Asked,
) -> None:
    hint = "null stands for an unknown value"
    for path, bodies in {
        "/predict": (b'{"rows": [{"age": NaN}]}', b'{"rows": [{"age": -Infinity}]}'),
        "/explain": (b'{"row": {"age": NaN}}',),
    }.items():
        for body in bodies:
            answer = asked.ask("POST", path, body)
            assert (answer.status, hint in answer.json["detail"]) == (400, True), body
    for body in (b'{"rows": [{"plan": "NaN"}', b'{"NaN'):
        answer = asked.ask("POST", "/predict", body)
        assert (answer.status, hint in answer.json["detail"]) == (400, False), body


def test_every_answer_has_the_headers_and_a_request_id(asked: Asked, rows: list[Any]) -> None:
    own = {**JSON_TYPE, "X-Request-ID": "abc-1"}
    answers = [
        asked.ask("POST", "/predict", {"rows": rows[:1]}, own),
        asked.ask("GET", "/healthz", headers=own),
        asked.ask("GET", "/nowhere", headers=own),
        asked.ask("POST", "/predict", b"{", own),
    ]
    assert [answer.status for answer in answers] == [200, 200, 404, 400]
    assert [answer.json["request_id"] for answer in answers[2:]] == ["abc-1", "abc-1"]
    for answer in answers:
        assert answer.headers["x-request-id"] == "abc-1"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    evil = asked.ask("GET", "/healthz", headers={"X-Request-ID": "a b"})
    assert re.fullmatch("[0-9a-f]{16}", evil.headers["x-request-id"])


PATHS = ("/", "/healthz", "/readyz", "/metrics", "/model", "/docs", "/openapi.json")


@pytest.mark.parametrize("path", [*PATHS, "/page/page.css"])
def test_head_is_answered_as_get_and_all_else_is_refused(asked: Asked, path: str) -> None:
    got, head = asked.ask("GET", path), asked.ask("HEAD", path)
    assert got.status == head.status == 200
    assert got.headers["content-type"] == head.headers["content-type"]
    refused = asked.ask("DELETE", path, headers={"X-Request-ID": "abc-1"})
    assert refused.status == 405
    assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert refused.json == {"request_id": "abc-1", "detail": "Method Not Allowed"}


@pytest.mark.parametrize("path", ["/nowhere", "/docs/", "/healthz/", "/redoc", "/page/a/b", "//"])
def test_a_path_that_is_not_there(asked: Asked, path: str) -> None:
    answer = asked.ask("GET", path, headers={"X-Request-ID": "abc-1"})
    assert answer.status == 404
    assert answer.json == {"request_id": "abc-1", "detail": "Not Found"}


def test_keys(project: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = ("0123456789abcdef" + each for each in "123")
    monkeypatch.setenv("KEYS", f"{one},{two}")
    with Asked(project, "serving.keys=env:KEYS").running() as asked:
        refused = asked.predict(rows[:1])
        # Whatever follows without a key is not read.
        assert (refused.status, refused.headers["connection"]) == (401, "close")
        assert asked.predict(rows[:1], x_api_key=three).status == 401
        accepted = asked.predict(rows[:1], x_api_key=one)
        assert accepted.status == 200 and "connection" not in accepted.headers
        assert asked.predict(rows[:1], authorization=f"Bearer {two}").status == 200
        assert asked.ask("GET", "/model").status == 401
        assert asked.ask("GET", "/healthz").status == 200
    file = project.root / "keys.txt"
    file.write_text(f"{one}\n", encoding="utf-8")
    with Asked(project, "serving.keys=file:keys.txt").running() as asked:
        assert asked.predict(rows[:1], x_api_key=one).status == 200
        file.write_text(f"{two}\n{three}\n", encoding="utf-8")
        assert asked.service.keys.refresh()
        assert asked.predict(rows[:1], x_api_key=one).status == 401
        assert asked.predict(rows[:1], x_api_key=three).status == 200
        file.write_text("short\n", encoding="utf-8")
        assert not asked.service.keys.refresh()
        assert asked.predict(rows[:1], x_api_key=three).status == 200
    file.write_text("short\n", encoding="utf-8")
    with pytest.raises(UserError, match="fewer than 16 characters"):
        Asked(project, "serving.keys=file:keys.txt")
    with pytest.raises(UserError, match="a key is not written here"):
        Asked(project, f"serving.keys={one}")
