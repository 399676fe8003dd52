"""What the tests of a code's fingerprint share: how to ask for what entries reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mlproj.core.code_fingerprint import code_fingerprint, reached_files

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


def reached(package: Path, entry: str = ".train:train") -> set[str]:
    """What the entry reaches, apart from its module."""
    return {*reached_files([entry], package=package)} - {"train.py"}


def fingerprint_of(write: Write, text: str) -> str:
    """The fingerprint of a stage that consists of this text."""
    key: str = code_fingerprint([".train:train"], package=write({"train.py": text}))
    return key
