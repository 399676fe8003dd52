"""What the tests of a code's fingerprint share: how to ask for what entries reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mlproj.core.code_fingerprint import Modules, code_fingerprint, relative
from mlproj.core.code_fingerprint import reached as files_reached

Write = Callable[[Mapping[str, str]], Path]
STAGES = (
    ".ingest:ingest",
    ".preprocess:preprocess",
    ".train:train",
    ".postprocess:postprocess",
    ".evaluate:evaluate",
    ".report:report",
)
SENTENCE = (
    "imports {stage}, which is a stage, so every result would follow from every stage; import what "
    "that stage builds on, or move the shared code to a file of its own."
)


def reached(package: Path, *entries: str, lent: Mapping[str, str] | None = None) -> set[str]:
    """What the entries reach apart from `train.py`, as paths from the package's folder."""
    found = files_reached(entries or [".train:train"], Modules(package, lent))
    return {relative(path, package) for path in found} - {"train.py"}


def code_of(package: Path, *entries: str) -> str:
    """The fingerprint of what the entries reach, by default a stage's, as the files are now."""
    key: str = code_fingerprint(entries or [".train:train"], Modules(package))
    return key


def fingerprint_of(write: Write, text: str) -> str:
    """The fingerprint of a stage that consists of this text."""
    return code_of(write({"train.py": text}))
