"""What validation, cleaning and splitting cost as a catalog grows: wall time, growth and peak memory.

    python benchmarks/quality_at_size.py [--listings 25000 50000 100000]

YSneaker has 809,394 listings. The catalog and the photo table are generated; there are no photos, so nothing is decoded
and thumbnails are left out. Of the rows 2 % are exact and 2 % near copies, and listings have the texts, views and
verdicts of a sneaker forum.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vitrine.quality import signature
from vitrine.quality.scan import FILE, SCHEMA, TABLE

VIEWS = ("appearance", "tag", "midsole", "insole", "box_logo", "stamp", "extra")
BRANDS = ("Nike", "Adidas", "Jordan", "Converse", "Puma", "Li Ning", "New Balance", "Under Armour")
HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
PORTION = 200_000


def main() -> None:
    """Generates the catalog and times each command in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listings", type=int, nargs="+", default=[25_000, 50_000, 100_000])
    options = parser.parse_args()
    print("listings | rows | step | s | GB at most | a row, against the smallest")
    smallest: dict[str, float] = {}
    for listings in options.listings:
        with tempfile.TemporaryDirectory() as folder:
            home, out = Path(folder) / "catalog", Path(folder) / "out"
            rows = generate(home, listings, np.random.default_rng(0))
            photos = ["--photos", str(home / "photos")]
            steps = {
                "validate": ["validate", str(home), "--report", str(out / "report"), *photos],
                "clean": ["clean", str(home), str(out / "cleaned"), *photos],
                "split": ["split", str(out / "cleaned"), str(out / "parted")],
            }
            together = 0.0
            for name, arguments in steps.items():
                started = time.perf_counter()
                memory = peak(arguments)
                seconds = time.perf_counter() - started
                together += seconds
                report(listings, rows, name, seconds, f"{memory:.1f}", smallest)
            report(listings, rows, "together", together, "", smallest)


def report(listings: int, rows: int, name: str, seconds: float, memory: str, smallest: dict[str, float]) -> None:
    """Prints a line; `smallest` remembers what a row cost in the first catalog."""
    growth = seconds / rows / smallest.setdefault(name, seconds / rows)
    print(f"{listings:,} | {rows:,} | {name} | {seconds:.1f} | {memory} | {growth:.2f}", flush=True)


def peak(arguments: list[str]) -> float:
    """Runs a command; its largest resident memory, GB."""
    process = subprocess.Popen([sys.executable, "-m", "vitrine.cli", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 1):
        raise SystemExit(f"{' '.join(arguments)}: exit code {code}")
    return usage.ru_maxrss / 2**20


def generate(home: Path, listings: int, random: np.random.Generator) -> int:
    """Writes HOME/catalog.parquet and HOME/photos/photos.parquet."""
    (home / "photos").mkdir(parents=True, exist_ok=True)
    sizes = random.choice(np.arange(4, 17), listings, p=np.array([2, 4, 19, 22, 14, 10, 8, 5, 5, 5, 2, 2, 2]) / 100)
    rows = int(sizes.sum())
    listing = np.repeat(np.arange(listings), sizes)
    place = np.arange(rows) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    users = random.integers(0, listings // 2, listings)
    again = 1 + np.flatnonzero(random.random(listings - 1) < 0.02)  # listings that repeat the one before
    users[again] = users[again - 1]
    table = pa.table(
        {
            "image": numbered("images/", np.arange(rows), ".jpg"),
            "listing": numbered("L", listing, ""),
            "view": words(VIEWS, np.minimum(place, 6)),
            "category": words([f"Shoes/{brand}" for brand in BRANDS], random.integers(0, 8, listings)[listing]),
            "attr:colour": words(["white", "black", "red", "", "Not sure"], random.integers(0, 5, listings)[listing]),
            "verdict": words(["authentic", "counterfeit", ""], random.choice(3, listings, p=[0.4, 0.3, 0.3])[listing]),
            "expert": numbered("E", random.integers(1, 8, listings)[listing], ""),
            "user": numbered("user", users[listing], ""),
            "description": texts(listings, again, random).take(pa.array(listing)),
        }
    )
    pq.write_table(table, home / "catalog.parquet")
    originals = np.arange(rows)
    copies = random.permutation(rows)[: rows // 25]
    originals[copies] = np.maximum(copies - random.integers(1, 50_000, len(copies)), 0)  # of a photo not far before it
    exact = np.zeros(rows, dtype=bool)
    exact[copies[::2]] = True
    with pq.ParquetWriter(home / "photos" / FILE, TABLE) as writer:
        for start in range(0, rows, PORTION):
            part = slice(start, min(start + PORTION, rows))
            writer.write_table(photo_rows(table["image"][part], originals[part], exact[part], np.arange(rows)[part]))
    return rows


def photo_rows(images: pa.ChunkedArray, originals: np.ndarray, exact: np.ndarray, rows: np.ndarray) -> pa.Table:
    """Photo-table rows; a copy's content follows from the number of its original."""
    count = len(rows)
    looks = signatures(originals)
    near = (originals != rows) & ~exact
    looks[near] = np.clip(looks[near].astype(np.int16) + (rows[near, None] * np.arange(1, 289) % 3 - 1), 0, 255)
    content = np.where(exact, originals, rows)
    zero = np.zeros(count, dtype=np.float32)
    measures = {
        name: zero + value for name, value in zip(SCHEMA.names[14:21], (128, 50, 60, 500, 7, 40, 0), strict=True)
    }
    columns = {
        "image": images,
        "readable": np.ones(count, dtype=bool),
        "problem": words([""], np.zeros(count, dtype=int)),
        "error": words([""], np.zeros(count, dtype=int)),
        "format": words(["JPEG"], np.zeros(count, dtype=int)),
        "extension_matches": np.ones(count, dtype=bool),
        "mode": words(["RGB"], np.zeros(count, dtype=int)),
        "orientation": np.ones(count, dtype=np.int8),
        "width": np.full(count, 448, dtype=np.int32),
        "height": np.full(count, 448, dtype=np.int32),
        "frames": np.ones(count, dtype=np.int32),
        "bytes": np.full(count, 60_000),
        "sha256": digests(content, 64),
        "pixels": digests(content, 32),
        "hash": signature.hashes(looks),
        **measures,
        "signature": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(signature.LENGTH), count, [None, pa.py_buffer(looks.tobytes())]
        ),
    }
    return pa.table(columns, schema=TABLE)


def signatures(numbers: np.ndarray) -> np.ndarray:
    """A random look for each number, brighter on one side as photos are: (n, LENGTH) uint8, chroma near grey."""
    mixed = mix(numbers.astype(np.uint64)[:, None] * np.uint64(64) + np.arange(37, dtype=np.uint64))
    drawn = mixed.view(np.uint8).reshape(len(numbers), -1)
    ramp = np.linspace(-0.3, 0.3, 16, dtype=np.float32)
    across, down = drawn[:, 288:289] - np.float32(127.5), drawn[:, 289:290] - np.float32(127.5)
    luma = drawn[:, :256].reshape(-1, 16, 16) * np.float32(0.6) + 51
    luma += across[:, :, None] * ramp + down[:, :, None] * ramp[:, None]
    return np.concatenate([luma.reshape(-1, 256).astype(np.uint8), 108 + drawn[:, 256:288] % 40], axis=1)


def digests(numbers: np.ndarray, length: int) -> pa.Array:
    """Hexadecimal digits that follow from each number."""
    mixed = mix(numbers.astype(np.uint64)[:, None] * np.uint64(16) + np.arange(length // 8, dtype=np.uint64))
    digits = HEX[mixed.view(np.uint8).reshape(len(numbers), -1) % 16]
    ends = np.arange(len(numbers) + 1, dtype=np.int64) * length
    return pa.LargeStringArray.from_buffers(len(numbers), pa.py_buffer(ends), pa.py_buffer(digits.tobytes()))


def mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64: numbers that look random."""
    with np.errstate(over="ignore"):
        values = (values + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def numbered(before: str, numbers: np.ndarray, after: str) -> pa.Array:
    """Texts such as L12."""
    return pc.binary_join_element_wise(before, pa.array(numbers).cast(pa.string()), after, "")


def words(values: list[str] | tuple[str, ...], codes: np.ndarray) -> pa.Array:
    """Words by their number."""
    return pa.array(values, pa.large_string()).take(pa.array(codes))


def texts(listings: int, again: np.ndarray, random: np.random.Generator) -> pa.Array:
    """A description per listing: some repeat the one before, 1 in 1000 sells something else."""
    numbers = np.arange(listings)
    numbers[again] -= 1
    plain = numbered("bought in shop ", numbers, ", worn twice, please have a look at the stitching")
    other = numbered("sells his bags and clothes ", numbers, "")
    return pc.if_else(pa.array(random.random(listings) < 0.001), other, plain)


if __name__ == "__main__":
    main()
