"""Writes the prediction log in a process of its own: its memory and time are not the service's.

It reads batches from standard input, each with its length before it, and tells on standard output
how many rows it lost. At the end of its input, which a killed service is too, it writes the rest.
"""

from __future__ import annotations

import os
import queue
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ..core.files import write_atomic

# A file holds about so many rows, or so much text.
FILE_ROWS, FILE_BYTES = 50_000, 64_000_000
WORDS = ["request_id", "run_id", "role", "prediction"]
OWN = ("time", "request_id", "row", "run_id", "role", "prediction")
# The kinds of predictions that are logged by their scores; of others every property is.
KNOWN = ("class", "number")


class Batch(msgspec.Struct, array_like=True):
    """The predictions of one model.

    Attributes:
        run_id: The model.
        columns: Name and type of each feature; those without a type are left out of the log.
        classes: Of the probabilities; empty where no classes are predicted.
        times: Of each request, in seconds since 1970.
        ids: Of each request.
        roles: Of the model in each request.
        sizes: The rows of each request.
        rows: The features' values by row, or
        blocks: all of each request as float64, where all are numbers.
        codes: The place of each row's class; empty where no classes are predicted.
        scores: Of each request, float64; (rows, scores) or (rows,).
        kind: Of the predictions, as `answer` of bundle.json names it.
        properties: Those of a prediction, each with its JSON schema, where the kind is not known.
        predictions: Of each row, where the kind is not known.
    """

    run_id: str
    columns: list[tuple[str, str]]
    classes: list[Any]
    times: list[float]
    ids: list[str]
    roles: list[str]
    sizes: list[int]
    rows: list[Any]
    blocks: list[bytes]
    codes: list[int]
    scores: list[bytes]
    kind: str
    properties: dict[str, Any] = {}
    predictions: list[dict[str, Any]] = []


class Writer:
    """Collects batches, and writes them as files that are there in whole, or not at all."""

    def __init__(self, folder: Path, seconds: float, megabytes: float) -> None:
        """Start without a batch."""
        self._folder, self._seconds, self._megabytes = folder, seconds, megabytes
        self._batches: dict[str, list[Any]] = {}
        self._rows = self._bytes = 0
        self._since = time.monotonic()

    @property
    def left(self) -> float | None:
        """Seconds until a file is due; None where nothing waits."""
        if not self._rows:
            return None
        return max(0.0, self._since + self._seconds - time.monotonic())

    def add(self, batch: Batch) -> None:
        """Take a batch."""
        if not self._rows:
            self._since = time.monotonic()
        try:
            arrow = to_arrow(batch)
        except Exception:  # noqa: BLE001  # whatever it is, later batches go on
            lose(sum(batch.sizes))
            return
        self._batches.setdefault(batch.run_id, []).append(arrow)
        self._rows += arrow.num_rows
        self._bytes += arrow.nbytes
        if self._rows >= FILE_ROWS or self._bytes >= FILE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write one file per model; what cannot be written is let go and counted."""
        for run_id, batches in self._batches.items():
            self._write(run_id, batches)
        self._batches, self._rows, self._bytes = {}, 0, 0
        self._since = time.monotonic()
        self._remove_oldest()

    def _write(self, run_id: str, batches: list[Any]) -> None:
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
            lose(table.num_rows)

    def _remove_oldest(self) -> None:
        """Delete the oldest files beyond the size that is allowed."""
        try:
            sizes = {path: path.stat().st_size for path in self._folder.glob("[!.]*.parquet")}
            left = sum(sizes.values())
            for path in sorted(sizes):
                if left <= self._megabytes * 1_000_000:
                    return
                path.unlink()
                left -= sizes[path]
        except OSError:  # another process was faster
            return


def to_arrow(batch: Batch) -> Any:
    """Return a batch as Arrow, a row per prediction."""
    import numpy as np
    import pyarrow as pa

    total = sum(batch.sizes)
    request = pa.array(np.repeat(np.arange(len(batch.sizes)), batch.sizes))
    rows = np.concatenate([np.arange(size, dtype=np.int32) for size in batch.sizes])
    times = pa.array([int(time * 1e6) for time in batch.times], pa.timestamp("us", "UTC"))
    columns: dict[str, Any] = {
        "time": times.take(request),
        "request_id": pa.array(batch.ids, pa.string()).take(request),
        "row": pa.array(rows),
        "run_id": pa.array([batch.run_id] * total, pa.string()),
        "role": pa.array(batch.roles, pa.string()).take(request),
    }
    cells: Any = list(zip(*batch.rows, strict=True))
    if batch.blocks:
        cells = np.frombuffer(b"".join(batch.blocks)).reshape(total, len(batch.columns)).T
    predicted = _predicted(batch)
    for (name, kind), values in zip(batch.columns, cells, strict=True):
        if kind:
            taken = name in OWN or name in predicted or name.startswith("probability_")
            columns[f"feature_{name}" if taken else name] = _column(values, kind)
    return pa.RecordBatch.from_pydict(columns | predicted)


def _predicted(batch: Batch) -> dict[str, Any]:
    """Return the columns of what was predicted."""
    import numpy as np
    import pyarrow as pa

    if batch.kind not in KNOWN:
        return dict(_property_columns(batch.properties, batch.predictions))
    scores = np.frombuffer(b"".join(batch.scores)).reshape(sum(batch.sizes), -1)
    if batch.kind == "number":
        return {"prediction": pa.array(scores[:, 0])}
    shares = {
        f"probability_{name}": pa.array(np.ascontiguousarray(scores[:, at]))
        for at, name in enumerate(batch.classes)
    }
    return {"prediction": pa.array([batch.classes[code] for code in batch.codes]), **shares}


def _property_columns(
    properties: dict[str, Any], values: list[Any], before: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield a column for each property; one that is an object gives `<name>_<property>` each."""
    import pyarrow as pa

    types = {
        "number": pa.float64(),
        "integer": pa.int64(),
        "boolean": pa.bool_(),
        "string": pa.string(),
    }
    for name, rule in properties.items():
        given = rule.get("type")
        kind = next((k for k in given if k != "null"), None) if isinstance(given, list) else given
        found = [each.get(name) for each in values]
        if kind == "object" and "properties" in rule:
            yield from _property_columns(rule["properties"], found, f"{before}{name}_")
        elif kind in types:
            yield f"{before}{name}", pa.array(found, types[kind])
        elif "enum" in rule:
            yield f"{before}{name}", pa.array(found)
        else:
            yield f"{before}{name}", pa.array([msgspec.json.encode(v).decode() for v in found])


def _column(values: Any, kind: str) -> Any:
    """Return one column; of a block of numbers, NaN is what is missing."""
    import numpy as np
    import pyarrow as pa

    if isinstance(values, np.ndarray):
        found = pa.array(np.ascontiguousarray(values), from_pandas=True)
        return found.cast(pa.bool_()) if kind == "boolean" else found
    if kind == "datetime":
        dates = [None if each is None else datetime.fromisoformat(each) for each in values]
        return pa.array(dates, pa.timestamp("us"))
    kinds = {"boolean": pa.bool_(), "integer": pa.float64(), "number": pa.float64()}
    return pa.array(values, kinds.get(kind, pa.string()))


def lose(rows: int) -> None:
    """Tell the service how many rows were lost."""
    try:
        print(rows, flush=True)
    except OSError:  # it is gone
        return


def run(source: int, writer: Writer) -> None:
    """Take batches from a file descriptor until its end."""
    decoder = msgspec.msgpack.Decoder(Batch)
    # A pipe cannot be waited for with a time limit everywhere; a queue can.
    taken: queue.Queue[bytes] = queue.Queue(1)
    threading.Thread(target=read_all, args=(source, taken), daemon=True).start()
    while True:
        try:
            content = taken.get(timeout=writer.left)
        except queue.Empty:
            writer.flush()
            continue
        if not content:
            break
        writer.add(decoder.decode(content))
        if writer.left == 0:
            writer.flush()
    writer.flush()


def read_all(source: int, taken: queue.Queue[bytes]) -> None:
    """Hand on each batch of a file descriptor, and nothing at its end."""
    while True:
        content = read_exactly(source, int.from_bytes(read_exactly(source, 8), "big"))
        taken.put(content)
        if not content:
            return


def read_exactly(source: int, size: int) -> bytes:
    """Return so many bytes; nothing where the input ends before."""
    parts = []
    while size:
        part = os.read(source, min(size, 1 << 20))
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _load_arrow() -> None:
    """Load what takes longest, before there is something to do.

    pyarrow looks once whether a list is a column of pandas, and loads that for it, 50 MB; here it
    looks in vain.
    """
    import pyarrow as pa
    import pyarrow.parquet  # noqa: F401

    sys.modules["pandas"] = None  # type: ignore[assignment]
    with suppress(Exception):  # some versions stumble over it, once
        pa.array([0])


def main() -> None:
    """Run until the service has ended."""
    for each in (signal.SIGINT, signal.SIGTERM):  # the service ends it, with what is left
        signal.signal(each, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(10)  # whoever waits for an answer comes first
    _load_arrow()
    folder, seconds, megabytes = sys.argv[1:]
    run(sys.stdin.fileno(), Writer(Path(folder), float(seconds), float(megabytes)))


if __name__ == "__main__":
    main()
