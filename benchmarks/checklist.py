"""How long `checklist` takes after a run, beside a Python that imports only yaml and typer."""

import sys
import tempfile
from pathlib import Path

from measure import Command, alternate, bake, cost, project_command, show

RUNS = 15


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        project = bake(Path(name))
        cost(project_command(project, "run"))
        ours = project_command(project, "checklist")
        floor = Command([sys.executable, "-c", "import yaml, typer"])
        show("checklist", *alternate(ours, floor, RUNS), limit=4)


if __name__ == "__main__":
    main()
