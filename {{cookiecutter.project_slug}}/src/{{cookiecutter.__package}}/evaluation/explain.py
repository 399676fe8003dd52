"""Why a row was scored as it was, simply: what the score would be with one column as usual.

For each column the row is scored again with that column at its usual value (the median or the most
frequent one in training), the others as given; the difference is the column's share. Columns that
only work together are not told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Explanation:
    """What each column did to the score of one row.

    Attributes:
        outputs: What the model says of the row: probabilities (1, classes) or values (1,).
        at: The place of the class whose probability is the score; None where that is a value.
        score: The score that is explained.
        changes: By column, the score less what it would be with that column as usual.
    """

    outputs: NDArray[np.float64]
    at: int | None
    score: float
    changes: list[float]


def explain_row(
    given: Sequence[Any],
    usual: Sequence[Any],
    score: Callable[[list[tuple[Any, ...]]], NDArray[np.float64]],
    choose: Callable[[NDArray[np.float64]], int | None] = lambda outputs: None,
) -> Explanation:
    """Score a row as it is, and once for each column with that column as usual.

    Args:
        given: The row's values, one per column.
        usual: The usual values of the same columns.
        score: From rows to probabilities (rows, classes), or values (rows,).
        choose: From the row's own output to the place of the class that is explained; to None
            where that is a value.
    """
    rows = [tuple(given)]
    for at in range(len(given)):
        rows.append((*given[:at], usual[at], *given[at + 1 :]))
    outputs = score(rows)
    at_class = choose(outputs[:1])
    scores = outputs if at_class is None else outputs[:, at_class]
    changes: list[float] = (scores[0] - scores[1:]).tolist()
    return Explanation(outputs[:1], at_class, float(scores[0]), changes)
