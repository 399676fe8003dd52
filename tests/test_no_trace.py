"""What leaves the folder, from the bake to retraining: no look-up, no packet, documented caches."""

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
from answers import TEMPLATE
from asking import until
from baking import BakedProject

# Folders below the home folder that a library documents as its cache or its settings.
MATPLOTLIB = "https://matplotlib.org/stable/install/environment_variables_faq.html"
FONTCONFIG = "https://www.freedesktop.org/software/fontconfig/fontconfig-user.html"
CACHES = {
    ".cache/matplotlib": MATPLOTLIB,
    ".config/matplotlib": MATPLOTLIB,
    ".cache/fontconfig": FONTCONFIG,  # written by fc-list, which Matplotlib asks for fonts
}
# What cookiecutter itself leaves, before there is a project.
REPLAY = ".cookiecutter_replay"
# ONNX Runtime sends 10 seconds after its import, so a service is watched for longer than that.
SECONDS = 20
SENDING = "connect,sendto,sendmsg,sendmmsg"
WRITING = "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
STRACE = [
    "strace",
    "-D",
    "-f",
    "-y",
    "-s",
    "0",
    "--seccomp-bpf",
    "-e",
    f"trace={SENDING},{WRITING}",
]
# An address as strace writes it; systemd's resolver is asked over a socket in the file system.
ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
RESOLVER = re.compile(r"sin6?_port=htons\(53\)|/systemd/resolve/")
SENDS = re.compile(r"\b(connect|send\w+)\(")
# Paths of a call that writes, each after the folder it is relative to, which `-y` shows.
WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|\b(creat|mkdir|rename|link|symlink)\w*\(")
LINKS = re.compile(r"\b(sym)?link(at)?\(")
PATHS = re.compile(r'(?:<([^>]*)>, )?"([^"]+)"')


@dataclass(frozen=True)
class Traced:
    """A project from its bake to its retraining, each step traced without a network.

    Attributes:
        project: The project.
        home: What was its home folder, empty at first.
        allowed: The folders that may be written to, apart from the documented caches in `home`.
        traces: By step, its calls that send or write, a line per call.
        answer: What the service answered.
    """

    project: BakedProject
    home: Path
    allowed: list[Path]
    traces: dict[str, list[str]]
    answer: str


@pytest.fixture(scope="module")
def tools() -> None:
    """Skip where a process cannot be traced without a network."""
    if not offline.works("true"):
        pytest.skip("unshare cannot take the network away here")
    if not offline.works("strace", "-qq", "-o", os.devnull, "true"):
        pytest.skip("strace is not installed, or may not trace here")


STEPS = ["bake", "setup", "run", "later", "serve"]
# The later steps in one process, which spares the imports: every command of `argv` in turn.
IN_TURN = """
import sys
from {package}.__main__ import main
for line in {lines}:
    sys.argv = ["later", *line.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code, line
"""


@pytest.fixture(scope="module")
def traced(tools: None, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Traced:
    folder = tmp_path_factory.mktemp("traced")
    home, temporary, baked = (folder / name for name in ("home", "tmp", "baked"))
    for each in (home, temporary, baked):
        each.mkdir()
    project = BakedProject(baked / "ml-project", {})
    environment = bare(project, home) | {"TMPDIR": str(temporary)}
    traces: dict[str, list[str]] = {}

    def watched(name: str, cwd: Path, *words: str, before: tuple[str, ...] = ()) -> str:
        """Run a command without a network, note what it sends and writes; return what it prints."""
        trace = folder / f"{name}.txt"
        done = subprocess.run(
            [*offline.OFFLINE, *before, *STRACE, "-o", str(trace), *words],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stdout[-3000:]
        traces[name] = whole(trace)
        return done.stdout

    program = [sys.executable, "-m", project.package]
    answers = ["serving=rest", "monitoring=yes"]
    bake = ["cookiecutter", str(template), "--no-input", "-o", str(baked), *answers]
    watched("bake", baked, sys.executable, "-m", *bake)
    cache = uv_cache(folder)
    environment["UV_CACHE_DIR"] = str(cache)
    # With Python's own module, which is not traced: it takes longer than all that follows.
    venv = [sys.executable, "-m", "venv", "--without-pip", ".venv"]
    subprocess.run(venv, cwd=project.root, check=True)
    install = "uv pip install --offline --python .venv/bin/python"
    watched("setup", project.root, "make", "setup", f"INSTALL={install}")
    watched("run", project.root, *program, "run")
    rows = next((project.root / "data" / "valid").glob("part-*.parquet"))
    lines = [
        f"predict {rows} scored.csv",
        f"monitor {rows}",
        f"retrain --data {rows}",
        f"page --runtime {browser_runtime(project, folder)}",
    ]
    code = IN_TURN.format(package=project.package, lines=lines)
    watched("later", project.root, sys.executable, "-c", code)
    ask = str(Path(__file__).with_name("ask_once.py"))
    before = (sys.executable, ask, str(SECONDS))
    answer = watched("serve", project.root, *program, before=before)
    return Traced(project, home, [project.root, temporary, cache], traces, answer)


def uv_cache(folder: Path) -> Path:
    """Return uv's cache, with what a set-up without an index needs beside the pins: the builder."""
    uv = [sys.executable, "-m", "uv"]
    wanted = ["pip", "install", "--quiet", "--target", str(folder / "builder"), "hatchling>=1.27"]
    subprocess.run([*uv, *wanted], check=True)
    found = subprocess.run([*uv, "cache", "dir"], check=True, capture_output=True, encoding="utf-8")
    return Path(found.stdout.strip())


def browser_runtime(project: BakedProject, folder: Path) -> Path:
    """Return onnxruntime-web as npm fetches it."""
    text = project.text(f"src/{project.package}/serving/runtime.py")
    package = re.search(r'^PACKAGE = "(.*)"', text, re.MULTILINE)
    assert package
    command = ["npm", "pack", package[1], "--prefer-offline", "--silent"]
    subprocess.run([*command, "--pack-destination", str(folder)], check=True, capture_output=True)
    return next(folder.glob("*.tgz"))


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
        if SENDS.search(line)
        and (
            RESOLVER.search(line)
            or any(
                not re.match(r"127\.|::1$|::ffff:127\.", four or six)
                for four, six in ADDRESS.findall(line)
            )
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


def written(lines: list[str], cwd: Path) -> set[Path]:
    """Return the paths of a trace at which something was made, opened for writing or renamed.

    `cwd` is what paths are relative to where the trace does not say, as for `mkdir`.
    """
    found = set()
    for line in lines:
        if WRITES.search(line) and "= -1 " not in line:
            paths = [Path(cwd, folder, name) for folder, name in PATHS.findall(line)]
            found |= {*(paths[-1:] if LINKS.search(line) else paths)}  # a link's end stays as it is
    return found


@pytest.mark.modules
@pytest.mark.parametrize("step", STEPS)
def test_nothing_is_sent_and_nothing_written_elsewhere(traced: Traced, step: str) -> None:
    assert outside(traced.traces[step]) == []
    caches = [traced.home / cache for cache in [*CACHES, REPLAY]]
    above = [parent for cache in caches for parent in cache.parents]
    paths = written(traced.traces[step], traced.project.root)
    stray = [
        path
        for path in sorted(paths)
        if not any(path.is_relative_to(each) for each in [*traced.allowed, *caches])
        and path not in above
        and not str(path).startswith(("/dev/", "/proc/self/"))
    ]
    assert stray == []
    assert any(path.is_relative_to(traced.project.root) for path in paths)


@pytest.mark.modules
def test_each_step_did_its_work(traced: Traced) -> None:
    project = traced.project
    assert project.has_file("reports/index.html") and project.has_file("reports/drift.html")
    assert project.has_file("scored.csv") and project.has_file("reports/page/predict.html")
    assert re.match(r'200 .*"predictions":\[\{', traced.answer), traced.answer
    assert len([*(project.root / "models").glob("*/bundle.json")]) == 2  # retrained


@pytest.mark.modules
def test_the_home_folder_holds_only_documented_caches(traced: Traced) -> None:
    known = [Path(cache) for cache in [*CACHES, REPLAY]]
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
    assert f"`~/{REPLAY}`" in (TEMPLATE / "README.md").read_text(encoding="utf-8")


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


@pytest.mark.modules
def test_the_trace_shows_what_is_written(tools: None, tmp_path: Path) -> None:
    code = """
import os
from pathlib import Path
open("new", "w").close()
os.mkdir("folder")
os.rename("new", "folder/renamed")
os.symlink("folder", "link")
os.open("folder", os.O_RDONLY)
try:
    open("absent/file", "w")
except OSError:
    open(Path.cwd().parent / "above", "a")
"""
    (tmp_path / "here").mkdir()
    trace = tmp_path / "trace.txt"
    program = [*STRACE, "-o", str(trace), sys.executable, "-c", code]
    subprocess.run([*offline.OFFLINE, *program], cwd=tmp_path / "here", check=True)
    found = {
        path.relative_to(tmp_path).as_posix() for path in written(whole(trace), tmp_path / "here")
    }
    names = ["new", "folder", "folder/renamed", "link"]
    assert found == {*(f"here/{name}" for name in names), "above"}
