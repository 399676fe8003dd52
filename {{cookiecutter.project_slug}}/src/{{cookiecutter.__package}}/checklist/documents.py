"""The written answers in `docs/`: what people wrote below each question, and the measured parts.

A measured part stands between two comments and is written by the pipeline; all else in a document
is people's, and is kept byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..core.errors import UserError

if TYPE_CHECKING:
    pass

BEGIN = re.compile(r"\s*<!--\s*measured:\s*([\w-]+)\s*-->\s*")
END = re.compile(r"\s*<!--\s*end of measured\s*-->\s*")
CONFLICT = re.compile(r"^(?:<{7}|>{7})(?: |\r?$)", re.MULTILINE)
HEADING = re.compile(r" {0,3}(#{1,2})[ \t]+(.*)")
QUOTE = re.compile(r" {0,3}> ?(.*)")
FENCE = re.compile(r"\s*(`{3,}(?=[^`]*$)|~{3,})")
# Code shields what looks like a comment inside it; a comment may end on a later line.
CODE_OR_COMMENT = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)|<!--.*?(?:-->|$)")
BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(?:\[[ xX]\]\s+)?")
# What `train` wrote of a line in the diary; a person goes on behind its "Why:".
RUN = re.compile(r"- \d{4}-\d\d-\d\d `[0-9a-f]{8}` (?:.*? Why:|.*)")
# In scripts that put no space between words, each sign counts as one.
IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")

Rows = Iterator[tuple[int, str]]


@dataclass(frozen=True)
class Section:
    """One `##` heading of a document.

    Attributes:
        title: The heading's text.
        slug: Its anchor on a rendered page: lower case, `-` for spaces.
        line: The heading's line, from 1.
        question: What it asks: the first paragraph of the quote below it.
        words: How many words people wrote there.
    """

    title: str
    slug: str
    line: int
    question: str
    words: int


@dataclass(frozen=True)
class Line:
    """One line of a document.

    Attributes:
        number: From 1.
        kind: heading, quote, own (people's), or begin, measured, end of a measured part.
        text: Without what marks its kind, and without comments.
    """

    number: int
    kind: str
    text: str


def read_document(path: Path) -> dict[str, Section]:
    """Return the sections of a document by their slugs, in its order.

    Raises:
        UserError: With file and line, if it is no UTF-8, holds a merge conflict or a heading twice,
            or a comment, a block of code or a measured part in it has no end.
    """
    sections: dict[str, Section] = {}
    for heading, body in _chapters(read_lines(read_text(path), shown_name(path))):
        section = _section(heading, body)
        if section.slug in sections:
            first = sections[section.slug].line
            fault = f"the heading '{section.title}' is in line {first} already; join the two"
            refuse(shown_name(path), section.line, fault)
        sections[section.slug] = section
    return sections


def make_slug(title: str) -> str:
    """Return the anchor that a rendered page gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


# ------------------------------------------------------------------------------------- sections


def _chapters(lines: Iterator[Line]) -> Iterator[tuple[Line, list[Line]]]:
    """Yield each `##` heading with the lines below it."""
    heading: Line | None = None
    body: list[Line] = []
    for line in lines:
        if line.kind not in ("heading", "title"):
            body.append(line)
            continue
        if heading is not None:
            yield heading, body
        heading, body = (line if line.kind == "heading" else None), []
    if heading is not None:
        yield heading, body


def _section(heading: Line, body: list[Line]) -> Section:
    """Return a heading with what stands below it."""
    words = sum(_count(line.text) for line in body if line.kind == "own")
    question = _question(body)
    return Section(heading.text, make_slug(heading.text), heading.number, question, words)


def _question(body: list[Line]) -> str:
    """Return the first paragraph of the first quote."""
    words: list[str] = []
    for line in body:
        if line.kind == "quote" and line.text.strip():
            words.append(line.text.strip())
        elif words:
            break
    return " ".join(words)


def _count(text: str) -> int:
    """Count a line's words: whatever holds a letter or a digit, but for what `train` wrote."""
    run = RUN.match(text)
    own = text[run.end() :] if run else BULLET.sub("", text, count=1)
    spaced = IDEOGRAPH.sub(r" \g<0> ", own)
    return sum(any(map(str.isalnum, word)) for word in spaced.split())


# -------------------------------------------------------------------------------- measured parts


# ----------------------------------------------------------------------------------------- lines


def read_lines(text: str, shown: str) -> Iterator[Line]:
    """Yield every line of a document by its kind, in order."""
    conflict = CONFLICT.search(text)
    if conflict:
        number = text.count("\n", 0, conflict.start()) + 1
        refuse(shown, number, "a merge conflict; choose a side and save it")
    plain = (row.removesuffix("\r") for row in text.removeprefix("\ufeff").split("\n"))
    rows = enumerate(plain, start=1)
    for number, row in rows:
        begin, heading = BEGIN.fullmatch(row), HEADING.fullmatch(row)
        fence, quote = FENCE.match(row), QUOTE.fullmatch(row)
        if begin:
            yield Line(number, "begin", begin[1])
            yield from _to_end_of_measured(rows, number, shown)
        elif END.fullmatch(row):
            refuse(shown, number, "a measured part ends here that begins nowhere; remove the line")
        elif heading:
            yield Line(number, "heading" if heading[1] == "##" else "title", _title(heading[2]))
        elif quote:
            yield Line(number, "quote", quote[1])
        elif fence:
            yield Line(number, "own", row)
            yield from _to_end_of_code(rows, number, fence[1], shown)
        else:
            yield from _without_comments(rows, number, row, shown)


def _title(text: str) -> str:
    """Return a heading's text without the `#` that may close it."""
    text = text.rstrip()
    bare = text.rstrip("#")
    return bare.rstrip() if not bare or bare[-1].isspace() else text


def _to_end_of_measured(rows: Rows, begun: int, shown: str) -> Iterator[Line]:
    """Yield the lines of a measured part, its last marker included."""
    for number, row in rows:
        if END.fullmatch(row):
            yield Line(number, "end", row)
            return
        if BEGIN.fullmatch(row) or HEADING.fullmatch(row):
            break
        yield Line(number, "measured", row)
    refuse(shown, begun, "this measured part has no end; put <!-- end of measured --> below it")


def _to_end_of_code(rows: Rows, begun: int, fence: str, shown: str) -> Iterator[Line]:
    """Yield the lines of a block of code, in which nothing else begins."""
    for number, row in rows:
        yield Line(number, "own", row)
        mark = row.strip()
        if mark.startswith(fence) and not mark.strip(fence[0]):
            return
    refuse(shown, begun, f"this block of code has no end; put {fence} below it")


def _without_comments(rows: Rows, number: int, row: str, shown: str) -> Iterator[Line]:
    """Yield a line without its comments, and the lines through which its last one goes on."""
    open_comment = False

    def keep(found: re.Match[str]) -> str:
        nonlocal open_comment
        if found[1]:
            return found[0]
        open_comment = not found[0].endswith("-->")
        return ""

    yield Line(number, "own", CODE_OR_COMMENT.sub(keep, row) if "<!--" in row else row)
    if open_comment:
        yield from _to_end_of_comment(rows, number, shown)


def _to_end_of_comment(rows: Rows, begun: int, shown: str) -> Iterator[Line]:
    """Yield the lines of a comment as empty ones, and what follows it on its last line."""
    for number, row in rows:
        _, closed, rest = row.partition("-->")
        if closed:
            yield from _without_comments(rows, number, rest, shown)
            return
        yield Line(number, "own", "")
    refuse(shown, begun, "this comment has no end; put --> behind it")


def read_text(path: Path) -> str:
    """Return a document as it is: line ends and a byte-order mark included."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{shown_name(path)} cannot be read ({error.strerror}); make it a file that can."
        ) from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        refuse(shown_name(path), number, "a character that is not UTF-8; save the file as UTF-8")


def shown_name(path: Path) -> str:
    """Return how messages name a document."""
    return f"{path.parent.name}/{path.name}"


def refuse(shown: str, line: int, fault: str) -> NoReturn:
    """Raise the sentence, with file and line."""
    raise UserError(f"{shown}, line {line}: {fault}.")
