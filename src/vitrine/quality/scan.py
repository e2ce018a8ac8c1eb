"""The photo table: one pass over every photo's bytes."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from vitrine import files
from vitrine.catalog import UNSAFE_PATH_REASON, Catalog, is_safe_path
from vitrine.catalog.photos import PhotoError, decode_photo, open_header
from vitrine.catalog.table import TEXT
from vitrine.quality import signature

WORKING_SIZE = 256  # pixels of the shorter side that the measures are taken at
BATCH = 64
EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}
ORIENTATION = 0x0112

Look = bytes  # `Scan.bytes` hides the type's own name
BLANK: Look = bytes(signature.LENGTH)


class Scan(NamedTuple):
    """What one pass over a photo's bytes finds.

    Attributes:
        readable: Whether the photo can be decoded whole.
        problem: "", or the kind: `unsafe` path, `missing` or `unreadable`.
        error: The reason, one line.
        format: As Pillow names it: JPEG, PNG ...
        extension_matches: Whether the file's name promises that format (or none).
        mode: Pillow's pixel mode, as stored.
        width: Pixels, upright.
        height: Pixels, upright.
        frames: More than 1 for an animation.
        bytes: Size of the file.
        sha256: Of the file, "" where there is none.
        pixels: Digest of the decoded photo: equal for copies that differ in metadata only.
        hash: 64-bit perceptual hash.
        brightness: Mean grey, 0..255.
        contrast: Standard deviation of grey.
        spread: Largest standard deviation of a colour channel: about 0 for one plain colour.
        sharpness: Variance of the Laplacian of grey.
        colourfulness: Hasler and Süsstrunk, "Measuring colourfulness in natural images", 2003.
        signature: See `vitrine.quality.signature`.
    """

    readable: bool = False
    problem: str = ""
    error: str = ""
    format: str = ""
    extension_matches: bool = True
    mode: str = ""
    width: int = 0
    height: int = 0
    frames: int = 0
    bytes: int = 0
    sha256: str = ""
    pixels: str = ""
    hash: int = 0
    brightness: float = float("nan")
    contrast: float = float("nan")
    spread: float = float("nan")
    sharpness: float = float("nan")
    colourfulness: float = float("nan")
    signature: Look = BLANK


DTYPES: dict[str, Any] = {
    "readable": "bool",
    "problem": TEXT,
    "error": TEXT,
    "format": TEXT,
    "extension_matches": "bool",
    "mode": TEXT,
    "width": "int32",
    "height": "int32",
    "frames": "int32",
    "bytes": "int64",
    "sha256": TEXT,
    "pixels": TEXT,
    "hash": "uint64",
    "brightness": "float32",
    "contrast": "float32",
    "spread": "float32",
    "sharpness": "float32",
    "colourfulness": "float32",
    "signature": pd.ArrowDtype(pa.binary(signature.LENGTH)),
}


def scan_photos(
    catalog: Catalog, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> pd.DataFrame:
    """Looks at every photo of a catalog once.

    Photos are decoded in worker processes, a bounded number at a time; what is kept is one small row each. A photo that
    several rows share is read once.

    Args:
        catalog: The catalog; its rows may be unusable.
        workers: Processes; by default one per processor.
        progress: Called with (photos done, photos in all).

    Returns:
        The photo table, aligned with the catalog's rows: the fields of `Scan`. Photos that are missing, unsafe or
        broken have `readable` False and say why.
    """
    positions, images = pd.factorize(catalog.table["image"])
    uris = [catalog.uri(image) if is_safe_path(image) else None for image in images]
    batches = [(start, uris[start : start + BATCH]) for start in range(0, len(uris), BATCH)]
    tables: dict[int, pd.DataFrame] = {}
    done = 0
    for start, rows in _scanned(batches, min(workers or os.cpu_count() or 1, len(batches))):
        tables[start] = _frame(rows)
        done += len(rows)
        if progress is not None:
            progress(done, len(uris))
    photos = pd.concat([tables[start] for start in sorted(tables)], ignore_index=True) if tables else _frame([])
    return photos.take(positions).reset_index(drop=True)


def scan_photo(uri: str) -> Scan:
    """Scans one photo; never raises."""
    try:
        data = files.read_bytes(uri)
    except FileNotFoundError:
        return Scan(problem="missing", error="no such photo")
    except OSError as error:
        return Scan(problem="unreadable", error=f"cannot be read ({error.strerror})")
    except ValueError as error:  # S3 refused, or a path no file system takes
        return Scan(problem="unreadable", error=_line(error))
    found = Scan(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    try:
        header = open_header(data)
        found = found._replace(
            format=header.format or "",
            mode=header.mode,
            frames=1 if header.format == "MPO" else int(getattr(header, "n_frames", 1)),
            extension_matches=_extension_matches(uri, header.format or ""),
        )
        width, height = header.size
        if header.getexif().get(ORIENTATION, 1) >= 5:
            width, height = height, width
        image = decode_photo(data, near=WORKING_SIZE)
        return found._replace(readable=True, width=width, height=height, **_measures(image))
    except PhotoError as error:
        return found._replace(problem="unreadable", error=_line(error))
    except Exception as error:  # a decoder's own bug on hostile bytes must not end the pass over all the others
        return found._replace(problem="unreadable", error=_line(f"cannot be decoded ({error})"))


def signatures(photos: pd.DataFrame) -> NDArray[np.uint8]:
    """The signatures of a photo table as one array, (rows, LENGTH)."""
    joined = b"".join(photos["signature"])
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(photos), signature.LENGTH)


def _measures(image: Image.Image) -> dict[str, Any]:
    pixels = hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()[:32]
    if min(image.size) > WORKING_SIZE:
        scale = WORKING_SIZE / min(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BOX)
    colour = np.asarray(image, dtype=np.float32)
    grey = colour @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    laplacian = np.zeros(1, dtype=np.float32)
    if min(grey.shape) >= 3:
        inner = grey[1:-1, 1:-1]
        laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    red_green = colour[..., 0] - colour[..., 1]
    yellow_blue = 0.5 * (colour[..., 0] + colour[..., 1]) - colour[..., 2]
    deviation = np.hypot(red_green.std(), yellow_blue.std())
    look = signature.signature(image)
    return {
        "pixels": pixels,
        "hash": int(signature.hashes(look[None])[0]),
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "spread": float(colour.std(axis=(0, 1)).max()),
        "sharpness": float(laplacian.var()),
        "colourfulness": float(deviation + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean())),
        "signature": look.tobytes(),
    }


def _extension_matches(uri: str, format_name: str) -> bool:
    suffix = PurePosixPath(uri).suffix.lower()
    return not suffix or suffix in EXTENSIONS.get(format_name, ())


def _scan_batch(start: int, uris: Sequence[str | None]) -> tuple[int, list[Scan]]:
    unsafe = Scan(problem="unsafe", error=f"path {UNSAFE_PATH_REASON}")
    return start, [unsafe if uri is None else scan_photo(uri) for uri in uris]


def _scanned(batches: Sequence[tuple[int, list[str | None]]], workers: int) -> Iterator[tuple[int, list[Scan]]]:
    """Scans batches in processes (a single batch: here), at most four per worker waiting at any time."""
    if workers <= 1:
        yield from (_scan_batch(*batch) for batch in batches)
        return
    # A forked worker needs nothing of the caller's main module, and touches no lock that another thread may hold.
    method = "fork" if sys.platform == "linux" else "spawn"
    with ProcessPoolExecutor(workers, mp_context=get_context(method)) as pool:
        running: set[Future[tuple[int, list[Scan]]]] = set()
        try:
            for batch in batches:
                running.add(pool.submit(_scan_batch, *batch))
                if len(running) >= 4 * workers:
                    finished, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in finished)
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        finally:
            for future in running:
                future.cancel()


def _frame(rows: Sequence[Scan]) -> pd.DataFrame:
    columns = zip(*rows, strict=True) if rows else ([] for _ in Scan._fields)
    return pd.DataFrame(
        {name: pd.Series(list(values), dtype=DTYPES[name]) for name, values in zip(Scan._fields, columns, strict=True)}
    )


def _line(error: object) -> str:
    text = " ".join(str(error).split())
    return "".join(character if character.isprintable() else "?" for character in text)[:300]
