"""What the service promises, measured over HTTP: the bundle's predictions, weights that hold."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from asking import JSON_TYPE, Server, as_rows, largest_gap, make_model, promote_copy
from mlproj.bundle import champion
from mlproj.data.split import load_split
from scipy import stats

pytestmark = pytest.mark.modules

TARGETS = {"binary": "churned", "multiclass": "plan", "regression": "spend"}
# Numbers, flags, dates, categories, many strings, sentences; values are missing in most.
SAMPLE = {"source": "sample:2000", "id": "customer_id", "sensitive": "gender"}
# One encoder of many strings has no ONNX form for several classes.
WITHOUT_ONNX = "multiclass"


def package(make_project: Any, folder: Path, task: str, candidate: str) -> Any:
    """Return a project with a packaged model in service."""
    kind = "regression" if task == "regression" else "classification"
    project = make_project(
        folder,
        data={**SAMPLE, "target": TARGETS[task]},
        model={"candidates": candidate, "task": kind, "folds": 0},
        params={"forest.n_estimators": 30, "hgb.max_iter": 30},
    )
    run_id = make_model(project)
    if kind == "classification":  # so that calibration is part of it, needed or not
        run_id = promote_copy(project, run_id, "0badc0de", calibration={"temperature": 1.7})
    champion.release(project, run_id, "promote")
    return project


def gap_over_http(project: Any, environment: dict[str, str]) -> tuple[float, bool]:
    """Return the largest difference on all of test, and whether onnxruntime scored."""
    bundle, table = champion.load_champion(project), load_split(project, "test")
    sent, own, gaps = as_rows(bundle, table), bundle.predict(table), []
    with Server(project, environment) as server:
        for size in (1, 3, len(sent)):
            answer = server.ask("POST", "/predict", {"rows": sent[:size]})
            assert answer.status == 200, answer.body
            gaps.append(largest_gap(bundle, own.head(size), answer.json["predictions"]))
        (model,) = server.ask("GET", "/model").json["models"]
    return max(gaps), bool(model["onnx"])


@pytest.mark.parametrize("candidate", ["linear", "forest", "hgb"])
@pytest.mark.parametrize("task", TARGETS)
def test_predictions_over_http_are_the_bundles_own(
    make_project: Any,
    package_environment: dict[str, str],
    tmp_path: Path,
    task: str,
    candidate: str,
) -> None:
    """To 1e-6, by ONNX where the bundle has it, and without."""
    project = package(make_project, tmp_path, task, candidate)
    gap, by_onnx = gap_over_http(project, package_environment)
    print(f"{task}, {candidate}, {'ONNX' if by_onnx else 'scikit-learn'}: {gap:.1e}")
    assert gap <= 1e-6
    assert by_onnx or task == WITHOUT_ONNX
    if not by_onnx:
        return
    run_id = champion.read_champion(project)["run_id"]
    copy = promote_copy(project, run_id, "0badbeef", onnx={"equal": False})
    champion.release(project, copy, "promote")
    gap, by_onnx = gap_over_http(project, package_environment)
    print(f"{task}, {candidate}, scikit-learn: {gap:.1e}")
    assert gap <= 1e-6
    assert not by_onnx


def test_weights_hold_within_their_binomial_intervals(
    make_project: Any, package_environment: dict[str, str], tmp_path: Path
) -> None:
    """Two canaries, two processes, 6,000 requests; the metrics count what was answered."""
    project = package(make_project, tmp_path, "binary", "linear")
    first = champion.read_champion(project)["run_id"]
    weights = {"0badbeef": 0.05, "0badcafe": 0.3}
    for run_id, weight in weights.items():
        champion.challenge(project, promote_copy(project, first, run_id), weight)
    row = as_rows(champion.load_champion(project), load_split(project, "test").head(1))
    body, named = json.dumps({"rows": row}), Counter[str]()
    with Server(project, package_environment, ["serving.workers=2"]) as server:
        for _ in range(60):  # a connection stays with one process
            connection = server.connect()
            for _ in range(100):
                connection.request("POST", "/predict", body, JSON_TYPE)
                named[json.loads(connection.getresponse().read())["model"]] += 1
            connection.close()
        metrics = server.ask("GET", "/metrics").body.decode()
    shares = {**weights, first: 1 - sum(weights.values())}
    assert named.keys() == shares.keys()
    for run_id, share in shares.items():
        low, high = stats.binom.interval(0.9999, 6000, share)
        print(f"weight {share:.2f}: {named[run_id]} of 6,000, within {low:.0f} to {high:.0f}")
        assert low <= named[run_id] <= high
        role = "champion" if run_id == first else "challenger"
        counted = f'serving_rows_total{{role="{role}",run_id="{run_id}"}} {named[run_id]:.1f}'
        assert counted in metrics
