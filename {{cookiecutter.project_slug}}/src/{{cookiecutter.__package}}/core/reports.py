"""The reports through which stages speak: `reports/<name>.json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .errors import UserError
from .files import read_json
from .project import Project

REPORT_VERSION = 1


@dataclass(frozen=True)
class Report:
    """What a stage found, and the fingerprints of what it looked at."""

    stage: str
    run_id: str | None = None
    data: str | None = None
    model: str | None = None
    config: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def read_report(project: Project, name: str) -> Report | None:
    """Return one report, or None where its stage has not run.

    Raises:
        UserError: If the file is cut off or was written by another version.
    """
    path = project.report_file(name)
    if not path.exists():
        return None
    document = read_json(path)
    if not _is_report(document):
        raise UserError(
            f"{project.relative(path)} is no report of version {REPORT_VERSION}; "
            "delete it and run its stage again."
        )
    del document["version"]
    return Report(**document)


def _is_report(document: Any) -> bool:
    """Tell whether a document has the version, the keys and the types of a report."""
    if not isinstance(document, dict) or document.get("version") != REPORT_VERSION:
        return False
    rest = {key: value for key, value in document.items() if key not in ("version", "facts")}
    return (
        rest.keys() <= Report.__dataclass_fields__.keys()
        and isinstance(rest.get("stage"), str)
        and isinstance(document.get("facts"), dict)
        and all(isinstance(value, str | None) for value in rest.values())
    )
