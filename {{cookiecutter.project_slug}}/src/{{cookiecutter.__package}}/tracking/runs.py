"""The runs so far: a list of them, and what two of them differ in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from ..core.project import Project
from .runlog import read_runs

if TYPE_CHECKING:
    from rich.table import Table

# What the metrics of a comparison are, and are not.
TRAINED = "The metrics are those of training: before calibration and any rule of custom.py."
# The parts of a comparison, in the order in which they are shown.
AREAS = ("model", "data", "settings", "versions")
MODEL = ("name", "task", "metric", "seed", "params")
DATA = ("source", "target", "rule", "data", "split", "rows", "features")


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        first: The first run, as recorded.
        second: The second run.
        differences: What went into them differently, by its area (one of `AREAS`) and its name:
            the value in each run, None where it had none.
        metrics: By name, the two values on valid and the second less the first; None where a run
            has no such metric or it is not defined.
    """

    first: dict[str, Any]
    second: dict[str, Any]
    differences: dict[tuple[str, str], tuple[Any, Any]]
    metrics: dict[str, tuple[float | None, float | None, float | None]]


def list_runs(project: Project) -> list[dict[str, Any]]:
    """Return the recorded runs, newest first."""
    return sorted(read_runs(project), key=lambda run: (run["time"], run["number"]), reverse=True)


def find_run(project: Project, run_id: str) -> dict[str, Any]:
    """Return the run whose id begins with `run_id`.

    Raises:
        UserError: If there is none, or more than one.
    """
    runs = [run for run in list_runs(project) if run["run_id"].startswith(run_id)]
    if len(runs) == 1 and run_id:
        return runs[0]
    if runs:
        raise UserError(f"{len(runs)} runs begin with '{run_id}'; give more of the id.")
    raise UserError(f"There is no run '{run_id}' in logs/runs.jsonl; `runs list` shows them.")


def compare_runs(project: Project, first: str, second: str) -> Comparison:
    """Return what went into two runs differently, and what it did to the metrics.

    Raises:
        UserError: If there is no such run.
    """
    one, two = find_run(project, first), find_run(project, second)
    differences = {}
    for area in AREAS:
        ours, theirs = _flat(_area(one, area)), _flat(_area(two, area))
        for name in dict.fromkeys([*ours, *theirs]):
            if ours.get(name) != theirs.get(name):
                differences[area, name] = (ours.get(name), theirs.get(name))
    metrics = {}
    for name in dict.fromkeys([*one["valid"], *two["valid"]]):
        before, after = one["valid"].get(name), two["valid"].get(name)
        change = None if before is None or after is None else after - before
        metrics[name] = (before, after, change)
    return Comparison(one, two, differences, metrics)


def list_table(project: Project) -> Table | str:
    """Return the runs as a table for the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    runs = list_runs(project)
    if not runs:
        return "There are no runs yet; `run` makes some."
    bundles = {path.parent.name for path in project.models.glob("*/bundle.json")}
    table = Table(title="Runs, newest first", caption="* packaged as a bundle", box=SIMPLE_HEAD)
    for heading in ("run", "model", "when (UTC)", "metric", "folds", "valid"):
        table.add_column(heading, justify="right" if heading in ("folds", "valid") else "left")
    table.columns[0].no_wrap = True  # an id that is cut short is of no use
    for run in runs:
        metric = run["metric"]
        table.add_row(
            f"{run['run_id']} *" if run["run_id"] in bundles else run["run_id"],
            run["label"],
            run["time"].replace("T", " ")[:16],
            metric,
            _shown((run["cv"] or {}).get("mean"), ".4f"),
            _shown(run["valid"].get(metric), ".4f"),
        )
    return table


def compare_table(project: Project, first: str, second: str) -> Table:
    """Return two runs side by side, for the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    comparison = compare_runs(project, first, second)
    one, two = comparison.first, comparison.second
    table = Table(
        title=f"{one['label']} {one['run_id']} and {two['label']} {two['run_id']}",
        caption=TRAINED if comparison.differences else "Their inputs are the same.",
        box=SIMPLE_HEAD,
    )
    table.add_column("what", overflow="fold")
    table.add_column(one["run_id"], justify="right", overflow="fold")
    table.add_column(two["run_id"], justify="right", overflow="fold")
    table.add_column("change", justify="right")
    for area in AREAS:
        for (where, name), (ours, theirs) in comparison.differences.items():
            if where == area:
                table.add_row(name, _shown(ours), _shown(theirs), "")
        table.add_section()
    for name, (before, after, change) in comparison.metrics.items():
        values = (_shown(before, ".4f"), _shown(after, ".4f"), _shown(change, "+.4f"))
        chosen = "bold" if name in (one["metric"], two["metric"]) else None
        table.add_row(f"{name} on valid", *values, style=chosen)
    if one["data"] != two["data"] or one["split"] != two["split"]:
        table.caption = f"Their data differ, and so may the rows behind the metrics. {TRAINED}"
    return table


def _area(run: dict[str, Any], area: str) -> dict[str, Any]:
    """Return what one area of a comparison looks at."""
    if area == "model":
        return {key: run.get(key) for key in MODEL}
    if area == "data":
        return {key: run.get(key) for key in DATA}
    part: dict[str, Any] = run.get(area) or {}
    if area == "versions":  # a commit is a version of the project's own code
        commit = run.get("git_commit") or ""
        short = commit[:8] + commit[40:]  # with the + of a changed working tree
        return {**part, "commit": short or None, "code": run.get("code")}
    return part


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shown(value: Any, form: str = "") -> str:
    """Return a value as a table shows it."""
    return "-" if value is None else format(value, form) if form else str(value)
