"""A kill, a full disk or a read-only folder at any moment: nothing half-written, and it resumes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STAGES = ("ingest", "preprocess", "train", "postprocess", "evaluate", "report")
CONF = """[data]
source = sample:4000
target = churned
id = customer_id
[model]
candidates = linear, forest
folds = 3
[evaluate]
bootstrap = 100
"""
pytestmark = pytest.mark.modules


def new_project(root: Path) -> Path:
    """Make a project on sample rows in which nothing has run."""
    root.mkdir(parents=True)
    (root / "conf.cfg").write_text(CONF, encoding="utf-8")
    return root


def start(root: Path, environment: dict[str, str]) -> "subprocess.Popen[str]":
    """Start `run` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "mlproj", "run"],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def results(root: Path) -> tuple[object, object]:
    """Return the metrics and the split's proof, which a resumed run has to reproduce."""
    metrics = json.loads((root / "reports" / "metrics.json").read_text(encoding="utf-8"))
    split = json.loads((root / "reports" / "split.json").read_text(encoding="utf-8"))
    return metrics["facts"]["metrics"], split["facts"]


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory, package_environment: dict[str, str]
) -> tuple[Path, dict[str, float]]:
    """Return a project that ran through, and how many seconds each stage took."""
    root = new_project(tmp_path_factory.mktemp("whole") / "project")
    process = start(root, package_environment)
    seconds, before = {}, time.perf_counter()
    assert process.stdout is not None
    for line in process.stdout:
        name = line.split()[0] if line.split() else ""
        if name in STAGES:
            seconds[name] = time.perf_counter() - before
            before = time.perf_counter()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert tuple(seconds) == STAGES
    return root, seconds


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_in_the_middle_of_a_stage_loses_nothing(
    stage: str,
    uninterrupted: tuple[Path, dict[str, float]],
    tmp_path: Path,
    package_environment: dict[str, str],
) -> None:
    """The stages before are kept, and a second `run` ends with the same results."""
    whole, seconds = uninterrupted
    root = new_project(tmp_path / "project")
    process = start(root, package_environment)
    earlier = STAGES[: STAGES.index(stage)]
    assert process.stdout is not None
    while earlier and not process.stdout.readline().startswith(earlier[-1]):
        assert process.poll() is None
    time.sleep(seconds[stage] / 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for left in root.rglob(".partial-*"):
        os.utime(left, (0, 0))  # as if the next run came a day later

    resumed = start(root, package_environment)
    output, errors = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, errors
    kept = [line.split()[0] for line in output.splitlines() if line.endswith("unchanged")]
    assert kept[: len(earlier)] == list(earlier)
    assert results(root) == results(whole)
    assert not list(root.rglob(".partial-*"))


def in_namespace(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount, without being root outside."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare (util-linux)")
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        env=environment | {"PY": sys.executable},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("kilobytes", [8, 120, 400])
def test_a_full_disk_ends_in_a_sentence_and_can_be_mended(
    tmp_path: Path, package_environment: dict[str, str], kilobytes: int
) -> None:
    """On a small tmpfs `run` says that the disk is full; with more space it goes on."""
    root = new_project(tmp_path / "project")
    script = f"""
        cp '{root}/conf.cfg' '{tmp_path}/conf.cfg'
        mount -t tmpfs -o size={kilobytes}k tmpfs '{root}' && cd '{root}' || exit 90
        cp '{tmp_path}/conf.cfg' .
        "$PY" -m mlproj run 2>'{tmp_path}/errors'; echo "code $?"
        mount -o remount,size=200m '{root}'
        "$PY" -m mlproj run && test -s reports/index.html && echo whole
        find . -name '.partial-*'
    """
    done = in_namespace(script, package_environment)
    errors = (tmp_path / "errors").read_text(encoding="utf-8")
    assert "code 2" in done.stdout, done.stdout + done.stderr + errors
    assert "disk is full" in errors
    assert "Traceback" not in errors
    assert done.stdout.rstrip().endswith("whole"), done.stdout + done.stderr


def test_a_read_only_folder_ends_in_a_sentence(
    tmp_path: Path,
    uninterrupted: tuple[Path, dict[str, float]],
    package_environment: dict[str, str],
) -> None:
    """Root writes through permissions, so the folder is mounted read-only."""
    root = Path(shutil.copytree(uninterrupted[0], tmp_path / "project"))
    script = f"""
        mount --bind '{root}' '{root}' && mount -o remount,bind,ro '{root}' || exit 90
        cd '{root}'
        "$PY" -m mlproj run --force; echo "code $?"
    """
    done = in_namespace(script, package_environment)
    assert "code 2" in done.stdout, done.stdout + done.stderr
    assert "read-only" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_from_the_keyboard_ends_quietly(
    tmp_path: Path, package_environment: dict[str, str]
) -> None:
    """Ctrl-C gives no traceback."""
    root = new_project(tmp_path / "project")
    process = start(root, package_environment)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in errors
