"""The images and what starts them: what they hold, who they run as, what they answer."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from baking import BakedProject, bake_project
from test_linters import said, tool

Bake = Callable[..., BakedProject]


def names(requirements: list[str]) -> set[str]:
    """Return the distributions that requirements name."""
    return {re.split(r"[\[<>=!~; ]", text, maxsplit=1)[0].lower() for text in requirements}


def serve_requirements(project: BakedProject) -> set[str]:
    """Return what deploy/serve.txt lists."""
    lines = project.text("deploy/serve.txt").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_the_service_is_installed_from_a_part_of_what_the_project_depends_on(bake: Bake) -> None:
    project = bake(serving="rest")
    listed = serve_requirements(project)
    document = tomllib.loads(project.text("pyproject.toml"))["project"]
    assert listed < names(document["dependencies"])
    pinned = {line.partition("==")[0] for line in project.text("constraints.txt").splitlines()}
    assert listed - pinned == set()
    assert listed & {"pandas", "scikit-learn", "scipy", "onnx", "skl2onnx", "skops"} == set()


def test_compose_file_follows_its_schema(bake: Bake) -> None:
    command = [tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "compose.yaml"]
    assert said(command, bake(serving="rest").root) == (0, "ok -- validation done")


def test_compose_starts_hardened_services_with_pinned_images_and_no_secret(bake: Bake) -> None:
    project = bake(serving="rest")
    text = project.text("compose.yaml")
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    assert set(services) == {"serving", "prometheus", "grafana"}
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        if "build" not in service:
            assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"]), name
        for volume in service["volumes"]:
            path = volume.partition(":")[0]
            if path.startswith("."):
                assert (project.root / path).exists() and volume.endswith(":ro"), volume
    serving = services["serving"]
    assert serving["read_only"] is True and serving["tmpfs"] == ["/tmp"]  # noqa: S108
    assert serving["build"]["target"] == "serve"
    # What is secret comes from the environment, and nothing starts without it.
    for secret in ("SERVING_KEYS", "GRAFANA_PASSWORD"):
        assert re.search(rf"\$\{{{secret}:\?", text), secret
        assert not re.search(rf"{secret}(: |=)[\w]", text), secret
    assert services["grafana"]["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    ignored = project.text(".gitignore").splitlines()
    assert ".env" in ignored


def test_the_image_of_the_service_holds_only_what_is_in_service(bake: Bake) -> None:
    text = bake(serving="rest").text("Dockerfile")
    last = text[text.index("AS serve\n") :]
    assert re.findall(r"^COPY .*", last, flags=re.MULTILINE) == [
        "COPY --from=release /opt/venv /opt/venv",
        "COPY --from=release /release ./",
    ]
    assert "champion export /release/models" in text
    assert re.findall(r"^USER .*", last, flags=re.MULTILINE) == ["USER 10001"]


class Builder:
    """Builds images without a daemon, over a base that is made here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running = Path(tempfile.mkdtemp())  # podman refuses a path of over 50 characters
        store = ["--root", str(folder / "store"), "--runroot", str(self.running)]
        self.options = ["--storage-driver", "overlay", *store]

    def call(self, program: str, *words: str | Path) -> str:
        """Run buildah or podman and return what it prints."""
        done = subprocess.run(
            [tool(program), *self.options, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout.strip()

    def make_base(self) -> None:
        """Make what `FROM python:3.11-slim` stands for: Debian with Python 3.11."""
        root = self.folder / "rootfs"
        wanted = "python3,python3-pip,python3-venv,ca-certificates,libgomp1"
        index = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
        mirror = subprocess.run(index, check=True, capture_output=True, encoding="utf-8").stdout
        command = [tool("debootstrap"), "--variant=minbase", f"--include={wanted}", "bookworm"]
        code, text = said([*command, str(root), mirror.split()[0]], self.folder)
        assert code == 0, text[-2000:]
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        (root / "usr/bin/python").symlink_to("python3")
        shutil.rmtree(root / "var/cache/apt")
        archive = self.folder / "base.tar"
        left_out = [f"--exclude=./{name}/*" for name in ("proc", "sys", "dev")]
        subprocess.run(["tar", "-C", root, *left_out, "-cf", archive, "."], check=True)
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        base = "docker.io/library/python:3.11-slim"
        self.call("podman", "import", "--change", f"ENV PATH={path}", archive, base)
        shutil.rmtree(root)
        archive.unlink()

    def fetch_packages(self, project: BakedProject) -> None:
        """Lay the packages ready that the builds install: pip finds its index here, not there."""
        document = tomllib.loads(project.text("pyproject.toml"))
        wanted = [*document["build-system"]["requires"], *document["project"]["dependencies"]]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
        where = ["--python-version", "3.11", "--dest", str(self.folder / "wheels")]
        pins = ["--constraint", str(project.root / "constraints.txt")]
        code, text = said([*pip, *where, *pins, *wanted], self.folder)
        assert code == 0, text[-2000:]
        settings = "[global]\nno-index = true\nfind-links = /wheels\n"
        (self.folder / "pip.conf").write_text(settings, encoding="utf-8")

    def build(self, project: BakedProject, target: str) -> str:
        """Build one target of the project's Dockerfile; return the image's name."""
        image = f"localhost/{project.root.name}-{target}"
        options = ["--isolation", "chroot", "--pull-never", "--format", "docker", "--layers"]
        mounts = ["--volume", f"{self.folder / 'wheels'}:/wheels:ro"]
        mounts += ["--volume", f"{self.folder / 'pip.conf'}:/etc/pip.conf:ro"]
        words = [*options, *mounts, "--target", target, "--tag", image]
        self.call("buildah", "bud", *words, project.root)
        return image

    def megabytes(self, image: str) -> float:
        """Return the size of an image without its base."""
        layers = json.loads(self.call("podman", "history", "--format", "json", image))
        return float(sum(layer["size"] for layer in layers[:-1])) / 1e6


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """A builder whose base is made, or a skip; its images are gone afterwards."""
    for program in ("buildah", "podman", "debootstrap", "apt-get"):
        tool(program)
    if os.geteuid() != 0:
        pytest.skip("debootstrap needs root")
    builder = Builder(tmp_path_factory.mktemp("images"))
    builder.make_base()
    yield builder
    # The store is left mounted, so that nobody could delete it.
    subprocess.run(["umount", builder.folder / "store" / "overlay"], capture_output=True)
    shutil.rmtree(builder.folder)
    shutil.rmtree(builder.running)


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """A project that has run, with more in models/ than is in service."""
    answers = {"serving": "rest", "project_slug": "imaged"}
    project = bake_project(template, tmp_path_factory.mktemp("imaged"), answers)
    run_command(project, "run", "--set", "model.candidates=linear", "--set", "model.folds=0")
    stray = project.root / "models" / "0badbeef"
    stray.mkdir()
    (stray / "model.skops").write_bytes(b"not in service")
    # As after a clone, and a run, of somebody whose umask is 077.
    for path in project.root.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    return project


def run_command(project: BakedProject, *words: str) -> str:
    """Run the project's command line from its source."""
    done = subprocess.run(
        [sys.executable, "-m", project.package, *words],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(project.root / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def image(builder: Builder, project: BakedProject) -> str:
    """The image of the service."""
    builder.fetch_packages(project)
    return builder.build(project, "serve")


class Container:
    """A container of an image; commands in it run as its user."""

    def __init__(self, builder: Builder, image: str) -> None:
        self.builder = builder
        self.name = builder.call("buildah", "from", "--pull-never", image).splitlines()[-1]

    def command(self, *words: str) -> list[str]:
        """Return the command that runs words inside."""
        start = [tool("buildah"), *self.builder.options, "run", "--isolation", "chroot"]
        return [*start, self.name, "--", *words]

    def run(self, *words: str) -> str:
        """Return what a command inside prints."""
        done = subprocess.run(self.command(*words), capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def container(builder: Builder, image: str) -> Iterator[Container]:
    found = Container(builder, image)
    yield found
    builder.call("buildah", "rm", found.name)


@pytest.mark.modules
def test_the_image_is_small_and_its_user_may_write_logs_alone(
    container: Container, builder: Builder, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert container.run("id", "-u") == "10001"
    find = "find / -xdev -writable -not -type l -not -path '/dev/*' 2>/dev/null || true"
    writable = container.run("sh", "-c", find).split()
    own = {path for path in writable if not path.startswith(("/proc", "/sys"))}
    assert own == {"/tmp", "/var/tmp", "/run/lock", "/project/logs"}  # noqa: S108
    installed = container.run("ls", "/opt/venv/lib/python3.11/site-packages").split()
    heavy = {"pandas", "sklearn", "scipy", "onnx", "matplotlib", "skops", "pip"}
    assert heavy & set(installed) == set()
    size = builder.megabytes(image)
    with capsys.disabled():
        print(f"\nThe image of the service: {size:.0f} MB over its base.")
    assert size < 450


@pytest.mark.modules
def test_the_image_holds_the_models_in_service_and_says_how_it_is_watched(
    container: Container, builder: Builder, image: str, project: BakedProject
) -> None:
    champion = json.loads((project.root / "models/champion.json").read_text(encoding="utf-8"))
    assert sorted(container.run("ls", "/project/models").split()) == sorted(
        [champion["run_id"], "champion.json"]
    )
    inspected = builder.call("buildah", "inspect", "--type", "image", image)
    settings = json.loads(inspected)["Docker"]["config"]
    assert settings["User"] == "10001"
    assert "/readyz" in settings["Healthcheck"]["Test"][-1]
    assert settings["Volumes"] == {"/project/logs": {}}
    assert settings["Cmd"] == ["serve", "--host", "0.0.0.0", "--port", "8000"]  # noqa: S104


def ask(port: int, path: str, body: Any = None) -> Any:
    """Return what the service answers."""
    request = urllib.request.Request(  # noqa: S310
        f"http://127.0.0.1:{port}{path}",
        None if body is None else json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310
        return json.load(reply)


@pytest.mark.modules
def test_the_server_inside_answers_like_the_model(
    container: Container, builder: Builder, image: str, project: BakedProject, tmp_path: Path
) -> None:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = int(trial.getsockname()[1])
    settings = json.loads(builder.call("buildah", "inspect", "--type", "image", image))["Docker"][
        "config"
    ]
    # As the image starts, at a port that is free here; its health check as it is, at that port.
    started = [*settings["Entrypoint"], *settings["Cmd"][:-1], str(port)]
    check = [word.replace(":8000", f":{port}") for word in settings["Healthcheck"]["Test"][1:]]
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(container.command(*started), stdout=log, stderr=log)
    try:
        wait_until_ready(process, port, tmp_path / "log")
        container.run(*check)
        description = ask(port, "/openapi.json")
        content = description["paths"]["/predict"]["post"]["requestBody"]["content"]
        row = example_row(content["application/json"])
        (tmp_path / "row.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
        run_command(project, "predict", str(tmp_path / "row.jsonl"), str(tmp_path / "out.jsonl"))
        own = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))
        answer = ask(port, "/predict", {"rows": [row]})["predictions"][0]
        assert answer["prediction"] == own["prediction"]
        for name, share in answer["probability"].items():
            assert share == pytest.approx(own[f"probability_{name}"], abs=1e-6)
        assert ask(port, "/explain", {"row": row})["columns"]
    finally:
        end_inside(process)
        log.close()
    assert container.run("sh", "-c", "ls /project/logs/predictions").endswith(".parquet")


def example_row(content: dict[str, Any]) -> dict[str, Any]:
    """Return the row of the API's own example."""
    example = content.get("example") or next(iter(content["examples"].values()))["value"]
    found: dict[str, Any] = example["rows"][0]
    return found


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until the service has loaded its model."""
    for _ in range(200):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            ask(port, "/readyz")
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8"))


def end_inside(process: subprocess.Popen[bytes]) -> None:
    """End what runs in a container as `docker stop` does, by SIGTERM to it; buildah then ends."""
    below = [process.pid]
    for parent in below:
        # Of each of its threads: buildah starts its processes from any.
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            below += [int(pid) for pid in children.read_text(encoding="utf-8").split()]
    inside = [
        pid
        for pid in below
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"/opt/venv/bin/python")
    ]
    os.kill(inside[0], signal.SIGTERM)
    process.wait(timeout=60)


@pytest.mark.modules
def test_the_image_for_training_runs_its_commands(
    builder: Builder, project: BakedProject, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the one for serving, whose packages it needs, and more."""
    train = builder.build(project, "train")
    container = Container(builder, train)
    try:
        assert container.run("id", "-u") == "10001"
        assert "source" in container.run("imaged", "config", "show")
        size = builder.megabytes(train)
        with capsys.disabled():
            print(f"\nThe image for training: {size:.0f} MB over its base.")
        assert size > 1.5 * builder.megabytes(image)
    finally:
        builder.call("buildah", "rm", container.name)


@pytest.mark.modules
def test_a_model_without_onnx_brings_the_packages_of_training(
    builder: Builder, project: BakedProject, image: str, tmp_path: Path
) -> None:
    other = BakedProject(tmp_path / project.root.name, project.answers)
    shutil.copytree(project.root, other.root)
    run_id = json.loads((other.root / "models/champion.json").read_text(encoding="utf-8"))["run_id"]
    path = other.root / "models" / run_id / "onnx.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    without = {**facts, "equal": False, "reason": "as the test wants it"}
    path.write_text(json.dumps(without), encoding="utf-8")
    container = Container(builder, builder.build(other, "serve"))
    try:
        assert container.run("imaged", "serve", "--check") == f"{run_id}: can be served here"
        installed = container.run("ls", "/opt/venv/lib/python3.11/site-packages").split()
        assert {"pandas", "sklearn", "skops"} <= set(installed)
    finally:
        builder.call("buildah", "rm", container.name)
