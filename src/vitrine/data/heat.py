"""Heat maps over photos: where in a photo a net looked."""

from io import BytesIO

import numpy as np
from PIL import Image

from vitrine.catalog.photos import open_photo
from vitrine.data.photo_store import fit_square
from vitrine.errors import InputError
from vitrine.report.thumbnails import data_uri

DIM = 0.35  # of the light that is left where the net did not look; a tint would vanish on photos of that colour


def spread(heat: np.ndarray) -> np.ndarray:
    """One photo's weights (h, w) stretched to 0 ... 1; all 0 where they are the same."""
    low, high = float(heat.min()), float(heat.max())
    return (heat - low) / (high - low) if high > low else np.zeros_like(heat)


def shaded(uri: str, heat: np.ndarray, size: int = 112) -> Image.Image:
    """A photo, squared as the net sees it, in colour where `heat` (h, w) in [0, 1] is high, dim and grey elsewhere.

    Raises:
        InputError: if the photo cannot be read.
    """
    photo = fit_square(open_photo(uri, near=size), size).astype(np.float64)
    cells = Image.fromarray((255 * np.clip(heat, 0, 1)).astype(np.uint8))
    light = np.asarray(cells.resize((size, size), Image.Resampling.BICUBIC), np.float64)[..., None] / 255
    mixed = photo * light + DIM * photo.mean(axis=2, keepdims=True) * (1 - light)
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def heat_thumbnail(uri: str, heat: np.ndarray, size: int = 112) -> str | None:
    """`shaded` as a data URI; None if the photo cannot be read."""
    try:
        image = shaded(uri, heat, size)
    except InputError:
        return None
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return data_uri(buffer.getvalue(), "image/jpeg")
