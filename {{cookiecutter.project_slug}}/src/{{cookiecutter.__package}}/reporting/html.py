"""The parts of an HTML page: tables, figures, cards, and the page itself.

Templates, `*.html.jinja`, hold the HTML. What is not `Markup` is escaped there, and by the methods
of `Markup`: `Markup("<p>{}</p>").format(text)`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from jinja2 import Environment

    from .plots import Plot

PARTS = "reporting/parts.html.jinja"
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
        html: Its content, taken as HTML even where it is a plain string; headings begin with h3.
    """

    title: str
    html: str


@cache
def environment() -> Environment:
    """Return the one environment of all templates, whose names begin at the package's folder."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parents[1]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, **values: object) -> str:
    """Return a whole page from a template such as `serving/page.html.jinja`."""
    return environment().get_template(template).render(values)


def macro(template: str, name: str, *values: object) -> Markup:
    """Return what a macro of a template makes of text and `Markup`."""
    made: Markup = getattr(environment().get_template(template).module, name)(*values)
    return made


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    caption: str = "",
    chosen: int | None = None,
    texts: Sequence[str] = (),
) -> Markup:
    """Return a table that scrolls on its own on a narrow screen.

    Args:
        headings: Of the columns; the first column names the rows.
        rows: The cells; numbers stand to the right, None is a dash.
        caption: What the table shows.
        chosen: The row to bring out.
        texts: Headings of columns with long texts, which may wrap.
    """
    columns = []
    for place, name in enumerate(headings):
        number = _is_numeric([row[place] for row in rows])
        columns.append((name, "number" if number else "text" if name in texts else ""))
    cells = [[_cell(value) for value in row] for row in rows]
    return macro(PARTS, "table", columns, cells, caption, chosen)


def figures(drawn: Sequence[Plot]) -> Markup:
    """Return plots side by side, one below the other on a narrow screen."""
    return macro(PARTS, "figures", drawn)


def cards(shown: Sequence[tuple[str, str, str]]) -> Markup:
    """Return the few numbers to see first."""
    return macro(PARTS, "cards", shown)


def bullets(sentences: Iterator[str] | Sequence[str], *, capital: bool = True) -> Markup:
    """Return sentences as a list, each with a capital letter first or as it is."""
    return macro(PARTS, "bullets", list(sentences), capital)


def verdict(word: str, sentence: str, *, missed: bool, warnings: Sequence[str] = ()) -> Markup:
    """Return what a page says first: a word or two, a sentence, and reasons to doubt it."""
    return macro(PARTS, "verdict", word, sentence, missed, warnings)


def html_page(title: str, lead: Markup, sections: Mapping[str, Section], foot: Markup) -> str:
    """Return a page that needs nothing from elsewhere.

    Args:
        title: Plain text.
        lead: The line below it.
        sections: By their anchors, the first called "summary".
        foot: The last line.
    """
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return macro(PARTS, "page", title, lead, sections, foot, POLICY, style)


def _cell(value: object) -> str:
    """Return a cell's text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


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
