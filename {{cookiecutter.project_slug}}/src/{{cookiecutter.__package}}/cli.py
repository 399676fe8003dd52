"""The command line: one command per stage, thin; what is heavy is imported inside."""

import errno
import importlib.util
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .core import registry
from .core.errors import GateError, UserError
from .core.options import Overrides
from .core.registry import Stage, stages

if TYPE_CHECKING:
    from .core.config import Settings
    from .core.project import Project

# A fault of the code itself; 1 is a missed bar or an alert, 2 bad input.
CRASHED = 3
# Nobody reads the output any more: what shells tell of a program that SIGPIPE ended.
CLOSED = 141

app = typer.Typer(
    help="Train, judge and package a model, from conf.cfg. Start with `run`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
config_app = typer.Typer(help="Look at the settings.", no_args_is_help=True)
champion_app = typer.Typer(help="Choose the model in service.", no_args_is_help=True)
runs_app = typer.Typer(help="Look at training runs.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(champion_app, name="champion")
app.add_typer(runs_app, name="runs")


def run(
    overrides: Overrides,
    force: Annotated[bool, typer.Option(help="Run every stage, changed or not.")] = False,
    until: Annotated[str | None, typer.Option(help="The last stage to run; default: all.")] = None,
) -> None:
    """Run every stage whose inputs have changed."""
    from .bundle.champion import keep_reports, read_champion
    from .core import pipeline

    project, settings = _open(overrides)
    if project.data.is_symlink():
        typer.echo(
            "data/ is a symbolic link, so git cannot keep data/schema.yaml and data/manifest.json; "
            "link the folders in it instead."
        )
    champion = read_champion(project) or {}
    keep_reports(project, champion.get("run_id"))  # before they are about another model
    with _results_shown(project, [stage.name for stage in pipeline.stages_until(until)]):
        pipeline.run(project, settings, force=force, until=until, say=typer.echo)


def ingest(
    overrides: Overrides,
    infer: Annotated[bool, typer.Option(help="Infer data/schema.yaml again.")] = False,
) -> None:
    """Bring the source in, typed by data/schema.yaml."""
    from .ingest import ingest as stage

    _say("ingest", stage(*_open(overrides), infer=infer).facts)


def evaluate(
    overrides: Overrides,
    final: Annotated[bool, typer.Option(help="Open test: once, and then with --again.")] = False,
    again: Annotated[str | None, typer.Option(help="Why test is opened once more.")] = None,
) -> None:
    """Judge the bundle against the baseline."""
    from .bundle.champion import keep_reports
    from .evaluate import evaluate as stage

    project, settings = _open(overrides)
    with _results_shown(project):
        keep_reports(project, stage(project, settings, final=final, again=again).run_id)


def predict(
    source: Annotated[Path, typer.Argument(help="A file, or a folder of Parquet files.")],
    output: Annotated[Path, typer.Argument(help="A file; a folder if the source is one.")],
    overrides: Overrides,
    model: Annotated[str | None, typer.Option(help="A run id; default: the champion.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="For a folder of files.")] = 1,
) -> None:
    """Score a file; OUTPUT's suffix decides the format."""
    from .predict import predict as score

    project, settings = _open(overrides)
    rows = score(
        project, settings, source, output, model=model, processes=processes, say=typer.echo
    )
    typer.echo(f"{rows:,} rows scored: {output}")


@config_app.command("show")
def config_show(overrides: Overrides) -> None:
    """Print every setting with its origin and default."""
    from .core.config import Settings, explain_settings

    section = None
    for setting in explain_settings(_project(), overrides):
        if setting.section != section:
            section = setting.section
            typer.echo(f"\n[{section}]")
        typer.echo(f"# {setting.about} (from {setting.origin}; default: {setting.default})")
        typer.echo(f"{setting.key} = {setting.value}")
    if section != "params":  # which stands last, and shows what was set
        typer.echo(f"\n[params]\n# {Settings.model_fields['params'].description}")


@champion_app.command()
def promote(run_id: Annotated[str, typer.Argument(help="As in `runs list`.")]) -> None:
    """Put a bundle into service; from then on only a person replaces it."""
    from .bundle import champion

    champion.promote(_project(), run_id)
    typer.echo(f"{run_id} is the champion. A person chose it, so `run` will not replace it.")


@champion_app.command()
def rollback() -> None:
    """Put the champion before this one back into service."""
    from .bundle import champion

    typer.echo(f"{champion.rollback(_project())} is the champion again.")


@champion_app.command()
def challenge(
    run_id: Annotated[str, typer.Argument(help="As in `runs list`.")],
    weight: Annotated[float, typer.Option(help="Share of the requests; 0: a shadow.")] = 0.0,
) -> None:
    """Let a bundle answer some requests, or none and be scored beside."""
    from .bundle import champion

    champion.challenge(_project(), run_id, weight)
    share = f"answers {weight:.0%} of the requests" if weight else "is scored beside"
    typer.echo(f"{run_id} {share}.")


@champion_app.command()
def dismiss(run_id: Annotated[str, typer.Argument(help="A challenger.")]) -> None:
    """Take a challenger out of service."""
    from .bundle import champion

    champion.dismiss(_project(), run_id)
    typer.echo(f"{run_id} is no longer a challenger.")


@champion_app.command()
def export(folder: Annotated[Path, typer.Argument(help="New or empty.")]) -> None:
    """Copy the models in service, and no others, to a folder."""
    from .bundle import champion

    typer.echo(f"{', '.join(champion.export(_project(), folder))}: copied to {folder}")


@champion_app.command()
def push(overrides: Overrides) -> None:
    """Copy what is or was in service to [models] store."""
    from .bundle import store

    store.push(*_open(overrides), say=typer.echo)


@champion_app.command()
def pull(
    overrides: Overrides,
    run_id: Annotated[str | None, typer.Argument(help="Default: all in service.")] = None,
    if_store: Annotated[bool, typer.Option(help="Do nothing where none is set.")] = False,
) -> None:
    """Bring what is in service from [models] store, verified."""
    from .bundle import store

    project, settings = _open(overrides)
    if if_store and settings.models.store is None:
        typer.echo(f"{store.NO_STORE}; no model is brought.")
    else:
        store.pull(project, settings, run_id, typer.echo)


@champion_app.command()
def status() -> None:
    """Tell which bundle is in service, and how good it is."""
    from .bundle import champion

    _print(champion.status(_project()))


@runs_app.command("list")
def runs_list() -> None:
    """List the runs, newest first."""
    from .tracking import runs

    _print(runs.list_table(_project()))


@runs_app.command("compare")
def runs_compare(
    first: Annotated[str, typer.Argument(help="A run id.")],
    second: Annotated[str, typer.Argument(help="Another run id.")],
) -> None:
    """Show what differed in data, settings and versions, and what it did to the metrics."""
    from .tracking import runs

    _print(runs.compare_table(_project(), first, second))


def main() -> None:
    """Run the command line; what goes wrong on purpose ends in one sentence and an exit code."""
    try:
        _add_commands()
        app()
    except SystemExit as end:  # as which typer and rich tell it
        sys.exit(CLOSED if isinstance(end.__context__, BrokenPipeError) else end.code)
    except UserError as error:
        _fail(str(error), 2)
    except GateError as error:
        _fail(str(error), 1)
    except Exception as error:
        sentence = _disk_sentence(error) if isinstance(error, OSError) else None
        if sentence is not None:
            _fail(sentence, 2)
        traceback.print_exception(error)
        sys.exit(CRASHED)


@cache
def _add_commands() -> None:
    """Add a command per stage, in their order, and those of the modules.

    Raises:
        UserError: If two commands have one name, or the stages have no order.
    """
    ordered = stages().values()
    places = [(stage.name, stage.function) for stage in ordered] + [*registry.COMMANDS.items()]
    taken = {"run", "predict", *(group.name for group in app.registered_groups)}
    for name, place in places:
        if name in taken:
            raise UserError(
                f"A module adds the command '{name}' ({place}), but there is one of that name; "
                "choose another."
            )
        taken.add(name)
    app.command("run")(run)
    for stage in ordered:
        command = registry.load(stage.command) if stage.command else _command_of(stage)
        app.command(stage.name)(command)
    app.command("predict")(predict)
    for name, entry in registry.COMMANDS.items():
        command = registry.load(entry)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)


def _command_of(stage: Stage) -> Callable[..., None]:
    """Return the command of a stage without options of its own."""

    def command(overrides: Overrides) -> None:
        from .core.pipeline import run_stage

        _say(stage.name, run_stage(*_open(overrides), stage.name).facts)

    command.__doc__ = _about(stage)
    return command


def _about(stage: Stage) -> str:
    """Return the first line of what a stage's function says of itself, without importing it.

    Its module imports pandas and more, which nobody should wait for who asks for `--help`.
    """
    module, _, name = stage.function.partition(":")
    spec = importlib.util.find_spec(module, registry.PACKAGE)
    source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    signature, _, text = source.partition(f"\ndef {name}(")[2].partition('"""')
    if not signature.rstrip().endswith(":"):  # the quotes do not open what the function says
        return f"Run the stage {stage.name}."
    return text.partition("\n")[0].removesuffix('"""')


def _open(overrides: Sequence[str]) -> "tuple[Project, Settings]":
    """Return the project around the working folder, and its settings."""
    from .core.config import load_settings

    project = _project()
    return project, load_settings(project, overrides)


def _project() -> "Project":
    """Return the project around the working folder."""
    from .core.project import find_project

    return find_project()


def _say(name: str, facts: dict[str, Any]) -> None:
    """Print what a stage assumed, and its one-line summary."""
    from .core.pipeline import say_assumed

    say_assumed(registry.STAGES[name], facts, typer.echo)
    typer.echo(facts.get("summary", "done"))


@contextmanager
def _results_shown(
    project: "Project", ran: Collection[str] = ("evaluate", "report")
) -> Iterator[None]:
    """Print the metrics against the baseline and where the report is, a missed bar or not.

    Of stages that did not run, `reports/` may tell about another model: nothing is shown of them.
    """
    missed = None
    try:
        yield
    except GateError as error:
        missed = error
    from .evaluate import summary_table

    table = summary_table(project) if "evaluate" in ran else None
    if table is not None:
        _print(table)
    page = project.reports / "index.html"
    if page.exists() and "report" in ran:
        typer.echo(f"Report: {page}")
    for word, entry in registry.LAST_LINES.items():
        typer.echo(f"{word}: {registry.load(entry)(project)}")
    if missed:
        raise missed


def _print(renderable: object) -> None:
    """Print a rich table, at the terminal's width."""
    from rich.console import Console

    Console().print(renderable)


def _fail(sentence: str, code: int) -> None:
    """End with one sentence on standard error."""
    print(f"Error: {sentence}", file=sys.stderr)
    sys.exit(code)


def _disk_sentence(error: OSError) -> str | None:
    """Explain the faults of a disk that a user can mend; None for any other."""
    if "No usable temporary directory" in str(error):
        return "No temporary folder can be written to; name one in TMPDIR, then run this again."
    where = f" at {error.filename}" if error.filename else ""
    reasons = {
        errno.ENOSPC: f"The disk is full{where}; free some space",
        errno.EDQUOT: f"The disk quota is used up{where}; free some space",
        errno.EROFS: f"The file system is read-only{where}; make it writable",
        errno.EACCES: f"There is no permission to write{where}; change the folder's rights",
        errno.EPERM: f"There is no permission to write{where}; change the folder's rights",
    }
    reason = reasons.get(error.errno or 0)
    return reason and f"{reason} and run the same command again: finished stages are kept."
