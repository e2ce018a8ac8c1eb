"""CIFAR-100, binary version (Krizhevsky, 2009): 100 classes in 20 super-classes, photos of 32 x 32 pixels.

A photo is 3,074 bytes: super-class, class, then its red, green and blue plane, row by row. The version for Python holds
the same in pickle files, which run the code they carry: it is not read, nor is torchvision's reader, which unpickles
them (and leaves the super-classes out).
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from vitrine import files
from vitrine.catalog.datasets.reading import label, require
from vitrine.errors import InputError
from vitrine.progress import Progress

SIDE = 32
RECORD = 2 + 3 * SIDE * SIDE  # bytes
BATCH = 500
SPLITS = ("train", "test")
HOW = "unpack cifar-100-binary.tar.gz (www.cs.toronto.edu/~kriz/cifar.html)"


def unpack(root: str, folder: Path) -> pd.DataFrame:
    """Writes every photo as `folder`/images/<split>/<class>/<number>.png; the catalog's rows.

    Args:
        root: The folder or `s3://` prefix that holds `train.bin`, `test.bin` and the two lists of names.
        folder: Where the catalog is being written.

    Raises:
        InputError: if a file is missing, cut short, or has a label without a name.
    """
    how = f"{HOW}; its pickled version is not read" if files.exists(files.join(root, "meta")) else HOW
    require(root, [*(f"{split}.bin" for split in SPLITS), "coarse_label_names.txt", "fine_label_names.txt"], how)
    coarse, fine = (_names(root, f"{level}_label_names.txt") for level in ("coarse", "fine"))
    frames = []
    for split in SPLITS:
        records = _records(root, f"{split}.bin", len(coarse), len(fine))
        kinds = [fine[number] for number in records[:, 1]]
        images = [f"images/{split}/{kind}/{i:05d}.png" for i, kind in enumerate(kinds)]
        paths = [f"{coarse[number]}/{kind}" for number, kind in zip(records[:, 0], kinds, strict=True)]
        frames.append(pd.DataFrame({"image": images, "category": paths, "split": split}))
        for kind in set(kinds):
            (folder / "images" / split / kind).mkdir(parents=True)
        _write_photos(folder, images, records[:, 2:], split)
    return pd.concat(frames, ignore_index=True)


def _records(root: str, name: str, coarse: int, fine: int) -> NDArray[np.uint8]:
    """The photos of one file, shape (photos, 3074)."""
    uri = files.join(root, name)
    data = files.read_bytes(uri)
    if not data or len(data) % RECORD:
        raise InputError(f"{uri}: has {len(data)} bytes, not photos of {RECORD} bytes each; is it cut short?")
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, RECORD)
    for column, names, kind in ((0, coarse, "super-class"), (1, fine, "class")):
        if (wrong := records[:, column] >= names).any():
            photo = int(np.argmax(wrong))
            raise InputError(f"{uri}: photo {photo + 1}: {kind} {records[photo, column]} has no name")
    return records


def _names(root: str, name: str) -> list[str]:
    """The names of a list, one a line; they become folders too."""
    uri = files.join(root, name)
    names = [label(line) for line in files.read_bytes(uri).decode(errors="replace").split("\n") if line.strip()]
    for member in names:
        if "/" in member or member.startswith("."):
            raise InputError(f"{uri}: {member!r} cannot be the name of a folder")
    return names


def _write_photos(folder: Path, images: list[str], pixels: NDArray[np.uint8], split: str) -> None:
    """Writes PNGs, in several processes where there are many; `pixels` has the shape (photos, 3072)."""
    paths = [str(folder / image) for image in images]
    starts = range(0, len(paths), BATCH)
    batches: Iterator[tuple[list[str], NDArray[np.uint8]]] = (
        (paths[start : start + BATCH], pixels[start : start + BATCH]) for start in starts
    )
    workers = min(os.cpu_count() or 1, len(starts))
    with Progress(f"writing {split}", "photo", len(paths)) as bar:
        if workers == 1:
            for batch in batches:
                bar.update(_write_batch(batch))
            return
        # A forked worker needs nothing of the caller's main module.
        method = "fork" if sys.platform == "linux" else "spawn"
        with ProcessPoolExecutor(workers, mp_context=get_context(method)) as pool:
            for written in pool.map(_write_batch, batches):
                bar.update(written)


def _write_batch(batch: tuple[list[str], NDArray[np.uint8]]) -> int:
    paths, pixels = batch
    photos = pixels.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    for path, photo in zip(paths, photos, strict=True):
        Image.fromarray(np.ascontiguousarray(photo)).save(path)
    return len(paths)
