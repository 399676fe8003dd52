"""Monitoring: rows like those of training raise no alert, and changed ones do."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from {{ cookiecutter.__package }}.data.sample import sample_table

if TYPE_CHECKING:
    from pathlib import Path

    from {{ cookiecutter.__package }}.core.project import Project


def check(command: list[str], project: Project, rows: Path) -> tuple[int, set[str]]:
    """Monitor a file; return the exit code and the problems that were found."""
    words = [*command, "monitor", str(rows)]
    done = subprocess.run(words, cwd=project.root, capture_output=True, text=True, encoding="utf-8")
    assert "Traceback" not in done.stderr
    facts = json.loads((project.reports / "drift.json").read_text("utf-8"))["facts"]
    return done.returncode, {problem["key"] for problem in facts["problems"]}


def test_only_changed_rows_raise_an_alert(
    command: list[str], sample_project: Project, tmp_path: Path
) -> None:
    rows = sample_table(1000, seed=1)
    rows.to_csv(tmp_path / "same.csv", index=False)
    assert check(command, sample_project, tmp_path / "same.csv") == (0, set())
    rows.assign(income=rows["income"] * 1.5).to_csv(tmp_path / "changed.csv", index=False)
    code, problems = check(command, sample_project, tmp_path / "changed.csv")
    assert code == 1
    assert "feature:income" in problems
    assert (sample_project.reports / "drift.html").stat().st_size > 10_000
