"""Transformers of custom.py: fitted on train as steps of the model, beside what is here.

What they must not do is refused in one sentence: fail, be something else, change the rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from sklearn.base import clone
from sklearn.compose import ColumnTransformer

from ..core import registry
from ..core.errors import UserError, failure
from ..data.schema import require_columns

# What an estimator of scikit-learn has that turns columns into others.
METHODS = ("fit", "transform", "get_params")


def team_steps(inputs: pd.DataFrame, kind: str, seed: int) -> list[tuple[str, Any, list[str]]]:
    """Return the steps that custom.py, or a folder, adds to those for each kind of input.

    One that takes no column is left out.

    Args:
        inputs: Prepared rows of train.
        kind: "linear", "tree" or "filled", see `Candidate`.
        seed: Of the split.

    Raises:
        UserError: If a function fails, or does not return a transformer and columns that there are.
    """
    registry.team()
    entries = sorted(registry.TRANSFORMERS.items())
    steps = [_team_step(name, registry.load(each), inputs, kind, seed) for name, each in entries]
    return [step for step in steps if step[-1]]


def _team_step(
    name: str, build: Any, inputs: pd.DataFrame, kind: str, seed: int
) -> tuple[str, Any, list[str]]:
    """Return one step."""
    try:
        found = build(inputs, kind, seed)
    except UserError:
        raise
    except Exception as error:  # whatever the team's code raises
        raise failure(_place(name), error) from error
    try:
        transformer, columns = found
        columns = [str(each) for each in columns]
    except (TypeError, ValueError):
        raise UserError(
            f"{_place(name)} returned {type(found).__name__}; let its function return "
            "(transformer, columns)."
        ) from None
    if isinstance(transformer, type) or not all(hasattr(transformer, each) for each in METHODS):
        raise UserError(
            f"{_place(name)} is {_described(transformer)}, not an estimator of scikit-learn's "
            f"kind; it needs {', '.join(METHODS[:-1])} and {METHODS[-1]}: inherit from "
            "BaseEstimator."
        )
    require_columns([str(each) for each in inputs.columns], columns, _place(name))
    return name, transformer, columns


def check_team_steps(
    features: ColumnTransformer, inputs: pd.DataFrame, target: Any, others: pd.DataFrame
) -> None:
    """Find out whether a transformer of custom.py is why a model cannot be fitted or used.

    Args:
        features: Unfitted; see `features.build_features`.
        inputs: Prepared rows of train.
        target: Of these rows.
        others: Prepared rows that it is not fitted on.

    Raises:
        UserError: If one fails, or returns other rows than it got.
    """
    own = [step for step in features.transformers if step[0] in registry.TRANSFORMERS]
    for name, transformer, columns in own:
        try:
            fitted = clone(transformer).fit(inputs[columns], target)
            sizes = [
                (len(rows), _rows(fitted.transform(rows[columns]))) for rows in (inputs, others)
            ]
        except Exception as error:  # whatever the team's code raises
            raise failure(_place(name), error) from error
        _refuse_other_rows(name, sizes)


def _refuse_other_rows(name: str, sizes: Iterable[tuple[int, int]]) -> None:
    """Refuse a transformer that returns fewer rows or more."""
    for given, returned in sizes:
        if returned != given:
            raise UserError(
                f"{_place(name)} turned {given:,} rows into {returned:,}; let it return a row for "
                "every row (drop rows in clean)."
            )


def _rows(found: Any) -> int:
    """Return the number of rows of an array or a table, also of a sparse one."""
    return int(found.shape[0]) if hasattr(found, "shape") else len(found)


def _place(name: str) -> str:
    """Return how a sentence names a transformer."""
    return f"The transformer '{name}' of custom.py"


def _described(value: Any) -> str:
    """Return what a value is, for a sentence."""
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
