"""The two logs: a JSON line per request on standard output, and the predictions as Parquet.

Threads of their own take care of both: a request waits for neither, and what cannot be written,
as on a full disk, is counted and let go.

The prediction log, `logs/predictions/*.parquet`, has a row per prediction: time, request_id, row,
run_id, role, the features that are not sensitive, and what was predicted: prediction, of classes
probability_<class>, of a kind of the task's own all its properties. A feature whose name is one of
the others' is written as `feature_<name>`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from .writer import KNOWN, Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..core.project import Project
    from .metrics import Metrics
    from .scoring import Model
    from .settings import ServingSettings

LINES_SECONDS = 0.25
MOST_LINES = 20_000
# What is handed over at once keeps requests from the processor for so long: little, and often.
BATCH_SECONDS, IDLE_SECONDS = 0.025, 0.25
# With so many rows the prediction log does not wait; more than so many are lost.
MANY_WAITING = 10_000
MOST_WAITING = 100_000


class LineLog:
    """JSON lines on standard output."""

    def __init__(self, metrics: Metrics) -> None:
        """Start the thread."""
        self._lines: deque[bytes] = deque()
        self._encoder = msgspec.json.Encoder(enc_hook=str)
        self._metrics = metrics
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lines", daemon=True)
        self._thread.start()

    def write(self, line: dict[str, Any]) -> None:
        """Add a line.

        It is encoded here: thousands at a time would keep the processor from requests for long.
        """
        try:
            if len(self._lines) < MOST_LINES:
                self._lines.append(self._encoder.encode(line))
                return
        except ValueError:  # half a character, as a strange path may hold
            pass
        self._metrics.lines_lost.inc()

    def note(self, event: str, level: str = "info", **facts: Any) -> None:
        """Add a line about something other than a request."""
        self.write({"time": datetime.now(UTC), "level": level, "event": event, **facts})

    def close(self) -> None:
        """Write what is left."""
        self._end.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        """Write lines until the end."""
        while not self._end.wait(LINES_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        """Write the lines that wait."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if not lines:
            return
        try:
            sys.stdout.buffer.write(b"\n".join([*lines, b""]))
            sys.stdout.buffer.flush()
        except (OSError, ValueError):
            self._metrics.lines_lost.inc(len(lines))


class Entry(msgspec.Struct, gc=False):
    """The predictions of one request."""

    time: float
    request_id: str
    role: str
    model: Model
    table: Any
    codes: list[int]
    scores: Any


class PredictionLog:
    """Hands predictions to the process that writes them, see `writer`."""

    def __init__(self, project: Project, settings: ServingSettings, metrics: Metrics) -> None:
        """Start the thread, and by it the process, unless nothing is to be logged."""
        limits = [str(settings.log_seconds), str(settings.log_megabytes)]
        self._arguments = [str(project.logs / "predictions"), *limits]
        self._metrics, self._wanted = metrics, settings.log_share > 0
        self._entries: deque[Entry] = deque()
        self._waiting = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._wake, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="predictions", daemon=True)
        self._thread.start()

    def add(self, entry: Entry) -> None:
        """Hand over the predictions of one request."""
        rows = len(entry.table)
        if self._waiting + rows > MOST_WAITING:
            self._metrics.log_lost.inc(rows)
            return
        self._waiting += rows
        self._entries.append(entry)
        self._metrics.log_rows.inc(rows)
        if self._waiting > MANY_WAITING:
            self._wake.set()

    def close(self) -> None:
        """Hand over what is left, and wait until it is written."""
        self._end.set()
        self._wake.set()
        self._thread.join(timeout=10)
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=10)

    def _run(self) -> None:
        """Hand over what there is every so often, and sooner where it is much."""
        if self._wanted:
            with suppress(OSError):  # then it is tried again with the first batch
                self._process = self._start()
        busy = False
        while not self._end.is_set():
            self._wake.wait(BATCH_SECONDS if busy else IDLE_SECONDS)
            self._wake.clear()
            busy = bool(self._entries)
            self._hand_over()
        self._hand_over()  # what was added while the last was on its way

    def _hand_over(self) -> None:
        """Send what waits, at most so many rows at a time; a failure costs those, and no others."""
        while self._entries:
            by_model: dict[Model, list[Entry]] = {}
            taken = 0
            while self._entries and taken < MANY_WAITING:
                entry = self._entries.popleft()
                by_model.setdefault(entry.model, []).append(entry)
                taken += len(entry.table)
            for model, entries in by_model.items():
                rows = sum(len(entry.table) for entry in entries)
                try:
                    self._send(msgspec.msgpack.encode(make_batch(model, entries)))
                except Exception:  # noqa: BLE001  # whatever it is, requests go on
                    self._metrics.log_lost.inc(rows)
                self._waiting -= rows

    def _send(self, content: bytes) -> None:
        """Write one batch to the process, started again if it is gone."""
        if self._process is None or self._process.poll() is not None:
            self._process = self._start()
        if self._process.stdin is not None:
            self._process.stdin.write(len(content).to_bytes(8, "big"))
            self._process.stdin.write(content)
            self._process.stdin.flush()

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the process, and a thread that hears what it lost."""
        above = str(Path(__file__).parents[2])
        paths = [above, *filter(None, [os.environ.get("PYTHONPATH")])]
        process = subprocess.Popen(  # noqa: S603  # of this package
            [sys.executable, "-m", f"{__package__}.writer", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        threading.Thread(target=self._hear, args=(process,), name="losses", daemon=True).start()
        return process

    def _hear(self, process: subprocess.Popen[bytes]) -> None:
        """Count what the process says it lost, until it ends."""
        for line in process.stdout or ():
            if line.strip().isdigit():
                self._metrics.log_lost.inc(int(line))


def make_batch(model: Model, entries: list[Entry]) -> Batch:
    """Return the predictions of one model, without the features marked sensitive."""
    features = model.schema.features
    hidden = [at for at, column in enumerate(features) if "sensitive" in column.roles]
    tables = [entry.table for entry in entries]
    rows: list[Any] = []
    blocks: list[Any] = []
    scores: list[Any] = [np.ascontiguousarray(entry.scores).data for entry in entries]
    if isinstance(tables[0], np.ndarray):
        blocks = [_without(hidden, table) for table in tables]
    else:
        rows = [row for table in tables for row in table]
        if hidden:
            rows = [[None if at in hidden else v for at, v in enumerate(row)] for row in rows]
    return Batch(
        model.run_id,
        [(each.name, "" if at in hidden else each.type) for at, each in enumerate(features)],
        model.classes,
        [entry.time for entry in entries],
        [entry.request_id for entry in entries],
        [entry.role for entry in entries],
        [len(table) for table in tables],
        rows,
        blocks,
        [code for entry in entries for code in entry.codes],
        scores,
        model.answer_form["kind"],
        *_own_answers(model, entries),
    )


def _own_answers(model: Model, entries: list[Entry]) -> tuple[dict[str, Any], list[Any]]:
    """Return properties and predictions, of a kind that the writer does not know."""
    if model.answer_form["kind"] in KNOWN:
        return {}, []
    found = [model.predictions(entry.scores, entry.codes) for entry in entries]
    return model.answer_form["prediction"], [each for part in found for each in part]


def _without(hidden: list[int], table: NDArray[np.float64]) -> memoryview:
    """Return a table's numbers, NaN in place of those that are hidden."""
    if hidden:
        table = table.copy()
        table[:, hidden] = np.nan
    return table.data
