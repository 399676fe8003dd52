"""Renderings: the template's files for given answers, as a tree in the project's repository."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .git import Refusal, git, with_changes
from .project import STATE, Project, skipped, windows_files
from .team import matches
from .template import Template, Version


@contextmanager
def captured(path: Path) -> Iterator[None]:
    """Send what this process and its hooks print into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with path.open("wb") as file:
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in enumerate(saved, start=1):
                os.dup2(copy, number)
                os.close(copy)


def render(
    project: Project, template: Template, version: Version, answers: dict[str, Any], work: Path
) -> tuple[str, dict[str, Any]]:
    """Render a version; return the tree of its files and the answers to all that it asks."""
    rendered = render_files(template, version, answers, Path(tempfile.mkdtemp(dir=work)))
    state = rendered / STATE
    complete = json.loads(state.read_text(encoding="utf-8"))["context"]["cookiecutter"]
    state.unlink()
    asked = {name: value for name, value in complete.items() if not name.startswith("_")}
    return make_tree(project, rendered, work), asked


def render_files(
    template: Template, version: Version, answers: dict[str, Any], folder: Path
) -> Path:
    """Render a version into a folder; raises Refusal, in the hook's own words if it has any.

    Whoever renders gets the same files: the person's own defaults are left out.
    """
    from cruft import create

    output = folder / "output.txt"
    try:
        with captured(output):
            return Path(
                create(
                    str(template.folder),
                    output_dir=folder,
                    extra_context=answers,
                    checkout=version.commit,
                    directory=template.directory,
                    default_config=True,
                )
            )
    except Exception as error:  # of cruft, cookiecutter, Jinja or a hook
        printed = output.read_text("utf-8", "replace").strip()
        said = re.findall(r"^Error: (.+)$", printed, re.MULTILINE)
        words = " ".join([*str(error).split(), *printed.splitlines()[-1:]])
        reason = said[-1] if said else f"the template at {version.name} did not render: {words}"
        raise Refusal(reason) from None


def make_tree(project: Project, rendered: Path, work: Path) -> str:
    """Write a rendering into the project's repository and return its tree.

    That also brings what a fresh clone lacks: the pristine files that a merge starts from.
    """
    leave = skipped(project)
    paths = (path for path in rendered.rglob("*") if path.is_file())
    names = sorted(path.relative_to(rendered).as_posix() for path in paths)
    names = [name for name in names if not matches(name, leave)]
    for name in set(names) & windows_files():
        content = (rendered / name).read_bytes()
        (rendered / name).write_bytes(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    listed = "".join(f"{(rendered / name).as_posix()}\n" for name in names)
    ids = git("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=listed).split()
    lines = [
        f"{'100755' if (rendered / name).stat().st_mode & 0o100 else '100644'} {blob}\t{name}\0"
        for name, blob in zip(names, ids, strict=True)
    ]
    return with_changes(None, lines, work)
