"""Whole-process measurements: processor time, wall time and peak memory of commands, in turn.

Only ratios taken in one run are quoted: a machine's speed drifts, so a command and its floor
alternate (A B A B ...), and their medians are compared. Limits hold for processor time, which other
work on the machine changes least.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent
NAMES = {"processor": "processor time", "seconds": "wall time", "megabytes": "peak memory"}


@dataclass(frozen=True)
class Command:
    """A command line, the folder to run it in and what it adds to the environment."""

    arguments: Sequence[str | Path]
    folder: Path | None = None
    environment: dict[str, str] | None = None


@dataclass(frozen=True)
class Cost:
    """What one finished process took.

    Attributes:
        seconds: Of wall time.
        processor: Seconds of processor time, with those of the processes that it waited for.
        megabytes: Peak resident memory.
    """

    seconds: float
    processor: float
    megabytes: float


def cost(command: Command) -> Cost:
    """Run a command to its end.

    Raises:
        RuntimeError: If it fails; the message carries what it printed.
    """
    # Threads that spin while they wait would count as work, the more the busier the machine is.
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"} | (command.environment or {})
    # As on a user's machine, whose packages are compiled.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        arguments = [str(argument) for argument in command.arguments]
        process = subprocess.Popen(
            arguments,
            cwd=command.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        # wait4 tells the peak of this child alone; getrusage would mix all children so far.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            text = output.read().decode(errors="replace")
            raise RuntimeError(f"{arguments} ended with {process.returncode}:\n{text}")
    scale = 1024 if sys.platform != "darwin" else 1024**2
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale)


def cost_of_all(command: Command) -> Cost:
    """Run a command to its end; its memory is the peak of all its processes together (Linux)."""
    peak, running = 0.0, True

    def watch() -> None:
        nonlocal peak
        while running:
            peak = max(peak, sum(resident(pid) for pid in family(os.getpid())[1:]))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return replace(cost(command), megabytes=peak)
    finally:
        running = False
        watcher.join()


def family(pid: int) -> list[int]:
    """Return a process and those that it started."""
    found = [pid]
    for path in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parent.name)):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent in found:
            found.append(int(path.parent.name))
    return found


def resident(pid: int) -> float:
    """Return a process's resident memory in megabytes, what it shares with others in full."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def alternate(command: Command, floor: Command, runs: int) -> tuple[list[Cost], list[Cost]]:
    """Run both in turn, `runs` times each, after one run of each that is not counted."""
    ours, theirs = [], []
    for turn in range(runs + 1):
        costs = cost(command), cost(floor)
        if turn > 0:
            ours.append(costs[0])
            theirs.append(costs[1])
    return ours, theirs


def show(title: str, ours: list[Cost], floor: list[Cost], limit: float, memory: float = 0) -> None:
    """Print medians and their ratios; the limits hold for processor time and for peak memory."""
    rows = [("processor", ".2f", "s", limit), ("seconds", ".2f", "s", 0)]
    if memory:
        rows.append(("megabytes", ".0f", "MB", memory))
    for what, form, unit, most in rows:
        taken, least = median(ours, what), median(floor, what)
        bar = f" (at most {most})" if most else ""
        print(
            f"{title}, {NAMES[what]}: {taken:{form}} {unit}, floor {least:{form}} {unit}, "
            f"ratio {taken / least:.2f}{bar}"
        )


def median(costs: list[Cost], what: str) -> float:
    """Return the median of one of the attributes of `Cost`."""
    return statistics.median(float(getattr(each, what)) for each in costs)


def bake(folder: Path, *answers: str) -> Path:
    """Bake the template into `folder`, by default with its default answers; return the project."""
    program = Path(sys.executable).with_name("cookiecutter")
    environment = {"COOKIECUTTER_CONFIG": str(neutral_config(folder))}
    arguments: list[str | Path] = [program, TEMPLATE, "--no-input", "--output-dir", folder]
    arguments += answers
    cost(Command(arguments, environment=environment))
    return folder / "ml-project"


def neutral_config(folder: Path) -> Path:
    """Write a cookiecutter configuration that keeps its caches inside `folder`."""
    path = folder / "cookiecutter.yaml"
    if not path.exists():
        lines = [f"cookiecutters_dir: {folder / 'clones'}", f"replay_dir: {folder / 'replay'}"]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def project_command(project: Path, *arguments: str) -> Command:
    """Return a command of a baked project, run from its source by this Python."""
    package = next(path.name for path in (project / "src").iterdir() if path.is_dir())
    return Command(
        [sys.executable, "-m", package, *arguments],
        folder=project,
        environment={"PYTHONPATH": str(project / "src")},
    )


def configure(project: Path, text: str) -> None:
    """Replace the project's conf.cfg."""
    (project / "conf.cfg").write_text(text, encoding="utf-8")
