"""What the service measures, for Prometheus; with several processes, the sum over all of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from .scoring import Model

SHARED = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Every metric that `/metrics` shows.

    Attributes:
        load_failures: Models that could not be taken into service.
        switches: Changes of champion.
        in_flight: Requests at work in a thread.
        shadow_dropped: Requests that a shadow had no time for.
        shadow_failed: Requests that a shadow could not score.
        log_rows: Rows handed to the prediction log.
        log_lost: Rows that the prediction log lost, such as on a full disk.
        lines_lost: Log lines that could not be written.
        feedback: Labels received.
    """

    def __init__(self) -> None:
        """Make every metric, in a registry of its own."""
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "serving_requests", "Requests answered.", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "serving_request_seconds",
            "Seconds until a request was answered.",
            ["path"],
            buckets=SECONDS,
            registry=registry,
        )
        self._rows = Counter(
            "serving_rows", "Rows predicted.", ["run_id", "role"], registry=registry
        )
        self._predicted = Counter(
            "serving_predictions",
            "Rows by predicted class.",
            ["run_id", "prediction"],
            registry=registry,
        )
        self._refused = Counter(
            "serving_refused", "Requests refused, by reason.", ["reason"], registry=registry
        )
        self._models = Gauge(
            "serving_model_info",
            "1 for each model in service, 0 for one that was.",
            ["run_id", "role"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self._shares = Gauge(
            "serving_model_share",
            "Share of the requests without a sticky key that a model answers.",
            ["run_id"],
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self.in_flight = Gauge(
            "serving_in_flight",
            "Requests at work in a thread.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.load_failures = self._count("model_load_failures", "Models refused at loading.")
        self.switches = self._count("model_switches", "Changes of champion.")
        self.shadow_dropped = self._count("shadow_dropped", "Requests a shadow had no time for.")
        self.shadow_failed = self._count("shadow_failed", "Requests a shadow could not score.")
        self.log_rows = self._count("log_rows", "Rows handed to the prediction log.")
        self.log_lost = self._count("log_lost_rows", "Rows that the prediction log lost.")
        self.lines_lost = self._count("log_lost_lines", "Log lines that could not be written.")
        self.feedback = self._count("feedback_labels", "Labels received.")
        # Finding a child by its labels takes longer than counting.
        self._shown: set[tuple[str, str]] = set()
        self._shared: set[str] = set()
        self._request_children: dict[tuple[str, int], Counter] = {}
        self._second_children: dict[str, Histogram] = {}
        self._row_children: dict[tuple[str, str], Counter] = {}
        self._class_children: dict[tuple[str, int], Counter] = {}

    def _count(self, name: str, about: str) -> Counter:
        """Return a counter without labels."""
        return Counter(f"serving_{name}", about, registry=self._registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        count = self._request_children.get((path, status))
        if count is None:
            count = self._requests.labels(path, str(status))
            self._request_children[path, status] = count
        count.inc()
        time = self._second_children.get(path)
        if time is None:
            time = self._second_children[path] = self._seconds.labels(path)
        time.observe(seconds)

    def refused(self, reason: str) -> None:
        """Count one refused request."""
        self._refused.labels(reason).inc()

    def scored(self, model: Model, role: str, rows: int, codes: list[int]) -> None:
        """Count predicted rows, and the classes of those that were answered with."""
        key = (model.run_id, role)
        child = self._row_children.get(key)
        if child is None:
            child = self._row_children[key] = self._rows.labels(*key)
        child.inc(rows)
        if role != "shadow":
            for code in set(codes):
                self._predicted_child(model, code).inc(codes.count(code))

    def _predicted_child(self, model: Model, code: int) -> Counter:
        """Return the counter of one class."""
        key = (model.run_id, code)
        child = self._class_children.get(key)
        if child is None:
            child = self._predicted.labels(model.run_id, str(model.classes[code]))
            self._class_children[key] = child
        return child

    def show_models(self, models: Sequence[tuple[str, Model]]) -> None:
        """Set which models are in service."""
        shown = {(model.run_id, role) for role, model in models}
        for gone in self._shown - shown:
            self._models.labels(*gone).set(0)
        for each in shown:
            self._models.labels(*each).set(1)
        self._shown |= shown

    def show_shares(self, shares: Mapping[str, float]) -> None:
        """Set which share of the requests each model answers."""
        for run_id in self._shared | shares.keys():
            self._shares.labels(run_id).set(shares.get(run_id, 0))
        self._shared |= shares.keys()

    def page(self) -> bytes:
        """Return all of them as text, in Prometheus' format."""
        if SHARED not in os.environ:
            return generate_latest(self._registry)
        from prometheus_client.multiprocess import MultiProcessCollector

        _forget_dead(Path(os.environ[SHARED]))
        merged = CollectorRegistry()
        MultiProcessCollector(merged, path=os.environ[SHARED])  # type: ignore[no-untyped-call]
        return generate_latest(merged)


def share_between_processes(folder: Path) -> None:
    """Let the processes started from here on count together, in files of this folder."""
    os.environ[SHARED] = str(folder)


def _forget_dead(folder: Path) -> None:
    """Delete what processes that are gone said about themselves; their counts stay."""
    if os.name == "nt":  # where asking for a process would interrupt it
        return
    from prometheus_client.multiprocess import mark_process_dead

    for path in folder.glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        except OSError:  # it is alive, and somebody else's
            continue
