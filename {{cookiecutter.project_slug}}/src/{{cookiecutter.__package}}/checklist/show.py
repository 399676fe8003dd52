"""The checklist as text on a terminal: signs and words, with colour where it is wanted."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .catalogue import SECTIONS, TESTS_PER_SECTION, Item
from .records import Records, one_line
from .summary import (
    KINDS,
    NEXT,
    SIGNS,
    Counts,
    Score,
    by_area,
    count,
    next_stage,
    rule_text,
    upcoming,
)
from .verify import (
    DONE,
    NOT_APPLICABLE,
    OPEN,
    STALE,
    STATES,
    WAIVED,
    Assessment,
    ItemResult,
    state_of,
)

PLAIN_SIGNS = {DONE: "*", OPEN: "o", STALE: "~", WAIVED: "w", NOT_APPLICABLE: "-"}
BLOCKS, PLAIN_BLOCKS = "█░", "#."
COLOURS = {DONE: "32", OPEN: "36", STALE: "33", WAIVED: "35", NOT_APPLICABLE: "2"}
BOLD, SOFT = "1", "2"
WIDEST, NARROWEST = 100, 50
BAR = 14


@dataclass(frozen=True)
class Look:
    """What the output can show.

    Attributes:
        colour: Whether it shows colours and the user wants them.
        signs: The sign of each state.
        blocks: The full and the empty part of a bar.
        encoding: The encoding of the text.
        width: The number of columns.
    """

    colour: bool = False
    signs: tuple[str, ...] = tuple(SIGNS[state] for state in STATES)
    blocks: str = BLOCKS
    encoding: str = "utf-8"
    width: int = WIDEST

    def paint(self, text: str, code: str) -> str:
        """Return text in a colour or weight (a code of ECMA-48), where that is wanted."""
        return f"\033[{code}m{text}\033[0m" if self.colour and text else text

    def state(self, state: str, text: str = "") -> str:
        """Return the sign of a state and a text, in the state's colour."""
        return self.paint(f"{self.signs[STATES.index(state)]} {text}".rstrip(), COLOURS[state])

    def bar(self, share: float, width: int = BAR) -> str:
        """Return a bar; it is empty only at 0 and full only at 1."""
        full = min(max(int(share * width), share > 0), width)
        rest = self.paint(self.blocks[1] * (width - full), SOFT)
        return self.paint(self.blocks[0] * full, COLOURS[DONE]) + rest

    def printable(self, text: str) -> str:
        """Return text with question marks for characters that the encoding lacks."""
        return text.encode(self.encoding, "replace").decode(self.encoding)

    def wrap(self, text: str, indent: int, first: str = "") -> list[str]:
        """Return a text on as many lines as it needs; `first` begins the first one."""
        begin = first.ljust(indent)
        return textwrap.wrap(
            one_line(text),
            self.width,
            initial_indent=begin,
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
            break_long_words=False,
        )


def find_look() -> Look:
    """Return what standard output can show.

    Colour only on a terminal, and not if NO_COLOR is set (no-color.org); letters for the signs
    where the encoding lacks them.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    terminal = sys.stdout.isatty()
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = shutil.get_terminal_size().columns if terminal else WIDEST
    look = Look(
        colour=terminal and wanted,
        encoding=encoding,
        width=min(max(width, NARROWEST), WIDEST),
    )
    try:
        "".join((*look.signs, look.blocks)).encode(encoding)
    except UnicodeEncodeError:
        signs = tuple(PLAIN_SIGNS[state] for state in STATES)
        return Look(look.colour, signs, PLAIN_BLOCKS, encoding, look.width)
    return look


def overview(look: Look, assessment: Assessment) -> str:
    """Return one line per area, and the next items with what to do."""
    lines = [_heading(look, assessment), "", *_area_lines(look, assessment), ""]
    todo = upcoming(assessment)
    if assessment.data is None:
        lines += ["Nothing has run yet: `make run` first proves what a machine can.", ""]
    if todo:
        lines.append(look.paint("Next:", BOLD))
        for number, result in enumerate(todo[:NEXT], start=1):
            lines += _next_lines(look, number, result)
        lines.append("")
        lines.append("`checklist next` shows the first of them in full.")
    else:
        lines.append(look.state(DONE, f"Nothing is missing at {assessment.stage}."))
    return "\n".join([*lines, *_later_lines(look, assessment)])


def _heading(look: Look, assessment: Assessment) -> str:
    name = look.paint(one_line(assessment.project), BOLD)
    data, model = assessment.data or "none yet", assessment.model or "none yet"
    facts = f"stage {assessment.stage}, data {data}, model {model}"
    return f"{name}: {look.paint(facts, SOFT)}"


def _area_lines(look: Look, assessment: Assessment) -> list[str]:
    """Return the lines of the areas and of the whole, narrower where they would not fit."""
    rows = [(one_line(area.title), count(results)) for area, results in by_area(assessment)]
    rows.append(("All", count(assessment.results.values())))
    column = max(_columns(title) for title, _ in rows)
    digits = max(len(_fraction(counts)) for _, counts in rows)
    # Two spaces before each of four columns; the words are shortened, then the bars, where needed.
    room = look.width - column - digits - 8
    plain = replace(look, colour=False)
    words = [
        max(_columns(_remains(plain, counts, short)) for _, counts in rows) for short in (0, 1)
    ]
    short = words[0] > room - BAR
    bar = max(min(BAR, room - words[short]), 0)
    return [
        f"  {title}{' ' * (column - _columns(title))}  {look.bar(_share(counts), bar)}"
        f"{'  ' if bar else ''}{_fraction(counts):>{digits}}  {_remains(look, counts, short)}"
        for title, counts in rows
    ]


def _remains(look: Look, counts: Counts, short: int) -> str:
    """Return what remains and what is counted apart; `short` (0 or 1) abbreviates it."""
    if not counts.missing:
        clauses = [look.state(DONE, "done")]
    else:
        clauses = [
            look.state(state, f"{counts.by_state[state]} {state}")
            for state in (OPEN, STALE)
            if counts.by_state[state]
        ]
    for state, name in ((WAIVED, WAIVED), (NOT_APPLICABLE, "n/a" if short else NOT_APPLICABLE)):
        if counts.by_state[state]:
            clauses.append(look.state(state, f"{counts.by_state[state]} {name}"))
    return "  ".join(clauses)


def _fraction(counts: Counts) -> str:
    return f"{counts.done}/{counts.total}"


def _share(counts: Counts) -> float:
    return counts.done / counts.total if counts.total else 1.0


def _next_lines(look: Look, number: int, result: ItemResult) -> Iterator[str]:
    """Yield the lines of an item with what to do; of a stale one, with what it is about."""
    head = look.wrap(f"{result.item.id}: {result.item.title}", 5, f"  {number}.")
    name = look.paint(result.item.id, COLOURS[result.state])
    yield head[0].replace(result.item.id, name, 1)
    yield from head[1:]
    yield from look.wrap(_to_do(result), 5)


def _to_do(result: ItemResult) -> str:
    """Return what to do about an item that is missing."""
    return f"Stale: {result.reason}." if result.state == STALE else result.item.how


def _later_lines(look: Look, assessment: Assessment) -> Iterator[str]:
    """Yield how many items the next stage adds; they are hidden until then."""
    following = next_stage(assessment)
    if following:
        stage, number = following
        yield look.paint(f"{number} more at {stage}: --stage {stage}", SOFT)


def listing(look: Look, results: Sequence[ItemResult]) -> str:
    """Return every item with its title, stage, kind and state."""
    if not results:
        return "No item fits."
    column = max(len(result.item.id) for result in results)
    lines = []
    for result in results:
        about = result.item
        facts = f"{about.stage}, {KINDS[about.kind]}, {result.state}"
        name = look.state(result.state, about.id)
        beside = look.width - column - 4 >= NARROWEST
        indent = column + 4 if beside else 4
        first, *rest = look.wrap(about.title, indent) or [""]
        if beside:
            lines.append(f"{name}{' ' * (column - len(about.id))}  {first[indent:]}")
        else:
            lines += [name, first]
        lines += [*rest, " " * indent + look.paint(facts, SOFT)]
    return "\n".join(lines)


def next_item(look: Look, assessment: Assessment, shown: str) -> str:
    """Return the next item in full (`shown`), and how many more there are."""
    todo = upcoming(assessment)
    if not todo:
        done = look.state(DONE, f"Nothing is missing at {assessment.stage}.")
        return "\n".join([done, *_later_lines(look, assessment)])
    rest = len(todo) - 1
    more = f"{rest} more after this one." if rest else "The last one of this stage."
    return f"{shown}\n\n{look.paint(more, SOFT)}"


def item(look: Look, result: ItemResult, records: Records, places: Sequence[str]) -> str:
    """Return everything about an item: state, proofs, why, how, where, and options."""
    about = result.item
    lines = look.wrap(about.title, 0)
    lines = [look.paint(line, BOLD) for line in lines]
    facts = f"{about.id}, from {about.stage} on, {KINDS[about.kind]}"
    lines += [look.paint(facts, SOFT), ""]
    lines += _painted(look, result)
    for title, text in (("Why", about.why), ("How", about.how), ("Where", ", ".join(places))):
        if text:
            lines += ["", *_block(look, title, [text])]
    lines += _proofs(look, result)
    lines += _choices(look, about)
    lines += _decisions(look, about, records)
    return "\n".join(lines)


def _painted(look: Look, result: ItemResult) -> list[str]:
    """Return an item's state, and the reason for it."""
    sign = look.signs[STATES.index(result.state)]
    lines = look.wrap(f"{result.state}: {result.reason}", 2, sign)
    return [look.paint(line, COLOURS[result.state]) for line in lines]


def _block(look: Look, title: str, texts: Sequence[str]) -> list[str]:
    """Return a title, and its texts indented below it."""
    lines = [look.paint(title, BOLD)]
    for text in texts:
        lines += look.wrap(text, 2)
    return lines


def _proofs(look: Look, result: ItemResult) -> list[str]:
    """Return each proof of the item, with what was found."""
    title, proofs = "Proof", list(zip(result.item.evidence, result.verdicts, strict=False))
    lines = ["", look.paint(title, BOLD)]
    for evidence, verdict in proofs:
        state = state_of(verdict)
        sign = look.signs[STATES.index(state)]
        wrapped = look.wrap(verdict.message, 4, f"  {sign}")
        lines += [look.paint(line, COLOURS[state]) for line in wrapped]
        lines += [look.paint(line, SOFT) for line in look.wrap(rule_text(evidence), 4)]
    if not proofs:
        rules = [rule_text(evidence) for evidence in result.item.evidence]
        return ["", *_block(look, "Proof, if it applies", rules)]
    return lines


def _choices(look: Look, about: Item) -> Iterator[str]:
    """Yield options, tools and references; what the template builds in is marked."""
    for title, entries in (
        ("Options", [(option.name, option.built_in, option.when) for option in about.options]),
        ("Tools", [(tool.name, tool.built_in, tool.purpose) for tool in about.tools]),
    ):
        if entries:
            yield ""
            yield look.paint(title, BOLD)
        for name, built_in, text in entries:
            yield from look.wrap(f"{name}{' [built in]' if built_in else ''}: {text}", 4, "  -")
    if about.references:
        yield ""
        yield look.paint("Read on", BOLD)
    for reference in about.references:
        yield from look.wrap(f"{reference.title} ({reference.by})", 4, "  -")
        yield look.paint(f"    {one_line(reference.url)}", SOFT)


def _decisions(look: Look, about: Item, records: Records) -> Iterator[str]:
    """Yield the item's test of the ML Test Score, and what people decided about it."""
    if about.ml_test_score:
        section = SECTIONS.get(about.ml_test_score.partition("-")[0], "")
        test = f"{about.ml_test_score} ({section.lower()}; Breck et al., 2017)"
        yield from ["", *_block(look, "ML Test Score", [test])]
    signed, waived = records.signoffs.get(about.id), records.waivers.get(about.id)
    if signed:
        signature = f"{signed.by}, {signed.date}: {signed.note}"
        yield from ["", *_block(look, "Signed", [signature])]
    if waived:
        decision = f"{waived.by}, {waived.date}: {waived.reason}"
        yield from ["", *_block(look, "Waived", [decision])]


def state_line(look: Look, result: ItemResult) -> str:
    """Return an item's state on one line, as it is after a decision about it."""
    return f"{look.state(result.state, result.item.id)}: {result.state}: {one_line(result.reason)}"


def missing_line(result: ItemResult) -> str:
    """Return an item for which a gate fails, on one line: id, state, what to do."""
    name, reason = result.item.id, one_line(result.reason)
    if result.state == STALE:
        return f"{name}: stale: {reason}."
    return f"{name}: {result.state}: {reason}. {one_line(result.item.how)}"


def gate(assessment: Assessment) -> str:
    """Return the sentence of a gate that passed."""
    counts = count(assessment.results.values())
    done = f"{_fraction(counts)} items are done{counts.apart_clause}"
    return f'Gate "{assessment.stage}" passed: {done}.'


def gate_missing(assessment: Assessment) -> str:
    """Return the sentence of a gate that failed."""
    missing = count(assessment.results.values()).missing_clause
    return f'Gate "{assessment.stage}" failed: {missing}; `checklist next` leads through them.'


def score(look: Look, found: Score) -> str:
    """Return the ML Test Score: its sections, and every test with the item that answers it."""
    total = look.paint(f"ML Test Score: {found.total:g} of {TESTS_PER_SECTION}", BOLD)
    lines = [f"{total}, {found.reading}"]
    about = (
        "The lowest of four sections counts; a test that a machine repeats gives 1 point, one "
        "that a person vouches for 0.5 (Breck et al., 2017)."
    )
    lines += [look.paint(line, SOFT) for line in look.wrap(about, 0)]
    for section, title in SECTIONS.items():
        points = found.sections[section]
        bar = look.bar(points / TESTS_PER_SECTION)
        lines += ["", f"{look.paint(f'{title:<19}', BOLD)}  {bar}  {points:g}/{TESTS_PER_SECTION}"]
        for test, value in found.tests.items():
            if test.startswith(f"{section}-"):
                lines += _test_lines(look, test, value, found.items.get(test))
    return "\n".join(lines)


def _test_lines(look: Look, test: str, value: float, about: Item | None) -> list[str]:
    """Return a test with its points and its item."""
    text = f"{about.title} ({about.id})" if about else "no item answers it"
    sign = look.signs[STATES.index(DONE if value else OPEN)]
    return look.wrap(text, 21, f"  {sign} {value:<3g}  {test}")


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )
