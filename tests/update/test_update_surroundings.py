"""An update on any machine: line ends, locales and settings; what is refused, shown and checked."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from answers import SKELETON
from baking import run_git
from cases import posix_only
from living import (
    Project,
    Upstream,
    applied,
    copy_of,
    create,
    everything,
    left,
    refused,
    started,
)

pytestmark = pytest.mark.modules


# Line ends, locales, settings.


def test_files_with_crlf_stay_so_where_git_keeps_them(project: Project) -> None:
    checkout = project()
    (checkout.root / ".gitattributes").unlink()
    checkout.commit()
    names = ["README.md", "conf.cfg", "src/ml_project/train.py", "docs/data.md"]
    for name in names:
        checkout.write(name, checkout.text(name).replace("\n", "\r\n"))
    checkout.replace("README.md", "\r\n\r\n", "\r\n\r\nOurs.\r\n\r\n")
    checkout.commit()
    applied(checkout.tool("update", "--to", "v1.1.0"))
    for name in names:
        assert "\n" not in checkout.text(name).replace("\r\n", "")
    assert "Ours." in checkout.text("README.md") and "v1.1.0.\r\n" in checkout.text("README.md")
    assert checkout.text("conf.cfg").count("# What to predict.\r\n") == 1


def test_files_with_crlf_in_the_work_tree_alone_are_no_change(project: Project) -> None:
    """As an editor of Windows writes them: `.gitattributes` has git keep them with LF."""
    checkout = project()
    for name in ("README.md", "src/ml_project/train.py", "docs/data.md"):
        checkout.write(name, checkout.text(name).replace("\n", "\r\n"))
    checkout.git("add", "--all")
    applied(checkout.tool("update", "--to", "v1.1.0"))
    assert "\r" not in checkout.text("README.md")
    assert "\r\n" in checkout.text("docs/data.md")
    assert "docs/data.md" not in " ".join(checkout.status())


@pytest.mark.parametrize("command", [["update"], ["set", "stage=mvp"]])
def test_a_locale_that_is_not_utf_8_changes_nothing(project: Project, command: list[str]) -> None:
    checkout = project(author_name="Ünal", description="Predicts für 模型.")
    checkout.replace("pyproject.toml", "[tool.black]", "# Größe.\n[tool.black]")
    checkout.commit()
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    printed = applied(checkout.tool(*command, **locale))
    assert printed.isascii()
    assert checkout.answers()["description"] == "Predicts für 模型."
    assert 'name = "\\u00dcnal"' in checkout.text("pyproject.toml")
    assert "# Größe." in checkout.text("pyproject.toml")
    assert "Copyright (c) Ünal" in checkout.text("LICENSE")
    assert (checkout.root / ".cruft.json").read_bytes().isascii()


def test_settings_of_the_person_and_of_hooks_change_nothing(
    born: Project, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "merge.conflictStyle": "diff3",
        "diff.noprefix": "true",
        "diff.renames": "false",
        "core.autocrlf": "true",
        "core.safecrlf": "true",
        "commit.gpgSign": "true",
        "core.quotePath": "true",
        "status.showUntrackedFiles": "no",
        "color.ui": "always",
    }
    checkout, expected = project(), born("v2.0.0").tree()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    for name, value in settings.items():
        run_git(tmp_path, "config", "--global", name, value)
    (tmp_path / "cookiecutter.yaml").write_text("default_context: {region: us}\n", "utf-8")
    monkeypatch.setenv("COOKIECUTTER_CONFIG", str(tmp_path / "cookiecutter.yaml"))
    (tmp_path / "other").mkdir()
    run_git(tmp_path / "other", "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    done = checkout.tool("update")
    monkeypatch.delenv("GIT_DIR")
    applied(done)
    assert checkout.tree() == expected


# What is refused, each with one sentence and no trace.


def test_what_is_refused_before_anything_is_rendered(project: Project, tmp_path: Path) -> None:
    checkout = project()
    state = json.loads(checkout.text(".cruft.json"))

    def with_state(**changes: object) -> str:
        checkout.write(".cruft.json", json.dumps({**state, **changes}))
        checkout.commit()
        return refused(checkout.tool("update"))

    assert "such as stage=mvp" in refused(checkout.tool("set", "stage"))
    assert "v1.0.0 does not ask for 'colr': it asks for project_name," in (
        refused(checkout.tool("set", "colr=red"))
    )
    assert "ci 'travis' is not a choice of v1.0.0: choose github, gitlab, jenkins or none" in (
        refused(checkout.tool("set", "ci=travis"))
    )
    assert "template marker" in refused(checkout.tool("set", "description={{ 7 * 7 }}"))
    assert "description '' is empty" in refused(checkout.tool("set", "description="))
    assert "no version 'v9': it has v1.0.0, v1.1.0, v2.0.0" in (
        refused(checkout.tool("update", "--to", "v9"))
    )
    assert "invalid choice: 'upgrade'" in refused(checkout.tool("upgrade"))
    assert "no commit 1234" in with_state(commit="1234")
    assert "cannot be cloned" in with_state(template=(tmp_path / "nowhere").as_uri())
    assert "does not say which version" in with_state(commit=None)
    assert "is not what cruft writes" in with_state(context=None)
    answers = {**answers_of(state), "ci": "travis"}
    assert "ci 'travis' is not a choice" in with_state(context={"cookiecutter": answers})
    answers = {**answers_of(state), "description": "{{ 7 }}"}
    assert "template marker" in with_state(context={"cookiecutter": answers})
    checkout.git("rm", "--quiet", ".cruft.json")
    checkout.commit()
    assert ".cruft.json is missing" in refused(checkout.tool("status"))


def answers_of(state: dict[str, Any]) -> dict[str, str]:
    """Return the answers of what .cruft.json holds."""
    answers: dict[str, str] = state["context"]["cookiecutter"]
    return answers


def test_a_tree_that_is_not_clean_or_no_repository_is_refused(
    project: Project, tmp_path: Path
) -> None:
    checkout = project()
    checkout.write("new.txt", "x")
    assert "(new.txt): commit" in refused(checkout.tool("update"))
    checkout.git("add", "new.txt")
    checkout.write("README.md", "x")
    assert "and 1 more): commit" in refused(checkout.tool("set", "stage=mvp"))
    # A look is always allowed.
    assert "+A line of v1.1.0." in applied(checkout.tool("update", "--diff"))
    shutil.rmtree(checkout.root / ".git")
    assert "is not in a git repository" in refused(checkout.tool("update"))
    run_git(checkout.root, "init", "--quiet")
    assert "has no commit yet" in refused(checkout.tool("update"))


@posix_only
def test_without_git_or_cruft_a_sentence_says_how_to_get_it(
    project: Project, tmp_path: Path
) -> None:
    checkout = project()
    assert "git was not found" in refused(checkout.tool("update", PATH=str(tmp_path)))
    script = (
        '#!/bin/sh\ncase "$*" in *--version) echo "git version 2.34.1" ;; '
        f'*) exec {shutil.which("git")} "$@" ;; esac\n'
    )
    (tmp_path / "git").write_text(script, encoding="utf-8")
    (tmp_path / "git").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    assert "install git 2.38 or newer" in refused(checkout.tool("update", PATH=path))
    done = started([sys.executable, "-I", "-S", "tools/template.py", "status"], checkout.root)
    assert "cookiecutter is not installed for this Python: run `make setup`" in refused(done)


# What is shown.


def test_status_and_diff_tell_what_was_changed_here(project: Project) -> None:
    checkout = project()
    checkout.replace("README.md", "\n\n", "\n\nOurs.\n\n")
    (checkout.root / "notebooks" / "README.md").unlink()
    checkout.write("ours.txt", "x")
    printed = applied(checkout.tool("status"))
    assert "Version   v1.0.0, 2 releases behind: v1.1.0, v2.0.0; `make update`" in printed
    assert "Changed here, of the template's files:\n  README.md\nDeleted here" in printed
    assert printed.endswith("of the template's files:\n  notebooks/README.md\n")
    shown = applied(checkout.tool("diff"))
    assert "\n+Ours.\n" in shown and "deleted file" in shown and "ours.txt" not in shown
    checkout.git("checkout", "--quiet", ".")
    checkout.write("README.md.rej", "x")
    done = checkout.tool("status")
    assert done.returncode == 1 and "Not resolved yet" in done.stdout
    assert done.stdout.endswith("\n  README.md.rej\n")


def test_a_template_without_tags_is_compared_by_commits(template: Path, tmp_path: Path) -> None:
    run_git(tmp_path, "clone", "--quiet", template.as_uri(), "bare")
    checkout = create(f"git+{(tmp_path / 'bare').as_uri()}", tmp_path / "out", version="main")
    status = applied(checkout.tool("status"))
    assert ", the newest commit (the template has no releases)" in status
    (tmp_path / "bare" / SKELETON.name / "new.txt").write_text("x", "utf-8")
    for _ in range(2):
        run_git(tmp_path / "bare", "add", "--all", "--force")
        run_git(tmp_path / "bare", "commit", "--quiet", "--allow-empty", "--message", "new")
    status = applied(checkout.tool("status"))
    assert ", 2 commits behind (the template has no releases)" in status
    applied(checkout.tool("update"))
    assert checkout.has("new.txt")


def test_a_project_that_is_newer_than_the_newest_release_is_not_taken_back(
    upstream: Upstream, tmp_path: Path
) -> None:
    run_git(tmp_path, "clone", "--quiet", upstream.root.as_uri(), "ahead")
    ahead = tmp_path / "ahead"
    run_git(ahead, "commit", "--quiet", "--allow-empty", "--message", "later")
    checkout = create(f"git+{ahead.as_uri()}", tmp_path / "out", version="main")
    run_git(ahead, "commit", "--quiet", "--allow-empty", "--message", "a candidate")
    run_git(ahead, "tag", "v3.0.0-rc.1")
    assert re.search(
        r"^Version   v2\.0\.0\+1 \(\w+\), the newest$", applied(checkout.tool("status")), re.M
    )
    assert "Nothing to do" in applied(checkout.tool("update"))
    # Asked for by name, an earlier release comes, and so does a candidate.
    applied(checkout.tool("update", "--to", "v1.1.0"))
    assert checkout.has("docs/scoping.md") and not checkout.has("docs/scope.md")
    checkout.commit()
    assert "v1.1.0 -> v3.0.0-rc.1" in applied(checkout.tool("update", "--to", "v3.0.0-rc.1"))


def test_what_looks_alike_in_two_modules_is_not_taken_for_a_rename(
    template: Path, tmp_path: Path
) -> None:
    run_git(tmp_path, "clone", "--quiet", template.as_uri(), "alike")
    alike = Upstream(tmp_path / "alike")
    skeleton = alike.root / SKELETON.name
    same = "\n".join(f"# A line that both have: {number}." for number in range(20)) + "\n"
    for name in (".gitlab-ci.yml", ".github/workflows/ci.yml"):
        (skeleton / name).write_text(same, encoding="utf-8")
    alike.release("v1.0.0")
    checkout = create(alike.address, tmp_path / "out")
    checkout.write(".github/workflows/ci.yml", same + "# Ours.\n")
    checkout.commit()
    printed = left(checkout.tool("set", "ci=gitlab"))
    assert "dropped by the template" in printed and "\n  .github/workflows/ci.yml\n" in printed
    assert checkout.text(".gitlab-ci.yml") == same


def test_a_dry_run_shows_the_change_and_writes_nothing(project: Project) -> None:
    checkout = project()
    end = checkout.text("src/ml_project/train.py")
    checkout.write("src/ml_project/train.py", end + "\n\nOURS = 1\n")
    checkout.commit()
    before = everything(checkout)
    done = checkout.tool("update", "--diff")
    assert done.returncode == 1 and "+>>>>>>> template v2.0.0" in done.stdout
    assert "rename to docs/scope.md" in done.stdout
    shown = applied(checkout.tool("set", "ci=none", "--diff"))
    assert "deleted file mode 100644" in shown and ".github/workflows/ci.yml" in shown
    listed = applied(checkout.tool("set", "ci=gitlab", "--dry-run")).splitlines()
    assert listed == [
        *(
            "New:",
            "  .gitlab-ci.yml",
            "  renovate.json",
            "Changed:",
            "  .cruft.json",
            "  README.md",
        ),
        *("Removed:", "  .github/dependabot.yml", "  .github/workflows/ci.yml"),
        "Nothing was written; --diff shows the lines.",
    ], listed
    assert everything(checkout) == before and checkout.status() == []


def test_another_slug_moves_the_package(project: Project) -> None:
    checkout = project()
    checkout.write("src/ml_project/ours.py", '"""Ours."""\n')
    checkout.commit()
    left(checkout.tool("set", "project_slug=churn"))
    assert checkout.has("src/churn/train.py") and not checkout.has("src/ml_project/train.py")
    assert checkout.has("src/ml_project/ours.py")


# The checks, for real.


def test_the_checks_run_on_what_changed(project: Project) -> None:
    checkout = project()
    good = copy_of(checkout, checkout.root.with_name("good"))
    assert "Look at it with" in applied(good.checked_tool("update"))
    checkout.replace("src/ml_project/train.py", "from __future__", "import  os\nfrom __future__")
    checkout.commit()
    done = checkout.checked_tool("update")
    assert done.returncode == 1
    assert "black does not accept" in done.stdout and "ruff does not accept" in done.stdout
    assert "F401" in done.stdout and "make format" in done.stdout


@posix_only
def test_checks_that_cannot_run_are_named(project: Project) -> None:
    checkout = project()
    python = checkout.root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    checkout.replace("src/ml_project/train.py", "from __future__", "# Ours.\nfrom __future__")
    checkout.commit()
    printed = applied(checkout.checked_tool("update"))
    for tool in ("black", "ruff"):
        assert f"Not checked: {tool} is not installed here; run `make setup`" in printed
