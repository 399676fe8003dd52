"""What is being done, shown on standard error as long as that is a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count


@contextmanager
def progress_bar(stage: str, steps: int) -> Iterator[Callable[[str], None]]:
    """Show a bar of so many steps; yield what to call as each of them begins."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    text, bar = TextColumn("{task.description}"), BarColumn()
    columns = (text, bar, MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(stage, total=steps)
        begun = count()

        def advance(what: str) -> None:
            progress.update(task, completed=next(begun), description=what)

        yield advance


@contextmanager
def spinner(stage: str, what: str) -> Iterator[Callable[[str], None]]:
    """Show what a stage does; yield what to call when it does something else."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(f"{stage}: {what}") as status:
        yield lambda text: status.update(f"{stage}: {text}")
