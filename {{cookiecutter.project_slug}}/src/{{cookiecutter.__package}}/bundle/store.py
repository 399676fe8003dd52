"""The store, through which released bundles reach other machines: `champion push` and `pull`.

`[models] store` is a folder, or a bucket that fsspec reaches (s3://, gs://). Each bundle lies there
under its run id and the checksum that champion.json names, its bundle.json written last. So what is
there is whole, is never overwritten, and what was broken off goes on. The store is not trusted:
what comes from it is held against that checksum.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import registry
from ..core.config import bucket_errors, redact, resolve_secret
from ..core.errors import UserError
from ..core.files import file_sha256, read_json
from ..core.project import Project
from .bundle import (
    BUNDLE_FILE,
    CARD_FILE,
    REPORTS_FILE,
    bundle_sha,
    is_packaged,
    read_bundle,
)
from .champion import in_service, read_promoted, released
from .identity import PREDICTIONS_FILE

if TYPE_CHECKING:
    from ..core.config import Settings

NO_STORE = "conf.cfg sets no [models] store (a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER)"
# Bytes in memory at a time.
BLOCK = 1 << 20
Say = Callable[[str], None]


@dataclass(frozen=True)
class Store:
    """Where released bundles lie.

    Attributes:
        files: fsspec's file system.
        root: The folder in it.
        shown: What the store is called, without credentials.
    """

    files: Any
    root: str
    shown: str

    def place(self, entry: Mapping[str, Any], name: str) -> str:
        """Return the path of a file of the bundle that an entry of champion.json names."""
        return f"{self.root}/{entry['run_id']}-{entry['sha256'][:16]}/{name}"

    def sha256(self, place: str) -> str | None:
        """Return the SHA-256 of a file; None if there is none."""
        digest = hashlib.sha256()
        try:
            with self.files.open(place, "rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
        except FileNotFoundError:
            return None
        return digest.hexdigest()


def open_store(project: Project, settings: Settings) -> Store:
    """Return the store that conf.cfg names; a folder's path begins at the project.

    Raises:
        UserError: If it names none, or a package that it needs is not installed.
    """
    named = settings.models.store
    if named is None:
        raise UserError(f"{NO_STORE}; set one to share models.")
    location, options = resolve_secret(named), {}
    if "://" not in location:  # of buckets, none is ever made
        location, options = str(project.root / Path(location).expanduser()), {"auto_mkdir": True}
    with bucket_errors(location, "opened"):
        import fsspec

        files, root = fsspec.core.url_to_fs(location, **options)
    return Store(files, root.rstrip("/"), redact(location))


def push(project: Project, settings: Settings, say: Say = lambda text: None) -> None:
    """Copy every bundle that is or was in service to the store, unless it is there.

    Args:
        project: Holds the bundles.
        settings: `[models] store`.
        say: Is called with what was done.

    Raises:
        UserError: If the store cannot be used, a bundle has changed, or one that is in service is
            neither here nor there.
    """
    store, serving, missing = open_store(project, settings), in_service(project), []
    if not serving:
        raise UserError("No model is in service, so nothing is released; `champion promote` one.")
    with bucket_errors(store.shown, "written to"):
        for entry in released(project):
            run_id, sha256 = str(entry["run_id"]), entry["sha256"]
            if not is_packaged(project, run_id) or bundle_sha(project, run_id) != sha256:
                there = store.sha256(store.place(entry, BUNDLE_FILE)) == sha256
                named = any(
                    (each["run_id"], each["sha256"]) == (run_id, sha256) for each in serving
                )
                missing += [run_id] if named and not there else []
                continue
            sent = _send(project, store, entry)
            say(f"{run_id}: {f'{sent} files sent' if sent else 'there already'}")
    if missing:
        raise UserError(
            f"{', '.join(missing)}, in service, is neither here nor in {store.shown}; run "
            "`champion push` where it was promoted."
        )


def pull(
    project: Project, settings: Settings, run_id: str | None = None, say: Say = lambda text: None
) -> None:
    """Bring bundles from the store, verified against champion.json and its history.

    Args:
        project: Where they go, unless they are there.
        settings: `[models] store`.
        run_id: A bundle that is or was in service; default: all that are.
        say: Is called with what was done.

    Raises:
        UserError: If nothing of that name was released, the store lacks it or cannot be read, or
            another bundle stands in its place.
    """
    wanted = in_service(project) if run_id is None else released(project, run_id)[-1:]
    if not wanted:
        what = "No model is in service" if run_id is None else f"{run_id} was never in service"
        raise UserError(f"{what}, so there is nothing to bring; `champion status` shows more.")
    lacking = []
    for entry in wanted:
        name = str(entry["run_id"])
        if is_packaged(project, name):
            _require_same(project, entry)
            say(f"{name}: here already")
        else:
            lacking.append(entry)
    if not lacking:
        return
    store = open_store(project, settings)
    for entry in lacking:
        with bucket_errors(store.shown, "read"):
            _fetch_bundle(project, store, entry)
        say(f"{entry['run_id']}: brought from {store.shown}")


def _require_same(project: Project, entry: Mapping[str, Any]) -> None:
    """Refuse to put a bundle where another one is."""
    run_id = str(entry["run_id"])
    try:
        read_promoted(project, run_id, entry["sha256"])
    except UserError as error:
        raise UserError(
            f"models/{run_id} is not brought, since nothing is overwritten, and what is there is "
            f"another: move it away and pull again. ({error})"
        ) from None


def _send(project: Project, store: Store, entry: Mapping[str, Any]) -> int:
    """Copy what the store lacks of one bundle, bundle.json last; return how many files."""
    run_id = str(entry["run_id"])
    document, folder = read_bundle(project, run_id), project.bundle_folder(run_id)
    whole = store.sha256(store.place(entry, BUNDLE_FILE)) == entry["sha256"]
    sent = 0
    for name in (*document["files"], *_beside(), BUNDLE_FILE):
        path, place = folder / name, store.place(entry, name)
        if not path.is_file() or (whole and store.files.exists(place)):
            continue
        if not whole and store.sha256(place) == file_sha256(path):
            continue
        store.files.put_file(str(path), place)
        if store.files.size(place) != path.stat().st_size:
            raise UserError(f"{store.shown} did not take {name} of {run_id} whole; push again.")
        sent += 1
    return sent


def _fetch_bundle(project: Project, store: Store, entry: Mapping[str, Any]) -> None:
    """Bring one bundle: into a folder of its own, where it is verified, and then to its place."""
    run_id = str(entry["run_id"])
    partial = Project(project.models / f".partial-pull-{run_id}")
    folder, place = partial.bundle_folder(run_id), project.bundle_folder(run_id)
    if not _fetch(store, entry, BUNDLE_FILE, folder, entry["sha256"]):
        raise UserError(
            f"{store.shown} does not hold {run_id} as it was promoted; run `champion push` where "
            "it was."
        )
    listed = read_json(folder / BUNDLE_FILE)["files"]
    for name, sha256 in listed.items():
        if not _fetch(store, entry, name, folder, sha256):
            raise UserError(f"{store.shown} lacks {name} of {run_id}; run `champion push` again.")
    for name in _beside():
        _fetch(store, entry, name, folder, None)
    read_bundle(partial, run_id)
    shutil.rmtree(place, ignore_errors=True)  # a model that was not packaged
    folder.replace(place)
    shutil.rmtree(partial.root, ignore_errors=True)


def _fetch(
    store: Store, entry: Mapping[str, Any], name: str, folder: Path, sha256: str | None
) -> bool:
    """Bring one file unless it is there; return whether the store has it.

    Raises:
        UserError: If it is not what was promoted.
    """
    path, place = Path(os.path.normpath(folder / name)), store.place(entry, name)
    if not path.is_relative_to(folder):
        raise UserError(f"{store.shown}: {entry['run_id']} names a file outside of it: {name}.")
    if sha256 is not None and path.is_file() and file_sha256(path) == sha256:
        return True
    if not store.files.exists(place):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    store.files.get_file(place, str(path))
    if sha256 is not None and file_sha256(path) != sha256:
        path.unlink()
        raise UserError(
            f"{store.shown}: {name} of {entry['run_id']} is not what was promoted; delete it there "
            "and run `champion push` where the bundle is whole."
        )
    return True


def _beside() -> Iterator[str]:
    """Yield the names of the files of a bundle that its bundle.json does not list."""
    registry.extend_by_modules()
    yield from (CARD_FILE, PREDICTIONS_FILE, REPORTS_FILE)
    for form in registry.FORMS.values():
        yield from form.files
