"""How long `--help` takes beside a bare typer app that has the same commands."""

import sys
import tempfile
from pathlib import Path

from measure import Command, alternate, bake, project_command, show

RUNS = 15
FLOOR = """
import typer

app = typer.Typer(no_args_is_help=True)
groups = {"config": ["show"], "champion": ["promote", "rollback", "status"],
          "runs": ["list", "compare"]}
for name in "run ingest preprocess train evaluate postprocess predict report".split():
    app.command(name)(lambda: None)
for group, names in groups.items():
    inner = typer.Typer()
    for name in names:
        inner.command(name)(lambda: None)
    app.add_typer(inner, name=group)
app()
"""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = folder / "floor.py"
        script.write_text(FLOOR, encoding="utf-8")
        ours = project_command(bake(folder), "--help")
        floor = Command([sys.executable, script, "--help"])
        show("--help", *alternate(ours, floor, RUNS), limit=1.3)


if __name__ == "__main__":
    main()
