"""Photos of a catalog as square uint8 batches: decoded by threads, kept decoded in a cache that may be dropped."""

import contextlib
import hashlib
import os
import shutil
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vitrine import files
from vitrine.catalog import Catalog
from vitrine.catalog.photos import PhotoError, open_photo
from vitrine.data.augment import augment, normalise
from vitrine.data.crops import USER, cropped
from vitrine.data.inputs import to_device

LAYOUT = "3"  # changes when the pixels made from a photo, or the file that keeps them, change
MAX_CACHE_BYTES = 20 << 30
AHEAD = 3  # batches decoded before they are asked for


class PhotoStore:
    """Photos in a fixed order, each fitted whole into a square.

    Decoding is the dearest part of training a small net, and every step of a pipeline reads the same photos. So each
    decoded photo is kept in a memory-mapped file in `cache` that is named after the photos' contents: memory does not
    grow with the catalog, parallel trainings share the file, and deleting it costs time only. Catalogs that would
    need more than half of the free disk are decoded each time.

    Args:
        uris: Paths or s3:// URIs.
        size: Edge of the square, pixels.
        workers: Decoding threads; 0 = one per core.
        cache: Folder for decoded photos; None = decode each time.
        contents: What names each photo's content in the cache (a hash); needed with `cache`.
        names: What each photo is called wherever its catalog lies; default: its URI.
        crops: What is kept of each photo (see `vitrine.data.crops`); default: all of it.
        digests: The SHA-256 each photo must have, "" for any; default: any.
        unreadable: Where given, a photo that cannot be read is black, and why is noted here by its place.

    Raises:
        PhotoError: (while reading, without `unreadable`) if a photo is missing or cannot be decoded (`vitrine clean`
            drops such rows), or was replaced by one of another SHA-256.
    """

    def __init__(
        self,
        uris: Sequence[str],
        size: int,
        workers: int = 0,
        cache: Path | None = None,
        contents: Sequence[str] = (),
        crops: Sequence[str] = (),
        digests: Sequence[str] = (),
        unreadable: dict[int, PhotoError] | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self.size = size
        self.contents = contents
        self._names = names or uris
        self._uris = uris
        self._crops = crops or [""] * len(uris)
        self._digests = digests or [""] * len(uris)
        self._unreadable = unreadable
        self._workers = workers or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._workers)
        self._pixels, self._filled = self._open_cache(cache, contents) if cache else (None, None)

    @classmethod
    def of_catalog(
        cls,
        catalog: Catalog,
        size: int,
        workers: int = 0,
        crops: Sequence[str] = (),
        further: Sequence[Catalog] = (),
    ) -> "PhotoStore":
        """The photos of a catalog's rows, then those of further catalogs, cached below `files.cache_folder()`.

        A photo is known by its SHA-256, which `vitrine clean` adds, and by what can be seen of the file. So one that
        was replaced since is not taken from the cache, and is refused where it is read: its row was judged by another.
        """
        uris: list[str] = []
        names: list[str] = []
        digests: list[str] = []
        for source in (catalog, *further):
            names += source.table["image"].tolist()
            uris_of_source = [source.uri(image) for image in source.table["image"]]
            uris += uris_of_source
            digests += digests_of(source)
        seen = files.states(uris)
        contents = [f"{digest or uri} {seen[uri]}" for digest, uri in zip(digests, uris, strict=True)]
        if crops:
            contents = [f"{content} {crop}" for content, crop in zip(contents, crops, strict=True)]
        return cls(uris, size, workers, files.cache_folder() / "pixels", contents, crops, digests, names=names)

    def __len__(self) -> int:
        return len(self._uris)

    def name(self, row: int) -> str:
        """What a photo is called wherever its catalog lies, whenever it came there: its SHA-256, or as its row says."""
        return self._digests[row] or self._names[row]

    def read(self, indices: np.ndarray) -> Tensor:
        """Decoded photos of some rows: (n, 3, size, size) uint8, channels last in memory."""
        rows = np.asarray(indices)
        if self._pixels is None or self._filled is None:
            batch = np.stack([self._decode(int(i)) for i in rows])
        else:
            for i in rows[self._filled[rows] == 0]:
                self._pixels[i] = self._decode(int(i))
                self._filled[i] = 1  # after the pixels: a killed process leaves no row that only looks decoded
            batch = self._pixels[rows]
        return torch.from_numpy(np.ascontiguousarray(batch)).permute(0, 3, 1, 2)

    def batches(self, index_batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Batches in the given order, a few decoded ahead by the worker threads."""
        waiting: deque[tuple[np.ndarray, list[Future[Tensor]]]] = deque()
        for indices in index_batches:
            parts = np.array_split(indices, min(len(indices), self._workers))
            waiting.append((indices, [self._pool.submit(self.read, part) for part in parts]))
            if len(waiting) > AHEAD:
                yield _joined(*waiting.popleft())
        while waiting:
            yield _joined(*waiting.popleft())

    @staticmethod
    def normalised(batch: Tensor, device: torch.device) -> Tensor:
        """A net's input: photos of `batches` as they are, (n, 3, size, size), on a device."""
        return normalise(to_device(batch, device)).contiguous(memory_format=torch.channels_last)

    @staticmethod
    def augmented(batch: Tensor, device: torch.device, seed: tuple[int, ...]) -> Tensor:
        """What a net learns from: photos of `batches` under a random view each, see `augment`."""
        return augment(to_device(batch, device), seed)

    def _decode(self, index: int) -> np.ndarray:
        crop = self._crops[index]
        # A box is in pixels of the original, so the photo is decoded at its full size.
        near = self.size if crop in ("", USER) else None
        try:
            image = open_photo(self._uris[index], near, self._digests[index])
        except PhotoError as error:
            if self._unreadable is None:
                raise
            self._unreadable[index] = error
            return np.zeros((self.size, self.size, 3), np.uint8)
        return cropped(image, crop, self.size) if crop else fit_square(image, self.size)

    def _open_cache(self, folder: Path, contents: Sequence[str]) -> tuple[np.ndarray | None, np.ndarray | None]:
        shape = (len(self), self.size, self.size, 3)
        needed = _file_bytes(shape)
        key = hashlib.sha256("\n".join([LAYOUT, str(self.size), *contents]).encode()).hexdigest()[:24]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{key}.pixels"
            if not _is_whole(path, shape) and not make_room(folder, "*.pixels", needed, MAX_CACHE_BYTES):
                return None, None
            return _memory_map(path, shape)
        except OSError:  # a read-only or full disk: the cache is only ever a convenience
            return None, None


def digests_of(catalog: Catalog) -> list[str]:
    """The SHA-256 of each row's photo, "" where the table does not tell it."""
    cells = catalog.table["sha256"] if "sha256" in catalog.table else [""] * len(catalog)
    return [text if isinstance(text, str) and len(text) == 64 else "" for text in cells]


def fit_square(image: Image.Image, size: int) -> np.ndarray:
    """The whole photo in a square, the rest filled with the mean colour of its rim: (size, size, 3) uint8."""
    scale = size / max(image.size)
    width, height = (max(1, round(edge * scale)) for edge in image.size)
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
    if width == height:
        return pixels
    rim = (pixels[[0, -1]] if height < width else pixels[:, [0, -1]]).reshape(-1, 3)
    square = np.empty((size, size, 3), np.uint8)
    square[:] = rim.mean(axis=0).round()
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def _joined(indices: np.ndarray, parts: list[Future[Tensor]]) -> tuple[np.ndarray, Tensor]:
    batch = torch.cat([part.result() for part in parts])
    return indices, batch.contiguous(memory_format=torch.channels_last)


def _file_bytes(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape)) + shape[0]


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    return path.exists() and path.stat().st_size == _file_bytes(shape)


def _memory_map(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The pixels, and a byte per photo: whether it is filled in. One file, so that neither outlives the other."""
    pixels = int(np.prod(shape))
    if not _is_whole(path, shape):
        with files.atomic_write(path) as temporary, temporary.open("wb") as handle:
            handle.truncate(_file_bytes(shape))
            if hasattr(os, "posix_fallocate"):  # a disk found full while the map is written kills the process (SIGBUS)
                os.posix_fallocate(handle.fileno(), 0, _file_bytes(shape))
    os.utime(path)  # reading alone would not show that it is in use
    whole = np.memmap(path, np.uint8, "r+")
    return whole[:pixels].reshape(shape), whole[pixels:]


def make_room(folder: Path, pattern: str, needed: int, limit: int, keep: Collection[str] = ()) -> bool:
    """Drops the files used longest ago until a new one fits; False if it does not, or needs too much of the disk.

    Args:
        folder: Of the cache.
        pattern: Of its files' names.
        needed: Bytes of the new file.
        limit: Bytes of all files together.
        keep: Names of files that stay in any case.
    """
    if needed > min(limit, shutil.disk_usage(folder).free // 2):
        return False
    sizes: dict[Path, tuple[int, int]] = {}  # time of use and bytes
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # another process makes room too
            sizes[path] = path.stat().st_mtime_ns, path.stat().st_size
    total = sum(size for _, size in sizes.values())
    if sum(size for path, (_, size) in sizes.items() if path.name in keep) + needed > limit:
        return False  # whatever else were dropped
    for path in sorted(sizes, key=lambda path: sizes[path][0]):
        if total + needed <= limit:
            break
        if path.name not in keep:
            total -= sizes[path][1]
            path.unlink(missing_ok=True)
    return True
