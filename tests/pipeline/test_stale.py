"""Which stages become due when a file of the package changes, and that nothing they run is missed.

`DUE` is written by hand: it says what a result follows from, not what the code finds. A stage that
is due makes all later ones due as well, since they build on its report; those are not repeated.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from mlproj.core import code_fingerprint as code
from mlproj.core import pipeline
from mlproj.core.code_fingerprint import Modules, reached, relative
from mlproj.core.config import Settings, load_settings
from mlproj.core.project import Project
from mlproj.core.registry import stages as ordered

NOTHING = ""
ALL = "ingest preprocess train postprocess evaluate report"
MODEL = "train postprocess evaluate report"
BUNDLE = "postprocess evaluate report"
PAGE = "report"

# A folder's line holds for every file in it that has no line of its own.
DUE = {
    "__init__.py": NOTHING,
    "__main__.py": NOTHING,
    "cli.py": NOTHING,
    "custom.py": f"preprocess {MODEL}",
    "ingest.py": "ingest",
    "preprocess.py": "preprocess",
    "train.py": "train",
    "postprocess.py": "postprocess",
    "evaluate.py": "evaluate",
    "predict.py": NOTHING,
    "report.py": PAGE,
    # What stages stand on, apart from how files are written.
    "core/": NOTHING,
    "core/__init__.py": ALL,
    "core/files.py": ALL,
    # The table comes in, is typed and split; later stages read the split.
    "data/": "ingest preprocess",
    "data/__init__.py": NOTHING,
    "data/arrow.py": ALL,
    "data/cast.py": ALL,
    "data/checks.py": "ingest preprocess postprocess",
    "data/clean.py": "preprocess postprocess",
    # A bundle reads numbers and dates in text as the table's were read.
    "data/dates.py": ALL,
    "data/earlier_files.py": "ingest",
    "data/example.md": NOTHING,
    "data/infer.py": "ingest",
    "data/infer_dates.py": "ingest",
    "data/keys.py": ALL,
    "data/numbers.py": ALL,
    "data/overlap.py": "preprocess",
    "data/schema.py": ALL,
    "data/split.py": ALL,
    "data/words.py": ALL,
    # A task says what the target is, so the table's types follow from it.
    "tasks/": ALL,
    "tasks/__init__.py": NOTHING,
    "tasks/regression.py": NOTHING,
    "models/": MODEL,
    "models/boosters/": NOTHING,
    "models/classic.py": "train",
    "models/training_data.py": MODEL,
    # A task brings its decision and its predictions along; metrics choose the winner.
    "evaluation/": ALL,
    "evaluation/bootstrap.py": BUNDLE,
    "evaluation/curves.py": "evaluate",
    "evaluation/reference.py": f"postprocess {PAGE}",
    "evaluation/drift.py": PAGE,
    "evaluation/explain.py": NOTHING,
    "evaluation/diagnostics.py": "evaluate",
    "evaluation/leaks.py": "evaluate",
    "evaluation/verdict.py": "evaluate",
    "evaluation/ledger.py": "evaluate report",
    "evaluation/metrics.py": MODEL,
    "evaluation/naive.py": MODEL,
    "evaluation/team_metrics.py": MODEL,
    "bundle/": "postprocess",
    "bundle/batch.py": NOTHING,
    "bundle/bundle.py": BUNDLE,
    "bundle/carried.py": BUNDLE,
    "bundle/promotion.py": NOTHING,
    "bundle/store.py": NOTHING,
    # The team's rule is tried before anything is fitted.
    "bundle/__init__.py": MODEL,
    "bundle/rule.py": MODEL,
    "reporting/": PAGE,
    # Records, logs, the checklist, and what uses a finished model.
    "tracking/": NOTHING,
    "checklist/": NOTHING,
    "serving/": NOTHING,
    "monitoring/": NOTHING,
    # Its section of the page.
    "monitoring/__init__.py": PAGE,
    "monitoring/drift.html.jinja": PAGE,
    "monitoring/page.py": PAGE,
    "monitoring/words.py": PAGE,
}


@pytest.fixture(name="project", scope="module")
def project_fixture(
    make_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A project of the sample's classes that fits quickly."""
    return make_project(
        tmp_path_factory.mktemp("stale"),
        data={"source": "sample", "target": "churned", "id": "customer_id"},
        model={"candidates": "linear", "folds": 0},
        evaluate={"bootstrap": 10, "margin": 0},
    )


@pytest.fixture(name="copied")
def copied_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, whose code the stages' keys follow from."""
    folder = tmp_path / "src" / "mlproj"
    shutil.copytree(code.PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))

    monkeypatch.setattr(pipeline, "_fingerprint", pipeline._fingerprint.__wrapped__)
    monkeypatch.setattr(pipeline, "_modules", cache(lambda: Modules(folder)))
    return folder


def keys(project: Project, settings: Settings | None = None) -> dict[str, str]:
    """What each stage's result follows from today, as if no stage had run yet."""
    pipeline._modules.cache_clear()  # a process of its own
    settings = settings or load_settings(project)
    return {name: pipeline.stage_key(project, settings, name) for name in ordered()}


def changed(path: Path) -> None:
    """Add what a program would run, or a byte where it is not Python."""
    with path.open("a", encoding="utf-8") as file:
        file.write("\nADDED = 1\n" if path.suffix == ".py" else " ")


def expected(name: str) -> set[str]:
    """The stages of the table's line for a file."""
    folder = name.rpartition("/")[0]
    lines = (DUE.get(each) for each in (name, f"{folder}/", f"{folder.partition('/')[0]}/"))
    line = next((each for each in lines if each is not None), None)
    assert line is not None, f"add {name} to DUE: which stages' results follow from it?"
    return set(line.split())


def test_each_file_makes_due_what_follows_from_it(project: Project, copied: Path) -> None:
    settings = load_settings(project)
    before = keys(project, settings)
    wrong = {}
    for path in sorted(each for each in copied.rglob("*.*") if each.is_file()):
        name, content = path.relative_to(copied).as_posix(), path.read_bytes()
        changed(path)
        after = keys(project, settings)
        path.write_bytes(content)
        due = {stage for stage in before if before[stage] != after[stage]}
        if due != expected(name):
            wrong[name] = f"found {sorted(due)}, but the table says {sorted(expected(name))}"
    assert not wrong, "\n".join(f"{name}: {said}" for name, said in wrong.items())
    assert keys(project, settings) == before


def test_no_line_of_the_table_is_left_over() -> None:
    names = {path.relative_to(code.PACKAGE).as_posix() for path in code.PACKAGE.rglob("*.*")}
    folders = {f"{parent}/" for name in names for parent in Path(name).parents}
    assert DUE.keys() <= names | folders


def test_formatting_of_the_team_s_code_makes_nothing_due(project: Project, copied: Path) -> None:
    before, path = keys(project), copied / "custom.py"
    text = path.read_text(encoding="utf-8")
    assert text.startswith('"""The team')
    path.write_text(
        text.replace('"""The team', '"""Our team', 1).replace("return frame", "return (frame)"),
        encoding="utf-8",
    )
    assert keys(project) == before


def test_what_the_team_s_code_imports_makes_due(project: Project, copied: Path) -> None:
    with (copied / "custom.py").open("a", encoding="utf-8") as file:
        file.write("\n\nfrom . import pricing\n")
    (copied / "pricing.py").write_text("RATE = 1.19\n", encoding="utf-8")
    before = keys(project)
    (copied / "pricing.py").write_text("RATE = 1.07\n", encoding="utf-8")
    after = keys(project)
    assert {name for name in before if before[name] != after[name]} == expected("custom.py")


def test_the_team_s_code_may_be_a_folder(project: Project, copied: Path) -> None:
    (copied / "custom").mkdir()
    (copied / "custom.py").rename(copied / "custom" / "__init__.py")
    (copied / "custom" / "rules.py").write_text("LIMIT = 1\n", encoding="utf-8")
    before = keys(project)
    (copied / "custom" / "rules.py").write_text("LIMIT = 2\n", encoding="utf-8")
    after = keys(project)
    assert {name for name in before if before[name] != after[name]} == expected("custom.py")


@pytest.mark.parametrize(
    ("section", "key", "value", "file", "due"),
    [
        ("model", "candidates", ("xgboost",), "models/classic.py", NOTHING),
        ("model", "candidates", ("xgboost",), "models/boosters/estimators.py", "train"),
        ("model", "task", "regression", "tasks/regression.py", ALL),
        ("model", "task", "regression", "tasks/classification.py", NOTHING),
    ],
)
def test_what_the_settings_choose_counts_and_the_rest_does_not(
    project: Project, copied: Path, section: str, key: str, value: object, file: str, due: str
) -> None:
    settings = load_settings(project)
    chosen = getattr(settings, section).model_copy(update={key: value})
    settings = settings.model_copy(update={section: chosen})

    def now() -> dict[str, str]:
        pipeline._modules.cache_clear()
        return {name: pipeline.code_of(name, settings) for name in ordered()}

    before = now()
    changed(copied / file)
    after = now()
    assert {name for name in before if before[name] != after[name]} == set(due.split())


def test_a_run_does_not_follow_from_other_candidates(project: Project, copied: Path) -> None:
    settings = load_settings(project)
    linear, tree = (("train", settings, name) for name in ("linear", "xgboost"))
    before = [pipeline.code_of(*each[:2], ESTIMATORS=(each[2],)) for each in (linear, tree)]
    changed(copied / "models" / "classic.py")
    pipeline._modules.cache_clear()
    after = [pipeline.code_of(*each[:2], ESTIMATORS=(each[2],)) for each in (linear, tree)]
    assert before[0] != after[0]
    assert before[1] == after[1]


RUN_ONE = """
import json, sys
from pathlib import Path
from mlproj.core.config import load_settings
from mlproj.core.pipeline import run_stage
from mlproj.core.project import Project

project = Project(Path(sys.argv[1]))
run_stage(project, load_settings(project), sys.argv[2])
print(json.dumps([each.__file__ for name, each in sys.modules.items() if name[:7] == "mlproj."]))
"""


def test_every_module_that_a_stage_loads_is_covered(
    project: Project, package_environment: dict[str, str]
) -> None:
    """Each stage runs in a process of its own; the modules in memory then are what it executed."""
    settings = load_settings(project)
    for name, stage in ordered().items():
        done = subprocess.run(
            [sys.executable, "-c", RUN_ONE, str(project.root), name],
            env=package_environment,
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr
        loaded = {
            Path(each).relative_to(code.PACKAGE)
            for each in json.loads(done.stdout.splitlines()[-1])
        }
        assert Path(f"{name}.py") in loaded
        files = reached(pipeline.code_entries(stage, settings), Modules(code.PACKAGE))
        covered = {relative(path, code.PACKAGE) for path in files}
        missed = {
            each.as_posix()
            for each in loaded
            if code._counts(code.PACKAGE / each, code.PACKAGE) and each.as_posix() not in covered
        }
        # Loaded so that the registries hold all names: a folder's names, settings, the team's.
        folders = {parent for each in loaded for parent in each.parents if parent.name}
        named = {f"{folder.as_posix()}/__init__.py" for folder in folders}
        named |= {"monitoring/settings.py", "serving/settings.py"}
        # It verifies files: a result follows from the bundle that it lets through.
        named |= {"bundle/onnx/form.py"}
        named |= {"custom.py"} if name == "ingest" else set()
        assert missed <= named, name
