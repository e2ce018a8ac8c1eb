"""Photo in, products out: an index of a catalog's photos made with a model, and searching it with photos."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vitrine import files
from vitrine.catalog import Catalog
from vitrine.errors import InputError
from vitrine.predict import Model
from vitrine.retrieval.index import Index
from vitrine.retrieval.segment import in_order
from vitrine.words import counted

PAGE = "report.html"
MODEL = "model"  # folder of the index: what its photos were embedded with, and queries will be
ROWS_AT_ONCE = 4096
SHOWN = 100  # queries on a page; a photo takes some 5 KB
HIT = ("image", "uri", "product", "category", "score")  # what is told of a result
Progress = Callable[[int, int], None]


def make_index(model: Path, catalog: Catalog, out: Path, progress: Progress | None = None) -> int:
    """Indexes a catalog's photos; `out` appears whole or not at all.

    Which of them is the task's to say, see `Task.index_rows`.

    Returns:
        How many photos.

    Raises:
        InputError: if `out` exists, the model or a photo cannot be read, or there is no photo to index.
    """
    files.refuse_links_out(model)
    with files.new_folder(out) as folder:
        shutil.copytree(model, folder / MODEL)
        return _add(Index.create(folder), catalog, progress)


def add_to_index(folder: Path, catalog: Catalog, model: Path | None = None, progress: Progress | None = None) -> int:
    """Adds a catalog's photos to an index, without touching those that are there; the same photo replaces itself.

    Raises:
        InputError: as `make_index`; or if `model` is not the index's own.
    """
    index = Index(folder)
    if model is not None and _weights(model) != _weights(Path(folder) / MODEL):
        raise InputError(f"{model}: {folder} was made with another model; its embeddings would not compare")
    return _add(index, catalog, progress)


def search_photos(
    folder: Path, images: Sequence[str], k: int = 20, category: str = "", exact: bool = False
) -> list[dict[str, Any]]:
    """The k most similar indexed photos for each photo.

    Args:
        folder: An index.
        images: Paths or s3:// URIs.
        k: Answers wanted; fewer where the index holds fewer.
        category: Search below this node of the category tree only.
        exact: Compare with every photo, instead of nearly all.

    Raises:
        InputError: if there is no such index, it holds no photo (of the category), or an image is no photo.
    """
    index = Index(folder)
    if not len(index):
        raise InputError(f"{folder}: holds no photos")
    model_folder = Path(folder) / MODEL
    features = _embedder(Model.load(model_folder), model_folder)(
        pd.DataFrame({"uri": list(images), "domain": "user", "bbox": ""})
    )
    hits_of_query = index.search(features, k, category, exact)
    return [
        {
            "image": str(image),
            "results": [{name: getattr(hit, name) for name in HIT} | {"score": round(hit.score, 4)} for hit in hits],
        }
        for image, hits in zip(images, hits_of_query, strict=True)
    ]


def search_page(folder: Path, answers: Sequence[Mapping[str, Any]], out: Path) -> Path:
    """Shows each query with what was found for it, as photos; `out` appears whole or not at all.

    Where a query is itself a photo of the index, and its product known, photos of that product are framed as right and
    the others as wrong.

    Args:
        folder: The index.
        answers: Of `search_photos`.
        out: New folder.

    Returns:
        The page.

    Raises:
        InputError: if `out` exists.
    """
    from vitrine.report import Page, Photo, Tile, thumbnail

    index = Index(folder)
    queries = [files.absolute(line["image"]) for line in answers]
    products = index.products_of(queries)
    page = Page("What is found", f"{counted(len(answers), 'query')} among {counted(len(index), 'photo')}")
    known = [(line, own) for line, own in zip(answers, products, strict=True) if own]
    if known:
        first = sum(any(hit["product"] == own for hit in _others(line)[:1]) for line, own in known)
        page.tiles([Tile("right at first", f"{first} of {len(known)}", hint="queries whose product is known")])
    page.heading("Queries", "Framed orange: the query. Green: the same product; red: another one; no frame: not known.")
    for line, uri, product in list(zip(answers, queries, products, strict=True))[:SHOWN]:
        photos = [Photo(thumbnail(uri), ["query", uri.rpartition("/")[2], product], "warn")]
        for hit in _others(line):
            tone = ("good" if hit["product"] == product else "bad") if product else ""
            caption = [hit["product"] or hit["image"], hit["category"].replace("/", " / "), f"{hit['score']:.4f}"]
            photos.append(Photo(thumbnail(hit["uri"]), [text for text in caption if text], tone))
        page.photos(photos)
    if len(answers) > SHOWN:
        page.text(f"and {len(answers) - SHOWN:,} more.")
    with files.new_folder(out) as made:
        page.write(made / PAGE)
    return out / PAGE


def _others(line: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What was found for a query, but for itself."""
    return [hit for hit in line["results"] if hit["uri"] != files.absolute(line["image"])]


def _add(index: Index, catalog: Catalog, progress: Progress | None) -> int:
    model = Model.load(index.folder / MODEL)
    rows = in_order(model.task.index_rows(catalog, model.config).drop_duplicates("uri"))
    embed = _embedder(model, index.folder / MODEL)

    def batches() -> Iterator[np.ndarray]:
        for start in range(0, len(rows), ROWS_AT_ONCE):
            yield embed(rows.iloc[start : start + ROWS_AT_ONCE])
            if progress is not None:
                progress(min(start + ROWS_AT_ONCE, len(rows)), len(rows))

    index.add(rows, batches())
    return len(rows)


def _embedder(model: Model, folder: Path) -> Callable[[pd.DataFrame], np.ndarray]:
    """Rows (uri, domain, bbox) to features (n, dim)."""
    from vitrine.inference import run_net

    model.task.check_searchable(model.config, folder)

    def embed(rows: pd.DataFrame) -> np.ndarray:
        features, _ = run_net(model.net, model.task.queries(model.config, rows), np.arange(len(rows)))
        return features

    return embed


def _weights(model: Path) -> str:
    import hashlib

    path = Path(model) / "model.safetensors"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{model}: not a model folder (no {path.name})") from error
