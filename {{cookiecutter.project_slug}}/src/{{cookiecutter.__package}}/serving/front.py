"""The first that a request meets: protection, `/predict` itself, headers, metrics and log line.

It stands in front of the Starlette app, whose routing would take longer than a prediction.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from .deadline import Deadlines
from .protect import HEADERS
from .rows import Refusal
from .service import RETRY, Served, Service, full

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TAKEN = ("/predict", "/feedback", "/explain")
GUARDED = (*TAKEN, "/model")
# Paths that are counted by name; all others are one, so that nobody can fill the memory by asking.
NAMED = (*GUARDED, "/", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json")
QUIET = ("/healthz", "/readyz", "/metrics")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
JSON_TYPE = re.compile(rb"application/json\s*(;.*)?", re.IGNORECASE)
NOTHING = Served("", "", 0)
# Clients that are still sending take no processor: so many of them may be there for each request at
# work, and bodies that are not whole yet may hold so many times the largest one.
READERS, HELD_BODIES = 8, 10


class Disconnected(Exception):
    """The client went away before its request was whole."""


class Head:
    """What of a request's headers matters."""

    __slots__ = ("content_type", "encoding", "expects", "key", "length", "request_id", "sticky")

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Read what matters."""
        self.request_id = ""
        self.key = self.sticky = self.content_type = self.encoding = b""
        self.length, self.expects = 0, False
        for name, value in headers:
            if name == b"content-length":
                self.length = int(value) if value.isdigit() and len(value) < 19 else 1 << 60
            elif name == b"content-type":
                self.content_type = value
            elif name == b"content-encoding":
                self.encoding = value
            elif name == b"x-api-key":
                self.key = value
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                self.key = self.key or value[7:].strip()
            elif name == b"expect":
                self.expects = True
            elif name == b"x-sticky-key":
                self.sticky = value
            elif name == b"x-request-id" and REQUEST_ID.fullmatch(value):
                self.request_id = value.decode()
        self.request_id = self.request_id or secrets.token_hex(8)


class Front:
    """The ASGI application that uvicorn serves."""

    def __init__(self, service: Service, app: App) -> None:
        """Stand in front of an app."""
        self._service, self._app = service, app
        self._limit = service.settings.body_kilobytes * 1000
        self._seconds = service.settings.seconds
        self._deadlines = Deadlines(self._seconds)
        self._held = 0
        self._most = READERS * service.settings.concurrency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        head = Head(scope["headers"])
        path: str = scope["path"]
        status, served, reason = 0, NOTHING, ""
        try:
            if path in TAKEN:
                status, served, reason = await self._take(path, head, scope, receive, send)
            else:
                status = await self._pass_on(path, head, scope, receive, send)
        except Disconnected:
            status = 499
        finally:
            self._note(scope, path, status, head, served, reason, time.perf_counter() - began)

    async def _take(
        self, path: str, head: Head, scope: Scope, receive: Receive, send: Send
    ) -> tuple[int, Served, str]:
        """Answer a request that brings a body; return its status, and what the log says."""
        service = self._service
        served, reason, status = NOTHING, "", 200
        headers: Any = ()
        whole = False
        try:
            with self._deadlines:
                self._admit(head, scope["method"])
                body = await self._body(receive)
                whole = True
                if path == "/predict":
                    answer, served = await service.predict(body, head.sticky, head.request_id)
                elif path == "/explain":
                    answer = await service.explain(body, head.request_id)
                else:
                    answer = await service.take_feedback(body)
        except Refusal as refusal:
            status, reason, headers = refusal.status, refusal.reason, refusal.headers
            answer = _error(head.request_id, refusal.detail)
        except TimeoutError:
            status, reason, headers = 503, "time", [RETRY]
            sentence = f"It took longer than {self._seconds:g} seconds, the body included."
            answer = _error(head.request_id, sentence)
        except Disconnected:
            raise
        except Exception:  # noqa: BLE001  # nothing of it is shown outside
            status, reason = 500, "error"
            answer = self._failed(head.request_id)
        if reason:
            service.metrics.refused(reason)
        if not whole:  # what follows on this connection is no request
            headers = [*headers, (b"connection", b"close")]
        if reason == "body" and not head.expects:
            await self._drain(receive)
        await _respond(send, status, answer, head.request_id, headers)
        return status, served, reason

    def _admit(self, head: Head, method: str) -> None:
        """Refuse what can be refused by its headers alone.

        Raises:
            Refusal: With the reason.
        """
        if not self._service.keys.allow(head.key):
            raise _no_key()
        if method != "POST":
            raise Refusal(405, "method", "Only POST is answered here.", [(b"allow", b"POST")])
        if head.content_type and not JSON_TYPE.fullmatch(head.content_type):
            raise Refusal(415, "type", "Send JSON with the header Content-Type: application/json.")
        if head.encoding:
            raise Refusal(
                415, "type", "Send the body as it is, without the header Content-Encoding."
            )
        if head.length > self._limit:
            raise self._too_large()
        if len(self._deadlines) > self._most:
            raise full()

    async def _body(self, receive: Receive) -> bytes:
        """Return a request's body.

        Raises:
            Refusal: If it is larger than allowed.
            Disconnected: If the client went away.
        """
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > self._limit:
                raise self._too_large()
            return body
        return await self._rest(body, receive)

    async def _rest(self, body: bytes, receive: Receive) -> bytes:
        """Return a body that comes in pieces, of which the first is here."""
        parts, size = [body], len(body)
        self._held += size
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                part = message.get("body", b"")
                parts.append(part)
                size += len(part)
                self._held += len(part)
                if size > self._limit:
                    raise self._too_large()
                if self._held > HELD_BODIES * self._limit:
                    raise full()
                if not message.get("more_body"):
                    return b"".join(parts)
        finally:
            self._held -= size

    async def _drain(self, receive: Receive) -> None:
        """Let the rest of a body pass, or most of it: a client that still sends does not listen."""
        size = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                while size < HELD_BODIES * self._limit:
                    message = await receive()
                    size += len(message.get("body", b""))
                    if not message.get("more_body"):
                        return

    def _too_large(self) -> Refusal:
        """Return what is answered to a body that is too large."""
        kilobytes = self._limit // 1000
        sentence = f"The body is larger than {kilobytes:,} kB; send fewer rows at a time."
        return Refusal(413, "body", sentence)

    async def _pass_on(
        self, path: str, head: Head, scope: Scope, receive: Receive, send: Send
    ) -> int:
        """Let the app answer, and add the headers; return the status."""
        status = 0

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(b"x-request-id", head.request_id.encode()), *HEADERS]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        scope["state"] = {**scope.get("state", {}), "request_id": head.request_id}
        if path in GUARDED and not self._service.keys.allow(head.key):
            refusal = _no_key()
            await _respond(
                send, 401, _error(head.request_id, refusal.detail), head.request_id, refusal.headers
            )
            self._service.metrics.refused("key")
            return 401
        try:
            await self._app(scope, receive, with_headers)
        except Exception:  # noqa: BLE001  # nothing of it is shown outside
            answer = self._failed(head.request_id)
            if not status:
                await _respond(send, 500, answer, head.request_id)
            return 500
        return status

    def _failed(self, request_id: str) -> bytes:
        """Log the error at hand, and return what is answered."""
        trace = traceback.format_exc(limit=20)
        self._service.lines.note("error", level="error", request_id=request_id, trace=trace)
        return _error(request_id, "Something went wrong here; the log says what.")

    def _note(
        self,
        scope: Scope,
        path: str,
        status: int,
        head: Head,
        served: Served,
        reason: str,
        seconds: float,
    ) -> None:
        """Count and log one request."""
        named = path if path in NAMED else "other"
        self._service.metrics.answered(named, status, seconds)
        if named in QUIET:
            return
        line = {
            "time": datetime.now(UTC),
            "level": "info" if status < 500 else "error",
            "event": "request",
            "request_id": head.request_id,
            "method": scope["method"],
            "path": named,
            "status": status,
            "ms": round(seconds * 1000, 3),
        }
        if served.rows:
            line |= {"run_id": served.run_id, "role": served.role, "rows": served.rows}
        if reason:
            line["reason"] = reason
        self._service.lines.write(line)


def _no_key() -> Refusal:
    """Return what is answered to a request without a valid key."""
    sentence = "A valid API key is needed, in the header X-API-Key."
    return Refusal(401, "key", sentence, [(b"www-authenticate", b"Bearer")])


def _error(request_id: str, detail: Any) -> bytes:
    """Return the body of every answer that is not what was asked for."""
    return msgspec.json.encode({"request_id": request_id, "detail": detail})


async def _respond(
    send: Send, status: int, body: bytes, request_id: str, headers: Any = ()
) -> None:
    """Send a whole answer."""
    own = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
        *HEADERS,
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body})
