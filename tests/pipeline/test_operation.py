"""Alerts, dashboard and runbook: they fit the service's metrics, and Prometheus fires them."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from answers import SKELETON
from asking import JSON_TYPE, Asked, Server, as_rows, make_model
from baking import BakedProject
from mlproj.bundle import champion
from mlproj.data.split import load_split
from prometheus_client.parser import text_string_to_metric_families
from test_linters import said, tool

Bake = Callable[..., BakedProject]

RULES_FILE = SKELETON / "deploy" / "prometheus" / "alerts.yml"
RULES: dict[str, Any] = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES_FILE.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}
DASHBOARD: dict[str, Any] = json.loads(
    (SKELETON / "deploy" / "grafana" / "serving.json").read_text(encoding="utf-8")
)
RUNBOOK = (SKELETON / "docs" / "runbook.md").read_text(encoding="utf-8")
# What Prometheus itself adds.
PROMETHEUS = {"up": set(), "ALERTS": {"alertname", "alertstate"}}
TARGET_LABELS = {"job", "instance"}

SAMPLE = {"source": "sample:300", "id": "customer_id", "target": "churned"}


@pytest.fixture(scope="module")
def project(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with a model in service."""
    folder = tmp_path_factory.mktemp("watched")
    project = make_project(folder, data=SAMPLE, model={"candidates": "linear", "folds": 0})
    run_id = make_model(project)
    champion.release(project, run_id, "promote")
    return project


@pytest.fixture(scope="module")
def rows(project: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = as_rows(
        champion.load_champion(project), load_split(project, "test").head(5)
    )
    return found


@pytest.fixture(scope="module")
def exported(project: Any, rows: list[Any]) -> dict[str, set[str]]:
    """The labels of each metric that the service really shows, by the name that queries use."""
    with Asked(project).running() as asked:
        assert asked.predict(rows).status == 200
        assert asked.predict([{}]).status == 422
        asked.service.metrics.show_shares({"0badbeef": 1.0})
        page = asked.ask("GET", "/metrics").body.decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def queries() -> list[tuple[str, str]]:
    """Return every query with the name of what asks it."""
    rules = [(name, rule["expr"]) for name, rule in RULES.items()]
    panels = [
        (panel["title"], target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ]
    return rules + panels


def metrics_in(query: str) -> set[str]:
    """Return the names of the metrics that a query asks for."""
    bare = re.sub(r'"[^"]*"', "", query)
    return set(re.findall(r"\b(serving_\w+|up|ALERTS)\b(?!\s*\()", bare))


def labels_in(query: str) -> set[str]:
    """Return the labels that a query selects or groups by."""
    selected = {
        label
        for inside in re.findall(r"\{([^}]*)\}", re.sub(r'"[^"]*"', '""', query))
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside)
    }
    grouped = re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", query)
    return selected | {label.strip() for group in grouped for label in group.split(",")}


@pytest.mark.parametrize(("asker", "query"), queries(), ids=lambda value: str(value)[:30])
def test_every_query_asks_for_what_the_service_exports(
    exported: dict[str, set[str]], asker: str, query: str
) -> None:
    known = {**exported, **PROMETHEUS}
    names = metrics_in(query)
    assert names, query
    assert names - set(known) == set()
    labels = TARGET_LABELS.union(*(known[name] for name in names))
    assert labels_in(query) - labels == set()


def test_every_metric_is_explained_and_shown(exported: dict[str, set[str]]) -> None:
    """The table of docs/serving.md has each, and nothing else."""
    table = (SKELETON / "docs" / "serving.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(serving_\w+)`", table))
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported}
    assert told == {name for name in plain if not name.endswith("_created")}
    shown = set().union(*(metrics_in(query) for _, query in queries()))
    assert {re.sub(r"_bucket$", "", name) for name in shown if name in exported} == told


def test_every_alert_says_all_that_its_reader_needs() -> None:
    assert RULES
    for name, rule in RULES.items():
        assert re.fullmatch(r"\d+[smh]", rule["for"]), name
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        notes = rule["annotations"]
        assert set(notes) == {"summary", "description", "runbook"}, name
        assert notes["summary"].endswith(".") and notes["description"].endswith("."), name
        assert notes["runbook"] == f"docs/runbook.md#{name.lower()}"


def test_every_alert_has_a_section_of_the_runbook_and_the_other_way_round() -> None:
    sections = dict(re.findall(r"^## (.+)\n\n\*(\w+)\.\*", RUNBOOK, flags=re.MULTILINE))
    headings = re.findall(r"^## (.+)$", RUNBOOK, flags=re.MULTILINE)
    assert headings == [*RULES]
    severity = {name: rule["labels"]["severity"].capitalize() for name, rule in RULES.items()}
    assert sections == severity
    for text in RUNBOOK.split("\n## ")[1:]:
        assert len(re.findall(r"^\d\. ", text, flags=re.MULTILINE)) >= 2, text[:20]


def test_the_dashboard_is_whole_and_the_runbook_names_its_panels() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    source = yaml.safe_load(
        (SKELETON / "deploy" / "grafana" / "datasource.yml").read_text(encoding="utf-8")
    )["datasources"][0]
    # Asked for where the dashboard is imported by hand; else the only one there is.
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")
    assert variable["query"] == source["type"]
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["type"] in ("stat", "timeseries")
        assert panel["title"] and panel["description"]
        assert panel["datasource"] == {"type": source["type"], "uid": "${datasource}"}
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in own) < 24 and not cells & own
        cells |= own
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
            assert named <= labels_in(target["expr"])
    titles = {panel["title"] for panel in panels}
    named = set(re.findall(r"(?<!\*)\*([^*\n]+[^.])\*", RUNBOOK))
    assert named - titles == {DASHBOARD["title"]}


@pytest.mark.parametrize("platform", ["docker", "local"])
def test_promtool_accepts_configuration_and_rules(bake: Bake, platform: str) -> None:
    root = bake(serving="rest", platform=platform).root / "deploy" / "prometheus"
    code, text = said([tool("promtool"), "check", "config", "prometheus.yml"], root)
    assert code == 0, text
    assert f"SUCCESS: {len(RULES)} rules found" in text
    jobs = yaml.safe_load((root / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["serving"]
    target = {"docker": "serving:8000", "local": "localhost:8000"}[platform]
    assert jobs[0]["static_configs"] == [{"targets": [target]}]


def test_promtool_accepts_the_dashboards_queries(tmp_path: Path) -> None:
    """As recording rules, which promtool checks like any other."""
    rules = [
        {"record": "panel", "expr": target["expr"].replace("$__rate_interval", "1m")}
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ]
    group = {"name": "dashboard", "rules": rules}
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [group]}), encoding="utf-8")
    code, text = said([tool("promtool"), "check", "rules", "--lint=none", "rules.yml"], tmp_path)
    assert code == 0, text


# A service in which all is well: what each series gains a minute.
ASKED = 'serving_requests_total{job="serving", instance="a", path="/predict", status="%s"}'
REFUSED = 'serving_refused_total{job="serving", instance="a", reason="%s"}'
SECONDS = 'serving_request_seconds_bucket{job="serving", instance="a", path="/predict", le="%s"}'
PLAIN = 'serving_%s{job="serving", instance="a"}'
CHAMPION = 'serving_model_info{job="serving", instance="%s", run_id="%s", role="champion"}'
UP = 'up{job="serving", instance="%s"}'
WELL = {
    ASKED % 200: 600,
    ASKED % 503: 1,
    SECONDS % "0.1": 600,
    SECONDS % "0.5": 601,
    SECONDS % "+Inf": 601,
    REFUSED % "full": 0,
    REFUSED % "schema": 6,
    REFUSED % "key": 1,
    PLAIN % "model_load_failures_total": 0,
    PLAIN % "log_lost_rows_total": 0,
    PLAIN % "log_lost_lines_total": 0,
    PLAIN % "shadow_dropped_total": 0,
    PLAIN % "shadow_failed_total": 0,
}
# What is 1 all the time.
STATES = [UP % "a", CHAMPION % ("a", "one")]
# What is otherwise in the end, for an hour: a counter's gain, or a state's value.
WRONG: dict[str, dict[str, int]] = {
    "ServiceDown": {UP % "a": 0},
    "NoModel": {CHAMPION % ("a", "one"): 0},
    "Errors": {ASKED % 503: 12},
    "SlowAnswers": {SECONDS % "0.1": 540},
    "ServiceFull": {REFUSED % "full": 1},
    "WrongRows": {REFUSED % "schema": 60},
    "WrongKeys": {REFUSED % "key": 12},
    "ModelRefused": {PLAIN % "model_load_failures_total": 1},
    "ModelsDiffer": {UP % "b": 1, CHAMPION % ("b", "two"): 1},
    "NoRequests": {ASKED % 200: 0, ASKED % 503: 0, REFUSED % "schema": 0},
    "LogLost": {PLAIN % "log_lost_lines_total": 5},
    "ShadowIncomplete": {PLAIN % "shadow_failed_total": 5},
}
HOUR, WEEK = 60, 7 * 24 * 60


def series_of(wrong: dict[str, int], before: int) -> list[dict[str, str]]:
    """Return each series as promtool takes it: all is well for some minutes, and then it is not."""
    found = []
    for name in dict.fromkeys([*WELL, *STATES, *wrong]):
        if name in WELL:
            gain, later = WELL[name], wrong.get(name, WELL[name])
            values = f"0+{gain}x{before} {gain * (before + 1)}+{later}x{HOUR}"
        else:
            now = f"1x{before}" if name in STATES else f"_x{before + 1}"
            values = f"{now} {wrong.get(name, 1)}x{HOUR}"
        found.append({"series": name, "values": values})
    return found


def test_each_alert_fires_for_its_reason_and_for_no_other(tmp_path: Path) -> None:
    """`promtool test rules` computes a time in which all is well, and then one that is not."""
    assert set(WRONG) == set(RULES)
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    tests = []
    for name, wrong in WRONG.items():
        before = WEEK if name == "NoRequests" else 2 * HOUR  # which looks back so far
        fired = [{"labels": f'{{alertname="{name}"}}', "value": 1}]
        checks: list[Any] = [(f"{before}m", []), (f"{before + HOUR - 10}m", fired)]
        tests.append(
            {
                "name": name,
                "interval": "1m",
                "input_series": series_of(wrong, before),
                "promql_expr_test": [
                    {"expr": firing, "eval_time": at, "exp_samples": samples}
                    for at, samples in checks
                ],
            }
        )
    document = {"rule_files": [str(RULES_FILE)], "evaluation_interval": "5m", "tests": tests}
    (tmp_path / "tests.yml").write_text(json.dumps(document), encoding="utf-8")
    code, text = said([tool("promtool"), "test", "rules", "tests.yml"], tmp_path)
    assert (code, text.splitlines()[-1].strip()) == (0, "SUCCESS"), text


class Prometheus:
    """A Prometheus that asks a service on loopback, with the skeleton's rules in quick motion."""

    def __init__(self, folder: Path, target: int) -> None:
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{trial.getsockname()[1]}"
        config = yaml.safe_load(
            (SKELETON / "deploy/prometheus/prometheus.yml")
            .read_text(encoding="utf-8")
            .partition("scrape_configs:")[0]
        )
        config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
        static = [{"targets": [f"127.0.0.1:{target}"]}]
        config["scrape_configs"] = [{"job_name": "serving", "static_configs": static}]
        (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
        rules = RULES_FILE.read_text(encoding="utf-8")
        rules = re.sub(r"for: \w+", "for: 1s", rules)
        rules = re.sub(r"\[(5|10|15|30)m\]", "[10s]", rules)
        (folder / "alerts.yml").write_text(rules, encoding="utf-8")
        command = [tool("prometheus"), f"--config.file={folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={folder / 'data'}"]
        command += [f"--web.listen-address={self.address}"]
        self.log = (folder / "prometheus.log").open("wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()

    def ask(self, path: str) -> Any:
        """Return the data that the API answers."""
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}", timeout=10) as reply:
            return json.load(reply)["data"]

    def firing(self) -> dict[str, Any]:
        """Return the annotations of the alerts that fire."""
        try:
            alerts = self.ask("alerts")["alerts"]
        except OSError:  # it is not up yet
            return {}
        return {
            alert["labels"]["alertname"]: alert["annotations"]
            for alert in alerts
            if alert["state"] == "firing"
        }

    def wait_for(self, name: str, meanwhile: Callable[[], Any], seconds: float = 60) -> Any:
        """Do something over and over until an alert fires; return its annotations."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            meanwhile()
            found = self.firing()
            if name in found:
                return found[name]
            time.sleep(0.1)
        raise AssertionError(f"{name} does not fire, but: {self.firing()}")


@pytest.fixture
def server(project: Any, package_environment: dict[str, str]) -> Iterator[Server]:
    keys = {"SERVING_KEYS": "of-the-test-" + "k" * 30}
    with Server(
        project, {**package_environment, **keys}, ["serving.keys=env:SERVING_KEYS"]
    ) as server:
        yield server


@pytest.fixture
def prometheus(server: Server, tmp_path: Path) -> Iterator[Prometheus]:
    found = Prometheus(tmp_path, server.port)
    yield found
    found.close()


@pytest.mark.modules
def test_a_real_prometheus_fires_what_requests_and_a_stop_give_reason_for(
    prometheus: Prometheus, server: Server, rows: list[Any]
) -> None:
    headers = {**JSON_TYPE, "X-API-Key": "of-the-test-" + "k" * 30}

    def ask(rows: list[Any], expected: int, headers: dict[str, str] = headers) -> None:
        assert server.ask("POST", "/predict", {"rows": rows}, headers).status == expected

    deadline = time.monotonic() + 60
    while not prometheus_sees(prometheus) and time.monotonic() < deadline:
        ask(rows, 200)
        time.sleep(0.1)
    for _ in range(60):
        ask(rows, 200)
        time.sleep(0.1)
    assert prometheus.firing() == {}

    found = prometheus.wait_for("WrongRows", lambda: ask([{}], 422))
    assert re.fullmatch(r"[\d.]+% of the requests are refused with 422\.", found["description"])
    assert "WrongKeys" not in prometheus.firing()
    prometheus.wait_for("WrongKeys", lambda: ask(rows, 401, JSON_TYPE))

    server.process.terminate()
    server.process.wait(timeout=30)
    found = prometheus.wait_for("ServiceDown", lambda: None)
    assert f"127.0.0.1:{server.port}" in found["description"]


def prometheus_sees(prometheus: Prometheus) -> bool:
    """Tell whether the service's answers are in the database."""
    try:
        return bool(prometheus.ask("query?query=serving_predictions_total")["result"])
    except OSError:
        return False
