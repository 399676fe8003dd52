"""The pages for people: a form to try the model, and the API. No outside assets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from ..data.schema import Column
from .rows import NUMBERS, Rules
from .scoring import Model
from .service import Service

SCRIPT = "text/javascript; charset=utf-8"
PAGE_FILES = {"page.css": "text/css; charset=utf-8", "page.js": SCRIPT, "ask.js": SCRIPT}
HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">{meta}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{folder}page.css">
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
"""
KEY = """<p class="field"><label for="key">API key</label>
<input id="key" type="password" autocomplete="off" required aria-describedby="key-error">
<strong class="error" id="key-error"></strong></p>
"""
# The element with the role is read out; the tables beside it are not.
PREDICTION = """<section aria-labelledby="prediction"><h2 id="prediction">Prediction</h2>
<div id="answer" role="status" aria-live="polite"><p>Not asked yet.</p></div>
<div class="wide"><table id="shares" hidden><caption>{caption}</caption>
<thead><tr><th scope="col">{name}</th><th scope="col" class="number">{value}</th></tr></thead>
<tbody></tbody></table></div>
<div class="wide"><table id="why" hidden><caption>By how much each value given, in place of the
usual one, changes the score</caption>
<thead><tr><th scope="col">Column</th><th scope="col" class="number">Change</th>
<th scope="col" class="number">Value</th><th scope="col" class="number">Usual value</th></tr>
</thead><tbody></tbody></table></div></section>
"""
FILE = """<section aria-labelledby="file-title"><h2 id="file-title">Predict a file</h2>
<p id="file-hint">A CSV file with the columns of the form; an empty field is unknown. It is read
here and sent nowhere.</p>
<p class="field"><label for="file">CSV file</label>
<input id="file" type="file" accept=".csv,.tsv,.txt,text/csv" aria-describedby="file-hint"></p>
<div id="scored" role="status"></div></section>
"""
MARKERS = re.compile(r"<!--.*?-->", re.DOTALL)


def start_page(service: Service) -> str:
    """Return the page `/`."""
    fleet = service.keeper.fleet
    if fleet is None:
        text = '<main id="main"><h1>No model yet</h1><p>Try again soon.</p></main>'
        return _head("No model yet", "page/") + text + "\n</body>\n</html>\n"
    model = fleet.champion
    keyed = service.keys.required
    # With API keys, the card is fetched once a key is given.
    hidden = "<h2>The model card</h2><p>Shown once a prediction was made with a valid key.</p>"
    return _try_page(
        model,
        "<a href=docs>The API</a>",
        (
            _form(model, KEY if keyed else ""),
            _prediction(model),
            _card(hidden if keyed else card_html(model.card)),
        ),
        ("page/ask.js", "page/page.js"),
        folder="page/",
    )


def local_page(model: Model, policy: str, scripts: Sequence[str]) -> str:
    """Return the page that predicts in the browser itself.

    Args:
        model: What it tries.
        policy: The Content-Security-Policy, which no server sends here.
        scripts: The addresses of its scripts, in their order.
    """
    return _try_page(
        model,
        "It predicts in this browser, and sends nothing.",
        (_form(model), _prediction(model), FILE, _card(card_html(model.card))),
        scripts,
        meta=f'\n<meta http-equiv="Content-Security-Policy" content="{policy}">',
    )


def card_html(card: str) -> str:
    """Return a model card as HTML; tags that its text holds are shown, not obeyed."""
    from markdown_it import MarkdownIt

    text = MARKERS.sub("", card).replace("\n## ", "\n### ").replace("# Model", "## Model", 1)
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def docs_page(document: dict[str, Any]) -> str:
    """Return the page `/docs`: every operation with its body and its answers."""
    parts = [_head("The API", "page/"), "<header><h1>The API</h1>\n"]
    parts += ["<p><a href=openapi.json>openapi.json</a> is the same for programs.</p></header>\n"]
    parts += ['<main id="main">\n']
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(path, method, operation)
    return "".join(parts) + "</main>\n</body>\n</html>\n"


def _head(title: str, folder: str, meta: str = "") -> str:
    """Return a page's beginning; `folder` holds its style."""
    return HEAD.format(title=escape(title), folder=folder, meta=meta)


def _try_page(
    model: Model,
    note: str,
    sections: Sequence[str],
    scripts: Sequence[str],
    *,
    folder: str = "",
    meta: str = "",
) -> str:
    """Return a page to try a model."""
    title = f"Predict {model.document['target']}"
    about = f"<header><h1>{escape(title)}</h1>\n<p>Model <code>{model.run_id}</code>. {note}</p>"
    without = "<noscript><p>The form needs JavaScript, which is switched off here.</p></noscript>"
    loaded = "\n".join(f'<script src="{address}"></script>' for address in scripts)
    return (
        _head(title, folder, meta)
        + f'{about}</header>\n<main id="main">\n{without}\n{"".join(sections)}</main>\n'
        + f"{loaded}\n</body>\n</html>\n"
    )


def _form(model: Model, before: str = "") -> str:
    """Return the form, filled with the example; `before` is HTML in front of the columns."""
    fields = "\n".join(_field(at, column, model) for at, column in enumerate(model.reader.columns))
    answer = model.answer_form
    titles = {name: rule.get("title", name) for name, rule in answer["prediction"].items()}
    known = escape(json.dumps({"kind": answer["kind"], "titles": titles}))
    return (
        '<section aria-labelledby="try"><h2 id="try">Try a row</h2>\n'
        "<p>The form holds a usual row of the training data. An empty field is unknown.</p>\n"
        f'<form id="form" novalidate data-answer="{known}">\n'
        f'{before}<div class="fields">\n{fields}\n</div>\n'
        '<p><button type="submit">Predict</button> '
        '<button type="reset">Back to the usual row</button></p>\n</form></section>\n'
    )


def _prediction(model: Model) -> str:
    """Return the section that shows a prediction."""
    if model.answer_form["kind"] == "class":
        return PREDICTION.format(
            caption="Probability of each class", name="Class", value="Probability"
        )
    return PREDICTION.format(caption="All of the prediction", name="Property", value="Value")


def _field(at: int, column: Column, model: Model) -> str:
    """Return one field with its label, its hint and a place for its error.

    A field has no `name`: one like `elements` would hide that part of the form from the script.
    """
    name, value = escape(column.name), model.example[column.name]
    hint = escape(_hint(column, model.reader.rules))
    described = f"h{at} e{at}" if hint else f"e{at}"
    attributes = (
        f'id="f{at}" data-column="{name}" data-type="{column.type}" '
        f'aria-describedby="{described}" autocomplete="off"'
    )
    if column.type == "boolean" or column.categories is not None:
        options = column.categories or ("true", "false")
        chosen = str(value).lower() if column.type == "boolean" else value
        entry = f'<select {attributes}><option value="">unknown</option>'
        for option in options:
            selected = " selected" if option == chosen else ""
            entry += f'<option value="{escape(option)}"{selected}>{escape(option)}</option>'
        entry += "</select>"
    else:
        mode = ' inputmode="decimal"' if column.type in NUMBERS else ""
        shown = "" if value is None else escape(str(value))
        entry = f'<input type="text" {attributes}{mode} value="{shown}">'
    note = f'<small id="h{at}">{hint}</small>' if hint else ""
    error = f'<strong class="error" id="e{at}"></strong>'
    return f'<p class="field"><label for="f{at}">{name}</label>{entry}{note}{error}</p>'


def _hint(column: Column, rules: Rules) -> str:
    """Say what a field takes."""
    if column.type in NUMBERS:
        least, most = rules.limits(column)
        kind = "a whole number" if column.type == "integer" else "a number"
        return f"{kind}, {least:.6g} to {most:.6g}" if most < 1e30 else kind
    if column.type == "datetime":
        return f"a date as {column.format or '2024-01-31 or 2024-01-31T12:30:00Z'}"
    if column.type == "boolean" or column.categories is not None:
        return ""  # the list says it
    return "text"


def _card(content: str) -> str:
    """Return the model card's section."""
    return f'<section aria-label="The model card" id="card" class="wide">{content}</section>\n'


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
