"""A stage's result follows from the code that its imports reach, and from nothing else."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from mlproj.core import code_fingerprint as code
from mlproj.core import code_imports as syntax
from mlproj.core.code_fingerprint import check_team_code, code_fingerprint, reached_files
from mlproj.core.errors import UserError

Write = Callable[[Mapping[str, str]], Path]
STAGES = (
    ".ingest:ingest",
    ".preprocess:preprocess",
    ".train:train",
    ".postprocess:postprocess",
    ".evaluate:evaluate",
    ".report:report",
)
SENTENCE = (
    "imports {stage}, which is a stage, so every result would follow from every stage; import what "
    "that stage builds on, or move the shared code to a file of its own."
)


@pytest.fixture(name="write")
def write_fixture(tmp_path: Path) -> Write:
    """``write({"train.py": "..."})`` writes files below ``src/own`` and returns that package."""
    package = tmp_path / "src" / "own"

    def write(files: Mapping[str, str]) -> Path:
        for name, text in {"__init__.py": "", **files}.items():
            path = package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return package

    return write


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the skeleton's package that a test may change."""
    folder = tmp_path_factory.mktemp("real") / "src" / "mlproj"
    return Path(shutil.copytree(code.PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__")))


def reached(package: Path, entry: str = ".train:train") -> set[str]:
    """What the entry reaches, apart from its module."""
    return {*reached_files([entry], package=package)} - {"train.py"}


def fingerprint_of(write: Write, text: str) -> str:
    """The fingerprint of a stage that consists of this text."""
    key: str = code_fingerprint([".train:train"], package=write({"train.py": text}))
    return key


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
    """A package's `__getattr__` does not make everything follow from what it can load."""
    package = write(
        {
            "__init__.py": "LAZY = {'load_model': '.models:load', 'load_split': 'split'}\n"
            "def __getattr__(name):\n"
            "    from . import keys\n"
            "    return importlib.import_module(LAZY[name])\n",
            "models.py": "",
            "split.py": "",
            "keys.py": "",
            "train.py": "from . import tune",
            "tune.py": "",
            "asks.py": "from . import load_model",
            "far/asks.py": "import own",
            "far/deep.py": "import own.tune",
        }
    )
    assert reached(package) == {"tune.py"}
    assert reached(package, ".asks:f") == {"asks.py", "keys.py", "models.py"}
    everything = {"far/asks.py", "keys.py", "models.py", "split.py"}
    assert reached(package, ".far.asks:f") == everything
    assert reached(package, ".far.deep:f") == {"far/deep.py", "tune.py"}


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
    found = reached_files([".train:train", ".features:scale"], package=package, aliases=moved)
    expected = {"models/features.py", "names.py", "tables/sources.py"}
    assert {*found} - {"train.py"} == expected


# Entries.


def test_entries_are_counted_together(write: Write) -> None:
    package = write({"train.py": "", "models/linear.py": "", "models/forest.py": ""})
    chosen = [".train:train", ".models.linear:linear"]
    found = reached_files(chosen, package=package)
    assert found == ["models/linear.py", "train.py"]
    key = code_fingerprint(chosen, package=package)
    assert key == code_fingerprint(chosen[::-1] * 2, package=package)
    assert key != code_fingerprint([".train:train", ".models.forest:forest"], package=package)
    assert len(key) == 16
    assert int(key, 16)


def test_an_entry_may_be_third_party_or_named_in_full(write: Write) -> None:
    package = write({"train.py": ""})
    assert reached_files(["own.train:train", "numpy:mean"], package=package) == ["train.py"]


@pytest.mark.parametrize("entry", [".trian:train", ".train.fit:train", ":train", ""])
def test_an_entry_whose_module_is_missing_is_refused(write: Write, entry: str) -> None:
    package = write({"train.py": ""})
    with pytest.raises(UserError) as caught:
        code_fingerprint([entry], package=package)
    message = f"There is no module for '{entry}' in {package}; correct its name."
    assert str(caught.value) == message


# What does not count.


@pytest.mark.parametrize(
    "name", sorted(code.UNCOUNTED - {"core.code_fingerprint", "core.code_imports"})
)
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
    check_team_code([".train:train"], package=package)
    write(
        {
            "custom.py": "from . import keys\nif TYPE_CHECKING:\n    from . import train",
            "keys.py": "from .core import pipeline",
            "core/pipeline.py": "from .. import train",
        }
    )
    check_team_code([".train:train"], package=package)


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
        check_team_code([".train:train", ".data.ingest:ingest"], package=package)
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
    before = code_fingerprint([".train:train"], package=package)
    (package / "a").mkdir()
    (package / "a.py").rename(package / "a" / "__init__.py")
    assert code_fingerprint([".train:train"], package=package) != before


def test_the_folder_of_the_project_does_not_count(write: Write, tmp_path: Path) -> None:
    package = write({"train.py": "import helpers", "../helpers.py": "x = 1"})
    elsewhere = Path(shutil.copytree(tmp_path / "src", tmp_path / "else" / "src")) / "own"
    entries = [".train:train"]
    assert code_fingerprint(entries, package=package) == code_fingerprint(
        entries, package=elsewhere
    )


# Files that are not Python.


def test_a_file_that_a_module_names_counts_by_its_bytes(write: Write) -> None:
    package = write(
        {
            "train.py": "STYLE = Path(__file__).with_name('page.css')\nfrom .web import page",
            "page.css": "a {}",
            "web/page.py": "FILES = {'page.js': 1, 'items/x.yaml': 2, 'page.css': 3, 'a b': 4}",
            "web/page.js": "1",
            "items/x.yaml": "a: 1",
            "web/unused.js": "2",
        }
    )
    assert reached(package) == {"page.css", "web/page.py", "web/page.js", "items/x.yaml"}
    before = code_fingerprint([".train:train"], package=package)
    (package / "web" / "unused.js").write_text("other", encoding="utf-8")
    assert code_fingerprint([".train:train"], package=package) == before
    for name in ("page.css", "web/page.js", "items/x.yaml"):
        with (package / name).open("a", encoding="utf-8") as file:
            file.write(" ")
        after = code_fingerprint([".train:train"], package=package)
        assert after != before
        before = after


def test_settings_and_results_are_not_taken_for_code(write: Write) -> None:
    package = write(
        {
            "train.py": "import toolbox\nX = ('../../conf.cfg', '/etc/hosts', 'keys.py', 'a.b')",
            "keys.py": "",
            "a.b/c.txt": "",
            "../../conf.cfg": "",
            "../../toolbox.py": "CONF, OUT = 'conf.cfg', 'reports/train.json'",
            "../../reports/train.json": "{}",
        }
    )
    assert reached(package) == {"../../toolbox.py"}


# Files that cannot be read.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x = 1\ny = (2\n", "src/own/train.py, line 2, is not valid Python: '(' was never closed"),
        (b"x = '\xff'", "src/own/train.py"),
        (b"x = 1\0", "src/own/train.py"),
        (b"x = " + b"(" * 5000 + b")" * 5000, "src/own/train.py"),
        (b"x = " + b"-" * 20000 + b"1", "src/own/train.py cannot be read as Python: "),
        (b"x = " + b"a." * 20000 + b"b", "src/own/train.py cannot be read as Python: "),
    ],
)
def test_a_file_that_is_not_python_is_named(write: Write, content: bytes, message: str) -> None:
    package = write({})
    (package / "train.py").write_bytes(content)
    with pytest.raises(UserError) as caught:
        code_fingerprint([".train:train"], package=package)
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith("; correct it.")
    assert "\n" not in str(caught.value)


def test_warnings_of_a_file_are_left_to_its_import(
    write: Write, recwarn: pytest.WarningsRecorder
) -> None:
    package = write({"train.py": "x = '\\d' is 1"})
    assert code_fingerprint([".train:train"], package=package)
    assert not recwarn.list


# What is kept between calls and processes.


@pytest.fixture(name="parsed")
def parsed_fixture(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The sources that were parsed since the test began."""
    sources: list[bytes] = []
    parse = ast.parse

    def listed(source: bytes, *others: Any) -> Any:
        sources.append(source)
        return parse(source, *others)

    monkeypatch.setattr(syntax.ast, "parse", listed)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return sources


def forget() -> None:
    """Stand for the end of a process."""
    syntax._READ.clear()
    syntax._kept.cache_clear()


def test_a_file_is_parsed_once(write: Write, parsed: list[bytes]) -> None:
    package = write({"train.py": "from . import a", "a.py": "x = 1"})
    first = code_fingerprint([".train:train"], package=package)
    assert len(parsed) == 2
    assert code_fingerprint([".train:train"], package=package) == first
    forget()
    assert code_fingerprint([".train:train"], package=package) == first
    assert len(parsed) == 2
    (package / "a.py").write_text("x = 22", encoding="utf-8")
    assert code_fingerprint([".train:train"], package=package) != first
    assert parsed[2:] == [b"x = 22"]


def test_what_is_kept_brings_every_kind_of_finding_back(write: Write, parsed: list[bytes]) -> None:
    package = write(
        {
            "__init__.py": "T = {'load': '.a:load'}\ndef __getattr__(name):\n    return T[name]",
            "train.py": "from . import load\nX = 'x.css'",
            "x.css": "",
            "a.py": "",
            "custom.py": "\n\nfrom . import train",
        }
    )
    found = reached(package)
    assert found == {"a.py", "x.css"}
    with pytest.raises(UserError) as first:
        check_team_code([".train:train"], package=package)
    code_fingerprint([".train:train"], package=package)
    parsed.clear()
    forget()
    assert reached(package) == found
    with pytest.raises(UserError) as again:
        check_team_code([".train:train"], package=package)
    assert str(again.value) == str(first.value)
    assert not parsed


@pytest.mark.parametrize("same", ["time and size", "size"])
def test_a_change_is_seen_by_content_not_by_time(
    write: Write, same: str, parsed: list[bytes]
) -> None:
    package = write({"train.py": "x = 1"})
    before = code_fingerprint([".train:train"], package=package)
    stat = (package / "train.py").stat()
    (package / "new.py").write_text("x = 2", encoding="utf-8")
    if same == "time and size":
        os.utime(package / "new.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (package / "new.py").replace(package / "train.py")
    after = code_fingerprint([".train:train"], package=package)
    assert after != before
    forget()
    assert code_fingerprint([".train:train"], package=package) == after


@pytest.mark.parametrize("damage", ["", "[]", '{"by": 1}', "cut", "shape", "older"])
def test_a_damaged_or_older_cache_is_made_again(
    write: Write, damage: str, parsed: list[bytes]
) -> None:
    package = write({"train.py": "from . import a", "a.py": ""})
    first = code_fingerprint([".train:train"], package=package)
    (cache,) = package.rglob("code.json")
    whole = cache.read_text(encoding="utf-8")
    broken, older = json.loads(whole), json.loads(whole)
    for each in broken["sources"].values():
        each["imports"] = [[1]]
    older["by"] = "an earlier version"
    for each in older["sources"].values():
        each["code"], each["imports"] = "as it was hashed then", []
    texts = {"cut": whole[:50], "shape": json.dumps(broken), "older": json.dumps(older)}
    text = texts.get(damage, damage)
    cache.write_text(text, encoding="utf-8")
    forget()
    assert code_fingerprint([".train:train"], package=package) == first
    assert reached(package) == {"a.py"}
    assert json.loads(cache.read_text(encoding="utf-8")) == json.loads(whole)


def test_a_folder_for_reading_only_does_no_harm(write: Write, parsed: list[bytes]) -> None:
    package = write({"train.py": "x = 1"})
    (package / "__pycache__").write_text("in the way", encoding="utf-8")
    assert code_fingerprint([".train:train"], package=package)
    names = {path.name for path in package.iterdir()}
    assert names == {"__init__.py", "train.py", "__pycache__"}


def test_nothing_is_written_where_python_may_not_write_either(
    write: Write, parsed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    package = write({"train.py": "x = 1"})
    assert code_fingerprint([".train:train"], package=package)
    assert not (package / "__pycache__").exists()


# The package itself.


def test_train_reaches_what_it_runs_and_nothing_that_shows(real: Path) -> None:
    found = {Path(name).name for name in reached_files([".train:train"], package=real)}
    assert found >= {"train.py", "metrics.py", "features.py", "inputs.py", "custom.py", "split.py"}
    assert found >= {"persist.py", "schema.py"}
    assert not found & {"report.py", "report.css", "plots.py", "app.py", "cli.py", "errors.py"}
    assert not any("serving" in name for name in reached_files([".train:train"], package=real))


def test_the_report_reaches_its_style(real: Path) -> None:
    names = {Path(name).name for name in reached_files([".report:report"], package=real)}
    assert "report.css" in names


def test_the_skeletons_custom_reaches_no_stage(real: Path) -> None:
    check_team_code(STAGES, package=real)


def test_each_reached_file_counts_by_what_it_does(real: Path) -> None:
    """Formatting or docstrings of any reached file change nothing; a constant does."""
    entries = [".train:train", ".models.classic:linear"]
    before = code_fingerprint(entries, package=real)
    names = reached_files(entries, package=real)
    assert len(names) > 15
    for name in names:
        path = real / name
        text = path.read_text(encoding="utf-8")
        path.write_text(reformatted(text), encoding="utf-8")
        assert code_fingerprint(entries, package=real) == before, name
        path.write_text(changed(text), encoding="utf-8")
        assert code_fingerprint(entries, package=real) != before, name
        path.write_text(text, encoding="utf-8")
        assert code_fingerprint(entries, package=real) == before, name


def reformatted(text: str) -> str:
    """Other line breaks and quotes, no comments, other docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            if ast.get_docstring(node):
                del node.body[0]
            node.body.insert(0, ast.Expr(ast.Constant("Something else.")))
    other = ast.unparse(ast.fix_missing_locations(tree)) + "\n# the end\n"
    assert other != text
    return other


def changed(text: str) -> str:
    """The last number or string that is in use is another; a file without any gets one."""
    tree = ast.parse(text)
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in reversed([*ast.walk(tree)]):
        if isinstance(node, ast.Constant) and id(node) not in bare:
            if isinstance(node.value, str):
                node.value += "!"
                return ast.unparse(tree)
            if type(node.value) is int:
                node.value += 1
                return ast.unparse(tree)
    return text + "\nADDED = 1\n"


PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.1[1-9].*/bin/python"))


@pytest.mark.skipif(len(PYTHONS) < 2, reason="needs two versions of Python")
def test_every_version_of_python_finds_the_same(real: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(real.parent)!r}); sys.dont_write_bytecode = True\n"
        "from mlproj.core.code_fingerprint import PACKAGE, code_fingerprint\n"
        "for path in sorted(PACKAGE.rglob('*.py')):\n"
        "    name = '.'.join(path.relative_to(PACKAGE).with_suffix('').parts)\n"
        "    print(name, code_fingerprint(['.' + name]))\n"
    )
    found = {
        subprocess.run(
            [python, "-I", "-c", program], capture_output=True, check=True, encoding="utf-8"
        ).stdout
        for python in PYTHONS
    }
    assert len(found) == 1
    assert len(found.pop().splitlines()) > 60
