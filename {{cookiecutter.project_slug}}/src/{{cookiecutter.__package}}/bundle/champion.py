"""The model in service: `load_champion().predict(frame)`, and which bundle that is.

`models/champion.json` names it together with the SHA-256 of its bundle.json, so that what serves is
what was promoted. `models/champion_history.jsonl` keeps every change. What the stages found about
the champion stands in `reports/champion/`, whatever later models wrote to `reports/`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from ..core.errors import UserError
from ..core.files import append_json_line, read_json, read_json_lines, write_json
from ..core.project import Project, find_project, read_report
from ..core.registry import announce, stages
from .bundle import (
    REPORTS_FILE,
    bundle_sha,
    is_packaged,
    load_bundle,
    read_bundle,
    read_document,
    read_forms,
)
from .identity import (
    PREDICTIONS_FILE,
    identity_of,
    is_promoted,
    promoted_sha,
    show_predictions,
    why_another,
)

# What the history calls a promotion by `run`; champion.json notes it for `run` to see.
AUTO = "auto"
PUT_INTO_SERVICE = ("promote", "rollback", AUTO)
# What the stages found about the data is for the project, not for the machine that serves.
NOT_FOR_SERVICE = shutil.ignore_patterns(PREDICTIONS_FILE, REPORTS_FILE)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..core.config import Settings
    from .bundle import Bundle

P = ParamSpec("P")
R = TypeVar("R")
# A change takes no longer, also where a bundle is large: whoever waits longer waits for a dead one.
LOCK_SECONDS = 60


def one_at_a_time(
    change: Callable[Concatenate[Project, P], R],
) -> Callable[Concatenate[Project, P], R]:
    """Let a second command that changes champion.json wait for the first."""

    @wraps(change)
    def alone(project: Project, /, *args: P.args, **kwargs: P.kwargs) -> R:
        from filelock import FileLock, Timeout

        lock = project.models / ".champion.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(lock, timeout=LOCK_SECONDS):
                return change(project, *args, **kwargs)
        except Timeout:
            raise UserError(
                f"Another command has been changing models/champion.json for {LOCK_SECONDS} "
                "seconds; wait for its end and run this one again."
            ) from None

    return alone


def load_champion(project: Project | None = None) -> Bundle:
    """Load the model in service; by default of the project around the working folder.

    Raises:
        UserError: If none is in service, or its bundle is not what was promoted.
    """
    project = project or find_project()
    return load_bundle(project, verify_champion(project))


def verify_champion(project: Project) -> str:
    """Return the run id of the model in service.

    Raises:
        UserError: If none is in service, or its bundle is not what was promoted.
    """
    champion = read_champion(project)
    if champion is None:
        raise UserError(
            "No model is in service; run `run`, or `champion promote` one of `runs list`."
        )
    return _verify(project, champion)


def _verify(project: Project, entry: dict[str, Any]) -> str:
    """Return the run id of an entry of champion.json.

    Raises:
        UserError: If its bundle is not here, not whole, or not what was promoted.
    """
    run_id = str(entry.get("run_id"))
    if not is_packaged(project, run_id):
        raise UserError(
            f"The model in service, {run_id}, is not in models/ on this machine; `champion pull` "
            "brings it from [models] store, `run` makes it again from the data, or promote another "
            "one of `runs list`."
        )
    read_promoted(project, run_id, entry.get("sha256"))
    return run_id


def read_promoted(project: Project, run_id: str, sha256: str | None) -> dict[str, Any]:
    """Return the content of a bundle's bundle.json.

    Args:
        project: Holds the bundle.
        run_id: Its name.
        sha256: Of its bundle.json when it was promoted.

    Raises:
        UserError: If it is not whole, or not what was promoted.
    """
    document = read_document(project, run_id)
    reason = None
    if not is_promoted(project, run_id, sha256):
        champion = read_champion(project) or {}
        known = (champion.get("run_id"), champion.get("sha256")) == (run_id, sha256)
        entry = champion if known else {"sha256": sha256}
        reason = why_another(project, entry, document)
    if reason is not None:
        raise UserError(
            f"models/{run_id} is not the bundle that was promoted: {reason}; bring that one back "
            f"(`champion pull {run_id}`), or accept this one with `champion promote {run_id}`."
        )
    read_forms(project.bundle_folder(run_id), document)
    return document


def read_champion(project: Project) -> dict[str, Any] | None:
    """Return the content of `models/champion.json`; None where no model is in service.

    Raises:
        UserError: If the file is broken.
    """
    if not project.champion_file.exists():
        return None
    champion = read_json(project.champion_file)
    if not isinstance(champion, dict) or not {"run_id", "sha256"} <= champion.keys():
        raise UserError(
            "models/champion.json does not name a model; bring back an earlier version, or "
            "delete it and promote one of `runs list`."
        )
    return champion


@one_at_a_time
def promote(project: Project, run_id: str) -> None:
    """Put a bundle into service; a challenger that is promoted is none any more.

    Raises:
        UserError: If there is no such bundle, it is not whole, or it does not beat the baseline by
            the margin.
    """
    document = read_bundle(project, run_id)
    reason = _why_not(project, document)
    if reason is not None:
        raise UserError(f"{run_id} is not promoted: {reason}")
    release(project, run_id, "promote", _trial(project, run_id))


@one_at_a_time
def rollback(project: Project) -> str:
    """Put the bundle that was in service before back into service, and return its run id.

    Raises:
        UserError: If there was none before, or its bundle is not what it was then.
    """
    earlier = _earlier(project)
    if not earlier:
        raise UserError("There is no earlier champion to go back to; `runs list` shows all models.")
    run_id = str(earlier[-1]["run_id"])
    read_bundle(project, run_id)
    if not is_promoted(project, run_id, earlier[-1]["sha256"]):
        raise UserError(
            f"{run_id}, in service before, has changed since; if you trust it as it is, "
            f"`champion promote {run_id}`."
        )
    release(project, run_id, "rollback", earlier[-1].get("trial"))
    return run_id


@one_at_a_time
def challenge(project: Project, run_id: str, weight: float) -> None:
    """Let a bundle answer a share of the service's requests, or (0) only be scored beside.

    A challenger is not asked to beat the baseline by the margin: finding out is what it is for.

    Args:
        project: Holds the bundle.
        run_id: The bundle; one that challenges already gets the new weight.
        weight: The share, from 0 to 1; the champion answers what all challengers leave.

    Raises:
        UserError: If there is no such bundle, it predicts something else, or no share is left.
    """
    champion = read_champion(project)
    if champion is None:
        raise UserError("No model is in service to be challenged; `champion promote` one first.")
    if champion["run_id"] == run_id:
        raise UserError(f"{run_id} is the champion itself; name another one of `runs list`.")
    document = read_bundle(project, run_id)
    serving = read_bundle(project, str(champion["run_id"]))
    if not _predict_alike(document, serving):
        raise UserError(f"{run_id} predicts {document['target']}, not {serving['target']}.")
    others = [each for each in champion.get("challengers", []) if each.get("run_id") != run_id]
    left = 1 - sum(float(each["weight"]) for each in others)
    if not 0 <= weight <= left + 1e-9:
        raise UserError(f"The weight is {weight:g}, but has to be from 0 to {left:g}.")
    entry = {"run_id": run_id, "weight": weight, "sha256": bundle_sha(project, run_id)}
    _set_challengers(project, champion, [*others, entry], "challenge", entry)


@one_at_a_time
def dismiss(project: Project, run_id: str) -> None:
    """Take a challenger out of service.

    Raises:
        UserError: If it is none.
    """
    champion = read_champion(project) or {}
    challengers = champion.get("challengers", [])
    kept = [each for each in challengers if each.get("run_id") != run_id]
    if kept == challengers:
        named = ", ".join(str(each.get("run_id")) for each in challengers) or "none"
        raise UserError(f"{run_id} is no challenger; there are: {named}.")
    _set_challengers(project, champion, kept, "dismiss", {"run_id": run_id})


def _set_challengers(
    project: Project,
    champion: dict[str, Any],
    challengers: list[dict[str, Any]],
    action: str,
    entry: dict[str, Any],
) -> None:
    """Name the challengers beside the same champion, then note the change in the history."""
    write_json(project.champion_file, {**champion, "challengers": challengers})
    _note(project, action, entry)


def export(project: Project, folder: Path) -> list[str]:
    """Copy what is in service, and nothing else of models/; return the run ids.

    champion.json comes last, so that a service that looks at the folder never misses a bundle.

    Args:
        project: Holds the models.
        folder: Where champion.json and the bundles that it names go; new or empty.

    Raises:
        UserError: If the folder holds something, none is in service, or a bundle is not what was
            promoted.
    """
    partial = folder / ".partial-export"  # of the folder's own disk, and overwritten after a kill
    if folder.exists() and (not folder.is_dir() or set(folder.iterdir()) - {partial}):
        raise UserError(f"{folder} is not empty; name a folder that is new or empty.")
    verify_champion(project)
    entries = in_service(project)
    run_ids = [_verify(project, each) for each in entries]
    copy = Project(partial)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for run_id in run_ids:
            shutil.copytree(
                project.bundle_folder(run_id), copy.bundle_folder(run_id), ignore=NOT_FOR_SERVICE
            )
        # The copy names the bytes that it holds, also of a model that was promoted elsewhere.
        named = [
            {**each, "sha256": bundle_sha(project, run_id)}
            for each, run_id in zip(entries, run_ids, strict=True)
        ]
        write_json(copy.champion_file, {**named[0], "challengers": named[1:]})
        for each in named:
            _verify(copy, each)
        for run_id in run_ids:
            copy.bundle_folder(run_id).replace(folder / run_id)
        copy.champion_file.replace(folder / copy.champion_file.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return run_ids


def in_service(project: Project) -> list[dict[str, Any]]:
    """Return what champion.json names, each with run_id and sha256: champion, then challengers."""
    champion = read_champion(project)
    return [] if champion is None else [champion, *champion.get("challengers", [])]


def released(project: Project, run_id: str | None = None) -> list[dict[str, Any]]:
    """Return what is or was in service, each with run_id and sha256, oldest first.

    Args:
        project: The project.
        run_id: Of the bundles of this name only.
    """
    named = [*_history(project), *in_service(project)]
    found = [each for each in named if {"run_id", "sha256"} <= each.keys()]
    once = {(each["run_id"], each["sha256"]): each for each in found}
    return [each for each in once.values() if run_id in (None, each["run_id"])]


def promoted_runs(project: Project) -> set[str]:
    """Return the run ids that are or were in service, whose bundles must not change."""
    named = (*in_service(project), *_history(project))
    return {str(entry["run_id"]) for entry in named if "run_id" in entry}


def status(project: Project) -> RenderableType:
    """Return what is in service, and how good it is, to be printed."""
    from rich.table import Table

    table = Table(box=None, show_header=False)
    for name, value in describe(project).items():
        table.add_row(name, value)
    return table


def describe(project: Project) -> dict[str, str]:
    """Return what is in service as names and values, in the order in which people ask."""
    champion = read_champion(project)
    if champion is None:
        return {"In service": "no model; `champion promote RUN_ID` changes that"}
    run_id = str(champion["run_id"])
    lines = {"In service": run_id}
    since = [entry for entry in _changes(project) if _is_same(entry, champion)]
    if since:
        lines["Since"] = str(since[-1].get("time", ""))
    try:
        verify_champion(project)
    except UserError as error:
        return lines | {"Problem": str(error)}
    document = read_bundle(project, run_id)
    metric = document["metric"]
    value, naive = document["metrics"][metric], document["baseline"]["metrics"][metric]
    source, _ = source_and_target(document)
    lines |= {
        "Model": document["estimator"]["label"],
        "Predicts": f"{document['target']} ({document['task']}), from {source}",
        "On valid": f"{metric} {_number(value)}, baseline {_number(naive)}",
        "Data": document["data"],
    }
    if document["threshold"] is not None:
        lines["Threshold"] = f"{document['threshold']:.3g} for {document['positive']}"
    for label, facts in read_forms(project.bundle_folder(run_id), document).items():
        lines[label] = "equal to scikit-learn" if facts["equal"] else f"none: {facts['reason']}"
    for other in champion.get("challengers", []):
        share = float(other.get("weight", 0))
        told = f"answers {share:.0%} of the requests" if share else "scored beside (shadow)"
        lines[f"Challenger {other.get('run_id')}"] = told
    earlier = [str(entry["run_id"]) for entry in reversed(_earlier(project))]
    if earlier:
        lines["Before it"] = ", ".join(earlier[:5])
    return lines


def _why_not(project: Project, document: dict[str, Any]) -> str | None:
    """Return why a model may not serve: it does not beat the baseline. None if it does."""
    report = read_report(project, "metrics")
    if report is not None and report.run_id == document["run_id"] and "passed" in report.facts:
        return None if report.facts["passed"] else str(report.facts["verdict"])
    from ..core.config import load_settings

    margin = load_settings(project).evaluate.margin
    found = document["skill"]
    if found is not None and found >= margin:
        return None
    return (
        f"its skill over the baseline on valid is {_number(found)}, and [evaluate] margin asks for "
        f"{margin:g}."
    )


def _trial(project: Project, run_id: str) -> dict[str, Any] | None:
    """Return the share that a challenger had, and the rows that it answered; None if it was none.

    The rows are those of the prediction log, which may be a sample.
    """
    champion = read_champion(project) or {}
    if champion.get("run_id") == run_id:
        trial: dict[str, Any] | None = champion.get("trial")
        return trial
    for each in champion.get("challengers", []):
        if each.get("run_id") == run_id and each.get("weight"):
            return {"weight": each["weight"], "rows": _answered(project, run_id)}
    return None


def _answered(project: Project, run_id: str) -> int:
    """Return how many rows of the prediction log a challenger answered; 0 if it cannot be read."""
    from pyarrow.dataset import dataset, field

    files = [str(path) for path in (project.logs / "predictions").glob("[!.]*.parquet")]
    if not files:
        return 0
    answered = (field("run_id") == run_id) & (field("role") == "challenger")
    try:
        return int(dataset(files, format="parquet").count_rows(filter=answered))
    except (OSError, ValueError):  # a damaged log keeps no better model out of service
        return 0


def release(
    project: Project, run_id: str, action: str, trial: dict[str, Any] | None = None
) -> None:
    """Put a bundle into service; whatever changes the champion comes through here.

    Names it in champion.json, brings its reports to `reports/champion/`, and notes the change in
    the history. Challengers that fit it stay.

    Args:
        project: Holds the bundle.
        run_id: Its name.
        action: `promote` or `rollback` by a person, `auto` by `run`, which may replace what it
            chose itself.
        trial: What it answered as a challenger.
    """
    document = read_bundle(project, run_id)
    entry: dict[str, Any] = {"run_id": run_id, "sha256": promoted_sha(project, run_id)}
    if trial is not None:
        entry["trial"] = trial
    chosen = {AUTO: True} if action == AUTO else {}
    others = (read_champion(project) or {}).get("challengers", [])
    rivals = [each for each in others if each.get("run_id") != run_id]
    kept = [each for each in rivals if _may_challenge(project, each, document)]
    identity = identity_of(project, document)
    write_json(
        project.champion_file, {**entry, **chosen, "identity": identity, "challengers": kept}
    )
    show_predictions(project, run_id)
    keep_reports(project, run_id)
    _note(project, action, entry)


def keep_reports(project: Project, run_id: str | None) -> None:
    """Keep beside a bundle what the stages found about it; show that of the champion for git.

    `reports/` is about the last model, so a model that serves longer needs reports of its own:
    `reports/champion/` holds them. A file that already says the same is left as it is.

    Args:
        project: Holds the reports.
        run_id: The bundle whose reports may be in `reports/`; nothing is done for None.
    """
    if run_id is None or not project.bundle_folder(run_id).is_dir():
        return
    path = project.bundle_folder(run_id) / REPORTS_FILE
    before = read_json(path) if path.exists() else {}
    kept = before | _reports_about(project, run_id)
    if kept != before:
        write_json(path, kept)
    if (read_champion(project) or {}).get("run_id") == run_id:
        _show_reports(project, kept)


def after_report(project: Project, settings: Settings, run_id: str) -> None:
    """Keep what the last stage wrote, too."""
    keep_reports(project, run_id)


def _reports_about(project: Project, run_id: str) -> dict[str, Any]:
    """Return what `reports/` says about a model, by the reports' names; empty of any other model.

    What is about the data alone names no model, and stays where it is.
    """
    release = read_report(project, "release")
    if release is None or release.run_id != run_id:
        return {}
    runs, known = {run_id, release.facts.get("trained_as", run_id)}, stages()
    found = {path.stem: read_json(path) for path in sorted(project.reports.glob("[!.]*.json"))}
    return {
        name: report
        for name, report in found.items()
        if isinstance(report, dict)
        and report.get("stage") in known
        and report.get("run_id") in runs
    }


def _show_reports(project: Project, reports: dict[str, Any]) -> None:
    """Let `reports/champion/` hold these reports, and none of another model."""
    folder = project.report_file("champion/release").parent
    for path in folder.glob("[!.]*.json"):
        if path.stem not in reports:
            path.unlink()
    for name, report in reports.items():
        path = folder / f"{name}.json"
        if not path.exists() or read_json(path) != report:
            write_json(path, report)


def _note(project: Project, action: str, entry: dict[str, Any]) -> None:
    """Add a change to the history, and announce it."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = {"time": now, "action": action, **entry}
    append_json_line(_history_file(project), line)
    announce("promote" if action == AUTO else action, project, **line)


def _may_challenge(project: Project, entry: dict[str, Any], champion: dict[str, Any]) -> bool:
    """Tell whether a challenger can stay beside a new champion: whole, and for the same target."""
    try:
        return _predict_alike(read_bundle(project, str(entry.get("run_id"))), champion)
    except UserError:
        return False


def _predict_alike(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Tell whether two models can answer the same requests, as far as their target tells."""
    return (first["target"], first["task"]) == (second["target"], second["task"])


def _earlier(project: Project) -> list[dict[str, Any]]:
    """Return the champions to go back to, the nearest last.

    The champion is looked for, since a kill between the two files leaves the history a step back.
    """
    stack, champion = _in_turn(project), read_champion(project)
    for at in reversed(range(len(stack))):
        if champion is not None and _is_same(stack[at], champion):
            return stack[:at]
    return stack


def _in_turn(project: Project) -> list[dict[str, Any]]:
    """Return the champions as a stack: a promotion puts one on top, a rollback takes one off."""
    stack: list[dict[str, Any]] = []
    for entry in _changes(project):
        if entry["action"] == "rollback":
            while stack and not _is_same(stack[-1], entry):
                stack.pop()
        if not stack or not _is_same(stack[-1], entry):
            stack.append(entry)
    return stack


def _changes(project: Project) -> list[dict[str, Any]]:
    """Return the changes of champion, oldest first; those of challengers left out."""
    return [
        entry
        for entry in _history(project)
        if {"run_id", "sha256"} <= entry.keys() and entry.get("action") in PUT_INTO_SERVICE
    ]


def _history(project: Project) -> list[dict[str, Any]]:
    """Return every change, oldest first; git may have joined those of two clones."""
    lines = read_json_lines(_history_file(project))
    return sorted(lines, key=lambda line: str(line.get("time", "")))


def _is_same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Tell whether two entries name the same bundle."""
    return (first["run_id"], first["sha256"]) == (second["run_id"], second["sha256"])


def source_and_target(document: dict[str, Any]) -> tuple[str, str]:
    """Return the source and the target that a model was made for."""
    return str(document["schema"]["source"]), str(document["target"])


def _number(value: float | None) -> str:
    """Write a metric; one that is not defined is a dash."""
    return "-" if value is None else f"{value:.3f}"


def _history_file(project: Project) -> Path:
    """Return the log of every change of champion."""
    return project.models / "champion_history.jsonl"
