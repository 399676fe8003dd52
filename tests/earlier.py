"""Which version went before the layout of today, and how its code is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from answers import SKELETON

EARLIER = "c111df1c5a84ec460a3bfe39ead86d19d00848ca"
PACKAGE = f"{SKELETON.name}/src/{{{{cookiecutter.__package}}}}"


def python(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder whose `src` holds a package, or that is one itself."""
    src = folder / "src" if (folder / "src").is_dir() else folder
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(src), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        encoding="utf-8",
    )


def printed(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed that ended well."""
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
