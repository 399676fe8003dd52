"""The REST service beside MLflow's, BentoML's and a route that does nothing.

All serve one logistic regression on breast cancer, one worker each, on loopback; wrk asks over 4
connections, each in turn, and medians are compared. The peers live in environments of their own:

    python -m venv peers
    peers/bin/pip install --only-binary :all: mlflow bentoml 'setuptools<81' onnxruntime skops
    python benchmarks/serve.py --peers peers

Without `--peers` they are left out, and only the no-op route is compared with.

A service's memory is that of the process that answers, which is the one that works most.

On a virtual machine, a host with too much to do takes processor time away, which shows first in the
99th percentile. What Linux says it took is printed; a load from which it took more than 1 % is put
on again, some times, and the calmest one counts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measure import Command, bake, configure, cost, family, project_command, resident

HERE = Path(__file__).parent
CONF = """
[data]
source = sklearn:breast_cancer
target = diagnosis

[model]
candidates = linear
folds = 0
"""
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONWARNINGS": "ignore",
}
# How many times as many requests as a peer ours has to answer, by rows a request.
MLFLOW = {1: 40.0, 569: 10.0}
BENTOML = {1: 15.0, 569: 4.0}
BENTOML_ONNX = {1: 3.0}
# Of the rate of Starlette's route that does nothing; that is 0.6 of the rate of FastAPI's.
NO_OP_SHARE = 0.35
P99_MS, START_SECONDS, MEMORY_SHARE = 3, 2, 0.5
CALM, MOST_TRIES = 0.01, 4


@dataclass(frozen=True)
class Load:
    """What wrk measured.

    Attributes:
        rate: Requests a second.
        p99: The 99th percentile, in milliseconds.
        stolen: The share of the processors' time that the host of a virtual machine took.
    """

    rate: float
    p99: float
    stolen: float


@dataclass
class Service:
    """A service under test.

    Attributes:
        name: As printed.
        command: Starts it.
        port: It answers there.
        ready: A path that answers once it is up.
        asks: By number of rows, the path and the body to post; None gets the path.
        loads: By number of rows, what was measured.
        start: Seconds until it was ready, by turn.
        memory: Resident megabytes of the process that answers, after load, by turn.
        all_memory: Of all its processes together, after load, by turn.
        bars: By number of rows, how many times as many requests ours has to answer.
    """

    name: str
    command: Command
    port: int
    ready: str
    asks: dict[int, tuple[str, Any]]
    loads: dict[int, list[Load]] = field(default_factory=dict)
    start: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    all_memory: list[float] = field(default_factory=list)
    bars: dict[int, float] = field(default_factory=dict)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, help="a venv with mlflow and bentoml")
    parser.add_argument("--turns", type=int, default=3, help="of each service")
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed; on Debian: apt-get install wrk")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        services = make_services(folder, arguments.peers)
        for _ in range(arguments.turns):
            for service in services:
                with running(service, folder):
                    measure(service, folder, arguments.seconds)
        report(services)


def make_services(folder: Path, peers: Path | None) -> list[Service]:
    """Return the services, ours first."""
    project = bake(folder, "serving=rest")
    configure(project, CONF)
    cost(project_command(project, "run", "--until", "evaluate"))
    rows = example_rows(project)
    bodies = {count: {"rows": rows[:count]} for count in (1, len(rows))}
    asks = {count: ("/predict", body) for count, body in bodies.items()}
    command = project_command(project, "serve", "--port", "18431")
    ours = Service("this service", command, 18431, "/readyz", {**asks, 0: ("/healthz", None)})
    return [ours, *(peer_services(folder, peers, rows, project) if peers else [])]


def example_rows(project: Path) -> list[dict[str, Any]]:
    """Return all 569 rows of the data, as a request has them."""
    import pandas as pd

    parts = [*project.glob("data/*/part-*.parquet")]
    frame = pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
    names = [name for name in frame.columns if frame[name].dtype == "float64"]
    rows: list[dict[str, Any]] = json.loads(frame[names].to_json(orient="records"))
    return rows


def peer_services(
    folder: Path, peers: Path, rows: list[dict[str, Any]], project: Path
) -> list[Service]:
    """Return MLflow's and BentoML's services around the same model."""
    python = peers.absolute() / "bin" / "python"
    champion = json.loads((project / "models" / "champion.json").read_text("utf-8"))["run_id"]
    model = project / "models" / champion / "model.onnx"
    environment = {**QUIET, "BENTOML_HOME": str(folder / "bentos"), "MODEL_ONNX": str(model)}
    environment["PATH"] = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    cost(Command([python, HERE / "serve_peers.py", folder], folder, environment))
    counts = (1, len(rows))
    split = {n: {"dataframe_records": rows[:n]} for n in counts}
    words = ["-m", "mlflow", "models", "serve", "--env-manager", "local", "--port", "18432"]
    mlflow = Command([python, *words, "--model-uri", folder / "mlflow"], folder, environment)
    found = [
        Service(
            "mlflow models serve",
            mlflow,
            18432,
            "/ping",
            {n: ("/invocations", split[n]) for n in counts},
            bars=MLFLOW,
        )
    ]
    bentos = (("BentoML", "Sklearn", BENTOML), ("BentoML, ONNX", "Onnx", BENTOML_ONNX))
    for at, (name, kind, bars) in enumerate(bentos):
        port = 18433 + at
        words = ["-m", "bentoml", "serve", f"serve_peers:{kind}", "--port", str(port)]
        command = Command([python, *words, "--working-dir", HERE], HERE, environment)
        asks = {n: ("/predict", {"rows": rows[:n]}) for n in counts}
        found.append(Service(name, command, port, "/readyz", asks, bars=bars))
    return found


@contextmanager
def running(service: Service, folder: Path) -> Iterator[None]:
    """Start a service, wait until it answers, and end it afterwards."""
    began = time.perf_counter()
    log = (folder / "service.log").open("wb")
    process = subprocess.Popen(
        [str(word) for word in service.command.arguments],
        cwd=service.command.folder,
        env=os.environ | (service.command.environment or {}),
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        wait(service, process, folder)
        service.start.append(time.perf_counter() - began)
        yield
        processes = family(process.pid)
        service.memory.append(resident(max(processes, key=worked)))
        service.all_memory.append(sum(resident(pid) for pid in processes))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def wait(service: Service, process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until a service answers."""
    url = f"http://127.0.0.1:{service.port}{service.ready}"
    for _ in range(2400):
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310  # on loopback
                return
        except OSError:
            time.sleep(0.025)
        if process.poll() is not None:
            break
    text = (folder / "service.log").read_text(errors="replace")
    raise RuntimeError(f"{service.name} does not start:\n{text[-3000:]}")


def worked(pid: int) -> int:
    """Return how long a process has used a processor, in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def measure(service: Service, folder: Path, seconds: int) -> None:
    """Put load on a running service."""
    for count, (path, body) in service.asks.items():
        script = folder / "ask.lua"
        text = ""
        if body is not None:
            text = 'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            text += f"wrk.body = [==[{json.dumps(body)}]==]\n"
        script.write_text(text, encoding="utf-8")
        url = f"http://127.0.0.1:{service.port}{path}"
        words = ["wrk", "-t1", "-c4", "--latency", "-s", str(script), url]
        load([*words, "-d1s"])  # is not counted
        tries: list[Load] = []
        while len(tries) < MOST_TRIES and not (tries and tries[-1].stolen <= CALM):
            tries.append(load([*words, f"-d{seconds}s"]))
        service.loads.setdefault(count, []).append(min(tries, key=lambda each: each.stolen))


def load(words: Sequence[str]) -> Load:
    """Let wrk ask, and return what it measured."""
    before = processor_ticks()
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    ticks = [after - then for after, then in zip(processor_ticks(), before, strict=True)]
    if "Non-2xx" in said:
        raise RuntimeError(f"a service refuses requests:\n{said}")
    return parse(said, ticks[7] / max(1, sum(ticks)) if ticks else 0.0)


def processor_ticks() -> list[int]:
    """Return how long the processors did what, as /proc/stat lists it; nothing elsewhere."""
    path = Path("/proc/stat")
    if not path.is_file():
        return []
    return [int(word) for word in path.read_text().splitlines()[0].split()[1:9]]


def parse(said: str, stolen: float) -> Load:
    """Read what wrk prints."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", said)
    if rate is None or p99 is None:
        raise RuntimeError(f"wrk says something else than expected:\n{said}")
    return Load(float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]], stolen)


def report(services: Sequence[Service]) -> None:
    """Print medians, each with the bar that it is held against."""
    ours = services[0]
    for count in sorted(ours.loads):
        print("no-op route" if count == 0 else f"{count} rows a request")
        for service in services:
            if count in service.loads:
                ratio = rate(ours, count) / rate(service, count)
                p99 = statistics.median(load.p99 for load in service.loads[count])
                stolen = statistics.median(load.stolen for load in service.loads[count])
                bar = f" (at least {service.bars[count]:g})" if count in service.bars else ""
                bar = f" (p99 at most {P99_MS} ms)" if service is ours and count == 1 else bar
                print(
                    f"  {service.name}: {rate(service, count):,.0f}/s, p99 {p99:.2f} ms; "
                    f"ours x {ratio:.2f}{bar}; {stolen:.1%} stolen"
                )
    share = rate(ours, 1) / rate(ours, 0)
    print(f"one row, share of the no-op route: {share:.2f} (at least {NO_OP_SHARE})")
    ours_memory = statistics.median(ours.memory)
    for service in services:
        memory, together = statistics.median(service.memory), statistics.median(service.all_memory)
        start, bar = statistics.median(service.start), f" (at most {START_SECONDS} s)"
        print(
            f"{service.name}: ready after {start:.1f} s{bar if service is ours else ''}; "
            f"{memory:.0f} MB after load in the process that answers, {together:.0f} MB in all"
        )
        if service.bars is MLFLOW:
            print(f"  ours / {service.name}: {ours_memory / memory:.2f} (at most {MEMORY_SHARE})")


def rate(service: Service, count: int) -> float:
    """Return the median of requests a second."""
    return statistics.median(load.rate for load in service.loads[count])


if __name__ == "__main__":
    main()
