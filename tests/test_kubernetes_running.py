"""The commands of the Kubernetes manifests, as they run."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from baking import BakedProject, bake_project
from manifests import Bake, Object, environment, mounts, objects_of, pods, run, settings_of


@pytest.fixture
def objects(bake: Bake, tmp_path: Path) -> Callable[..., list[Object]]:
    return objects_of(bake, tmp_path)


@pytest.fixture(scope="module")
def trained(template: Path, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """A project with a model in service."""
    answers = {"serving": "rest", "monitoring": "yes", "platform": "kubernetes"}
    project = bake_project(template, tmp_path_factory.mktemp("trained"), answers)
    options = ["--set=model.candidates=linear", "--set=model.folds=0", "--until=evaluate"]
    done = run(project, "run", *options)
    assert done.returncode == 0, done.stderr
    return project


def state(project: BakedProject) -> dict[str, tuple[int, int]]:
    """Return when each file was changed, and its size."""
    found = [(name, (project.root / name).stat()) for name in project.files()]
    return {name: (stat.st_mtime_ns, stat.st_size) for name, stat in found}


def written(project: BakedProject, before: dict[str, tuple[int, int]]) -> set[str]:
    """Return the folders below the project with files that are new or changed."""
    changed = {name for name, stat in state(project).items() if before.get(name) != stat}
    return {str(Path("/project", name).parent) for name in changed}


def lie_below(folders: set[str], places: list[str]) -> bool:
    """Tell whether every folder is one of the places, or below one."""
    return all(any(Path(folder).is_relative_to(place) for place in places) for folder in folders)


@pytest.mark.modules
def test_the_jobs_write_only_where_they_may(
    trained: BakedProject, objects: Callable[..., list[Object]]
) -> None:
    """The rest of the file system is read-only."""
    data = trained.root / "data"
    shutil.copy(next((data / "test").glob("*.parquet")), data / "new.parquet")
    for _, container in pods(objects("files", serving="batch", monitoring="yes")):
        before = state(trained)
        done = run(trained, *container["args"])
        assert done.returncode == 0, done.stderr
        found = written(trained, before)
        assert found
        assert lie_below(found, mounts(container)), (found, mounts(container))


class Started:
    """The service of a trained project, with the arguments that the manifest gives it."""

    def __init__(self, project: BakedProject, arguments: list[str], folder: Path) -> None:
        keys = next(each for each in arguments if "serving.keys" in each).partition("file:")[2]
        self.folder = folder
        (folder / Path(keys).name).write_text("k" * 20 + "\n", encoding="utf-8")
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            self.port = trial.getsockname()[1]
        own = [each.replace(str(Path(keys).parent), str(folder)) for each in arguments]
        own = [each.replace("0.0.0.0", "127.0.0.1") for each in own]  # noqa: S104
        command = [sys.executable, "-m", project.package, *own, f"--port={self.port}"]
        self.process = subprocess.Popen(
            command, cwd=project.root, env=environment(project), stdout=subprocess.DEVNULL
        )

    def status(self, path: str, body: bytes | None = None, **headers: str) -> int:
        """Ask, and return the status; 0 where nobody answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body)
        for name, value in {"content-type": "application/json", **headers}.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


@pytest.mark.modules
def test_the_service_answers_its_probes_asks_for_the_key_and_ends_in_time(
    trained: BakedProject, objects: Callable[..., list[Object]], tmp_path: Path
) -> None:
    ((spec, container),) = [
        (spec, container)
        for spec, container in pods(objects("files", serving="rest"))
        if container["args"][0] == "serve"
    ]
    before = state(trained)
    secret = tmp_path / "secret"
    secret.mkdir()
    service = Started(trained, container["args"], secret)
    try:
        startup = container["startupProbe"]
        patience = time.monotonic() + startup["periodSeconds"] * startup["failureThreshold"]
        while service.status(startup["httpGet"]["path"]) != 200:
            assert time.monotonic() < patience
            time.sleep(0.1)
        for name in ("readiness", "liveness"):
            assert service.status(container[f"{name}Probe"]["httpGet"]["path"]) == 200
        assert service.status("/predict", b'{"rows": []}') == 401
        assert service.status("/predict", b'{"rows": []}', x_api_key="k" * 20) == 422
        # A Secret that changes is taken over.
        (secret / "keys").write_text("n" * 20 + "\n", encoding="utf-8")
        patience = time.monotonic() + 20
        while service.status("/predict", b'{"rows": []}', x_api_key="n" * 20) != 422:
            assert time.monotonic() < patience
            time.sleep(0.2)
        rows = json.dumps({"rows": [example_row(trained)]}).encode()
        assert service.status("/predict", rows, x_api_key="n" * 20) == 200
    finally:
        began = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(timeout=60)
    left = spec["terminationGracePeriodSeconds"]
    left -= container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert time.monotonic() - began < left
    assert written(trained, before) == {"/project/logs/predictions"}
    assert lie_below(written(trained, before), mounts(container))


def example_row(project: BakedProject) -> dict[str, Any]:
    """Return a row that the service can score."""
    import pandas as pd

    table = next((project.root / "data" / "test").glob("*.parquet"))
    schema = yaml.safe_load(project.text("data/schema.yaml"))
    frame = pd.read_parquet(table).head(1)
    target = settings_of(project.root, project.package)["data"]["target"]
    names = [column["name"] for column in schema["columns"] if column["name"] != target]
    row: dict[str, Any] = json.loads(frame[names].to_json(orient="records"))[0]
    return row
