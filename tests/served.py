"""Projects of each kind that are served."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

SAMPLE = {"source": "sample:1200", "id": "customer_id", "sensitive": "gender"}


PROJECTS: dict[str, dict[str, Any]] = {
    "binary": {"data": {**SAMPLE, "target": "churned"}, "model": {"candidates": "linear"}},
    "multiclass": {
        "data": {"source": "sklearn:wine", "target": "target"},
        "model": {"candidates": "forest"},
    },
    # Its encoder of many strings has no ONNX form for several classes.
    "multiclass without ONNX": {
        "data": {**SAMPLE, "target": "plan"},
        "model": {"candidates": "forest"},
    },
    "regression": {
        "data": {**SAMPLE, "target": "spend"},
        "model": {"candidates": "linear", "task": "regression"},
    },
    "numbers": {
        "data": {"source": "sklearn:breast_cancer", "target": "diagnosis"},
        "model": {"candidates": "linear"},
    },
}


def copy_of(project: Any, folder: Path) -> Any:
    """Return a copy of a project without its logs."""
    shutil.copytree(project.root, folder, ignore=shutil.ignore_patterns("predictions"))
    return type(project)(folder)


def read_log(project: Any) -> Any:
    """Return the prediction log."""
    files = sorted((project.logs / "predictions").glob("*.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
