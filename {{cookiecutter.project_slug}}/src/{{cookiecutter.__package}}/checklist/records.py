"""The decisions of people in `checklist/signoffs.yaml`: sign-offs and waivers, one line each.

One line per item and a fixed order let two branches that both signed merge without a conflict.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from ..core.errors import UserError
from ..core.files import write_text
from ..core.project import Project
from .catalogue import SHAPE, STAGES, Catalogue, Item, YamlFile, folder_of

HEAD = """\
# What people decided about items of the checklist; one line each. Written by `checklist sign`,
# `checklist waive` and `checklist withdraw`, and reviewed like code.
"""
# How long to wait for another process that writes the file, in seconds.
LOCK_TIMEOUT = 5


@dataclass(frozen=True)
class SignOff:
    """A person's confirmation that an item holds.

    Attributes:
        date: As YYYY-MM-DD.
        data: The fingerprint of the data at that time, if there was any.
        model: The run id of the model in service at that time, if there was one.
    """

    __pydantic_config__: ClassVar[Any] = SHAPE

    by: str
    date: str
    note: str
    data: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Waiver:
    """A person's decision to do without an item."""

    __pydantic_config__: ClassVar[Any] = SHAPE

    reason: str
    by: str
    date: str


@dataclass(frozen=True)
class Passed:
    """When the gate of a stage first passed, as YYYY-MM-DD."""

    __pydantic_config__: ClassVar[Any] = SHAPE

    date: str


@dataclass(frozen=True)
class Records:
    """All sign-offs and waivers, by the item's id, and the stages whose gate has passed."""

    __pydantic_config__: ClassVar[Any] = SHAPE

    signoffs: dict[str, SignOff] = field(default_factory=dict)
    waivers: dict[str, Waiver] = field(default_factory=dict)
    passed: dict[str, Passed] = field(default_factory=dict)


NO_RECORDS = Records()


def read_records(project: Project, catalogue: Catalogue) -> Records:
    """Read the decisions.

    Raises:
        UserError: With file and line: not YAML, unknown keys or ids, marks of a merge conflict.
    """
    path = folder_of(project) / "signoffs.yaml"
    if not path.exists():
        return NO_RECORDS
    file = YamlFile(path, project.relative(path))
    if file.read() is None:
        return NO_RECORDS
    records: Records = file.load(Records)
    for group, entries in vars(records).items():
        known, what = (STAGES, "a stage") if group == "passed" else (catalogue.items, "an item")
        for name in entries:
            if name not in known:
                file.refuse((group, name), f"'{name}' is not {what} of the checklist")
    return records


def sign(
    project: Project,
    catalogue: Catalogue,
    item: Item,
    *,
    by: str,
    note: str,
    data: str | None,
    model: str | None,
) -> None:
    """Record that a person vouches for an item.

    Raises:
        UserError: If the item is proved otherwise, is about data or a model where there are none,
            or name or note are empty.
    """
    if item.kind != "signoff":
        how = "its document" if item.kind == "written" else "the machine"
        raise UserError(
            f"{item.id} is proved by {how}, not by a signature; `checklist show {item.id}` says "
            f"how, and `checklist waive {item.id} --reason WHY` does without it."
        )
    scopes = {evidence.rule for evidence in item.evidence}
    for scope, now in (("data", data), ("model", model)):
        if scope in scopes and now is None:
            raise UserError(f"{item.id} is about the {scope}, and there is none yet; `run` first.")
    signed = SignOff(
        _required_text(by, "--by"), _today(), _required_text(note, "--note"), data, model
    )
    with _locked(project):
        records = read_records(project, catalogue)
        _write(project, replace(records, signoffs={**records.signoffs, item.id: signed}))


def waive(project: Project, catalogue: Catalogue, item: Item, *, reason: str, by: str) -> None:
    """Record that the team does without an item, and why.

    Raises:
        UserError: If reason or name are empty.
    """
    waiver = Waiver(_required_text(reason, "--reason"), _required_text(by, "--by"), _today())
    with _locked(project):
        records = read_records(project, catalogue)
        _write(project, replace(records, waivers={**records.waivers, item.id: waiver}))


def withdraw(project: Project, catalogue: Catalogue, item: Item) -> None:
    """Take back the sign-off or waiver of an item.

    Raises:
        UserError: If it has neither.
    """
    with _locked(project):
        records = read_records(project, catalogue)
        if item.id not in {*records.signoffs, *records.waivers}:
            raise UserError(
                f"{item.id} is neither signed nor waived; there is nothing to withdraw."
            )
        signoffs = {name: signed for name, signed in records.signoffs.items() if name != item.id}
        waivers = {name: waived for name, waived in records.waivers.items() if name != item.id}
        _write(project, replace(records, signoffs=signoffs, waivers=waivers))


def note_passed(project: Project, catalogue: Catalogue, stage: str) -> bool:
    """Note that the gate of a stage has passed; tell whether it did so for the first time."""
    if stage in read_records(project, catalogue).passed:
        return False
    with _locked(project):
        records = read_records(project, catalogue)
        _write(project, replace(records, passed={**records.passed, stage: Passed(_today())}))
    return True


@contextmanager
def _locked(project: Project) -> Iterator[None]:
    """Let one process at a time change the decisions, so that none is lost; others wait."""
    from filelock import SoftFileLock, Timeout

    lock = folder_of(project) / ".lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with SoftFileLock(lock, timeout=LOCK_TIMEOUT):
            yield
    except Timeout:
        raise UserError(
            f"Another process is changing checklist/signoffs.yaml; if none is, "
            f"delete {project.relative(lock)}."
        ) from None


def _write(project: Project, records: Records) -> None:
    """Write all decisions, each group in the order of the ids."""
    lines = [HEAD]
    for group, entries in vars(records).items():
        if group == "passed" and not entries:
            continue
        lines.append(f"{group}:\n" if entries else f"{group}: {{}}\n")
        lines += [
            f"  {name}: {_one_line_mapping(vars(entries[name]))}\n" for name in sorted(entries)
        ]
    write_text(folder_of(project) / "signoffs.yaml", "".join(lines))


def _one_line_mapping(entry: dict[str, Any]) -> str:
    """Return an entry on one line; every JSON string is valid YAML."""
    pairs = ((key, value) for key, value in entry.items() if value is not None)
    return f"{{{', '.join(f'{key}: {json.dumps(v, ensure_ascii=False)}' for key, v in pairs)}}}"


def _required_text(text: str, option: str) -> str:
    """Return the text of an option on one line; refuse an empty one."""
    line = one_line(text)
    if not line:
        raise UserError(f"{option} is empty; say it in a few words.")
    return line


def one_line(text: str) -> str:
    """Return a text on one line, without control characters and marks of writing direction."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(text.split())


def _today() -> str:
    """Return the date, in UTC so that two machines agree."""
    return datetime.now(UTC).date().isoformat()
