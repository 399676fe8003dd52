"""Sign-offs and waivers: who may decide what, how it is kept, and how two branches merge."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from answers import SKELETON
from mlproj.checklist.catalogue import Catalogue, Item, load_catalogue
from mlproj.checklist.records import Records, read_records, sign, waive, withdraw
from mlproj.errors import UserError
from mlproj.project import Project

CATALOGUE: Catalogue = load_catalogue(Project(SKELETON))
NOBODY = Records({}, {})
TEXTS = [
    "plain",
    "a: b # c",
    "- {x}",
    "'single' and \"double\"",
    "Zoë, 東京",
    "back\\slash",
    "true",
    "1",
]


def item_of(kind: str, number: int = 0) -> Item:
    """Return an item that is proved in this way."""
    return [item for item in CATALOGUE.items.values() if item.kind == kind][number]


def put(project: Project, item: Item, note: str = "seen") -> None:
    """Sign on top of what is recorded."""
    records = read_records(project, CATALOGUE)
    sign(project, records, item, by="A. Person", note=note, data="d" * 16, model=None)


@pytest.mark.parametrize("text", TEXTS)
def test_any_words_come_back_as_they_were(tmp_path: Path, text: str) -> None:
    project = Project(tmp_path)
    signed, waived = item_of("signoff"), item_of("auto")
    sign(project, NOBODY, signed, by=text, note=text, data=text, model=None)
    waive(project, read_records(project, CATALOGUE), waived, reason=text, by=text)
    records = read_records(project, CATALOGUE)
    kept = records.signoffs[signed.id]
    assert (kept.by, kept.note, kept.data, kept.model) == (text, text, text, None)
    assert records.waivers[waived.id].reason == text


def test_only_an_item_for_people_can_be_signed(tmp_path: Path) -> None:
    for kind in ("auto", "written"):
        with pytest.raises(UserError, match="not by a signature"):
            put(Project(tmp_path), item_of(kind))
    assert not (tmp_path / "checklist").exists()


@pytest.mark.parametrize(("by", "note"), [("", "seen"), ("A. Person", "  ")])
def test_a_signature_without_name_or_note_is_refused(tmp_path: Path, by: str, note: str) -> None:
    with pytest.raises(UserError, match="is empty"):
        sign(Project(tmp_path), NOBODY, item_of("signoff"), by=by, note=note, data=None, model=None)


def test_a_waiver_needs_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--reason is empty"):
        waive(Project(tmp_path), NOBODY, item_of("auto"), reason="", by="A. Person")


def test_what_is_withdrawn_is_gone_and_the_rest_stays(tmp_path: Path) -> None:
    project, first, second = Project(tmp_path), item_of("signoff"), item_of("signoff", 1)
    put(project, first)
    put(project, second)
    withdraw(project, read_records(project, CATALOGUE), first)
    assert set(read_records(project, CATALOGUE).signoffs) == {second.id}
    with pytest.raises(UserError, match="neither signed nor waived"):
        withdraw(project, read_records(project, CATALOGUE), first)


def test_the_file_of_a_new_project_is_what_the_commands_write(tmp_path: Path) -> None:
    project = Project(tmp_path)
    put(project, item_of("signoff"))
    withdraw(project, read_records(project, CATALOGUE), item_of("signoff"))
    shipped = (SKELETON / "checklist" / "signoffs.yaml").read_bytes()
    assert (tmp_path / "checklist" / "signoffs.yaml").read_bytes() == shipped


ENTRY = '  {id}: {{by: "A", date: "2026-01-31", note: "n"}}\n'


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("signoffs:\n  none-such: {{by: A, date: d, note: n}}\n", 2, "'none-such' is no item"),
        ("signoffs:\n{x}{x}", 3, "stands there twice"),
        ("signoffs:\n  {id}: {{by: A}}\n", 2, "lacks the key 'date'"),
        ("signoffs:\n  {id}: {{by: A, date: 2026-01-31, note: n}}\n", 2, "'date' has to be text"),
        ("signoffs:\n  {id}: signed\n", 2, "a mapping of by, date"),
        ("signatures: {{}}\n", 1, "unknown key 'signatures'"),
        ("signoffs: []\n", 1, "'signoffs' has to be a mapping"),
        ("signoffs: {{\n", 2, "no YAML"),
        ("# a\n<<<<<<< HEAD\nsignoffs: {{}}\n=======\n>>>>>>> b\n", 2, "merge conflict"),
        ("- a\n", 1, "a mapping of signoffs, waivers"),
    ],
)
def test_a_fault_is_one_sentence_with_file_and_line(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    known = item_of("signoff").id
    content = text.format(id=known, x=ENTRY.format(id=known))
    (tmp_path / "checklist").mkdir()
    (tmp_path / "checklist" / "signoffs.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_records(Project(tmp_path), CATALOGUE)
    assert str(error.value).startswith(f"checklist/signoffs.yaml, line {line}: "), error.value
    assert said in str(error.value)


def test_two_branches_that_signed_merge_without_a_conflict(tmp_path: Path) -> None:
    project, items = Project(tmp_path), [item_of("signoff", number) for number in range(4)]

    def git(*words: str) -> None:
        subprocess.run(["git", "-C", tmp_path, *words], check=True, capture_output=True)

    git("init", "--quiet", "--initial-branch=main")
    attributes = (SKELETON / ".gitattributes").read_bytes()
    (tmp_path / ".gitattributes").write_bytes(attributes)
    put(project, items[0])
    git("add", "--all")
    git("commit", "--quiet", "--message", "one")
    git("checkout", "--quiet", "-b", "branch")
    put(project, items[1])
    git("commit", "--quiet", "--all", "--message", "two")
    git("checkout", "--quiet", "main")
    put(project, items[2])
    put(project, items[3])
    git("commit", "--quiet", "--all", "--message", "three")
    git("merge", "--quiet", "branch")
    assert set(read_records(project, CATALOGUE).signoffs) == {item.id for item in items}
