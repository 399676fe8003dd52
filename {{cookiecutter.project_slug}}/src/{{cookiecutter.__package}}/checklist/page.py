"""The checklist as one page of HTML that needs neither a network nor a script."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from html import escape
from pathlib import Path

from .catalogue import SECTIONS, STAGES, TESTS_PER_SECTION, Area, Item, Reference
from .records import Records, one_line
from .verify import (
    DONE,
    KINDS,
    NEXT,
    PAPER,
    SIGNS,
    STALE,
    STATES,
    WAIVED,
    Assessment,
    Counts,
    ItemResult,
    Score,
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


def page(survey: Survey, written: date) -> str:
    """Return the whole page."""
    shown = survey.shown
    style = "".join(path.read_text(encoding="utf-8") for path in STYLES)
    script = SCRIPT.read_text(encoding="utf-8")
    name = text(shown.project)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_policy(style, script)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}: checklist</title>
<style>{style}</style>
</head>
<body class="checklist">
<a class="skip" href="#items">Skip to the items</a>
<header>
<h1>{name}: checklist</h1>
<p class="soft">Stage <strong>{shown.stage}</strong>, data {_mark(shown.data)}, model in service
{_mark(shown.model)}, written on <time>{written.isoformat()}</time>.</p>
</header>
<main>
{_summary(shown)}
<div class="pair">
{_progress(shown)}
{_score(survey.score)}
</div>
{_items(survey)}
</main>
<footer><p>Written by <code>checklist report</code>. A proof about other data or another model than
today's is stale; what is waived or not applicable is counted apart.</p></footer>
<script>{script}</script>
</body>
</html>
"""


def _policy(style: str, script: str) -> str:
    """Return a policy that allows only this style and this script, and no request."""
    rules = ["default-src 'none'", "base-uri 'none'", "form-action 'none'"]
    for kind, content in (("style", style), ("script", script)):
        digest = b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
        rules.append(f"{kind}-src 'sha256-{digest}'")
    return "; ".join(rules)


def text(words: str) -> str:
    """Return words as HTML: what stands in backticks is code, everything else is escaped."""
    return "".join(
        f"<code>{escape(piece)}</code>" if is_code else escape(piece)
        for piece, is_code in split_code(one_line(words))
    )


def _mark(value: str | None) -> str:
    """Return a fingerprint or a run id."""
    return f"<code>{escape(value)}</code>" if value else "none yet"


def _summary(shown: Assessment) -> str:
    """Return whether the stage's gate passes, and how many items are in each state."""
    counts = count(shown.results.values())
    if counts.missing:
        state, headline = " missed", f'Gate "{shown.stage}" failed'
        sentence = f"{counts.missing_clause}."
    else:
        state, headline = "", f'Gate "{shown.stage}" passed'
        sentence = f"All {counts.total} items are done or settled."
    cards = "".join(
        f"<div><dt>{_state(state)}</dt><dd>{number}</dd></div>"
        for state, number in counts.by_state.items()
    )
    return f"""<section aria-labelledby="summary-title">
<h2 id="summary-title">Where it stands</h2>
<div class="verdict{state}"><strong>{headline}</strong><p>{sentence}</p></div>
<dl class="cards">{cards}</dl>
{_next(shown)}</section>"""


def _next(shown: Assessment) -> str:
    """Return what to do next."""
    entries = "".join(
        f'<li>{_state(result.state)} <a href="#item-{result.item.id}">'
        f"{text(result.item.title)}</a></li>"
        for result in upcoming(shown)[:NEXT]
    )
    return f'<h3>Next</h3><ol class="next">{entries}</ol>\n' if entries else ""


def _state(state: str) -> str:
    """Return a state by sign and word; the colour only repeats it."""
    kind = state.replace(" ", "-")
    return (
        f'<span class="state {kind}"><span aria-hidden="true">{SIGNS[state]}</span> {state}</span>'
    )


def _progress(shown: Assessment) -> str:
    """Return a bar per area."""
    rows = "".join(_area_row(area, count(results)) for area, results in by_area(shown))
    return f"""<section aria-labelledby="areas-title">
<h2 id="areas-title">By area</h2>
<ul class="bars">{rows}</ul>
</section>"""


def _area_row(area: Area, counts: Counts) -> str:
    apart = [
        f"{number} {state}" for state, number in counts.by_state.items() if number and state != DONE
    ]
    states = ", ".join(apart) or "all done"
    return (
        f'<li><a href="#area-{escape(area.name)}">{text(area.title)}</a>{_area_bar(counts)}'
        f'<b>{counts.done}/{counts.total}</b><span class="soft">{states}</span></li>'
    )


def _area_bar(counts: Counts) -> str:
    """Return the shares of what is done, stale and open, side by side."""
    total = counts.total or 1
    shares = [(DONE, counts.done if counts.total else 1), (STALE, counts.stale)]
    return _bar([(state, number / total) for state, number in shares])


def _bar(parts: Iterable[tuple[str, float]]) -> str:
    """Return a bar; its numbers stand beside it as text."""
    drawn, place = [], 0.0
    for kind, share in parts:
        if share:
            drawn.append(
                f'<rect class="{kind}" x="{place:.4g}" width="{share * 100:.4g}" height="8"/>'
            )
        place += share * 100
    return (
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="rest" width="100" height="8"/>{"".join(drawn)}</svg>'
    )


def _score(score: Score) -> str:
    """Return the ML Test Score: a bar per section, and how the paper reads the lowest."""
    rows = "".join(
        f"<li><span>{title}</span>{_bar([(DONE, score.sections[name] / TESTS_PER_SECTION)])}"
        f"<b>{score.sections[name]:g}/{TESTS_PER_SECTION}</b></li>"
        for name, title in SECTIONS.items()
    )
    return f"""<section aria-labelledby="score-title">
<h2 id="score-title">ML Test Score: {score.total:g} of {TESTS_PER_SECTION}</h2>
<p>{score.reading[0].upper()}{score.reading[1:]}.</p>
<ul class="bars plain">{rows}</ul>
<p class="soft">The lowest section counts. A test that a machine repeats gives 1 point, one that a
person vouches for 0.5 (<a href="{PAPER}">Breck et al., 2017</a>).
All stages count here.</p>
</section>"""


def _items(survey: Survey) -> str:
    """Return the filters, and every item by area."""
    areas = "".join(
        f'<section class="area" id="area-{escape(area.name)}" aria-labelledby="title-{area.name}">'
        f'<h3 id="title-{escape(area.name)}">{text(area.title)}</h3><p class="soft">'
        f"{text(area.about)}</p><ul>"
        f'{"".join(_item(result, survey.records) for result in results)}</ul></section>'
        for area, results in by_area(survey.shown)
    )
    following = next_stage(survey.shown)
    more = (
        f'<p class="soft">{following[1]} more at {following[0]}: '
        f"<code>checklist report --stage {following[0]}</code></p>"
        if following
        else ""
    )
    return f"""<section id="items" aria-labelledby="items-title">
<h2 id="items-title">Items</h2>
{_filters(survey.shown)}
{areas}
<p id="none" hidden>No item fits these filters.</p>
{more}
</section>"""


def _filters(shown: Assessment) -> str:
    """Return the controls; a script shows them, since without one they would do nothing."""
    areas = "".join(
        f'<option value="{escape(area.name)}">{text(area.title)}</option>'
        for area, _ in by_area(shown)
    )
    results = shown.results.values()
    groups = "".join(
        _boxes(legend, name, words, Counter(values))
        for legend, name, words, values in (
            ("State", "state", {state: state for state in STATES}, [r.state for r in results]),
            ("Stage", "stage", {stage: stage for stage in STAGES}, [r.item.stage for r in results]),
            ("Proof", "kind", KINDS, [r.item.kind for r in results]),
        )
    )
    return f"""<form id="filters" hidden aria-label="Filter the items">
<div class="row"><label>Search
<input type="search" name="q" placeholder="leakage, docs/data.md"></label>
<label>Area <select name="area"><option value="">All areas</option>{areas}</select></label></div>
{groups}
<div class="row"><p id="count" role="status"></p><div>
<button type="button" id="unfold" aria-pressed="false">Open all</button>
<button type="button" id="all">Clear filters</button></div></div>
</form>"""


def _boxes(legend: str, name: str, words: Mapping[str, str], numbers: Counter[str]) -> str:
    """Return a group of boxes, one for each value that there is; none ticked means all."""
    boxes = "".join(
        f'<label><input type="checkbox" name="{name}" value="{value}"> {word} '
        f"<b>{numbers[value]}</b></label>"
        for value, word in words.items()
        if numbers[value]
    )
    return f"<fieldset><legend>{legend}</legend>{boxes}</fieldset>"


def _item(result: ItemResult, records: Records) -> str:
    """Return an item: its claim and its state, and the rest to unfold."""
    about = result.item
    return f"""
<li id="item-{about.id}" data-area="{escape(about.area)}" data-stage="{about.stage}"
 data-state="{result.state}" data-kind="{about.kind}"><details><summary>
<h4>{text(about.title)}</h4> {_state(result.state)}
<span class="soft tags"><code>{about.id}</code> {about.stage}, {KINDS[about.kind]}</span>
<span class="soft reason">{text(result.reason)}</span></summary>
<dl>
{"".join(_details(result, records))}
</dl></details></li>"""


def _details(result: ItemResult, records: Records) -> Iterator[str]:
    """Yield what unfolds, as pairs of a term and what it is."""
    about = result.item
    yield _pair("Why", text(about.why))
    yield _pair("How", text(about.how))
    yield _pair("Proof", _proofs(result))
    choices = [(option.name, option.when, option.built_in) for option in about.options]
    yield _pair("Options", _choices(choices))
    yield _pair(
        "Tools", _choices([(tool.name, tool.purpose, tool.built_in) for tool in about.tools])
    )
    yield _pair("Read on", _list(map(_reference, about.references)))
    if about.ml_test_score:
        section = SECTIONS.get(about.ml_test_score.partition("-")[0], "").lower()
        yield _pair("ML Test Score", f"<code>{escape(about.ml_test_score)}</code>, {section}")
    yield from _decisions(about, records)


def _pair(term: str, html: str) -> str:
    return f"<dt>{term}</dt><dd>{html}</dd>\n" if html else ""


def _list(entries: Iterable[str]) -> str:
    found = list(entries)
    return f"<ul>{''.join(f'<li>{entry}</li>' for entry in found)}</ul>" if found else ""


def _proofs(result: ItemResult) -> str:
    """Return each proof as the YAML states it, with what was found."""
    entries = []
    for number, evidence in enumerate(result.item.evidence):
        rule = f"<code>{escape(one_line(rule_text(evidence)))}</code>"
        if number < len(result.verdicts):
            verdict = result.verdicts[number]
            rule = f"{_state(state_of(verdict))} {text(verdict.message)}<br>{rule}"
        entries.append(rule)
    return _list(entries)


def _choices(entries: Iterable[tuple[str, str, bool]]) -> str:
    """Return options or tools; what the template builds in is marked."""
    mark = ' <span class="built-in">built in</span>'
    return _list(
        f"<strong>{text(name)}</strong>{mark if built_in else ''}: {text(about)}"
        for name, about, built_in in entries
    )


def _reference(reference: Reference) -> str:
    """Return a reference; only addresses of the web become links."""
    title = text(reference.title)
    if reference.url.startswith(("https://", "http://")):
        title = f'<a href="{escape(reference.url)}" rel="noreferrer">{title}</a>'
    else:
        title = f"{title} <code>{escape(one_line(reference.url))}</code>"
    return f"{title}, {text(reference.by)}"


def _decisions(about: Item, records: Records) -> Iterator[str]:
    """Yield what people decided."""
    signed, waived = records.signoffs.get(about.id), records.waivers.get(about.id)
    if signed:
        yield _pair("Signed", f"{text(signed.by)}, {escape(signed.date)}: {text(signed.note)}")
    if waived:
        decision = f"{text(waived.by)}, {escape(waived.date)}: {text(waived.reason)}"
        yield _pair(WAIVED.capitalize(), decision)
