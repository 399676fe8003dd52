"""Where things are in a project, and the reports through which its stages speak."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import UserError
from .files import read_json

SPLITS = ("train", "valid", "test")
REPORT_VERSION = 1


@dataclass(frozen=True)
class Project:
    """A project's folder; every path of the layout is a property, so that none is spelt twice."""

    root: Path

    @property
    def conf(self) -> Path:
        """The pipeline's one configuration file."""
        return self.root / "conf.cfg"

    @property
    def data(self) -> Path:
        """The folder of everything that comes from the source."""
        return self.root / "data"

    @property
    def original(self) -> Path:
        """The folder of untouched originals."""
        return self.data / "original"

    @property
    def typed(self) -> Path:
        """The original as typed by the schema, with a key per row."""
        return self.data / "typed.parquet"

    @property
    def schema_file(self) -> Path:
        """The schema, inferred once and then owned by the team."""
        return self.data / "schema.yaml"

    @property
    def manifest_file(self) -> Path:
        """What the split consists of; its presence means that the split is whole."""
        return self.data / "manifest.json"

    @property
    def reports(self) -> Path:
        """The folder of the stages' findings."""
        return self.root / "reports"

    @property
    def ledger(self) -> Path:
        """Every opening of the test split, one JSON line each."""
        return self.reports / "test_ledger.jsonl"

    @property
    def worst_rows(self) -> Path:
        """The rows with the largest errors, one JSON line each; rows of data, so not for git."""
        return self.reports / "worst_rows.jsonl"

    @property
    def models(self) -> Path:
        """The folder of bundles."""
        return self.root / "models"

    @property
    def champion_file(self) -> Path:
        """The name of the bundle in service."""
        return self.models / "champion.json"

    @property
    def made_here(self) -> Path:
        """The bundles that were made in this checkout; not for git."""
        return self.logs / "made_here.jsonl"

    @property
    def same_models(self) -> Path:
        """The bundles made here that are models promoted elsewhere; not for git."""
        return self.models / "same_models.jsonl"

    @property
    def logs(self) -> Path:
        """The folder of logs, one per run."""
        return self.root / "logs"

    @property
    def docs(self) -> Path:
        """The folder of written answers."""
        return self.root / "docs"

    @property
    def answers_file(self) -> Path:
        """The answers that the project was made with, as cruft keeps them."""
        return self.root / ".cruft.json"

    def split_folder(self, name: str) -> Path:
        """Return the folder of one part of the split: train, valid or test."""
        return self.data / name

    def bundle_folder(self, run_id: str) -> Path:
        """Return the folder of one run's bundle."""
        return self.models / run_id

    def report_file(self, name: str) -> Path:
        """Return the file of one report."""
        return self.reports / f"{name}.json"

    def relative(self, path: Path) -> str:
        """Return `path` as it is written into files: below the root, with forward slashes."""
        return path.relative_to(self.root).as_posix()

    def sizes(self, *paths: Path) -> dict[str, int]:
        """Return the size in bytes of each file, by its relative path: the `files` fact."""
        return {self.relative(path): path.stat().st_size for path in paths}


def find_project(start: Path | None = None) -> Project:
    """Return the project around `start` (default: the working folder).

    Raises:
        UserError: If neither the folder nor one above it holds a `conf.cfg`.
    """
    folder = (start or Path.cwd()).resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / "conf.cfg").is_file():
            return Project(candidate)
    raise UserError(f"No conf.cfg in {folder} or above it; go to the project's folder first.")


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
