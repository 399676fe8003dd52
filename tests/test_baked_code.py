"""The code of baked projects: dependencies, formats, style and types, over a pairwise set."""

from __future__ import annotations

import ast
import configparser
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import yaml
from answers import DEFAULTS, DEPENDENCIES, PAIRWISE, Answers, describe
from baking import BakedProject

Bake = Callable[..., BakedProject]
over_all_answers = pytest.mark.parametrize("answers", PAIRWISE, ids=describe)

# Declared and used, but not by an import: what uses it instead.
USED_OTHERWISE = {
    "black": "Makefile",
    "catboost": "models/boosters/estimators.py imports it by the candidate's name",
    "cruft": "the updater of the template imports it, started by tools/template.py",
    "gcsfs": "fsspec opens gs:// with it",
    "httptools": "uvicorn reads requests with it",
    "ipykernel": "runs the notebooks of tests/test_project.py",
    "lightgbm": "models/boosters/estimators.py imports it by the candidate's name",
    "mypy": "Makefile",
    "nbstripout": ".pre-commit-config.yaml",
    "openpyxl": "pandas reads and writes .xlsx with it",
    "pandas-stubs": "types for mypy",
    "pre-commit": ".pre-commit-config.yaml",
    "ruff": "Makefile",
    "s3fs": "fsspec opens s3:// with it",
    "types-pyyaml": "types for mypy",
    "uvloop": "uvicorn runs on it",
    "xgboost": "models/boosters/estimators.py imports it by the candidate's name",
}


def imported_modules(source: str) -> Iterator[str]:
    """Yield the top-level names that Python source imports, also by `import_module("...")`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = (
                node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            )
            if called in ("import_module", "find_spec", "importorskip"):
                name = str(node.args[0].value)
                yield from [] if name.startswith(".") else [name.split(".")[0]]


def notebook_code(project: BakedProject) -> Iterator[str]:
    """Yield the code of every notebook."""
    for name in project.files("*.ipynb"):
        for cell in json.loads(project.text(name))["cells"]:
            if cell["cell_type"] == "code":
                yield "".join(cell["source"])


def declared_dependencies(project: BakedProject) -> tuple[set[str], set[str]]:
    """Return the names of the distributions that a project needs, and those of its extras."""

    def names(requirements: Iterable[str]) -> set[str]:
        return {re.split(r"[\[<>=!~; ]", text, maxsplit=1)[0].lower() for text in requirements}

    declared = tomllib.loads(project.text("pyproject.toml"))["project"]
    optional = (names(texts) for texts in declared.get("optional-dependencies", {}).values())
    return names(declared["dependencies"]), set().union(*optional)


@over_all_answers
def test_every_declared_dependency_is_imported(bake: Bake, answers: Answers) -> None:
    project = bake(**answers)
    code = [project.text(name) for name in project.files("*.py")] + [*notebook_code(project)]
    used = {module for text in code for module in imported_modules(text)}
    needed, optional = declared_dependencies(project)
    unused = {name for name in needed | optional if DEPENDENCIES.get(name) not in used}
    assert unused - set(USED_OTHERWISE) == set()


def test_what_is_used_otherwise_is_declared_and_named_where_it_is_used(bake: Bake) -> None:
    project = bake(serving="rest", boosters="yes")
    needed, optional = declared_dependencies(project)
    assert set(USED_OTHERWISE) - needed - optional == set()
    by_file = {name: user for name, user in USED_OTHERWISE.items() if project.has_file(user)}
    assert by_file
    assert [name for name, user in by_file.items() if name not in project.text(user)] == []


@over_all_answers
def test_every_imported_package_is_declared(bake: Bake, answers: Answers) -> None:
    project = bake(**answers)
    needed, optional = declared_dependencies(project)
    undeclared = []
    for name in project.files("*.py"):
        allowed = needed | optional
        own = {project.package, "conftest", "__future__", *sys.stdlib_module_names}
        modules = own | {DEPENDENCIES.get(distribution, "") for distribution in allowed}
        undeclared += [(name, m) for m in imported_modules(project.text(name)) if m not in modules]
    assert undeclared == []


@over_all_answers
def test_the_metadata_follows_the_answers(bake: Bake, answers: Answers) -> None:
    project = bake(**answers)
    about = tomllib.loads(project.text("pyproject.toml"))["project"]
    given = {**DEFAULTS, **answers}
    status = {"poc": "3 - Alpha", "mvp": "4 - Beta", "production": "5 - Production/Stable"}
    assert f"Development Status :: {status[given['stage']]}" in about["classifiers"]
    assert "Private :: Do Not Upload" in about["classifiers"]
    assert about["license"].removeprefix("LicenseRef-") == given["license"]
    assert about["description"] and about["authors"][0]["name"]


@over_all_answers
def test_every_configuration_file_parses(bake: Bake, answers: Answers) -> None:
    project = bake(**answers)
    assert tomllib.loads(project.text("pyproject.toml"))["project"]["name"] == project.root.name
    settings = configparser.ConfigParser(interpolation=None)
    settings.read_string(project.text("conf.cfg"))
    assert settings["model"]["task"] == {**DEFAULTS, **answers}["task"]
    parsers: dict[str, Callable[[str], object]] = {
        ".ipynb": json.loads,
        ".json": json.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
    }
    for name in project.files():
        parse = parsers.get(Path(name).suffix)
        if parse is not None:
            assert parse(project.text(name)) is not None, name


def python_files(projects: Iterable[BakedProject]) -> list[Path]:
    """Return one of each different Python file: most are the same in every project."""
    different = {
        (name.replace(project.package, "package"), project.text(name)): project.root / name
        for project in projects
        for name in project.files("*.py") + project.files("*.ipynb")
    }
    return list(different.values())


NAMES = {"one letter": "m", "sixty letters": "a" * 30 + "-" + "b" * 29}


@pytest.fixture(scope="module")
def projects_to_lint(bake: Bake) -> list[BakedProject]:
    """Every project of the pairwise set, and those with the shortest and the longest name."""
    named = [bake(project_slug=slug, task="regression") for slug in NAMES.values()]
    return [*(bake(**answers) for answers in PAIRWISE), *named]


def test_black_has_nothing_to_change(projects_to_lint: list[BakedProject]) -> None:
    settings = projects_to_lint[0].root / "pyproject.toml"
    command = [sys.executable, "-m", "black", "--check", "--quiet", "--diff"]
    done = subprocess.run(
        [*command, "--config", settings, *python_files(projects_to_lint)],
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_ruff_finds_nothing(projects_to_lint: list[BakedProject]) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise"]
    done = subprocess.run(
        [*command, *python_files(projects_to_lint)], capture_output=True, encoding="utf-8"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "All checks passed!"), done.stdout


@pytest.mark.modules
@pytest.mark.parametrize("answers", [{"boosters": "yes"}, {"checklist": "no"}], ids=describe)
def test_mypy_finds_nothing(bake: Bake, answers: Answers, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=bake(**answers).root, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout.splitlines()[-1][:7]) == (0, "Success"), done.stdout


def test_a_notebook_that_was_run_is_committed_as_it_was_baked(bake: Bake, tmp_path: Path) -> None:
    """Jupyter writes outputs and the version of Python; the hook takes both out again."""
    project = bake()
    hooks = yaml.safe_load(project.text(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    entry = next(hook["entry"] for hook in hooks if hook["id"] == "nbstripout").split()
    names = project.files("notebooks/*.ipynb")
    assert names
    for name in names:
        notebook = json.loads(project.text(name))
        version = {"name": "python", "version": "3.11.7", "nbconvert_exporter": "python"}
        notebook["metadata"]["language_info"] = version
        for number, cell in enumerate(notebook["cells"]):
            if cell["cell_type"] == "code":
                output = {"name": "stdout", "output_type": "stream", "text": ["1\n"]}
                cell |= {"execution_count": number, "outputs": [output]}
        path = tmp_path / Path(name).name
        path.write_text(json.dumps(notebook), encoding="utf-8")
        subprocess.run([sys.executable, "-m", *entry, path], check=True)
        assert path.read_text(encoding="utf-8") == project.text(name)
