"""The service in this process: what it predicts, refuses, logs and shows, and who may ask."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from asking import JSON_TYPE, Asked, as_rows, largest_gap, make_model, promote_copy, until
from mlproj.bundle import bundle as bundles
from mlproj.bundle import champion
from mlproj.core.errors import UserError
from mlproj.data.split import load_split
from mlproj.serving import service as services
from mlproj.serving import writer as writers

SAMPLE = {"source": "sample:1200", "id": "customer_id", "sensitive": "gender"}
PROJECTS: dict[str, dict[str, Any]] = {
    "binary": {"data": {**SAMPLE, "target": "churned"}, "model": {"candidates": "linear"}},
    "multiclass": {
        "data": {"source": "sklearn:wine", "target": "target"},
        "model": {"candidates": "forest"},
    },
    # Its encoder of many strings has no ONNX form for several classes.
    "multiclass without ONNX": {
        "data": {**SAMPLE, "target": "plan"},
        "model": {"candidates": "forest"},
    },
    "regression": {
        "data": {**SAMPLE, "target": "spend"},
        "model": {"candidates": "linear", "task": "regression"},
    },
    "numbers": {
        "data": {"source": "sklearn:breast_cancer", "target": "diagnosis"},
        "model": {"candidates": "linear"},
    },
}


def package(make_project: Any, folder: Path, kind: str) -> Any:
    """Return a project with a packaged model in service."""
    sections = {name: dict(values) for name, values in PROJECTS[kind].items()}
    sections["model"] |= {"folds": 0}
    project = make_project(folder, **sections, params={"forest.n_estimators": 20})
    run_id = make_model(project)
    champion._put_in_service(project, run_id, "promote")
    return project


@pytest.fixture(scope="module")
def made(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Projects, made once each when they are asked for."""

    class Made(dict[str, Any]):
        def __missing__(self, kind: str) -> Any:
            self[kind] = package(make_project, tmp_path_factory.mktemp(kind), kind)
            return self[kind]

    return Made()


def copy_of(project: Any, folder: Path) -> Any:
    """Return a copy of a project without its logs."""
    shutil.copytree(project.root, folder, ignore=shutil.ignore_patterns("predictions"))
    return type(project)(folder)


@pytest.fixture
def project(made: dict[str, Any], tmp_path: Path) -> Any:
    """A copy of the binary project."""
    return copy_of(made["binary"], tmp_path / "project")


@pytest.fixture(scope="module")
def asked(made: dict[str, Any]) -> Iterator[Asked]:
    """The binary project's service."""
    with Asked(made["binary"]).running() as asked:
        yield asked


@pytest.fixture(scope="module")
def rows(made: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows that the binary model was not fitted on."""
    bundle = champion.load_champion(made["binary"])
    return as_rows(bundle, load_split(made["binary"], "test").head(20))


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
    onnx = {**bundles.read_bundle(project, run_id)["onnx"], **changed}
    champion._put_in_service(
        project, promote_copy(project, run_id, "0badbeef", onnx=onnx), "promote"
    )
    asked = compare(project)
    fleet = asked.service.keeper.fleet
    assert fleet is not None and not fleet.champion.onnx


def test_own_features_are_computed(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, rows: list[Any]
) -> None:
    """Where custom.py touches rows, the ONNX form alone would not know."""
    from mlproj import custom

    monkeypatch.setattr(custom, "add_features", lambda frame: frame.assign(age=40))
    expected = champion.load_champion(made["binary"]).predict(
        load_split(made["binary"], "test").head(5)
    )
    with Asked(made["binary"]).running() as asked:
        assert asked.service.fleet.champion.onnx is False
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
        assert asked.ask("POST", "/predict", b"{}", {"content-type": "text/plain"}).status == 415
        zipped = {**JSON_TYPE, "content-encoding": "gzip"}
        assert asked.ask("POST", "/predict", b"{}", zipped).status == 415
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
    assert asked.ask("HEAD", "/readyz").status == asked.ask("HEAD", "/").status == 200
    for answer in answers:
        assert answer.headers["x-request-id"] == "abc-1"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    evil = asked.ask("GET", "/healthz", headers={"X-Request-ID": "a b"})
    assert re.fullmatch("[0-9a-f]{16}", evil.headers["x-request-id"])


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


# ------------------------------------------------------------------------------------- releases


def second(project: Any, name: str = "0badbeef") -> str:
    """Make another model, which gives other probabilities."""
    run_id = champion.read_champion(project)["run_id"]
    return promote_copy(project, run_id, name, calibration={"temperature": 3.0})


def test_weights_hold_within_their_binomial_interval(project: Any, rows: list[Any]) -> None:
    other = second(project)
    champion.challenge(project, other, 0.3)
    asks = 2000
    with Asked(project, "serving.log_share=0").running() as asked:
        random.seed(1)
        named = [asked.predict(rows[:1]).json["model"] for _ in range(asks)]
    spread = 4 * math.sqrt(asks * 0.3 * 0.7)
    assert abs(named.count(other) - 0.3 * asks) < spread
    assert set(named) == {other, champion.read_champion(project)["run_id"]}


def test_a_sticky_key_keeps_its_model(project: Any, rows: list[Any]) -> None:
    other = second(project)
    champion.challenge(project, other, 0.5)
    with Asked(project, "serving.log_share=0").running() as asked:
        first = {key: asked.predict(rows[:1], x_sticky_key=str(key)).json for key in range(200)}
        again = {key: asked.predict(rows[:1], x_sticky_key=str(key)).json for key in range(200)}
    models = {key: answer["model"] for key, answer in first.items()}
    assert models == {key: answer["model"] for key, answer in again.items()}
    assert 60 < list(models.values()).count(other) < 140


def test_a_shadow_is_logged_and_never_answers(project: Any, rows: list[Any]) -> None:
    other = second(project)
    before = champion.read_champion(project)["run_id"]
    champion.challenge(project, other, 0)
    with Asked(project).running() as asked:
        answers = [asked.predict(rows) for _ in range(5)]
        assert {answer.json["model"] for answer in answers} == {before}
        asked.service._shadow.close()
    table = read_log(project)
    assert table.groupby("role").size().to_dict() == {"champion": 100, "shadow": 100}
    assert set(table[table["role"] == "shadow"]["run_id"]) == {other}
    wide = table.pivot(index=["request_id", "row"], columns="role", values="probability_yes")
    assert (wide["champion"] - wide["shadow"]).abs().max() > 0.01


def test_a_broken_shadow_changes_nothing(project: Any, rows: list[Any]) -> None:
    other = second(project)
    champion.challenge(project, other, 0)
    with Asked(project).running() as asked:

        def fail(table: Any) -> Any:
            raise RuntimeError("broken")

        asked.service.fleet.shadows[0].score = fail
        assert asked.predict(rows[:1]).status == 200
        asked.service._shadow.close()
        assert "serving_shadow_failed_total 1.0" in asked.ask("GET", "/metrics").body.decode()


def test_shadows_are_logged_as_the_champion_is(
    project: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    champion.challenge(project, second(project), 0)
    with Asked(project, "serving.log_share=0").running() as asked:
        asked.predict(rows)
        asked.service._shadow.close()
        assert 'role="shadow",run_id="0badbeef"} 20.0' in asked.ask("GET", "/metrics").body.decode()
    assert not (project.logs / "predictions").exists()
    monkeypatch.setattr(services, "MOST_SHADOWED_BYTES", 10)
    with Asked(project, "serving.log_share=0").running() as asked:
        asked.predict(rows)
        assert "serving_shadow_dropped_total 1.0" in asked.ask("GET", "/metrics").body.decode()
    with Asked(project, "serving.log_share=0.5").running() as asked:
        monkeypatch.undo()
        for _ in range(30):
            asked.predict(rows[:1])
        asked.service._shadow.close()
    roles = read_log(project).groupby("request_id")["role"].apply(set)
    assert 2 < len(roles) < 28 and all(each == {"champion", "shadow"} for each in roles)


def test_a_look_that_fails_is_followed_by_others(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Asked(project).running() as asked:
        keeper = asked.service.keeper
        looks: list[int] = []

        def look() -> bool:
            looks.append(len(looks))
            if len(looks) == 1:
                raise RuntimeError("broken")
            return False

        monkeypatch.setattr(keeper, "has_news", look)

        async def watch() -> None:
            with suppress(TimeoutError):
                await asyncio.wait_for(keeper.watch(0.01), 0.5)

        asked.runner.run(watch())
    assert len(looks) > 3


def test_a_new_champion_is_taken_up_and_a_damaged_one_refused(
    project: Any, rows: list[Any]
) -> None:
    first = champion.read_champion(project)["run_id"]
    other = second(project)
    with Asked(project).running() as asked:
        keeper = asked.service.keeper
        champion.promote(project, other)
        assert keeper.has_news()
        assert "serving_model_switches_total 0.0" in asked.ask("GET", "/metrics").body.decode()
        keeper.refresh()
        assert "serving_model_switches_total 1.0" in asked.ask("GET", "/metrics").body.decode()
        assert asked.predict(rows[:1]).json["model"] == other
        assert champion.rollback(project) == first
        keeper.refresh()
        assert asked.predict(rows[:1]).json["model"] == first
        for at, (name, damage) in enumerate(DAMAGES.items()):
            bad = promote_copy(project, first, f"{at:08x}", calibration={"temperature": 3.0})
            champion._put_in_service(project, bad, "promote")
            damage(project.models / bad)
            keeper.refresh()
            assert asked.predict(rows[:1]).json["model"] == first, name
        metrics = asked.ask("GET", "/metrics").body.decode()
    assert f"serving_model_load_failures_total {len(DAMAGES):.1f}" in metrics


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGES: dict[str, Any] = {
    "cut": lambda folder: cut(folder / "model.onnx"),
    "flipped": lambda folder: flip(folder / "model.onnx"),
    "tampered": lambda folder: flip(folder / "bundle.json"),
    "no marker": lambda folder: (folder / "bundle.json").unlink(),
    "no such thing": shutil.rmtree,
}


def test_without_a_model_it_says_so(project: Any, rows: list[Any]) -> None:
    project.champion_file.unlink()
    with Asked(project).running() as asked:
        for answer in (asked.ask("GET", "/readyz"), asked.predict(rows[:1])):
            assert answer.status == 503
        assert asked.ask("GET", "/healthz").status == 200
        assert "No model" in asked.ask("GET", "/").body.decode()


def test_challengers_are_refused_where_they_cannot_be(project: Any) -> None:
    first = champion.read_champion(project)["run_id"]
    other = second(project)
    with pytest.raises(UserError, match="is the champion itself"):
        champion.challenge(project, first, 0.1)
    with pytest.raises(UserError, match="from 0 to 1"):
        champion.challenge(project, other, 1.5)
    champion.challenge(project, other, 0.7)
    third = second(project, "0badcafe")
    with pytest.raises(UserError, match="from 0 to 0.3"):
        champion.challenge(project, third, 0.4)
    assert champion.describe(project)[f"Challenger {other}"] == "answers 70% of the requests"
    champion.dismiss(project, other)
    with pytest.raises(UserError, match="is no challenger"):
        champion.dismiss(project, other)
    with pytest.raises(UserError, match="no earlier champion"):
        champion.rollback(project)


# ----------------------------------------------------------------------------- logs and feedback


def read_log(project: Any) -> Any:
    """Return the prediction log."""
    files = sorted((project.logs / "predictions").glob("*.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)


@pytest.mark.parametrize("kind", PROJECTS)
def test_predictions_are_logged_without_sensitive_columns(
    made: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    project = copy_of(made[kind], tmp_path / "project")
    bundle, table = champion.load_champion(project), load_split(project, "test").head(30)
    with Asked(project).running() as asked:
        answer = asked.predict(as_rows(bundle, table)).json
    logged = read_log(project)
    assert list(logged["row"]) == list(range(len(table)))
    assert set(logged["request_id"]) == {answer["request_id"]}
    assert set(logged["run_id"]) == {bundle.run_id} and set(logged["role"]) == {"champion"}
    features = [c.name for c in bundle.schema.features if "sensitive" not in c.roles]
    own = ["time", "request_id", "row", "run_id", "role"]
    shares = [f"probability_{name}" for name in bundle.classes]
    assert list(logged) == [*own, *features, "prediction", *shares]
    again = bundle.conform(logged[features].assign(gender=None), strict=False)
    wanted = bundle.conform(table, strict=False)
    for name in features:
        pd.testing.assert_series_equal(
            again[name], wanted[name].reset_index(drop=True), check_dtype=False
        )
    assert list(logged["prediction"]) == [each["prediction"] for each in answer["predictions"]]


def test_a_full_disk_costs_log_rows_and_no_answer(project: Any, rows: list[Any]) -> None:
    """A file where the folder has to be stands for a disk that takes nothing."""
    project.logs.mkdir(exist_ok=True)
    (project.logs / "predictions").write_text("in the way", encoding="utf-8")
    with Asked(project, "serving.log_seconds=0.1").running() as asked:
        assert asked.predict(rows).status == 200
        for _ in range(100):
            metrics = asked.ask("GET", "/metrics").body.decode()
            if "serving_log_lost_rows_total 20.0" in metrics:
                break
            time.sleep(0.1)
        assert "serving_log_lost_rows_total 20.0" in metrics
        assert asked.predict(rows).status == 200


def test_what_comes_while_the_log_is_handed_over_is_not_lost(
    project: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that writes may be slow to take a batch, and the service be stopped then."""
    with Asked(project).running() as asked:
        log, taken = asked.service.predictions, threading.Event()
        send = log._send

        def slow(content: bytes) -> None:
            taken.set()
            time.sleep(0.5)
            send(content)

        monkeypatch.setattr(log, "_send", slow)
        asked.predict(rows)
        assert taken.wait(10)
        asked.predict(rows)
    assert len(read_log(project)) == 2 * len(rows)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_who_ends_the_whole_group_loses_no_row(project: Any, rows: list[Any]) -> None:
    with Asked(project).running() as asked:
        asked.predict(rows)
        log = asked.service.predictions
        until(lambda: not log._waiting)
        log._process.send_signal(signal.SIGTERM)
        asked.predict(rows)
    assert len(read_log(project)) == 2 * len(rows)


def test_much_text_is_written_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "FILE_BYTES", 50_000)
    batch = writers.Batch(
        "0badbeef",
        [("comment", "text")],
        ["no", "yes"],
        [0.0],
        ["a"],
        ["champion"],
        [1],
        [["x" * 30_000]],
        [],
        [1],
        [bytes(16)],
        "class",
    )
    writer = writers.Writer(tmp_path, 1000, 1000)
    writer.add(batch)
    assert list(tmp_path.iterdir()) == []
    writer.add(batch)
    (path,) = tmp_path.iterdir()
    assert len(pd.read_parquet(path)) == 2


def test_the_log_is_sampled_and_kept_small(project: Any, rows: list[Any]) -> None:
    with Asked(project, "serving.log_share=0.5").running() as asked:
        random.seed(3)
        for _ in range(400):
            asked.predict(rows[:1])
    assert 150 < len(read_log(project)) < 250
    old = project.logs / "predictions" / "20200101T000000-1-0a0b0c0d-0badbeef.parquet"
    old.write_bytes(os.urandom(2_000_000))
    with Asked(project, "serving.log_megabytes=1").running() as asked:
        asked.predict(rows[:1])
    assert not old.exists()
    assert len(list(old.parent.glob("*.parquet"))) == 2


def test_the_process_that_writes_the_log_loads_no_pandas(
    package_environment: dict[str, str],
) -> None:
    """pyarrow would, and 50 MB with it."""
    code = """
import sys
import pyarrow as pa
from mlproj.serving import writer
writer._load_arrow()
assert pa.array([1.0, None]).null_count == 1
print("pandas.core" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, env=package_environment, capture_output=True, text=True)
    assert said.stdout == "False\n", said.stderr


def test_a_line_that_cannot_be_written_is_counted(asked: Asked) -> None:
    service = asked.service
    before = asked.ask("GET", "/metrics").body.decode()
    service.lines.note("model refused", reason="\udcff")
    after = asked.ask("GET", "/metrics").body.decode()
    name = "serving_log_lost_lines_total"
    assert f"{name} 0.0" in before and f"{name} 1.0" in after


def test_feedback_is_written_down(project: Any, rows: list[Any]) -> None:
    with Asked(project).running() as asked:
        known = asked.predict(rows[:1]).json["request_id"]
        labels = [{"request_id": known, "row": 0, "label": "yes"}]
        answer = asked.ask("POST", "/feedback", {"labels": labels})
        assert (answer.status, answer.json) == (200, {"taken": 1})
        for wrong in ([], [{"request_id": known, "label": "maybe"}], [{"label": "yes"}]):
            assert asked.ask("POST", "/feedback", {"labels": wrong}).status == 422
    (line,) = (project.logs / "feedback.jsonl").read_text(encoding="utf-8").splitlines()
    found = json.loads(line)
    assert {"request_id": known, "row": 0, "label": "yes"}.items() <= found.items()
    assert found["time"].endswith("Z")


# ------------------------------------------------------------------------ what it says of itself


def test_openapi_comes_from_the_schema(asked: Asked) -> None:
    document = asked.ask("GET", "/openapi.json").json
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    row = body["schema"]["properties"]["rows"]["items"]
    most = asked.service.fleet.champion.schema.column("age").maximum
    assert row["properties"]["age"] == {"type": ["integer", "null"], "minimum": 0, "maximum": most}
    assert "plus" in row["properties"]["plan"]["enum"]
    assert row["additionalProperties"] is False
    assert asked.ask("POST", "/predict", body["example"]).status == 200


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
        asked.predict([{**rows[0], "city": "Zyxville", "comment": "zyxword"}])
        asked.predict([{**rows[0], "plan": "zyxplan"}])
    text = capfdbinary.readouterr().out.decode()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    asked_for = [line for line in lines if line["event"] == "request"]
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
