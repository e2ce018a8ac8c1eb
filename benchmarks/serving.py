"""What serving costs: `vitrine serve` against a bare FastAPI handler and KServe's SDK, all with the same net.

    python -m venv peers && peers/bin/pip install -r benchmarks/serving_peers.txt     # same Python as this one
    python benchmarks/serving.py [--peers peers/bin/python] [--out docs/results/serving.md] [--backbone mobilenet_v2]
        [--size 128] [--seconds 8] [--rounds 3] [--clients 1,8,32] [--sides bare,kserve,torch,onnx] [--rows 404683]

All sides answer with the same net (of random weights), decode the same rendered photos with the same code and say the
same; the others ask about one photo at a time (`_serving_sides.py`). Each is a process of its own, started in turns,
one at a time, with as many threads as there are cores; the clients are one further process that sends photos over
connections that stay open. Medians over the rounds: answers a second, processor time of the server for each, and the
milliseconds within which half and 99 of 100 answers came; `differ` counts answers whose best label is not the first
side's. `search` asks `/search` and `/predict` in turns, one client, over an index of random unit vectors.
"""

import argparse
import asyncio
import base64
import itertools
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LEAVES = [f"{top}/{middle}/{leaf}" for top in "ABC" for middle in "DEF" for leaf in "GHIJ"]
TICKS = os.sysconf("SC_CLK_TCK")
PATIENT = ("--limit", "answer_seconds=600")  # a busy machine shows as slow answers


def main() -> None:
    """Measures each side at each number of clients, in turns; then what a search adds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="", help="Interpreter of an environment with KServe's SDK.")
    parser.add_argument("--out", type=Path, help="Page to write.")
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--sides", default="bare,kserve,torch,onnx")
    parser.add_argument("--rows", type=int, default=404_683, help="Of the index that is searched; 0: none.")
    options = parser.parse_args()
    counts = [int(count) for count in options.clients.split(",")]
    sides = [side for side in options.sides.split(",") if side != "kserve" or options.peers]
    with tempfile.TemporaryDirectory() as folder:
        model, photos = prepare(Path(folder), options.backbone, options.size)
        found: dict[tuple[str, int], list[Measured]] = {(side, count): [] for count in counts for side in sides}
        for turn in range(options.rounds):
            for side in sides if turn % 2 else reversed(sides):
                requests, label = REQUESTS[side](photos)
                with serving(command(side, model, options.peers)) as server:
                    for count in counts:
                        asyncio.run(load(server, requests, label, count, 1.0))  # warm
                        measured = asyncio.run(load(server, requests, label, count, options.seconds))
                        found[side, count].append(measured)
        lines = table(found, counts, sides)
        if options.rows:
            lines += ["", *searched(Path(folder), model, photos, options.rows, options.seconds)]
    print("\n".join(lines))
    if options.out:
        options.out.write_text(page(lines, sys.argv[1:]), encoding="utf-8")


class Measured:
    """One run: the seconds of each answer, in how long, the server's processor time, the best label of each photo."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.took = 0.0
        self.cpu = 0.0
        self.labels: dict[int, str] = {}

    def figures(self) -> tuple[float, float, float, float]:
        """Answers a second; processor milliseconds an answer; p50 and p99 in milliseconds."""
        ordered = sorted(self.seconds)
        half, most = (1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99))
        return len(ordered) / self.took, 1000 * self.cpu / len(ordered), half, most


class Serving:
    """A server that runs: its port, and what it takes of the machine."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.port = port
        self._pid = process.pid

    def cpu(self) -> float:
        """Seconds of all of its threads so far."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> float:
        """Resident MB."""
        lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def prepare(folder: Path, backbone: str, size: int, seed: int = 0) -> tuple[Path, list[bytes]]:
    """A model folder of random weights, and photos."""
    import torch

    from vitrine import tasks
    from vitrine.model import save_model
    from vitrine.synth import render_catalog

    torch.manual_seed(seed)
    config = {
        "task": "taxonomy", "variant": "bcnn", "backbone": backbone, "image_size": size, "leaves": LEAVES, "labels": {},
        "levels": [], "salient": False, "hidden": 256, "temperatures": {"leaf": 0.1},
    }  # fmt: skip
    save_model(folder / "model", tasks.get("taxonomy").build(config), config, {})
    render_catalog(folder / "shop", listings=8)
    return folder / "model", [path.read_bytes() for path in sorted((folder / "shop" / "images").iterdir())]


def command(side: str, model: Path, peers: str) -> list[str]:
    """What starts a side, but for its port."""
    if side == "bare":
        return [sys.executable, str(HERE / "_serving_sides.py"), side, str(model), "PORT"]
    if side == "kserve":
        further = [str(HERE.parent / "src"), sysconfig.get_paths()["purelib"]]
        return [peers, str(HERE / "_serving_sides.py"), side, str(model), "PORT", *further]
    return [sys.executable, "-m", "vitrine.cli", "serve", str(model), "--engine", side, *PATIENT, "--port", "PORT"]


@contextmanager
def serving(words: Sequence[str]) -> Iterator[Serving]:
    """A server, ready; PORT in its command is a free one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.cpu_count() or 1)}
    if words[0] != sys.executable:  # an environment of its own sees what it has first
        environment.pop("PYTHONPATH", None)
    started = [str(port) if word == "PORT" else word for word in words]
    server = subprocess.Popen(started, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not asyncio.run(ready(port)):
            assert server.poll() is None, f"ended: {' '.join(started)}"
            time.sleep(0.2)
        yield Serving(port, server)
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
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


def post(path: str, kind: str, body: bytes) -> bytes:
    """A request as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


Requests = tuple[list[bytes], Callable[[bytes], str]]  # a request for each photo; an answer to its best label


def friendly(photos: Sequence[bytes], path: str = "/predict?top=1") -> Requests:
    """A photo as it is."""
    requests = [post(path, "image/jpeg", photo) for photo in photos]
    return requests, lambda body: json.loads(body)["answers"][0]["level3"][0]["label"]


def inference(photos: Sequence[bytes]) -> Requests:
    """The Open Inference Protocol, photos in base64: KServe's server takes only texts for the elements of BYTES."""
    requests = []
    for photo in photos:
        data = [base64.b64encode(photo).decode()]
        asked = {"id": "1", "inputs": [{"name": "photos", "shape": [1], "datatype": "BYTES", "data": data}]}
        requests.append(post("/v2/models/model/infer", "application/json", json.dumps(asked).encode()))

    def label(body: bytes) -> str:
        return next(output["data"][0] for output in json.loads(body)["outputs"] if output["name"] == "level3")

    return requests, label


REQUESTS: dict[str, Callable[[Sequence[bytes]], Requests]] = {
    "bare": friendly, "kserve": inference, "torch": friendly, "onnx": friendly,
}  # fmt: skip


async def load(
    server: Serving, requests: Sequence[bytes], label: Callable[[bytes], str], clients: int, seconds: float
) -> Measured:
    """Clients that each ask again as soon as they are answered."""
    measured, turn = Measured(), itertools.count()
    end = time.perf_counter() + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 20)
        while time.perf_counter() < end:
            place = next(turn) % len(requests)
            started = time.perf_counter()
            writer.write(requests[place])
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await reader.readexactly(int(length.split(b":")[1]))
            measured.seconds.append(time.perf_counter() - started)
            assert head.startswith(b"HTTP/1.1 200"), body
            if place not in measured.labels:
                measured.labels[place] = label(body)
        writer.close()

    started, cpu = time.perf_counter(), server.cpu()
    await asyncio.gather(*(ask() for _ in range(clients)))
    measured.took, measured.cpu = time.perf_counter() - started, server.cpu() - cpu
    return measured


def table(found: dict[tuple[str, int], list[Measured]], counts: Sequence[int], sides: Sequence[str]) -> list[str]:
    """Lines of a table: each side at each number of clients."""
    right = found[sides[0], counts[0]][0].labels
    lines = ["| clients | side | answers a second | processor ms each | p50, ms | p99, ms | differ |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for count in counts:
        for side in sides:
            own = found[side, count]
            middle = [statistics.median(one) for one in zip(*(run.figures() for run in own), strict=True)]
            differ = sum(run.labels[place] != right[place] for run in own for place in run.labels if place in right)
            cells = " | ".join(f"{figure:.1f}" for figure in middle)
            lines.append(f"| {count} | {side} | {cells} | {differ} |")
    return lines


def searched(folder: Path, model: Path, photos: Sequence[bytes], rows: int, seconds: float) -> list[str]:
    """What `/search` takes beyond `/predict`, which asks the same net about the same photo."""
    make_index(folder / "index", model, rows)
    words = [sys.executable, "-m", "vitrine.cli", "serve", str(model), *PATIENT, "--index", str(folder / "index")]
    took: dict[str, list[float]] = {"/predict?top=1": [], "/search?k=20": []}
    with serving([*words, "--port", "PORT"]) as server:
        for part in range(6):  # the first is warming up
            for path, own in took.items():
                requests, _ = friendly(photos, path)
                measured = asyncio.run(load(server, requests, lambda _: "", 1, seconds / 5))
                own += measured.seconds if part else []
    plain, whole = (1000 * statistics.median(own) for own in took.values())
    return [
        "| one client | p50, ms |",
        "| --- | --- |",
        f"| /predict | {plain:.1f} |",
        f"| /search over {rows:,} vectors, 20 products | {whole:.1f} |",
        f"| what the search adds | {whole - plain:.1f} |",
    ]


def make_index(out: Path, model: Path, rows: int) -> None:
    """An index of random unit vectors, five photos a product, that the model's features fit."""
    import shutil

    import numpy as np
    import pandas as pd

    from vitrine.data.pixels import Query
    from vitrine.predict import Model
    from vitrine.retrieval.index import Index
    from vitrine.retrieval.segment import unit_rows
    from vitrine.visual_search import MODEL

    known = Model.load(model)
    size = known.config["image_size"]
    (reply,) = known.reply([Query(np.zeros((1, size, size, 3), np.uint8), ["grey"], 1)])
    random, dim, block = np.random.default_rng(0), reply.features.shape[1], 20_000
    numbers = pd.Series(range(rows))
    table = pd.DataFrame({"image": numbers.map("{:07}".format)}).assign(uri=lambda own: own["image"])
    table = table.assign(product=(numbers // 5).map("P{:06}".format), category="", domain="", bbox="")
    out.mkdir()
    shutil.copytree(model, out / MODEL)
    blocks = (min(block, rows - start) for start in range(0, rows, block))
    Index.create(out).add(table, (unit_rows(random.standard_normal((n, dim), dtype=np.float32)) for n in blocks))


def page(lines: Sequence[str], given: Sequence[str]) -> str:
    """docs/results/serving.md."""
    from importlib.metadata import version

    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    asked = " ".join(word if Path(word).name == word or "/" not in word else Path(word).name for word in given)
    about: Any = __doc__
    machine = f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, torch {version('torch')}"
    return "\n".join(
        [
            "# Serving",
            "",
            f"    python benchmarks/serving.py {asked}".rstrip(),
            "",
            about.partition("\n\n")[2].partition("\n\n")[2].strip(),
            "",
            f"{machine}, onnxruntime {version('onnxruntime')}, load {os.getloadavg()[0]:.1f}:",
            "",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
