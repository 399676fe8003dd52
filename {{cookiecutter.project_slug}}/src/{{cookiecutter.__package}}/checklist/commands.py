"""The commands of `checklist`: thin; what is slow to import is imported inside."""

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Group

    from ..core.project import Project
    from .catalogue import Catalogue, Item

# pydantic would search every installed package for plugins, which this project needs none of.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

checklist_app = typer.Typer(
    help="See what is proved, what is missing, and how to go on.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Stage = Annotated[
    str | None,
    typer.Option(
        metavar="poc|mvp|production",
        show_default=False,
        help="The latest stage to look at; default: the project's own.",
    ),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="An item, as `list` shows it.")]


@checklist_app.callback()
def checklist(
    context: typer.Context,
    stage: Stage = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything, for programs.")
    ] = False,
) -> None:
    """See what is proved, what is missing, and how to go on.

    Without a command: one line per area, then the next three items.
    A proof about other data or another model than today's is stale.
    """
    from ..core.errors import UserError
    from . import show, verify

    if context.invoked_subcommand:
        if stage or as_json:
            option, command = "--json" if as_json else "--stage", context.invoked_subcommand
            raise UserError(
                f"{option} before `{command}` has no effect; "
                f"write it after, if `checklist {command} --help` has it."
            )
        return
    stage = verify.check_name("stage", stage)
    if as_json:
        import json

        from .formats import document

        # In ASCII, so that no terminal's encoding stands in the way.
        typer.echo(json.dumps(document(verify.survey(_project(), stage)), indent=2))
    else:
        show.say(show.overview(verify.assess(_project(), stage, brief=True)))


@checklist_app.command("next")
def next_(
    stage: Stage = None,
    skip: Annotated[
        int,
        typer.Option("--skip", count=True, show_default=False, help="Show the one after; repeat."),
    ] = 0,
) -> None:
    """Show the next item in full: stale ones first, then in the order of a project."""
    from . import show, verify

    project = _project()
    assessment = verify.assess(project, verify.check_name("stage", stage), brief=True)
    todo = verify.upcoming(assessment)
    skipped = min(skip, max(len(todo) - 1, 0))
    shown = _shown(project, todo[skipped].item.id) if todo else None
    show.say(show.next_item(assessment, shown, skipped))


@checklist_app.command("list")
def list_(
    area: Annotated[str | None, typer.Option(help="Of this area, such as data.")] = None,
    state: Annotated[
        str | None, typer.Option(help="done, open, stale, waived or not-applicable.")
    ] = None,
    stage: Stage = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Of every stage, and what does not apply too.")
    ] = False,
) -> None:
    """List the items that apply, with their states."""
    from . import show, verify
    from .catalogue import STAGES

    area, state = verify.check_name("area", area), verify.check_name("state", state)
    stage = verify.check_name("stage", stage) or (STAGES[-1] if everything else None)
    results = [
        result
        for result in verify.assess(_project(), stage, brief=True).results.values()
        if area in (None, result.item.area)
        and (
            result.state == state if state else everything or result.state != verify.NOT_APPLICABLE
        )
    ]
    show.say(show.listing(results))


@checklist_app.command("show")
def show_(name: Id) -> None:
    """Show an item: why it matters, how to satisfy it, where, and what to choose from."""
    from . import show

    show.say(_shown(_project(), name))


@checklist_app.command()
def sign(
    name: Id,
    by: Annotated[str, typer.Option(help="Who vouches for it.")],
    note: Annotated[str, typer.Option(help="What you looked at, in a sentence.")],
) -> None:
    """Sign for an item that no machine can check."""
    from . import records, verify

    project = _project()
    catalogue, context = verify.open_context(project, brief=True)
    item = catalogue.find(name)
    now = {"data": context.data, "model": context.model}
    records.sign(project, catalogue, item, by=by, note=note, **now)
    _say_state(project, item)


@checklist_app.command()
def waive(
    name: Id,
    reason: Annotated[str, typer.Option(help="Why; it is shown wherever the item is.")],
    by: Annotated[
        str | None, typer.Option(help="Who decides; default: git's user.name.", show_default=False)
    ] = None,
) -> None:
    """Do without an item, for a reason."""
    from ..core.errors import UserError
    from . import records, verify

    project = _project()
    catalogue, context = verify.open_context(project, brief=True)
    item = catalogue.find(name)
    by = by if by is not None else (context.git("config", "user.name") or "").strip()
    if not by:
        raise UserError("git has no user.name; say who decides with --by NAME.")
    records.waive(project, catalogue, item, reason=reason, by=by)
    _say_state(project, item)


@checklist_app.command()
def withdraw(name: Id) -> None:
    """Take back a sign-off or a waiver."""
    from . import records
    from .catalogue import load_catalogue

    project = _project()
    catalogue = load_catalogue(project, brief=True)
    item = catalogue.find(name)
    records.withdraw(project, catalogue, item)
    _say_state(project, item)


@checklist_app.command()
def gate(
    stage: Stage = None,
    warn_at_poc: Annotated[
        bool,
        typer.Option("--warn-at-poc", help="Only warn at poc, and until the stage before passed."),
    ] = False,
) -> None:
    """Refuse, with exit code 1, what lacks an item of the stage; for CI."""
    from ..core.errors import GateError
    from . import show, verify

    project = _project()
    assessment = verify.assess(project, verify.check_name("stage", stage), brief=True)
    missing, before = verify.upcoming(assessment), verify.stage_before(assessment)
    for each in filter(None, (before, assessment.stage)):
        if verify.passes(assessment, each):
            _note_passed(project, assessment.catalogue, each)
    if not missing:
        show.say(show.gate(assessment))
        return
    show.say(*map(show.missing_line, missing))
    sentence = show.gate_missing(assessment)
    if not warn_at_poc or before and verify.has_passed(project, assessment, before):
        raise GateError(sentence)
    show.say(show.line(f"Warning: {sentence} {show.why_a_warning(before)}"))


@checklist_app.command()
def score() -> None:
    """Show the ML Test Score (Breck et al., 2017): 28 tests, and the items that answer them."""
    from . import show, verify

    show.say(show.score(verify.survey(_project()).score))


@checklist_app.command()
def report(stage: Stage = None) -> None:
    """Write reports/checklist.html, and for git checklist/checklist.md and checklist/badge.svg."""
    from . import formats, show, verify

    project = _project()
    for path in formats.write(project, verify.survey(project, verify.check_name("stage", stage))):
        show.say(show.line(str(path)))


def _project() -> "Project":
    """Return the project around the working folder."""
    from ..core.project import find_project

    return find_project()


def _shown(project: "Project", name: str) -> "Group":
    """Return an item in full, whatever its stage."""
    from . import show, verify

    catalogue, context = verify.open_context(project)
    item = catalogue.find(name)
    result = verify.verify(context, item)
    return show.item(result, context.records, verify.places(context, item))


def _note_passed(project: "Project", catalogue: "Catalogue", stage: str) -> None:
    """Note for git that the gate of a stage has passed, and say so the first time."""
    from . import records, show

    with suppress(OSError):  # a gate may look at a folder that cannot be written to
        if records.note_passed(project, catalogue, stage):
            noted = f'Gate "{stage}" passed for the first time: commit checklist/signoffs.yaml.'
            show.say(show.line(noted))


def _say_state(project: "Project", item: "Item") -> None:
    """Print an item's state, as it is after a decision about it."""
    from . import show, verify

    show.say(show.state_line(verify.verify(verify.open_context(project, brief=True)[1], item)))
