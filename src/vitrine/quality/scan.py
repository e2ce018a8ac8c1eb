"""The photo table: one pass over every photo's bytes, each content looked at once."""

import errno
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from vitrine import files
from vitrine.catalog import UNSAFE_PATH_REASON, Catalog, is_safe_path
from vitrine.catalog.jpeg import lacks_end, plain_header
from vitrine.catalog.photos import (
    ENDINGS,
    MAX_PIXELS,
    PhotoError,
    decode_opened,
    open_header,
    orientation,
    read_photo,
    stored_pixels,
)
from vitrine.catalog.table import TEXT
from vitrine.errors import InputError, PassingError
from vitrine.quality import signature
from vitrine.quality.pool import in_order
from vitrine.quality.scan_cache import ScanCache

LAYOUT = 7  # changes when the same photo would be described by other values
WORKING_SIZE = 96  # pixels of the shorter side, or up to twice that, that the measures are taken at
BATCH = 128
TOGETHER = 24  # photos measured at once: their pixels stay in the processor's cache
FILE = "photos.parquet"
GREY = np.arange(256, dtype=np.float64)
OPPONENT = np.array([[1, -1, 0], [0.5, 0.5, -1]], dtype=np.float32)  # red against green, yellow against blue
NEARLY_WHITE = 250  # grey level
WHITISH = 240  # level of every colour from which on a cell is white
BORDER = 10  # grey levels within which a rim counts as one colour
# What keeps this machine from reading now, and says nothing of the photo.
PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT)
REFUSED = ("ExpiredToken", "InvalidAccessKeyId", "RequestTimeTooSkewed", "SignatureDoesNotMatch")  # S3, any object

cv2.setNumThreads(1)  # photos are spread over processes; a pool of threads would not survive their fork
Pixels = NDArray[np.uint8]  # (height, width, 3), RGB
Look = bytes  # `Scan.bytes` hides the type's own name
BLANK: Look = bytes(signature.LENGTH)


class Scan(NamedTuple):
    """What one pass over a photo's bytes finds.

    Attributes:
        readable: Whether the photo can be decoded whole.
        problem: "", or the kind: `unsafe` path, `missing` or `unreadable`.
        error: The reason, one line; of a photo that is read all the same, what its file lacks.
        format: As Pillow names it: JPEG, PNG ...
        extension_matches: Whether the file's name promises that format (or none).
        mode: Pillow's pixel mode, as stored; `RGB;16` and `RGBA;16` for PNGs of 16 bits a colour.
        orientation: EXIF orientation, 1 = upright.
        width: Pixels, upright.
        height: Pixels, upright.
        frames: More than 1 for an animation.
        bytes: Size of the file.
        sha256: Of the file, "" where there is none.
        pixels: Digest of size, cells and grey levels: equal for copies that differ in metadata or lossless coding only,
            and for some that differ by less than these show; see `vitrine.quality.links`.
        hash: 64-bit perceptual hash.
        brightness: Mean grey, 0..255.
        contrast: Standard deviation of grey.
        spread: Largest standard deviation of grey and of the cells' colours: about 0 for one plain colour.
        sharpness: Variance of the Laplacian of grey.
        entropy: Of the grey levels, bits (0..8).
        colourfulness: Hasler and Süsstrunk, "Measuring colourfulness in natural images", 2003, of 16 x 16 cells.
        borders: Share of the photo outside the smallest box that holds all that differs from its corner.
        focus: Mean squared Laplacian over mean squared gradient of grey: how abrupt edges are, whatever their number
            and contrast; falls with the square of the width of a blur.
        shadows: Grey level that 1 in 100 pixels do not exceed.
        highlights: Grey level that 1 in 100 pixels reach.
        clipped: Share of the pixels that are nearly white.
        blown: Share of its parts with a colour in which red, green or blue is at its limit.
        left: Where the box of all that differs from the photo's corner begins, as a share of its width; 0 of one plain
            colour.
        top: The same of its height.
        right: Where that box ends; 1 of one plain colour.
        bottom: The same.
        signature: See `vitrine.quality.signature`.
    """

    readable: bool = False
    problem: str = ""
    error: str = ""
    format: str = ""
    extension_matches: bool = True
    mode: str = ""
    orientation: int = 1
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
    entropy: float = float("nan")
    colourfulness: float = float("nan")
    borders: float = float("nan")
    focus: float = float("nan")
    shadows: float = float("nan")
    highlights: float = float("nan")
    clipped: float = float("nan")
    blown: float = float("nan")
    left: float = float("nan")
    top: float = float("nan")
    right: float = float("nan")
    bottom: float = float("nan")
    signature: Look = BLANK


SCHEMA = pa.schema(
    [
        ("readable", pa.bool_()),
        ("problem", pa.large_string()),
        ("error", pa.large_string()),
        ("format", pa.large_string()),
        ("extension_matches", pa.bool_()),
        ("mode", pa.large_string()),
        ("orientation", pa.int8()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("frames", pa.int32()),
        ("bytes", pa.int64()),
        ("sha256", pa.large_string()),
        ("pixels", pa.large_string()),
        ("hash", pa.uint64()),
        *((name, pa.float32()) for name in Scan._fields[14:30]),
        ("signature", pa.binary(signature.LENGTH)),
    ]
)
TABLE = pa.schema([pa.field("image", pa.large_string()), *SCHEMA])  # of the file


def scan_photos(
    catalog: Catalog, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> pd.DataFrame:
    """Looks at every photo of a catalog once.

    Photos are read in worker processes, a bounded number at a time; what is kept is one small row each. A photo that
    several rows share is read once, and content that an earlier scan on this machine saw is not decoded again.

    Args:
        catalog: The catalog; its rows may be unusable.
        workers: Processes; by default one per processor.
        progress: Called with (photos done, photos in all).

    Returns:
        The photo table, aligned with the catalog's rows: the fields of `Scan`. Photos that are missing, unsafe or
        broken have `readable` False and say why.

    Raises:
        InputError: if photos cannot be looked at now, whatever they are: S3 does not answer or takes no credentials
            any more, memory runs out.
    """
    positions, images = pd.factorize(catalog.table["image"])
    batches = list(_scanned(catalog, images, workers, progress))
    photos = pa.Table.from_batches(batches, SCHEMA)
    return _frame(photos if len(images) == len(positions) else photos.take(pa.array(positions)))


def parse_shard(text: str) -> tuple[int, int]:
    """The number of a shard and how many there are, from `2/8`.

    Raises:
        InputError: if it does not read like that.
    """
    try:
        number, count = (int(part) for part in text.split("/"))
    except ValueError:
        raise InputError(f"shard {text!r}: reads two numbers, such as 2/8") from None
    if not 1 <= number <= count:
        raise InputError(f"shard {text}: the first is 1/{count}, the last {count}/{count}")
    return number, count


def shard_images(catalog: Catalog, shard: tuple[int, int]) -> Sequence[str]:
    """The photos of one shard, each once: a run of the catalog's. The second of four is (2, 4)."""
    number, count = shard
    images = catalog.table["image"].unique()
    return images[len(images) * (number - 1) // count : len(images) * number // count]


def write_photo_table(
    catalog: Catalog,
    out: Path,
    shard: tuple[int, int] = (1, 1),
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Writes OUT/photos.parquet: the fields of `Scan` and `image` for one shard of a catalog's photos.

    Rows are written as they come: memory does not grow with the catalog. A scan that was killed starts again from what
    the cache on this machine holds.

    Args:
        catalog: The catalog; its rows may be unusable.
        out: New folder.
        shard: See `shard_images`.
        workers: Processes; by default one per processor.
        progress: Called with (photos done, photos in all).

    Returns:
        Photos scanned.

    Raises:
        InputError: if `out` is not a new folder, or as `scan_photos`.
    """
    images = shard_images(catalog, shard)
    names = pa.array(images, pa.large_string())
    done = 0
    with files.new_folder(out) as folder, pq.ParquetWriter(folder / FILE, TABLE) as writer:
        for batch in _scanned(catalog, images, workers, progress):
            batch_names = names.slice(done, len(batch))
            writer.write_batch(pa.record_batch([batch_names, *batch.columns], schema=writer.schema))
            done += len(batch)
    return done


def read_photo_table(catalog: Catalog, folders: Sequence[Path]) -> pd.DataFrame:
    """What `scan_photos` would give, from the shards that `write_photo_table` wrote.

    Raises:
        InputError: if a shard cannot be read, a photo of the catalog is in none of them, or one is in two that saw
            another file under its name.
    """
    table, encoded = _read_shards([Path(folder) / FILE for folder in folders])
    images = pa.chunked_array([pa.array(catalog.table["image"], pa.large_string())])
    if not table["image"].equals(images):
        names = pd.Index(table["image"].to_pandas())
        once = np.flatnonzero(~names.duplicated())
        if len(once) < len(names):  # a shard given twice, or shards of two divisions
            _check_repeated(table, folders)
        places = names[once].get_indexer(catalog.table["image"])
        if (places < 0).any():
            lacking = catalog.table["image"].iat[int(np.argmin(places))]
            raise InputError(f"{folders[0]}: the photo table lacks {lacking!r}; scan this catalog again")
        places = once[places]
        table, encoded = table.take(pa.array(places)), encoded[places]
    photos = _frame(table.drop_columns("image"))
    # One piece, which `signatures` need not copy: it is most of the table.
    kind = SCHEMA.field("signature").type
    column = pa.FixedSizeBinaryArray.from_buffers(kind, len(encoded), [None, pa.py_buffer(encoded)])
    photos["signature"] = pd.array(column, dtype=pd.ArrowDtype(kind))
    pa.default_memory_pool().release_unused()  # what decoding the files took
    return photos


def _read_shards(paths: Sequence[Path]) -> tuple[pa.Table, NDArray[np.uint8]]:
    """The rows of some files without their signatures, and the signatures, (rows, LENGTH)."""
    opened = []
    for path in paths:
        try:
            opened.append(pq.ParquetFile(path))
            if not opened[-1].schema_arrow.equals(TABLE):
                raise pa.ArrowInvalid("other columns than this version writes")
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path}: cannot be read as a photo table ({_line(error)})") from error
    names = [name for name in TABLE.names if name != "signature"]
    encoded = np.empty((sum(file.metadata.num_rows for file in opened), signature.LENGTH), dtype=np.uint8)
    filled = 0
    for file in opened:
        for group in range(file.num_row_groups):
            for chunk in file.read_row_group(group, ["signature"])["signature"].chunks:
                encoded[filled : filled + len(chunk)] = _bytes_of(chunk)
                filled += len(chunk)
    return pa.concat_tables(file.read(names) for file in opened), encoded


def _check_repeated(table: pa.Table, folders: Sequence[Path]) -> None:
    """Raises InputError if two shards saw different files under one name."""
    images = table.select(["image", "problem", "sha256"]).to_pandas().drop_duplicates()["image"]
    if (unlike := images[images.duplicated()]).size:
        told = ", ".join(map(str, folders))
        raise InputError(f"{told}: {unlike.iat[0]!r} was scanned twice and changed in between; scan this catalog again")


def scan_photo(uri: str) -> Scan:
    """Scans one photo; raises as `scan_photos`."""
    return _scan_batch([uri], None)[0]


def signatures(photos: pd.DataFrame) -> NDArray[np.uint8]:
    """The signatures of a photo table, (rows, LENGTH); not copied if the table came as one piece."""
    column = photos["signature"].array._pa_array
    if column.num_chunks == 1:
        return _bytes_of(column.chunk(0))
    return np.concatenate([np.empty((0, signature.LENGTH), np.uint8), *map(_bytes_of, column.chunks)])


def _bytes_of(chunk: pa.FixedSizeBinaryArray) -> NDArray[np.uint8]:
    """What a piece of a column of signatures holds, not copied: (rows, LENGTH)."""
    size, start = len(chunk) * signature.LENGTH, chunk.offset * signature.LENGTH
    return np.frombuffer(chunk.buffers()[1], np.uint8, size, start).reshape(-1, signature.LENGTH)


def cache_path() -> Path:
    """The cache of this layout: `$VITRINE_CACHE` or `~/.cache/vitrine`, file scans-N.sqlite."""
    return files.cache_folder() / f"scans-{LAYOUT}.sqlite"


def _scanned(
    catalog: Catalog,
    images: Sequence[str],
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> Iterator[pa.RecordBatch]:
    """The rows of photos in their order, in batches, read in processes (a single batch: here)."""
    uris = [catalog.uri(image) if is_safe_path(image) else None for image in images]
    batches = [uris[start : start + BATCH] for start in range(0, len(uris), BATCH)]
    cache = ScanCache(cache_path(), CACHED)
    done = 0
    for rows in in_order(_scan_with_cache, batches, workers, _start_worker):
        cache.add(_cached(row) for row in rows if row.sha256)
        done += len(rows)
        if progress is not None:
            progress(done, len(images))
        columns = zip(*rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
        yield pa.record_batch(arrays, schema=SCHEMA)


# The cache keeps what follows from a photo's bytes: not its name, so not whether the name promises its format.
CACHED = [name for name in Scan._fields if name not in ("sha256", "extension_matches")]
_worker_cache: ScanCache | None = None


def _start_worker() -> None:
    global _worker_cache
    # From its largest block on, glibc keeps what it gets back; else each batch's pixels would be mapped in anew.
    np.empty(24 << 20, dtype=np.uint8)
    _worker_cache = ScanCache(cache_path(), CACHED)


def _scan_with_cache(uris: Sequence[str | None]) -> list[Scan]:
    return _scan_batch(uris, _worker_cache)


def _cached(row: Scan) -> tuple[Any, ...]:
    values: list[Any] = list(row)
    values[HASH] -= 2**63  # SQLite's integers have a sign
    return (row.sha256, *itertools.compress(values, IS_CACHED))


IS_CACHED = [name in CACHED for name in Scan._fields]
HASH = Scan._fields.index("hash")


def _scan_batch(uris: Sequence[str | None], cache: ScanCache | None) -> list[Scan]:
    """Scans some photos; the bytes and the working copies of all of them are held."""
    values, contents = zip(*(_read(uri) for uri in uris), strict=True)
    cached = cache.known([row["sha256"] for row in values if "sha256" in row]) if cache else {}
    fresh: dict[tuple[int, ...], list[tuple[dict[str, Any], Pixels]]] = {}
    for uri, row, data in zip(uris, values, contents, strict=True):
        if data is None:
            continue
        if cached_row := cached.get(row["sha256"]):
            row |= dict(zip(CACHED, cached_row, strict=True))
            row |= {"readable": bool(row["readable"]), "hash": row["hash"] + 2**63}
        else:
            pixels = _decoded(str(uri), row, data)
            if pixels is not None:
                fresh.setdefault(pixels.shape, []).append((row, pixels))
        if row.get("format"):
            row["extension_matches"] = _extension_matches(str(uri), row["format"])
    if fresh:
        rows = [row for same in fresh.values() for row, _ in same]
        seen = [measured for same in fresh.values() for measured in _seen([pixels for _, pixels in same])]
        measures = _measures(seen)
        for row, *row_values in zip(rows, *measures.values(), strict=True):
            row |= zip(measures, row_values, strict=True)
    return [Scan(**row) for row in values]


def _read(uri: str | None) -> tuple[dict[str, Any], bytes | None]:
    """A photo's bytes and their digest.

    Raises:
        InputError: if it cannot be read now, which is no fault of the photo.
    """
    if uri is None:
        return {"problem": "unsafe", "error": f"path {UNSAFE_PATH_REASON}"}, None
    try:
        data = read_photo(uri)
    except FileNotFoundError:
        return {"problem": "missing", "error": "no such photo"}, None
    except MemoryError as error:
        raise PassingError(f"{uri}: memory ran out while it was read") from error
    except OSError as error:
        if error.errno in PASSING:
            raise PassingError(f"{uri}: cannot be read now ({error.strerror})") from error
        return {"problem": "unreadable", "error": f"cannot be read ({error.strerror})"}, None
    except files.DamagedError as error:
        return {"problem": "unreadable", "error": _line(error)}, None
    except PassingError:
        raise
    except ValueError as error:  # S3 refused this object, or a path no file system takes
        answer = getattr(error.__cause__, "response", {})
        if answer.get("Error", {}).get("Code") in REFUSED:
            raise
        return {"problem": "unreadable", "error": _line(error)}, None
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}, data


def _decoded(uri: str, row: dict[str, Any], data: bytes) -> Pixels | None:
    """Notes what the header says; the photo at its working size.

    Raises:
        PassingError: if memory runs out.
    """
    try:
        plain = plain_header(data)
        pixels = None
        if plain is not None and plain.width * plain.height <= MAX_PIXELS:
            row |= {"format": "JPEG", "mode": plain.mode, "width": plain.width, "height": plain.height}
            row |= {"frames": 1, "orientation": 1}
            pixels = stored_pixels(data, plain.width, plain.height, WORKING_SIZE)
        if pixels is None:
            header = open_header(data)
            row |= {"format": header.format or "", "mode": _mode(header, data)}
            row["frames"] = 1 if header.format == "MPO" else int(getattr(header, "n_frames", 1))
            if (
                header.format == "PNG"
            ):  # to say how it is turned Pillow loads it, and keeps what is wrong with it to itself
                row |= {"width": header.width, "height": header.height, "orientation": 1}
                pixels = np.asarray(decode_opened(header, data, WORKING_SIZE))
            turned = orientation(header)
            as_seen = turned < 5 or header.format == "TIFF"  # of a TIFF Pillow says how it is seen
            width, height = header.size if as_seen else header.size[::-1]
            row |= {"width": width, "height": height, "orientation": turned}
            if pixels is None:
                pixels = np.asarray(decode_opened(header, data, WORKING_SIZE))
        if row["format"] in ("JPEG", "MPO") and lacks_end(data):
            row["error"] = "lacks its end marker"
        factor = min(pixels.shape[:2]) // WORKING_SIZE
        if factor > 1:
            size = (pixels.shape[1] // factor, pixels.shape[0] // factor)
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        return pixels
    except PhotoError as error:
        row |= {"problem": "unreadable", "error": _line(error)}
    except MemoryError as error:  # of this machine: to note it would drop a sound photo, here and from the cache
        raise PassingError(f"{uri}: memory ran out while it was decoded") from error
    except Exception as error:  # a decoder's own bug on hostile bytes must not end the pass over all the others
        row |= {"problem": "unreadable", "error": _line(f"cannot be decoded ({error})")}
    return None


def _mode(header: Image.Image, data: bytes) -> str:
    """Pillow's mode; of a PNG with 16 bits a colour, which Pillow calls RGB too, with that noted."""
    deep = header.format == "PNG" and data[24:25] == b"\x10" and header.mode in ("RGB", "RGBA")
    return f"{header.mode};16" if deep else header.mode


class Seen(NamedTuple):
    """What is asked of the pixels of a working copy; the rest follows from it.

    Attributes:
        size: Height and width.
        colours: See `signature.cell_colours`.
        levels: How many pixels have each grey level, (256,).
        sharpness: See `Scan`.
        focus: The same.
        box: Left, top, right, bottom of what differs from the corner, in pixels.
    """

    size: tuple[int, int]
    colours: NDArray[np.uint8]
    levels: NDArray[np.float32]
    sharpness: float
    focus: float
    box: tuple[int, int, int, int]


def _seen(photos: Sequence[Pixels]) -> Iterator[Seen]:
    """Looks at working copies of one size, some of them at once: a call for each would cost more than the work."""
    height, width, _ = photos[0].shape
    for start in range(0, len(photos), TOGETHER):
        some = photos[start : start + TOGETHER]
        tall = np.concatenate(some) if len(some) > 1 else some[0]  # one below the other
        grey = cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY)
        colours = signature.cell_colours(tall, len(some))
        edges = _edges(grey, len(some))
        greys = grey.reshape(len(some), height, width)
        for luma, cells, sharpness, bend in zip(greys, colours, *edges, strict=True):
            levels = cv2.calcHist([luma], [0], None, [256], [0, 256]).ravel()
            yield Seen((height, width), cells, levels, sharpness, bend / max(_slope(luma), 1e-3), _box(luma))


def _measures(seen: Sequence[Seen]) -> dict[str, list[Any]]:
    """The measures of some photos by their names."""
    colours = np.stack([photo.colours for photo in seen])  # (n, 32, 32, 3)
    levels = np.stack([photo.levels for photo in seen]).astype(np.float64)  # (n, 256)
    cells = signature.smoothed(colours)  # (n, 3, 256)
    encoded = signature.signatures_of(cells)
    shares = levels / levels.sum(axis=1, keepdims=True)
    darker = np.cumsum(shares, axis=1)  # up to each level
    brightness = shares @ GREY
    contrast = np.sqrt(np.maximum(shares @ GREY**2 - brightness**2, 0))
    means = cells.mean(axis=2, keepdims=True)
    centred = cells - means
    covariance = centred @ centred.swapaxes(1, 2) / cells.shape[2]  # of the three colours
    opponent = np.einsum("oc,ncd,od->n", OPPONENT, covariance, OPPONENT)
    spread = np.sqrt(np.einsum("ncc->nc", covariance).max(axis=1))
    red, green, blue = (np.ascontiguousarray(colours[..., channel]).reshape(len(seen), -1) for channel in range(3))
    coloured = np.minimum(np.minimum(red, green), blue) < WHITISH
    at_limit = (np.maximum(np.maximum(red, green), blue) >= NEARLY_WHITE) & coloured
    sizes, boxes = np.array([photo.size for photo in seen]), np.array([photo.box for photo in seen])
    empty = boxes[:, 2:] == 0  # of one plain colour
    within = np.where(empty[:, :1], (0, 0, 1, 1), boxes / sizes[:, [1, 0, 1, 0]])
    return {
        "readable": [True] * len(seen),
        "pixels": [_digest(repr(photo.size).encode(), photo.colours, photo.levels) for photo in seen],
        "hash": signature.hashes(encoded).tolist(),
        "brightness": brightness.tolist(),
        "contrast": contrast.tolist(),
        "spread": np.maximum(contrast, spread).tolist(),
        "sharpness": [photo.sharpness for photo in seen],
        "entropy": (-(shares * np.log2(np.where(levels, shares, 1))).sum(axis=1)).tolist(),
        "colourfulness": (
            np.sqrt(np.maximum(opponent, 0)) + 0.3 * np.linalg.norm(OPPONENT @ means, axis=(1, 2))
        ).tolist(),
        "borders": (1 - np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) / np.prod(sizes, axis=1)).tolist(),
        "focus": [photo.focus for photo in seen],
        "shadows": (darker < 0.01).sum(axis=1).tolist(),
        "highlights": (darker < 0.99).sum(axis=1).tolist(),
        "clipped": shares[:, NEARLY_WHITE:].sum(axis=1).tolist(),
        "blown": (at_limit.sum(axis=1) / coloured.sum(axis=1).clip(1)).tolist(),
        **{name: column.tolist() for name, column in zip(("left", "top", "right", "bottom"), within.T, strict=True)},
        "signature": [photo_signature.tobytes() for photo_signature in encoded],
    }


def _digest(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:32]


def _edges(grey: NDArray[np.uint8], count: int) -> tuple[list[float], list[float]]:
    """Variance and mean square of the 4-neighbour Laplacian of photos that lie one below the other."""
    edges = cv2.Laplacian(grey, cv2.CV_16S).reshape(count, -1, grey.shape[1])[:, 1:-1, 1:-1]
    if not edges.size:
        return [0.0] * count, [0.0] * count
    pixels = edges[0].size
    power = [cv2.norm(edge, cv2.NORM_L2SQR) / pixels for edge in edges]
    variance = [
        mean_square - (cv2.sumElems(edge)[0] / pixels) ** 2 for mean_square, edge in zip(power, edges, strict=True)
    ]
    return variance, power


def _slope(grey: NDArray[np.uint8]) -> float:
    """Mean square of the gradient of a photo, from differences of neighbours."""
    sides = ((grey[:, 1:], grey[:, :-1]), (grey[1:], grey[:-1]))
    return sum(cv2.norm(one, other, cv2.NORM_L2SQR) / one.size for one, other in sides if one.size)


def _box(grey: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the box of all that differs from the upper left corner; all 0 if nothing does."""
    corner = int(grey[0, 0])
    low, high = max(corner - BORDER, 0), min(corner + BORDER, 255)
    differs = grey - np.uint8(low) > high - low  # what is below `low` wraps round to above
    left, top, width, height = cv2.boundingRect(differs.view(np.uint8))
    return left, top, left + width, top + height


def _extension_matches(uri: str, format_name: str) -> bool:
    suffix = os.path.splitext(uri)[1].lower()  # noqa: PTH122  ten times as fast as a Path, once per photo
    return not suffix or suffix in ENDINGS.get(format_name, ())


def _frame(photos: pa.Table) -> pd.DataFrame:
    strings = {pa.large_string(): TEXT, pa.binary(signature.LENGTH): pd.ArrowDtype(pa.binary(signature.LENGTH))}
    return photos.to_pandas(types_mapper=strings.get, self_destruct=True, split_blocks=True)


def _line(error: object) -> str:
    text = " ".join(str(error).split())
    return "".join(character if character.isprintable() else "?" for character in text)[:300]
