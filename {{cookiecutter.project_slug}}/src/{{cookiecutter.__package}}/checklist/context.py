"""What the checklist reads of a project: each file once, and only if something asks for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from ..core.files import read_json
from ..core.project import Project, Report, read_answers, read_report
from ..core.registry import stages
from .catalogue import YamlFile
from .records import NO_RECORDS, Records

if TYPE_CHECKING:
    from ..core.config import Settings
    from .documents import Heading

# The folder of reports/ that is about the model in service.
CHAMPION = "champion"


@dataclass(frozen=True)
class Context:
    """A project as its checklist sees it.

    Attributes:
        records: Sign-offs and waivers.
    """

    project: Project
    records: Records = NO_RECORDS
    _reports: dict[str, Report | None] = field(default_factory=dict)
    _places: dict[str, str] = field(default_factory=dict)
    _documents: dict[Path, dict[str, Heading]] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    _printed: dict[tuple[str, ...], str | None] = field(default_factory=dict)

    @cached_property
    def answers(self) -> dict[str, Any]:
        """The answers that the project was made with; empty where none are recorded."""
        return read_answers(self.project)

    @cached_property
    def settings(self) -> Settings:
        """The settings of conf.cfg, with their defaults."""
        from ..core.config import load_settings

        return load_settings(self.project)

    @cached_property
    def data(self) -> str | None:
        """The fingerprint of the current data; None before the first split."""
        if not self.project.manifest_file.exists():
            return None
        manifest = read_json(self.project.manifest_file)
        if not isinstance(manifest, dict) or not manifest.get("fingerprint"):
            raise UserError("data/manifest.json has no fingerprint; run `preprocess` again.")
        return str(manifest["fingerprint"])

    @cached_property
    def champion(self) -> dict[str, Any] | None:
        """The entry of models/champion.json about the model in service; None without one."""
        from ..bundle.champion import read_champion

        return read_champion(self.project)

    @cached_property
    def model(self) -> str | None:
        """The run id of the model in service; None where there is none."""
        return None if self.champion is None else str(self.champion["run_id"])

    @cached_property
    def runs(self) -> set[str]:
        """The run ids under which the model in service was trained and packaged."""
        if self.model is None:
            return set()
        found = (read_report(self.project, name) for name in ("release", f"{CHAMPION}/release"))
        own = [each for each in found if each and each.run_id == self.model]
        return {self.model, *(str(each.facts.get("trained_as", self.model)) for each in own)}

    @cached_property
    def newer(self) -> str | None:
        """The run id of the last model, if that is packaged and another one is in service."""
        last = read_report(self.project, "release")
        return last.run_id if last and self.model and last.run_id != self.model else None

    def report(self, name: str) -> Report | None:
        """Return a report, or None where its stage has not run; of a model, the champion's."""
        if name not in self._reports:
            self._reports[name] = read_report(self.project, self.place(name))
        return self._reports[name]

    def place(self, name: str) -> str:
        """Return the name of the file that a report is read from, `metrics` or `champion/metrics`.

        A stage's report about another model than the champion gives way to the champion's own, if
        that was kept: earlier versions did not keep it.
        """
        if name not in self._places:
            self._places[name] = self._place(name)
        return self._places[name]

    def _place(self, name: str) -> str:
        """Return what `place` does, from the files."""
        last, own = read_report(self.project, name), f"{CHAMPION}/{name}"
        if not self._is_kept or last and (last.run_id is None or last.run_id in self.runs):
            return name
        return name if last and last.stage not in stages() else own

    @cached_property
    def _is_kept(self) -> bool:
        """Whether `reports/champion/` is about the model in service."""
        release = read_report(self.project, f"{CHAMPION}/release")
        return release is not None and release.run_id == self.model

    def path(self, name: str) -> str:
        """Return the path of a report, as messages name it."""
        return f"reports/{self.place(name)}.json"

    def facts(self, name: str) -> dict[str, Any]:
        """Return the facts of a report; empty where its stage has not run."""
        report = self.report(name)
        return report.facts if report else {}

    @cached_property
    def schema(self) -> list[dict[str, Any]]:
        """The columns in data/schema.yaml, as they stand there; empty before the first ingest."""
        path = self.project.schema_file
        content = YamlFile(path, "data/schema.yaml").read() if path.exists() else {}
        columns = content.get("columns") if isinstance(content, dict) else None
        return [{"type": "-", **each} for each in columns or [] if "name" in each]

    def stage_key(self, stage: str) -> str:
        """Return today's fingerprint of all that a stage's result depends on."""
        from ..core.pipeline import stage_key

        if stage not in self._keys:
            self._keys[stage] = stage_key(self.project, self.settings, stage)
        return self._keys[stage]

    def document(self, path: Path) -> dict[str, Heading]:
        """Return the headings of a document by their slugs; empty where it does not exist."""
        from .documents import read_document

        if path not in self._documents:
            self._documents[path] = read_document(path) if path.exists() else {}
        return self._documents[path]

    @cached_property
    def tracked(self) -> list[str] | None:
        """The files that git tracks, relative to the root; None where there is no repository."""
        listed = self.git("ls-files", "-z")
        return None if listed is None else split_names(listed)

    def git(self, *arguments: str, accepted: tuple[int, ...] = (0,)) -> str | None:
        """Return what git prints; None where git or the repository is missing, or git fails.

        Names are relative to the project, which may be a part of a larger repository.
        """
        if arguments not in self._printed:
            self._printed[arguments] = self._run_git(arguments, accepted)
        return self._printed[arguments]

    def _run_git(self, arguments: Sequence[str], accepted: tuple[int, ...]) -> str | None:
        """Return what git prints today."""
        try:
            done = subprocess.run(  # noqa: S603
                ["git", "-c", "color.ui=false", *arguments],  # noqa: S607
                cwd=self.project.root,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                # `git grep` is ten times as fast as in UTF-8, where it compares single characters.
                env={**os.environ, "LC_ALL": "C"},
            )
        except OSError:
            return None
        return done.stdout if done.returncode in accepted else None


def split_names(listed: str) -> list[str]:
    """Return the names that git lists with `-z`, where only a NUL character ends a name."""
    return [name for name in listed.split("\0") if name]
