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
    found = explain_row(
        reader.read_row(row),
        reader.read_row(model.example),
        lambda rows: model.score(model.table(rows)),
        lambda outputs: model.explained(outputs)[0],
    )
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
        "score": {"about": model.explained(found.outputs)[1], "value": found.score},
        "columns": columns,
    }
