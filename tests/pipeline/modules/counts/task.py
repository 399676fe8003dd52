"""Whole numbers: how many, whether that is few or many, and between which bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..evaluation.predictions import Predictions
from ..tasks.regression import Regression

MANY = 5
COUNT = {"type": "integer", "minimum": 0}


class Counts(Regression):
    """Whole numbers from 0 on."""

    name = "counts"

    def decide(self, document: Mapping[str, Any], raw: Any) -> Predictions:
        """Round to whole numbers, none of them below 0."""
        return Predictions(values=np.rint(np.clip(raw, 0, None)))

    def columns(self, document: Mapping[str, Any], predictions: Predictions) -> dict[str, Any]:
        """Return `prediction` and `size`, and the bounds as columns of their own."""
        given = self._answers(document, np.asarray(predictions.values))
        return {
            "prediction": [each["prediction"] for each in given],
            "size": [each["size"] for each in given],
            "between_low": [each["between"]["low"] for each in given],
            "between_high": [each["between"]["high"] for each in given],
        }

    def answer_form(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return a kind that nobody but this task knows."""
        bounds = {
            "type": "object",
            "title": "Nine in ten lie between",
            "properties": {"low": COUNT, "high": COUNT},
            "required": ["low", "high"],
        }
        size = {"enum": ["few", "many"], "title": "In a word"}
        return {
            "kind": "count",
            "prediction": {"prediction": COUNT, "size": size, "between": bounds},
            "label": COUNT,
            "reward": "number",
        }

    def answers(self, document: Mapping[str, Any], raw: Any) -> list[dict[str, Any]]:
        """Return the properties of each prediction."""
        return self._answers(document, np.asarray(self.decide(document, raw).values))

    def _answers(self, document: Mapping[str, Any], values: Any) -> list[dict[str, Any]]:
        """Return the properties of predictions that are whole numbers already."""
        half = round(document["interval"]["half_width"] or 0)
        return [
            {
                "prediction": value,
                "size": "many" if value >= MANY else "few",
                "between": {"low": max(0, value - half), "high": value + half},
            }
            for value in values.astype(int).tolist()
        ]


COUNTS = Counts()
