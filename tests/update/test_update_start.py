"""The start that a project carries: which updater it runs, from where, and what it says first."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from answers import SKELETON
from baking import run_git
from cases import posix_only
from living import (
    ANNOUNCED,
    Checkout,
    Project,
    Upstream,
    applied,
    create,
    everything,
    refused,
    replaced,
    started,
)

pytestmark = pytest.mark.modules


def announced(checkout: Checkout, *arguments: str, **environment: str) -> tuple[str, ...]:
    """Return which updater a command says that it runs: address, version and commit."""
    done = subprocess.run(
        [sys.executable, "tools/template.py", *arguments],
        cwd=checkout.root,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
    )
    found = ANNOUNCED.match(done.stderr)
    assert found, done.stderr
    return found.groups()


@pytest.fixture
def later(upstream: Upstream, tmp_path: Path) -> Upstream:
    """The template, which a test may change; projects are made from v2.0.0 of it."""
    run_git(tmp_path, "clone", "--quiet", upstream.root.as_uri(), "later")
    return Upstream(tmp_path / "later")


@pytest.fixture
def child(later: Upstream, tmp_path: Path) -> Checkout:
    return create(later.address, tmp_path / "out", version="v2.0.0")


def test_the_start_is_short() -> None:
    assert (SKELETON / "tools" / "template.py").read_text("utf-8").count("\n") <= 80


@pytest.mark.parametrize(
    "command", [["status"], ["diff"], ["update", "--to", "v1.1.0"], ["set", "ci=none"]]
)
def test_the_updater_of_the_newest_release_runs_whatever_is_asked_for(
    project: Project, upstream: Upstream, command: list[str]
) -> None:
    """Neither that of the project's own version nor that of the one to come: both may lack it."""
    address, version, commit = announced(project("v1.0.0"), *command)
    assert address == upstream.address.removeprefix("git+")
    assert version == "v2.0.0"
    assert commit == upstream.commit_of("v2.0.0")[:10]


def test_a_release_without_an_updater_leaves_it_to_the_default_branch(
    later: Upstream, child: Checkout
) -> None:
    run_git(later.root, "rm", "--quiet", "-r", "updater")
    later.release("v3.0.0")
    assert "has no updater" in refused(child.tool("status"))
    run_git(later.root, "checkout", "--quiet", "v2.0.0", "--", "updater")
    run_git(later.root, "commit", "--quiet", "--message", "back")
    assert announced(child, "status")[1:] == ("HEAD", later.commit_of("HEAD")[:10])
    assert "v2.0.0 -> v3.0.0" in applied(child.tool("update"))
    assert child.text(".cruft.json").count(later.commit_of("v3.0.0")) == 1


def test_a_candidate_is_run_only_once_it_is_released(later: Upstream, child: Checkout) -> None:
    later.edit("updater/status.py", replaced("Template  ", "Changed  "))
    later.release("v10.0.0-rc.1")
    assert announced(child, "status")[1] == "v2.0.0"
    run_git(later.root, "tag", "v10.0.0")
    assert announced(child, "status")[1] == "v10.0.0"
    assert applied(child.tool("status")).startswith("Changed  ")


@pytest.mark.parametrize("which", ["older", "newer"])
def test_a_start_that_does_not_fit_says_what_to_do_and_that_works(
    later: Upstream, child: Checkout, which: str
) -> None:
    if which == "older":
        later.edit("updater/cli.py", replaced("INTERFACE = 1", "INTERFACE = 2"))
        later.edit_skeleton("tools/template.py", replaced("--start=1", "--start=2"))
        later.release("v3.0.0")
    else:
        child.replace("tools/template.py", "--start=1", "--start=2")
        child.commit()
        later.edit_skeleton("tools/template.py", lambda text: f"{text}# Later.\n")
        later.release("v3.0.0")
    sentence = refused(child.tool("update"))
    assert f"tools/template.py is {which} than the template's updater" in sentence
    script = " && ".join(re.findall(r"`([^`]+)`", sentence)).replace("ADDRESS", later.address[4:])
    bin_folder = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = started(["bash", "-c", f"{script} --no-checks"], child.root, PATH=bin_folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "v2.0.0 -> v3.0.0" in done.stdout
    if which == "older":
        child.commit()
        assert "the newest" in applied(child.tool("status"))


# An address that needs a login.


class LockedHandler(SimpleHTTPRequestHandler):
    """Hands out files to whoever knows the password."""

    def do_GET(self) -> None:  # noqa: N802
        expected = "Basic " + base64.b64encode(b"we:secret").decode()
        if self.headers.get("Authorization") == expected:
            super().do_GET()
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="template"')
            self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def locked(upstream: Upstream, tmp_path: Path) -> Iterator[str]:
    """The template behind a login; its address without a password."""
    served = tmp_path / "served"
    run_git(tmp_path, "clone", "--quiet", "--bare", str(upstream.root), str(served / "t.git"))
    run_git(served / "t.git", "update-server-info")
    handler = partial(LockedHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/t.git"
        server.shutdown()


def test_an_address_that_needs_a_login(project: Project, locked: str, tmp_path: Path) -> None:
    checkout = project()
    address = re.findall(r'"template": "([^"]+)"', checkout.text(".cruft.json"))[0]
    checkout.replace(".cruft.json", address, locked)
    checkout.commit()
    environment = {"GIT_TERMINAL_PROMPT": "0"}
    sentence = refused(checkout.tool("status", **environment))
    assert f"The template {locked} cannot be cloned" in sentence and "your rights" in sentence
    # With what the person has stored for it, as any other clone.
    (tmp_path / "stored").write_text(locked.replace("//", "//we:secret@"), encoding="utf-8")
    config = tmp_path / "gitconfig"
    shutil.copy(os.environ["GIT_CONFIG_GLOBAL"], config)
    with config.open("a", encoding="utf-8") as file:
        file.write(f'[credential]\nhelper = "store --file={tmp_path}/stored"\n')
    environment["GIT_CONFIG_GLOBAL"] = str(config)
    assert f"Template  {locked}\n" in applied(checkout.tool("status", **environment))
    applied(checkout.tool("update", **environment))
    # And with a password in the address, which is never printed.
    checkout.git("reset", "--quiet", "--hard")
    checkout.replace(".cruft.json", locked, locked.replace("//", "//we:secret@"))
    checkout.commit()
    assert announced(checkout, "status")[0] == locked
    assert f"Template  {locked}\n" in applied(checkout.tool("status"))
    sentence = refused(checkout.tool("update", "--to", "v9"))
    assert "secret" not in sentence


@posix_only
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_stop_while_the_template_is_fetched_changes_nothing(
    project: Project, tmp_path: Path, name: str
) -> None:
    checkout = project()
    before = everything(checkout)
    slow = f'#!/bin/sh\necho "$1" > {tmp_path}/began\nexec sleep 60\n'
    (tmp_path / "git").write_text(slow, encoding="utf-8")
    (tmp_path / "git").chmod(0o755)
    running = subprocess.Popen(
        [sys.executable, "tools/template.py", "update"],
        cwd=checkout.root,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    while not (tmp_path / "began").exists():
        time.sleep(0.05)
    sign = signal.Signals[name]
    os.killpg(running.pid, sign)
    said = running.communicate()[1]
    assert said == "" and running.returncode == (130 if sign == signal.SIGINT else -sign)
    assert everything(checkout) == before and checkout.status() == []
