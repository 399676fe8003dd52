"""The service's small parts, each alone: how long a request may take, and how answers go out."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from mlproj.serving.deadline import LOOK_SECONDS, Deadlines  # noqa: E402
from mlproj.serving.wire import MOST_HELD, Joined  # noqa: E402


async def work(deadlines: Deadlines, seconds: float) -> str:
    with deadlines:
        await asyncio.sleep(seconds)
    return "done"


def test_what_takes_too_long_is_ended_and_nothing_else() -> None:
    async def several() -> list[Any]:
        deadlines = Deadlines(0.2)
        began = time.monotonic()
        tasks = [asyncio.create_task(work(deadlines, each)) for each in (0.01, 30, 0.02, 40)]
        await asyncio.sleep(0)
        assert len(deadlines) == 4
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert 0.2 <= time.monotonic() - began < 5
        assert len(deadlines) == 0
        # A second round is looked after as the first one was.
        assert await work(deadlines, 0.01) == "done"
        await asyncio.sleep(3 * LOOK_SECONDS)
        with pytest.raises(TimeoutError):
            await work(deadlines, 30)
        return found

    found = asyncio.run(several())
    assert [type(each) for each in found] == [str, TimeoutError, str, TimeoutError]


def test_a_cancelled_request_is_not_taken_for_a_slow_one() -> None:
    async def cancelled() -> None:
        deadlines = Deadlines(30)
        task = asyncio.create_task(work(deadlines, 30))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(deadlines) == 0

    asyncio.run(cancelled())


def test_what_ends_in_its_own_way_is_not_cancelled_afterwards() -> None:
    async def late() -> str:
        deadlines = Deadlines(0.05)
        with pytest.raises(ConnectionError), deadlines:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                raise ConnectionError from None
        await asyncio.sleep(3 * LOOK_SECONDS)
        task = asyncio.current_task()
        assert task is not None and not task.cancelling()
        return await work(deadlines, 0)

    assert asyncio.run(late()) == "done"


class Recorder:
    """A transport that notes what it is asked."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.closed = False

    def writelines(self, parts: list[bytes]) -> None:
        self.said.append(b"".join(parts))

    def close(self) -> None:
        self.closed = True
        self.said.append("closed")

    def is_closing(self) -> bool:
        return self.closed


def test_the_parts_of_an_answer_go_out_together() -> None:
    async def answers() -> list[Any]:
        transport = Recorder()
        joined = Joined(transport, asyncio.get_running_loop())
        joined.write(b"head")
        joined.write(b"body")
        assert transport.said == []
        await asyncio.sleep(0)
        joined.write(b"second")
        await asyncio.sleep(0)
        large = b"x" * MOST_HELD
        joined.write(b"third")
        joined.write(large)
        assert transport.said[2:] == [b"third" + large]
        await asyncio.sleep(0)
        joined.write(b"last")
        joined.close()
        joined.write(b"to nobody")
        await asyncio.sleep(0)
        return transport.said

    said = asyncio.run(answers())
    assert said[:2] == [b"headbody", b"second"]
    assert said[3:] == [b"last", "closed"]
