"""Which model serves after a run at `poc`, what is said of it, and whose reports are kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cases import every_case
from mlproj.bundle import champion, promotion
from mlproj.checklist.context import Context
from mlproj.core import pipeline
from mlproj.core.config import load_settings
from mlproj.core.errors import UserError
from mlproj.core.files import read_json, read_json_lines, write_json, write_json_lines
from mlproj.core.project import read_report

SAMPLE = {"source": "sample:600", "target": "churned", "id": "customer_id"}
# Of 600 rows, the more regularised one has learnt more.
WEAK, STRONG = (), ("params.linear.C=0.00001",)
EQUAL = (*STRONG, "model.folds=2")


def package(project: Any, *overrides: str) -> str:
    """Train and package a model; return its run id."""
    settings = load_settings(project, overrides)
    pipeline.run(project, settings, until="postprocess", say=lambda text: None)
    return str(pipeline.require(project, "postprocess").run_id)


@pytest.fixture(scope="module")
def made(
    make_project: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, dict[tuple[str, ...], str]]:
    """A project at `poc` with three models, two of which score the same."""
    folder = tmp_path_factory.mktemp("promoted")
    project = make_project(folder, data=SAMPLE, model={"candidates": "linear", "folds": 0})
    write_json(project.answers_file, {"context": {"cookiecutter": {"stage": "poc"}}})
    return project, {each: package(project, *each) for each in (WEAK, EQUAL, STRONG)}


@pytest.fixture
def project(made: tuple[Any, Any], tmp_path: Path) -> Any:
    """A copy of that project."""
    shutil.copytree(made[0].root, tmp_path / "project")
    return type(made[0])(tmp_path / "project")


@pytest.fixture
def models(made: tuple[Any, dict[tuple[str, ...], str]]) -> dict[tuple[str, ...], str]:
    """The run ids of the models."""
    return made[1]


def offer(project: Any, run_id: str, *overrides: str) -> str:
    """Offer a model as `run` does."""
    return str(promotion.offer(project, load_settings(project, overrides), run_id))


def history(project: Any) -> list[tuple[str, str]]:
    """Action and run id of each change of champion."""
    lines = read_json_lines(project.models / "champion_history.jsonl")
    return [(line["action"], line["run_id"]) for line in lines]


def serving(project: Any) -> str:
    """The run id of the champion."""
    return str(read_json(project.champion_file)["run_id"])


def test_a_better_model_goes_into_service_with_both_scores(
    project: Any, models: dict[tuple[str, ...], str]
) -> None:
    weak, strong = models[WEAK], models[STRONG]
    assert offer(project, weak) == f"{weak} is in service"
    said = offer(project, strong)
    scores = [read_json(project.bundle_folder(each) / "bundle.json") for each in (strong, weak)]
    new, old = (f"{each['metrics']['roc_auc']:.3f}" for each in scores)
    assert said == (
        f"{strong} is in service: roc_auc {new} on valid is better than {old} of {weak}"
    )
    assert history(project) == [("auto", weak), ("auto", strong)]
    assert not project.ledger.exists()
    assert champion.rollback(project) == weak  # as one that a person promoted


def test_a_worse_or_equal_model_does_not(project: Any, models: dict[tuple[str, ...], str]) -> None:
    strong = models[STRONG]
    offer(project, strong)
    said = offer(project, models[WEAK])
    assert said.startswith(f"{strong} stays in service: roc_auc ") and "is better than" in said
    assert said.endswith(f"of {models[WEAK]}; `champion promote {models[WEAK]}` changes that")
    assert f"equals that of {models[EQUAL]}; " in offer(project, models[EQUAL])
    assert serving(project) == strong and history(project) == [("auto", strong)]


def test_of_a_loss_the_lower_one_is_better(
    project: Any, models: dict[tuple[str, ...], str]
) -> None:
    text = project.conf.read_text(encoding="utf-8")
    project.conf.write_text(f"{text}metric = log_loss\n", encoding="utf-8")
    documents = [read_json(project.bundle_folder(each) / "bundle.json") for each in models.values()]
    losses = {each["run_id"]: each["metrics"]["log_loss"] for each in documents}
    best, worst = min(losses, key=losses.__getitem__), max(losses, key=losses.__getitem__)
    assert losses[best] < losses[worst]
    offer(project, worst)
    assert offer(project, best).startswith(f"{best} is in service: log_loss {losses[best]:.3f} on")
    assert offer(project, worst).startswith(f"{best} stays in service: log_loss ")


@every_case("changed", ["code", "data"])
def test_an_equal_model_does_so_where_code_or_data_changed(
    project: Any, models: dict[tuple[str, ...], str], changed: str
) -> None:
    strong, equal = models[STRONG], models[EQUAL]
    for path in (project.champion_file, project.models / "champion_history.jsonl"):
        path.unlink(missing_ok=True)
    offer(project, strong)
    path = project.bundle_folder(equal) / "bundle.json"
    if changed == "code":
        runs = read_json_lines(project.logs / "runs.jsonl")
        other = [run | {"code": "0" * 16} if run["run_id"] == equal else run for run in runs]
        write_json_lines(project.logs / "runs.jsonl", other)
    else:
        write_json(path, read_json(path) | {"data": "0" * 16})
    said = offer(project, equal)
    assert said.startswith(f"{equal} is in service: roc_auc ")
    assert said.endswith(f"equals that of {strong}, and the {changed} changed")


@every_case("chosen", ["promote", "rollback", "by an earlier version", "mvp", "no stage", "--set"])
def test_what_a_person_decides_stays(
    project: Any, models: dict[tuple[str, ...], str], chosen: str
) -> None:
    weak, strong = models[WEAK], models[STRONG]
    overrides: tuple[str, ...] = ()
    for path in (project.champion_file, project.models / "champion_history.jsonl"):
        path.unlink(missing_ok=True)
    write_json(project.answers_file, {"context": {"cookiecutter": {"stage": "poc"}}})
    offer(project, weak)
    if chosen == "promote":
        champion.release(project, weak, "promote")
    elif chosen == "rollback":
        champion.release(project, strong, "promote")
        champion.rollback(project)
    elif chosen == "by an earlier version":
        entry = read_json(project.champion_file)
        write_json(project.champion_file, {key: entry[key] for key in ("run_id", "sha256")})
    elif chosen == "--set":
        overrides = ("decision.cost_fn=2",)
    else:
        stage = {"stage": "mvp"} if chosen == "mvp" else {}
        write_json(project.answers_file, {"context": {"cookiecutter": stage}})
    said = offer(project, strong, *overrides)
    assert said.startswith(f"{weak}") and "stays in service" in said
    assert said.endswith(f"; `champion promote {strong}` changes that")
    assert ("--set" in said) == (chosen == "--set")
    person = chosen in ("promote", "rollback", "by an earlier version")
    assert ("which a person promoted" in said) == person
    assert serving(project) == weak


def test_a_champion_that_cannot_be_compared_gives_way_and_it_is_said_why(
    project: Any, models: dict[tuple[str, ...], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    strong = models[STRONG]
    offer(project, strong)
    with monkeypatch.context() as patched:

        def lacks(*_: object) -> tuple[float, float]:
            raise UserError("valid lacks the column 'age'; bring it back.")

        patched.setattr(promotion, "_scores_on_valid", lacks)
        assert offer(project, models[WEAK]) == (
            f"{models[WEAK]} is in service: {strong} cannot predict the data of today (valid lacks "
            "the column 'age'; bring it back), so it cannot stay"
        )
    champion.release(project, strong, "auto")
    other = package(project, "split.seed=7", *WEAK)
    assert offer(project, other) == (
        f"{other} is in service: rows that {strong} was trained on may be in valid now, so it "
        "cannot stay"
    )


def test_another_target_gets_its_own_champion_unless_it_is_only_tried_out(
    project: Any, models: dict[tuple[str, ...], str]
) -> None:
    strong, other = models[STRONG], models[WEAK]
    offer(project, strong)
    path = project.bundle_folder(other) / "bundle.json"
    write_json(path, read_json(path) | {"target": "plan"})
    assert "since --set is for trying out" in offer(project, other, "data.target=plan")
    assert serving(project) == strong
    assert offer(project, other) == (
        f"{other} is in service; {strong} was made for another source or target"
    )


def test_every_change_of_champion_brings_its_own_reports(
    project: Any, models: dict[tuple[str, ...], str]
) -> None:
    strong, weak = models[STRONG], models[WEAK]
    offer(project, strong)
    folder = project.reports / "champion"
    first = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    assert first == {
        name: (project.reports / name).read_bytes() for name in ("release.json", "train.json")
    }
    package(project, *WEAK)
    offer(project, weak)
    assert Context(project).newer == weak
    assert {path.name: path.read_bytes() for path in folder.glob("*.json")} == first
    report = Context(project).report("release")
    assert report is not None and report.run_id == strong
    split = Context(project).report("split")
    assert split is not None and Context(project).path("split") == "reports/split.json"

    champion.release(project, weak, "promote")
    assert read_report(project, "champion/release").run_id == weak
    assert Context(project).newer is None
    package(project, *STRONG)
    assert champion.rollback(project) == strong
    assert {path.name: path.read_bytes() for path in folder.glob("*.json")} == first

    # A bundle that never served is packaged again under its id, and loses what was said of it.
    champion.keep_reports(project, package(project, *EQUAL, "decision.cost_fn=5"))
    kept = project.bundle_folder(pipeline.require(project, "postprocess").run_id) / "reports.json"
    release = read_json(kept)["release"]
    package(project, *EQUAL, "decision.cost_fn=9")
    assert not kept.exists() and release["facts"]["threshold"]["cost_fn"] == 5

    # A model of an earlier version has none: those of another one do not stay in its place.
    (project.bundle_folder(weak) / "reports.json").unlink()
    champion.release(project, weak, "promote")
    assert list(folder.glob("*.json")) == []
    assert Context(project).path("train") == "reports/train.json"
