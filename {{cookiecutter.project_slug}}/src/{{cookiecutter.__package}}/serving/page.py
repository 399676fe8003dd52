"""The pages for people: a form to try the model, and the API. No outside assets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

from ..data.schema import Column
from .rows import NUMBERS
from .scoring import Model
from .service import Service

PAGE_FILES = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page/page.css">
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
"""
MARKERS = re.compile(r"<!--.*?-->", re.DOTALL)


def start_page(service: Service) -> str:
    """Return the page `/`."""
    fleet = service.keeper.fleet
    if fleet is None:
        text = '<main id="main"><h1>No model yet</h1><p>Try again soon.</p></main>'
        return HEAD.format(title="No model yet") + text + "</body></html>\n"
    model = fleet.champion
    target = escape(str(model.document["target"]))
    return (
        HEAD.format(title=f"Predict {target}")
        + f"<header><h1>Predict {target}</h1>\n"
        + f"<p>Model <code>{model.run_id}</code>. <a href=docs>The API</a></p></header>\n"
        + f'<main id="main">\n{_form(model, service)}\n{_outcome()}\n'
        + f"{_card(model, service)}</main>\n"
        + '<script src="page/page.js"></script>\n</body>\n</html>\n'
    )


def card_html(card: str) -> str:
    """Return a model card as HTML; tags that its text holds are shown, not obeyed."""
    from markdown_it import MarkdownIt

    text = MARKERS.sub("", card).replace("\n## ", "\n### ").replace("# Model", "## Model", 1)
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def docs_page(document: dict[str, Any]) -> str:
    """Return the page `/docs`: every operation with its body and its answers."""
    parts = [HEAD.format(title="The API"), "<header><h1>The API</h1>\n"]
    parts += ["<p><a href=openapi.json>openapi.json</a> is the same for programs.</p></header>\n"]
    parts += ['<main id="main">\n']
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(path, method, operation)
    return "".join(parts) + "</main>\n</body>\n</html>\n"


def _form(model: Model, service: Service) -> str:
    """Return the form, filled with the example."""
    fields = "\n".join(
        _field(at, column, model, service) for at, column in enumerate(model.reader.columns)
    )
    key = ""
    if service.keys.required:
        key = (
            '<p class="field"><label for="key">API key</label>'
            '<input id="key" type="password" autocomplete="off" required></p>\n'
        )
    return (
        '<section aria-labelledby="try"><h2 id="try">Try a row</h2>\n'
        "<p>The form holds a usual row of the training data. An empty field is unknown.</p>\n"
        f'<form id="form" novalidate>\n{key}<div class="fields">\n{fields}\n</div>\n'
        '<p><button type="submit">Predict</button> '
        '<button type="reset">Back to the usual row</button></p>\n</form></section>'
    )


def _field(at: int, column: Column, model: Model, service: Service) -> str:
    """Return one field with its label, its hint and a place for its error."""
    name, value = escape(column.name), model.example[column.name]
    hint = _hint(column, service)
    attributes = (
        f'id="f{at}" name="{name}" data-type="{column.type}" '
        f'aria-describedby="h{at} e{at}" autocomplete="off"'
    )
    if column.type == "boolean" or column.categories is not None:
        options = column.categories or ("true", "false")
        chosen = str(value).lower() if column.type == "boolean" else value
        entry = f"<select {attributes}><option value=''>unknown</option>"
        for option in options:
            selected = " selected" if option == chosen else ""
            entry += f'<option value="{escape(option)}"{selected}>{escape(option)}</option>'
        entry += "</select>"
    else:
        mode = ' inputmode="decimal"' if column.type in NUMBERS else ""
        shown = "" if value is None else escape(str(value))
        entry = f'<input type="text" {attributes}{mode} value="{shown}">'
    return (
        f'<p class="field"><label for="f{at}">{name}</label>{entry}'
        f'<small id="h{at}">{escape(hint)}</small><strong class="error" id="e{at}"></strong></p>'
    )


def _hint(column: Column, service: Service) -> str:
    """Say what a field takes."""
    if column.type in NUMBERS:
        least, most = service.rules.limits(column)
        kind = "a whole number" if column.type == "integer" else "a number"
        return f"{kind}, {least:.6g} to {most:.6g}" if most < 1e30 else kind
    if column.type == "datetime":
        return f"a date as {column.format or '2024-01-31 or 2024-01-31T12:30:00Z'}"
    if column.type == "boolean" or column.categories is not None:
        return "one of the list"
    return "text"


def _outcome() -> str:
    """Return the place for the answer, which a screen reader reads out as it comes."""
    return (
        '<section aria-labelledby="said"><h2 id="said">Prediction</h2>\n'
        '<div id="answer" role="status" aria-live="polite"><p>Not asked yet.</p></div>\n'
        '<table id="why" hidden><caption>What each column did: the score with the value given, '
        "less the score with the usual value</caption>\n<thead><tr><th scope=col>Column</th>"
        "<th scope=col>Value</th><th scope=col>Usual value</th><th scope=col>Change</th>"
        "</tr></thead><tbody></tbody></table></section>"
    )


def _card(model: Model, service: Service) -> str:
    """Return the model card; with API keys, it is fetched once a key is given."""
    if service.keys.required:
        text = "<p>Shown once a prediction was made with a valid key.</p>"
    else:
        text = card_html(model.card)
    return (
        '<section aria-labelledby="about"><h2 id="about">The model card</h2>\n'
        f'<div id="card">{text}</div></section>\n'
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    """Yield the description of one operation."""
    yield f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>\n"
    yield f"<p>{escape(operation['summary'])}</p>\n"
    for parameter in operation.get("parameters", []):
        yield f"<p>Header <code>{parameter['name']}</code>: {parameter['description']}.</p>\n"
    if "security" in operation:
        yield "<p>Needs the header <code>X-API-Key</code>.</p>\n"
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        yield from _columns(content["schema"])
        if "example" in content:
            text = json.dumps(content["example"], indent=2, ensure_ascii=False)
            yield f"<h3>Example</h3><pre tabindex=0>{escape(text)}</pre>\n"
    yield "<h3>Answers</h3><ul>"
    for code, answer in operation["responses"].items():
        yield f"<li><code>{code}</code> {escape(answer['description'])}</li>"
    yield "</ul></section>\n"


def _columns(schema: dict[str, Any]) -> Iterator[str]:
    """Yield a table of what one item of a body holds."""
    name, inner = next(iter(schema["properties"].items()))
    item = inner.get("items", inner)
    yield f"<table><caption>Each of <code>{name}</code></caption>"
    yield "<thead><tr><th scope=col>Name</th><th scope=col>Rule</th></tr></thead><tbody>\n"
    for column, rule in item["properties"].items():
        text = ", ".join(f"{key} {_plain(value)}" for key, value in rule.items())
        yield f"<tr><th scope=row>{escape(column)}</th><td>{escape(text)}</td></tr>\n"
    yield "</tbody></table>\n"


def _plain(value: Any) -> str:
    """Write a value of a JSON schema for people."""
    if isinstance(value, list):
        return " or ".join("nothing" if each is None else str(each) for each in value[:30])
    return f"{value:g}" if isinstance(value, float) else str(value)
