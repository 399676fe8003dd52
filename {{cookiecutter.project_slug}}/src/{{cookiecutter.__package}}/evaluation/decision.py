"""From raw outputs to decisions: temperature, threshold, interval, each chosen on valid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
# Probabilities are kept this far from 0 and 1 before their logarithm is taken.
SMALLEST = 1e-7
FOLDS = 5
# How far the logarithm of a temperature is from 0 before any row is seen: models that are not
# calibrated need 1 to 3 (Guo et al., 2017), whose logarithms are 0 to 1.1.
SPREAD = 0.5
# A temperature of more rows than this is hardly better: it is one number.
ROWS = 10_000
FEWEST_ROWS = 50


def temper(probabilities: Floats, temperature: float) -> Floats:
    """Divide the log-probabilities by the temperature (Guo et al., 2017); 1 changes nothing.

    Args:
        probabilities: (rows, classes).
        temperature: Above 1 the model was too sure of itself, below 1 too little.
    """
    return probabilities if temperature == 1 else _soften(_logarithms(probabilities), temperature)


def _logarithms(probabilities: Floats) -> Floats:
    """Return the natural logarithms of probabilities, also of those that are 0."""
    logarithms: Floats = np.log(np.clip(probabilities, SMALLEST, 1.0))
    return logarithms


def _soften(logarithms: Floats, temperature: float) -> Floats:
    """Return the probabilities of which these are the logarithms, tempered."""
    logits = logarithms / temperature
    logits -= logits.max(axis=1, keepdims=True)
    shares: Floats = np.exp(logits)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def label_codes(document: Mapping[str, Any], probabilities: Floats) -> Codes:
    """Return the place of each row's class in `classes`: by the threshold, or the likeliest one."""
    if document["threshold"] is None:
        likeliest: Codes = probabilities.argmax(axis=1)
        return likeliest
    positive = document["classes"].index(document["positive"])
    found = probabilities[:, positive] >= document["threshold"]
    codes: Codes = np.where(found, positive, 1 - positive)
    return codes


def fit_temperature(
    probabilities: Floats, codes: Codes, seed: int, weights: Floats | None = None
) -> dict[str, Any]:
    """Find the temperature (Guo et al., 2017) that makes the probabilities as honest as one can.

    It is kept only where, in five folds, the temperature of four lowers the log loss of the fifth.

    Args:
        probabilities: The model's own, (rows, classes).
        codes: The true class of each row, by its column.
        seed: Of the folds.
        weights: How much each row counts; default: all alike.

    Returns:
        The temperature (1 changes nothing), and the log loss (nats) before and after, in the folds.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(codes))[:ROWS]
    nothing = {"temperature": 1.0, "kept": False, "before": None, "after": None, "rows": len(order)}
    if len(order) < FEWEST_ROWS or len(np.unique(codes[order])) < 2:
        return {**nothing, "reason": f"valid has too few rows ({len(order)}) or classes"}
    probabilities, codes = probabilities[order], codes[order]
    weights = np.ones(len(order)) if weights is None else weights[order]
    logarithms = _logarithms(probabilities)  # once, and not at every temperature tried
    before = after = 0.0
    for part in range(FOLDS):
        held = np.arange(len(codes)) % FOLDS == part
        temperature = _best_temperature(logarithms[~held], codes[~held], weights[~held])
        tempered = _soften(logarithms[held], temperature)
        before += (weights[held] * _log_losses(probabilities[held], codes[held])).sum()
        after += (weights[held] * _log_losses(tempered, codes[held])).sum()
    losses = {"before": float(before / weights.sum()), "after": float(after / weights.sum())}
    if after >= before:
        return {**nothing, **losses, "reason": "calibration did not improve log loss"}
    value = _best_temperature(logarithms, codes, weights)
    return {**nothing, **losses, "temperature": value, "kept": True, "reason": "lower log loss"}


def fit_threshold(
    probabilities: Floats,
    positives: NDArray[np.bool_],
    cost_fp: float,
    cost_fn: float,
    seed: int,
    weights: Floats | None = None,
) -> dict[str, Any]:
    """Find the probability from which on a row counts as positive, so that errors cost least.

    For honest probabilities that is `cost_fp / (cost_fp + cost_fn)` (Elkan, 2001). Another one is
    kept only where, in five folds, the cheapest of four costs less than Elkan's on the fifth, by
    more than the standard error of the difference.

    Args:
        probabilities: Of the positive class, calibrated; (rows,).
        positives: Whether each row belongs to it.
        cost_fp: Cost of a false alarm.
        cost_fn: Cost of a miss.
        seed: Of the folds.
        weights: How much each row counts; default: all alike.

    Returns:
        The threshold, Elkan's, and the mean cost of a row with each, in the folds.
    """
    theory = cost_fp / (cost_fp + cost_fn)
    weights = np.ones(len(positives)) if weights is None else weights
    part = np.random.default_rng(seed).permutation(len(positives)) % FOLDS
    values = np.full(len(positives), theory)
    for held in (part == number for number in range(FOLDS)):
        if held.any() and not held.all():
            values[held] = cheapest_threshold(
                probabilities[~held], positives[~held], cost_fp, cost_fn, weights[~held]
            )
    found = _costs(probabilities, positives, values, cost_fp, cost_fn)
    expected = _costs(probabilities, positives, theory, cost_fp, cost_fn)
    saved = weights * (expected - found)
    kept = bool(saved.sum() > math.sqrt(len(saved)) * saved.std())
    value = theory
    if kept:
        value = cheapest_threshold(probabilities, positives, cost_fp, cost_fn, weights)
    return {
        "value": value,
        "theory": theory,
        "kept": kept,
        "cost": float((weights * found).sum() / weights.sum()),
        "cost_of_theory": float((weights * expected).sum() / weights.sum()),
        "cost_fp": cost_fp,
        "cost_fn": cost_fn,
    }


def cheapest_threshold(
    probabilities: Floats,
    positives: NDArray[np.bool_],
    cost_fp: float,
    cost_fn: float,
    weights: Floats | None = None,
) -> float:
    """Return the threshold with the least cost on these rows; of equals the nearest to Elkan's.

    Those tried lie half-way between neighbouring probabilities, below and above all of them, and at
    Elkan's.
    """
    theory = cost_fp / (cost_fp + cost_fn)
    values, place = np.unique(probabilities, return_inverse=True)
    weights = np.ones(len(positives)) if weights is None else weights
    hits = np.bincount(place, weights * positives, minlength=len(values))
    rows = np.bincount(place, weights, minlength=len(values))
    # Below the cut at place i lie values[:i]: their positives are missed, and from i on the
    # negatives are false alarms.
    missed = np.concatenate([[0.0], np.cumsum(hits)])
    alarms = (rows - hits).sum() - np.concatenate([[0.0], np.cumsum(rows - hits)])
    cuts = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2, [math.nextafter(1.0, 2.0)]])
    costs = cost_fp * alarms + cost_fn * missed
    own = np.searchsorted(values, theory)
    cuts, costs = np.append(cuts, theory), np.append(costs, costs[own])
    least = costs <= costs.min() * (1 + 1e-12)
    return float(cuts[least][np.abs(cuts[least] - theory).argmin()])


def conformal_interval(
    errors: Floats, level: float, weights: Floats | None = None
) -> dict[str, Any]:
    """Return the half-width that covers new rows at `level` (split conformal; Lei et al., 2018).

    With weights, the new row is taken to weigh as much as the mean (Tibshirani et al., 2019).

    Args:
        errors: Absolute errors on rows that training did not use, in the target's unit.
        level: The share of new rows whose value is to lie within, by weight.
        weights: How much each row counts; default: all alike.

    Returns:
        `level` and `half_width`; None where there are too few rows for the level.
    """
    rank = math.ceil((len(errors) + 1) * level)
    if rank > len(errors):
        return {"level": level, "half_width": None, "rows": len(errors)}
    if weights is None:
        half = float(np.partition(errors, rank - 1)[rank - 1])
    else:
        order = np.argsort(errors)
        covered = np.cumsum(weights[order])
        needed = level * (covered[-1] + weights.mean()) * (1 - 1e-12)
        half = float(errors[order][np.searchsorted(covered, needed)])
    return {"level": level, "half_width": half, "rows": len(errors)}


def _best_temperature(logarithms: Floats, codes: Codes, weights: Floats) -> float:
    """Return the likeliest temperature, between 1/20 and 20.

    Its logarithm has a normal prior around 0 (maximum a posteriori, as in ridge regression: Hoerl
    and Kennard, 1970), which few rows hardly overrule: where they happen to be told apart without
    an error, the temperature of least log loss would be 0. Many rows decide alone.
    """
    from scipy.optimize import minimize_scalar

    rows = len(codes)

    def loss(exponent: float) -> float:
        losses = _log_losses(_soften(logarithms, math.exp(exponent)), codes)
        fit = (weights * losses).mean()
        return float(fit + (exponent / SPREAD) ** 2 / (2 * rows))

    limit = math.log(20)
    return math.exp(minimize_scalar(loss, bounds=(-limit, limit), method="bounded").x)


def _log_losses(probabilities: Floats, codes: Codes) -> Floats:
    """Return each row's negative log-probability (nats) of its true class."""
    given = probabilities[np.arange(len(codes)), codes]
    losses: Floats = -np.log(np.clip(given, 1e-15, 1.0))
    return losses


def _costs(
    probabilities: Floats,
    positives: NDArray[np.bool_],
    threshold: float | Floats,
    cost_fp: float,
    cost_fn: float,
) -> Floats:
    """Return each row's cost when it is decided by a threshold."""
    found = probabilities >= threshold
    return np.where(found, cost_fp * ~positives, cost_fn * positives)
