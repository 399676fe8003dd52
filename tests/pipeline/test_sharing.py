"""Two clones of a project: the same model is known again, another is not; it travels by a store."""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cases import every_case
from mlproj.bundle import champion, identity, store
from mlproj.bundle.bundle import load_bundle
from mlproj.core import config, pipeline
from mlproj.core.errors import GateError, UserError
from mlproj.core.files import read_json, read_json_lines, write_json
from mlproj.predict import predict

SAMPLE = {"source": "sample:600", "target": "churned", "id": "customer_id"}
# What git tracks of a project, as its .gitignore says.
TRACKED = (
    *("conf.cfg", "data/manifest.json", "data/schema.yaml", "logs/runs.jsonl"),
    *("models/champion.json", "models/champion_history.jsonl", "reports"),
)


def run(project: Any, *overrides: str) -> list[str]:
    """Run the pipeline, and return what it said."""
    said: list[str] = []
    settings = config.load_settings(project, ["evaluate.bootstrap=10", *overrides])
    pipeline.run(project, settings, until="evaluate", say=said.append)
    return said


def clone(project: Any, folder: Path) -> Any:
    """Copy what git tracks."""
    for name in TRACKED:
        source, target = project.root / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.exists():
            shutil.copy2(source, target)
    return type(project)(folder)


@pytest.fixture(name="made", scope="module")
def made_fixture(make_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project whose first model is in service; leave it as it is."""
    folder = tmp_path_factory.mktemp("sharing")
    project = make_project(folder, data=SAMPLE, model={"candidates": "linear", "folds": 0})
    run(project)
    return project


@pytest.fixture(name="trained", scope="module")
def trained_fixture(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Its clone, in which the model was made again, from another commit; leave it as it is."""
    project = clone(made, tmp_path_factory.mktemp("clone"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mlproj.postprocess.git_commit", lambda project: "f" * 40)
        run(project)
    return project


@pytest.fixture(name="colleague")
def colleague_fixture(trained: Any, tmp_path: Path) -> Any:
    """A copy of that clone, which does not know yet that its model is the one in service."""
    shutil.copytree(trained.root, tmp_path / "colleague")
    project = type(trained)(tmp_path / "colleague")
    project.same_models.unlink()
    return project


def entry_of(project: Any) -> dict[str, Any]:
    """Return champion.json."""
    found: dict[str, Any] = champion.read_champion(project)
    return found


def test_the_model_made_again_in_a_clone_serves_there(made: Any, trained: Any) -> None:
    entry = entry_of(made)
    assert trained.champion_file.read_bytes() == made.champion_file.read_bytes()
    own = trained.bundle_folder(entry["run_id"]) / "bundle.json"
    assert read_json(own)["git_commit"] == "f" * 40
    assert champion.load_champion(trained).run_id == entry["run_id"]
    rows, output = trained.root / "rows.csv", trained.root / "scored.csv"
    pd.read_parquet(trained.typed).drop(columns="_row").head(5).to_csv(rows, index=False)
    settings = config.load_settings(trained, ["predict.strict=no"])
    assert predict(trained, settings, rows, output) == 5
    noted = read_json_lines(trained.same_models)
    assert [line["promoted_as"] for line in noted] == [entry["sha256"]]
    for name in ("train", "metrics", "diagnostics"):
        assert trained.report_file(name).read_bytes() == made.report_file(name).read_bytes()


def test_the_predictions_for_git_name_rows_by_keys_and_hold_no_input(made: Any) -> None:
    table = pd.read_csv(identity.shown_predictions(made))
    valid = pd.read_parquet(made.split_folder("valid"))
    assert list(table) == ["key", "prediction", "probability_no", "probability_yes"]
    assert len(valid) - 10 < len(table) <= identity.ROWS  # some share an id
    scored = load_bundle(made, entry_of(made)["run_id"]).predict(valid, strict=False)
    known = np.sort(scored["probability_yes"].to_numpy())
    assert np.isin(table["probability_yes"].round(9), known.round(9)).all()
    assert table["key"].is_unique


def moved_predictions(project: Any, by: float) -> None:
    """Move one prediction that git tracks."""
    path = identity.shown_predictions(project)
    table = pd.read_csv(path)
    table["probability_yes"] += by * (table.index == 3)
    table.to_csv(path, index=False)


def changed_identity(part: str, value: Any) -> Any:
    """Return what changes a part of the identity that champion.json names."""

    def change(project: Any) -> None:
        entry = entry_of(project)
        entry["identity"][part] = value
        write_json(project.champion_file, entry)

    return change


@every_case(
    ("change", "reason"),
    [
        (lambda project: moved_predictions(project, 1e-9), None),
        (lambda project: moved_predictions(project, 1e-4), "by up to 0.0001"),
        (lambda project: identity.shown_predictions(project).unlink(), "there is no reports"),
        (lambda project: project.made_here.unlink(), "its bundle.json has changed"),
        (changed_identity("data", "0" * 16), "it differs in data;"),
        (changed_identity("settings", "0" * 16), "it differs in settings;"),
        (
            changed_identity("versions", {"numpy": "1.0", "python": "3.11.0"}),
            r"numpy \(\S+ here, 1.0 there\)",
        ),
    ],
)
def test_only_equal_identity_and_predictions_make_it_the_same_model(
    trained: Any, tmp_path: Path, change: Any, reason: str | None
) -> None:
    project = type(trained)(tmp_path / "project")
    shutil.copytree(trained.root, project.root)
    project.same_models.unlink()
    change(project)
    before = project.champion_file.read_bytes()
    if reason is None:
        assert "is in service" in run(project)[-1]
        return
    with pytest.raises(UserError, match=reason):
        champion.verify_champion(project)
    with pytest.raises(GateError, match=reason):
        run(project)
    assert project.champion_file.read_bytes() == before
    assert not project.same_models.exists()


def test_without_identity_only_equal_bytes_count(colleague: Any) -> None:
    entry = entry_of(colleague)
    del entry["identity"]
    write_json(colleague.champion_file, entry)
    with pytest.raises(UserError, match="its bundle.json has changed"):
        champion.verify_champion(colleague)
    run(colleague)  # which says so, and goes on as before
    champion.promote(colleague, entry["run_id"])
    assert entry_of(colleague)["identity"]["data"]


def test_a_run_of_another_model_says_what_differs_from_the_one_that_is_not_here(
    made: Any, tmp_path: Path
) -> None:
    project = clone(made, tmp_path / "clone")
    run_id = entry_of(made)["run_id"]
    with pytest.raises(GateError, match=rf"{run_id}, in service, is not .* in settings; `champion"):
        run(project, "decision.cost_fn=7")
    assert project.champion_file.read_bytes() == made.champion_file.read_bytes()
    assert not project.bundle_folder(run_id).joinpath("bundle.json").exists()


def test_a_promotion_in_a_clone_names_the_bytes_that_were_promoted_first(
    made: Any, colleague: Any
) -> None:
    run_id = entry_of(made)["run_id"]
    champion.verify_champion(colleague)
    champion.promote(colleague, run_id)
    assert entry_of(colleague)["sha256"] == entry_of(made)["sha256"]
    copy = colleague.root / "release" / "models"
    champion.export(colleague, copy)
    assert champion.verify_champion(type(made)(copy.parent)) == run_id


def test_the_history_of_two_clones_joins_in_the_order_of_time(made: Any, tmp_path: Path) -> None:
    project = type(made)(tmp_path / "project")
    shutil.copytree(made.root, project.root)
    path = project.models / "champion_history.jsonl"
    first = read_json_lines(path)[0]
    later = {**first, "time": "2999-01-01T00:00:00+00:00", "sha256": "1" * 64}
    path.write_text("".join(f"{each}\n".replace("'", '"') for each in (later, first)), "utf-8")
    assert champion._in_turn(project) == [first, later]


def test_two_commands_that_change_the_champion_wait_for_each_other(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = type(made)(tmp_path / "project")
    shutil.copytree(made.root, project.root)
    run_id, inside, most = entry_of(project)["run_id"], [0], [0]
    original = champion.release

    def slowly(*given: Any) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threading.Event().wait(0.1)
        original(*given)
        inside[0] -= 1

    monkeypatch.setattr(champion, "release", slowly)
    threads = [threading.Thread(target=champion.promote, args=(project, run_id)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert len(champion._changes(project)) == 4
    monkeypatch.setattr(champion, "LOCK_SECONDS", 0.05)
    from filelock import FileLock

    with (
        FileLock(project.models / ".champion.lock"),
        pytest.raises(UserError, match="Another command has been changing"),
    ):
        champion.dismiss(project, run_id)


# ------------------------------------------------------------------------------------- the store


@pytest.fixture(name="stores", params=["folder", "memory"])
def stores_fixture(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return how a command names the store: a folder, or what fsspec reaches by a URL."""
    if request.param == "folder":
        return "models.store=" + str(tmp_path / "store")
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").store.clear()
    return "models.store=memory://bucket/released"


def pushed(project: Any, named: str) -> list[str]:
    """Push, and return what was said."""
    said: list[str] = []
    store.push(project, config.load_settings(project, [named]), said.append)
    return said


def pulled(project: Any, named: str, run_id: str | None = None) -> list[str]:
    """Pull, and return what was said."""
    said: list[str] = []
    store.pull(project, config.load_settings(project, [named]), run_id, said.append)
    return said


def bundle_files(project: Any, run_id: str) -> dict[str, bytes]:
    """Return the content of a bundle's files by their names."""
    folder = project.bundle_folder(run_id)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_released_bundle_reaches_a_clone_whole(made: Any, stores: str, tmp_path: Path) -> None:
    run_id = entry_of(made)["run_id"]
    files = bundle_files(made, run_id)
    assert pushed(made, stores) == [f"{run_id}: {len(files)} files sent"]
    assert pushed(made, stores) == [f"{run_id}: there already"]
    project = clone(made, tmp_path / "clone")
    (said,) = pulled(project, stores)
    assert said.startswith(f"{run_id}: brought from ")
    assert bundle_files(project, run_id) == files
    assert champion.load_champion(project).run_id == run_id
    assert pulled(project, stores) == [f"{run_id}: here already"]
    assert not list(project.models.glob(".partial*"))


def test_what_broke_off_goes_on_and_what_is_damaged_is_refused(made: Any, tmp_path: Path) -> None:
    folder, run_id = tmp_path / "store", entry_of(made)["run_id"]
    named = f"models.store={folder}"
    pushed(made, named)
    (place,) = folder.iterdir()
    whole = (place / "model.skops").read_bytes()
    # Broken off on the way there: bundle.json, which comes last, is missing, a file is cut off.
    (place / "bundle.json").unlink()
    (place / "model.skops").write_bytes(whole[:100])
    project = clone(made, tmp_path / "clone")
    with pytest.raises(UserError, match=f"does not hold {run_id} as it was promoted"):
        pulled(project, named)
    assert pushed(made, named) == [f"{run_id}: 2 files sent"]
    # Damaged there.
    (place / "model.skops").write_bytes(whole[:-1] + b"x")
    with pytest.raises(UserError, match=r"model\.skops of .* is not what was promoted"):
        pulled(project, named)
    assert not project.bundle_folder(run_id).exists()
    # Broken off on the way here: what is whole is not brought again.
    (place / "model.skops").write_bytes(whole)
    (place / "reference.json").unlink()
    with pytest.raises(UserError, match=r"lacks reference\.json"):
        pulled(project, named)
    partial = project.models / f".partial-pull-{run_id}" / "models" / run_id
    assert (partial / "model.skops").read_bytes() == whole
    (place / "reference.json").write_bytes(bundle_files(made, run_id)["reference.json"])
    (place / "model.skops").unlink()
    assert len(pulled(project, named)) == 1
    assert champion.verify_champion(project) == run_id


def test_nothing_is_overwritten(made: Any, trained: Any, tmp_path: Path) -> None:
    named, run_id = f"models.store={tmp_path / 'store'}", entry_of(made)["run_id"]
    with pytest.raises(UserError, match=f"{run_id}, in service, is neither here nor in"):
        pushed(trained, named)  # the same model, but not the bytes that were promoted
    pushed(made, named)
    assert pushed(trained, named) == []
    project = type(made)(tmp_path / "project")
    shutil.copytree(trained.root, project.root)
    assert pulled(project, named) == [f"{run_id}: here already"]
    project.same_models.unlink()
    moved_predictions(project, 0.1)
    before = bundle_files(project, run_id)
    with pytest.raises(UserError, match="nothing is overwritten"):
        pulled(project, named)
    assert bundle_files(project, run_id) == before
    # A model that train left, and nothing packaged, makes way.
    for path in project.bundle_folder(run_id).iterdir():
        if path.name != "model.skops":
            path.unlink()
    assert len(pulled(project, named)) == 1
    assert bundle_files(project, run_id) == bundle_files(made, run_id)


def test_only_what_was_released_travels_and_by_its_name_too(made: Any, tmp_path: Path) -> None:
    project = type(made)(tmp_path / "project")
    shutil.copytree(made.root, project.root)
    first, named = entry_of(project)["run_id"], f"models.store={tmp_path / 'store'}"
    second, third = (packaged(project, f"decision.cost_fn={cost}").run_id for cost in (5, 9))
    champion.promote(project, second)
    pushed(project, named)
    assert {path.name[:8] for path in (tmp_path / "store").iterdir()} == {first, second}
    other = clone(project, tmp_path / "clone")
    assert pulled(other, named) == [f"{second}: brought from {tmp_path / 'store'}"]
    with pytest.raises(UserError, match="There is no model"):
        champion.rollback(other)
    pulled(other, named, first)
    assert champion.rollback(other) == first
    with pytest.raises(UserError, match=f"{third} was never in service"):
        pulled(other, named, third)


def packaged(project: Any, *overrides: str) -> Any:
    """Package, and return reports/release.json."""
    settings = config.load_settings(project, overrides)
    pipeline.run(project, settings, until="postprocess", say=lambda text: None)
    return pipeline.require(project, "postprocess")


@every_case(
    ("named", "sentence"),
    [
        ("models.store=", "sets no [models] store (a folder, s3://BUCKET/FOLDER"),
        ("models.store=env:NO_SUCH_STORE", "NO_SUCH_STORE"),
        ("models.store=nowhere://bucket", "opened: Protocol not known"),
        ("models.store=gs://bucket/folder", "gs:// needs the package gcsfs; install it"),
    ],
)
def test_a_store_that_cannot_be_used_ends_in_one_sentence(
    made: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str, sentence: str
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    project = clone(made, tmp_path / "clone")
    for use in (pushed, pulled):
        with pytest.raises(UserError) as refused:
            use(project, named)
        assert sentence in str(refused.value)
    assert sorted(project.models.iterdir()) == sorted(
        project.models / name for name in ("champion.json", "champion_history.jsonl")
    )
