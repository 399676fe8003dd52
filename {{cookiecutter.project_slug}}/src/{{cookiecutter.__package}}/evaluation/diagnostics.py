"""Where a model is wrong, as data: its curves, what it leans on, the worst rows, how it learns.

Everything is measured on valid, so that looking at it costs the test split nothing; columns that
give the target away are looked for on train. Plots are drawn from what is returned here; nothing is
computed for them again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core import registry
from ..data.split import draw
from .curves import plain, significant
from .metrics import find_metric, score
from .predictions import PredictionsWithTruth

if TYPE_CHECKING:
    from ..bundle.bundle import Bundle
    from ..data.schema import Column, Schema

LEARNING_ROWS = 5_000
LEARNING_SIZES = 3
JUDGED_ROWS = 5_000
IMPORTANCE_ROWS = 2_000
IMPORTANCE_COLUMNS = 100
REPEATS = 3
SMALL_ROWS = 10_000
WORST = 10
WORST_COLUMNS = 6
# A column that is this good alone (a skill, see `_skill`) gives classes or numbers away. In real
# tables an honest one may reach 0.97 of classes (irises by their petals), and 0.8 of numbers.
GIVES_AWAY = {True: 0.98, False: 0.88}
# One that is filled for some rows only is a suspect from here on, if all others together reach no
# more than this share of its skill.
SUSPECT, OTHERS = 0.85, 1 / 3
FEWEST_MISSING = 0.05
FEWEST_FILLED = 50
# What an honest column may reach; by so many standard errors a leak has to lie above, the second
# for one that is filled for some rows. Simulated: at most 1% of honest ones do.
HONEST, DOUBT, MORE_DOUBT = 0.8, 1.3, 3.0
# Where a column is filled (or missing), exceptions are fewer than this share of what is usual.
EXCEPTIONS = 0.1
CHANCE = 1e-4
# The range of a column that numbers the rows, in rows of the table, and the least skill of a trend.
NUMBERING, TREND = 3, 0.1
LEAK_FOLDS = 5
MOST_BINS, FEWEST_BINS, ROWS_OF_BIN = 100, 5, 10
MOST_OUTCOMES = 10
LEAK_COLUMNS = 1_000


@dataclass(frozen=True)
class Subject:
    """A packaged model and its predictions of the rows of valid.

    Attributes:
        bundle: The model.
        metric: What it is judged by.
        seed: Of every random choice.
        frame: The rows of valid.
        labelled: The predictions of these rows beside the truth.
    """

    bundle: Bundle
    metric: str
    seed: int
    frame: pd.DataFrame
    labelled: PredictionsWithTruth

    @property
    def target(self) -> str:
        """The column to predict."""
        return str(self.bundle.document["target"])


def diagnose(subject: Subject) -> dict[str, Any]:
    """Return every diagnostic of the model on valid: those of its task, and those of all models."""
    own = {
        each.name: registry.load(each.measure)(subject) for each in subject.bundle.task.diagnostics
    }
    with _threads(IMPORTANCE_ROWS):
        ranks = importance(subject)
    return {
        "rows": len(subject.frame),
        "metric": subject.metric,
        **own,
        "importance": ranks,
        "worst": worst(subject, [entry["feature"] for entry in ranks["features"]]),
    }


def importance(subject: Subject) -> dict[str, Any]:
    """Return how much the metric suffers when a column is shuffled (Breiman, 2001).

    On at most `IMPORTANCE_ROWS` rows and `IMPORTANCE_COLUMNS` columns; the most important first.
    """
    frame = subject.frame.iloc[draw(len(subject.frame), IMPORTANCE_ROWS, subject.seed)]
    features = subject.bundle.schema.features
    metric = find_metric(subject.metric)
    before = score(subject.bundle.evaluate(frame))[metric.name]
    random = np.random.default_rng(subject.seed)
    rows = len(frame)
    shuffling = Shuffling(subject, frame)
    entries: list[dict[str, Any]] = []
    for column in features[:IMPORTANCE_COLUMNS]:
        order = np.concatenate([random.permutation(rows) for _ in range(REPEATS)])
        labelled = shuffling.evaluate(column, order)
        parts = [labelled.take(np.arange(rows) + rows * part) for part in range(REPEATS)]
        losses = [metric.sign * (before - score(part)[metric.name]) for part in parts]
        entries.append(
            {
                "feature": column.name,
                "mean": significant(np.mean(losses)),
                "std": significant(np.std(losses)),
            }
        )
    entries.sort(key=lambda entry: math.inf if math.isnan(entry["mean"]) else -entry["mean"])
    return {
        "metric": metric.name,
        "rows": rows,
        "repeats": REPEATS,
        "left_out": max(0, len(features) - IMPORTANCE_COLUMNS),
        "features": entries,
    }


class Shuffling:
    """The rows of valid, `REPEATS` times over, to predict with one column shuffled.

    Typed and prepared once: of a table with thousands of columns, all that is done for each
    shuffled column is that column's.
    """

    def __init__(self, subject: Subject, frame: pd.DataFrame) -> None:
        """Prepare the rows."""
        from ..models.features import prepare

        self.bundle, self.prepare = subject.bundle, prepare
        self.truth = np.tile(frame[subject.target].to_numpy(), REPEATS)
        typed = subject.bundle.conform(frame, strict=False)
        # The copy keeps columns of one type together, which makes the steps behind it fast.
        self.typed = pd.concat([typed] * REPEATS, ignore_index=True).copy()
        self.inputs = prepare(self.typed, subject.bundle.schema, subject.bundle.custom).copy()

    def evaluate(self, column: Column, order: NDArray[np.intp]) -> PredictionsWithTruth:
        """Return the predictions with one column's values in another order.

        Args:
            column: A feature.
            order: The row that each row gets its value from.
        """
        bundle, name = self.bundle, column.name
        typed = self.typed.copy(deep=False)
        typed[name] = self.typed[name].take(order).array
        if getattr(bundle.custom, "add_features", None):  # which may use any column
            inputs = self.prepare(typed, bundle.schema, bundle.custom)
        else:
            alone = replace(bundle.schema, columns=(column,))
            own = self.prepare(typed[[name]], alone, bundle.custom)
            inputs = self.inputs.copy(deep=False)
            inputs[list(own.columns)] = own
        raw = bundle.task.raw_scores(bundle.model, inputs, bundle.classes)
        return bundle.task.with_truth(
            self.truth, bundle.decide(typed, raw), bundle.classes, bundle.document["positive"]
        )


def worst(subject: Subject, ranked: list[str]) -> dict[str, Any]:
    """Return the rows with the largest errors: ids, the most important columns, truth, prediction.

    Sensitive columns are left out.
    """
    bundle, schema = subject.bundle, subject.bundle.schema
    errors, measured = bundle.task.row_errors(subject.labelled)
    predicted = bundle.task.predicted(subject.labelled, bundle.classes)
    hidden = {column.name for column in schema.having("sensitive")}
    shown = [name for name in ranked if name not in hidden][:WORST_COLUMNS]
    ids = [column.name for column in schema.ids if column.name not in hidden]
    rows = []
    for place in np.argsort(-errors, kind="stable")[:WORST]:
        row = subject.frame.iloc[int(place)]
        rows.append(
            {
                "id": {name: plain(row[name]) for name in ids},
                "features": {name: plain(row[name]) for name in shown},
                "truth": plain(row[subject.target]),
                "prediction": plain(predicted[place]),
                "error": significant(errors[place]),
            }
        )
    return {"error": measured, "rows": rows}


def learning_curve(subject: Subject, train: pd.DataFrame, pipeline: Any) -> dict[str, Any]:
    """Return the metric on train and on valid after fits on more and more rows of train.

    At most `LEARNING_ROWS` rows are fitted again; the last point is the model on all rows, before
    calibration.

    Args:
        subject: The model and valid.
        train: Rows of train: all of them, or at least `LEARNING_ROWS` drawn at random.
        pipeline: The model's fitted pipeline; clones of it are fitted, it stays as it is.
    """
    from ..models.features import prepare

    order = _mixed_order(train[subject.target], bool(subject.bundle.classes), subject.seed)
    order, rows = order[:LEARNING_ROWS], int(subject.bundle.document["rows"]["train"])
    schema, custom = subject.bundle.schema, subject.bundle.custom
    inputs = prepare(train.iloc[order], schema, custom)
    target = train[subject.target].to_numpy()[order]
    kept = draw(len(subject.frame), JUDGED_ROWS, subject.seed)
    valid = prepare(subject.frame.iloc[kept], schema, custom)
    valid_target = subject.frame[subject.target].to_numpy()[kept]
    points = []
    for size in _sizes(rows):
        fitted = pipeline if size == rows else _refit(pipeline, inputs[:size], target[:size])
        if fitted is None:
            continue
        seen = min(size, JUDGED_ROWS)
        with _threads(JUDGED_ROWS):
            on_train = _judge(subject, fitted, inputs[:seen], target[:seen])
            on_valid = _judge(subject, fitted, valid, valid_target)
        points.append(
            {"rows": size, "train": significant(on_train), "valid": significant(on_valid)}
        )
    return {
        "metric": subject.metric,
        "points": points,
        "fitted_rows": min(rows, LEARNING_ROWS),
    }


def _sizes(rows: int) -> list[int]:
    """Return the sizes of a learning curve, each twice the one before; the last is all rows."""
    largest = rows // 2 if rows <= LEARNING_ROWS else LEARNING_ROWS
    halved = [largest // 2**step for step in range(LEARNING_SIZES)]
    return [*(size for size in reversed(halved) if size >= 20), rows]


def _mixed_order(target: pd.Series[Any], classes: bool, seed: int) -> NDArray[np.intp]:
    """Return the rows at random; of classes, so that every beginning has each in proportion."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(target))
    if not classes:
        return order
    mixed = target.iloc[order].reset_index(drop=True)
    rank = mixed.groupby(mixed).cumcount().to_numpy()
    size = mixed.groupby(mixed).transform("size").to_numpy()
    return order[np.argsort((rank + 0.5) / size, kind="stable")]


def _refit(pipeline: Any, inputs: pd.DataFrame, target: NDArray[Any]) -> Any:
    """Return a clone fitted on some rows; None where they are too few or too alike for it."""
    from sklearn.base import clone
    from sklearn.ensemble import BaseEnsemble

    fresh = clone(pipeline)
    parallel = "n_jobs" in fresh[-1].get_params(deep=False)
    if parallel:
        fresh[-1].set_params(n_jobs=-1 if isinstance(fresh[-1], BaseEnsemble) else None)
    try:
        with warnings.catch_warnings(), _threads(len(inputs)):
            warnings.simplefilter("ignore")  # few rows make solvers complain
            fresh.fit(inputs, target)
    except ValueError:
        return None
    if parallel:
        fresh[-1].set_params(n_jobs=1)  # so that sums have the same order each time
    return fresh


@contextmanager
def _threads(rows: int) -> Iterator[None]:
    """Keep small work on one thread: on a busy machine many threads only wait for each other."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1 if rows <= SMALL_ROWS else None, user_api="openmp"):
        yield


def _judge(subject: Subject, pipeline: Any, inputs: pd.DataFrame, target: NDArray[Any]) -> float:
    """Return the metric of a pipeline on prepared rows, without calibration or threshold."""
    bundle, task = subject.bundle, subject.bundle.task
    predictions = task.uncalibrated(task.raw_scores(pipeline, inputs, bundle.classes))
    labelled = task.with_truth(target, predictions, bundle.classes, bundle.document["positive"])
    return score(labelled)[subject.metric]


# ------------------------------------------------------------------------------------------- leaks


class Answers:
    """The target of some rows, in the form in which columns are held against it.

    Attributes:
        truth: A flag per class (of two the rarer one, of many the most frequent), or one column of
            ranks between 0 and 1; (rows, columns).
        outcomes: By what people call it, which rows have it: each class, or the most frequent
            number and any other.
        classes: Whether classes are predicted.
        fold: The fold of each row.
    """

    def __init__(self, target: pd.Series[Any], classes: bool, seed: int) -> None:
        """Take the values apart."""
        codes, names = pd.factorize(target, sort=True)
        count = np.bincount(codes)
        often = np.argsort(-count, kind="stable")
        self.classes = classes
        self.fold = np.random.default_rng(seed).permutation(len(codes)) % LEAK_FOLDS
        if classes:
            chosen = often[1:] if len(count) == 2 else often[:MOST_OUTCOMES]
            self.truth = (codes[:, None] == chosen).astype(float)
            self.outcomes = {f"{names[at]}": codes == at for at in often[:MOST_OUTCOMES]}
        else:
            self.truth = target.rank().to_numpy(float)[:, None] / len(target)
            usual = f"{names[often[0]]:g}"
            is_usual = codes == often[0]
            self.outcomes = {usual: is_usual, f"anything but {usual}": ~is_usual}


def find_leaks(
    train: pd.DataFrame, schema: Schema, target: str, *, classes: bool, rows: int, seed: int
) -> list[dict[str, Any]]:
    """Return columns that give the target away (Kaufman et al., 2012).

    A column is held against the target alone, in `LEAK_FOLDS` folds, by the mean of the target in
    bins of its values; of a table that is wider, the first `LEAK_COLUMNS` are. Which kind of leak
    it is:

    - "numbering": it numbers the rows, and they are in the target's order;
    - "filled", "missing": where it is filled (missing), the target is nearly always the same, or,
      of numbers, whether it is filled tells at least half of the target's order;
    - "alone": alone it is nearly perfect where it is filled;
    - "late": it is filled for some rows, and there far better than all other columns together.

    Args:
        train: A sample of the rows of train.
        schema: Their columns.
        target: The column to predict.
        classes: Whether the target is one of several classes, or a number.
        rows: How many the whole table has.
        seed: Of the folds.

    Returns:
        For each leak its `kind`, its `columns` (several, where they are filled in the same rows),
        the `skill` of the column alone (1 is perfect), the `outcome` that it gives away (None where
        it is any), the share of rows in which it is `filled`.
    """
    answers = Answers(train[target], classes, seed)
    features = train[[column.name for column in schema.features[:LEAK_COLUMNS]]]
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name in features.columns:
        leak = _leak_of(name, features, answers, rows)
        if leak is None:
            continue
        gaps = leak["kind"] in ("filled", "missing")
        alike = features[name].isna().to_numpy().tobytes() if gaps else name
        entry = found.setdefault((leak["kind"], alike), {"columns": [], **leak})
        entry["columns"].append(name)
    return list(found.values())


def _leak_of(
    name: str, features: pd.DataFrame, answers: Answers, rows: int
) -> dict[str, Any] | None:
    """Return in which way one column gives the target away, or None."""
    series = features[name]
    filled = series.notna().to_numpy()
    facts = {"skill": None, "outcome": None, "filled": significant(filled.mean())}
    kind, outcome = _told_by_gaps(filled, answers, features.shape[1])
    if kind:
        return facts | {"kind": kind, "outcome": outcome}
    count, truth = int(filled.sum()), answers.truth[filled]
    if count < FEWEST_FILLED or (truth == truth[0]).all():
        return None
    skill = _skill_alone(series[filled], truth, answers.fold[filled], answers.classes)
    error = _error_of_skill(HONEST, truth, answers.classes)
    leak = facts | {"skill": significant(skill)}
    if _is_numbering(series, filled, rows):
        trend = TREND + 3 * _error_of_skill(0.0, truth, answers.classes)
        return leak | {"kind": "numbering"} if skill >= trend else None
    if skill >= max(GIVES_AWAY[answers.classes], HONEST + DOUBT * error):
        return leak | {"kind": "alone"}
    late = filled.mean() <= 1 - FEWEST_MISSING and features.shape[1] > 1
    if late and skill >= max(SUSPECT, HONEST + MORE_DOUBT * error):
        others = features[filled].drop(columns=name)
        if _skill_together(others, truth, answers.fold[filled], answers.classes) <= OTHERS * skill:
            return leak | {"kind": "late"}
    return None


def _told_by_gaps(
    filled: NDArray[np.bool_], answers: Answers, columns: int
) -> tuple[str | None, str | None]:
    """Return whether rows where a column is filled, or missing, have nearly all the same outcome.

    Exceptions have to be few beside those among all rows, and too few for chance: by the binomial
    distribution, divided by the number of columns that are looked at (Bonferroni).
    """
    from scipy.stats import binom

    if filled.all() or not filled.any():
        return None, None
    for kind, inside in (("filled", filled), ("missing", ~filled)):
        count = int(inside.sum())
        for outcome, has_it in answers.outcomes.items():
            usual = 1 - has_it.mean()
            exceptions = int((inside & ~has_it).sum())
            few = (exceptions + 0.5) / (count + 1) <= EXCEPTIONS * usual
            if few and binom.cdf(exceptions, count, usual) <= CHANCE / columns:
                return kind, outcome
    if not answers.classes and np.corrcoef(filled, answers.truth[:, 0])[0, 1] ** 2 >= 0.5:
        return "filled", None
    return None, None


def _is_numbering(series: pd.Series[Any], filled: NDArray[np.bool_], rows: int) -> bool:
    """Tell whether a column numbers the rows: integers that differ, with few gaps."""
    if not pd.api.types.is_integer_dtype(series) or not filled.all() or series.duplicated().any():
        return False
    return int(series.max()) - int(series.min()) < NUMBERING * rows


def _skill_alone(
    series: pd.Series[Any], truth: NDArray[Any], fold: NDArray[Any], classes: bool
) -> float:
    """Return how well one column tells the target: by bins of its values, or by their order."""
    codes, numbers = _bins(series)
    found = _skill(_means_of_bins(codes, truth, fold), truth, classes)
    if numbers is None or truth.shape[1] > 1:
        return found
    order = pd.Series(numbers).rank().to_numpy() / len(numbers)
    if classes:
        return max(found, abs(_skill(order[:, None], truth, classes)))
    within = np.corrcoef(order, truth[:, 0])[0, 1] if np.ptp(order) > 0 else 0.0
    return max(found, 1 - math.sqrt(max(0.0, 1 - within**2)))


def _skill_together(
    features: pd.DataFrame, truth: NDArray[Any], fold: NDArray[Any], classes: bool
) -> float:
    """Return how well columns tell the target together: a weighted sum of what each tells alone.

    No weight is negative: the mean of a row's bin without the row itself falls as its truth rises.
    """
    from scipy.optimize import nnls

    bins = [_bins(features[name])[0] for name in features.columns]
    told = np.stack([_means_of_bins(codes, truth, fold) for codes in bins])
    told -= told.mean(axis=1, keepdims=True)
    centred = truth - truth.mean(axis=0)
    each = [
        told[:, :, place].T @ nnls(told[:, :, place].T, centred[:, place])[0]
        for place in range(truth.shape[1])
    ]
    return _skill(np.column_stack(each) + truth.mean(axis=0), truth, classes)


def _bins(series: pd.Series[Any]) -> tuple[NDArray[np.intp], NDArray[np.float64] | None]:
    """Return the bin of each value, and the values where they have an order.

    Numbers and dates are divided at quantiles; of words, those that are rare share a bin with what
    is missing.
    """
    if pd.api.types.is_datetime64_any_dtype(series):
        series = series.astype("int64").where(series.notna())
    if pd.api.types.is_bool_dtype(series) or pd.api.types.is_numeric_dtype(series):
        numbers = series.to_numpy(float, na_value=np.nan)
        bins = int(np.clip(len(numbers) // ROWS_OF_BIN, FEWEST_BINS, MOST_BINS))
        known = numbers[~np.isnan(numbers)]
        edges = np.unique(np.quantile(known, np.arange(1, bins) / bins)) if len(known) else known
        codes = np.searchsorted(edges, numbers, side="right")
        return np.where(np.isnan(numbers), len(edges) + 1, codes), numbers
    codes = pd.factorize(series)[0] + 1
    often = np.bincount(codes) >= LEAK_FOLDS
    return np.where(often[codes], codes, 0), None


def _means_of_bins(
    codes: NDArray[np.intp], truth: NDArray[Any], fold: NDArray[Any]
) -> NDArray[np.float64]:
    """Return for each row the mean truth of its bin in the other folds; (rows, columns)."""
    bins = int(codes.max()) + 1
    cells = fold * bins + codes

    def in_other_folds(weights: NDArray[Any]) -> NDArray[np.float64]:
        own = np.bincount(cells, weights, LEAK_FOLDS * bins).reshape(LEAK_FOLDS, bins)
        other: NDArray[np.float64] = own.sum(axis=0) - own
        return other

    count = in_other_folds(np.ones(len(codes)))
    means = np.empty_like(truth)
    for place in range(truth.shape[1]):
        hits = in_other_folds(truth[:, place])
        mean = hits.sum(axis=1, keepdims=True) / count.sum(axis=1, keepdims=True)
        means[:, place] = ((hits + mean) / (count + 1))[fold, codes]
    return means


def _skill(told: NDArray[Any], truth: NDArray[Any], classes: bool) -> float:
    """Return how well scores tell the target: 0 is chance, 1 perfect.

    Of classes it is 2 AUC - 1, the mean over classes; of ranks 1 - RMSE / standard deviation.
    """
    if not classes:
        error = np.sqrt(np.mean((told[:, 0] - truth[:, 0]) ** 2))
        return float(1 - error / truth[:, 0].std())
    ranks = pd.DataFrame(told).rank().to_numpy()
    ones = truth.sum(axis=0)
    both = (ones > 0) & (ones < len(truth))
    beaten = (ranks * truth).sum(axis=0) - ones * (ones + 1) / 2
    areas = beaten[both] / (ones * (len(truth) - ones))[both]
    return float(np.mean(2 * areas - 1))


def _error_of_skill(skill: float, truth: NDArray[Any], classes: bool) -> float:
    """Return the standard error that a column of this skill has on so many rows.

    Of classes by Hanley and McNeil (1982), for the most frequent one that is told.
    """
    rows = len(truth)
    if not classes:
        return (1 - skill) / math.sqrt(2 * rows)
    ones = truth.sum(axis=0).max()
    area = (1 + skill) / 2
    pairs = (ones - 1) * (area / (2 - area) - area**2)
    pairs += (rows - ones - 1) * (2 * area**2 / (1 + area) - area**2)
    variance = (area * (1 - area) + pairs) / (ones * (rows - ones))
    return float(2 * np.sqrt(variance))
