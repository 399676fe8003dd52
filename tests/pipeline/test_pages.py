"""The HTML of every page: text is escaped in one place, and what counts as HTML is listed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace as Given
from typing import Any

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup
from mlproj.core.code_fingerprint import PACKAGE
from mlproj.data.schema import Column
from mlproj.reporting import html
from mlproj.reporting.html import Section, bullets, cards, figures, html_page, table, verdict
from mlproj.reporting.plots import Plot
from mlproj.serving.page import docs_page, local_page
from mlproj.serving.rows import Rules

HOSTILE = """'"><script>alert(1)</script>"""
SHOWN = "&lt;script&gt;alert(1)"

# What templates take as HTML as it stands: our own files and policies, drawings, Markdown's HTML,
# and the sections, which a team writes too.
SAFE = {
    "checklist/page.html.jinja": ["policy", "style", "script"],
    "reporting/parts.html.jinja": ["policy", "style", "section.html", "before", "after"],
    "serving/layout.html.jinja": ["policy"],
    "serving/page.html.jinja": ["card"],
}


@pytest.mark.parametrize(
    "make",
    [
        lambda text: table([text, "b"], [[text, text]], caption=text, texts=["b"]),
        lambda text: table([text], [[text]]),
        lambda text: cards([(text, text, text)]),
        lambda text: bullets([text, text]),
        lambda text: figures([Plot(text, text, "<svg viewBox='0 0 1 1'></svg>", text)]),
        lambda text: verdict(text, text, missed=True),
    ],
    ids=["table", "heading", "cards", "bullets", "figures", "verdict"],
)
def test_plain_text_is_escaped_and_html_is_kept(make: Callable[[str], Markup]) -> None:
    escaped, kept = make(HOSTILE), make("plain")
    assert isinstance(escaped, Markup) and SHOWN in escaped
    assert "<script" not in escaped
    assert escaped.count('"') == kept.count('"')  # no attribute ends early
    # A result is HTML for the next part, which does not escape it again.
    assert Markup("<p>{}</p>").format(kept) == f"<p>{kept}</p>"


def test_a_drawing_stays_as_it_is_but_for_its_name() -> None:
    drawn = figures([Plot("t", "alt", "<svg viewBox='0 0 1 1'><g/></svg>", "")])
    assert """<svg role="img" aria-label="alt" viewBox='0 0 1 1'><g/></svg></figure>""" in drawn
    assert figures([]) == ""


def test_a_section_is_html_and_its_title_is_text() -> None:
    numbers = table(["a"], [[HOSTILE]])
    sections = {
        "summary": Section(HOSTILE, f"<p>The team's own words</p>{numbers}"),
        "more": Section("More", Markup("<p>{}</p>").format(HOSTILE) + numbers),
    }
    page = html_page(HOSTILE, Markup("<b>lead</b>"), sections, Markup("<i>foot</i>"))
    for part in ("<p>The team's own words</p>", "<b>lead</b>", "<i>foot</i>"):
        assert part in page
    assert page.count(f"{numbers}") == 2
    assert "<script" not in page and page.count(SHOWN) == 2 + 2 + 3
    assert f'content="{html.POLICY}"' in page


def test_a_value_that_is_missing_is_an_error_and_no_gap() -> None:
    with pytest.raises(UndefinedError, match="'gone' is undefined"):
        html.environment().from_string("<p>{{ gone }}</p>").render()


def test_the_form_shows_any_text_as_text() -> None:
    columns = [
        Column(HOSTILE, "category", False, categories=("a", HOSTILE)),
        Column("when", "datetime", True, format=HOSTILE),
        Column("comment", "string", True),
    ]
    form = {"kind": HOSTILE, "prediction": {HOSTILE: {"title": HOSTILE}}}
    model: Any = Given(
        document={"target": HOSTILE},
        run_id="0123abcd",
        card=f"# Model {HOSTILE}",
        answer_form=form,
        example={HOSTILE: HOSTILE, "when": None, "comment": HOSTILE},
        reader=Given(columns=columns, rules=Rules(True, True, 10)),
    )
    page = local_page(model, "default-src 'none'", ["page.js"])
    assert re.findall("<script[^>]*>", page) == ['<script src="page.js">']
    assert page.count(f'<option value="&#39;&#34;&gt;{SHOWN}') == 1
    assert page.count(" selected>") == 1
    assert f'value="&#39;&#34;&gt;{SHOWN}&lt;/script&gt;">' in page
    assert f"a date as &#39;&#34;&gt;{SHOWN}" in page
    assert "content=\"default-src 'none'\"" in page


def test_the_description_shows_any_text_as_text() -> None:
    rows = {"properties": {"rows": {"items": {"properties": {HOSTILE: {"enum": [HOSTILE]}}}}}}
    body = {"content": {"application/json": {"schema": rows, "example": {HOSTILE: HOSTILE}}}}
    operation = {
        "summary": HOSTILE,
        "parameters": [{"name": HOSTILE, "description": HOSTILE}],
        "requestBody": body,
        "responses": {HOSTILE: {"description": HOSTILE}},
    }
    page = docs_page({"paths": {HOSTILE: {"post": operation}}})
    assert "<script" not in page
    assert page.count(SHOWN) == 1 + 1 + 2 + 2 + 2 + 2


def relative(path: Path) -> str:
    """Return a file's path below the package."""
    return path.relative_to(PACKAGE).as_posix()


def test_no_part_escapes_by_hand() -> None:
    pattern = re.compile(r"(?<![\w.])escape\(|\b(html|markupsafe)\.escape|\bimport .*\bescape\b")
    found = [path for path in PACKAGE.rglob("*.py") if pattern.search(path.read_text("utf-8"))]
    assert [*map(relative, found)] == []


def test_what_templates_take_as_html_is_listed() -> None:
    found = {
        relative(path): re.findall(r"\{\{-? *([^{}|]+?) *\| *safe\b", path.read_text("utf-8"))
        for path in PACKAGE.rglob("*.jinja")
    }
    assert {name: names for name, names in found.items() if names} == SAFE
    text = "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.jinja"))
    assert "autoescape" not in text


@pytest.mark.modules
def test_a_page_fits_a_phone_and_has_its_landmarks(browser: Any, tmp_path: Path) -> None:
    """A fingerprint has no place to break; a wide table scrolls on its own."""
    hash_of = "3f2a9c1e" * 8
    shown = bullets([f"Fingerprint of the split: {hash_of}; seed 42."])
    shown += verdict("Missed", f"Model {hash_of}", missed=True) + cards(
        [("Data", hash_of, hash_of)]
    )
    shown += table(["Part", hash_of], [[hash_of, hash_of]], caption=hash_of)
    shown += figures([Plot(hash_of, "alt", "<svg viewBox='0 0 1 1'></svg>", hash_of)])
    page = tmp_path / "page.html"
    sections, lead = {"summary": Section(hash_of, shown)}, Markup("{}").format(hash_of)
    page.write_text(html_page("demo", lead, sections, lead), "utf-8")
    browser.resize(390)
    browser.open(page.as_uri())
    assert browser.ask("document.documentElement.scrollWidth") <= 390
    roles = [node.role for node in browser.tree()]
    assert {"banner", "navigation", "main", "contentinfo", "region"} <= set(roles)
    assert (roles.count("main"), roles.count("banner")) == (1, 1)
