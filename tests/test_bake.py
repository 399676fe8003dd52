"""What a baked project consists of, over a pairwise set of all answers."""

from __future__ import annotations

import ast
import fnmatch
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from answers import (
    CHOICES,
    COOKIECUTTER,
    MODULES,
    PAIRWISE,
    SKELETON,
    Answers,
    describe,
    skeleton_files,
)
from baking import BakedProject
from cases import every_case

Bake = Callable[..., BakedProject]
over_all_answers = pytest.mark.parametrize("answers", PAIRWISE, ids=describe)

# ------------------------------------------------------------------------------------ which files

ROOT = """
.cruft.json .dockerignore .editorconfig .gitattributes .github .gitignore .pre-commit-config.yaml
AGENTS.md Dockerfile LICENSE Makefile README.md checklist conf.cfg constraints.txt data docs logs
models notebooks pyproject.toml reports src tests tools
"""

PACKAGE = """
__init__.py __main__.py custom.py cli.py
ingest.py preprocess.py train.py postprocess.py evaluate.py predict.py report.py
bundle checklist core data evaluation models reporting tasks tracking
"""

# What an answer adds to the default project, and what it takes away (with a minus before it); a
# folder stands for all that the skeleton has in it. Two answers together may change something more.
CHANGES = {
    "license=BSD-3-Clause": "",
    "license=Apache-2.0": "",
    "license=Proprietary": "",
    "task=regression": "",
    "stage=mvp": "docs/deployment.md docs/modelling.md",
    "stage=production": """
        docs/deployment.md docs/modelling.md docs/business.md docs/infrastructure.md
        docs/monitoring.md""",
    "ci=gitlab": "-.github .gitlab-ci.yml renovate.json",
    "ci=jenkins": "-.github Jenkinsfile",
    "ci=none": "-.github",
    "platform=local": "-.dockerignore -Dockerfile",
    "platform=kubernetes": """
        deploy/kubernetes/base/files.yaml deploy/kubernetes/base/kustomization.yaml
        deploy/kubernetes/base/network.yaml deploy/kubernetes/base/predict.yaml
        deploy/kubernetes/overlays docs/kubernetes_batch.md""",
    "serving=rest": """
        compose.yaml deploy/grafana deploy/prometheus deploy/serve.txt docs/containers.md
        docs/runbook.md docs/serving.md src/{package}/bundle/onnx
        src/{package}/evaluation/explain.py src/{package}/serving tests/test_serving.py""",
    "checklist=no": """
        -checklist -docs/data.md -docs/scoping.md -src/{package}/checklist
        -tests/test_checklist.py""",
    "boosters=yes": "src/{package}/models/boosters",
    "monitoring=yes": """
        docs/alerts.md src/{package}/evaluation/drift.py src/{package}/monitoring
        tests/test_monitoring.py""",
    "stage=mvp checklist=no": "-docs/deployment.md -docs/modelling.md",
    "stage=production checklist=no": """
        -docs/deployment.md -docs/modelling.md -docs/business.md -docs/infrastructure.md
        -docs/monitoring.md""",
    "platform=local serving=rest": "-compose.yaml -deploy/serve.txt -docs/containers.md",
    "platform=kubernetes serving=rest": """
        -deploy/kubernetes/base/files.yaml -deploy/kubernetes/base/predict.yaml
        -docs/kubernetes_batch.md deploy/kubernetes/base/autoscaler.yaml
        deploy/kubernetes/base/budget.yaml deploy/kubernetes/base/callers.yaml
        deploy/kubernetes/base/service.yaml deploy/kubernetes/canary deploy/kubernetes/serve
        docs/kubernetes.md""",
    "platform=kubernetes monitoring=yes": """
        deploy/kubernetes/monitoring/kustomization.yaml
        deploy/kubernetes/monitoring/monitor.yaml""",
    "platform=kubernetes serving=rest monitoring=yes": "deploy/kubernetes/monitoring/files.yaml",
}


def files_of(path: str, package: str) -> set[str]:
    """Return the file, or all files of the folder, of the skeleton, as a project calls them."""
    names = (name.replace("{{cookiecutter.__package}}", package) for name in skeleton_files())
    path = path.replace("{package}", package)
    return {name for name in names if name == path or name.startswith(f"{path}/")}


def entries(folder: Path) -> list[str]:
    """Return what lies directly in a folder."""
    return sorted(
        path.name for path in folder.iterdir() if path.name not in (".git", "__pycache__")
    )


def test_the_default_project_has_the_entries_that_are_written_down(bake: Bake) -> None:
    project = bake()
    assert entries(project.root) == sorted(ROOT.split())
    assert entries(project.root / "src") == [project.package]
    assert entries(project.root / "src" / project.package) == sorted(PACKAGE.split())


@pytest.mark.parametrize(
    "answers",
    [*PAIRWISE, *(dict(each.split("=") for each in key.split()) for key in CHANGES)],
    ids=describe,
)
def test_answers_add_and_take_what_is_written_down(bake: Bake, answers: Answers) -> None:
    project = bake(**answers)
    given = {f"{prompt}={choice}" for prompt, choice in answers.items()}
    expected = {name.replace("ml_project", project.package) for name in bake().files()}
    for change in [change for key, change in CHANGES.items() if given.issuperset(key.split())]:
        for path in change.split():
            files, taken = files_of(path.removeprefix("-"), project.package), path.startswith("-")
            assert files & expected == (files if taken else set()), path
            assert files, f"{path} is not in the skeleton"
            expected = expected ^ files
    assert project.files() == sorted(expected)


def test_what_each_answer_changes_is_written_down() -> None:
    others = {f"{prompt}={choice}" for prompt, choices in CHOICES.items() for choice in choices[1:]}
    assert {key for key in CHANGES if " " not in key} == others


def test_every_file_of_the_skeleton_is_of_the_default_project_or_of_a_module(bake: Bake) -> None:
    default, package = set(bake().files()), bake().package
    of_modules = {
        path: files_of(path, package) for path in itertools.chain.from_iterable(MODULES.values())
    }
    assert [path for path, files in of_modules.items() if not files] == []
    every = {name.replace("{{cookiecutter.__package}}", package) for name in skeleton_files()}
    assert every - default - set().union(*of_modules.values()) == set()
    assert default - every == {".cruft.json"}


def modules_that_are_gone(project: BakedProject) -> list[str]:
    """Return the keys of the modules of which nothing is there; each is there or gone as a whole.

    A file that several modules name, as a folder and by itself, is left to the one that names it
    more closely.
    """
    names = {
        path.replace("{package}", project.package): key for key in MODULES for path in MODULES[key]
    }
    own: dict[str, set[str]] = {key: set() for key in MODULES}
    for path in sorted(names):  # a folder comes before what lies in it
        files = files_of(path, project.package)
        own = {key: files | own[key] if key == names[path] else own[key] - files for key in own}
    there = set(project.files())
    assert {
        key: files - there for key, files in own.items() if files & there and files - there
    } == {}
    return [key for key, files in own.items() if not files & there]


# What a module is called in prose, beside its paths.
NAMES_OF_MODULES = {
    "ci=github": ["GitHub"],
    "ci=gitlab": ["GitLab"],
    "ci=jenkins": ["Jenkins"],
    "platform=docker|kubernetes": ["Docker", "container image"],
    "platform=kubernetes": ["Kubernetes", "kubectl"],
    "serving=rest": ["REST service"],
    "monitoring=yes": ["retrain", "drift.json", "[monitor]"],
    "checklist=yes": ["checklist", "sign-off", "make gate"],
    "boosters=yes": ["xgboost", "lightgbm", "catboost", "nvidia"],
}
# The checklist's items name alternatives that are not installed and documents of later stages; and
# every token is looked for, whoever hands it out.
TALKS_OF_ALL = [".cruft.json", "src/*/checklist/items/*.yaml", "src/*/checklist/evidence.py"]


@over_all_answers
def test_a_module_is_there_whole_or_gone_whole_and_not_named(bake: Bake, answers: Answers) -> None:
    project = bake(**answers)
    names = [
        name.replace("{package}", project.package).lower()
        for key in modules_that_are_gone(project)
        for name in [*MODULES[key], *NAMES_OF_MODULES.get(key, [])]
    ]
    texts = {
        path: project.text(path).lower()
        for path in project.files()
        if not any(fnmatch.fnmatch(path, pattern) for pattern in TALKS_OF_ALL)
    }
    assert [(path, name) for path, text in texts.items() for name in names if name in text] == []


def test_a_project_that_scores_batches_names_onnx_only_where_it_has_none(bake: Bake) -> None:
    """In release.json, where telemetry is switched off, and as the field for a graph."""
    project = bake(stage="production", platform="kubernetes", monitoring="yes", boosters="yes")
    src = f"src/{project.package}"
    found = {
        path
        for path in project.files()
        if not fnmatch.fnmatch(path, f"{src}/checklist/items/*.yaml")
        if re.search("onnx|ort_disable", project.text(path).lower())
    }
    files = ["__init__.py", "checklist/measured.md.jinja", "models/__init__.py", "postprocess.py"]
    assert found == {f"{src}/{name}" for name in files}


# --------------------------------------------------------------------------------- why it is there

# Found by what reads them, not by name: people, pytest, git, the checklist, Grafana, and kustomize
# (test_kubernetes.py looks at its files).
FOUND_OTHERWISE = [
    *("*/README.md", "tests/*.py", "src/*/checklist/items/*.yaml"),
    *("deploy/grafana/*.yml", "deploy/kubernetes/*"),
]


def modules_named_in(source: str) -> Iterator[str]:
    """Yield the parts of the modules that Python source imports, or names as ".module:function"."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = re.findall(r"^(\.[\w.]+)(?::\w+)?$", node.value)
        yield from itertools.chain.from_iterable(name.split(".") for name in names)


@over_all_answers
def test_every_module_of_the_package_is_imported(bake: Bake, answers: Answers) -> None:
    project = bake(**answers)
    code = {name: set(modules_named_in(project.text(name))) for name in project.files("*.py")}
    modules = [name for name in code if name.startswith("src/") and not name.endswith("__.py")]
    importers = {
        name: [other for other in code if other != name and Path(name).stem in code[other]]
        for name in modules
    }
    assert [name for name in modules if not importers[name]] == []


@over_all_answers
def test_every_other_file_below_the_root_is_named_by_another(bake: Bake, answers: Answers) -> None:
    project = bake(**answers)
    texts = {name: project.text(name) for name in project.files() if name != ".cruft.json"}
    others = [
        name
        for name in texts
        if "/" in name and not (name.startswith("src/") and name.endswith(".py"))
        if not any(fnmatch.fnmatch(name, pattern) for pattern in FOUND_OTHERWISE)
    ]
    naming = {
        name: [other for other in texts if other != name and Path(name).name in texts[other]]
        for name in others
    }
    assert [name for name in others if not naming[name]] == []


@over_all_answers
def test_no_folder_is_empty(bake: Bake, answers: Answers) -> None:
    assert bake(**answers).empty_folders() == []


def test_the_default_project_is_light_at_first_sight(bake: Bake) -> None:
    """The figures of the design: what a stranger has to look through."""
    project = bake()
    package = project.root / "src" / project.package
    code = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    assert len([name for name in entries(project.root) if not name.startswith(".")]) <= 18
    assert len(entries(package)) <= 20
    assert len(project.text("README.md").splitlines()) <= 120
    assert len(project.text("conf.cfg").splitlines()) <= 45
    # The checklist's texts apart, one file per area. A change that adds to either says how many.
    assert len([name for name in project.files() if "/checklist/items/" not in name]) <= 134
    assert len([line for line in code.splitlines() if line.strip()]) <= 20_700


@every_case("answers", [{}, {"checklist": "no", "task": "regression"}], ids=describe)
def test_the_page_for_coding_agents_is_short_and_names_what_is_there(
    bake: Bake, answers: Answers
) -> None:
    project = bake(**answers)
    page = project.text("AGENTS.md")
    assert len(page.splitlines()) <= 40
    targets = re.findall(r"^([a-z-]+):", project.text("Makefile"), flags=re.MULTILINE)
    named = re.findall(r"(?:^|`)make ([a-z-]+)", page, flags=re.MULTILINE)
    assert {"lint", "test", "run"} <= set(named) <= set(targets)
    paths = re.findall(r"`((?:src|data|reports|tools)/[^`]*|[\w.]+\.\w+)`", page)
    there = {path for path in paths if (project.root / path).exists()}
    later = {"data/manifest.json", "data/test/", "reports/test_ledger.jsonl"}
    assert set(paths) - there - later == set()
    assert f"src/{project.package}/custom.py" in there
    settings = re.findall(r"`\[(\w+)\] (\w+)`", page)
    assert settings and all(
        f"\n[{section}]" in project.text("conf.cfg") and f"\n{key} =" in project.text("conf.cfg")
        for section, key in settings
    )
    assert ("checklist" in page) == ("checklist" not in answers)


# -------------------------------------------------------------------------------------- rendering


BRACES_OF_THEIR_OWN = ["deploy/grafana/serving.json", "deploy/prometheus/alerts.yml"]


@over_all_answers
def test_nothing_is_left_unrendered(bake: Bake, answers: Answers) -> None:
    project = bake(**answers)
    left = []
    for name in project.files():
        # An f-string may hold {{ and end in %}; GitHub's own expressions are ${{ }}, Prometheus'
        # and Grafana's {{ }}.
        if name.endswith(".jinja"):  # of the pages that the project writes
            continue
        own = name.endswith(".py") or name in BRACES_OF_THEIR_OWN
        braces = r"\{%" if own else r"(?<!\$)\{\{|\{%|%\}"
        text = project.text(name).replace('"cookiecutter":', "")
        left += [
            (name, line) for line in re.findall(rf".*(?:{braces}|cookiecutter\.(?!json)\w).*", text)
        ]
        left += [(name, "its name")] if re.search(r"[{}%]", name) else []
    assert left == []


# What commands of the project write: the documents name it, a new project lacks it.
WRITTEN_LATER = [
    "bundle.json",
    "champion.json",
    *(f"data/{name}/" for name in ("original", "train", "valid", "test")),
    "data/manifest.json",
    "data/schema.yaml",
    "docs/card.md",
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
    "reports.json",
    "reports/champion/*",
    "champion/*",
    "same_models.jsonl",
    "reports/test_ledger.jsonl",
]


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


def test_a_second_bake_is_the_same_byte_for_byte(
    bake: Bake, bake_into: Bake, tmp_path: Path
) -> None:
    one, two = bake(), bake_into(tmp_path)
    assert one.files() == two.files()
    assert [name for name in one.files() if one.text(name) != two.text(name)] == []


def test_line_ends_are_those_of_unix(bake: Bake) -> None:
    project = bake()
    assert [name for name in project.files() if "\r" in project.text(name)] == []


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
        asks = r"\{\{ *cookiecutter\." + ("" if ".jinja" in name else r"|\{%-? *(if|for|raw|set)\b")
        if copied == bool(re.search(asks, text)):
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


# --------------------------------------------------------------------------------------- questions


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
