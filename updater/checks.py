"""Checks: style and format of what changed, and what is not resolved yet."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from .git import git, listing, names_of, read_blob, start_git
from .screen import say


def run_checks(names: Iterable[str], pristine: Collection[str]) -> int:
    """Check style and format of the Python files that changed; return the exit code.

    Formatting takes longest; a file that is as the template rendered it was formatted there.
    """
    files = [name for name in names if Path(name).suffix in (".py", ".ipynb")]
    files = [name for name in files if Path(name).is_file()]
    own = [Path.cwd() / ".venv" / "bin" / "python", Path.cwd() / ".venv" / "Scripts" / "python.exe"]
    python = next((str(path) for path in own if path.is_file()), sys.executable)
    commands = {
        "black": ["--check", "--quiet", *(name for name in files if name not in pristine)],
        "ruff": ["check", "--quiet", *files],
    }
    started = {
        tool: subprocess.Popen(  # noqa: S603
            [python, "-m", tool, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for tool, options in commands.items()
        if options[-1] in files
    }
    code = 0
    for tool, process in started.items():
        printed = process.communicate()[0].decode("utf-8", "replace")
        if process.returncode and f"No module named {tool}" in printed:
            say(f"Not checked: {tool} is not installed here; run `make setup`, then `make lint`.")
        elif process.returncode:
            say(f"{printed.rstrip()}\n{tool} does not accept the files that changed.".lstrip())
            code = 1
    if code:
        say("`make format` mends what tools can mend; then commit.")
    return code


def pristine_files(theirs: str, merged: str) -> set[str]:
    """Return the files that are as the template renders them; none if black is set otherwise."""
    rendered, result = listing(theirs), listing(merged)
    settings = []
    for files in (rendered, result):
        try:
            text = read_blob(files["pyproject.toml"][1]).decode("utf-8")
            settings.append(tomllib.loads(text).get("tool", {}).get("black"))
        except (KeyError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            return set()
    same = settings[0] == settings[1]
    return {name for name, entry in result.items() if same and rendered.get(name) == entry}


def leftovers(names: Sequence[str] | None = None) -> list[str]:
    """Return files with a conflict's markers, and rejected patches; in the whole project if None.

    Plain `cruft update` leaves such files, too, and calls it a success.
    """
    found = [name for name in names_of(git("ls-files", "-z", "--unmerged", ".")) if name]
    unmerged = {name.partition("\t")[2] for name in found}
    rejected = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.rej")
    command = ["grep", "-z", "--name-only", "--untracked", "-I", "-E", "--all-match"]
    marks = start_git([*command, "-e", "^<{7}( |$)", "-e", "^>{7}( |$)", "--", "."])
    marked = set(names_of(marks.stdout.decode("utf-8", "surrogateescape")))
    if names is not None:
        marked &= set(names)
    return sorted({*unmerged, *marked, *names_of(rejected)})
