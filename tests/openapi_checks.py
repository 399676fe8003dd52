"""Checks for schemathesis: right requests are taken and wrong ones are refused.

Its own two checks of that, apart from requests with text that the service may read in the own
form of a column ("$1,234.50", "NA"), which a JSON schema can describe in words alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance


@schemathesis.check
def right_requests_are_taken(ctx: Any, response: Any, case: Any) -> bool | None:
    """What the document allows is answered."""
    return None if has_text(case) else positive_data_acceptance(ctx, response, case)


@schemathesis.check
def wrong_requests_are_refused(ctx: Any, response: Any, case: Any) -> bool | None:
    """What the document forbids is not."""
    return None if has_text(case) else negative_data_rejection(ctx, response, case)


def has_text(case: Any) -> bool:
    """Tell whether a value is written as text that only the description of its column is about."""
    body = case.body if isinstance(case.body, dict) else {}
    rows = body.get("rows", [body.get("row")])
    forms = dict(_columns(case.operation.schema.raw_schema))
    return any(
        isinstance(row.get(name), str) and not _is_described(row[name], form)
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict)
        for name, form in forms.items()
    )


def _is_described(text: str, form: Any) -> bool:
    """Tell whether a text is one of a list, or a date and time as RFC 3339 writes it."""
    dated = form.get("format") == "date-time" and re.match(r"\d{4}-\d\d-\d\dT", text)
    return bool(dated) or text in form.get("enum", ())


def _columns(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield the columns that are not free text, each with its form."""
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    row = content["application/json"]["schema"]["properties"]["rows"]["items"]
    for name, form in row["properties"].items():
        if "pattern" not in form and "type" in form:
            yield name, form
