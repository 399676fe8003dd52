"""A template with a history, and projects of it that several people work on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from answers import MODULES, SKELETON, TEMPLATE
from baking import run_git

# What the second version does to some lines of the first.
TEN_FILES = [
    *("cli", "core/config", "evaluate", "models/features", "evaluation/metrics"),
    *("postprocess", "predict", "report", "tracking/runs", "train"),
]


@dataclass(frozen=True)
class Checkout:
    """One person's clone of a project."""

    root: Path

    def tool(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python tools/template.py ...` without its checks."""
        return self.checked_tool(*arguments, *quiet(arguments), **environment)

    def checked_tool(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python tools/template.py ...` as a person does."""
        return started([sys.executable, "tools/template.py", *arguments], self.root, **environment)

    def git(self, *arguments: str) -> str:
        """Return what git prints in the project's folder."""
        return run_git(self.root, *arguments)

    def text(self, name: str) -> str:
        """Return a file's text, its line ends as they are."""
        return (self.root / name).read_bytes().decode("utf-8")

    def write(self, name: str, text: str) -> None:
        """Write a file, line ends as given."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))

    def replace(self, name: str, old: str, new: str) -> None:
        """Edit a file as a person does."""
        text = self.text(name)
        assert old in text, f"{name} has no {old!r}"
        self.write(name, text.replace(old, new, 1))

    def has(self, name: str) -> bool:
        """Tell whether a file is there."""
        return (self.root / name).is_file()

    def commit(self, message: str = "work") -> None:
        """Commit everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def tree(self) -> str:
        """Return the id of the tree that a commit would have now."""
        return self.git("write-tree").strip()

    def answers(self) -> dict[str, str]:
        """Return the recorded answers."""
        state: dict[str, Any] = json.loads(self.text(".cruft.json"))
        answers: dict[str, str] = state["context"]["cookiecutter"]
        return answers

    def clone(self, folder: Path) -> Checkout:
        """Clone as a teammate does: no object comes along that no commit needs."""
        run_git(self.root, "clone", "--quiet", self.root.as_uri(), str(folder))
        return Checkout(folder)

    def status(self) -> list[str]:
        """Return what git sees as changed, staged or untracked."""
        return self.git("status", "--porcelain", "--untracked-files=all").splitlines()


Project = Callable[..., Checkout]

# What is said before the updater runs. Projects of earlier versions have an updater of their own.
ANNOUNCED = re.compile(r"\ARunning the updater of (\S+), (\S+), commit (\w{10})\n")


def started(
    command: list[str], folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of the updater; what is said before it runs is taken off stderr."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
    )
    done.stderr = ANNOUNCED.sub("", done.stderr)
    return done


def quiet(arguments: tuple[str, ...]) -> list[str]:
    """Return the option that leaves out the checks, for the commands that have it."""
    return ["--no-checks"] if arguments and arguments[0] in ("update", "set") else []


def applied(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed that says that all was applied."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def left(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed that says that something is left to a person."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Not everything was applied" in done.stdout
    return done.stdout


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence with which a command refuses."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == "" and done.stderr.count("\n") == 1, done.stdout + done.stderr
    assert done.stderr.startswith("Error: ") and "Traceback" not in done.stderr
    return done.stderr


def create(address: str, folder: Path, *arguments: str, version: str = "v1.0.0") -> Checkout:
    """Make a project as a person does, with the command of plain cookiecutter."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cookiecutter", address, "--no-input", "--checkout", version]
    done = subprocess.run(
        [*command, "--output-dir", str(folder), *arguments], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    roots = [path for path in folder.iterdir() if (path / ".cruft.json").exists()]
    return Checkout(roots[0])


@dataclass(frozen=True)
class Upstream:
    """The template's own repository, with the tags v1.0.0, v1.1.0 and v2.0.0."""

    root: Path

    @property
    def address(self) -> str:
        """What a person hands to cookiecutter."""
        return f"git+{self.root.as_uri()}"

    def edit(self, name: str, change: Callable[[str], str]) -> None:
        """Change a file of the template."""
        path = self.root / name
        text = path.read_bytes().decode("utf-8")
        changed = change(text)
        assert changed != text, f"{name} did not change"
        path.write_bytes(changed.encode("utf-8"))

    def edit_skeleton(self, name: str, change: Callable[[str], str]) -> None:
        """Change a file of the skeleton."""
        self.edit(f"{SKELETON.name}/{name}", change)

    def edit_prompts(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Change cookiecutter.json."""

        def change_text(text: str) -> str:
            return json.dumps(change(json.loads(text)), indent=2) + "\n"

        self.edit("cookiecutter.json", change_text)

    def release(self, tag: str) -> None:
        """Commit and tag."""
        run_git(self.root, "add", "--all", "--force")
        run_git(self.root, "commit", "--quiet", "--message", tag)
        run_git(self.root, "tag", tag)

    def commit_of(self, name: str) -> str:
        """Return the commit of a tag."""
        return run_git(self.root, "rev-parse", f"{name}^{{commit}}").strip()


def upstream_of_work_tree(template: Path, folder: Path) -> str:
    """Clone the template with its history, add what stands here as v999.0.0; return the address."""
    run_git(folder.parent, "clone", "--quiet", str(TEMPLATE), str(folder))
    run_git(folder, "rm", "-r", "--quiet", ".")
    shutil.copytree(template, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git"))
    run_git(folder, "add", "--all", "--force")
    run_git(folder, "commit", "--quiet", "--allow-empty", "--message", "as it stands")
    run_git(folder, "tag", "v999.0.0")
    return f"git+{folder.as_uri()}"


def package_file(name: str) -> str:
    """Return the path of a file of the skeleton's package."""
    return f"src/{{{{cookiecutter.__package}}}}/{name}.py"


def with_line(line: str) -> Callable[[str], str]:
    """Return an edit that adds a line at the end."""
    return lambda text: f"{text}{line}\n"


def replaced(old: str, new: str) -> Callable[[str], str]:
    """Return an edit that replaces a text once."""
    return lambda text: text.replace(old, new, 1)


def make_upstream(template: Path, folder: Path) -> Upstream:
    """Build three versions of the template out of the one that is there."""
    run_git(folder.parent, "clone", "--quiet", template.as_uri(), str(folder))
    upstream = Upstream(folder)
    first_version(upstream)
    second_version(upstream)
    third_version(upstream)
    return upstream


def first_version(upstream: Upstream) -> None:
    """v1.0.0: what is there, and one more question, of which nothing depends."""
    upstream.edit_prompts(lambda prompts: {**prompts, "colour": ["red", "blue"]})
    upstream.release("v1.0.0")


def second_version(upstream: Upstream) -> None:
    """v1.1.0: ten files of the package change, and lines beside those that teams change."""
    for name in TEN_FILES:
        upstream.edit_skeleton(package_file(name), with_line("\n\n# A line of v1.1.0."))
    upstream.edit_skeleton("README.md", with_line("\nA line of v1.1.0."))
    # Between `source` and `target`, which every team sets.
    told = ("# The column to predict.", "# What to predict.")
    upstream.edit_skeleton("conf.cfg", lambda text: text.replace(*told))
    upstream.edit_skeleton("conf.cfg", with_line("\n[later]\nspeed = 1"))
    upstream.edit_skeleton(package_file("custom"), lambda text: f"# Since v1.1.0.\n{text}")
    for path in sorted((upstream.root / SKELETON.name).glob("checklist/*.yaml")):
        name = f"checklist/{path.name}"
        upstream.edit_skeleton(name, lambda text: f"# Since v1.1.0.\n{text}")
    upstream.release("v1.1.0")


def third_version(upstream: Upstream) -> None:
    """v2.0.0: what is hard to bring: a rename, parts that most projects lack, other questions."""
    upstream.edit_skeleton(".gitlab-ci.yml", with_line("# A line of v2.0.0."))
    (upstream.root / SKELETON.name / "containers.yaml").write_bytes(b"# New in v2.0.0.\n")
    docs = upstream.root / SKELETON.name / "docs"
    (docs / "scoping.md").rename(docs / "scope.md")
    upstream.edit_skeleton("docs/data.md", replaced("# ", "# v2: "))
    upstream.edit_skeleton("notebooks/README.md", with_line("A line of v2.0.0."))
    upstream.edit_skeleton("README.md", with_line("Region: {{ cookiecutter.region }}."))
    (upstream.root / SKELETON.name / "Jenkinsfile").unlink()
    for name in ("LICENSE", "pyproject.toml"):
        upstream.edit_skeleton(name, lambda text: text.replace("author_name", "owner"))

    def prompts(old: dict[str, Any]) -> dict[str, Any]:
        new = {{"author_name": "owner"}.get(name, name): value for name, value in old.items()}
        del new["colour"]
        new["ci"] = [choice for choice in old["ci"] if choice != "jenkins"]
        new["region"] = ["eu", "us"]
        new["_migrations"] = {
            "author_name": "owner",
            "colour": "it never had an effect.",
            "ci=jenkins": "the Jenkinsfile is yours to keep, with ci=none",
        }
        return new

    upstream.edit_prompts(prompts)
    modules = (
        'MODULES["platform=docker|kubernetes"].append("containers.yaml")\n'
        'del MODULES["ci=jenkins"]\n\n\n'
    )
    upstream.edit("hooks/post_gen_project.py", before("def is_kept(", modules))
    written = (
        '    with open("docs/from-hook.md", "w") as file:\n        file.write("# A hook\\n")\n'
    )
    upstream.edit("hooks/post_gen_project.py", before("    prune(answers)\n", written))
    renamed = 'LENGTHS["owner"] = LENGTHS.pop("author_name")\n\n\n'
    upstream.edit("hooks/pre_gen_project.py", before("def text_fault(", renamed))
    (upstream.root / "CHANGELOG.md").write_bytes(CHANGES.encode("utf-8"))
    upstream.release("v2.0.0")


CHANGES = """# Changes

## 2.0.0

- Regions.

### Migration

- Say which region with `set region=us`.

## 1.1.0

- Lines.
"""


def before(anchor: str, text: str) -> Callable[[str], str]:
    """Return an edit that puts text before the first line that begins with an anchor."""
    return lambda old: old.replace(anchor, text + anchor, 1)


def module_answers(
    condition: str, choices: Mapping[str, list[str]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return answers that keep a module, and one changed answer that prunes it."""
    terms = {prompt: kept.split("|") for prompt, kept in (t.split("=") for t in condition.split())}
    keep = {prompt: kept[0] for prompt, kept in terms.items()}
    prompt, kept = next(iter(terms.items()))
    other = next(choice for choice in choices[prompt] if choice not in kept)
    return keep, {prompt: other}


def module_files(checkout: Checkout, condition: str) -> list[str]:
    """Return the files of a module that a project has."""
    package = next(path.name for path in (checkout.root / "src").iterdir() if path.is_dir())
    paths = [path.replace("{package}", package) for path in MODULES[condition]]
    names = checkout.git("ls-files").splitlines()
    return [name for name in names for path in paths if re.match(f"{re.escape(path)}(/|$)", name)]


def copy_of(checkout: Checkout, folder: Path) -> Checkout:
    """Return a copy that a test may change."""
    shutil.copytree(checkout.root, folder)
    return Checkout(folder)


def everything(checkout: Checkout) -> dict[str, bytes]:
    """Return the content of every file, those that git ignores included, git's own left out."""
    files = (path for path in checkout.root.rglob("*") if path.is_file())
    relative = {path.relative_to(checkout.root).as_posix(): path for path in files}
    return {name: p.read_bytes() for name, p in relative.items() if not name.startswith(".git/")}


def documented(heading: str) -> str:
    """Return the first block of commands below a heading of `docs/living.md`."""
    page = (TEMPLATE / "docs" / "living.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return str(re.findall(r"```bash\n(.*?)```", section, re.DOTALL)[0])
