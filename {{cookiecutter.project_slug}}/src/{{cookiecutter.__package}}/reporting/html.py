"""The parts of an HTML page: tables, figures, cards, and the page itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from .plots import Plot

LONGEST = 300
# Nothing from elsewhere is loaded, whatever the data or a module's section holds.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; font-src data:"
)


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: Its heading.
        html: Its content; headings in it begin with h3.
    """

    title: str
    html: str


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    caption: str = "",
    chosen: int | None = None,
    texts: Sequence[str] = (),
) -> str:
    """Return a table that scrolls on its own on a narrow screen.

    Args:
        headings: Of the columns; the first column names the rows.
        rows: The cells; numbers stand to the right, None is a dash.
        caption: What the table shows.
        chosen: The row to bring out.
        texts: Headings of columns with long texts, which may wrap.
    """
    numbers = [_is_numeric([row[place] for row in rows]) for place in range(len(headings))]
    head = "".join(
        f'<th scope="col"{_class(number and "number")}>{escape(name)}</th>'
        for name, number in zip(headings, numbers, strict=True)
    )
    body = []
    for at, row in enumerate(rows):
        cells = [f'<th scope="row">{_cell(row[0])}</th>']
        for name, number, value in list(zip(headings, numbers, row, strict=True))[1:]:
            kind = "number" if number else "text" if name in texts else ""
            cells.append(f"<td{_class(kind)}>{_cell(value)}</td>")
        body.append(f"<tr{_class(at == chosen and 'chosen')}>{''.join(cells)}</tr>")
    label = escape(caption or headings[0], quote=True)
    told = f'<p class="soft caption">{escape(caption)}</p>' if caption else ""
    return (
        f'{told}<div class="wide" role="region" aria-label="{label}" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def figures(drawn: Sequence[Plot]) -> str:
    """Return plots side by side, one below the other on a narrow screen."""
    parts = []
    for plot in drawn:
        alt = escape(plot.alt, quote=True)
        svg = plot.svg.replace("<svg ", f'<svg role="img" aria-label="{alt}" ', 1)
        note = f'<p class="soft">{escape(plot.note)}</p>' if plot.note else ""
        parts.append(f"<figure><figcaption>{escape(plot.title)}</figcaption>{svg}{note}</figure>")
    return f'<div class="plots">{"".join(parts)}</div>' if parts else ""


def html_page(title: str, lead: str, sections: Mapping[str, Section], foot: str) -> str:
    """Return a page that needs nothing from elsewhere.

    Args:
        title: Plain text.
        lead: HTML of the line below it.
        sections: By their anchors, the first called "summary".
        foot: HTML of the last line.
    """
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    links = "".join(
        f'<li><a href="#{key}">{escape(section.title)}</a></li>'
        for key, section in sections.items()
    )
    bodies = "\n".join(
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">'
        f"{escape(section.title)}</h2>\n{section.html}</section>"
        for key, section in sections.items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#summary">Skip to the summary</a>
<header>
<h1>{escape(title)}</h1>
<p class="soft">{lead}</p>
</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main>
{bodies}
</main>
<footer><p>{foot}</p></footer>
</body>
</html>
"""


def cards(shown: Sequence[tuple[str, str, str]]) -> str:
    """Return the few numbers to see first."""
    parts = [
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd><dd>{escape(told)}</dd></div>"
        for name, value, told in shown
    ]
    return f'<dl class="cards">{"".join(parts)}</dl>'


def bullets(sentences: Iterator[str] | Sequence[str]) -> str:
    """Return sentences as a list."""
    items = "".join(f"<li>{escape(text[:1].upper() + text[1:])}</li>" for text in sentences)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _cell(value: object) -> str:
    """Return a cell's text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return escape(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")


def _class(name: str | bool) -> str:
    """Return a class attribute, or nothing."""
    return f' class="{name}"' if name else ""


def _is_numeric(cells: Sequence[object]) -> bool:
    """Tell whether most of a column are numbers, written in whatever way."""
    texts = [str(cell) for cell in cells if cell is not None]
    found = sum(bool(re.fullmatch(r"[-+\d.,%\s±e]+( to [-+\d.,e]+)?", text)) for text in texts)
    return 2 * found > len(texts)


def short_number(value: Any) -> str:
    """Return a number of the data with four significant digits, whole ones in full."""
    number = float(value)
    whole = number.is_integer() or abs(number) >= 1000
    return f"{number:,.0f}" if whole and abs(number) < 1e15 else f"{number:,.4g}"
