"""Stage: fit the baseline and the candidates on train, compare them on valid, keep the best.

A run is one candidate on one state of data, settings, code and packages; its id follows from these.
So a run that is finished is never fitted again: after a kill, training goes on where it stopped.
"""

from __future__ import annotations

import math
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit
from sklearn.pipeline import Pipeline

from .core.errors import UserError
from .core.files import file_sha256, fingerprint, remove_partial
from .core.project import Project
from .core.registry import ESTIMATORS
from .core.reports import Report
from .core.stages import code_of, write_report
from .data.schema import load_schema
from .data.split import load_manifest, load_split
from .evaluation.metrics import chosen_metric, make_outcome, score, skill
from .models import Candidate, make_candidate
from .models.features import build_features, prepare
from .models.persist import model_files, save_model
from .tracking.logs import run_log
from .tracking.runlog import (
    add_experiment,
    git_commit,
    next_number,
    peak_memory_mb,
    read_runs,
    record_run,
    versions,
)

if TYPE_CHECKING:
    from logging import Logger

    from .core.config import Settings
    from .data.schema import Schema

Rows = NDArray[np.intp]
# Errors of the absolute and the relative kind are least for the median, not for the mean; a
# baseline that is not the best constant would make every model look better than it is.
MEDIAN_METRICS = ("mae", "mape")


@dataclass(frozen=True)
class Onwards:
    """A fitted model to go on from, rather than to start anew.

    Attributes:
        run_id: Its bundle.
        fit: Returns the model, fitted further on the rows of train.
    """

    run_id: str
    fit: Callable[[Material], Pipeline]


@dataclass(frozen=True)
class Material:
    """All that a fit follows from.

    Attributes:
        settings: The project's settings.
        schema: The types of the columns.
        metric: What candidates are compared by.
        inputs: Prepared rows of train.
        target: Their classes or numbers.
        groups: A number for the group of each row under the group rule, else None.
        valid: Prepared rows of valid.
        valid_target: Their classes or numbers.
        classes: Those of train, in order; empty for a regression.
        rule: How the data was split: "random", "stratified", "group" or "time".
        data: The fingerprint of the data.
        split: The fingerprint of the split.
        onwards: What the candidates go on from; None where they start anew.
    """

    settings: Settings
    schema: Schema
    metric: str
    inputs: pd.DataFrame
    target: NDArray[Any]
    groups: NDArray[Any] | None
    valid: pd.DataFrame
    valid_target: NDArray[Any]
    classes: list[Any]
    rule: str
    data: str
    split: str
    onwards: Onwards | None = None

    @property
    def task(self) -> str:
        """Classification or regression."""
        return self.settings.model.task


def train(project: Project, settings: Settings, *, onwards: Onwards | None = None) -> Report:
    """Fit the candidates on train, choose by valid.

    Writes the winner's model and `reports/train.json`.

    Args:
        project: The project.
        settings: Its settings.
        onwards: The model to go on from; default: every candidate starts anew.

    Raises:
        UserError: If the split is not there, a candidate or parameter is unknown, the target does
            not suit the task, or an estimator refuses the data.
    """
    metric = chosen_metric(settings.model.metric, settings.model.task)
    _check_parameters(settings)
    baseline = make_candidate("baseline", *_build_arguments(settings, "baseline", metric))
    candidates = [
        make_candidate(name, *_build_arguments(settings, name, metric))
        for name in dict.fromkeys(settings.model.candidates)
    ]
    material = replace(load_material(project, settings), onwards=onwards)
    runs, fitted = _run_all(project, material, [baseline, *candidates])
    winner, reason = choose(material, runs[0], runs[1:])
    folder = project.bundle_folder(winner["run_id"])
    if not model_files(folder):
        chosen = next(each for each in candidates if each.name == winner["name"])
        save_model(fit(chosen, material), folder)
    facts = _facts(material, runs, winner, reason)
    facts["files"] = project.sizes(*model_files(folder))
    if fitted:
        add_experiment(project, _diary_line(facts, winner))
    report = write_report(
        project,
        settings,
        "train",
        facts,
        run_id=winner["run_id"],
        data=material.data,
        model=fingerprint([file_sha256(path) for path in model_files(folder)]),
    )
    _remove_losers(project, winner["run_id"])
    return report


def load_material(project: Project, settings: Settings) -> Material:
    """Read train and valid, and prepare them.

    Raises:
        UserError: If the split is not there, no column is left to learn from, or the target does
            not suit the task.
    """
    schema, manifest = load_schema(project), load_manifest(project)
    if schema.target is None:
        raise UserError("data/schema.yaml names no target; set [data] target and run `ingest`.")
    target, rule = schema.target.name, manifest["split"]["rule"]
    groups = [column.name for column in schema.columns if "group" in column.roles]
    features = [column.name for column in schema.features]
    if not features:
        raise UserError(
            "data/schema.yaml leaves no column to learn from: all are target, id, time, group or "
            "ignored; take one out of [data] id or ignore, or bring in another column."
        )
    columns = list(dict.fromkeys([*features, target, *groups]))
    frame = load_split(project, "train", columns)
    fit_target = _target(frame, target, settings)
    fit_groups = _group_codes(frame[groups[0]]) if groups and rule == "group" else None
    inputs = prepare(frame[features], schema)
    del frame
    frame = load_split(project, "valid", [*features, target])
    return Material(
        settings=settings,
        schema=schema,
        metric=chosen_metric(settings.model.metric, settings.model.task),
        inputs=inputs,
        target=fit_target,
        groups=fit_groups,
        valid=prepare(frame[features], schema),
        valid_target=frame[target].to_numpy(),
        classes=[] if settings.model.task == "regression" else np.unique(fit_target).tolist(),
        rule=rule,
        data=manifest["fingerprint"],
        split=manifest["split"]["fingerprint"],
    )


def fit(candidate: Candidate, material: Material, rows: Rows | None = None) -> Pipeline:
    """Return a new pipeline, fitted on some rows of train (default: on all)."""
    from sklearn.base import clone

    if material.onwards is not None and candidate.kind != "constant":
        return material.onwards.fit(material)
    inputs, target = material.inputs, material.target
    features = build_features(
        inputs,
        material.schema,
        candidate.kind,
        task=material.task,
        seed=material.settings.split.seed,
        settings=material.settings.features,
    )
    pipeline = Pipeline([("features", features), ("model", clone(candidate.estimator))])
    if rows is None:
        pipeline.fit(inputs, target)
    else:
        pipeline.fit(_take(candidate, inputs, rows), target[rows])
    if "n_jobs" in pipeline[-1].get_params(deep=False):
        # Predicting on one core: forests add their trees up in the order in which cores finish.
        pipeline[-1].set_params(n_jobs=1)
    return pipeline


def judge(
    pipeline: Pipeline, candidate: Candidate, material: Material, inputs: Any, target: Any
) -> dict[str, float]:
    """Return every metric of the pipeline on prepared rows."""
    if material.task == "regression":
        return score(make_outcome("regression", target, values=pipeline.predict(inputs)))
    shares = np.zeros((len(target), len(material.classes)))
    known = pd.Index(material.classes).get_indexer(pd.Index(pipeline[-1].classes_))
    shares[:, known] = pipeline.predict_proba(inputs)  # a fold may lack a class
    outcome = make_outcome(
        "classification",
        target,
        probabilities=shares,
        classes=material.classes,
        positive=material.settings.decision.positive,
    )
    return score(outcome)


def folds(material: Material) -> list[tuple[Rows, Rows]]:
    """Return (rows to fit on, rows to judge on) for each fold, by the rule of the split.

    Rows of a group stay together, and under the time rule every fold is judged on later rows than
    it was fitted on. Folds become fewer where there are too few rows, groups or rows of a class.
    """
    wanted, seed = material.settings.model.folds, material.settings.split.seed
    target, rows = material.target, len(material.target)
    if material.rule == "time":
        number = min(wanted, rows - 1)
        splitter: Any = TimeSeriesSplit(number) if number >= 2 else None
    elif material.groups is not None:
        number = min(wanted, len(np.unique(material.groups)))
        splitter = GroupKFold(number, shuffle=True, random_state=seed) if number >= 2 else None
    elif material.task == "classification":
        number = min(wanted, int(np.unique(target, return_counts=True)[1].max()))
        splitter = StratifiedKFold(number, shuffle=True, random_state=seed) if number >= 2 else None
    else:
        number = min(wanted, rows)
        splitter = KFold(number, shuffle=True, random_state=seed) if number >= 2 else None
    if splitter is None:
        return []
    with warnings.catch_warnings():
        # That a rare class is absent from some folds is no fault: `judge` allows for it.
        warnings.filterwarnings("ignore", message="The least populated class")
        return list(splitter.split(np.zeros(rows), target, material.groups))


def choose(
    material: Material, baseline: dict[str, Any], runs: list[dict[str, Any]]
) -> tuple[dict[str, Any], str]:
    """Return the simplest run whose skill is within the tolerance of the best, and the reason.

    Sets `skill` in every run. The runs stand from simple to complex.

    Raises:
        UserError: If the metric is not defined on valid.
    """
    metric, tolerance = material.metric, material.settings.model.tolerance
    for run in (baseline, *runs):
        # Adding 0 turns the -0.0 of a baseline compared with itself into 0.0.
        run["skill"] = skill(metric, _number(run, metric), _number(baseline, metric)) + 0.0
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


def _check_parameters(settings: Settings) -> None:
    """Refuse parameters of a candidate that does not exist."""
    from .core.registry import team

    team()
    for name in settings.params:
        if name not in ESTIMATORS:
            known = ", ".join(sorted(ESTIMATORS))
            raise UserError(
                f"conf.cfg, [params]: there is no candidate '{name}'; known are: {known}."
            )


def _build_arguments(settings: Settings, name: str, metric: str) -> tuple[str, int, dict[str, Any]]:
    """Return task, seed and parameters of a candidate."""
    params = settings.params.get(name, {})
    if name == "baseline" and metric in MEDIAN_METRICS:
        params = {"strategy": "median"} | params
    return settings.model.task, settings.split.seed, params


def _group_codes(groups: pd.Series[Any]) -> NDArray[np.int64]:
    """Return a number per group; a row without one is a group of its own."""
    codes = pd.factorize(groups)[0].astype(np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return codes


def _target(frame: pd.DataFrame, name: str, settings: Settings) -> NDArray[Any]:
    """Return the target of train as an array.

    Raises:
        UserError: If there is nothing to tell apart, or it does not suit the task.
    """
    values = frame[name]
    if values.nunique() < 2:
        raise UserError(
            f"The target '{name}' has the same value in all {len(values):,} rows of train; a model "
            "needs two or more to tell apart: check [data] target and the [split]."
        )
    numbers = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if settings.model.task == "regression":
        if not numbers:
            raise UserError(
                f"The target '{name}' is not a number, which a regression predicts; set [model] "
                "task = classification, or choose another [data] target."
            )
        return values.to_numpy(dtype=np.float64)
    if pd.api.types.is_float_dtype(values) and not (values % 1 == 0).all():
        raise UserError(
            f"The target '{name}' holds numbers with fractions, no classes; set [model] task = "
            "regression, or choose another [data] target."
        )
    return values.to_numpy(dtype=None if numbers or values.dtype == bool else object)


def _run_all(
    project: Project, material: Material, candidates: list[Candidate]
) -> tuple[list[dict[str, Any]], int]:
    """Return the runs of the candidates, in their order, and how many had to be fitted."""
    known = {run["run_id"]: run for run in read_runs(project)}
    ids = [_run_id(candidate, material) for candidate in candidates]
    missing = [run_id for run_id in ids if run_id not in known]
    if missing:
        parts = folds(material)
        with _progress(len(missing) * (len(parts) + 1)) as advance:
            for candidate, run_id in zip(candidates, ids, strict=True):
                if run_id in missing:
                    known[run_id] = _run(project, material, candidate, run_id, parts, advance)
    return [known[run_id] for run_id in ids], len(missing)


def _run(
    project: Project,
    material: Material,
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
    run = _description(project, material, candidate, run_id) | {"number": number}
    with run_log(path) as log:
        _log_description(log, run)
        began = time.perf_counter()
        try:
            cv = _cross_validate(candidate, material, parts, log, advance)
            advance(f"{candidate.label} on all of train")
            before = time.perf_counter()
            pipeline = fit(candidate, material)
            seconds = time.perf_counter() - before
            valid = judge(pipeline, candidate, material, material.valid, material.valid_target)
        except ValueError as error:
            raise UserError(
                f"{candidate.name} cannot be fitted: {_first_line(error)}; "
                f"{project.relative(path)} tells more."
            ) from error
        if candidate.name == "baseline":
            run["constant"] = _constant(pipeline, material)
        save_model(pipeline, project.bundle_folder(run_id))
        run |= {
            "cv": cv,
            "valid": valid,
            "fit_seconds": round(seconds, 3),
            "seconds": round(time.perf_counter() - began, 3),
            "peak_memory_mb": peak_memory_mb(),
            "log": project.relative(path),
        }
        log.info("valid %s", _in_words(valid))
        log.info("fitted on train in %.3f s, all in %.3f s", seconds, run["seconds"])
    record_run(project, run)
    return run


def _cross_validate(
    candidate: Candidate,
    material: Material,
    parts: list[tuple[Rows, Rows]],
    log: Logger,
    advance: Callable[[str], None],
) -> dict[str, Any] | None:
    """Return mean, standard deviation and each fold of the metric; None without folds."""
    values = []
    for number, (fit_rows, judge_rows) in enumerate(parts, start=1):
        advance(f"{candidate.label} fold {number} of {len(parts)}")
        if material.classes and len(np.unique(material.target[fit_rows])) < 2:
            log.warning("fold %d is left out: it has one class only", number)
            values.append(math.nan)
            continue
        pipeline = fit(candidate, material, fit_rows)
        inputs, target = _take(candidate, material.inputs, judge_rows), material.target[judge_rows]
        values.append(judge(pipeline, candidate, material, inputs, target)[material.metric])
        log.info("fold %d of %d: %s %.6g", number, len(parts), material.metric, values[-1])
    defined = [value for value in values if math.isfinite(value)]
    if not parts:
        return None
    mean, std = (np.mean(defined), np.std(defined)) if defined else (math.nan, math.nan)
    return {"mean": float(mean), "std": float(std), "folds": values}


def _take(candidate: Candidate, inputs: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """Return the rows of a fold, without columns for the baseline, which looks at none."""
    return inputs.iloc[rows, :0] if candidate.kind == "constant" else inputs.iloc[rows]


def _run_id(candidate: Candidate, material: Material) -> str:
    """Return 8 hexadecimal digits that follow from all that the run's results follow from."""
    settings = material.settings
    return fingerprint(
        candidate.name,
        _parameters(candidate.estimator),
        [material.data, material.split, material.rule],
        material.schema.to_dict(),
        settings.section("features"),
        [settings.model.task, material.metric, settings.model.folds, settings.decision.positive],
        settings.split.seed,
        versions([candidate.name]),
        _code(candidate, settings),
        *([] if material.onwards is None else [material.onwards.run_id]),
    )[:8]


def _code(candidate: Candidate, settings: Settings) -> str:
    """Return the fingerprint of the code that a run follows from: not that of other candidates."""
    return code_of("train", settings, ESTIMATORS=(candidate.name,))


def _description(
    project: Project, material: Material, candidate: Candidate, run_id: str
) -> dict[str, Any]:
    """Return what a run is, before anything is measured."""
    settings = material.settings
    return {
        "run_id": run_id,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": candidate.name,
        "label": candidate.label,
        "kind": candidate.kind,
        "params": _parameters(candidate.estimator),
        "task": material.task,
        "metric": material.metric,
        "seed": settings.split.seed,
        "data": material.data,
        "split": material.split,
        "source": settings.section("data")["source"],
        "target": material.schema.target.name if material.schema.target else None,
        "rule": material.rule,
        "rows": {"train": len(material.inputs), "valid": len(material.valid)},
        "features": material.inputs.shape[1],
        "settings": {
            "features": settings.section("features"),
            "model": {"folds": settings.model.folds},
            "decision": {"positive": settings.decision.positive},
        },
        "versions": versions([candidate.name]),
        "code": _code(candidate, settings),
        "git_commit": git_commit(project),
        "onwards_from": material.onwards and material.onwards.run_id,
    }


def _parameters(estimator: Any) -> dict[str, Any]:
    """Return the parameters that differ from the library's defaults, as plain values."""
    given = estimator.get_params(deep=False)
    try:
        defaults = type(estimator)().get_params(deep=False)
    except TypeError:  # an estimator of custom.py that cannot be built without arguments
        defaults = {}
    own = {key: value for key, value in given.items() if repr(value) != repr(defaults.get(key))}
    own |= own.pop("params", None) or {}  # a booster's are one level down
    plain = (bool, int, float, str, list, type(None))
    return {key: value if isinstance(value, plain) else repr(value) for key, value in own.items()}


def _constant(pipeline: Pipeline, material: Material) -> dict[str, Any]:
    """Return what the baseline says of every row."""
    row = material.valid.iloc[:1]
    if material.task == "regression":
        return {"value": float(pipeline.predict(row)[0])}
    shares = dict(zip(pipeline[-1].classes_.tolist(), pipeline.predict_proba(row)[0], strict=True))
    return {"probabilities": {str(name): float(share) for name, share in shares.items()}}


def _facts(
    material: Material, runs: list[dict[str, Any]], winner: dict[str, Any], reason: str
) -> dict[str, Any]:
    """Return what `reports/train.json` says: no time of day, so that equal work looks equal."""
    kept = ("name", "label", "kind", "run_id", "params", "cv", "valid", "skill")
    measured = ("fit_seconds", "peak_memory_mb", "constant")
    entries = [{key: run[key] for key in (*kept, *measured) if key in run} for run in runs]
    metric = material.metric
    summary = (
        f"{winner['label']} {winner['run_id']}: {metric} {winner['valid'][metric]:.3f} on valid, "
        f"baseline {_number(runs[0], metric):.3f}; {reason}"
    )
    return {
        "task": material.task,
        "metric": metric,
        "classes": material.classes,
        "candidates": entries[1:],
        "baseline": entries[0],
        "winner": winner["name"],
        "run_id": winner["run_id"],
        "reason": reason,
        "rule": material.rule,
        "rows": {"train": len(material.inputs), "valid": len(material.valid)},
        "features": material.inputs.shape[1],
        "versions": winner["versions"],
        "seed": material.settings.split.seed,
        "summary": summary,
    }


def _diary_line(facts: dict[str, Any], winner: dict[str, Any]) -> str:
    """Return the line of `docs/experiments.md`, which ends where a person goes on."""
    metric = facts["metric"]
    others = [
        f"{run['label']} {_number(run, metric):.3f} (`{run['run_id']}`)"
        for run in facts["candidates"]
        if run["run_id"] != winner["run_id"]
    ]
    beside = f" Beside it: {', '.join(others)}." if others else ""
    return (
        f"`{winner['run_id']}` {winner['label']}: {metric} {winner['valid'][metric]:.3f} on valid, "
        f"baseline {_number(facts['baseline'], metric):.3f}.{beside} Why:"
    )


def _remove_losers(project: Project, winner: str) -> None:
    """Remove models that no bundle was made of; their results stay in `logs/runs.jsonl`."""
    for folder in project.models.iterdir():
        remove_partial(folder)  # of a killed run, whose folder nothing else may ever write to
        unused = folder.name != winner and not (folder / "bundle.json").exists()
        if unused and re.fullmatch(r"[0-9a-f]{8}", folder.name) and folder.is_dir():
            for path in model_files(folder):
                path.unlink()
            if not any(folder.iterdir()):
                folder.rmdir()


@contextmanager
def _progress(fits: int) -> Iterator[Callable[[str], None]]:
    """Show a progress bar on standard error; yield what to call as each fit begins."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    text, bar = TextColumn("{task.description}"), BarColumn()
    columns = (text, bar, MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("train", total=fits)
        begun = count()

        def advance(what: str) -> None:
            progress.update(task, completed=next(begun), description=what)

        yield advance


def _log_description(log: Logger, run: dict[str, Any]) -> None:
    """Write what a run is into its log."""
    for key, value in run.items():
        log.info("%s: %s", key, _in_words(value) if isinstance(value, dict) else value)


def _in_words(values: dict[str, Any]) -> str:
    """Return names and values on one line."""
    words = []
    for key, value in values.items():
        words.append(f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}")
    return ", ".join(words)


def _number(run: dict[str, Any], metric: str) -> float:
    """Return a run's metric on valid; nan where it is not defined, which JSON holds as null."""
    value = run["valid"][metric]
    return math.nan if value is None else float(value)


def _first_line(error: Exception) -> str:
    """Return an error's first line without its full stop."""
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".:")
