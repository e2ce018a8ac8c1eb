"""Oxford-IIIT Pet (Parkhi et al., "Cats and Dogs", CVPR 2012), as torchvision and the authors' archives lay it out.

The lists are read as they are: torchvision's own reader wants a local folder, and the catalog needs no torch.
"""

from collections.abc import Sequence

import pandas as pd

from vitrine.catalog.datasets.reading import label, read_table, recoded, require
from vitrine.catalog.mapping import TableFile

HOW = "unpack images.tar.gz and annotations.tar.gz (www.robots.ox.ac.uk/~vgg/data/pets)"
SPLITS = {"trainval": "train", "test": "test"}
SPECIES = {"1": "cat", "2": "dog"}


def read(root: str, photos: Sequence[str]) -> pd.DataFrame:
    """One row per photo of `trainval.txt` and `test.txt`.

    Args:
        root: The folder or `s3://` prefix that holds `annotations` and `images`.
        photos: The photos under it.

    Raises:
        InputError: if a list is missing or a line of one unusable: one line that names both.
    """
    require(root, [f"annotations/{name}.txt" for name in SPLITS], HOW)
    frames = []
    for name, split in SPLITS.items():
        described = TableFile(
            file=f"annotations/{name}.txt", aligned=True, header=False, names=["image", "class", "species", "breed"]
        )
        table = read_table(root, described)
        species = recoded(table, "species", SPECIES, described)
        breeds = [label(image.rpartition("_")[0]) for image in table["image"]]  # a photo is named <breed>_<number>
        paths = [f"{kind}/{breed}" if breed else kind for kind, breed in zip(species, breeds, strict=True)]
        images = [f"images/{image}.jpg" for image in table["image"]]
        frames.append(pd.DataFrame({"image": images, "category": paths, "split": split}))
    return pd.concat(frames, ignore_index=True)
