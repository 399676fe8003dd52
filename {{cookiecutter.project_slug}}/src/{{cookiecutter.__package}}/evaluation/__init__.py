"""How good a model is: metrics, intervals, decisions, diagnostics. Rarely edited.

Light on purpose: custom.py imports it to declare a metric, and the command line starts fast.
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class MetricFunction(NamedTuple):
    """A metric of the team that a bare function does not describe.

    Attributes:
        function: Of `(y_true, y_pred, sample_weight=None)` or `(y_true, y_proba,
            sample_weight=None)`, maybe with `positive`, see custom.py.
        greater_is_better: Its direction.
        perfect: What a faultless model scores; default: 1 where greater is better, else 0.
    """

    function: Callable[..., Any]
    greater_is_better: bool = True
    perfect: float | None = None
