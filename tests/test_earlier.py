"""What an earlier version wrote goes on working: imports, `custom.py`, bundles, cards, notebooks.

The earlier version is the last one with another layout. It comes from this repository's history.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from answers import SKELETON, TEMPLATE
from baking import BakedProject
from living import Checkout, create, left, upstream_of_work_tree

EARLIER = "c111df1c5a84ec460a3bfe39ead86d19d00848ca"
PACKAGE = f"{SKELETON.name}/src/{{{{cookiecutter.__package}}}}"
# Public names of the earlier version that are gone for good, each with the reason.
GIVEN_UP = {
    "bundle": ("raw_scores finish", "the task does it: `bundle.task.raw_scores` and `.decide`"),
    "checklist.catalogue": ("CONSTRUCTION CONDITIONS RULES NAMES", "a constant of its file"),
    "checklist.evidence": ("WORDS MOST_READ LARGEST LATER_ROWS", "a constant of its file"),
    "checklist.measured": (
        "CRUFT MOST_COLUMNS MOST_ROWS MOST_VALUES MOST_SIGNS UNSEEN SIGNS",
        "a constant of its file",
    ),
    "checklist.records": ("SIGNED WAIVED PATIENCE NOBODY", "a constant of its file"),
    "checklist.rules": ("FORM", "a constant of its file"),
    "checklist.verify": ("own_stage OUT", "the stage is read by core/project_answers.py"),
    "cli": ("preprocess train postprocess report", "commands follow from the registry of stages"),
    "data.infer": (
        "MOST_CLASSES_OF_FRACTIONS MOST_CLASSES_OF_INTEGERS MOST_CLASSES",
        "the task has them",
    ),
    "features": ("NUMBERS", "inputs are looked up by their kind"),
    "metrics": (
        "Codes CLASSES NUMBERS default_metric metric_names chosen_metric make_outcome "
        "constant_outcome score_all",
        "the task does it: `.metrics`, `.choose_metric`, `.with_truth` and `.constant_with_truth`",
    ),
    "monitoring.drift": ("*", "evaluation/drift.py; a default project does not name monitoring"),
    "monitoring.labelled": ("Labelled", "it never leaves monitoring"),
    "monitoring.labels": ("labelled_outcome", "it never leaves monitoring"),
    "monitoring.retrain": ("Result", "it never leaves monitoring"),
    "pipeline": ("TABLE", "the stages stand in the registry"),
    "serving.openapi": ("NUMBER_OR_NONE", "the form of answers is the task's"),
    "serving.page": ("OUTCOME", "the form of answers is the task's"),
    "serving.scoring": ("temper_one label_one FEW_ROWS", "the kind of answers has them"),
    "serving.service": ("Told Asked", "they never leave the service"),
    "train": ("MEDIAN_METRICS", "the task has them"),
    "postprocess": ("LEVEL choose", "the task does it: `.fit_decision`"),
}


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as the earlier version had it."""
    show = ["git", "-C", str(TEMPLATE), "archive", "--format=tar", EARLIER, PACKAGE]
    done = subprocess.run(show, capture_output=True)
    if done.returncode:
        pytest.skip("the earlier version is not in the history of this clone")
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / PACKAGE


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with the package of today as `mlproj`, which a test may change."""
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TEMPLATE / PACKAGE, tmp_path / "src" / "mlproj", ignore=skip)
    return tmp_path / "src"


def python(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder whose `src` holds a package, or that is one itself."""
    src = folder / "src" if (folder / "src").is_dir() else folder
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(src), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        encoding="utf-8",
    )


def printed(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed that ended well."""
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


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
            return [alias.name for alias in node.names]
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


# Projects that were made and run with the earlier version, and then updated.

WAREHOUSE = '''

def read_from_our_warehouse(location: str) -> pd.DataFrame:
    """Return a table with what the examples are about."""
    from sklearn import datasets

    table: pd.DataFrame = datasets.load_{name}(as_frame=True).frame
    rows = range(len(table))
    return table.rename(columns={{"target": "{target}"}}).assign(
        age=[30.0 + row % 100 for row in rows],
        price=[100.0 + row % 7 for row in rows],
        rooms=[1.0 + row % 3 for row in rows],
    )
'''
LOADED = {
    "classification": ("breast_cancer", "diagnosis"),
    "regression": ("diabetes", "progression"),
}
TYPES = """
    from .config import DataSettings
    from .models import Candidate
"""
# More than the examples: a class, which is trusted and stored by its name, a section, evidence.
MORE = '''

registry.REPORT_SECTIONS["ours"] = ".custom:our_section"
registry.EVIDENCE["described"] = ".custom:described"
persist.TRUSTED.add(f"{__name__}.Ours")


class Ours(ensemble.ExtraTreesRegressor):
    """An estimator whose class is the team's."""


def ours(task, seed, params):
    """Build it."""
    return Candidate("ours", "OURS", "filled", configure(Ours, "ours", params, random_state=seed))


ESTIMATORS["ours"] = ".custom:ours"


def our_section(project, settings):
    """Say something on the page."""
    return Section("Ours", f"<p>Skill over {metrics.default_metric.__name__}</p>")


def described(context, item, evidence):
    """Find what the rule names among the splits' reports."""
    found = read_report(context.project, evidence.rule)
    return Finding(found is not None, f"{evidence.rule} is there")
'''
IMPORTS = """
from sklearn import ensemble

from . import metrics, registry
from .checklist.evidence import Finding
from .models import Candidate, configure, persist
from .project import read_report
from .report import Section
"""
OWN_ITEM = """
items:
  - id: own-split
    title: The split is described
    why: A reader wants to know how rows were divided before they believe a score. It is cheap.
    how: Run preprocess.
    stage: poc
    evidence:
      - described: split
"""


def uncommented(custom: str) -> str:
    """Return `custom.py` with every example's `#` taken away, as its text says."""
    lines: list[str] = []
    is_code = False
    for line in custom.splitlines():
        is_code = (is_code and line.startswith("#")) or line.startswith("# def ")
        inside = re.sub(r"^(    )# ?", r"\1", line)
        lines.append(re.sub(r"^# ?", "", inside).rstrip() if is_code else inside.rstrip())
    return "\n".join(lines) + "\n"


def old_custom(text: str, task: str) -> str:
    """Return the earlier `custom.py`, its examples uncommented and adapted."""
    custom = uncommented(text)
    for code in ('ESTIMATORS["extra_trees"] =', 'SOURCES["warehouse"] =', "frame.filter("):
        assert re.search(rf"^ *(frame = )?{re.escape(code)}", custom, re.M), custom
    custom = custom.replace("read_from_your_warehouse(", "read_from_our_warehouse(")
    custom = custom.replace("    import pandas as pd\n", f"    import pandas as pd\n{TYPES}", 1)
    custom = custom.replace(
        "\nif TYPE_CHECKING:\n", "\nif TYPE_CHECKING:\n    from pathlib import Path\n\n"
    )
    documented = re.sub(r"(\) -> Path:\n)", r'\1    """Fetch a table."""\n', custom)
    documented = re.sub(r"(\) -> Candidate:\n)", r'\1    """Build."""\n', documented)
    name, target = LOADED[task]
    documented += WAREHOUSE.format(name=name, target=target)
    if task == "regression":
        first = "\nfrom typing import TYPE_CHECKING, Any\n"
        documented = documented.replace(first, f"{first}{IMPORTS}", 1) + MORE
    return documented


@dataclass(frozen=True)
class Lived:
    """A project of the earlier version, with what it had made by then, after its update."""

    checkout: Checkout
    task: str
    run_id: str
    before: Path

    def run(self, *words: str, **environment: str) -> str:
        """Return what a command of the package prints."""
        return printed(python(self.checkout.root, "-m", "ml_project", *words, **environment))

    def custom(self) -> str:
        """Return the team's part."""
        return self.checkout.text("src/ml_project/custom.py")


def champion(checkout: Checkout) -> str:
    """Return the run that is in service."""
    document: dict[str, Any] = json.loads(checkout.text("models/champion.json"))
    return str(document["run_id"])


@pytest.fixture(scope="module", params=["classification", "regression"])
def lived(
    request: pytest.FixtureRequest,
    earlier: Path,
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Lived:
    task, folder = request.param, tmp_path_factory.mktemp("lived")
    address = upstream_of_work_tree(template, folder / "template.git")
    checkout = create(address, folder / "out", f"task={task}", version=EARLIER)
    settings = re.sub(r"(?m)^source = .*", "source = warehouse:cells", checkout.text("conf.cfg"))
    candidates = {"classification": "extra_trees", "regression": "ours"}[task]
    settings = re.sub(r"(?m)^candidates = .*", f"candidates = {candidates}", settings)
    checkout.write("conf.cfg", settings)
    custom = old_custom(checkout.text("src/ml_project/custom.py"), task)
    checkout.write("src/ml_project/custom.py", custom)
    if task == "regression":
        own = checkout.text("checklist/own.yaml").replace("items: []\n", OWN_ITEM)
        checkout.write("checklist/own.yaml", own)
    # Notebooks of the team's own, which look as the template's did.
    for path in sorted((checkout.root / "notebooks").glob("*.ipynb")):
        shutil.copy(path, path.with_name(f"ours_{path.name}"))
    checkout.commit()
    printed(python(checkout.root, "-m", "ml_project", "run"))
    before = folder / "before"
    shutil.copytree(checkout.root, before)
    score(checkout.root, before / "scored.csv")
    checkout.commit("run")
    # The earlier version's own tool brings this version. It still merges custom.py: the team takes
    # its own back, as CHANGELOG.md says. Whoever has this version's tool need not.
    assert "Both changed the same lines" in left(checkout.tool("update"))
    checkout.git("checkout", "HEAD", "--", "src/ml_project/custom.py")
    checkout.commit("update")
    return Lived(checkout, task, champion(checkout), before)


def score(root: Path, output: Path, *options: str) -> bytes:
    """Score the original's rows and return the file."""
    (original,) = root.glob("data/original/*.parquet")
    printed(python(root, "-m", "ml_project", "predict", str(original), str(output), *options))
    return output.read_bytes()


@pytest.mark.modules
def test_the_old_bundle_predicts_the_same(lived: Lived, tmp_path: Path) -> None:
    assert not lived.checkout.has("src/ml_project/registry.py")
    scored = (lived.before / "scored.csv").read_bytes()
    assert scored.count(b"\n") > 400
    assert score(lived.checkout.root, tmp_path / "a.csv") == scored
    assert score(lived.checkout.root, tmp_path / "b.csv", "--model", lived.run_id) == scored
    stored = json.loads(lived.checkout.text(f"models/{lived.run_id}/bundle.json"))
    label = {"classification": "EXTRATREES", "regression": "OURS"}[lived.task]
    assert stored["estimator"]["label"] == label


@pytest.mark.modules
def test_the_old_bundle_is_loaded_under_old_and_new_names(lived: Lived) -> None:
    for place in ("ml_project", "ml_project.champion", "ml_project.bundle.champion"):
        script = f"from {place} import load_champion; print(load_champion().run_id)"
        assert printed(python(lived.checkout.root, "-c", script)) == f"{lived.run_id}\n"


@pytest.mark.modules
def test_the_code_of_the_old_card_runs(lived: Lived) -> None:
    card = lived.checkout.text(f"models/{lived.run_id}/card.md")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert "import load_bundle" in code
    (original,) = lived.checkout.root.glob("data/original/*.parquet")
    frame = f"import pandas as pd\nframe = pd.read_parquet({str(original)!r})\n"
    end = "print(len(predictions.frame) if hasattr(predictions, 'frame') else len(predictions))"
    assert int(printed(python(lived.checkout.root, "-c", f"{frame}{code}\n{end}"))) > 400


@pytest.mark.modules
def test_the_notebooks_run_the_old_ones_and_the_new(lived: Lived, tmp_path: Path) -> None:
    notebooks = sorted((lived.checkout.root / "notebooks").glob("*.ipynb"))
    assert len(notebooks) == 4
    outputs = {path.name: executed(lived.checkout.root, path, tmp_path) for path in notebooks}
    for name, output in outputs.items():
        assert ("works until the next release" in output) == name.startswith("ours_"), name


def executed(root: Path, notebook: Path, folder: Path) -> str:
    """Run a notebook from top to bottom and return it with its outputs, the project left alone."""
    copy = notebook.with_name(f"run_{notebook.name}")
    shutil.copy(notebook, copy)
    try:
        client = "from nbclient.cli import main; main()"
        command = ["-c", client, "--inplace", str(copy)]
        printed(python(root, *command, IPYTHONDIR=str(folder)))
        return copy.read_text(encoding="utf-8")
    finally:
        copy.unlink()


@pytest.mark.modules
def test_run_gives_the_same_split_and_the_same_predictions(lived: Lived, tmp_path: Path) -> None:
    import pandas as pd

    root = tmp_path / "again"
    shutil.copytree(lived.checkout.root, root)
    out = printed(python(root, "-m", "ml_project", "run"))
    assert "train" in out
    facts = json.loads((root / "reports" / "train.json").read_text("utf-8"))["facts"]
    named = {"classification": "extra_trees", "regression": "ours"}[lived.task]
    assert named in json.dumps(facts["candidates"])
    for path in sorted((lived.before / "data").rglob("*.parquet")):
        same = root / path.relative_to(lived.before)
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(same))
    run_ids = [path.parent.name for path in root.glob("models/*/bundle.json")]
    assert lived.run_id in run_ids and len(run_ids) == 2
    for run_id in run_ids:
        scored = score(root, tmp_path / f"{run_id}.csv", "--model", run_id)
        assert scored == (lived.before / "scored.csv").read_bytes(), run_id
    page = (root / "reports" / "index.html").read_text("utf-8")
    assert ("Ours</h2>" in page) == (lived.task == "regression")


@pytest.mark.modules
def test_the_team_s_own_is_left_as_it_was_and_counts_for_the_checklist(lived: Lived) -> None:
    custom = (lived.before / "src/ml_project/custom.py").read_bytes()
    assert lived.custom().encode() == custom
    items = json.loads(lived.run("checklist", "--stage", "poc", "--json"))["items"]
    assert len(items) > 10
    own = {item["id"]: item["state"] for item in items if item["id"] == "own-split"}
    assert own == ({"own-split": "done"} if lived.task == "regression" else {})


@pytest.mark.modules
def test_the_updated_project_is_green(lived: Lived, tmp_path: Path) -> None:
    # This one counts the rows of the sample table, of which the example's rule drops some.
    counts = "tests/test_data.py::test_splits_are_disjoint_and_of_the_asked_size"
    commands = [["pytest", "-q", "-x", "-p", "no:cacheprovider", "--deselect", counts]]
    if lived.task == "classification":
        commands += [
            ["ruff", "check", "--quiet", "--no-cache", "src"],
            ["mypy", "--cache-dir", str(tmp_path)],
        ]
    for command in commands:
        printed(python(lived.checkout.root, "-m", *command))


@pytest.mark.modules
def test_a_fresh_project_uses_the_new_places_alone(bake_into: Any, tmp_path: Path) -> None:
    project: BakedProject = bake_into(tmp_path, serving="rest", monitoring="yes")
    strict = f"error:{project.package}.:DeprecationWarning"
    tests = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-W", strict]
    printed(python(project.root, *tests, PYTHONWARNINGS=strict))
    printed(python(project.root, "-m", project.package, "run", PYTHONWARNINGS=strict))
    for name in project.files("*.ipynb"):
        text = executed(project.root, project.root / name, tmp_path)
        assert "DeprecationWarning" not in text
