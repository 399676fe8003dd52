"""Projects that live on: later versions, other answers, several people, interruptions, adoption."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answers import CHOICES, MODULES, SKELETON, TEMPLATE
from baking import run_git
from living import (
    TEN_FILES,
    Checkout,
    Upstream,
    applied,
    copy_of,
    create,
    left,
    make_upstream,
    module_answers,
    module_files,
    refused,
)

pytestmark = pytest.mark.modules

Project = Callable[..., Checkout]


@pytest.fixture(scope="session")
def upstream(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    return make_upstream(template, tmp_path_factory.mktemp("upstream") / "template.git")


@pytest.fixture(scope="session")
def born(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """``born(version="v1.0.0", ci="none")``: one project per set of answers, left as it is."""
    made: dict[tuple[str, ...], Checkout] = {}

    def maker(version: str = "v1.0.0", **answers: str) -> Checkout:
        given = [f"{prompt}={value}" for prompt, value in answers.items()]
        key = (version, *sorted(given))
        if key not in made:
            folder = tmp_path_factory.mktemp("born")
            made[key] = create(upstream.address, folder, *given, version=version)
        return made[key]

    return maker


@pytest.fixture
def project(born: Project, tmp_path: Path) -> Project:
    """A project of the test's own."""

    def maker(version: str = "v1.0.0", **answers: str) -> Checkout:
        original = born(version, **answers)
        return copy_of(original, tmp_path / original.root.name)

    return maker


def pairs(answers: dict[str, str]) -> list[str]:
    """Return answers as they are typed."""
    return [f"{prompt}={choice}" for prompt, choice in answers.items()]


# Every module, also those that later join: off, on again, with edits, and in a teammate's clone.


@pytest.mark.parametrize("condition", MODULES)
def test_a_module_goes_and_comes_back_also_in_a_fresh_clone(
    project: Project, tmp_path: Path, condition: str
) -> None:
    keep, drop = module_answers(condition, CHOICES)
    checkout = project(**keep)
    files, whole = module_files(checkout, condition), checkout.tree()
    assert files
    applied(checkout.tool("set", *pairs(drop)))
    assert [name for name in files if checkout.has(name)] == []
    assert [path for path in checkout.root.rglob("*") if path.is_dir() and empty(path)] == []
    checkout.commit()
    teammate = checkout.clone(tmp_path / "teammate")
    for each in (checkout, teammate):
        back = {prompt: keep.get(prompt, CHOICES[prompt][0]) for prompt in drop}
        applied(each.tool("set", *pairs(back)))
        assert each.tree() == whole
        each.commit()
        assert each.status() == []


def empty(folder: Path) -> bool:
    """Tell whether a folder of the project, not of git, holds nothing."""
    return ".git" not in folder.parts and not any(folder.iterdir())


@pytest.mark.parametrize("condition", MODULES)
def test_a_module_with_edits_is_listed_when_it_goes_and_stays_until_a_person_decides(
    project: Project, condition: str
) -> None:
    keep, drop = module_answers(condition, CHOICES)
    checkout = project(**keep)
    files = module_files(checkout, condition)
    checkout.write(files[0], checkout.text(files[0]) + "# Ours.\n")
    checkout.commit()
    printed = left(checkout.tool("set", *pairs(drop)))
    assert f"dropped by the template: `git rm` it, or `git add` it to keep it:\n  {files[0]}" in (
        printed
    )
    assert checkout.text(files[0]).endswith("# Ours.\n")
    assert [name for name in files[1:] if checkout.has(name)] == []
    assert checkout.git("ls-files", "--unmerged", files[0]) != ""
    checkout.git("rm", "--quiet", files[0])
    checkout.git("commit", "--quiet", "--message", "gone")
    assert checkout.status() == [] and not checkout.has(files[0])


def test_an_own_file_in_a_module_that_goes_is_listed_and_kept(project: Project) -> None:
    checkout = project()
    checkout.write(".github/workflows/ours.yml", "on: push\n")
    checkout.commit()
    printed = left(checkout.tool("set", "ci=none"))
    assert "Your own, in a folder that the template has left" in printed
    assert checkout.status()[0].endswith(".cruft.json") and "  .github/workflows/ours.yml" in (
        printed
    )
    assert checkout.text(".github/workflows/ours.yml") == "on: push\n"


def test_byte_code_does_not_keep_the_folder_of_a_module(
    upstream: Upstream, project: Project, tmp_path: Path
) -> None:
    """What is there is found by its folder: an empty one would count as the module."""
    checkout = project(version="v2.0.0")
    cache = checkout.root / ".github" / "workflows" / "__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_bytes(b"x")
    applied(checkout.tool("set", "ci=none"))
    assert not (checkout.root / ".github").exists()


# From v1.0.0 to v1.1.0: edits of a person, far from the template's and on top of them.


def test_an_untouched_project_becomes_the_one_that_is_made_anew(
    born: Project, project: Project
) -> None:
    for version in ("v1.1.0", "v2.0.0"):
        checkout = project()
        applied(checkout.tool("update", "--to", version))
        new = born(version)
        assert checkout.git("ls-files") == new.git("ls-files")
        names = checkout.git("ls-files").split()
        differing = [name for name in names if checkout.text(name) != new.text(name)]
        assert differing == []
        assert "Every file of the template is as it was" in applied(checkout.tool("status"))
        shutil.rmtree(checkout.root)


def test_edits_far_from_the_template_s_are_kept(project: Project) -> None:
    checkout = project()
    checkout.replace("README.md", "\n\n", "\n\nOurs.\n\n")
    checkout.replace("src/ml_project/train.py", "from __future__", "# Ours.\nfrom __future__")
    checkout.commit()
    applied(checkout.tool("update", "--to", "1.1.0"))
    for name in ("README.md", "src/ml_project/train.py"):
        assert "Ours." in checkout.text(name) and "line of v1.1.0." in checkout.text(name)


def test_edits_on_top_of_the_template_s_are_shown_and_all_else_is_applied(
    project: Project, tmp_path: Path
) -> None:
    checkout = project()
    end = checkout.text("src/ml_project/train.py")
    checkout.write("src/ml_project/train.py", end + "\n\nOURS = 1\n")
    checkout.commit()
    # The teammate's clone has no pristine file to start from; the outcome is the same.
    for each in (checkout, checkout.clone(tmp_path / "teammate")):
        printed = left(each.tool("update", "--to", "v1.1.0"))
        assert "edit, then `git add`:\n  src/ml_project/train.py\n" in printed
        text = each.text("src/ml_project/train.py")
        assert re.search(
            r"<<<<<<< yours\n(.|\n)*OURS = 1\n=======\n(.|\n)*>>>>>>> template v1.1.0\n", text
        )
        for name in TEN_FILES[:-1]:
            assert "A line of v1.1.0." in each.text(f"src/ml_project/{name}.py")
        assert [line for line in each.status() if line[:2] == "UU"] == [
            "UU src/ml_project/train.py"
        ]
        assert each.root.joinpath(".cruft.json").read_text("ascii").count("v1") == 0
        status = each.tool("status")
        assert status.returncode == 1 and "Not resolved yet" in status.stdout
        assert "not committed" in refused(each.tool("update"))
        undo = re.findall(r"git reset --hard \w+", printed)[0]
        subprocess.run(undo.split(), cwd=each.root, check=True, capture_output=True)
        assert each.status() == [] and each.text("src/ml_project/train.py").endswith("OURS = 1\n")


def test_a_file_that_was_deleted_stays_away_and_is_told_until_it_is_skipped(
    project: Project,
) -> None:
    checkout = project()
    for name in ("runs.py", "report.py"):
        (checkout.root / "src" / "ml_project" / name).unlink()
    (checkout.root / "docs" / "scoping.md").unlink()
    (checkout.root / "docs" / "experiments.md").unlink()
    checkout.commit()
    copy = copy_of(checkout, checkout.root.with_name("copy"))
    printed = left(checkout.tool("update", "--to", "v2.0.0"))
    told = re.findall(r"^  (\S+)$", printed.partition("Deleted here")[2], re.MULTILINE)
    # Changed, changed, renamed; what did not change is no news.
    assert told == ["docs/scope.md", "src/ml_project/report.py", "src/ml_project/runs.py"]
    assert [name for name in told if checkout.has(name)] == []
    assert not checkout.has("docs/scoping.md") and not checkout.has("docs/experiments.md")
    copy.write(
        "pyproject.toml",
        copy.text("pyproject.toml")
        + '\n[tool.cruft]\nskip = ["docs/scop*", "src/ml_project/report.py", "src/*/runs.py"]\n',
    )
    copy.commit()
    applied(copy.tool("update", "--to", "v2.0.0"))
    assert [name for name in told if copy.has(name)] == []


def test_a_file_in_the_place_of_a_new_one_of_the_template_is_kept_beside_it(
    project: Project,
) -> None:
    checkout = project()
    checkout.write("containers.yaml", "services: {}\n")
    checkout.commit()
    printed = left(checkout.tool("update", "--to", "v2.0.0"))
    assert "edit, then `git add`:\n  containers.yaml\n" in printed
    assert "services: {}\n" in checkout.text("containers.yaml")
    assert "# New in v2.0.0." in checkout.text("containers.yaml")


def test_an_ignored_file_in_the_place_of_a_new_one_is_not_overwritten(project: Project) -> None:
    checkout = project()
    checkout.write(".gitignore", checkout.text(".gitignore") + "containers.yaml\n")
    checkout.commit()
    checkout.write("containers.yaml", "services: {}\n")
    sentence = refused(checkout.tool("update", "--to", "v2.0.0"))
    assert sentence.startswith("Error: containers.yaml is ignored by git and would be overwritten")
    assert checkout.status() == [] and checkout.text("containers.yaml") == "services: {}\n"


# To v2.0.0, which renames a file, changes parts that most lack, and asks otherwise.


def test_an_edited_file_follows_its_new_name(project: Project) -> None:
    checkout = project()
    text = checkout.text("docs/scoping.md")
    checkout.write("docs/scoping.md", text + "\nOurs.\n")
    checkout.commit()
    applied(checkout.tool("update"))
    assert checkout.text("docs/scope.md") == text + "\nOurs.\n"
    assert not checkout.has("docs/scoping.md")


def test_a_file_that_a_person_renamed_still_gets_the_change(project: Project) -> None:
    checkout = project()
    checkout.git("mv", "docs/data.md", "docs/our-data.md")
    checkout.commit()
    applied(checkout.tool("update"))
    assert "# v2: " in checkout.text("docs/our-data.md") and not checkout.has("docs/data.md")


def test_parts_that_a_project_lacks_come_only_when_it_asks(
    born: Project, project: Project, tmp_path: Path
) -> None:
    checkout = project(platform="local", ci="github")
    applied(checkout.tool("update"))
    assert not checkout.has("containers.yaml") and not checkout.has(".gitlab-ci.yml")
    assert checkout.text("docs/from-hook.md") == "# A hook\n"
    checkout.commit()
    teammate = checkout.clone(tmp_path / "teammate")
    applied(teammate.tool("set", "platform=docker", "ci=gitlab"))
    assert teammate.text("containers.yaml") == "# New in v2.0.0.\n"
    assert teammate.text(".gitlab-ci.yml").endswith("# A line of v2.0.0.\n")
    new = born("v2.0.0", platform="docker", ci="gitlab")
    assert teammate.tree() == new.tree()


def test_other_questions_are_told_and_old_answers_carried_over(project: Project) -> None:
    checkout = project(author_name="Ünal & 模型", colour="blue")
    printed = applied(checkout.tool("update", PYTHONIOENCODING="utf-8"))
    assert [line for line in printed.splitlines() if line.startswith("Note: ")] == [
        "Note: Say which region with `set region=us`.",
        "Note: author_name is called owner now: your answer '\\xdcnal & \\u6a21\\u578b' is carried "
        "over.",
        "Note: colour (your answer was 'blue') has gone: it never had an effect.",
        "Note: region is a new question, answered with 'eu': `python tools/template.py set "
        "region=...` changes it.",
    ]
    answers = checkout.answers()
    assert (answers["owner"], answers["region"]) == ("Ünal & 模型", "eu")
    assert not {"author_name", "colour"} & set(answers)
    assert "Ünal & 模型" in checkout.text("LICENSE")
    checkout.commit()
    applied(checkout.tool("set", "region=us"))
    assert "Region: us." in checkout.text("README.md")
    checkout.commit()
    assert "(owner)" in refused(checkout.tool("set", "author_name=x"))


def test_a_choice_that_has_gone_is_one_sentence_and_the_command_in_it_works(
    project: Project,
) -> None:
    checkout = project(ci="jenkins")
    sentence = refused(checkout.tool("update"))
    assert sentence == (
        "Error: ci 'jenkins' is not a choice of v2.0.0 (the Jenkinsfile is yours to keep, with "
        "ci=none): choose github, gitlab or none, as in `python tools/template.py set ci=github "
        "--to v2.0.0`.\n"
    )
    assert checkout.status() == []
    command = re.findall(r"template.py ([^`]+)`", sentence)[0]
    applied(checkout.tool(*command.split()))
    assert checkout.has(".github/workflows/ci.yml") and not checkout.has("Jenkinsfile")


def test_two_updates_in_a_row_by_two_people(
    born: Project, project: Project, tmp_path: Path
) -> None:
    one = project()
    one.replace("README.md", "\n\n", "\n\nOurs.\n\n")
    one.commit()
    applied(one.tool("update", "--to", "v1.1.0"))
    one.commit("first update")
    two = one.clone(tmp_path / "two")
    applied(two.tool("update"))
    two.commit("second update")
    one.git("pull", "--quiet", str(two.root), "main")
    assert one.status() == [] and one.tree() == two.tree()
    new = born("v2.0.0")
    names = [name for name in new.git("ls-files").split() if name != "README.md"]
    assert [name for name in names if one.text(name) != new.text(name)] == []
    assert "Ours." in one.text("README.md") and "Region: eu." in one.text("README.md")
    assert "Nothing to do" in applied(one.tool("update"))


def test_two_branches_that_changed_different_answers_merge_into_one_project(
    born: Project, project: Project, tmp_path: Path
) -> None:
    """Only the record of the answers may need a hand; no file of the template does."""
    one = project()
    two = one.clone(tmp_path / "two")
    applied(one.tool("set", "ci=none"))
    one.commit()
    applied(two.tool("set", "stage=production"))
    two.commit()
    one.git("fetch", "--quiet", str(two.root), "main")
    merged = subprocess.run(
        ["git", "merge", "--quiet", "FETCH_HEAD"], cwd=one.root, capture_output=True
    )
    assert merged.returncode == 0 or one.git("diff", "--name-only", "--diff-filter=U") == (
        ".cruft.json\n"
    )
    assert one.has("docs/business.md") and not one.has(".github/workflows/ci.yml")


# The team's own files.


def test_the_team_s_own_lines_beside_the_template_s_are_no_conflict(project: Project) -> None:
    checkout = project()
    checkout.replace("conf.cfg", "source = sklearn:breast_cancer", "source = churn.csv")
    checkout.replace("conf.cfg", "target = diagnosis", "target = left")
    own = "\n[params]\nforest.n_estimators = 500\n"
    checkout.write("conf.cfg", checkout.text("conf.cfg") + own)
    checkout.replace("src/ml_project/custom.py", '"""The team', '"""Our team')
    checklist = sorted(path.name for path in (checkout.root / "checklist").glob("*.yaml"))
    for name in checklist:
        first = checkout.text(f"checklist/{name}").splitlines()[0]
        checkout.replace(f"checklist/{name}", first, f"{first} Ours.")
    checkout.commit()
    applied(checkout.tool("update", "--to", "v1.1.0"))
    settings = checkout.text("conf.cfg")
    assert "source = churn.csv\n# What to predict.\ntarget = left\n" in settings
    assert "\n[later]\nspeed = 1\n" in settings and own in settings
    assert checkout.text("src/ml_project/custom.py").startswith('# Since v1.1.0.\n"""Our team')
    for name in checklist:
        first, second = checkout.text(f"checklist/{name}").splitlines()[:2]
        assert first == "# Since v1.1.0." and second.endswith(" Ours.")


def test_the_very_same_line_of_a_team_s_file_is_a_conflict(project: Project) -> None:
    checkout = project()
    checkout.replace("conf.cfg", "# The column to predict.", "# Our column.")
    checkout.commit()
    printed = left(checkout.tool("update", "--to", "v1.1.0"))
    assert "edit, then `git add`:\n  conf.cfg\n" in printed
    assert "<<<<<<< yours\n# Our column.\n" in checkout.text("conf.cfg")


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


# Interruptions.


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_stop_in_the_middle_is_undone_by_the_command_that_was_printed(
    project: Project, sign: signal.Signals
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
    os.killpg(running.pid, sign)
    running.communicate()
    subprocess.run(line.partition(": ")[2].split(), cwd=checkout.root, check=True)
    assert everything(checkout) == before and checkout.status() == []
    applied(checkout.tool("set", "ci=none", "--to", "v2.0.0"))


def everything(checkout: Checkout) -> dict[str, bytes]:
    """Return the content of every file, those that git ignores included, git's own left out."""
    files = (path for path in checkout.root.rglob("*") if path.is_file())
    relative = {path.relative_to(checkout.root).as_posix(): path for path in files}
    return {name: p.read_bytes() for name, p in relative.items() if not name.startswith(".git/")}


# Stops at the given line of `write` or `remove`, as a kill would: nothing is cleaned up. Where git
# writes the files, it is given only the first half of them.
STOPPER = """
import argparse, importlib.util, json, os, subprocess, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("tool", "tools/template.py")
tool = importlib.util.module_from_spec(spec)
sys.modules["tool"] = tool
spec.loader.exec_module(tool)
project = tool.open_project()
options = argparse.Namespace(to="v2.0.0", answers=["ci=none"], dry_run=False, no_checks=True)
undo = ["git", "reset", "--quiet", "--hard", project.head]

def files():
    found = (path for path in Path().rglob("*") if path.is_file() and path.parts[0] != ".git")
    return {str(path): path.read_bytes() for path in found}

def stop_at(line):
    left, start = [line], tool.start_git
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
    tool.start_git = half
    sys.settrace(trace)

before, codes, line = files(), [], 0
with tool.work_folder() as work:
    plan = tool.make_plan(project, options, work)
    while not codes or codes[-1] == 9:
        line += 1
        child = os.fork()
        if child == 0:
            stop_at(line)
            try:
                tool.write(project, plan.merged, plan.changes)
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
def test_a_stop_at_any_line_that_writes_is_undone_by_one_command(project: Project) -> None:
    checkout = project()
    checkout.write("data/train/part-0.parquet", "ignored, and precious")
    done = subprocess.run(
        [sys.executable, "-c", STOPPER], cwd=checkout.root, capture_output=True, encoding="utf-8"
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


# What is refused, each with one sentence and no trace.


def test_what_is_refused_before_anything_is_rendered(project: Project, tmp_path: Path) -> None:
    checkout = project()
    state = json.loads(checkout.text(".cruft.json"))

    def with_state(**changes: object) -> str:
        checkout.write(".cruft.json", json.dumps({**state, **changes}))
        checkout.commit()
        return refused(checkout.tool("update"))

    assert "such as stage=mvp" in refused(checkout.tool("set", "stage"))
    assert "'colr' is no question of v1.0.0: it asks for project_name," in (
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
    assert "cannot be cloned" in with_state(template=f"file://{tmp_path}/nowhere")
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
    assert "+A line of v1.1.0." in applied(checkout.tool("update", "--dry-run"))
    shutil.rmtree(checkout.root / ".git")
    assert "is in no git repository" in refused(checkout.tool("update"))
    run_git(checkout.root, "init", "--quiet")
    assert "has no commit yet" in refused(checkout.tool("update"))


def test_without_git_or_cruft_a_sentence_says_how_to_get_it(
    project: Project, tmp_path: Path
) -> None:
    checkout = project()
    assert "git was not found" in refused(checkout.tool("update", PATH=str(tmp_path)))
    (tmp_path / "git").write_text('#!/bin/sh\necho "git version 2.34.1"\n', encoding="utf-8")
    (tmp_path / "git").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    assert "install git 2.38 or newer" in refused(checkout.tool("update", PATH=path))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "tools/template.py", "status"],
        cwd=checkout.root,
        capture_output=True,
        encoding="utf-8",
    )
    assert "cruft is not installed for this Python: run `make setup`" in refused(done)


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
    run_git(tmp_path, "clone", "--quiet", f"file://{template}", "bare")
    checkout = create(f"git+file://{tmp_path / 'bare'}", tmp_path / "out", version="main")
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
    run_git(tmp_path, "clone", "--quiet", f"file://{upstream.root}", "ahead")
    ahead = tmp_path / "ahead"
    run_git(ahead, "commit", "--quiet", "--allow-empty", "--message", "later")
    checkout = create(f"git+file://{ahead}", tmp_path / "out", version="main")
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
    run_git(tmp_path, "clone", "--quiet", f"file://{template}", "alike")
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
    done = checkout.tool("update", "--dry-run")
    assert done.returncode == 1 and "+>>>>>>> template v2.0.0" in done.stdout
    assert "rename to docs/scope.md" in done.stdout
    shown = applied(checkout.tool("set", "ci=none", "--dry-run"))
    assert "deleted file mode 100644" in shown and ".github/workflows/ci.yml" in shown
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
    assert "black is not content" in done.stdout and "ruff is not content" in done.stdout
    assert "F401" in done.stdout and "make format" in done.stdout


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


# However a project was made, it can be updated, or says how.


def test_a_project_of_cruft_create(upstream: Upstream, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cruft", "create", f"file://{upstream.root}", "--no-input"]
    subprocess.run([*command, "--checkout", "v1.0.0"], cwd=tmp_path, check=True)
    checkout = Checkout(tmp_path / "ml-project")
    assert "is in no git repository" in refused(checkout.tool("update"))
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
    listed = run_git(tmp_path, "ls-remote", "--tags", f"file://{upstream.root}", "v1.0.0")
    state.update(template=f"file://{upstream.root}", commit=listed.split()[0])
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


# Adopting the template, by the commands of the documentation.


def documented(heading: str) -> str:
    """Return the first block of commands below a heading of `docs/living.md`."""
    page = (TEMPLATE / "docs" / "living.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return str(re.findall(r"```bash\n(.*?)```", section, re.DOTALL)[0])


def test_adopting_keeps_own_files_adds_the_template_s_and_shows_conflicts(
    upstream: Upstream, tmp_path: Path
) -> None:
    ours = Checkout(tmp_path / "churn")
    ours.root.mkdir()
    ours.git("init", "--quiet", "--initial-branch=main")
    ours.write("README.md", "# Churn, since 2019\n")
    ours.write("src/churn/legacy.py", "print('works')\n")
    ours.write(".gitignore", "secret.txt\n")
    ours.commit("years of work")
    ours.write("secret.txt", "ignored")
    script = documented("Adopt it in a repository that exists")
    script = script.replace("<the address of the template>", upstream.address)
    bin_folder = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-c", f"cd churn\n{script}"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"},
        input="\n" * 20,
        capture_output=True,
        encoding="utf-8",
    )
    assert "Automatic merge failed" in done.stdout, done.stdout + done.stderr
    conflicts = ours.git("diff", "--name-only", "--diff-filter=U").split()
    assert conflicts == [".gitignore", "README.md"]
    assert "# Churn, since 2019\n" in ours.text("README.md") and "<<<<<<<" in ours.text("README.md")
    assert ours.text("src/churn/legacy.py") == "print('works')\n"
    assert ours.text("secret.txt") == "ignored"
    assert ours.has("src/churn/train.py") and ours.has("conf.cfg") and ours.has("Makefile")
    for name in conflicts:
        ours.write(name, re.sub(r"^(<{7}|={7}|>{7}).*\n", "", ours.text(name), flags=re.M))
    ours.commit("adopt the template")
    assert ours.git("log", "--format=%s").splitlines()[-1] == "years of work"
    state = json.loads(ours.text(".cruft.json"))
    assert state["commit"] == upstream.commit_of("v2.0.0")
    status = applied(ours.tool("status"))
    assert "the newest\nChanged here, of the template's files:\n  .gitignore\n  README.md\n" in (
        status
    )
    applied(ours.tool("set", "region=us"))
    assert ours.answers()["region"] == "us"


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
    upstream = tmp_path / "template.git"
    run_git(tmp_path, "clone", "--quiet", str(TEMPLATE), str(upstream))
    run_git(upstream, "rm", "-r", "--quiet", ".")
    shutil.copytree(template, upstream, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git"))
    run_git(upstream, "add", "--all", "--force")
    run_git(upstream, "commit", "--quiet", "--allow-empty", "--message", "as it stands")
    run_git(upstream, "tag", "v999.0.0")
    checkout = create(f"git+file://{upstream}", tmp_path / "out", version=earlier)
    if not checkout.has("tools/template.py"):
        # Of before the tool: a person takes it from the template.
        tool = template / SKELETON.name / "tools" / "template.py"
        checkout.write("tools/template.py", tool.read_text(encoding="utf-8"))
    checkout.replace("README.md", "\n\n", "\n\nOurs.\n\n")
    checkout.replace("conf.cfg", "margin = 0.05", "margin = 0.02")
    custom = checkout.text("src/ml_project/custom.py")
    checkout.write("src/ml_project/custom.py", f'{custom}\n\nOURS = "Ours."\n')
    checkout.write("src/ml_project/ours.py", '"""Ours."""\n')
    checkout.commit()
    applied(checkout.checked_tool("update"))
    for name in ("README.md", "src/ml_project/custom.py"):
        assert "Ours." in checkout.text(name)
    assert "margin = 0.02" in checkout.text("conf.cfg")
    environment = {**os.environ, "PYTHONPATH": str(checkout.root / "src")}
    with tempfile.TemporaryDirectory() as cache:
        for command in (
            ["black", "--check", "--quiet", "."],
            ["ruff", "check", "--quiet", "--no-cache", "."],
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
