"""The commands of this module."""

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import GateError
from ..core.options import Overrides

Source = Annotated[
    Path | None,
    typer.Argument(help="A file, scored or not; default: the service's prediction log."),
]


def monitor(
    overrides: Overrides,
    source: Source = None,
    model: Annotated[str | None, typer.Option(help="A run id; default: the champion.")] = None,
) -> None:
    """Look for drift, label shift, concept drift and bad data; 1 is an alert."""
    from ..core.config import load_settings
    from ..core.project import find_project
    from .monitor import monitor as check

    project = find_project()
    found = check(project, load_settings(project, overrides), source, model=model)
    typer.echo(f"{found.facts['time']} {found.line}")
    if found.alert is None:
        for problem in found.facts["problems"]:
            typer.echo(f"  {problem['sentence']}")
    typer.echo(f"Report: {project.reports / 'drift.html'}")
    if found.unsent:
        typer.echo(f"Not sent: {found.unsent}; the next check tries again.", err=True)
    if found.alert:
        raise GateError(f"alert: {found.alert}")


def labelled(
    overrides: Overrides,
    output: Annotated[Path, typer.Argument(help="A Parquet file, for `retrain --data`.")],
) -> None:
    """Write the logged rows whose label was sent to /feedback, as rows to learn from."""
    from ..core.config import load_settings
    from ..core.project import find_project
    from .labelled import write_labelled

    project = find_project()
    load_settings(project, overrides)  # a wrong setting is refused here, too
    found = write_labelled(project, output)
    for sentence in found.sentences:
        typer.echo(sentence)


def retrain(
    overrides: Overrides,
    data: Annotated[
        Path | None, typer.Option(help="A file of new labelled rows, added to the source.")
    ] = None,
    warm: Annotated[
        bool, typer.Option("--warm", help="Go on from the champion, where it can be.")
    ] = False,
    promote: Annotated[
        bool, typer.Option("--promote", help="Put the challenger into service if it is better.")
    ] = False,
) -> None:
    """Train on the source as it is now, and compare with the champion on the newest rows."""
    from rich.console import Console

    from ..core.config import load_settings
    from ..core.project import find_project
    from .retrain import comparison_table
    from .retrain import retrain as train

    project = find_project()
    settings = load_settings(project, overrides)
    found = train(project, settings, data=data, warm=warm, promote=promote, say=typer.echo)
    Console().print(comparison_table(found))
    typer.echo(found.verdict)
    if promote and not found.promoted:
        raise GateError(f"the champion stays {found.champion}")
