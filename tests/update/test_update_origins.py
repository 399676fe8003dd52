"""However a project was made, it can be updated; and it can leave the template."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from answers import SKELETON, TEMPLATE
from baking import run_git
from living import (
    Checkout,
    Project,
    Upstream,
    applied,
    create,
    documented,
    left,
    refused,
    upstream_of_work_tree,
)

pytestmark = pytest.mark.modules

SOURCE = re.compile("(source|target) = ")


# However a project was made, it can be updated, or says how.


def test_a_project_of_cruft_create(upstream: Upstream, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cruft", "create", upstream.root.as_uri(), "--no-input"]
    subprocess.run([*command, "--checkout", "v1.0.0"], cwd=tmp_path, check=True)
    checkout = Checkout(tmp_path / "ml-project")
    assert "is not in a git repository" in refused(checkout.tool("update"))
    checkout.git("init", "--quiet")
    checkout.commit()
    applied(checkout.tool("update"))
    assert checkout.has("docs/scope.md")


def test_plain_cruft_goes_on_from_what_this_tool_wrote(project: Project) -> None:
    checkout = project()
    applied(checkout.tool("update", "--to", "v1.1.0"))
    checkout.commit()
    cruft = [sys.executable, "-m", "cruft"]
    differing = subprocess.run(
        [*cruft, "diff"], cwd=checkout.root, capture_output=True, encoding="utf-8", check=True
    )
    assert differing.stdout == ""
    check = subprocess.run([*cruft, "check"], cwd=checkout.root, capture_output=True)
    assert check.returncode == 1
    subprocess.run([*cruft, "update", "-y"], cwd=checkout.root, check=True, capture_output=True)
    assert checkout.has("docs/scope.md")
    checkout.commit()
    # And back again: plain cruft has written keys of the template's own into the record.
    assert "Nothing to do" in applied(checkout.tool("update"))
    applied(checkout.tool("set", "region=us"))
    assert [name for name in checkout.answers() if name.startswith("_")] == []


def test_a_project_of_an_archive_says_how_and_can_then_be_updated(
    upstream: Upstream, tmp_path: Path
) -> None:
    archive = tmp_path / "template-1.0.0.zip"
    prefix = "--prefix=template-1.0.0/"
    run_git(upstream.root, "archive", "--format=zip", prefix, "-o", str(archive), "v1.0.0")
    assert "template-1.0.0/cookiecutter.json" in zipfile.ZipFile(archive).namelist()
    command = [sys.executable, "-m", "cookiecutter", str(archive), "--no-input"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=True)
    assert "git does not know the template's version" in done.stdout
    checkout = Checkout(tmp_path / "ml-project")
    sentence = refused(checkout.tool("update"))
    assert "does not say which version" in sentence and "git ls-remote --tags ADDRESS" in sentence
    state = json.loads(checkout.text(".cruft.json"))
    assert state["template"] == str(archive)
    listed = run_git(tmp_path, "ls-remote", "--tags", upstream.root.as_uri(), "v1.0.0")
    state.update(template=upstream.root.as_uri(), commit=listed.split()[0])
    checkout.write(".cruft.json", json.dumps(state))
    checkout.commit()
    applied(checkout.tool("update"))
    assert checkout.has("docs/scope.md")


def test_a_project_inside_another_work_tree(
    upstream: Upstream, born: Project, tmp_path: Path
) -> None:
    run_git(tmp_path, "init", "--quiet", "--initial-branch=main")
    create(upstream.address, tmp_path / "teams" / "ours")
    checkout = Checkout(tmp_path / "teams" / "ours" / "ml-project")
    (tmp_path / "README.md").write_text("Of all.\n", encoding="utf-8")
    assert "has no commit yet" in refused(checkout.tool("update"))
    run_git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "x")
    assert "is not committed" in refused(checkout.tool("update"))
    run_git(tmp_path, "add", "--all")
    run_git(tmp_path, "commit", "--quiet", "--message", "all")
    assert "2 releases behind" in applied(checkout.tool("status"))
    (tmp_path / "other.txt").write_text("not ours", encoding="utf-8")
    applied(checkout.tool("update"))
    new = born("v2.0.0")
    for name in new.git("ls-files").split():
        assert checkout.text(name) == new.text(name), name
    assert (tmp_path / "README.md").read_text("utf-8") == "Of all.\n"
    lines = run_git(tmp_path, "status", "--porcelain").splitlines()
    assert [line for line in lines if "teams/ours/ml-project/" not in line] == ["?? other.txt"]
    run_git(tmp_path, "commit", "--quiet", "--message", "update")
    checkout.replace("README.md", "Region: eu.", "Region: ours.")
    run_git(tmp_path, "add", "teams")
    run_git(tmp_path, "commit", "--quiet", "--message", "edit")
    printed = left(checkout.tool("set", "region=us"))
    assert "\n  README.md\n" in printed
    assert "Region: ours.\n=======\n" in checkout.text("README.md")


def test_without_a_git_identity(
    project: Project, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.delenv("EMAIL", raising=False)
    checkout = create(upstream.address, tmp_path / "nobody")
    applied(checkout.tool("update"))
    assert checkout.has("docs/scope.md")


def test_with_a_program_run_from_the_package_index(upstream: Upstream, tmp_path: Path) -> None:
    """`pipx run cookiecutter`, or its twin `uvx cookiecutter`."""
    runners = [["pipx", "run"], ["uvx"]]
    where = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    runner = next((r for r in runners if shutil.which(r[0], path=where)), None)
    if runner is None:
        pytest.skip("neither pipx nor uvx is installed")
    program = str(shutil.which(runner[0], path=where))
    command = [program, *runner[1:], "cookiecutter", upstream.address, "--no-input"]
    done = subprocess.run(
        [*command, "--checkout", "v1.0.0"], cwd=tmp_path, capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        pytest.skip(f"{runner[0]} could not fetch cookiecutter: {done.stderr[-200:]}")
    applied(Checkout(tmp_path / "ml-project").tool("update"))


# Leaving the template, by the commands of the documentation.


def test_leaving_takes_nothing_that_the_project_needs(project: Project) -> None:
    """Nothing that runs names the tool, and the record of the answers stays."""
    checkout = project()
    script = documented("Leave the template")
    done = subprocess.run(["bash", "-c", script], cwd=checkout.root, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert checkout.status() == ["D  tools/template.py"]
    named = checkout.git("grep", "--name-only", "-e", "tools/template", "-e", "cruft>=").split()
    assert named == ["Makefile", "README.md", "pyproject.toml"]


# The template's own releases.


def earlier_version() -> str | None:
    """Return the newest earlier tag of this repository; before there is one, an earlier commit."""
    command = ["git", "-C", str(TEMPLATE), "rev-parse", "--show-cdup"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if done.returncode or done.stdout.strip():
        return None
    head = run_git(TEMPLATE, "rev-parse", "HEAD").strip()
    tags = run_git(TEMPLATE, "tag", "--merged", "HEAD", "--sort=-version:refname", "v*").split()
    earlier = [tag for tag in tags if run_git(TEMPLATE, "rev-parse", f"{tag}^0").strip() != head]
    commits = run_git(TEMPLATE, "rev-list", "--first-parent", "--max-count=16", "HEAD").split()
    return [*earlier, *commits[1:][-1:], None][0]


def test_a_project_of_the_newest_earlier_release_updates_to_this_one_and_is_green(
    template: Path, tmp_path: Path
) -> None:
    earlier = earlier_version()
    if earlier is None:
        pytest.skip("no earlier version: this is no clone of the template with its history")
    address = upstream_of_work_tree(template, tmp_path / "template.git")
    checkout = create(address, tmp_path / "out", version=earlier)
    if not checkout.has("tools/template.py"):
        # Of before the tool: a person takes it from the template.
        tool = template / SKELETON.name / "tools" / "template.py"
        checkout.write("tools/template.py", tool.read_text(encoding="utf-8"))
    checkout.replace("README.md", "\n\n", "\n\nOurs.\n\n")
    checkout.replace("conf.cfg", "margin = 0.05", "margin = 0.02")
    source = [line for line in checkout.text("conf.cfg").splitlines() if SOURCE.match(line)]
    custom = checkout.text("src/ml_project/custom.py")
    checkout.write("src/ml_project/custom.py", f'{custom}\n\nOURS = "Ours."\n')
    checkout.write("src/ml_project/ours.py", '"""Ours."""\n')
    checkout.commit()
    applied(checkout.checked_tool("update"))
    for name in ("README.md", "src/ml_project/custom.py"):
        assert "Ours." in checkout.text(name)
    conf = checkout.text("conf.cfg")
    assert "margin = 0.02" in conf
    # Which table a project works on is not the template's to change.
    assert [line for line in conf.splitlines() if SOURCE.match(line)] == source
    environment = {**os.environ, "PYTHONPATH": str(checkout.root / "src")}
    with tempfile.TemporaryDirectory() as cache:
        for command in (
            ["black", "--check", "--quiet", "."],
            # The team's file is rendered once: its lines are the earlier version's, not this one's.
            ["ruff", "check", "--quiet", "--no-cache", "--extend-exclude", "custom.py", "."],
            ["mypy", "--cache-dir", cache],
            ["pytest", "-q", "-p", "no:cacheprovider"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", *command],
                cwd=checkout.root,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
            )
            assert done.returncode == 0, done.stdout[-3000:]
