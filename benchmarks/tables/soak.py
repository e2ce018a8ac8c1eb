"""Does a server stay whole while its champion changes? `vitrine serve` under load, another model promoted each minute.

    python -m benchmarks.tables.soak [--minutes 20] [--swap 60] [--every 2] [--clients 16] [--load 0.5] [--rate 0]
        [--backbone mobilenet_v2] [--size 128] [--engine torch] [--out docs/results/soak.md]

First the top load is measured (32 clients that ask again at once, 10 seconds). Then requests of three photos each come
at the share `--load` of it (or `--rate` requests a second), whether or not those before are answered, while every
`--swap` seconds the other of two models becomes the champion. Each answer names the version that gave it, and all of
its figures must be those that this model gives by itself: one that fits neither model is `mixed`. Counted are failures
(any status but 200, a broken connection, no answer in 60 s), mixed answers, swaps that were seen, and the memory of the
server: the slope of a straight line through its resident size, once a second, but for the first tenth of the time.

Exit code 1: something failed, was mixed, or memory grows by 1 MB a minute or more.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving import PATIENT, Serving, friendly, load, post, prepare, serving

TASK, PHOTOS, TOP_SECONDS, LATEST = "taxonomy", 3, 10.0, 60.0
CLOSE = 2e-3  # confidences of one model differ by less (they have four digits), those of two by more
ALL = 1000  # labels: the third and the fourth of three may be as likely


@dataclass
class Seen:
    """What a soak counted."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)
    swaps: int = 0
    seconds: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)  # minutes, MB

    def slope(self) -> float:
        """Of the memory, in MB a minute."""
        start = self.memory[-1][0] / 10
        minutes, sizes = zip(*[one for one in self.memory if one[0] >= start], strict=True)
        return float(np.polyfit(minutes, sizes, 1)[0])


def main() -> int:
    """Soaks a server; see above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--swap", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=2.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--load", type=float, default=0.5)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        registry, versions, photos, expected = promoted(Path(folder), options.backbone, options.size)
        words = [sys.executable, "-m", "vitrine.cli", "serve", "--registry", registry, "--task", TASK, *PATIENT]
        words += ["--every", f"{options.every}", "--engine", options.engine, "--port", "PORT"]
        with serving(words) as server:
            requests, label = friendly(photos)
            top = asyncio.run(load(server, requests, label, 32, TOP_SECONDS))
            rate = options.rate or options.load * len(top.seconds) / top.took / PHOTOS
            print(
                f"{len(top.seconds) / top.took:.1f} photos a second at most; {rate:.2f} requests a second", flush=True
            )
            swap = (registry, versions, options.swap)
            seen = asyncio.run(soak(server, photos, expected, rate, options.clients, 60 * options.minutes, swap))
    lines = told(seen, options.minutes, rate)
    print("\n".join(lines))
    if options.out:
        command = " ".join(["python -m benchmarks.tables.soak", *sys.argv[1:]])
        about: Any = __doc__
        options.out.write_text("\n".join(["# Soak", "", f"    {command}", "", about, "", *lines, ""]), encoding="utf-8")
    return 0 if not seen.failed and not seen.mixed and seen.slope() < 1 else 1


def promoted(folder: Path, backbone: str, size: int) -> tuple[str, list[str], list[bytes], dict[str, Any]]:
    """A registry of two models, the second in use; their versions, photos, and what each says of each of them."""
    from vitrine.catalog.photos import decode_photo
    from vitrine.data.pixels import Query
    from vitrine.predict import Model
    from vitrine.registry.store import Registry

    versions, registry, photos, expected = [], Registry(str(folder / "registry")), [], {}
    for seed in (0, 1):
        model, photos = prepare(folder / str(seed), backbone, size, seed)
        version = registry.promote(TASK, model, {"macro_top1": 0.5}, "A soak.").version
        known = Model.load(model)
        shown = [known.task.shown(known.config, decode_photo(photo, size)) for photo in photos]
        reply = known.reply([Query(np.stack(shown), [f"photo {i}" for i in range(len(photos))], ALL)])[0]
        expected[version] = [figures(record) for record in reply.records]
        versions.append(version)
    for one, other in zip(*expected.values(), strict=True):
        assert max(abs(one[key] - other[key]) for key in one) > 10 * CLOSE, "the two models say the same"
    return str(folder / "registry"), versions, photos, expected


def figures(record: dict[str, Any]) -> dict[str, float]:
    """Confidences by question and label."""
    return {
        f"{question} {one['label']}": one["confidence"]
        for question, said in record.items()
        if question != "image"
        for one in said
    }


async def soak(
    server: Serving,
    photos: Sequence[bytes],
    expected: dict[str, Any],
    rate: float,
    clients: int,
    seconds: float,
    swap: tuple[str, Sequence[str], float],
) -> Seen:
    """Asks at a rate while champions change.

    Args:
        server: What is asked.
        photos: What it is asked about.
        expected: By version, what it says of each photo.
        rate: Requests a second.
        clients: Connections.
        seconds: How long.
        swap: The registry, its versions, and the seconds between two promotions.
    """
    seen, due, started = Seen(), asyncio.Queue[int](), time.perf_counter()

    async def clock() -> None:
        for number in itertools.count():
            wait = started + number / rate - time.perf_counter()
            if number / rate > seconds:
                break
            await asyncio.sleep(max(0.0, wait))
            due.put_nowait(number)
        for _ in range(clients):
            due.put_nowait(-1)

    async def client() -> None:
        connection = None
        while (number := await due.get()) >= 0:
            places = [(number * PHOTOS + i) % len(photos) for i in range(PHOTOS)]
            began = time.perf_counter()
            try:
                async with asyncio.timeout(LATEST):
                    connection = connection or await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 20)
                    status, body = await ask(*connection, form([photos[place] for place in places]))
            except (OSError, EOFError, TimeoutError) as error:
                seen.failed.append(type(error).__name__)
                if connection:
                    connection[1].close()
                connection = None
                continue
            seen.seconds.append(time.perf_counter() - began)
            judge(seen, status, body, [(place, expected) for place in places])
        if connection:
            connection[1].close()

    async def watch() -> None:
        while True:
            seen.memory.append(((time.perf_counter() - started) / 60, server.memory()))
            await asyncio.sleep(1)

    async def promote() -> None:
        from vitrine.registry.store import Registry

        for number in itertools.count():
            await asyncio.sleep(swap[2])
            version = swap[1][number % 2]  # the second is in use
            await asyncio.to_thread(Registry(swap[0]).bring_back, TASK, version, "A soak.")
            seen.swaps += 1

    beside = [asyncio.create_task(own()) for own in (watch, promote)]
    await asyncio.gather(clock(), *(client() for _ in range(clients)))
    for task in beside:
        if task.done():
            task.result()
        task.cancel()
    return seen


def form(photos: Sequence[bytes]) -> bytes:
    """A request of several photos."""
    head = b'--x\r\nContent-Disposition: form-data; name="photos"; filename="photo %d.jpg"\r\n\r\n'
    parts = b"".join(head % number + photo + b"\r\n" for number, photo in enumerate(photos))
    return post(f"/predict?top={ALL}", "multipart/form-data; boundary=x", parts + b"--x--\r\n")


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes]:
    """Status and body."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(head.split(b" ")[1]), await reader.readexactly(int(length.split(b":")[1]))


def judge(seen: Seen, status: int, body: bytes, asked: Sequence[tuple[int, dict[str, Any]]]) -> None:
    """Notes an answer: failed, or of one model, or mixed."""
    if status != 200:
        seen.failed.append(f"{status} {body[:200].decode('utf-8', 'replace')}")
        return
    answer = json.loads(body)
    seen.answered += 1
    seen.versions.add(answer["version"])
    for (place, expected), record in zip(asked, answer["answers"], strict=True):
        right, own = expected[answer["version"]][place], figures(record)
        if own.keys() != right.keys() or any(abs(own[key] - right[key]) > CLOSE for key in right):
            seen.mixed.append(f"photo {place} by {answer['version']}: {own} instead of {right}")


def told(seen: Seen, minutes: float, rate: float) -> list[str]:
    """A table of what was counted."""
    ordered = sorted(seen.seconds)
    half, most = (1000 * ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
    rows = {
        "minutes": f"{minutes:g}",
        "requests a second, of 3 photos each": f"{rate:.2f}",
        "answered": f"{seen.answered:,}",
        "failed": f"{len(seen.failed)}",
        "mixed": f"{len(seen.mixed)}",
        "promotions; versions that answered": f"{seen.swaps}; {len(seen.versions)}",
        "p50, p99 of a request, ms": f"{half:.0f}, {most:.0f}",
        "memory at the beginning, at the end, MB": f"{seen.memory[0][1]:.0f}, {seen.memory[-1][1]:.0f}",
        "median of the first, last fifth, MB": ", ".join(f"{statistics.median(own):.0f}" for own in _fifths(seen)),
        "slope, MB a minute": f"{seen.slope():+.2f}",
    }
    table = ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())]
    return [*table, *([""] if seen.failed or seen.mixed else []), *seen.failed[:5], *seen.mixed[:5]]


def _fifths(seen: Seen) -> tuple[list[float], list[float]]:
    sizes = [size for _, size in seen.memory]
    count = max(1, len(sizes) // 5)
    return sizes[:count], sizes[-count:]


if __name__ == "__main__":
    sys.exit(main())
