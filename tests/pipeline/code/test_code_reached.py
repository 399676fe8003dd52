"""A stage's result follows from the code that its imports reach, and from nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from mlproj.core import code_fingerprint as code
from mlproj.core.code_fingerprint import Modules, check_team_code
from mlproj.core.code_fingerprint import reached as files_reached
from mlproj.core.errors import UserError
from reaching import SENTENCE, code_of, fingerprint_of, reached

Write = Callable[[Mapping[str, str]], Path]

# What an import reaches.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from .models import linear", {"models/__init__.py", "models/linear.py"}),
        ("from . import models", {"models/__init__.py"}),
        ("from .models.linear import fit", {"models/__init__.py", "models/linear.py"}),
        ("def train():\n    from . import keys", {"keys.py"}),
        ("try:\n    from .keys import hash_rows\nexcept ImportError:\n    pass", {"keys.py"}),
        ("import own.models.linear", {"models/__init__.py", "models/linear.py"}),
        ("import own.keys as k, json", {"keys.py"}),
        ("from own import keys", {"keys.py"}),
        ("from .bare.deep import f", {"bare/deep.py"}),
        ("from .bare import deep", {"bare/deep.py"}),
        ("import importlib\nimportlib.import_module('.keys', __package__)", {"keys.py"}),
        ("import importlib as i\ni.import_module('.models')", {"models/__init__.py"}),
        ("import importlib\nimportlib.import_module(f'.{name}', __package__)", set()),
        ("from importlib import import_module\nimport_module('own.keys')", {"keys.py"}),
        ("import_module('..keys', package='own.models')", {"keys.py"}),
        ("__import__('own.keys')", {"keys.py"}),
        ("STAGES = {'keys': '.keys:hash_rows'}", set()),
        ("import numpy, pandas.core.frame\nfrom sklearn import linear_model", set()),
        ("from .absent import x\nfrom ......far import y\nimport own.absent", set()),
        ("def keys():\n    '''Import nothing: from . import keys'''", set()),
    ],
)
def test_an_import_reaches_the_files_that_it_executes(
    write: Write, text: str, expected: set[str]
) -> None:
    files = {"keys.py": "", "models/__init__.py": "", "models/linear.py": "", "bare/deep.py": ""}
    assert reached(write({**files, "train.py": text})) == expected


def test_imports_are_followed_through_modules_and_circles(write: Write) -> None:
    package = write(
        {
            "train.py": "from .a.b import x",
            "a/__init__.py": "from .. import c",
            "a/b.py": "from ..d import y\nfrom ...far import z",
            "c.py": "from .train import train",
            "d.py": "",
            "alone.py": "from . import train",
        }
    )
    assert reached(package) == {"a/__init__.py", "a/b.py", "c.py", "d.py"}


@pytest.mark.parametrize(
    "text",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import keys",
        "import typing as t\nif t.TYPE_CHECKING:\n    from . import keys",
        "if not TYPE_CHECKING:\n    x = 1\nelse:\n    from . import keys",
        "def f():\n    if TYPE_CHECKING:\n        from . import keys",
    ],
)
def test_imports_for_type_checkers_do_not_count(write: Write, text: str) -> None:
    assert reached(write({"train.py": text, "keys.py": ""})) == set()


@pytest.mark.parametrize(
    "text",
    [
        "if TYPE_CHECKING:\n    x = 1\nelse:\n    from . import keys",
        "if not TYPE_CHECKING:\n    from . import keys",
        "if TYPE_CHECKING or sys.platform:\n    from . import keys",
    ],
)
def test_the_other_branch_of_such_a_condition_counts(write: Write, text: str) -> None:
    assert reached(write({"train.py": text, "keys.py": ""})) == {"keys.py"}


def test_a_package_goes_before_a_module_of_its_name(write: Write) -> None:
    package = write({"train.py": "from . import keys", "keys.py": "", "keys/__init__.py": ""})
    assert reached(package) == {"keys/__init__.py"}


def test_lazy_exports_count_for_those_who_ask(write: Write) -> None:
    """What the package lends by its `__getattr__`; not everything follows from all of it."""
    package = write(
        {
            "__init__.py": "from . import keys\n\ndef __getattr__(name): ...",
            "models.py": "from . import deep",
            "deep.py": "",
            "split.py": "",
            "keys.py": "",
            "train.py": "from . import tune",
            "tune.py": "",
            "asks.py": "from . import load_model",
            "far/asks.py": "import own",
            "far/all.py": "from .. import *",
            "far/deep.py": "import own.tune",
        }
    )
    lent = {"load_model": ".models", "load_split": ".split"}
    assert reached(package, lent=lent) == {"tune.py"}
    assert reached(package, ".asks:f", lent=lent) == {"asks.py", "deep.py", "models.py"}
    everything = {"far/asks.py", "deep.py", "models.py", "split.py"}
    assert reached(package, ".far.asks:f", lent=lent) == everything
    assert reached(package, ".far.all:f", lent=lent) == everything ^ {"far/asks.py", "far/all.py"}
    assert reached(package, ".far.deep:f", lent=lent) == {"far/deep.py", "tune.py"}


def test_the_team_s_code_counts_for_those_who_ask_for_it(write: Write) -> None:
    files = {"train.py": "from .models import features", "custom.py": "from . import rules"}
    files |= {"rules.py": "", "tune.py": ""}
    package = write({**files, "models/features.py": "registry.team().add_features(rows)"})
    assert reached(package) == {"custom.py", "models/features.py", "rules.py"}
    assert reached(package, ".tune:tune") == {"tune.py"}


def test_a_named_function_counts_for_those_who_load_that_kind(write: Write) -> None:
    """Whichever file is read first, the one that names or the one that loads."""
    package = write(
        {
            "task.py": "LOOKS = [Look('a', measure='.curves:roc', draw='.plots:draw')]",
            "curves.py": "",
            "plots.py": "",
            "train.py": "from . import task",
            "judge.py": "from . import task\nregistry.load(each.measure)(1)",
            "page.py": "registry.load(each.draw)(1)\nfrom . import task",
        }
    )
    assert reached(package) == {"task.py"}
    assert reached(package, ".judge:f") == {"curves.py", "judge.py", "task.py"}
    assert reached(package, ".page:f") == {"page.py", "plots.py", "task.py"}


def test_modules_that_moved_are_found_by_their_old_name(write: Write) -> None:
    package = write(
        {
            "train.py": "from .features import scale\nfrom . import registry_of_old\n"
            "from .data.sources import x",
            "models/features.py": "",
            "tables/sources.py": "",
            "names.py": "",
        }
    )
    moved = {"features": "models.features", "registry_of_old": "names", "data": "tables"}
    modules = Modules(package, gone=lambda: moved)
    expected = ["models/features.py", "names.py", "tables/sources.py", "train.py"]
    found = files_reached([".train:train", ".features:scale"], modules)
    assert found == {package / name for name in expected}


def test_names_that_a_module_lost_are_found_where_they_are_now(write: Write) -> None:
    text = "from .schema import cast_table\nfrom .split import Rule, assign"
    package = write({"train.py": text, "schema.py": "", "cast.py": "", "split.py": ""})
    modules = Modules(package, lost=lambda module, name: {"cast_table": "cast"}.get(name))
    found = files_reached([".train:train"], modules)
    assert found == {package / name for name in ("train.py", "cast.py", "split.py")}


# Entries.


def test_entries_are_counted_together(write: Write) -> None:
    package = write({"train.py": "", "models/linear.py": "", "models/forest.py": ""})
    chosen = [".train:train", ".models.linear:linear"]
    assert reached(package, *chosen) == {"models/linear.py"}
    key = code_of(package, *chosen)
    assert key == code_of(package, *chosen[::-1], *chosen)
    assert key != code_of(package, ".train:train", ".models.forest:forest")
    assert len(key) == 16
    assert int(key, 16)


def test_an_entry_may_be_third_party_or_named_in_full(write: Write) -> None:
    package = write({"train.py": ""})
    found = files_reached(["own.train:train", "numpy:mean"], Modules(package))
    assert found == {package / "train.py"}


@pytest.mark.parametrize("entry", [".trian:train", ".train.fit:train", ":train", ""])
def test_an_entry_whose_module_is_missing_is_refused(write: Write, entry: str) -> None:
    package = write({"train.py": ""})
    with pytest.raises(UserError) as caught:
        code_of(package, entry)
    message = f"There is no module for '{entry}' in {package}; correct its name."
    assert str(caught.value) == message


# What does not count.


@pytest.mark.parametrize("name", sorted(code.UNCOUNTED))
def test_what_only_shows_or_starts_is_neither_counted_nor_followed(write: Write, name: str) -> None:
    *above, last = name.split(".")
    files = {
        "train.py": f"from .{'.'.join(above)} import {last}",
        f"{name.replace('.', '/')}.py": "from own import keys",
        "keys.py": "",
    }
    assert reached(write(files)) == set()


def test_a_module_of_the_team_may_bear_such_a_name(write: Write, tmp_path: Path) -> None:
    package = write({"train.py": "from helpers import logs"})
    write({"../helpers/logs.py": ""})
    assert reached(package) == {"../helpers/logs.py"}


# The team's code.


def test_custom_is_reached_with_its_helpers_in_the_package_and_beside_it(write: Write) -> None:
    package = write(
        {
            "train.py": "def train():\n    from . import custom",
            "custom.py": "from .our_rules import rule\nimport helpers.tables\nimport toolbox",
            "our_rules.py": "",
            "../helpers/__init__.py": "",
            "../helpers/tables.py": "from . import words\nfrom own import keys",
            "../helpers/words.py": "",
            "../helpers/unused.py": "",
            "../__init__.py": "",
            "../../toolbox.py": "import own.scales",
            "keys.py": "",
            "scales.py": "",
        }
    )
    assert reached(package) == {
        *("custom.py", "our_rules.py", "keys.py", "scales.py"),
        *("../helpers/__init__.py", "../helpers/tables.py", "../helpers/words.py"),
        "../../toolbox.py",
    }


def test_a_folder_custom_counts_whole(write: Write) -> None:
    """Its `__init__.py` may well look for the others by itself."""
    package = write(
        {
            "train.py": "from . import custom",
            "custom/__init__.py": "import pkgutil",
            "custom/rules.py": "from ..keys import x",
            "custom/models/net.py": "",
            "keys.py": "",
        }
    )
    assert reached(package) == {
        *("custom/__init__.py", "custom/rules.py", "custom/models/net.py", "keys.py")
    }


def test_a_team_folder_on_the_path_below_the_project_is_found(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = write({"train.py": "import shared.tables", "../../lib/shared/tables.py": ""})
    assert reached(package) == set()
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    assert reached(package) == {"../../lib/shared/tables.py"}


def test_installed_packages_do_not_count(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither those of an environment in the project, nor those beside an installed package."""
    site = tmp_path / ".venv" / "lib" / "site-packages"
    package = write({"train.py": "import tables", "../../.venv/lib/site-packages/tables.py": ""})
    monkeypatch.syspath_prepend(str(site))
    assert reached(package) == set()
    installed = Path(shutil.copytree(package, site / "own"))
    assert reached(installed) == set()


def test_team_code_without_a_stage_is_accepted(write: Write) -> None:
    package = write({"train.py": "from . import custom"})
    check_team_code([".train:train"], Modules(package))
    write(
        {
            "custom.py": "from . import keys\nif TYPE_CHECKING:\n    from . import train",
            "keys.py": "from .core import pipeline",
            "core/pipeline.py": "from .. import train",
        }
    )
    check_team_code([".train:train"], Modules(package))


@pytest.mark.parametrize(
    ("files", "place", "stage"),
    [
        (
            {"custom.py": "import os\n\nfrom .train import fit\nfrom .train import fit"},
            "src/own/custom.py, line 3",
            "train.py",
        ),
        (
            {"custom.py": "from . import rules", "rules.py": "def f():\n    from . import train"},
            "src/own/rules.py, line 2",
            "train.py",
        ),
        (
            {"custom.py": "import helpers", "../helpers.py": "import numpy, own.data.ingest"},
            "src/helpers.py, line 1",
            "data/ingest.py",
        ),
        (
            {"custom/__init__.py": "", "custom/a.py": "import_module('.train', 'own')"},
            "src/own/custom/a.py, line 1",
            "train.py",
        ),
    ],
)
def test_team_code_that_imports_a_stage_is_refused(
    write: Write, files: dict[str, str], place: str, stage: str
) -> None:
    package = write({"train.py": "", "data/__init__.py": "", "data/ingest.py": "", **files})
    with pytest.raises(UserError) as caught:
        check_team_code([".train:train", ".data.ingest:ingest"], Modules(package))
    assert str(caught.value) == f"{place}, {SENTENCE.format(stage=stage)}"


# What changes the fingerprint.

PLAIN = '''"""Train."""
from __future__ import annotations


class Model:
    """A model."""

    weight = 1.5


def train(rows: list[int], *, name="it") -> str:
    """Train it."""
    if rows:
        pass
    return f"{name} {len(rows):>{3}}"
'''


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace('"""Train."""', '"""Train, but said at length."""\n'),
        PLAIN.replace('    """A model."""\n', "    # a model\n"),
        PLAIN.replace('    """Train it."""\n', ""),
        PLAIN.replace("1.5", "1.50  # tuned").replace('name="it"', "name = u'it'"),
        PLAIN.replace("weight = 1.5", 'weight = 1.5\n    """Its weight."""'),
        PLAIN.replace("        pass\n", "        ...\n"),
        PLAIN.replace("(rows: list[int], *, name=", "(\n    rows: list[int],\n    *,\n    name="),
        PLAIN.replace("import annotations\n", "import annotations\nif TYPE_CHECKING:\n    X = 1\n"),
        "# -*- coding: latin-1 -*-\n" + PLAIN.replace("\n", "\r\n"),
    ],
)
def test_comments_docstrings_and_formatting_change_nothing(write: Write, text: str) -> None:
    assert text != PLAIN
    assert fingerprint_of(write, text) == fingerprint_of(write, PLAIN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1.5", "1.25"),
        ("1.5", "15"),
        ('"it"', 'b"it"'),
        ('"it"', '"it "'),
        ("list[int]", "list[str]"),
        ("rows:", "lines:"),
        ("*, name", "name"),
        ("if rows", "if not rows"),
        (">{3}", "<{3}"),
        ("{name} ", "{name!r} "),
        ("weight = 1.5", 'weight = 1.5\n    note = """Its weight."""'),
        ("weight = 1.5", "weight: float = 1.5"),
        ("def train", "async def train"),
        ("import annotations", "import annotations, division"),
    ],
)
def test_what_runs_changes_the_fingerprint(write: Write, old: str, new: str) -> None:
    assert old in PLAIN
    assert fingerprint_of(write, PLAIN.replace(old, new)) != fingerprint_of(write, PLAIN)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = True"),
        ("x = 1", "x = 1.0"),
        ("x = None", "x = 'None'"),
        ("x = ...", "x = Ellipsis"),
        ("x = [a, b]", "x = [[a], b]"),
        ("x = {**a}", "x = {a: a}"),
        ("f(a, *b)", "f(*b, a)"),
        ("x = a if b else c", "x = a if c else b"),
        ("try:\n f()\nexcept A:\n g()", "try:\n f()\nexcept* A:\n g()"),
        ("if a:\n f()\ng()", "if a:\n f()\n g()"),
        ("if a:\n f()\nelse:\n pass", "if a:\n pass\nelse:\n f()"),
        ("match a:\n case None: f()", "match a:\n case True: f()"),
        ("def f(a, /, b): g()", "def f(a, b, /): g()"),
        ("def f(*, a=None, b): g()", "def f(*, a, b=None): g()"),
        ("global a", "global b"),
        ("x = 0x" + "f" * 5000, "x = 0x" + "e" * 5000),
    ],
)
def test_different_programs_have_different_fingerprints(write: Write, one: str, other: str) -> None:
    assert fingerprint_of(write, one) != fingerprint_of(write, other)


def test_a_long_expression_is_read(write: Write) -> None:
    """As a program may have written it; the depth is beyond Python's own limit of calls."""
    long = "x = " + "1 + " * 1500
    assert fingerprint_of(write, long + "1") != fingerprint_of(write, long + "2")


def test_moving_a_module_changes_the_fingerprint(write: Write) -> None:
    """Its path counts, even where nothing in the importing file tells."""
    package = write({"train.py": "from . import a", "a.py": "x = 1"})
    before = code_of(package)
    (package / "a").mkdir()
    (package / "a.py").rename(package / "a" / "__init__.py")
    assert code_of(package) != before


def test_the_folder_of_the_project_does_not_count(write: Write, tmp_path: Path) -> None:
    package = write({"train.py": "import helpers", "../helpers.py": "x = 1"})
    elsewhere = Path(shutil.copytree(tmp_path / "src", tmp_path / "else" / "src")) / "own"
    assert code_of(package) == code_of(elsewhere)
