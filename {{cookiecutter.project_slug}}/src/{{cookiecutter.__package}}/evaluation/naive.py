"""The baseline where rows are split by time: what the targets of earlier rows say of a row.

It is the best on valid of the constant, the last value, the value a season before and, of classes,
their share so far. Each row is predicted from the true targets of all earlier times, and only from
these: of a row of valid, those of train and of the valid rows before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.project import SPLITS
from ..data.dates import local_times
from ..data.schema import Schema
from ..data.split import load_split
from ..models.training_data import group_codes
from .predictions import Predictions

if TYPE_CHECKING:
    from ..core.project import Project

    Array = NDArray[np.float64]

SHARE, LAST = "share so far", "last value"
# Of classes, what one earlier row says counts half; the rest is the constant, so that no class is
# ruled out.
TRUST = 0.5


class Season(NamedTuple):
    """How far back the value a season before is.

    Attributes:
        apart: Between the least and the greatest distance of two times, in days.
        unit: In which times are counted, one of numpy's.
        steps: How many units a season has.
    """

    apart: tuple[float, float]
    unit: str
    steps: int


SEASONS = {
    "24 hours before": Season((0.0, 0.8), "m", 24 * 60),
    "168 hours before": Season((0.0, 0.8), "m", 168 * 60),
    "7 days before": Season((0.8, 4), "D", 7),
    "52 weeks before": Season((4, 10), "D", 52 * 7),
    "12 months before": Season((25, 100), "M", 12),
}


def baseline_in_words(rule: str | None) -> str:
    """Return what the baseline predicts, for a sentence."""
    if rule is None:
        return "the same for every row"
    return f"the value {rule}" if rule in SEASONS else f"the {rule}"


@dataclass(frozen=True)
class Timeline:
    """Rows with their times and targets, of which later ones are predicted from earlier ones.

    Attributes:
        times: Dates in UTC or numbers; (rows,).
        local: Dates in the time of their zone, or the same numbers; (rows,).
        groups: A number for the series that each row belongs to; (rows,).
        values: The target: numbers (rows, 1), or a flag for each class (rows, classes).
        constant: What the constant baseline predicts, in the same columns.
    """

    times: pd.Series[Any]
    local: pd.Series[Any]
    groups: NDArray[np.int64]
    values: Array
    constant: Array

    @cached_property
    def _cells(self) -> pd.DataFrame:
        """One line for each time of each series, in order."""
        rows = pd.DataFrame({"group": self.groups, "time": self.times, "local": self.local})
        return rows.groupby(["group", "time"], as_index=False).first()

    @cached_property
    def _cell(self) -> NDArray[np.intp]:
        """The line of `_cells` that each row belongs to; (rows,)."""
        rows = pd.DataFrame({"group": self.groups, "time": self.times})
        cell: NDArray[np.intp] = np.asarray(rows.groupby(["group", "time"]).ngroup(), np.intp)
        return cell

    @cached_property
    def _sums(self) -> tuple[Array, Array]:
        """Sum and number of the values in each cell; (cells, columns) and (cells, 1)."""
        cells = len(self._cells)
        each = [np.bincount(self._cell, values, cells) for values in self.values.T]
        sums: Array = np.column_stack(each)
        count: Array = np.bincount(self._cell, minlength=cells)[:, None].astype(np.float64)
        return sums, count

    def rules(self) -> list[str]:
        """Return what can be predicted besides the constant, the simplest first.

        Seasons follow from how far times are apart, in the middle.
        """
        found = [SHARE, LAST] if self.values.shape[1] > 1 else [LAST]
        if not pd.api.types.is_datetime64_any_dtype(self.times):
            return found
        steps = self._cells.groupby("group")["time"].diff()
        apart = float((steps.dt.total_seconds() / 86_400).median())
        return found + [
            name for name, season in SEASONS.items() if season.apart[0] < apart <= season.apart[1]
        ]

    def predict(self, rule: str) -> Array:
        """Predict every row by earlier ones; (rows, columns).

        A row without a value a season before gets the last one, and a first row the constant.

        Args:
            rule: One of `rules`.
        """
        if rule == SHARE:
            return self._so_far()[self._cell]
        sums, count = self._sums
        means, trust = sums / count, TRUST if sums.shape[1] > 1 else 1.0
        before = self._previous()
        own = before if rule == LAST else self._a_season_before(SEASONS[rule])
        source = np.where(own >= 0, own, before)
        known = trust * means[source] + (1 - trust) * self.constant
        found: Array = np.where((source >= 0)[:, None], known, self.constant)
        return found[self._cell]

    def _previous(self) -> NDArray[np.intp]:
        """Return the cell before each in its series; -1 for the first."""
        groups = self._cells["group"].to_numpy()
        first = np.append(True, groups[1:] != groups[:-1])
        return np.where(first, -1, np.arange(len(groups)) - 1)

    def _so_far(self) -> Array:
        """Return the mean of all earlier values of a series; the constant counts as one of them."""
        sums, count = self._sums
        first = self._previous() < 0
        series = np.cumsum(first) - 1

        def earlier(each: Array) -> Array:
            total = np.cumsum(each, axis=0) - each
            begun: Array = total[first][series]
            return total - begun

        found: Array = (earlier(sums) + self.constant) / (earlier(count) + 1)
        return found

    def _a_season_before(self, season: Season) -> NDArray[np.intp]:
        """Return the cell a season before each in its series; -1 where there is none."""
        at = self._cells["local"].to_numpy().astype(f"datetime64[{season.unit}]").astype(np.int64)
        groups = self._cells["group"].to_numpy()
        last = ~pd.MultiIndex.from_arrays([groups, at]).duplicated(keep="last")
        known = pd.MultiIndex.from_arrays([groups[last], at[last]])
        place = known.get_indexer(pd.MultiIndex.from_arrays([groups, at - season.steps]))
        return np.where(place < 0, -1, np.flatnonzero(last)[place])


def has_rules(schema: Schema, rule: str) -> bool:
    """Tell whether the baseline may look at earlier rows; a schema from before has its time alone.

    Args:
        schema: The columns.
        rule: How rows were split.
    """
    return rule == "time" and schema.time is not None and schema.time.parts is not None


def read_timeline(
    project: Project,
    schema: Schema,
    until: str,
    constant: Mapping[str, Any],
    classes: Sequence[Any],
) -> tuple[Timeline, int]:
    """Return the rows of the splits up to one of them, and how many rows come before that one.

    Args:
        project: Whose data it is.
        schema: The columns.
        until: The last of the splits.
        constant: What the constant baseline predicts, as bundle.json holds it.
        classes: Those that the model knows; empty where it predicts numbers.
    """
    time, group, target = schema.time, schema.group, schema.target
    if time is None or target is None:
        raise ValueError("a timeline needs a time and a target")
    names = [time.name, target.name, *([group.name] if group else [])]
    splits = [load_split(project, each, names) for each in SPLITS[: SPLITS.index(until) + 1]]
    frame = pd.concat(splits, ignore_index=True)
    times = frame[time.name]
    groups = group_codes(frame[group.name]) if group else np.zeros(len(frame), dtype=np.int64)
    timeline = Timeline(
        times,
        local_times(times, time.zone) if time.type == "datetime" else times,
        groups,
        _values(frame[target.name], classes),
        _constant(constant, classes),
    )
    return timeline, len(frame) - len(splits[-1])


def predictions_of(found: Array, classes: Sequence[Any]) -> Predictions:
    """Return what a timeline found as predictions."""
    return Predictions(probabilities=found) if len(classes) else Predictions(values=found[:, 0])


def naive_predictions(
    project: Project, document: Mapping[str, Any], split: str
) -> Predictions | None:
    """Return the baseline's predictions for a split; None where it is constant.

    Args:
        project: Whose data it is.
        document: The content of a bundle.json.
        split: "valid" or "test".
    """
    baseline, classes = document["baseline"], document["classes"]
    if baseline.get("naive") is None:
        return None
    schema = Schema.from_dict(document["schema"], "bundle.json")
    timeline, first = read_timeline(project, schema, split, baseline["constant"], classes)
    return predictions_of(timeline.predict(baseline["naive"])[first:], classes)


def _values(target: pd.Series[Any], classes: Sequence[Any]) -> Array:
    """Return the target as numbers: itself, or a flag for each class; (rows, columns)."""
    if not len(classes):
        return target.to_numpy(dtype=np.float64)[:, None]
    codes = pd.Index(classes).get_indexer(pd.Index(target))
    flags: Array = (codes[:, None] == np.arange(len(classes))).astype(np.float64)
    return flags


def _constant(constant: Mapping[str, Any], classes: Sequence[Any]) -> Array:
    """Return the constant in the same columns."""
    if not len(classes):
        return np.array([float(constant["value"])])
    return np.array([float(constant["probabilities"].get(str(name), 0)) for name in classes])
