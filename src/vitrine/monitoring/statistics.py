"""What a photo is like as an image, whatever it shows: light, colour, sharpness, shape."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from PIL import Image

from vitrine import files
from vitrine.catalog import Catalog
from vitrine.catalog.photos import PhotoError, decode_photo, open_header

STATISTICS = {
    "brightness": "mean luma, 0 black to 1 white",
    "contrast": "standard deviation of luma",
    "saturation": "mean HSV saturation",
    "warmth": "mean red minus blue",
    "tint": "mean green minus the mean of red and blue",
    "background": "mean luma of the outer twentieth on each side",
    "sharpness": "log10 of the variance of the Laplacian of luma",
    "aspect_ratio": "width / height, upright",
    "megapixels": "width x height of the file, in millions",
}
SHORTER_SIDE = 128  # photos are measured at this size, so that sharpness does not depend on resolution
READERS = 8


def photo_statistics(catalog: Catalog, max_photos: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Measures the photos of a catalog, or an even sample of them.

    Returns:
        One row per measured photo, indexed by the catalog's row number in order, with `image`, `readable` ("yes" or
        "no") and the columns of `STATISTICS`, NaN where the photo cannot be read.
    """
    rows = np.arange(len(catalog))
    if len(rows) > max_photos:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_photos, replace=False))
    images = catalog.table["image"].iloc[rows].tolist()
    with ThreadPoolExecutor(READERS) as readers:  # decoding and S3 both leave Python's lock
        measured = list(readers.map(lambda image: _measure(catalog.uri(image)), images))
    table = pd.DataFrame(measured, columns=list(STATISTICS), index=rows, dtype=np.float64)
    table.insert(0, "readable", np.where(table["brightness"].isna(), "no", "yes"))
    table.insert(0, "image", images)
    return table


def measure(image: Image.Image, megapixels: float) -> dict[str, float]:
    """The statistics of one upright RGB photo; see `STATISTICS`."""
    aspect = image.width / image.height
    shorter = min(image.size)
    if shorter > SHORTER_SIDE:
        scale = SHORTER_SIDE / shorter
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BOX)
    rgb = np.asarray(image, dtype=np.float32) / 255  # (h, w, 3)
    luma = rgb @ np.array([0.299, 0.587, 0.114], dtype=np.float32)  # (h, w)
    channels = [rgb[..., i] for i in range(3)]
    red, green, blue = (float(channel.mean()) for channel in channels)
    high, low = np.maximum.reduce(channels), np.minimum.reduce(channels)  # 30 times as fast as along an axis of three
    edge_y, edge_x = (max(1, side // 20) for side in luma.shape)
    inside = np.zeros(luma.shape, dtype=bool)
    inside[edge_y:-edge_y, edge_x:-edge_x] = True
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "saturation": float(((high - low) / np.maximum(high, 1e-6)).mean()),
        "warmth": red - blue,
        "tint": green - (red + blue) / 2,
        "background": float(luma[~inside].mean()),
        "sharpness": float(np.log10(_laplacian(luma).var() + 1e-6)),
        "aspect_ratio": aspect,
        "megapixels": megapixels,
    }


def _measure(uri: str) -> dict[str, float]:
    try:
        data = files.read_bytes(uri)
        width, height = open_header(data).size
        return measure(decode_photo(data, near=SHORTER_SIDE), width * height / 1e6)
    except (PhotoError, OSError):
        return {}


def _laplacian(luma: np.ndarray) -> np.ndarray:
    padded = np.pad(luma, 1, mode="edge")
    neighbours = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return neighbours - 4 * luma
