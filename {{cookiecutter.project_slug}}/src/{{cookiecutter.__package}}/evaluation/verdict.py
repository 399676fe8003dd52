"""Why a score may mislead: the named checks behind the amber banner, each with what to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.project import read_report
from .bootstrap import in_words
from .metrics import find_metric, number, show

if TYPE_CHECKING:
    from ..evaluate import Evaluation
    from .predictions import PredictionsWithTruth

# Scores from here on are doubtful if all of these that there are reach them, on so many rows: an
# honest model (ROC AUC 0.95, R² 0.96) does so by chance in less than 2% of samples of that size.
NEAR_PERFECT = {"roc_auc": (0.995, 50), "balanced_accuracy": (0.98, 50), "r2": (0.99, 10)}
FEWEST_ROWS = 20
FEW_POSITIVES = 10
# A share of rows; a probability; standard errors; a difference of skill.
MANY_COPIES = 0.01
MISCALIBRATED = 0.1
FAR, FAR_SKILL = 3.0, 0.05


@dataclass(frozen=True)
class Judged:
    """All that a warning can follow from.

    Attributes:
        evaluation: The model.
        labelled: Its predictions of valid beside the truth.
        result: What was measured on valid.
        facts: What reports/metrics.json says.
        diagnostics: What reports/diagnostics.json says.
    """

    evaluation: Evaluation
    labelled: PredictionsWithTruth
    result: dict[str, Any]
    facts: dict[str, Any]
    diagnostics: dict[str, Any]

    def name_of(self, code: int) -> str:
        """Return a class as a sentence names it."""
        return f"'{self.labelled.names[code]}'"


def find_warnings(judged: Judged) -> list[dict[str, str]]:
    """Return why the score may mislead: each check that found something, with a sentence."""
    return [
        {"check": name, "text": text} for name, check in CHECKS.items() for text in check(judged)
    ]


def _leaks(judged: Judged) -> Iterator[str]:
    """Columns of train give the target away."""
    target = judged.evaluation.target
    for leak in judged.diagnostics["leaks"]:
        names, one = ", ".join(f"'{name}'" for name in leak["columns"]), len(leak["columns"]) == 1
        them, are = ("it", "is") if one else ("them", "are")
        leave_out = f"add {them} to [data] ignore"
        where = f"'{target}' is nearly always '{leak['outcome']}' where {names} {are}"
        if leak["kind"] == "numbering":
            yield (
                f"{names} numbers the rows and alone predicts '{target}': rows lie in its order, "
                f"which says nothing about new ones; {leave_out}."
            )
        elif leak["kind"] == "value":
            yield (
                f"{where} {leak['value']:g}, and nearly never elsewhere: if that number is known "
                f"only after the outcome, {leave_out}."
            )
        elif leak["kind"] == "duration":
            yield (
                f"{names} may run until the outcome, or as long as it was waited for, and alone "
                f"predict{'s' * one} much of '{target}' (skill {show(leak['skill'])}): if that is "
                f"not known when you predict, {leave_out}."
            )
        elif leak["kind"] == "missing":
            yield f"{where} missing: if that is known only after the outcome, {leave_out}."
        elif leak["kind"] == "filled" and leak["outcome"] is not None:
            yield f"{where} filled: if that happens only after the outcome, {leave_out}."
        elif leak["kind"] == "filled":
            yield (
                f"Whether {names} {are} filled already tells most of '{target}': if that happens "
                f"only after the outcome, {leave_out}."
            )
        else:
            part = f", where it is filled ({leak['filled']:.0%} of rows)," * (leak["filled"] < 1)
            yield (
                f"{names} alone{part} nearly gives '{target}' away (skill {show(leak['skill'])}): "
                f"if it is known only after the outcome, or made from it, {leave_out}."
            )


def _copies(judged: Judged) -> Iterator[str]:
    """The splits share rows that are copies."""
    split = read_report(judged.evaluation.project, "split")
    facts = split.facts if split else {}
    copies, rows = facts.get("copies", 0), sum(facts.get("rows", {}).values())
    if facts.get("duplicates") == "keep" and copies >= MANY_COPIES * rows:
        yield (
            f"{copies:,} of {rows:,} rows are almost certainly copies of others, so valid and test "
            "hold rows of train; [data] duplicates = drop keeps one of each."
        )


def _near_perfect(judged: Judged) -> Iterator[str]:
    """The score is better than real problems allow."""
    scores = {name: found["value"] for name, found in judged.result["metrics"].items()}
    held = [
        scores[name] >= least and judged.result["rows"] >= rows
        for name, (least, rows) in NEAR_PERFECT.items()
        if name in scores
    ]
    if held and all(held):
        metric = judged.evaluation.metric
        yield (
            f"{find_metric(metric).title} on valid, {show(scores[metric])}, is nearly perfect, "
            "which real problems rarely allow: look in the importance for a column that holds the "
            "answer, and for rows of train that return in valid."
        )


def _decision(judged: Judged) -> Iterator[str]:
    """The decisions are no better than the same one for every row."""
    labelled = judged.labelled
    if labelled.labels is None:
        return
    if labelled.positive is None:
        if len(np.unique(labelled.labels)) == 1:
            yield f"The model predicts {judged.name_of(labelled.labels[0])} for every row."
        return
    costs = judged.evaluation.bundle.document["settings"]["decision"]
    positive = labelled.truth == labelled.positive
    found = labelled.labels == labelled.positive
    alarms, hits = int((found & ~positive).sum()), int((found & positive).sum())
    never, always = costs["cost_fn"] * positive.sum(), costs["cost_fp"] * (~positive).sum()
    if costs["cost_fp"] * alarms + costs["cost_fn"] * (positive.sum() - hits) < min(never, always):
        return
    name, other = judged.name_of(labelled.positive), judged.name_of(1 - labelled.positive)
    same, costs_more = (other, "fn = 5 if a miss costs five false alarms")
    if always < never:
        same, costs_more = (name, "fp = 5 if a false alarm costs five misses")
    yield (
        f"At these costs the decisions are no better than always {same}: they find {hits:,} of "
        f"{int(positive.sum()):,} rows of {name}, and their false alarms are {alarms:,}; set "
        f"[decision] cost_{costs_more}, for example."
    )


def _probabilities(judged: Judged) -> Iterator[str]:
    """The probabilities are worse than those of the baseline, or far from what comes true."""
    loss = judged.result["metrics"].get("log_loss")
    if loss and loss["value"] > loss["baseline"]:
        yield (
            f"Log loss on valid, {show(loss['value'])}, is worse than the baseline's "
            f"{show(loss['baseline'])}: do not use the probabilities; more rows, or [model] metric "
            "= log_loss, may help."
        )
        return
    calibration = judged.diagnostics.get("calibration")
    if not calibration or calibration["error"] <= MISCALIBRATED:
        return
    bins = calibration["bins"]
    off = sum(each["count"] for each in bins if not each["low"] <= each["mean"] <= each["high"])
    if 2 * off > sum(each["count"] for each in bins):
        yield (
            f"Probabilities of {calibration['about']} are off by {calibration['error']:.0%} on "
            "average (calibration curve): do not use them as they are; more rows of valid help."
        )


def _few_rows(judged: Judged) -> Iterator[str]:
    """Valid is too small to tell whether the margin is reached."""
    result, labelled = judged.result, judged.labelled
    rows, margin = result["rows"], judged.facts["margin"]
    if labelled.positive is not None:
        counts = np.bincount(labelled.truth, minlength=2)
        rarer = int(counts[:2].argmin())
        if counts[rarer] < FEW_POSITIVES:
            yield (
                f"Valid has only {counts[rarer]} rows of {judged.name_of(rarer)}, so every score "
                "may be chance; use more data, or a larger [split] valid."
            )
            return
    if rows < FEWEST_ROWS:  # of which resamples tell too little for an interval
        yield (
            f"Valid has only {rows} rows, so every score may be chance; use more data, or a larger "
            "[split] valid."
        )
        return
    low, high = _interval_of_skill(judged)
    if low <= margin <= high:
        distance = abs(result["skill"] - margin) / (high - low) * 2
        enough = f" (of about {math.ceil(rows / distance**2):,} rows)" if distance > 0.1 else ""
        yield (
            f"Valid has too few rows, {rows:,}, to tell whether the model reaches [evaluate] "
            f"margin = {margin:g}: the 95% interval of its skill is {in_words(low, high)}; use "
            f"more data, or a larger [split] valid{enough}."
        )


def _interval_of_skill(judged: Judged) -> tuple[float, float]:
    """Return the interval of the gain over the baseline, as skill; nan where there is none."""
    metric, difference = judged.evaluation.metric, judged.result["difference"]
    way = find_metric(metric).perfect - judged.result["metrics"][metric]["baseline"]
    if not way:
        return math.nan, math.nan
    low, high = sorted(difference[end] / way for end in ("low", "high"))
    return low, high


def _far_test(judged: Judged) -> Iterator[str]:
    """Test and valid differ by more than chance."""
    test, metric = judged.facts["test"], judged.evaluation.metric
    found = [judged.result["metrics"][metric], test["metrics"][metric]] if test else []
    values = [[number(each[key]) for key in ("value", "low", "high")] for each in found]
    if not test or not np.isfinite([*values[0], *values[1], number(test["skill"])]).all():
        return
    (valid, *ends), (on_test, *others) = values
    error = math.hypot(ends[1] - ends[0], others[1] - others[0]) / 3.92
    gap = abs(judged.result["skill"] - test["skill"])
    if gap >= FAR_SKILL and abs(valid - on_test) > FAR * error:
        yield (
            f"{find_metric(metric).title} is {show(valid)} on valid and {show(on_test)} on test, "
            "more apart than chance allows: their rows differ, or too many choices were made on "
            "valid; expect the score of test, and check [split] rule, time and group."
        )


CHECKS: dict[str, Callable[[Judged], Iterator[str]]] = {
    "leaks": _leaks,
    "copies": _copies,
    "near_perfect": _near_perfect,
    "decision": _decision,
    "probabilities": _probabilities,
    "few_rows": _few_rows,
    "far_test": _far_test,
}
