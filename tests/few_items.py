"""A checklist of a few items of each kind, and the answers to it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

from markdown_it import MarkdownIt

Run = Callable[..., tuple[int, str, str]]


# The whole checklist of most tests: a few items of each kind, in the team's own file.
OWN = """\
title: Our own
about: What we agreed on.
items:
  - id: own-readme
    title: There is a page to begin with
    why: A page says what is here. Without it nobody begins.
    how: Write `README.md`.
    stage: poc
    evidence:
      - file: README.md
    options:
      - {name: By hand, when: When it is short, built_in: true}
    tools:
      - {name: An editor, for: writing}
    references:
      - {title: On pages, by: "A. Writer, 2001", url: "https://example.invalid/pages"}
    ml_test_score: data-1
  - id: own-notes
    title: The notes say why
    why: Notes are for later. Without them all is asked twice.
    how: Answer the question.
    stage: poc
    evidence:
      - section: docs/notes.md#why
  - id: own-table
    title: Somebody knows the table
    why: A table has a meaning. Without one it is numbers.
    how: Read it, and sign.
    stage: poc
    evidence:
      - signoff: data
    ml_test_score: model-1
  - id: own-bar
    title: The bar is cleared
    why: A bar is agreed on. Without it anything goes.
    how: Run it.
    stage: poc
    evidence:
      - fact: metrics.passed == true
  - id: own-time
    title: Time is looked at
    why: Time passes. Without it all is now.
    how: Plot it.
    stage: poc
    applies:
      - config: data.time
    evidence:
      - file: README.md
  - id: own-later
    title: Two people read every change
    why: Two see more. One sees less.
    how: Ask for two.
    stage: mvp
    evidence:
      - signoff: project
"""


NOTES = "# Notes\n\n## Why\n\n> Why is it so?\n"
DATA, MODEL = "d" * 16, "0a1b2c3d"


def answer(root: Path, **answers: str) -> None:
    """Record the answers that the project was made with."""
    context = {"project_name": "Small", **answers}
    text = json.dumps({"context": {"cookiecutter": context}})
    (root / ".cruft.json").write_text(text, encoding="utf-8")


def measure(root: Path, data: str = DATA, passed: bool = True) -> None:
    """Write the one report that an item asks for."""
    (root / "reports").mkdir(exist_ok=True)
    report = {"version": 1, "stage": "evaluate", "run_id": MODEL, "data": data, "model": None}
    report |= {"config": None, "facts": {"passed": passed}}
    (root / "reports" / "metrics.json").write_text(json.dumps(report), encoding="utf-8")


def make_root(folder: Path) -> Path:
    """Make a project with data and a model, as far as the checklist looks at them."""
    root = folder / "project"
    texts = {
        "conf.cfg": "[data]\nsource = table.csv\ntarget = y\n",
        "README.md": "Begin here.\n",
        "docs/notes.md": NOTES,
        "checklist/own.yaml": OWN,
        "data/manifest.json": json.dumps({"fingerprint": DATA}),
        "models/champion.json": json.dumps({"run_id": MODEL, "sha256": "0" * 64}),
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    answer(root, stage="poc")
    measure(root)
    return root


def write_notes(root: Path) -> None:
    """Answer the question of the notes."""
    text = NOTES + "\nBecause it was so before, and nobody minded it since.\n"
    (root / "docs/notes.md").write_text(text, encoding="utf-8")


def cells(root: Path) -> dict[str, list[str]]:
    """Return the text of the cells of each item's row, as a reader of Markdown sees it."""
    text = (root / "checklist/checklist.md").read_text(encoding="utf-8")
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert (
        re.findall(r"<(?!/?(?:h\d|p|img|table|thead|tbody|tr|t[hd]|code|strong|em|br)\b)\w+", html)
        == []
    )
    rows = {}
    for row in re.findall(r"<tr>(.*?)</tr>", html, flags=re.DOTALL):
        found = re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL)
        name = re.search(r"<code>(own-[\w-]+)</code>", row)
        if name:
            rows[name[1]] = [re.sub(r"<[^>]+>", "", cell) for cell in found]
    return rows


def read_badge(root: Path) -> ET.Element:
    """Return the badge, which has to be XML."""
    text = (root / "checklist/badge.svg").read_text(encoding="utf-8")
    return ET.fromstring(text)  # noqa: S314  # written by the test itself


def process(
    root: Path, environment: dict[str, str], *arguments: str, **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own, with the template's whole checklist."""
    command = [sys.executable, "-m", "mlproj", "checklist", *arguments]
    return subprocess.run(command, cwd=root, env=environment | more, capture_output=True)
