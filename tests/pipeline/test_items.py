"""Every item that a machine proves: its proof is there after a run, can be broken, and mended.

The projects are baked and run for real; what is broken afterwards is one proof at a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from answers import SKELETON
from baking import bake_project, run_git
from breaking import break_proof, restore, snapshot
from filelock import FileLock
from mlproj.checklist.catalogue import Evidence, Item, load_catalogue
from mlproj.checklist.verify import Result, assess, open_context, verify
from mlproj.config import load_settings
from mlproj.files import read_json, write_json
from mlproj.pipeline import run
from mlproj.project import Project

AUTO = [item for item in load_catalogue(Project(SKELETON)).items.values() if item.kind == "auto"]


@dataclass(frozen=True)
class Case:
    """A project for which some items apply.

    Attributes:
        answers: As typed at the prompts.
        settings: What stands in conf.cfg instead of the defaults, by what it replaces.
    """

    answers: dict[str, str]
    settings: dict[str, str]


# A sample table with every role; small, so that a run takes seconds.
SAMPLE = {
    "sklearn:breast_cancer": "sample:2000",
    "target = diagnosis": "target = churned",
    "id =": "id = customer_id",
    "sensitive =": "sensitive = gender",
    "cost_fn = 1": "cost_fn = 5",
    "margin = 0.05": "margin = 0.05\nhuman_score = 0.6",
}
CASES = {
    "default": Case({}, {}),
    "time": Case({"ci": "gitlab"}, {**SAMPLE, "time =": "time = signup"}),
    "group": Case({"ci": "jenkins"}, {**SAMPLE, "group =": "group = store"}),
    "regression": Case({"task": "regression"}, {}),
}


def make_case(name: str, template: Path, folder: Path) -> Project:
    """Bake a project, run it, and commit what that wrote, as a person would."""
    case = CASES[name]
    asked = {"project_slug": "mlproj", "stage": "production", **case.answers}
    project = Project(bake_project(template, folder, asked).root)
    text = project.conf.read_text(encoding="utf-8")
    for old, new in case.settings.items():
        assert f"{old}\n" in text
        text = text.replace(f"{old}\n", f"{new}\n")
    project.conf.write_text(text, encoding="utf-8")
    run(project, load_settings(project), say=lambda line: None)
    run_git(project.root, "remote", "add", "origin", "https://example.invalid/x.git")
    run_git(project.root, "add", "--all")
    run_git(project.root, "commit", "--quiet", "--message", "run")
    return project


@pytest.fixture(scope="session")
def project_of(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    """``project_of("time")``: that project, run once for all processes; a copy for each."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if own.name.startswith("popen-") else own
    copies: dict[str, Project] = {}

    def copy(name: str) -> Project:
        if name not in copies:
            original = shared / f"case-{name}"
            with FileLock(f"{original}.lock"):
                if not original.exists():
                    made = make_case(name, template, tmp_path_factory.mktemp(name))
                    made.root.rename(original)
            root = tmp_path_factory.mktemp(f"copy-{name}") / "mlproj"
            copies[name] = Project(shutil.copytree(original, root))
        return copies[name]

    return copy


def look(project: Project, item: Item) -> Result:
    """Verify one item, everything read anew."""
    return verify(open_context(project)[1], item)


@pytest.fixture
def proved(item: Item, project_of: Callable[..., Project]) -> Project:
    """The first project in which the item is done."""
    seen = {}
    for name in CASES:
        project = project_of(name)
        result = look(project, item)
        if result.state == "done":
            return project
        seen[name] = result.reason
    pytest.fail(f"{item.id} is nowhere done: {seen}")


@pytest.mark.parametrize("item", AUTO, ids=lambda item: item.id)
def test_each_proof_can_be_broken_and_mended(item: Item, proved: Project) -> None:
    before = snapshot(proved)
    for proof in item.evidence:
        break_proof(proved, proof)
        try:
            assert look(proved, item).state in ("open", "stale"), proof
        finally:
            restore(proved, before)
        assert look(proved, item).state == "done", proof


@pytest.mark.parametrize(
    "item",
    [item for item in AUTO if any(proof.kind == "fact" for proof in item.evidence)],
    ids=lambda item: item.id,
)
def test_a_fact_of_other_data_is_stale(item: Item, proved: Project) -> None:
    before = snapshot(proved)
    manifest = read_json(proved.manifest_file)
    write_json(proved.manifest_file, {**manifest, "fingerprint": "0" * 16})
    try:
        facts = tuple(proof for proof in item.evidence if proof.kind == "fact")
        assert look(proved, only(item, facts)).state == "stale"
    finally:
        restore(proved, before)


def only(item: Item, evidence: tuple[Evidence, ...]) -> Item:
    """Return the item as if it rested on this evidence alone."""
    fields = {**vars(item), "evidence": evidence, "applies": ()}
    return Item(**fields)


@pytest.mark.parametrize("name", ["default", "regression"])
def test_a_new_project_that_ran_has_only_work_for_people_open(
    name: str, project_of: Callable[..., Project]
) -> None:
    missing = assess(project_of(name), "poc").missing
    assert [result.reason for result in missing if result.item.kind == "auto"] == []
    assert 1 <= len(missing) <= 12
