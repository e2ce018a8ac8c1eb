"""Which state of the data a catalog is, as it is read: its table and the photos that the table names."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from vitrine import files
from vitrine.catalog import schema
from vitrine.catalog.photos import PhotoError, read_photo
from vitrine.catalog.table import TABLE_VERSION, Catalog


def versioned(catalog: Catalog) -> Catalog:
    """The catalog with a version of its table and its photos, where it has none of its own.

    A table that Vitrine made keeps the version of the data it was made from, such as a DVC revision, as long as its
    rows are those that were written (see `read_catalog`). Of any other every photo is hashed, on S3 by its ETag: a
    photo that is replaced makes another version, one that is only copied or touched does not.
    """
    if not catalog.data_version.startswith(TABLE_VERSION):
        return catalog
    images = sorted({image for image in catalog.table["image"] if schema.is_safe_path(image)})
    uris = [catalog.uri(image) for image in images]
    seen = files.states(uri for uri in uris if files.is_s3(uri))
    with ThreadPoolExecutor() as pool:  # hashing does not hold the interpreter's lock
        digests = pool.map(lambda uri: seen[uri] if files.is_s3(uri) else _digest(uri), uris)
        digest = hashlib.sha256(f"{catalog.data_version}\n".encode())
        for image, state in zip(images, digests, strict=True):
            digest.update(f"{image}\0{state}\n".encode(errors="surrogateescape"))
    return replace(catalog, data_version=f"data-{digest.hexdigest()[:16]}")


def _digest(path: str) -> str:
    """The SHA-256 of what `read_photo` reads: never of a pipe, a device or a file of 200 GB; those are no photos."""
    try:
        return hashlib.sha256(read_photo(path)).hexdigest()
    except (PhotoError, OSError, ValueError) as error:
        return type(error).__name__
