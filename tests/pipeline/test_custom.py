"""The worked examples in `custom.py` work once their `#` is taken away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlproj import custom
from mlproj.bundle.bundle import load_bundle
from mlproj.core.project import Project
from mlproj.data.split import load_split
from room import Room
from uncomment import examples, uncommented

CONF = """[data]
source = {source}
target = {target}
[model]
task = regression
candidates = {candidates}
metric = {metric}
folds = 2
[params]
{params}
[evaluate]
bootstrap = 50
margin = 0
"""
TEXT = Path(str(custom.__file__)).read_text(encoding="utf-8")
EXAMPLES = examples(TEXT)


@pytest.fixture(name="room", scope="module")
def room_fixture(tmp_path_factory: pytest.TempPathFactory) -> Room:
    """A project that ran with every example of custom.py taken at its word."""
    room = Room(tmp_path_factory.mktemp("custom"))
    room.custom.write_text(uncommented(TEXT, *EXAMPLES), encoding="utf-8")
    (room.root / "incoming").mkdir()
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"price": random.uniform(1, 9, 300), "rooms": random.integers(1, 9, 300)})
    frame["age"] = [300] * 10 + [40, 50] * 145
    frame["rent"] = (frame["price"] / frame["rooms"] - 1).round(2)
    frame[:100].to_csv(room.root / "incoming" / "a.csv", index=False)
    frame[100:].to_csv(room.root / "incoming" / "b.csv", index=False)
    conf = CONF.format(
        source="folder:incoming",
        target="rent",
        candidates="extra_trees",
        metric="rmse",
        params="extra_trees.n_estimators = 20",
    )
    (room.root / "conf.cfg").write_text(conf, encoding="utf-8")
    room.trained()
    return room


def test_the_own_source_is_read(room: Room) -> None:
    """All rows of both files arrive, as an original of their own."""
    assert room.report("ingest")["facts"]["rows"] == 300
    assert (room.root / "data" / "original" / "incoming.parquet").is_file()


def test_the_own_rule_drops_rows_before_the_split(room: Room) -> None:
    """The ten rows whose age is impossible are in no part."""
    parts = [load_split(Project(room.root), name) for name in ("train", "valid", "test")]
    assert all((part["age"] < 120).all() for part in parts)


def test_the_own_estimator_feature_and_transformer_make_the_model(room: Room) -> None:
    """The estimator is packaged; the added column and the groups are among its features."""
    assert room.report("train")["facts"]["winner"] == "extra_trees"
    bundle = load_bundle(Project(room.root), room.report("release")["run_id"])
    assert "price_per_room" in bundle.model[0].feature_names_in_
    groups = bundle.model[0].named_transformers_["ten_groups"][-1]
    assert len(groups.bin_edges_) == 2


def test_the_own_metric_stands_beside_the_others(room: Room) -> None:
    found = room.report("metrics")["facts"]["metrics"]["wrong_share"]
    assert 0 <= found["low"] <= found["value"] <= found["high"] <= found["baseline"] <= 1


def test_the_own_rule_decides_last(room: Room) -> None:
    """No rent is below 0, though the trees predict such."""
    project = Project(room.root)
    bundle = load_bundle(project, room.report("release")["run_id"])
    rows = load_split(project, "test")
    typed = bundle.conform(rows, strict=False)
    assert (bundle.score(typed) < 0).any()
    assert (bundle.predict(rows)["prediction"] >= 0).all()


@pytest.mark.parametrize("wanted", EXAMPLES, ids=str)
def test_each_example_works_alone(tmp_path: Path, wanted: tuple[int, int]) -> None:
    room = Room(tmp_path)
    text = uncommented(TEXT, wanted)
    room.custom.write_text(text, encoding="utf-8")
    own = '\nESTIMATORS["' in text, '\nMETRICS["' in text
    conf = CONF.format(
        source="sample:300",
        target="spend",
        candidates="extra_trees" if own[0] else "linear",
        metric="wrong_share" if own[1] else "rmse",
        params="",
    )
    (tmp_path / "conf.cfg").write_text(conf, encoding="utf-8")
    done = room.run("run", "--until", "postprocess")
    assert done.returncode == 0, done.stdout + done.stderr
    assert room.report("train")["facts"]["winner"] == ("extra_trees" if own[0] else "linear")


def test_nothing_of_it_has_to_be_there(tmp_path: Path) -> None:
    room = Room(tmp_path / "room")
    room.custom.write_text('"""Ours."""\n', encoding="utf-8")
    assert room.bundle(room.trained())["rows"]["train"] > 400
