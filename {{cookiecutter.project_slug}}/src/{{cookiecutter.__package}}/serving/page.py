"""The pages for people: a form to try the model, and the API. No outside assets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from ..data.cast import number_form
from ..data.numbers import COMMA
from ..data.schema import NUMBERS, Column
from ..reporting.html import render
from .rows import Rules
from .scoring import Model
from .service import Service

SCRIPT = "text/javascript; charset=utf-8"
PAGE_FILES = {"page.css": "text/css; charset=utf-8", "page.js": SCRIPT, "ask.js": SCRIPT}
MARKERS = re.compile(r"<!--.*?-->", re.DOTALL)


def start_page(service: Service) -> str:
    """Return the page `/`."""
    fleet = service.keeper.fleet
    if fleet is None:
        return _render("serving/layout.html.jinja", "No model yet")
    keyed = service.keys.required
    return _try_page(fleet.champion, ("page/ask.js", "page/page.js"), folder="page/", keyed=keyed)


def local_page(model: Model, policy: str, scripts: Sequence[str]) -> str:
    """Return the page that predicts in the browser itself.

    Args:
        model: What it tries.
        policy: The Content-Security-Policy, which no server sends here.
        scripts: The addresses of its scripts, in their order.
    """
    return _try_page(model, scripts, folder="", policy=policy, local=True)


def card_html(card: str) -> str:
    """Return a model card as HTML; tags that its text holds are shown, not obeyed."""
    from markdown_it import MarkdownIt

    text = MARKERS.sub("", card).replace("\n## ", "\n### ").replace("# Model", "## Model", 1)
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def docs_page(document: dict[str, Any]) -> str:
    """Return the page `/docs`: every operation with its body and its answers."""
    as_json = partial(json.dumps, indent=2, ensure_ascii=False)
    paths = document["paths"]
    return _render(
        "serving/docs.html.jinja", "The API", paths=paths, in_words=_in_words, as_json=as_json
    )


def _render(template: str, title: str, **values: object) -> str:
    """Return a page, whose style lies in `page/`."""
    values = {"folder": "page/", "policy": "", "scripts": (), **values}
    return render(template, title=title, **values)


def _try_page(
    model: Model, scripts: Sequence[str], *, keyed: bool = False, local: bool = False, **head: str
) -> str:
    """Return a page to try a model."""
    answer = model.answer_form
    titles = {name: rule.get("title", name) for name, rule in answer["prediction"].items()}
    return _render(
        "serving/page.html.jinja",
        f"Predict {model.document['target']}",
        scripts=scripts,
        keyed=keyed,
        local=local,
        run_id=model.run_id,
        answer=json.dumps({"kind": answer["kind"], "titles": titles}),
        classes=answer["kind"] == "class",
        fields=list(_fields(model)),
        card=card_html(model.card),
        **head,
    )


def _fields(model: Model) -> Iterator[dict[str, Any]]:
    """Yield what the form needs of each column, filled with the example."""
    for column in model.reader.columns:
        value = model.example[column.name]
        boolean = column.type == "boolean"
        yield {
            "name": column.name,
            "type": column.type,
            "number": column.type in NUMBERS,
            "hint": _hint(column, model.reader.rules),
            "options": column.categories or (("true", "false") if boolean else ()),
            "comma": _has_comma(column),
            "value": "" if value is None else _written(column, value),
        }


def _has_comma(column: Column) -> bool:
    """Tell whether a column writes numbers like 1.234,5."""
    return column.type in NUMBERS and number_form(column).decimal == COMMA


def _written(column: Column, value: Any) -> str:
    """Return a value as people write it into the column's field."""
    if column.type == "boolean":
        return str(value).lower()
    return str(value).replace(".", ",") if _has_comma(column) else str(value)


def _hint(column: Column, rules: Rules) -> str:
    """Say what a field takes."""
    if column.type in NUMBERS:
        least, most = rules.limits(column)
        kind = "a whole number" if column.type == "integer" else "a number"
        if column.format:
            kind = "a time or duration, such as 1:30:00, or a number of seconds"
        elif column.unit:
            kind += f" in {column.unit}"
        kind += " with a decimal comma" if _has_comma(column) else ""
        return f"{kind}, {least:.6g} to {most:.6g}" if most < 1e30 else kind
    if column.type == "datetime":
        return f"a date as {column.format or '2024-01-31 or 2024-01-31T12:30:00Z'}"
    if column.type == "boolean" or column.categories is not None:
        return ""  # the list says it
    return "text"


def _in_words(rule: dict[str, Any]) -> str:
    """Write a rule of a JSON schema for people."""
    return ", ".join(f"{key} {_plain(value)}" for key, value in rule.items())


def _plain(value: Any) -> str:
    """Write a value of a JSON schema for people."""
    if isinstance(value, list):
        return " or ".join("nothing" if each is None else str(each) for each in value[:30])
    return f"{value:g}" if isinstance(value, float) else str(value)
