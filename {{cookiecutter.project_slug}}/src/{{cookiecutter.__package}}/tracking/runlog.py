"""What is kept of a training run: a log file, a record, and a line for people.

The records are `logs/runs.jsonl`; people write in `docs/experiments.md`.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import subprocess  # noqa: S404  # git only, with fixed arguments
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

from ..core.files import append_json_line, read_json_lines, write_text
from ..core.project import Project
from ..core.registry import announce

if TYPE_CHECKING:
    from ..models import Candidate
    from ..models.training_data import TrainingData

# What a model's numbers can depend on.
PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn")
MARKER = "<!-- runs: newest first -->"
HEADING = f"# Experiments\n\n{MARKER}\n"


def read_runs(project: Project) -> list[dict[str, Any]]:
    """Return the runs, oldest first; of one that was recorded twice, the later record."""
    lines = read_json_lines(project.logs / "runs.jsonl")
    runs = {line["run_id"]: line for line in lines if {"run_id", "valid"} <= line.keys()}
    return list(runs.values())


def record_run(project: Project, run: dict[str, Any]) -> None:
    """Add one finished run to `logs/runs.jsonl`, and announce it."""
    append_json_line(project.logs / "runs.jsonl", run)
    announce("run", project, **run)


def next_number(project: Project) -> int:
    """Return the number of the next run: one more than the highest so far."""
    lines = read_json_lines(project.logs / "runs.jsonl")
    numbers = [line["number"] for line in lines if isinstance(line.get("number"), int)]
    return max(numbers, default=0) + 1


def add_experiment(project: Project, text: str) -> None:
    """Add a dated line (UTC) to `docs/experiments.md`, below the marker; the rest stays."""
    path = project.docs / "experiments.md"
    content = path.read_bytes().decode("utf-8") if path.exists() else HEADING
    end = "\r\n" if "\r\n" in content else "\n"
    if MARKER not in content:
        content = f"{content.rstrip()}{end}{end}{MARKER}{end}"
    before, _, after = content.partition(MARKER)
    rest = after.lstrip("\r\n")
    # A line right below another one of the list continues it; anything else keeps its distance.
    gap = end if rest.startswith("- ") or not rest else end * 2
    line = f"- {datetime.now(UTC):%Y-%m-%d} {text}"
    write_text(path, f"{before}{MARKER}{end}{end}{line}{gap}{rest}")


def describe_run(
    project: Project, data: TrainingData, candidate: Candidate, run_id: str, code: str
) -> dict[str, Any]:
    """Return what a run is, before anything is measured.

    Args:
        project: The project.
        data: What is fitted on.
        candidate: What is fitted.
        run_id: The run's id.
        code: The fingerprint of the code that trains.
    """
    settings = data.settings
    return {
        "run_id": run_id,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": candidate.name,
        "label": candidate.label,
        "kind": candidate.kind,
        "params": own_parameters(candidate.estimator),
        "task": data.task.name,
        "metric": data.metric,
        "seed": settings.split.seed,
        "data": data.data_fingerprint,
        "split": data.split_fingerprint,
        "source": settings.section("data")["source"],
        "target": data.schema.target.name if data.schema.target else None,
        **({"weight": data.schema.weight.name} if data.schema.weight else {}),
        "rule": data.rule,
        "rows": {"train": len(data.inputs), "valid": len(data.valid)},
        "features": data.inputs.shape[1],
        "settings": {
            "features": settings.section("features"),
            "model": {"folds": settings.model.folds},
            "decision": {"positive": settings.decision.positive},
        },
        "versions": versions([candidate.name]),
        "code": code,
        "git_commit": git_commit(project),
        "onwards_from": data.warm_start and data.warm_start.run_id,
    }


def own_parameters(estimator: Any) -> dict[str, Any]:
    """Return the parameters that differ from the library's defaults, as plain values."""
    given = estimator.get_params(deep=False)
    try:
        defaults = type(estimator)().get_params(deep=False)
    except TypeError:  # an estimator of the team that cannot be built without arguments
        defaults = {}
    own = {key: value for key, value in given.items() if repr(value) != repr(defaults.get(key))}
    own |= own.pop("params", None) or {}  # of a wrapped library, one level down
    plain = (bool, int, float, str, list, type(None))
    return {key: value if isinstance(value, plain) else repr(value) for key, value in own.items()}


def metric_of(run: dict[str, Any], metric: str) -> float:
    """Return a run's metric on valid; nan where it is not defined, which JSON holds as null."""
    value = run["valid"][metric]
    return math.nan if value is None else float(value)


def experiment_line(facts: dict[str, Any], winner: dict[str, Any]) -> str:
    """Return the line of `docs/experiments.md`, which a person completes."""
    metric = facts["metric"]
    others = [
        f"{run['label']} {metric_of(run, metric):.3f} (`{run['run_id']}`)"
        for run in facts["candidates"]
        if run["run_id"] != winner["run_id"]
    ]
    beside = f" Beside it: {', '.join(others)}." if others else ""
    return (
        f"`{winner['run_id']}` {winner['label']}: {metric} {winner['valid'][metric]:.3f} on valid, "
        f"baseline {metric_of(facts['baseline'], metric):.3f}.{beside} Why:"
    )


def versions(names: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions of Python, of the packages that numbers depend on, and of `names`."""
    found = {"python": python_version()}
    for name in (*PACKAGES, *names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_commit(project: Project) -> str | None:
    """Return the commit that is checked out, with `+` where the code differs; None without git."""
    head = _git(project, ["rev-parse", "HEAD"])
    if not head:
        return None
    return head + ("+" if _git(project, ["status", "--porcelain", "--", "src", "conf.cfg"]) else "")


def peak_memory_mb() -> float | None:
    """Return the most memory that this process has held so far, in MB (10^6 bytes)."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def why_no_commit(project: Project) -> str:
    """Return why git names no commit of the project, and behind a semicolon what helps."""
    result = _run_git(project, ["rev-parse", "--verify", "HEAD"])
    if result is None:
        return "git was not found; install it"
    said = result.stderr
    if "dubious ownership" in said or "unsafe repository" in said:
        trust = f'git config --global --add safe.directory "{project.root.as_posix()}"'
        return f"git distrusts the folder, which belongs to another user; trust it with `{trust}`"
    if "not a git repository" in said:
        return "this is not a git repository; `git init` makes one"
    if "Needed a single revision" in said:
        return "nothing is committed yet; `git commit` does it"
    reason = (said.strip().splitlines() or ["no reason given"])[-1]
    return f"git failed ({reason}); correct that"


def _git(project: Project, arguments: Sequence[str]) -> str:
    """Return what git prints about the project; empty without git or outside a repository."""
    result = _run_git(project, arguments)
    return result.stdout.strip() if result is not None and result.returncode == 0 else ""


def _run_git(project: Project, arguments: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    """Run git in the project, and return what it said in English; None where it is missing."""
    program = shutil.which("git")
    if program is None:
        return None
    return subprocess.run(  # noqa: S603
        [program, *arguments],
        cwd=project.root,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )


class _FileHandler(logging.FileHandler):
    """A handler that lets a full disk be an error, rather than print a traceback and go on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Raise what stopped the record from being written."""
        raise


@contextmanager
def run_log(path: Path) -> Iterator[logging.Logger]:
    """Yield a logger that writes to `path` alone, with UTC times; errors and warnings go there too.

    What an interrupted run left under the same name is written over.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _FileHandler(path, mode="w", encoding="utf-8")
    formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.Logger(path.stem, logging.INFO)  # not a global one: nothing else writes to it
    logger.addHandler(handler)

    def note(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        logger.warning("%s: %s", category.__name__, " ".join(str(message).split()))

    try:
        with warnings.catch_warnings():
            warnings.showwarning = note
            yield logger
    except BaseException as error:
        logger.error("stopped", exc_info=error)
        raise
    finally:
        handler.close()


def log_values(log: logging.Logger, values: dict[str, Any]) -> None:
    """Write each value on a line of its own."""
    for key, value in values.items():
        log.info("%s: %s", key, values_in_words(value) if isinstance(value, dict) else value)


def values_in_words(values: dict[str, Any]) -> str:
    """Return names and values on one line."""
    words = []
    for key, value in values.items():
        words.append(f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}")
    return ", ".join(words)
