"""The packaged model: what it predicts, what it refuses, which one serves, and batches of rows."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from {{ cookiecutter.__package }}.bundle.bundle import Bundle
from {{ cookiecutter.__package }}.bundle.champion import (
    load_champion,
    promote,
    rollback,
)
from {{ cookiecutter.__package }}.core.config import load_settings
from {{ cookiecutter.__package }}.core.errors import UserError
from {{ cookiecutter.__package }}.core.project import Project
from {{ cookiecutter.__package }}.data.split import load_split
from {{ cookiecutter.__package }}.predict import predict

ID = "customer_id"


@pytest.fixture(scope="module")
def bundle(sample_project: Project) -> Bundle:
    """Return the model in service."""
    return load_champion(sample_project)


@pytest.fixture(scope="module")
def rows(sample_project: Project) -> pd.DataFrame:
    """Return rows that the model was neither fitted nor chosen on."""
    return load_split(sample_project, "test")


@pytest.fixture
def served(sample_project: Project, tmp_path: Path) -> Project:
    """Return a project of which only conf.cfg and models/ are left."""
    project = Project(tmp_path / "served")
    shutil.copytree(sample_project.models, project.models)
    shutil.copy(sample_project.conf, project.conf)
    return project


def test_a_prediction_per_row(bundle: Bundle, rows: pd.DataFrame) -> None:
    """Predictions stand under the rows' own index and ids, with what else the task promises."""
    found = bundle.predict(rows)
    assert found.index.equals(rows.index)
    assert found[ID].equals(rows[ID])
    assert found.notna().all(axis=None)
    if bundle.task.name == "regression":
        assert list(found) == [ID, "prediction", "lower", "upper"]
        assert (found["lower"] <= found["prediction"]).all()
        assert (found["prediction"] <= found["upper"]).all()
    else:
        shares = [f"probability_{name}" for name in bundle.classes]
        assert list(found) == [ID, "prediction", *shares]
        assert np.allclose(found[shares].sum(axis=1), 1)
        assert set(found["prediction"]) <= set(rows[bundle.document["target"]])


def test_order_and_company_do_not_matter(bundle: Bundle, rows: pd.DataFrame) -> None:
    """A row is scored alike in any order, alone or among others, with or without its target."""
    found = bundle.predict(rows)
    shuffled = rows.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(bundle.predict(shuffled).loc[rows.index], found)
    alone = rows.head(1).drop(columns=bundle.document["target"])
    pd.testing.assert_frame_equal(bundle.predict(alone), found.head(1))


def test_it_finds_most_of_what_it_promises(bundle: Bundle, rows: pd.DataFrame) -> None:
    """The interval covers about what it says; labels are right more often than the commonest."""
    found, truth = bundle.predict(rows), rows[bundle.document["target"]]
    if bundle.task.name == "regression":
        covered = truth.between(found["lower"], found["upper"]).mean()
        assert covered > bundle.document["interval"]["level"] - 0.1
    else:
        assert (found["prediction"] == truth).mean() > truth.value_counts(normalize=True).max()


def test_what_training_never_saw(bundle: Bundle, rows: pd.DataFrame) -> None:
    """New columns and categories are refused by name, or pass when asked to."""
    strange = rows.assign(plan="platinum")
    with pytest.raises(UserError, match="'plan', row 1: 'platinum'"):
        bundle.predict(strange)
    with pytest.raises(UserError, match="'colour' was not there in training"):
        bundle.predict(rows.assign(colour="red"))
    assert len(bundle.predict(strange.assign(colour="red"), strict=False)) == len(rows)


def test_missing_columns_and_wrong_types(bundle: Bundle, rows: pd.DataFrame) -> None:
    """What the model cannot do without is named."""
    with pytest.raises(UserError, match="no column 'age'"):
        bundle.predict(rows.drop(columns="age"))
    words = rows["age"].astype(object)
    words.iloc[6] = "old"
    with pytest.raises(UserError, match="'age', row 7: 'old' is not a whole number"):
        bundle.predict(rows.assign(age=words))


def test_a_changed_or_cut_off_bundle_is_refused(served: Project) -> None:
    """Only the files that were packaged are ever loaded."""
    folder = load_champion(served).folder
    model = folder / "model.skops"
    content = model.read_bytes()
    model.write_bytes(content[:-1])
    with pytest.raises(UserError, match="model.skops has changed"):
        load_champion(served)
    model.write_bytes(content)
    load_champion(served)
    (folder / "bundle.json").unlink()
    with pytest.raises(UserError, match="is not in models"):
        load_champion(served)


def test_promote_and_roll_back(served: Project) -> None:
    """A promoted bundle serves, and the one before can be brought back."""
    first = load_champion(served).run_id
    second = "0123abcd"
    shutil.copytree(served.models / first, served.models / second)
    marker = served.models / second / "bundle.json"
    text = marker.read_text(encoding="utf-8")
    marker.write_text(text.replace(first, second), encoding="utf-8", newline="\n")
    promote(served, second)
    assert load_champion(served).run_id == second
    assert rollback(served) == first
    assert load_champion(served).run_id == first
    with pytest.raises(UserError, match="no earlier champion"):
        rollback(served)


def read_back(path: Path) -> pd.DataFrame:
    """Read a file of predictions."""
    if path.suffix == ".csv":
        return pd.read_csv(path)
    return pd.read_json(path, lines=True) if path.suffix == ".jsonl" else pd.read_parquet(path)


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.jsonl"])
def test_a_file_is_scored_like_a_frame(served: Project, rows: pd.DataFrame, name: str) -> None:
    """Pieces of a file get the predictions that the whole table gets, without data/ or reports/."""
    source, output = served.root / "in.parquet", served.root / name
    rows.to_parquet(source)
    settings = load_settings(served, ["predict.chunk_rows=50"])
    assert predict(served, settings, source, output) == len(rows)
    expected = load_champion(served).predict(rows).reset_index(drop=True)
    pd.testing.assert_frame_equal(read_back(output), expected, check_dtype=False, rtol=1e-12)
    assert {path.name for path in served.root.iterdir()} <= {
        "in.parquet",
        name,
        "conf.cfg",
        "models",
    }


def test_a_refused_file_leaves_the_earlier_output(served: Project, rows: pd.DataFrame) -> None:
    """A wrong value in a later piece names its row, and nothing is overwritten."""
    source, output = served.root / "in.csv", served.root / "out.csv"
    rows.assign(age=[*rows["age"][:-1], "old"]).to_csv(source, index=False)
    output.write_text("earlier", encoding="utf-8")
    settings = load_settings(served, ["predict.chunk_rows=50"])
    with pytest.raises(UserError, match=f"row {len(rows)}: 'old'"):
        predict(served, settings, source, output)
    assert output.read_text(encoding="utf-8") == "earlier"
