"""How long a bake of the default answers takes, first commit included, beside cookiecutter itself.

The floor is `cookiecutter --version`: the start of the interpreter and the program's imports.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import TEMPLATE, Command, alternate, neutral_config, show

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
        template = clone(folder / "template")
        # Every bake is a first one: a fresh folder each, named by the shell.
        script = 'exec "$0" "$1" --no-input -o "$(mktemp -d "$2/bakeXXXXXX")"'
        ours = Command(["sh", "-c", script, program, template, folder], environment=environment)
        floor = Command([program, "--version"], environment=environment)
        show("bake", *alternate(ours, floor, RUNS), limit=2.2)


if __name__ == "__main__":
    main()
