"""Projects that carry the whole updater in tools/template.py, as those before this version do."""

from __future__ import annotations

from pathlib import Path

import pytest
from earlier import EARLIER
from living import Checkout, applied, create, left, upstream_of_work_tree

pytestmark = pytest.mark.modules


@pytest.fixture
def old(template: Path, tmp_path: Path) -> Checkout:
    """A project of the earlier version, of a template that has gone on since."""
    address = upstream_of_work_tree(template, tmp_path / "template.git")
    checkout = create(address, tmp_path / "out", version=EARLIER)
    assert checkout.text("tools/template.py").count("\n") > 1000
    return checkout


def is_up_to_date(checkout: Checkout) -> None:
    """Assert that the project has the start, and that it starts the updater."""
    checkout.commit("update")
    start = checkout.text("tools/template.py")
    assert start.count("\n") <= 80
    status = applied(checkout.tool("status"))
    assert "Version   v999.0.0, the newest\n" in status
    applied(checkout.tool("set", "ci=none"))
    assert not checkout.has(".github/workflows/ci.yml")


def test_the_long_tool_brings_the_start(old: Checkout) -> None:
    applied(old.tool("update"))
    is_up_to_date(old)


def test_a_long_tool_that_the_team_edited_is_a_conflict(old: Checkout) -> None:
    old.replace("tools/template.py", "# git.\n", "# git, as we use it.\n")
    old.commit("our tool")
    printed = left(old.tool("update"))
    assert "edit, then `git add`:\n  tools/template.py\n" in printed
    assert "# git, as we use it.\n" in old.git("show", ":2:tools/template.py")
    assert "<<<<<<< yours\n" in old.text("tools/template.py")
    old.git("checkout", "--quiet", "--theirs", "tools/template.py")
    is_up_to_date(old)
