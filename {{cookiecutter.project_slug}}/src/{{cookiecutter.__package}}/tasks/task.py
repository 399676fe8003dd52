"""What a task has to answer: its target, its folds and baseline, its predictions, its words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from ..core.config import Settings
    from ..data.schema import Column
    from ..evaluation.predictions import Predictions, PredictionsWithTruth

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Diagnostic:
    """One look at where a model is wrong.

    The two functions are given by keyword: so it is found which stage follows from which.

    Attributes:
        name: Its key in `reports/diagnostics.json`.
        measure: `"module:function"` of the evaluated model, which returns what JSON holds.
        draw: `"module:function"` of that, which returns a plot.
        section: The part of the report that shows it: "curves" or "errors".
    """

    name: str
    measure: str
    draw: str
    section: str


class Task(ABC):
    """A kind of task. An instance holds no state: what it needs, it gets.

    Attributes:
        name: As in `[model] task`.
        metrics: What its models are scored by, in the order in which reports show it.
        default_metric: What `[model] metric = auto` stands for.
        target_types: The types of data/schema.yaml that its target may have.
        target_word: How a sentence names such a type.
        target_kind: What the target is to scikit-learn's `TargetEncoder`.
        diagnostics: Where a model is looked at, beside what every model gets.
    """

    name: str
    metrics: tuple[str, ...]
    default_metric: str
    target_types: tuple[str, ...]
    target_word: str
    target_kind: str
    diagnostics: tuple[Diagnostic, ...] = ()

    def choose_metric(self, name: str, others: Iterable[str] = ()) -> str:
        """Return the metric that `[model] metric` names.

        Args:
            name: "auto", or a metric.
            others: Those of custom.py.

        Raises:
            UserError: If the task has no such metric, nor is it one of the others.
        """
        if name == "auto":
            return self.default_metric
        names = (*self.metrics, *others)
        if name not in names:
            allowed = ", ".join(names)
            raise UserError(
                f"conf.cfg, [model] metric = {name}: a {self.name} is scored by auto, {allowed}."
            )
        return name

    # -------------------------------------------------------------------------------- the target

    @abstractmethod
    def infer_target(self, series: pd.Series[Any], kind: str) -> Column:
        """Return the target's column of the schema.

        Args:
            series: Its values.
            kind: The type that they look like.

        Raises:
            UserError: If they are nothing that this task predicts.
        """

    @abstractmethod
    def split_rule(self) -> tuple[str, str]:
        """Return the rule of the split where neither a time nor a group is named, and why."""

    @abstractmethod
    def describe_target(
        self, parts: Mapping[str, pd.Series[Any]], column: Column, rule: str
    ) -> dict[str, dict[str, float]]:
        """Return how the target is distributed in each part of the split.

        Raises:
            UserError: If train lacks what the others hold.
        """

    @abstractmethod
    def target_array(self, values: pd.Series[Any]) -> NDArray[Any]:
        """Return the target as estimators take it; (rows,).

        Raises:
            UserError: If it does not suit the task.
        """

    def classes_of(self, target: NDArray[Any]) -> list[Any]:
        """Return the classes of the target, in order; empty where none are predicted."""
        return []

    # -------------------------------------------------------------------------------- training

    @abstractmethod
    def folds(self, target: NDArray[Any], wanted: int, seed: int) -> Any:
        """Return a splitter into at most `wanted` folds, where no time or group decides.

        None where there are too few rows for two folds.
        """

    def can_learn(self, target: NDArray[Any]) -> bool:
        """Tell whether the rows of a fold are enough to fit on."""
        return True

    def baseline_parameters(self, metric: str) -> dict[str, Any]:
        """Return the parameters with which the naive baseline is the best constant."""
        return {}

    @abstractmethod
    def constant(self, baseline: Any, row: pd.DataFrame) -> dict[str, Any]:
        """Return what a fitted baseline predicts for every row, as JSON holds it."""

    # -------------------------------------------------------------------------------- predicting

    @abstractmethod
    def raw_scores(self, model: Any, inputs: pd.DataFrame, classes: Sequence[Any]) -> Array:
        """Return a fitted model's own output, before calibration.

        Args:
            model: The fitted pipeline.
            inputs: Prepared rows.
            classes: Of the columns of the result; the model may lack some.

        Returns:
            Probabilities (rows, classes) or values (rows,).
        """

    @abstractmethod
    def uncalibrated(self, raw: Array) -> Predictions:
        """Return the model's own output as predictions, without calibration or threshold."""

    @abstractmethod
    def decide(self, document: Mapping[str, Any], raw: Array) -> Predictions:
        """Turn the model's own output into predictions.

        Args:
            document: The content of `bundle.json`.
            raw: See `raw_scores`; from scikit-learn or another form alike.
        """

    @abstractmethod
    def columns(self, document: Mapping[str, Any], predictions: Predictions) -> dict[str, Any]:
        """Return predictions as the columns of a table, by the names that every output has."""

    @abstractmethod
    def read_columns(
        self, document: Mapping[str, Any], frame: pd.DataFrame, numbers: Any
    ) -> Predictions:
        """Return predictions that stand in a table already, as `columns` made them.

        Args:
            document: The content of `bundle.json`.
            frame: The table.
            numbers: Function of (frame, names) that returns those columns as floats.

        Raises:
            UserError: If the table was scored by another model.
        """

    @abstractmethod
    def answer_form(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return how a prediction looks in JSON: `answer` of bundle.json.

        Returns:
            - `kind`: how an answer follows from the raw output. The service and the page compute
              "class" and "number" themselves, and `answers` any other.
            - `prediction`: the properties of one prediction, each with its JSON schema. One is
              called "prediction"; a `title` is what the page calls a property.
            - `label`: the JSON schema of a true value that is sent later.
            - `reward`: how such a value judges a prediction: "class" (right or wrong, by the costs
              of `[decision]`), "number" (by the distance), or None where it does not.
        """

    def answers(self, document: Mapping[str, Any], raw: Array) -> list[dict[str, Any]]:
        """Return one prediction per row as the service answers it, for a `kind` of its own."""
        raise NotImplementedError(f"the answers of {self.name} are computed by their kind")

    def explained(self, document: Mapping[str, Any], scores: Array) -> tuple[int | None, str]:
        """Return which of a row's scores an explanation follows, and what that score is called.

        Args:
            document: The content of `bundle.json`.
            scores: Of one row: its raw output, of classes the calibrated probabilities;
                (1, scores) or (1,).

        Returns:
            The place of the score, None where a row has one score only; its name.
        """
        return (None if scores.ndim == 1 else 0), str(document["target"])

    # -------------------------------------------------------------------------------- judging

    @abstractmethod
    def with_truth(
        self,
        truth: Any,
        predictions: Predictions,
        classes: Sequence[Any] = (),
        positive: Any = None,
    ) -> PredictionsWithTruth:
        """Return predictions beside the truth, in the form that metrics take.

        Args:
            truth: Classes, or values; (rows,).
            predictions: Of the same rows.
            classes: Those that the model knows, in the order of its probabilities.
            positive: Of two classes the one to find; default: the last.
        """

    @abstractmethod
    def constant_with_truth(
        self, labelled: PredictionsWithTruth, constant: Mapping[str, Any], classes: Sequence[Any]
    ) -> PredictionsWithTruth:
        """Return a constant prediction beside the truth of the same rows.

        Args:
            labelled: Predictions of these rows by a model.
            constant: See `constant`.
            classes: Those that the model knows.
        """

    def row_errors(self, labelled: PredictionsWithTruth) -> tuple[Array, str]:
        """Return each row's error, and what it is called."""
        raise NotImplementedError

    def predicted(self, labelled: PredictionsWithTruth, classes: Sequence[Any]) -> list[Any]:
        """Return each row's prediction as a person reads it."""
        raise NotImplementedError

    def coverage(
        self, document: Mapping[str, Any], labelled: PredictionsWithTruth
    ) -> dict[str, float] | None:
        """Return how many true values lie within the predicted intervals; None without any."""
        return None

    # -------------------------------------------------------------------------------- packaging

    @abstractmethod
    def fit_decision(
        self,
        model: Any,
        raw: Array,
        truth: NDArray[Any],
        settings: Settings,
        weights: Array | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Choose on valid how predictions follow from the raw output.

        Args:
            model: The fitted pipeline.
            raw: Its output for the rows of valid.
            truth: Their classes or values.
            settings: `[decision]`, and the seed.
            weights: How much each row counts; default: all alike.

        Returns:
            What bundle.json says of it (`classes`, `positive`, `threshold`, `interval`,
            `calibration`), and what reports/release.json says of how it was chosen.

        Raises:
            UserError: If `[decision]` names a class that there is not.
        """

    # -------------------------------------------------------------------------------- in words

    @abstractmethod
    def predicts(self, document: Mapping[str, Any]) -> str:
        """Say what the model predicts, as in "a number"."""

    @abstractmethod
    def explain_decision(self, document: Mapping[str, Any]) -> list[str]:
        """Return the model card's lines on how the output becomes a prediction."""

    @abstractmethod
    def summarise_decision(self, document: Mapping[str, Any]) -> str:
        """Say in a phrase how the output becomes a prediction."""
