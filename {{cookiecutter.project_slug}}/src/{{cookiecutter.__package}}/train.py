"""Stage: fit the baseline and the candidates on train, compare them on valid, keep the best.

A run is one candidate on one state of data, settings, code and packages; its id follows from these.
So a run that is finished is never fitted again: after a kill, training goes on where it stopped.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, TimeSeriesSplit
from sklearn.pipeline import Pipeline

from .bundle.rule import decide_table
from .core import registry
from .core.errors import UserError, first_line
from .core.files import file_sha256, fingerprint
from .core.pipeline import code_of, progress_bar, write_report
from .core.project import Report
from .data.split import load_split
from .evaluation.metrics import choose_metric, find_metric, score, skill
from .evaluation.naive import baseline_in_words, has_rules, predictions_of, read_timeline
from .models import Candidate, make_candidate
from .models.features import build_features, check_team_steps
from .models.persist import model_files, remove_unused, save_model
from .models.training_data import (
    Rows,
    TrainingData,
    WarmStart,
    fit_weighted,
    load_training_data,
    takes_weights,
)
from .tracking.runs import (
    add_experiment,
    describe_run,
    experiment_line,
    log_values,
    metric_of,
    next_number,
    own_parameters,
    peak_memory_mb,
    read_runs,
    record_run,
    run_log,
    values_in_words,
    versions,
)

if TYPE_CHECKING:
    from logging import Logger

    from numpy.typing import NDArray
    from sklearn.compose import ColumnTransformer

    from .core.config import Settings
    from .core.project import Project
    from .evaluation.predictions import Predictions
    from .tasks.task import Task

# On so many rows a rule of the team is tried.
TRIED_ROWS = 200


def train(project: Project, settings: Settings, *, warm_start: WarmStart | None = None) -> Report:
    """Fit the candidates on train, choose by valid.

    Writes the winner's model and `reports/train.json`.

    Args:
        project: The project.
        settings: Its settings.
        warm_start: The model to continue from; default: every candidate starts from nothing.

    Raises:
        UserError: If the split is not there, a candidate or parameter is unknown, the target does
            not suit the task, or an estimator refuses the data.
    """
    task = registry.task(settings.model.task)
    metric = choose_metric(task, settings.model.metric)
    baseline, candidates = _make_candidates(settings, task, metric)
    data = replace(load_training_data(project, settings, metric), warm_start=warm_start)
    _try_rule(project, data, baseline)
    runs, fitted = _run_all(project, data, [baseline, *candidates])
    winner, reason = find_winner(data, runs[0], runs[1:])
    folder = project.bundle_folder(winner["run_id"])
    if not model_files(folder):
        chosen = next(each for each in candidates if each.name == winner["name"])
        save_model(fit(chosen, data), folder)
    facts = _facts(data, runs, winner, reason) | _weighing(data, [baseline, *candidates])
    facts["aloud"] = _notes(data, facts)
    facts["files"] = project.sizes(*model_files(folder))
    if fitted:
        add_experiment(project, experiment_line(facts, winner))
    report = write_report(
        project,
        settings,
        "train",
        facts,
        run_id=winner["run_id"],
        data=data.data_fingerprint,
        model=fingerprint([file_sha256(path) for path in model_files(folder)]),
    )
    remove_unused(project, winner["run_id"])
    return report


def fit(candidate: Candidate, data: TrainingData, rows: Rows | None = None) -> Pipeline:
    """Return a new pipeline, fitted on some rows of train (default: on all)."""
    from sklearn.base import clone

    if data.warm_start is not None and candidate.kind != "constant":
        return data.warm_start.fit(data, rows)
    model = clone(candidate.estimator)
    pipeline = Pipeline([("features", _features(candidate, data)), ("model", model)])
    if rows is None:
        fit_weighted(pipeline, data.inputs, data.target, data.weights)
    else:
        inputs = _take(candidate, data.inputs, rows)
        fit_weighted(pipeline, inputs, data.target[rows], data.weights_of(rows))
    if "n_jobs" in pipeline[-1].get_params(deep=False):
        # Predicting on one core: forests add their trees up in the order in which cores finish.
        pipeline[-1].set_params(n_jobs=1)
    if hasattr(pipeline[-1], "_bin_mapper"):  # of hgb: how many cores fitted it is not the model's
        pipeline[-1]._bin_mapper.n_threads = 1
    return pipeline


def _features(candidate: Candidate, data: TrainingData) -> ColumnTransformer:
    """Return what a candidate is fed with, unfitted."""
    return build_features(
        data.inputs,
        data.schema,
        candidate.kind,
        target_kind=data.task.target_kind,
        seed=data.settings.split.seed,
        settings=data.settings.features,
    )


def judge(
    pipeline: Pipeline,
    data: TrainingData,
    inputs: Any,
    target: Any,
    weights: NDArray[np.float64] | None = None,
) -> dict[str, float]:
    """Return every metric of the pipeline on prepared rows, before calibration and threshold.

    A fold may lack a class; the task then gives it the probability 0.

    Args:
        pipeline: Fitted.
        data: What it was fitted on.
        inputs: The rows.
        target: Their classes or numbers.
        weights: How much each row counts; None where all count alike.
    """
    raw = data.task.raw_scores(pipeline, inputs, data.classes)
    return _scores(data, data.task.uncalibrated(raw), target, weights)


def _scores(
    data: TrainingData, predictions: Predictions, target: Any, weights: NDArray[np.float64] | None
) -> dict[str, float]:
    """Return every metric of predictions."""
    positive = data.settings.decision.positive
    labelled = data.task.with_truth(target, predictions, data.classes, positive)
    return score(labelled.weighted(weights))


def folds(data: TrainingData) -> list[tuple[Rows, Rows]]:
    """Return (rows to fit on, rows to judge on) for each fold, by the rule of the split.

    Rows of a group stay together, and under the time rule every fold is judged on later rows than
    it was fitted on. Folds become fewer where there are too few rows, groups or rows of a class.
    """
    wanted, seed = data.settings.model.folds, data.settings.split.seed
    rows = len(data.target)
    if data.rule == "time":
        number = min(wanted, rows - 1)
        splitter: Any = TimeSeriesSplit(number) if number >= 2 else None
    elif data.groups is not None:
        number = min(wanted, len(np.unique(data.groups)))
        splitter = GroupKFold(number, shuffle=True, random_state=seed) if number >= 2 else None
    else:
        splitter = data.task.folds(data.target, wanted, seed)
    if splitter is None:
        return []
    # Of words only matters which are equal, and numbers sort ten times as fast.
    words = data.target.dtype == object
    target = pd.factorize(data.target)[0] if words else data.target
    with warnings.catch_warnings():
        # A rare class may be absent from some folds: `judge` allows for it.
        warnings.filterwarnings("ignore", message="The least populated class")
        return list(splitter.split(np.zeros(rows), target, data.groups))


def find_winner(
    data: TrainingData, baseline: dict[str, Any], runs: list[dict[str, Any]]
) -> tuple[dict[str, Any], str]:
    """Return the simplest run whose skill is within the tolerance of the best, and the reason.

    Sets `skill` in every run. The runs stand from simple to complex.

    Raises:
        UserError: If the metric is not defined on valid.
    """
    metric, tolerance = data.metric, data.settings.model.tolerance
    naive = metric_of(baseline, metric)
    for run in (baseline, *runs):
        # Adding 0 turns the -0.0 of a baseline compared with itself into 0.0.
        run["skill"] = skill(metric, metric_of(run, metric), naive) + 0.0
    defined = [run for run in runs if math.isfinite(run["skill"])]
    if not defined:
        raise UserError(
            f"{metric} is not defined on valid (such as with one class only, or a true value of 0 "
            "for mape); choose another [model] metric, or give [split] valid more rows."
        )
    best = max(defined, key=lambda run: float(run["skill"]))
    winner = next(run for run in defined if run["skill"] >= best["skill"] - tolerance)
    if len(runs) == 1:
        return winner, "the only candidate"
    if winner is best:
        return winner, f"the highest skill on valid, {best['skill']:.3f}"
    return winner, (
        f"skill {winner['skill']:.3f} on valid, the simplest within {tolerance:g} of the best "
        f"({best['label']}, {best['skill']:.3f})"
    )


def _make_candidates(
    settings: Settings, task: Task, metric: str
) -> tuple[Candidate, list[Candidate]]:
    """Return the baseline and what competes with it, before any data is read.

    Raises:
        UserError: If `[model]` or `[params]` names what does not exist.
    """
    registry.team()  # whose estimators may be named, too
    for name in settings.params:
        if name not in registry.ESTIMATORS:
            allowed = ", ".join(sorted(registry.ESTIMATORS))
            raise UserError(
                f"conf.cfg, [params]: there is no candidate '{name}'; choose from: {allowed}."
            )

    def make(name: str, **defaults: Any) -> Candidate:
        parameters = defaults | settings.params.get(name, {})
        return make_candidate(name, task.name, settings.split.seed, parameters)

    baseline = make("baseline", **task.baseline_parameters(metric))
    return baseline, [make(name) for name in dict.fromkeys(settings.model.candidates)]


def _try_rule(project: Project, data: TrainingData, baseline: Candidate) -> None:
    """Refuse a `decide` of custom.py that fails on a few rows of train, before anything is fitted.

    The rule gets them with the baseline's predictions, which any model may give; of these the
    threshold or the interval follows as it will for the winner.

    Raises:
        UserError: See `bundle.rule.decide_table`.
    """
    rule = getattr(registry.team(), "decide", None)
    if rule is None:
        return
    task, seed = data.task, data.settings.split.seed
    columns = [column.name for column in (*data.schema.features, *data.schema.ids)]
    typed = load_split(project, "train", rows=TRIED_ROWS, seed=seed)
    typed = typed[[name for name in typed.columns if name in columns]]
    model = fit(baseline, data)
    raw = task.raw_scores(model, data.valid.iloc[:TRIED_ROWS], data.classes)
    document, _ = task.fit_decision(model, raw, data.valid_target[:TRIED_ROWS], data.settings)
    raw = task.raw_scores(model, data.inputs.iloc[: len(typed)], data.classes)
    decide_table(rule, task, document, typed, task.decide(document, raw))


def _run_all(
    project: Project, data: TrainingData, candidates: list[Candidate]
) -> tuple[list[dict[str, Any]], int]:
    """Return the runs of the candidates, in their order, and how many had to be fitted."""
    finished = {run["run_id"]: run for run in read_runs(project)}
    ids = [_run_id(candidate, data) for candidate in candidates]
    missing = [run_id for run_id in ids if run_id not in finished]
    if missing:
        parts = folds(data)
        with progress_bar("train", len(missing) * (len(parts) + 1)) as advance:
            for candidate, run_id in zip(candidates, ids, strict=True):
                if run_id in missing:
                    finished[run_id] = _run(project, data, candidate, run_id, parts, advance)
    return [finished[run_id] for run_id in ids], len(missing)


def _run(
    project: Project,
    data: TrainingData,
    candidate: Candidate,
    run_id: str,
    parts: list[tuple[Rows, Rows]],
    advance: Callable[[str], None],
) -> dict[str, Any]:
    """Cross-validate a candidate, fit it on train, judge it on valid and record all that.

    Raises:
        UserError: If the estimator refuses the data or a parameter's value.
    """
    number = next_number(project)
    path = project.logs / f"run_{number}_{candidate.label}_ID_{run_id}.log"
    run = describe_run(project, data, candidate, run_id, _code(candidate, data.settings)) | {
        "number": number
    }
    with run_log(path) as log:
        log_values(log, run)
        began = time.perf_counter()
        try:
            cv = _cross_validate(candidate, data, parts, log, advance)
            advance(f"{candidate.label} on all of train")
            before = time.perf_counter()
            pipeline = fit(candidate, data)
            seconds = time.perf_counter() - before
            valid = judge(pipeline, data, data.valid, data.valid_target, data.valid_weights)
        except UserError:
            raise
        except Exception as error:
            features = _features(candidate, data)
            check_team_steps(features, data.inputs, data.target, data.valid)
            if not isinstance(error, ValueError):
                raise
            raise UserError(
                f"{candidate.name} cannot be fitted: {first_line(error)}; "
                f"{project.relative(path)} tells more."
            ) from error
        if candidate.name == "baseline":
            run["constant"] = data.task.constant(pipeline, data.valid.iloc[:1])
        save_model(pipeline, project.bundle_folder(run_id))
        run |= {
            "cv": cv,
            "valid": valid,
            **(_best_naive(project, data, run, valid, parts) if "constant" in run else {}),
            "fit_seconds": round(seconds, 3),
            "seconds": round(time.perf_counter() - began, 3),
            "peak_memory_mb": peak_memory_mb(),
            "log": project.relative(path),
        }
        log.info("valid %s", values_in_words(valid))
        log.info("fitted on train in %.3f s, all in %.3f s", seconds, run["seconds"])
    record_run(project, run)
    return run


def _cross_validate(
    candidate: Candidate,
    data: TrainingData,
    parts: list[tuple[Rows, Rows]],
    log: Logger,
    advance: Callable[[str], None],
) -> dict[str, Any] | None:
    """Return mean, standard deviation and each fold of the metric; None without folds."""
    values = []
    for number, (fit_rows, judge_rows) in enumerate(parts, start=1):
        advance(f"{candidate.label} fold {number} of {len(parts)}")
        if not data.task.can_learn(data.target[fit_rows]):
            log.warning("fold %d is left out: its rows are too alike to learn from", number)
            values.append(math.nan)
            continue
        pipeline = fit(candidate, data, fit_rows)
        inputs, target = _take(candidate, data.inputs, judge_rows), data.target[judge_rows]
        weights = data.weights_of(judge_rows)
        values.append(judge(pipeline, data, inputs, target, weights)[data.metric])
        log.info("fold %d of %d: %s %.6g", number, len(parts), data.metric, values[-1])
    return _summary_of(values)


def _summary_of(values: list[float]) -> dict[str, Any] | None:
    """Return mean, standard deviation and the score of each fold; None without folds."""
    if not values:
        return None
    defined = [value for value in values if math.isfinite(value)]
    mean, std = (np.mean(defined), np.std(defined)) if defined else (math.nan, math.nan)
    return {"mean": float(mean), "std": float(std), "folds": values}


def _best_naive(
    project: Project,
    data: TrainingData,
    run: dict[str, Any],
    valid: dict[str, float],
    parts: list[tuple[Rows, Rows]],
) -> dict[str, Any]:
    """Return what becomes of the baseline where the rows before each predict it better.

    Args:
        project: Whose data it is.
        data: What candidates are fitted on.
        run: The constant baseline.
        valid: Its scores.
        parts: The folds.

    Returns:
        What it is by (`naive`), and its scores by that rule; {} where the constant is best.
    """
    if not has_rules(data.schema, data.rule):
        return {}
    metric, best = find_metric(data.metric), valid
    timeline, first = read_timeline(project, data.schema, "valid", run["constant"], data.classes)
    found: dict[str, Any] = {}
    for rule in timeline.rules():
        values = timeline.predict(rule)
        predicted = predictions_of(values, data.classes)
        later = predicted.take(np.arange(first, len(values)))
        scores = _scores(data, later, data.valid_target, data.valid_weights)
        gain = metric.sign * (scores[metric.name] - best[metric.name])
        if gain > 0 or (math.isnan(best[metric.name]) and math.isfinite(scores[metric.name])):
            best, found = scores, {"naive": rule, "valid": scores}
            judged = [
                _scores(data, predicted.take(rows), data.target[rows], data.weights_of(rows))[
                    metric.name
                ]
                for _, rows in parts
            ]
            found["cv"] = _summary_of(judged)
    return found


def _take(candidate: Candidate, inputs: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """Return the rows of a fold, without columns for the baseline, which looks at none."""
    return inputs.iloc[rows, :0] if candidate.kind == "constant" else inputs.iloc[rows]


def _run_id(candidate: Candidate, data: TrainingData) -> str:
    """Return 8 hexadecimal digits that follow from all that the run's results follow from."""
    settings = data.settings
    return fingerprint(
        candidate.name,
        own_parameters(candidate.estimator),
        [data.data_fingerprint, data.split_fingerprint, data.rule],
        data.schema.to_dict(),
        settings.section("features"),
        [data.task.name, data.metric, settings.model.folds, settings.decision.positive],
        settings.split.seed,
        versions([candidate.name]),
        _code(candidate, settings),
        *([] if data.warm_start is None else [data.warm_start.run_id]),
    )[:8]


def _code(candidate: Candidate, settings: Settings) -> str:
    """Return the fingerprint of the code that trains a candidate, without the other candidates'."""
    return code_of("train", settings, ESTIMATORS=(candidate.name,))


def _weighing(data: TrainingData, candidates: list[Candidate]) -> dict[str, Any]:
    """Return what reports/train.json says of the weights; {} without."""
    if data.schema.weight is None:
        return {}
    without = [each.name for each in candidates if not takes_weights(each.estimator.fit)]
    return {"weight": data.schema.weight.name, "unweighted": without}


def _notes(data: TrainingData, facts: Mapping[str, Any]) -> list[str]:
    """Say what the model gets of the time by which rows are split, and by what rows count."""
    column, notes = data.schema.time, []
    parts = column.parts if column else None
    if column and column.type == "datetime" and parts is not None and data.settings.features.time:
        given = ", ".join(parts) or "nothing, since train covers no whole day, week or year of it"
        notes.append(f"of {column.name} the model gets: {given}")
    if "weight" in facts:
        notes.append(f"fits and scores are weighted by {facts['weight']}")
    if facts.get("unweighted"):
        without = ", ".join(facts["unweighted"])
        notes.append(f"fitted without weights, which its `fit` does not take: {without}")
    return notes


def _facts(
    data: TrainingData, runs: list[dict[str, Any]], winner: dict[str, Any], reason: str
) -> dict[str, Any]:
    """Return what `reports/train.json` says: no time of day, so that equal work looks equal."""
    kept = ("name", "label", "kind", "run_id", "params", "cv", "valid", "skill")
    measured = ("fit_seconds", "peak_memory_mb", "constant", "naive")
    entries = [{key: run[key] for key in (*kept, *measured) if key in run} for run in runs]
    metric, rule = data.metric, runs[0].get("naive")
    parts = data.schema.time.parts if data.schema.time else None
    of_baseline = f"baseline {metric_of(runs[0], metric):.3f}"
    of_baseline += f" ({baseline_in_words(rule)})" if rule else ""
    summary = (
        f"{winner['label']} {winner['run_id']}: {metric} {winner['valid'][metric]:.3f} on valid, "
        f"{of_baseline}; {reason}"
    )
    return {
        "task": data.task.name,
        "metric": metric,
        "classes": data.classes,
        "candidates": entries[1:],
        "baseline": entries[0],
        "winner": winner["name"],
        "run_id": winner["run_id"],
        "reason": reason,
        "rule": data.rule,
        "rows": {"train": len(data.inputs), "valid": len(data.valid)},
        "features": data.inputs.shape[1],
        "parts": parts,
        "versions": winner["versions"],
        "seed": data.settings.split.seed,
        "summary": summary,
    }
