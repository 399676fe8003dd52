"""The experiment log: `logs/runs.jsonl` for programs, `docs/experiments.md` for people."""

import shutil
import subprocess  # noqa: S404  # git only, with fixed arguments
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

from ..core.files import append_json_line, read_json_lines, write_text
from ..core.listeners import announce
from ..core.project import Project

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


def _git(project: Project, arguments: Sequence[str]) -> str:
    """Return what git prints about the project; empty without git or outside a repository."""
    program = shutil.which("git")
    if program is None:
        return ""
    result = subprocess.run(  # noqa: S603
        [program, *arguments], cwd=project.root, capture_output=True, text=True, check=False
    )
    return result.stdout.strip() if result.returncode == 0 else ""
