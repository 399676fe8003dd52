"""The untouched source: found or fetched, kept under data/original, and verified later."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.config import redact
from ..core.errors import UserError
from ..core.files import file_sha256, write_atomic
from .sources import fetch, local_file, locate

if TYPE_CHECKING:
    from ..core.config import Settings
    from ..core.project import Project, Report

FETCHED = ".fetched"


@dataclass(frozen=True)
class Original:
    """The untouched source.

    Attributes:
        path: The file to read.
        name: What it is called in errors: as people know it.
        sha256: Of its bytes.
        size: In bytes.
        modified: When it was changed last, in nanoseconds.
        keep: Where a copy belongs; None where the file is only referred to, or is there already.
        appended: The files of `[data] append`, whose rows stand below its own.
    """

    path: Path
    name: str
    sha256: str
    size: int
    modified: int
    keep: Path | None
    appended: list[Path]

    def has_changed(self) -> bool:
        """Tell whether the file was changed since it was found."""
        return (self.size, self.modified) != _stat(self.path)


def find_original(project: Project, settings: Settings) -> Original:
    """Find a local file, or fetch what is elsewhere into a folder of its own."""
    data = settings.data
    scheme, location = locate(data.source, project.root)
    if scheme == "file":
        path = local_file(location)
        there = path.parent.resolve() == project.original.resolve()
        name = project.relative(path) if path.is_relative_to(project.root) else str(path)
    else:
        folder = project.original / FETCHED
        shutil.rmtree(folder, ignore_errors=True)
        path = fetch(data.source, project.root, folder, data)
        there, name = False, redact(data.source)
    size, modified = _stat(path)
    sha256 = sha256_of(path)
    keep = None
    if data.original == "copy" and not there:
        keep = _place(project.original, path.name, sha256)
    return Original(path, name, sha256, size, modified, keep, appended_files(project, settings))


def appended_files(project: Project, settings: Settings) -> list[Path]:
    """Return the files of `[data] append`.

    Raises:
        UserError: If one of them is not a file, or does not exist.
    """
    files = []
    for named in settings.data.append:
        scheme, location = locate(named, project.root)
        if scheme != "file":
            raise UserError(f"[data] append = {redact(named)}: has to be a file.")
        files.append(local_file(location))
    return files


def keep_original(original: Original) -> Path:
    """Put the original where it belongs, unless it is there, and return where it is."""
    target = original.keep
    if target is None:
        return original.path
    if not target.exists():
        with write_atomic(target) as temporary:
            if FETCHED in original.path.parts:
                original.path.replace(temporary)
            else:
                shutil.copyfile(original.path, temporary)
            if temporary.stat().st_size != original.size:
                raise UserError(f"{original.name} changed while it was copied; try again.")
    return target


def verify_original(project: Project, report: Report) -> None:
    """Check that an original that is only referred to is still the one that was ingested.

    Raises:
        UserError: If its content changed.
    """
    original = report.facts["original"]
    path = project.root / original["path"]
    if original["mode"] == "reference" and path.is_file() and sha256_of(path) != original["sha256"]:
        raise UserError(f"{original['path']} changed since it was ingested; run `ingest` again.")


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256, computed once per process as long as the file stays the same."""
    return _sha256_of_version(path, *_stat(path))


def _place(folder: Path, name: str, sha256: str) -> Path:
    """Return where content belongs: its own name, or name-<sha8> beside other content."""
    path = folder / name
    if not path.exists() or sha256_of(path) == sha256:
        return path
    stem, dot, suffixes = name.partition(".")
    beside = folder / f"{stem}-{sha256[:8]}{dot}{suffixes}"
    if beside.exists() and sha256_of(beside) != sha256:
        raise UserError(f"{beside} was changed since it was brought in; take it away first.")
    return beside


@lru_cache(maxsize=64)
def _sha256_of_version(path: Path, size: int, modified: int) -> str:
    """Return a file's SHA-256; size and time are there to tell versions apart."""
    return file_sha256(path)


def _stat(path: Path) -> tuple[int, int]:
    """Return what shows that a file was changed while in use."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
