"""The manifests for Kubernetes: valid, hardened, and in keeping with the commands that they run."""

from __future__ import annotations

import configparser
import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from answers import describe
from baking import BakedProject, bake_project
from kubernetes_validate import SchemaNotFoundError
from test_linters import YAML_RULES, said, tool

Bake = Callable[..., BakedProject]
Object = dict[str, Any]

VERSION = kubernetes_validate.latest_version()
# Names as long as a slug can be, with what a name in Kubernetes may not hold.
LONG = "a_very-long_name-that_has-sixty-characters_in-it_all-told-60"
CASES = [
    {"serving": serving, "monitoring": monitoring, "project_slug": slug}
    for serving, monitoring, slug in [
        ("rest", "no", "m"),
        ("rest", "yes", LONG),
        ("batch", "no", LONG),
        ("batch", "yes", "m"),
    ]
]
SOURCES = ["files", "staging", "production"]
over_all = pytest.mark.parametrize("answers", CASES, ids=describe)
over_sources = pytest.mark.parametrize("source", SOURCES)
# After SIGTERM the logs are written: two threads and a process that are waited for.
LOGS_SECONDS = 24


@pytest.fixture
def objects(bake: Bake, tmp_path: Path) -> Callable[..., list[Object]]:
    """``objects(source, **answers)``: what stands in the files, or is made of them for an overlay.

    An overlay has all that it offers switched on, as its comments say.
    """

    def found(source: str, **answers: str) -> list[Object]:
        root = bake(platform="kubernetes", **answers).root / "deploy" / "kubernetes"
        if source == "files":
            return [each for path in manifests(root) for each in documents(path.read_text("utf-8"))]
        copy = tmp_path / "kubernetes"
        shutil.copytree(root, copy, dirs_exist_ok=True)
        overlay = copy / "overlays" / source / "kustomization.yaml"
        text = overlay.read_text("utf-8")
        text = re.sub(r"^( *)# ( *- \.\./\.\./|components:)", r"\1\2", text, flags=re.MULTILINE)
        overlay.write_text(text, encoding="utf-8")
        code, text = said([tool("kubectl"), "kustomize", str(overlay.parent)], copy)
        assert code == 0, text
        return documents(text)

    return found


def documents(text: str) -> list[Object]:
    """Return the documents of a YAML file."""
    return [*yaml.safe_load_all(text)]


def manifests(root: Path) -> list[Path]:
    """Return the files that describe objects."""
    return sorted(path for path in root.rglob("*.yaml") if path.name != "kustomization.yaml")


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


@over_all
def test_every_file_follows_the_schema_of_kubernetes(
    objects: Callable[..., list[Object]], answers: dict[str, str]
) -> None:
    for each in objects("files", **answers):
        kubernetes_validate.validate(each, VERSION, strict=True)


@over_all
@pytest.mark.parametrize("source", SOURCES[1:])
def test_every_object_of_an_overlay_follows_the_schema(
    objects: Callable[..., list[Object]], answers: dict[str, str], source: str
) -> None:
    found = objects(source, **answers)
    for each in found:
        kubernetes_validate.validate(each, VERSION, strict=True)
    wanted = {"NetworkPolicy"} | (
        {"Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Service"}
        if answers["serving"] == "rest"
        else {"CronJob", "PersistentVolumeClaim"}
    )
    if answers["monitoring"] == "yes":
        wanted |= {"CronJob", "PersistentVolumeClaim"}
    assert {each["kind"] for each in found} == wanted


def test_what_is_wrong_is_found(objects: Callable[..., list[Object]]) -> None:
    """The schemas know fields, types and versions."""
    deployment = of_kind(objects("files", serving="rest"), "Deployment")[0]
    spec = deployment["spec"]
    for wrong in (
        {**deployment, "apiVersion": "extensions/v1beta1"},
        {**deployment, "spec": {**spec, "replica": 2}},
        {**deployment, "spec": {**spec, "revisionHistoryLimit": "five"}},
    ):
        with pytest.raises((kubernetes_validate.ValidationError, SchemaNotFoundError)):
            kubernetes_validate.validate(wrong, VERSION, strict=True)


@over_all
def test_yamllint_finds_nothing(bake: Bake, answers: dict[str, str]) -> None:
    root = bake(platform="kubernetes", **answers).root
    command = [tool("yamllint"), "--strict", "--config-data", YAML_RULES, "deploy"]
    assert said(command, root) == (0, "")


@over_all
def test_every_file_is_named_by_a_kustomization(bake: Bake, answers: dict[str, str]) -> None:
    root = bake(platform="kubernetes", **answers).root / "deploy" / "kubernetes"
    named = {
        (path.parent / name).resolve()
        for path in root.rglob("kustomization.yaml")
        for name in yaml.safe_load(path.read_text("utf-8")).get("resources", [])
    }
    assert [path for path in manifests(root) if path.resolve() not in named] == []
    assert [path for path in named if not path.exists()] == []


def strings(value: Any) -> Iterator[tuple[str, str]]:
    """Yield every (key, text) below a value."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, str):
            yield key, inner
        yield from strings(inner)
    for inner in value if isinstance(value, list) else ():
        yield from strings(inner)


@over_all
@pytest.mark.parametrize("source", SOURCES[1:])
def test_names_fit(
    objects: Callable[..., list[Object]], answers: dict[str, str], source: str
) -> None:
    name = re.compile("[a-z0-9]([a-z0-9-]*[a-z0-9])?")
    found = objects(source, **answers)
    assert len({(each["kind"], each["metadata"]["name"]) for each in found}) == len(found)
    for each in found:
        # A CronJob's jobs get eleven characters more.
        longest = 52 if each["kind"] == "CronJob" else 63
        for key in ("name", "namespace"):
            text = each["metadata"][key]
            assert name.fullmatch(text), text
            assert len(text) <= longest, text
        labels = [*each["metadata"]["labels"].values()]
        assert [label for label in labels if not name.fullmatch(label) or len(label) > 63] == []
        for key, text in strings(each["spec"]):
            if key == "image":
                assert re.fullmatch(r"[a-z0-9.-]+(/[a-z0-9]+(-+[a-z0-9]+)*)+:[\w.-]+", text), text
                assert not text.endswith(":latest")
            if key in ("port", "targetPort"):
                assert len(text) <= 15, text


@over_all
@over_sources
def test_every_container_is_hardened(
    bake: Bake, objects: Callable[..., list[Object]], answers: dict[str, str], source: str
) -> None:
    dockerfile = bake(platform="kubernetes", **answers).text("Dockerfile")
    users = {int(user) for user in re.findall(r"^USER (\d+)$", dockerfile, flags=re.MULTILINE)}
    for spec, container in pods(objects(source, **answers)):
        (user,) = users
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": user,
            "fsGroup": user,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        resources = container["resources"]
        assert resources["requests"].keys() == resources["limits"].keys() == {"cpu", "memory"}
        assert resources["requests"]["memory"] == resources["limits"]["memory"]
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"emptyDir", "persistentVolumeClaim", "secret"}
        assert all(
            "sizeLimit" in each["emptyDir"] for each in spec["volumes"] if "emptyDir" in each
        )
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}
        assert "/tmp" in mounts(container)  # noqa: S108


@over_all
def test_the_arguments_are_those_of_the_command(
    bake: Bake, objects: Callable[..., list[Object]], answers: dict[str, str]
) -> None:
    project = bake(platform="kubernetes", **answers)
    stages = project.text("Dockerfile").split("\nFROM ")
    stage = next(s for s in stages if f" AS {stage_of(answers)}\n" in s)
    assert f'ENTRYPOINT ["{project.root.name}"]' in stage
    assert "WORKDIR /project" in stage
    for _, container in pods(objects("files", **answers)):
        arguments = container["args"]
        assert "command" not in container
        # The arguments are read before the help is shown.
        assert run(project, *arguments, "--help").returncode == 0, arguments
        assert run(project, *arguments, "--no-such-option", "--help").returncode == 2
        changed = [each.removeprefix("--set=") for each in arguments if each.startswith("--set=")]
        assert settings_of(project.root, project.package, *changed)


def stage_of(answers: dict[str, str]) -> str:
    """Return the stage of the Dockerfile that the documents build."""
    return "serve" if answers["serving"] == "rest" else "train"


REST = [case for case in CASES if case["serving"] == "rest"]
BATCH = [case for case in CASES if case["serving"] == "batch"]
over_rest = pytest.mark.parametrize("answers", REST, ids=describe)
over_batch = pytest.mark.parametrize("answers", BATCH, ids=describe)


@over_rest
@over_sources
def test_ports_times_and_sizes_are_those_of_the_settings(
    bake: Bake, objects: Callable[..., list[Object]], answers: dict[str, str], source: str
) -> None:
    project = bake(platform="kubernetes", **answers)
    serving = settings_of(project.root, project.package)["serving"]
    found = objects(source, **answers)
    (service,) = of_kind(found, "Service")
    (callers,) = [each for each in of_kind(found, "NetworkPolicy") if "ingress" in each["spec"]]
    for deployment in of_kind(found, "Deployment"):
        spec = template_of(deployment)["spec"]
        container = spec["containers"][0]
        (port,) = container["ports"]
        assert port["containerPort"] == int(serving["port"])
        assert service["spec"]["ports"][0]["targetPort"] == port["name"]
        assert callers["spec"]["ingress"][0]["ports"] == [{"port": port["name"]}]
        probes = [container[f"{name}Probe"] for name in ("startup", "readiness", "liveness")]
        assert {probe["httpGet"]["port"] for probe in probes} == {port["name"]}
        wait = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        grace = spec["terminationGracePeriodSeconds"]
        assert grace > wait + float(serving["seconds"]) + LOGS_SECONDS
        for volume in spec["volumes"]:
            if volume["name"] == "logs" and "emptyDir" in volume:
                room = int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi")) * 2**30
                assert room > int(serving["log_megabytes"]) * 1_000_000


@over_rest
@over_sources
def test_the_keys_are_a_file_of_a_secret_that_is_not_here(
    bake: Bake, objects: Callable[..., list[Object]], answers: dict[str, str], source: str
) -> None:
    project = bake(platform="kubernetes", **answers)
    found = objects(source, **answers)
    assert of_kind(found, "Secret") == []
    for deployment in of_kind(found, "Deployment"):
        spec = template_of(deployment)["spec"]
        container = spec["containers"][0]
        changed = [each.removeprefix("--set=") for each in container["args"] if "--set=" in each]
        keys = settings_of(project.root, project.package, *changed)["serving"]["keys"]
        where = Path(keys.removeprefix("file:"))
        (mount,) = [each for each in container["volumeMounts"] if each["name"] == "keys"]
        assert (mount["mountPath"], mount["readOnly"]) == (str(where.parent), True)
        (volume,) = [each for each in spec["volumes"] if each["name"] == "keys"]
        secret = volume["secret"]["secretName"]
        made = re.findall(r"create secret generic (\S+) --from-literal=(\w+)=", guide(project))
        assert made == [(secret, where.name)]


def guide(project: BakedProject) -> str:
    """Return the document about the manifests."""
    (name,) = [name for name in project.files() if name.startswith("docs/kubernetes")]
    return project.text(name)


@over_rest
@pytest.mark.parametrize("source", SOURCES[1:])
def test_selectors_find_the_pods_that_they_are_for(
    objects: Callable[..., list[Object]], answers: dict[str, str], source: str
) -> None:
    found = objects(source, **answers)
    stable, canary = of_kind(found, "Deployment")
    labels = [template_of(each)["metadata"]["labels"] for each in (stable, canary)]
    own = [each["spec"]["selector"]["matchLabels"] for each in (stable, canary)]
    assert [[one.items() <= two.items() for one in own] for two in labels] == [
        [True, False],
        [False, True],
    ]
    (service,), (budget,) = of_kind(found, "Service"), of_kind(found, "PodDisruptionBudget")
    policies = [each["spec"]["podSelector"] for each in of_kind(found, "NetworkPolicy")]
    shared = [service["spec"]["selector"], budget["spec"]["selector"]["matchLabels"]]
    for selector in [*shared, *(policy["matchLabels"] for policy in policies)]:
        assert [selector.items() <= each.items() for each in labels] == [True, True]
        assert len(selector) >= 1
    # Of the two policies one forbids all that the other does not allow.
    assert {tuple(each["spec"]["policyTypes"]) for each in of_kind(found, "NetworkPolicy")} == {
        ("Ingress", "Egress"),
        ("Ingress",),
    }
    assert [each for each in of_kind(found, "NetworkPolicy") if "egress" in each["spec"]] == []
    images = [template_of(each)["spec"]["containers"][0]["image"] for each in (stable, canary)]
    assert images[0] != images[1]
    assert images[0].rpartition(":")[0] == images[1].rpartition(":")[0]
    assert canary["spec"]["replicas"] >= 1


@over_rest
@pytest.mark.parametrize("source", SOURCES[1:])
def test_the_overlay_leaves_the_callers_labels_alone(
    objects: Callable[..., list[Object]], answers: dict[str, str], source: str
) -> None:
    """Labels among matchLabels would be set to the project's own, which nobody else has."""
    policies = of_kind(objects(source, **answers), "NetworkPolicy")
    (callers,) = [each for each in policies if "ingress" in each["spec"]]
    asked = [
        sorted(
            (kind, rule["key"], tuple(rule["values"]))
            for kind, selector in peer.items()
            for rule in selector["matchExpressions"]
        )
        for peer in callers["spec"]["ingress"][0]["from"]
    ]
    assert all(
        selector.keys() == {"matchExpressions"}
        for p in callers["spec"]["ingress"][0]["from"]
        for selector in p.values()
    )
    assert asked == [
        [("podSelector", "asks-models", ("yes",))],
        [("namespaceSelector", "asks-models", ("yes",))],
        [
            ("namespaceSelector", "kubernetes.io/metadata.name", ("monitoring",)),
            ("podSelector", "app.kubernetes.io/name", ("prometheus",)),
        ],
    ]


@over_rest
@pytest.mark.parametrize("source", SOURCES[1:])
def test_the_autoscaler_has_the_number_of_pods_to_itself_and_leaves_one_while_nodes_are_emptied(
    objects: Callable[..., list[Object]], answers: dict[str, str], source: str
) -> None:
    found = objects(source, **answers)
    stable, _ = of_kind(found, "Deployment")
    (scaler,), (budget,) = (
        of_kind(found, "HorizontalPodAutoscaler"),
        of_kind(found, "PodDisruptionBudget"),
    )
    target = scaler["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", stable["metadata"]["name"])
    assert "replicas" not in stable["spec"]
    least, most = scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]
    assert least < most
    if source == "production":
        assert least - budget["spec"]["maxUnavailable"] >= 2
    strategy = stable["spec"]["strategy"]["rollingUpdate"]
    assert (strategy["maxUnavailable"], strategy["maxSurge"]) == (0, 1)
    asked = template_of(stable)["spec"]["containers"][0]["resources"]["requests"]
    assert {metric["resource"]["name"] for metric in scaler["spec"]["metrics"]} <= asked.keys()


def test_production_is_larger_than_staging(objects: Callable[..., list[Object]]) -> None:
    sizes = []
    for source in SOURCES[1:]:
        found = objects(source, serving="rest")
        (scaler,) = of_kind(found, "HorizontalPodAutoscaler")
        limits = template_of(of_kind(found, "Deployment")[0])["spec"]["containers"][0]["resources"]
        memory = int(limits["limits"]["memory"].replace("Gi", "000").removesuffix("Mi"))
        sizes.append((scaler["spec"]["minReplicas"], float(limits["limits"]["cpu"]), memory))
    assert all(small < large for small, large in zip(*sizes, strict=True)), sizes


def test_with_monitoring_the_logs_are_those_that_are_monitored(
    objects: Callable[..., list[Object]],
) -> None:
    found = objects("production", serving="rest", monitoring="yes")
    (claim,) = of_kind(found, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    places = set()
    for spec, container in pods(found):
        (volume,) = [each for each in spec["volumes"] if "persistentVolumeClaim" in each]
        assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
        (mount,) = [m for m in container["volumeMounts"] if m["mountPath"] == "/project/logs"]
        places.add((mount["name"] == volume["name"], mount["subPath"]))
    assert places == {(True, "logs")}


@over_batch
@over_sources
def test_jobs_are_tried_again_only_where_that_can_help(
    objects: Callable[..., list[Object]], answers: dict[str, str], source: str
) -> None:
    found = objects(source, **answers)
    (claim,) = of_kind(found, "PersistentVolumeClaim")
    jobs = of_kind(found, "CronJob")
    assert len(jobs) == (2 if answers["monitoring"] == "yes" else 1)
    for each in jobs:
        spec = template_of(each)["spec"]
        container = spec["containers"][0]
        assert (each["spec"]["concurrencyPolicy"], spec["restartPolicy"]) == ("Forbid", "Never")
        ignore, fail = each["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
        assert ignore["action"] == "Ignore"
        assert fail["onExitCodes"]["containerName"] == container["name"]
        # 1 is an alert of `monitor`; 2 a fault that people have to mend.
        codes = {"predict": [2], "monitor": [1, 2]}[container["args"][0]]
        assert (fail["action"], fail["onExitCodes"]["values"]) == ("FailJob", codes)
        claims = [
            each["persistentVolumeClaim"] for each in spec["volumes"] if "emptyDir" not in each
        ]
        assert claims == [{"claimName": claim["metadata"]["name"]}]


@pytest.mark.parametrize("serving", ["rest", "batch"])
def test_the_guide_names_what_is_there(
    bake: Bake, objects: Callable[..., list[Object]], serving: str
) -> None:
    """Names of objects, labels and folders of a document are those of the manifests."""
    project = bake(platform="kubernetes", serving=serving)
    text = guide(project)
    found = objects("production", serving=serving)
    prefix = project.root.name
    names = {each["metadata"]["name"] for each in found}
    wanted = {prefix + name for name in re.findall(r"NAME(-[a-z-]+[a-z])", text)}
    assert wanted
    assert wanted <= names
    selected = re.findall(r"--selector (app\.\S+)=(\S+)", text)
    labels = [template_of(each)["metadata"]["labels"] for each in of_kind(found, "Deployment")]
    assert all(each[key] == value for key, value in selected for each in labels)
    for folder in re.findall(r"deploy/kubernetes[\w/.-]*[\w]", text):
        assert (project.root / folder).exists(), folder
    assert f"docker build --target {stage_of({'serving': serving})} " in text


# ------------------------------------------------------------------------ the commands, as they run


@pytest.fixture(scope="module")
def trained(template: Path, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """A project with a model in service."""
    answers = {"serving": "rest", "monitoring": "yes", "platform": "kubernetes"}
    project = bake_project(template, tmp_path_factory.mktemp("trained"), answers)
    options = ["--set=model.candidates=linear", "--set=model.folds=0", "--until=evaluate"]
    done = run(project, "run", *options)
    assert done.returncode == 0, done.stderr
    return project


def state(project: BakedProject) -> dict[str, tuple[int, int]]:
    """Return when each file was changed, and its size."""
    found = [(name, (project.root / name).stat()) for name in project.files()]
    return {name: (stat.st_mtime_ns, stat.st_size) for name, stat in found}


def written(project: BakedProject, before: dict[str, tuple[int, int]]) -> set[str]:
    """Return the folders below the project with files that are new or changed."""
    changed = {name for name, stat in state(project).items() if before.get(name) != stat}
    return {str(Path("/project", name).parent) for name in changed}


def mounts(container: Object) -> list[str]:
    """Return where a container may write."""
    return [m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")]


def lie_below(folders: set[str], places: list[str]) -> bool:
    """Tell whether every folder is one of the places, or below one."""
    return all(any(Path(folder).is_relative_to(place) for place in places) for folder in folders)


@pytest.mark.modules
def test_the_jobs_write_only_where_they_may(
    trained: BakedProject, objects: Callable[..., list[Object]]
) -> None:
    """The rest of the file system is read-only."""
    data = trained.root / "data"
    shutil.copy(next((data / "test").glob("*.parquet")), data / "new.parquet")
    for _, container in pods(objects("files", serving="batch", monitoring="yes")):
        before = state(trained)
        done = run(trained, *container["args"])
        assert done.returncode == 0, done.stderr
        found = written(trained, before)
        assert found
        assert lie_below(found, mounts(container)), (found, mounts(container))


class Started:
    """The service of a trained project, with the arguments that the manifest gives it."""

    def __init__(self, project: BakedProject, arguments: list[str], folder: Path) -> None:
        keys = next(each for each in arguments if "serving.keys" in each).partition("file:")[2]
        self.folder = folder
        (folder / Path(keys).name).write_text("k" * 20 + "\n", encoding="utf-8")
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            self.port = trial.getsockname()[1]
        own = [each.replace(str(Path(keys).parent), str(folder)) for each in arguments]
        own = [each.replace("0.0.0.0", "127.0.0.1") for each in own]  # noqa: S104
        command = [sys.executable, "-m", project.package, *own, f"--port={self.port}"]
        self.process = subprocess.Popen(
            command, cwd=project.root, env=environment(project), stdout=subprocess.DEVNULL
        )

    def status(self, path: str, body: bytes | None = None, **headers: str) -> int:
        """Ask, and return the status; 0 where nobody answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body)
        for name, value in {"content-type": "application/json", **headers}.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


@pytest.mark.modules
def test_the_service_answers_its_probes_asks_for_the_key_and_ends_in_time(
    trained: BakedProject, objects: Callable[..., list[Object]], tmp_path: Path
) -> None:
    ((spec, container),) = [
        (spec, container)
        for spec, container in pods(objects("files", serving="rest"))
        if container["args"][0] == "serve"
    ]
    before = state(trained)
    secret = tmp_path / "secret"
    secret.mkdir()
    service = Started(trained, container["args"], secret)
    try:
        startup = container["startupProbe"]
        patience = time.monotonic() + startup["periodSeconds"] * startup["failureThreshold"]
        while service.status(startup["httpGet"]["path"]) != 200:
            assert time.monotonic() < patience
            time.sleep(0.1)
        for name in ("readiness", "liveness"):
            assert service.status(container[f"{name}Probe"]["httpGet"]["path"]) == 200
        assert service.status("/predict", b'{"rows": []}') == 401
        assert service.status("/predict", b'{"rows": []}', x_api_key="k" * 20) == 422
        # A Secret that changes is taken over.
        (secret / "keys").write_text("n" * 20 + "\n", encoding="utf-8")
        patience = time.monotonic() + 20
        while service.status("/predict", b'{"rows": []}', x_api_key="n" * 20) != 422:
            assert time.monotonic() < patience
            time.sleep(0.2)
        rows = json.dumps({"rows": [example_row(trained)]}).encode()
        assert service.status("/predict", rows, x_api_key="n" * 20) == 200
    finally:
        began = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(timeout=60)
    left = spec["terminationGracePeriodSeconds"]
    left -= container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert time.monotonic() - began < left
    assert written(trained, before) == {"/project/logs/predictions"}
    assert lie_below(written(trained, before), mounts(container))


def example_row(project: BakedProject) -> dict[str, Any]:
    """Return a row that the service can score."""
    import pandas as pd

    table = next((project.root / "data" / "test").glob("*.parquet"))
    schema = yaml.safe_load(project.text("data/schema.yaml"))
    frame = pd.read_parquet(table).head(1)
    target = settings_of(project.root, project.package)["data"]["target"]
    names = [column["name"] for column in schema["columns"] if column["name"] != target]
    row: dict[str, Any] = json.loads(frame[names].to_json(orient="records"))[0]
    return row
