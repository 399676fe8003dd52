"""Why a row was scored as it was, simply: what the score would be with one column as usual.

For each column the row is scored again with that column at its reference value (the median or the
most frequent one in training), the others as given; the difference is the column's share. Columns
that only work together are not told apart.
"""

from __future__ import annotations

from typing import Any

from .scoring import Model


def explain(model: Model, row: dict[str, Any]) -> dict[str, Any]:
    """Return the prediction for a row and the change of its score by each column.

    Raises:
        Refusal: With what is wrong with the row.
    """
    reader = model.reader
    given, usual = reader.read_row(row), reader.read_row(model.example)
    rows = [given]
    for at in range(len(given)):
        rows.append((*given[:at], usual[at], *given[at + 1 :]))
    scores = model.score(model.table(rows))
    prediction = model.predictions(scores[:1], model.codes(scores[:1]))[0]
    place, about = model.explained(scores[:1])
    scores = scores if place is None else scores[:, place]
    changes = (scores[0] - scores[1:]).tolist()
    columns = [
        {
            "field": column.name,
            "value": row.get(column.name),
            "reference": model.example[column.name],
            "change": change,
        }
        for column, change in zip(reader.columns, changes, strict=True)
    ]
    columns.sort(key=lambda each: -abs(each["change"]))
    return {
        "prediction": prediction,
        "score": {"about": about, "value": float(scores[0])},
        "columns": columns,
    }
