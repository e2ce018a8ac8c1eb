"""What serving costs: `vitrine serve` against a bare FastAPI handler that decodes and asks one photo at a time.

    python benchmarks/serving.py [--backbone mobilenet_v2] [--size 128] [--seconds 10] [--rounds 3]
        [--clients 1,8,32] [--sides bare,torch,onnx]

All sides answer with the same net (of random weights), decode the same rendered photos with the same code and say the
same; the bare handler is `Task.reply` behind FastAPI and uvicorn. Each is a process of its own, started in turns, one
at a time, with as many threads as there are cores; the clients are one further process that sends photos over
connections that stay open. Printed are the medians over the rounds of answers a second, and of the milliseconds within
which half and 99 of 100 answers came; `differ` counts answers whose best label is not the bare handler's.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LEAVES = [f"{top}/{middle}/{leaf}" for top in "ABC" for middle in "DEF" for leaf in "GHIJ"]


def main() -> None:
    """Measures each side at each number of clients, in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--sides", default="bare,torch,onnx")
    parser.add_argument("--bare", nargs=2, metavar=("MODEL", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        serve_bare(Path(options.bare[0]), int(options.bare[1]))
        return
    counts, sides = [int(count) for count in options.clients.split(",")], options.sides.split(",")
    with tempfile.TemporaryDirectory() as folder:
        model, photos = prepare(Path(folder), options.backbone, options.size)
        found: dict[tuple[str, int], list[Measured]] = {(side, count): [] for count in counts for side in sides}
        for turn in range(options.rounds):
            for side in sides if turn % 2 else reversed(sides):
                with serving(side, model) as port:
                    for count in counts:
                        asyncio.run(load(port, photos, count, 1.0))  # warm
                        found[side, count].append(asyncio.run(load(port, photos, count, options.seconds)))
    right = found[sides[0], counts[0]][0].labels
    print("clients | side | answers a second | p50, ms | p99, ms | differ")
    for count in counts:
        for side in sides:
            own = found[side, count]
            rate, half, most = (statistics.median(one) for one in zip(*(run.figures() for run in own), strict=True))
            differ = sum(run.labels[place] != right[place] for run in own for place in run.labels if place in right)
            print(f"{count} | {side} | {rate:.1f} | {half:.1f} | {most:.1f} | {differ}")


class Measured:
    """One run: the seconds of each answer, in how long, and the best label of each photo."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.took = 0.0
        self.labels: dict[int, str] = {}

    def figures(self) -> tuple[float, float, float]:
        """Answers a second, and p50 and p99 in milliseconds."""
        ordered = sorted(self.seconds)
        half, most = (1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99))
        return len(ordered) / self.took, half, most


def prepare(folder: Path, backbone: str, size: int) -> tuple[Path, list[bytes]]:
    """A model folder of random weights, and photos."""
    import torch

    from vitrine import tasks
    from vitrine.model import save_model
    from vitrine.synth import render_catalog

    torch.manual_seed(0)
    config = {
        "task": "taxonomy", "variant": "bcnn", "backbone": backbone, "image_size": size, "leaves": LEAVES, "labels": {},
        "levels": [], "salient": False, "hidden": 256, "temperatures": {"leaf": 1.0},
    }  # fmt: skip
    save_model(folder / "model", tasks.get("taxonomy").build(config), config, {})
    render_catalog(folder / "shop", listings=8)
    return folder / "model", [path.read_bytes() for path in sorted((folder / "shop" / "images").iterdir())]


@contextmanager
def serving(side: str, model: Path) -> Iterator[int]:
    """A server of one side, ready; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if side == "bare":
        command = [sys.executable, __file__, "--bare", str(model), str(port)]
    else:
        command = [sys.executable, "-m", "vitrine.cli", "serve", str(model), "--port", str(port), "--engine", side]
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.cpu_count() or 1)}
    server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        while not asyncio.run(ready(port)):
            assert server.poll() is None, f"{side} ended"
            time.sleep(0.2)
        yield port
    finally:
        server.terminate()
        server.wait()


async def ready(port: int) -> bool:
    """Whether a server says so."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
    except OSError:
        return False
    return answer.startswith(b"HTTP/1.1 200")


async def load(port: int, photos: list[bytes], clients: int, seconds: float) -> Measured:
    """Clients that each ask again as soon as they are answered."""
    measured, turn = Measured(), iter(range(10**9))
    requests = [
        b"POST /predict?top=1 HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
        % len(photo)
        + photo
        for photo in photos
    ]
    end = time.perf_counter() + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            place = next(turn) % len(photos)
            started = time.perf_counter()
            writer.write(requests[place])
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(int(length.split(b":")[1]))
            measured.seconds.append(time.perf_counter() - started)
            assert head.startswith(b"HTTP/1.1 200"), body
            if place not in measured.labels:
                measured.labels[place] = json.loads(body)["answers"][0]["level3"][0]["label"]
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(clients)))
    measured.took = time.perf_counter() - started
    return measured


def serve_bare(folder: Path, port: int) -> None:
    """What somebody writes first: decode the photo, ask the net, answer."""
    import numpy as np
    import uvicorn
    from fastapi import FastAPI, Request

    from vitrine.catalog.photos import decode_photo
    from vitrine.data.pixels import Query
    from vitrine.predict import Model

    model, app = Model.load(folder), FastAPI()

    @app.get("/v2/health/ready")
    async def is_ready() -> dict[str, bool]:
        return {"ready": True}

    @app.post("/predict")
    async def predict(request: Request, top: int = 5) -> dict[str, Any]:
        photo = decode_photo(await request.body(), model.config["image_size"])
        pixels = model.task.shown(model.config, photo)
        (reply,) = model.task.reply(model.net, model.config, [Query(np.stack([pixels]), ["photo"], top)])
        return {"answers": list(reply.records)}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


if __name__ == "__main__":
    main()
