"""A project of the earlier version, updated: it predicts, splits and checks as it did."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from baking import BakedProject
from earlier import EARLIER, printed, python
from living import Checkout, create, left, upstream_of_work_tree

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
    return Section("Ours", f"<p>Skill over {metrics.skill.__name__}</p>")


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
    # The earlier version's own tool brings this version. It still merges custom.py and the source:
    # the team takes its own back, as CHANGELOG.md says. Whoever has this version's tool need not.
    assert "Both changed the same lines" in left(checkout.tool("update"))
    checkout.git("checkout", "HEAD", "--", "conf.cfg", "src/ml_project/custom.py")
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
    before = pd.read_csv(lived.before / "scored.csv")
    for run_id in run_ids:
        score(root, tmp_path / "scored.csv", "--model", run_id)
        scored = pd.read_csv(tmp_path / "scored.csv")
        if run_id == lived.run_id or lived.task == "regression":
            pd.testing.assert_frame_equal(scored, before)
        else:  # What is packaged now is not as sure of itself, and ranks the rows as before.
            assert scored["prediction"].equals(before["prediction"])
            order = scored["probability_1"].argsort(kind="stable")
            assert before["probability_1"].iloc[order].is_monotonic_increasing
            assert scored["probability_1"].min() > 1e-20 > before["probability_1"].min()
    if lived.task == "classification":
        # Of 0 and 1 the rarer would be 0.
        assert "the positive class stays '1', the last in order" in " ".join(out.split())
        documents = [json.loads((root / "models" / each / "bundle.json").read_text("utf-8"))
                     for each in run_ids]  # fmt: skip
        assert [each["positive"] for each in documents] == ["1", "1"]
        assert {json.dumps(each["classes"]) for each in documents} == {'["0", "1"]'}
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
