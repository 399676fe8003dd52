"""The service's small parts, each alone: how long a request may take, and how answers go out."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from asking import until

uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from mlproj.serving.deadline import LOOK_SECONDS, Deadlines  # noqa: E402
from mlproj.serving.wire import MOST_HEAD, MOST_HELD, Joined, Protocol  # noqa: E402


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

    def write(self, data: bytes) -> None:
        self.said.append(data)

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


GET = b"GET /%s HTTP/1.1\r\nHost: test\r\n\r\n"
IDLE_SECONDS = 1
LARGE = 40_000_000
loops = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the path; late where it says so, and with much where it says so."""
    path = scope["path"].strip("/")
    await asyncio.sleep({"late": 0.2, "very late": 1.5 * IDLE_SECONDS}.get(path, 0))
    body = b"x" * LARGE if path == "large" else f"<{path}>".encode()
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def listening(loop: str) -> Iterator[Any]:
    """Run uvicorn with our connections, in a thread; yield it, with its `port`."""
    if loop == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    config = uvicorn.Config(
        app,
        port=0,
        loop=loop,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_level="critical",
        timeout_keep_alive=IDLE_SECONDS,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        server.port = server.servers[0].sockets[0].getsockname()[1]
        yield server
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=20)


def connect(server: Any) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def rest(client: socket.socket) -> bytes:
    """Return all that comes until the end."""
    found = b""
    with suppress(ConnectionError):
        while part := client.recv(1_000_000):
            found += part
    return found


@loops
def test_who_has_sent_its_last_is_answered(loop: str) -> None:
    with listening(loop) as server:
        for path in [b"quick"] * 30 + [b"late"]:
            with connect(server) as client:
                client.sendall(GET % path)
                client.shutdown(socket.SHUT_WR)
                assert rest(client).endswith(b"<%s>" % path)


@loops
def test_a_head_without_end_is_cut_off(loop: str) -> None:
    with listening(loop) as server, connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        sent = 0
        with suppress(ConnectionError):
            while sent < 100 * MOST_HEAD:
                sent += client.send(b"X-Long: " + b"a" * 1000 + b"\r\n")
        assert sent < 100 * MOST_HEAD
        with connect(server) as other:
            other.sendall(GET % b"next")
            until(lambda: b"<next>" in other.recv(1000))


@loops
def test_a_head_in_pieces_begins_no_idle_time(loop: str) -> None:
    with listening(loop) as server, connect(server) as client:
        head = GET % b"very%20late"
        client.sendall(head[:10])
        time.sleep(0.1)  # so that the pieces come one by one
        client.sendall(head[10:])
        assert b"<very late>" in rest(client)


@loops
def test_idle_and_trickling_clients_are_cut_off(loop: str) -> None:
    with listening(loop) as server:
        silent, trickling, used = connect(server), connect(server), connect(server)
        used.sendall(GET % b"first")
        until(lambda: b"<first>" in used.recv(1000))
        began = time.monotonic()
        with suppress(ConnectionError):
            for byte in GET % (b"a" * 1000):
                trickling.sendall(bytes([byte]))
                if time.monotonic() > began + 10 * IDLE_SECONDS:
                    break
                time.sleep(0.05)
        assert rest(silent) == rest(trickling) == rest(used) == b""
        assert IDLE_SECONDS / 2 < time.monotonic() - began < 5 * IDLE_SECONDS
        for client in (silent, trickling, used):
            client.close()


@loops
def test_who_takes_nothing_of_an_answer_is_cut_off_and_who_is_slow_is_not(loop: str) -> None:
    with listening(loop) as server, connect(server) as deaf, connect(server) as slow:
        for client in (deaf, slow):
            client.sendall(GET % b"large")
        taken, began = 0, time.monotonic()
        while part := slow.recv(min(1_000_000, LARGE)):
            taken += len(part)
            time.sleep(0.1 if time.monotonic() < began + 4 * IDLE_SECONDS else 0)
            if taken > LARGE:
                break
        assert taken > LARGE
        assert time.monotonic() > began + 3 * IDLE_SECONDS
        assert len(rest(deaf)) < LARGE


@loops
def test_many_requests_at_once_are_answered_in_their_order(loop: str) -> None:
    with listening(loop) as server, connect(server) as client:
        client.sendall(b"".join(GET % str(at).encode() for at in range(100)))
        found = b""
        while b"<99>" not in found:
            found += client.recv(100_000)
        places = [found.index(b"<%d>" % at) for at in range(100)]
        assert places == sorted(places)
