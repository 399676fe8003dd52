"""Several models at once: shares, shadows, and a new champion."""

from __future__ import annotations

import asyncio
import math
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from asking import Asked, promote_copy
from mlproj.bundle import champion
from mlproj.core.errors import UserError
from mlproj.serving import service as services
from served import read_log


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
            champion.release(project, bad, "promote")
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
