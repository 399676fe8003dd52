"""When problems become an alert, whom it tells, and what was sent before (`logs/alerts.jsonl`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..core.config import resolve_secret
from ..core.errors import UserError
from ..core.files import append_json_line, read_json_lines
from ..core.project import Project

if TYPE_CHECKING:
    from .settings import MonitorSettings

STATE = "alerts.jsonl"
TIMEOUT = 10.0
SHOWN = 5


@dataclass(frozen=True)
class Problem:
    """Something that a check found.

    Attributes:
        key: The same at every check, such as `drift:age`.
        kind: "drift", "prediction", "labels", "performance", "quality" or "delay".
        sentence: What was found.
    """

    key: str
    kind: str
    sentence: str


@dataclass(frozen=True)
class Alert:
    """What follows from the problems of a check.

    Attributes:
        in_a_row: By problem, in how many checks in a row it was found.
        firing: The problems that were found often enough.
        fresh: Whether one of them is new since the last alert, or nobody has heard of it.
    """

    in_a_row: Mapping[str, int]
    firing: tuple[str, ...]
    fresh: bool


def webhook_of(options: MonitorSettings) -> str | None:
    """Return the URL that alerts go to, None where none is set.

    Raises:
        UserError: If its variable is not set, or holds no http or https URL, or one with a user.
    """
    if options.webhook is None:
        return None
    url = resolve_secret(options.webhook)
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # such as a bracket that is not closed
        fits = False
    if not fits:
        raise UserError(
            f"[monitor] webhook = {options.webhook}: the variable holds no http or https URL."
        )
    if "@" in parts.netloc:  # urllib would ask the resolver for all of it
        raise UserError(
            f"[monitor] webhook = {options.webhook}: the URL names a user before its host, which "
            "is not supported; give a webhook that has its secret in the path or the query."
        )
    return url


def decide(
    project: Project,
    options: MonitorSettings,
    problems: Sequence[Problem],
    *,
    run_id: str,
    content: str,
    log: bool = False,
) -> Alert:
    """Return which problems were found in as many checks in a row as `[monitor] checks` asks for.

    Checks of another model do not count, nor do those of files for the prediction log or the other
    way round; and looking at the same rows again is no further check.
    """
    earlier = [
        line
        for line in read_json_lines(project.logs / STATE)
        if line.get("run") == run_id and bool(line.get("log")) == log
    ]
    in_a_row = {}
    for problem in problems:
        seen = {content}
        for line in reversed(earlier):
            if line.get("content") in seen:
                continue
            if problem.key not in line.get("problems", ()):
                break
            seen.add(str(line.get("content")))
        in_a_row[problem.key] = len(seen)
    firing = tuple(key for key, count in in_a_row.items() if count >= options.checks)
    last: Mapping[str, Any] = earlier[-1] if earlier else {}
    sent = set(last.get("alert", ())) if last.get("sent") == "yes" else set()
    return Alert(in_a_row, firing, bool(set(firing) - sent))


def sentence(options: MonitorSettings, problems: Sequence[Problem], alert: Alert) -> str:
    """Return the alert as one line."""
    found = [problem.sentence for problem in problems if problem.key in alert.firing]
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    whom = f" Tell: {options.whom}." if options.whom else ""
    what = f" Do: {options.what.rstrip('.')}." if options.what else ""
    return f"{'; '.join(found[:SHOWN])}{more}.{whom}{what} See reports/drift.html."


def send(url: str, message: Mapping[str, Any]) -> str | None:
    """Post an alert as JSON; return why it could not be sent, or None.

    The address may hold a secret anywhere, so that only its host is ever shown.
    """
    reasons: list[str | None] = []
    # The socket's time limit starts again with every byte that comes; this one holds for them all.
    thread = Thread(target=lambda: reasons.append(_post(url, message)), daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    reason = reasons[0] if reasons else f"no answer in {TIMEOUT:g} seconds"
    return f"the webhook at {urlsplit(url).hostname} was not reached ({reason})" if reason else None


def _post(url: str, message: Mapping[str, Any]) -> str | None:
    """Post JSON, without following a redirection; return what went wrong, or None."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        """Takes a redirection for a failure: to follow it would drop what is posted."""

        def redirect_request(self, *_: Any) -> None:
            return None

    body = json.dumps(message, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "monitor"}
    try:
        request = Request(url, data=body, headers=headers, method="POST")  # noqa: S310
        with build_opener(Stay).open(request, timeout=TIMEOUT):
            return None
    except HTTPError as error:
        return f"it answered {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return type(getattr(error, "reason", error)).__name__


def record(
    project: Project,
    problems: Sequence[Problem],
    alert: Alert,
    *,
    run_id: str,
    content: str,
    where: str,
    time: datetime,
    sent: str,
    log: bool = False,
) -> None:
    """Write one line for the check: what was found, what was sent."""
    line = {
        "time": time.isoformat(timespec="seconds"),
        "run": run_id,
        "where": where,
        "log": log,
        "content": content,
        "problems": [problem.key for problem in problems],
        "alert": list(alert.firing),
        "sent": sent,
    }
    append_json_line(project.logs / STATE, line)
