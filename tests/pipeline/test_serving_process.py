"""The service as in production, in processes of its own: faults, hostile input, switches, load."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import socket
import string
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import JSON_TYPE, Server, as_rows, make_model, promote_copy, resident
from mlproj.bundle import champion
from mlproj.data.split import load_split

pytestmark = pytest.mark.modules

TESTS = Path(__file__).parents[1]

SAMPLE = {"source": "sample:1200", "id": "customer_id", "sensitive": "gender", "target": "churned"}
# Each would make a service of its own kind: shared counts in a folder, processes, detours.
PRESET = {
    "PROMETHEUS_MULTIPROC_DIR": f"{os.devnull}/counts",
    "WEB_CONCURRENCY": "3",
    "FORWARDED_ALLOW_IPS": "*",
    "http_proxy": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
}


@pytest.fixture(scope="module")
def made(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with a model in service, and another one beside."""
    folder = tmp_path_factory.mktemp("served")
    project = make_project(folder, data=SAMPLE, model={"candidates": "linear", "folds": 0})
    run_id = make_model(project)
    champion.release(project, run_id, "promote")
    promote_copy(project, run_id, "0badbeef", calibration={"temperature": 3.0})
    return project


@pytest.fixture
def project(made: Any, tmp_path: Path) -> Any:
    """A copy of that project."""
    shutil.copytree(made.root, tmp_path / "project")
    return type(made)(tmp_path / "project")


@pytest.fixture(scope="module")
def rows(made: Any) -> list[dict[str, Any]]:
    """Rows that the model was not fitted on."""
    found: list[dict[str, Any]] = as_rows(
        champion.load_champion(made), load_split(made, "test").head(20)
    )
    return found


@pytest.fixture(scope="module")
def server(made: Any, package_environment: dict[str, str]) -> Iterator[Server]:
    """A service that several tests share, where variables are set for other programs."""
    with Server(made, package_environment | PRESET) as server:
        yield server


def number(metrics: str, name: str) -> float:
    """Return the value of one metric."""
    return float(metrics.partition(f"\n{name} ")[2].split()[0])


class Load:
    """Clients that ask over and over; what they got is counted."""

    def __init__(self, server: Server, rows: list[Any], clients: int = 3) -> None:
        self.server, self.body = server, json.dumps({"rows": rows}).encode()
        self.statuses: dict[Any, int] = {}
        self.models: set[str] = set()
        self._end, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def _run(self) -> None:
        connection = self.server.connect()
        while not self._end.is_set():
            outcome: Any
            try:
                connection.request("POST", "/predict", self.body, JSON_TYPE)
                reply = connection.getresponse()
                outcome, content = reply.status, reply.read()
                model = json.loads(content).get("model")
            except (OSError, http.client.HTTPException) as error:
                outcome, model = type(error).__name__, None
                connection.close()
                connection = self.server.connect()
                time.sleep(0.02)
            with self._lock:
                self.statuses[outcome] = self.statuses.get(outcome, 0) + 1
                self.models |= {model} if model else set()
        connection.close()


def test_variables_of_other_programs_change_nothing(server: Server) -> None:
    assert server.workers() == []  # the one process answers itself
    assert "serving_in_flight" in server.ask("GET", "/metrics").body.decode()


def test_it_starts_fast_and_light(server: Server) -> None:
    """Neither scikit-learn nor pandas nor scipy is there."""
    maps = Path(f"/proc/{server.process.pid}/maps").read_text(encoding="utf-8")
    for heavy in ("sklearn", "pandas", "scipy"):
        assert f"/site-packages/{heavy}/" not in maps, heavy
    assert resident(server.process.pid) < 200


def junk(random_: random.Random, depth: int = 0) -> Any:
    """Return some JSON value."""
    kinds: list[Any] = [
        lambda: None,
        lambda: random_.choice([True, False]),
        lambda: random_.randint(-(10**20), 10**20),
        lambda: random_.uniform(-1e308, 1e308),
        lambda: "".join(random_.choices(string.printable + "é漢\0", k=random_.randint(0, 40))),
    ]
    if depth < 4:
        kinds.append(lambda: [junk(random_, depth + 1) for _ in range(random_.randint(0, 4))])
        kinds.append(lambda: {str(n): junk(random_, depth + 1) for n in range(3)})
    return random_.choice(kinds)()


def hostile(random_: random.Random, rows: list[dict[str, Any]]) -> bytes:
    """Return a body that is somehow wrong, most of them."""
    kind = random_.randrange(10)
    good = [dict(row) for row in random_.sample(rows, 2)]
    text = json.dumps({"rows": good}).encode()
    if kind == 0:
        return text[: random_.randrange(len(text))]
    if kind == 1:
        return json.dumps(junk(random_)).encode()
    if kind == 2:
        return os.urandom(random_.randrange(2000))
    if kind == 3:
        name = random_.choice(list(good[0]))
        good[0][name] = junk(random_)
        return json.dumps({"rows": good}).encode()
    if kind == 4:
        wrong = random_.choice([b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"0x10"])
        return text.replace(b'"income": ', b'"income": ' + wrong + b", ", 1)
    if kind == 5:
        opening = random_.choice([b"[", b'{"a":', b'{"rows":[', b'{"rows":[{"city":['])
        return opening * random_.randrange(1, 5000)
    if kind == 6:
        good[0]["comment"] = random_.choice('a\0é\\"') * random_.randrange(1, 50_000)
        return json.dumps({"rows": good}).encode()
    if kind == 7:
        return json.dumps({"rows": good}).encode(random_.choice(["utf-16", "utf-32", "utf-8-sig"]))
    if kind == 8:
        at = random_.randrange(len(text))
        return text[:at] + bytes([random_.randrange(256)]) + text[at + 1 :]
    del good[0][random_.choice(list(good[0]))]
    return json.dumps({"rows": good, **({"x": 1} if random_.random() < 0.5 else {})}).encode()


def test_ten_thousand_hostile_bodies(server: Server, rows: list[Any]) -> None:
    """No answer is a 5xx, nothing crashes, and memory goes back to its level."""
    random_ = random.Random(5)  # noqa: S311
    statuses: dict[int, int] = {}
    connection = server.connect()
    # The first of each kind fill what is filled once only, the prediction log's writer among it.
    for turn in range(11_000):
        if turn == 1000:
            time.sleep(2)
            before = resident(server.process.pid)
        connection.request("POST", "/predict", hostile(random_, rows), JSON_TYPE)
        reply = connection.getresponse()
        reply.read()
        statuses[reply.status] = statuses.get(reply.status, 0) + 1
    connection.close()
    large = [
        json.dumps({"rows": [{**rows[0], "comment": "x" * 5_000_000}]}).encode(),
        json.dumps({"rows": [{"city": "y" * 9_000_000}]}).encode(),
        json.dumps({"rows": rows * 5000}).encode(),  # 100,000 rows
        b'{"rows":[' + b"{}," * 99_999 + b"{}]}",
    ]
    found = [server.ask("POST", "/predict", body).status for body in large]
    assert found == [200, 422, 413, 413]
    assert set(statuses) <= {200, 400, 413, 422}, statuses
    assert statuses[400] > 2000 and statuses[422] > 2000
    time.sleep(3)
    assert resident(server.process.pid) < before + 60, before
    assert server.ask("POST", "/predict", {"rows": rows}).status == 200


def test_schemathesis_finds_no_fault(server: Server) -> None:
    """Requests made from the OpenAPI document, right ones and wrong ones; see `openapi_checks`."""
    program = Path(sys.executable).with_name("schemathesis")
    url = f"http://127.0.0.1:{server.port}/openapi.json"
    # 413 is a refusal, too.
    (server.project.root / "schemathesis.toml").write_text(
        "[checks.negative_data_rejection]\nexpected-statuses = [400, 413, 415, 422]\n",
        encoding="utf-8",
    )
    checks = "not_a_server_error,status_code_conformance,content_type_conformance"
    checks += ",response_schema_conformance,right_requests_are_taken,wrong_requests_are_refused"
    command = [str(program), "run", url, "--checks", checks, "--max-examples", "40"]
    done = subprocess.run(
        [*command, "--seed", "1", "--phases", "examples,coverage,fuzzing", "--no-color"],
        capture_output=True,
        encoding="utf-8",
        cwd=server.project.root,
        env={**os.environ, "PYTHONPATH": str(TESTS), "SCHEMATHESIS_HOOKS": "openapi_checks"},
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]


def test_switches_under_load_fail_no_request(
    project: Any, package_environment: dict[str, str], rows: list[Any]
) -> None:
    """1,000 promotions and rollbacks while clients ask."""
    first = champion.read_champion(project)["run_id"]
    with Server(project, package_environment, ["serving.poll_seconds=0.01"]) as server:
        with Load(server, rows[:1]) as load:
            for turn in range(1000):
                if turn % 2:
                    champion.rollback(project)
                else:
                    champion.release(project, "0badbeef", "promote")
                time.sleep(0.005)
        switches = server.ask("GET", "/metrics").body.decode()
    assert set(load.statuses) == {200}, load.statuses
    assert load.statuses[200] > 500
    assert load.models == {first, "0badbeef"}
    count = number(switches, "serving_model_switches_total")
    assert count > 100


def test_a_killed_worker_comes_back(
    project: Any, package_environment: dict[str, str], rows: list[Any]
) -> None:
    """Only what it was at is lost; the counts of all processes add up."""
    with Server(project, package_environment, ["serving.workers=2"]) as server:
        workers = server.workers()
        assert len(workers) == 2
        with Load(server, rows[:1]) as load:
            time.sleep(1)
            os.kill(workers[0], signal.SIGKILL)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                now = server.workers()
                if len(now) == 2 and workers[0] not in now:
                    break
                time.sleep(0.1)
            time.sleep(3)
        assert len(server.workers()) == 2 and workers[0] not in server.workers()
        lost = sum(count for status, count in load.statuses.items() if status != 200)
        assert load.statuses[200] > 200
        assert lost <= 3, load.statuses  # one for each client at most
        assert server.ask("POST", "/predict", {"rows": rows}).status == 200
        metrics = server.ask("GET", "/metrics").body.decode()
        counted = number(metrics, 'serving_requests_total{path="/predict",status="200"}')
    assert counted >= 0.95 * load.statuses[200]


def test_a_full_disk_costs_log_rows_and_no_answer(
    project: Any, package_environment: dict[str, str], rows: list[Any]
) -> None:
    """The log's folder is a file system of 16 kB, if one may be mounted here."""
    folder = project.logs / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mount makes no small file system here")
    try:
        with Server(project, package_environment, ["serving.log_seconds=0.5"]) as server:
            lost, deadline = 0.0, time.monotonic() + 60
            while not lost and time.monotonic() < deadline:
                for _ in range(20):
                    assert server.ask("POST", "/predict", {"rows": rows}).status == 200
                metrics = server.ask("GET", "/metrics").body.decode()
                lost = number(metrics, "serving_log_lost_rows_total")
            assert server.ask("POST", "/predict", {"rows": rows}).status == 200
        assert lost > 0
        assert list(folder.glob(".partial-*")) == []
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_slow_clients_do_not_block_others(
    project: Any, package_environment: dict[str, str], rows: list[Any]
) -> None:
    """A hundred clients send a byte now and then; others are answered at once."""
    with Server(project, package_environment, ["serving.seconds=4"]) as server:
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
        for client in slow:
            client.sendall(head + b'Content-Length: 5000\r\n\r\n{"rows":')
        times = []
        for _ in range(30):
            for client in slow[:50]:
                client.sendall(b" ")
            began = time.perf_counter()
            assert server.ask("POST", "/predict", {"rows": rows[:1]}).status == 200
            times.append(time.perf_counter() - began)
        assert sorted(times)[15] < 0.1
        slow[0].settimeout(20)
        assert b" 503 " in slow[0].recv(1000)
        for client in slow:
            client.close()


def test_what_stops_it_from_starting_is_one_sentence(
    project: Any, package_environment: dict[str, str]
) -> None:
    def serve(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "mlproj", "serve", *words]
        done = subprocess.run(
            command, cwd=project.root, env=package_environment, capture_output=True, text=True
        )
        return done.returncode, done.stderr

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, said = serve("--port", port)
        assert code == 2 and f"127.0.0.1:{port} cannot be opened" in said
    assert serve("--set", "serving.keys=env:NO_SUCH_KEYS")[0] == 2
    run_id = champion.read_champion(project)["run_id"]
    model = project.models / run_id / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    code, said = serve()
    assert code == 2 and "model.onnx has changed" in said
    assert len(said.strip().splitlines()) == 1
