"""Imports and every `custom.py` of the earlier version go on working, and say where to look."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from answers import TEMPLATE
from earlier import PACKAGE, printed, python

# Public names of the earlier version that are gone for good, each with the reason.
GIVEN_UP = {
    "bundle": (
        "raw_scores finish ONNX_FILE",
        "the task does it: `bundle.task.raw_scores` and `.decide`; ONNX: see onnx_export",
    ),
    "checklist.catalogue": (
        "CONSTRUCTION CONDITIONS RULES NAMES LOADER AREA_KEYS ITEM_KEYS REQUIRED refuse_conflict",
        "its classes say what a file holds, and pydantic reads them",
    ),
    "checklist.evidence": ("WORDS MOST_READ LARGEST LATER_ROWS", "a constant of its file"),
    "checklist.measured": (
        "CRUFT MOST_COLUMNS MOST_ROWS MOST_VALUES MOST_SIGNS UNSEEN SIGNS SCHEMA Form PARTS part "
        "answers inputs baseline sources lineage quantity dictionary missing split importance "
        "candidates selection complexity evaluation decision bundle storage versions reference "
        "table",
        "the parts are macros of measured.md.jinja",
    ),
    "checklist.records": ("SIGNED WAIVED PATIENCE NOBODY", "a constant of its file"),
    "checklist.rules": ("FORM", "a constant of its file"),
    "checklist.show": (
        "PLAIN_SIGNS BLOCKS PLAIN_BLOCKS BOLD SOFT Look find_look",
        "rich knows what a terminal can show",
    ),
    "checklist.summary": ("check_stage check_area check_state", "verify.check_name does it"),
    "checklist.verify": ("own_stage OUT", "the stage is read by checklist/catalogue.py"),
    "cli": ("preprocess train postprocess report", "commands follow from the registry of stages"),
    "data.formats": (
        "TableWriter WRITTEN TEXT_TYPES",
        "`open_writer` gives a function that writes; the schema says how each column is read",
    ),
    "data.infer": (
        "MOST_CLASSES_OF_FRACTIONS MOST_CLASSES_OF_INTEGERS MOST_CLASSES Inference DATES TIMES "
        "DATE_SHAPE FEWEST_IDS",
        "the task has classes; `infer_schema` returns a `data.schema:SchemaFile`; data.dates makes "
        "formats from the words",
    ),
    "data.ingest": ("Chosen", "it never left ingest"),
    "data.schema": (
        "Cast cast_table pandera_schema validate violation_of",
        "`data.cast:conform` casts and, with values=True, validates",
    ),
    "features": ("NUMBERS", "inputs are looked up by their kind"),
    "metrics": (
        "Codes CLASSES NUMBERS default_metric metric_names chosen_metric make_outcome "
        "constant_outcome score_all",
        "the task does it: `.metrics`, `.choose_metric`, `.with_truth` and `.constant_with_truth`",
    ),
    "models.baseline": ("LABEL", "a constant of its file"),
    "monitoring.drift": ("*", "evaluation/drift.py; a default project does not name monitoring"),
    "monitoring.labelled": ("Labelled", "it never leaves monitoring"),
    "monitoring.labels": ("labelled_outcome", "it never leaves monitoring"),
    "monitoring.page": ("ROW NAMES BARS SHARES", "the template has them"),
    "monitoring.retrain": ("Result BLOCK", "it never leaves monitoring"),
    "monitoring.window": (
        "RULES without_refused",
        "`cast_column` does it; a violation has its rule",
    ),
    "onnx_export": ("*", "bundle/onnx; a default project does not name ONNX"),
    "pipeline": ("TABLE", "the stages stand in the registry"),
    "runs": ("Difference", "`Comparison.differences` holds both values by area and name"),
    "serving.app": ("PROBED", "HEAD is answered wherever GET is"),
    "serving.openapi": ("NUMBER_OR_NONE", "the form of answers is the task's"),
    "serving.page": ("OUTCOME HEAD KEY FILE", "the templates have them, and tasks their answers"),
    "serving.scoring": ("temper_one label_one FEW_ROWS", "the kind of answers has them"),
    "serving.service": ("Told Asked", "they never leave the service"),
    "train": ("MEDIAN_METRICS", "the task has them"),
    "preprocess": ("read_typed", "`data.arrow:read_parquet(project.typed)`"),
    "postprocess": ("LEVEL choose", "the task does it: `.fit_decision`"),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with the package of today as `mlproj`, which a test may change."""
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TEMPLATE / PACKAGE, tmp_path / "src" / "mlproj", ignore=skip)
    return tmp_path / "src"


def public_names(package: Path, with_imported: bool = False) -> Iterator[tuple[str, str]]:
    """Yield module and name of all that a package defines for others, or also has by import."""
    for path in sorted(package.rglob("*.py")):
        module = path.relative_to(package).with_suffix("").as_posix().replace("/", ".")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for name in defined(node, with_imported):
                if not name.startswith("_"):
                    yield re.sub(r"(^|\.)__init__$", "", module), name


def defined(node: ast.stmt, with_imported: bool = False) -> list[str]:
    """Return the names that a statement defines, or also imports."""
    match node:
        case ast.ImportFrom() if with_imported:
            return [alias.asname or alias.name for alias in node.names]
        case ast.FunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Assign():
            targets = [part for target in node.targets for part in ast.walk(target)]
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


# Imports.

IMPORT_ALL = """
import importlib, json, sys, warnings

lost, silent = [], []
for module, name in json.load(sys.stdin):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        where = ".".join(["mlproj", *filter(None, [module])])
        try:
            exec(f"from {where} import {name}", {})
        except ImportError as error:
            lost.append([module, name, str(error)])
    here = [w for w in caught if str(w.message).startswith(f"{where}.{name} is now mlproj.")]
    silent += [] if here else [[module, name]]
print(json.dumps([lost, silent]))
"""


def test_every_public_name_can_be_imported_where_it_was(earlier: Path, source: Path) -> None:
    before = list(public_names(earlier))
    now = set(public_names(source / "mlproj", with_imported=True))
    assert len(before) > 700
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL],
        input=json.dumps(before),
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        encoding="utf-8",
    )
    lost, silent = json.loads(printed(done))
    given_up = {(module, name) for module, (names, _) in GIVEN_UP.items() for name in names.split()}
    whole = {module for module, (names, _) in GIVEN_UP.items() if names == "*"}
    gone = {(module, "*" if module in whole else name) for module, name, _ in lost}
    assert (gone - given_up, given_up - gone) == (set(), set())
    # And only what moved is warned about.
    missing = {(module, name) for module, name, _ in lost}
    assert {(module, name) for module, name in silent} - missing == set(before) & now


def test_an_old_name_warns_the_line_that_uses_it_once(source: Path) -> None:
    script = "from mlproj.bundle import load_bundle\nfrom mlproj.bundle.bundle import Bundle\n"
    script += "for _ in range(3):\n    from mlproj.project import find_project\n"
    (source / "ours.py").write_text(script, encoding="utf-8")
    done = python(source, "-W", "always", "ours.py")
    assert printed(done) == ""
    lines = [line for line in done.stderr.splitlines() if "DeprecationWarning" in line]
    until = "the old name works until the next release of the template."
    assert lines == [
        f"{source}/ours.py:1: DeprecationWarning: mlproj.bundle.load_bundle is now "
        f"mlproj.bundle.bundle.load_bundle; {until}",
        f"{source}/ours.py:4: DeprecationWarning: mlproj.project.find_project is now "
        f"mlproj.core.project.find_project; {until}",
    ]


WAYS = {
    "a module under another name": "import mlproj.champion as c; c.load_champion",
    "a module of the package": "from mlproj import errors; errors.UserError",
    "an attribute": "import mlproj.data.formats; mlproj.data.formats.read_table",
    "a private name": "from mlproj.files import _sync",
    "the same object": (
        "from mlproj.registry import SOURCES; from mlproj.core import registry; "
        "assert SOURCES is registry.SOURCES and 'file' in registry.SOURCES or registry.team()"
    ),
    "all names": "from mlproj.errors import *; UserError, GateError",
    "all names of a module that imports others": "from mlproj.reference import *; make_reference",
    "a name that is called differently": (
        "from mlproj.registry import extend_by_custom; extend_by_custom()"
    ),
    "again": (
        "import importlib, mlproj.plots as p, mlproj.report as r; importlib.reload(mlproj); "
        "[importlib.reload(m) for m in (p, r, r)]; p.draw_roc, r.html_page, r.report"
    ),
    "a folder's own module": (
        "from mlproj.bundle import card, champion; from mlproj.tracking import runs; "
        "card.write_card, champion.status, runs.list_runs"
    ),
    "completion": "import mlproj.errors as e; assert 'UserError' in dir(e)",
    "resources": (
        "from importlib.resources import files; "
        "assert files('mlproj.bundle').joinpath('card.py').is_file()"
    ),
    "sources": "import inspect, mlproj.report as r; assert 'def report' in inspect.getsource(r)",
    "a name that never was": (
        "import mlproj.report, mlproj.errors\n"
        "for m in (mlproj.report, mlproj.errors):\n"
        "    try: m.nothing\n"
        "    except AttributeError as e: assert str(e).endswith(\"has no attribute 'nothing'\")\n"
        "    else: raise SystemExit(1)"
    ),
    "a module that never was": (
        "try: import mlproj.nothing\n"
        "except ModuleNotFoundError as e: assert e.name == 'mlproj.nothing'\n"
        "else: raise SystemExit(1)"
    ),
    "two packages": (
        "import mlproj, theirs; from theirs.errors import UserError as t; "
        "from mlproj.errors import UserError as m; assert t is not m"
    ),
}


@pytest.mark.parametrize("script", WAYS.values(), ids=WAYS.keys())
def test_an_old_place_is_found(source: Path, script: str) -> None:
    if "theirs" in script:
        shutil.copytree(source / "mlproj", source / "theirs")
    printed(python(source, "-c", f"import mlproj\n{script}"))


def test_modules_of_old_and_new_places_run_as_programs(source: Path) -> None:
    assert "Usage" in printed(python(source, "-m", "mlproj", "--help"))
    for module in ("errors", "report", "bundle.bundle"):
        printed(python(source, "-m", f"mlproj.{module}"))


def test_a_file_of_the_team_s_own_at_an_old_place_is_theirs(source: Path) -> None:
    (source / "mlproj" / "plots.py").write_text("OURS = 1\n", encoding="utf-8")
    (source / "mlproj" / "logs" / "__pycache__").mkdir(parents=True)
    script = "from mlproj.plots import OURS, draw_roc; from mlproj.logs import run_log; print(OURS)"
    assert printed(python(source, "-c", script)) == "1\n"


def test_the_package_s_own_code_uses_the_new_places(source: Path) -> None:
    """Statically; that a fresh project's tests do, too, is tested below."""
    gone = {"bundle", "errors", "project", "registry", "config"}
    package = source / "mlproj"
    aliases = ast.parse((package / "core" / "aliases.py").read_text(encoding="utf-8"))
    table = next(
        ast.literal_eval(node.value)
        for node in aliases.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MOVED"
    )
    old = {entry for entry in table if not exists(package, entry.partition(":")[0])}
    assert gone - {"bundle"} <= old
    for path in package.rglob("*.py"):
        for module in imported(path, package):
            assert module not in old, f"{path.name} imports {module}"


def exists(package: Path, module: str) -> bool:
    """Tell whether a package has a module or a folder."""
    path = package.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imported(path: Path, package: Path) -> Iterator[str]:
    """Yield the modules of the package that a file imports, at its top or later."""
    here = [*path.relative_to(package).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = here[: len(here) - node.level + 1]
            base = [*folder, *(node.module or "").split(".")] if node.module else folder
            yield ".".join(base)
            yield from (".".join([*base, alias.name]) for alias in node.names)


# `custom.py`, in the old style, the new one, and both.

OLD_STYLE = '''
from . import registry
from .models import persist
from .registry import ESTIMATORS, SOURCES

ESTIMATORS["old"] = ".custom:build"
SOURCES["old"] = ".custom:build"
registry.EVIDENCE["old"] = ".custom:build"
registry.REPORT_SECTIONS["old"] = ".custom:build"
persist.TRUSTED.add("mlproj.custom.Ours")


def build():
    """Stand for anything."""
'''
NEW_STYLE = """

SOURCES = {"new": build}
EVIDENCE = {"new": build}
REPORT_SECTIONS = {"new": build}
"""
LOOK = """
from mlproj.core import registry
from mlproj.models.persist import TRUSTED

custom = registry.team()
for entries in (registry.ESTIMATORS, registry.SOURCES, registry.EVIDENCE, registry.REPORT_SECTIONS):
    names = [name for name in entries if name in ("old", "new")]
    assert all(registry.lookup(entries, name, "It") is custom.build for name in names)
    print(*names)
assert "mlproj.custom.Ours" in TRUSTED and "linear" in registry.ESTIMATORS
"""


@pytest.mark.parametrize(
    ("added", "found"),
    [("", "old\n" * 4), (NEW_STYLE, "old\n" + "old new\n" * 3)],
    ids=["old", "both"],
)
def test_custom_may_extend_the_registry_or_declare(source: Path, added: str, found: str) -> None:
    custom = source / "mlproj" / "custom.py"
    custom.write_text(custom.read_text("utf-8") + OLD_STYLE + added, encoding="utf-8")
    assert printed(python(source, "-c", LOOK)) == found
    # Whoever imports custom.py itself, as a test of the team's may, gets the same.
    assert printed(python(source, "-c", f"import mlproj.custom\n{LOOK}")) == found
