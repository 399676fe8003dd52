"""Keep the modules that the answers ask for; on a first bake, make the project a repository."""

from __future__ import annotations

import json
import os
import subprocess  # pathlib, shutil and typing would cost more to import than the hook to run

# A hook is rendered before it runs. Its code stands between raw markers, so that this file is
# Python as it stands, and the answers arrive as JSON, from which no text can break out.
# {% raw %}

# The modules: the answers that keep them, and their files and folders. Each path is listed once;
# what is not listed belongs to every project. `|` separates choices of which one is enough, a
# space separates answers that must all be given, {package} is the package's folder below src/.
MODULES = {
    "ci=github": [".github"],
    "ci=gitlab": [".gitlab-ci.yml", "renovate.json"],
    "ci=jenkins": ["Jenkinsfile"],
    "platform=docker|kubernetes": [".dockerignore", "Dockerfile"],
    "platform=docker|kubernetes serving=rest": [
        "compose.yaml",
        "deploy/serve.txt",
        "docs/containers.md",
    ],
    "platform=kubernetes": ["deploy/kubernetes"],
    "platform=kubernetes monitoring=yes": ["deploy/kubernetes/monitoring"],
    "platform=kubernetes serving=batch": [
        "deploy/kubernetes/base/files.yaml",
        "deploy/kubernetes/base/predict.yaml",
        "docs/kubernetes_batch.md",
    ],
    "platform=kubernetes serving=rest": [
        "deploy/kubernetes/base/autoscaler.yaml",
        "deploy/kubernetes/base/budget.yaml",
        "deploy/kubernetes/base/callers.yaml",
        "deploy/kubernetes/base/service.yaml",
        "deploy/kubernetes/canary",
        "deploy/kubernetes/serve",
        "docs/kubernetes.md",
    ],
    "platform=kubernetes serving=rest monitoring=yes": ["deploy/kubernetes/monitoring/files.yaml"],
    "checklist=yes": [
        "checklist",
        "docs/data.md",
        "docs/scoping.md",
        "src/{package}/checklist",
        "tests/test_checklist.py",
    ],
    "boosters=yes": ["src/{package}/models/boosters"],
    "monitoring=yes": [
        "docs/alerts.md",
        "src/{package}/evaluation/drift.py",
        "src/{package}/monitoring",
        "tests/test_monitoring.py",
    ],
    "serving=rest": [
        "deploy/grafana",
        "deploy/prometheus",
        "docs/runbook.md",
        "docs/serving.md",
        "src/{package}/bundle/onnx",
        "src/{package}/evaluation/explain.py",
        "src/{package}/serving",
        "tests/test_serving.py",
    ],
    "stage=mvp|production checklist=yes": ["docs/deployment.md", "docs/modelling.md"],
    "stage=production checklist=yes": [
        "docs/business.md",
        "docs/infrastructure.md",
        "docs/monitoring.md",
    ],
}

# The first commit is the pristine rendering: what a person has set up for their own commits
# (signing, hooks, ignored files, a daemon) is for the later ones.
PRISTINE = [
    *("-c", "commit.gpgSign=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.excludesFile="),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.looseCompression=0"),  # git's first housekeeping packs them
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "init.defaultBranch=main"),
    *("-c", "user.useConfigOnly=true"),
]
NOBODY = ["-c", "user.name=ML Preflight", "-c", "user.email=ml-preflight@example.invalid"]

NO_IDENTITY = (
    "The first commit is by ML Preflight, since git does not know you yet: "
    "`git config --global user.name NAME`, and the same for user.email."
)

# Set by git around its own hooks: they would send our commands to another repository.
ELSEWHERE = {
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"),
    *("GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE"),
}


def is_kept(condition: str, answers: dict[str, str]) -> bool:
    """Tell whether the answers meet a condition such as `ci=github` or `stage=mvp|production`."""
    asked = [term.partition("=") for term in condition.split()]
    return all(answers[prompt] in choices.split("|") for prompt, _, choices in asked)


def prune(answers: dict[str, str]) -> None:
    """Remove every module that the answers do not ask for."""
    for condition, paths in MODULES.items():
        if not is_kept(condition, answers):
            for path in paths:
                remove(path.replace("{package}", answers["__package"]))


def remove(path: str) -> None:
    """Remove a file or folder, and the folders above it that this leaves empty."""
    for folder, folders, files in os.walk(path, topdown=False):
        for name in files:
            os.remove(os.path.join(folder, name))
        for name in folders:
            os.rmdir(os.path.join(folder, name))
    if os.path.isdir(path):
        os.rmdir(path)
    elif os.path.lexists(path):
        os.remove(path)
    above = os.path.dirname(path)
    while above and os.path.isdir(above) and not os.listdir(above):
        os.rmdir(above)
        above = os.path.dirname(above)


def git(*arguments: str, folder: str = ".") -> str:
    """Run git in a folder and return what it prints; raises OSError or CalledProcessError."""
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    done = subprocess.run(  # noqa: S603
        ["git", *arguments],  # noqa: S607
        cwd=folder,
        env={**environment, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        encoding="utf-8",
        errors="replace",
    )
    return done.stdout


def start_folders(answers: dict[str, str]) -> list[str]:
    """Return where cookiecutter may have been started, the likeliest first.

    It hands over paths as they were typed, and runs hooks in another folder.
    """
    shell = os.environ.get("PWD") or answers["_output_dir"]
    return [os.path.realpath(shell), answers["_output_dir"]]


def template_folder(answers: dict[str, str]) -> str | None:
    """Return the absolute path of the template that was rendered, or None if it cannot be told."""
    for start in start_folders(answers):
        folder = os.path.normpath(os.path.join(start, answers["_repo_dir"]))
        if os.path.isfile(os.path.join(folder, "cookiecutter.json")):
            return folder
    return None


def without_password(address: str) -> str:
    """Return an address without the password or token that must not be committed."""
    scheme, separator, rest = address.partition("://")
    if not scheme.endswith(("http", "https")):
        return address
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def template_url(answers: dict[str, str], folder: str) -> str:
    """Return where `cruft` finds the template again: a local path as such, else what was cloned."""
    for start in start_folders(answers):
        if os.path.normpath(os.path.join(start, answers["_template"])) == folder:
            return folder
    try:
        address = git("config", "--get", "remote.origin.url", folder=folder)
    except (OSError, subprocess.CalledProcessError):
        address = read_origin(folder)
    return without_password(address.strip())


def template_version(answers: dict[str, str]) -> tuple[str, str | None]:
    """Return the template's address and commit; as it was given and None where git knows neither.

    So it is with a downloaded archive, and in a folder of another repository. Where git is missing,
    too old, or distrusts the folder of another user, its files say it, too.
    """
    given = without_password(answers["_template"])
    folder = template_folder(answers)
    if folder is None:
        return given, None
    try:
        above, commit = git("rev-parse", "--show-cdup", "HEAD", folder=folder).split("\n")[:2]
    except (OSError, subprocess.CalledProcessError):
        above, commit = "", None
    try:
        return (
            (given, None)
            if above
            else (template_url(answers, folder), commit or read_commit(folder))
        )
    except (OSError, ValueError):
        return given, None


def read_commit(folder: str) -> str:
    """Return the commit of a repository without git; raises OSError or ValueError."""
    inside, common = repository_folders(folder)
    head = read(inside, "HEAD")
    name = head.removeprefix("ref: ")
    if name != head:
        try:
            head = read(common, name)
        except OSError:
            packed = [line.split(" ") for line in read(common, "packed-refs").splitlines()]
            head = {words[-1]: words[0] for words in packed}.get(name, "")
    if len(head) < 40 or head.strip("0123456789abcdef"):
        raise ValueError(head)
    return head


def read_origin(folder: str) -> str:
    """Return where a repository was cloned from without git; raises OSError or ValueError."""
    section = ""
    for line in map(str.strip, read(repository_folders(folder)[1], "config").splitlines()):
        if line.startswith("["):
            section = line
        key, _, value = line.partition("=")
        if section == '[remote "origin"]' and key.strip() == "url":
            return value.strip()
    raise ValueError("no origin")


def repository_folders(folder: str) -> tuple[str, str]:
    """Return where git keeps a work tree's own state, and what it shares with others."""
    inside = os.path.join(folder, ".git")
    if os.path.isfile(inside):  # a further work tree, or a submodule
        inside = os.path.join(folder, read(inside).removeprefix("gitdir: "))
    try:
        return inside, os.path.join(inside, read(inside, "commondir"))
    except OSError:
        return inside, inside


def read(*path: str) -> str:
    """Return a file's text without white space around it."""
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read().strip()


def write_cruft_file(answers: dict[str, str]) -> None:
    """Write .cruft.json: the answers, and what brings later versions of the template."""
    address, commit = template_version(answers)
    if commit is None:
        say("git does not know the template's version: `make update` says how to record it later.")
    context = {name: value for name, value in answers.items() if not name.startswith("_")}
    state = {
        "template": address,
        "commit": commit,
        "checkout": None,
        "context": {"cookiecutter": context},
        "directory": None,
    }
    with open(".cruft.json", "w", encoding="ascii", newline="\n") as file:
        file.write(json.dumps(state, indent=2) + "\n")


def is_inside_work_tree(folder: str) -> bool:
    """Tell whether a folder or one above it is a git work tree, without starting git."""
    while True:
        mark = os.path.join(folder, ".git")
        if os.path.isfile(mark) or os.path.isfile(os.path.join(mark, "HEAD")):
            return True
        above = os.path.dirname(folder)
        if above == folder:
            return False
        folder = above


def make_first_commit() -> None:
    """Make the project a repository whose first commit is the pristine rendering."""
    if is_inside_work_tree(os.getcwd()):
        return say("No new git repository: the project lies in one already.")
    try:
        git(*PRISTINE, "init", "--quiet", "--template=")
        git(*PRISTINE, "add", "--all")
        commit = ["commit", "--quiet", "--message", "Create the project from its template"]
        try:
            git(*PRISTINE, *commit)
        except subprocess.CalledProcessError as error:
            git(*PRISTINE, *NOBODY, *commit)
            if "user." in error.stderr:
                say(NO_IDENTITY)
    except OSError:
        say("No git repository: git was not found; install it, then `git init` and commit.")
    except subprocess.CalledProcessError as error:
        say(f"No first commit: {why_git_failed(error.stderr)}.")


def why_git_failed(said: str) -> str:
    """Return the reason behind what git said, and what helps where that is known."""
    if "dubious ownership" in said or "unsafe repository" in said:
        folder = os.getcwd().replace(os.sep, "/")
        trust = f'git config --global --add safe.directory "{folder}"'
        return f"git distrusts the folder, which belongs to another user; trust it with `{trust}`"
    if "unknown option" in said or "unknown switch" in said or "usage: git" in said:
        return f"{git('--version').strip()} is too old; install 2.25 or newer"
    return f"git failed ({(said.strip().splitlines() or ['no reason given'])[-1]})"


def show_next_steps(answers: dict[str, str]) -> None:
    """Print the three next steps."""
    project = os.getcwd()
    for start in start_folders(answers):
        if project.startswith(os.path.join(start, "")):
            project = os.path.relpath(project, start)
    say(f"\nCreated {answers['project_slug']}. Next:")
    say(f'  1. cd "{project}"' if " " in project else f"  1. cd {project}")
    say("  2. make setup    (installs it into .venv)")
    say("  3. make run      (trains, evaluates, packages; the README says how without make)")
    if answers["checklist"] == "yes" and answers["stage"] != "poc":
        say(f"Begin at poc, although the stage is {answers['stage']}: `checklist --stage poc`.")


def say(sentence: str) -> None:
    """Print ASCII only: a console that is not UTF-8 must not fail the hook, which deletes all."""
    print(sentence.encode("ascii", "backslashreplace").decode("ascii"))


def main(answers: dict[str, str]) -> None:
    """Prune; and only on a first bake, which plain cookiecutter makes, do what belongs to it."""
    prune(answers)
    if "_output_dir" in answers:
        write_cruft_file(answers)
        make_first_commit()
        show_next_steps(answers)


# {% endraw %}
if __name__ == "__main__":
    main(json.loads(r'''{{ cookiecutter | tojson }}'''))  # fmt: skip
