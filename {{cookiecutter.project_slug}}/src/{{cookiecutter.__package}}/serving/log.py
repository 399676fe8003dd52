"""The two logs: a JSON line per request on standard output, and the predictions as Parquet.

Both are written by threads of their own: a request waits for neither, and what cannot be written,
as on a full disk, is counted and let go.

The prediction log, `logs/predictions/*.parquet`, has a row per prediction: time, request_id, row,
run_id, role, the features that are not sensitive, prediction, probability_<class>. A feature whose
name is one of the others' is written as `feature_<name>`.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ..files import write_atomic
from .rows import NUMBERS

if TYPE_CHECKING:
    import pyarrow as pa

    from ..project import Project
    from .metrics import Metrics
    from .scoring import Model
    from .settings import ServingSettings

LINES_SECONDS = 0.25
MOST_LINES = 20_000
BATCH_SECONDS = 1.0
# A file of the prediction log holds at most so many rows; more wait at most for the writer.
FILE_ROWS = 50_000
MANY_WAITING = 10_000
MOST_WAITING = 100_000
WORDS = ["request_id", "run_id", "role", "prediction"]
OWN = ("time", "request_id", "row", "run_id", "role", "prediction")


class LineLog:
    """JSON lines on standard output."""

    def __init__(self, metrics: Metrics) -> None:
        """Start the thread."""
        self._lines: deque[dict[str, Any]] = deque()
        self._metrics = metrics
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lines", daemon=True)
        self._thread.start()

    def write(self, line: dict[str, Any]) -> None:
        """Add a line; `time` is in seconds since 1970."""
        if len(self._lines) < MOST_LINES:
            self._lines.append(line)
        else:
            self._metrics.lines_lost.inc()

    def note(self, event: str, level: str = "info", **facts: Any) -> None:
        """Add a line about something other than a request."""
        self.write({"time": time.time(), "level": level, "event": event, **facts})

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
        for line in lines:
            moment = datetime.fromtimestamp(line["time"], UTC)
            line["time"] = moment.isoformat(timespec="milliseconds")
        try:
            sys.stdout.buffer.write(msgspec.json.Encoder(enc_hook=str).encode_lines(lines))
            sys.stdout.buffer.flush()
        except (OSError, ValueError):
            self._metrics.lines_lost.inc(len(lines))


@dataclass(frozen=True, slots=True)
class Entry:
    """The predictions of one request."""

    time: float
    request_id: str
    role: str
    model: Model
    table: Any
    scores: Any


class PredictionLog:
    """Predictions in Parquet files; each is there in whole, or not at all."""

    def __init__(self, project: Project, settings: ServingSettings, metrics: Metrics) -> None:
        """Start the thread."""
        self._folder = project.logs / "predictions"
        self._settings, self._metrics = settings, metrics
        self._entries: deque[Entry] = deque()
        self._waiting = 0
        self._batches: dict[str, list[pa.RecordBatch]] = {}
        self._since = time.monotonic()
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
        """Write what is left."""
        self._end.set()
        self._wake.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        """Turn entries into Arrow every second, and into a file every so often."""
        while not self._end.is_set():
            self._wake.wait(BATCH_SECONDS)
            self._wake.clear()
            self._step(last=self._end.is_set())

    def _step(self, *, last: bool) -> None:
        """Do what is due; a failure costs the rows at hand, and nothing else."""
        self._collect()
        rows = sum(batch.num_rows for batches in self._batches.values() for batch in batches)
        late = time.monotonic() - self._since > self._settings.log_seconds
        if rows >= FILE_ROWS or (rows and (late or last)):
            for run_id, batches in self._batches.items():
                self._write(run_id, batches)
            self._batches = {}
            self._remove_oldest()
        if not rows or late:
            self._since = time.monotonic()

    def _collect(self) -> None:
        """Turn the entries that wait into one Arrow batch per model."""
        by_model: dict[Model, list[Entry]] = {}
        for _ in range(len(self._entries)):
            entry = self._entries.popleft()
            by_model.setdefault(entry.model, []).append(entry)
        for model, entries in by_model.items():
            rows = sum(len(entry.table) for entry in entries)
            self._waiting -= rows
            try:
                batch = to_arrow(model, entries)
            except Exception:  # noqa: BLE001  # whatever it is, requests go on
                self._metrics.log_lost.inc(rows)
                continue
            self._batches.setdefault(model.run_id, []).append(batch)

    def _write(self, run_id: str, batches: list[pa.RecordBatch]) -> None:
        """Write one file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_batches(batches)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        # A restarted container has the same process id again.
        name = f"{stamp}-{os.getpid()}-{secrets.token_hex(4)}-{run_id}.parquet"
        try:
            with write_atomic(self._folder / name) as temporary:
                pq.write_table(table, temporary, compression="snappy", use_dictionary=WORDS)
        except (OSError, pa.ArrowException):
            self._metrics.log_lost.inc(table.num_rows)

    def _remove_oldest(self) -> None:
        """Delete the oldest files beyond the size that the settings allow."""
        try:
            sizes = {path: path.stat().st_size for path in self._folder.glob("*.parquet")}
            left = sum(sizes.values())
            for path in sorted(sizes):
                if left <= self._settings.log_megabytes * 1_000_000:
                    return
                path.unlink()
                left -= sizes[path]
        except OSError:  # another process was faster
            return


def to_arrow(model: Model, entries: list[Entry]) -> pa.RecordBatch:
    """Return the predictions of one model as Arrow."""
    import numpy as np
    import pyarrow as pa

    sizes = [len(entry.table) for entry in entries]
    total = sum(sizes)

    def each(values: list[Any], kind: Any) -> Any:
        at = np.repeat(np.arange(len(sizes)), sizes)
        return pa.array(values, kind).take(pa.array(at))

    rows = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])
    columns: dict[str, Any] = {
        "time": each([int(e.time * 1e6) for e in entries], pa.timestamp("us", "UTC")),
        "request_id": each([e.request_id for e in entries], pa.string()),
        "row": pa.array(rows),
        "run_id": pa.array([model.run_id], pa.string()).take(pa.array(np.zeros(total, np.int8))),
        "role": each([e.role for e in entries], pa.string()),
    }
    cells = _cells([entry.table for entry in entries])
    for column, values in zip(model.schema.features, cells, strict=True):
        if "sensitive" not in column.roles:
            taken = column.name in OWN or column.name.startswith("probability_")
            name = f"feature_{column.name}" if taken else column.name
            columns[name] = _arrow(values, column.type)
    scores = np.concatenate([entry.scores for entry in entries])
    columns["prediction"] = pa.array(scores if not model.classes else _names(model, scores))
    for at, name in enumerate(model.classes):
        columns[f"probability_{name}"] = pa.array(scores[:, at])
    return pa.RecordBatch.from_pydict(columns)


def _cells(tables: list[Any]) -> Any:
    """Return the values of each column, of all tables."""
    import numpy as np

    if isinstance(tables[0], np.ndarray):
        return np.concatenate(tables).T
    return list(zip(*(row for table in tables for row in table), strict=True))


def _arrow(values: Any, kind: str) -> pa.Array:
    """Return one column; of a table of numbers NaN is what is missing."""
    import numpy as np
    import pyarrow as pa

    if isinstance(values, np.ndarray):
        found = pa.array(np.ascontiguousarray(values), from_pandas=True)
        return found.cast(pa.bool_()) if kind == "boolean" else found
    kinds = {"boolean": pa.bool_(), "datetime": pa.timestamp("us")}
    default = pa.float64() if kind in NUMBERS else pa.string()
    return pa.array(values, kinds.get(kind, default))


def _names(model: Model, scores: Any) -> list[Any]:
    """Return the predicted class of each row."""
    return [model.classes[code] for code in model.codes(scores)]
