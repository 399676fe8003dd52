"""The checklist as text on a terminal: signs and words, with colour where it is wanted."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .catalogue import SECTIONS, STAGES, TESTS_PER_SECTION, Item
from .records import Records, one_line
from .verify import (
    DONE,
    KINDS,
    NEXT,
    NOT_APPLICABLE,
    OPEN,
    SIGNS,
    STALE,
    WAIVED,
    Assessment,
    Counts,
    ItemResult,
    Score,
    by_area,
    count,
    next_stage,
    rule_text,
    state_of,
    upcoming,
)

COLOURS = {DONE: "green", OPEN: "cyan", STALE: "yellow", WAIVED: "magenta", NOT_APPLICABLE: "dim"}
# What stands for signs, and for the two parts of a bar, where the encoding lacks them.
LETTERS = dict(zip("✓○↻»·█░", "*o~w-#.", strict=True))
WIDEST, NARROWEST = 100, 50
BAR = 14


def say(*parts: RenderableType) -> None:
    """Print parts below each other: in colour on a terminal, unless NO_COLOR is set."""
    colours: Any = None if os.environ.get("NO_COLOR") else "auto"
    console = Console(color_system=colours, highlight=False, markup=False, emoji=False)
    width = console.width if console.is_terminal else WIDEST
    console.width = min(max(width, NARROWEST), WIDEST)
    print(as_text(console, *parts), end="")


def as_text(console: Console, *parts: RenderableType) -> str:
    """Return what `say` prints."""
    with console.capture() as captured:
        console.print(Group(*parts), crop=False)
    # Tables fill their cells with spaces.
    text = re.sub(" +$", "", captured.get(), flags=re.MULTILINE)
    return text.encode(console.encoding, "letters").decode(console.encoding)


def _in_letters(error: Any) -> tuple[str, int]:
    """Return letters for the signs that the encoding lacks; question marks for the rest."""
    lacking = error.object[error.start : error.end]
    return "".join(LETTERS.get(sign, "?") for sign in lacking), error.end


codecs.register_error("letters", _in_letters)


def _state(state: str, text: str = "") -> Text:
    """Return the sign of a state and a text, in the state's colour."""
    return Text(f"{SIGNS[state]} {one_line(text)}".rstrip(), COLOURS[state])


def _bar(share: float) -> Text:
    """Return a bar; it is empty only at 0 and full only at 1."""
    full = min(max(int(share * BAR), share > 0), BAR)
    return Text("█" * full, COLOURS[DONE]).append("░" * (BAR - full), "dim")


def _title(text: str) -> Text:
    return Text(one_line(text), "bold")


def line(text: str, style: str = "") -> Text:
    """Return a text that stays on one line, so that programs find it."""
    return Text(one_line(text), style, no_wrap=True, overflow="ignore")


def _marked(rows: Iterable[tuple[str, Text]]) -> Table:
    """Return texts, each behind a mark; further lines of a text begin below its first one."""
    grid = Table.grid(padding=(0, 1))
    for mark, text in rows:
        grid.add_row(Text(mark), text)
    return grid


def overview(assessment: Assessment) -> Group:
    """Return one line per area, and the next items with what to do."""
    todo = upcoming(assessment)
    parts: list[RenderableType] = [_heading(assessment), "", _areas(assessment), ""]
    if assessment.newer:
        parts += [_about_newer(assessment), ""]
    first = [each for each in assessment.missing if each.item.stage == STAGES[0]]
    if first and assessment.stage != STAGES[0]:
        begin = (
            f"Begin at {STAGES[0]}: {len(first)} of its items are missing (--stage {STAGES[0]})."
        )
        parts += [begin, ""]
    if assessment.data is None:
        parts += ["Nothing has run yet: `make run` first proves what a machine can.", ""]
    if todo:
        rows = [(f"  {n}.", _next_lines(result)) for n, result in enumerate(todo[:NEXT], start=1)]
        parts += [_title("Next:"), _marked(rows), ""]
        parts.append("`checklist next` shows the first of them in full.")
    else:
        parts.append(_state(DONE, f"Nothing is missing at {assessment.stage}."))
    return Group(*parts, *_later(assessment))


def _heading(assessment: Assessment) -> Text:
    data, model = assessment.data or "none yet", assessment.model or "none yet"
    facts = f"stage {assessment.stage}, data {data}, model {model}"
    return Text.assemble(_title(assessment.project), ": ", (facts, "dim"))


def _about_newer(assessment: Assessment) -> Text:
    """Return the line about the last model where another one is in service."""
    newer = assessment.newer
    return line(
        f"The last model, {newer}, is not in service; `champion promote {newer}` changes that."
    )


def _areas(assessment: Assessment) -> Table:
    """Return a line of each area, and one of the whole."""
    grid = Table.grid(padding=(0, 0, 0, 2), pad_edge=True)
    grid.add_column()
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right")
    rows = [(one_line(area.title), count(results)) for area, results in by_area(assessment)]
    for title, counts in [*rows, ("All", count(assessment.results.values()))]:
        done = f"{counts.done}/{counts.total}"
        grid.add_row(Text(title), _bar(counts.share), done, _remains(counts))
    return grid


def _remains(counts: Counts) -> Text:
    """Return what remains, and what is counted apart."""
    shown = [OPEN, STALE, WAIVED, NOT_APPLICABLE]
    clauses = [_state(s, f"{counts.by_state[s]} {s}") for s in shown if counts.by_state[s]]
    return Text("  ").join(clauses if counts.missing else [_state(DONE, "done"), *clauses])


def _next_lines(result: ItemResult) -> Text:
    """Return an item with what to do; of a stale one, with what it is about."""
    todo = f"Stale: {result.reason}." if result.state == STALE else result.item.how
    name = Text(result.item.id, COLOURS[result.state])
    return Text.assemble(name, f": {one_line(result.item.title)}\n{one_line(todo)}")


def _later(assessment: Assessment) -> Iterator[Text]:
    """Yield how many items the next stage adds; they are hidden until then."""
    following = next_stage(assessment)
    if following:
        stage, number = following
        yield Text(f"{number} more at {stage}: --stage {stage}", "dim")


def listing(results: Sequence[ItemResult]) -> RenderableType:
    """Return every item with its title, stage, kind and state."""
    if not results:
        return "No item fits."
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    for result in results:
        about = result.item
        facts = f"\n{about.stage}, {KINDS[about.kind]}, {result.state}"
        title = Text.assemble(one_line(about.title), (facts, "dim"))
        grid.add_row(_state(result.state, about.id), title)
    return grid


def next_item(assessment: Assessment, shown: RenderableType | None, skipped: int = 0) -> Group:
    """Return the next item in full (`shown`), and how many more there are."""
    rest = len(assessment.missing) - 1 - skipped
    if shown is None:
        done = _state(DONE, f"Nothing is missing at {assessment.stage}.")
        return Group(done, *_later(assessment))
    more = "The last one of this stage."
    if rest:
        more = f"{rest} more after this one: `checklist next{' --skip' * (skipped + 1)}`."
    return Group(shown, "", Text(more, "dim"))


def item(result: ItemResult, records: Records, places: Sequence[str]) -> Group:
    """Return everything about an item: state, proofs, why, how, where, and options."""
    about = result.item
    facts = f"{about.id}, from {about.stage} on, {KINDS[about.kind]}"
    reason = Text(one_line(f"{result.state}: {result.reason}"), COLOURS[result.state])
    signed, waived = records.signoffs.get(about.id), records.waivers.get(about.id)
    test = about.ml_test_score or ""
    section = SECTIONS.get(test.partition("-")[0], "").lower()
    return Group(
        _title(about.title),
        Text(facts, "dim"),
        "",
        _marked([(SIGNS[result.state], reason)]),
        *_block("Why", about.why),
        *_block("How", about.how),
        *_block("Where", ", ".join(places)),
        *_proofs(result),
        *_choices("Options", [(each.name, each.built_in, each.when) for each in about.options]),
        *_choices("Tools", [(each.name, each.built_in, each.purpose) for each in about.tools]),
        *_references(about),
        *_block("ML Test Score", f"{test} ({section}; Breck et al., 2017)" if test else ""),
        *_block("Signed", f"{signed.by}, {signed.date}: {signed.note}" if signed else ""),
        *_block("Waived", f"{waived.by}, {waived.date}: {waived.reason}" if waived else ""),
    )


def _block(title: str, *texts: str) -> Iterator[RenderableType]:
    """Yield a title, and its texts indented below it; nothing if they are empty."""
    if any(texts):
        yield from ("", _title(title))
        yield from (Padding(Text(one_line(text)), (0, 0, 0, 2)) for text in texts)


def _proofs(result: ItemResult) -> Iterator[RenderableType]:
    """Yield each proof of the item, with what was found."""
    rules = [one_line(rule_text(evidence)) for evidence in result.item.evidence]
    if not result.verdicts:
        yield from _block("Proof, if it applies", *rules)
        return
    yield from ("", _title("Proof"))
    rows = []
    for rule, verdict in zip(rules, result.verdicts, strict=True):
        state = state_of(verdict)
        found = Text.assemble((one_line(verdict.message), COLOURS[state]), (f"\n{rule}", "dim"))
        rows.append((f"  {SIGNS[state]}", found))
    yield _marked(rows)


def _choices(title: str, entries: list[tuple[str, bool, str]]) -> Iterator[RenderableType]:
    """Yield options or tools; what the template builds in is marked."""
    if entries:
        yield from ("", _title(title))
        texts = (f"{name}{' [built in]' if in_ else ''}: {text}" for name, in_, text in entries)
        yield _marked(("  -", Text(one_line(text))) for text in texts)


def _references(about: Item) -> Iterator[RenderableType]:
    """Yield references, each address on a line that does not end within it."""
    if about.references:
        yield from ("", _title("Read on"))
    for each in about.references:
        yield _marked([("  -", Text(one_line(f"{each.title} ({each.by})")))])
        yield Text("    ", overflow="ignore", no_wrap=True).append(one_line(each.url), "dim")


def state_line(result: ItemResult) -> Text:
    """Return an item's state on one line, as it is after a decision about it."""
    text = line(f": {result.state}: {result.reason}")
    return Text.assemble(_state(result.state, result.item.id), text, no_wrap=True)


def missing_line(result: ItemResult) -> Text:
    """Return an item for which a gate fails, on one line: id, state, what to do."""
    todo = "" if result.state == STALE else f" {result.item.how}"
    return line(f"{result.item.id}: {result.state}: {result.reason}.{todo}")


def gate(assessment: Assessment) -> Text:
    """Return the sentence of a gate that passed."""
    counts = count(assessment.results.values())
    done = f"{counts.done}/{counts.total} items are done{counts.apart_clause}"
    return line(f'Gate "{assessment.stage}" passed: {done}.')


def why_a_warning(before: str | None) -> str:
    """Return from when on a failed gate is an error."""
    if before is None:
        return f"From {STAGES[1]} on this is an error."
    return f"Begin with `checklist gate --stage {before}`: once that has passed, this is an error."


def gate_missing(assessment: Assessment) -> str:
    """Return the sentence of a gate that failed."""
    missing = count(assessment.results.values()).missing_clause
    return f'Gate "{assessment.stage}" failed: {missing}; `checklist next` leads through them.'


def score(found: Score) -> Group:
    """Return the ML Test Score: its sections, and every test with the item that answers it."""
    total = f"ML Test Score: {found.total:g} of {TESTS_PER_SECTION}"
    about = (
        "The lowest of four sections counts; a test that a machine repeats gives 1 point, one "
        "that a person vouches for 0.5 (Breck et al., 2017)."
    )
    parts: list[RenderableType] = [_title(total).append(f", {found.reading}", "not bold")]
    parts.append(Text(about, "dim"))
    for section, title in SECTIONS.items():
        points = found.sections[section]
        bar, of = _bar(points / TESTS_PER_SECTION), f"  {points:g}/{TESTS_PER_SECTION}"
        parts += ["", Text.assemble((f"{title:<19}  ", "bold"), bar, of)]
        tests = [test for test in found.tests if test.startswith(f"{section}-")]
        parts.append(_marked(_test_row(found, test) for test in tests))
    return Group(*parts)


def _test_row(found: Score, test: str) -> tuple[str, Text]:
    """Return a test with its points, and its item."""
    value, about = found.tests[test], found.items.get(test)
    text = f"{about.title} ({about.id})" if about else "no item answers it"
    return f"  {SIGNS[DONE if value else OPEN]} {value:<3g}  {test:<11}", Text(one_line(text))
