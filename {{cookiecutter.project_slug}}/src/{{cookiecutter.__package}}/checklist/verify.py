"""Looking for the proof of every item: what is done, open, stale, waived or not applicable."""

from __future__ import annotations

from dataclasses import dataclass

from ..core import registry
from ..core.errors import UserError
from ..core.project import Project
from .catalogue import STAGES, Area, Catalogue, Evidence, Item, load_catalogue
from .context import Context
from .evidence import Finding
from .records import read_records

DONE, OPEN, STALE, WAIVED, OUT = "done", "open", "stale", "waived", "not applicable"
STATES = (DONE, OPEN, STALE, WAIVED, OUT)


@dataclass(frozen=True)
class Result:
    """One item's state.

    Attributes:
        state: One of `STATES`.
        reason: One clause: what proves it, or what is missing and what to do.
        findings: What looking for each proof gave; none unless the item is known to apply.
    """

    item: Item
    state: str
    reason: str
    findings: tuple[Finding, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether nothing remains to be done."""
        return self.state in (DONE, WAIVED, OUT)


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
    results: dict[str, Result]

    def of(self, area: Area) -> list[Result]:
        """Return the results of one area."""
        return [self.results[item.id] for item in area.items if item.id in self.results]

    @property
    def missing(self) -> list[Result]:
        """What keeps the stage's gate closed."""
        return [result for result in self.results.values() if not result.settled]


def open_context(project: Project, *, brief: bool = False) -> tuple[Catalogue, Context]:
    """Return the items as the answers ask for them, and what their evidence looks at.

    Args:
        project: Holds the answers.
        brief: As in `load_catalogue`.

    Raises:
        UserError: If the items, the decisions about them or the answers are malformed.
    """
    catalogue = load_catalogue(project, brief=brief)
    context = Context(project, read_records(project, catalogue))
    return catalogue.asked_by(context.answers), context


def assess(project: Project, stage: str | None = None, *, brief: bool = False) -> Assessment:
    """Verify every item up to a stage (default: the project's own); `brief` for verdicts only.

    Raises:
        UserError: If the items, the decisions or a report are malformed.
    """
    catalogue, context = open_context(project, brief=brief)
    return assess_all(catalogue, context, stage or own_stage(context))


def assess_all(catalogue: Catalogue, context: Context, stage: str) -> Assessment:
    """Verify every item up to a stage.

    Raises:
        UserError: If a report is malformed.
    """
    wanted = until(stage)
    results = {
        item.id: verify(context, item) for item in catalogue.items.values() if item.stage in wanted
    }
    name = str(context.answers.get("project_name", context.project.root.name))
    return Assessment(name, stage, context.data, context.model, catalogue, results)


def until(stage: str) -> tuple[str, ...]:
    """Return a stage and those before it."""
    return STAGES[: STAGES.index(stage) + 1]


def own_stage(context: Context) -> str:
    """Return the stage that the project claims; a project without answers is a proof of concept.

    Raises:
        UserError: If there is no such stage.
    """
    stage = context.answers.get("stage", STAGES[0])
    if stage not in STAGES:
        known = ", ".join(STAGES)
        raise UserError(
            f".cruft.json has the stage '{stage}'; known are {known}; correct it there."
        )
    return str(stage)


def verify(context: Context, item: Item) -> Result:
    """Look for the proof of one item, if it applies; unless it is there, a waiver counts."""
    if not item.evidence:
        return Result(item, OUT, "the answers ask for none of its proofs")
    conditions = (_look(context, item, condition) for condition in item.applies)
    unmet = next((finding for finding in conditions if not finding.holds), None)
    # Whether an item applies can be as open as what it asks for.
    if unmet and not (unmet.stale or unmet.unknown):
        return Result(item, OUT, unmet.message)
    findings = () if unmet else tuple(_look(context, item, proof) for proof in item.evidence)
    lacking = [unmet] if unmet else [finding for finding in findings if not finding.holds]
    if not lacking:
        return Result(item, DONE, findings[0].message, findings)
    waiver = context.records.waivers.get(item.id)
    if waiver is not None:
        return Result(item, WAIVED, f"{waiver.reason} ({waiver.by}, {waiver.date})", findings)
    first = next((finding for finding in lacking if not finding.stale), lacking[0])
    return Result(item, state_of(first), first.message, findings)


def state_of(finding: Finding) -> str:
    """Return the state of one proof: done, open or stale."""
    return DONE if finding.holds else STALE if finding.stale else OPEN


def _look(context: Context, item: Item, evidence: Evidence) -> Finding:
    """Look for one proof.

    Raises:
        UserError: If a kind of the team's own does not answer with a finding.
    """
    place = registry.EVIDENCE[evidence.kind]
    finding = registry.load(place)(context, item, evidence)
    if not isinstance(finding, Finding):
        raise UserError(f"The evidence '{evidence.kind}' ({place}) has to return a Finding.")
    return finding
