"""How long an update takes that changes ten files of the default project, beside `cruft update`.

Both bring the same change to a copy of the same project. Ours also brings along what a merge starts
from, looks for what was not applied, and checks what changed. Black, the slowest part, looks only
at files that are edited here: the second figure is the worst case, in which all ten are.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bake import clone
from measure import Command, alternate, neutral_config, show

RUNS = 7
CHANGED = [
    *("cli", "core/config", "evaluate", "models/features", "evaluation/metrics"),
    *("postprocess", "predict", "report", "tracking/runs", "train"),
]


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder."""
    identity = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.invalid"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)


def release(template: Path) -> None:
    """Change ten files of the skeleton, in a way that is well formatted."""
    for name in CHANGED:
        path = template / "{{cookiecutter.project_slug}}/src/{{cookiecutter.__package}}"
        with (path / f"{name}.py").open("a", encoding="utf-8", newline="\n") as file:
            file.write("\n\n# A later line.\n")
    git(template, "commit", "--quiet", "--all", "--message", "ten files")
    git(template, "tag", "v1.1.0")


def edit(project: Path) -> None:
    """Change the same ten files as a team does, at their other end."""
    for name in CHANGED:
        path = project / "src" / "ml_project" / f"{name}.py"
        lines = path.read_text(encoding="utf-8")
        path.write_text(f"# Ours.\n{lines}", encoding="utf-8", newline="\n")
    git(project, "commit", "--quiet", "--all", "--message", "ours")


def main() -> None:
    """Measure and print."""
    program = Path(sys.executable).with_name("cookiecutter")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {"COOKIECUTTER_CONFIG": str(neutral_config(folder))}
        template = clone(folder / "template")
        git(template, "tag", "v1.0.0")
        git(folder, "clone", "--quiet", f"file://{template}", "upstream")
        address = f"git+file://{folder / 'upstream'}"
        subprocess.run(
            [program, address, "--no-input", "--output-dir", folder],
            env={**os.environ, **settings},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        release(folder / "upstream")
        # Black remembers what it has seen; every update is to check files that are new to it.
        script = (
            'copy="$(mktemp -d)" && cp -R "$0" "$copy/p" && cd "$copy/p" && '
            'BLACK_CACHE_DIR="$copy" "$@" && grep -q "A later line" src/*/train.py && rm -r "$copy"'
        )
        start: list[str | Path] = ["sh", "-c", script, folder / "ml-project", sys.executable]
        ours = Command([*start, "tools/template.py", "update"], environment=settings)
        floor = Command([*start, "-m", "cruft", "update", "--skip-apply-ask"], environment=settings)
        show("update", *alternate(ours, floor, RUNS), limit=2)
        edit(folder / "ml-project")
        show("update, all ten files edited", *alternate(ours, floor, RUNS), limit=3)


if __name__ == "__main__":
    main()
