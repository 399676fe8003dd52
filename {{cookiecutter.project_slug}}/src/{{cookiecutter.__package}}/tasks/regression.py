"""Numbers, with an interval around each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UserError
from ..evaluation.decision import conformal_interval
from ..evaluation.predictions import Predictions, PredictionsWithTruth
from .task import Diagnostic, Task

if TYPE_CHECKING:
    import pandas as pd

    from ..core.config import Settings
    from ..data.schema import Column

    Array = NDArray[np.float64]

# The share of new rows whose value is to lie within the interval.
LEVEL = 0.9
# Errors of the absolute and the relative kind are least for the median, not for the mean; a
# baseline that is not the best constant would make every model look better than it is.
MEDIAN_METRICS = ("mae", "mape")


class Regression(Task):
    """Numbers in the target's unit."""

    name = "regression"
    metrics = ("rmse", "mae", "r2", "mape")
    default_metric = "rmse"
    target_types = ("integer", "number")
    target_word = "number"
    target_kind = "continuous"
    diagnostics = (
        Diagnostic(
            "residuals",
            measure=".evaluation.curves:residuals",
            draw=".reporting.plots:draw_residuals",
            section="curves",
        ),
    )

    # -------------------------------------------------------------------------------- the target

    def infer_target(self, series: pd.Series[Any], kind: str) -> Column:
        """Return a number; text among mostly numbers is refused later, with its rows."""
        import pandas as pd

        from ..data.infer import example_of
        from ..data.schema import Column

        name = str(series.name)
        if kind not in ("integer", "number"):
            numeric = pd.to_numeric(series.astype("object"), errors="coerce")
            if numeric.notna().sum() < 0.5 * series.notna().sum():
                raise UserError(
                    f"[data] target = {name} holds {kind} values, such as {example_of(series)}, "
                    "but regression predicts numbers; set [model] task = classification."
                )
            kind = "number"
        return Column(name, kind, True)

    def split_rule(self) -> tuple[str, str]:
        """Divide at random."""
        return "random", "numbers to predict, and neither a time nor a group is named"

    def describe_target(
        self, parts: Mapping[str, pd.Series[Any]], column: Column, rule: str
    ) -> dict[str, dict[str, float]]:
        """Return mean and standard deviation."""
        return {
            name: {"mean": float(own.mean()), "std": float(own.std(ddof=0))}
            for name, own in parts.items()
        }

    def target_array(self, values: pd.Series[Any]) -> NDArray[Any]:
        """Return the numbers as float64."""
        import pandas as pd

        if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            raise UserError(
                f"The target '{values.name}' is not a number, which a regression predicts; set "
                "[model] task = classification, or choose another [data] target."
            )
        return values.to_numpy(dtype=np.float64)

    # -------------------------------------------------------------------------------- training

    def folds(self, target: NDArray[Any], wanted: int, seed: int) -> Any:
        """Divide at random."""
        from sklearn.model_selection import KFold

        number = min(wanted, len(target))
        return KFold(number, shuffle=True, random_state=seed) if number >= 2 else None

    def baseline_parameters(self, metric: str) -> dict[str, Any]:
        """Predict the median where that is the constant of least error."""
        return {"strategy": "median"} if metric in MEDIAN_METRICS else {}

    def constant(self, baseline: Any, row: pd.DataFrame) -> dict[str, Any]:
        """Return the value."""
        return {"value": float(baseline.predict(row)[0])}

    # -------------------------------------------------------------------------------- predicting

    def raw_scores(self, model: Any, inputs: pd.DataFrame, classes: Sequence[Any]) -> Array:
        """Return the values."""
        return np.asarray(model.predict(inputs), np.float64)

    def uncalibrated(self, raw: Array) -> Predictions:
        """Return the values."""
        return Predictions(values=raw)

    def decide(self, document: Mapping[str, Any], raw: Array) -> Predictions:
        """Return the values: there is nothing to decide."""
        return Predictions(values=raw)

    def columns(self, document: Mapping[str, Any], predictions: Predictions) -> dict[str, Any]:
        """Return `prediction`, `lower` and `upper`."""
        lower, upper = _bounds(document, predictions).T
        return {"prediction": np.asarray(predictions.values), "lower": lower, "upper": upper}

    def read_columns(
        self, document: Mapping[str, Any], frame: pd.DataFrame, numbers: Any
    ) -> Predictions:
        """Return the values, with their bounds where the table has them."""
        values = numbers(frame, ["prediction"])[:, 0]
        if not {"lower", "upper"} <= set(frame.columns):
            return Predictions(values=values)
        return Predictions(values=values, bounds=numbers(frame, ["lower", "upper"]))

    def answer_form(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return a number and its bounds, which are null where valid had too few rows."""
        number, bound = {"type": "number"}, {"type": ["number", "null"]}
        return {
            "kind": "number",
            "prediction": {"prediction": number, "lower": bound, "upper": bound},
            "label": number,
            "reward": "number",
        }

    # -------------------------------------------------------------------------------- judging

    def with_truth(
        self,
        truth: Any,
        predictions: Predictions,
        classes: Sequence[Any] = (),
        positive: Any = None,
    ) -> PredictionsWithTruth:
        """Return both as floats."""
        values = np.asarray(predictions.values, float)
        return PredictionsWithTruth(
            np.asarray(truth, float), self.metrics, values=values, bounds=predictions.bounds
        )

    def constant_with_truth(
        self, labelled: PredictionsWithTruth, constant: Mapping[str, Any], classes: Sequence[Any]
    ) -> PredictionsWithTruth:
        """Return the same value for every row."""
        return replace(labelled, values=np.full(len(labelled), float(constant["value"])))

    def row_errors(self, labelled: PredictionsWithTruth) -> tuple[Array, str]:
        """Return the distance from the truth."""
        errors: Array = np.abs(np.asarray(labelled.values) - labelled.truth)
        return errors, "absolute error"

    def predicted(self, labelled: PredictionsWithTruth, classes: Sequence[Any]) -> list[Any]:
        """Return the value of each row."""
        return list(np.asarray(labelled.values).tolist())

    def coverage(
        self, document: Mapping[str, Any], labelled: PredictionsWithTruth
    ) -> dict[str, float] | None:
        """Return how many true values lie within the interval."""
        interval = document.get("interval")
        if not interval or interval.get("half_width") is None:
            return None
        if labelled.bounds is None:
            within = np.abs(np.asarray(labelled.values) - labelled.truth) <= interval["half_width"]
        else:
            lower, upper = labelled.bounds.T
            within = (lower <= labelled.truth) & (labelled.truth <= upper)
        return {
            "level": interval["level"],
            "coverage": float(np.average(within, weights=labelled.weights)),
        }

    # -------------------------------------------------------------------------------- packaging

    def fit_decision(
        self,
        model: Any,
        raw: Array,
        truth: NDArray[Any],
        settings: Settings,
        weights: Array | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Find the half-width of the interval."""
        interval = conformal_interval(np.abs(truth - raw), LEVEL, weights)
        fields: dict[str, Any] = {
            "classes": [],
            "positive": None,
            "threshold": None,
            "interval": interval,
            "calibration": {"temperature": 1.0},
        }
        return fields, {"calibration": None, "threshold": None, "interval": interval}

    # -------------------------------------------------------------------------------- in words

    def predicts(self, document: Mapping[str, Any]) -> str:
        """Say what it is."""
        return "a number"

    def explain_decision(self, document: Mapping[str, Any]) -> list[str]:
        """Explain the interval."""
        interval = document["interval"]
        if interval["half_width"] is None:
            return ["Valid has too few rows for an interval; `lower` and `upper` are empty."]
        return [
            f"`lower` and `upper` are the prediction ± {interval['half_width']:.6g}, which held "
            f"for {interval['level']:.0%} of {interval['rows']:,} rows of valid (split conformal; "
            "Lei et al., 2018). They are equally wide for every row."
        ]

    def summarise_decision(self, document: Mapping[str, Any]) -> str:
        """Name the interval."""
        half = document["interval"]["half_width"]
        return "no interval" if half is None else f"interval ± {half:.4g}"


def _bounds(document: Mapping[str, Any], predictions: Predictions) -> Array:
    """Return the ends of each value's interval, (rows, 2); nan where valid had too few rows."""
    if predictions.bounds is not None:
        return predictions.bounds
    half = document["interval"]["half_width"]
    half = np.nan if half is None else half
    values = np.asarray(predictions.values)
    return np.column_stack([values - half, values + half])


REGRESSION = Regression()
