"""What a request must pass before anything looks at it: a token, and a body of bounded size that arrives in time."""

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from vitrine.errors import InputError
from vitrine.serving.limits import Limits, RefusedError, busy, whole_number
from vitrine.serving.metrics import Metrics

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready", "/static/page.js", "/static/page.css")


class Guard:
    """Around the application.

    Args:
        app: The application.
        limits: Of bodies.
        metrics: Told of every answer.
        token: That clients must present as `Authorization: Bearer ...`; "" asks for none. Health, the page and the
            documentation are open: probes and browsers present none, and they tell nothing.
    """

    def __init__(self, app: App, limits: Limits, metrics: Metrics, token: str = "") -> None:
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._token = token.encode()
        self._bytes = 0  # of bodies that are being read or answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def told(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
            await send(message)

        try:
            await self._pass(scope, receive, told)
        except RefusedError as error:
            await _refuse(told, error)
        finally:
            route = scope["route"].path if "route" in scope else "other"
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - started)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if self._token and scope["path"] not in OPEN:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._token):
                raise RefusedError(401, "this server answers with the right token only (Authorization: Bearer ...)")
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise RefusedError(415, "send bodies without Content-Encoding; photos are compressed already")
        declared = whole_number(headers.get(b"content-length", b"0").decode("latin-1"))
        if not 0 <= declared <= self._limits.request_bytes:
            raise self._too_large()
        taken = 0

        def take(more: int) -> None:
            nonlocal taken
            if taken + more > self._limits.request_bytes:
                raise self._too_large()
            if self._bytes + more > self._limits.waiting_bytes:
                raise busy("too many bytes are being sent at once")
            self._bytes += more
            taken += more

        try:
            try:
                async with asyncio.timeout(self._limits.body_seconds):
                    body = await _body(receive, take)
            except TimeoutError as error:
                raise RefusedError(408, f"the request did not arrive in {self._limits.body_seconds:g} s") from error
            if body is not None:
                await self._app(scope, _again(body, receive), send)
        finally:
            self._bytes -= taken

    def _too_large(self) -> RefusedError:
        return RefusedError(413, f"more than {self._limits.request_bytes:,} bytes in a request")


def read_token(path: Path | None) -> str:
    """The token in a file; "" without a file.

    Raises:
        InputError: if it cannot be read, is empty, or is no token.
    """
    if path is None:
        return ""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a token ({error})") from error
    if not token or any(character.isspace() for character in token):
        raise InputError(f"{path}: holds no token (one word is needed)")
    return token


async def _body(receive: Receive, take: Callable[[int], None]) -> bytes | None:
    """The whole body; None if the client has gone."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        take(len(part))
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives the body at once, then whatever comes after it (that the client has gone)."""
    given = False

    async def once() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once


async def _refuse(send: Send, error: RefusedError) -> None:
    body = json.dumps({"error": str(error)}, ensure_ascii=False).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # the rest of the body is not waited for
    ]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(error.retry_after).encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
