"""One check: later rows against the champion's reference; facts, a page, and perhaps an alert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bundle.bundle import REFERENCE_FILE, Bundle, bundle_sha, load_bundle
from ..bundle.champion import verify_champion
from ..core.config import redact
from ..core.errors import UserError, listed
from ..core.files import fingerprint, read_json, write_json
from ..core.project import REPORT_VERSION, Project, Report
from ..evaluation.drift import LEAST_ROWS, Finding, compare_features, judge
from ..evaluation.naive import baseline_in_words
from ..evaluation.reference import REFERENCE_VERSION
from .alerts import Alert, Problem, decide, record, send, sentence, webhook_of
from .labels import (
    LEAST_LABELLED,
    compare_performance,
    compare_predictions,
    compare_target,
    estimate_shares,
)
from .settings import MonitorSettings, monitor_settings
from .window import Window, open_file, open_log
from .words import NAME, counted, in_words

if TYPE_CHECKING:
    from ..core.config import Settings

KINDS = {
    "feature": "drift",
    "missing": "drift",
    "prediction": "prediction",
    "target": "labels",
    "performance": "performance",
}


@dataclass(frozen=True)
class Check:
    """What a check found.

    Attributes:
        facts: As in `reports/drift.json`.
        line: The one line that says it all.
        alert: The alert's text; None where there is none.
        unsent: Why the webhook did not get it; None where it did or there is none.
    """

    facts: dict[str, Any]
    line: str
    alert: str | None
    unsent: str | None


def monitor(
    project: Project,
    settings: Settings,
    source: Path | None = None,
    *,
    model: str | None = None,
    now: datetime | None = None,
) -> Check:
    """Compare rows with the model's reference and write `reports/drift.json` and `drift.html`.

    Args:
        project: Holds the bundle, and the service's log.
        settings: `[monitor]`, and how `[data]` reads text.
        source: A file, with or without a column `prediction`; default: the prediction log.
        model: A run id; default: the champion.
        now: The time of the check, in UTC; default: that of the clock.

    Raises:
        UserError: If no model is there, or the rows have nothing to do with it.
    """
    options, now = monitor_settings(settings), now or datetime.now(UTC)
    url = webhook_of(options)  # an alert that could reach nobody is refused before there is one
    bundle = load_bundle(project, verify_champion(project) if model is None else model)
    reference = read_reference(bundle)
    unknown = set(options.ignore) - set(bundle.schema.names)
    if unknown:
        raise UserError(f"[monitor] ignore: the model has no column '{min(unknown)}'.")
    if source is None:
        window = open_log(
            project,
            bundle,
            days=options.days,
            label_days=options.label_days,
            now=now,
            most=options.rows,
        )
    else:
        window = open_file(project, bundle, settings, source)
    findings, facts = inspect(bundle, reference, window, options)
    problems = find_problems(findings, window, options)
    which: Any = {"run_id": bundle.run_id, "content": window.content, "log": source is None}
    alert = decide(project, options, problems, **which)
    facts |= _alert_facts(options, problems, alert, now)
    _write(project, settings, bundle, window, facts)
    text = sentence(options, problems, alert) if alert.firing else None
    unsent = None
    if url is not None and text is not None and alert.fresh:
        unsent = send(url, _message(project, bundle, text, facts))
    sent = "failed" if unsent else "yes" if url and text else "no webhook" if text else "nothing"
    record(project, problems, alert, **which, where=facts["where"], time=now, sent=sent)
    return Check(facts, facts["summary"], text, unsent)


def read_reference(bundle: Bundle) -> dict[str, Any]:
    """Return the bundle's reference statistics.

    Raises:
        UserError: If they were written by another version of the pipeline.
    """
    reference = read_json(bundle.folder / REFERENCE_FILE)
    if not isinstance(reference, dict) or reference.get("version") != REFERENCE_VERSION:
        raise UserError(
            f"models/{bundle.run_id}/{REFERENCE_FILE} is not of version {REFERENCE_VERSION}; run "
            "`run` and promote the new model."
        )
    return reference


def inspect(
    bundle: Bundle, reference: Mapping[str, Any], window: Window, options: MonitorSettings
) -> tuple[list[Finding], dict[str, Any]]:
    """Compare all that can be compared; the p-values are adjusted together."""
    columns = [each for each in bundle.schema.features if each.name not in options.ignore]
    bars: Any = {"psi": options.psi, "missing": options.missing}
    findings = compare_features(window.frame, reference, columns, **bars)
    shares = None
    if window.predictions is not None:
        findings += compare_predictions(bundle, reference, window.predictions, options.psi)
        shares = estimate_shares(bundle, reference, window.predictions)
    if window.truth is not None:
        findings.append(compare_target(bundle, reference, window.truth, options.psi))
    performance, measured = compare_performance(bundle, reference, window, options.worse)
    if performance is not None:
        findings.append(performance)
    findings = judge(findings, options.false_alarms)
    if measured is not None:
        measured["worse"] = any(each.found for each in findings if each.about == "performance")
    tested = sum(each.p is not None for each in findings)
    facts = {
        "where": redact(window.where),
        "rows": window.rows,
        "compared": len(window.frame),
        "span": window.span,
        "label": bundle.document["estimator"]["label"],
        "task": bundle.task.name,
        "target": bundle.document["target"],
        "tests": tested,
        "false_alarms": options.false_alarms,
        "findings": [asdict(each) for each in findings],
        "shares": shares,
        "performance": measured,
        "delay": asdict(window.delay),
        "faults": [asdict(each) for each in window.faults],
        "absent": list(window.absent),
        "notes": [*_notes(window, findings, measured), *_baseline_notes(bundle, measured)],
    }
    return findings, facts


def find_problems(
    findings: list[Finding], window: Window, options: MonitorSettings
) -> list[Problem]:
    """Return what is beyond the policy's bars, what matters most first."""
    order = ["performance", "target", "prediction", "feature", "missing"]
    certain = sorted(
        (each for each in findings if each.found),
        key=lambda each: (order.index(each.about), -each.size / (each.bar or 1.0)),
    )
    problems = [
        Problem(f"{each.about}:{each.name}", KINDS[each.about], in_words(each)) for each in certain
    ]
    problems += [
        Problem(
            f"quality:{fault.column}:{fault.rule}",
            "quality",
            f"{fault.share:.1%} of the rows break the rule '{fault.rule}' of '{fault.column}'",
        )
        for fault in window.faults
        if fault.share > options.invalid
    ]
    delay = window.delay
    if delay.due and delay.due_labelled / delay.due < options.labelled:
        share = delay.due_labelled / delay.due
        late = (
            f"{share:.0%} of the {delay.due:,} predictions older than {options.label_days:g} days "
            f"have a label, where {options.labelled:.0%} are asked for"
        )
        problems.append(Problem("delay", "delay", late))
    return problems


def _notes(window: Window, findings: list[Finding], measured: Any) -> list[str]:
    """Return what a reader has to know about the numbers."""
    notes = list(window.notes)
    if len(window.frame) < window.rows:
        notes.append(f"{len(window.frame):,} of the rows were compared, evenly spread")
    if len(window.frame) < LEAST_ROWS:
        notes.append(f"fewer than {LEAST_ROWS} rows: no distribution was tested")
    if window.absent:
        notes.append(f"not in the rows, so not compared: {listed(window.absent, 5)}")
    if window.truth is None:
        notes.append("no labels yet, so nobody can tell whether the model is still right")
    elif measured is not None and measured.get("weighted") is False:
        notes.append("the rows have no weights, so the metric was compared without, on valid too")
    elif measured is None:
        notes.append(f"the metric was not compared: {_why_not(window, len(window.truth))}")
    large = [each.name for each in findings if each.p is not None and not each.found
             and (each.adjusted or 0) <= 0.01 and each.about == "feature"]  # fmt: skip
    if large:
        notes.append(f"significant, but too small to matter: {', '.join(large[:5])}")
    return notes


def _baseline_notes(bundle: Bundle, measured: Any) -> list[str]:
    """Say what the skill is counted from, where that is more than the constant."""
    rule = bundle.document["baseline"].get("naive")
    if measured is None or rule is None:
        return []
    return [
        f"skill is counted from the score of the baseline ({baseline_in_words(rule)}) on valid, "
        "since the values before these rows are not known"
    ]


def _why_not(window: Window, labels: int) -> str:
    """Return why labels did not let the metric be compared."""
    if window.labelled_predictions is None:
        return "the rows were not scored"
    if labels < LEAST_LABELLED:
        return f"fewer than {LEAST_LABELLED} labels"
    return "it needs probabilities, or labels of several classes"


def _alert_facts(
    options: MonitorSettings, problems: list[Problem], alert: Alert, now: datetime
) -> dict[str, Any]:
    """Return what the policy made of the problems."""
    found = counted(len(problems), "problem")
    state = f"ALERT, {found}" if alert.firing else found
    if problems and not alert.firing:
        state += f" (an alert after {options.checks} checks in a row)"
    return {
        "time": now.isoformat(timespec="seconds"),
        "problems": [
            {**asdict(each), "checks": alert.in_a_row[each.key], "alert": each.key in alert.firing}
            for each in problems
        ],
        "alert": bool(alert.firing),
        "policy": {"checks": options.checks, "whom": options.whom, "what": options.what},
        "summary": state,
    }


def _message(
    project: Project, bundle: Bundle, text: str, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the webhook gets; `text` is what chat programs show."""
    return {
        "text": f"{project.root.name}, model {bundle.run_id}: {text}",
        "project": project.root.name,
        "model": bundle.run_id,
        "time": facts["time"],
        "where": facts["where"],
        "problems": [each for each in facts["problems"] if each["alert"]],
        "whom": facts["policy"]["whom"],
        "what": facts["policy"]["what"],
    }


def _write(
    project: Project, settings: Settings, bundle: Bundle, window: Window, facts: dict[str, Any]
) -> None:
    """Write the page, then the report; values of rows stay out of the latter, which git tracks."""
    from .page import write_page

    facts["summary"] = f"{facts['summary']} in {counted(window.rows, 'row')} of {facts['where']}"
    write_page(project, bundle.run_id, facts)
    plain = [{k: v for k, v in each.items() if k != "example"} for each in facts["faults"]]
    model = bundle_sha(project, bundle.run_id)[:16]
    config = fingerprint(settings.section("monitor"))
    kept = facts | {"faults": plain}
    report = Report("monitor", bundle.run_id, window.content, model, config, kept)
    write_json(project.report_file(NAME), {"version": REPORT_VERSION, **vars(report)})
