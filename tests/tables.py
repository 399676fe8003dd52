"""Tables with columns of every kind, written and split for the tests of the data layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlproj import ingest
from mlproj.core.config import load_settings
from mlproj.data import split
from mlproj.preprocess import preprocess

ROWS = 400


def mixed_table(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """A table with a column of each type, every one of which CSV can hold."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "key": [f"K{number:05d}" for number in range(rows)],
            "when": (pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows), "h")).astype(
                "datetime64[us]"
            ),
            "shop": random.integers(0, 200, rows).astype(str),
            "size": random.integers(1, 50, rows),
            "price": random.normal(100, 25, rows),
            "colour": random.choice(["red", "green", "blue"], rows),
            "member": random.choice([True, False], rows),
            "note": [f"order {number} came in good time and whole" for number in range(rows)],
            "label": random.choice(["no", "yes"], rows, p=[0.7, 0.3]),
        }
    ).assign(shop=lambda frame: "shop-" + frame["shop"])


def write_source(table: Any, path: Path) -> None:
    """Write bytes, text or a frame in the format of the name."""
    if isinstance(table, bytes):
        path.write_bytes(table)
    elif isinstance(table, str):
        path.write_text(table, encoding="utf-8", newline="\n")
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    elif path.suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True, double_precision=15, date_format="iso")
    elif path.suffix == ".xlsx":
        table.to_excel(path, index=False)
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")


def run_data(project: Any, *overrides: str) -> dict[str, Any]:
    """Run ingest and preprocess; return the facts of reports/split.json."""
    settings = load_settings(project, overrides)
    ingest.ingest(project, settings)
    facts: dict[str, Any] = preprocess(project, settings).facts
    return facts


def members(project: Any, column: str = "key") -> dict[str, set[Any]]:
    """Return the values of a column in each split."""
    return {name: set(split.load_split(project, name)[column]) for name in split.SPLITS}


def everything(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, apart from sources and settings at its top."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent != folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


GOOD = "x,label\n" + "".join(f"{row}.5,{'ab'[row % 2]}\n" for row in range(40))
