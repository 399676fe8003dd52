"""What the rows of train look like, column by column; cached by the data's fingerprint."""

from __future__ import annotations

import json
import os
import tempfile
from typing import TYPE_CHECKING, Any

from ..core.files import write_text
from ..core.pipeline import require
from ..core.project import Project
from ..data.dates import local_times
from ..data.schema import Schema, load_schema, with_columns
from ..data.split import load_manifest, load_split
from .html import short_number

if TYPE_CHECKING:
    import pandas as pd

PROFILE = "profile.html"
PROFILE_ROWS = 50_000
PROFILE_COLUMNS = 60
DRAWN_COLUMNS = 40
ASSOCIATED_COLUMNS = 30
PROFILE_BYTES = 1_500_000
FEW_VALUES = 50


def profile_train(project: Project) -> dict[str, Any]:
    """Profile train, unless that was done for this data already; return what was found."""
    data = require(project, "preprocess").data
    found = read_profile(project)
    if found is None or found[0]["data"] != data:
        train, schema = load_split(project, "train", rows=PROFILE_ROWS), load_schema(project)
        hidden = [column.name for column in (*schema.ids, *schema.having("ignore"))]
        shown = train.drop(columns=[name for name in hidden if name in train.columns])
        frame = in_local_time(shown, schema)
        facts, html = _make_profile(frame, load_manifest(project)["rows"]["train"])
        # What was found goes into the first line; "--" would end the comment early.
        line = json.dumps(facts | {"data": data}).replace("--", "\\u002d\\u002d")
        write_text(project.reports / PROFILE, f"<!--{line}-->\n{html}")
        found = facts, html
    return {key: value for key, value in found[0].items() if key != "data"}


def in_local_time(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return rows with the times of each column's zone, as people know them."""
    zones = {column.name: column.zone for column in schema.columns if column.name in frame}
    local = {name: local_times(frame[name], zone) for name, zone in zones.items() if zone}
    return with_columns(frame, local)


def read_profile(project: Project) -> tuple[dict[str, Any], str] | None:
    """Return what the cached profile found, and its page; None if there is none to use."""
    path = project.reports / PROFILE
    if not path.exists():
        return None
    line, _, html = path.read_text(encoding="utf-8").partition("\n")
    try:
        return json.loads(line.removeprefix("<!--").removesuffix("-->")), html
    except ValueError:
        return None


def _make_profile(frame: pd.DataFrame, rows: int) -> tuple[dict[str, Any], str]:
    """Return a line per column, and a page to look closer, of a sample of so many rows."""
    # When imported, skrub creates a folder for example data, by default in the home folder.
    os.environ.setdefault("SKB_DATA_DIRECTORY", tempfile.gettempdir())
    from skrub import TableReport

    width = frame.shape[1]
    shown = frame.iloc[:, :PROFILE_COLUMNS]
    about = f"{rows:,} rows of train"
    if rows > len(frame):
        about = f"A draw of {len(frame):,} of the {about}"
    if width > PROFILE_COLUMNS:
        about += f", the first {PROFILE_COLUMNS} of {width} columns"
    facts = {"about": about, "columns": [_column_facts(shown[name]) for name in shown.columns]}
    for drawn in (shown.shape[1] <= DRAWN_COLUMNS, False):
        html: str = TableReport(
            shown,
            title="Train",
            verbose=0,
            plot_distributions=drawn,
            compute_associations=shown.shape[1] <= ASSOCIATED_COLUMNS,
            open_tab="distributions" if drawn else "stats",
        ).html()
        if len(html.encode()) <= PROFILE_BYTES:
            break
    return facts, html


def _column_facts(values: pd.Series[Any]) -> dict[str, Any]:
    """Return what a column holds; no value of it where values might name a person."""
    from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

    present = values.dropna()
    distinct = int(present.nunique())
    low = middle = high = None
    if len(present) and is_datetime64_any_dtype(present):
        low, middle, high = (str(present.quantile(q))[:10] for q in (0, 0.5, 1))
    elif len(present) and is_numeric_dtype(present) and not is_bool_dtype(present):
        low, middle, high = (short_number(present.quantile(q)) for q in (0, 0.5, 1))
    elif len(present) and distinct <= FEW_VALUES:
        middle = str(present.mode().iloc[0])
    return {
        "name": str(values.name),
        "missing": round(1 - len(present) / max(1, len(values)), 6),
        "distinct": distinct,
        "low": low,
        "middle": middle,
        "high": high,
    }
