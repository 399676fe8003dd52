"""Which predictions are logged, and the feedback to them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from asking import Asked, as_rows, until
from mlproj.bundle import champion
from mlproj.data.split import load_split
from mlproj.serving import writer as writers
from served import PROJECTS, copy_of, read_log


@pytest.mark.parametrize("kind", PROJECTS)
def test_predictions_are_logged_without_sensitive_columns(
    made: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    project = copy_of(made[kind], tmp_path / "project")
    bundle, table = champion.load_champion(project), load_split(project, "test").head(30)
    with Asked(project).running() as asked:
        answer = asked.predict(as_rows(bundle, table)).json
    logged = read_log(project)
    assert list(logged["row"]) == list(range(len(table)))
    assert set(logged["request_id"]) == {answer["request_id"]}
    assert set(logged["run_id"]) == {bundle.run_id} and set(logged["role"]) == {"champion"}
    features = [c.name for c in bundle.schema.features if "sensitive" not in c.roles]
    own = ["time", "request_id", "row", "run_id", "role"]
    shares = [f"probability_{name}" for name in bundle.classes]
    assert list(logged) == [*own, *features, "prediction", *shares]
    again = bundle.conform(logged[features].assign(gender=None), strict=False)
    wanted = bundle.conform(table, strict=False)
    for name in features:
        pd.testing.assert_series_equal(
            again[name], wanted[name].reset_index(drop=True), check_dtype=False
        )
    assert list(logged["prediction"]) == [each["prediction"] for each in answer["predictions"]]


def test_a_full_disk_costs_log_rows_and_no_answer(project: Any, rows: list[Any]) -> None:
    """A file where the folder has to be stands for a disk that takes nothing."""
    project.logs.mkdir(exist_ok=True)
    (project.logs / "predictions").write_text("in the way", encoding="utf-8")
    with Asked(project, "serving.log_seconds=0.1").running() as asked:
        assert asked.predict(rows).status == 200
        for _ in range(100):
            metrics = asked.ask("GET", "/metrics").body.decode()
            if "serving_log_lost_rows_total 20.0" in metrics:
                break
            time.sleep(0.1)
        assert "serving_log_lost_rows_total 20.0" in metrics
        assert asked.predict(rows).status == 200


def test_what_comes_while_the_log_is_handed_over_is_not_lost(
    project: Any, rows: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that writes may be slow to take a batch, and the service be stopped then."""
    with Asked(project).running() as asked:
        log, taken = asked.service.predictions, threading.Event()
        send = log._send

        def slow(content: bytes) -> None:
            taken.set()
            time.sleep(0.5)
            send(content)

        monkeypatch.setattr(log, "_send", slow)
        asked.predict(rows)
        assert taken.wait(10)
        asked.predict(rows)
    assert len(read_log(project)) == 2 * len(rows)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_who_ends_the_whole_group_loses_no_row(project: Any, rows: list[Any]) -> None:
    with Asked(project).running() as asked:
        asked.predict(rows)
        log = asked.service.predictions
        until(lambda: not log._waiting)
        log._process.send_signal(signal.SIGTERM)
        asked.predict(rows)
    assert len(read_log(project)) == 2 * len(rows)


def test_much_text_is_written_sooner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "FILE_BYTES", 50_000)
    batch = writers.Batch(
        "0badbeef",
        [("comment", "text")],
        ["no", "yes"],
        [0.0],
        ["a"],
        ["champion"],
        [1],
        [["x" * 30_000]],
        [],
        [1],
        [bytes(16)],
        "class",
    )
    writer = writers.Writer(tmp_path, 1000, 1000)
    writer.add(batch)
    assert list(tmp_path.iterdir()) == []
    writer.add(batch)
    (path,) = tmp_path.iterdir()
    assert len(pd.read_parquet(path)) == 2


def test_the_log_is_sampled_and_kept_small(project: Any, rows: list[Any]) -> None:
    with Asked(project, "serving.log_share=0.5").running() as asked:
        random.seed(3)
        for _ in range(400):
            asked.predict(rows[:1])
    assert 150 < len(read_log(project)) < 250
    old = project.logs / "predictions" / "20200101T000000-1-0a0b0c0d-0badbeef.parquet"
    old.write_bytes(os.urandom(2_000_000))
    with Asked(project, "serving.log_megabytes=1").running() as asked:
        asked.predict(rows[:1])
    assert not old.exists()
    assert len(list(old.parent.glob("*.parquet"))) == 2


def test_the_process_that_writes_the_log_loads_no_pandas(
    package_environment: dict[str, str],
) -> None:
    """pyarrow would, and 50 MB with it."""
    code = """
import sys
import pyarrow as pa
from mlproj.serving import writer
writer._load_arrow()
assert pa.array([1.0, None]).null_count == 1
print("pandas.core" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, env=package_environment, capture_output=True, text=True)
    assert said.stdout == "False\n", said.stderr


def test_a_line_that_cannot_be_written_is_counted(asked: Asked) -> None:
    service = asked.service
    before = asked.ask("GET", "/metrics").body.decode()
    service.lines.note("model refused", reason="\udcff")
    after = asked.ask("GET", "/metrics").body.decode()
    name = "serving_log_lost_lines_total"
    assert f"{name} 0.0" in before and f"{name} 1.0" in after


def test_feedback_is_written_down(project: Any, rows: list[Any]) -> None:
    with Asked(project).running() as asked:
        known = asked.predict(rows[:1]).json["request_id"]
        labels = [{"request_id": known, "row": 0, "label": "yes"}]
        answer = asked.ask("POST", "/feedback", {"labels": labels})
        assert (answer.status, answer.json) == (200, {"taken": 1})
        for wrong in ([], [{"request_id": known, "label": "maybe"}], [{"label": "yes"}]):
            assert asked.ask("POST", "/feedback", {"labels": wrong}).status == 422
    (line,) = (project.logs / "feedback.jsonl").read_text(encoding="utf-8").splitlines()
    found = json.loads(line)
    assert {"request_id": known, "row": 0, "label": "yes"}.items() <= found.items()
    assert found["time"].endswith("Z")
