"""The checklist of this project: its own items, its records and its documents can be read."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_own_checklist_is_well_formed(command: list[str]) -> None:
    result = subprocess.run(
        [*command, "checklist"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )
    assert result.returncode == 0, result.stderr
    assert "Scoping" in result.stdout
