"""The scan of photos against decoding them and nothing else, in one process each, in the same run.

    python benchmarks/photo_scan.py [FOLDER of photos] [--rounds 5]

Without a folder, photos are rendered. Each set is measured as it is and enlarged to 448 pixels (YSneaker's size) and to
1200 pixels on the shorter side, saved as JPEG of quality 88. Decoding is Pillow's, whole, one photo after the other,
from the file to RGB pixels. The scan is `scan_photos` from a catalog to its table, with an empty cache that it fills;
it decodes JPEGs through libjpeg-turbo itself, and large ones at a fraction of their size, which is why it can be faster
than decoding.
"""

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from PIL import Image

from vitrine.catalog import Catalog
from vitrine.catalog.table import TEXT
from vitrine.quality.scan import scan_photos
from vitrine.synth import render_catalog

PHOTOS = 2000


def main() -> None:
    """Prints photos per second and the ratio for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        source = options.folder
        if source is None:
            source = Path(home) / "catalog"
            render_catalog(source)
        known = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:PHOTOS]
        for side in (0, 448, 1200):
            paths = [str(path) for path in (enlarged(known[:128], Path(home), side) if side else known)]
            ratios = []
            for _ in range(options.rounds):
                decoding = seconds(lambda paths=paths: decode_all(paths))
                os.environ["VITRINE_CACHE"] = tempfile.mkdtemp(dir=home)
                scanning = seconds(lambda paths=paths: scan_all(paths))
                ratios.append((len(paths) / decoding, len(paths) / scanning, decoding / scanning))
            decoded, scanned, ratio = (statistics.median(column) for column in zip(*ratios, strict=True))
            spread = f"{min(r[2] for r in ratios):.2f} to {max(r[2] for r in ratios):.2f}"
            name = f"{side} px" if side else "as they are"
            print(
                f"{name}: decoding {decoded:.0f} photos/s, scan {scanned:.0f}, ratio {ratio:.2f} ({spread})", flush=True
            )


def decode_all(paths: list[str]) -> None:
    """Pillow, and nothing else."""
    for path in paths:
        Image.open(path).convert("RGB")


def scan_all(paths: list[str]) -> None:
    """The photo table of a catalog of these photos, made in this process."""
    table = pd.DataFrame({"image": pd.Series([path.lstrip("/") for path in paths], dtype=TEXT)})
    photos = scan_photos(Catalog("/", table), workers=1)
    assert photos["readable"].all()


def enlarged(paths: list[Path], home: Path, side: int) -> list[Path]:
    """The photos with that many pixels on the shorter side."""
    folder = home / str(side)
    folder.mkdir()
    for number, path in enumerate(paths):
        photo = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
        scale = side / min(photo.size)
        size = round(photo.width * scale), round(photo.height * scale)
        photo.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=88)
    return sorted(folder.iterdir())


def seconds(work: Callable[[], object]) -> float:
    """Processor time of some work."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
