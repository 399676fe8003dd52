"""What is announced, when, and what a listener can do to the work: nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asking import promote_copy
from mlproj.bundle import champion
from mlproj.bundle.onnx.form import read_onnx
from mlproj.core import config, pipeline, registry
from mlproj.core.files import read_json, read_json_lines
from mlproj.core.project import read_report
from mlproj.core.registry import LISTENERS

DATA = {"source": "sample:300", "id": "customer_id", "target": "churned"}
MODEL = {"candidates": "linear", "folds": 0}


def on_disk(event: str, project: Any, facts: dict[str, Any]) -> bool:
    """Tell whether the event's file says already what the listener is called with."""
    if event == "run":
        return bool(read_json_lines(project.logs / "runs.jsonl")[-1]["run_id"] == facts["run_id"])
    if event == "bundle":
        report = read_report(project, "release")
        made = read_onnx(project.bundle_folder(facts["run_id"]), {})
        return bool(report.run_id == facts["run_id"] and made == facts["onnx"])
    if event == "opening":
        return bool(read_json_lines(project.ledger)[-1] == facts)
    if read_json_lines(project.models / "champion_history.jsonl")[-1] != facts:
        return False
    state = read_json(project.champion_file)
    if event in ("promote", "rollback"):
        return bool(state["run_id"] == facts["run_id"])
    challengers = [each["run_id"] for each in state["challengers"]]
    return bool((facts["run_id"] in challengers) == (event == "challenge"))


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, bool]]:
    """Return event, run id and whether it was on disk, of each call of a listener."""
    calls: list[tuple[str, str, bool]] = []

    def listen(event: str, project: Any, facts: dict[str, Any]) -> None:
        calls.append((event, facts["run_id"], on_disk(event, project, facts)))
        facts.clear()  # a listener's facts are its own

    monkeypatch.setitem(LISTENERS, "first", listen)
    monkeypatch.setitem(LISTENERS, "second", listen)
    return calls


def names(calls: list[tuple[str, str, bool]]) -> list[str]:
    """Return the events, of which each has to come twice: there are two listeners."""
    assert calls[::2] == calls[1::2]
    assert all(there for _, _, there in calls), calls
    return [event for event, _, _ in calls[::2]]


def test_every_event_is_announced_once_it_is_on_disk(
    make_project: Any, tmp_path: Path, heard: list[tuple[str, str, bool]]
) -> None:
    project = make_project(tmp_path, data=DATA, model=MODEL)
    pipeline.run(project, config.load_settings(project), say=lambda _: None)
    run_id = str(pipeline.require(project, "evaluate").run_id)
    assert names(heard) == ["run", "run", "bundle", "opening", "promote"]
    assert [each for event, each, _ in heard if event != "run"] == [run_id] * 6
    heard.clear()

    pipeline.run(project, config.load_settings(project), say=lambda _: None)
    assert names(heard) == []  # nothing happened

    other = promote_copy(project, run_id, "0badbeef")
    champion.challenge(project, other, 0.2)
    champion.dismiss(project, other)
    champion.promote(project, other)
    champion.rollback(project)
    assert names(heard) == ["challenge", "dismiss", "promote", "rollback"]
    assert [each for _, each, _ in heard[::2]] == [other, other, other, run_id]


@pytest.mark.parametrize("error", [ValueError("two\nlines"), SystemExit(3)], ids=["error", "exit"])
def test_a_listener_that_fails_is_a_warning_and_the_next_one_is_called(
    make_project: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
) -> None:
    def fail(event: str, project: Any, facts: dict[str, Any]) -> None:
        raise error

    calls: list[str] = []
    monkeypatch.setitem(LISTENERS, "bad", fail)
    monkeypatch.setitem(LISTENERS, "absent", "no_such_module:listen")
    monkeypatch.setitem(LISTENERS, "good", lambda event, project, facts: calls.append(event))
    project = make_project(tmp_path, data=DATA, model=MODEL)
    pipeline.run(project, config.load_settings(project), say=lambda _: None)
    assert champion.read_champion(project) is not None
    assert calls == ["run", "run", "bundle", "opening", "promote"]
    lines = capsys.readouterr().err.splitlines()
    said = " ".join(f"{type(error).__name__}: {error}".split())
    for event in calls:
        assert f"Warning: listener 'bad' failed on '{event}': {said}" in lines
        absent = f"Warning: listener 'absent' failed on '{event}': ModuleNotFoundError: "
        assert any(line.startswith(absent) for line in lines)


def test_a_ctrl_c_is_no_failure_of_a_listener(
    make_project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(event: str, project: Any, facts: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(LISTENERS, "slow", interrupt)
    with pytest.raises(KeyboardInterrupt):
        registry.announce("run", make_project(tmp_path), run_id="0badbeef")


def test_a_custom_py_that_cannot_be_imported_is_a_warning_too(
    make_project: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken() -> Any:
        raise ImportError("no module named 'price_list'")

    monkeypatch.setattr(registry, "team", broken)
    registry.announce("promote", make_project(tmp_path), run_id="0badbeef")
    assert capsys.readouterr().err == (
        "Warning: no listener heard of 'promote', since custom.py cannot be imported: "
        "ImportError: no module named 'price_list'\n"
    )


MODULE = '''"""Extra."""

from ..core.registry import LISTENERS

LISTENERS.update(extra=".extra.listen:listen")
'''
LISTEN = '''"""Listen."""


def listen(event, project, facts):
    with (project.root / "heard.txt").open("a") as file:
        file.write(f"{event} {facts['run_id']}\\n")
'''
CUSTOM = """

def tell(event, project, facts):
    raise RuntimeError("nobody is there")


LISTENERS = {"ours": tell}
"""


def test_a_folder_and_custom_py_add_listeners(
    make_project: Any, tmp_path: Path, package_environment: dict[str, str]
) -> None:
    package = tmp_path / "copy" / "mlproj"
    shutil.copytree(Path(package_environment["PYTHONPATH"]) / "mlproj", package)
    (package / "extra").mkdir()
    (package / "extra" / "__init__.py").write_text(MODULE, encoding="utf-8")
    (package / "extra" / "listen.py").write_text(LISTEN, encoding="utf-8")
    with (package / "custom.py").open("a", encoding="utf-8") as file:
        file.write(CUSTOM)
    project = make_project(tmp_path / "project", data=DATA, model=MODEL)
    done = subprocess.run(
        [sys.executable, "-m", "mlproj", "run", "--until", "postprocess"],
        cwd=project.root,
        env={**package_environment, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    heard = (project.root / "heard.txt").read_text(encoding="utf-8").split()
    assert heard[::2] == ["run", "run", "bundle"]
    assert "Warning: listener 'ours' failed on 'bundle': RuntimeError: nobody is" in done.stderr
