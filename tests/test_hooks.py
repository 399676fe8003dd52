"""What the hooks refuse, and what they do on a first bake and leave alone on an update."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from answers import (
    CHOICES,
    COOKIECUTTER,
    DEFAULTS,
    DEPENDENCIES,
    FREE_TEXT,
    IMPOSSIBLE,
    MODULES,
    SKELETON,
    TEMPLATE,
    hook_literal,
    is_possible,
    pins_of,
)
from baking import BakedProject, bake_project, run_git, run_hook
from cases import every_case, posix_only
from cookiecutter.exceptions import FailedHookException
from cookiecutter.generate import generate_context, generate_files
from cookiecutter.main import cookiecutter
from cookiecutter.prompt import prompt_for_config

Bake = Callable[..., BakedProject]

GOOD = {
    "project_name": "Churn",
    "project_slug": "churn",
    "description": "Predicts churn.",
    "author_name": "The churn team",
    **DEFAULTS,
    "_repo_dir": str(TEMPLATE),
}


def hook(name: str) -> dict[str, Any]:
    """Import a hook as it stands, unrendered, and return what it defines."""
    return runpy.run_path(str(TEMPLATE / "hooks" / f"{name}_project.py"), run_name=name)


PRE_GEN, POST_GEN = hook("pre_gen"), hook("post_gen")


def fault(**answers: Any) -> str | None:
    """Return the sentence with which these answers are refused, None if they are good."""
    sentence: str | None = PRE_GEN["find_fault"]({**GOOD, **answers})
    return sentence


REFUSED_SLUGS = {
    "not a plain name": [
        *("../evil", "a/b", "/evil", "..", ".", "a\\b", "C:evil", "-churn", "churn-", "churn_"),
        *("Churn", "1churn", "_churn", "churn.model", "churn model", "chürn", "a\u0301b", "a;b"),
        *("a_-b", "a-_b", "a___b"),
        *("$HOME", "a&b", "~", "*", "churn\u200d"),
    ],
    "keyword": ["import", "class", "lambda", "async", "not", "yield"],
    "Python's own": ["json", "io", "email", "logging", "distutils", "asyncio", "statistics", "cgi"],
    "the project uses": [
        *(
            "pandas",
            "sklearn",
            "scikit-learn",
            "scikit_learn",
            "yaml",
            "pre-commit",
            "types-pyyaml",
        ),
    ],
    "folder": ["tests", "src", "data", "docs", "models", "build"],
    "command": ["python", "pip", "git", "make", "activate"],
    "Windows": ["con", "nul", "aux", "prn", "com1", "lpt9"],
    "at most 60": ["a" * 61],
    "empty": ["", "   "],
}


@every_case(
    ("slug", "reason"),
    [(slug, reason) for reason, slugs in REFUSED_SLUGS.items() for slug in slugs],
)
def test_a_slug_that_breaks_something_is_refused_with_the_reason(slug: str, reason: str) -> None:
    sentence = fault(project_slug=slug)
    assert sentence is not None and reason in sentence
    assert sentence.startswith("project_slug ") and sentence.isascii() and "\n" not in sentence


@every_case(
    "slug", ["m", "a" * 60, "churn-model", "churn_model", "m5", "x--y", "x__y", "a-b_c", "type"]
)
def test_a_plain_slug_is_accepted(slug: str) -> None:
    assert fault(project_slug=slug) is None


@pytest.mark.parametrize("prompt", FREE_TEXT)
@every_case(
    ("value", "reason"),
    [
        ("", "is empty"),
        (" \t ", "is empty"),
        (None, "is not text"),
        (7, "is not text"),
        ("a {{ b", "template marker"),
        ("a {% b", "template marker"),
        ("a {# b", "template marker"),
        ("a\nb", "control character"),
        ("a\x00b", "control character"),
        ("a\u202eb", "control character"),
        ("a\ud800b", "control character"),
        ("a\U0001f600b", "beyond U+FFFF"),
        (" ab", "space"),
        ("a" * 501, "at most"),
    ],
)
def test_unusable_text_is_refused_at_every_prompt(prompt: str, value: Any, reason: str) -> None:
    sentence = fault(**{prompt: value})
    assert sentence is not None and reason in sentence
    assert sentence.startswith(f"{prompt} ") and sentence.isascii() and "\n" not in sentence
    assert len(sentence) < 220


@every_case("prompt", CHOICES)
def test_a_choice_outside_the_list_is_refused_with_the_list(prompt: str) -> None:
    sentence = fault(**{prompt: "bitkeeper"})
    assert sentence is not None and sentence.startswith(f"{prompt} 'bitkeeper'")
    assert [choice for choice in CHOICES[prompt] if choice not in sentence] == []


def test_answers_that_cannot_go_together_are_refused_with_what_to_choose() -> None:
    row = ({"ci": "github", "platform": "local"}, "choose docker")
    with patch.dict(PRE_GEN["find_fault"].__globals__, {"IMPOSSIBLE": [row]}):
        assert fault(ci="github", platform="docker") is None
        assert (
            fault(ci="github", platform="local")
            == "ci 'github' and platform 'local' do not go together: choose docker."
        )


def test_every_impossible_combination_names_real_answers_and_is_refused() -> None:
    for together, instead in IMPOSSIBLE:
        assert all(choice in CHOICES[prompt] for prompt, choice in together.items())
        assert instead in str(fault(**together))
    assert is_possible(DEFAULTS)


def test_the_choices_are_those_of_cookiecutter_json_wherever_it_was_called_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cookiecutter passes on the template's path as it was typed."""
    monkeypatch.chdir(tmp_path)  # where hooks run: elsewhere
    for typed, shell, output in (
        (TEMPLATE, tmp_path, tmp_path),
        (TEMPLATE.name, TEMPLATE.parent, tmp_path),
        (TEMPLATE.name, tmp_path, TEMPLATE.parent),
    ):
        monkeypatch.setenv("PWD", str(shell))
        where = {"_repo_dir": str(typed), "_output_dir": str(output)}
        assert PRE_GEN["read_choices"](where) == CHOICES
    assert PRE_GEN["read_choices"]({}) == {}  # cruft


def test_a_replay_with_a_choice_that_is_not_there_is_refused(tmp_path: Path) -> None:
    replay = tmp_path / "replay.json"
    answers = {**GOOD, "ci": "travis", "__package": "churn", "__kubernetes_name": "churn"}
    replay.write_text(json.dumps({"cookiecutter": answers}), encoding="utf-8")
    with (
        patch("cookiecutter.hooks.run_script", run_hook),
        pytest.raises(FailedHookException, match="ci 'travis' is not a choice: choose github"),
    ):
        cookiecutter(str(TEMPLATE), replay=str(replay), output_dir=str(tmp_path / "out"))
    assert not (tmp_path / "out" / "churn").exists()


def test_the_hook_knows_the_prompts_of_free_text() -> None:
    assert list(hook_literal("pre_gen", "LENGTHS")) == FREE_TEXT


@every_case(
    ("known", "refused"),
    [
        ({"__package": "churn", "_output_dir": "/out", "_repo_dir": "."}, False),
        ({"__package": "churn", "_commit": "1234"}, False),  # cruft
        ({"__package": "churn", "_output_dir": "/out"}, True),
        ({"__package": "{{ cookiecutter.project_slug }}", "_template": "."}, True),
    ],
)
def test_an_old_cookiecutter_is_refused_by_what_it_hands_over(
    known: dict[str, str], refused: bool
) -> None:
    answers = {prompt: answer for prompt, answer in GOOD.items() if not prompt.startswith("_")}
    sentence = PRE_GEN["find_fault"]({**answers, **known})
    assert (sentence is not None) == refused
    assert not refused or "2.2 or newer is needed" in str(sentence)


@pytest.mark.modules
@pytest.mark.parametrize("version", ["1.7.3", "2.1.1", "2.2.0"])
def test_the_oldest_cookiecutter_bakes_the_same_and_older_ones_are_refused(
    version: str, bake: Bake, template: Path, tmp_path: Path
) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=tmp_path, capture_output=True, encoding="utf-8")

    uv = [sys.executable, "-m", "uv"]
    assert run(*uv, "venv", "--quiet", "--python", sys.executable, "old").returncode == 0
    python = f"old/{'Scripts' if os.name == 'nt' else 'bin'}/python"
    # The first of them imports pkg_resources.
    wanted = [f"cookiecutter=={version}", "setuptools<80"]
    done = run(*uv, "pip", "install", "--quiet", "--python", python, *wanted)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out").mkdir()
    done = run(python, "-m", "cookiecutter", str(template), "--no-input", "-o", "out")
    minimum = re.search(
        r"cookiecutter (\d+\.\d+) or newer", (TEMPLATE / "README.md").read_text("utf-8")
    )
    assert minimum and minimum[1] == "2.2"
    if version == "2.2.0":
        assert done.returncode == 0, done.stderr
        project = BakedProject(tmp_path / "out" / "ml-project", {})
        assert {name: project.text(name) for name in project.files()} == {
            name: bake().text(name) for name in bake().files()
        }
    else:
        printed = done.stdout + done.stderr
        assert done.returncode != 0
        assert len(re.findall("^Error: .*2.2 or newer is needed.*$", printed, re.MULTILINE)) == 1
        assert "Traceback" not in printed
        assert [*(tmp_path / "out").iterdir()] == []


def test_the_hook_knows_every_dependency(bake: Bake) -> None:
    project = tomllib.loads(bake(serving="rest", boosters="yes").text("pyproject.toml"))["project"]
    extras = project["optional-dependencies"].values()
    requirements = [*project["dependencies"], *(text for extra in extras for text in extra)]
    names = {re.split(r"[\[<>=!~; ]", text, maxsplit=1)[0] for text in requirements}
    assert set(DEPENDENCIES) == names


def test_the_hook_refuses_the_name_of_everything_that_is_installed() -> None:
    lines = pins_of(SKELETON / "constraints.txt")
    installed = {re.split("==", line)[0].replace(".", "-") for line in lines}
    modules = {
        module
        for module, distributions in packages_distributions().items()
        if any(re.sub("[-_.]+", "-", name).lower() in installed for name in distributions)
    }
    names = {name for name in modules | installed if not re.search("__|-stubs$", name)}
    assert len(names) > 100
    assert sorted(name for name in names if fault(project_slug=name) is None) == []


def test_the_hook_knows_every_folder_of_the_project() -> None:
    folders = {path.name for path in SKELETON.iterdir() if path.is_dir()}
    assert {name for name in folders if not name.startswith(".")} <= PRE_GEN["FOLDERS"]


def test_every_module_names_real_answers_and_paths_once() -> None:
    listed = [path for paths in MODULES.values() for path in paths]
    assert len(listed) == len(set(listed))
    for condition in MODULES:
        for prompt, choices in (term.split("=") for term in condition.split()):
            assert set(choices.split("|")) < set(CHOICES[prompt]), condition
    names = [path.replace("{package}", "{{cookiecutter.__package}}") for path in listed]
    assert [name for name in names if not (SKELETON / name).exists()] == []


def test_a_condition_asks_for_every_term_and_one_of_its_choices() -> None:
    is_kept = POST_GEN["is_kept"]
    answers = {"stage": "mvp", "ci": "none"}
    assert is_kept("stage=mvp|production", answers) and is_kept("stage=mvp ci=none", answers)
    assert not is_kept("stage=production", answers)
    assert not is_kept("stage=mvp ci=github|gitlab", answers)


def test_pruning_removes_folders_that_it_empties_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/b/c/one.txt", "a/b/c/d/two.txt", "e/kept.txt", "e/gone.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("x", encoding="utf-8")
    Path("empty").mkdir()
    for path in ("a/b/c", "e/gone.txt", "never/was/there"):
        POST_GEN["remove"](path)
    assert sorted(path.as_posix() for path in Path().rglob("*")) == ["e", "e/kept.txt", "empty"]


# The first bake.


def test_the_first_commit_is_the_pristine_rendering(bake: Bake) -> None:
    project = bake()
    assert project.git("status", "--porcelain", "--ignored") == ""
    assert project.git("ls-files").split() == project.files()
    assert project.git("log", "--format=%an %s").splitlines() == [
        "Test Person Create the project from its template"
    ]
    assert project.git("branch", "--show-current").strip() == "main"


def test_three_next_steps_are_printed_in_ascii(
    bake_into: Bake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PWD", str(tmp_path))
    bake_into(tmp_path / "für uns", project_slug="churn")
    printed = capfd.readouterr().out
    assert printed.isascii()
    assert re.findall(r"^  \d\. (.*?)(?:   .*)?$", printed, re.MULTILINE) == [
        'cd "f\\xfcr uns/churn"',
        "make setup",
        "make run",
    ]
    assert "Begin at poc" not in printed
    bake_into(tmp_path / "later", stage="production")
    begin = "Begin at poc, although the stage is production: `checklist --stage poc`."
    assert begin in capfd.readouterr().out.splitlines()


def test_inside_a_work_tree_no_repository_is_made(
    bake_into: Bake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_git(tmp_path, "init", "--quiet")
    project = bake_into(tmp_path / "deep" / "down")
    assert not (project.root / ".git").exists()
    assert project.has_file(".cruft.json")
    assert "lies in one already" in capsys.readouterr().out


def test_without_an_identity_the_first_commit_has_a_neutral_one(
    bake_into: Bake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.delenv("EMAIL", raising=False)
    project = bake_into(tmp_path)
    assert project.git("log", "--format=%an <%ae>").strip() == (
        "ML Preflight <ml-preflight@example.invalid>"
    )
    settings = project.git("config", "--local", "--list")
    assert "user." not in settings
    assert "by ML Preflight, since git does not know you yet" in capsys.readouterr().out


def test_the_version_of_the_template_is_recorded_without_help_of_git(
    bake_into: Bake, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Git is missing, distrusts the folder of another user, or is too old."""
    known = run_git(template, "rev-parse", "HEAD").strip()

    def is_recorded(name: str, sentence: str) -> None:
        state = json.loads(bake_into(tmp_path / name).text(".cruft.json"))
        assert (state["template"], state["commit"]) == (str(template), known), name
        assert sentence in capsys.readouterr().out, name

    with monkeypatch.context() as patched:
        patched.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        trust = "git config --global --add safe.directory"
        is_recorded("distrusted", f"which belongs to another user; trust it with `{trust}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    is_recorded("missing", "No git repository: git was not found; install it")
    (tmp_path / "bin").mkdir()
    old = "echo \"error: unknown option 'show-cdup'\" >&2; exit 129"
    script = f'#!/bin/sh\ncase "$*" in --version) echo git version 1.7;; *) {old};; esac\n'
    (tmp_path / "bin" / "git").write_text(script, encoding="utf-8")
    (tmp_path / "bin" / "git").chmod(0o755)
    is_recorded("old", "No first commit: git version 1.7 is too old; install 2.25 or newer")


@every_case("packed", [False, True])
def test_commit_and_origin_are_read_as_git_writes_them(packed: bool, tmp_path: Path) -> None:
    first, clone, tree = (tmp_path / name for name in ("first", "clone", "tree"))
    first.mkdir()
    run_git(first, "init", "--quiet", "--initial-branch=main")
    run_git(first, "commit", "--quiet", "--allow-empty", "--message", "one")
    run_git(tmp_path, "clone", "--quiet", str(first), str(clone))
    run_git(clone, "worktree", "add", "--quiet", str(tree))
    for folder in (clone, tree):
        if packed:
            run_git(folder, "pack-refs", "--all")
        commit = run_git(folder, "rev-parse", "HEAD").strip()
        assert POST_GEN["read_commit"](str(folder)) == commit
        assert POST_GEN["read_origin"](str(folder)) == str(first)
    run_git(clone, "checkout", "--quiet", "--detach")
    assert POST_GEN["read_commit"](str(clone)) == commit
    (clone / ".git" / "HEAD").write_text("ref: refs/heads/none\n", encoding="utf-8")
    with pytest.raises((OSError, ValueError)):
        POST_GEN["read_commit"](str(clone))


@posix_only
def test_signing_hooks_templates_and_ignores_of_the_user_do_not_touch_the_first_commit(
    bake_into: Bake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "git-template" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("pre-commit", "commit-msg", "post-commit", "reference-transaction"):
        (hooks / name).write_text(
            f"#!/bin/sh\ntouch {tmp_path / 'ran'}\nexit 1\n", encoding="utf-8"
        )
        (hooks / name).chmod(0o755)
    (tmp_path / "ignored").write_text("*.md\n", encoding="utf-8")
    settings = {
        "user.name": "Someone",
        "user.email": "someone@example.invalid",
        "commit.gpgSign": "true",
        "gpg.program": str(tmp_path / "no-such-gpg"),
        "core.hooksPath": str(hooks),
        "core.excludesFile": str(tmp_path / "ignored"),
        "init.templateDir": str(hooks.parent),
        "init.defaultBranch": "trunk",
    }
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    for name, value in settings.items():
        run_git(tmp_path, "config", "--global", name, value)
    project = bake_into(tmp_path / "out")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    assert project.git("ls-files").split() == project.files()
    assert project.git("log", "--format=%an %G?").split() == ["Someone", "N"]
    assert project.git("branch", "--show-current").strip() == "main"
    assert not (tmp_path / "ran").exists()
    assert not (project.root / ".git" / "hooks").exists()


def test_settings_of_a_git_hook_around_it_do_not_lead_the_first_commit_astray(
    bake_into: Bake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run_git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    project = bake_into(tmp_path / "out")
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert project.git("ls-files").split() == project.files()
    assert run_git(other, "status", "--porcelain") == ""


def test_without_git_the_project_is_whole_and_a_sentence_says_so(
    bake: Bake,
    bake_into: Bake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    project = bake_into(tmp_path / "out")
    assert project.files() == bake().files()
    assert cruft_state(project)["commit"] == cruft_state(bake())["commit"]
    assert not (project.root / ".git").exists()
    assert "No git repository: git was not found; install it" in capsys.readouterr().out


@posix_only
def test_a_commit_that_fails_is_said_and_leaves_the_project(
    bake_into: Bake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As on a full disk."""
    (tmp_path / "git").write_text(
        "#!/bin/sh\necho 'fatal: no space left' >&2\nexit 1\n", encoding="utf-8"
    )
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    project = bake_into(tmp_path / "out")
    assert project.has_file("pyproject.toml")
    assert "No first commit: git failed (fatal: no space left)." in capsys.readouterr().out


# Where the template came from.


def cruft_state(project: BakedProject) -> dict[str, Any]:
    """Return what .cruft.json holds."""
    state: dict[str, Any] = json.loads(project.text(".cruft.json"))
    return state


def test_the_cruft_file_holds_the_template_the_commit_and_the_answers(
    bake: Bake, template: Path
) -> None:
    state = cruft_state(bake(task="regression", author_name="Ünal"))
    assert state == {
        "template": str(template),
        "commit": run_git(template, "rev-parse", "HEAD").strip(),
        "checkout": None,
        "context": {
            "cookiecutter": {
                **DEFAULTS,
                "project_name": "ML Project",
                "project_slug": "ml-project",
                "description": COOKIECUTTER["description"],
                "author_name": "Ünal",
                "task": "regression",
            }
        },
        "directory": None,
    }


def test_a_template_that_is_no_repository_is_recorded_without_a_commit(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    for name in run_git(template, "ls-files", "-z").split("\0")[:-1]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((template / name).read_bytes())
    states = [cruft_state(bake_project(copy, tmp_path / "a", {"ci": "gitlab"}))]
    assert "`make update` says how to record it later" in capsys.readouterr().out
    # Nor is a commit of another repository, in which the copy lies, the template's.
    run_git(tmp_path, "init", "--quiet")
    run_git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "of something else")
    states.append(cruft_state(bake_project(copy, tmp_path / "b", {"ci": "gitlab"})))
    for state in states:
        assert (state["template"], state["commit"]) == (str(copy), None)
        assert state["context"]["cookiecutter"]["ci"] == "gitlab"


def test_no_password_of_an_archive_s_address_is_recorded(tmp_path: Path) -> None:
    address = "https://me:secret@host.invalid/template.zip"
    answers = {"_template": address, "_output_dir": str(tmp_path), "_repo_dir": str(tmp_path)}
    version = POST_GEN["template_version"](answers)
    assert version == ("https://host.invalid/template.zip", None)


@every_case(
    ("origin", "recorded"),
    [
        ("https://host.invalid/org/name.git", "https://host.invalid/org/name.git"),
        ("https://me:secret@host.invalid/org/name", "https://host.invalid/org/name"),
        ("https://token@host.invalid:8443/a@b", "https://host.invalid:8443/a@b"),
        ("git@host.invalid:org/name.git", "git@host.invalid:org/name.git"),
        ("ssh://git@host.invalid/org/name.git", "ssh://git@host.invalid/org/name.git"),
    ],
)
def test_the_recorded_address_is_what_was_cloned_without_a_password(
    tmp_path: Path, origin: str, recorded: str
) -> None:
    run_git(tmp_path, "init", "--quiet")
    run_git(tmp_path, "remote", "add", "origin", origin)
    answers = {"_template": "gh:org/name", "_output_dir": str(tmp_path), "_repo_dir": str(tmp_path)}
    assert POST_GEN["template_url"](answers, str(tmp_path)) == recorded


def without_first_bake(template: Path, folder: Path, **answers: str) -> Path:
    """Render as cruft does on create, diff and update: without the keys of plain cookiecutter."""
    context = generate_context(str(template / "cookiecutter.json"), extra_context=answers)
    context["cookiecutter"] = prompt_for_config(context, no_input=True)
    context["cookiecutter"].update(_template=str(template), _commit="0" * 40)
    with patch("cookiecutter.hooks.run_script", run_hook):
        return Path(generate_files(template, context, output_dir=folder))


def test_an_update_only_prunes(
    bake: Bake, template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = BakedProject(without_first_bake(template, tmp_path, ci="gitlab"), {})
    assert capsys.readouterr().out == ""
    assert project.files() == [name for name in bake(ci="gitlab").files() if name != ".cruft.json"]
    assert not (project.root / ".git").exists()


def command(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a Python module's command in a folder, as a person in a shell there would."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PWD": str(folder)},
        capture_output=True,
        encoding="utf-8",
        **options,
    )


def test_a_template_typed_as_a_relative_path_is_found_again(template: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "clone").symlink_to(template, target_is_directory=True)
    for place in (".", "elsewhere"):
        arguments = ["cookiecutter", "../clone", "--no-input", "-o", place]
        done = command(here, *arguments)
        assert done.returncode == 0, done.stderr
        project = BakedProject(here / place / "ml-project", {})
        assert cruft_state(project)["template"] == str(tmp_path / "clone")
        folder = "ml-project" if place == "." else "elsewhere/ml-project"
        assert f"  1. cd {folder}\n" in done.stdout


ODD_TEXT = "Says \"don't\", 100% \\ ${HOME} `x` <b> & 'y' -- für 模型"


@pytest.fixture(scope="module")
def updatable(
    template: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, BakedProject]:
    """A template of the test's own and a project that plain cookiecutter made from its address."""
    folder = tmp_path_factory.mktemp("cruft")
    run_git(folder, "clone", "--quiet", template.as_uri(), "template.git")
    address = f"git+{(folder / 'template.git').as_uri()}"
    answers = [f"description={ODD_TEXT}", "project_slug=churn"]
    done = command(folder, "cookiecutter", address, "--no-input", *answers)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "template.git", BakedProject(folder / "churn", {})


def test_cruft_finds_a_project_of_plain_cookiecutter_up_to_date(
    updatable: tuple[Path, BakedProject],
) -> None:
    template, project = updatable
    assert cruft_state(project)["template"] == template.as_uri()
    assert command(project.root, "cruft", "check").returncode == 0
    difference = command(project.root, "cruft", "diff", "--exit-code")
    assert (difference.returncode, difference.stdout) == (0, "")


def test_cruft_brings_a_later_version_and_another_answer(
    updatable: tuple[Path, BakedProject],
) -> None:
    template, project = updatable
    with (template / SKELETON.name / "README.md").open("a", encoding="utf-8") as readme:
        readme.write("\nA later line for {{ cookiecutter.project_slug }}.\n")
    run_git(template, "commit", "--quiet", "--all", "--message", "later")
    commit = run_git(template, "rev-parse", "HEAD").strip()
    assert command(project.root, "cruft", "check").returncode == 1
    done = command(project.root, "cruft", "update", "--skip-apply-ask")
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.text("README.md").endswith("\nA later line for churn.\n")
    assert cruft_state(project)["commit"] == commit
    project.git("commit", "--quiet", "--all", "--message", "update")
    assert (project.has_file(".gitlab-ci.yml"), project.has_file(".github/workflows/ci.yml")) == (
        False,
        True,
    )
    other = ["--checkout", commit, "--variables-to-update", '{"ci": "gitlab"}']
    done = command(project.root, "cruft", "update", "--skip-apply-ask", *other)
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.has_file(".gitlab-ci.yml") and not (project.root / ".github").exists()
    assert cruft_state(project)["context"]["cookiecutter"]["description"] == ODD_TEXT
    assert project.files("*.rej") == [] and project.empty_folders() == []


def test_a_refusal_leaves_no_folder(template: Path, tmp_path: Path) -> None:
    with pytest.raises(FailedHookException, match="project_slug 'import' is a keyword"):
        bake_project(template, tmp_path, {"project_slug": "import"})
    assert [*tmp_path.iterdir()] == []
