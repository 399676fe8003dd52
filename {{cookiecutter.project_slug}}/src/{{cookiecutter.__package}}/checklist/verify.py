"""Verifying items: each becomes done, open, stale, waived or not applicable."""

from __future__ import annotations

from dataclasses import dataclass

from ..core import registry
from ..core.errors import UserError
from ..core.project import Project
from .catalogue import (
    STAGES,
    Area,
    Catalogue,
    Evidence,
    Item,
    load_catalogue,
    stage_of,
)
from .context import Context
from .evidence import Verdict
from .records import read_records

DONE, OPEN, STALE, WAIVED, NOT_APPLICABLE = "done", "open", "stale", "waived", "not applicable"
STATES = (DONE, OPEN, STALE, WAIVED, NOT_APPLICABLE)


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
        catalogue: All items, those of later stages too.
        results: By the item's id, in the order of a project.
    """

    project: str
    stage: str
    data: str | None
    model: str | None
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
    return Assessment(name, stage, context.data, context.model, catalogue, results)


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
