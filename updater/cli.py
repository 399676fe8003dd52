"""The command line of the updater, and how a project's tools/template.py starts it."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .adopt import adopt
from .git import Refusal, git, start_git
from .status import show_diff, show_status
from .update import bring

# How tools/template.py starts the updater, in the project's folder: `--start=1 --template=CLONE`,
# then what the person typed. The first argument is the same in every version.
INTERFACE = 1

# Set by git around its own hooks: they would send our commands to another repository.
ELSEWHERE = {
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"),
    *("GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE"),
}

ABOUT = """examples:
  python tools/template.py status                    which version, how far behind, what differs
  python tools/template.py update --dry-run          list what the newest release would change
  python tools/template.py update                    bring it
  python tools/template.py update --to v1.2.0        bring that one
  python tools/template.py set stage=mvp license=MIT   change answers, and with them the parts
  python tools/template.py diff                      show what was changed here
  python ../ml-preflight/updater adopt               from a clone of the template: bring it into
                                                     the repository in the current folder

exit code: 0 all was applied, 1 something is left to you and is listed, 2 nothing was done"""


def main(arguments: Sequence[str]) -> int:
    """Run a command; return its exit code."""
    refuse_other_start(arguments)
    options = make_parser().parse_args(arguments)
    if getattr(options, "diff", False):
        options.dry_run = True
    if importlib.util.find_spec("cookiecutter") is None:
        raise Refusal(
            "cookiecutter is not installed for this Python: run `make setup` in a project, or `pip "
            "install cookiecutter`, or start it with `uv run --no-project --with cookiecutter "
            "python`."
        )
    for name in ELSEWHERE & set(os.environ):
        del os.environ[name]
    options.directory = None
    if options.template is None:
        options.template, options.directory = own_repository()
    with tempfile.TemporaryDirectory(prefix="template-", ignore_cleanup_errors=True) as name:
        code: int = options.run(options, Path(name).resolve())
    return code


def refuse_other_start(arguments: Sequence[str]) -> None:
    """Raise Refusal if a tools/template.py starts this updater that speaks otherwise with it."""
    start = re.fullmatch(r"--start=(\d+)", arguments[0] if arguments else "")
    if start and int(start[1]) != INTERFACE:
        which = "older" if int(start[1]) < INTERFACE else "newer"
        raise Refusal(
            f"tools/template.py is {which} than the template's updater (interface {start[1]}, not "
            f"{INTERFACE}): run `git clone ADDRESS ../template`, with the address of the template "
            "that .cruft.json names, and then `python ../template/updater update` here."
        )


def own_repository() -> tuple[Path, str | None]:
    """Return the git folder of the clone that holds this file, and the template's folder in it."""
    folder = Path(__file__).resolve().parent.parent
    where = ["-C", str(folder), "rev-parse", "--path-format=absolute"]
    if start_git([*where, "--git-dir"]).returncode:
        raise Refusal(
            f"{folder} is not a clone of the template, whose versions git would know: make one "
            "with `git clone`, and run the updater from there."
        )
    lines = git(*where, "--git-common-dir", "--show-prefix").split("\n")
    return Path(lines[0]), lines[1].rstrip("/") or None


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is."""
        self.exit(2, f"Error: {message}; --help shows the commands.\n")


def make_parser() -> Parser:
    """Describe the commands."""
    parser = Parser(
        prog="template.py",
        description="Keep this project in step with the template that it came from.",
        epilog=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for hidden in ("--start", "--template"):
        parser.add_argument(hidden, type=Path, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="the version, how far behind, what differs here")
    status.set_defaults(run=show_status)
    diff = commands.add_parser("diff", help="what was changed here since the template rendered it")
    diff.set_defaults(run=show_diff)
    update = commands.add_parser(
        "update",
        help="bring a later version of the template",
        description="Merge the newest release of the template (or --to another) into this project. "
        "Your own changes stay; where both changed the same lines, the file shows both.",
    )
    update.set_defaults(run=bring, answers=[])
    change = commands.add_parser(
        "set",
        help="change answers, and with them the parts of the project",
        description="Change answers, at the version that the project has (or --to another). "
        "The answers stand in .cruft.json.",
    )
    change.set_defaults(run=bring)
    change.add_argument("answers", nargs="+", metavar="KEY=VALUE", help="such as stage=mvp")
    join = commands.add_parser(
        "adopt",
        help="bring the template into a repository that was not made from it",
        description="Merge the newest release of the template (or --to another) into the "
        "repository in the current folder. Your own files stay; where the template has a file of "
        "the same name, it shows both.",
    )
    join.set_defaults(run=adopt)
    join.add_argument("answers", nargs="*", metavar="KEY=VALUE", help="such as project_slug=churn")
    join.add_argument("--no-input", action="store_true", help="do not ask; take the defaults")
    for command in (update, change, join):
        add_options(command)
    return parser


def add_options(command: argparse.ArgumentParser) -> None:
    """Add what the commands that write have in common."""
    command.add_argument("--to", metavar="TAG", help="a release, a branch or a commit")
    command.add_argument("--dry-run", action="store_true", help="list the files, write nothing")
    command.add_argument("--diff", action="store_true", help="show the patch, write nothing")
    command.add_argument(
        "--no-checks", action="store_true", help="leave out format and style of what changed"
    )
