"""A row as training knew it: the example of the API, and what an explanation compares with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any

from ..data.schema import Column, Schema
from ..models import EPOCH
from .rows import Rules


def reference_row(schema: Schema, reference: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    """Return the median or the most frequent value of each feature, as JSON values.

    Columns of many strings or of texts are missing in it, since no value of them is kept.
    """
    features = reference["features"]
    return {
        column.name: _typical(column, features.get(column.name, {}), rules)
        for column in schema.features
    }


def _typical(column: Column, facts: Mapping[str, Any], rules: Rules) -> Any:
    """Return the typical value of one feature; None where there is none."""
    edges, counts = facts.get("edges"), facts.get("counts")
    if column.type in ("integer", "number") and edges:
        least, most = rules.limits(column)
        middle = float(f"{edges[len(edges) // 2]:.6g}")  # as people write it
        middle = min(max(middle, least), most)
        return round(middle) if column.type == "integer" else middle
    if column.type == "datetime" and edges:
        date = EPOCH + timedelta(days=round(edges[len(edges) // 2]))
        return (
            date.replace(tzinfo=UTC).strftime(column.format)
            if column.format
            else f"{date.isoformat()}Z"
        )
    if isinstance(counts, dict) and counts:
        name = max(counts, key=lambda each: counts[each])
        return name == "True" if column.type == "boolean" else name
    return None
