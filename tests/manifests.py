"""The Kubernetes manifests of a project, read and looked through."""

from __future__ import annotations

import configparser
import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from baking import BakedProject
from test_linters import said, tool

Bake = Callable[..., BakedProject]
Object = dict[str, Any]


def documents(text: str) -> list[Object]:
    """Return the documents of a YAML file."""
    return [*yaml.safe_load_all(text)]


def manifests(root: Path) -> list[Path]:
    """Return the files that describe objects."""
    return sorted(path for path in root.rglob("*.yaml") if path.name != "kustomization.yaml")


def objects_of(bake: Bake, folder: Path) -> Callable[..., list[Object]]:
    """Return ``objects(source, **answers)``: what stands in the files or an overlay makes.

    An overlay has all that it offers switched on, as its comments say.
    """

    def found(source: str, **answers: str) -> list[Object]:
        root = bake(platform="kubernetes", **answers).root / "deploy" / "kubernetes"
        if source == "files":
            return [each for path in manifests(root) for each in documents(path.read_text("utf-8"))]
        copy = folder / "kubernetes"
        shutil.copytree(root, copy, dirs_exist_ok=True)
        overlay = copy / "overlays" / source / "kustomization.yaml"
        text = overlay.read_text("utf-8")
        text = re.sub(r"^( *)# ( *- \.\./\.\./|components:)", r"\1\2", text, flags=re.MULTILINE)
        overlay.write_text(text, encoding="utf-8")
        code, text = said([tool("kubectl"), "kustomize", str(overlay.parent)], copy)
        assert code == 0, text
        return documents(text)

    return found


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """Return the objects of some kinds."""
    return [each for each in objects if each["kind"] in kinds]


def template_of(each: Object) -> Object:
    """Return the pod that a Deployment or a CronJob makes."""
    spec = each["spec"] if each["kind"] == "Deployment" else each["spec"]["jobTemplate"]["spec"]
    pod: Object = spec["template"]
    return pod


def pods(objects: list[Object]) -> list[tuple[Object, Object]]:
    """Return the spec of every pod, and its one container."""
    specs = [template_of(each)["spec"] for each in of_kind(objects, "Deployment", "CronJob")]
    assert specs
    assert [len(spec["containers"]) for spec in specs] == [1] * len(specs)
    return [(spec, spec["containers"][0]) for spec in specs]


def run(project: BakedProject, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the project's command."""
    command = [sys.executable, "-m", project.package, *arguments]
    return subprocess.run(
        command, cwd=project.root, env=environment(project), capture_output=True, encoding="utf-8"
    )


def environment(project: BakedProject) -> dict[str, str]:
    """Return the variables with which a project's command runs from its source."""
    own = {"PYTHONPATH": str(project.root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


@functools.cache
def settings_of(project: Path, package: str, *overrides: str) -> configparser.ConfigParser:
    """Return what `config show` prints; a setting that does not exist ends the test."""
    options = [word for each in overrides for word in ("--set", each)]
    done = run(BakedProject(project, {}), "config", "show", *options)
    assert done.returncode == 0, done.stderr
    found = configparser.ConfigParser(interpolation=None)
    found.read_string(done.stdout)
    return found


def mounts(container: Object) -> list[str]:
    """Return where a container may write."""
    return [m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")]
