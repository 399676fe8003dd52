"""The content of the checklist: well-formed, complete, and refused with file and line if not."""

from __future__ import annotations

import csv
import itertools
import json
import re
import runpy
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from answers import (
    CHOICES,
    COOKIECUTTER,
    DEFAULTS,
    FREE_TEXT,
    MODULES,
    SKELETON,
    TEMPLATE,
    skeleton_files,
)
from cases import every_case
from mlproj.checklist import catalogue, evidence
from mlproj.checklist.catalogue import AREAS, STAGES, Item, YamlFile, load_area, load_catalogue
from mlproj.checklist.conditions import parse_condition
from mlproj.checklist.documents import read_document
from mlproj.core.errors import UserError
from mlproj.core.project import Project

CATALOGUE = load_catalogue(Project(SKELETON))
ITEMS = list(CATALOGUE.items.values())
DOCUMENTS = {path.name: read_document(path) for path in sorted((SKELETON / "docs").glob("*.md"))}
# The stage that each document comes with, from the manifest of modules.
STAGE_OF = {"docs/scoping.md": "poc", "docs/data.md": "poc", "docs/experiments.md": "poc"} | {
    path: re.split(r"[|\s]", condition.removeprefix("stage="))[0]
    for condition, paths in MODULES.items()
    for path in paths
    if condition.startswith("stage=") and path.startswith("docs/")
}


def sections_of(item: Item) -> list[str]:
    """Return the sections of documents that an item asks for."""
    return [proof.rule for proof in item.evidence if proof.kind == "section"]


def test_the_checklist_has_its_size_and_every_area() -> None:
    assert 140 <= len(ITEMS) <= 180
    assert [area.name for area in CATALOGUE.areas] == [*AREAS, "own"]
    assert all(area.items for area in CATALOGUE.areas[:-1])


@every_case("item", ITEMS, ids=lambda item: item.id)
def test_an_item_says_what_why_and_how(item: Item) -> None:
    assert len(item.title) <= 90
    assert not item.title.endswith(".")
    sentences = re.split(r"(?<=[.!?])[\"')]* +(?=[\"'(]*[A-Z0-9])", item.why)
    assert len(sentences) == 2, sentences
    assert item.why.endswith((".", "!", "?"))
    assert item.how.endswith(".")
    links = [reference.url for reference in item.references]
    assert [link for link in links if not link.startswith(("https://", "http://"))] == []


def test_only_what_people_must_write_or_sign_is_open_at_poc() -> None:
    for_people = [item.id for item in ITEMS if item.stage == "poc" and item.kind != "auto"]
    assert len(for_people) <= 12, for_people


def test_every_section_that_an_item_asks_for_exists_by_its_stage() -> None:
    for item in ITEMS:
        for rule in sections_of(item):
            path, _, slug = rule.partition("#")
            assert slug in DOCUMENTS[path.removeprefix("docs/")], (item.id, rule)
            assert STAGES.index(STAGE_OF[path]) <= STAGES.index(item.stage), (item.id, rule)


def test_every_section_of_every_document_is_asked_for() -> None:
    asked = {rule for item in ITEMS for rule in sections_of(item)}
    there = {
        f"docs/{name}#{slug}"
        for name, found in DOCUMENTS.items()
        if f"docs/{name}" in STAGE_OF  # the others are to be read, not to be filled in
        for slug in found
    }
    assert there - asked == set()


def test_the_ml_test_score_has_each_of_its_28_tests_on_one_item_that_always_applies() -> None:
    marked = [item for item in ITEMS if item.ml_test_score]
    tests = [f"{section}-{n}" for section in catalogue.SECTIONS for n in range(1, 8)]
    assert Counter(item.ml_test_score for item in marked) == Counter(tests)
    assert [item.id for item in marked if item.applies] == []


def test_the_kinds_that_are_known_are_those_that_are_built() -> None:
    assert set(catalogue.CHOICES["git"]) == set(evidence.GIT_CHECKS)


def test_the_questions_point_to_items() -> None:
    wording = json.dumps(COOKIECUTTER["__prompts__"])
    named = re.findall(r"checklist: ([a-z-]+)\)", wording)
    assert len(named) >= 6
    assert [name for name in named if name not in CATALOGUE.items] == []


def answers_that_decide() -> list[dict[str, str]]:
    """Return every set of answers to the prompts that proofs or items depend on."""
    texts = [p.further.get("if", "") for item in ITEMS for p in item.evidence]
    texts += [c.rule for item in ITEMS for c in item.applies if c.kind == "answer"]
    names = [name for name in CHOICES if any(name in text.split() for text in texts)]
    chosen = itertools.product(*(CHOICES[name] for name in names))
    return [dict(zip(names, each, strict=True)) for each in chosen]


def applies(item: Item, answers: dict[str, str]) -> bool:
    """Tell whether answers leave an item in force."""
    rules = [parse_condition(c.rule) for c in item.applies if c.kind == "answer"]
    return not any(rule.fault(answers) for rule in rules)


def test_every_condition_on_a_proof_names_prompts_and_choices() -> None:
    for item in ITEMS:
        for text in [proof.further.get("if") for proof in item.evidence]:
            for rule in itertools.chain(*catalogue.read_alternatives(text)) if text else ():
                assert rule.value in CHOICES[rule.name], (item.id, text)


def test_every_item_that_applies_asks_for_a_proof_whatever_the_answers() -> None:
    sets = answers_that_decide()
    assert len(sets) >= 12
    for answers in sets:
        for item in ITEMS:
            proofs = item.required_by(answers).evidence
            assert proofs or not applies(item, answers), (item.id, answers)
            kinds = {proof.kind for proof in proofs}
            assert "signoff" not in kinds or len(kinds) == 1, (item.id, answers)


def test_no_proof_is_looked_for_in_a_module_that_is_not_there() -> None:
    is_kept = runpy.run_path(str(TEMPLATE / "hooks" / "post_gen_project.py"))["is_kept"]
    sections = {"serving": ("serving", "rest"), "monitor": ("monitoring", "yes")}
    reports = {"drift": ("monitoring", "yes"), "retrain": ("monitoring", "yes")}
    for answers in answers_that_decide():
        everything = {**DEFAULTS, "stage": "production", **answers}
        gone = [
            path
            for condition, paths in MODULES.items()
            if not is_kept(condition, everything)
            for path in paths
        ]
        for item in (item for item in ITEMS if applies(item, everything)):
            for proof in item.required_by(everything).evidence:
                if proof.kind == "file":
                    names = catalogue.split_patterns(proof.rule)
                    assert not all(name.startswith(tuple(gone)) for name in names), (item.id, proof)
                elif proof.kind in ("config", "fact"):
                    first = parse_condition(proof.rule).path[0]
                    prompt, choice = (sections | reports).get(first, ("stage", "production"))
                    assert everything[prompt] == choice, (item.id, proof, answers)


INVENTORY = list(
    csv.DictReader((TEMPLATE / "docs" / "inventory.csv").read_text(encoding="utf-8").splitlines())
)


def targets() -> dict[str, set[str]]:
    """Return what a row of the inventory can lead to, by the kind of target."""
    below = {"option": "options", "tool": "tools"}
    names = {
        kind: {f"{item.id}/{entry.name}" for item in ITEMS for entry in getattr(item, field)}
        for kind, field in below.items()
    }
    places = [name.replace("{{cookiecutter.__package}}", "{package}") for name in skeleton_files()]
    return {
        **names,
        "item": {item.id for item in ITEMS},
        "reference": {f"{item.id}/{r.title}" for item in ITEMS for r in item.references},
        "prompt": {*FREE_TEXT, *CHOICES}
        | {f"{prompt}={choice}" for prompt, choices in CHOICES.items() for choice in choices},
        "module": set(MODULES),
        "place": {
            parent.as_posix() for name in places for parent in [Path(name), *Path(name).parents]
        },
    }


def test_every_row_of_the_inventory_leads_somewhere() -> None:
    known = targets()
    lost = [row for row in INVENTORY if row["name"] not in known.get(row["target"], set())]
    assert lost == []


def test_the_inventory_has_all_its_rows_once() -> None:
    assert len({row["id"] for row in INVENTORY}) == len(INVENTORY) == 900


def write_own(folder: Path, text: str) -> Project:
    """Return a project with these items of the team's own."""
    (folder / "checklist").mkdir()
    (folder / "checklist" / "own.yaml").write_text(text, encoding="utf-8")
    return Project(folder)


@pytest.fixture
def own_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the template's items out of the catalogue: reading them takes longer than the rest."""
    monkeypatch.setattr(catalogue, "AREAS", ())


WELL_FORMED = """\
title: Our own
about: What we agreed on.
items:
  - id: own-x
    title: The thing is so
    why: It is. Or not.
    how: Do it.
    stage: poc
    evidence:
      - fact: split.overlap_rows == 0
      - {file: README.md, contains: "abc"}
    options:
      - {name: A, when: "When it rains", built_in: true}
"""


@every_case(
    ("old", "new", "line", "said"),
    [
        ("stage: poc", "stage: pox", 8, "should be 'poc', 'mvp' or 'production'"),
        ("how: Do it.", "hwo: Do it.", 7, "unknown key 'hwo'"),
        ("    how: Do it.\n", "", 4, "lacks the key 'how'"),
        ("about: What we agreed on.\n", "about: A\n1: x\n", 3, "unknown key '1'; known: title"),
        ("stage: poc", "stage: poc\n    area: data", 9, "'area' is not a key of an item"),
        ("about: What", "name: own\nabout: What", 2, "'name' is not a key of an area"),
        ("how: Do it.", "how: [1]", 7, "'how' has to be text"),
        ("- fact:", "- fakt:", 10, "unknown kind 'fakt'"),
        ("== 0", "= 0", 10, "is not a rule"),
        ("split.overlap_rows == 0", "split", 10, "needs section.key or report.path"),
        ("contains:", "holds:", 11, "unknown key 'holds'"),
        ("name: A, ", "", 13, "lacks the key 'name'"),
        ("built_in: true", "built_in: 3", 13, "'built_in' has to be true or false"),
        ("built_in: true}", "built_in: true", 14, "not valid YAML"),
        ("id: own-x", "id: Own X", 4, "only a-z"),
        ("    how: Do it.\n", "    how: Do it.\n    how: Do it.\n", 8, "'how' stands there twice"),
        ("title: Our own\n", "<<<<<<< HEAD\ntitle: Our own\n", 1, "merge conflict"),
        ("about: What we agreed on.\n", "=======\nabout: What.\n", 2, "merge conflict"),
        ("items:", "items: none\nitem:", 3, "'items' has to be a list"),
        ("fact: split.overlap_rows == 0", "git: stash", 10, "not one of originals"),
        ("fact: split.overlap_rows == 0", "section: docs/data.md", 10, "docs/NAME.md#HEADING"),
        ("    stage: poc\n", "    stage: poc\n    applies: [{file: x}]\n", 9, "a condition"),
        (
            "    stage: poc\n",
            "    stage: poc\n    ml_test_score: data-8\n",
            9,
            "data-1 to monitor-7",
        ),
        (
            "fact: split.overlap_rows == 0",
            "{section: docs/a.md#b, words: 0}",
            10,
            "asks for 0 words",
        ),
        (
            "fact: split.overlap_rows == 0",
            "{section: docs/a.md#b, words: true}",
            10,
            "a whole number",
        ),
        ("fact: split.overlap_rows == 0", "section: docs/../a.md#b", 10, "docs/NAME.md#HEADING"),
        ("    evidence:\n", "    evidence: []\n    xs:\n", 10, "unknown key 'xs'"),
        ('{file: README.md, contains: "abc"}', "README.md", 11, "not written as kind: rule"),
        ("fact: split.overlap_rows == 0", "{git: sizes, if: ci = none}", 10, "is not a rule"),
        ("fact: split.overlap_rows == 0", "{git: sizes, if: [x]}", 10, "'if' has to be text"),
        ("fact: split.overlap_rows == 0", "champion: trial = 1", 10, "is not a rule"),
        (
            "    stage: poc\n",
            "    stage: poc\n    applies: [{config: data.time, if: ci == none}]\n",
            9,
            "which cannot have one",
        ),
    ],
)
def test_a_fault_is_one_sentence_with_file_and_line(
    own_alone: None, tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    assert old in WELL_FORMED
    own = write_own(tmp_path, WELL_FORMED.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        load_catalogue(own)
    sentence = str(error.value)
    assert sentence.startswith(f"checklist/own.yaml, line {line}: "), sentence
    assert said in sentence
    assert "\n" not in sentence


def test_a_well_formed_file_is_read(tmp_path: Path) -> None:
    assert load_catalogue(write_own(tmp_path, WELL_FORMED)).find("own-x").kind == "auto"


def test_an_id_of_the_template_cannot_be_taken_twice(tmp_path: Path) -> None:
    project = write_own(tmp_path, WELL_FORMED.replace("own-x", ITEMS[0].id))
    with pytest.raises(UserError, match=f"'{ITEMS[0].id}' twice"):
        load_catalogue(project)


def test_an_unknown_id_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=ITEMS[0].id):
        CATALOGUE.find(ITEMS[0].id[:-1])


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(b"title: \xff\n")
    with pytest.raises(UserError, match="not UTF-8"):
        load_area(YamlFile(path, path.name))


@every_case(
    "pattern",
    [
        "/etc/passwd",
        "../x",
        "a/../b",
        "..",
        ".",
        "**x",
        "**/a/**/b",
        "C:/x",
        "a\\b",
        "a | ",
        "a//b",
        " | a",
    ],
)
def test_a_pattern_leads_to_files_of_the_project_alone(
    own_alone: None, tmp_path: Path, pattern: str
) -> None:
    project = write_own(tmp_path, WELL_FORMED.replace("README.md", json.dumps(pattern)))
    with pytest.raises(UserError, match=r"own\.yaml, line 11: has the pattern"):
        load_catalogue(project)


@every_case(
    ("text", "line", "said"),
    [
        (b"title: T\nabout: 2026-13-45\n", 2, "month must be in 1..12"),
        (b"title: T\nabout: A\nitems:\n  - !!int x\n", 4, "not valid YAML (invalid literal"),
        (b"title: T\nabout: !!bool x\n", 2, "not valid YAML ("),
        (
            b"title: T\nabout: \xc3\xa4\nitems: a\0b\n",
            3,
            "not valid YAML (#x00: control characters",
        ),
        (b"title: T\nabout: !!python/name:os.system x\n", 2, "not valid YAML (could not determine"),
        (b"title: &a [*a]\n", 1, "'title' has to be text"),
        (b"title: T\nabout: '  '\nitems: []\n", 2, "'about' has to be text"),
        (b"title: T\n--- {}\n", 2, "not valid YAML (but found another document)"),
        (b"\xef\xbb\xbftitle: T\r\nabout: A\r\nitems: 3\r\n", 3, "'items' has to be a list"),
        (b"", 1, "has to be a mapping of title, about, items"),
        (b"[]", 1, "has to be a mapping of title, about, items"),
    ],
)
def test_whatever_stands_in_the_file_is_a_fault_in_a_line(
    tmp_path: Path, text: bytes, line: int, said: str
) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(text)
    with pytest.raises(UserError) as error:
        load_area(YamlFile(path, "own.yaml"))
    sentence = str(error.value)
    assert sentence.startswith(f"own.yaml, line {line}: ") and said in sentence, sentence


def test_aliases_that_stand_for_ever_more_end_in_no_time(tmp_path: Path) -> None:
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path = tmp_path / "own.yaml"
    path.write_text("\n".join(["a0: &a0 [x]", *lines]), encoding="utf-8")
    with pytest.raises(UserError, match="unknown key 'a0'"):
        load_area(YamlFile(path, path.name))


def test_an_alias_is_as_good_as_what_it_stands_for(tmp_path: Path) -> None:
    text = WELL_FORMED.replace("why: It is. Or not.", "why: &w It is. Or not.")
    path = tmp_path / "own.yaml"
    path.write_text(text.replace("how: Do it.", "how: *w"), encoding="utf-8")
    assert load_area(YamlFile(path, path.name)).items[0].how == "It is. Or not."


def test_a_file_with_windows_line_ends_and_mark_is_as_good(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + WELL_FORMED.replace("\n", "\r\n").encode())
    assert [item.id for item in load_area(YamlFile(path, path.name)).items] == ["own-x"]


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_area(YamlFile(tmp_path, tmp_path.name))


def test_brief_items_differ_only_in_what_is_shown() -> None:
    brief = load_catalogue(Project(SKELETON), brief=True).items
    assert list(brief) == list(CATALOGUE.items)
    for name, item in CATALOGUE.items.items():
        assert brief[name] == replace(item, options=(), tools=(), references=())
