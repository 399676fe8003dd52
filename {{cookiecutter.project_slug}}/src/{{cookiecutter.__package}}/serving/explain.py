"""The answer of `POST /explain`: the prediction for a row, and what each column did to it."""

from __future__ import annotations

from typing import Any

from ..evaluation.explain import explain_row
from .scoring import Model


def explain(model: Model, row: dict[str, Any]) -> dict[str, Any]:
    """Return the prediction for a row and the change of its score by each column.

    Raises:
        Refusal: With what is wrong with the row.
    """
    reader = model.reader

    def choose(scores: Any) -> int:
        """Return the place of the class to find; of the predicted one where there is none."""
        positive = model.document["positive"]
        return model.codes(scores)[0] if positive is None else model.classes.index(positive)

    found = explain_row(
        reader.read_row(row),
        reader.read_row(model.example),
        lambda rows: model.score(model.table(rows)),
        choose if model.classes else None,
    )
    if found.at is None:
        about = str(model.document["target"])
    else:
        about = f"probability of {model.classes[found.at]}"
    columns = [
        {
            "field": column.name,
            "value": row.get(column.name),
            "reference": model.example[column.name],
            "change": change,
        }
        for column, change in zip(reader.columns, found.changes, strict=True)
    ]
    columns.sort(key=lambda each: -abs(each["change"]))
    return {
        "prediction": model.predictions(found.outputs, model.codes(found.outputs))[0],
        "score": {"about": about, "value": found.score},
        "columns": columns,
    }
