"""A page that shows photos as a map: near each other where they look alike, coloured by what is said of them.

One file that loads nothing: places and thumbnails stand in it, and the only script that may run is the page's own, by
its digest.
"""

import base64
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.catalog.photos import open_photo
from vitrine.errors import InputError
from vitrine.files import atomic_write
from vitrine.report.page import UNPRINTABLE
from vitrine.report.thumbnails import data_uri

MOST = 20_000  # photos on a map
EDGES = ((2_000, 96), (6_000, 72), (MOST, 56))  # up to so many photos, pixels of a thumbnail's square
ACROSS = 16  # thumbnails of a sheet in a row and in a column
QUALITY = 55  # of the sheets' WebP
RANGE = 65_535  # of the places
READERS = 8
NAMES = 2_000  # values of a colouring that are told apart
ROUNDS = 500  # of t-SNE; with its usual 1,000 a map takes twice as long and keeps a fiftieth more neighbours


@dataclass(frozen=True)
class Colouring:
    """What the photos of a map can be coloured by.

    Attributes:
        title: For a person.
        values: Of each photo; "" = none.
    """

    title: str
    values: Sequence[str]


def write_map(
    path: Path,
    title: str,
    subtitle: str,
    places: NDArray[np.floating],
    photos: Sequence[str],
    captions: Sequence[Sequence[str]],
    colourings: Sequence[Colouring],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes the page.

    Args:
        path: The file.
        title: Of the page.
        subtitle: What stands below it.
        places: Of the photos on the map, (photos, 2); at most `MOST`.
        photos: Paths or s3:// URIs. One that cannot be read is a grey square.
        captions: Lines about each photo.
        colourings: At least one.
        progress: Called with (photos done, photos in all).
    """
    from jinja2 import Environment, PackageLoader

    order = _along(places)
    points = _spread(places[order])
    edge = next(edge for most, edge in EDGES if len(order) <= most or most == MOST)
    data = {
        "count": len(order),
        "edge": edge,
        "across": ACROSS,
        "x": _packed(points[:, 0]),
        "y": _packed(points[:, 1]),
        "captions": ["\n".join(captions[i]) for i in order],
        "colourings": [_coded(colouring, order) for colouring in colourings],
    }
    script = resources.files("vitrine.report").joinpath("map.js").read_text(encoding="utf-8")
    environment = Environment(loader=PackageLoader("vitrine.report", "."), autoescape=True, trim_blocks=True)
    page = environment.get_template("map.html.j2").stream(
        title=title.translate(UNPRINTABLE),
        subtitle=subtitle.translate(UNPRINTABLE),
        digest=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        script=_markup(script),
        data=_markup(_inert(data)),
        sheets=(_markup(sheet) for sheet in _sheets([photos[i] for i in order], edge, progress)),
    )
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(page)


def laid_out(points: NDArray[np.floating], seed: int = 0) -> NDArray[np.float64]:
    """Vectors, (n, dim), in two dimensions, (n, 2), by t-SNE (van der Maaten and Hinton, JMLR 2008).

    Of what is near, it keeps twice as much as UMAP and PaCMAP do (docs/results/label-noise.md), and what is near is
    what a map of photos is looked at for.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    points = np.asarray(points, np.float32)
    points = points - points.mean(axis=0)
    if len(points) < 5 or not points.any():
        return np.c_[np.arange(len(points)), np.zeros(len(points))].astype(np.float64)
    if min(points.shape) > 50:  # t-SNE's own advice: fewer dimensions first, for speed and less noise
        points = PCA(50, svd_solver="covariance_eigh").fit_transform(points).astype(np.float32)
    init = "pca" if points.shape[1] > 1 else "random"
    model = TSNE(init=init, max_iter=ROUNDS, perplexity=min(30.0, (len(points) - 1) / 3), random_state=seed)
    return np.asarray(model.fit_transform(points), np.float64)


def _along(places: NDArray[np.floating]) -> NDArray[np.int64]:
    """Photos in an order in which neighbours on the map are near each other (Morton's), so that they share sheets."""
    cells = _spread(places).astype(np.uint64) >> np.uint64(4)  # 12 bits a side
    code = np.zeros(len(cells), np.uint64)
    for bit in range(12):
        for axis in (0, 1):
            code |= ((cells[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(2 * bit + axis)
    return np.argsort(code, kind="stable")


def _spread(places: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Places as whole numbers from 0 to `RANGE`, in their proportions."""
    low, high = places.min(axis=0), places.max(axis=0)
    width = max(float((high - low).max()), 1e-9)
    return np.round((places - (low + high) / 2) / width * RANGE + RANGE / 2).clip(0, RANGE).astype(np.uint16)


def _packed(values: NDArray[Any]) -> str:
    return base64.b64encode(values.astype("<u2").tobytes()).decode()


def _coded(colouring: Colouring, order: NDArray[np.int64]) -> dict[str, Any]:
    """Names, the commonest first, and of each photo the place of its own, counted from 1."""
    counted_values = Counter(filter(None, colouring.values)).most_common()
    named = sorted(counted_values, key=lambda item: (-item[1], item[0]))[:NAMES]
    places = {name: place for place, (name, _) in enumerate(named, start=1)}
    codes = np.array([places.get(colouring.values[i], 0) for i in order])
    return {
        "title": colouring.title,
        "names": [name for name, _ in named],
        "counts": [count for _, count in named],
        "codes": _packed(codes),
    }


def _sheets(photos: Sequence[str], edge: int, progress: Callable[[int, int], None] | None) -> Any:
    """Thumbnails side by side, `ACROSS` squared of them a sheet, as data URIs."""
    size = ACROSS * ACROSS
    with ThreadPoolExecutor(READERS) as readers:
        for start in range(0, len(photos), size):
            part = photos[start : start + size]
            rows = -(-len(part) // ACROSS)
            sheet = Image.new("RGB", (ACROSS * edge, rows * edge), (238, 240, 243))
            for place, small in enumerate(readers.map(lambda uri: _small(uri, edge), part)):
                if small is not None:
                    row, column = divmod(place, ACROSS)
                    left, top = (edge - small.width) // 2, (edge - small.height) // 2
                    sheet.paste(small, (column * edge + left, row * edge + top))
            buffer = io.BytesIO()
            sheet.save(buffer, "WEBP", quality=QUALITY, method=2)
            if progress is not None:
                progress(min(start + size, len(photos)), len(photos))
            yield data_uri(buffer.getvalue(), "image/webp")


def _small(uri: str, edge: int) -> Image.Image | None:
    try:
        photo = open_photo(uri, near=edge)
    except InputError:
        return None
    scale = edge / max(photo.size)
    return photo.resize((max(1, round(photo.width * scale)), max(1, round(photo.height * scale))), reducing_gap=2.0)


def _inert(data: dict[str, Any]) -> str:
    """JSON that no parser of HTML takes for markup, and that holds no character a terminal may act on."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("\x7f", "\\ufffd")


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # of our own making, or made inert
