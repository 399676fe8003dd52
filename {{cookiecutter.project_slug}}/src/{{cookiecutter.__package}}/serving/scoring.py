"""One loaded model: from rows to its own output, and from that to the answer.

Where the bundle has an equal ONNX, onnxruntime scores, and neither scikit-learn nor pandas is ever
imported; otherwise the bundle itself does.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from ..bundle.bundle import (
    REFERENCE_FILE,
    answer_of,
    bundle_sha,
    given_classes,
    read_bundle,
    task_of,
)
from ..bundle.carried import carries_code, has_rule
from ..bundle.champion import read_promoted
from ..bundle.onnx.form import ONNX_FILE, read_onnx
from ..core import registry
from ..core.errors import UserError
from ..core.files import read_json
from ..data.dates import DATE_PARTS
from ..data.schema import Schema
from ..models import are_plain, date_parts, input_sources, local_time, words
from .example import reference_row
from .kinds import as_scores, make_kind
from .rows import Refusal, Row, RowReader, Rules
from .writer import OWN

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ..bundle.bundle import Bundle
    from ..core.project import Project

FLOATS = ("integer", "number", "boolean")
WARM_UP_ROWS = 50

# Rows as the model takes them: an array (rows, features) where all features are numbers.
Table = Any


class Engine(Protocol):
    """Computes the model's own output for rows.

    Attributes:
        decides: Whether it goes on to predictions by the team's rule, see `kinds.as_scores`.
    """

    decides: bool

    def table(self, rows: Sequence[Row]) -> Table:
        """Return rows as this engine takes them."""

    def scores(self, table: Table) -> NDArray[np.float64]:
        """Return the output, (rows, outputs) or (rows,), before calibration."""


class Model:
    """A bundle that is ready to answer.

    Attributes:
        run_id: Its name.
        sha256: Of its bundle.json.
        document: The content of its bundle.json.
        answer_form: How its predictions look in JSON, see `Task.answer_form`.
        schema: Its columns.
        reader: Reads requests by that schema.
        example: A row as training knew it, as JSON values.
        card: The model card, as Markdown.
        onnx: Whether onnxruntime scores.
        onnx_facts: What is known of the bundle's ONNX form, see `read_onnx`.
        classes: What the codes of its predictions stand for; empty where it predicts no classes.
        pace: Seconds that one byte of a request takes, measured.
    """

    def __init__(
        self, project: Project, document: dict[str, Any], sha256: str, rules: Rules
    ) -> None:
        """Load a verified bundle, and score a row by it."""
        self.run_id = str(document["run_id"])
        self.sha256 = sha256
        self.document = document
        self.answer_form = answer_of(document)
        self.schema = Schema.from_dict(document["schema"], f"{self.run_id}/bundle.json")
        self.reader = RowReader(self.schema, rules)
        folder = project.bundle_folder(self.run_id)
        self.example = reference_row(self.schema, read_json(folder / REFERENCE_FILE), rules)
        card = folder / "card.md"
        self.card = card.read_text(encoding="utf-8") if card.is_file() else ""
        self.onnx_facts = read_onnx(folder, document)
        engine = _onnx_engine(folder, document, self.onnx_facts, self.schema)
        self.onnx = engine is not None
        self._engine: Engine = engine or _BundleEngine(project, self.run_id, self.schema)
        self.classes: list[Any] = document["classes"]
        self._kind = make_kind(document, decided=self._engine.decides)
        self._heading = _heading(document)
        self._check_answer()
        self.pace = self._warm_up()

    def _check_answer(self) -> None:
        """Predict the example, and refuse an answer that is not as bundle.json says.

        Raises:
            UserError: If it has other properties, or one that the prediction log needs itself.
        """
        body = msgspec.json.encode({"rows": [self.example]})
        scores = self.score(self.table(self.reader.read(body)))
        encoded = msgspec.json.encode(self.predictions(scores, self.codes(scores))[0])
        given, wanted = list(msgspec.json.decode(encoded)), list(self.answer_form["prediction"])
        taken = sorted(set(wanted) & set(OWN) - {"prediction"})
        if taken:
            raise UserError(
                f"models/{self.run_id}: predictions have a property '{taken[0]}', as a column of "
                "the prediction log is called; rename it in the task."
            )
        if sorted(given) != sorted(wanted) or "prediction" not in given:
            raise UserError(
                f"models/{self.run_id}: predictions have {', '.join(given)}, where `answer` of "
                f"bundle.json has {', '.join(wanted)}, and one has to be called prediction."
            )

    def _warm_up(self) -> float:
        """Score the example, since the first rows take longest; return the pace after that."""
        one = msgspec.json.encode({"rows": [self.example]})
        rows = min(WARM_UP_ROWS, self.reader.rules.most_rows)
        many = msgspec.json.encode({"rows": [self.example] * rows})
        taken = []
        for body in (one, *[many] * 5):
            began = time.perf_counter()
            scores = self.score(self.table(self.reader.read(body)))
            self.answer("", scores, self.codes(scores))
            taken.append((time.perf_counter() - began) / len(body))
        return min(taken[1:])

    def table(self, rows: Sequence[Row]) -> Table:
        """Return rows as `score` takes them."""
        return self._engine.table(rows)

    def score(self, table: Table) -> NDArray[np.float64]:
        """Return what predictions follow from: calibrated probabilities, values, or other output.

        Raises:
            Refusal: If the model has no finite number for a row.
        """
        return self._kind.calibrate(_finite(self._engine.scores(table)))

    def codes(self, scores: NDArray[np.float64]) -> list[int]:
        """Return the place of each row's class in `classes`; nothing where there are none."""
        return self._kind.codes(scores)

    def answer(self, request_id: str, scores: NDArray[np.float64], codes: list[int]) -> Any:
        """Return what is answered, ready to be encoded: `predictions` has one item per row."""
        return {
            **self._heading,
            "request_id": request_id,
            "predictions": self.predictions(scores, codes),
        }

    def predictions(self, scores: NDArray[np.float64], codes: list[int]) -> list[Any]:
        """Return one prediction per row, as the answer has it."""
        return self._kind.predictions(scores, codes)

    def explained(self, scores: NDArray[np.float64]) -> tuple[int | None, str]:
        """Return which of one row's scores an explanation follows, and its name."""
        if self._engine.decides and self.classes:
            scores = np.eye(len(self.classes))[self.codes(scores)]  # the likeliest is the decided
        return task_of(self.document).explained(self.document, scores)

    def heading(self, request_id: str) -> dict[str, Any]:
        """Return what every answer begins with."""
        return {**self._heading, "request_id": request_id}


def _heading(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an answer says about the model, and by what it decides."""
    if has_rule(document):  # which has the last word, whatever the threshold
        return {"model": document["run_id"], "decided_by": "decide"}
    if document["threshold"] is None:
        return {"model": document["run_id"]}
    decision = {"positive": given_positive(document), "threshold": document["threshold"]}
    return {"model": document["run_id"], **decision}


def given_positive(document: Mapping[str, Any]) -> Any:
    """Return the class to find as answers give it; None where there is none to find."""
    if document["positive"] is None:
        return None
    return given_classes(document)[document["classes"].index(document["positive"])]


def load_model(project: Project, run_id: str, sha256: str | None, rules: Rules) -> Model:
    """Load a bundle after verifying every file of it.

    Args:
        project: Holds it.
        run_id: Its name.
        sha256: Of its bundle.json when it was promoted; None where that was not noted.
        rules: What requests are held against.

    Raises:
        UserError: If it is not there, not whole, or not what was promoted.
    """
    if sha256 is None:
        document, sha256 = read_bundle(project, run_id), bundle_sha(project, run_id)
    else:
        document = read_promoted(project, run_id, sha256)
    return Model(project, document, sha256, rules)


def _onnx_engine(
    folder: Path, document: Mapping[str, Any], facts: Mapping[str, Any], schema: Schema
) -> Engine | None:
    """Return the ONNX form as an engine; None where there is none that it can feed."""
    if not facts["equal"] or carries_code(document):
        return None
    if not are_plain((column.type for column in schema.features), registry.NO_TEAM):
        return None
    sources = input_sources(schema)
    # Bundles of earlier versions of the template list their inputs one by one: skops serves them.
    known = [name in sources for block in facts["inputs"] for name in block.get("columns", [None])]
    if not all(known):
        return None
    content = (folder / ONNX_FILE).read_bytes()
    if hashlib.sha256(content).hexdigest() != facts["sha256"]:
        raise UserError(f"models/{document['run_id']}/{ONNX_FILE} has changed; bring it back.")
    return _OnnxEngine(content, facts, schema)


class _OnnxEngine:
    """onnxruntime, fed from tuples."""

    decides = False

    def __init__(self, content: bytes, facts: Mapping[str, Any], schema: Schema) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [facts["output"]]
        self._types = [column.type for column in schema.features]
        self._zones = [column.zone for column in schema.features]
        sources, inputs = input_sources(schema), facts["inputs"]
        kinds = {"double": np.float64, "float": np.float32, "string": object}
        self._blocks: list[tuple[str, Any, list[tuple[int, int | None]]]] = [
            (block["name"], kinds[block["type"]], [sources[name] for name in block["columns"]])
            for block in inputs
        ]
        # The usual table, numbers alone and in order, is one block as it is.
        self._plain = [places for _, _, places in self._blocks] == [
            [(at, None) for at in range(len(self._types))]
        ] and all(kind in FLOATS for kind in self._types)

    def table(self, rows: Sequence[Row]) -> Table:
        """Return numbers alone as an array, in which None is NaN."""
        if not self._plain:
            return rows
        width = len(self._types)
        try:
            flat = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * width)
        except TypeError:  # a value is missing
            return np.array(rows, dtype=np.float64)
        return flat.reshape(len(rows), width)

    def scores(self, table: Table) -> NDArray[np.float64]:
        """Return the output for rows."""
        if self._plain:
            name, dtype, _ = self._blocks[0]
            feeds = {name: table.astype(dtype, copy=False)}
        else:
            feeds = self._feeds(table)
        found = self._session.run(self._outputs, feeds)[0].astype(np.float64)
        # One number a row may come as a column.
        scores: NDArray[np.float64] = found.reshape(len(table), -1)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def _feeds(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the blocks of rows that are not numbers alone."""
        columns = list(zip(*rows, strict=True))
        for at, kind in enumerate(self._types):
            if kind == "datetime":
                unknown = (None,) * len(DATE_PARTS)
                zone = self._zones[at]
                dates = [
                    unknown if date is None else date_parts(local_time(date, zone))
                    for date in columns[at]
                ]
                columns[at] = list(zip(*dates, strict=True))  # type: ignore[call-overload]
            elif kind not in FLOATS:
                columns[at] = [_word(value, kind) for value in columns[at]]  # type: ignore[call-overload]
        feeds = {}
        for name, dtype, places in self._blocks:
            chosen = [columns[at] if part is None else columns[at][part] for at, part in places]
            feeds[name] = np.array(chosen, dtype=dtype).T
        return feeds


def _finite(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the model's output as it is.

    Raises:
        Refusal: If it has no finite number for a row.
    """
    if not math.isfinite(np.add.reduce(scores, axis=None)):
        finite = np.isfinite(scores).reshape(len(scores), -1).all(axis=1)
        rule = "is so far from the training data that the model gives no number"
        fault = {"row": int(np.argmin(finite)), "field": None, "value": None, "rule": rule}
        raise Refusal(422, "schema", [fault])
    return scores


def _word(value: str | None, kind: str) -> str:
    """Return a string as the encoders expect it."""
    if value is None:
        return ""
    return words(value) if kind == "text" else value


class _BundleEngine:
    """The bundle as batches use it, over pandas."""

    def __init__(self, project: Project, run_id: str, schema: Schema) -> None:
        from ..bundle.bundle import load_bundle

        self._bundle: Bundle = load_bundle(project, run_id)
        self._names = [column.name for column in schema.features]
        self.decides = hasattr(self._bundle.custom, "decide")

    def table(self, rows: Sequence[Row]) -> Table:
        """Return the rows as they are."""
        return rows

    def scores(self, table: Table) -> NDArray[np.float64]:
        """Return the output for rows."""
        import pandas as pd

        frame = pd.DataFrame.from_records(list(table), columns=self._names)
        # The rows are validated; what is left to do is the types.
        typed = self._bundle.conform(frame, strict=False)
        raw = self._bundle.score(typed)
        if not self.decides:
            return raw
        return as_scores(self._bundle.document, self._bundle.decide(typed, _finite(raw)))
