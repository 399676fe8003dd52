"""The ledger of the test split: once per model, and for a later model only with a reason.

A test score is worth something only while nobody chose anything by it. So the first model of a
split opens it without a word, a later one needs a reason, and every opening stays on record.
"""

from datetime import UTC, datetime
from typing import Any

from ..core.errors import UserError
from ..core.files import append_json_line, read_json_lines
from ..core.project import Project
from ..core.registry import announce
from ..data.split import load_manifest


def state_of_test(project: Project) -> str:
    """Return the fingerprint of the rows in test: an edited schema leaves them the same rows.

    Raises:
        UserError: If there is no split.
    """
    return str(load_manifest(project)["split"]["contents"]["test"])


def openings(project: Project, split: str) -> list[dict[str, Any]]:
    """Return every opening of one state of the test split (see `state_of_test`), oldest first."""
    return [line for line in read_json_lines(project.ledger) if line.get("split") == split]


def recorded(project: Project, split: str, model: str) -> dict[str, Any] | None:
    """Return what the test split said of this very model, None if it was never asked."""
    found = [line for line in openings(project, split) if line.get("model") == model]
    return found[-1] if found else None


def check_opening(project: Project, split: str, model: str, again: str | None) -> None:
    """Refuse to open the test split a second time without a reason.

    Raises:
        UserError: With what was opened when, and how to open it all the same.
    """
    before = openings(project, split)
    if again is not None and not again.strip():
        raise UserError('--again needs a reason in words: evaluate --final --again "reason".')
    if not before or again or recorded(project, split, model):
        return
    times = "once" if len(before) == 1 else f"{len(before)} times"
    last = before[-1]
    raise UserError(
        f"The test split was opened {times} already, last on {str(last.get('date'))[:10]} for "
        f"{last.get('run_id')}, and each further opening makes its score more optimistic; if "
        'you must, say why: evaluate --final --again "reason".'
    )


def record_opening(
    project: Project,
    *,
    split: str,
    model: str,
    run_id: str,
    reason: str,
    result: dict[str, Any],
) -> dict[str, Any]:
    """Add an opening to the ledger, before anybody has seen its result, and return the line.

    Args:
        project: The project.
        split: The state of test.
        model: The fingerprint of all that the model's predictions follow from.
        run_id: The model's run.
        reason: Why test was opened.
        result: What the test split said: rows, metrics with intervals and the baseline's.
    """
    line = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "run_id": run_id,
        "reason": reason,
        "split": split,
        "model": model,
        **result,
    }
    append_json_line(project.ledger, line)
    announce("opening", project, **line)
    return line


def openings_in_words(count: int) -> str:
    """Say how often the test split was opened."""
    times = {0: "has not been opened", 1: "was opened once"}
    return f"The test split {times.get(count, f'was opened {count} times')}."
