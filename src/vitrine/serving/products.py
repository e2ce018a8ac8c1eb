"""Products that look like a photo, from an index; and the photos of what was found."""

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitrine.catalog.photos import open_photo
from vitrine.errors import InputError
from vitrine.registry.store import content_hash
from vitrine.retrieval.index import CONTENTS, Hit, Index
from vitrine.serving.engines import Load
from vitrine.serving.limits import RefusedError
from vitrine.serving.models import Served, fetched
from vitrine.visual_search import MODEL

WIDER = 4  # times as many photos are asked for as products are wanted, and again where several are of one product
THUMBNAIL, KEPT = 320, 1024  # pixels; thumbnails kept, of some 20 KB each


@dataclass(frozen=True, eq=False)
class Shelved:
    """An index and the model inside, opened together; a search holds on to both."""

    index: Index
    model: Served
    state: str


class Products:
    """An index that is searched, and opened anew when it changes.

    Args:
        folder: Of the index.
        load: What makes the model inside answer.
        warm: Photos of the largest batch.

    Raises:
        InputError: if it is no index, holds no photos, or its model cannot be searched with.
    """

    def __init__(self, folder: Path, load: Load, warm: int) -> None:
        self._folder = folder
        self._load = load
        self._warm = warm
        self.shelved = self._open(None)
        self._thumbnails: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def refresh(self) -> bool:
        """Opens the index anew if it has changed; whether it had."""
        if self._state() == self.shelved.state:
            return False
        self.shelved = self._open(self.shelved)
        return True

    def thumbnail(self, place: str) -> bytes:
        """A photo of the index as a small JPEG.

        Args:
            place: `Hit.place`, so that nothing outside of the index can be asked for.

        Raises:
            RefusedError: 404 if there is none, or it cannot be read any more.
        """
        with self._lock:
            if place in self._thumbnails:
                self._thumbnails.move_to_end(place)
                return self._thumbnails[place]
        try:
            image = open_photo(self.shelved.index.uri_at(place), THUMBNAIL)
        except InputError as error:
            raise RefusedError(404, "no such photo") from error
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85)
        with self._lock:
            self._thumbnails[place] = buffer.getvalue()
            while len(self._thumbnails) > KEPT:
                self._thumbnails.popitem(last=False)
        return buffer.getvalue()

    def _open(self, before: Shelved | None) -> Shelved:
        state = self._state()
        index = Index(self._folder)
        if not len(index):
            raise InputError(f"{self._folder}: holds no photos")
        model_folder = self._folder / MODEL
        if before is not None and content_hash(model_folder) == before.model.version:
            model = before.model
        else:
            model = fetched(str(model_folder), "search", self._load, self._warm)
            model.model.task.check_searchable(model.model.config, model_folder)
        index.search(np.zeros((1, index.dim), np.float32) + 1, 1)  # opens what is opened when it is first needed
        return Shelved(index, model, state)

    def _state(self) -> str:
        try:
            return (self._folder / CONTENTS).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"{self._folder}: not an index (no {CONTENTS})") from error


def search(
    shelved: Shelved, feature: np.ndarray, k: int, category: str, exact: bool, without: str = ""
) -> list[dict[str, Any]]:
    """The k products with the most similar photos, each by its best one; a photo without a product is its own.

    Args:
        shelved: What is searched.
        feature: (dim,).
        k: Products.
        category: Search below this node of the tree only.
        exact: Compare with every photo.
        without: A product that is left out: the one that is asked with.

    Raises:
        InputError: if no photo lies in the category.
    """
    wanted, total = WIDER * k, len(shelved.index)
    while True:
        (hits,) = shelved.index.search(feature[None], min(wanted, total), category, exact)
        best: dict[str, Hit] = {}
        for hit in hits:
            if not without or hit.product != without:
                best.setdefault(f"product {hit.product}" if hit.product else f"photo {hit.uri}", hit)
        if len(best) >= k or len(hits) < wanted:
            return [_told(hit) for hit in list(best.values())[:k]]
        wanted *= WIDER


def _told(hit: Hit) -> dict[str, Any]:
    return {
        "product": hit.product,
        "category": hit.category,
        "score": round(hit.score, 4),
        "image": hit.image,
        "photo": f"/photos/{hit.place}",
    }
