"""What is read once and kept, what cannot be read, and what the package's own stages reach."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mlproj.core import code_fingerprint as code
from mlproj.core.code_fingerprint import Modules, check_team_code
from mlproj.core.errors import UserError
from reaching import STAGES, code_of, reached

Write = Callable[[Mapping[str, str]], Path]

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
    before = code_of(package)
    (package / "web" / "unused.js").write_text("other", encoding="utf-8")
    assert code_of(package) == before
    for name in ("page.css", "web/page.js", "items/x.yaml"):
        with (package / name).open("a", encoding="utf-8") as file:
            file.write(" ")
        after = code_of(package)
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
        code_of(package)
    assert str(caught.value).startswith(message)
    assert str(caught.value).endswith("; correct it.")
    assert "\n" not in str(caught.value)


def test_warnings_of_a_file_are_left_to_its_import(
    write: Write, recwarn: pytest.WarningsRecorder
) -> None:
    package = write({"train.py": "x = '\\d' is 1"})
    assert code_of(package)
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

    monkeypatch.setattr(code.ast, "parse", listed)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return sources


def forget() -> None:
    """Stand for the end of a process."""
    code._read.cache_clear()


def test_a_process_parses_a_file_once(write: Write, parsed: list[bytes]) -> None:
    package = write({"train.py": "from . import a", "a.py": "x = 1"})
    first = code_of(package)
    assert code_of(package) == first
    assert len(parsed) == 2
    (package / "a.py").write_text("x = 22", encoding="utf-8")
    assert code_of(package) != first
    assert parsed[2:] == [b"x = 22"]


@pytest.mark.parametrize("same", ["time and size", "size"])
def test_a_change_is_seen_by_content_not_by_time(
    write: Write, same: str, parsed: list[bytes]
) -> None:
    package = write({"train.py": "x = 1"})
    before = code_of(package)
    stat = (package / "train.py").stat()
    (package / "new.py").write_text("x = 2", encoding="utf-8")
    if same == "time and size":
        os.utime(package / "new.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (package / "new.py").replace(package / "train.py")
    after = code_of(package)
    assert after != before
    forget()
    assert code_of(package) == after


@pytest.fixture(name="settled")
def settled_fixture(
    write: Write, parsed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A package whose fingerprint an earlier process has kept: only times and sizes are read."""
    monkeypatch.setattr(code, "SETTLED", 0)
    package = write(
        {
            "train.py": "from . import a, custom\nSTYLE = 'page.css'",
            "a.py": "x = 1",
            "custom.py": "import helper\nimport others.more",
            "page.css": "a {}",
            "../helper.py": "STYLE = 'helper.css'",
            "../helper.css": "b {}",
            "../../others/more.py": "x = 1",
        }
    )
    code_of(package)
    forget()
    with monkeypatch.context() as patched:
        patched.setattr(code, "digest", None)
        assert code_of(package)
    yield package
    forget()


@pytest.mark.parametrize(
    "name",
    ["a.py", "custom.py", "page.css", "../helper.py", "../helper.css", "../../others/more.py"],
)
def test_any_change_to_a_reached_file_is_seen_by_later_processes(settled: Path, name: str) -> None:
    before = code_of(settled)
    with (settled / name).open("a", encoding="utf-8") as file:
        file.write("\ny = 1" if name.endswith(".py") else " ")
    forget()
    after = code_of(settled)
    assert after != before
    forget()
    assert code_of(settled) == after


@pytest.mark.parametrize("name", ["a/__init__.py", "../../helper/__init__.py", "../others.py"])
def test_a_new_file_that_an_import_now_reaches_is_seen(settled: Path, name: str) -> None:
    before = code_of(settled)
    if name == "../../helper/__init__.py":  # the folder beside the package goes first
        (settled / "../helper.py").unlink()
    (settled / name).parent.mkdir(exist_ok=True)
    (settled / name).write_text("y = 2", encoding="utf-8")
    forget()
    assert code_of(settled) != before


def test_another_folder_on_the_path_is_seen(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, lib = code_of(settled), settled.parents[1] / "lib"
    lib.mkdir()
    (lib / "toolbox.py").write_text("y = 2", encoding="utf-8")
    (settled / "a.py").write_text("import toolbox", encoding="utf-8")
    without = code_of(settled)
    assert without != before
    monkeypatch.syspath_prepend(str(lib))
    assert code_of(settled) != without


def test_what_was_written_just_now_is_looked_at_again(write: Write, parsed: list[bytes]) -> None:
    """Two versions of one size, written within one tick of the clock, look alike."""
    package = write({"train.py": "x = 1"})
    before = code_of(package)
    path = package / "train.py"
    stat = path.stat()
    path.write_text("x = 2", encoding="utf-8")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    forget()
    assert code_of(package) != before
    assert not [*package.rglob("stages.json")]


@pytest.mark.parametrize("damage", ["", "[]", '{"state": 1}', '{"outside": 1}', "null"])
def test_damaged_answers_are_found_again(settled: Path, damage: str) -> None:
    before = code_of(settled)
    (file,) = settled.rglob("stages.json")
    file.write_text(damage, encoding="utf-8")
    assert code_of(settled) == before


def test_a_folder_for_reading_only_does_no_harm(
    write: Write, parsed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "SETTLED", 0)
    package = write({"train.py": "x = 1"})
    (package / "__pycache__").write_text("in the way", encoding="utf-8")
    assert code_of(package)
    names = {path.name for path in package.iterdir()}
    assert names == {"__init__.py", "train.py", "__pycache__"}


def test_nothing_is_written_where_python_may_not_write_either(
    write: Write, parsed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(code, "SETTLED", 0)
    package = write({"train.py": "x = 1"})
    assert code_of(package)
    assert not (package / "__pycache__").exists()


# The package itself.


def test_train_reaches_what_it_runs_and_nothing_that_shows(real: Path) -> None:
    found = {Path(name).name for name in reached(real)}
    assert found >= {"metrics.py", "features.py", "custom.py", "split.py"}
    assert found >= {"persist.py", "schema.py", "training_data.py"}
    assert not found & {"report.py", "report.css", "plots.py", "app.py", "cli.py", "errors.py"}
    assert not any("serving" in name for name in reached(real))


def test_the_report_reaches_its_style(real: Path) -> None:
    names = {Path(name).name for name in reached(real, ".report:report")}
    assert "report.css" in names


def test_the_skeletons_custom_reaches_no_stage(real: Path) -> None:
    check_team_code(STAGES, Modules(real))


def test_each_reached_file_counts_by_what_it_does(real: Path) -> None:
    """Formatting or docstrings of any reached file change nothing; a constant does."""
    entries = [".train:train", ".models.classic:linear"]
    before = code_of(real, *entries)
    names = {*reached(real, *entries), "train.py"}
    assert len(names) > 15
    for name in names:
        path = real / name
        text = path.read_text(encoding="utf-8")
        path.write_text(reformatted(text), encoding="utf-8")
        assert code_of(real, *entries) == before, name
        path.write_text(changed(text), encoding="utf-8")
        assert code_of(real, *entries) != before, name
        path.write_text(text, encoding="utf-8")
        assert code_of(real, *entries) == before, name


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
        "from mlproj.core.code_fingerprint import PACKAGE, Modules, code_fingerprint\n"
        "for path in sorted(PACKAGE.rglob('*.py')):\n"
        "    name = '.'.join(path.relative_to(PACKAGE).with_suffix('').parts)\n"
        "    print(name, code_fingerprint(['.' + name], Modules(PACKAGE)))\n"
    )
    found = {
        subprocess.run(
            [python, "-I", "-c", program], capture_output=True, check=True, encoding="utf-8"
        ).stdout
        for python in PYTHONS
    }
    assert len(found) == 1
    assert len(found.pop().splitlines()) > 60
