"""Is a table distributed as an earlier one was? Statistics, tests, sizes of the difference.

A difference is a finding only where it is both certain and large. Certain: the p-values of one
check are adjusted together (Holm, 1979), which bounds the chance of any false finding whatever the
columns have to do with each other; it is what an alert that wakes somebody has to promise. Large:
beyond a bar on its size, since in a huge sample every trifle is certain.

The earlier table, the reference, is reduced to statistics by column (`describe`), so that it need
not be kept; `compare_features` holds a later table against them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .reference import as_numbers, bucket_counts, count_bins

if TYPE_CHECKING:
    from ..data.schema import Column

Counts = NDArray[np.int64]

# A cell with fewer expected rows is pooled with others: it would add noise and little else.
LEAST_EXPECTED = 1
# Below so many expected rows in a cell, small p-values of the chi-square test are simulated.
ENOUGH_EXPECTED = 100
SIMULATED_BELOW = 0.02
DRAWS = 99_999
BLOCK = 10_000
HITS = 20
# With so few bins, numbers are compared by chi-square: Kolmogorov-Smirnov would be timid.
FEW_BINS = 10
LEAST_ROWS = 20
NEW = "(new)"
DATE = "datetime"
SHOWN_CELLS = 12
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Finding:
    """One comparison of later data with the reference.

    Attributes:
        about: "feature", "missing", "prediction", "target" or "performance".
        name: The column, or what of the prediction or performance.
        method: The test.
        statistic: Its statistic; None where it could not be tested.
        p: Its p-value; None where it could not be tested.
        measure: What the size of the difference is given in.
        size: How large the difference is.
        bar: From which size on it counts.
        distance: Jensen-Shannon distance (Lin, 1991), 0 to 1.
        reference: Share of each cell in the reference.
        now: Share of each cell now.
        cells: Their names.
        story: What changed, in words; the middle of a sentence.
        adjusted: The p-value after Holm's correction.
        found: Whether the difference is certain and large.
    """

    about: str
    name: str
    method: str
    statistic: float | None
    p: float | None
    measure: str
    size: float
    bar: float
    distance: float | None = None
    reference: tuple[float, ...] = ()
    now: tuple[float, ...] = ()
    cells: tuple[str, ...] = ()
    story: str = ""
    adjusted: float | None = None
    found: bool = False


def judge(findings: Sequence[Finding], false_alarms: float) -> list[Finding]:
    """Adjust the p-values of one check for their number, and say which differences are findings.

    Holm's step-down procedure (1979): the chance of any false finding is at most `false_alarms`,
    under every dependence. The correction takes in all tests of the check.
    """
    tested = [at for at, each in enumerate(findings) if each.p is not None]
    order = sorted(tested, key=lambda at: float(findings[at].p or 0.0))
    judged, highest = list(findings), 0.0
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * float(findings[at].p or 0.0)))
        each = findings[at]
        found = highest <= false_alarms and each.size >= each.bar
        judged[at] = replace(each, adjusted=highest, found=found)
    return judged


def compare_features(
    frame: pd.DataFrame,
    reference: Mapping[str, Any],
    columns: Iterable[Column],
    *,
    psi: float,
    missing: float,
) -> list[Finding]:
    """Compare each column's values, and its share of missing ones; `judge` says what they mean.

    Dates are described and not tested: later rows have later dates, which is no finding.

    Args:
        frame: The later rows, typed; columns that it lacks are left out.
        reference: What is known of the earlier rows: `sampled`, how many were described, and
            `features`, by name what `describe` said of each.
        columns: The columns to compare.
        psi: From which population stability index on a difference counts.
        missing: From which difference of the shares of missing values on it counts.
    """
    findings: list[Finding] = []
    for column in columns:
        if column.name not in frame.columns:
            continue
        values, known = frame[column.name], reference["features"][column.name]
        found = compare_column(column.name, values, known, psi)
        if column.type == DATE:
            found = replace(
                found, p=None, statistic=None, method="not tested: later rows have later dates"
            )
        findings.append(found)
        gone = compare_missing(column.name, values, known, reference["sampled"], missing)
        findings += [gone] if gone is not None else []
    return findings


def compare_column(
    name: str, values: pd.Series[Any], reference: Mapping[str, Any], psi_bar: float
) -> Finding:
    """Compare the values of a feature that are there with the reference's."""
    present = values.dropna()
    kind = reference["type"]
    if "edges" in reference:
        numbers = as_numbers(present, kind)
        found = compare_numbers("feature", name, numbers, reference, psi_bar, dates=kind == DATE)
        about = "of the length in characters, " if kind == "text" else ""
        return replace(found, story=about + found.story)
    if isinstance(reference["counts"], list):
        cells = [f"hash {number}" for number in range(len(reference["counts"]))]
        now = np.asarray(bucket_counts(present), dtype=np.int64)
        return _compare_cells("feature", name, reference["counts"], now, cells, psi_bar)
    return compare_names("feature", name, present, reference["counts"], psi_bar)


def compare_names(
    about: str, name: str, present: pd.Series[Any], counts: Mapping[str, int], psi_bar: float
) -> Finding:
    """Compare categories; those that the reference does not know are one cell."""
    found = {str(value): int(count) for value, count in present.value_counts().items()}
    now = [found.pop(known, 0) for known in counts]
    cells, before = list(counts), list(counts.values())
    if found:
        cells, before, now = [*cells, NEW], [*before, 0], [*now, sum(found.values())]
    return _compare_cells(about, name, before, np.asarray(now, dtype=np.int64), cells, psi_bar)


def compare_numbers(
    about: str,
    name: str,
    values: NDArray[np.float64],
    reference: Mapping[str, Any],
    bar: float,
    *,
    dates: bool = False,
) -> Finding:
    """Compare numbers by Kolmogorov-Smirnov on the reference's bins, or few bins by chi-square."""
    write = _date if dates else _number
    edges, before = reference["edges"], np.asarray(reference["counts"], dtype=np.int64)
    now = count_bins(values, edges)
    few, few_now, few_edges = merge_bins(before, now, edges)
    cells = _bin_names(few_edges, write, starts=bool(few[0] == 0))
    finding = _describe_cells(about, name, few, few_now, cells, bar)
    if np.count_nonzero(before) > FEW_BINS:
        method, (statistic, p) = "Kolmogorov-Smirnov", kolmogorov_smirnov(before, now)
    else:
        method, (statistic, p) = "chi-square", chi_square(before, now)
    story = _moved_numbers(values, reference, write)
    return replace(finding, method=method, statistic=statistic, p=p, story=story)


def compare_missing(
    name: str, values: pd.Series[Any], reference: Mapping[str, Any], sampled: int, bar: float
) -> Finding | None:
    """Compare the share of missing values; None where none is missing in either."""
    rows, missing = len(values), int(values.isna().sum())
    before = round(reference["missing"] * sampled)
    if missing + before == 0 or missing + before == rows + sampled:
        return None
    share, share_before = missing / max(rows, 1), before / sampled
    tested = rows >= LEAST_ROWS
    return Finding(
        about="missing",
        name=name,
        method="Fisher",
        statistic=share - share_before if tested else None,
        p=two_proportions(before, sampled, missing, rows) if tested else None,
        measure="difference of the shares",
        size=abs(share - share_before),
        bar=bar,
        reference=(share_before,),
        now=(share,),
        story=f"{share:.1%} of the values are missing, {share_before:.1%} in the reference",
    )


def _compare_cells(
    about: str, name: str, before: Any, now: Counts, cells: Sequence[str], bar: float
) -> Finding:
    """Compare counts of cells by chi-square, and say how far apart they are."""
    reference = np.asarray(before, dtype=np.int64)
    statistic, p = chi_square(reference, now)
    found = _describe_cells(about, name, reference, now, cells, bar)
    return replace(found, method="chi-square", statistic=statistic, p=p)


def _describe_cells(
    about: str, name: str, reference: Counts, now: Counts, cells: Sequence[str], bar: float
) -> Finding:
    """Say how far apart counts of cells are, without a test."""
    shares, shares_now = _shares(reference), _shares(now)
    kept = _largest(reference, now)
    return Finding(
        about=about,
        name=name,
        method="none",
        statistic=None,
        p=None,
        measure="PSI",
        size=population_stability(reference, now),
        bar=bar,
        distance=jensen_shannon(reference, now),
        reference=tuple(_kept(shares, kept)),
        now=tuple(_kept(shares_now, kept)),
        cells=_kept_names(cells, kept),
        story=_moved_cells(shares, shares_now, cells),
    )


# ------------------------------------------------------------------------------ tests and sizes


def kolmogorov_smirnov(before: Counts, now: Counts) -> tuple[float | None, float | None]:
    """Test whether two samples of numbers come from one distribution (Smirnov, 1939).

    The largest distance of their distribution functions is looked for at the edges of the bins
    only, and p is that of the distance anywhere: with ties and coarse bins it is too large, so that
    the rate of false findings stays below what was asked for.

    Args:
        before: Rows of the reference in each bin, in rising order.
        now: Rows of the sample in the same bins.

    Returns:
        The distance and p; None where a sample has too few rows.
    """
    from scipy.stats import kstwo

    n, m = int(before.sum()), int(now.sum())
    if n < LEAST_ROWS or m < LEAST_ROWS:
        return None, None
    distance = float(np.abs(np.cumsum(before) / n - np.cumsum(now) / m).max())
    return distance, float(min(1.0, kstwo.sf(distance, max(1, round(n * m / (n + m))))))


def chi_square(before: Counts, now: Counts) -> tuple[float | None, float | None]:
    """Test whether two samples fall into cells alike (Pearson, 1900).

    Rare cells are pooled, by the rows of both samples together, until each expects a row of
    either. Where expected rows are few all the same, a small p is simulated given the margins
    (Hope, 1968), and the simulation ends early once p is known to be large enough (Besag and
    Clifford, 1991): the chi-square distribution makes far tails too small there.

    Returns:
        The statistic and p; None where fewer than two cells are left.
    """
    from scipy.stats import chi2

    n, m = int(before.sum()), int(now.sum())
    if n < LEAST_ROWS or m < LEAST_ROWS:
        return None, None
    first, second = _pool(before, now)
    if len(first) < 2:
        return None, None
    total = first + second
    statistic = float(_pearson(second[np.newaxis], total, m)[0])
    p = float(chi2.sf(statistic, len(total) - 1))
    least = float(total.min()) * min(n, m) / (n + m)
    if least < ENOUGH_EXPECTED and p < SIMULATED_BELOW:
        p = max(p, _simulated(statistic, first, second))
    return statistic, p


def two_proportions(before: int, n: int, now: int, m: int) -> float:
    """Return the exact two-sided p for two shares, `before` of `n` and `now` of `m`.

    Twice the smaller tail of the hypergeometric distribution (Fisher, 1935).
    """
    from scipy.stats import hypergeom

    given = (n + m, before + now, m)
    tail = min(hypergeom.cdf(now, *given), hypergeom.sf(now - 1, *given))
    return float(min(1.0, 2 * tail))


def population_stability(before: Counts, now: Counts) -> float:
    """Return the population stability index, sum of (q - p) ln(q / p) (Siddiqi, 2006).

    Half a row more in each cell (Jeffreys, 1946) keeps an empty cell from making it infinite. By
    custom 0.1 is a shift to look at, 0.25 a large one.
    """
    first, second = _shares(before + 0.5), _shares(now + 0.5)
    return float(((second - first) * np.log(second / first)).sum())


def jensen_shannon(before: Counts, now: Counts) -> float:
    """Return the Jensen-Shannon distance, the root of the divergence in bits (Lin, 1991)."""
    first, second = _shares(before), _shares(now)
    middle = (first + second) / 2
    parts = [
        np.sum(share[share > 0] * np.log2(share[share > 0] / middle[share > 0]))
        for share in (first, second)
    ]
    return float(np.sqrt(max(0.0, sum(parts) / 2)))


def merge_bins(
    before: Counts, now: Counts, edges: Sequence[float], most: int = FEW_BINS
) -> tuple[Counts, Counts, list[float]]:
    """Join neighbouring bins into at most ten, of about equal counts in the reference.

    A first or last bin that is empty in the reference stays by itself: it is for values that
    training never saw.

    Returns:
        Counts of both samples, and the edges that are left.
    """
    total = max(1, int(before.sum()))
    place = np.minimum(np.ceil(np.cumsum(before) / total * most - 1e-9).astype(int), most)
    first = np.concatenate([[True], place[1:] != place[:-1]])
    first[-1] |= before[-1] == 0
    group = np.cumsum(first) - 1
    kept = [edge for edge, opens in zip(edges, first[1:], strict=True) if opens]
    return (
        np.bincount(group, before).astype(np.int64),
        np.bincount(group, now).astype(np.int64),
        kept,
    )


def _pool(before: Counts, now: Counts) -> tuple[Counts, Counts]:
    """Join the rarest cells, by the rows of both samples, until each expects enough of either."""
    total = before + now
    order = np.argsort(-total, kind="stable")
    first, second, total = before[order], now[order], total[order]
    least = min(int(before.sum()), int(now.sum())) / max(1, int(total.sum()))
    # Cells from `end` on become one; while that one is too small, it takes in the next rarest. The
    # most frequent cell stays by itself, so that there is something to compare.
    end = max(1, int((total * least >= LEAST_EXPECTED).sum()))
    while end < len(total) and total[end:].sum() * least < LEAST_EXPECTED:
        if total[end:].sum() == 0:
            return first[:end], second[:end]
        if end == 1:
            break
        end -= 1
    if end >= len(total):
        return first, second
    joined = [np.append(part[:end], part[end:].sum()) for part in (first, second)]
    return joined[0], joined[1]


def _pearson(now: NDArray[Any], total: Counts, m: int) -> NDArray[np.float64]:
    """Return Pearson's statistic for counts of the second sample, (draws, cells), given margins."""
    share = m / total.sum()
    expected = total * share
    # The first sample's cells deviate as much the other way, so both are in one factor.
    statistic: NDArray[np.float64] = (((now - expected) ** 2) / expected).sum(axis=1) / (1 - share)
    return statistic


def _simulated(statistic: float, before: Counts, now: Counts) -> float:
    """Return the share of random tables with the same margins that are as far from alike.

    Where none is, there may be too few draws for the smallest p that a check of many columns asks
    for. Then p is bounded by the exact ones of each cell against all others, times their number.
    """
    random = np.random.default_rng(0)
    total, n, m = before + now, int(before.sum()), int(now.sum())
    hits = drawn = 0
    while drawn < DRAWS and hits < HITS:
        draws = random.multivariate_hypergeometric(total, m, BLOCK, method="marginals")
        hits += int((_pearson(draws, total, m) >= statistic * (1 - 1e-12)).sum())
        drawn += BLOCK
    share = (hits + 1) / (drawn + 1)
    if hits:
        return share
    exact = [two_proportions(int(a), n, int(b), m) for a, b in zip(before, now, strict=True)]
    return min(share, len(exact) * min(exact))


def _shares(counts: Any) -> NDArray[np.float64]:
    """Return counts as shares; zeros where nothing was counted."""
    total = float(np.sum(counts))
    shares: NDArray[np.float64] = np.asarray(counts, dtype=np.float64) / (total or 1.0)
    return shares


# ----------------------------------------------------------------------------------- the words


def _moved_numbers(
    values: NDArray[np.float64], reference: Mapping[str, Any], write: Callable[[float], str]
) -> str:
    """Say how the middle of numbers moved."""
    if not len(values) or reference["mean"] is None:
        return "there are no values to compare"
    with np.errstate(over="ignore", invalid="ignore"):  # a sum of huge values is infinite
        mean, spread = float(values.mean()), float(values.std())
    before, spread_before = float(reference["mean"]), float(reference["std"])
    return (
        f"the mean is {write(mean)}, {write(before)} in the reference "
        f"(standard deviation {_number(spread)}, {_number(spread_before)})"
    )


def _moved_cells(
    before: NDArray[np.float64], now: NDArray[np.float64], cells: Sequence[str]
) -> str:
    """Say which cell changed most."""
    if not now.sum():
        return "there are no values to compare"
    at = int(np.abs(now - before).argmax())
    name = "values that training never saw make" if cells[at] == NEW else f"'{cells[at]}' makes"
    return f"{name} up {now[at]:.1%}, {before[at]:.1%} in the reference"


def _number(value: float) -> str:
    """Write a number with four digits, large ones in full."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"


def _date(days: float) -> str:
    """Write days since 1970 as a date."""
    return str(np.datetime64(round(days), "D"))


def _bin_names(edges: Sequence[float], write: Callable[[float], str], *, starts: bool) -> list[str]:
    """Name the bins by their edges; `starts` where the reference has nothing below the first."""
    # An edge beside zero is the number next to it.
    marks = [write(edge if abs(edge) > TINY else 0.0) for edge in edges]
    if not marks:
        return ["all"]
    between = [
        low if low == high else f"{low} to {high}"
        for low, high in zip(marks, marks[1:], strict=False)
    ]
    return [f"{'below' if starts else 'up to'} {marks[0]}", *between, f"above {marks[-1]}"]


def _largest(before: Counts, now: Counts) -> list[int]:
    """Return the cells to show, in their order."""
    if len(before) <= SHOWN_CELLS:
        return list(range(len(before)))
    order = np.argsort(-np.maximum(_shares(before), _shares(now)), kind="stable")
    return sorted(int(at) for at in order[: SHOWN_CELLS - 1])


def _kept(shares: NDArray[np.float64], kept: list[int]) -> list[float]:
    """Return the shares of the cells to show, and that of all others."""
    chosen = [float(shares[at]) for at in kept]
    return chosen if len(kept) == len(shares) else [*chosen, max(0.0, 1.0 - sum(chosen))]


def _kept_names(cells: Sequence[str], kept: list[int]) -> tuple[str, ...]:
    """Return the names of the cells to show."""
    names = [cells[at] for at in kept]
    others = f"{len(cells) - len(kept)} others"
    return tuple(names if len(kept) == len(cells) else [*names, others])
