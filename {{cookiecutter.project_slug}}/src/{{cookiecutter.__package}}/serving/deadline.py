"""The time that a request may take: one look at all of them costs less than a timer for each."""

from __future__ import annotations

import asyncio
from types import TracebackType

LOOK_SECONDS = 0.05


class Deadlines:
    """Ends what takes longer than allowed, up to `LOOK_SECONDS` late.

    What is to be ended in time stands in `with deadlines:`, in a task of its own, and raises
    TimeoutError. `len()` tells how many are under way.

    Args:
        seconds: How long each may take.
    """

    def __init__(self, seconds: float) -> None:
        """Start with nothing under way."""
        self._seconds = seconds
        # In the order in which they began, as dictionaries keep it.
        self._began: dict[asyncio.Task[object], float] = {}
        self._ended: set[asyncio.Task[object]] = set()
        self._looking = False

    def __len__(self) -> int:
        """Return how many are under way."""
        return len(self._began)

    def __enter__(self) -> None:
        """Begin in the task at hand."""
        loop = asyncio.get_running_loop()
        self._began[_task()] = loop.time()
        if not self._looking:
            self._looking = True
            loop.call_later(LOOK_SECONDS, self._look, loop)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End; what was cancelled from here has taken too long."""
        task = _task()
        del self._began[task]
        if task in self._ended:
            self._ended.discard(task)
            if task.uncancel() == 0 and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what began too long ago, and look again while something is under way."""
        latest = loop.time() - self._seconds
        for task, began in self._began.items():
            if began > latest:
                break
            if task not in self._ended:
                self._ended.add(task)
                task.cancel()
        self._looking = bool(self._began)
        if self._looking:
            loop.call_later(LOOK_SECONDS, self._look, loop)


def _task() -> asyncio.Task[object]:
    """Return the task at hand."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a deadline needs a task")
    return task
