"""Batch scoring: what it refuses, how it goes on after a kill, and folders by several processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cases import every_case
from mlproj import predict as predicting
from mlproj.bundle import batch, bundle, champion
from mlproj.core import config, pipeline
from mlproj.core.errors import UserError
from mlproj.data.sample import sample_table

Score = Callable[..., int]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, make_project: Any) -> Any:
    """Return a project with a model in service."""
    project = make_project(
        tmp_path_factory.mktemp("predict"),
        data={"source": "sample:1500", "target": "churned", "id": "customer_id"},
        model={"candidates": "linear", "folds": 0},
    )
    pipeline.run(project, config.load_settings(project), until="postprocess", say=lambda text: None)
    champion.promote(project, pipeline.require(project, "postprocess").run_id)
    return project


@pytest.fixture
def project(trained: Any, tmp_path: Path) -> Any:
    """Return a project of which only conf.cfg and models/ are left."""
    shutil.copytree(trained.models, tmp_path / "models")
    shutil.copy(trained.conf, tmp_path / "conf.cfg")
    return type(trained)(tmp_path)


@pytest.fixture
def score(project: Any) -> Score:
    """Return `predict` for the project; `chunk` sets the rows of a piece."""

    def call(
        source: str, output: str, chunk: int = 100, overrides: Sequence[str] = (), **options: Any
    ) -> int:
        settings = config.load_settings(project, [f"predict.chunk_rows={chunk}", *overrides])
        paths = project.root / source, project.root / output
        return int(predicting.predict(project, settings, *paths, **options))

    return call


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Return 1,000 rows like those of training."""
    return pd.DataFrame(sample_table(1000, seed=7).drop(columns="churned"))


@pytest.fixture
def folder(project: Any, rows: pd.DataFrame) -> Path:
    """Return a folder of four Parquet files and one without a row."""
    parts = Path(project.root / "parts")
    (parts / "later").mkdir(parents=True)
    for number in range(4):
        rows.iloc[number * 250 : (number + 1) * 250].to_parquet(parts / f"part-{number}.parquet")
    rows.head(0).to_parquet(parts / "later" / "part-4.parquet")
    (parts / "_SUCCESS").touch()
    return parts


def whole(project: Any, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions for all rows at once."""
    scored = champion.load_champion(project).predict(rows)
    return pd.DataFrame(scored.reset_index(drop=True))


def names(folder: Path) -> set[str]:
    """Return what is below a folder, the model and the settings left out."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in found if not name.startswith(("models/", "conf.cfg"))}


def read_folder(folder: Path) -> pd.DataFrame:
    """Return the rows of a folder's files, in the order of their names."""
    return pd.concat(map(pd.read_parquet, sorted(folder.glob("*.parquet"))), ignore_index=True)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "jsonl", "xlsx"])
def test_every_format_in_and_out(
    project: Any, score: Score, rows: pd.DataFrame, suffix: str
) -> None:
    source = project.root / f"in.{suffix}"
    writers: dict[str, Callable[[pd.DataFrame], Any]] = {
        "csv": lambda frame: frame.to_csv(source, index=False),
        "tsv": lambda frame: frame.to_csv(source, index=False, sep="\t"),
        "parquet": lambda frame: frame.to_parquet(source),
        "jsonl": lambda frame: frame.to_json(
            source, orient="records", lines=True, date_format="iso"
        ),
        "xlsx": lambda frame: frame.to_excel(source, index=False),
    }
    writers[suffix](rows)
    assert score(source.name, "out.parquet") == len(rows)
    found = pd.read_parquet(project.root / "out.parquet")
    pd.testing.assert_frame_equal(found, whole(project, rows), rtol=1e-9)


def test_rows_of_json_lines_may_lack_keys(project: Any, score: Score, rows: pd.DataFrame) -> None:
    lines = [row.dropna().to_dict() for _, row in rows.head(30).iterrows()]
    lines[0] = rows.iloc[0].astype(object).where(rows.iloc[0].notna(), None).to_dict()
    text = "\n".join(json.dumps(line, default=str) for line in lines)
    (project.root / "in.jsonl").write_text(text, encoding="utf-8")
    assert score("in.jsonl", "out.csv", chunk=3) == 30
    found = pd.read_csv(project.root / "out.csv")
    pd.testing.assert_frame_equal(found, whole(project, rows.head(30)), check_dtype=False)


def test_what_cannot_be_read_or_written(
    project: Any, score: Score, rows: pd.DataFrame, folder: Path
) -> None:
    rows.to_csv(project.root / "in.csv", index=False)
    rows.to_csv(project.root / "in.foo", index=False)
    rows.drop(columns="age").to_csv(project.root / "lacks.csv", index=False)
    rows.assign(colour="red").to_csv(project.root / "more.csv", index=False)
    (project.root / "full").mkdir()
    (project.root / "full" / "mine.txt").touch()
    (project.root / "empty").mkdir()
    before = names(project.root)
    for source, output, words in (
        ("nothing.csv", "out.csv", "nothing.csv does not exist"),
        ("in.foo", "out.csv", "does not have the suffix of a table"),
        ("in.csv", "out.foo", "does not have the suffix of a table"),
        ("in.csv", "out.csv.gz", "leave .gz off"),
        ("in.csv", "in.csv", "is the source itself"),
        ("in.csv", "full", "is a folder, but"),
        ("lacks.csv", "out.csv", "no column 'age'"),
        ("more.csv", "out.csv", "'colour' was not there in training"),
        ("parts", "in.csv", "is a file, but"),
        ("parts", "parts", "within the other"),
        ("parts", "parts/out", "within the other"),
        ("parts", "full", "files that are not predictions"),
        ("empty", "out", "holds no Parquet file"),
    ):
        with pytest.raises(UserError, match=words):
            score(source, output)
    with pytest.raises(UserError, match="no model 'ffffffff'"):
        score("in.csv", "out.csv", model="ffffffff")
    assert names(project.root) == before


def test_without_a_champion(project: Any, score: Score, rows: pd.DataFrame) -> None:
    rows.to_csv(project.root / "in.csv", index=False)
    run_id = champion.read_champion(project)["run_id"]
    project.champion_file.unlink()
    with pytest.raises(UserError, match="No model is in service"):
        score("in.csv", "out.csv")
    assert score("in.csv", "out.csv", model=run_id) == len(rows)


def test_a_file_goes_on_where_it_stopped(
    project: Any, score: Score, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.to_csv(project.root / "in.csv", index=False)
    monkeypatch.setattr(predicting, "PART_ROWS", 200)
    scored = stop_after(monkeypatch, 7)
    with pytest.raises(KeyboardInterrupt):
        score("in.csv", "out.csv")
    assert sum(scored) == 700
    kept = names(project.root) - {"in.csv"}
    assert len([name for name in kept if name.endswith(".arrow")]) == 3
    piece = next(project.root.rglob("*.arrow"))
    shutil.copy(piece, piece.with_name(f".partial-01234567-{piece.name}"))  # what a kill leaves
    scored = stop_after(monkeypatch, 100)
    # Other pieces than before: it is rows that are counted.
    assert score("in.csv", "out.csv", chunk=130) == len(rows)
    assert sum(scored) == 400
    found = pd.read_csv(project.root / "out.csv")
    pd.testing.assert_frame_equal(found, whole(project, rows), check_dtype=False)
    assert names(project.root) == {"in.csv", "out.csv"}


def test_pieces_of_another_source_are_not_used(
    project: Any, score: Score, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.to_csv(project.root / "in.csv", index=False)
    monkeypatch.setattr(predicting, "PART_ROWS", 200)
    stop_after(monkeypatch, 7)
    with pytest.raises(KeyboardInterrupt):
        score("in.csv", "out.csv")
    changed = rows.assign(age=rows["age"].max())
    changed.to_csv(project.root / "in.csv", index=False)
    scored = stop_after(monkeypatch, 100)
    assert score("in.csv", "out.csv") == len(rows)
    assert sum(scored) == len(rows)
    found = pd.read_csv(project.root / "out.csv")
    pd.testing.assert_frame_equal(found, whole(project, changed), check_dtype=False)


def stop_after(monkeypatch: pytest.MonkeyPatch, pieces: int) -> list[int]:
    """Interrupt the scoring after so many pieces; return the list of the rows of each."""
    real = bundle.Bundle.__dict__["score"]
    scored: list[int] = []
    original = getattr(real, "original", real)

    def counted(self: Any, typed: pd.DataFrame) -> Any:
        if len(scored) == pieces:
            raise KeyboardInterrupt
        scored.append(len(typed))
        return original(self, typed)

    counted.original = original  # type: ignore[attr-defined]
    monkeypatch.setattr(bundle.Bundle, "score", counted)
    return scored


def test_a_folder_by_two_processes(
    project: Any, score: Score, rows: pd.DataFrame, folder: Path
) -> None:
    assert score("parts", "out", processes=2) == len(rows)
    output = project.root / "out"
    assert names(output) == {
        "_predictions.json",
        "later/part-4.parquet",
        *(f"part-{number}.parquet" for number in range(4)),
    }
    expected = whole(project, rows)
    pd.testing.assert_frame_equal(read_folder(output), expected)
    assert list(pd.read_parquet(output / "later" / "part-4.parquet")) == list(expected)
    assert json.loads((output / "_predictions.json").read_text())["complete"]


def test_a_folder_goes_on_where_it_stopped(
    project: Any,
    score: Score,
    rows: pd.DataFrame,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    score("parts", "out")
    output = project.root / "out"
    (output / "part-1.parquet").rename(output / ".partial-01234567-part-1.parquet")
    (folder / "part-3.parquet").unlink()
    changed = rows.iloc[500:750].assign(age=30)
    changed.to_parquet(folder / "part-2.parquet")
    scored = stop_after(monkeypatch, 100)
    assert score("parts", "out") == 750
    assert sum(scored) == 500
    expected = whole(project, pd.concat([rows.head(500), changed]))
    pd.testing.assert_frame_equal(read_folder(output), expected)
    assert not (output / "part-3.parquet").exists()
    assert not list(output.rglob(".partial-*"))


def test_a_wrong_file_in_a_folder_stops_all_with_its_sentence(
    project: Any, score: Score, rows: pd.DataFrame, folder: Path
) -> None:
    rows.head(250).assign(plan="platinum").to_parquet(folder / "part-2.parquet")
    with pytest.raises(UserError, match=r"part-2.parquet, column 'plan', row 1: 'platinum'"):
        score("parts", "out", processes=2)
    left = names(project.root / "out")
    assert not [name for name in left if ".partial" in name]
    assert not json.loads((project.root / "out" / "_predictions.json").read_text())["complete"]
    rows.iloc[500:750].to_parquet(folder / "part-2.parquet")
    assert score("parts", "out", processes=2) == len(rows)
    pd.testing.assert_frame_equal(read_folder(project.root / "out"), whole(project, rows))


def broken(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with 999 visits in rows 3 and 250, none known in 5, a new plan in 250."""
    changed = rows.assign(age=rows["visits"].astype("float64"))
    changed.loc[[2, 249], "visits"] = 999
    changed.loc[4, "visits"] = None
    changed.loc[249, "plan"] = "platinum"
    return changed


ABOVE = "column 'visits', row 3: 999 is above 40 (2 rows: 3, 250)"
MISSING = "column 'visits', row 5: the value is missing, but the schema says nullable: false"
UNKNOWN = "column 'plan', row 250: 'platinum' is not one of basic, business, family, plus"
PLANS = "plan is not one of basic, business, family, plus"
VIOLATIONS = [ABOVE, MISSING, UNKNOWN]
MARKS = {
    2: "visits is above 40",
    4: "visits is missing, but the schema says nullable: false",
    249: f"{PLANS}; visits is above 40",
}


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "jsonl", "xlsx"])
def test_rows_that_violate_the_schema_are_marked(
    project: Any, score: Score, rows: pd.DataFrame, suffix: str
) -> None:
    broken(rows).to_csv(project.root / "in.csv", index=False)
    said: list[str] = []
    options = ["predict.violations=mark"]
    assert score("in.csv", f"out.{suffix}", 100, options, say=said.append) == len(rows)
    path = project.root / f"out.{suffix}"
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        "csv": pd.read_csv,
        "tsv": lambda path: pd.read_csv(path, sep="\t"),
        "parquet": pd.read_parquet,
        "jsonl": lambda path: pd.read_json(path, lines=True),
        "xlsx": pd.read_excel,
    }
    found = readers[suffix](path)
    assert found.pop("violations").dropna().to_dict() == MARKS
    expected = champion.load_champion(project).predict(broken(rows), strict=False)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-9)
    assert said[1:] == [f"  - {each}" for each in VIOLATIONS]
    assert "the column 'violations' names them" in said[0]


@every_case(
    ("options", "refused"),
    [
        ([], [UNKNOWN]),
        (["predict.strict=no"], []),
        (["predict.violations=count"], []),
        (["predict.violations=mark"], []),
        (["predict.violations=refuse"], VIOLATIONS),
        (["predict.violations=refuse", "predict.strict=no"], VIOLATIONS),
    ],
)
def test_what_the_settings_do_with_violations(
    project: Any, score: Score, rows: pd.DataFrame, options: list[str], refused: list[str]
) -> None:
    """Those of all pieces are listed together; an earlier output stays where they are refused."""
    broken(rows).to_csv(project.root / "in.csv", index=False)
    output = project.root / "out.csv"
    output.write_text("earlier")
    said: list[str] = []
    if not refused:
        assert score("in.csv", "out.csv", 100, options, say=said.append) == len(rows)
        assert said[1:] == [f"  - {each}" for each in VIOLATIONS]
        marked = "predict.violations=mark" in options
        assert ("violations" in pd.read_csv(output)) == marked
        return
    with pytest.raises(UserError) as raised:
        score("in.csv", "out.csv", 100, options, say=said.append)
    assert all(each in str(raised.value) for each in refused)
    assert ("row 3" in str(raised.value)) == (ABOVE in refused)
    assert "[predict] violations = mark or count" in str(raised.value)
    assert output.read_text() == "earlier" and said == []


def test_rows_within_the_schema_need_no_word(
    project: Any, score: Score, rows: pd.DataFrame
) -> None:
    rows.to_csv(project.root / "in.csv", index=False)
    said: list[str] = []
    score("in.csv", "out.csv", 100, ["predict.violations=refuse"], say=said.append)
    score("in.csv", "out.parquet", 100, ["predict.violations=mark"], say=said.append)
    assert said == []
    assert pd.read_parquet(project.root / "out.parquet")["violations"].isna().all()


def test_violations_are_counted_through_an_interruption(
    project: Any, score: Score, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(rows).to_csv(project.root / "in.csv", index=False)
    options = ["predict.violations=mark"]
    monkeypatch.setattr(predicting, "PART_ROWS", 200)
    stop_after(monkeypatch, 7)
    with pytest.raises(KeyboardInterrupt):
        score("in.csv", "out.csv", 100, options)
    stop_after(monkeypatch, 100)
    said: list[str] = []
    score("in.csv", "out.csv", 130, options, say=said.append)
    assert said[1:] == [f"  - {each}" for each in VIOLATIONS]
    assert pd.read_csv(project.root / "out.csv")["violations"].dropna().to_dict() == MARKS
    # An output without marks cannot go on from parts that have them.
    stop_after(monkeypatch, 7)
    with pytest.raises(KeyboardInterrupt):
        score("in.csv", "out.csv", 100, options)
    scored = stop_after(monkeypatch, 100)
    score("in.csv", "out.csv", 100, ["predict.violations=count"])
    assert sum(scored) == len(rows)
    assert "violations" not in pd.read_csv(project.root / "out.csv")


def test_violations_in_a_folder_are_summed_over_its_files(
    project: Any, score: Score, rows: pd.DataFrame, folder: Path
) -> None:
    changed = broken(rows)
    for number in (0, 2):
        changed.head(250).to_parquet(folder / f"part-{number}.parquet")
    options = ["predict.violations=mark"]
    expected = [
        "part-0.parquet, column 'visits', row 3: 999 is above 40 (4 rows: 3, 250 ...)",
        f"part-0.parquet, {MISSING} (2 rows: 5 ...)",
        f"part-0.parquet, {UNKNOWN} (2 rows: 250 ...)",
    ]
    for processes in (2, 1):  # the second time, every file is finished
        said: list[str] = []
        score("parts", "out", 100, options, processes=processes, say=said.append)
        assert said[1:] == [f"  - {each}" for each in expected]
    found = pd.read_parquet(project.root / "out" / "part-2.parquet")["violations"]
    assert found.dropna().to_dict() == MARKS
    empty = pd.read_parquet(project.root / "out" / "later" / "part-4.parquet")
    assert list(empty)[-1] == "violations"
    with pytest.raises(UserError, match=r"part-\d.parquet has 3 violations"):
        score("parts", "out", 100, ["predict.violations=refuse"], processes=2)


def test_many_violations_are_cut_off() -> None:
    lines = [f"column {number}" for number in range(13)]
    said = list(predicting._violation_lines(lines, config.PredictSettings()))
    assert said[-2:] == ["  - column 9", "  - and 3 more columns or rules"]
    assert not list(predicting._violation_lines([], config.PredictSettings()))


def test_an_id_that_is_called_as_the_marks_are_is_not_overwritten(
    project: Any, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = champion.load_champion(project)
    options = config.PredictSettings(violations="mark")
    job = batch.Job(project, model.run_id, "", options, config.DataSettings())
    typed = model.conform(rows.head(3))
    monkeypatch.setattr(
        bundle.Bundle,
        "predict_table",
        lambda self, typed: typed[["visits"]].set_axis(["violations"], axis=1),
    )
    with pytest.raises(UserError, match="id column 'violations'"):
        batch.predictions_of(model, job, typed)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_a_killed_folder_run_leaves_no_process_and_can_go_on(
    project: Any,
    score: Score,
    rows: pd.DataFrame,
    package_environment: dict[str, str],
    how: str,
) -> None:
    parts = Path(project.root / "parts")
    parts.mkdir()
    for number in range(60):
        rows.to_parquet(parts / f"part-{number:02}.parquet")
    words = ["-m", "mlproj", "predict", "parts", "out", "--processes", "2"]
    started = subprocess.Popen(
        [sys.executable, *words],
        cwd=project.root,
        env=package_environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: len(list((project.root / "out").glob("*.parquet"))) > 2)
    # Ctrl-C reaches every process of a terminal, a kill only the one.
    sign = signal.Signals[how]
    if sign == signal.SIGINT:
        os.killpg(started.pid, sign)
    else:
        started.send_signal(sign)
    assert "Traceback" not in started.communicate(timeout=60)[1]
    wait_for(lambda: not group_is_alive(started.pid))
    assert score("parts", "out") == 60 * len(rows)
    found = pd.read_parquet(project.root / "out" / "part-59.parquet")
    pd.testing.assert_frame_equal(found, whole(project, rows))


def wait_for(condition: Callable[[], bool], seconds: float = 90) -> None:
    """Wait until the condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def group_is_alive(group: int) -> bool:
    """Tell whether any process of the group runs still."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
