"""What the tests of the data layer share: a project around a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tables import write_source


@pytest.fixture
def place(tmp_path: Path, make_project: Callable[..., Any]) -> Callable[..., Any]:
    """``place(table_or_text, name="t.csv", target=..., **sections)``: a project with a source."""

    def place(table: Any, name: str = "t.csv", **sections: Any) -> Any:
        data = {"source": name, "target": "label", **sections.pop("data", {})}
        project = make_project(tmp_path, data=data, **sections)
        write_source(table, tmp_path / name)
        return project

    return place
