"""Stage: how often each prediction is made on the validation rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..bundle.bundle import load_bundle
from ..core.pipeline import require, write_report
from ..core.project import Project, Report
from ..data.split import load_split
from ..reporting.html import Section, table

if TYPE_CHECKING:
    from ..core.config import Settings


def tally(project: Project, settings: Settings) -> Report:
    """Count how often each prediction is made."""
    evaluated = require(project, "evaluate")
    rows = load_split(project, "valid")
    found = load_bundle(project, str(evaluated.run_id)).predict(rows)["prediction"].value_counts()
    most = settings.tally.most  # type: ignore[attr-defined]  # the module's own section
    facts = {
        "predictions": [[value, times] for value, times in found.head(most).items()],
        "summary": f"{len(found)} different predictions of {len(rows)} rows",
    }
    return write_report(
        project,
        settings,
        "tally",
        facts,
        run_id=evaluated.run_id,
        data=evaluated.data,
        model=evaluated.model,
    )


def section(project: Project, settings: Settings) -> Section:
    """Return the stage's part of the report's page."""
    rows = require(project, "tally").facts["predictions"]
    return Section("Most frequent predictions", table(["prediction", "rows"], rows))
