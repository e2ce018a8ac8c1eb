"""HTTP connections that do not wait for a client that sends its headers a byte a minute."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def prompt_protocol(seconds: float) -> type[HttpToolsProtocol]:
    """uvicorn's connection, closed if a request's headers have not arrived within so many seconds of its first byte.

    uvicorn itself times out connections that are idle between two requests only.
    """

    class PromptProtocol(HttpToolsProtocol):
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._late = self.loop.call_later(seconds, self._close)

        def data_received(self, data: bytes) -> None:
            idle = self.cycle is None or self.cycle.response_complete
            if idle and self._late is None:
                self._late = self.loop.call_later(seconds, self._close)
            super().data_received(data)

        def on_headers_complete(self) -> None:
            self._cancel()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel()
            super().connection_lost(exc)

        def _cancel(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _close(self) -> None:
            self._late = None
            if not self.transport.is_closing():
                self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                self.transport.close()

    return PromptProtocol
