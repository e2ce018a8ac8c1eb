"""An HTTP server of JSON for tests, in a thread: what the fake APIs have in common."""

import json
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

POLL = 0.02  # seconds; half a second by default, which closing waits for


class Refused(Exception):
    """An HTTP answer other than success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes


class JsonServer:
    """Serves until closed, one request at a time. A fake API says in `answer` what it does.

    Attributes:
        address: Its URL.
        seen: Method and path of every request.
        token: The only one that is let in, if there is one.
        before: Is told method and path of a request before its turn comes, and may hold it up.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.token = ""
        self.before: Callable[[str, str], object] = lambda method, path: None
        handler = type("Handler", (_Handler,), {"api": self, "lock": threading.Lock()})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=[POLL], daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, asked: Asked) -> Any:
        """What is answered; raises `Refused`."""
        raise NotImplementedError

    def refusal(self, refused: Refused) -> Any:
        """The body of an answer that refuses; a string is sent as it is."""
        return {"error": refused.message, "code": refused.status, "message": refused.message, "details": []}


class _Handler(BaseHTTPRequestHandler):
    api: JsonServer
    lock: threading.Lock
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes; the second would wait 40 ms for an ACK

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        address = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(address.query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.api.before(method, address.path)
        with self.lock:
            self.api.seen.append((method, address.path))
            try:
                if self.api.token and self.headers.get("Authorization") != f"Bearer {self.api.token}":
                    raise Refused(401, "the token is not known")
                status, said = 200, self.api.answer(Asked(method, address.path, query, self.headers, body))
            except Refused as refused:
                status, said = refused.status, self.api.refusal(refused)
            text = (said if isinstance(said, str) else json.dumps(said)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
