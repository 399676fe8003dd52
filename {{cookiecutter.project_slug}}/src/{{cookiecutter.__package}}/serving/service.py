"""What the service does with a request's body: predict, explain, take labels; and its life."""

from __future__ import annotations

import asyncio
import gc
import queue
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from ..core.files import append_json_lines
from .explain import explain
from .fleet import Fleet, Keeper
from .kinds import label_check
from .log import Entry, LineLog, PredictionLog
from .metrics import Metrics
from .protect import Keys
from .rows import DECODE_ERRORS, Refusal, Rules, not_json

if TYPE_CHECKING:
    from ..core.config import Settings
    from ..core.project import Project
    from .router import Router
    from .scoring import Model

THREADS = 2
# Work that takes longer than this goes to a thread, so that others need not wait for it.
QUICK_SECONDS = 0.004
MOST_SHADOWED, MOST_SHADOWED_BYTES = 200, 64_000_000
MOST_LABELS = 10_000
MOST_ROW = 2**31 - 1
LONGEST_ID = 64
RETRY = (b"retry-after", b"1")


class Label(msgspec.Struct, forbid_unknown_fields=True):
    """What became of one row."""

    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID)]
    label: str | float | bool
    # A whole number may come as 1.0 in JSON.
    row: Annotated[float, msgspec.Meta(ge=0, le=MOST_ROW, multiple_of=1)] = 0


class Feedback(msgspec.Struct, forbid_unknown_fields=True):
    """The body of /feedback."""

    labels: list[Label]


class Question(msgspec.Struct, forbid_unknown_fields=True):
    """The body of /explain."""

    row: dict[str, Any]


class Service:
    """All that requests share, in one process.

    Attributes:
        settings: `[serving]`.
        metrics: What is counted.
        lines: The log of requests.
        keeper: The models in service.
        keys: Who may ask.
    """

    def __init__(self, project: Project, settings: Settings) -> None:
        """Set up, without a model yet."""
        self.project = project
        self.settings = serving = _own_section(settings)
        self.rules = Rules.of(settings)
        self.metrics = Metrics()
        self.lines = LineLog(self.metrics)
        self.keys = Keys(serving.keys, project.root)
        router = _router(project, settings) if serving.router == "thompson" else None
        self.keeper = Keeper(project, self.rules, self.metrics, self.lines.note, router)
        self.predictions = PredictionLog(project, serving, self.metrics)
        self._at_work = 0
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="score")
        self._shadow = ShadowWorker(self)
        self._encoder = msgspec.json.Encoder()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the models, watch for new ones until the end, then write out the logs."""
        await asyncio.to_thread(self.keeper.refresh)
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not look at it again
        tasks = [
            asyncio.create_task(self.keeper.watch(self.settings.poll_seconds)),
            asyncio.create_task(self._watch_keys()),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            self._shadow.close()
            self._pool.shutdown(wait=False, cancel_futures=True)
            self.predictions.close()
            self.lines.note("stopped")
            self.lines.close()

    async def _watch_keys(self) -> None:
        """Take over changed keys of a file."""
        while True:
            await asyncio.sleep(self.settings.poll_seconds)
            if not self.keys.refresh():
                self.lines.note("keys refused; the earlier ones stay valid", level="error")

    @property
    def ready(self) -> bool:
        """Whether a model is loaded."""
        return self.keeper.fleet is not None

    @property
    def fleet(self) -> Fleet:
        """The models in service.

        Raises:
            Refusal: If there is none.
        """
        if self.keeper.fleet is None:
            raise Refusal(503, "model", "No model is loaded yet; try again soon.", [RETRY])
        return self.keeper.fleet

    async def predict(self, body: bytes, sticky: bytes, request_id: str) -> tuple[bytes, Served]:
        """Return the answer to `/predict`, and what the log says about it.

        Raises:
            Refusal: With what is wrong with the request, or that there is no room for it.
        """
        fleet = self.fleet
        model, role = fleet.choose(sticky)
        share = self.settings.log_share
        logged = share == 1 or random.random() < share  # noqa: S311  # no secret
        request = PredictRequest(body, request_id, logged)
        if len(body) * model.pace < QUICK_SECONDS:
            answer, served = self._score(model, role, request)
        else:
            answer, served = await self._in_thread(self._score, model, role, request)
        if fleet.shadows:
            self._shadow.add(fleet.shadows, request)
        return answer, served

    def _score(self, model: Model, role: str, request: PredictRequest) -> tuple[bytes, Served]:
        """Read, score, log and answer."""
        body, request_id = request.body, request.request_id
        rows = model.reader.read(body)
        table = model.table(rows)
        scores = model.score(table)
        codes = model.codes(scores)
        answer = self._encoder.encode(model.answer(request_id, scores, codes))
        self.metrics.scored(model, role, len(rows), codes)
        if request.logged:
            self.predictions.add(Entry(time.time(), request_id, role, model, table, codes, scores))
        return answer, Served(model.run_id, role, len(rows))

    def shadow(self, model: Model, request: PredictRequest) -> None:
        """Score a request by a shadow, for the log."""
        try:
            table = model.table(model.reader.read(request.body))
            scores = model.score(table)
        except Exception:  # noqa: BLE001  # a shadow's faults are counted, and nothing else
            self.metrics.shadow_failed.inc()
            return
        codes = model.codes(scores)
        self.metrics.scored(model, "shadow", len(table), codes)
        if request.logged:
            entry = Entry(time.time(), request.request_id, "shadow", model, table, codes, scores)
            self.predictions.add(entry)

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do work in a thread.

        Raises:
            Refusal: If as many requests as are allowed wait for one already.
        """
        if self._at_work >= self.settings.concurrency:
            raise full()
        loop = asyncio.get_running_loop()
        job = self._pool.submit(work, *arguments)
        self._started()
        # Once the thread is free, not when the client is gone.
        job.add_done_callback(lambda _: _tell(loop, self._finished))
        return await asyncio.wrap_future(job)

    def _started(self) -> None:
        """Count a request that is at work."""
        self._at_work += 1
        self.metrics.in_flight.set(self._at_work)

    def _finished(self) -> None:
        """Count a request that no longer is."""
        self._at_work -= 1
        self.metrics.in_flight.set(self._at_work)

    async def explain(self, body: bytes, request_id: str) -> bytes:
        """Return a prediction for one row, and what each column did to it.

        Raises:
            Refusal: With what is wrong with the request.
        """
        question = _decode(body, Question)
        model = self.fleet.champion
        found = await self._in_thread(explain, model, question.row)
        return self._encoder.encode({**model.heading(request_id), **found})

    async def take_feedback(self, body: bytes) -> bytes:
        """Write labels down, and return how many there were.

        Raises:
            Refusal: With what is wrong with the request, or that the disk is full.
        """
        labels = _decode(body, Feedback).labels
        if not 0 < len(labels) <= MOST_LABELS:
            fault = {"row": None, "field": "labels", "value": len(labels)}
            rule = f"has to hold 1 to {MOST_LABELS:,} labels"
            raise Refusal(422, "schema", [{**fault, "rule": rule}])
        self._check_labels(labels)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        lines = [
            {"request_id": e.request_id, "row": int(e.row), "label": e.label, "time": now}
            for e in labels
        ]
        path = self.project.logs / "feedback.jsonl"
        try:
            await self._in_thread(append_json_lines, path, lines)
        except OSError:
            raise Refusal(503, "disk", "The labels cannot be written now.", [RETRY]) from None
        self.metrics.feedback.inc(len(labels))
        return self._encoder.encode({"taken": len(labels)})

    def _check_labels(self, labels: list[Label]) -> None:
        """Refuse labels that the champion's target cannot have, and read those in its form.

        Raises:
            Refusal: With every such label.
        """
        champion = self.fleet.champion
        check, target = label_check(champion.answer_form["label"]), champion.schema.target
        found = []
        for at, each in enumerate(labels):
            rule = check(each.label)
            if rule and target is not None:
                plain = champion.reader.plain(target, each.label)
                if check(plain) is None:
                    each.label, rule = plain, None
            if rule:
                found.append({"row": at, "field": "label", "value": each.label, "rule": rule})
        if found:
            raise Refusal(422, "schema", found[:100])


class PredictRequest(msgspec.Struct, frozen=True, gc=False):
    """A request for predictions, and whether it goes into the prediction log."""

    body: bytes
    request_id: str
    logged: bool


class Served(msgspec.Struct, frozen=True, gc=False):
    """What the log says about an answered prediction."""

    run_id: str
    role: str
    rows: int


class ShadowWorker:
    """A thread that scores by shadows; where it falls behind, requests pass it by."""

    def __init__(self, service: Service) -> None:
        """Start the thread."""
        self._service = service
        self._waiting: queue.Queue[tuple[tuple[Model, ...], PredictRequest] | None]
        self._waiting = queue.Queue(MOST_SHADOWED)
        self._bytes, self._lock = 0, threading.Lock()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def add(self, models: tuple[Model, ...], request: PredictRequest) -> None:
        """Hand over a request, if there is room."""
        with self._lock:
            room = self._bytes + len(request.body) <= MOST_SHADOWED_BYTES
            if room and not self._waiting.full():
                self._bytes += len(request.body)
                self._waiting.put_nowait((models, request))
                return
        self._service.metrics.shadow_dropped.inc()

    def close(self) -> None:
        """End the thread after what it is at."""
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
            self._thread.join(timeout=2)

    def _run(self) -> None:
        """Score until the end."""
        while (item := self._waiting.get()) is not None:
            models, request = item
            for model in models:
                self._service.shadow(model, request)
            with self._lock:
                self._bytes -= len(request.body)


def full() -> Refusal:
    """Return what is answered when there is no room."""
    return Refusal(503, "full", "Too many requests are under way; try again soon.", [RETRY])


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    """Call a function in the loop, unless it has ended."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(what)


def _own_section(settings: Settings) -> Any:
    """Return `[serving]`."""
    return settings.serving  # type: ignore[attr-defined]  # a module's own section


def _router(project: Project, settings: Settings) -> Router:
    """Return a router; what it imports is for those who want one."""
    from .router import Router

    return Router(project, settings)


def _decode(body: bytes, kind: type[Any]) -> Any:
    """Read a body that has no rows of the schema.

    Raises:
        Refusal: If it is something else.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        fault = {"row": None, "field": None, "value": None, "rule": str(error)}
        raise Refusal(422, "schema", [fault]) from None
    except DECODE_ERRORS as error:
        raise not_json(body, error) from None
