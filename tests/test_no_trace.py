"""What a project leaves outside its folder: no look-up, no packet, and only documented caches."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import offline
import pytest
import yaml
from asking import until
from baking import BakedProject, bake_project

# Folders below the home folder that a library documents as its cache or its settings.
MATPLOTLIB = "https://matplotlib.org/stable/install/environment_variables_faq.html"
FONTCONFIG = "https://www.freedesktop.org/software/fontconfig/fontconfig-user.html"
CACHES = {
    ".cache/matplotlib": MATPLOTLIB,
    ".config/matplotlib": MATPLOTLIB,
    ".cache/fontconfig": FONTCONFIG,  # written by fc-list, which Matplotlib asks for fonts
}
# ONNX Runtime sends 10 seconds after its import, so a service is watched for longer than that.
SECONDS = 20
STRACE = ["strace", "-D", "-f", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg"]
# An address as strace writes it; systemd's resolver is asked over a socket in the file system.
ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
RESOLVER = re.compile(r"sin6?_port=htons\(53\)|/systemd/resolve/")


@dataclass(frozen=True)
class Traced:
    """A project that has run and served, each traced.

    Attributes:
        project: The project.
        home: What was its home folder, empty at first.
        run: What `run` sent, a line per call.
        serve: What `serve` sent.
        answer: What the service answered.
    """

    project: BakedProject
    home: Path
    run: list[str]
    serve: list[str]
    answer: str


@pytest.fixture(scope="module")
def tools() -> None:
    """Skip where a process cannot be traced without a network."""
    if not offline.works("true"):
        pytest.skip("unshare cannot take the network away here")
    if not offline.works("strace", "-qq", "-o", os.devnull, "true"):
        pytest.skip("strace is not installed, or may not trace here")


@pytest.fixture(scope="module")
def traced(tools: None, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Traced:
    folder = tmp_path_factory.mktemp("traced")
    project = bake_project(template, folder, {"serving": "rest"})
    home = folder / "home"
    home.mkdir()
    environment = bare(project, home)

    def watched(name: str, *before: str) -> tuple[str, list[str]]:
        """Run a command of the project and return what it printed and what it sent."""
        trace = folder / f"{name}.txt"
        program = [*STRACE, "-o", str(trace), sys.executable, "-m", project.package]
        words = [*before, *program] if before else [*program, name]
        done = subprocess.run(
            [*offline.OFFLINE, *words],
            cwd=project.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stdout[-3000:]
        return done.stdout, whole(trace)

    _, run = watched("run")
    ask = str(Path(__file__).with_name("ask_once.py"))
    answer, serve = watched("serve", sys.executable, ask, str(SECONDS))
    return Traced(project, home, run, serve, answer)


def bare(project: BakedProject, home: Path) -> dict[str, str]:
    """Return variables without this test run's own, one of which switches telemetry off."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(project.root / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }


def whole(trace: Path) -> list[str]:
    """Return the lines of a trace, once strace, which goes on for a moment, has written the end."""
    until(lambda: re.search(r"\+\+\+ (exited|killed).*\n\Z", trace.read_text(encoding="utf-8")))
    return trace.read_text(encoding="utf-8").splitlines()


def outside(lines: list[str]) -> list[str]:
    """Return the lines of a trace that ask a resolver, or name an address outside loopback."""
    return [
        line
        for line in lines
        if RESOLVER.search(line)
        or any(
            not re.match(r"127\.|::1$|::ffff:127\.", four or six)
            for four, six in ADDRESS.findall(line)
        )
    ]


@pytest.mark.parametrize(("given", "found"), [({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")])
def test_telemetry_is_off_before_onnx_runtime_is_imported(
    bake: Callable[..., BakedProject], tmp_path: Path, given: dict[str, str], found: str
) -> None:
    project = bake()
    code = f"""
import os, sys
import {project.package}
assert "onnxruntime" not in sys.modules
print(os.environ["ORT_DISABLE_TELEMETRY"])
import onnxruntime
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**bare(project, tmp_path), **given},
        capture_output=True,
        encoding="utf-8",
    )
    assert (done.stdout, done.stderr) == (f"{found}\n", "")
    if found == "1":
        # With telemetry on, the import alone leaves a device id there.
        assert list(tmp_path.iterdir()) == []


def test_telemetry_is_off_in_every_container(bake: Callable[..., BakedProject]) -> None:
    project = bake(platform="kubernetes", serving="rest", monitoring="yes")
    _, base, *others = project.text("Dockerfile").split("\nFROM ")
    assert "\nENV ORT_DISABLE_TELEMETRY=1\n" in base
    assert [other for other in others if not other.startswith("base AS ")] == []
    manifests = [name for name in project.files("*.yaml") if name.startswith("deploy/kubernetes/")]
    containers = {name: project.text(name).count("image: app\n") for name in manifests}
    assert sum(containers.values()) > 1
    setting = '- {name: ORT_DISABLE_TELEMETRY, value: "1"}\n'
    assert {name: project.text(name).count(setting) for name in manifests} == containers
    services = yaml.safe_load(project.text("compose.yaml"))["services"]
    assert services["serving"]["environment"]["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.modules
def test_run_sends_nothing(traced: Traced) -> None:
    assert traced.project.has_file("reports/index.html")
    assert outside(traced.run) == []


@pytest.mark.modules
def test_serve_sends_nothing(traced: Traced) -> None:
    assert re.match(r'200 .*"predictions":\[\{', traced.answer), traced.answer
    assert outside(traced.serve) == []


@pytest.mark.modules
def test_the_home_folder_holds_only_documented_caches(traced: Traced) -> None:
    known = [Path(cache) for cache in CACHES]
    found = [path.relative_to(traced.home) for path in sorted(traced.home.rglob("*"))]
    stray = [
        path
        for path in found
        if not any(path.is_relative_to(each) or each.is_relative_to(path) for each in known)
    ]
    assert stray == []
    assert Path(".cache/matplotlib") in found  # it was the home folder of what ran


@pytest.mark.modules
def test_the_caches_are_in_the_readme(traced: Traced) -> None:
    text = traced.project.text("README.md")
    assert [cache for cache in CACHES if f"`~/{cache}`" not in text] == []


@pytest.mark.modules
@pytest.mark.parametrize(
    "code",
    [
        "socket.getaddrinfo('somewhere.example', 443)",
        "socket.create_connection(('192.0.2.1', 443))",
        "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 443))",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 443))",
    ],
)
def test_the_trace_shows_what_is_sent(tools: None, tmp_path: Path, code: str) -> None:
    trace = tmp_path / "trace.txt"
    program = [*STRACE, "-o", str(trace), sys.executable, "-c", f"import socket; {code}"]
    done = subprocess.run([*offline.OFFLINE, *program], capture_output=True)
    assert b"OSError" in done.stderr or b"gaierror" in done.stderr
    assert outside(whole(trace)) != []
