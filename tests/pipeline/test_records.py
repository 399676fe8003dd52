"""Sign-offs and waivers: who may decide what, how it is kept, and how two branches merge."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from answers import SKELETON
from cases import every_case, posix_only
from jinja2 import Template
from mlproj.checklist.catalogue import Catalogue, Item, load_catalogue
from mlproj.checklist.records import read_records, sign, waive, withdraw
from mlproj.core.errors import UserError
from mlproj.core.project import Project

CATALOGUE: Catalogue = load_catalogue(Project(SKELETON))
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
    sign(project, CATALOGUE, item, by="A. Person", note=note, data="d" * 16, model="0a1b2c3d")


@every_case("text", TEXTS)
def test_any_words_come_back_as_they_were(tmp_path: Path, text: str) -> None:
    project = Project(tmp_path)
    signed, waived = item_of("signoff"), item_of("auto")
    sign(project, CATALOGUE, signed, by=text, note=text, data=text, model=None)
    waive(project, CATALOGUE, waived, reason=text, by=text)
    records = read_records(project, CATALOGUE)
    kept = records.signoffs[signed.id]
    assert (kept.by, kept.note, kept.data, kept.model) == (text, text, text, None)
    assert records.waivers[waived.id].reason == text


def test_only_an_item_for_people_can_be_signed(tmp_path: Path) -> None:
    for kind in ("auto", "written"):
        with pytest.raises(UserError, match="not by a signature"):
            put(Project(tmp_path), item_of(kind))
    assert not (tmp_path / "checklist").exists()


@every_case(("by", "note"), [("", "seen"), ("A. Person", "  ")])
def test_a_signature_without_name_or_note_is_refused(tmp_path: Path, by: str, note: str) -> None:
    with pytest.raises(UserError, match="is empty"):
        sign(
            Project(tmp_path),
            CATALOGUE,
            item_of("signoff"),
            by=by,
            note=note,
            data=None,
            model=None,
        )


def test_a_waiver_needs_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--reason is empty"):
        waive(Project(tmp_path), CATALOGUE, item_of("auto"), reason="", by="A. Person")


def test_what_is_withdrawn_is_gone_and_the_rest_stays(tmp_path: Path) -> None:
    project, first, second = Project(tmp_path), item_of("signoff"), item_of("signoff", 1)
    put(project, first)
    put(project, second)
    withdraw(project, CATALOGUE, first)
    assert set(read_records(project, CATALOGUE).signoffs) == {second.id}
    with pytest.raises(UserError, match="neither signed nor waived"):
        withdraw(project, CATALOGUE, first)


def test_the_file_of_a_new_project_is_what_the_commands_write(tmp_path: Path) -> None:
    project = Project(tmp_path)
    put(project, item_of("signoff"))
    withdraw(project, CATALOGUE, item_of("signoff"))
    shipped = (SKELETON / "checklist" / "signoffs.yaml").read_bytes()
    assert (tmp_path / "checklist" / "signoffs.yaml").read_bytes() == shipped


ENTRY = '  {id}: {{by: "A", date: "2026-01-31", note: "n"}}\n'


@every_case(
    ("text", "line", "said"),
    [
        ("signoffs:\n  none-such: {{by: A, date: d, note: n}}\n", 2, "'none-such' is not an item"),
        ("signoffs:\n{x}{x}", 3, "stands there twice"),
        ("signoffs:\n  {id}: {{by: A}}\n", 2, "lacks the key 'date'"),
        ("signoffs:\n  {id}: {{by: A, date: 2026-01-31, note: n}}\n", 2, "'date' has to be text"),
        ("signoffs:\n  1: {{by: A, date: d, note: n}}\n", 2, "has to be text"),
        ("signoffs:\n  {id}: signed\n", 2, "a mapping of by, date"),
        ("signatures: {{}}\n", 1, "unknown key 'signatures'"),
        ("signoffs: []\n", 1, "'signoffs' has to be a mapping"),
        ("signoffs: {{\n", 2, "not valid YAML"),
        ("# a\n<<<<<<< HEAD\nsignoffs: {{}}\n=======\n>>>>>>> b\n", 2, "merge conflict"),
        ("- a\n", 1, "a mapping of signoffs, waivers"),
        ("[]\n", 1, "a mapping of signoffs, waivers"),
        ("false\n", 1, "a mapping of signoffs, waivers"),
        ("signoffs:\n", 1, "'signoffs' has to be a mapping"),
        ("signoffs:\n  {id}: {{by: A, date: 2026-13-31, note: n}}\n", 2, "month must be in"),
        ("signoffs:\n  {id}: {{by: A, date: d, note: ' '}}\n", 2, "'note' has to be text"),
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
    put(project, items[0])
    attributes = Template((SKELETON / ".gitattributes").read_text(encoding="utf-8"))
    rendered = attributes.render(cookiecutter={"checklist": "yes"})
    (tmp_path / ".gitattributes").write_text(rendered, encoding="utf-8")
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


@every_case("text", ["a\x7fb", "a\udcffb", "a\u2028b", "a\x00b\x1b[31m", "a\nb", "\ufeffa"])
def test_signs_that_a_file_cannot_keep_become_spaces(tmp_path: Path, text: str) -> None:
    project, item = Project(tmp_path), item_of("signoff")
    put(project, item, text)
    kept = read_records(project, CATALOGUE).signoffs[item.id].note
    assert kept.isprintable() and kept[-1] == text[-1]


def test_decisions_stand_in_the_order_of_the_ids(tmp_path: Path) -> None:
    names = []
    for number in (3, 0, 2, 1):
        put(Project(tmp_path), item_of("signoff", number))
        names.append(item_of("signoff", number).id)
    text = (tmp_path / "checklist" / "signoffs.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^  ([a-z0-9-]+): ", text, flags=re.MULTILINE) == sorted(names)


def test_decisions_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    project, items = Project(tmp_path), list(CATALOGUE.items.values())[:16]
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(waive, project, CATALOGUE, i, reason="r", by="b") for i in items]
    assert [each.result() for each in done] == [None] * len(items)
    assert set(read_records(project, CATALOGUE).waivers) == {item.id for item in items}
    assert [path.name for path in (project.root / "checklist").iterdir()] == ["signoffs.yaml"]


def test_a_lock_that_a_killed_process_left_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("mlproj.checklist.records"), "LOCK_TIMEOUT", 0.1)
    (tmp_path / "checklist").mkdir()
    lock = tmp_path / "checklist" / ".lock"
    lock.touch()
    with pytest.raises(UserError, match=r"delete checklist/\.lock"):
        put(Project(tmp_path), item_of("signoff"))
    assert [path.name for path in lock.parent.iterdir()] == [".lock"]


@posix_only
def test_a_lock_of_a_process_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "checklist").mkdir()
    lock = tmp_path / "checklist" / ".lock"
    code = (
        "import os, filelock\n"
        f"lock = filelock.SoftFileLock({str(lock)!r})\nlock.acquire()\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert lock.exists()
    put(Project(tmp_path), item_of("signoff"))
    assert [path.name for path in lock.parent.iterdir()] == ["signoffs.yaml"]


@pytest.mark.parametrize("scope", ["data", "model"])
def test_nobody_vouches_for_data_or_a_model_that_are_not_there(tmp_path: Path, scope: str) -> None:
    item = next(
        item
        for item in CATALOGUE.items.values()
        if any((proof.kind, proof.rule) == ("signoff", scope) for proof in item.evidence)
    )
    now = {"data": "d" * 16, "model": "0a1b2c3d", scope: None}
    with pytest.raises(UserError, match=f"about the {scope}, and there is none yet"):
        sign(Project(tmp_path), CATALOGUE, item, by="A", note="n", **now)
