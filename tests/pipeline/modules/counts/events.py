"""A listener that keeps a list of what has happened."""

from __future__ import annotations

from typing import Any

from ..core.files import append_json_line
from ..core.project import Project


def note(event: str, project: Project, facts: dict[str, Any]) -> None:
    """Add to `logs/events.jsonl` the event, its run, and the files that name that run by now."""
    run_id = facts["run_id"]
    files = (
        project.logs / "runs.jsonl",
        project.bundle_folder(run_id) / "bundle.json",
        project.ledger,
        project.champion_file,
    )
    named = [
        project.relative(path)
        for path in files
        if path.exists() and run_id in path.read_text(encoding="utf-8")
    ]
    append_json_line(
        project.logs / "events.jsonl", {"event": event, "run_id": run_id, "named_in": named}
    )
