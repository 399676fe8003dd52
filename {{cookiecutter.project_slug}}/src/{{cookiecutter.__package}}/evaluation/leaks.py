"""Columns that give the target away: found on a sample of train, each by itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.schema import plain_name
from .curves import significant

if TYPE_CHECKING:
    from ..data.schema import Schema

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
# Of so many numbers, one that has an outcome to itself gives it away.
FEWEST_VALUES = 10
# The range of a column that numbers the rows, in rows of the table, and the least skill of a trend.
NUMBERING, TREND = 3, 0.1
# A time that may run until the event is a suspect from here on.
TELLING = 0.4
# What a number is called that may run until the event, and a time that is known before it.
DURATION = (
    r"(^|_)(time|days|weeks|months|durations?|survival|follow_?up|fu|los|stay|t?stop|lifetime|"
    r"elapsed)($|_|\d)|time\d*$"
)
KNOWN_BEFORE = r"(^|_)(since|ago|last|previous|prior|past|before|per|age)(_|$)"
# A date that lies after another in so many of the rows, among so many dates, ends something.
AFTER, MOST_STARTS = 0.99, 10
# With a number in so many of its values, a text is read by the first one.
MOSTLY_NUMBERS, NUMBER = 0.9, r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
LEAK_FOLDS = 5
MOST_BINS, FEWEST_BINS, ROWS_OF_BIN = 100, 5, 10
MOST_OUTCOMES = 10
LEAK_COLUMNS = 1_000


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
    - "value": where it has its most frequent number the target is nearly always the same, and it is
      nearly never so elsewhere;
    - "alone": alone it is nearly perfect where it is filled;
    - "duration": it tells which of two classes, and is a time that may run until then, by its name
      or as a date that lies after another; several columns share one entry, with the best's skill;
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
        it is any), the share of rows in which it is `filled`, and for "value" the `value`.
    """
    answers = Answers(train[target], classes, seed)
    features = train[[column.name for column in schema.features[:LEAK_COLUMNS]]]
    dates = [column.name for column in schema.columns if column.type == "datetime"]
    # Of what orders the rows a model gets the calendar only, not what lies between two dates.
    time = schema.time.name if schema.time else None
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name in features.columns:
        starts = train[[date for date in dates[:MOST_STARTS] if time != name != date]]
        leak = _leak_of(name, features, answers, rows, starts)
        if leak is None:
            continue
        gaps = leak["kind"] in ("filled", "missing")
        alike = features[name].isna().to_numpy().tobytes() if gaps else name
        alike = "" if leak["kind"] == "duration" else alike
        entry = found.setdefault((leak["kind"], alike), {"columns": [], **leak})
        entry["columns"].append(name)
        if leak["kind"] == "duration":
            entry["skill"] = max(entry["skill"], leak["skill"])
    return list(found.values())


def _leak_of(
    name: str, features: pd.DataFrame, answers: Answers, rows: int, starts: pd.DataFrame
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
    value, outcome = _told_by_value(series, filled, answers, features.shape[1])
    if outcome is not None:
        return facts | {"kind": "value", "value": value, "outcome": outcome}
    skill = _skill_alone(series[filled], truth, answers.fold[filled], answers.classes)
    error = _error_of_skill(HONEST, truth, answers.classes)
    leak = facts | {"skill": significant(skill)}
    if _is_numbering(series, filled, rows):
        trend = TREND + 3 * _error_of_skill(0.0, truth, answers.classes)
        return leak | {"kind": "numbering"} if skill >= trend else None
    if skill >= max(GIVES_AWAY[answers.classes], HONEST + DOUBT * error):
        return leak | {"kind": "alone"}
    if (of_time := _skill_of_durations(series, answers, starts)) is not None:
        return leak | {"kind": "duration", "skill": significant(of_time)}
    late = filled.mean() <= 1 - FEWEST_MISSING and features.shape[1] > 1
    if late and skill >= max(SUSPECT, HONEST + MORE_DOUBT * error):
        others = features[filled].drop(columns=name)
        if _skill_together(others, truth, answers.fold[filled], answers.classes) <= OTHERS * skill:
            return leak | {"kind": "late"}
    return None


def _told_by_gaps(
    filled: NDArray[np.bool_], answers: Answers, columns: int
) -> tuple[str | None, str | None]:
    """Return whether rows where a column is filled, or missing, nearly all have one outcome."""
    if filled.all() or not filled.any():
        return None, None
    for kind, inside in (("filled", filled), ("missing", ~filled)):
        for outcome, has_it in answers.outcomes.items():
            if _nearly_always(has_it, inside, columns):
                return kind, outcome
    if not answers.classes and np.corrcoef(filled, answers.truth[:, 0])[0, 1] ** 2 >= 0.5:
        return "filled", None
    return None, None


def _told_by_value(
    series: pd.Series[Any], filled: NDArray[np.bool_], answers: Answers, columns: int
) -> tuple[float | None, str | None]:
    """Return the most frequent of many numbers, if nearly all its rows, and few others, are alike.

    So it is with a time until the outcome (whoever was not arrested was watched for all of 52
    weeks), and with what only one class can have (who does not work earns 0).
    """
    if not answers.classes or not pd.api.types.is_numeric_dtype(series):
        return None, None
    if series.nunique() < FEWEST_VALUES:
        return None, None
    value = series.mode().iloc[0]
    inside = (series[filled] == value).to_numpy(bool)
    for outcome, flags in answers.outcomes.items():
        has_it = flags[filled]
        if _nearly_always(has_it, inside, columns) and _nearly_always(~has_it, ~inside, columns):
            return float(value), outcome
    return None, None


def _nearly_always(has_it: NDArray[np.bool_], inside: NDArray[np.bool_], columns: int) -> bool:
    """Tell whether rows have an outcome nearly always.

    Exceptions have to be few beside those among all rows, and too few for chance: by the binomial
    distribution, divided by the number of columns that are looked at (Bonferroni).
    """
    from scipy.stats import binom

    count, usual = int(inside.sum()), 1 - has_it.mean()
    exceptions = int((inside & ~has_it).sum())
    few = (exceptions + 0.5) / (count + 1) <= EXCEPTIONS * usual
    return bool(few and binom.cdf(exceptions, count, usual) <= CHANCE / columns)


def _skill_of_durations(
    series: pd.Series[Any], answers: Answers, starts: pd.DataFrame
) -> float | None:
    """Return how well a time that may run until an event tells it, or None if not well enough."""
    if not answers.classes or answers.truth.shape[1] > 1:
        return None
    found = []
    for duration in _durations(series, starts):
        filled = duration.notna().to_numpy()
        truth = answers.truth[filled]
        if len(truth) < FEWEST_FILLED or (truth == truth[0]).all():
            continue
        skill = _skill_alone(duration[filled], truth, answers.fold[filled], answers.classes)
        error = _error_of_skill(TELLING, truth, answers.classes)
        found += [skill] if skill >= TELLING + DOUBT * error else []
    return max(found, default=None)


def _durations(series: pd.Series[Any], starts: pd.DataFrame) -> Iterator[pd.Series[Any]]:
    """Yield a column as times that may run until an event.

    A number is one by its name; a date if it lies after one of `starts`: as it is, and from there.
    """
    if pd.api.types.is_datetime64_any_dtype(series):
        for start in starts.columns:
            seconds = (series - starts[start]).dt.total_seconds()
            known = seconds.dropna()
            if known.any() and (known >= 0).mean() >= AFTER:
                yield series
                yield seconds
    elif pd.api.types.is_numeric_dtype(series) and series.nunique() >= FEWEST_VALUES:
        name = plain_name(str(series.name))
        if re.search(DURATION, name) and not re.search(KNOWN_BEFORE, name):
            yield series


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
    if numbers is None and (read := _numbers_in(series)) is not None:
        known = read.notna().to_numpy()
        if np.ptp(truth[known], axis=0).any():
            return max(found, _skill_alone(read[known], truth[known], fold[known], classes))
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


def _numbers_in(words: pd.Series[Any]) -> pd.Series[Any] | None:
    """Return the first number in each text ("<0.006", "0.12 mg"), or None if many have none."""
    numbers = words.astype("str").str.extract(NUMBER, expand=False).astype(float)
    numbers = numbers.where(np.isfinite(numbers))
    mostly = numbers.notna().mean() >= MOSTLY_NUMBERS
    return numbers if mostly and numbers.nunique() >= FEWEST_VALUES else None


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
