"""What a model says about rows: `Predictions`, and the same rows as `PredictionsWithTruth`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What there may be of predictions, an item per row.
PARTS = ("labels", "probabilities", "values", "bounds")


@dataclass(frozen=True)
class Predictions:
    """What a model says about some rows. Which parts are there depends on the task.

    Attributes:
        labels: Predicted classes, as in the training data; (rows,).
        probabilities: Of each class; (rows, classes), columns in the order of the model's classes.
        values: Predicted values in the target's unit; (rows,).
        bounds: The lower and the upper end of each value's interval, where the team's rule may have
            moved them; (rows, 2). None where all are equally wide, as bundle.json says.
    """

    labels: NDArray[Any] | None = None
    probabilities: NDArray[np.float64] | None = None
    values: NDArray[np.float64] | None = None
    bounds: NDArray[np.float64] | None = None

    def take(self, rows: NDArray[Any]) -> Predictions:
        """Return the predictions for some of the rows."""
        return Predictions(**_taken(self, rows))


@dataclass(frozen=True)
class PredictionsWithTruth:
    """Predictions of some rows beside the truth, in the form that metrics take.

    Attributes:
        truth: Class codes, or values in the target's unit; (rows,).
        metrics: The names of the metrics that these predictions are scored by, in the order in
            which reports show them.
        labels: Predicted class codes; (rows,).
        probabilities: Of each class, in the order of the codes; (rows, classes).
        values: Predicted values; (rows,).
        bounds: See `Predictions`.
        classes: How many classes there are; 0 where none are predicted.
        positive: The code of the class to find; None unless there are two classes.
        names: The class of each code, as the data has it.
        weights: How much each row counts; (rows,). None where all count alike.
    """

    truth: NDArray[Any]
    metrics: tuple[str, ...]
    labels: NDArray[np.intp] | None = None
    probabilities: NDArray[np.float64] | None = None
    values: NDArray[np.float64] | None = None
    bounds: NDArray[np.float64] | None = None
    classes: int = 0
    positive: int | None = None
    names: tuple[Any, ...] = ()
    weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.truth)

    def take(self, rows: NDArray[Any]) -> PredictionsWithTruth:
        """Return some of the rows."""
        parts = _taken(self, rows)
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, truth=self.truth[rows], weights=weights, **parts)

    def weighted(self, weights: NDArray[np.float64] | None) -> PredictionsWithTruth:
        """Return the rows that count, with their weights.

        Args:
            weights: From 0 on; (rows,). None where all count alike.
        """
        if weights is None:
            return self
        counting = np.flatnonzero(weights)
        return replace(self, weights=weights).take(counting)


def _taken(whole: Any, rows: NDArray[Any]) -> dict[str, Any]:
    """Return some rows of those of the arrays that are there."""
    parts = {name: getattr(whole, name) for name in PARTS}
    return {name: part[rows] for name, part in parts.items() if part is not None}
