"""Vitrine from Python: `import vitrine`, and what it names.

>>> import tempfile, vitrine
>>> from vitrine.synth import render_catalog
>>> folder = Path(tempfile.mkdtemp())
>>> render_catalog(folder / "shop", listings=4)
>>> shop = vitrine.read_catalog(folder / "shop")
>>> type(shop) is vitrine.Catalog and "category" in shop.table
True
>>> vitrine.load(folder / "shop")
Traceback (most recent call last):
vitrine.errors.InputError: ...: not a model folder (no model.safetensors)
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from vitrine.catalog.listing_folder import photos_in
from vitrine.catalog.photos import as_photo, open_photo
from vitrine.data.pixels import Query
from vitrine.errors import InputError
from vitrine.export import FILE, opened
from vitrine.predict import Model
from vitrine.predictions import Reply, best_labels
from vitrine.registry.address import local_copy
from vitrine.retrieval.index import Index
from vitrine.visual_search import HIT, MODEL

Photo = str | Path | Image.Image | np.ndarray

AT_ONCE = 128  # photos


@dataclass(frozen=True)
class Predictor:
    """A model, loaded: what `vitrine.load` gives. It may be asked from several threads.

    Attributes:
        model: Its task, net and config.
        version: Of the registry, or the hash of the weights and settings.
        source: The address it was loaded from.
    """

    model: Model
    version: str
    source: str

    @property
    def task(self) -> str:
        """What it is for, one of `vitrine.tasks.names()`."""
        return self.model.task.name

    def predict(self, photos: Photo | Sequence[Any]) -> pd.DataFrame:
        """The likeliest label of every question, photo by photo; or the verdict, listing by listing.

        Args:
            photos: A path or s3:// URI, a PIL image, an array (height, width, 3) uint8 in sRGB, or several of them. For
                a model that judges listings these instead: folders, or lists of photos.

        Returns:
            A row for each, in order: `image` (what is no file is called by its place, `photo 0`), and per question
            `<question>` and `<question>/confidence`, where the questions are `level1` ... (coarse to fine) and
            `attr:<type>`. Of listings: `listing`, `verdict`, `probability` (of authentic), `deciding_photo`, `weight`.

        Raises:
            InputError: if a photo cannot be read, or the model names no labels (then `embed` is what it gives).
        """
        return pd.DataFrame([_row(record) for record in self.records(photos, top=1)])

    def records(self, photos: Photo | Sequence[Any], top: int = 5) -> list[dict[str, Any]]:
        """What `vitrine predict` prints: per photo (or listing) the `top` likeliest labels of every question.

        Raises:
            InputError: as `predict`.
        """
        if top < 1:
            raise InputError(f"top={top}: at least 1")
        several = _several(photos)
        if self.model.task.output == "verdict":
            names = _names(several, "listing")
            replies = [self.model.reply([self._query(photos_of(listing))])[0] for listing in several]
            return [{"listing": name} | reply.records[0] for name, reply in zip(names, replies, strict=True)]
        records = [record for reply in self._replies(several, top) for record in reply.records]
        if several and not records:
            raise InputError(
                f"{self.task} names no labels: `embed` gives features, and `vitrine.search` finds products"
            )
        return records

    def embed(self, photos: Photo | Sequence[Any]) -> np.ndarray:
        """The features before the heads, (photos, dim) float32; what `vitrine.search` compares by cosine.

        Raises:
            InputError: if there is no photo, one cannot be read, or the model judges listings.
        """
        self.model.task.check_searchable(self.model.config, Path(self.source))
        several = _several(photos)
        if not several:
            raise InputError("no photos to embed")
        return np.concatenate([reply.features for reply in self._replies(several)])

    def _replies(self, photos: Sequence[Any], top: int = 1) -> list[Reply]:
        names = _names(photos, "photo")
        return [
            self.model.reply([self._query(photos[first : first + AT_ONCE], names[first : first + AT_ONCE], top)])[0]
            for first in range(0, len(photos), AT_ONCE)
        ]

    def _query(self, photos: Sequence[Photo], names: Sequence[str] = (), top: int = 1) -> Query:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            pixels = list(pool.map(self._shown, photos))
        return Query(np.stack(pixels), names or _names(photos, "photo"), top)

    def _shown(self, photo: Photo) -> np.ndarray:
        config = self.model.config
        return self.model.task.shown(config, image_of(photo, config["image_size"]))


def load(address: str | Path, registry: str | Path = "") -> Predictor:
    """A model, ready to be asked; on the GPU if there is one.

    Args:
        address: A model folder or an s3:// prefix that holds one; the ONNX file it was exported to;
            `REGISTRY/champion/TASK`, what is in use for a task in a registry; or `champion:TASK` of the registry that
            is named.
        registry: A folder or s3:// prefix.

    Raises:
        InputError: if there is no such model, or it is damaged.
    """
    if str(address).endswith(FILE):
        return Predictor(*opened(Path(address)), str(address))
    with local_copy(address, registry) as copy:
        return Predictor(Model.load(copy.folder), copy.version, str(address))


def search(
    index: str | Path, photos: Photo | Sequence[Photo], k: int = 20, category: str = "", exact: bool = False
) -> pd.DataFrame:
    """The k most similar indexed photos for each photo.

    Args:
        index: A folder that `vitrine index` wrote; the model inside asks.
        photos: As of `Predictor.predict`.
        k: Answers wanted; fewer where the index holds fewer.
        category: Search below this node of the category tree only.
        exact: Compare with every photo, instead of nearly all.

    Returns:
        `query` (place of the photo), `rank` (1 is the nearest), `image`, `uri`, `product`, `category`, `score` (the
        cosine).

    Raises:
        InputError: if there is no such index, it holds no photo (of the category), or a photo cannot be read.
    """
    opened = Index(Path(index))
    features = load(Path(index) / MODEL).embed(photos)
    return pd.DataFrame(
        [
            {"query": query, "rank": rank} | {name: getattr(hit, name) for name in HIT}
            for query, hits in enumerate(opened.search(features, k, category, exact))
            for rank, hit in enumerate(hits, 1)
        ],
        columns=["query", "rank", *HIT],
    )


def image_of(photo: Photo, near: int | None = None) -> Image.Image:
    """A photo in sRGB, upright, from whatever it is given as.

    >>> image_of(np.zeros((2, 3, 3), np.uint8)).size
    (3, 2)

    Args:
        photo: A path or s3:// URI, a PIL image, or an array (height, width, 3) uint8.
        near: See `open_photo`.

    Raises:
        InputError: if it is no photo.
    """
    if isinstance(photo, str | Path):
        return open_photo(str(photo), near)
    if isinstance(photo, Image.Image):
        return as_photo(photo)
    if not isinstance(photo, np.ndarray):
        raise InputError(f"{type(photo).__name__}: a photo is a path, a PIL image, or an array")
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape:
        raise InputError(f"an array of {photo.dtype} {photo.shape}: photos are (height, width, 3) uint8")
    return Image.fromarray(np.ascontiguousarray(photo))


def photos_of(listing: Any) -> list[Any]:
    """The photos of a listing: those of a folder by name, or those of a list.

    Raises:
        InputError: if there is none.
    """
    if isinstance(listing, str | Path):
        return list(photos_in(str(listing)))
    photos = _several(listing)
    if not photos:
        raise InputError("a listing without photos")
    return photos


def _several(photos: Any) -> list[Any]:
    single = isinstance(photos, str | Path | Image.Image) or (isinstance(photos, np.ndarray) and photos.ndim == 3)
    return [photos] if single else list(photos)


def _names(photos: Sequence[Any], kind: str) -> list[str]:
    """What records call photos: their paths, or their places."""
    return [str(photo) if isinstance(photo, str | Path) else f"{kind} {i}" for i, photo in enumerate(photos)]


def _row(record: dict[str, Any]) -> dict[str, Any]:
    """A record of one label a question, as a row of a table."""
    if "verdict" in record:
        best = record["deciding_photos"][0]
        kept = {name: record[name] for name in ("listing", "verdict", "probability")}
        return kept | {"deciding_photo": best["image"], "weight": best["weight"]}
    return best_labels(record)
