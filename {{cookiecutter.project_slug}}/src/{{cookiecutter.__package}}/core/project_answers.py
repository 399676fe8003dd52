"""The answers that a project was made with, and the stage of maturity that it claims."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .errors import UserError
from .project import Project

# How mature a project claims to be; `core/stages.py` has the steps of the pipeline.
STAGES = ("poc", "mvp", "production")


def read_answers(project: Project) -> dict[str, Any]:
    """Return the answers that the project was made with; empty where none are recorded.

    Raises:
        UserError: If the file is broken.
    """
    if not project.answers_file.exists():
        return {}
    try:
        state = json.loads(project.answers_file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UserError(
            f".cruft.json is not complete JSON ({error}); bring back an earlier version from git."
        ) from None
    try:
        return dict(state["context"]["cookiecutter"])
    except (KeyError, TypeError, ValueError):
        raise UserError(
            ".cruft.json does not hold the project's answers (context, cookiecutter); "
            "bring back an earlier version from git."
        ) from None


def stage_of(answers: Mapping[str, Any]) -> str:
    """Return the stage that the answers claim; a proof of concept where they do not say.

    Raises:
        UserError: If it is not one of `STAGES`.
    """
    stage = answers.get("stage", STAGES[0])
    if stage not in STAGES:
        known = ", ".join(STAGES)
        raise UserError(f".cruft.json has the stage '{stage}'; change it there to one of {known}.")
    return str(stage)
