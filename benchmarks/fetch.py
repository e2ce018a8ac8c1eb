"""What fetching a revision takes: `vitrine fetch` against `dvc pull`, from one S3 server, nothing cached.

    python benchmarks/fetch.py [--photos 5000] [--rounds 3] [--milliseconds 20]

Both are new processes that take turns, and end with the same bytes in a folder. moto on the same machine answers some
240 requests a second, and so limits both. They therefore also take turns at a server in front of it that remembers what
it was asked for, and answers as a store in the same region does: at once, but 20 milliseconds late.
"""

import argparse
import asyncio
import filecmp
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from vitrine.files import s3_client

BUCKET = "benchmark"


def main() -> None:
    """Prints objects a second and processor time of every round, and their medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--milliseconds", type=float, default=20)
    parser.add_argument("--front", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.front:
        asyncio.run(serve(*options.front, options.milliseconds / 1000))
        return
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as nowhere:
        home = Path(folder)
        os.environ |= {
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": nowhere,
            "VITRINE_CACHE": str(home / "cache"),
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        moto, front = free_port(), free_port()
        late = ["--milliseconds", str(options.milliseconds)]
        with (
            running(moto, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(moto)),
            running(front, __file__, "--front", str(front), str(moto), *late),
        ):
            os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{moto}"
            s3_client().create_bucket(Bucket=BUCKET)
            objects = push(home / "pushed", options.photos) + 2  # and the table, and the list of files
            print(f"moto, {objects:,} objects")
            compare(home, objects, options.rounds)
            os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{front}"
            pull(home)
            fetch(home)  # what it is asked for from now on is remembered
            print(f"a server that answers after {options.milliseconds:.0f} ms, {objects:,} objects")
            compare(home, objects, options.rounds)


def compare(home: Path, objects: int, rounds: int) -> None:
    """Both, taking turns."""
    measured: dict[str, list[tuple[float, float]]] = {"dvc pull": [], "vitrine fetch": []}
    for _ in range(rounds):
        for name, run in (("dvc pull", pull), ("vitrine fetch", fetch)):
            measured[name].append(run(home))
            tell(name, objects, *measured[name][-1])
    medians = {
        name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in measured.items()
    }
    for name, (wall, processor) in medians.items():
        tell(f"median of {name}", objects, wall, processor)
    slow, fast = medians.values()
    print(f"ratio {slow[0] / fast[0]:.2f}, of processor time {slow[1] / fast[1]:.2f}", flush=True)


def tell(name: str, objects: int, wall: float, processor: float) -> None:
    """One line."""
    print(f"{name}: {wall:.1f} s, {objects / wall:.0f} objects/s, processor {processor:.1f} s", flush=True)


def pull(home: Path) -> tuple[float, float]:
    """`dvc pull` into a project that has nothing but the .dvc file."""
    project = home / "pulled"
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(home / "pushed/.dvc", project / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    shutil.copy(home / "pushed/data.dvc", project)
    spent = timed([sys.executable, "-m", "dvc", "pull", "-q"], project)
    check(home / "pushed/data", project / "data")
    return spent


def fetch(home: Path) -> tuple[float, float]:
    """`vitrine fetch` into an empty cache."""
    for left in ("cache", "out"):
        shutil.rmtree(home / left, ignore_errors=True)
    command = [sys.executable, "-m", "vitrine.cli", "fetch", "pushed/data.dvc", "out", "--remote", f"s3://{BUCKET}/dvc"]
    spent = timed(command, home)
    check(home / "pushed/data", next((home / "cache/data").glob("*.dir")))
    return spent


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds by the clock, and of the processor, that a command takes."""
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, command
    return time.monotonic() - started, used.ru_utime + used.ru_stime


def check(one: Path, other: Path) -> None:
    """Both folders hold the same bytes."""
    names = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    assert len(names) == sum(path.is_file() for path in other.rglob("*"))
    assert filecmp.cmpfiles(one, other, names, shallow=False)[1:] == ([], [])


def push(project: Path, photos: int) -> int:
    """A project with a catalog of small photos, pushed; returns how many."""
    images = project / "data/images"
    images.mkdir(parents=True)
    for i in range(photos):
        random = np.random.default_rng(i)
        light = np.linspace(200, 250, 96)[:, None, None] + random.normal(0, 4, (96, 128, 3))
        photo = Image.fromarray(light.clip(0, 255).astype(np.uint8))
        ImageDraw.Draw(photo).ellipse((20, 15, 90, 80), fill=tuple(random.integers(0, 256, 3).tolist()))
        photo.save(images / f"{i:05}.jpg", quality=85)
    table = "\n".join(["image", *(f"images/{path.name}" for path in sorted(images.iterdir())), ""])
    (project / "data/catalog.csv").write_text(table)
    for command in (
        ["init", "--no-scm"],
        ["remote", "add", "--default", "s3", f"s3://{BUCKET}/dvc"],
        ["add", "data"],
        ["push"],
    ):
        subprocess.run([sys.executable, "-m", "dvc", *command, "-q"], cwd=project, check=True)
    return photos


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(port: int, *command: str) -> Iterator[None]:
    """A Python process that listens on `port`."""
    server = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", port)):
                assert server.poll() is None, command
                time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait()


async def serve(port: int, target: int, seconds: float) -> None:
    """Answers on `port`, a little late, what the server on port `target` answers, which is asked once."""
    known: dict[bytes, bytes] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                line = request.partition(b"\r\n")[0]
                if line not in known:
                    known[line] = await ask(target, request)
                await asyncio.sleep(seconds)
                writer.write(known[line])
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=256)
    await server.serve_forever()


async def ask(port: int, request: bytes) -> bytes:
    """What a server answers to a request without a body, for a connection that stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    found = await reader.read(-1)  # moto closes the connection
    writer.close()
    head, _, body = found.partition(b"\r\n\r\n")
    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*kept, b"", body])


if __name__ == "__main__":
    main()
