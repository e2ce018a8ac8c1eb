"""Toy products, each a mark of its own in its own colours: on white in the shop, on clutter in a customer's hands."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from vitrine.catalog import Catalog

SPLITS = ("train", "train", "train", "validation", "test")


def photo(product: int, size: int, random: np.random.Generator, shop: bool) -> Image.Image:
    """The product's two colours and its bars, seen once."""
    own = np.random.default_rng(product)
    ground, mark = (tuple(int(value) for value in own.integers(0, 256, 3)) for _ in range(2))
    clutter = np.full((size, size, 3), 255) if shop else random.integers(90, 200, (size, size, 3))
    image = Image.fromarray(clutter.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    left, top = (int(value) for value in random.integers(2, size // 4, 2))
    edge = size * 5 // 8
    pen.rectangle((left, top, left + edge, top + edge), fill=ground)
    for place in own.integers(0, edge - 3, 3):
        pen.line((left, top + int(place), left + edge, top + int(place)), fill=mark, width=2)
    light = 1.0 if shop else random.uniform(0.8, 1.1)
    return Image.fromarray((np.asarray(image) * light).clip(0, 255).astype(np.uint8))


def toy_pairs(folder: Path, products: int = 30, size: int = 32, seed: int = 3) -> Catalog:
    """Two shop and two user photos of each product; three fifths of the products train."""
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = []
    for product in range(products):
        for number, domain in enumerate(("shop", "shop", "user", "user")):
            name = f"images/{product:03}-{number}.png"
            photo(product, size, random, domain == "shop").save(folder / name)
            rows.append(
                {
                    "image": name,
                    "product": f"P{product:03}",
                    "domain": domain,
                    "bbox": f"1,1,{size - 4},{size - 2}" if number == 0 else "",
                    "category": "Hats" if product % 2 else "Bags/Small" if product % 4 else "Bags/Large",
                    "split": SPLITS[product % 5],
                }
            )
    return Catalog(str(folder), pd.DataFrame(rows), "pairs-1")
