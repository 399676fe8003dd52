"""How an answer follows from the model's output, and what a label may be, by the bundle's `answer`.

The kinds "class" and "number" are computed here, since a single row takes microseconds; the task
itself computes the answers of any other kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from ..bundle.bundle import answer_of, given_classes, task_of
from ..core.errors import UserError
from ..data.cast import spell
from ..evaluation.decision import SMALLEST, label_codes, temper
from .rows import LARGEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..evaluation.predictions import Predictions

    Scores = NDArray[np.float64]

# Few rows are calibrated and decided faster one number at a time than by numpy.
FEW_ROWS = 4


class Kind(Protocol):
    """From a model's own output to its predictions."""

    def calibrate(self, raw: Scores) -> Scores:
        """Return the scores that predictions follow from."""

    def codes(self, scores: Scores) -> list[int]:
        """Return the place of each row's class; nothing where no classes are predicted."""

    def predictions(self, scores: Scores, codes: list[int]) -> list[Any]:
        """Return one prediction per row, ready to be encoded."""


def make_kind(document: Mapping[str, Any], *, decided: bool) -> Kind:
    """Return the kind that `answer` of bundle.json names.

    Args:
        document: The content of bundle.json.
        decided: Whether the scores are predictions that the team's rule has left, see `as_scores`.

    Raises:
        UserError: If the team's rule cannot be served for this kind.
    """
    name = answer_of(document)["kind"]
    if decided and name not in DECIDED:
        raise UserError(
            f"models/{document['run_id']} gives predictions of the kind '{name}', which the "
            "service cannot change by decide of custom.py; score batches, or do without the rule."
        )
    kinds: Any = DECIDED if decided else {"class": Classes, "number": Numbers}
    return kinds.get(name, OfTask)(document)  # type: ignore[no-any-return]


def as_scores(document: Mapping[str, Any], predictions: Predictions) -> Scores:
    """Return decided predictions as one array: a column per number, that of the class last."""
    if predictions.probabilities is None:
        values, bounds = np.asarray(predictions.values), predictions.bounds
        if bounds is None or not np.isfinite(bounds).all():
            return values[:, np.newaxis]
        return np.column_stack([values, bounds])
    places = {name: at for at, name in enumerate(document["classes"])}
    codes = [places[name] for name in np.asarray(predictions.labels).tolist()]
    return np.column_stack([predictions.probabilities, codes])


class ClassPrediction(msgspec.Struct, gc=False):
    """The prediction of a class."""

    prediction: Any
    probability: Any


class NumberPrediction(msgspec.Struct, gc=False):
    """The prediction of a number."""

    prediction: float
    lower: float | None
    upper: float | None


class Classes:
    """Probabilities, calibrated and decided by."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take what the decision needs."""
        self._document = document
        self._given = given_classes(document)
        self._temperature = document.get("calibration", {}).get("temperature", 1)
        self._shares = _shares_type(document["classes"])

    def calibrate(self, raw: Scores) -> Scores:
        """Return calibrated probabilities; (rows, classes)."""
        if self._temperature == 1:
            return raw
        if len(raw) <= FEW_ROWS:
            return np.array([temper_one(row, self._temperature) for row in raw.tolist()])
        return temper(raw, self._temperature)

    def codes(self, scores: Scores) -> list[int]:
        """Return the place of each row's class in `classes`."""
        if len(scores) <= FEW_ROWS:
            return [label_one(self._document, row) for row in scores.tolist()]
        codes: list[int] = label_codes(self._document, scores).tolist()
        return codes

    def predictions(self, scores: Scores, codes: list[int]) -> list[Any]:
        """Return the class of each row with the probability of every class."""
        names = [self._given[code] for code in codes]
        shares = [self._shares(*row) for row in scores.tolist()]
        return [ClassPrediction(name, share) for name, share in zip(names, shares, strict=True)]


class Numbers:
    """Values as they are, with an interval around each."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take the interval."""
        half = (document.get("interval") or {}).get("half_width")
        self._half = None if half is None else float(half)

    def calibrate(self, raw: Scores) -> Scores:
        """Return the values; (rows,)."""
        return raw

    def codes(self, scores: Scores) -> list[int]:
        """Return nothing."""
        return []

    def predictions(self, scores: Scores, codes: list[int]) -> list[Any]:
        """Return the value of each row with its bounds."""
        half = self._half
        if half is None:
            return [NumberPrediction(value, None, None) for value in scores.tolist()]
        return [NumberPrediction(value, value - half, value + half) for value in scores.tolist()]


class DecidedClasses(Classes):
    """Probabilities and the class, as the team's rule left them; the class's place comes last."""

    def calibrate(self, raw: Scores) -> Scores:
        """Return the scores, which are calibrated."""
        return raw

    def codes(self, scores: Scores) -> list[int]:
        """Return the place of each row's class in `classes`."""
        codes: list[int] = scores[:, -1].astype(int).tolist()
        return codes

    def predictions(self, scores: Scores, codes: list[int]) -> list[Any]:
        """Return the class of each row with the probability of every class."""
        return super().predictions(scores[:, :-1], codes)


class DecidedNumbers:
    """Values and their bounds, if any, as the team's rule left them."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take nothing: the rule decided all."""

    def calibrate(self, raw: Scores) -> Scores:
        """Return the scores as they are; (rows, 1) or (rows, 3)."""
        return raw

    def codes(self, scores: Scores) -> list[int]:
        """Return nothing."""
        return []

    def predictions(self, scores: Scores, codes: list[int]) -> list[Any]:
        """Return the value of each row with its bounds."""
        none = (None, None) if scores.shape[1] == 1 else ()
        return [NumberPrediction(*row, *none) for row in scores.tolist()]


# By the kind of answer, what serves predictions that the team's rule has left.
DECIDED: dict[str, Any] = {"class": DecidedClasses, "number": DecidedNumbers}


class OfTask:
    """Whatever the task makes of the model's output."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Find the task."""
        self._document, self._task = document, task_of(document)

    def calibrate(self, raw: Scores) -> Scores:
        """Return the output as it is."""
        return raw

    def codes(self, scores: Scores) -> list[int]:
        """Return nothing."""
        return []

    def predictions(self, scores: Scores, codes: list[int]) -> list[Any]:
        """Return what the task answers."""
        return self._task.answers(self._document, scores)


def _shares_type(classes: Sequence[Any]) -> Any:
    """Return the type that holds the probability of each class."""
    fields = [(f"p{at}", float) for at in range(len(classes))]
    names = {f"p{at}": str(name) for at, name in enumerate(classes)}
    return msgspec.defstruct("Probability", fields, rename=names, gc=False)


def temper_one(probabilities: list[float], temperature: float) -> list[float]:
    """Do for one row what `decision.temper` does for many."""
    logits = [math.log(min(max(share, SMALLEST), 1)) / temperature for share in probabilities]
    most = max(logits)
    shares = [math.exp(logit - most) for logit in logits]
    total = sum(shares)
    return [share / total for share in shares]


def label_one(document: Mapping[str, Any], probabilities: list[float]) -> int:
    """Do for one row what `decision.label_codes` does for many."""
    if document["threshold"] is None:
        return probabilities.index(max(probabilities))
    positive: int = document["classes"].index(document["positive"])
    return positive if probabilities[positive] >= document["threshold"] else 1 - positive


def label_check(form: Mapping[str, Any]) -> Callable[[Any], str | None]:
    """Return a function from a label to the rule that it breaks, None where it breaks none.

    Args:
        form: The JSON schema of a label, of which `enum`, `type`, `minimum` and `maximum` count.
    """
    if "enum" in form:
        names = [spell(name) for name in form["enum"]]
        rule = f"has to be one of {', '.join(names[:10])}"
        return lambda label: None if spell(label) in names else rule
    kind = form.get("type")
    if kind in ("number", "integer"):
        return _number_check(form)
    types = {"string": (str, "has to be text"), "boolean": (bool, "has to be true or false")}
    if kind not in types:
        return lambda label: None
    python, sentence = types[kind]
    return lambda label: None if isinstance(label, python) else sentence


def _number_check(form: Mapping[str, Any]) -> Callable[[Any], str | None]:
    """Return what checks a label that has to be a number."""
    least, most = form.get("minimum", -LARGEST), form.get("maximum", LARGEST)
    whole = form["type"] == "integer"
    rule = "has to be a whole number" if whole else "has to be a number"
    if "minimum" in form or "maximum" in form:
        rule += f" from {least:g} to {most:g}"
    else:
        rule += f", of at most {LARGEST:g} either way"

    def check(label: Any) -> str | None:
        good = isinstance(label, float) and least <= label <= most
        return None if good and (not whole or label.is_integer()) else rule

    return check
