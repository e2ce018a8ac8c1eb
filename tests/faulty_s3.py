"""An HTTP server in front of S3 that counts what is read through it and, if asked to, lets requests fail."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, cycle
from urllib.parse import urlsplit

FAULTS = ("500", "dropped", "503", "cut short")
CODES = {"500": "InternalError", "503": "SlowDown", "403": "AccessDenied"}


class FaultyS3(ThreadingHTTPServer):
    """Passes requests on, but lets every nth one fail with the next of some faults; `with` runs it in a thread.

    `lost`: what was asked for is done, but there is no answer; `slow`: the answer takes a tenth of a second.

    Attributes:
        url: Its address.
        read: How often each path was asked for.
        ranges: The parts of objects that were asked for.
        faults: How often each fault was made.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, target: str, faults: Sequence[str] = (), every: int = 5, latency: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target).netloc
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.read: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.faults: Counter[str] = Counter()
        self.latency = latency  # seconds that each answer takes longer
        self.sent = 0  # bytes of bodies
        self._numbers, self._every, self._next = count(1), every, cycle(faults)

    def next_fault(self) -> str:
        """What goes wrong with this request, or ""."""
        return next(self._next, "") if next(self._numbers) % self._every == 0 else ""

    def handle_error(self, *_: object) -> None:
        """Says nothing: clients are killed on purpose."""

    def __enter__(self) -> "FaultyS3":
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes; the second would wait 40 ms for an ACK
    server: FaultyS3

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(self.server.latency)
        fault = self.server.next_fault()
        self.server.read[self.path] += 1
        self.server.ranges += self.headers.get_all("Range", [])
        self.server.faults[fault] += 1
        if fault == "dropped":
            self.close_connection = True
        elif fault in CODES:
            error = f"<Error><Code>{CODES[fault]}</Code></Error>".encode()
            self._answer(int(fault), {}, error, len(error))
        else:
            if fault == "whole":
                del self.headers["Range"]
            if fault == "slow":
                time.sleep(0.1)
            del self.headers["Expect"]  # was answered already
            connection = http.client.HTTPConnection(self.server.target, timeout=60)
            connection.request(self.command, self.path, body or None, headers=dict(self.headers))
            found = connection.getresponse()
            body = found.read()
            connection.close()
            if fault == "lost":
                self.close_connection = True
                return
            if fault == "garbled":
                body = body[::-1]
            self._answer(found.status, found.headers, body, len(body) // 2 if fault == "cut short" else len(body))

    do_PUT = do_DELETE = do_GET

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes, sent: int) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.server.sent += sent
        self.wfile.write(body[:sent])
        self.close_connection |= sent < len(body)

    def log_message(self, *_: object) -> None:
        """Nothing: a test's output is for its failures."""
