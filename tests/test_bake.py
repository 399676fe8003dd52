"""What a baked project consists of, over a pairwise set of all answers."""

from __future__ import annotations

import ast
import configparser
import fnmatch
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import yaml
from answers import (
    CHOICES,
    COOKIECUTTER,
    DEFAULTS,
    DEPENDENCIES,
    MODULES,
    PAIRWISE,
    SKELETON,
    Answers,
    describe,
    skeleton_files,
)
from baking import BakedProject

Bake = Callable[..., BakedProject]
over_all_answers = pytest.mark.parametrize("answers", PAIRWISE, ids=describe)

# Declared and used, but not by an import: what uses it instead.
USED_OTHERWISE = {
    "black": "Makefile",
    "catboost": "models/boosters.py imports it by the candidate's name",
    "cruft": "tools/template.py",
    "gcsfs": "fsspec opens gs:// with it",
    "httptools": "uvicorn reads requests with it",
    "ipykernel": "runs the notebooks of tests/test_notebooks.py",
    "lightgbm": "models/boosters.py imports it by the candidate's name",
    "mypy": "Makefile",
    "nbstripout": ".pre-commit-config.yaml",
    "openpyxl": "pandas reads and writes .xlsx with it",
    "pandas-stubs": "types for mypy",
    "pre-commit": ".pre-commit-config.yaml",
    "ruff": "Makefile",
    "s3fs": "fsspec opens s3:// with it",
    "types-pyyaml": "types for mypy",
    "uvloop": "uvicorn runs on it",
    "xgboost": "models/boosters.py imports it by the candidate's name",
}

# What commands of the project write: the documents name it, a new project lacks it.
WRITTEN_LATER = [
    "bundle.json",
    "champion.json",
    "data/manifest.json",
    "data/schema.yaml",
    "logs/predictions",
    "models/champion.json",
    "logs/alerts.jsonl",
    "logs/feedback.jsonl",
    "reports/drift.html",
    "reports/drift.json",
    "reports/index.html",
    "reports/ingest.json",
    "reports/page",
    "reports/split.json",
    "reports/test_ledger.jsonl",
]


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Tell whether a path of the skeleton is one of a module's or lies below one of them."""
    named = [folder.replace("{package}", "{{cookiecutter.__package}}") for folder in folders]
    return any(path == folder or path.startswith(f"{folder}/") for folder in named)


def pruned_conditions(answers: Answers) -> list[str]:
    """Return the conditions of the manifest of modules that these answers do not meet."""
    chosen = {**DEFAULTS, **answers}
    asked = {key: dict(term.split("=") for term in key.split()) for key in MODULES}
    return [
        key
        for key, terms in asked.items()
        if not all(chosen[prompt] in choices.split("|") for prompt, choices in terms.items())
    ]


def expected_files(answers: Answers, package: str) -> list[str]:
    """Return what the manifest of modules says that a project consists of."""
    pruned = [path for condition in pruned_conditions(answers) for path in MODULES[condition]]
    names = [name for name in skeleton_files() if not is_below(name, pruned)]
    rendered = (name.replace("{{cookiecutter.__package}}", package) for name in names)
    return sorted([".cruft.json", *rendered])


@over_all_answers
def test_a_project_has_exactly_the_files_that_the_answers_ask_for(
    bake: Bake, answers: Answers
) -> None:
    project = bake(**answers)
    assert project.files() == expected_files(answers, project.package)


# The default project, written down: what the skeleton and the manifest say is not enough where a
# stray file is in the skeleton.
DEFAULT_PROJECT = """
.cruft.json .dockerignore .editorconfig .gitattributes .github/workflows/ci.yml .gitignore
.pre-commit-config.yaml Dockerfile LICENSE Makefile README.md checklist/own.yaml
checklist/signoffs.yaml conf.cfg constraints.txt data/original/README.md data/test/README.md
data/train/README.md data/valid/README.md docs/data.md docs/experiments.md docs/scoping.md
logs/README.md models/README.md notebooks/Notebook_DATA_V1.ipynb notebooks/Notebook_MODEL_V1.ipynb
notebooks/README.md pyproject.toml reports/README.md src/ml_project/__init__.py
src/ml_project/__main__.py src/ml_project/bundle/__init__.py src/ml_project/bundle/bundle.py
src/ml_project/bundle/card.py src/ml_project/bundle/champion.py src/ml_project/bundle/onnx_export.py
src/ml_project/bundle/reference.py src/ml_project/checklist/__init__.py
src/ml_project/checklist/catalogue.py src/ml_project/checklist/commands.py
src/ml_project/checklist/context.py src/ml_project/checklist/documents.py
src/ml_project/checklist/evidence.py src/ml_project/checklist/formats.py
src/ml_project/checklist/items/architecture.yaml src/ml_project/checklist/items/business.yaml
src/ml_project/checklist/items/data.yaml src/ml_project/checklist/items/data_engineering.yaml
src/ml_project/checklist/items/deployment.yaml src/ml_project/checklist/items/environment.yaml
src/ml_project/checklist/items/modelling.yaml src/ml_project/checklist/items/operation.yaml
src/ml_project/checklist/items/programming.yaml src/ml_project/checklist/items/responsible_ai.yaml
src/ml_project/checklist/items/scoping.yaml src/ml_project/checklist/items/version_control.yaml
src/ml_project/checklist/measured.py src/ml_project/checklist/page.css
src/ml_project/checklist/page.js src/ml_project/checklist/page.py
src/ml_project/checklist/records.py src/ml_project/checklist/rules.py
src/ml_project/checklist/score.py src/ml_project/checklist/show.py
src/ml_project/checklist/summary.py src/ml_project/checklist/verify.py src/ml_project/cli.py
src/ml_project/core/__init__.py src/ml_project/core/config.py src/ml_project/core/errors.py
src/ml_project/core/files.py src/ml_project/core/options.py src/ml_project/core/pipeline.py
src/ml_project/core/project.py src/ml_project/core/registry.py src/ml_project/core/reports.py
src/ml_project/core/stages.py src/ml_project/custom.py src/ml_project/data/__init__.py
src/ml_project/data/cast.py src/ml_project/data/clean.py src/ml_project/data/infer.py
src/ml_project/data/keys.py src/ml_project/data/names.py src/ml_project/data/original.py
src/ml_project/data/readers.py src/ml_project/data/sample.py src/ml_project/data/schema.py
src/ml_project/data/sources.py src/ml_project/data/split.py src/ml_project/data/writers.py
src/ml_project/evaluate.py src/ml_project/evaluation/__init__.py
src/ml_project/evaluation/decision.py src/ml_project/evaluation/diagnostics.py
src/ml_project/evaluation/ledger.py src/ml_project/evaluation/metrics.py src/ml_project/ingest.py
src/ml_project/models/__init__.py src/ml_project/models/baseline.py
src/ml_project/models/boosters.py src/ml_project/models/classic.py src/ml_project/models/features.py
src/ml_project/models/inputs.py src/ml_project/models/persist.py
src/ml_project/monitoring/__init__.py src/ml_project/monitoring/alerts.py
src/ml_project/monitoring/commands.py src/ml_project/monitoring/drift.py
src/ml_project/monitoring/labelled.py src/ml_project/monitoring/labels.py
src/ml_project/monitoring/monitor.py src/ml_project/monitoring/page.py
src/ml_project/monitoring/retrain.py src/ml_project/monitoring/settings.py
src/ml_project/monitoring/window.py src/ml_project/monitoring/words.py src/ml_project/postprocess.py
src/ml_project/predict.py src/ml_project/preprocess.py src/ml_project/report.py
src/ml_project/reporting/__init__.py src/ml_project/reporting/html.py
src/ml_project/reporting/plots.py src/ml_project/reporting/profile.py
src/ml_project/reporting/report.css src/ml_project/reporting/sections.py
src/ml_project/serving/__init__.py src/ml_project/serving/app.py src/ml_project/serving/ask.js
src/ml_project/serving/browser.py src/ml_project/serving/command.py
src/ml_project/serving/deadline.py src/ml_project/serving/example.py
src/ml_project/serving/explain.py src/ml_project/serving/fleet.py src/ml_project/serving/front.py
src/ml_project/serving/inputs.js src/ml_project/serving/kinds.py
src/ml_project/serving/lines.py src/ml_project/serving/log.py
src/ml_project/serving/metrics.py src/ml_project/serving/model.js src/ml_project/serving/openapi.py
src/ml_project/serving/page.css src/ml_project/serving/page.js src/ml_project/serving/page.py
src/ml_project/serving/protect.py src/ml_project/serving/router.py src/ml_project/serving/rows.py
src/ml_project/serving/runtime.py src/ml_project/serving/scoring.py
src/ml_project/serving/service.py src/ml_project/serving/settings.py src/ml_project/serving/table.js
src/ml_project/serving/wire.py src/ml_project/serving/writer.py src/ml_project/tracking/__init__.py
src/ml_project/tracking/logs.py src/ml_project/tracking/runlog.py src/ml_project/tracking/runs.py
src/ml_project/train.py tests/conftest.py tests/test_data.py tests/test_evaluate.py
tests/test_model.py tests/test_notebooks.py tests/test_project.py tests/test_train.py
tools/template.py
"""


def test_the_default_project_is_the_one_that_is_written_down(bake: Bake) -> None:
    assert bake().files() == DEFAULT_PROJECT.split()


# What one other answer adds to the default project, and what it takes away.
GITHUB = [".github/workflows/ci.yml"]
LATER = ["docs/deployment.md", "docs/modelling.md"]
DEPLOY = [
    "grafana/dashboards.yml",
    "grafana/datasource.yml",
    "grafana/serving.json",
    "prometheus/alerts.yml",
    "prometheus/prometheus.yml",
    "serve.txt",
]
KUBERNETES_BATCH = ["files.yaml", "kustomization.yaml", "network.yaml", "predict.yaml"]
MONITORING = [
    "__init__.py",
    "alerts.py",
    "commands.py",
    "drift.py",
    "labelled.py",
    "labels.py",
    "monitor.py",
    "page.py",
    "retrain.py",
    "settings.py",
    "window.py",
    "words.py",
]
SERVING = [
    "__init__.py",
    "app.py",
    "ask.js",
    "browser.py",
    "command.py",
    "deadline.py",
    "example.py",
    "explain.py",
    "fleet.py",
    "front.py",
    "inputs.js",
    "kinds.py",
    "lines.py",
    "log.py",
    "metrics.py",
    "model.js",
    "openapi.py",
    "page.css",
    "page.js",
    "page.py",
    "protect.py",
    "router.py",
    "rows.py",
    "runtime.py",
    "scoring.py",
    "service.py",
    "settings.py",
    "table.js",
    "wire.py",
    "writer.py",
]
DIFFERENCES: dict[tuple[str, str], tuple[list[str], list[str]]] = {
    ("license", "BSD-3-Clause"): ([], []),
    ("license", "Apache-2.0"): ([], []),
    ("license", "Proprietary"): ([], []),
    ("task", "regression"): ([], []),
    ("stage", "mvp"): (LATER, []),
    ("stage", "production"): (
        ["docs/business.md", *LATER, "docs/infrastructure.md", "docs/monitoring.md"],
        [],
    ),
    ("ci", "gitlab"): ([".gitlab-ci.yml"], GITHUB),
    ("ci", "jenkins"): (["Jenkinsfile"], GITHUB),
    ("ci", "none"): ([], GITHUB),
    ("platform", "local"): ([], [".dockerignore", "Dockerfile"]),
    ("platform", "kubernetes"): (
        [
            *(f"deploy/kubernetes/base/{name}" for name in KUBERNETES_BATCH),
            "deploy/kubernetes/overlays/production/kustomization.yaml",
            "deploy/kubernetes/overlays/staging/kustomization.yaml",
            "docs/kubernetes_batch.md",
        ],
        [],
    ),
    ("serving", "rest"): (
        [
            "compose.yaml",
            *(f"deploy/{name}" for name in DEPLOY),
            "docs/containers.md",
            "docs/runbook.md",
            "docs/serving.md",
            *(f"src/ml_project/serving/{name}" for name in SERVING),
            "tests/test_serving.py",
        ],
        [],
    ),
    ("monitoring", "yes"): (
        [
            "docs/alerts.md",
            *(f"src/ml_project/monitoring/{name}" for name in MONITORING),
            "tests/test_monitoring.py",
        ],
        [],
    ),
}


@pytest.mark.parametrize(
    ("answer", "difference"), DIFFERENCES.items(), ids=["=".join(answer) for answer in DIFFERENCES]
)
def test_one_other_answer_adds_and_takes_what_is_written_down(
    bake: Bake, answer: tuple[str, str], difference: tuple[list[str], list[str]]
) -> None:
    default, other = bake().files(), bake(**dict([answer])).files()
    added = sorted(set(other) - set(default))
    taken = sorted(set(default) - set(other))
    assert (added, taken) == (sorted(difference[0]), difference[1])


def test_the_difference_of_every_answer_is_written_down() -> None:
    others = {(prompt, choice) for prompt, choices in CHOICES.items() for choice in choices[1:]}
    assert set(DIFFERENCES) == others


BRACES_OF_THEIR_OWN = ["deploy/grafana/serving.json", "deploy/prometheus/alerts.yml"]


@over_all_answers
def test_nothing_is_left_unrendered(bake: Bake, answers: Answers) -> None:
    project = bake(**answers)
    left = []
    for name in project.files():
        # An f-string may hold {{ and end in %}; GitHub's own expressions are ${{ }}, Prometheus'
        # and Grafana's {{ }}.
        own = name.endswith(".py") or name in BRACES_OF_THEIR_OWN
        braces = r"\{%" if own else r"(?<!\$)\{\{|\{%|%\}"
        text = project.text(name).replace('"cookiecutter":', "")
        left += [
            (name, line) for line in re.findall(rf".*(?:{braces}|cookiecutter\.(?!json)\w).*", text)
        ]
        left += [(name, "its name")] if re.search(r"[{}%]", name) else []
    assert left == []


@over_all_answers
def test_no_folder_is_empty(bake: Bake, answers: Answers) -> None:
    assert bake(**answers).empty_folders() == []


def paths_named_in(document: str) -> Iterator[str]:
    """Yield what a Markdown document calls a file or folder: link targets and code with a path."""
    prose = re.sub(r"^```.*?^```", "", document, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
        if "://" not in target and not target.startswith("mailto:"):
            yield target
    for code in re.findall(r"`([^`\n]+)`", prose):
        looks_like_path = re.fullmatch(
            r"\.?[\w.-]+(/[\w.-]*)+|[\w-]+\.(md|py|cfg|toml|txt|yaml|json)|Makefile|Dockerfile",
            code,
        )
        if looks_like_path:
            yield code


def names_a_file(project: BakedProject, document: str, name: str) -> bool:
    """Tell whether a path is there, seen from the project, the document's folder or the package."""
    starts = [
        project.root,
        (project.root / document).parent,
        project.root / "src" / project.package,
    ]
    return any((start / name).exists() for start in starts)


@over_all_answers
def test_every_path_that_a_document_names_is_there(bake: Bake, answers: Answers) -> None:
    project = bake(**answers)
    missing = [
        (document, name)
        for document in project.files("*.md")
        for name in paths_named_in(project.text(document))
        if not names_a_file(project, document, name)
        and not any(fnmatch.fnmatch(name, later) for later in WRITTEN_LATER)
    ]
    assert missing == []


# What a module is called in prose, beside its paths.
NAMES_OF_MODULES = {
    "ci=github": ["GitHub"],
    "ci=gitlab": ["GitLab"],
    "ci=jenkins": ["Jenkins"],
    "platform=docker|kubernetes": ["Docker", "container image"],
    "platform=kubernetes": ["Kubernetes", "kubectl"],
    "serving=rest": ["REST service"],
    "monitoring=yes": ["retrain", "drift.json", "[monitor]"],
}


# The checklist's items name alternatives that are not installed and documents of later stages; and
# every token is looked for, whoever hands it out.
TALKS_OF_ALL = ["src/*/checklist/items/*.yaml", "src/*/checklist/evidence.py"]


@over_all_answers
def test_no_file_names_a_module_that_was_pruned(bake: Bake, answers: Answers) -> None:
    project = bake(**answers)
    names = [
        name.lower()
        for condition in pruned_conditions(answers)
        for name in [*MODULES[condition], *NAMES_OF_MODULES.get(condition, [])]
    ]
    left = [
        (path, name)
        for path in project.files()
        for name in names
        if not any(fnmatch.fnmatch(path, known) for known in [".cruft.json", *TALKS_OF_ALL])
        and name in project.text(path).lower()
    ]
    assert left == []


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
    project = bake(serving="rest")
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
def test_mypy_finds_nothing(bake: Bake, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=bake().root, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout.splitlines()[-1][:7]) == (0, "Success"), done.stdout


def test_a_second_bake_is_the_same_byte_for_byte(
    bake: Bake, bake_into: Bake, tmp_path: Path
) -> None:
    one, two = bake(), bake_into(tmp_path)
    assert one.files() == two.files()
    assert [name for name in one.files() if one.text(name) != two.text(name)] == []


def test_line_ends_are_those_of_unix(bake: Bake) -> None:
    project = bake()
    assert [name for name in project.files() if "\r" in project.text(name)] == []


def test_the_default_project_is_light_at_first_sight(bake: Bake) -> None:
    project = bake()
    visible = [path for path in project.root.iterdir() if not path.name.startswith(".")]
    assert len(visible) <= 18
    # Without the checklist's texts, one file per area.
    assert len([name for name in project.files() if "/items/" not in name]) <= 125
    package = project.root / "src" / project.package
    assert len([path for path in package.iterdir() if path.name != "__pycache__"]) <= 20
    assert len(project.text("README.md").splitlines()) <= 120
    assert len(project.text("conf.cfg").splitlines()) <= 45


def test_files_without_answers_are_copied_and_the_others_rendered() -> None:
    """A copied file is cheap; a rendered one takes time, and a copied one keeps its braces."""
    patterns = COOKIECUTTER["_copy_without_render"]
    wrong = []
    for name in skeleton_files():
        copied = any(
            fnmatch.fnmatch(part, pattern)
            for part in (name, *(parent.as_posix() for parent in Path(name).parents))
            for pattern in patterns
        )
        text = (SKELETON / name).read_bytes().decode("utf-8")
        if copied == bool(re.search(r"\{\{ *cookiecutter\.|\{%-? *(if|for|raw|set)\b", text)):
            wrong.append(name)
    assert wrong == []


def test_every_pattern_of_copied_files_matches_something() -> None:
    # A folder that is named is copied as a whole: a path fewer to render for each file in it.
    files = [*skeleton_files()]
    names = {*files, *(parent.as_posix() for file in files for parent in Path(file).parents)}
    patterns = COOKIECUTTER["_copy_without_render"]
    assert [pattern for pattern in patterns if not fnmatch.filter(names, pattern)] == []


def test_free_text_stands_only_where_it_is_quoted(bake: Bake) -> None:
    """A new place for an answer needs a look at its quoting: then it is added here."""
    marks = {"project_name": "Zyxname", "description": "Zyxabout", "author_name": "Zyxperson"}
    project = bake(**marks, project_slug="plain", license="Proprietary", stage="production")
    found = {
        prompt: [name for name in project.files() if mark in project.text(name)]
        for prompt, mark in marks.items()
    }
    assert found == {
        "project_name": [".cruft.json", "README.md"],
        "description": [".cruft.json", "README.md", "pyproject.toml"],
        "author_name": [".cruft.json", "LICENSE", "pyproject.toml"],
    }


def test_every_prompt_has_a_question_and_every_choice_words() -> None:
    wording = COOKIECUTTER["__prompts__"]
    prompts = [prompt for prompt in COOKIECUTTER if not prompt.startswith("_")]
    assert list(wording) == prompts
    for prompt, choices in CHOICES.items():
        assert list(wording[prompt]) == ["__prompt__", *choices]
    questions = [wording[prompt] for prompt in prompts if prompt not in CHOICES]
    questions += [wording[prompt]["__prompt__"] for prompt in CHOICES]
    assert [question for question in questions if "?" not in question] == []


def test_the_pairwise_set_holds_every_pair() -> None:
    for one, two in [(a, b) for a in CHOICES for b in CHOICES if a != b]:
        pairs = {(answers[one], answers[two]) for answers in PAIRWISE}
        assert len(pairs) == len(CHOICES[one]) * len(CHOICES[two]), (one, two)
