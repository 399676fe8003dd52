"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

Overrides = Annotated[
    list[str],
    typer.Option(
        "--set",
        default_factory=list,
        show_default=False,
        metavar="SECTION.KEY=VALUE",
        help="Override a setting of conf.cfg, for this once.",
    ),
]
