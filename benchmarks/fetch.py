"""What fetching a revision takes: `vitrine fetch` against `dvc pull`, from one S3 server (moto), nothing cached.

    python benchmarks/fetch.py [--photos 5000] [--rounds 3]

Both are new processes that take turns, and end with the same bytes in a folder. The server runs on the same machine,
and is what limits both: the processor time of each client tells more about a faster server.
"""

import argparse
import filecmp
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as nowhere:
        home = Path(folder)
        os.environ |= {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": nowhere, "VITRINE_CACHE": str(home / "cache")}
        server = start_server()
        try:
            s3_client().create_bucket(Bucket=BUCKET)
            objects = push(home / "pushed", options.photos) + 2  # and the table, and the list of files
            measured: dict[str, list[tuple[float, float]]] = {"dvc pull": [], "vitrine fetch": []}
            for _ in range(options.rounds):
                for name, run in (("dvc pull", pull), ("vitrine fetch", fetch)):
                    measured[name].append(run(home))
                    tell(name, objects, *measured[name][-1])
        finally:
            server.terminate()
            server.wait()
    medians = {
        name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in measured.items()
    }
    for name, (wall, processor) in medians.items():
        tell(f"median of {name}", objects, wall, processor)
    slow, fast = medians.values()
    print(f"ratio {slow[0] / fast[0]:.2f}, of processor time {slow[1] / fast[1]:.2f}")


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


def start_server() -> "subprocess.Popen[bytes]":
    """An S3 server, named by the environment from now on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with socket.socket() as probe:
        while probe.connect_ex(("127.0.0.1", port)):
            time.sleep(0.1)
    return server


if __name__ == "__main__":
    main()
