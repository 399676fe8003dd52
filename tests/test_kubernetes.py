"""The manifests for Kubernetes: valid, hardened, and in keeping with the commands that they run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from answers import describe
from baking import BakedProject
from kubernetes_validate import SchemaNotFoundError
from manifests import (
    Bake,
    Object,
    manifests,
    mounts,
    objects_of,
    of_kind,
    pods,
    run,
    settings_of,
    template_of,
)
from test_linters import YAML_RULES, said, tool

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
    return objects_of(bake, tmp_path)


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
