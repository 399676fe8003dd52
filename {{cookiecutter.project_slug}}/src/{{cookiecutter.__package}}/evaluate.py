"""Stage: judge the packaged model against the baseline on valid, and once per split on test."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from .bundle.bundle import Bundle, baseline_of_split, load_bundle
from .core.errors import GateError, UserError
from .core.files import fingerprint, write_json_lines
from .core.pipeline import require, spinner, write_report
from .core.project import Project, Report, read_report
from .data.split import load_manifest, load_split
from .evaluation.bootstrap import LEVEL, bootstrap, in_words
from .evaluation.diagnostics import LEARNING_ROWS, Subject, diagnose, learning_curve
from .evaluation.leaks import find_leaks
from .evaluation.ledger import (
    check_opening,
    openings,
    openings_in_words,
    record_opening,
    recorded,
    state_of_test,
)
from .evaluation.metrics import choose_metric, find_metric, number, score, show, skill, title_of
from .evaluation.naive import baseline_in_words
from .evaluation.verdict import Judged, find_warnings

if TYPE_CHECKING:
    from rich.table import Table

    from .core.config import Settings
    from .evaluation.predictions import PredictionsWithTruth

FIRST_OPENING = "the first model of this split"
FEW_ROWS = 100


@dataclass(frozen=True)
class Evaluation:
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
    def baseline(self) -> str:
        """The baseline as a sentence names it."""
        rule = self.bundle.document["baseline"].get("naive")
        return f"the baseline ({baseline_in_words(rule)})" if rule else "the baseline"

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
    evaluation = _find_evaluation(project, settings)
    if again is not None and not final:
        raise UserError('--again goes with --final: evaluate --final --again "reason".')
    if final:
        check_opening(project, evaluation.split, evaluation.model, again)
    with spinner("evaluate", "measuring on valid") as step:
        frame = load_split(project, "valid")
        labelled, result = _measure(evaluation, "valid", frame)
        passed = _clears(result["skill"], settings.evaluate.margin)
        if final and passed and recorded(project, evaluation.split, evaluation.model) is None:
            step("opening test")
            _open_test(evaluation, again or FIRST_OPENING)
        diagnostics = _diagnose(evaluation, frame, labelled, step)
    facts = _facts(evaluation, result, final)
    facts["warnings"] = find_warnings(Judged(evaluation, labelled, result, facts, diagnostics))
    facts["files"] = project.sizes(project.report_file("diagnostics"), project.worst_rows)
    report = write_report(
        project,
        settings,
        "evaluate",
        facts,
        name="metrics",
        run_id=evaluation.bundle.run_id,
        data=evaluation.data,
        model=evaluation.model,
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
    said = [f"{facts['verdict']} {openings_in_words(facts['test_openings'])}"]
    doubts = [f"- {each['text']}" for each in facts.get("warnings", ())]
    said += ["Check before you rely on it:", *doubts] if doubts else []
    table = Table(
        title=f"{facts['label']} {report.run_id}",
        caption=Text("\n".join(said)),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("metric")
    for name in ("valid", "test") if splits[1] else ("valid",):
        table.add_column(name, justify="right")
        table.add_column(f"{LEVEL:.0%} interval", justify="right")
    table.add_column("baseline", justify="right")
    for name, valid in facts["metrics"].items():
        cells = [title_of(name)]
        for found in (split["metrics"].get(name, {}) for split in splits if split):
            cells += [show(found.get("value")), in_words(found.get("low"), found.get("high"))]
        cells.append(show(valid["baseline"]))
        table.add_row(*cells, style="bold" if name == facts["metric"] else None)
    return table


def _find_evaluation(project: Project, settings: Settings) -> Evaluation:
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
    return Evaluation(
        project=project,
        settings=settings,
        bundle=bundle,
        metric=choose_metric(bundle.task, settings.model.metric),
        target=bundle.document["target"],
        data=manifest["fingerprint"],
        split=state_of_test(project),
    )


def _measure(
    evaluation: Evaluation, split: str, frame: pd.DataFrame
) -> tuple[PredictionsWithTruth, dict[str, Any]]:
    """Return the model's predictions of the rows, and how good they are beside the baseline."""
    bundle, options = evaluation.bundle, evaluation.settings.evaluate
    labelled = bundle.evaluate(frame)
    truth = frame[evaluation.target].to_numpy()
    baseline = baseline_of_split(evaluation.project, bundle.document, split, truth, labelled)
    intervals, difference = bootstrap(
        labelled,
        baseline,
        evaluation.metric,
        resamples=options.bootstrap,
        seed=evaluation.settings.split.seed,
        rows=options.rows,
    )
    floor = score(baseline)
    scores = {name: vars(each) | {"baseline": floor[name]} for name, each in intervals.items()}
    weighed: dict[str, Any] = {}
    if labelled.weights is not None:
        effective = labelled.weights.sum() ** 2 / (labelled.weights**2).sum()
        weighed = {"effective_rows": round(effective)}
    return labelled, {
        "rows": len(frame),
        **weighed,
        "metrics": scores,
        "difference": vars(difference),
        "skill": skill(
            evaluation.metric, intervals[evaluation.metric].value, floor[evaluation.metric]
        ),
        "interval": bundle.task.coverage(bundle.document, labelled),
    }


def _open_test(evaluation: Evaluation, reason: str) -> None:
    """Measure on test and put that into the ledger."""
    _, result = _measure(evaluation, "test", load_split(evaluation.project, "test"))
    record_opening(
        evaluation.project,
        split=evaluation.split,
        model=evaluation.model,
        run_id=evaluation.bundle.run_id,
        reason=reason,
        result={"metric": evaluation.metric, **result},
    )


def _diagnose(
    evaluation: Evaluation, frame: pd.DataFrame, labelled: PredictionsWithTruth, step: Any
) -> dict[str, Any]:
    """Write `reports/diagnostics.json` and the worst rows, and return what the report says.

    The curve of a run is not fitted twice, nor are its leaks looked for twice.
    """
    project, bundle = evaluation.project, evaluation.bundle
    subject = Subject(
        bundle=bundle,
        metric=evaluation.metric,
        seed=evaluation.settings.split.seed,
        frame=frame,
        labelled=labelled,
    )
    step("looking for errors")
    facts = diagnose(subject)
    before = read_report(project, "diagnostics")
    same = before is not None and before.run_id == bundle.run_id and "leaks" in before.facts
    known = before.facts if before and same and before.facts["metric"] == evaluation.metric else {}
    if known:
        facts |= {key: known[key] for key in ("leaks", "learning_curve")}
    else:
        train = load_split(project, "train", rows=LEARNING_ROWS, seed=subject.seed)
        step("looking for leaks")
        rows = sum(load_manifest(project)["rows"].values())
        facts["leaks"] = find_leaks(
            train,
            bundle.schema,
            evaluation.target,
            classes=bool(bundle.classes),
            rows=rows,
            seed=subject.seed,
        )
        step("learning curve")
        facts["learning_curve"] = learning_curve(subject, train, bundle.model)
    # Rows of data stay out of the report, which git tracks.
    write_json_lines(project.worst_rows, facts["worst"].pop("rows"))
    write_report(
        project,
        evaluation.settings,
        "evaluate",
        facts,
        name="diagnostics",
        run_id=bundle.run_id,
        data=evaluation.data,
        model=evaluation.model,
    )
    return facts


def _facts(evaluation: Evaluation, result: dict[str, Any], final: bool) -> dict[str, Any]:
    """Return what `reports/metrics.json` says."""
    margin = evaluation.settings.evaluate.margin
    opened = openings(evaluation.project, evaluation.split)
    test = _test_facts(recorded(evaluation.project, evaluation.split, evaluation.model), evaluation)
    passed, verdict = _verdict(evaluation, result, test, margin)
    value = show(result["metrics"][evaluation.metric]["value"])
    return {
        "split": "valid",
        "rows": result["rows"],
        "task": evaluation.bundle.task.name,
        "label": evaluation.bundle.document["estimator"]["label"],
        "metric": evaluation.metric,
        "baseline_rule": evaluation.bundle.document["baseline"].get("naive"),
        **{key: result[key] for key in ("metrics", "difference", "skill", "interval")},
        "margin": margin,
        "passed": passed,
        "verdict": verdict,
        "human": _human(evaluation, result),
        "test": test,
        "test_openings": len(opened),
        "notes": list(_notes(evaluation, result, test, final)),
        "summary": f"{evaluation.metric} {value} on valid, skill {show(result['skill'])}",
    }


def _test_facts(line: dict[str, Any] | None, evaluation: Evaluation) -> dict[str, Any] | None:
    """Return what test said of this model; the skill is that of the metric that decides today."""
    if line is None:
        return None
    kept = ("rows", "metrics", "interval", "date", "reason")
    facts = {"split": "test", **{key: line.get(key) for key in kept}}
    same = line["metric"] == evaluation.metric
    found = line["metrics"][evaluation.metric]
    value, baseline = number(found["value"]), number(found["baseline"])
    facts["difference"] = line["difference"] if same else None
    facts["skill"] = skill(evaluation.metric, value, baseline)
    return facts


def _verdict(
    evaluation: Evaluation, result: dict[str, Any], test: dict[str, Any] | None, margin: float
) -> tuple[bool, str]:
    """Return whether the model clears its bar wherever it was measured, and the sentence."""
    metric = find_metric(evaluation.metric).title
    for split, facts in (("valid", result), ("test", test)):
        if facts is None or _clears(facts["skill"], margin):
            continue
        found = facts["metrics"][evaluation.metric]
        value, baseline = show(number(found["value"])), show(number(found["baseline"]))
        if not math.isfinite(facts["skill"]):
            return False, (
                f"{evaluation.name} cannot be judged: {metric} is not defined on {split} (such as "
                "with one class only); choose another [model] metric, or give [split] more rows."
            )
        return False, (
            f"{evaluation.name} does not beat {evaluation.baseline} by the margin: {metric} on "
            f"{split} is {value} and the baseline's {baseline}, a skill of {show(facts['skill'])} "
            f"where [evaluate] margin asks for {margin or 'more than 0'}; `report` shows why."
        )
    where = "valid and test" if test else "valid"
    return True, (
        f"{evaluation.name} beats {evaluation.baseline} on {where}: its skill on valid is "
        f"{show(result['skill'])}, and [evaluate] margin asks for {margin:g}."
    )


def _human(evaluation: Evaluation, result: dict[str, Any]) -> dict[str, Any] | None:
    """Return how the model compares with a person's score, where there is one."""
    human = evaluation.settings.evaluate.human_score
    if human is None:
        return None
    found = result["metrics"][evaluation.metric]
    sign = find_metric(evaluation.metric).sign
    return {
        "value": human,
        "skill": skill(evaluation.metric, human, found["baseline"]),
        "reached": bool(sign * (found["value"] - human) >= 0),
    }


def _notes(
    evaluation: Evaluation, result: dict[str, Any], test: dict[str, Any] | None, final: bool
) -> Iterator[str]:
    """Yield what a reader has to know about the numbers."""
    yield (
        "Candidates, calibration and threshold were chosen on valid; its scores are slightly "
        "optimistic."
    )
    yield from _notes_on_weights(evaluation, result)
    rule = evaluation.bundle.document["baseline"].get("naive")
    if rule:
        yield (
            f"The baseline predicts {baseline_in_words(rule)}, of each row from the true targets "
            "of all times before it."
        )
    most, rows = evaluation.settings.evaluate.rows, result["rows"]
    for split, count in (("valid", rows), ("test", test["rows"] if test else 0)):
        if count > most:
            yield (
                f"Intervals of {split} come from resampling a draw of {most:,} rows, and are "
                f"scaled to its {count:,} rows."
            )
    if rows < FEW_ROWS:
        yield f"Valid has only {rows} rows: read the intervals before the values."
    if test and _no_width(test["metrics"][evaluation.metric]):
        yield "All resamples of test gave the same score; this is not certainty."
    for name, found in result["metrics"].items():
        if not math.isfinite(found["value"]):
            yield f"{find_metric(name).title} is not defined on valid."
    yield from _notes_on_test(evaluation, test, final)


def _notes_on_weights(evaluation: Evaluation, result: dict[str, Any]) -> Iterator[str]:
    """Yield by what rows are weighted, and how many rows of equal weight would tell as much."""
    weight = evaluation.bundle.document.get("weight")
    if weight is None:
        return
    yield f"Scores, intervals and curves are weighted by {weight}."
    rows, effective = result["rows"], result.get("effective_rows", result["rows"])
    few = ": read the intervals before the values" if effective < FEW_ROWS <= rows else ""
    if effective < rows:
        yield (
            f"By their weights, the {rows:,} rows of valid tell as much as {effective:,} of equal "
            f"weight (Kish, 1965){few}."
        )


def _notes_on_test(
    evaluation: Evaluation, test: dict[str, Any] | None, final: bool
) -> Iterator[str]:
    """Yield whether test was opened, and what that means."""
    opened = len(openings(evaluation.project, evaluation.split))
    if final and test is None:
        yield "Test stays closed, since the model misses the margin on valid."
    elif opened and test is None:
        yield f"{openings_in_words(opened)[:-1]}, for another model; for this one it stays closed."
    elif opened > 1:
        yield (
            f"{openings_in_words(opened)[:-1]}: each further opening makes its score more "
            "optimistic."
        )


def _clears(found: float, margin: float) -> bool:
    """Tell whether a skill reaches the margin; one that is not defined does not, nor does none."""
    return bool(found >= margin and found > 0)


def _no_width(found: dict[str, Any]) -> bool:
    """Tell whether a bootstrap found no spread at all, as of a faultless score."""
    return found["low"] is not None and found["low"] == found["high"]
