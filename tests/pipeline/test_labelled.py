"""From feedback to training: logged rows with the labels that came become rows to learn from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asking import Asked, as_rows, make_model
from mlproj.bundle import champion
from mlproj.core import pipeline
from mlproj.core.errors import UserError
from mlproj.data.sample import sample_table
from mlproj.data.schema import load_schema
from mlproj.data.split import load_split
from mlproj.monitoring.labelled import write_labelled

DATA = {"source": "rows.csv", "target": "churned", "id": "customer_id", "sensitive": "gender"}
ASKED = 1500


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, make_project: Any) -> Any:
    """A project whose champion learned from 500 rows, many of them wrong, dates in German."""
    folder = tmp_path_factory.mktemp("labelled")
    table = sample_table(500, seed=1)
    noisy = np.random.default_rng(0).random(len(table)) < 0.42
    wrong = np.where(table["churned"] == "yes", "no", "yes")
    table["churned"] = np.where(noisy, wrong, table["churned"])
    table["signup"] = table["signup"].dt.strftime("%d.%m.%Y")
    table.to_csv(folder / "rows.csv", index=False)
    given = {"model": {"candidates": "linear", "folds": 0}, "evaluate": {"bootstrap": 200}}
    project = make_project(folder, data=DATA, **given)
    run_id = make_model(project)
    champion.release(project, run_id, "promote")
    serve(project)
    return project


def serve(project: Any) -> None:
    """Ask the service for rows that it does not know, then tell it most of the labels."""
    table = sample_table(ASKED, seed=2)
    table["signup"] = table["signup"].dt.strftime("%d.%m.%Y")
    rows = as_rows(champion.load_champion(project), table)
    truth = table["churned"].tolist()
    labels = []
    with Asked(project).running() as asked:
        for begin in range(0, ASKED, 50):
            # By its id a row gets its part of the split, so that chance shall not give it.
            answer = asked.predict(rows[begin : begin + 50], x_request_id=f"asked.{begin}")
            assert answer.status == 200, answer.body
            labels += [
                {"request_id": answer.json["request_id"], "row": at, "label": truth[begin + at]}
                for at in range(50)
            ]
        other = {"yes": "no", "no": "yes"}[labels[0]["label"]]
        for told in ([{**labels[0], "label": other}], labels[:1200]):
            assert asked.ask("POST", "/feedback", {"labels": told}).status == 200
    table.to_parquet(project.root / "asked.parquet")


@pytest.fixture
def project(trained: Any, tmp_path: Path) -> Any:
    """A copy of that project."""
    shutil.copytree(trained.root, tmp_path / "project")
    return type(trained)(tmp_path / "project")


def change_schema(project: Any, name: str, **changes: Any) -> None:
    """Edit a column of data/schema.yaml as a person would."""
    import yaml

    document = yaml.safe_load(project.schema_file.read_text("utf-8"))
    for column in document["columns"]:
        if column["name"] == name:
            column.update(changes)
    project.schema_file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def test_rows_are_those_that_were_asked_with_the_last_label(project: Any, tmp_path: Path) -> None:
    change_schema(project, "gender", nullable=True)
    path = tmp_path / "new.parquet"
    found = write_labelled(project, path)
    table, asked = pd.read_parquet(path), pd.read_parquet(project.root / "asked.parquet")
    assert (found.rows, found.missing, found.unread) == (1200, ("gender",), 0)
    assert list(table) == list(load_schema(project).names)
    assert table["customer_id"].is_unique
    assert table["gender"].isna().all()
    for name in set(table) - {"customer_id", "gender"}:
        wanted = asked[name][:1200].reset_index(drop=True)
        pd.testing.assert_series_equal(table[name], wanted, check_dtype=False)


def test_retraining_learns_from_them(project: Any, package_environment: dict[str, str]) -> None:
    change_schema(project, "gender", nullable=True)

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mlproj", *words],
            cwd=project.root,
            env=package_environment,
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    before = champion.verify_champion(project)
    said = run("labelled", "new.parquet")
    assert "1,200 rows with labels: new.parquet" in said
    assert "not logged: gender" in said
    said = run("retrain", "--data", "new.parquet", "--promote")
    assert pipeline.require(project, "ingest").facts["rows"] == 500 + 1200
    newest = load_split(project, "train")["customer_id"].str.match(r"asked\.\d+-\d+$")
    assert 0.6 * 1200 < newest.sum() < 0.8 * 1200
    assert champion.verify_champion(project) != before, said


def test_what_the_log_cannot_give_is_refused_or_missing(project: Any, tmp_path: Path) -> None:
    path = tmp_path / "new.parquet"
    with pytest.raises(UserError, match=r"'gender' is not in .* \(it is sensitive\).*nullable"):
        write_labelled(project, path)
    change_schema(project, "gender", roles=["ignore"])
    assert write_labelled(project, path).missing == ("gender",)
    for role, kind in (("id", "integer"), ("group", "string")):
        change_schema(project, "gender", roles=[role], type=kind, nullable=True)
        with pytest.raises(UserError, match=f"{role} = gender is not in the prediction log"):
            write_labelled(project, path)
    with pytest.raises(UserError, match=r"has to end in \.parquet"):
        write_labelled(project, tmp_path / "new.csv")


def test_rows_that_the_schema_refuses_are_left_out_and_counted(
    project: Any, tmp_path: Path
) -> None:
    asked = pd.read_parquet(project.root / "asked.parquet")[:1200]
    change_schema(project, "gender", nullable=True)
    change_schema(project, "plan", categories=["basic", "family", "plus"])
    change_schema(project, "age", maximum=60)
    change_schema(project, "income", nullable=False)
    found = write_labelled(project, tmp_path / "new.parquet")
    counts = {
        "age": int((asked["age"] > 60).sum()),
        "income": int(asked["income"].isna().sum()),
        "plan": int((asked["plan"] == "business").sum()),
    }
    assert found.left_out == {name: count for name, count in counts.items() if count}
    assert len(found.left_out) > 1
    fits = (asked["age"] <= 60) & asked["income"].notna() & (asked["plan"] != "business")
    fits |= asked["age"].isna() & asked["income"].notna() & (asked["plan"] != "business")
    assert found.rows == fits.sum()


def test_the_time_of_a_row_is_that_of_its_prediction(project: Any, tmp_path: Path) -> None:
    change_schema(
        project, "gender", nullable=True, roles=["time"], type="datetime", categories=None
    )
    write_labelled(project, tmp_path / "new.parquet")
    times = pd.read_parquet(tmp_path / "new.parquet")["gender"]
    assert (pd.Timestamp.now(tz="UTC").tz_localize(None) - times).max() < pd.Timedelta(hours=1)
    assert times.notna().all()


def test_shadows_and_second_answers_make_no_second_row(project: Any, tmp_path: Path) -> None:
    change_schema(project, "gender", nullable=True)
    first = next((project.logs / "predictions").glob("*.parquet"))
    table = pd.read_parquet(first)
    table.assign(role="shadow", age=1.0).to_parquet(first.with_name("shadow.parquet"))
    later = table.assign(time=table["time"] + pd.Timedelta(seconds=1), age=33.0)
    later[later["row"] == 0].to_parquet(first.with_name("again.parquet"))
    found = write_labelled(project, tmp_path / "new.parquet")
    assert found.rows == 1200
    ages = pd.read_parquet(tmp_path / "new.parquet")["age"]
    assert (ages == 33).sum() >= 24
    assert (ages == 1).sum() == 0


def test_without_a_log_or_a_label_it_says_so(project: Any, tmp_path: Path) -> None:
    change_schema(project, "gender", nullable=True)
    line = json.dumps({"request_id": "other", "row": 0, "label": "yes"})
    (project.logs / "feedback.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="No logged prediction has a label"):
        write_labelled(project, tmp_path / "new.parquet")
    shutil.rmtree(project.logs / "predictions")
    with pytest.raises(UserError, match="no prediction log in .*; a service writes it"):
        write_labelled(project, tmp_path / "new.parquet")
    assert not (tmp_path / "new.parquet").exists()
