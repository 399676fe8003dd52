"""An update that is stopped is undone by the command that was printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from answers import TEMPLATE
from cases import posix_only
from living import (
    Project,
    Upstream,
    applied,
    everything,
    refused,
)

pytestmark = pytest.mark.modules


@posix_only
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT", "SIGTERM"])
def test_a_stop_in_the_middle_is_undone_by_the_command_that_was_printed(
    project: Project, name: str
) -> None:
    checkout = project(ci="github")
    checkout.write("data/train/part-0.parquet", "ignored, and precious")
    checkout.write(".env", "SECRET=1")
    before = everything(checkout)
    running = subprocess.Popen(
        [sys.executable, "-u", "tools/template.py", "set", "ci=none", "--to", "v2.0.0"],
        cwd=checkout.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    assert running.stdout is not None
    line = next(line for line in running.stdout if line.startswith("To undo"))
    os.killpg(running.pid, signal.Signals[name])
    running.communicate()
    subprocess.run(line.partition(": ")[2].split(), cwd=checkout.root, check=True)
    assert everything(checkout) == before and checkout.status() == []
    applied(checkout.tool("set", "ci=none", "--to", "v2.0.0"))


# Stops at the given line of `write` or `remove`, as a kill would: nothing is cleaned up. Where git
# writes the files, it is given only the first half of them.
STOPPER = """
import argparse, json, os, subprocess, sys, tempfile
from pathlib import Path
sys.path.append(sys.argv[1])
from updater import git, project, update, writing
project = project.open_project()
options = argparse.Namespace(to="v2.0.0", answers=["ci=none"], template=Path(sys.argv[2]))
undo = ["git", "reset", "--quiet", "--hard", project.head]

def files():
    found = (path for path in Path().rglob("*") if path.is_file() and path.parts[0] != ".git")
    return {str(path): path.read_bytes() for path in found}

def stop_at(line):
    left, start = [line], git.start_git
    def trace(frame, event, argument):
        if frame.f_code.co_name not in ("write", "remove"):
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
        return trace
    def half(arguments, stdin=b"", index=None):
        if "checkout-index" in arguments and left[0] < 3:
            names = stdin.split(b"\\0")
            start(arguments, b"\\0".join(names[: len(names) // 2]) + b"\\0", index)
            os._exit(9)
        return start(arguments, stdin, index)
    git.start_git = half
    sys.settrace(trace)

before, codes, line = files(), [], 0
with tempfile.TemporaryDirectory() as work:
    plan = update.plan_update(project, options, Path(work))
    while not codes or codes[-1] == 9:
        line += 1
        child = os.fork()
        if child == 0:
            stop_at(line)
            try:
                writing.write(project, plan.merged, plan.changes)
            finally:
                os._exit(1 if sys.exc_info()[0] else 0)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        changed = files() != before
        subprocess.run(undo, check=True)
        status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, check=True)
        assert files() == before and status.stdout == b"", (line, status.stdout)
        print(json.dumps([line, codes[-1], changed]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="stops children of its own")
def test_a_stop_at_any_line_that_writes_is_undone_by_one_command(
    project: Project, upstream: Upstream
) -> None:
    checkout = project()
    checkout.write("data/train/part-0.parquet", "ignored, and precious")
    done = subprocess.run(
        [sys.executable, "-c", STOPPER, str(TEMPLATE), str(upstream.root / ".git")],
        cwd=checkout.root,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    stops = [json.loads(line) for line in done.stdout.splitlines()]
    assert stops[-1][1] == 0 and len(stops) > 40
    assert {code for _, code, _ in stops[:-1]} == {9}
    assert sum(changed for _, _, changed in stops) > 10


def test_an_update_that_was_stopped_is_named_when_the_next_begins(project: Project) -> None:
    checkout = project()
    head = checkout.git("rev-parse", "HEAD").strip()
    (checkout.root / ".git" / "template-update").write_text(f"{head}\n", encoding="utf-8")
    (checkout.root / "README.md").write_text("half", encoding="utf-8")
    assert refused(checkout.tool("update")) == (
        f"Error: An update was stopped half-way: undo it with `git reset --hard {head}`.\n"
    )
    checkout.git("reset", "--quiet", "--hard", head)
    applied(checkout.tool("update"))
