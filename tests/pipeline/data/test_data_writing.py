"""Files are written whole or not at all, and read back as they were written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlproj.core import files
from mlproj.core.config import DataSettings
from mlproj.core.errors import UserError
from mlproj.core.project import Project
from mlproj.data import readers, schema, split, writers
from mlproj.data.words import read_words
from tables import everything, members, mixed_table, run_data, write_source

KILLED = """
import contextlib, os, sys
from pathlib import Path
import mlproj.data.sources, mlproj.ingest, mlproj.preprocess
from mlproj.core.config import load_settings
from mlproj.core.files import write_atomic
from mlproj.core.project import Project

import mlproj.core.files

def run(folder, dies_at):
    left = dies_at

    @contextlib.contextmanager
    def dying(path):
        nonlocal left
        with write_atomic(path) as temporary:
            yield temporary
            left -= 1
            if left == 0:
                content = temporary.read_bytes()
                temporary.write_bytes(content[: len(content) // 2])
                os._exit(9)

    modules = (mlproj.core.files, mlproj.data.sources, mlproj.ingest, mlproj.preprocess)
    for module in modules:
        module.write_atomic = dying
    project = Project(Path(folder))
    settings = load_settings(project)
    mlproj.ingest.ingest(project, settings)
    mlproj.preprocess.preprocess(project, settings)

for at, folder in enumerate(sys.argv[1:], 1):
    child = os.fork()
    if child == 0:
        run(folder, at)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_at_any_write_loses_nothing(
    tmp_path: Path, make_project: Callable[..., Any], package_environment: dict[str, str]
) -> None:
    first = make_project(tmp_path / "0", data={"source": "t.csv", "target": "label"})
    table = mixed_table(120)
    write_source(table.iloc[:80], first.root / "t.csv")
    run_data(first)
    before = {name: split.load_split(first, name) for name in split.SPLITS}
    write_source(table, first.root / "t.csv")
    folders = [shutil.copytree(first.root, tmp_path / str(at)) for at in range(1, 13)]
    command = [sys.executable, "-c", KILLED, *map(str, folders)]
    driven = subprocess.run(command, env=package_environment, capture_output=True, text=True)
    codes = driven.stdout.split()
    writes = codes.index("0")
    # Original, typed, schema report, ingest report, three parts, manifest, split report.
    assert codes == ["9"] * 9 + ["0"] * 3, driven.stderr
    for folder in folders[:writes]:
        project = Project(folder)
        (left,) = folder.rglob(".partial-*")
        os.utime(left, (0, 0))
        if split.load_manifest(project) == split.load_manifest(first):
            for name, frame in before.items():
                pd.testing.assert_frame_equal(split.load_split(project, name), frame)
        else:
            assert sum(len(split.load_split(project, name)) for name in split.SPLITS) == 120
        facts = run_data(project)
        assert sum(facts["rows"].values()) == 120
        assert [path for path in everything(folder) if ".partial" in path] == []
        assert len(list(project.split_folder("train").glob("*.parquet"))) == 1


WRITES = """
import sys
from pathlib import Path
from mlproj.core.files import read_json, write_json

path = Path(sys.argv[1])
for at in range(200):
    write_json(path, [at] * 2_000)
    assert len(read_json(path)) == 2_000
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows replaces no file that is being read")
def test_processes_can_write_the_same_file(
    tmp_path: Path, package_environment: dict[str, str]
) -> None:
    words = [sys.executable, "-c", WRITES, str(tmp_path / "same.json")]
    several = [
        subprocess.Popen(words, env=package_environment, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [each.communicate()[1] for each in several] == [""] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["same.json"]


def test_what_a_kill_left_goes_after_an_hour_and_what_is_being_written_stays(
    tmp_path: Path,
) -> None:
    dead, alive = tmp_path / ".partial-00000000-a.parquet", tmp_path / ".partial-11111111-b.json"
    for path in (dead, alive):
        path.touch()
    (tmp_path / ".partial-export").mkdir()
    os.utime(dead, (0, 0))
    files.write_json(tmp_path / "b.json", 1)
    assert {path.name for path in tmp_path.iterdir()} == {alive.name, ".partial-export", "b.json"}
    with files.write_atomic(tmp_path / "b.json") as temporary:
        assert temporary.name.startswith(".partial-") and temporary.suffix == ".json"
        with files.write_atomic(tmp_path / "b.json") as other:
            other.write_text("2", encoding="utf-8")
        temporary.write_text("3", encoding="utf-8")
    assert files.read_json(tmp_path / "b.json") == 3


# -------------------------------------------------------------------------------- reading, writing


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "jsonl", "xlsx"])
def test_what_is_written_in_pieces_reads_back_equal(suffix: str, tmp_path: Path) -> None:
    table = mixed_table(100)
    table["note"] = [f'said "{row}", then\nleft' for row in range(100)]
    table["price"] = table["price"].mask(table.index % 4 == 0)
    path = tmp_path / f"t.{suffix}"
    with writers.open_writer(path, suffix) as write:
        for at in range(0, 100, 30):
            write(table.iloc[at : at + 30])
    back = read_words(readers.read_table(path), DataSettings()).frame
    assert list(back) == list(table)
    back["when"] = pd.to_datetime(back["when"]).dt.tz_localize(None)
    exact = suffix in ("csv", "tsv", "parquet")
    pd.testing.assert_frame_equal(back, table, check_dtype=False, check_exact=exact)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "xlsx"])
def test_pieces_are_the_whole(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{suffix}"
    write_source(mixed_table(100), path)
    pieces = list(readers.iter_tables(path, 30, columns=["price", "key"]))
    assert [len(piece) for piece in pieces] == [30, 30, 30, 10]
    whole = readers.read_table(path)[["price", "key"]]
    joined = pd.concat(pieces, ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole, check_exact=True)
    with pytest.raises(UserError, match="close to it: 'price'"):
        list(readers.iter_tables(path, 30, columns=["prices"]))


def test_a_european_csv_is_understood(place: Any) -> None:
    rows = [f"{row},{row % 10}5;{'ab'[row % 2]};{row}" for row in range(1, 60)]
    project = place("\ufeffprice;label;n\n" + "\n".join(rows) + "\n")
    run_data(project)
    assert schema.load_schema(project).column("price").type == "number"
    assert (
        1.15
        in members(project, "price")["train"]
        | members(project, "price")["test"]
        | members(project, "price")["valid"]
    )
