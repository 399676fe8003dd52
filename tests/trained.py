"""What the tests of training share: the table, small estimators, and how a project is trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlproj import train
from mlproj.core.config import load_settings
from mlproj.core.project import Project

ROWS = 900
BOOSTERS = ("xgboost", "lightgbm", "catboost")
SMALL: dict[str, dict[str, Any]] = {
    "forest": {"n_estimators": 20},
    "hgb": {"max_iter": 20},
    "xgboost": {"n_estimators": 20, "n_jobs": 1},
    "lightgbm": {"n_estimators": 20, "n_jobs": 1},
    "catboost": {"iterations": 20, "thread_count": 1},
}
TARGETS = {"two": "classification", "many": "classification", "amount": "regression"}


def table(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Return rows with a column of every type, and targets of every kind that follow from them."""
    random = np.random.default_rng(seed)
    towns = np.array([f"town{number}" for number in range(120)])
    effect = dict(zip(towns, random.normal(size=120), strict=True))
    words = np.array(["red", "Green", "blue", "dog", "cat-like", "\u00e9t\u00e9"])
    frame = pd.DataFrame(
        {
            "size": random.normal(size=rows),
            "age": random.normal(size=rows),
            "visits": random.integers(0, 50, rows),
            "member": random.uniform(size=rows) < 0.3,
            "plan": random.choice(["basic", "plus", "family"], rows),
            "town": random.choice(towns, rows),
            "since": pd.Timestamp(2024, 1, 1) + pd.to_timedelta(random.integers(0, 900, rows), "D"),
            "note": [" ".join(random.choice(words, 6)) for _ in range(rows)],
            "store": random.choice([f"s{number}" for number in range(24)], rows),
        }
    )
    score = frame["size"] + 0.5 * frame["age"] + (frame["plan"] == "plus")
    score += frame["town"].map(effect) + frame["note"].str.count("dog") - 1
    score += random.normal(0, 0.4, rows)
    for column in ("age", "plan", "member"):
        frame[column] = frame[column].astype(object).mask(random.uniform(size=rows) < 0.1)
    frame["two"] = np.where(score > 0, "yes", "no")
    frame["many"] = np.select([score > 1, score > 0], ["high", "middle"], "low")
    frame["amount"] = score
    return frame


def copy_of(project: Project, folder: Path) -> Project:
    """Copy a project."""
    shutil.copytree(project.root, folder)
    return Project(folder)


def trained(project: Project, *overrides: str) -> dict[str, Any]:
    """Train and return the facts."""
    facts: dict[str, Any] = train.train(project, load_settings(project, overrides)).facts
    return facts


def lines(project: Project) -> list[dict[str, Any]]:
    """Return logs/runs.jsonl."""
    text = (project.logs / "runs.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
