"""How long a step waits for its photos, and what it asks S3 for: one object a photo, or packs (docs/results/pods.md).

    python benchmarks/packed_photos.py [--photos 20000] [--latency 0.02]

The server answers each request so much later; it keeps objects as files and knows of S3 what is asked here. Caches are
empty folders: each reading is a pod on a node of its own, but for the last, which finds a volume that is filled.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STATE = "s3://bucket/reports/tables/0123456789abcdef"


class Store(BaseHTTPRequestHandler):
    """As much of S3 as reading, writing and listing need; `root` holds the objects."""

    protocol_version = "HTTP/1.1"
    root: Path
    latency: float
    counts: Counter[str] = Counter()  # noqa: RUF012
    parts: dict[str, dict[int, bytes]] = {}  # noqa: RUF012
    lock = threading.Lock()

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _begin(self) -> tuple[Path, dict[str, str]]:
        address = urllib.parse.urlsplit(self.path)
        time.sleep(self.latency)
        return self.root / urllib.parse.unquote(address.path).strip("/"), dict(
            urllib.parse.parse_qsl(address.query, keep_blank_values=True)
        )

    def _end(self, kind: str, status: int, body: bytes = b"", moved: int = 0) -> None:
        with self.lock:
            self.counts[kind] += 1
            self.counts["bytes"] += moved or len(body)
        self.send_response_only(status)
        self.send_header("ETag", '"x"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """An object, a listing, or what was counted since the last time."""
        if self.path == "/_counts":
            with self.lock:
                body = json.dumps(self.counts).encode()
                self.counts.clear()
            self.send_response_only(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        path, query = self._begin()
        if "list-type" in query:
            self._end("listings", 200, self._listed(path, query))
        elif path.is_file():
            self._end("objects read", 200, path.read_bytes())
        else:
            self._end("objects read", 404, b"<Error><Code>NoSuchKey</Code></Error>")

    def _listed(self, base: Path, query: dict[str, str]) -> bytes:
        prefix = query.get("prefix", "")
        folder = base / prefix if prefix.endswith("/") else (base / prefix).parent
        names = sorted(path.relative_to(base).as_posix() for path in folder.rglob("*") if path.is_file())
        names = [name for name in names if name.startswith(prefix) and name > query.get("continuation-token", "")]
        page = names[: int(query.get("max-keys", 1000))]
        more = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if len(names) > len(page) else ""
        items = "".join(
            f"<Contents><Key>{name}</Key><Size>{(base / name).stat().st_size}</Size><ETag>&quot;"
            f"{hashlib.md5((base / name).read_bytes()).hexdigest()}&quot;</ETag></Contents>"
            for name in page
        )
        truncated = f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>"
        return f"<ListBucketResult>{truncated}{more}{items}</ListBucketResult>".encode()

    def _body(self) -> bytes:
        data = self.rfile
        if "Content-Length" in self.headers:
            data = io.BytesIO(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[assignment]
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return data.read() if "Content-Length" in self.headers else b""
        whole = b""
        while size := int(data.readline().split(b";")[0].strip() or b"0", 16):
            whole += data.read(size)
            data.readline()
        while data.readline().strip():
            pass
        return whole

    def do_PUT(self) -> None:
        """An object, or a part of one."""
        path, query = self._begin()
        body = self._body()
        if "partNumber" in query:
            with self.lock:
                self.parts.setdefault(query["uploadId"], {})[int(query["partNumber"])] = body
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        self._end("objects written", 200, moved=len(body))

    def do_POST(self) -> None:
        """The beginning and the end of an object in parts."""
        path, query = self._begin()
        self._body()
        if "uploads" in query:
            tag = f"<UploadId>{time.time_ns()}</UploadId>"
            self._end("uploads", 200, f"<InitiateMultipartUploadResult>{tag}</InitiateMultipartUploadResult>".encode())
            return
        parts = self.parts.pop(query["uploadId"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(parts[number] for number in sorted(parts)))
        tag = "<ETag>&quot;x&quot;</ETag>"
        self._end("uploads", 200, f"<CompleteMultipartUploadResult>{tag}</CompleteMultipartUploadResult>".encode())


class Server(ThreadingHTTPServer):
    """Takes many requests at once."""

    request_queue_size = 256
    daemon_threads = True


def main() -> None:
    """Serves, or measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds a request")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        Store.root, Store.latency = options.serve, options.latency
        server = Server(("127.0.0.1", 0), Store)
        print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--latency", str(options.latency), "--serve", f"{folder}/store"]
        server_process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server_process.stdout is not None
            measure(Path(folder), options.photos, server_process.stdout.readline().strip())
        finally:
            server_process.kill()


def measure(home: Path, count: int, address: str) -> None:
    """Prints a line for each kind of reading."""
    given = {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    os.environ.update(given, AWS_DEFAULT_REGION="us-east-1")
    import pandas as pd

    from vitrine import files
    from vitrine.catalog import Catalog, read_catalog, write_catalog
    from vitrine.catalog.fetch import at_hand, pack
    from vitrine.steps.data import keep_table
    from vitrine.synth import render_catalog

    render_catalog(home / "rendered", listings=60)
    rendered = [path.read_bytes() for path in sorted((home / "rendered/images").rglob("*")) if path.is_file()]
    images = [f"images/{number:06}.jpg" for number in range(count)]
    for number, image in enumerate(images):  # bytes behind a photo's end are no part of it, and make each another
        path = home / "store/bucket/data" / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rendered[number % len(rendered)] + number.to_bytes(4, "big"))
    write_catalog(Catalog("s3://bucket/data", pd.DataFrame({"image": images})), home / "store/bucket/data")
    keep_table("s3://bucket/data", "", "", STATE, "s3://bucket/reports/run", 3)
    catalog = read_catalog(STATE)

    def one_by_one() -> None:
        with ThreadPoolExecutor(files.CONNECTIONS) as pool:
            list(pool.map(lambda image: files.read_bytes(catalog.uri(image)), images))

    timed(address, "scan: fetch once and pack", lambda: pack(catalog, images, (1, 1), home / "scan"))
    before, after = [], []
    for number in range(3):  # in turns, since other work comes and goes
        before.append(timed(address, "before: one object a photo", one_by_one))
        after.append(timed(address, "after: packs", lambda own=home / f"node{number}": at_hand(catalog, own)))
    timed(address, "after: on a volume that has them", lambda: at_hand(catalog, home / "node0"))
    print("sooner by", ", ".join(f"{long / short:.1f}" for long, short in zip(before, after, strict=True)))


def timed(address: str, what: str, work: Callable[[], Any]) -> float:
    """The seconds that some work takes; prints them and what it asked the server for."""

    def counted() -> dict[str, int]:
        found: dict[str, int] = json.loads(urllib.request.urlopen(f"{address}/_counts").read())
        return found

    counted()
    started, processor = time.perf_counter(), time.process_time()
    work()
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    print(f"{what}: {seconds:.2f} s, {processor:.1f} s of it processor time here; {counted()}", flush=True)
    return seconds


if __name__ == "__main__":
    main()
