"""Reading and writing files so that a kill at any moment leaves the old content or the new."""

import hashlib
import json
import math
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import UserError

# Nobody writes one file for so long without adding to it: what is older, a killed process left.
LEFT_SECONDS = 3600
# When this process last looked for such files, by folder.
_LOOKED: dict[Path, float] = {}


@contextmanager
def write_atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that takes its place once the block has succeeded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if time.monotonic() - _LOOKED.get(path.parent, -math.inf) > LEFT_SECONDS:
        _LOOKED[path.parent] = time.monotonic()
        remove_partial(path.parent)
    # A name per writer, since several processes may write the same file; the suffix stays, since
    # writers choose a format by it. pathlib's `*` matches the dot, so patterns begin with [!.].
    temporary = path.with_name(f".partial-{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_partial(folder: Path, seconds: float = LEFT_SECONDS) -> None:
    """Delete what killed processes left in a folder, where nothing was added for so long."""
    for path in folder.glob(".partial-*"):
        with suppress(OSError):  # a folder, gone already, or in use, which Windows tells
            if not seconds or time.time() - path.stat().st_mtime > seconds:
                path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with LF line ends, atomically."""
    with write_atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically; numbers that JSON lacks (NaN, infinity) become null."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Write one JSON line per value, atomically."""
    lines = (json.dumps(_plain(value), ensure_ascii=False, allow_nan=False) for value in values)
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: If it is missing, cut off or otherwise no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the stage that writes it.") from None
    except ValueError as error:
        raise UserError(
            f"{path} is not complete JSON ({error}); delete it and run its stage again."
        ) from None


def append_json_line(path: Path, value: Any) -> None:
    """Add one JSON line to a log that only grows; a line that a kill cut off is closed first."""
    append_json_lines(path, [value])


def append_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Add one JSON line per value, as `append_json_line` adds one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(_plain(value), ensure_ascii=False, allow_nan=False) for value in values)
    text = "".join(f"{line}\n" for line in lines)
    with path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSON-lines log, oldest first; absent means empty, cut-off lines are passed over."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_bytes().split(b"\n"):
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def yaml_loader() -> Any:
    """Return PyYAML's loader of plain values.

    That of libyaml is ten times as fast; an installation without it still works.
    """
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def fingerprint(*values: Any) -> str:
    """Return 16 hexadecimal digits that stand for the values, in whatever order of keys."""
    text = json.dumps(_plain(values), sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Reduce numpy scalars, tuples, sets and paths to what JSON knows."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(_plain(item) for item in value)
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _sync(path: Path) -> None:
    """Ask the disk to hold the file before its name changes."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
