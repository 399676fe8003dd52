"""A machine-learning project: data in, a judged and packaged model out.

Files are the story, in the order of the work: `ingest`, `preprocess`, `train`, `postprocess`,
`evaluate`, `report`; `predict` scores new rows, and `cli` is the command line. `custom` is yours.
Folders are the machinery behind them, which few ever need to open.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from .core import aliases
from .core.registry import LENT, Stage, add_stages

# A runtime that the service uses sends telemetry unless this is set before its first import, and no
# module of the package is imported before this file. Whoever wants to send it sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from . import evaluate, ingest, postprocess, preprocess, report, train
    from .bundle.bundle import load_bundle
    from .bundle.champion import load_champion
    from .core.project import find_project
    from .data.schema import load_schema
    from .data.split import load_split

__all__ = ["find_project", "load_bundle", "load_champion", "load_schema", "load_split"]

add_stages(
    Stage(
        "ingest",
        ".ingest:ingest",
        report="ingest",
        settings=("data", "features.max_categories", "model.task"),
        chooses={"SOURCES": ("data.source",), "TASKS": ("model.task",)},
        inputs=".ingest:source_state",
        command=".cli:ingest",
        notes="data/schema.yaml",
    ),
    Stage(
        "preprocess",
        ".preprocess:preprocess",
        report="split",
        after=("ingest",),
        settings=("data", "split", "model.task"),
        chooses={"TASKS": ("model.task",)},
    ),
    Stage(
        "train",
        ".train:train",
        report="train",
        after=("preprocess",),
        settings=("model", "features", "params", "split.seed", "decision.positive"),
        chooses={
            "ESTIMATORS": ("baseline", "model.candidates"),
            "INPUTS": ("*",),
            "METRICS": ("*",),
            "TASKS": ("model.task",),
            "TRANSFORMERS": ("*",),
        },
    ),
    Stage(
        "postprocess",
        ".postprocess:postprocess",
        report="release",
        after=("train",),
        settings=("decision",),
        chooses={
            "FORMS": ("*",),
            "INPUTS": ("*",),
            "METRICS": ("*",),
            "TASKS": ("model.task",),
        },
    ),
    Stage(
        "evaluate",
        ".evaluate:evaluate",
        report="metrics",
        after=("postprocess",),
        settings=("evaluate", "model.metric"),
        chooses={"INPUTS": ("*",), "METRICS": ("*",), "TASKS": ("model.task",)},
        options=".evaluate:options_of_a_run",
        then={"champion": ".bundle.promotion:offer"},
        command=".cli:evaluate",
    ),
    Stage(
        "report",
        ".report:report",
        report="profile",
        after=("evaluate",),
        chooses={"REPORT_SECTIONS": ("*",), "TASKS": ("model.task",)},
        then={"reports": ".bundle.champion:after_report"},
    ),
)

if TYPE_CHECKING:  # from here an editor finds the stages, and mypy sees that they are there
    _STAGES = (
        ingest.ingest,
        preprocess.preprocess,
        train.train,
        postprocess.postprocess,
        evaluate.evaluate,
        report.report,
    )

# What notebooks and scripts take from here, imported when it is asked for.
LENT.update(
    find_project=".core.project",
    load_bundle=".bundle.bundle",
    load_champion=".bundle.champion",
    load_schema=".data.schema",
    load_split=".data.split",
)
aliases.install()


def __getattr__(name: str) -> Any:
    """Import one of the functions above."""
    if name not in LENT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(LENT[name], __name__), name)
