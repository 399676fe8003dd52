"""What all views of the checklist share: counts, the order of what is next, and wording."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..core.errors import UserError
from ..core.project import Project
from .catalogue import (
    APPLIES_KINDS,
    AREAS,
    ML_TESTS,
    OWN,
    SECTIONS,
    STAGES,
    Area,
    Evidence,
    Item,
    stage_of,
)
from .conditions import parse_condition
from .context import Context
from .records import Records
from .verify import (
    DONE,
    NOT_APPLICABLE,
    OPEN,
    STALE,
    STATES,
    WAIVED,
    Assessment,
    ItemResult,
    assess_all,
    open_context,
    stages_up_to,
)

# How an item is proved, as people read it.
KINDS = {"auto": "automatic", "written": "in writing", "signoff": "by signature"}

# How many of the missing items the overview shows.
NEXT = 3

SIGNS = {DONE: "✓", OPEN: "○", STALE: "↻", WAIVED: "»", NOT_APPLICABLE: "·"}


@dataclass(frozen=True)
class Counts:
    """How many items are in each state."""

    done: int = 0
    open: int = 0
    stale: int = 0
    waived: int = 0
    not_applicable: int = 0

    @property
    def total(self) -> int:
        """The items that count; waived and not applicable ones are counted apart."""
        return self.done + self.open + self.stale

    @property
    def missing(self) -> int:
        """The items for which a gate fails."""
        return self.open + self.stale

    @property
    def missing_clause(self) -> str:
        """How many items are missing, as a clause."""
        items = "item is" if self.missing == 1 else "items are"
        return f"{self.missing} of {self.total} {items} missing"

    @property
    def by_state(self) -> dict[str, int]:
        """The number of items in each state, by the state's name."""
        numbers = (self.done, self.open, self.stale, self.waived, self.not_applicable)
        return dict(zip(STATES, numbers, strict=True))

    @property
    def apart_clause(self) -> str:
        """What is counted apart, as the end of a sentence; empty if there is nothing."""
        parts = [
            f"{self.by_state[state]} {state}"
            for state in (WAIVED, NOT_APPLICABLE)
            if self.by_state[state]
        ]
        return f" ({', '.join(parts)})" if parts else ""


@dataclass(frozen=True)
class Survey:
    """A checklist verified once for everything that a report shows.

    Attributes:
        shown: Up to the stage that was chosen.
        whole: Up to the last stage, which the ML Test Score needs.
        records: What people signed and waived.
    """

    shown: Assessment
    whole: Assessment
    records: Records

    @property
    def score(self) -> Score:
        """The ML Test Score."""
        return ml_test_score(self.whole)


def survey(project: Project, stage: str | None = None) -> Survey:
    """Verify every item; `shown` is up to `stage`, by default the project's own.

    Raises:
        UserError: If the items, the decisions or a report are malformed.
    """
    catalogue, context = open_context(project)
    shown_stage = stage or stage_of(context.answers)
    whole = assess_all(catalogue, context, STAGES[-1])
    results = {
        name: result
        for name, result in whole.results.items()
        if result.item.stage in stages_up_to(shown_stage)
    }
    return Survey(replace(whole, stage=shown_stage, results=results), whole, context.records)


def count(results: Iterable[ItemResult]) -> Counts:
    """Count results by their states."""
    numbers = dict.fromkeys(STATES, 0)
    for result in results:
        numbers[result.state] += 1
    return Counts(*(numbers[state] for state in STATES))


def by_area(assessment: Assessment) -> Iterator[tuple[Area, list[ItemResult]]]:
    """Yield each area that has items at the stage, with their results."""
    for area in assessment.catalogue.areas:
        results = assessment.of(area)
        if results:
            yield area, results


def upcoming(assessment: Assessment) -> list[ItemResult]:
    """Return what is missing, in the order to take it up.

    Stale items come first: they were done before, and often one run restores all of them. Then come
    earlier stages, and within a stage the order of a project.
    """
    return sorted(
        assessment.missing,
        key=lambda result: (result.state != STALE, STAGES.index(result.item.stage)),
    )


def next_stage(assessment: Assessment) -> tuple[str, int] | None:
    """Return the next stage and how many items it adds; None at the last one."""
    place = STAGES.index(assessment.stage) + 1
    if place == len(STAGES):
        return None
    stage = STAGES[place]
    return stage, sum(item.stage == stage for item in assessment.catalogue.items.values())


def places(context: Context, item: Item) -> list[str]:
    """Return where an item is proved: documents with lines, reports, settings; each once."""
    return list(dict.fromkeys(filter(None, (_place(context, each) for each in item.evidence))))


def _place(context: Context, evidence: Evidence) -> str:
    """Return where one proof is found; empty for the team's own kinds."""
    kind, rule = evidence.kind, evidence.rule
    if kind == "section":
        name, _, slug = rule.partition("#")
        headings = context.document(context.project.root / name)
        return f"{name}:{headings[slug].line}" if slug in headings else name
    if kind in APPLIES_KINDS:
        path = parse_condition(rule).path
        return {
            "fact": f"reports/{path[0]}.json",
            "config": f"conf.cfg, [{path[0]}] {'.'.join(path[1:])}",
            "answer": f".cruft.json, {path[0]}",
        }[kind]
    return {
        "champion": "models/champion.json",
        "file": rule.replace("{package}", __package__.partition(".")[0]),
        "fresh": f"reports/{rule}.json",
        "git": "the git repository",
        "signoff": "checklist/signoffs.yaml",
    }.get(kind, "")


def rule_text(evidence: Evidence) -> str:
    """Return a proof as the YAML states it."""
    pairs = {evidence.kind: evidence.rule, **evidence.further}
    return ", ".join(f"{key}: {value}" for key, value in pairs.items())


def check_stage(stage: str | None) -> str | None:
    """Return the stage, if there is one of that name.

    Raises:
        UserError: If there is not.
    """
    return _check("stage", stage, STAGES)


def check_area(area: str | None) -> str | None:
    """Return the area, if there is one of that name; `-` may stand for `_`.

    Raises:
        UserError: If there is not.
    """
    return _check("area", area and area.replace("-", "_").replace(" ", "_"), (*AREAS, OWN))


def check_state(state: str | None) -> str | None:
    """Return the state, if there is one of that name; `-` may stand for a space.

    Raises:
        UserError: If there is not.
    """
    return _check("state", state and state.replace("-", " ").replace("_", " "), STATES)


def _check(what: str, name: str | None, known: tuple[str, ...]) -> str | None:
    if name is not None and name not in known:
        names = ", ".join(each.replace(" ", "-").replace("_", "-") for each in known)
        raise UserError(f"There is no {what} '{name}'; choose one of {names}.")
    return name


def split_code(text: str) -> list[tuple[str, bool]]:
    """Split a text into pieces, each with whether it stood in backticks."""
    pieces = re.split(r"`([^`]+)`", text)
    return [(piece, number % 2 == 1) for number, piece in enumerate(pieces) if piece]


# --------------------------------------------------------------------------------- ML Test Score

# 28 tests in four sections: Eric Breck, Shanqing Cai, Eric Nielsen, Michael Salib, D. Sculley: "The
# ML Test Score: A Rubric for ML Production Readiness and Technical Debt Reduction", IEEE Big Data,
# 2017.
PAPER = (
    "https://research.google/pubs/"
    "the-ml-test-score-a-rubric-for-ml-production-readiness-and-technical-debt-reduction/"
)

# How the paper reads a score, by its upper bound.
READINGS = (
    (0, "more a research project than a system to rely on"),
    (1, "not untested, but serious holes are likely"),
    (2, "a first pass at basic productionisation"),
    (3, "reasonably tested; more can be automated"),
    (5, "strong automated testing and monitoring"),
    (7, "exceptional automated testing and monitoring"),
)


@dataclass(frozen=True)
class Score:
    """The ML Test Score of a project.

    Attributes:
        tests: Points of each test, such as `data-1`: 0, 0.5 (by hand) or 1 (automated).
        sections: Points of each section, 0 to 7.
        total: The lowest section's points: a system is as ready as its weakest part.
        reading: What the paper says of such a total.
        items: The item that answers each test.
    """

    tests: dict[str, float]
    sections: dict[str, float]
    total: float
    reading: str
    items: dict[str, Item]


def ml_test_score(assessment: Assessment) -> Score:
    """Return the score of an assessment that covers every stage.

    Where the team's own items answer a test, too, the item with the most points counts.
    """
    tests, items = dict.fromkeys(ML_TESTS, 0.0), {}
    for result in assessment.results.values():
        test, points = result.item.ml_test_score, 0.0
        if result.state == DONE:
            points = 1.0 if result.item.kind == "auto" else 0.5
        if test is not None and (test not in items or points > tests[test]):
            tests[test], items[test] = points, result.item
    sections = {
        section: sum(points for test, points in tests.items() if test.startswith(f"{section}-"))
        for section in SECTIONS
    }
    total = min(sections.values())
    reading = next(text for bound, text in READINGS if total <= bound)
    return Score(tests, sections, total, reading, items)
