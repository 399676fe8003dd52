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
# The 2,201 people on the Titanic (Dawson, 1995): class, adult, male, survived, and how many.
TITANIC = """
1 1 1 1 57,1 1 1 0 118,1 1 0 1 140,1 1 0 0 4,1 0 1 1 5,1 0 0 1 1,2 1 1 1 14,2 1 1 0 154,
2 1 0 1 80,2 1 0 0 13,2 0 1 1 11,2 0 0 1 13,3 1 1 1 75,3 1 1 0 387,3 1 0 1 76,3 1 0 0 89,
3 0 1 1 13,3 0 1 0 35,3 0 0 1 14,3 0 0 0 17,0 1 1 1 192,0 1 1 0 670,0 1 0 1 20,0 1 0 0 3
"""


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


def titanic() -> pd.DataFrame:
    """Return one row per person, shuffled."""
    counted = [[*map(int, each.split())] for each in TITANIC.split(",")]
    table = pd.DataFrame(counted, columns=["class", "adult", "male", "survived", "people"])
    people = table.loc[table.index.repeat(table.pop("people"))]
    return people.sample(frac=1, random_state=0, ignore_index=True)


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
