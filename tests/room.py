"""A project whose `custom.py` a test writes, run in processes of its own, as a team runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlproj

CONF = """[data]
source = sample:600
target = {target}
id = customer_id
[model]
task = {task}
candidates = linear
folds = 0
[evaluate]
bootstrap = 20
margin = 0
"""
HEAD = "def clean(frame):\n    return frame\n"


class Room:
    """A project folder with the package in `src/`, and what is run in it."""

    def __init__(self, root: Path, *, task: str = "classification") -> None:
        """Copy the package and write conf.cfg."""
        self.root = root
        self.package = root / "src" / "mlproj"
        own = Path(str(mlproj.__file__)).parent
        shutil.copytree(own, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        self.custom = self.package / "custom.py"
        target = "churned" if task == "classification" else "spend"
        (root / "conf.cfg").write_text(CONF.format(task=task, target=target), encoding="utf-8")

    def copy(self, root: Path) -> Room:
        """Return a copy of the project."""
        shutil.copytree(self.root, root)
        copy = object.__new__(Room)
        copy.root, copy.package = root, root / "src" / "mlproj"
        copy.custom = copy.package / "custom.py"
        return copy

    def write(self, text: str) -> None:
        """Replace the team's code."""
        self.custom.write_text(HEAD + text, encoding="utf-8", newline="\n")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the project."""
        return self._run("-m", "mlproj", *arguments)

    def run_without(self, package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the project where a package is not installed."""
        start = f"import runpy, sys; sys.modules[{package!r}] = None; sys.argv[0] = 'mlproj'; "
        return self._run(
            "-c", f"{start}runpy.run_module('mlproj', run_name='__main__')", *arguments
        )

    def python(self, code: str) -> Any:
        """Run code that prints JSON, and return that."""
        done = self._run("-c", code)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(self.root / "src"), "COLUMNS": "1000"}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )

    def trained(self, *overrides: str) -> str:
        """Run every stage up to `evaluate`, and return the run id of the bundle."""
        done = self.run("run", "--until", "evaluate", *overrides)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(self.report("release")["run_id"])

    def report(self, name: str) -> dict[str, Any]:
        """Return a report."""
        path = self.root / "reports" / f"{name}.json"
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return report

    def bundle(self, run_id: str) -> dict[str, Any]:
        """Return a bundle's bundle.json."""
        path = self.root / "models" / run_id / "bundle.json"
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document
