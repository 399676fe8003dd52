"""Stage: one page of HTML, from what the other stages wrote; it needs no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .core import registry
from .core.errors import UserError
from .core.files import write_text
from .core.pipeline import require, write_report
from .core.project import Project, Report
from .core.registry import stages_before
from .data.schema import load_schema
from .reporting.html import Section, html_page
from .reporting.sections import (
    PROFILE,
    card_section,
    curves_section,
    errors_section,
    models_section,
    openings_section,
    part,
    profile_section,
    profile_train,
    split_section,
    summary_section,
)

if TYPE_CHECKING:

    from .core.config import Settings

PAGE = "index.html"
SectionFunction = Callable[["Project", "Settings"], Section | None]


def report(project: Project, settings: Settings) -> Report:
    """Write reports/index.html.

    What the data profile found goes to `reports/profile.json`.

    Raises:
        UserError: If a stage has to run first.
    """
    evaluated = _check(project)
    profile = profile_train(project)
    sections = dict(_sections(project, settings))
    page = project.reports / PAGE
    write_text(page, _page(project, evaluated, sections))
    facts = profile | {
        "files": project.sizes(page, project.reports / PROFILE),
        "summary": f"{project.relative(page)}, {page.stat().st_size / 1e6:.1f} MB",
    }
    return write_report(
        project,
        settings,
        "report",
        facts,
        name="profile",
        run_id=evaluated.run_id,
        data=evaluated.data,
        model=evaluated.model,
    )


SECTIONS: dict[str, SectionFunction] = {
    "summary": summary_section,
    "data": profile_section,
    "split": split_section,
    "models": models_section,
    "curves": curves_section,
    "errors": errors_section,
}
LAST_SECTIONS: dict[str, SectionFunction] = {"test": openings_section, "card": card_section}


def _check(project: Project) -> Report:
    """Return the evaluation once every stage's report is there and they belong together.

    Raises:
        UserError: Naming the stage to run.
    """
    before = {stage.name: stage.report for stage in stages_before("report")}
    found = {name: require(project, name) for name in before}
    trained, release, judged = found["train"], found["postprocess"], found["evaluate"]
    for name, run_id, last in (
        ("postprocess", release.facts.get("trained_as"), trained.run_id),
        ("evaluate", judged.run_id, release.run_id),
    ):
        if run_id != last:
            raise UserError(
                f"reports/{before[name]}.json is of the model {run_id}, but the last one is "
                f"{last}; run `{name}` first."
            )
    return judged


def _sections(project: Project, settings: Settings) -> Iterator[tuple[str, Section]]:
    """Yield the page's parts; those of modules and custom.py stand before the last ones."""
    registry.team()
    own = {name: registry.load(entry) for name, entry in registry.REPORT_SECTIONS.items()}
    for name, function in (SECTIONS | own | LAST_SECTIONS).items():
        section = function(project, settings)
        if section is not None:
            yield name, section


def _page(project: Project, evaluated: Report, sections: dict[str, Section]) -> str:
    """Return the whole page."""
    column = load_schema(project).target
    lead = part("lead", evaluated, column.name if column else "")
    return html_page(f"{project.root.name}: model report", lead, sections, part("foot"))
