"""A bundle predicts by the team's code that it was made with, whatever `custom` says today."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from mlproj.bundle.bundle import load_bundle
from mlproj.bundle.carried import TEMPLATE
from mlproj.bundle.champion import load_champion
from mlproj.core.code_fingerprint import PACKAGE
from mlproj.core.errors import UserError
from mlproj.core.project import Project
from mlproj.core.registry import PARTS, extend_by_modules
from mlproj.data.split import load_split
from room import Room

FIRST = """
from sklearn.base import BaseEstimator, TransformerMixin

from .core.errors import UserError


class Capped(TransformerMixin, BaseEstimator):
    \"\"\"Numbers, at most as large as 95% of those of train.\"\"\"

    def fit(self, X, y=None):
        self.most_ = X.quantile(0.95).to_numpy()
        return self

    def transform(self, X):
        return X.clip(upper=self.most_, axis=1).fillna(0).to_numpy()


def capped(inputs, kind, seed):
    return Capped(), ["age", "age_next"]


TRANSFORMERS = {"capped": capped}


def add_features(frame):
    return frame.assign(age_next=frame["age"] + 1.0)


def decide(frame, predictions):
    predictions.loc[frame["age"] < 30, "prediction"] = "no"
    return predictions
"""
SECOND = FIRST.replace("0.95", "0.5").replace("+ 1.0", "* 3.0").replace("< 30", "< 60")
BROKEN = 'raise RuntimeError("half an edit")\n'


@pytest.fixture(name="made", scope="module")
def made_fixture(tmp_path_factory: pytest.TempPathFactory) -> Room:
    """A project with a champion that needs every kind of the team's code."""
    room = Room(tmp_path_factory.mktemp("made"))
    room.write(FIRST)
    room.trained()
    load_split(Project(room.root), "test").to_parquet(room.root / "in.parquet")
    return room


@pytest.fixture(name="room")
def room_fixture(made: Room, tmp_path: Path) -> Room:
    """A copy of that project."""
    return made.copy(tmp_path / "copy")


def scored(room: Room) -> bytes:
    """The file of predictions by the champion, and no other output."""
    done = room.run("predict", "in.parquet", "out.csv")
    assert done.returncode == 0, done.stdout + done.stderr
    return (room.root / "out.csv").read_bytes()


def test_the_champion_predicts_the_same_after_any_edit(room: Room) -> None:
    before = scored(room)
    for text in (SECOND, "", BROKEN):
        room.write(text)
        assert scored(room) == before
    served = room.run("serve", "--check")
    assert "can be served here" in served.stdout, served.stderr


def test_the_next_model_is_of_the_new_code(room: Room) -> None:
    """Both predict beside each other in one process, each by its own code."""
    first, before = room.report("release")["run_id"], scored(room)
    room.write(SECOND)
    second = room.trained()
    assert second != first
    project = Project(room.root)
    rows = pd.read_parquet(room.root / "in.parquet")
    found = {name: load_bundle(project, name) for name in (first, second)}
    again = found[first].predict(rows)
    assert again.to_csv(index=False).encode() == before.replace(b"\r\n", b"\n")
    other = found[second].predict(rows)
    assert (other["probability_yes"] != again["probability_yes"]).any()
    assert (other.loc[rows["age"] < 60, "prediction"] == "no").all()
    assert (again.loc[rows["age"].between(30, 59), "prediction"] == "yes").any()


def test_what_the_bundle_lists(made: Room) -> None:
    run_id = made.report("release")["run_id"]
    document = made.bundle(run_id)
    assert set(document["files"]) == {"model.skops", "reference.json", "custom.py"}
    assert "helpers" not in document
    folder = made.root / "models" / run_id
    assert (folder / "custom.py").read_bytes() == made.custom.read_bytes()
    assert "code of `custom`, which this folder carries" in (folder / "card.md").read_text("utf-8")


def test_an_untouched_custom_carries_nothing(tmp_path: Path) -> None:
    room = Room(tmp_path)
    document = room.bundle(room.trained())
    assert set(document["files"]) == {"model.skops", "reference.json"}
    assert "helpers" not in document
    rows = load_split(Project(tmp_path), "test")
    rows.to_parquet(tmp_path / "in.parquet")
    before = scored(room)
    room.write(SECOND)  # which overwrites no prediction of a bundle made without it
    assert scored(room) == before


def test_code_runs_only_where_something_vouches_for_it(room: Room, tmp_path: Path) -> None:
    project = Project(room.root)
    run_id = load_champion(project).run_id
    project.champion_file.unlink()
    load_bundle(project, run_id)  # made in this checkout
    project.made_here.unlink()
    with pytest.raises(UserError, match=f"`champion promote {run_id}`, else train the model here"):
        load_bundle(project, run_id)
    room.run("champion", "promote", run_id)
    load_champion(project)


def test_changed_code_is_refused(room: Room) -> None:
    run_id = room.report("release")["run_id"]
    with (room.root / "models" / run_id / "custom.py").open("a", encoding="utf-8") as file:
        file.write("ADDED = 1\n")
    done = room.run("predict", "in.parquet", "out.csv")
    assert done.returncode == 2
    assert f"models/{run_id}/custom.py has changed since the bundle was made" in done.stderr


def test_a_folder_is_carried_whole_and_nothing_else_runs(room: Room) -> None:
    """Also a module that is imported late; one that was put there afterwards is not found."""
    folder = room.package / "custom"
    folder.mkdir()
    room.custom.unlink()
    text = FIRST.replace("from .core", "from ..core").replace("0.95", "QUANTILE")
    steps, _, rest = text.partition("def capped")
    (folder / "steps.py").write_text("QUANTILE = 0.95\n" + steps, encoding="utf-8")
    late = "    from .steps import Capped\n\n    return Capped()"
    (folder / "__init__.py").write_text(
        "def clean(frame):\n    return frame\n\n\ndef capped"
        + rest.replace("    return Capped()", late).replace("< 30", "< limit()")
        + "\n\ndef limit():\n    from . import limits\n\n    return limits.AGE\n",
        encoding="utf-8",
    )
    (folder / "limits.py").write_text("AGE = 30\n", encoding="utf-8")
    run_id = room.trained("--set", "split.seed=42")
    names = {"custom/__init__.py", "custom/limits.py", "custom/steps.py"}
    assert names <= set(room.bundle(run_id)["files"])
    room.run("champion", "promote", run_id)
    before = scored(room)
    shutil.rmtree(folder)
    room.write(BROKEN)
    assert scored(room) == before
    carried = room.root / "models" / run_id / "custom"
    (carried / "evil.py").write_text("raise SystemExit(9)\n", encoding="utf-8")
    found = room.python(
        "import importlib, json\n"
        "from mlproj import load_champion\n"
        "name = load_champion().custom.__name__\n"
        "found = []\n"
        "for each in ('limits', 'evil'):\n"
        "    try:\n"
        "        found.append(importlib.import_module(f'{name}.{each}').__name__)\n"
        "    except ModuleNotFoundError:\n"
        "        found.append('')\n"
        "print(json.dumps([name, *found]))\n"
    )
    assert found == [f"mlproj.custom_{run_id}", f"mlproj.custom_{run_id}.limits", ""]


def test_a_helper_outside_custom_must_be_as_it_was(room: Room) -> None:
    helper = room.package / "pricing.py"
    helper.write_text("YEARS = 1.0\n", encoding="utf-8")
    room.write(FIRST.replace("+ 1.0", "+ pricing.YEARS") + "\n\nfrom . import pricing\n")
    run_id = room.trained()
    assert list(room.bundle(run_id)["helpers"]) == ["pricing.py"]
    room.run("champion", "promote", run_id)
    scored(room)
    helper.write_text("# A comment changes nothing.\nYEARS = 1.0\n", encoding="utf-8")
    scored(room)
    helper.write_text("YEARS = 2.0\n", encoding="utf-8")
    done = room.run("predict", "in.parquet", "out.csv")
    assert done.returncode == 2
    assert f"models/{run_id} carries builds on src/mlproj/pricing.py, which has changed" in (
        done.stderr
    )


def test_a_change_of_custom_during_a_run_is_refused(room: Room) -> None:
    """The model would be of one code, and the bundle carry another."""
    done = room.python(
        "import json, os\n"
        "from pathlib import Path\n"
        "from mlproj.core import registry\n"
        "from mlproj.core.config import load_settings\n"
        "from mlproj.core.errors import UserError\n"
        "from mlproj.core.project import Project\n"
        "from mlproj.postprocess import postprocess\n"
        "registry.team()\n"
        f"Path({str(room.custom)!r}).write_text('LATER = 1', encoding='utf-8')\n"
        "project = Project(Path('.').resolve())\n"
        "try:\n"
        "    postprocess(project, load_settings(project))\n"
        "except UserError as error:\n"
        "    print(json.dumps(str(error)))\n"
    )
    assert "code of custom changed while this command ran" in done


@pytest.mark.parametrize("column", ["age_next", "income"])
def test_a_bundle_from_before_goes_on_with_the_features_of_today(room: Room, column: str) -> None:
    """It carries nothing, whether its features are new columns or replace others."""
    room.write(f"""

def add_features(frame):
    return frame.assign({column}=frame["income"] * 2.0)
""")
    run_id = room.trained()
    folder = room.root / "models" / run_id
    (folder / "custom.py").unlink()
    document = room.bundle(run_id)
    del document["files"]["custom.py"], document["answer"]
    (folder / "bundle.json").write_text(json.dumps(document), encoding="utf-8")
    rows = load_split(Project(room.root), "test")
    with pytest.MonkeyPatch.context() as patched:
        from mlproj import custom

        patched.setattr(custom, "decide", None, raising=False)  # a later rule is not for it
        answers = []
        for value in (1.0, 1e9):
            changed = {column: value}
            patched.setattr(custom, "add_features", lambda frame, new=changed: frame.assign(**new))
            answers.append(load_bundle(Project(room.root), run_id).predict(rows)["prediction"])
    assert answers[0].tolist() != answers[1].tolist()


def test_what_the_template_keeps_in_the_package() -> None:
    names = {path.stem for path in PACKAGE.iterdir()} - {"__pycache__", "custom"}
    extend_by_modules()
    assert names == TEMPLATE | PARTS
