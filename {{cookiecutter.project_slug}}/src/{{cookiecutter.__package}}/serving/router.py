"""Shares the requests without a sticky key among the models, by what labels say of them.

A model's share is the probability that it is the best one (Thompson, 1933; as shares: Scott, 2010),
given the labels sent to `/feedback` for its answers. Nothing is remembered but the files:
any process that reads them comes to the same shares, and so does one that is started later.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from ..data.cast import spell
from .rows import LARGEST

if TYPE_CHECKING:
    from pathlib import Path

    from ..core.config import Settings
    from ..core.project import Project
    from .scoring import Model

# The youngest labels decide: the world goes on, and memory has an end.
MOST_LABELS = 50_000
MOST_BYTES = 200 * MOST_LABELS
# A look that took a second is followed by so many seconds of rest.
REST = 20
DRAWS = 10_000
SEED = 0
# Of numbers, the spread of a model's errors is unknown before.
LEAST_ERRORS = 10
COLUMNS = ["request_id", "row", "run_id", "role", "prediction"]

Key = tuple[str, int]


class Line(msgspec.Struct):
    """A line of `logs/feedback.jsonl`."""

    request_id: str
    label: str | float | bool
    row: int = 0


class Labels:
    """The youngest labels, read on from where the last look ended.

    Attributes:
        known: By request and row; of several labels the last.
        changes: How often that has changed.
    """

    def __init__(self, path: Path) -> None:
        """Start without a label."""
        self.known: dict[Key, Any] = {}
        self.changes = 0
        self._path, self._file, self._place = path, 0, 0
        self._decoder = msgspec.json.Decoder(Line)

    def read_on(self) -> set[Key]:
        """Take in the lines that are new, and return what they are about."""
        fresh = set()
        for text in self._new_lines():
            try:
                line = self._decoder.decode(text)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue  # cut off, or somebody else's
            key = line.request_id, line.row
            self.known.pop(key, None)
            self.known[key] = line.label
            fresh.add(key)
        for key in list(self.known)[: max(0, len(self.known) - MOST_LABELS)]:
            del self.known[key]
        self.changes += bool(fresh)
        return fresh & self.known.keys()

    def _new_lines(self) -> list[bytes]:
        """Return the whole lines that were added; of another file in its place, all."""
        try:
            with self._path.open("rb") as file:
                state = os.fstat(file.fileno())
                if state.st_ino != self._file or state.st_size < self._place:
                    self._forget(state.st_ino)
                self._place = max(self._place, state.st_size - MOST_BYTES)
                file.seek(self._place)
                content = file.read()
        except OSError:
            self._forget(0)
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._place += len(whole)
        return whole.splitlines()

    def _forget(self, file: int) -> None:
        """Start from the beginning of a file, by its number; 0 is none."""
        self.changes += bool(self.known)
        self.known, self._file, self._place = {}, file, 0


class Router:
    """Thompson sampling over the models that answer.

    Attributes:
        rewards: Of each labelled answer, by run id.
    """

    def __init__(self, project: Project, settings: Settings) -> None:
        """Start without a label."""
        import pyarrow.parquet  # noqa: F401  # which takes longest: before there are requests

        self._folder = project.logs / "predictions"
        self._labels = Labels(project.logs / "feedback.jsonl")
        self._costs = settings.decision.cost_fp, settings.decision.cost_fn
        self._explore = settings.serving.explore  # type: ignore[attr-defined]  # a module's section
        self._models: dict[str, Model] = {}
        self._answers: dict[Path, dict[Key, tuple[str, Any]]] = {}
        self._seen: Any = None
        self._shares: dict[str, float] = {}
        self._rest_until = 0.0
        self.rewards: dict[str, list[float]] = {}

    @property
    def is_due(self) -> bool:
        """Whether it has rested long enough."""
        return time.monotonic() >= self._rest_until

    def shares(self, models: Sequence[Model]) -> dict[str, float]:
        """Return the share of each model by its run id, from the files as they are now."""
        began = time.monotonic()
        if {model.run_id for model in models} != self._models.keys():
            # In an order of their own, so that all processes draw alike.
            self._models = {each.run_id: each for each in sorted(models, key=lambda m: m.run_id)}
            self._answers = {}
            self._seen = None
        try:
            if self._look():
                self.rewards = self._judge()
                found = chances(self.rewards, models[0].answer_form["reward"])
                self._shares = with_floor(found, self._explore)
        except Exception:
            self._seen, self._answers = None, {}  # so that the next look reads all of it again
            raise
        now = time.monotonic()
        self._rest_until = now + REST * (now - began)
        return self._shares

    def _look(self) -> bool:
        """Find the answers to the requests that have a label; tell whether anything is new.

        The log's files never change, so that each is searched once for each label.
        """
        fresh = self._labels.read_on()
        files = {
            path
            for path in self._folder.glob("[!.]*.parquet")
            if path.stem.rpartition("-")[2] in self._models
        }
        before, self._seen = self._seen, (self._labels.changes, files)
        if self._seen == before:
            return False
        known = self._labels.known
        self._answers = {
            path: {key: answer for key, answer in answers.items() if key in known}
            for path, answers in self._answers.items()
            if path in files
        }
        for path in sorted(files):
            wanted = fresh if path in self._answers else known.keys()
            answers = self._answers.setdefault(path, {})
            if wanted:
                answers |= find_answers(path, wanted)
        return True

    def _judge(self) -> dict[str, list[float]]:
        """Return the reward of each labelled answer, by model."""
        rewards: dict[str, list[float]] = {run_id: [] for run_id in self._models}
        for answers in self._answers.values():
            for key, (run_id, predicted) in answers.items():
                model = self._models.get(run_id)
                if model is not None:
                    found = reward(
                        model.answer_form["reward"],
                        predicted,
                        self._labels.known[key],
                        positive=model.document["positive"],
                        costs=self._costs,
                    )
                    rewards[run_id] += [] if found is None else [found]
        return rewards


def find_answers(path: Path, keys: Collection[Key]) -> dict[Key, tuple[str, Any]]:
    """Return run id and prediction of some rows, of one file of the prediction log."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = {request_id for request_id, _ in keys}
    try:
        file = pq.ParquetFile(path)
        # To Python and not by pyarrow.compute: an array of what is wanted would import pandas.
        if wanted.isdisjoint(file.read(columns=COLUMNS[:1], use_threads=False)[0].to_pylist()):
            return {}
        table = file.read(columns=COLUMNS, use_threads=False)
        rows = zip(*(table[name].to_pylist() for name in COLUMNS), strict=True)
    except (OSError, pa.ArrowException, KeyError):  # damaged, or deleted just now
        return {}
    return {
        (request_id, row): (run_id, predicted)
        for request_id, row, run_id, role, predicted in rows
        if role != "shadow" and (request_id, row) in keys
    }


def reward(
    kind: str | None, predicted: Any, label: Any, *, positive: Any, costs: tuple[float, float]
) -> float | None:
    """Return what an answer was worth: more is better.

    Args:
        kind: `reward` of the bundle's `answer`.
        predicted: The prediction.
        label: The truth.
        positive: Of two classes the one to find; else None.
        costs: Of a false alarm and of a miss, as `[decision]` has them.

    Returns:
        Of classes 1 for a right answer, and 0 for the dearest mistake; of numbers the absolute
        error below 0; None where the label does not suit the target, or the task has no reward.
    """
    if kind == "number":
        try:
            error = abs(float(predicted) - float(label))
        except (TypeError, ValueError):
            return None
        return -error if error <= LARGEST else None
    if kind != "class":
        return None
    if spell(predicted) == spell(label):
        return 1.0
    if positive is None:
        return 0.0
    missed = spell(label) == spell(positive)
    return 1 - costs[missed] / max(costs)


def chances(rewards: Mapping[str, Sequence[float]], kind: str | None) -> dict[str, float]:
    """Return the probability of each model to have the greatest mean reward.

    Rewards from 0 to 1 meet a flat Beta prior, to which one of r adds r and 1 - r (Agrawal and
    Goyal, 2012, without the coin that they toss for it). Errors meet a flat prior on their mean
    and variance, and so make Student's t with three degrees of freedom less than there are labels
    (Honda and Takemura, 2014, who show that this prior explores enough).

    Args:
        rewards: By model.
        kind: `reward` of the bundle's `answer`; those of "class" lie between 0 and 1.
    """
    fewest = min(map(len, rewards.values()))
    if not any(rewards.values()) or (kind != "class" and fewest < LEAST_ERRORS):
        return dict.fromkeys(rewards, 1 / len(rewards))
    random = np.random.default_rng(SEED)
    draws = []
    for each in rewards.values():
        count, total = len(each), math.fsum(each)
        if kind == "class":
            draws.append(random.beta(1 + total, 1 + count - total, DRAWS))
        else:
            spread = float(np.std(each)) / math.sqrt(count - 3)
            draws.append(total / count + spread * random.standard_t(count - 3, DRAWS))
    best = np.bincount(np.argmax(draws, axis=0), minlength=len(draws)) / DRAWS
    return dict(zip(rewards, best.tolist(), strict=True))


def with_floor(shares: Mapping[str, float], floor: float) -> dict[str, float]:
    """Return shares of which none is below a floor, so that no model is given up for ever."""
    floor = min(floor, 1 / len(shares))
    left = 1 - floor * len(shares)
    return {run_id: floor + left * share for run_id, share in shares.items()}
