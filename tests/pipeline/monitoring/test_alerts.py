"""What becomes of a finding: alerts, webhooks, reports and exit codes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlproj.bundle import champion
from mlproj.bundle.bundle import load_bundle
from mlproj.core import config, pipeline
from mlproj.core.errors import UserError
from mlproj.evaluation import drift
from mlproj.monitoring import alerts, monitor, page, settings
from watching import NOON, emptied, piece, scaled

# ------------------------------------------------------------------------ alerts


def check(project: Any, frame: pd.DataFrame, *overrides: str) -> Any:
    """Monitor rows as a file."""
    path = project.root / "new.csv"
    frame.to_csv(path, index=False)
    return monitor.monitor(project, config.load_settings(project, overrides), path, now=NOON)


def test_a_problem_is_an_alert_once_it_was_found_often_enough(
    project: Any, rows: pd.DataFrame
) -> None:
    policy = ("monitor.checks=2", "monitor.whom=the shop", "monitor.what=call them")
    first = check(project, scaled(piece(rows, 0)), *policy)
    assert first.alert is None
    assert first.facts["problems"][0]["checks"] == 1
    assert check(project, scaled(piece(rows, 0)), *policy).alert is None  # the same rows again
    second = check(project, scaled(piece(rows, 1)), *policy)
    assert second.alert is not None
    assert "Tell: the shop. Do: call them." in second.alert
    # Quiet: the count starts from zero.
    assert check(project, piece(rows, 2), *policy).alert is None
    assert check(project, scaled(piece(rows, 3)), *policy).alert is None
    lines = [json.loads(t) for t in (project.logs / "alerts.jsonl").read_text("utf-8").splitlines()]
    assert [bool(line["alert"]) for line in lines] == [False, False, True, False, False]


def test_checks_of_another_model_do_not_count(project: Any) -> None:
    problem = alerts.Problem("feature:income", "drift", "it drifted")
    policy = settings.MonitorSettings(checks=2)
    quiet = alerts.decide(project, policy, [problem], run_id="a", content="1")
    told = {"content": "1", "where": "x", "time": NOON, "sent": "nothing"}
    alerts.record(project, [problem], quiet, run_id="a", **told)
    assert not alerts.decide(project, policy, [problem], run_id="b", content="2").firing
    assert alerts.decide(project, policy, [problem], run_id="a", content="2").firing


def test_checks_of_files_and_of_the_log_count_apart(project: Any) -> None:
    problem = alerts.Problem("feature:income", "drift", "it drifted")
    policy = settings.MonitorSettings()
    fires = alerts.decide(project, policy, [problem], run_id="a", content="1", log=True)
    told = {"where": "x", "time": NOON, "run_id": "a"}
    alerts.record(project, [problem], fires, **told, content="1", sent="yes", log=True)
    quiet = alerts.decide(project, policy, [], run_id="a", content="2")
    alerts.record(project, [], quiet, **told, content="2", sent="nothing")
    again = alerts.decide(project, policy, [problem], run_id="a", content="3", log=True)
    assert again.firing
    assert not again.fresh
    twice = policy.model_copy(update={"checks": 2})
    assert alerts.decide(project, twice, [problem], run_id="a", content="3", log=True).firing
    assert not alerts.decide(project, twice, [problem], run_id="a", content="3").firing


def test_lines_of_alerts_that_are_broken_are_passed_over(project: Any, rows: pd.DataFrame) -> None:
    check(project, scaled(piece(rows, 0)))
    path = project.logs / "alerts.jsonl"
    path.write_bytes(b'\xff\xfe{"run"\n[]\n' + path.read_bytes() + b'{"time": "2026-')
    second = check(project, scaled(piece(rows, 1)), "monitor.checks=2")
    assert second.alert
    assert len(path.read_bytes().splitlines()) == 5


@contextmanager
def receiver(status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """Yield the address of a server on loopback, and what it was sent."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802  # the library's name
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Location", f"http://{self.headers['Host']}/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:  # noqa: N802  # what a redirected POST becomes
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook/s3cret", received
    finally:
        server.shutdown()
        server.server_close()


def test_the_webhook_gets_each_alert_once_and_its_address_stays_secret(
    project: Any, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver() as (url, received):
        monkeypatch.setenv("HOOK", url)
        for seed in (0, 1):
            assert check(project, scaled(piece(rows, seed)), "monitor.webhook=env:HOOK").alert
        assert len(received) == 1
        assert "'income' drifted" in received[0]["text"]
        assert {each["key"] for each in received[0]["problems"]} >= {"feature:income"}
        assert check(project, emptied(scaled(piece(rows, 2))), "monitor.webhook=env:HOOK").alert
        assert len(received) == 2
    written = [path for path in project.root.rglob("*") if path.is_file()]
    assert not any(b"s3cret" in path.read_bytes() for path in written)


def test_an_alert_that_did_not_arrive_is_sent_again(
    project: Any, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver(status=500) as (url, received):
        monkeypatch.setenv("HOOK", url)
        unsent = check(project, scaled(piece(rows, 0)), "monitor.webhook=env:HOOK")
        assert unsent.alert
        assert "it answered 500" in unsent.unsent
        assert "s3cret" not in unsent.unsent
    assert check(project, scaled(piece(rows, 1)), "monitor.webhook=env:HOOK").unsent  # gone
    with receiver() as (url, received):
        monkeypatch.setenv("HOOK", url)
        assert check(project, scaled(piece(rows, 2)), "monitor.webhook=env:HOOK").unsent is None
        assert len(received) == 1


def test_a_webhook_that_redirects_did_not_get_the_alert(
    project: Any, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver(status=302) as (url, _):
        monkeypatch.setenv("HOOK", url)
        sent = check(project, scaled(piece(rows, 0)), "monitor.webhook=env:HOOK")
    assert "it answered 302" in sent.unsent


def test_a_webhook_that_drips_its_answer_holds_the_check_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alerts, "TIMEOUT", 0.5)
    over = threading.Event()

    def drip() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            while not over.wait(0.1):
                connection.sendall(b"H")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, daemon=True).start()
        started = time.monotonic()
        unsent = alerts.send(f"http://127.0.0.1:{server.getsockname()[1]}/", {})
        took = time.monotonic() - started
        over.set()
    assert unsent is not None
    assert "no answer in 0.5 seconds" in unsent
    assert took < 3


def test_a_webhook_that_is_named_later_gets_the_alert_that_lasts(
    project: Any, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(project, scaled(piece(rows, 0))).alert
    with receiver() as (url, received):
        monkeypatch.setenv("HOOK", url)
        assert check(project, scaled(piece(rows, 1)), "monitor.webhook=env:HOOK").alert
        assert len(received) == 1


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("https://hooks.example.com/s3cret", None, "name its environment variable"),
        ("env:HOOK", None, "HOOK, which is not set"),
        ("env:HOOK", "file:///etc/passwd", "no http or https URL"),
        ("env:HOOK", "https://[half", "no http or https URL"),
        ("env:HOOK", "https://me:s3cret@hooks.example.com/", "names a user before its host"),
    ],
)
def test_a_webhook_that_cannot_work_is_refused_before_the_check(
    project: Any, monkeypatch: pytest.MonkeyPatch, setting: str, value: str | None, sentence: str
) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    if value is not None:
        monkeypatch.setenv("HOOK", value)
    with pytest.raises(UserError, match=sentence):
        loaded = config.load_settings(project, (f"monitor.webhook={setting}",))
        monitor.monitor(project, loaded, project.root / "rows.parquet")


# ------------------------------------------------------------------------ what is written


def test_the_report_keeps_values_of_rows_out_of_what_git_tracks(
    project: Any, rows: pd.DataFrame
) -> None:
    frame = piece(rows, 0).astype({"age": object})
    frame.loc[:20, "age"] = "Ms Secret"
    check(project, frame)
    text = (project.reports / "drift.json").read_text(encoding="utf-8")
    document = json.loads(text)
    assert document["stage"] == "monitor"
    assert document["run_id"] == champion.verify_champion(project)
    assert "Ms Secret" not in text
    assert str(project.root) not in text
    html = (project.reports / "drift.html").read_text(encoding="utf-8")
    assert "Ms Secret" in html  # for the people at this machine
    assert "http" not in html.replace("http-equiv", "")


def test_folders_of_this_machine_are_not_written_down(
    project: Any, rows: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "elsewhere.csv"
    piece(rows, 0).to_csv(path, index=False)
    monitor.monitor(project, config.load_settings(project), path, now=NOON)
    for written in (project.report_file("drift"), project.logs / "alerts.jsonl"):
        text = written.read_text(encoding="utf-8")
        assert "elsewhere.csv" in text
        assert str(tmp_path) not in text


def test_the_report_shows_the_last_check(project: Any, rows: pd.DataFrame) -> None:
    loaded = config.load_settings(project)
    assert page.use_section(project, loaded) is None
    check(project, piece(rows, 0))
    assert "All quiet" in page.use_section(project, loaded).html
    check(project, scaled(piece(rows, 1)), "monitor.whom=<b>the shop</b>")
    pipeline.run_stage(project, loaded, "report")
    html = (project.reports / "index.html").read_text(encoding="utf-8")
    section = html.partition('<section id="use"')[2].partition("</section>")[0]
    assert '<h2 id="use-title">In use</h2>' in section
    for told in ("Alert", "&#39;income&#39; drifted", "500 rows", "new.csv", "2026-03-02 12:00"):
        assert told in section
    assert "&lt;b&gt;the shop" in section
    assert 'href="drift.html"' in section
    (project.reports / "drift.html").unlink()
    assert "href" not in page.use_section(project, loaded).html


def test_names_of_the_data_cannot_break_out_of_the_page() -> None:
    cells = ["<script>alert(1)</script>", "b"]
    finding = drift._compare_cells("feature", cells[0], [9, 9], np.array([99, 1]), cells, 0.1)
    drawn = page.draw_shares(cells[0], vars(finding))
    assert "<script>" not in drawn.svg
    assert "<script>" not in page.figures([drawn])


def test_a_bundle_of_an_older_pipeline_is_refused(project: Any, tmp_path: Path) -> None:
    bundle = load_bundle(project, champion.verify_champion(project))
    path = bundle.folder / "reference.json"
    path.write_text(json.dumps({"version": 1}), encoding="utf-8")
    with pytest.raises(UserError, match="is not of version 2"):
        monitor.read_reference(bundle)


def test_exit_codes_tell_a_scheduler(
    project: Any, rows: pd.DataFrame, package_environment: dict[str, str]
) -> None:
    piece(rows, 0).to_csv(project.root / "same.csv", index=False)
    scaled(piece(rows, 1)).to_csv(project.root / "other.csv", index=False)
    codes = {}
    for name in ("same.csv", "other.csv", "nothing.csv"):
        done = subprocess.run(
            [sys.executable, "-m", "mlproj", "monitor", name],
            cwd=project.root,
            env=package_environment,
            capture_output=True,
            encoding="utf-8",
        )
        codes[name] = done.returncode
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") <= 1
    assert codes == {"same.csv": 0, "other.csv": 1, "nothing.csv": 2}
