"""Reading the written answers in `docs/`: what people wrote below each heading.

A measured part stands between two comments and is written by `measured.py`; everything else in a
document belongs to people. Nothing here writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ..core.errors import UserError

BEGIN = re.compile(r"\s*<!--\s*measured:\s*([\w-]+)\s*-->\s*")
END = re.compile(r"\s*<!--\s*end of measured\s*-->\s*")
CONFLICT = re.compile(r"^(?:<{7}|>{7})(?: |\r?$)", re.MULTILINE)
HEADING = re.compile(r" {0,3}(#{1,2})[ \t]+(.*)")
QUOTE = re.compile(r" {0,3}> ?(.*)")
FENCE = re.compile(r"\s*(`{3,}(?=[^`]*$)|~{3,})")
# Code shields what looks like a comment inside it; a comment may end on a later line.
CODE_OR_COMMENT = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)|<!--.*?(?:-->|$)")
BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(?:\[[ xX]\]\s+)?")
# What `train` wrote of a line in the diary; a person continues it after "Why:".
RUN = re.compile(r"- \d{4}-\d\d-\d\d `[0-9a-f]{8}` (?:.*? Why:|.*)")
# In scripts that put no space between words, each character counts as a word.
IDEOGRAPH = r"[\u3040-\u30ff\u3400-\u9fff]"

NumberedLines = Iterator[tuple[int, str]]


@dataclass(frozen=True)
class Heading:
    """One `##` heading of a document, with what people wrote below it.

    Attributes:
        title: The heading's text.
        slug: Its anchor on a rendered page: lower case, `-` for spaces.
        line: The number of its line, from 1.
        question: What it asks: the first paragraph of the quote below it.
        words: How many words people wrote below it.
        numbers: How many of these hold a digit.
    """

    title: str
    slug: str
    line: int
    question: str
    words: int
    numbers: int


@dataclass(frozen=True)
class MarkdownLine:
    """One line of a document.

    Attributes:
        number: From 1.
        kind: One of: title, heading, quote, own (people's), or begin, measured and end of a
            measured part.
        text: The line without the marks of its kind, and without comments.
    """

    number: int
    kind: str
    text: str


def read_document(path: Path) -> dict[str, Heading]:
    """Return the headings of a document by their slugs, in its order.

    Raises:
        UserError: With file and line: if the file is not UTF-8, contains a merge conflict or the
            same heading twice, or if a comment, a block of code or a measured part has no end.
    """
    shown = shown_name(path)
    headings: dict[str, Heading] = {}
    for line, body in _split_at_headings(read_lines(read_text(path), shown)):
        heading = _read_heading(line, body)
        if heading.slug in headings:
            first = headings[heading.slug].line
            fault = f"the heading '{heading.title}' is in line {first} already; join the two"
            refuse(shown, heading.line, fault)
        headings[heading.slug] = heading
    return headings


def make_slug(title: str) -> str:
    """Return the anchor that a rendered page gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


# ------------------------------------------------------------------------------------- headings


def _split_at_headings(
    lines: Iterator[MarkdownLine],
) -> Iterator[tuple[MarkdownLine, list[MarkdownLine]]]:
    """Yield the line of each `##` heading, with the lines below it."""
    heading: MarkdownLine | None = None
    body: list[MarkdownLine] = []
    for line in lines:
        if line.kind not in ("heading", "title"):
            body.append(line)
            continue
        if heading is not None:
            yield heading, body
        heading, body = (line if line.kind == "heading" else None), []
    if heading is not None:
        yield heading, body


def _read_heading(line: MarkdownLine, body: list[MarkdownLine]) -> Heading:
    """Return a heading with its question and the number of words below it."""
    words = [word for each in body if each.kind == "own" for word in _words(each.text)]
    numbers = sum(any(map(str.isdigit, word)) for word in words)
    slug, question = make_slug(line.text), _find_question(body)
    return Heading(line.text, slug, line.number, question, len(words), numbers)


def _find_question(body: list[MarkdownLine]) -> str:
    """Return the first paragraph of the first quote."""
    paragraph: list[str] = []
    for line in body:
        if line.kind == "quote" and line.text.strip():
            paragraph.append(line.text.strip())
        elif paragraph:
            break
    return " ".join(paragraph)


def _words(text: str) -> list[str]:
    """Return what contains a letter or a digit in a line, except for what `train` wrote."""
    run = RUN.match(text)
    own = text[run.end() :] if run else BULLET.sub("", text, count=1)
    # Compiled only where it may be needed: that takes longer than all else here.
    spaced = own if own.isascii() else re.sub(IDEOGRAPH, r" \g<0> ", own)
    return [word for word in spaced.split() if any(map(str.isalnum, word))]


# ----------------------------------------------------------------------------------------- lines


def read_lines(text: str, shown: str) -> Iterator[MarkdownLine]:
    """Yield every line of a document with its kind, in order.

    Args:
        text: The document.
        shown: How messages name it.

    Raises:
        UserError: With file and line, at the first fault.
    """
    conflict = CONFLICT.search(text)
    if conflict:
        number = text.count("\n", 0, conflict.start()) + 1
        refuse(shown, number, "a merge conflict; choose a side and save it")
    plain = (line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n"))
    lines = enumerate(plain, start=1)
    for number, line in lines:
        begin, heading = BEGIN.fullmatch(line), HEADING.fullmatch(line)
        fence, quote = FENCE.match(line), QUOTE.fullmatch(line)
        if begin:
            yield MarkdownLine(number, "begin", begin[1])
            yield from _to_end_of_measured(lines, number, shown)
        elif END.fullmatch(line):
            refuse(shown, number, "a measured part ends here that begins nowhere; remove the line")
        elif heading:
            kind = "heading" if heading[1] == "##" else "title"
            yield MarkdownLine(number, kind, _without_closing_marks(heading[2]))
        elif quote:
            yield MarkdownLine(number, "quote", quote[1])
        elif fence:
            yield MarkdownLine(number, "own", line)
            yield from _to_end_of_code(lines, number, fence[1], shown)
        else:
            yield from _without_comments(lines, number, line, shown)


def _without_closing_marks(title: str) -> str:
    """Return a heading's text without the `#` that may close it."""
    title = title.rstrip()
    bare = title.rstrip("#")
    return bare.rstrip() if not bare or bare[-1].isspace() else title


def _to_end_of_measured(lines: NumberedLines, begun: int, shown: str) -> Iterator[MarkdownLine]:
    """Yield the lines of a measured part, including its last marker."""
    for number, line in lines:
        if END.fullmatch(line):
            yield MarkdownLine(number, "end", line)
            return
        if BEGIN.fullmatch(line) or HEADING.fullmatch(line):
            break
        yield MarkdownLine(number, "measured", line)
    refuse(shown, begun, "this measured part has no end; put <!-- end of measured --> below it")


def _to_end_of_code(
    lines: NumberedLines, begun: int, fence: str, shown: str
) -> Iterator[MarkdownLine]:
    """Yield the lines of a block of code, in which nothing else begins."""
    for number, line in lines:
        yield MarkdownLine(number, "own", line)
        mark = line.strip()
        if mark.startswith(fence) and not mark.strip(fence[0]):
            return
    refuse(shown, begun, f"this block of code has no end; put {fence} below it")


def _without_comments(
    lines: NumberedLines, number: int, line: str, shown: str
) -> Iterator[MarkdownLine]:
    """Yield a line without its comments, and the further lines of a comment that stays open."""
    open_comment = False

    def keep_code(found: re.Match[str]) -> str:
        nonlocal open_comment
        if found[1]:
            return found[0]
        open_comment = not found[0].endswith("-->")
        return ""

    text = CODE_OR_COMMENT.sub(keep_code, line) if "<!--" in line else line
    yield MarkdownLine(number, "own", text)
    if open_comment:
        yield from _to_end_of_comment(lines, number, shown)


def _to_end_of_comment(lines: NumberedLines, begun: int, shown: str) -> Iterator[MarkdownLine]:
    """Yield the lines of a comment as empty ones, and what follows it on its last line."""
    for number, line in lines:
        _, closed, rest = line.partition("-->")
        if closed:
            yield from _without_comments(lines, number, rest, shown)
            return
        yield MarkdownLine(number, "own", "")
    refuse(shown, begun, "this comment has no end; put --> behind it")


def read_text(path: Path) -> str:
    """Return a document as it is, including line ends and a byte-order mark."""
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
    """Raise a UserError that names file and line."""
    raise UserError(f"{shown}, line {line}: {fault}.")
