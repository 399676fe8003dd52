"""Renderings: the template's files for given answers, as a tree in the project's repository."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .git import Refusal, git, with_changes
from .project import Project, skipped, windows_files
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
    rendered, asked = render_files(template, version, answers, Path(tempfile.mkdtemp(dir=work)))
    return make_tree(project, rendered, work), asked


def render_files(
    template: Template, version: Version, answers: dict[str, Any], folder: Path
) -> tuple[Path, dict[str, Any]]:
    """Render a version into a folder; return where its files are, and the answers to all it asks.

    Whoever renders gets the same files: the person's own defaults are left out.

    Raises:
        Refusal: If it does not render; in the hook's own words if it has any.
    """
    from cookiecutter.generate import generate_context, generate_files
    from cookiecutter.prompt import prompt_for_config

    printed = folder / "printed.txt"
    try:
        with captured(printed):
            source = template.check_out(version.commit, folder / "source")
            context = generate_context(str(source / "cookiecutter.json"), extra_context=answers)
            asked = prompt_for_config(context, no_input=True)
            # Not `_output_dir`: with it, the hooks would take this for a first bake.
            own = {"_template": str(template.folder), "_commit": version.commit}
            context["cookiecutter"] = {**asked, **own}
            rendered = Path(generate_files(str(source), context, output_dir=folder / "rendered"))
            return rendered, {name: asked[name] for name in asked if not name.startswith("_")}
    except Exception as error:  # of git, cookiecutter, Jinja or a hook
        lines = printed.read_text("utf-8", "replace").strip().splitlines()
        said = re.findall(r"^Error: (.+)$", "\n".join(lines), re.MULTILINE)
        words = " ".join([*str(error).split(), *lines[-1:]])
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
