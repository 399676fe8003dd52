"""The statistics of drift: they keep the rates that they promise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mlproj.evaluation import drift, reference
from mlproj.evaluation.bootstrap import bootstrap
from mlproj.evaluation.predictions import Predictions
from mlproj.monitoring import labels
from mlproj.tasks.classification import CLASSIFICATION
from mlproj.tasks.regression import REGRESSION
from scipy import stats
from scipy.spatial.distance import jensenshannon


def test_chi_square_is_that_of_scipy() -> None:
    before, now = np.array([300, 200, 500]), np.array([100, 90, 170])
    expected = stats.chi2_contingency([before, now], correction=False)
    statistic, p = drift.chi_square(before, now)
    assert statistic == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue)


def test_small_p_values_of_rare_cells_are_simulated() -> None:
    before, now = np.array([4960, 40]), np.array([96, 4])
    _, p = drift.chi_square(before, now)
    exact = stats.fisher_exact([before, now]).pvalue
    assert p == pytest.approx(exact, rel=0.3)
    assert stats.chi2_contingency([before, now], correction=False).pvalue < exact / 5


def test_kolmogorov_smirnov_is_that_of_scipy_or_more_careful() -> None:
    random = np.random.default_rng(0)
    before, now = random.normal(size=5000), random.normal(0.15, 1, 400)
    bins = reference.describe_numbers(before)
    distance, p = drift.kolmogorov_smirnov(
        np.array(bins["counts"]), reference.count_bins(now, bins["edges"])
    )
    expected = stats.ks_2samp(before, now)
    assert expected.statistic - 0.02 <= distance <= expected.statistic
    assert expected.pvalue * 0.9 <= p <= expected.pvalue * 10


@pytest.mark.parametrize(("now", "m"), [(5, 100), (30, 100), (0, 40)])
def test_two_proportions_is_never_bolder_than_fishers_test(now: int, m: int) -> None:
    p = drift.two_proportions(50, 1000, now, m)
    table = [[50, 950], [now, m - now]]
    assert stats.fisher_exact(table).pvalue <= p * (1 + 1e-9)
    assert p <= 2.2 * stats.fisher_exact(table).pvalue


def test_sizes_of_a_difference() -> None:
    before, now = np.array([600, 300, 100]) * 1000, np.array([500, 300, 200]) * 1000
    p, q = before / before.sum(), now / now.sum()
    index = ((q - p) * np.log(q / p)).sum()
    assert drift.population_stability(before, now) == pytest.approx(index, rel=1e-3)
    assert drift.jensen_shannon(before, now) == pytest.approx(jensenshannon(p, q, base=2))
    assert drift.population_stability(np.array([10, 0]), np.array([0, 10])) < 10


def test_p_values_are_adjusted_as_holm_did() -> None:
    def finding(p: float | None) -> Any:
        return drift.Finding("feature", "x", "test", 0.0, p, "PSI", 1.0, 0.1)

    judged = drift.judge([finding(p) for p in (0.03, None, 0.01, 0.04)], 0.05)
    assert [each.adjusted for each in judged] == [0.06, None, 0.03, 0.06]
    assert [each.found for each in judged] == [False, False, True, False]


NUMBERS: dict[str, Callable[[Any, int], Any]] = {
    "smooth": lambda random, size: random.normal(size=size),
    "ties": lambda random, size: random.normal(size=size).round(1),
    "few values": lambda random, size: random.poisson(2, size).astype(float),
    "rare flag": lambda random, size: (random.random(size) < 0.03).astype(float),
}


@pytest.mark.parametrize("size", [30, 1000])
@pytest.mark.parametrize("kind", [*NUMBERS, "even categories", "rare categories"])
def test_p_values_keep_what_they_promise(kind: str, size: int) -> None:
    """A p below a tenth comes at most once in ten, but for chance, in small samples and ties."""
    random, tries, p_values = np.random.default_rng(len(kind)), 250, []
    shares = np.ones(8) / 8 if kind == "even categories" else 1 / np.arange(1, 31)
    shares = shares / shares.sum()
    for _ in range(tries):
        if kind in NUMBERS:
            bins = reference.describe_numbers(NUMBERS[kind](random, 2000))
            values = NUMBERS[kind](random, size)
            p = drift.compare_numbers("feature", "x", values, bins, 0.1).p
        else:
            before, now = random.multinomial(2000, shares), random.multinomial(size, shares)
            p = drift.chi_square(before, now)[1]
        p_values.append(1.0 if p is None else p)
    below = (np.array(p_values) <= 0.1).sum()
    assert below <= stats.binom.ppf(0.999, tries, 0.1)


@pytest.mark.parametrize("kind", ["many categories", "even categories", "smooth", "few values"])
def test_small_samples_can_still_be_told_apart(kind: str) -> None:
    random, size = np.random.default_rng(0), 40
    if kind == "many categories":  # of which none expects a row
        assert (drift.chi_square(np.full(60, 50), np.array([size, *[0] * 59]))[1] or 1) < 1e-3
        return
    if kind == "even categories":
        before, now = np.full(8, 250), random.multinomial(size, [0.6, *[0.4 / 7] * 7])
        assert (drift.chi_square(before, now)[1] or 1) < 1e-3
    else:
        bins = reference.describe_numbers(NUMBERS[kind](random, 2000))
        values = NUMBERS[kind](random, size) + 1.2
        assert (drift.compare_numbers("feature", "x", values, bins, 0.1).p or 1) < 1e-3


@pytest.mark.parametrize("metric", ["roc_auc", "rmse"])
def test_a_small_valid_that_was_easy_makes_no_later_rows_worse(metric: str) -> None:
    """Without a change, a p of a hundredth comes once in a hundred, and a large loss is seen."""
    random = np.random.default_rng(1)

    def interval(rows: int, wrong: bool = False) -> Any:
        signal = random.normal(size=rows) * (4 if metric == "roc_auc" else 1)
        shown = random.permutation(signal) if wrong else signal
        if metric == "roc_auc":
            truth, share = random.random(rows) < 1 / (1 + np.exp(-signal)), 1 / (1 + np.exp(-shown))
            predictions = Predictions(probabilities=np.c_[1 - share, share])
            labelled = CLASSIFICATION.with_truth(truth, predictions, [False, True])
        else:
            truth = np.exp(signal + 0.7 * random.normal(size=rows))
            labelled = REGRESSION.with_truth(truth, Predictions(values=np.exp(shown + 0.245)))
        return bootstrap(labelled, labelled, metric, resamples=200)[0][metric]

    def worse(wrong: bool = False) -> bool:
        p = labels._worse(interval(85), interval(3000, wrong), 85, 3000, metric == "roc_auc")
        return bool(p <= 0.01)

    assert sum(worse() for _ in range(150)) <= stats.binom.ppf(0.999, 150, 0.01)
    if metric == "roc_auc":  # 85 errors with so long a tail tell little
        assert all(worse(wrong=True) for _ in range(20))


def test_a_trifle_in_a_huge_sample_is_certain_and_no_finding() -> None:
    random = np.random.default_rng(0)
    bins = reference.describe_numbers(random.normal(size=50_000))
    finding = drift.compare_numbers("feature", "x", random.normal(0.05, 1, 50_000), bins, 0.1)
    judged = drift.judge([finding], 0.01)[0]
    assert judged.adjusted is not None
    assert judged.adjusted < 1e-6
    assert not judged.found


def test_values_that_came_by_float32_fall_where_they_were() -> None:
    values = np.random.default_rng(0).integers(1, 40, 5000) / 30
    bins = reference.describe_numbers(values)
    again = reference.count_bins(values.astype(np.float32).astype(float), bins["edges"])
    assert again.tolist() == bins["counts"]


def draw(kind: str, size: int) -> tuple[Any, Any]:
    """Return numbers as training knew them, and with values that it never saw."""
    random = np.random.default_rng(0)
    zeros, flags = np.where(random.random(size) < 0.9, 0, 2.5), random.integers(0, 2, size)
    stars = random.integers(1, 6, size)
    pairs = {
        "a smaller constant": (np.full(size, 5.0), np.full(size, 3.0)),
        "a greater constant": (np.full(size, 5.0), np.full(size, 7.0)),
        "zeros marked -999": (zeros, np.where(zeros == 0, -999, zeros)),
        "flags with -1": (flags, np.where(flags == 0, -1, flags)),
        "99 for the most": (stars, np.where(stars == 5, 99, stars)),
        "a latitude": (
            52.52 + random.normal(0, 1e-5, size),
            52.52005 + random.normal(0, 1e-5, size),
        ),
    }
    return pairs[kind]


@pytest.mark.parametrize(
    "kind",
    ["a smaller constant", "a greater constant", "zeros marked -999", "flags with -1",
     "99 for the most", "a latitude"],
)  # fmt: skip
def test_values_beyond_those_of_training_are_found(kind: str) -> None:
    before, now = draw(kind, 600)
    bins = reference.describe_numbers(before)
    finding = drift.compare_numbers("feature", "x", now, bins, 0.1)
    assert drift.judge([finding], 0.01)[0].found
    same = drift.compare_numbers("feature", "x", before[:300], bins, 0.1)
    assert not drift.judge([same], 0.01)[0].found


def test_bins_are_named_by_what_they_hold() -> None:
    zeros = np.repeat([0.0, 1.0, 2.0], [710, 145, 145])
    cells = drift.compare_numbers(
        "feature", "x", np.full(50, -1.0), reference.describe_numbers(zeros), 0.1
    )
    assert cells.cells == ("below 0", "0", "0 to 1", "1 to 2", "above 2")
    assert cells.now == (1, 0, 0, 0, 0)


def test_many_tests_leave_what_is_certain_certain() -> None:
    """With 1,000 tests at 0.001, a p as small as draws can tell would never be a finding."""
    _, p = drift.chi_square(np.full(10, 2000), np.array([500, *[0] * 9]))
    assert p is not None
    assert p < 1e-12
    before, now = np.array([49_500, 500]), np.array([180, 20])
    _, rare = drift.chi_square(before, now)
    exact = stats.fisher_exact([before, now]).pvalue
    assert exact <= (rare or 0) <= 10 * exact < 1e-12


def test_huge_values_are_compared_without_a_warning() -> None:
    bins = reference.describe_numbers(np.arange(1000.0))
    with np.errstate(all="raise"):
        finding = drift.compare_numbers("feature", "x", np.full(100, 1.7e308), bins, 0.1)
    assert drift.judge([finding], 0.01)[0].found
