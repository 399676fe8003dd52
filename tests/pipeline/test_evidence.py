"""The kinds of evidence: each sees its proof, misses it, and tells a stale one from none."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cases import every_case
from mlproj.checklist.catalogue import Evidence, Item, stage_of
from mlproj.checklist.conditions import parse_condition
from mlproj.checklist.context import Context, read_answers
from mlproj.checklist.evidence import Finding, Verdict
from mlproj.checklist.records import Records, SignOff, Waiver
from mlproj.checklist.verify import ItemResult, verify
from mlproj.core.errors import UserError
from mlproj.core.files import write_json
from mlproj.core.project import Project

DATA, MODEL = "47641db76e5f6559", "fe7ff51c"
NO_RECORDS = Records({}, {})


def item(
    *evidence: tuple[str, str], applies: tuple[str, str] | None = None, **further: Any
) -> Item:
    """An item that rests on the given evidence."""
    proofs = tuple(Evidence(kind, rule, further) for kind, rule in evidence)
    conditions = (Evidence(*applies, {}),) if applies else ()
    text = {"area": "own", "title": "T", "why": "W. W.", "how": "H.", "stage": "poc"}
    return Item(id="own-x", evidence=proofs, applies=conditions, **text)


def report(
    project: Project, name: str, run: str | None = MODEL, data: str | None = DATA, **facts: Any
) -> None:
    """Write a report as a stage would."""
    document = {"version": 1, "stage": name, "run_id": run, "data": data, "model": None}
    write_json(project.report_file(name), {**document, "config": None, "facts": facts})


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with data, a model in service, and a report on each."""
    root = Project(tmp_path)
    (tmp_path / "conf.cfg").write_text("[data]\ntarget = churned\n", encoding="utf-8")
    write_json(root.manifest_file, {"version": 1, "fingerprint": DATA})
    write_json(root.champion_file, {"run_id": MODEL, "sha256": "0" * 64, "challengers": []})
    report(root, "split", None, overlap_rows=0, overlap_groups=None, rule="time")
    report(root, "metrics", passed=True, skill=0.4, notes=["a", "b"], empty=[])
    return root


def look(
    project: Project, *evidence: tuple[str, str], records: Records = NO_RECORDS, **more: Any
) -> ItemResult:
    """Verify an item that rests on the given evidence."""
    return verify(Context(project, records), item(*evidence, **more))


@every_case(
    ("rule", "holds"),
    [
        ("split.overlap_rows == 0", True),
        ("split.overlap_rows != 0", False),
        ("split.overlap_rows", False),  # nothing there to be proud of: 0 is a number, not a proof
        ("split.overlap_groups", False),
        ("split.overlap_groups == null", True),
        ("split.overlap_groups < 1", False),  # null is no number
        ("metrics.passed", True),
        ("metrics.passed == true", True),
        ("metrics.skill >= 0.4", True),
        ("metrics.skill > 0.4", False),
        ("metrics.skill < 0.4", False),
        ("metrics.skill <= 0.4", True),
        ('metrics.notes.* in ["a", "b"]', True),
        ("metrics.notes.* == a", False),
        ("metrics.empty.* == a", False),  # none of nothing is no proof
        ("len(metrics.notes) >= 2", True),
        ("len(metrics.notes) >= 3", False),
        ("metrics.absent == 0", False),
        ("metrics.absent != 0", False),
        ('split.rule in ["time", "group"]', True),
        ("split.rule == time", True),
        ("train.winner", False),
    ],
)
def test_a_fact_follows_its_rule(project: Project, rule: str, holds: bool) -> None:
    assert look(project, ("fact", rule)).state == ("done" if holds else "open")


def test_what_one_of_many_lacks_is_no_proof_by_the_others(project: Project) -> None:
    report(project, "slices", by={"a": {"ok": True}, "b": {"ok": True}})
    assert look(project, ("fact", "slices.by.*.ok == true")).state == "done"
    report(project, "slices", by={"a": {"ok": True}, "b": {}})
    result = look(project, ("fact", "slices.by.*.ok == true"))
    assert (result.state, "by.*.ok is not there" in result.reason) == ("open", True)


@every_case(
    ("text", "asks", "state"),
    [
        ("Cancellations a month: 1,100, to be 950", {"numbers": 2}, "done"),
        ("Cancellations a month: 1,100, to be 950", {}, "open"),
        ("Cancellations a month: fewer than today", {"numbers": 2}, "open"),
        ("Cancellations: 1,100 a month", {"numbers": 2}, "open"),
        ("1,100 950", {"numbers": 2}, "open"),
        ("Much fewer cancellations a month than we have today", {"numbers": 2}, "done"),
        ("Load: 90 rows, 20 ms, 9 GB, 7 days", {"numbers": 4, "words": 16}, "done"),
        ("The head of sales", {"words": 4}, "done"),
        ("Sales", {"words": 4}, "open"),
    ],
)
def test_an_answer_is_judged_by_what_its_question_asks(
    project: Project, text: str, asks: dict[str, int], state: str
) -> None:
    path = project.docs / "scoping.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"## KPIs\n\n> Which figures?\n\n{text}\n", encoding="utf-8")
    result = look(project, ("section", "docs/scoping.md#kpis"), **asks)
    assert result.state == state, result.reason
    told = "numbers that are asked for" in result.reason
    assert told == (state == "open" and "numbers" in asks)


def test_a_fact_of_other_data_is_stale(project: Project) -> None:
    report(project, "split", None, "0" * 16, overlap_rows=0)
    result = look(project, ("fact", "split.overlap_rows == 0"))
    assert (result.state, DATA in result.reason) == ("stale", True)


def test_a_fact_of_another_model_is_stale(project: Project) -> None:
    report(project, "metrics", "11111111", passed=True)
    result = look(project, ("fact", "metrics.passed"))
    assert result.state == "stale"
    assert "champion promote 11111111" in result.reason


def test_a_fact_of_the_run_that_the_bundle_was_trained_as_is_current(project: Project) -> None:
    report(project, "release", trained_as="22222222")
    report(project, "train", "22222222", winner="linear")
    assert look(project, ("fact", "train.winner")).state == "done"


def test_without_a_model_in_service_no_fact_about_one_holds(project: Project) -> None:
    project.champion_file.unlink()
    assert look(project, ("fact", "metrics.passed")).state == "stale"
    assert look(project, ("fact", "split.overlap_rows == 0")).state == "done"


def test_facts_about_later_rows_are_about_the_model_in_service_alone(project: Project) -> None:
    missing = look(project, ("fact", "drift.tests >= 1"))
    assert (missing.state, "`monitor` writes it" in missing.reason) == ("open", True)
    report(project, "drift", MODEL, "0" * 16, tests=3)
    assert look(project, ("fact", "drift.tests >= 1")).state == "done"
    report(project, "drift", "11111111", "0" * 16, tests=3)
    result = look(project, ("fact", "drift.tests >= 1"))
    assert (result.state, "`monitor` again" in result.reason) == ("stale", True)


@pytest.mark.parametrize(
    ("rule", "holds"),
    [("trial.rows >= 100", True), ("trial.weight <= 0.05", False), ("trial.days > 1", False)],
)
def test_a_rule_over_the_champion_file(project: Project, rule: str, holds: bool) -> None:
    trial = {"weight": 0.1, "rows": 250}
    write_json(project.champion_file, {"run_id": MODEL, "sha256": "0" * 64, "trial": trial})
    result = look(project, ("champion", rule))
    assert result.state == ("done" if holds else "open")
    assert result.reason.startswith("models/champion.json: ")
    project.champion_file.unlink()
    assert look(project, ("champion", rule)).state == "open"


@every_case(
    ("condition", "asked"),
    [
        ("ci == none", True),
        ("ci != none", False),
        ("ci == none and stage == mvp", False),
        ("stage == mvp or ci == none", True),
        ("stage == mvp and ci == gitlab or ci == none and stage == poc", True),
        ("serving == rest", False),  # what is not recorded is no choice at all
        ("serving != rest", True),
    ],
)
def test_a_proof_is_asked_for_where_its_condition_holds(condition: str, asked: bool) -> None:
    proof = Evidence("file", "absent", {"if": condition})
    assert proof.is_required({"ci": "none", "stage": "poc"}) is asked


def test_an_item_of_whose_proofs_none_is_asked_for_does_not_apply(project: Project) -> None:
    proof = Evidence("file", "conf.cfg", {"if": "ci == gitlab"})
    whole = replace(item(("file", "conf.cfg")), evidence=(proof,))
    assert verify(Context(project), whole.required_by({"ci": "gitlab"})).state == "done"
    assert verify(Context(project), whole.required_by({"ci": "none"})).state == "not applicable"


def test_what_is_missing_outweighs_what_is_stale(project: Project) -> None:
    report(project, "split", None, "0" * 16, overlap_rows=0)
    result = look(project, ("fact", "split.overlap_rows == 0"), ("fact", "train.winner"))
    assert (result.state, "train.json" in result.reason) == ("open", True)


def test_a_file_is_there_not_empty_and_holds_its_text(project: Project) -> None:
    readme = project.root / "README.md"
    assert look(project, ("file", "README.md")).state == "open"
    readme.write_text("", encoding="utf-8")
    assert look(project, ("file", "README.md")).state == "open"
    readme.write_text("make setup", encoding="utf-8")
    assert look(project, ("file", "README.*")).state == "done"
    assert look(project, ("file", "README.md"), contains="make setup").state == "done"
    assert look(project, ("file", "README.md"), contains="make test").state == "open"


def test_settings_count_with_their_defaults(project: Project) -> None:
    assert look(project, ("config", "data.target")).state == "done"
    assert look(project, ("config", "data.time")).state == "open"
    assert look(project, ("config", "model.folds >= 5")).state == "done"
    with pytest.raises(UserError, match="setting data.tim"):
        look(project, ("config", "data.tim"))


def test_answers_are_read_where_cruft_keeps_them(project: Project) -> None:
    rule = ("answer", "ci != none")
    assert look(project, rule).state == "open"
    for ci, state in (("github", "done"), ("none", "open")):
        write_json(project.answers_file, {"context": {"cookiecutter": {"ci": ci}}})
        assert look(project, rule).state == state
    write_json(project.answers_file, {"context": {}})
    with pytest.raises(UserError, match="cruft.json"):
        look(project, rule)


@pytest.mark.parametrize(
    ("answers", "stage"), [({}, "poc"), ({"stage": "mvp"}, "mvp"), ({"stage": "MVP"}, None)]
)
def test_the_stage_is_an_answer(
    project: Project, answers: dict[str, str], stage: str | None
) -> None:
    write_json(project.answers_file, {"context": {"cookiecutter": answers}})
    if stage:
        assert stage_of(read_answers(project)) == stage
        return
    with pytest.raises(UserError, match="'MVP'.*to one of poc, mvp, production"):
        stage_of(read_answers(project))


def test_an_item_that_does_not_apply_says_why(project: Project) -> None:
    result = look(project, ("file", "absent"), applies=("config", "data.time"))
    assert (result.state, "[data] time" in result.reason) == ("not applicable", True)


def test_whether_an_item_applies_is_open_until_the_report_is_current(project: Project) -> None:
    condition = ("fact", "metrics.skill > 1")
    assert look(project, ("file", "absent"), applies=condition).state == "not applicable"
    report(project, "metrics", data="0" * 16, skill=0.4)
    assert look(project, ("file", "absent"), applies=condition).state == "stale"
    project.report_file("metrics").unlink()
    assert look(project, ("file", "absent"), applies=condition).state == "open"


def test_a_section_needs_words_of_ones_own(project: Project) -> None:
    document = project.docs / "scoping.md"
    document.parent.mkdir()
    head = "# Scoping\n\n## Problem statement\n\n> What is asked? One sentence of ten words.\n\n"
    place = ("section", "docs/scoping.md#problem-statement")
    for text, state in (
        ("", "open"),
        ("Too short.\n", "open"),
        ("From last year's invoices to the chance of leaving, for the account team.\n", "done"),
    ):
        document.write_text(head + text, encoding="utf-8")
        assert look(project, place).state == state
    assert look(project, place, words=50).state == "open"
    assert "no section" in look(project, ("section", "docs/scoping.md#users")).reason
    document.unlink()
    assert "missing" in look(project, place).reason


@every_case(
    ("scope", "data", "model", "state"),
    [
        ("project", "other", "other", "done"),
        ("data", DATA, "other", "done"),
        ("data", "other", MODEL, "stale"),
        ("model", "other", MODEL, "done"),
        ("model", DATA, "other", "stale"),
    ],
)
def test_a_signature_stands_for_what_it_was_given_for(
    project: Project, scope: str, data: str, model: str, state: str
) -> None:
    signed = SignOff("A. Person", "2026-01-31", "looked at it", data, model)
    records = Records({"own-x": signed}, {})
    assert look(project, ("signoff", scope)).state == "open"
    result = look(project, ("signoff", scope), records=records)
    assert (result.state, "A. Person" in result.reason) == (state, True)


def test_a_waiver_shows_its_reason_until_the_proof_is_there(project: Project) -> None:
    records = Records({}, {"own-x": Waiver("no groups here", "A. Person", "2026-01-31")})
    result = look(project, ("file", "absent"), records=records)
    assert (result.state, result.reason) == ("waived", "no groups here (A. Person, 2026-01-31)")
    assert look(project, ("file", "conf.cfg"), records=records).state == "done"


def git(project: Project, *words: str) -> None:
    """Run git in the project."""
    subprocess.run(["git", "-C", project.root, *words], check=True, capture_output=True)


@pytest.fixture
def repository(project: Project) -> Project:
    """The project as a repository that tracks everything it should."""
    report(project, "ingest", None, original={"path": "data/original/t.csv", "sha256": "a" * 64})
    notebook = {"cells": [{"cell_type": "code", "outputs": []}]}
    write_json(project.root / "notebooks" / "one.ipynb", notebook)
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    return project


def test_without_a_repository_nothing_about_it_holds(project: Project) -> None:
    result = look(project, ("git", "secrets"))
    assert (result.state, "git init" in result.reason) == ("open", True)


def track(project: Project, name: str, content: str) -> None:
    """Write a file and have git track it."""
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    git(project, "add", "--force", name)


@pytest.mark.parametrize(
    ("check", "name", "content"),
    [
        ("originals", "data/original/t.csv", "a,b\n"),
        ("originals", "data/train/part-0.parquet", "PAR1"),
        ("models", "models/fe7ff51c/model.skops", "x"),
        ("sizes", "notes.txt", "x" * 500_001),
        ("secrets", "settings.py", f"KEY = 'AKIA{'Q' * 16}'\n"),
        ("secrets", "key.pem", "-----BEGIN " + "RSA PRIVATE KEY-----\n"),
        ("secrets", "token.txt", f"ghp_{'a' * 36}\n"),
        ("secrets", "conf.cfg", "[data]\nsource = postgresql://me:word@host/db\n"),
        ("notebooks", "notebooks/two.ipynb", json.dumps({"cells": [{"outputs": [1]}]})),
        ("notebooks", "notebooks/two.ipynb", "no JSON"),
    ],
)
def test_git_holds_what_it_should_and_nothing_else(
    repository: Project, check: str, name: str, content: str
) -> None:
    assert look(repository, ("git", check)).state == "done"
    track(repository, name, content)
    result = look(repository, ("git", check))
    assert (result.state, name in result.reason) == ("open", True), result


def test_the_original_needs_its_checksum(repository: Project) -> None:
    report(repository, "ingest", None, original="t.csv")
    assert "checksum" in look(repository, ("git", "originals")).reason
    report(repository, "ingest", None, original=None)
    assert "checksum" in look(repository, ("git", "originals")).reason


def test_work_lives_on_more_than_one_disk(repository: Project) -> None:
    assert look(repository, ("git", "remote")).state == "open"
    git(repository, "remote", "add", "origin", "https://example.invalid/x.git")
    assert look(repository, ("git", "remote")).state == "done"


@every_case(
    "rule", ["", "split", "split.x = 1", "split.x in 3", "len(split.x", "split..x", "split.x =="]
)
def test_what_is_no_rule_is_refused(rule: str) -> None:
    if rule == "split":
        assert parse_condition(rule).path == ("split",)  # an answer's name is one word
        return
    with pytest.raises(ValueError, match="rule such as|a list after in"):
        parse_condition(rule)


@pytest.mark.parametrize(
    "name", ["data/manifest.json", "reports/metrics.json", "models/champion.json"]
)
def test_a_file_that_is_cut_off_is_an_error_and_no_verdict(project: Project, name: str) -> None:
    path = project.root / name
    path.write_text(path.read_text(encoding="utf-8")[:20], encoding="utf-8")
    with pytest.raises(UserError, match=rf"{name}.*line \d"):
        look(project, ("fact", "metrics.passed"))


def test_the_project_may_be_a_part_of_a_larger_repository(project: Project) -> None:
    inner = project.root / "inner"
    inner.mkdir()
    (inner / "conf.cfg").write_text("[data]\n", encoding="utf-8")
    git(project, "init", "--quiet")
    track(project, "outer.txt", "x" * 500_001)
    part = Project(inner)
    assert "git tracks no file of this project" in look(part, ("git", "sizes")).reason
    track(project, "inner/conf.cfg", "[data]\n")
    assert look(part, ("git", "sizes")).state == "done"
    track(project, "inner/models/b/model.skops", "x")
    assert "models/b/model.skops" in look(part, ("git", "models")).reason


@pytest.mark.parametrize("name", ["a b.txt", "Zoë 東.txt", "a\nb.txt", '"quoted".txt', "-e.txt"])
def test_names_of_any_kind_are_named(repository: Project, name: str) -> None:
    git(repository, "config", "color.ui", "always")
    track(repository, f"notes/{name}", f"AKIA{'Q' * 16} {'x' * 500_000}")
    for check in ("secrets", "sizes"):
        assert f"notes/{name}" in look(repository, ("git", check)).reason


def test_a_search_that_fails_is_no_proof(repository: Project) -> None:
    git(repository, "config", "grep.threads", "many")
    result = look(repository, ("git", "secrets"))
    assert (result.state, "git grep" in result.reason) == ("open", True)


@pytest.mark.parametrize(
    "content", ['{"cells": [1]}', '{"cells": null}', '{"worksheets": []}', "[]"]
)
def test_what_is_no_notebook_is_none_without_outputs(repository: Project, content: str) -> None:
    track(repository, "notebooks/odd.ipynb", content)
    assert "notebooks/odd.ipynb is not a notebook" in look(repository, ("git", "notebooks")).reason


def test_an_answer_that_is_not_recorded_leaves_open_whether_an_item_applies(
    project: Project,
) -> None:
    write_json(project.answers_file, {"context": {"cookiecutter": {"ci": "none"}}})
    result = look(project, ("file", "conf.cfg"), applies=("answer", "platfrom == docker"))
    assert (result.state, "platfrom" in result.reason) == ("open", True)
    result = look(project, ("file", "conf.cfg"), applies=("answer", "ci != none"))
    assert result.state == "not applicable"


def test_settings_can_be_counted(project: Project) -> None:
    assert look(project, ("config", "len(model.candidates) >= 3")).state == "done"
    result = look(project, ("config", "len(model.candidates) > 9"))
    assert result.reason == "conf.cfg, [model] the number of candidates is 3, but has to be above 9"


def test_a_waiver_holds_while_it_is_open_whether_the_item_applies(project: Project) -> None:
    records = Records({}, {"own-x": Waiver("no groups here", "A. Person", "2026-01-31")})
    report(project, "metrics", data="0" * 16, skill=0.4)
    condition = ("fact", "metrics.skill > 1")
    result = look(project, ("file", "absent"), applies=condition, records=records)
    assert (result.state, result.verdicts) == ("waived", ())


@pytest.mark.parametrize("scope", ["data", "model"])
def test_a_signature_for_nothing_is_stale(project: Project, scope: str) -> None:
    records = Records({"own-x": SignOff("A. Person", "2026-01-31", "looked")}, {})
    result = look(project, ("signoff", scope), records=records)
    assert (result.state, f"for the {scope} none" in result.reason) == ("stale", True)
    project.manifest_file.unlink()
    project.champion_file.unlink()
    result = look(project, ("signoff", scope), records=records)
    assert (result.state, "which is now none" in result.reason) == ("stale", True)


def test_a_fact_needs_data_that_are_there(project: Project) -> None:
    project.manifest_file.unlink()
    assert look(project, ("fact", "split.overlap_rows == 0")).state == "stale"
    report(project, "split", None, None, overlap_rows=0)
    assert look(project, ("fact", "split.overlap_rows == 0")).state == "stale"


def test_only_the_beginning_of_a_file_is_read(project: Project) -> None:
    large = project.root / "large.bin"
    with large.open("wb") as file:
        file.write(b"\xff\x00 begin")
        file.seek(2**33)
        file.write(b"end")
    assert look(project, ("file", "large.bin"), contains="begin").state == "done"
    assert look(project, ("file", "large.bin"), contains="end").state == "open"


def test_any_of_several_patterns_is_enough(project: Project) -> None:
    assert look(project, ("file", "absent.* | conf.*")).state == "done"
    assert (
        look(project, ("file", "absent.* | gone.*")).reason
        == "absent.* or gone.* is missing or empty"
    )
    (project.root / "link").symlink_to("link")
    (project.root / "dangling").symlink_to("gone")
    assert look(project, ("file", "link | dangling | data")).state == "open"


@pytest.mark.parametrize(
    "change",
    [
        {"facts": [1]},
        {"facts": None},
        {"version": 2},
        {"version": None},
        {"run_id": [1]},
        {"data": 3},
        {"stage": None},
        {"more": 1},
    ],
    ids=str,
)
def test_a_report_of_another_form_is_an_error_and_no_verdict(
    project: Project, change: dict[str, Any]
) -> None:
    path = project.report_file("metrics")
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | change)
    with pytest.raises(UserError, match="reports/metrics.json is no report of version 1"):
        look(project, ("fact", "metrics.passed"))


def test_the_earlier_name_of_a_verdict_still_imports() -> None:
    assert Finding is Verdict
