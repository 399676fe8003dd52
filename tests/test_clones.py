"""Two clones of a project on different machines, and CI's: one model, which all of them use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from baking import BakedProject, run_git


class Clone:
    """A clone of the project, on a machine with so many cores."""

    def __init__(self, root: Path, package: str, cores: int) -> None:
        self.root, self.package = root, package
        settings = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
        self.environment = {**os.environ, **dict.fromkeys(settings, str(cores))}
        self.environment["PYTHONPATH"] = str(root / "src")

    def fails(self, *words: str) -> tuple[int, str]:
        """Run a command of the project, and return its exit code and what it said."""
        done = subprocess.run(
            [sys.executable, "-m", self.package, *words],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        return done.returncode, done.stdout

    def run(self, *words: str) -> str:
        """Run a command that has to succeed."""
        code, said = self.fails(*words)
        assert code == 0, said
        return said

    @property
    def champion(self) -> dict[str, Any]:
        """The content of champion.json."""
        text = (self.root / "models" / "champion.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
        return found

    def is_usable(self) -> None:
        """The model in service predicts, serves and is watched."""
        assert "5 rows scored" in self.run("predict", "../new.csv", "../scored.csv")
        self.run("serve", "--check")
        code, said = self.fails("monitor", "../new.csv")
        assert code in (0, 1) and "Error" not in said, said  # five rows may drift

    def take(self) -> None:
        """Bring what the others committed, without what only this machine has reported."""
        run_git(self.root, "checkout", "--quiet", "--", ".")
        run_git(self.root, "clean", "--quiet", "-d", "--force", "reports")
        run_git(self.root, "pull", "--quiet")

    def share(self, message: str) -> None:
        """Commit what git tracks, and bring it to the others."""
        run_git(self.root, "add", "--all")
        run_git(self.root, "commit", "--quiet", "--message", message)
        run_git(self.root, "push", "--quiet")


@pytest.mark.modules
def test_clones_on_other_machines_share_their_model(
    bake_into: Callable[..., BakedProject], tmp_path: Path
) -> None:
    project = bake_into(tmp_path, project_slug="first", serving="rest", monitoring="yes")
    run_git(tmp_path, "clone", "--quiet", "--bare", str(project.root), "origin")
    run_git(project.root, "remote", "add", "origin", str(tmp_path / "origin"))
    run_git(project.root, "push", "--quiet", "--set-upstream", "origin", "main")
    conf = project.text("conf.cfg").replace("candidates = linear, forest, hgb", "candidates = hgb")
    store = f"\n[models]\nstore = {tmp_path / 'store'}\n"
    rows = "source = sample:600\ntarget = churned\nid = customer_id\n"
    conf = conf.replace("source = example\n", "").replace("target = died\n", "")
    conf = conf.replace("id =\n", "").replace("[data]\n", f"[data]\n{rows}", 1) + store
    (project.root / "conf.cfg").write_text(conf, encoding="utf-8", newline="\n")

    def clone(name: str, cores: int) -> Clone:
        run_git(tmp_path, "clone", "--quiet", str(tmp_path / "origin"), name)
        return Clone(tmp_path / name, project.package, cores)

    first = Clone(project.root, project.package, 1)
    first.run("run")
    made = first.champion
    first.share("the first model")

    # A colleague has the data, but more cores, and makes the same model.
    second = clone("second", 2)
    before = (second.root / "models" / "champion.json").read_bytes()
    assert f"{made['run_id']} is in service" in second.run("run")
    assert (second.root / "models" / "champion.json").read_bytes() == before
    table = pd.read_parquet(first.root / "data" / "typed.parquet").drop(columns="_row").head(5)
    table.to_csv(tmp_path / "new.csv", index=False)
    for each in (first, second):
        each.is_usable()

    # CI has no data, and gets the bundle from the store.
    third = clone("third", 1)
    code, said = third.fails("champion", "pull")
    assert code == 2 and "does not exist" in said or "does not hold" in said
    first.run("champion", "push")
    third.run("champion", "pull")
    third.is_usable()
    assert run_git(third.root, "status", "--porcelain", "--", "models") == ""

    # The colleague puts another model into service, and the first goes back to the one before.
    second.run("run", "--set", "decision.cost_fn=5")
    release = json.loads((second.root / "reports/release.json").read_text(encoding="utf-8"))
    second.run("champion", "promote", release["run_id"])
    second.run("champion", "push")
    second.share("another model")
    first.take()
    assert first.champion["run_id"] == release["run_id"] != made["run_id"]
    first.run("champion", "pull")
    first.is_usable()
    first.run("champion", "rollback")
    assert first.champion["sha256"] == made["sha256"]
    first.share("back")
    for each in (second, third):
        each.take()
        assert each.champion["sha256"] == made["sha256"]
        each.is_usable()
