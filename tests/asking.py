"""Ask the service: in this process (`Asked`), or started as in production (`Server`)."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

JSON_TYPE = {"content-type": "application/json"}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asked:
    """The application of a project, asked without a server."""

    def __init__(self, project: Any, *overrides: str) -> None:
        from mlproj.core.config import load_settings
        from mlproj.serving.app import make_app
        from mlproj.serving.service import Service

        quiet = ["serving.poll_seconds=1000", "serving.log_seconds=1000"]
        self.service = Service(project, load_settings(project, [*quiet, *overrides]))
        self.app = make_app(self.service)

    @contextmanager
    def running(self) -> Iterator[Asked]:
        """Keep it running; requests within share one event loop."""
        with asyncio.Runner() as runner:
            self.runner = runner
            life = self.service.running()
            runner.run(life.__aenter__())
            try:
                yield self
            finally:
                runner.run(life.__aexit__(None, None, None))

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.runner.run(self._ask(method, path, content, headers or JSON_TYPE))

    async def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "server": ("test", 80),
            "client": ("127.0.0.1", 1),
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        }
        await self.app(scope, receive, send)
        found = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        return Answer(sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:]))

    def predict(self, rows: list[Any], **headers: str) -> Answer:
        """Ask for predictions; `x_sticky_key="a"` becomes a header."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", "/predict", {"rows": rows}, {**JSON_TYPE, **named})


@dataclass
class Server:
    """A service in processes of its own."""

    project: Any
    environment: dict[str, str]
    overrides: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=lambda: [sys.executable, "-m", "mlproj"])
    port: int = 0
    log: Path | None = None
    process: Any = None

    def __enter__(self) -> Server:
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            self.port = trial.getsockname()[1]
        self.log = self.project.root / f"server-{self.port}.log"
        options = [word for each in self.overrides for word in ("--set", each)]
        command = [*self.command, "serve", "--port", str(self.port), *options]
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=self.project.root, env=self.environment, stdout=file, stderr=file
            )
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def wait(self) -> None:
        """Wait until it is ready."""
        for _ in range(2400):
            assert self.process.poll() is None, self.text()
            try:
                if self.ask("GET", "/readyz").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(self.text())

    def text(self) -> str:
        """Return what it printed."""
        return self.log.read_text(encoding="utf-8") if self.log else ""

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection of its own."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request over a new connection."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = self.connect()
        try:
            connection.request(method, path, content, headers or JSON_TYPE)
            reply = connection.getresponse()
            return Answer(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            connection.close()

    def workers(self) -> list[int]:
        """Return the ids of the processes that answer."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            pid = int(stat.parent.name)
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                command = (stat.parent / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == self.process.pid and b"spawn_main" in command:
                found.append(pid)
        return found


def until(true: Callable[[], Any], seconds: float = 20) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def resident(pid: int) -> float:
    """Return a process's resident memory in MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def as_rows(bundle: Any, frame: Any) -> list[dict[str, Any]]:
    """Return rows of a table as a request has them."""
    names = [column.name for column in bundle.schema.features]
    rows: list[dict[str, Any]] = json.loads(
        frame[names].to_json(orient="records", date_format="iso", double_precision=15)
    )
    return rows


def largest_gap(bundle: Any, wanted: Any, predictions: list[Any]) -> float:
    """Return the largest difference between answers and a bundle's own predictions.

    Of classes it is one of probabilities, of numbers one relative to the largest number.
    """
    import numpy as np
    import pandas as pd

    found = pd.DataFrame(predictions)
    assert len(found) == len(wanted)
    if bundle.task.name == "regression":
        own = [wanted[name].to_numpy() for name in ("prediction", "lower", "upper")]
        told = [found[name].to_numpy() for name in ("prediction", "lower", "upper")]
        pairs = zip(told, own, strict=True)
        return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)
    shares = pd.DataFrame(list(found["probability"]))
    assert [f"probability_{name}" for name in shares] == list(wanted)[-shares.shape[1] :]
    assert list(found["prediction"]) == list(wanted["prediction"])
    return float(np.abs(shares.to_numpy() - wanted.iloc[:, -shares.shape[1] :].to_numpy()).max())


def make_model(project: Any) -> str:
    """Train a project's model and package it; return its run id."""
    from mlproj.core import config, pipeline

    pipeline.run(project, config.load_settings(project), until="postprocess", say=lambda _: None)
    return str(pipeline.require(project, "postprocess").run_id)


def promote_copy(
    project: Any, run_id: str, copy: str, onnx: dict[str, Any] | None = None, **changes: Any
) -> str:
    """Make a bundle of another name, with changes of bundle.json and onnx.json; return its name.

    A change to None takes the key away.
    """
    import shutil

    from mlproj.core.files import file_sha256, read_json, write_json

    folder = project.models / copy
    shutil.copytree(project.models / run_id, folder)
    document = {**read_json(folder / "bundle.json"), "run_id": copy, **changes}
    for name in [name for name, value in changes.items() if value is None]:
        del document[name]
    write_json(folder / "bundle.json", document)
    facts = {**read_json(folder / "onnx.json"), **(onnx or {})}
    write_json(folder / "onnx.json", {**facts, "bundle": file_sha256(folder / "bundle.json")})
    return copy


ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
