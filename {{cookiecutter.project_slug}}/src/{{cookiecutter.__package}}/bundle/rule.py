"""The team's rule after the prediction: `decide` of custom.py, and what it has to keep to."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.errors import UserError, failure

if TYPE_CHECKING:
    from ..evaluation.predictions import Predictions
    from ..tasks.task import Task
    from .bundle import Bundle

Rule = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]
# So many rows are decided alone as well, to see that no row depends on the others.
ALONE = 10


def apply_rule(
    rule: Rule,
    task: Task,
    document: Mapping[str, Any],
    typed: pd.DataFrame,
    predictions: Predictions,
) -> Predictions:
    """Return predictions as the rule leaves them.

    Args:
        rule: See `decide` in custom.py.
        task: What is predicted.
        document: The content of `bundle.json`.
        typed: Conformed rows.
        predictions: For these rows.

    Raises:
        UserError: If the rule fails, or returns other rows, columns, classes or no numbers.
    """
    given, decided = decide_table(rule, task, document, typed, predictions)
    return task.read_columns(document, decided, _numbers_of(given, _place(rule)))


def decide_table(
    rule: Rule,
    task: Task,
    document: Mapping[str, Any],
    typed: pd.DataFrame,
    predictions: Predictions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return predictions as a table, and the table that the rule makes of it.

    What is checked here is wrong whatever the model predicts: that the rule raises, returns other
    rows or columns, or a class that there is not. Whether its numbers can be used is not checked.

    Args:
        rule: See `apply_rule`, as all others.
        task: What is predicted.
        document: Of `bundle.json`, what the task's columns follow from.
        typed: Conformed rows.
        predictions: For these rows.

    Raises:
        UserError: With the line of the rule.
    """
    given = pd.DataFrame(task.columns(document, predictions), index=typed.index)
    columns = list(given.columns)
    try:
        decided = rule(typed.copy(), given.copy())
    except UserError:
        raise
    except Exception as error:  # whatever the team's code raises
        raise failure(_place(rule, error), error) from error
    place = _place(rule)
    if not isinstance(decided, pd.DataFrame):
        raise UserError(
            f"{place} returned {type(decided).__name__}; return the frame of predictions."
        )
    if not decided.index.equals(typed.index):
        raise UserError(
            f"{place} returned {len(decided):,} rows for {len(typed):,}, or other ones; return "
            "every row in its place."
        )
    if list(decided.columns) != columns:
        raise UserError(
            f"{place} returned the columns {', '.join(map(str, decided.columns))}; return "
            f"{', '.join(columns)}."
        )
    classes = [str(name) for name in document["classes"]]
    if classes:
        _refuse_unknown(decided["prediction"], classes, place)
    return given, decided


def _place(rule: Rule, error: BaseException | None = None) -> str:
    """Return how a sentence names the rule: with its line, or the one of its file that raised."""
    code = getattr(rule, "__code__", None)
    if code is None:
        return "decide in custom.py"
    lines = [code.co_firstlineno]
    if error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        lines += [each.lineno or 0 for each in frames if each.filename == code.co_filename]
    file = Path(code.co_filename)
    name = f"custom/{file.name}" if file.parent.name == "custom" else file.name
    return f"decide in {name}, line {lines[-1]},"


def check_alone(bundle: Bundle, typed: pd.DataFrame, together: Predictions) -> None:
    """Refuse a rule by which a row alone ends otherwise than among others.

    Args:
        bundle: Has the rule.
        typed: Conformed rows.
        together: The predictions for all of these rows.

    Raises:
        UserError: With the row.
    """
    for at in range(0, len(typed), -(-len(typed) // ALONE)):
        alone = bundle.predict_typed(typed.iloc[[at]])
        if not _alike(bundle, alone, together.take(np.array([at]))):
            raise UserError(
                f"{_place(bundle.custom.decide)} gives row {at + 1:,} of valid another prediction "
                "alone than among the others; let it treat each row by itself, since services get "
                "rows one by one."
            )


def _alike(bundle: Bundle, first: Predictions, second: Predictions) -> bool:
    """Tell whether predictions are equal, numbers up to the last digits."""
    columns = (bundle.task.columns(bundle.document, each) for each in (first, second))
    one, two = map(pd.DataFrame, columns)
    try:
        pd.testing.assert_frame_equal(one, two)
    except AssertionError:
        return False
    return True


def _refuse_unknown(labels: pd.Series[Any], classes: list[str], place: str) -> None:
    """Refuse predictions that are not classes of the model."""
    unknown = ~labels.astype(str).isin(classes)
    if unknown.any():
        raise UserError(
            f"{place} returned the prediction '{labels[unknown].iloc[0]}'; the classes are "
            f"{', '.join(classes[:10])}."
        )


def _numbers_of(
    given: pd.DataFrame, place: str
) -> Callable[[pd.DataFrame, list[str]], NDArray[np.float64]]:
    """Return what reads columns as numbers, and refuses those that the rule has spoilt."""

    def numbers(frame: pd.DataFrame, names: list[str]) -> NDArray[np.float64]:
        try:
            found = frame[names].to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            raise UserError(f"{place} returned text among {', '.join(names)}.") from None
        lost = ~np.isfinite(found) & given[names].notna().to_numpy()
        shares = names[0].startswith("probability_")
        if shares:
            lost |= (found < 0) | (found > 1)
        if lost.any():
            row, column = np.argwhere(lost)[0]
            wanted = "a number from 0 to 1" if shares else "a number"
            raise UserError(
                f"{place} returned {names[column]} = {found[row, column]:g}; it has to be {wanted}."
            )
        return found

    return numbers
