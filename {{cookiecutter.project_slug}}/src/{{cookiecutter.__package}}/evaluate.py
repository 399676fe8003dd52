"""Stage: judge the packaged model against the baseline on valid, and once per split on test."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .bundle.bundle import Bundle, load_bundle
from .core.errors import GateError, UserError
from .core.files import fingerprint, write_json_lines
from .core.project import Project
from .core.reports import Report, read_report
from .core.stages import require, write_report
from .data.split import load_manifest, load_split
from .evaluation.diagnostics import Subject, diagnose, learning_curve
from .evaluation.ledger import (
    check_opening,
    openings,
    openings_in_words,
    record_opening,
    recorded,
    state_of_test,
)
from .evaluation.metrics import (
    LEVEL,
    METRICS,
    Interval,
    Outcome,
    bootstrap,
    chosen_metric,
    constant_outcome,
    in_words,
    make_outcome,
    metric_names,
    score,
    show,
    skill,
)

if TYPE_CHECKING:
    from rich.table import Table

    from .core.config import Settings

FIRST_OPENING = "the first model of this split"
FEW_ROWS = 100


@dataclass(frozen=True)
class Trial:
    """A packaged model, what it is judged by, and on which state of the data.

    Attributes:
        project: Where everything is.
        settings: The project's settings.
        bundle: The model.
        metric: The one that decides.
        target: The column to predict.
        data: The fingerprint of the data.
        split: The state of the test split, by its rows.
    """

    project: Project
    settings: Settings
    bundle: Bundle
    metric: str
    target: str
    data: str
    split: str

    @property
    def name(self) -> str:
        """The model as a sentence names it."""
        return f"{self.bundle.document['estimator']['label']} {self.bundle.run_id}"

    @property
    def model(self) -> str:
        """The fingerprint of all that the model's predictions follow from."""
        decided = ("run_id", "classes", "positive", "threshold", "calibration")
        return fingerprint([self.bundle.document.get(key) for key in decided])


def evaluate(
    project: Project, settings: Settings, *, final: bool = False, again: str | None = None
) -> Report:
    """Measure the packaged model and write `reports/metrics.json` and `reports/diagnostics.json`.

    Args:
        project: The project.
        settings: Its settings.
        final: Open the test split as well. A model that misses its bar on valid does not get there,
            and what test said of this very model is taken from the ledger.
        again: The reason to open test although another model has seen it.

    Raises:
        UserError: If an earlier stage has to run first, or test is not to be opened again.
        GateError: If the model misses `[evaluate] margin`, once the reports are written.
    """
    trial = _trial(project, settings)
    if again is not None and not final:
        raise UserError('--again goes with --final: evaluate --final --again "reason".')
    if final:
        check_opening(project, trial.split, trial.model, again)
    with _progress("measuring on valid") as step:
        frame = load_split(project, "valid")
        outcome, result = _measure(trial, frame)
        passed = _clears(result["skill"], settings.evaluate.margin)
        if final and passed and recorded(project, trial.split, trial.model) is None:
            step("opening test")
            _open_test(trial, again or FIRST_OPENING)
        _diagnose(trial, frame, outcome, step)
    facts = _facts(trial, result, final)
    facts["files"] = project.sizes(project.report_file("diagnostics"), project.worst_rows)
    report = write_report(
        project,
        settings,
        "evaluate",
        facts,
        name="metrics",
        run_id=trial.bundle.run_id,
        data=trial.data,
        model=trial.model,
    )
    if not facts["passed"]:
        raise GateError(facts["verdict"])
    return report


def may_open_test(project: Project) -> bool:
    """Tell whether nobody has opened the test split in its present state.

    Raises:
        UserError: If there is no split.
    """
    return not openings(project, state_of_test(project))


def options_of_a_run(project: Project) -> dict[str, Any]:
    """Return how `run` calls this stage: it opens test for the first model of a split."""
    return {"final": may_open_test(project)}


def summary_table(project: Project) -> Table | None:
    """Return the last evaluation as a table for the terminal; None if there is none."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    report = read_report(project, "metrics")
    if report is None:
        return None
    facts, splits = report.facts, [report.facts, report.facts["test"]]
    table = Table(
        title=f"{facts['label']} {report.run_id}",
        caption=Text(f"{facts['verdict']} {openings_in_words(facts['test_openings'])}"),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("metric")
    for name in ("valid", "test") if splits[1] else ("valid",):
        table.add_column(name, justify="right")
        table.add_column(f"{LEVEL:.0%} interval", justify="right")
    table.add_column("baseline", justify="right")
    for name, valid in facts["metrics"].items():
        cells = [METRICS[name].title if name in METRICS else name]
        for found in (split["metrics"].get(name, {}) for split in splits if split):
            cells += [show(found.get("value")), in_words(found.get("low"), found.get("high"))]
        cells.append(show(valid["baseline"]))
        table.add_row(*cells, style="bold" if name == facts["metric"] else None)
    return table


def _trial(project: Project, settings: Settings) -> Trial:
    """Return what is to be judged.

    Raises:
        UserError: If a stage has to run first, since the model and the data do not belong together.
    """
    trained, release = require(project, "train"), require(project, "postprocess")
    manifest = load_manifest(project)
    if trained.data != manifest["fingerprint"]:
        raise UserError("The data has changed since the model was trained; run `train` first.")
    # A bundle has an id of its own where the run's own bundle is in service and must not change.
    if release.run_id is None or release.facts.get("trained_as") != trained.run_id:
        raise UserError(f"The model {trained.run_id} is not packaged yet; run `postprocess` first.")
    bundle = load_bundle(project, release.run_id)
    return Trial(
        project=project,
        settings=settings,
        bundle=bundle,
        metric=chosen_metric(settings.model.metric, bundle.task),
        target=bundle.document["target"],
        data=manifest["fingerprint"],
        split=state_of_test(project),
    )


def _measure(trial: Trial, frame: pd.DataFrame) -> tuple[Outcome, dict[str, Any]]:
    """Return what the model said about the rows, and how good that is beside the baseline."""
    bundle, options = trial.bundle, trial.settings.evaluate
    document = bundle.document
    said = bundle.predict_arrays(frame)
    outcome = make_outcome(
        bundle.task,
        frame[trial.target].to_numpy(),
        labels=said.labels,
        probabilities=said.probabilities,
        values=said.values,
        classes=bundle.classes or None,
        positive=document["positive"],
    )
    naive = constant_outcome(outcome, document["baseline"]["constant"], bundle.classes)
    intervals, difference = bootstrap(
        outcome,
        naive,
        trial.metric,
        resamples=options.bootstrap,
        seed=trial.settings.split.seed,
        rows=options.rows,
    )
    floor = score(naive)
    scores = {name: _bounds(each) | {"baseline": floor[name]} for name, each in intervals.items()}
    return outcome, {
        "rows": len(frame),
        "metrics": {name: scores[name] for name in metric_names(bundle.task)},
        "difference": _bounds(difference),
        "skill": skill(trial.metric, intervals[trial.metric].value, floor[trial.metric]),
        "interval": _coverage(document, outcome),
    }


def _open_test(trial: Trial, reason: str) -> None:
    """Measure on test and put that into the ledger."""
    _, result = _measure(trial, load_split(trial.project, "test"))
    record_opening(
        trial.project,
        split=trial.split,
        model=trial.model,
        run_id=trial.bundle.run_id,
        reason=reason,
        result={"metric": trial.metric, **result},
    )


def _diagnose(trial: Trial, frame: pd.DataFrame, outcome: Outcome, step: Any) -> None:
    """Write `reports/diagnostics.json` and the worst rows; a run's curve is not fitted twice."""
    project, bundle = trial.project, trial.bundle
    subject = Subject(
        bundle=bundle,
        schema=bundle.schema,
        target=trial.target,
        classes=bundle.classes,
        positive=bundle.document["positive"],
        metric=trial.metric,
        seed=trial.settings.split.seed,
        frame=frame,
        outcome=outcome,
    )
    step("looking for errors")
    facts = diagnose(subject)
    before = read_report(project, "diagnostics")
    curve = before.facts.get("learning_curve") if before else None
    if curve and before and before.run_id == bundle.run_id and curve["metric"] == trial.metric:
        facts["learning_curve"] = curve
    else:
        step("learning curve")
        train = load_split(project, "train")
        facts["learning_curve"] = learning_curve(subject, train, bundle.model)
    # Rows of data stay out of the report, which git tracks.
    write_json_lines(project.worst_rows, facts["worst"].pop("rows"))
    write_report(
        project,
        trial.settings,
        "evaluate",
        facts,
        name="diagnostics",
        run_id=bundle.run_id,
        data=trial.data,
        model=trial.model,
    )


def _facts(trial: Trial, result: dict[str, Any], final: bool) -> dict[str, Any]:
    """Return what `reports/metrics.json` says."""
    margin = trial.settings.evaluate.margin
    opened = openings(trial.project, trial.split)
    test = _test_facts(recorded(trial.project, trial.split, trial.model), trial)
    passed, verdict = _verdict(trial, result, test, margin)
    value = show(result["metrics"][trial.metric]["value"])
    return {
        "split": "valid",
        "rows": result["rows"],
        "task": trial.bundle.task,
        "label": trial.bundle.document["estimator"]["label"],
        "metric": trial.metric,
        **{key: result[key] for key in ("metrics", "difference", "skill", "interval")},
        "margin": margin,
        "passed": passed,
        "verdict": verdict,
        "human": _human(trial, result),
        "test": test,
        "test_openings": len(opened),
        "notes": list(_notes(trial, result, test, final)),
        "summary": f"{trial.metric} {value} on valid, skill {show(result['skill'])}",
    }


def _test_facts(line: dict[str, Any] | None, trial: Trial) -> dict[str, Any] | None:
    """Return what test said of this model; the skill is that of the metric that decides today."""
    if line is None:
        return None
    kept = ("rows", "metrics", "interval", "date", "reason")
    facts = {"split": "test", **{key: line.get(key) for key in kept}}
    same = line["metric"] == trial.metric
    found = line["metrics"][trial.metric]
    value, baseline = _number(found["value"]), _number(found["baseline"])
    facts["difference"] = line["difference"] if same else None
    facts["skill"] = skill(trial.metric, value, baseline)
    return facts


def _verdict(
    trial: Trial, result: dict[str, Any], test: dict[str, Any] | None, margin: float
) -> tuple[bool, str]:
    """Return whether the model clears its bar wherever it was measured, and the sentence."""
    metric = METRICS[trial.metric].title
    for split, facts in (("valid", result), ("test", test)):
        if facts is None or _clears(facts["skill"], margin):
            continue
        found = facts["metrics"][trial.metric]
        value, baseline = show(_number(found["value"])), show(_number(found["baseline"]))
        if not math.isfinite(facts["skill"]):
            return False, (
                f"{trial.name} cannot be judged: {metric} is not defined on {split} (such as with "
                "one class only); choose another [model] metric, or give [split] more rows."
            )
        return False, (
            f"{trial.name} does not beat the baseline by the margin: {metric} on {split} is "
            f"{value} and the baseline's {baseline}, a skill of {show(facts['skill'])} where "
            f"[evaluate] margin asks for {margin or 'more than 0'}; `report` shows why."
        )
    where = "valid and test" if test else "valid"
    return True, (
        f"{trial.name} beats the baseline on {where}: its skill on valid is "
        f"{show(result['skill'])}, and [evaluate] margin asks for {margin:g}."
    )


def _human(trial: Trial, result: dict[str, Any]) -> dict[str, Any] | None:
    """Return how the model compares with a person's score, where there is one."""
    human = trial.settings.evaluate.human_score
    if human is None:
        return None
    found = result["metrics"][trial.metric]
    sign = 1 if METRICS[trial.metric].greater_is_better else -1
    return {
        "value": human,
        "skill": skill(trial.metric, human, found["baseline"]),
        "reached": bool(sign * (found["value"] - human) >= 0),
    }


def _notes(
    trial: Trial, result: dict[str, Any], test: dict[str, Any] | None, final: bool
) -> Iterator[str]:
    """Yield what a reader has to know about the numbers."""
    most = trial.settings.evaluate.rows
    gap, rows = result["difference"], result["rows"]
    yield "Candidates, calibration and threshold were chosen on valid: its scores flatter a little."
    if rows > most:
        yield f"Intervals of valid come from a draw of {most:,} of its {rows:,} rows."
    if test and test["rows"] > most:
        yield f"Intervals of test come from a draw of {most:,} of its {test['rows']:,} rows."
    if rows < FEW_ROWS:
        yield f"Valid has only {rows} rows: read the intervals before the values."
    if test and _no_width(test["metrics"][trial.metric]):
        yield "An interval without width means that every resample scored alike, not certainty."
    if gap["low"] <= 0 <= gap["high"]:
        yield "The interval of the gain over the baseline holds 0: it may be luck."
    for name, found in result["metrics"].items():
        if not math.isfinite(found["value"]):
            yield f"{METRICS[name].title} is not defined on valid."
    opened = len(openings(trial.project, trial.split))
    if final and test is None:
        yield "Test stays closed, since the model misses its bar on valid."
    elif opened and test is None:
        yield f"{openings_in_words(opened)[:-1]}, for another model; for this one it stays closed."
    elif opened > 1:
        yield f"{openings_in_words(opened)[:-1]}: the more often, the flatter its score."


def _coverage(document: Any, outcome: Outcome) -> dict[str, float] | None:
    """Return how many true values lie within the stated interval around the predicted ones."""
    interval = document.get("interval")
    if outcome.values is None or not interval or interval.get("half_width") is None:
        return None
    within = np.abs(outcome.values - outcome.truth) <= interval["half_width"]
    return {"level": interval["level"], "coverage": float(within.mean())}


def _clears(found: float, margin: float) -> bool:
    """Tell whether a skill reaches the margin; one that is not defined does not, nor does none."""
    return bool(found >= margin and found > 0)


def _bounds(interval: Interval) -> dict[str, float]:
    """Return an interval as JSON holds it."""
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _no_width(found: dict[str, Any]) -> bool:
    """Tell whether a bootstrap found no spread at all, as of a faultless score."""
    return found["low"] is not None and found["low"] == found["high"]


def _number(value: float | None) -> float:
    """Return a number from JSON, where null stands for nan."""
    return math.nan if value is None else value


@contextmanager
def _progress(what: str) -> Iterator[Any]:
    """Show on standard error what is being done, as long as that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(f"evaluate: {what}") as status:
        yield lambda text: status.update(f"evaluate: {text}")
