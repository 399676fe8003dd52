"""The documentation says what the code says, and names only what is there."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from answers import CHOICES, SKELETON, TEMPLATE, pins_of

DOCS = TEMPLATE / "docs"
PINS = (SKELETON / "constraints.txt", TEMPLATE / "constraints.txt")


def test_settings_page_repeats_the_code() -> None:
    tables = runpy.run_path(str(DOCS / "tables.py"))
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert page == tables["with_tables"](page), "run `python docs/tables.py`"


def test_checklist_pages_repeat_the_items() -> None:
    tables = runpy.run_path(str(DOCS / "tables.py"))
    pages = tables["checklist_pages"]()
    written = {path.name: path.read_text("utf-8") for path in (DOCS / "checklist").glob("*.md")}
    assert sorted(written) == sorted(pages)
    stale = [name for name in pages if written[name] != pages[name]]
    assert stale == [], "run `python docs/tables.py`"


def test_layout_page_names_only_what_a_project_has() -> None:
    page = (DOCS / "layout.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("|")]
    named = {code for row in rows for code in re.findall(r"`([^`]+)`", row[2])}
    paths = {name.replace("<package>", "{{cookiecutter.__package}}") for name in named}
    written_later = {
        *(f"data/{name}/" for name in ("original", "train", "valid", "test")),
        "data/manifest.json",
        "data/schema.yaml",
        "logs/run_1_LOGISTIC_ID_3f2a9c1e.log",
        "logs/runs.jsonl",
        "reference.json",
        "reports/index.html",
    }
    words = {name for name in paths if " " in name or name == "utils"}
    missing = [name for name in paths - words - written_later if not (SKELETON / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/index.md"])
def test_links_lead_somewhere(page: str) -> None:
    path = TEMPLATE / page
    text = path.read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_readme_lists_every_prompt_and_choice() -> None:
    text = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| `(\w+)` \| (.*?)(?::.*)? \|$", text, flags=re.MULTILINE))
    assert {prompt: choices.split(", ") for prompt, choices in table.items()} == CHOICES


@pytest.mark.parametrize("path", PINS, ids=["skeleton", "template"])
def test_constraints_are_exact_versions_and_nothing_else(path: Path) -> None:
    assert [
        line for line in pins_of(path) if not re.fullmatch(r"[a-z0-9._-]+==[0-9][0-9a-z.]*", line)
    ] == []
    for block in re.split(r"^\{%.*$", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
        lines = block.split()
        assert lines == sorted(lines, key=lambda line: line.partition("==")[0])


def test_no_version_is_pinned_twice() -> None:
    names = [{line.split("==")[0] for line in pins_of(path)} for path in PINS]
    assert names[0] & names[1] == set()


def test_every_tool_of_the_template_is_pinned() -> None:
    groups = tomllib.loads((TEMPLATE / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    wanted = {re.split(r"[\[<>=]", text)[0] for texts in groups.values() for text in texts}
    pinned = {line.split("==")[0] for path in PINS for line in pins_of(path)}
    assert wanted - pinned == set()


@pytest.mark.modules
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--quiet", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Accelerator" in (tmp_path / "layout.html").read_text(encoding="utf-8")
