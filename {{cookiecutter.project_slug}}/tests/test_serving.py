"""The service as in production: it predicts as the bundle does, and refuses what is wrong."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from {{ cookiecutter.__package }}.bundle.champion import (
    load_champion,
)
from {{ cookiecutter.__package }}.core.project import Project
from {{ cookiecutter.__package }}.data.split import load_split


@pytest.fixture(scope="module")
def address(command: list[str], sample_project: Project) -> Iterator[str]:
    """Start the service on a free port; return where it answers."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    words = [*command, "serve", "--port", str(port)]
    process = subprocess.Popen(words, cwd=sample_project.root, stdout=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(300):
            if process.poll() is not None or ask(f"{address}/readyz")[0] == 200:
                break
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


def ask(url: str, body: Any = None) -> tuple[int, Any]:
    """Return the status and the JSON of an answer; 0 where nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except urllib.error.URLError:
        return 0, None


def sample_rows(project: Project) -> tuple[Any, list[dict[str, Any]]]:
    """Return rows of the test split, as a table and as a request has them."""
    features = [column.name for column in load_champion(project).schema.features]
    table = load_split(project, "test").head(50)
    return table, json.loads(table[features].to_json(orient="records", date_format="iso"))


def test_it_predicts_as_the_bundle_does(address: str, sample_project: Project) -> None:
    table, rows = sample_rows(sample_project)
    status, answer = ask(f"{address}/predict", {"rows": rows})
    assert status == 200, answer
    bundle = load_champion(sample_project)
    assert answer["model"] == bundle.run_id
    expected = bundle.predict(table)
    assert len(answer["predictions"]) == len(expected)
    if bundle.task.name == "regression":
        found = [each["prediction"] for each in answer["predictions"]]
        np.testing.assert_allclose(found, expected["prediction"], rtol=1e-5)
    else:
        assert [each["prediction"] for each in answer["predictions"]] == list(
            expected["prediction"]
        )
        for name in map(str, bundle.classes):
            found = [each["probability"][name] for each in answer["predictions"]]
            np.testing.assert_allclose(found, expected[f"probability_{name}"], atol=1e-5)


def test_a_wrong_row_is_refused_with_its_place(address: str, sample_project: Project) -> None:
    rows = sample_rows(sample_project)[1][:2]
    rows[1]["age"] = "old"
    status, answer = ask(f"{address}/predict", {"rows": rows})
    assert status == 422
    expected = {"row": 1, "field": "age", "value": "old", "rule": "has to be a number"}
    assert answer["detail"] == [expected]
