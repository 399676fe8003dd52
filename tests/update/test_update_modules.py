"""Modules go and come back, with edits and in a teammate's clone."""

from __future__ import annotations

from pathlib import Path

import pytest
from answers import CHOICES, MODULES
from living import (
    Project,
    Upstream,
    applied,
    left,
    module_answers,
    module_files,
)

pytestmark = pytest.mark.modules


def pairs(answers: dict[str, str]) -> list[str]:
    """Return answers as they are typed."""
    return [f"{prompt}={choice}" for prompt, choice in answers.items()]


# Every module, also those that later join: off, on again, with edits, and in a teammate's clone.


@pytest.mark.parametrize("condition", MODULES)
def test_a_module_goes_and_comes_back_also_in_a_fresh_clone(
    project: Project, tmp_path: Path, condition: str
) -> None:
    keep, drop = module_answers(condition, CHOICES)
    checkout = project(**keep)
    files, whole = module_files(checkout, condition), checkout.tree()
    assert files
    applied(checkout.tool("set", *pairs(drop)))
    assert [name for name in files if checkout.has(name)] == []
    assert [path for path in checkout.root.rglob("*") if path.is_dir() and empty(path)] == []
    checkout.commit()
    teammate = checkout.clone(tmp_path / "teammate")
    for each in (checkout, teammate):
        back = {prompt: keep.get(prompt, CHOICES[prompt][0]) for prompt in drop}
        applied(each.tool("set", *pairs(back)))
        assert each.tree() == whole
        each.commit()
        assert each.status() == []


def empty(folder: Path) -> bool:
    """Tell whether a folder of the project, not of git, holds nothing."""
    return ".git" not in folder.parts and not any(folder.iterdir())


@pytest.mark.parametrize("condition", MODULES)
def test_a_module_with_edits_is_listed_when_it_goes_and_stays_until_a_person_decides(
    project: Project, condition: str
) -> None:
    keep, drop = module_answers(condition, CHOICES)
    checkout = project(**keep)
    files = module_files(checkout, condition)
    checkout.write(files[0], checkout.text(files[0]) + "# Ours.\n")
    checkout.commit()
    printed = left(checkout.tool("set", *pairs(drop)))
    assert f"dropped by the template: `git rm` it, or `git add` it to keep it:\n  {files[0]}" in (
        printed
    )
    assert checkout.text(files[0]).endswith("# Ours.\n")
    assert [name for name in files[1:] if checkout.has(name)] == []
    assert checkout.git("ls-files", "--unmerged", files[0]) != ""
    checkout.git("rm", "--quiet", files[0])
    checkout.git("commit", "--quiet", "--message", "gone")
    assert checkout.status() == [] and not checkout.has(files[0])


def test_an_own_file_in_a_module_that_goes_is_listed_and_kept(project: Project) -> None:
    checkout = project()
    checkout.write(".github/workflows/ours.yml", "on: push\n")
    checkout.commit()
    printed = left(checkout.tool("set", "ci=none"))
    assert "Your own, in a folder that the template has left" in printed
    assert checkout.status()[0].endswith(".cruft.json") and "  .github/workflows/ours.yml" in (
        printed
    )
    assert checkout.text(".github/workflows/ours.yml") == "on: push\n"


def test_byte_code_does_not_keep_the_folder_of_a_module(
    upstream: Upstream, project: Project, tmp_path: Path
) -> None:
    """What is there is found by its folder: an empty one would count as the module."""
    checkout = project(version="v2.0.0")
    cache = checkout.root / ".github" / "workflows" / "__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_bytes(b"x")
    applied(checkout.tool("set", "ci=none"))
    assert not (checkout.root / ".github").exists()
