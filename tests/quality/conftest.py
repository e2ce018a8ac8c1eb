"""Small catalogs with photos that Pillow draws."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from vitrine.catalog import Catalog
from vitrine.catalog.table import TEXT


def draw(seed: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """A picture like no other: a few coloured shapes on a coloured ground."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (96, 96), tuple(int(v) for v in rng.integers(0, 256, 3)))
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, w, h = rng.integers(0, 70, 4).tolist()
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)((x, y, x + w + 12, y + h + 12), fill=colour)
    return image.resize(size)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Catalog]:
    """Builds a catalog from rows; a row without an existing photo of that name gets one drawn, unless `photo=False`."""

    def build(rows: list[dict[str, str]], photo: bool = True) -> Catalog:
        root = tmp_path / "catalog"
        (root / "images").mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame(rows).fillna("").astype(TEXT)
        for number, name in enumerate(table["image"].unique()):
            if photo and name.startswith("images/") and not (root / name).exists():
                draw(number).save(root / name, quality=92)
        return Catalog(str(root), table, "v1")

    return build
