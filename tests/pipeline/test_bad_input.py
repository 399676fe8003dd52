"""Bad input ends in one sentence and exit code 2, and leaves what was there as it was."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

ROWS = 400


def table(rows: int = ROWS) -> pd.DataFrame:
    """Return a small table from which `target` can be learnt."""
    random = np.random.default_rng(3)
    number = random.normal(size=rows)
    return pd.DataFrame(
        {
            "number": number.round(4),
            "count": random.integers(0, 9, size=rows),
            "city": random.choice(["Oslo", "Rome", "Lima"], size=rows),
            "target": np.where(number + random.normal(scale=0.5, size=rows) > 0, "yes", "no"),
        }
    )


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a CSV file."""
    frame.to_csv(path, index=False)


@pytest.fixture
def command(
    package: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Return a function that runs the command line here, and gives exit code and error output."""
    from mlproj.cli import main

    def run(root: Path, *arguments: str) -> tuple[int, str]:
        monkeypatch.chdir(root)
        monkeypatch.setattr(sys, "argv", ["mlproj", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        code = stop.value.code
        return (code if isinstance(code, int) else 0), capfd.readouterr().err

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, package: ModuleType) -> Path:
    """Return a project on a good table in which everything up to `evaluate` has run."""
    from mlproj.core.config import load_settings
    from mlproj.core.pipeline import run
    from mlproj.core.project import Project

    root = tmp_path_factory.mktemp("finished") / "project"
    root.mkdir()
    write(table(), root / "table.csv")
    conf = "[data]\nsource = table.csv\ntarget = target\n[model]\ncandidates = linear\nfolds = 2\n"
    (root / "conf.cfg").write_text(conf + "[evaluate]\nbootstrap = 50\n", encoding="utf-8")
    project = Project(root)
    run(project, load_settings(project), until="evaluate", say=lambda line: None)
    return root


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of the finished project that a test may spoil."""
    return Path(shutil.copytree(finished, tmp_path / "project"))


def contents(root: Path) -> dict[str, str]:
    """Return the checksum of every artefact, by relative path; the inputs are left out."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in ("table.csv", "conf.cfg")
    }


def assert_refused(code: int, errors: str, *words: str) -> None:
    """Assert one sentence, exit code 2, and that the sentence names what is wrong."""
    sentences = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert code == 2, errors
    assert len(sentences) == 1, errors
    assert "Traceback" not in errors
    for word in words:
        assert word in errors, f"{word!r} is not in: {errors}"


def duplicated(frame: pd.DataFrame) -> pd.DataFrame:
    """Name two columns alike."""
    return frame.rename(columns={"count": "number"})


def text_in_row_70000() -> str:
    """Return a CSV whose number column holds a word far below what a glance would see."""
    frame = table(70_500).astype({"number": object})
    frame.loc[69_999, "number"] = "about three"
    return frame.to_csv(index=False)


def csv(change: Callable[[pd.DataFrame], pd.DataFrame]) -> str:
    """Return the changed table as CSV."""
    return change(table()).to_csv(index=False)


BAD_TABLES = {
    "empty file": (b"", ["table.csv", "empty"]),
    "header only": (b"number,count,city,target\n", ["table.csv", "row"]),
    "one row": (csv(lambda frame: frame.head(1)).encode(), ["row"]),
    "no such target": (csv(lambda frame: frame.drop(columns="target")).encode(), ["target"]),
    "constant target": (csv(lambda frame: frame.assign(target="yes")).encode(), ["target"]),
    "no target": (
        csv(lambda frame: frame.assign(target=frame["target"].where(frame.index < 0))).encode(),
        ["target", "no value in any"],
    ),
    "duplicate column names": (csv(duplicated).encode(), ["number"]),
    "text in row 70,000": (text_in_row_70000().encode(), ["number", "70,000", "about three"]),
    "wrong encoding": (
        csv(lambda frame: frame.replace("Oslo", "Tromsø")).encode("latin-1"),
        ["table.csv", "encoding"],
    ),
    "ragged rows": (csv(lambda frame: frame).encode() + b"1,2,Rome,yes,extra\n", ["table.csv"]),
    "infinite values": (
        csv(lambda frame: frame.assign(number=frame["number"].where(frame.index != 5, np.inf))),
        ["number", "inf is not a finite number"],
    ),
}


@pytest.mark.parametrize(("content", "words"), BAD_TABLES.values(), ids=BAD_TABLES.keys())
def test_a_bad_table_is_refused_and_nothing_is_lost(
    project: Path,
    command: Callable[..., tuple[int, str]],
    content: bytes | str,
    words: list[str],
) -> None:
    """Every fault of a table is named, and the last good results stay."""
    (project / "table.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    before = contents(project)
    code, errors = command(project, "ingest", "--infer")
    assert_refused(code, errors, *words)
    assert contents(project) == before


def run_here(
    root: Path, environment: dict[str, str], *words: str, read: bool = True
) -> tuple[int, str]:
    """Run the command line in a process of its own; return its exit code and error output."""
    with subprocess.Popen(
        [sys.executable, "-m", "mlproj", *words],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        if not read:
            process.stdout.close()
        errors = process.communicate()[1]
    return process.returncode, errors


def test_a_module_that_does_not_load_is_a_fault_of_the_code(
    project: Path, package: ModuleType, package_environment: dict[str, str], tmp_path: Path
) -> None:
    """It ends with 3, since schedulers take 1 for an alert."""
    source = Path(str(package.__file__)).parent
    broken = shutil.copytree(source, tmp_path / "src" / "mlproj") / "broken" / "__init__.py"
    broken.parent.mkdir()
    broken.write_text("import nothing_of_this_name\n", encoding="utf-8")
    environment = {**package_environment, "PYTHONPATH": str(tmp_path / "src")}
    code, errors = run_here(project, environment, "config", "show")
    assert code == 3
    assert "nothing_of_this_name" in errors


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
@pytest.mark.parametrize("words", [("config", "show"), ("runs", "list"), ("--help",)])
def test_output_that_nobody_reads_is_no_alert(
    project: Path, package_environment: dict[str, str], words: tuple[str, ...]
) -> None:
    """It ends quietly, and as a program that the signal ended."""
    assert run_here(project, package_environment, *words, read=False) == (141, "")


def test_a_missing_file_is_refused(project: Path, command: Callable[..., tuple[int, str]]) -> None:
    """The sentence names the file that is not there."""
    before = contents(project)
    code, errors = command(project, "run", "--set", "data.source=nowhere.csv")
    assert_refused(code, errors, "nowhere.csv")
    assert contents(project) == before


def test_dates_that_do_not_parse_are_refused(
    project: Path, command: Callable[..., tuple[int, str]]
) -> None:
    """A column that the schema calls a datetime holds something else."""
    days = pd.date_range("2024-01-01", periods=ROWS).strftime("%Y-%m-%d").to_list()
    write(table().assign(day=days), project / "table.csv")
    command_line = ["run", "--until", "preprocess"]
    (project / "data" / "schema.yaml").unlink()
    assert command(project, *command_line)[0] == 0
    days[41] = "31st of Juni"
    write(table().assign(day=days), project / "table.csv")
    before = contents(project)
    code, errors = command(project, *command_line)
    assert_refused(code, errors, "day", "31st of Juni", "42")
    assert contents(project) == before


def test_an_unknown_category_is_refused_at_prediction_unless_allowed(
    project: Path, command: Callable[..., tuple[int, str]]
) -> None:
    """A city that training never saw is named; `predict.strict=no` scores it as unknown."""
    write(table().assign(city="Atlantis").drop(columns="target"), project / "new.csv")
    code, errors = command(project, "predict", "new.csv", "scored.csv")
    assert_refused(code, errors, "city", "Atlantis")
    assert not (project / "scored.csv").exists()
    code, _ = command(project, "predict", "new.csv", "scored.csv", "--set", "predict.strict=no")
    assert code == 0
    assert len(pd.read_csv(project / "scored.csv")) == ROWS


@pytest.mark.parametrize("column", ["city", "extra"])
def test_missing_and_new_columns_are_refused_at_prediction(
    project: Path, command: Callable[..., tuple[int, str]], column: str
) -> None:
    """The sentence names the column that is missing or new."""
    frame = table().drop(columns="target")
    write(
        frame.drop(columns=column) if column in frame else frame.assign(extra=1),
        project / "new.csv",
    )
    code, errors = command(project, "predict", "new.csv", "scored.csv")
    assert_refused(code, errors, column)
    assert not (project / "scored.csv").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("split.train=0.9", ["[split]", "1"]),
        ("split.rule=alphabetic", ["[split] rule = alphabetic", "stratified"]),
        ("model.folds=many", ["[model] folds = many"]),
        ("model.candidates=oracle", ["oracle", "linear"]),
        ("model.task=luck", ["[model] task = luck: has to be one of classification, regression"]),
        ("model.metric=luck", ["luck", "roc_auc"]),
        ("modle.folds=3", ["modle", "the sections are"]),
        ("model.fold=3", ["fold", "it has"]),
        ("params.linear.strength=3", ["linear", "strength"]),
        ("nonsense", ["section.key=value"]),
    ],
)
def test_a_wrong_setting_is_refused(
    project: Path, command: Callable[..., tuple[int, str]], setting: str, words: list[str]
) -> None:
    """The sentence names section, key and value, and what is allowed."""
    before = contents(project)
    code, errors = command(project, "run", "--set", setting)
    assert_refused(code, errors, *words)
    assert contents(project) == before


def test_a_folder_outside_any_project_is_refused(
    tmp_path: Path, command: Callable[..., tuple[int, str]]
) -> None:
    """The sentence says that conf.cfg is missing."""
    code, errors = command(tmp_path, "run")
    assert_refused(code, errors, "conf.cfg", os.fspath(tmp_path))


def test_a_fault_of_the_code_is_told_from_bad_input(
    command: Callable[..., tuple[int, str]], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("mlproj.core.project.find_project", fail)
    code, said = command(project, "config", "show")
    assert code == 3
    assert said.startswith("Traceback") and said.endswith("ZeroDivisionError: a fault\n")
