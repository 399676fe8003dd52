"""Adopting the template in a repository that was not made from it, by the documented commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from baking import run_git
from living import (
    Checkout,
    Project,
    Upstream,
    applied,
    documented,
    everything,
    left,
    refused,
    started,
)

pytestmark = pytest.mark.modules

HEADING = "Adopt it in a repository that exists"


@pytest.fixture
def ours(tmp_path: Path) -> Checkout:
    """A repository with years of work, in which nothing of the template is."""
    checkout = Checkout(tmp_path / "churn")
    checkout.root.mkdir()
    checkout.git("init", "--quiet", "--initial-branch=main")
    checkout.write("README.md", "# Churn, since 2019\n")
    checkout.write("src/churn/legacy.py", "print('works')\n")
    checkout.write(".gitignore", "secret.txt\n")
    checkout.commit("years of work")
    checkout.write("secret.txt", "ignored")
    return checkout


@pytest.fixture
def clone(upstream: Upstream, tmp_path: Path) -> Path:
    """A fresh clone of the template, beside the repository."""
    run_git(tmp_path, "clone", "--quiet", upstream.root.as_uri(), "ml-preflight")
    return tmp_path / "ml-preflight"


def adopt(checkout: Checkout, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command from a clone beside the repository."""
    command = [sys.executable, "../ml-preflight/updater", "adopt", "--no-checks", *arguments]
    return started(command, checkout.root)


def test_adopting_keeps_own_files_adds_the_template_s_and_shows_conflicts(
    upstream: Upstream, ours: Checkout
) -> None:
    script = documented(HEADING).replace("<the address of the template>", upstream.address[4:])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    printed = left(started(["bash", "-c", script], ours.root, PATH=path))
    assert "edit, then `git add`:\n  .gitignore\n  README.md\nNot everything" in printed
    assert "# Churn, since 2019\n" in ours.text("README.md")
    assert re.search(r"<<<<<<< yours\n(.|\n)*>>>>>>> template v2.0.0\n", ours.text("README.md"))
    assert ours.text("src/churn/legacy.py") == "print('works')\n"
    assert ours.text("secret.txt") == "ignored"
    assert ours.has("src/churn/train.py") and ours.has("conf.cfg") and ours.has("Makefile")
    for name in (".gitignore", "README.md"):
        ours.write(name, re.sub(r"^(<{7}|={7}|>{7}).*\n", "", ours.text(name), flags=re.M))
    ours.commit("adopt the template")
    assert ours.git("log", "--format=%s").splitlines() == ["adopt the template", "years of work"]
    state = json.loads(ours.text(".cruft.json"))
    assert state["commit"] == upstream.commit_of("v2.0.0")
    assert state["template"] == upstream.address[4:]
    # From here on it is a project like any other.
    assert "the newest\nChanged here, of the template's files:\n  .gitignore\n  README.md\n" in (
        applied(ours.tool("status"))
    )
    applied(ours.tool("set", "region=us"))
    assert ours.answers()["region"] == "us"


def test_an_adopted_project_is_the_one_that_cookiecutter_makes(
    ours: Checkout, clone: Path, born: Project
) -> None:
    (ours.root / "secret.txt").unlink()
    ours.git("rm", "--quiet", "README.md", ".gitignore", "src/churn/legacy.py")
    ours.commit("start again")
    printed = applied(adopt(ours, "project_name=ML Project", "ci=gitlab", "--to", "v1.1.0"))
    assert "Note: ci is 'gitlab'.\n" in printed and "v1.1.0 adopted: " in printed
    made = born("v1.1.0", ci="gitlab")
    names = [name for name in made.git("ls-files").split() if name != ".cruft.json"]
    assert ours.git("ls-files").split() == made.git("ls-files").split()
    assert [name for name in names if ours.text(name) != made.text(name)] == []
    adopted, baked = (json.loads(each.text(".cruft.json")) for each in (ours, made))
    assert adopted == {**baked, "template": adopted["template"]}


def test_adopting_is_undone_by_the_command_that_is_printed(ours: Checkout, clone: Path) -> None:
    before = everything(ours)
    printed = left(adopt(ours))
    assert everything(ours) != before and "src/churn/train.py" in everything(ours)
    undo = re.findall(r"git reset --hard \w+", printed)[0]
    subprocess.run(undo.split(), cwd=ours.root, check=True, capture_output=True)
    assert everything(ours) == before and ours.status() == []
    assert not (ours.root / "conf.cfg").exists()


def test_a_dry_run_adopts_nothing(ours: Checkout, clone: Path) -> None:
    before = everything(ours)
    listed = adopt(ours, "--dry-run")
    assert listed.returncode == 1 and "\n  conf.cfg\n" in listed.stdout
    done = adopt(ours, "--diff")
    assert done.returncode == 1 and "+>>>>>>> template v2.0.0" in done.stdout
    assert everything(ours) == before and ours.status() == []


def test_what_cannot_be_adopted_is_one_sentence_and_changes_nothing(
    ours: Checkout, clone: Path, tmp_path: Path
) -> None:
    before = everything(ours)
    assert "ci 'travis' is not a choice of v2.0.0" in refused(adopt(ours, "ci=travis"))
    assert "`adopt ci=github --to v2.0.0`" in refused(adopt(ours, "ci=travis"))
    assert "v2.0.0 does not ask for 'colour'" in refused(adopt(ours, "colour=red"))
    assert "project_slug '../x'" in refused(adopt(ours, "project_slug=../x"))
    assert everything(ours) == before and ours.status() == []
    ours.write("new.txt", "x")
    assert "(new.txt): commit" in refused(adopt(ours))
    (ours.root / "new.txt").unlink()
    ours.write("secret.txt", "x")
    ours.write(".gitignore", "Makefile\n")
    ours.commit()
    ours.write("Makefile", "all:\n")
    assert "Makefile is ignored by git and would be overwritten" in refused(adopt(ours))
    assert ours.text("Makefile") == "all:\n"
    empty = Checkout(tmp_path / "empty")
    empty.root.mkdir()
    assert "is not in a git repository" in refused(adopt(empty))
    empty.git("init", "--quiet")
    assert "has no commit yet" in refused(adopt(empty))
    (ours.root / "Makefile").unlink()
    left(adopt(ours))
    assert "this project follows a template" in refused(adopt(ours))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("readme.md", "readme.md is in the way of the template's file README.md"),
        ("Docs/plan.md", "Docs is in the way of the template's folder docs"),
        ("data", "data is in the way of the template's folder data"),
        ("Makefile/all.mk", "Makefile is in the way of the template's file Makefile"),
    ],
)
def test_names_that_cannot_both_be_are_refused(
    ours: Checkout, clone: Path, name: str, sentence: str
) -> None:
    ours.git("rm", "--quiet", "README.md")
    ours.write(name, "Ours.\n")
    ours.commit()
    assert f"{sentence}: rename it with `git mv`" in refused(adopt(ours))
    assert ours.text(name) == "Ours.\n" and ours.status() == []


def test_a_folder_of_a_larger_repository_adopts_it_for_itself(ours: Checkout, clone: Path) -> None:
    ours.write("teams/risk/notes.txt", "Ours.\n")
    ours.commit()
    command = [sys.executable, str(clone / "updater"), "adopt", "--no-checks"]
    printed = applied(started(command, ours.root / "teams" / "risk"))
    assert "v2.0.0 adopted" in printed
    assert ours.has("teams/risk/src/risk/train.py") and not ours.has("conf.cfg")
    assert [line for line in ours.status() if not line.startswith("A  teams/risk/")] == []
    ours.commit()
    inside = Checkout(ours.root / "teams" / "risk")
    assert "Every file of the template is as it was rendered" in applied(inside.tool("status"))


def test_an_unpacked_archive_says_that_a_clone_is_needed(
    upstream: Upstream, ours: Checkout, tmp_path: Path
) -> None:
    (tmp_path / "ml-preflight").mkdir()
    files = subprocess.run(
        ["git", "archive", "v2.0.0"], cwd=upstream.root, capture_output=True, check=True
    )
    subprocess.run(["tar", "-x"], cwd=tmp_path / "ml-preflight", input=files.stdout, check=True)
    assert "ml-preflight is not a clone of the template" in refused(adopt(ours))


def test_the_questions_are_asked_at_a_terminal(ours: Checkout, clone: Path) -> None:
    """With what was given, and the folder's name, as defaults."""
    pty = pytest.importorskip("pty", reason="needs a terminal")
    controller, terminal = pty.openpty()
    command = [sys.executable, "../ml-preflight/updater", "adopt", "stage=mvp", "--no-checks"]
    running = subprocess.Popen(
        command, cwd=ours.root, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    os.write(controller, b"\nchurn-rate\n" + b"\n" * 20)
    printed = running.communicate(timeout=120)[0].decode("utf-8")
    assert running.returncode == 1, printed
    assert "What is the project called?" in printed and "Which stage?" in printed
    answers = ours.answers()
    assert answers["project_name"] == "churn" and answers["project_slug"] == "churn-rate"
    assert answers["stage"] == "mvp" and ours.has("docs/modelling.md")
