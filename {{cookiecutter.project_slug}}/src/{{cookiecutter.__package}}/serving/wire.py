"""A connection: uvicorn's own, with each answer in one write, and without patience for misuse.

A write wakes the client, which takes longer than a prediction; uvicorn makes two per answer. Nor
does it end a head that grows for ever, one that never ends, or an answer that nobody takes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# More than this is not held back until the loop's next turn.
MOST_HELD = 65_536
# A request's line and headers together.
MOST_HEAD = 65_536


class Protocol(HttpToolsProtocol):
    """One connection.

    A head has as many seconds to come as a connection may be idle, and so has a client to take
    some more of its answer.
    """

    # As in uvicorn: the base class knows of datagrams as well.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, which is idle at first."""
        self._joined = Joined(transport, self.loop)
        super().connection_made(self._joined)  # type: ignore[arg-type]  # it does what one does
        self._head = 0
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def data_received(self, data: bytes) -> None:
        """Read on; the time of a head that is not whole goes on, too."""
        timer, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        self._head += len(data)
        super().data_received(data)
        if not self._head:
            if timer is not None:
                timer.cancel()
        elif self._head > MOST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")
        else:
            self.timeout_keep_alive_task = timer

    def on_headers_complete(self) -> None:
        """Begin a request: its head is whole."""
        self._head = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._head = 0
        super().on_body(body)

    # asyncio takes an answer; uvicorn never gives one.
    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer, and then close, when a client has sent its last."""
        self._joined.flush()
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return False
        cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        """Wait for the client, as long as it takes something."""
        super().pause_writing()
        self._look_at_unsent(-1)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, once the client has taken its answer."""
        super().timeout_keep_alive_handler()
        self._look_at_unsent(-1)

    def _look_at_unsent(self, before: int) -> None:
        """Cut off a client that has taken nothing of its answer since the last look."""
        left = self.transport.get_write_buffer_size()
        if left == before:
            self.transport.abort()
        elif left:
            self.loop.call_later(self.timeout_keep_alive, self._look_at_unsent, left)


class Joined:
    """A transport that writes at once what comes within one turn of the loop."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Stand in front of a transport."""
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        """Leave everything else to the transport."""
        return getattr(self._transport, name)

    def write(self, part: bytes) -> None:
        """Take a part of what goes out."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(part)
        self._size += len(part)
        if self._size > MOST_HELD:
            self.flush()

    def close(self) -> None:
        """Write what is held, and close."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Write what is held, if the client is still there."""
        parts, self._parts, self._size = self._parts, [], 0
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))
