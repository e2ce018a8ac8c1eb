"""Which photos of a catalog show the same: found in the photo table, confirmed with their pixels, kept on the node."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from threadpoolctl import threadpool_limits

from vitrine import files
from vitrine.catalog import Catalog
from vitrine.catalog.table import TEXT, texts
from vitrine.quality.confirm import COPY, PICTURE, confirmed, pixel_digests
from vitrine.quality.duplicates import Groups, Links, candidate_links, exact_links, turned_links
from vitrine.untrusted import parse_json

LAYOUT = 10  # changes when the same photos would be linked otherwise
NAMED = 100_000  # photos whose digests are joined at a time
COLUMNS = ("sha256", "duplicate_group")  # what cleaning says of the copies among the rows that it leaves
RECORD = "copies.json"


@dataclass(frozen=True)
class CopyLinks:
    """Pairs of rows that show one photo.

    Attributes:
        exact: The same bytes, or the same pixels in full size.
        near: Re-encoded, resized or slightly cropped; each pair confirmed, of exact copies the first.
        pictures: Those of them that are the same picture by their pixels: re-encoded or resized, nothing else.
        turned: Mirrored, flipped or turned by quarters as well.
    """

    exact: list[Links]
    near: Links
    pictures: Links
    turned: Links


def copy_links(catalog: Catalog, photos: pd.DataFrame, max_distance: int, workers: int | None = None) -> CopyLinks:
    """Finds the copies among a catalog's photos.

    Cleaning asks what validation asked a moment before: what was found for these photos is kept in the cache folder,
    which may be deleted at any time.

    Args:
        catalog: Where the photos are: candidates are confirmed by a second look at them.
        photos: Its photo table.
        max_distance: Hamming distance of candidate hashes.
        workers: Processes that decode photos.

    Raises:
        InputError: if a photo cannot be read any more that could be when the photo table was made.
    """
    path = files.cache_folder() / "copies" / f"{_contents(photos, max_distance)}.safetensors"
    by_bytes = exact_links(photos)[0]
    try:
        kept = {name: (links[0], links[1]) for name, links in load_file(path).items()}
        return CopyLinks([by_bytes, kept["pixels"]], kept["near"], kept["pictures"], kept["turned"])
    except (OSError, SafetensorError, KeyError):
        pass
    with threadpool_limits(1):  # work is spread over threads and processes already, whose own would wait for a core
        photos = _with_whole_digests(catalog, photos, workers)
        _, by_pixels = exact_links(photos)
        left, right, frames = candidate_links(photos, max_distance)
        copies = confirmed(_uris(catalog, left), _uris(catalog, right), workers, frames=frames)
        near, pictures = ((left[copies >= least], right[copies >= least]) for least in (COPY, PICTURE))
        left, right, turns = turned_links(photos)
        copies = confirmed(_uris(catalog, left), _uris(catalog, right), workers, turns)
        turned = left[copies >= COPY], right[copies >= COPY]
    links = {"pixels": by_pixels, "near": near, "pictures": pictures, "turned": turned}
    try:
        with files.atomic_write(path) as temporary:
            save_file({name: np.stack(pairs) for name, pairs in links.items()}, temporary)
    except OSError:  # a full or read-only disk
        pass
    return CopyLinks([by_bytes, by_pixels], near, pictures, turned)


def _with_whole_digests(catalog: Catalog, photos: pd.DataFrame, workers: int | None) -> pd.DataFrame:
    """The photo table, with `pixels` of all pixels where photos of different bytes have the same at working size.

    A JPEG saved again may look the same there and differ in full.
    """
    readable = np.flatnonzero(photos["readable"].to_numpy() & (photos["pixels"] != "").to_numpy(dtype=bool))
    contents = photos[["sha256", "pixels"]].iloc[readable].drop_duplicates("sha256")
    asked = contents[contents["pixels"].duplicated(keep=False)]
    if asked.empty:
        return photos
    digest_of = pixel_digests(_uris(catalog, asked.index.to_numpy()), workers)
    digests = dict(zip(asked["sha256"], digest_of, strict=True))
    rows = np.flatnonzero(photos["sha256"].isin(digests).to_numpy(dtype=bool))
    pixels = photos["pixels"].copy()
    pixels.iloc[rows] = [digests[photo_digest] for photo_digest in photos["sha256"].iloc[rows]]
    return photos.copy(deep=False).assign(pixels=pixels)


def group_names(digests: pd.Series, groups: Groups) -> pd.Series:
    """A name per row that all copies of one photo share: the smallest of their digests, cut to 16 digits.

    Args:
        digests: SHA-256 of each row's photo, "" for one that cannot be read.
        groups: See `vitrine.quality.duplicates.linked`.
    """
    names = digests.str[:16].to_numpy(dtype=object)
    grouped = np.flatnonzero(groups >= 0)
    names[grouped] = pd.Series(names[grouped]).groupby(groups[grouped]).transform("min").to_numpy()
    return pd.Series(names, dtype=TEXT)


def record_copies(table: pd.DataFrame, folder: Path) -> None:
    """Notes beside a table that its `COLUMNS` tell all copies among its rows; see `knows_copies`."""
    files.write_json(folder / RECORD, {"rows": _rows(table)})


def knows_copies(catalog: Catalog) -> bool:
    """Whether one cleaning wrote the `COLUMNS` of a catalog for just these rows.

    They do not tell the copies between tables that were cleaned apart, nor of rows that were appended since.
    """
    if not catalog.place or not set(COLUMNS) <= set(catalog.table.columns):
        return False
    is_file = catalog.place.endswith((".parquet", ".csv"))
    folder = catalog.place.rpartition("/")[0] if is_file else catalog.place
    try:
        recorded = parse_json(files.read_bytes(files.join(folder, RECORD)))
    except (OSError, ValueError):
        return False
    return bool(recorded == {"rows": _rows(catalog.table)})


def _rows(table: pd.DataFrame) -> str:
    """A digest of which photo each row shows and what is said of its copies."""
    digest = hashlib.sha256()
    for name in ("image", *COLUMNS):
        digest.update(pd.util.hash_pandas_object(texts(table[name]), index=False).to_numpy().tobytes())
    return digest.hexdigest()


def _uris(catalog: Catalog, rows: np.ndarray) -> list[str]:
    return [catalog.uri(image) for image in catalog.table["image"].take(rows)]


def _contents(photos: pd.DataFrame, max_distance: int) -> str:
    """Names the photos, in their order, and what is asked about them."""
    digest = hashlib.sha256(f"{LAYOUT} {max_distance}\n".encode())
    for start in range(0, len(photos), NAMED):
        digest.update("\n".join([*photos["sha256"].iloc[start : start + NAMED], ""]).encode())
    return digest.hexdigest()[:24]
