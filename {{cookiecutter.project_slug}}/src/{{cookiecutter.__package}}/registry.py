"""What can be chosen by name, and where it is: dicts that `custom.py` and modules extend.

An entry is `"module:function"`; a module that begins with a dot is below this package. Nothing is
imported before it is asked for, so that the command line starts fast.
"""

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import Any

from .errors import UserError

SOURCES: dict[str, str] = {
    "file": ".data.sources:fetch_file",
    "http": ".data.sources:fetch_http",
    "https": ".data.sources:fetch_http",
    "s3": ".data.sources:fetch_bucket",
    "gs": ".data.sources:fetch_bucket",
    "sqlite": ".data.sources:fetch_sql",
    "postgresql": ".data.sources:fetch_sql",
    "mysql": ".data.sources:fetch_sql",
    "mariadb": ".data.sources:fetch_sql",
    "mssql": ".data.sources:fetch_sql",
    "oracle": ".data.sources:fetch_sql",
    "duckdb": ".data.sources:fetch_sql",
    "snowflake": ".data.sources:fetch_sql",
    "sklearn": ".data.sources:fetch_sklearn",
    "sample": ".data.sources:fetch_sample",
}
ESTIMATORS: dict[str, str] = {}
STAGES: dict[str, str] = {}
COMMANDS: dict[str, str] = {}
REPORT_SECTIONS: dict[str, str] = {}
SETTINGS: dict[str, str] = {}
EVIDENCE: dict[str, str] = {}


def lookup(registry: dict[str, str], name: str, what: str) -> Any:
    """Import and return the entry `name`.

    Raises:
        UserError: If there is none; the sentence opens with `what` and lists the names.
    """
    extend_by_custom()
    if name not in registry:
        allowed = ", ".join(sorted(registry))
        raise UserError(f"{what} is '{name}', but known are: {allowed}.")
    return load(registry[name])


def load(reference: str) -> Any:
    """Import `"module:attribute"`, relative to this package where it begins with a dot."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module, __package__), attribute)


@cache
def extend_by_modules() -> None:
    """Import every sub-package once; the optional ones add their entries as they load."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.ispkg:
            importlib.import_module(f".{module.name}", __package__)


@cache
def extend_by_custom() -> None:
    """Import the modules and the team's `custom.py`, once."""
    extend_by_modules()
    importlib.import_module(".custom", __package__)
