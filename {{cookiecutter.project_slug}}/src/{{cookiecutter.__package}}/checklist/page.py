"""The checklist as one page of HTML that needs neither a network nor a script."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from markupsafe import Markup

from ..reporting.html import render
from .catalogue import SECTIONS, STAGES, TESTS_PER_SECTION, Evidence
from .records import one_line
from .verify import (
    KINDS,
    NEXT,
    PAPER,
    SIGNS,
    STATES,
    Assessment,
    Survey,
    by_area,
    count,
    next_stage,
    rule_text,
    split_code,
    state_of,
    upcoming,
)

FOLDER = Path(__file__).parent
# The page of the pipeline's report has the same colours and sizes.
STYLES = (FOLDER.parent / "reporting" / "report.css", FOLDER / "page.css")
SCRIPT = FOLDER / "page.js"
CODE = Markup("<code>{}</code>")
# By sign and word; the colour only repeats it.
STATE = Markup('<span class="state {}"><span aria-hidden="true">{}</span> {}</span>')
BUILT_IN = Markup('<span class="built-in">built in</span>')


def page(survey: Survey, written: date) -> str:
    """Return the whole page."""
    shown = survey.shown
    style = "".join(path.read_text(encoding="utf-8") for path in STYLES)
    script = SCRIPT.read_text(encoding="utf-8")
    return render(
        "checklist/page.html.jinja",
        policy=_policy(style, script),
        style=style,
        script=script,
        written=written.isoformat(),
        shown=shown,
        records=survey.records,
        score=survey.score,
        counts=count(shown.results.values()),
        areas=[(area, results, count(results)) for area, results in by_area(shown)],
        boxes=list(_boxes(shown)),
        upcoming=upcoming(shown)[:NEXT],
        following=next_stage(shown),
        kinds=KINDS,
        states={each: STATE.format(each.replace(" ", "-"), SIGNS[each], each) for each in STATES},
        built_in=BUILT_IN,
        sections=SECTIONS,
        tests_per_section=TESTS_PER_SECTION,
        paper=PAPER,
        text=text,
        one_line=one_line,
        rule=_rule,
        state_of=state_of,
    )


def _policy(style: str, script: str) -> str:
    """Return a policy that allows only this style and this script, and no request."""
    rules = ["default-src 'none'", "base-uri 'none'", "form-action 'none'"]
    for kind, content in (("style", style), ("script", script)):
        digest = b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
        rules.append(f"{kind}-src 'sha256-{digest}'")
    return "; ".join(rules)


def text(words: str) -> str:
    """Return words for the template: what stands in backticks is code."""
    if "`" not in words:
        return one_line(words)
    return Markup("").join(
        CODE.format(piece) if is_code else piece for piece, is_code in split_code(one_line(words))
    )


def _rule(evidence: Evidence) -> str:
    """Return a proof as the YAML states it, on one line."""
    return one_line(rule_text(evidence))


def _boxes(shown: Assessment) -> Iterator[tuple[str, str, Mapping[str, str], Counter[str]]]:
    """Yield each group of filters: its title, its name, its values in words, and how many each."""
    results = shown.results.values()
    yield "State", "state", {each: each for each in STATES}, Counter(r.state for r in results)
    yield "Stage", "stage", {each: each for each in STAGES}, Counter(r.item.stage for r in results)
    yield "Proof", "kind", KINDS, Counter(result.item.kind for result in results)
