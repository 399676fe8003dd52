"""What models are fitted on: the prepared rows of train and valid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core import registry
from ..core.errors import UserError
from ..data.dates import local_times
from ..data.schema import load_schema, row_weights, with_positive
from ..data.split import load_manifest, load_split
from .features import prepare

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from ..core.config import Settings
    from ..core.project import Project
    from ..data.schema import Schema
    from ..tasks.task import Task

Rows = NDArray[np.intp]
# Each part of a time by pandas' name, after how many days it has taken all its values, and how many
# there are.
CYCLES = {
    "month": ("month", 365, 12),
    "weekday": ("day_of_week", 7, 7),
    "hour": ("hour", 1, 24),
}
# Rows that are further apart have no weekday of their own: the first of a month is on any.
WEEKLY = 7


@dataclass(frozen=True)
class WarmStart:
    """A fitted model that training continues from.

    Attributes:
        run_id: Its bundle.
        fit: Function of (data, rows) that returns the model, fitted further on those rows of train;
            on all of them where `rows` is None.
    """

    run_id: str
    fit: Callable[[TrainingData, Rows | None], Pipeline]


@dataclass(frozen=True)
class TrainingData:
    """All that a fit follows from.

    Attributes:
        settings: The project's settings, with the class to find.
        schema: The types of the columns.
        task: What is predicted.
        metric: What candidates are compared by.
        inputs: Prepared rows of train.
        target: Their classes or numbers.
        groups: A number for the group of each row under the group rule, else None.
        valid: Prepared rows of valid.
        valid_target: Their classes or numbers.
        classes: Those of train, in order; empty where none are predicted.
        rule: How the data was split: "random", "stratified", "group" or "time".
        data_fingerprint: Of the typed table.
        split_fingerprint: Of the way in which it was split.
        warm_start: What the candidates continue from; None where they start from nothing.
        weights: How much each row of train counts, with mean 1; None where all count alike.
        valid_weights: The same of valid.
    """

    settings: Settings
    schema: Schema
    task: Task
    metric: str
    inputs: pd.DataFrame
    target: NDArray[Any]
    groups: NDArray[Any] | None
    valid: pd.DataFrame
    valid_target: NDArray[Any]
    classes: list[Any]
    rule: str
    data_fingerprint: str
    split_fingerprint: str
    warm_start: WarmStart | None = None
    weights: NDArray[np.float64] | None = None
    valid_weights: NDArray[np.float64] | None = None

    def take(self, rows: Rows) -> TrainingData:
        """Return the same data with some rows of train."""
        groups = None if self.groups is None else self.groups[rows]
        inputs, target, weights = self.inputs.iloc[rows], self.target[rows], self.weights_of(rows)
        return replace(self, inputs=inputs, target=target, groups=groups, weights=weights)

    def weights_of(self, rows: Rows) -> NDArray[np.float64] | None:
        """Return how much some rows of train count; None where all count alike."""
        return None if self.weights is None else self.weights[rows]


def load_training_data(
    project: Project, settings: Settings, metric: str | None = None
) -> TrainingData:
    """Read train and valid, and prepare them.

    Args:
        project: Whose data it is.
        settings: Its settings.
        metric: What candidates are compared by; default: what the task is usually scored by.

    Raises:
        UserError: If the split is not there, no column is left to learn from, or the target does
            not suit the task.
    """
    task: Task = registry.task(settings.model.task)
    manifest = load_manifest(project)
    schema = training_schema(project, settings)
    if schema.target is None:
        raise UserError("data/schema.yaml names no target; set [data] target and run `ingest`.")
    target, rule = schema.target.name, manifest["split"]["rule"]
    groups = [column.name for column in schema.columns if "group" in column.roles]
    features = [column.name for column in schema.features]
    if not features:
        raise UserError(
            "data/schema.yaml leaves no column to learn from: all are target, id, time, group, "
            "weight or ignored; take one out of [data] id or ignore, or bring in another column."
        )
    weighing = [column.name for column in schema.having("weight")]
    columns = list(dict.fromkeys([*features, target, *groups, *weighing]))
    frame = load_split(project, "train", columns)
    _refuse_constant(frame[target])
    fit_target = task.target_array(frame[target])
    fit_groups = group_codes(frame[groups[0]]) if groups and rule == "group" else None
    inputs, weights = prepare(frame[features], schema), row_weights(frame, schema)
    del frame  # before the next one is read
    frame = load_split(project, "valid", [*features, target, *weighing])
    return TrainingData(
        settings=with_positive(settings, schema),
        schema=schema,
        task=task,
        metric=metric or task.default_metric,
        inputs=inputs,
        target=fit_target,
        groups=fit_groups,
        valid=prepare(frame[features], schema),
        valid_target=frame[target].to_numpy(),
        classes=task.classes_of(fit_target),
        rule=rule,
        data_fingerprint=manifest["fingerprint"],
        split_fingerprint=manifest["split"]["fingerprint"],
        weights=weights,
        valid_weights=row_weights(frame, schema),
    )


def training_schema(project: Project, settings: Settings) -> Schema:
    """Return the project's schema, with those parts of the time that a model learns from.

    Raises:
        UserError: If there is no schema or no split.
    """
    schema = load_schema(project)
    time = schema.time
    if time is None or not time.parts:
        return schema
    if not settings.features.time:
        return with_parts(schema, ())
    times = load_split(project, "train", [time.name])[time.name]
    covered = covered_parts(local_times(times, time.zone))
    return with_parts(schema, [part for part in time.parts if part in covered])


def with_parts(schema: Schema, parts: Sequence[str] | None) -> Schema:
    """Return the schema with those parts of the time; None leaves it as it is.

    Where a model learns from it, a row to predict may lack its time.
    """
    time = schema.time
    if time is None or parts is None:
        return schema
    chosen = replace(time, parts=tuple(parts), nullable=time.nullable or bool(parts))
    columns = (chosen if column is time else column for column in schema.columns)
    return replace(schema, columns=tuple(columns))


def covered_parts(times: pd.Series[Any]) -> list[str]:
    """Return which of month, weekday and hour have gone through all their values in these times.

    Later rows then have no other value. What is the same in all rows is left out.
    """
    distinct = times.dropna().drop_duplicates().sort_values()
    days = (distinct - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)
    span, apart = days.iloc[-1] - days.iloc[0], float(days.diff().median())
    found = []
    for part, (name, cycle, values) in CYCLES.items():
        seen = getattr(distinct.dt, name).nunique()
        covered = seen == values or (seen > 1 and span >= cycle)
        if covered and not (part == "weekday" and apart > WEEKLY):
            found.append(part)
    return found


def weights_for(fit: Callable[..., Any], weights: NDArray[np.float64] | None) -> dict[str, Any]:
    """Return the weights as a `fit` or `partial_fit` takes them; nothing where it takes none."""
    return {"sample_weight": weights} if weights is not None and takes_weights(fit) else {}


def takes_weights(fit: Callable[..., Any]) -> bool:
    """Tell whether an estimator's `fit` or `partial_fit` takes the weights of rows."""
    return "sample_weight" in signature(fit).parameters


def fit_weighted(
    pipeline: Pipeline, inputs: Any, target: Any, weights: NDArray[np.float64] | None
) -> None:
    """Fit a pipeline whose last step takes the weights, if it can; the steps before do not.

    Args:
        pipeline: Features, then an estimator.
        inputs: Prepared rows.
        target: Their classes or numbers.
        weights: How much each row counts; None where all count alike.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    name, estimator = pipeline.steps[-1]
    given = weights_for(estimator.fit, weights)
    if target.dtype == object and type(estimator) is HistGradientBoostingClassifier:
        # It would sort the words of all rows, twice, to number the classes: the model is the same.
        codes, classes = pd.factorize(target, sort=True)
        estimator.fit(pipeline[:-1].fit_transform(inputs, target), codes, **given)
        estimator.classes_ = estimator._label_encoder.classes_ = classes
    else:
        pipeline.fit(inputs, target, **{f"{name}__{key}": value for key, value in given.items()})


def group_codes(groups: pd.Series[Any]) -> NDArray[np.int64]:
    """Return a number per group; a row without one is a group of its own."""
    codes = pd.factorize(groups)[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return codes


def _refuse_constant(target: pd.Series[Any]) -> None:
    """Refuse a target that has the same value everywhere."""
    if target.nunique() < 2:
        raise UserError(
            f"The target '{target.name}' has the same value in all {len(target):,} rows of train; "
            "a model needs two or more to tell apart: check [data] target and the [split]."
        )
