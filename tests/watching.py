"""Hold pieces of a table against a model, as monitoring does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlproj.core import config, pipeline
from mlproj.monitoring import monitor, settings, window

ROWS = 500
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
POLICY = settings.MonitorSettings()


def train(make_project: Any, folder: Path, rows: pd.DataFrame, **sections: Any) -> Any:
    """Return a project whose champion was made from the rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(folder / "rows.parquet")
    given = {"data": {"source": "rows.parquet", "target": "churned"}, **sections}
    given["model"] = {"candidates": "linear", "folds": 0, **sections.get("model", {})}
    project = make_project(folder, **given, evaluate={"bootstrap": 50})
    pipeline.run(project, config.load_settings(project), until="evaluate", say=lambda text: None)
    return project


def piece(rows: pd.DataFrame, seed: int, size: int = ROWS) -> pd.DataFrame:
    """Return rows that the champion was not made from; others for each seed."""
    begin = 4000 + seed * size
    return rows.iloc[begin : begin + size].reset_index(drop=True)


def inspect(model: Any, frame: pd.DataFrame, policy: Any = POLICY) -> list[Any]:
    """Return every comparison of some rows with the model's reference."""
    seen = window.window_of(model, frame, "rows")
    return list(monitor.inspect(model, monitor.read_reference(model), seen, policy)[0])


def found(model: Any, frame: pd.DataFrame, policy: Any = POLICY) -> set[str]:
    """Return what of it are findings."""
    return {f"{each.about}:{each.name}" for each in inspect(model, frame, policy) if each.found}


def scaled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(income=frame["income"] * 1.3)


def emptied(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(rating=frame["rating"].mask(np.arange(len(frame)) % 6 == 0))
