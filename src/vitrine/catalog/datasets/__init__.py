"""The data sets Vitrine knows as their publishers ship them (configs/ingest/README.md says what must lie where).

A data set of plain tables is a mapping file; one that needs more has a module here with a function
`read(root, photos)`, which returns the catalog's columns: one row per photo (or marked item of a photo), `image`
naming the photo as a mapping's template may. `ingest` then finds the photos and checks the values, for all alike.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from vitrine.catalog.datasets import (
    alibaba,
    cifar100,
    coco,
    deepfashion,
    imaterialist2018,
    oxford_iiit_pet,
    street2shop,
    ysneaker,
)

Reader = Callable[[str, Sequence[str]], pd.DataFrame]

MAPPED = ("clothing", "fashion", "grocery", "darn", "sop")
"""Described by configs/ingest/<name>.yaml."""

READERS: Mapping[str, Reader] = {
    "alibaba": alibaba.read,
    "coco": coco.read,
    "deepfashion": deepfashion.read,
    "deepfashion-fine": deepfashion.read_fine,
    "imaterialist2018": imaterialist2018.read,
    "oxford-iiit-pet": oxford_iiit_pet.read,
    "street2shop": street2shop.read,
    "ysneaker": ysneaker.read,
}

UNPACKERS: Mapping[str, Callable[[str, Path], pd.DataFrame]] = {"cifar100": cifar100.unpack}
"""Their photos are arrays in one file: the function writes them as image files into the catalog's folder."""
