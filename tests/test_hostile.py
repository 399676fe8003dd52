"""Hostile answers: each gives a correct project or the plain refusal, and none is ever executed."""

from __future__ import annotations

import ast
import configparser
import functools
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from answers import COOKIECUTTER, FREE_TEXT
from baking import BakedProject, bake_project
from cases import every_case
from cookiecutter.exceptions import FailedHookException, OutputDirExistsException

Bake = Callable[..., BakedProject]

MARKER = "holds a template marker"
BEYOND = "beyond U+FFFF"
CONTROL = "holds a control character"

# What is typed at a prompt of free text, and why it is refused: None where it is good text.
# Anything that ran would leave a file named canary.
HOSTILE: dict[str, tuple[str, str | None]] = {
    # Quotes and backslashes, for Python, TOML, YAML, JSON.
    "apostrophe": ("Tom's model", None),
    "quotation mark": ('The "best" model', None),
    "three apostrophes": ("a ''' b", None),
    "three quotation marks": ('a """ b', None),
    "both quotes": ("""a "'" b '"' c""", None),
    "backslash": ("a \\ b", None),
    "backslash at the end": ("a\\", None),
    "two backslashes at the end": ("a\\\\", None),
    "backslash and quote": ('a\\" b', None),
    "escape as text": ("a\\n\\x00\\u0027\\N{DIGIT ONE} b", None),
    "Windows path": ("C:\\new\\table", None),
    "end of the hook's literal": ("a'''); open('canary', 'w'); (r'''", None),
    "Python code": ("__import__('os').system('touch canary')", None),
    "Python in a string": ('"+open("canary","w").name+"', None),
    "f-string": ("{open('canary', 'w')}", None),
    # Templates.
    "Jinja expression": ("{{ 7 * 7 }}", MARKER),
    "Jinja code": ("{{ cycler.__init__.__globals__.os.system('touch canary') }}", MARKER),
    "Jinja statement": ("{% for x in [] %}", MARKER),
    "Jinja comment": ("{# gone #}", MARKER),
    "end of raw": ("{% endraw %}{{ 1 }}", MARKER),
    "opening braces alone": ("a {{", MARKER),
    "closing braces alone": ("a }} %} #} b", None),
    "braces apart": ("a { { b } } c", None),
    "GitHub expression": ("${{ github.token }}", MARKER),
    # Shells and make.
    "dollar braces": ("${HOME} ${IFS}", None),
    "command substitution": ("$(touch canary)", None),
    "backticks": ("`touch canary`", None),
    "shell separators": ("a; touch canary && b | c > d", None),
    "make function": ("$(shell touch canary)", None),
    "variable of cmd": ("%PATH% ^& touch canary", None),
    # Formats.
    "per cent": ("100 % of %(source)s and %s", None),
    "TOML table": ("[project] name = 'evil'", None),
    "TOML end of string": ('evil"\n[tool.evil]', CONTROL),
    "TOML escape at the end": ('evil" # \\', None),
    "YAML mapping": ("a: b: c", None),
    "YAML tag": ("!!python/object/apply:os.system ['touch canary']", None),
    "YAML anchor and alias": ("&a *a", None),
    "YAML document": ("---", None),
    "YAML null": ("null", None),
    "YAML boolean": ("yes", None),
    "INI section": ("[data]", None),
    "INI comment": ("; # gone", None),
    "number": ("1e3", None),
    "JSON": ('{"a": [1, "b"]}', None),
    "HTML": ("<script>alert('canary')</script> & <b>", None),
    "HTML comment": ("--> a <!-- b", None),
    "Markdown": ("# a ](b) [c](javascript:d) **e** | f", None),
    "CSV formula": ("=cmd|' /C touch canary'!A0", None),
    # Lines and control characters.
    "newline": ("a\nb", CONTROL),
    "carriage return": ("a\rb", CONTROL),
    "tab": ("a\tb", CONTROL),
    "NUL": ("a\x00b", CONTROL),
    "bell and escape": ("\x1b]0;canary\x07", CONTROL),
    "delete": ("a\x7fb", CONTROL),
    "next line": ("a\x85b", CONTROL),
    "line separator": ("a\u2028b", CONTROL),
    "byte order mark": ("\ufeffa", CONTROL),
    "newline and code": ("a\nimport os; os.system('touch canary')", CONTROL),
    # Letters.
    "emoji": ("a \U0001f600 model", BEYOND),
    "flag": ("\U0001f1eb\U0001f1f7", BEYOND),
    "musical sign": ("\U0001d11e", BEYOND),
    "lone surrogate": ("a\udc80b", CONTROL),
    "right to left": ("مشروع نموذج שלום", None),
    "right to left override": ("a\u202etxt.exe", CONTROL),
    "isolate": ("a\u2066b\u2069", CONTROL),
    "combining": ("e\u0301 n\u0303 Z\u0351\u036b\u0343", None),
    "zero-width joiner": ("می\u200cخواهم", None),
    "zero-width space": ("a\u200bb", CONTROL),
    "Chinese": ("机器学习", None),
    "only signs": ("!!! ???", None),
    "no-break space": ("a\u00a0b", None),
    "private use": ("a\ue000b", CONTROL),
    # Paths and names.
    "path up": ("../../canary", None),
    "absolute path": ("/etc/canary", None),
    "UNC path": ("\\\\host\\share", None),
    "Windows device": ("CON", None),
    "dot": (".", None),
    "leading dashes": ("--output-dir=canary -rf", None),
    "tilde": ("~root", None),
    "glob": ("* ? [a-z]", None),
    # Lengths and emptiness.
    "very long": ("long " * 200 + "end", "at most"),
    "one character": ("x", None),
    "only spaces": ("   ", "is empty"),
    "nothing": ("", "is empty"),
    "spaces around": ("  a  ", "begins or ends with a space"),
}
KEPT = {name: text for name, (text, reason) in HOSTILE.items() if reason is None}
REFUSED = {name: text for name, (text, reason) in HOSTILE.items() if reason is not None}


@pytest.fixture(autouse=True)
def no_canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start in an empty folder: whatever a payload touches lands there or in the project."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def canaries(tmp_path: Path) -> list[Path]:
    """Return the files that only an executed payload would have made."""
    outside = [*Path.cwd().rglob("canary"), Path("/etc/canary"), Path("/canary")]
    return [path for path in [*tmp_path.rglob("canary"), *outside] if path.is_file()]


def assert_correct(project: BakedProject, name: str, description: str, author: str) -> None:
    """Assert that every file parses and holds the answers as they were typed."""
    declared = tomllib.loads(project.text("pyproject.toml"))["project"]
    assert declared["description"] == description
    assert declared["authors"] == [{"name": author}]
    assert declared["name"] == project.root.name
    recorded = json.loads(project.text(".cruft.json"))["context"]["cookiecutter"]
    assert (recorded["project_name"], recorded["author_name"]) == (name, author)
    assert f"# {name}\n" in project.text("README.md")
    assert f"Copyright (c) {author}\n" in project.text("LICENSE")
    settings = configparser.ConfigParser(interpolation=None)
    settings.read_string(project.text("conf.cfg"))
    assert settings["model"]["task"] == "classification"
    for path in project.files():
        assert_parses(Path(path).suffix, project.text(path))


@functools.cache  # most files hold no answer, so they are the same in every project
def assert_parses(suffix: str, text: str) -> None:
    """Assert that a file is what its name says."""
    if suffix == ".py":
        ast.parse(text)
    elif suffix in (".yaml", ".yml"):
        assert yaml.safe_load(text) is not None
    elif suffix == ".ipynb":
        assert json.loads(text)["cells"]


@every_case("text", KEPT.values())
def test_odd_but_good_text_gives_a_correct_project(
    bake_into: Bake, tmp_path: Path, text: str
) -> None:
    # The name that is derived from the project's is good, too, but for these two.
    answers = {"project_slug": "churn"} if text in ("CON", "[data]") else {}
    answers |= {"project_name": text, "description": text, "author_name": text}
    project = bake_into(tmp_path / "out", **answers)
    assert_correct(project, text, text, text)
    assert canaries(tmp_path) == []


@pytest.mark.parametrize("prompt", ["project_name", "description", "author_name"])
@every_case("name", REFUSED)
def test_other_text_gets_the_plain_refusal(
    bake_into: Bake, tmp_path: Path, prompt: str, name: str
) -> None:
    text, reason = HOSTILE[name]
    with pytest.raises(FailedHookException) as refusal:
        bake_into(tmp_path / "out", **{"project_slug": "churn", prompt: text})
    sentence = str(refusal.value)
    assert sentence.startswith(f"Error: {prompt} ")
    assert str(reason) in sentence
    assert sentence.isascii() and sentence.isprintable()
    assert [*(tmp_path / "out").iterdir()] == []
    assert canaries(tmp_path) == []


# A folder that is there, or that the system itself refuses: cookiecutter stops before any hook.
NEVER_A_FOLDER = ("dot", "nothing", "very long", "NUL", "lone surrogate")
SLUGS_TOO = ("one character", "YAML null", "YAML boolean")


@every_case("name", [name for name in HOSTILE if name not in SLUGS_TOO])
def test_no_hostile_text_is_a_slug(bake_into: Bake, tmp_path: Path, name: str) -> None:
    text = HOSTILE[name][0].replace("/etc/canary", str(tmp_path / "absolute" / "canary"))
    early = (OutputDirExistsException, OSError, ValueError) if name in NEVER_A_FOLDER else ()
    with pytest.raises((FailedHookException, *early)) as refusal:
        bake_into(tmp_path / "out" / "below" / "this", project_slug=text)
    if name not in NEVER_A_FOLDER:
        assert str(refusal.value).startswith("Error: project_slug ")
        assert str(refusal.value).isascii() and str(refusal.value).isprintable()
    files = [*tmp_path.rglob("*"), *Path.cwd().rglob("*")]
    assert [path for path in files if path.is_file()] == []
    assert canaries(tmp_path) == []


def test_yes_and_null_as_slugs(bake_into: Bake, tmp_path: Path) -> None:
    """Plain names, so good ones, although YAML reads them as something else where not quoted."""
    for slug in ("yes", "null", "on", "no"):
        project = bake_into(tmp_path, project_slug=slug)
        texts = ("project_name", "description", "author_name")
        assert_correct(project, *(COOKIECUTTER[prompt] for prompt in texts))


def command(template: Path, *arguments: str, typed: str | None = None) -> tuple[int, str]:
    """Run the real command in the current folder; return its status and all that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "cookiecutter", str(template), *arguments],
        input=typed,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    return done.returncode, done.stdout


def test_the_real_command_refuses_what_is_typed_with_one_sentence(
    template: Path, tmp_path: Path
) -> None:
    payload = HOSTILE["Jinja code"][0]
    for answers, sentence in {
        f"{payload}\nchurn\n": f"Error: project_name {ascii(payload)} {MARKER}",
        f"\nchurn\n{payload}\n": f"Error: description {ascii(payload)} {MARKER}",
        "\nchurn\n\nJo \U0001f600\n": "Error: author_name 'Jo \\U0001f600' holds an emoji",
        "\n../canary\n": "Error: project_slug '../canary' is not a plain name",
    }.items():
        status, printed = command(template, typed=answers + "\n" * len(COOKIECUTTER))
        assert status == 1
        # Jinja's markers apart, a long value is cut.
        assert sentence[:60] in printed
        assert "pre_gen_project.py" not in printed.split("Stopping generation")[0]
        assert [*Path().iterdir()] == [] and canaries(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    ["end of the hook's literal", "command substitution", "escape as text", "right to left"],
)
def test_the_real_command_keeps_odd_but_good_text(
    template: Path, tmp_path: Path, name: str
) -> None:
    text = KEPT[name]
    answers = [f"{prompt}={text}" for prompt in FREE_TEXT if prompt != "project_slug"]
    status, printed = command(template, "--no-input", "project_slug=churn", *answers)
    assert status == 0, printed
    assert_correct(BakedProject(Path.cwd() / "churn", {}), text, text, text)
    assert canaries(tmp_path) == []


def test_a_console_that_is_not_utf_8_does_not_fail_the_hooks(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii:strict")
    monkeypatch.setenv("PWD", str(tmp_path))
    (tmp_path / "模型").mkdir()
    for slug, status in (("churn", 0), ("große", 1)):
        arguments = ["--no-input", "-o", str(tmp_path / "模型"), f"project_slug={slug}"]
        done = subprocess.run(
            [sys.executable, "-m", "cookiecutter", str(template), *arguments], capture_output=True
        )
        printed = done.stdout + done.stderr
        assert (done.returncode, b"UnicodeEncodeError" in printed) == (status, False), printed
    assert [path.name for path in (tmp_path / "模型").iterdir()] == ["churn"]


def test_a_refused_slug_that_leads_elsewhere_leaves_what_is_there(
    template: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "mine.txt").write_text("mine", encoding="utf-8")
    for slug in ("../kept", str(kept), "../../kept", "."):
        with pytest.raises((FailedHookException, OutputDirExistsException)):
            bake_project(template, tmp_path / "out" / "deep", {"project_slug": slug})
    assert (kept / "mine.txt").read_text(encoding="utf-8") == "mine"
