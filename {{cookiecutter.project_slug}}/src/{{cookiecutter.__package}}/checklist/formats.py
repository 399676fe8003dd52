"""The checklist for programs (JSON), for the repository (Markdown, a badge), and on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..core.files import write_text
from ..core.project import Project
from .catalogue import SECTIONS, TESTS_PER_SECTION, folder_of
from .records import Records, one_line
from .verify import (
    KINDS,
    NOT_APPLICABLE,
    SIGNS,
    STATES,
    WAIVED,
    Assessment,
    Counts,
    ItemResult,
    Survey,
    by_area,
    count,
    next_stage,
    split_code,
)

# Raised when a program that reads the document would have to change; adding a key does not.
# docs/checklist.schema.json of the template describes it.
VERSION = 1

MARKUP = "\\`*_[]<>&|~$"

HEIGHT = 20
# Text on each is white, in a contrast of at least 4.5 to 1.
LABEL = "#39434f"
SHARES = ((1.0, "#00694c"), (2 / 3, "#00558f"), (1 / 3, "#7a5200"), (0.0, "#a33a00"))


def document(survey: Survey) -> dict[str, Any]:
    """Return everything for programs: the documented format of `checklist --json`."""
    shown, score, following = survey.shown, survey.score, next_stage(survey.shown)
    return {
        "version": VERSION,
        "project": shown.project,
        "stage": shown.stage,
        "data": shown.data,
        "model": shown.model,
        "newer": shown.newer,
        "counts": _numbers(count(shown.results.values())),
        "later": {"stage": following[0], "items": following[1]} if following else None,
        "areas": [
            {
                "name": area.name,
                "title": area.title,
                "about": area.about,
                "counts": _numbers(count(results)),
            }
            for area, results in by_area(shown)
        ],
        "ml_test_score": {
            "total": score.total,
            "reading": score.reading,
            "sections": score.sections,
            "tests": score.tests,
        },
        "items": [_item(result, survey.records) for result in shown.results.values()],
    }


def _numbers(counts: Counts) -> dict[str, int]:
    """Return counts under names that are identifiers in any programming language."""
    named = {state.replace(" ", "_"): number for state, number in counts.by_state.items()}
    return {"total": counts.total, **named}


def _item(result: ItemResult, records: Records) -> dict[str, Any]:
    """Return an item with its state."""
    about = asdict(result.item)
    proofs = about.pop("evidence")
    del about["applies"]
    # An item that does not apply has no verdicts; its proofs are listed all the same.
    verdicts = map(asdict, result.verdicts) if result.verdicts else ({} for _ in proofs)
    signed, waived = records.signoffs.get(about["id"]), records.waivers.get(about["id"])
    return {
        **about,
        "kind": result.item.kind,
        "state": result.state,
        "reason": result.reason,
        "findings": [
            {"kind": proof["kind"], "rule": proof["rule"]}
            | {key: verdict.get(key) for key in ("holds", "stale", "message")}
            for proof, verdict in zip(proofs, verdicts, strict=True)
        ],
        "signoff": asdict(signed) if signed else None,
        "waiver": asdict(waived) if waived else None,
    }


def markdown(survey: Survey) -> str:
    """Return the checklist as a page for the repository; the same states give the same bytes."""
    shown, score = survey.shown, survey.score
    lines = [
        f"# Checklist of {inline(shown.project)}",
        "",
        "![Checklist](badge.svg)",
        "",
        "<!-- Written by `checklist report`; changes made here are lost. -->",
        "",
        f"Stage **{shown.stage}**, data {_code(shown.data)}, model in service "
        f"{_code(shown.model)}{_last_model(shown)}. `checklist show ID` tells all about an item.",
        "",
        *_totals(shown),
        "",
        f"**ML Test Score** (Breck et al., 2017): {score.total:g} of {TESTS_PER_SECTION}, "
        f"{score.reading}. "
        + ", ".join(f"{title} {score.sections[name]:g}" for name, title in SECTIONS.items())
        + "; the lowest counts.",
        "",
    ]
    for area, results in by_area(shown):
        lines += [f"## {inline(area.title)}", "", inline(area.about), ""]
        lines += ["| | Item | State |", "|:-:|---|---|"]
        lines += [_row(result) for result in results]
        lines.append("")
    return "\n".join([*lines, *_legend(shown)])


def _last_model(shown: Assessment) -> str:
    """Return the clause about the last model where another one is in service."""
    return f" (the last model, {_code(shown.newer)}, is not)" if shown.newer else ""


def _totals(shown: Assessment) -> Iterator[str]:
    """Yield a table of the areas, and of all of them."""
    yield "| Area | Done | Open | Stale | Waived | Not applicable |"
    yield "|---|--:|--:|--:|--:|--:|"
    rows = [(inline(area.title), count(results)) for area, results in by_area(shown)]
    for title, counts in [*rows, ("**All**", count(shown.results.values()))]:
        rest = [number or "" for number in list(counts.by_state.values())[1:]]
        cells = [title, f"{counts.done}/{counts.total}", *rest]
        yield f"| {' | '.join(map(str, cells))} |"


def _row(result: ItemResult) -> str:
    """Return an item as a row of a table."""
    about, reason = result.item, inline(result.reason)
    claim = f"{inline(about.title)}<br>`{about.id}`, {about.stage}, {KINDS[about.kind]}"
    return f"| {SIGNS[result.state]} | {claim} | **{result.state}**: {reason} |"


def _legend(shown: Assessment) -> Iterator[str]:
    """Yield what the signs mean, and what the next stage adds."""
    signs = ", ".join(f"{SIGNS[state]} {state}" for state in STATES)
    yield f"Signs: {signs}. What is {WAIVED} or {NOT_APPLICABLE} is counted apart."
    following = next_stage(shown)
    if following:
        yield ""
        yield f"{following[1]} more items at the stage {following[0]}."
    yield ""


def inline(text: str) -> str:
    """Return a text for a line of Markdown: `code` stays code, everything else is escaped."""
    return "".join(
        _code(piece) if is_code else _escape(piece) for piece, is_code in split_code(one_line(text))
    )


def _code(text: str | None) -> str:
    """Return code for a line of Markdown, which may stand in a table."""
    if text is None:
        return "none yet"
    # A bar would end the cell, even in code.
    return f"<code>{_escape(text)}</code>" if set(text) & set("`|") else f"`{text}`"


def _escape(text: str) -> str:
    """Return text in which nothing is taken for Markdown, HTML or a formula."""
    return "".join(f"\\{sign}" if sign in MARKUP else sign for sign in text)


def badge(assessment: Assessment) -> str:
    """Return an SVG that says how much is done, in words and by its colour."""
    counts = count(assessment.results.values())
    colour = next(colour for least, colour in SHARES if counts.share >= least)
    label, value = "checklist", f"{counts.done}/{counts.total} {assessment.stage}"
    left, right = _text_width(label), _text_width(value)
    title = Markup("Checklist: {} of {} items done at {}").format(
        counts.done, counts.total, assessment.stage
    )
    width = left + right
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" role="img" \
aria-labelledby="title">
<title id="title">{title}</title>
<clipPath id="round"><rect width="{width}" height="{HEIGHT}" rx="3"/></clipPath>
<g clip-path="url(#round)">
<rect width="{left}" height="{HEIGHT}" fill="{LABEL}"/>
<rect x="{left}" width="{right}" height="{HEIGHT}" fill="{colour}"/>
</g>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{left / 2:g}" y="14">{label}</text>
<text x="{left + right / 2:g}" y="14">{value}</text>
</g>
</svg>
"""


def _text_width(text: str) -> int:
    """Return the width of a part; 11 px Verdana takes about 7 px a sign, narrow ones 4."""
    return 12 + round(sum(4 if sign in " ijlt/" else 7 for sign in text))


def write(project: Project, survey: Survey) -> list[Path]:
    """Write the page, the Markdown and the badge; return where they are."""
    from .page import page

    files = {
        project.reports / "checklist.html": page(survey, datetime.now(UTC).date()),
        folder_of(project) / "checklist.md": markdown(survey),
        folder_of(project) / "badge.svg": badge(survey.shown),
    }
    for path, text in files.items():
        write_text(path, text)
    return list(files)
