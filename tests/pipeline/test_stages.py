"""A folder of the package adds a stage by itself, and what cannot be ordered is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from mlproj.core import registry
from mlproj.core.code_fingerprint import PACKAGE
from mlproj.core.registry import Registry, Stage

Command = Callable[..., subprocess.CompletedProcess[str]]

# What the folder of a module holds: a stage between `evaluate` and `report`, its own section of
# conf.cfg, and its part of the page.
SLICES = {
    "slices/__init__.py": '''
"""How good the model is on parts of the rows."""

from ..core.registry import REPORT_SECTIONS, SETTINGS, Stage, add_stages

SETTINGS.add(slices=".slices.settings:SlicesSettings")
REPORT_SECTIONS.add(slices=".slices.stage:section")
add_stages(
    Stage(
        "slices",
        ".slices.stage:judge_slices",
        report="slices",
        after=("evaluate",),
        before=("report",),
        settings=("slices",),
        then={"told": ".slices.stage:tell"},
    )
)
''',
    "slices/settings.py": """
from pydantic import Field

from ..core.config import Section


class SlicesSettings(Section):
    parts: int = Field(default=2, description="how many parts")
    least: int = Field(default=1, description="parts that are needed")
""",
    "slices/stage.py": '''
from ..core.errors import GateError
from ..core.pipeline import require, write_report
from .parts import FACTOR


def judge_slices(
    project: object,
    settings: object,
) -> object:
    """Measure the model on parts of the rows.

    More of this.
    """
    parts, least = settings.slices.parts, settings.slices.least
    evaluated = require(project, "evaluate")
    report = write_report(
        project,
        settings,
        "slices",
        {
            "parts": parts * FACTOR,
            "passed": parts >= least,
            "verdict": f"There are {parts} parts, but [slices] least asks for {least}.",
            "summary": f"{parts * FACTOR} parts",
        },
        run_id=evaluated.run_id,
        data=evaluated.data,
    )
    if parts < least:
        raise GateError(report.facts["verdict"])
    return report


def tell(project: object, settings: object, run_id: str) -> str:
    return f"the parts of {run_id}"


def section(project: object, settings: object) -> object:
    from ..reporting.html import Section

    facts = require(project, "slices").facts
    return Section("Parts", f"<p>There are {facts['parts']} parts.</p>")
''',
    "slices/parts.py": "FACTOR = 10\n",
}


def make_package(folder: Path, files: Mapping[str, str]) -> Path:
    """Copy the package to ``folder/src/own``, with further files."""
    own = folder / "src" / "own"
    shutil.copytree(PACKAGE, own, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in files.items():
        path = own / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip(), encoding="utf-8")
    return own


def command_in(folder: Path) -> Command:
    """``command("run")`` runs the copy's command line in the project ``folder``."""

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "own", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200"},
            capture_output=True,
            encoding="utf-8",
        )

    return command


@pytest.fixture(name="sliced", scope="module")
def sliced_fixture(
    tmp_path_factory: pytest.TempPathFactory, make_project: Callable[..., object]
) -> Path:
    """A project with the module, which ran."""
    folder = tmp_path_factory.mktemp("sliced")
    make_project(
        folder,
        data={"source": "sample", "target": "churned", "id": "customer_id"},
        model={"candidates": "linear", "folds": 0},
        evaluate={"bootstrap": 10, "margin": 0},
    )
    make_package(folder, SLICES)
    done = command_in(folder)("run")
    assert done.returncode == 0, done.stderr
    (folder / "out.txt").write_text(done.stdout, encoding="utf-8")
    return folder


def lines_of(output: str) -> list[str]:
    """The first word of each line that `run` prints about a stage."""
    return re.findall(r"^([a-z]+) {2,}", output, re.MULTILINE)


def test_a_module_s_stage_runs_in_its_place(sliced: Path) -> None:
    names = lines_of((sliced / "out.txt").read_text("utf-8"))
    expected = "ingest preprocess train postprocess evaluate champion slices told report"
    assert names[: len(expected.split())] == expected.split()
    facts = json.loads((sliced / "reports" / "slices.json").read_text("utf-8"))["facts"]
    assert facts["parts"] == 20
    assert "There are 20 parts." in (sliced / "reports" / "index.html").read_text("utf-8")


def test_it_has_a_command_and_settings(sliced: Path) -> None:
    command = command_in(sliced)
    listed = command("--help").stdout
    names = [line.split()[0] for line in listed.splitlines() if line.startswith("  ")]
    places = [names.index(name) for name in ("evaluate", "slices", "report", "predict")]
    assert places == sorted(places)
    assert "Measure the model on parts of the rows." in listed
    assert "More of this" not in command("slices", "--help").stdout
    done = command("slices", "--set", "slices.parts=3")
    assert (done.returncode, done.stdout) == (0, "30 parts\n")
    assert "parts = 2" in command("config", "show").stdout
    assert command("run", "--until", "slices").stdout.count("20 parts") == 1


def test_it_is_due_when_its_settings_or_its_code_changed(sliced: Path) -> None:
    command = command_in(sliced)
    command("run")

    def state(*words: str) -> dict[str, bool]:
        out = command("run", *words).stdout
        stages = re.findall(r"^([a-z]+) {2,}(.*)$", out, re.MULTILINE)
        return {name: said != "unchanged" for name, said in stages if name != "champion"}

    assert [name for name, due in state().items() if due] == ["told"]
    due = state("--set", "slices.parts=4")
    assert [name for name in due if due[name]] == ["slices", "told", "report"]
    parts = sliced / "src" / "own" / "slices" / "parts.py"
    parts.write_text("FACTOR = 100\n", encoding="utf-8")
    due = state("--set", "slices.parts=4")
    assert [name for name in due if due[name]] == ["slices", "told", "report"]
    parts.write_text("FACTOR = 10\n", encoding="utf-8")
    assert state("--until", "evaluate").keys() == {
        *("ingest", "preprocess", "train", "postprocess", "evaluate")
    }


def test_a_missed_bar_fails_the_run_when_the_stage_is_skipped_too(sliced: Path) -> None:
    command = command_in(sliced)
    sentence = "Error: There are 2 parts, but [slices] least asks for 3.\n"
    for state in ("missed its bar", "unchanged"):
        done = command("run", "--set", "slices.least=3")
        assert (done.returncode, done.stderr) == (1, sentence)
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("slices")]
        assert state in line
        assert "told" not in done.stdout
        assert any(line.startswith("report ") for line in done.stdout.splitlines())


# What cannot be.


def extra(entries: str, what: str = "Stage, add_stages") -> str:
    """A folder's ``__init__.py``."""
    return f"from ..core.registry import {what}\n\n{entries}\n"


STAGE = 'add_stages(Stage("{name}", ".{name}.stage:run", report="{report}"{rest}))'


def stage(name: str, rest: str = "", report: str = "") -> str:
    """A folder's ``__init__.py`` that adds a stage."""
    return extra(STAGE.format(name=name, report=report or name, rest=rest and f", {rest}"))


BAD = {
    "circle": (
        {"a/__init__.py": stage("a", 'after=("b",)'), "b/__init__.py": stage("b", 'after=("a",)')},
        "The stages wait for each other in a circle: a after b after a; correct the `after` or the "
        "`before` of one of them.",
    ),
    "circle with the pipeline": (
        {"a/__init__.py": stage("a", 'after=("report",), before=("train",)')},
        "The stages wait for each other in a circle: train after a after report after evaluate "
        "after postprocess after train; correct the `after` or the `before` of one of them.",
    ),
    "itself": (
        {"a/__init__.py": stage("a", 'after=("a",)')},
        "The stages wait for each other in a circle: a after a; correct the `after` or the "
        "`before` of one of them.",
    ),
    "unknown": (
        {"a/__init__.py": stage("a", 'after=("tune",)')},
        "The stage 'a' (.a.stage:run) has to come after 'tune', but the stages are: ingest, "
        "preprocess, train, postprocess, evaluate, report, a.",
    ),
    "unknown before": (
        {"a/__init__.py": stage("a", 'before=("tune",)')},
        "The stage 'a' (.a.stage:run) has to come before 'tune', but the stages are: ingest, "
        "preprocess, train, postprocess, evaluate, report, a.",
    ),
    "one report": (
        {"a/__init__.py": stage("a", report="metrics")},
        "The stages 'evaluate' (.evaluate:evaluate) and 'a' (.a.stage:run) both write "
        "reports/metrics.json; give one of them another report.",
    ),
    "stage": (
        {"a/__init__.py": stage("train")},
        "Two modules add the stage 'train': .train:train and .train.stage:run; rename one of them.",
    ),
    "command": (
        {
            "a/__init__.py": extra('COMMANDS.add(tell=".a.tell:tell")', "COMMANDS"),
            "b/__init__.py": extra('COMMANDS.add(tell=".b.tell:tell")', "COMMANDS"),
        },
        "Two modules add the command 'tell': .a.tell:tell and .b.tell:tell; rename one of them.",
    ),
    "command of the pipeline": (
        {"a/__init__.py": extra('COMMANDS.add(champion=".a.tell:tell")', "COMMANDS")},
        "A module adds the command 'champion' (.a.tell:tell), but there is one of that name; "
        "choose another.",
    ),
    "stage named as a command": (
        {"a/__init__.py": stage("predict")},
        "A module adds the command 'predict' (.predict.stage:run), but there is one of that name; "
        "choose another.",
    ),
    "source": (
        {"a/__init__.py": extra('SOURCES.add(http=".a.http:fetch")', "SOURCES")},
        "Two modules add the source 'http': .a.http:fetch and .data.sources:fetch_http; rename one "
        "of them.",
    ),
    "task": (
        {"net/__init__.py": extra('TASKS.add(regression=".net.a:RANKING")', "TASKS")},
        "Two modules add the task 'regression': .net.a:RANKING and .tasks.regression:REGRESSION; "
        "rename one of them.",
    ),
    "kind of input": (
        {
            "net/__init__.py": extra(
                'INPUTS.add(number=Input(("integer",), ".net.a:prepare"))',
                "INPUTS\nfrom ..models import Input",
            )
        },
        "Two modules add the kind of input 'number': .models.features:floats and .net.a:prepare; "
        "rename one of them.",
    ),
    "weights": (
        {
            f"{name}/__init__.py": extra(
                f'KIND = Weights("net", ("net.bin",), ".{name}:save", ".{name}:load")\n'
                'WEIGHTS.add(**{".net:Net": KIND})',
                "WEIGHTS\nfrom ..models import Weights",
            )
            for name in ("a", "b")
        },
        "Two modules add the weights of the class '.net:Net': .a:save and .b:save; rename one of "
        "them.",
    ),
    "listener": (
        {
            "a/__init__.py": extra('LISTENERS.add(log=".a.log:note")', "LISTENERS"),
            "b/__init__.py": extra('LISTENERS.add(log=".b.log:note")', "LISTENERS"),
        },
        "Two modules add the listener 'log': .a.log:note and .b.log:note; rename one of them.",
    ),
    "estimator": (
        {"net/__init__.py": extra('ESTIMATORS.add(linear=".net.a:fit")', "ESTIMATORS")},
        "Two modules add the estimator 'linear': .models.classic:linear and .net.a:fit; rename one "
        "of them.",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_cannot_be_is_one_sentence(tmp_path: Path, fault: str) -> None:
    files, sentence = BAD[fault]
    make_package(tmp_path, files)
    done = command_in(tmp_path)("--help")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: {sentence}\n"


def test_two_modules_cannot_have_one_section_of_conf(
    tmp_path: Path, make_project: Callable[..., object]
) -> None:
    make_project(tmp_path, data={"source": "sample"})
    own = make_package(
        tmp_path, {"a/__init__.py": extra('SETTINGS.add(model=".a.b:C")', "SETTINGS")}
    )
    command = command_in(tmp_path)
    done = command("config", "show")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: The section [model] of conf.cfg is the pipeline's own, and a module adds it too: "
        ".a.b:C; rename that one.\n"
    )
    for name in ("a", "b"):
        path = own / name / "__init__.py"
        path.parent.mkdir(exist_ok=True)
        text = extra(f'SETTINGS.add(tune=".{name}.settings:C")', "SETTINGS")
        path.write_text(text, encoding="utf-8")
    assert command("config", "show").stderr == (
        "Error: Two modules add the section of conf.cfg 'tune': .a.settings:C and .b.settings:C; "
        "rename one of them.\n"
    )


def test_a_helper_of_the_team_s_that_imports_a_stage_is_refused(
    tmp_path: Path, make_project: Callable[..., object]
) -> None:
    make_project(tmp_path, data={"source": "sample", "target": "churned"})
    own = make_package(tmp_path, {"pricing.py": "RATE = 1.19\n\nfrom .train import train\n"})
    with (own / "custom.py").open("a", encoding="utf-8") as file:
        file.write("\n\nfrom .pricing import RATE\n")
    done = command_in(tmp_path)("run")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: src/own/pricing.py, line 3, imports train.py, which is a stage, so every result "
        "would follow from every stage; import what that stage builds on, or move the shared code "
        "to a file of its own.\n"
    )
    assert not (tmp_path / "data").exists()
    (own / "pricing.py").write_text("RATE = (1.19\n", encoding="utf-8")
    assert command_in(tmp_path)("run").stderr == (
        "Error: src/own/pricing.py, line 1, is not valid Python: '(' was never closed; correct "
        "it.\n"
    )


def test_the_team_may_replace_what_is_there() -> None:
    known = Registry[str]("estimator")
    known.add(linear=".models.classic:linear")
    known.add(linear=".models.classic:linear")
    known.update({"linear": ".custom:linear"})
    assert known == {"linear": ".custom:linear"}


def test_of_stages_that_are_ready_the_first_added_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry.extend_by_modules()
    for name in list(registry.STAGES):
        monkeypatch.delitem(registry.STAGES, name)
    for name, after, before in (
        ("d", ("b", "c"), ()),
        ("c", ("a",), ()),
        ("b", ("a",), ()),
        ("a", (), ()),
        ("e", (), ("b",)),
    ):
        stage = Stage(name, f".{name}:run", report=name, after=after, before=before)
        monkeypatch.setitem(registry.STAGES, name, stage)
    assert list(registry.stages()) == ["a", "c", "e", "b", "d"]
    assert [each.name for each in registry.stages_before("d")] == ["a", "c", "e", "b"]
    assert [each.name for each in registry.stages_before("b")] == ["a", "e"]
    assert registry.stages_before("a") == []


# ------------------------------------------------------------------------ memory and threads


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc keeps freed memory")
def test_what_a_stage_no_longer_uses_goes_back_to_the_system(
    package_environment: Mapping[str, str],
) -> None:
    script = """
import numpy as np
from mlproj.core import pipeline

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

arrays = [np.ones(10_000) for _ in range(2_000)]  # 160 MB in pieces that glibc keeps
last = arrays[-1]
del arrays
before = resident()
pipeline._give_memory_back()
print(before - resident())
"""
    done = run_script(script, package_environment)
    assert float(done.stdout) > 100


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libgomp says what it was set to")
@pytest.mark.parametrize(("given", "spins"), [(None, False), ("active", True)])
def test_threads_that_wait_sleep_unless_the_user_chose(
    given: str | None, spins: bool, package_environment: Mapping[str, str]
) -> None:
    script = """
import contextlib, sys
from mlproj.__main__ import main

sys.argv = ["mlproj", "--help"]
with contextlib.suppress(SystemExit):
    main()
import sklearn.ensemble
"""
    own = {"OMP_DISPLAY_ENV": "verbose"} | ({"OMP_WAIT_POLICY": given} if given else {})
    environment = {
        name: value for name, value in package_environment.items() if name != "OMP_WAIT_POLICY"
    }
    done = run_script(script, environment | own)
    (count,) = set(re.findall(r"GOMP_SPINCOUNT = '(\w+)'", done.stderr))
    assert (count != "0") is spins


def test_nothing_is_searched_for_garbage_at_the_end(
    package_environment: Mapping[str, str],
) -> None:
    script = """
import contextlib, gc, sys
from mlproj.__main__ import main

sys.argv = ["mlproj", "--help"]
with contextlib.suppress(SystemExit):
    main()
print(gc.get_freeze_count())
"""
    done = run_script(script, package_environment)
    assert int(done.stdout.split()[-1]) > 10_000


def run_script(script: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python of its own."""
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
