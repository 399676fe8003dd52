"""Telling other parts of a project what has happened, once it is on disk.

The events, with what a listener finds in `facts`:

- `run`: a candidate was trained: its line of `logs/runs.jsonl`.
- `bundle`: a model was packaged, or found packaged with the same content: `run_id`, `model` (the
  fingerprint), and the facts of `reports/release.json`.
- `opening`: the test split was opened: its line of `reports/test_ledger.jsonl`.
- `promote`, `rollback`, `challenge`, `dismiss`: another model serves, or another one beside it: the
  line of `models/champion_history.jsonl`.
"""

import sys
from copy import deepcopy
from typing import Any

from . import registry
from .project import Project


def announce(event: str, project: Project, /, **facts: Any) -> None:
    """Call every listener with the event, the project and the facts.

    What has happened stays so, whatever a listener does: one that fails is named in a warning on
    standard error, and the next one is called. Listeners are waited for, without a limit: what may
    take long, such as a server that does not answer, needs a timeout in the listener.
    """
    try:
        registry.team()
    except Exception as error:  # noqa: BLE001  # the team's code may raise anything
        _warn(f"no listener heard of '{event}', since custom.py cannot be imported", error)
        return
    for name, entry in list(registry.LISTENERS.items()):
        try:
            registry.load(entry)(event, project, deepcopy(facts))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a listener's as well
            _warn(f"listener '{name}' failed on '{event}'", error)


def _warn(what: str, error: BaseException) -> None:
    """Say in one line what went wrong."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    print(f"Warning: {what}: {reason}", file=sys.stderr)
