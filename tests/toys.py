"""A toy catalog: discs, rings, squares and crosses in three colours, that a small net learns in seconds."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from vitrine.catalog import Catalog

COLOURS = {"red": (210, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 210)}
CATEGORIES = ("Round/Disc", "Round/Ring", "Angular/Square/Plain", "Angular/Square/Crossed")  # leaves at two depths
OUTLINE = "a.b"  # an attribute type with a dot in its name


def draw(category: str, colour: str, size: int, random: np.random.Generator) -> Image.Image:
    """One product on a light, slightly noisy ground."""
    image = Image.new("RGB", (size, size), (235, 235, 235))
    pen = ImageDraw.Draw(image)
    left, top = random.integers(2, size // 5, 2)
    box = (int(left), int(top), int(left) + size * 2 // 3, int(top) + size * 2 // 3)
    fill = COLOURS[colour]
    if category.startswith("Round"):
        pen.ellipse(box, fill=fill)
        if category.endswith("Ring"):
            inset = size // 6
            pen.ellipse((box[0] + inset, box[1] + inset, box[2] - inset, box[3] - inset), fill=(235, 235, 235))
    else:
        pen.rectangle(box, fill=fill)
        if category.endswith("Crossed"):
            pen.line(box, fill="black", width=size // 8)
            pen.line((box[0], box[3], box[2], box[1]), fill="black", width=size // 8)
    noisy = np.asarray(image, np.int16) + random.integers(-8, 8, (size, size, 1))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def toy_catalog(folder: Path, photos: int = 144, size: int = 32) -> Catalog:
    """Two thirds train, a sixth each validation and test; colour and outline known for three photos of four."""
    random = np.random.default_rng(7)
    (folder / "images").mkdir(parents=True)
    rows = []
    for i in range(photos):
        category, colour = CATEGORIES[i % 4], list(COLOURS)[i % 3]
        name = f"images/{i:03}.png"
        draw(category, colour, size, random).save(folder / name)
        rows.append(
            {
                "image": name,
                "category": category,
                "attr:colour": "" if i % 4 == 1 and i % 6 < 4 else colour,
                f"attr:{OUTLINE}": "" if i % 5 == 0 else category.split("/")[0].lower(),
                "split": ("train", "train", "train", "train", "validation", "test")[(i // 12) % 6],
            }
        )
    return Catalog(str(folder), pd.DataFrame(rows), "toy-1")
