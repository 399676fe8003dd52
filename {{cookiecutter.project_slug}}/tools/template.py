"""Run the updater of the template's newest release: status, update, set and diff; see --help."""

import contextlib
import json
import os
import re
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

STATE = Path(__file__).resolve().parent.parent / ".cruft.json"


def refuse(sentence: str) -> NoReturn:
    """End with a sentence that says what is wrong, where, and what to do."""
    print(f"Error: {sentence}", file=sys.stderr)
    sys.exit(2)


def git(*words: str) -> str:
    """Return what git prints; raises CalledProcessError if it fails."""
    command = ["git", *words]
    done = subprocess.run(command, input=b"", capture_output=True, check=True)  # noqa: S603
    return done.stdout.decode("utf-8", "replace")


def read_state() -> dict[str, str]:
    """Return what .cruft.json holds; it has to lead to a version of a template."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        state: dict[str, str] = json.loads(STATE.read_text(encoding="utf-8"))
        state["template"] = state["template"].removeprefix("git+")
        if state["template"] and state["commit"]:
            return state
    refuse(
        f"{STATE} is missing or does not say which version of the template it follows: restore it "
        "with `git checkout HEAD -- .cruft.json`, or write the template's git address there as "
        "template, and as commit one that `git ls-remote --tags ADDRESS` lists for its releases."
    )


def fetch(address: str, updater: str, folder: str) -> str:
    """Bring the template and its updater into a folder, and return which version that is of."""
    git("clone", "--quiet", "--bare", "--", address, f"{folder}/template.git")
    own = [f"--git-dir={folder}/template.git", f"--work-tree={folder}"]
    tags = git(*own, "tag", "--sort=version:refname")
    for version in [*re.findall(r"^v?\d+\.\d+\.\d+$", tags, re.MULTILINE)[-1:], "HEAD"]:
        if git(*own, "ls-tree", version, updater):
            git(*own, "checkout", "--quiet", version, "--", updater)
            return f"{version}, commit {git(*own, 'rev-parse', f'{version}^0')[:10]}"
    refuse(f"The template that {STATE} names has no updater: correct the address there.")


def main() -> None:
    """Fetch the updater, say what is run, and run it."""
    os.chdir(STATE.parent)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        os.environ.pop(name, None)  # set by git around its own hooks
    state = read_state()
    shown = re.sub(r"(?<=//)[^/]*@", "", state["template"])
    updater = Path(state.get("directory") or "", "updater").as_posix()
    with tempfile.TemporaryDirectory(prefix="template-", ignore_cleanup_errors=True) as folder:
        try:
            version = fetch(state["template"], updater, folder)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", b"git was not found").decode("utf-8", "replace")
            why = f"cannot be cloned ({' '.join(said.split())})"
            refuse(f"The template {shown} {why}: check the address, the network and your rights.")
        except KeyboardInterrupt:
            sys.exit(130)
        print(f"Running the updater of {shown}, {version}", file=sys.stderr, flush=True)
        options = ["--start=1", f"--template={folder}/template.git"]  # 1: its INTERFACE
        sys.argv = [f"{folder}/{updater}", *options, *sys.argv[1:]]
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
