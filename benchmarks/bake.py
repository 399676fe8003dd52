"""How long a bake of the default answers takes beside cookiecutter itself, and what git adds.

The floor is `cookiecutter --version`: the start of the interpreter and the program's imports. What
git takes for the template's version and the first commit is not ours to change, so it is printed
apart: the same bake is measured with git and without.
"""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from measure import NAMES, TEMPLATE, Command, alternate, median, neutral_config, show

RUNS = 15


def clone(target: Path) -> Path:
    """Copy the template as it stands into a repository of its own, as a user's clone is."""
    for part in ("cookiecutter.json", "hooks", "updater", "{{cookiecutter.project_slug}}"):
        source = TEMPLATE / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target / part, ignore=ignored)
        else:
            target.mkdir()
            shutil.copy(source, target / part)
    identity = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.invalid"]
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "copy"]):
        subprocess.run(["git", *identity, *arguments], cwd=target, check=True)
    return target


def main() -> None:
    """Measure and print."""
    program = Path(sys.executable).with_name("cookiecutter")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {"COOKIECUTTER_CONFIG": str(neutral_config(folder))}
        template, few = clone(folder / "template"), folder / "bin"
        few.mkdir()
        for program_name in ("sh", "mktemp"):
            (few / program_name).symlink_to(str(shutil.which(program_name)))
        # Every bake is a first one: a fresh folder each, named by the shell.
        script = 'exec "$0" "$1" --no-input -o "$(mktemp -d "$2/bakeXXXXXX")"'
        whole = Command(["sh", "-c", script, program, template, folder], environment=environment)
        ours = replace(whole, environment=environment | {"PATH": str(few)})
        floor = Command([program, "--version"], environment=environment)
        show("bake without git", *alternate(ours, floor, RUNS), limit=2.0)
        with_git, without = alternate(whole, ours, RUNS)
        for what, name in NAMES.items():
            if what != "megabytes":
                added = median(with_git, what) - median(without, what)
                print(f"git adds {added:.2f} s of {name}")


if __name__ == "__main__":
    main()
