"""The crops of users' and shops' photos (Wang et al., Matching User Photos to Online Products, ICMR 2016, Section 3.3).

A user photo's shorter side becomes 256 and its centre 224 x 224 is kept; of a shop photo the square around its box.
"""

import numpy as np
import pandas as pd
from PIL import Image

CENTRE = 224 / 256
USER = "centre"


def crop_of(domain: str, bbox: str) -> str:
    """What is kept of a photo: `centre`, or a box `x,y,w,h`; a shop photo without a box is kept whole ("")."""
    return USER if domain != "shop" else bbox


def crops_of(table: pd.DataFrame) -> list[str]:
    """`crop_of` each row; a photo without a domain counts as a user's."""
    empty = [""] * len(table)
    domains = table.get("domain", empty)
    boxes = table.get("bbox", empty)
    return [crop_of(domain, box) for domain, box in zip(domains, boxes, strict=True)]


def cropped(image: Image.Image, crop: str, size: int) -> np.ndarray:
    """A photo under a crop that is not "": (size, size, 3) uint8."""
    width, height = image.size
    if crop == USER:
        edge = CENTRE * min(width, height)
        left, top = (width - edge) / 2, (height - edge) / 2
    else:
        left, top, edge = square_around(tuple(float(part) for part in crop.split(",")), width, height)
    box = (left, top, left + edge, top + edge)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0))


def square_around(box: tuple[float, ...], width: int, height: int) -> tuple[float, float, float]:
    """The square of edge min(max(w, h), min(W, H)) around a box's centre, moved inside the photo: left, top, edge.

    >>> square_around((10, 20, 40, 60), 100, 80)
    (0.0, 20, 60)
    """
    x, y, w, h = box
    edge = max(1.0, min(max(w, h), min(width, height)))
    left = min(max(x + w / 2 - edge / 2, 0.0), width - edge)
    top = min(max(y + h / 2 - edge / 2, 0.0), height - edge)
    return left, top, edge
