"""Every item that a machine proves: its proof is there after a run, can be broken, and mended.

The projects are baked and run for real, and one of them serves; what is broken afterwards is one
proof at a time. Where answers decide on an item's proofs, each set of proofs is a test.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from answers import DEFAULTS, SKELETON
from baking import bake_project, run_git
from breaking import break_proof, restore, snapshot
from filelock import FileLock
from mlproj.bundle.champion import challenge, promote, read_champion
from mlproj.checklist.catalogue import Evidence, Item, load_catalogue
from mlproj.checklist.conditions import parse_condition
from mlproj.checklist.context import Context
from mlproj.checklist.records import read_records
from mlproj.checklist.verify import ItemResult, assess, verify
from mlproj.core.config import load_settings
from mlproj.core.files import read_json, write_json
from mlproj.core.pipeline import run
from mlproj.core.project import Project, read_report
from mlproj.data.sample import sample_table


@dataclass(frozen=True)
class Case:
    """A project for which some items apply.

    Attributes:
        answers: As typed at the prompts.
        settings: What stands in conf.cfg instead of the defaults, by what it replaces.
    """

    answers: dict[str, str]
    settings: dict[str, str]

    @property
    def all_answers(self) -> dict[str, str]:
        """Those that were typed, and the defaults of the others."""
        return {**DEFAULTS, "stage": "production", **self.answers}


# A sample table with every role; small, so that a run takes seconds.
SAMPLE = {
    "source = example": "source = sample:2000",
    "target = died": "target = churned",
    "id =": "id = customer_id",
    "sensitive =": "sensitive = gender",
    "cost_fn = 1": "cost_fn = 5",
    "margin = 0.05": "margin = 0.05\nhuman_score = 0.6",
}
ALERTS = {"whom =": "whom = the model's team", "webhook =": "webhook = env:ALERTS_URL"}
KEYS = {"cost_fn = 1": "cost_fn = 5\n\n[serving]\nkeys = env:SERVING_KEYS"}
CASES = {
    "default": Case({}, {}),
    "time": Case(
        {"ci": "gitlab", "monitoring": "yes"}, {**SAMPLE, **ALERTS, "time =": "time = signup"}
    ),
    "group": Case(
        {"ci": "jenkins", "serving": "rest", "platform": "local"},
        {**SAMPLE, **KEYS, "group =": "group = store"},
    ),
    "regression": Case(
        {"task": "regression", "serving": "rest", "platform": "kubernetes"},
        {},
    ),
    "service": Case({"serving": "rest", "monitoring": "yes"}, {**SAMPLE, **ALERTS}),
}

CATALOGUE = load_catalogue(Project(SKELETON))
# A set of proofs: the item that rests on them, and the cases whose answers ask for exactly these.
Variant = tuple[Item, tuple[str, ...]]


def by_machine(item: Item, answers: dict[str, str]) -> Item | None:
    """Return an item with the proofs that a machine looks for; None where there are none."""
    for condition in item.applies:
        if condition.kind == "answer" and parse_condition(condition.rule).fault(answers):
            return None
    proofs = tuple(
        proof
        for proof in item.required_by(answers).evidence
        if proof.kind not in ("section", "signoff")
    )
    return replace(item, evidence=proofs) if proofs else None


def variants() -> Iterator[Variant]:
    """Yield every set of proofs that a machine looks for."""
    for item in CATALOGUE.items.values():
        found: dict[str, Variant] = {}
        for name, case in CASES.items():
            asked = by_machine(item, case.all_answers)
            if asked is not None:
                names = found.get(str(asked.evidence), (asked, ()))[1]
                found[str(asked.evidence)] = (asked, (*names, name))
        yield from found.values()


VARIANTS = list(variants())
WITH_FACTS = [each for each in VARIANTS if any(p.kind == "fact" for p in each[0].evidence)]


def by_area(chosen: list[Variant]) -> dict[str, list[Variant]]:
    """Return sets of proofs by the first word of the item's id, which a test is named after."""
    found: dict[str, list[Variant]] = {}
    for variant in chosen:
        found.setdefault(variant[0].id.partition("-")[0], []).append(variant)
    return found


def named(variant: Variant) -> str:
    """Return the name of a set of proofs."""
    return f"{variant[0].id}-{variant[1][0]}"


def make_case(name: str, template: Path, folder: Path) -> Project:
    """Bake a project, run it, and commit what that wrote, as a person would."""
    case = CASES[name]
    asked = {"project_slug": "mlproj", "stage": "production", **case.answers}
    project = Project(bake_project(template, folder, asked).root)
    write_settings(project, case.settings)
    run(project, load_settings(project), say=lambda line: None)
    if name == "service":
        release_a_challenger(project)
    if case.answers.get("monitoring") == "yes":
        monitor_later_rows(project, from_log=name == "service")
    run_git(project.root, "remote", "add", "origin", "https://example.invalid/x.git")
    run_git(project.root, "add", "--all")
    run_git(project.root, "commit", "--quiet", "--message", "run")
    return project


def write_settings(project: Project, settings: dict[str, str]) -> None:
    """Put lines of conf.cfg in the place of others."""
    text = project.conf.read_text(encoding="utf-8")
    for old, new in settings.items():
        assert f"{old}\n" in text, old
        text = text.replace(f"{old}\n", f"{new}\n")
    project.conf.write_text(text, encoding="utf-8")


def command(project: Project) -> dict[str, Any]:
    """Return where and how the project's own commands run."""
    paths = {"PYTHONPATH": str(project.root / "src"), "ALERTS_URL": "http://127.0.0.1:9/"}
    return {"cwd": project.root, "env": {**os.environ, **paths}}


def monitor_later_rows(project: Project, *, from_log: bool) -> None:
    """Compare rows that training never saw: those that the service answered, or a file."""
    words = [sys.executable, "-m", "mlproj", "monitor"]
    if not from_log:
        later = project.root.parent / "later.csv"
        sample_table(1000, seed=1).to_csv(later, index=False)
        words.append(str(later))
    subprocess.run(words, check=True, capture_output=True, **command(project))


def release_a_challenger(project: Project) -> None:
    """Train a second model, let it answer some of the requests to the service, and promote it."""
    write_settings(project, {"candidates = linear, forest, hgb": "candidates = linear, forest"})
    run(project, load_settings(project), say=lambda line: None)
    release = read_report(project, "release")
    assert release is not None and release.run_id is not None
    assert (read_champion(project) or {})["run_id"] != release.run_id
    challenge(project, release.run_id, 0.4)
    table = sample_table(600, seed=1)
    truth = table.pop("churned").tolist()
    rows = json.loads(table.to_json(orient="records", date_format="iso"))
    with service(project) as address:
        for start in range(0, len(rows), 10):
            # The key makes who answers, and so what is found in the log, the same each time.
            asked = {"rows": rows[start : start + 10]}
            answer = post(f"{address}/predict", asked, {"X-Sticky-Key": str(start)})
            labels = [
                {"request_id": answer["request_id"], "row": at, "label": truth[start + at]}
                for at in range(10)
            ]
            post(f"{address}/feedback", {"labels": labels}, {})
    promote(project, release.run_id)


@contextmanager
def service(project: Project) -> Iterator[str]:
    """Start the project's service, and return where it answers."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    words = [sys.executable, "-m", "mlproj", "serve", "--port", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, **command(project))
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(address)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until_ready(address: str) -> None:
    """Wait for the service, half a minute at most."""
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{address}/readyz", timeout=5).close()  # noqa: S310
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the service is not ready")


def post(url: str, body: Any, headers: dict[str, str]) -> Any:
    """Return the JSON that the service answers."""
    kind = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, json.dumps(body).encode(), kind)  # noqa: S310
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return json.load(answer)


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


def look(project: Project, item: Item) -> ItemResult:
    """Verify one item; all of the project is read again, but not the template's own items."""
    return verify(Context(project, read_records(project, CATALOGUE)), item)


def proved_in(variant: Variant, project_of: Callable[..., Project]) -> Project:
    """Return the first project in which the item is done by these proofs."""
    item, names = variant
    seen = {}
    for name in names:
        result = look(project_of(name), item)
        if result.state == "done":
            return project_of(name)
        seen[name] = result.reason
    pytest.fail(f"{item.id} is nowhere done: {seen}")


@pytest.mark.parametrize("area", by_area(VARIANTS))
def test_each_proof_can_be_broken_and_mended(
    area: str, project_of: Callable[..., Project], subtests: pytest.Subtests
) -> None:
    for variant in by_area(VARIANTS)[area]:
        with subtests.test(named(variant)):
            break_and_mend(variant[0], proved_in(variant, project_of))


def break_and_mend(item: Item, proved: Project) -> None:
    """Assert that breaking one of its proofs undoes the item, and mending it does it again."""
    before = snapshot(proved)
    for proof in item.evidence:
        break_proof(proved, proof)
        try:
            assert look(proved, item).state in ("open", "stale"), proof
        finally:
            restore(proved, before)
        assert look(proved, item).state == "done", proof


@pytest.mark.parametrize("area", by_area(WITH_FACTS))
def test_a_fact_of_other_data_is_stale(
    area: str, project_of: Callable[..., Project], subtests: pytest.Subtests
) -> None:
    for variant in by_area(WITH_FACTS)[area]:
        with subtests.test(named(variant)):
            make_stale(variant[0], proved_in(variant, project_of))


def make_stale(item: Item, proved: Project) -> None:
    """Assert that the item's facts are stale once the data or the model are others."""
    before = snapshot(proved)
    facts = tuple(proof for proof in item.evidence if proof.kind == "fact")
    if all(is_about_later_rows(proof) for proof in facts):
        entry = read_json(proved.champion_file)
        write_json(proved.champion_file, {**entry, "run_id": "0" * 8})
    else:
        manifest = read_json(proved.manifest_file)
        write_json(proved.manifest_file, {**manifest, "fingerprint": "0" * 16})
    try:
        assert look(proved, replace(item, evidence=facts, applies=())).state == "stale"
    finally:
        restore(proved, before)


def is_about_later_rows(proof: Evidence) -> bool:
    """Tell whether a fact is about rows that came after the model, which are never today's data."""
    return bool(parse_condition(proof.rule).path[0] == "drift")


# Proved by a machine where the modules are, and by a signature elsewhere.
EITHER_WAY = ("data-drift", "deploy-canary", "ops-quality", "ops-skew", "scope-batches")


@pytest.mark.parametrize(
    ("name", "kind", "state"), [("service", "auto", "done"), ("default", "signoff", "open")]
)
def test_a_module_takes_the_place_of_a_signature(
    name: str, kind: str, state: str, project_of: Callable[..., Project]
) -> None:
    results = assess(project_of(name)).results
    found = {each: (results[each].item.kind, results[each].state) for each in EITHER_WAY}
    assert found == dict.fromkeys(EITHER_WAY, (kind, state))


@pytest.mark.parametrize("name", ["default", "regression"])
def test_a_new_project_that_ran_has_only_work_for_people_open(
    name: str, project_of: Callable[..., Project]
) -> None:
    missing = assess(project_of(name), "poc").missing
    assert [result.reason for result in missing if result.item.kind == "auto"] == []
    assert 1 <= len(missing) <= 12
