"""Verifying items: each becomes done, open, stale, waived or not applicable; and their counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..core import registry
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
    Catalogue,
    Evidence,
    Item,
    load_catalogue,
    stage_of,
)
from .conditions import parse_condition
from .context import Context
from .evidence import Verdict
from .records import Records, read_records

DONE, OPEN, STALE, WAIVED, NOT_APPLICABLE = "done", "open", "stale", "waived", "not applicable"
STATES = (DONE, OPEN, STALE, WAIVED, NOT_APPLICABLE)

# How an item is proved, as people read it.
KINDS = {"auto": "automatic", "written": "in writing", "signoff": "by signature"}

# How many of the missing items the overview shows.
NEXT = 3

SIGNS = {DONE: "✓", OPEN: "○", STALE: "↻", WAIVED: "»", NOT_APPLICABLE: "·"}


@dataclass(frozen=True)
class ItemResult:
    """The state of one item, and why.

    Attributes:
        state: One of `STATES`.
        reason: One clause: what proves it, or what is missing and what to do.
        verdicts: One for each proof; none unless the item is known to apply.
    """

    item: Item
    state: str
    reason: str
    verdicts: tuple[Verdict, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether nothing remains to be done."""
        return self.state in (DONE, WAIVED, NOT_APPLICABLE)


@dataclass(frozen=True)
class Assessment:
    """The state of a whole checklist.

    Attributes:
        project: The project's name.
        stage: The latest stage whose items are in `results`.
        data: The fingerprint of the current data, if there is any.
        model: The run id of the model in service, if there is one.
        newer: The run id of the last model, where another one is in service.
        catalogue: All items, those of later stages too.
        results: By the item's id, in the order of a project.
    """

    project: str
    stage: str
    data: str | None
    model: str | None
    newer: str | None
    catalogue: Catalogue
    results: dict[str, ItemResult]

    def of(self, area: Area) -> list[ItemResult]:
        """Return the results of one area."""
        return [self.results[item.id] for item in area.items if item.id in self.results]

    @property
    def missing(self) -> list[ItemResult]:
        """The items for which the stage's gate fails."""
        return [result for result in self.results.values() if not result.settled]


def open_context(project: Project, *, brief: bool = False) -> tuple[Catalogue, Context]:
    """Return the items with the proofs that the answers require, and the project's context.

    Args:
        project: Where the answers are.
        brief: As in `load_catalogue`.

    Raises:
        UserError: If the items, the decisions about them or the answers are malformed.
    """
    catalogue = load_catalogue(project, brief=brief)
    context = Context(project, read_records(project, catalogue))
    return catalogue.required_by(context.answers), context


def assess(project: Project, stage: str | None = None, *, brief: bool = False) -> Assessment:
    """Verify every item up to a stage (default: the project's own); `brief` as in `load_catalogue`.

    Raises:
        UserError: If the items, the decisions or a report are malformed.
    """
    catalogue, context = open_context(project, brief=brief)
    return assess_all(catalogue, context, stage or stage_of(context.answers))


def assess_all(catalogue: Catalogue, context: Context, stage: str) -> Assessment:
    """Verify every item up to a stage.

    Raises:
        UserError: If a report is malformed.
    """
    stages = stages_up_to(stage)
    results = {
        item.id: verify(context, item) for item in catalogue.items.values() if item.stage in stages
    }
    name = str(context.answers.get("project_name", context.project.root.name))
    return Assessment(name, stage, context.data, context.model, context.newer, catalogue, results)


def stages_up_to(stage: str) -> tuple[str, ...]:
    """Return a stage and those before it."""
    return STAGES[: STAGES.index(stage) + 1]


def verify(context: Context, item: Item) -> ItemResult:
    """Return the state of one item; a waiver counts only where a proof is missing."""
    if not item.evidence:
        return ItemResult(item, NOT_APPLICABLE, "the answers ask for none of its proofs")
    conditions = (_check(context, item, condition) for condition in item.applies)
    unmet = next((verdict for verdict in conditions if not verdict.holds), None)
    # An unknown or stale condition leaves open whether the item applies.
    if unmet and not (unmet.stale or unmet.unknown):
        return ItemResult(item, NOT_APPLICABLE, unmet.message)
    verdicts = () if unmet else tuple(_check(context, item, proof) for proof in item.evidence)
    missing = [unmet] if unmet else [verdict for verdict in verdicts if not verdict.holds]
    if not missing:
        return ItemResult(item, DONE, verdicts[0].message, verdicts)
    waiver = context.records.waivers.get(item.id)
    if waiver is not None:
        return ItemResult(item, WAIVED, f"{waiver.reason} ({waiver.by}, {waiver.date})", verdicts)
    first = next((verdict for verdict in missing if not verdict.stale), missing[0])
    return ItemResult(item, state_of(first), first.message, verdicts)


def state_of(verdict: Verdict) -> str:
    """Return the state of one proof: done, open or stale."""
    return DONE if verdict.holds else STALE if verdict.stale else OPEN


def _check(context: Context, item: Item, evidence: Evidence) -> Verdict:
    """Check one proof.

    Raises:
        UserError: If one of the team's own kinds does not return a `Verdict`.
    """
    entry = registry.EVIDENCE[evidence.kind]
    verdict = registry.load(entry)(context, item, evidence)
    if not isinstance(verdict, Verdict):
        place = entry if isinstance(entry, str) else getattr(entry, "__name__", "custom.py")
        raise UserError(f"The evidence '{evidence.kind}' ({place}) has to return a Verdict.")
    return verdict


# ------------------------------------------------------------------------- counts, and what is next


@dataclass(frozen=True)
class Counts:
    """How many items are in each state; waived and not applicable ones are counted apart."""

    by_state: dict[str, int]

    @property
    def done(self) -> int:
        """The items that are done."""
        return self.by_state[DONE]

    @property
    def stale(self) -> int:
        """The items whose proof is about other data or another model."""
        return self.by_state[STALE]

    @property
    def missing(self) -> int:
        """The items for which a gate fails."""
        return self.by_state[OPEN] + self.stale

    @property
    def total(self) -> int:
        """The items that count."""
        return self.done + self.missing

    @property
    def missing_clause(self) -> str:
        """How many items are missing, as a clause."""
        items = "item is" if self.missing == 1 else "items are"
        return f"{self.missing} of {self.total} {items} missing"

    @property
    def share(self) -> float:
        """The share that is done."""
        return self.done / self.total if self.total else 1.0

    @property
    def apart_clause(self) -> str:
        """What is counted apart, as the end of a sentence; empty if there is nothing."""
        apart = {state: self.by_state[state] for state in (WAIVED, NOT_APPLICABLE)}
        parts = ", ".join(f"{number} {state}" for state, number in apart.items() if number)
        return f" ({parts})" if parts else ""


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
    found = Counter(result.state for result in results)
    return Counts({state: found[state] for state in STATES})


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


def stage_before(assessment: Assessment) -> str | None:
    """Return the stage before that of an assessment; None at the first one."""
    place = STAGES.index(assessment.stage)
    return STAGES[place - 1] if place else None


def passes(assessment: Assessment, stage: str) -> bool:
    """Tell whether nothing is missing up to a stage, which is not later than the assessment's."""
    stages = stages_up_to(stage)
    return not any(result.item.stage in stages for result in assessment.missing)


def has_passed(project: Project, assessment: Assessment, stage: str) -> bool:
    """Tell whether the gate of a stage passes, or has passed once (checklist/signoffs.yaml).

    Raises:
        UserError: If that file is malformed.
    """
    noted = read_records(project, assessment.catalogue).passed
    return passes(assessment, stage) or any(each not in stages_up_to(stage)[:-1] for each in noted)


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
            "fact": context.path(path[0]),
            "config": f"conf.cfg, [{path[0]}] {'.'.join(path[1:])}",
            "answer": f".cruft.json, {path[0]}",
        }[kind]
    return {
        "champion": "models/champion.json",
        "file": rule.replace("{package}", __package__.partition(".")[0]),
        "fresh": context.path(rule),
        "git": "the git repository",
        "signoff": "checklist/signoffs.yaml",
    }.get(kind, "")


def rule_text(evidence: Evidence) -> str:
    """Return a proof as the YAML states it."""
    pairs = {evidence.kind: evidence.rule, **evidence.further}
    return ", ".join(f"{key}: {value}" for key, value in pairs.items())


# What `--stage`, `--area` and `--state` take.
NAMES = {"stage": STAGES, "area": (*AREAS, OWN), "state": STATES}


def check_name(what: str, name: str | None) -> str | None:
    """Return the stage, area or state of a name; `-` may stand for a space.

    Raises:
        UserError: If there is none of that name.
    """
    known = {re.sub("[ _]", "-", each): each for each in NAMES[what]}
    if name is None:
        return None
    if re.sub("[ _]", "-", name) not in known:
        raise UserError(f"There is no {what} '{name}'; choose one of {', '.join(known)}.")
    return known[re.sub("[ _]", "-", name)]


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
