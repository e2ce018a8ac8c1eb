"""A catalog of three photos."""

import pandas as pd
import pytest
from PIL import Image


@pytest.fixture
def catalog(tmp_path):
    folder = tmp_path / "catalog"
    (folder / "images").mkdir(parents=True)
    rows = [{"image": f"images/{i}.png", "attr:colour": "red"} for i in range(3)]
    for i, row in enumerate(rows):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(folder / row["image"])
    pd.DataFrame(rows).to_parquet(folder / "catalog.parquet", index=False)
    return folder
