"""What a model says about rows: `Predictions`, and the same rows as `PredictionsWithTruth`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """What a model says about some rows. Which parts are there depends on the task.

    Attributes:
        labels: Predicted classes, as in the training data; (rows,).
        probabilities: Of each class; (rows, classes), columns in the order of the model's classes.
        values: Predicted values in the target's unit; (rows,).
    """

    labels: NDArray[Any] | None = None
    probabilities: NDArray[np.float64] | None = None
    values: NDArray[np.float64] | None = None


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
        classes: How many classes there are; 0 where none are predicted.
        positive: The code of the class to find; None unless there are two classes.
    """

    truth: NDArray[Any]
    metrics: tuple[str, ...]
    labels: NDArray[np.intp] | None = None
    probabilities: NDArray[np.float64] | None = None
    values: NDArray[np.float64] | None = None
    classes: int = 0
    positive: int | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.truth)

    def take(self, rows: NDArray[Any]) -> PredictionsWithTruth:
        """Return some of the rows."""
        labels, probabilities, values = self.labels, self.probabilities, self.values
        return replace(
            self,
            truth=self.truth[rows],
            labels=None if labels is None else labels[rows],
            probabilities=None if probabilities is None else probabilities[rows],
            values=None if values is None else values[rows],
        )
