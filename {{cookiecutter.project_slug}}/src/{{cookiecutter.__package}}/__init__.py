"""A machine-learning project: data in, a judged and packaged model out.

Files are the story, in the order of the work: `ingest`, `preprocess`, `train`, `postprocess`,
`evaluate`, `report`; `predict` scores new rows, and `cli` is the command line. `custom` is yours.
Folders are the machinery behind them, which few ever need to open.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from .core import aliases

# ONNX Runtime sends telemetry unless this is set before its first import, and no module of the
# package is imported before this file. Whoever wants to send it sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from .bundle.bundle import load_bundle
    from .bundle.champion import load_champion
    from .core.project import find_project
    from .data.schema import load_schema
    from .data.split import load_split

__all__ = ["find_project", "load_bundle", "load_champion", "load_schema", "load_split"]

# What notebooks and scripts take from here, imported when it is asked for.
_PLACES = {
    "find_project": ".core.project",
    "load_bundle": ".bundle.bundle",
    "load_champion": ".bundle.champion",
    "load_schema": ".data.schema",
    "load_split": ".data.split",
}
aliases.install()


def __getattr__(name: str) -> Any:
    """Import one of the functions above."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name], __name__), name)
