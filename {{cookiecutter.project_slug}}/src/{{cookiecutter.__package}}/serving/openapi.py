"""The description of the API, made from the schema that requests are validated by."""

from __future__ import annotations

from typing import Any

from .. import __doc__ as about
from ..core.registry import PACKAGE
from .rows import row_schema
from .scoring import Model
from .service import LONGEST_ID, MOST_LABELS, MOST_ROW, Service

JSON = "application/json"
# What an answer may begin with.
HEAD: dict[str, Any] = {
    "model": {"type": "string"},
    "request_id": {"type": "string"},
    "positive": {},
    "threshold": {"type": "number"},
    "decided_by": {"const": "decide"},
}
REFUSALS = {
    "400": "The body is not valid JSON.",
    "401": "No valid API key.",
    "413": "Too many rows, or too large a body.",
    "415": "The body is not application/json.",
    "422": "Rows that break a rule: each with row, field, value and rule.",
    "503": "No room, no time or no model; try again after Retry-After.",
}


def make_openapi(service: Service) -> dict[str, Any]:
    """Return the OpenAPI document for the champion, or without rows where there is none."""
    fleet = service.keeper.fleet
    target = fleet.champion.schema.target if fleet else None
    paths: dict[str, Any] = {
        "/healthz": _get("The process answers."),
        "/readyz": _get("A model is loaded.", "503"),
        "/metrics": _get("Metrics for Prometheus.", kind="text/plain"),
        "/model": _get("The models in service, and the champion's card.", "401", "503"),
    }
    keyed = ["/model"]
    if fleet is not None:
        posted = _posted(fleet.champion, service)
        paths = posted | paths
        keyed += list(posted)
    for path, operations in paths.items():
        for operation in operations.values():
            operation["operationId"] = path.strip("/")
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        # Beside this document, so also behind the prefix of a proxy.
        "servers": [{"url": "."}],
        "info": {
            "title": f"{PACKAGE}: predictions" + (f" of {target.name}" if target else ""),
            "version": fleet.champion.run_id if fleet else "none",
            "description": about or "",
        },
        "paths": paths,
        "components": {"schemas": {"Refusal": _refusal()}},
    }
    if service.keys.required:
        scheme = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
        document["components"]["securitySchemes"] = {"key": scheme}
        for path in keyed:
            for operation in paths[path].values():
                operation["security"] = [{"key": []}]
    return document


def _posted(model: Model, service: Service) -> dict[str, Any]:
    """Return the operations that take a body."""
    row = row_schema(model.schema, service.rules, model.example)
    rows = {"type": "array", "items": row, "minItems": 1, "maxItems": service.rules.most_rows}
    head = {name: form for name, form in HEAD.items() if name in model.heading("")}
    prediction = _object(model.answer_form["prediction"])
    predictions = {"type": "array", "items": prediction}
    score = _object({"about": {"type": "string"}, "value": {"type": "number"}})
    change = {
        "field": {"type": "string"},
        "value": {},
        "reference": {},
        "change": {"type": "number"},
    }
    explained = {
        "prediction": prediction,
        "score": score,
        "columns": {"type": "array", "items": _object(change)},
    }
    label = {
        "request_id": {"type": "string", "minLength": 1, "maxLength": LONGEST_ID},
        "row": {"type": "integer", "minimum": 0, "maximum": MOST_ROW},
        "label": model.answer_form["label"],
    }
    labels = {
        "type": "array",
        "items": _object(label, "request_id", "label"),
        "minItems": 1,
        "maxItems": MOST_LABELS,
    }
    sticky = {
        "name": "X-Sticky-Key",
        "in": "header",
        "description": "requests with the same key get the same model",
        "schema": {"type": "string"},
    }
    return {
        "/predict": _post(
            "Predict rows.",
            _object({"rows": rows}),
            _object({**head, "predictions": predictions}),
            {"rows": [model.example]},
            [sticky],
        ),
        "/explain": _post(
            "Predict one row, and tell what each column did to its score.",
            _object({"row": row}),
            _object({**head, **explained}),
            {"row": model.example},
        ),
        "/feedback": _post(
            "Tell what became of rows that were predicted.",
            _object({"labels": labels}),
            _object({"taken": {"type": "integer"}}),
        ),
    }


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """Return the JSON schema of an object; without names, every property is required."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required or properties),
        "additionalProperties": False,
    }


def _post(
    summary: str,
    body: dict[str, Any],
    answer: dict[str, Any],
    example: dict[str, Any] | None = None,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return an operation that takes a body."""
    content: dict[str, Any] = {"schema": body}
    if example is not None:
        content["example"] = example
    responses = {code: _refused(text) for code, text in REFUSALS.items()}
    right = {"description": "Done.", "content": {JSON: {"schema": answer}}}
    operation: dict[str, Any] = {
        "summary": summary,
        "requestBody": {"required": True, "content": {JSON: content}},
        "responses": {"200": right, **responses},
    }
    if parameters:
        operation["parameters"] = parameters
    return {"post": operation}


def _get(summary: str, *refusals: str, kind: str = JSON) -> dict[str, Any]:
    """Return an operation without a body."""
    schema: dict[str, Any] = {"type": "object"} if kind == JSON else {"type": "string"}
    right = {"description": "Done.", "content": {kind: {"schema": schema}}}
    refused: dict[str, Any] = {
        code: {"description": REFUSALS[code], "content": {JSON: {"schema": {"type": "object"}}}}
        for code in refusals
    }
    return {"get": {"summary": summary, "responses": {"200": right, **refused}}}


def _refused(text: str) -> dict[str, Any]:
    """Return an answer that is not what was asked for."""
    schema = {"$ref": "#/components/schemas/Refusal"}
    return {"description": text, "content": {JSON: {"schema": schema}}}


def _refusal() -> dict[str, Any]:
    """Return the JSON schema of every refusal."""
    fault = {
        "row": {"type": ["integer", "null"]},
        "field": {"type": ["string", "null"]},
        "value": {},
        "rule": {"type": "string"},
    }
    faults = {"type": "array", "items": _object(fault)}
    detail = {"anyOf": [{"type": "string"}, faults]}
    return _object({"request_id": {"type": "string"}, "detail": detail})
