"""The fixtures of the template's tests: a clean copy of the template, and what is baked from it."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from answers import SKELETON, TEMPLATE, skeleton_files
from baking import BakedProject, bake_project, run_git
from earlier import EARLIER, PACKAGE
from xdist.scheduler import LoadFileScheduling

# For tests that import ONNX Runtime themselves, maybe before the package that switches this off.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


# What measures time, and what fills memory or the container store: never two of them at once.
ALONE = {
    *("test_image.py", "test_interruption.py", "test_kubernetes_running.py", "test_operation.py"),
    *("test_router.py", "test_serving_process.py"),
}


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """The tests of a file stay on one worker, since they share what it sets up."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "alone" if Path(file).name in ALONE else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    """Schedule the slow tests, which `make test-modules` hands out by file."""
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session", autouse=True)
def neutral_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings of the person who runs the tests out of git and cookiecutter."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "gitconfig").write_text(
        "[user]\nname = Test Person\nemail = test@example.invalid\n", encoding="utf-8"
    )
    (folder / "cookiecutter.yaml").write_text(
        f"cookiecutters_dir: {folder / 'templates'}\nreplay_dir: {folder / 'replay'}\n",
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patched:
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            patched.delenv(name)
        patched.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patched.setenv("GIT_CONFIG_GLOBAL", str(folder / "gitconfig"))
        patched.setenv("COOKIECUTTER_CONFIG", str(folder / "cookiecutter.yaml"))
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of the template, as a git repository with one commit."""
    copy = tmp_path_factory.mktemp("template") / "ml-preflight"
    copy.mkdir()
    code = [*(TEMPLATE / "hooks").glob("*.py"), *(TEMPLATE / "updater").glob("*.py")]
    parts = [f"{path.parent.name}/{path.name}" for path in code]
    skeleton = [f"{SKELETON.name}/{name}" for name in skeleton_files()]
    for name in ["cookiecutter.json", *parts, *skeleton]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TEMPLATE / name, copy / name)
    run_git(copy, "init", "--quiet", "--initial-branch=main", "--template=")
    # The skeleton's own .gitignore stands below the root: what it ignores is part of the template.
    run_git(copy, "add", "--all", "--force")
    run_git(copy, "commit", "--quiet", "--message", "template")
    return copy


@pytest.fixture(scope="session")
def bake(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., BakedProject]:
    """``bake(task="regression", ...)``: one project per set of answers, shared: left as it is."""
    baked: dict[frozenset[tuple[str, str]], BakedProject] = {}

    def baker(**answers: str) -> BakedProject:
        key = frozenset(answers.items())
        if key not in baked:
            baked[key] = bake_project(template, tmp_path_factory.mktemp("bake"), answers)
        return baked[key]

    return baker


@pytest.fixture(scope="session")
def bake_into(template: Path) -> Callable[..., BakedProject]:
    """``bake_into(folder, ...)``: a project of the test's own."""

    def baker(folder: Path, **answers: str) -> BakedProject:
        folder.mkdir(parents=True, exist_ok=True)
        return bake_project(template, folder, answers)

    return baker


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as the earlier version had it."""
    show = ["git", "-C", str(TEMPLATE), "archive", "--format=tar", EARLIER, PACKAGE]
    done = subprocess.run(show, capture_output=True)
    if done.returncode:
        pytest.skip("the earlier version is not in the history of this clone")
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / PACKAGE
