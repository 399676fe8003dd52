"""The commands `serve` and `page`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import UserError
from ..core.options import Overrides

if TYPE_CHECKING:
    from ..core.project import Project


def serve(
    overrides: Overrides,
    host: Annotated[str | None, typer.Option(help="As [serving] host.")] = None,
    port: Annotated[int | None, typer.Option(help="As [serving] port.")] = None,
    workers: Annotated[int | None, typer.Option(help="As [serving] workers.")] = None,
    check: Annotated[bool, typer.Option(help="Only load the models in service, and end.")] = False,
) -> None:
    """Answer requests over HTTP, until it is stopped."""
    from ..bundle.champion import verify_champion
    from ..core.config import load_settings
    from ..core.project import find_project
    from .protect import Keys

    project = find_project()
    given = {"host": host, "port": port, "workers": workers}
    overrides = [*overrides, *(f"serving.{k}={v}" for k, v in given.items() if v is not None)]
    settings: Any = load_settings(project, overrides).serving  # type: ignore[attr-defined]
    verify_champion(project)
    if check:
        return typer.echo(f"{', '.join(_load(project, overrides))}: can be served here")
    keys = Keys(settings.keys, project.root)
    _check_address(settings.host, settings.port)
    if not keys.required and settings.host not in ("127.0.0.1", "::1", "localhost"):
        typer.echo(
            "Warning: [serving] keys is empty; anyone who reaches this address can use the model.",
            err=True,
        )
    _run(project.root, overrides, settings)


def _load(project: "Project", overrides: list[str]) -> list[str]:
    """Load each model in service as the service does; return the run ids.

    Raises:
        UserError: If one cannot be served here.
    """
    from ..bundle.champion import in_service
    from ..core.config import load_settings
    from .rows import Rules
    from .scoring import load_model

    rules = Rules.of(load_settings(project, overrides))
    run_ids = []
    for entry in in_service(project):
        run_id = str(entry["run_id"])
        try:
            load_model(project, run_id, entry["sha256"], rules)
        except UserError:
            raise
        except Exception as error:  # a damaged bundle raises all kinds
            raise UserError(
                f"{run_id} cannot be served here ({type(error).__name__}: {error}); a model that "
                "ONNX does not serve needs all that pyproject.toml depends on."
            ) from None
        run_ids.append(run_id)
    return run_ids


def page(
    overrides: Overrides,
    folder: Annotated[Path, typer.Argument(help="Is made, or replaced.")] = Path("reports/page"),
    model: Annotated[str | None, typer.Option(help="A run id; default: the champion.")] = None,
    runtime: Annotated[
        Path | None, typer.Option(help="onnxruntime-web, if npm is not to fetch it.")
    ] = None,
) -> None:
    """Write a page that predicts in a browser, without a server."""
    from ..core.config import load_settings
    from ..core.project import find_project
    from .browser import write_page

    project = find_project()
    settings = load_settings(project, overrides)
    typer.echo(write_page(project, settings, folder, model=model, runtime=runtime))


def _check_address(host: str, port: int) -> None:
    """Refuse an address that cannot be listened at.

    Raises:
        UserError: If it is taken, or none of this machine's.
    """
    import os
    import socket

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            if os.name != "nt":  # where it would mean that two may listen
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        raise UserError(
            f"[serving] {host}:{port} cannot be opened ({error.strerror}); stop what uses it, "
            "or choose another --port or --host."
        ) from None


def _run(root: Path, overrides: list[str], settings: Any) -> None:
    """Start uvicorn, and stay until it ends."""
    import json
    import os
    import tempfile
    from contextlib import ExitStack

    import uvicorn

    # The client of Prometheus reads them when imported. A folder that others use, too, would bring
    # their counts, and what an earlier start counted.
    for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        os.environ.pop(name, None)
    from .app import HANDED_OVER
    from .metrics import share_between_processes

    os.environ[HANDED_OVER] = json.dumps({"root": str(root), "overrides": overrides})
    with ExitStack() as stack:
        if settings.workers > 1:
            folder = tempfile.TemporaryDirectory(prefix="serving-metrics-")
            share_between_processes(Path(stack.enter_context(folder)))
        uvicorn.run(
            f"{__package__}.app:create",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            http=f"{__package__}.wire:Protocol",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # no answer depends on who asks, or from where
            ws="none",
            log_config=LOGGING,
            timeout_graceful_shutdown=max(1, round(settings.seconds)),
        )


# uvicorn's own lines, as JSON too.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": f"{__package__}.lines.JsonFormatter"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "json"}},
    "loggers": {"uvicorn": {"handlers": ["out"], "level": "INFO", "propagate": False}},
}
