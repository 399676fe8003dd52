"""From prepared rows to a fitted model: features, estimators, saved models. Rarely edited.

The estimators that `[model] candidates` can name are functions that build one of them. Light on
purpose: the command line imports it at every start.
"""

from dataclasses import dataclass
from typing import Any

from ..core.errors import UserError
from ..core.registry import ESTIMATORS, lookup

ESTIMATORS.add(
    baseline=".models.baseline:baseline",
    linear=".models.classic:linear",
    forest=".models.classic:forest",
    hgb=".models.classic:hgb",
    xgboost=".models.boosters:xgboost",
    lightgbm=".models.boosters:lightgbm",
    catboost=".models.boosters:catboost",
)


@dataclass(frozen=True)
class Candidate:
    """One estimator that is to be judged.

    Attributes:
        name: As in `[model] candidates` and `[params]`.
        label: As in the names of log files, in capitals.
        kind: Which inputs it gets: "linear" (scaled, one-hot), "tree" (numbers as they are, missing
            ones too) or "filled" (as "tree", missing numbers filled in).
        estimator: Unfitted; has scikit-learn's `fit`, `predict` and, for classes, `predict_proba`.
    """

    name: str
    label: str
    kind: str
    estimator: Any


def make_candidate(name: str, task: str, seed: int, params: dict[str, Any]) -> Candidate:
    """Build the candidate `name` with the parameters that `[params]` gives it.

    Raises:
        UserError: If there is no such candidate, or it has no such parameter.
    """
    build = lookup(ESTIMATORS, name, "A name in [model] candidates")
    try:
        candidate: Candidate = build(task, seed, dict(params))
    except (TypeError, ValueError) as error:
        raise UserError(f"conf.cfg, [params]: '{name}' cannot be built: {error}.") from error
    return candidate


def configure(estimator: type[Any], name: str, params: dict[str, Any], **defaults: Any) -> Any:
    """Return `estimator(**defaults)` as changed by `params`.

    Raises:
        UserError: If `params` has a name that the estimator does not know.
    """
    allowed = estimator().get_params()
    for parameter in params:
        if parameter not in allowed:
            raise UserError(
                f"conf.cfg, [params] {name}.{parameter}: {name} has no parameter '{parameter}'; "
                f"known are: {', '.join(sorted(allowed))}."
            )
    return estimator(**(defaults | params))
