"""Keep the project in step with the template that it came from: status, update, set and diff.

The template is rendered twice, as it was and as it is to be, and git merges the difference into
the last commit, as it merges a branch. Nothing is written before the merge is complete; then the
index comes first and the files after it, so that one `git reset --hard` undoes all of it, wherever
it was stopped.
"""

from __future__ import annotations

import argparse
import configparser
import difflib
import fnmatch
import importlib.util
import json
import locale
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
STATE = ".cruft.json"

# What the team writes. A change beside one of the template's is no conflict here.
TEAM_FILES = ("conf.cfg", "checklist/*.yaml")

# The team's code. Once the team has changed or deleted it, it stays as it is: lines of the
# template's examples between the team's would make code that nobody wrote.
TEAM_CODE = ("src/*/custom.py", "src/*/custom")

MARKER = re.compile(r"[{][{#%]")
SEMVER = re.compile(r"v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+.*)?")

# What people have set up for their own work must not change what is computed here.
SETTINGS = [
    *("-c", "core.quotePath=false"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "gc.auto=0"),
    *("-c", "merge.directoryRenames=false"),
    *("-c", "merge.renames=true"),
]
# The commits that git merges are never kept, so they need nobody's name.
NOBODY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in {
        "NAME": "template",
        "EMAIL": "template@example.invalid",
        "DATE": "2000-01-01T00:00:00Z",
    }.items()
}
# Set by git around its own hooks: they would send our commands to another repository.
ELSEWHERE = {
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"),
    *("GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE"),
}


class Refusal(Exception):
    """One sentence that says what is wrong, where, and what to do; the exit code is 2."""


# git.


def start_git(
    arguments: Sequence[str], stdin: bytes = b"", index: Path | None = None, show: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """Run git in the project's folder, with an index of its own if one is given."""
    own = {"GIT_INDEX_FILE": str(index)} if index else {}
    return subprocess.run(  # noqa: S603
        ["git", *SETTINGS, *arguments],  # noqa: S607
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", **NOBODY, **own},
        input=stdin,
        stdout=None if show else subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def git(*arguments: str, stdin: str = "", index: Path | None = None) -> str:
    """Return what git prints; its own words become a refusal if it fails."""
    done = start_git(arguments, stdin.encode("utf-8", "surrogateescape"), index)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise Refusal(f"git {arguments[0]} failed in {ROOT}: {said[-1]}")
    return done.stdout.decode("utf-8", "surrogateescape")


def names_of(text: str) -> list[str]:
    """Split what git prints with -z."""
    return text.split("\0")[:-1] if text.endswith("\0") else text.split("\0") if text else []


# The project.


@dataclass(frozen=True)
class Project:
    """The project as a part of a git repository, and what .cruft.json says about it."""

    state: Mapping[str, Any]
    git_folder: Path
    prefix: str
    head: str
    tree: str

    @property
    def answers(self) -> dict[str, Any]:
        """The recorded answers; keys that begin with _ are the template's own."""
        recorded = self.state["context"]["cookiecutter"]
        return {name: value for name, value in recorded.items() if not name.startswith("_")}


def read_state() -> dict[str, Any]:
    """Return what .cruft.json holds; raises Refusal unless it leads to a template's version."""
    path = ROOT / STATE
    try:
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        answers = state["context"]["cookiecutter"]
    except FileNotFoundError:
        raise Refusal(
            f"{path} is missing, so the template is not known: restore it with "
            f"`git checkout HEAD -- {STATE}`, or adopt the template anew."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise Refusal(
            f"{path} is not what cruft writes (JSON with template, commit and "
            f"context.cookiecutter): restore it with `git checkout HEAD -- {STATE}`."
        ) from None
    if not isinstance(answers, dict) or not state.get("template"):
        raise Refusal(f"{path} names no template or no answers: restore it from git's history.")
    if not state.get("commit"):
        raise Refusal(
            f"{path} does not say which version of the template this project was made from: write "
            'the git address of the template as "template" and the full id of that version\'s '
            'commit as "commit" (`git ls-remote --tags ADDRESS` lists both for each release).'
        )
    for name, value in answers.items():
        if not name.startswith("_"):
            refuse_markers(name, value)
    return state


def refuse_markers(name: str, value: Any) -> None:
    """Raise Refusal for an answer that would be run as a template."""
    if MARKER.search(str(value)):
        raise Refusal(
            f"{name} {value!a} holds a template marker: an opening brace followed by another "
            "brace, % or # is not allowed."
        )


def open_project() -> Project:
    """Find the project in its repository; raises Refusal where there is none."""
    if shutil.which("git") is None:
        raise Refusal("git was not found: install git 2.38 or newer, then try again.")
    version = re.search(r"(\d+)\.(\d+)", git("--version"))
    if version and (int(version[1]), int(version[2])) < (2, 38):
        raise Refusal(
            f"git {version[0]} cannot merge without a work tree: install git 2.38 or newer."
        )
    inside = start_git(["rev-parse", "--is-inside-work-tree"])
    if inside.returncode and b"not a git repository" not in inside.stderr:
        git("rev-parse", "--is-inside-work-tree")
    if inside.stdout.strip() != b"true":
        raise Refusal(
            f"{ROOT} is in no git repository: run `git init`, `git add --all` and "
            '`git commit -m "Start"` there first, so that every step can be undone.'
        )
    state = read_state()
    if start_git(["rev-parse", "--verify", "--quiet", "HEAD"]).returncode:
        raise Refusal(f"{ROOT} has no commit yet: commit the project first.")
    prefix = git("rev-parse", "--show-prefix").rstrip("\n")
    if start_git(["rev-parse", "--verify", "--quiet", f"HEAD:{prefix}{STATE}"]).returncode:
        raise Refusal(f"{ROOT / STATE} is not committed: commit the project first.")
    lines = git("rev-parse", "--absolute-git-dir", "HEAD", f"HEAD:{prefix}").splitlines()
    return Project(state, Path(lines[0]), prefix, lines[1], lines[2])


def refuse_unclean(project: Project) -> None:
    """Raise Refusal unless the work tree is that of the last commit."""
    note = note_of_update(project)
    changed = names_of(git("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames"))
    inside = ["status", "--porcelain", "-z", "--untracked-files=normal", "--no-renames", "."]
    changed += [line for line in names_of(git(*inside)) if line.startswith("??")]
    if changed and note.exists():
        commit = note.read_text(encoding="utf-8").strip()
        raise Refusal(f"An update was stopped half-way: undo it with `git reset --hard {commit}`.")
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise Refusal(
            f"The work tree has changes that are not committed ({changed[0][3:]}{more}): commit "
            "them, or put them aside with `git stash --include-untracked`."
        )
    if (project.git_folder / "index.lock").exists():
        raise Refusal(
            f"{project.git_folder / 'index.lock'} is there: wait until the other git command ends, "
            "or delete that file if none runs."
        )
    note.unlink(missing_ok=True)


def note_of_update(project: Project) -> Path:
    """Return the file that is there while an update writes."""
    return project.git_folder / "template-update"


# The template.


@dataclass(frozen=True)
class Version:
    """A commit of the template and how people call it."""

    name: str
    commit: str


@dataclass(frozen=True)
class Template:
    """A bare clone of the template, with every tag."""

    folder: Path
    directory: str | None
    releases: tuple[str, ...] = ()

    def git(self, *arguments: str) -> str:
        """Return what git prints about the template's repository."""
        return git(f"--git-dir={self.folder}", *arguments).strip()

    def find(self, name: str) -> str | None:
        """Return the commit of a tag, a branch or an id, or None."""
        reference = f"{name}^{{commit}}"
        command = [f"--git-dir={self.folder}", "rev-parse", "--verify", "--quiet"]
        done = start_git([*command, "--end-of-options", reference])
        return None if done.returncode else done.stdout.decode("ascii").strip()

    def text(self, commit: str, name: str) -> str | None:
        """Return a text file of a version of the template, or None if it has none."""
        path = (PurePosixPath(self.directory or "") / name).as_posix()
        done = start_git([f"--git-dir={self.folder}", "show", f"{commit}:{path}"])
        return None if done.returncode else done.stdout.decode("utf-8", "replace")

    def merged(self, commit: str) -> list[str]:
        """Return the releases that a commit contains, the newest last."""
        tags = set(self.git("tag", "--merged", commit).split())
        return [tag for tag in self.releases if tag in tags]

    def version(self, commit: str) -> Version:
        """Name a commit after the newest release that it contains."""
        short = commit[:10]
        merged = self.merged(commit)
        if not merged:
            return Version(short, commit)
        later = self.git("rev-list", "--count", f"{merged[-1]}..{commit}")
        return Version(merged[-1] if later == "0" else f"{merged[-1]}+{later} ({short})", commit)


def rank(tag: str) -> tuple[Any, ...]:
    """Return what SemVer orders versions by: a pre-release comes before its release."""
    found = SEMVER.fullmatch(tag)
    if found is None:
        return ()
    early = [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in (found[4] or "")[1:].split(".")
        if part
    ]
    return (int(found[1]), int(found[2]), int(found[3]), not early, early)


def open_template(state: Mapping[str, Any], folder: Path) -> Template:
    """Clone the template, once: all else reads the clone; raises Refusal if it cannot be had."""
    address = str(state["template"]).removeprefix("git+")
    bare = folder / "template.git"
    command = ["clone", "--quiet", "--bare", "--", address, str(bare)]
    done = start_git(command)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise Refusal(
            f"The template {address} of {STATE} cannot be cloned ({said[-1]}): check the address, "
            "the network and your rights."
        )
    template = Template(bare, state.get("directory"))
    tags = [tag for tag in template.git("tag", "--list").split() if SEMVER.fullmatch(tag)]
    template = Template(bare, state.get("directory"), tuple(sorted(tags, key=rank)))
    if template.find(str(state["commit"])) is None:
        raise Refusal(
            f"The template {address} has no commit {state['commit']!s:.60}: write the commit that "
            f'the project was made from as "commit" into {STATE}.'
        )
    return template


def newest(template: Template, commit: str) -> Version:
    """Return the newest release, or the default branch where the template has no tags.

    A project that was made after the newest release is not taken back to it.
    """
    final = [tag for tag in template.releases if "-" not in tag] or list(template.releases)
    if not final:
        head = template.find("HEAD")
        return template.version(head or commit)
    if final[-1] in template.merged(commit):
        return template.version(commit)
    return Version(final[-1], str(template.find(final[-1])))


def wanted(template: Template, name: str) -> Version:
    """Return the version that a person asked for; raises Refusal if there is none of that name."""
    for candidate in (name, f"v{name}", f"refs/tags/{name}"):
        commit = template.find(candidate)
        if commit is not None:
            tag = candidate if candidate in template.releases else None
            return Version(tag, commit) if tag else template.version(commit)
    last = ", ".join(template.releases[-5:]) or "no releases; give a branch or a commit"
    raise Refusal(f"The template has no version {name!a}: it has {last}.")


# Answers.


def prompts_at(template: Template, version: Version) -> dict[str, Any]:
    """Return cookiecutter.json of a version."""
    try:
        prompts = json.loads(template.text(version.commit, "cookiecutter.json") or "")
    except ValueError:
        prompts = None
    if not isinstance(prompts, dict):
        raise Refusal(f"The template's {version.name} has no readable cookiecutter.json.")
    return prompts


def carried_over(
    answers: dict[str, Any], prompts: Mapping[str, Any], version: Version
) -> tuple[dict[str, Any], list[str]]:
    """Return the answers under the names that a version asks for, and notes on what moved."""
    moved: Mapping[str, str] = prompts.get("_migrations", {})
    result, notes = {}, []
    for name, value in answers.items():
        target = moved.get(name, "")
        if name in prompts:
            result[name] = value
        elif target in prompts and target not in answers:
            result[target] = value
            notes.append(f"{name} is called {target} now: your answer {value!a} is carried over.")
        else:
            why = target or f"{version.name} does not ask for it any more."
            notes.append(f"{name} (your answer was {value!a}) has gone: {why}")
    return result, notes


def public(prompts: Mapping[str, Any]) -> list[str]:
    """Return the names of the questions."""
    return [name for name in prompts if not name.startswith("_")]


def changed_answers(
    pairs: Sequence[str], prompts: Mapping[str, Any], version: Version
) -> dict[str, str]:
    """Read KEY=VALUE pairs; raises Refusal for what the version does not ask for."""
    moved: Mapping[str, str] = prompts.get("_migrations", {})
    changes = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise Refusal(f"{pair!a} is no answer: write KEY=VALUE, such as stage=mvp.")
        if name not in public(prompts):
            note = f" ({moved[name]})" if name in moved else ""
            known = ", ".join(public(prompts))
            raise Refusal(f"{name!a} is no question of {version.name}{note}: it asks for {known}.")
        refuse_markers(name, value)
        changes[name] = value
    return changes


def refuse_choices(
    answers: Mapping[str, Any], prompts: Mapping[str, Any], version: Version
) -> None:
    """Raise Refusal for an answer that the version does not offer."""
    moved: Mapping[str, str] = prompts.get("_migrations", {})
    for name, choices in prompts.items():
        value = answers.get(name)
        if name.startswith("_") or not isinstance(choices, list) or value in (None, *choices):
            continue
        allowed = " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
        note = f" ({moved[f'{name}={value}']})" if f"{name}={value}" in moved else ""
        raise Refusal(
            f"{name} {value!a} is not a choice of {version.name}{note}: choose {allowed}, as in "
            f"`python tools/template.py set {name}={choices[0]} --to {version.name.split('+')[0]}`."
        )


def new_questions(
    answers: Mapping[str, Any], prompts: Mapping[str, Any], rendered: Mapping[str, Any]
) -> Iterator[str]:
    """Yield a note for each question that was answered with its default."""
    for name in public(prompts):
        if name not in answers:
            yield (
                f"{name} is a new question, answered with {rendered[name]!a}: "
                f"`python tools/template.py set {name}=...` changes it."
            )


def migration_notes(template: Template, before: Version, after: Version) -> list[str]:
    """Return what the template's CHANGELOG.md says about migrating, for each release between."""
    text = template.text(after.commit, "CHANGELOG.md") or ""
    known = set(template.merged(before.commit))
    between = {tag.removeprefix("v") for tag in template.merged(after.commit) if tag not in known}
    notes, release, inside = [], "", False
    for line in text.splitlines():
        if line.startswith("## "):
            release, inside = line[3:].split()[0].strip("[]").removeprefix("v"), False
        elif line.startswith("### "):
            inside = line[4:].strip() == "Migration"
        elif inside and line.strip() and release in between:
            notes.append(line.strip().removeprefix("- "))
    return notes


# Renderings.


@contextmanager
def captured(path: Path) -> Iterator[None]:
    """Send what this process and its hooks print into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with path.open("wb") as file:
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in enumerate(saved, start=1):
                os.dup2(copy, number)
                os.close(copy)


def render(template: Template, version: Version, answers: dict[str, Any], folder: Path) -> Path:
    """Render a version with these answers; raises Refusal, in the hook's own words if it has any.

    Whoever renders gets the same files: the person's own defaults are left out.
    """
    from cruft import create

    folder.mkdir()
    output = folder / "output.txt"
    try:
        with captured(output):
            return Path(
                create(
                    str(template.folder),
                    output_dir=folder,
                    extra_context=answers,
                    checkout=version.commit,
                    directory=template.directory,
                    default_config=True,
                )
            )
    except Exception as error:  # of cruft, cookiecutter, Jinja or a hook
        printed = output.read_text("utf-8", "replace").strip()
        said = re.findall(r"^Error: (.+)$", printed, re.MULTILINE)
        words = " ".join([*str(error).split(), *printed.splitlines()[-1:]])
        reason = said[-1] if said else f"the template at {version.name} did not render: {words}"
        raise Refusal(reason) from None


def rendered_answers(rendered: Path) -> dict[str, Any]:
    """Take .cruft.json out of a rendering and return the answers in it."""
    path = rendered / STATE
    answers = json.loads(path.read_text(encoding="utf-8"))["context"]["cookiecutter"]
    path.unlink()
    return {name: value for name, value in answers.items() if not name.startswith("_")}


def skipped(project: Project) -> list[str]:
    """Return what is never to be updated: cruft's own setting, in .cruft.json or pyproject.toml."""
    patterns = list(project.state.get("skip") or [])
    try:
        document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        document = {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refusal(f"{ROOT / 'pyproject.toml'} cannot be read: {error}") from None
    return patterns + list(document.get("tool", {}).get("cruft", {}).get("skip", []))


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether a path, or a folder above it, is one of the patterns."""
    paths = [name, *(parent.as_posix() for parent in PurePosixPath(name).parents)]
    return any(fnmatch.fnmatchcase(path, pattern) for path in paths for pattern in patterns)


def make_tree(project: Project, rendered: Path, work: Path) -> str:
    """Write a rendering into the project's repository and return its tree.

    That also brings what a fresh clone lacks: the pristine files that a merge starts from.
    """
    leave = skipped(project)
    names = sorted(path.relative_to(rendered).as_posix() for path in files_below(rendered))
    names = [name for name in names if not matches(name, leave)]
    for name in set(names) & windows_files(project):
        content = (rendered / name).read_bytes()
        (rendered / name).write_bytes(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    paths = "".join(f"{(rendered / name).as_posix()}\n" for name in names)
    ids = git("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=paths).split()
    lines = [
        f"{'100755' if (rendered / name).stat().st_mode & 0o100 else '100644'} {blob}\t{name}\0"
        for name, blob in zip(names, ids, strict=True)
    ]
    index = work / f"{rendered.parent.name}.index"
    git("update-index", "-z", "--index-info", stdin="".join(lines), index=index)
    return git("write-tree", index=index).strip()


def files_below(folder: Path) -> Iterator[Path]:
    """Yield every file below a folder."""
    return (path for path in folder.rglob("*") if path.is_file())


def windows_files(project: Project) -> set[str]:
    """Return the committed files whose lines end in CRLF: the template's are compared as such."""
    found = set()
    for line in names_of(git("ls-files", "--eol", "-z", ".")):
        facts, _, name = line.partition("\t")
        if facts.startswith("i/crlf"):
            found.add(name)
    return found


# The merge.


@dataclass
class Merged:
    """A tree to come, and what git could not decide: path → stage → (mode, blob)."""

    tree: str
    unmerged: dict[str, dict[int, tuple[str, str]]] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether everything was applied and nothing is left for a person."""
        return not (self.conflicts or self.orphans or self.left_out or self.remaining)


def merge(
    project: Project, steps: Iterable[tuple[str, str]], labels: tuple[str, str], work: Path
) -> Merged:
    """Merge the steps from one tree to another into the last commit, without touching any file."""
    merged = Merged(project.tree)
    for base, theirs in steps:
        merge_step(project, merged, base, theirs, labels, work)
    return merged


def merge_step(
    project: Project,
    merged: Merged,
    base: str,
    theirs: str,
    labels: tuple[str, str],
    work: Path,
) -> None:
    """Merge as git merges branches.

    Git sees no .gitattributes: `merge=union`, say, would bring a changed line back beside the new.
    """
    theirs = without_team_code(base, merged.tree, theirs, work)
    pristine = git("commit-tree", "-m", "pristine", base).strip()
    mine = git("commit-tree", "-m", "yours", "-p", pristine, merged.tree).strip()
    new = git("commit-tree", "-m", "template", "-p", pristine, theirs).strip()
    nothing = work / "nothing"
    nothing.mkdir(exist_ok=True)
    at = ["-C", str(nothing), f"--git-dir={project.git_folder}", f"--work-tree={nothing}"]
    done = start_git([*at, "merge-tree", "--write-tree", "-z", "--no-messages", mine, new])
    if done.returncode not in (0, 1):
        raise Refusal(f"git cannot merge: {done.stderr.decode('utf-8', 'replace').strip()}")
    merged.tree, *lines = names_of(done.stdout.decode("utf-8", "surrogateescape"))
    unmerged: dict[str, dict[int, tuple[str, str]]] = {}
    for line in filter(None, lines):
        facts, _, name = line.partition("\t")
        mode, blob, stage = facts.split()
        unmerged.setdefault(name, {})[int(stage)] = (mode, blob)
    if done.returncode == 1 and not unmerged:
        raise Refusal("git found a conflict that it does not name: update by plain `cruft update`.")
    words = {mine: "yours", new: labels[1], pristine: labels[0]}
    settle(merged, unmerged, words, work)


def settle(
    merged: Merged,
    unmerged: Mapping[str, dict[int, tuple[str, str]]],
    labels: Mapping[str, str],
    work: Path,
) -> None:
    """Sort what git could not decide, and decide what a person need not."""
    changes = []
    content = listing(merged.tree)
    for name, stages in sorted(unmerged.items()):
        if set(stages) == {1, 3}:
            # Deleted here, changed by the template: it stays deleted, and is told.
            merged.left_out.append(name)
            changes.append(f"0 {'0' * len(merged.tree)}\t{name}\0")
            continue
        if set(stages) == {1, 2}:
            merged.orphans.append(name)
            merged.unmerged[name] = stages
            continue
        text = merged_lines(name, stages)
        if text is None:
            merged.conflicts.append(name)
            merged.unmerged[name] = stages
            text = labelled(content[name][1], labels) if name in content else None
        if text is not None:
            changes.append(f"{content[name][0]} {write_blob(text)}\t{name}\0")
    merged.tree = with_changes(merged.tree, changes, work)


def without_team_code(base: str, mine: str, theirs: str, work: Path) -> str:
    """Return the template's new tree with the code that is the team's by now as it was."""
    before, own = listing(base), listing(mine)
    code = [name for name in listing(theirs) if name in before and matches(name, TEAM_CODE)]
    names = [name for name in code if own.get(name) != before[name]]
    lines = [f"{before[name][0]} {before[name][1]}\t{name}\0" for name in names]
    return with_changes(theirs, lines, work)


def without_new(before: str, after: str, work: Path) -> str:
    """Return a tree with the files of another that are no new ones."""
    known = listing(before)
    gone = [name for name in listing(after) if name not in known]
    return with_changes(after, [f"0 {'0' * len(after)}\t{name}\0" for name in gone], work)


def listing(tree: str) -> dict[str, tuple[str, str]]:
    """Return path → (mode, blob) of every file of a tree."""
    lines = names_of(git("ls-tree", "-r", "-z", "--full-tree", tree))
    parts = (line.partition("\t") for line in lines)
    return {name: (facts.split()[0], facts.split()[2]) for facts, _, name in parts}


def read_blob(blob: str) -> bytes:
    """Return a file's content as git keeps it."""
    return start_git(["cat-file", "blob", blob]).stdout


def write_blob(content: bytes) -> str:
    """Put content into the project's repository and return its id."""
    done = start_git(["hash-object", "-w", "--no-filters", "--stdin"], content)
    if done.returncode:
        raise Refusal(f"git cannot write: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout.decode("ascii").strip()


def labelled(blob: str, labels: Mapping[str, str]) -> bytes:
    """Return a conflicting file with words instead of ids at its markers."""
    content = read_blob(blob)
    for commit, words in labels.items():
        for length in (40, 64, 10, 7):
            content = content.replace(f" {commit[:length]}\n".encode(), f" {words}\n".encode())
            content = content.replace(f" {commit[:length]}\r\n".encode(), f" {words}\r\n".encode())
    return content


def with_changes(tree: str, changes: Sequence[str], work: Path) -> str:
    """Return a tree with lines of `git update-index --index-info` applied."""
    if not changes:
        return tree
    index = work / "changes.index"
    git("read-tree", tree, index=index)
    git("update-index", "-z", "--index-info", stdin="".join(changes), index=index)
    return git("write-tree", index=index).strip()


def merged_lines(name: str, stages: Mapping[int, tuple[str, str]]) -> bytes | None:
    """Merge a file of the team's line by line; None if both changed the very same lines.

    git itself calls it a conflict when two changes touch.
    """
    if set(stages) != {1, 2, 3} or not matches(name, TEAM_FILES):
        return None
    try:
        base, ours, theirs = (
            read_blob(stages[stage][1]).decode("utf-8").splitlines(keepends=True)
            for stage in (1, 2, 3)
        )
    except UnicodeDecodeError:
        return None
    lines = weave(base, ours, theirs)
    if lines is None or any(not line.endswith("\n") for line in lines[:-1]):
        return None
    if name.endswith(".cfg"):
        try:
            configparser.ConfigParser(interpolation=None).read_string("".join(lines))
        except configparser.Error:
            return None
    return "".join(lines).encode("utf-8")


Change = tuple[int, int, list[str]]


def line_changes(base: Sequence[str], other: Sequence[str]) -> list[Change]:
    """Return (first line, line after the last, new lines) of each difference."""
    matcher = difflib.SequenceMatcher(None, base, other, autojunk=False)
    return [(a, b, list(other[c:d])) for tag, a, b, c, d in matcher.get_opcodes() if tag != "equal"]


def weave(base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]) -> list[str] | None:
    """Apply both sides' changes to the base; None where two change the same lines."""
    mine = line_changes(base, ours)
    new = [change for change in line_changes(base, theirs) if change not in mine]
    for a, b, added in mine:
        for c, d, others in new:
            same_place = a == b == c == d
            if max(a, c) < min(b, d) or a < c == d < b or c < a == b < d:
                return None
            if same_place and opens_section(added) == opens_section(others) is False:
                return None
    # What continues a section comes before what opens one.
    changes = sorted([*mine, *new], key=lambda c: (c[0], c[1], opens_section(c[2])))
    result, at = [], 0
    for start, end, lines in changes:
        result += [*base[at:start], *lines]
        at = end
    return [*result, *base[at:]]


def opens_section(lines: Sequence[str]) -> bool:
    """Tell whether lines of an INI file begin a section of their own."""
    words = (line.strip() for line in lines)
    return next((word for word in words if word and word[0] not in "#;"), "").startswith("[")


def remaining_files(base: str, theirs: str, result: str) -> list[str]:
    """Return the files that stay behind in folders that the template has left."""

    def folders(tree: str) -> set[str]:
        parents = (PurePosixPath(name).parents for name in listing(tree))
        return {folder.as_posix() for above in parents for folder in above}

    left = folders(base) - folders(theirs)
    return [name for name in listing(result) if PurePosixPath(name).parent.as_posix() in left]


# Writing.


def changed_files(before: str, after: str) -> dict[str, tuple[str, str]]:
    """Return path → (mode, blob) of what differs between two trees; no blob where it goes."""
    words = names_of(git("diff-tree", "-r", "-z", "--no-renames", before, after))
    return {
        name: (facts.split()[1], "" if facts.split()[4] == "D" else facts.split()[3])
        for facts, name in zip(words[::2], words[1::2], strict=True)
    }


def refuse_overwriting(project: Project, changes: Mapping[str, tuple[str, str]]) -> None:
    """Raise Refusal where a new file of the template lies on one that git does not know."""
    tracked = listing(project.tree)
    for name, (_, blob) in changes.items():
        if blob and name not in tracked and os.path.lexists(ROOT / name):
            raise Refusal(
                f"{name} is ignored by git and would be overwritten by the template's file of that "
                "name: move it away, then try again."
            )


def write(project: Project, merged: Merged, changes: Mapping[str, tuple[str, str]]) -> None:
    """Bring the index, then the files, to the merged tree.

    Index first: whatever happens then, `git reset --hard` knows every file that is concerned. The
    index is exchanged as a whole, so that no lock is left behind by a kill.
    """
    folder = project.git_folder
    staged, index = folder / "template-update.index", folder / "index"
    staged.with_suffix(".index.lock").unlink(missing_ok=True)
    shutil.copy2(index, staged)
    gone, lines = "0" * len(project.head), []
    for name, (mode, blob) in changes.items():
        path = project.prefix + name
        lines.append(f"{mode} {blob}\t{path}\0" if blob else f"0 {gone}\t{path}\0")
    for name, stages in merged.unmerged.items():
        path = project.prefix + name
        lines.append(f"0 {gone}\t{path}\0")
        lines += [f"{mode} {blob} {stage}\t{path}\0" for stage, (mode, blob) in stages.items()]
    git("update-index", "-z", "--index-info", stdin="".join(lines), index=staged)
    files = folder / "template-update.files"
    git("read-tree", merged.tree, index=files)
    note_of_update(project).write_text(f"{project.head}\n", encoding="utf-8", newline="\n")
    staged.replace(index)
    for name, (_, blob) in changes.items():
        if not blob:
            remove(ROOT / name)
    checkout = ["checkout-index", "--force", "-z", "--stdin"]
    present = "".join(f"{name}\0" for name, (_, blob) in changes.items() if blob)
    at = [f"--git-dir={folder}", f"--work-tree={ROOT}"]
    git(*at, *checkout, stdin=present, index=files)
    files.unlink()
    note_of_update(project).unlink()


def remove(path: Path) -> None:
    """Remove a file, and the folders above it in which only byte code is left."""
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == ROOT or any(each.name != "__pycache__" for each in folder.iterdir()):
            return
        shutil.rmtree(folder)


# Checks.


def run_checks(names: Iterable[str], pristine: Collection[str]) -> int:
    """Check style and format of the Python files that changed; return the exit code.

    Formatting takes longest; a file that is as the template rendered it was formatted there.
    """
    files = [name for name in names if Path(name).suffix in (".py", ".ipynb")]
    files = [name for name in files if (ROOT / name).is_file()]
    own = [ROOT / ".venv" / "bin" / "python", ROOT / ".venv" / "Scripts" / "python.exe"]
    python = next((str(path) for path in own if path.is_file()), sys.executable)
    commands = {
        "black": ["--check", "--quiet", *(name for name in files if name not in pristine)],
        "ruff": ["check", "--quiet", *files],
    }
    started = {
        tool: subprocess.Popen(  # noqa: S603
            [python, "-m", tool, *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for tool, options in commands.items()
        if options[-1] in files
    }
    code = 0
    for tool, process in started.items():
        printed = process.communicate()[0].decode("utf-8", "replace")
        if process.returncode and f"No module named {tool}" in printed:
            say(f"Not checked: {tool} is not installed here; run `make setup`, then `make lint`.")
        elif process.returncode:
            say(f"{printed.rstrip()}\n{tool} is not content with the files that changed.".lstrip())
            code = 1
    if code:
        say("`make format` mends what tools can mend; then commit.")
    return code


def pristine_files(theirs: str, merged: str) -> set[str]:
    """Return the files that are as the template renders them; none if black is set otherwise."""
    rendered, result = listing(theirs), listing(merged)
    settings = []
    for files in (rendered, result):
        try:
            text = read_blob(files["pyproject.toml"][1]).decode("utf-8")
            settings.append(tomllib.loads(text).get("tool", {}).get("black"))
        except (KeyError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            return set()
    same = settings[0] == settings[1]
    return {name for name, entry in result.items() if same and rendered.get(name) == entry}


def leftovers(names: Sequence[str] | None = None) -> list[str]:
    """Return files with a conflict's markers, and rejected patches; in the whole project if None.

    Plain `cruft update` leaves such files, too, and calls it a success.
    """
    found = [name for name in names_of(git("ls-files", "-z", "--unmerged", ".")) if name]
    unmerged = {name.partition("\t")[2] for name in found}
    rejected = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.rej")
    command = ["grep", "-z", "--name-only", "--untracked", "-I", "-E", "--all-match"]
    marks = start_git([*command, "-e", "^<{7}( |$)", "-e", "^>{7}( |$)", "--", "."])
    marked = set(names_of(marks.stdout.decode("utf-8", "surrogateescape")))
    if names is not None:
        marked &= set(names)
    return sorted({*unmerged, *marked, *names_of(rejected)})


# Commands.


def show_status(_: argparse.Namespace) -> int:
    """Print the template's version, how far behind it is, and what differs from it here."""
    project = open_project()
    with work_folder() as work:
        template = open_template(project.state, work)
        now = template.version(str(project.state["commit"]))
        say(f"Template  {shown_address(project)}")
        say(f"Version   {now.name}, {standing(template, now)}")
        changed, deleted = differences(project, template, now, work)
    for words, names in {"changed": changed, "deleted": deleted}.items():
        if names:
            say(f"{words.capitalize()} here, of the template's files:")
            show_list(names)
    if not changed and not deleted:
        say("Every file of the template is as it was rendered.")
    left = leftovers()
    if left:
        say("Not resolved yet (edit them, then `git add`; delete what ends in .rej):")
        show_list(left)
    return 1 if left else 0


def shown_address(project: Project) -> str:
    """Return the template's address without a password."""
    return re.sub(r"(?<=://)[^/@]*@", "", str(project.state["template"]))


def standing(template: Template, now: Version) -> str:
    """Say how far behind a version is: in releases, or in commits where there are none."""
    if not template.releases:
        commits = int(template.git("rev-list", "--count", f"{now.commit}..HEAD"))
        if not commits:
            return "the newest commit (the template has no releases)"
        return f"{commits} {plural('commit', commits)} behind (the template has no releases)"
    target = newest(template, now.commit)
    if target.commit == now.commit:
        return "the newest"
    known = template.merged(now.commit)
    later = [tag for tag in template.merged(target.commit) if tag not in known and "-" not in tag]
    count = len(later)
    return f"{count} {plural('release', count)} behind: {', '.join(later)}; `make update` brings it"


def plural(word: str, count: int) -> str:
    """Return a word in the form that a count asks for."""
    return word if count == 1 else f"{word}s"


def differences(
    project: Project, template: Template, now: Version, work: Path
) -> tuple[list[str], list[str]]:
    """Return the files of the template that were changed here, and those that were deleted."""
    index = pristine_index(project, template, now, work)
    at = [f"--git-dir={project.git_folder}", f"--work-tree={ROOT}"]
    words = names_of(git(*at, "diff", "--name-status", "-z", "--no-renames", index=index))
    found = list(zip(words[::2], words[1::2], strict=True))
    deleted = [name for state, name in found if state == "D"]
    return [name for state, name in found if state != "D"], deleted


def pristine_index(project: Project, template: Template, now: Version, work: Path) -> Path:
    """Return an index that holds the files as the template renders them."""
    rendered = render(template, now, project.answers, work / "pristine")
    rendered_answers(rendered)
    make_tree(project, rendered, work)
    return work / "pristine.index"


def show_diff(_: argparse.Namespace) -> int:
    """Print how the template's files differ here from what it rendered."""
    project = open_project()
    with work_folder() as work:
        template = open_template(project.state, work)
        now = template.version(str(project.state["commit"]))
        index = pristine_index(project, template, now, work)
        at = [f"--git-dir={project.git_folder}", f"--work-tree={ROOT}"]
        sys.stdout.flush()
        start_git([*at, "--no-pager", "diff"], index=index, show=True)
    return 0


@dataclass(frozen=True)
class Plan:
    """What an update would do: the versions, the merge, the files it writes and what to tell."""

    before: Version
    after: Version
    merged: Merged
    changes: Mapping[str, tuple[str, str]]
    pristine: Collection[str]
    notes: Sequence[str]


def make_plan(project: Project, options: argparse.Namespace, work: Path) -> Plan | None:
    """Merge without writing; None if nothing is to be done."""
    template = open_template(project.state, work)
    before = template.version(str(project.state["commit"]))
    pairs = getattr(options, "answers", [])
    if options.to:
        after = wanted(template, options.to)
    else:
        after = before if pairs else newest(template, before.commit)
    prompts = prompts_at(template, after)
    answers, notes = carried_over(project.answers, prompts, after)
    changes = changed_answers(pairs, prompts, after)
    if after.commit == before.commit and all(answers.get(k) == v for k, v in changes.items()):
        return None
    known = {**answers, **changes}
    refuse_choices(known, prompts, after)
    refuse_choices(project.answers, prompts_at(template, before), before)
    if after.commit != before.commit:
        notes = [*migration_notes(template, before, after), *notes]
    old = render(template, before, project.answers, work / "old")
    new = render(template, after, known, work / "new")
    rendered_answers(old)
    recorded = rendered_answers(new)
    notes += new_questions(known, prompts, recorded)
    trees = make_tree(project, old, work), make_tree(project, new, work)
    steps = [trees]
    if after.commit == before.commit and all(isinstance(prompts[name], list) for name in changes):
        # Between two choices no file is renamed: what looks alike is another part. Git sees a
        # rename where a file goes and one comes, so the new ones come in a step of their own.
        between = without_new(*trees, work)
        steps = [(trees[0], between), (between, trees[1])]
    merged = merge(project, steps, (before.name, f"template {after.name}"), work)
    merged.remaining = remaining_files(trees[0], trees[1], merged.tree)
    merged.remaining = [name for name in merged.remaining if name not in merged.orphans]
    merged.tree = with_changes(merged.tree, [state_line(project, after, recorded)], work)
    pristine = pristine_files(trees[1], merged.tree)
    return Plan(before, after, merged, changed_files(project.tree, merged.tree), pristine, notes)


def state_line(project: Project, after: Version, answers: Mapping[str, Any]) -> str:
    """Put the new .cruft.json into the repository, ASCII and with no key of the template's own."""
    context = {"cookiecutter": dict(sorted(answers.items()))}
    state = {**project.state, "commit": after.commit, "context": context}
    blob = write_blob((json.dumps(state, indent=2) + "\n").encode("ascii"))
    return f"100644 {blob}\t{STATE}\0"


def bring(options: argparse.Namespace) -> int:
    """Bring another version, other answers, or both; return 1 if something is left to a person."""
    project = open_project()
    if not options.dry_run:
        refuse_unclean(project)
    with work_folder() as work:
        plan = make_plan(project, options, work)
        if plan is None:
            say("Nothing to do: the project is at that version, with those answers.")
            return 0
        if not options.dry_run:
            refuse_overwriting(project, plan.changes)
        for note in plan.notes:
            say(f"Note: {note}")
        if options.dry_run:
            sys.stdout.flush()
            start_git(["--no-pager", "diff", project.tree, plan.merged.tree], show=True)
            show_rest(plan)
            return 0 if plan.merged.is_whole else 1
        say(f"To undo all of it, now or later: git reset --hard {project.head[:12]}")
        write(project, plan.merged, plan.changes)
    return close(plan, options.no_checks)


def close(plan: Plan, no_checks: bool) -> int:
    """Say what was done and what is left, run the checks if nothing is; return the exit code."""
    files = [name for name in plan.changes if name != STATE]
    what = f"{plan.before.name} -> {plan.after.name}"
    if plan.before.commit == plan.after.commit:
        what = f"{plan.after.name}, other answers"
    say(f"{what}: {len(files)} {plural('file', len(files))} written, removed or merged.")
    again = sorted({"pyproject.toml", "constraints.txt"} & set(files))
    if again:
        say(f"{' and '.join(again)} changed: run `make setup` to install what they ask for.")
    show_rest(plan)
    strays = [name for name in leftovers(files) if name not in plan.merged.unmerged]
    if strays:
        say("These hold a conflict's markers or a rejected patch:")
        show_list(strays)
    if not plan.merged.is_whole or strays:
        say("Not everything was applied, so nothing was checked: see above, then `make lint`.")
        return 1
    if not no_checks and run_checks(files, plan.pristine):
        return 1
    say('Look at it with `git diff --cached`, then `git commit -m "Update from the template"`.')
    return 0


def show_rest(plan: Plan) -> None:
    """List what is left to a person, and what to do with it."""
    merged = plan.merged
    told = {
        "Both changed the same lines: edit, then `git add`:": merged.conflicts,
        "Changed here, dropped by the template: `git rm` it, or `git add` it to keep it:": (
            merged.orphans
        ),
        "Deleted here, changed by the template: left out; list it as `skip` below [tool.cruft] in "
        "pyproject.toml to hear no more of it:": merged.left_out,
        "Your own, in a folder that the template has left: move or delete it:": merged.remaining,
    }
    for words, names in told.items():
        if names:
            say(words)
            show_list(names)


def show_list(names: Iterable[str]) -> None:
    """Print one path a line."""
    for name in names:
        say(f"  {name}")


def say(text: str) -> None:
    """Print at once, whatever the console can show."""
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


@contextmanager
def work_folder() -> Iterator[Path]:
    """Give a folder for clones and renderings, outside the project, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="template-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is."""
        self.exit(2, f"Error: {message}; `python tools/template.py --help` shows the commands.\n")


ABOUT = """examples:
  python tools/template.py status                    which version, how far behind, what differs
  python tools/template.py update --dry-run          show what the newest release would change
  python tools/template.py update                    bring it
  python tools/template.py update --to v1.2.0        bring that one
  python tools/template.py set stage=mvp license=MIT   change answers, and with them the parts
  python tools/template.py diff                      show what was changed here

exit code: 0 all was applied, 1 something is left to you and is listed, 2 nothing was done"""


def make_parser() -> Parser:
    """Describe the commands."""
    parser = Parser(
        prog="template.py",
        description="Keep this project in step with the template that it came from.",
        epilog=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="the version, how far behind, what differs here")
    status.set_defaults(run=show_status)
    update = commands.add_parser(
        "update",
        help="bring a later version of the template",
        description="Merge the newest release of the template (or --to another) into this project. "
        "Your own changes stay; where both changed the same lines, the file shows both.",
    )
    change = commands.add_parser(
        "set",
        help="change answers, and with them the parts of the project",
        description="Answer questions anew, at the version that the project has (or --to another). "
        "The answers stand in .cruft.json.",
    )
    change.add_argument("answers", nargs="+", metavar="KEY=VALUE", help="such as stage=mvp")
    for command in (update, change):
        command.add_argument("--to", metavar="TAG", help="a release, a branch or a commit")
        command.add_argument(
            "--dry-run", action="store_true", help="show the change, write nothing"
        )
        command.add_argument(
            "--no-checks", action="store_true", help="leave out format and style of what changed"
        )
        command.set_defaults(run=bring)
    diff = commands.add_parser("diff", help="what was changed here since the template rendered it")
    diff.set_defaults(run=show_diff)
    return parser


def in_utf8() -> bool:
    """Tell whether files that cruft and the hooks write without naming an encoding are UTF-8."""
    return bool(sys.flags.utf8_mode) or locale.getencoding().lower().replace("-", "") == "utf8"


def main(arguments: Sequence[str]) -> int:
    """Run a command; return its exit code."""
    options = make_parser().parse_args(arguments)
    if importlib.util.find_spec("cruft") is None:
        raise Refusal(
            "cruft is not installed for this Python: run `make setup`, or "
            "`uv run --no-project --with cruft python tools/template.py ...`, or "
            "`pip install cruft`."
        )
    for name in ELSEWHERE & set(os.environ):
        del os.environ[name]
    code: int = options.run(options)
    return code


if __name__ == "__main__":
    if not in_utf8():
        encoding = f"{sys.stdout.encoding}:backslashreplace"
        os.environ.update(PYTHONUTF8="1", PYTHONIOENCODING=encoding)
        sys.exit(subprocess.call([sys.executable, *sys.argv]))  # noqa: S603
    try:
        sys.exit(main(sys.argv[1:]))
    except Refusal as refusal:
        sentence = f"Error: {refusal}".encode("ascii", "backslashreplace").decode("ascii")
        print(sentence, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)
