"""Listings as bags of photos, and which bags a step sees."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vitrine.errors import InputError

MAX_PHOTOS = 16


@dataclass(frozen=True)
class Bag:
    """The photos of one listing.

    Attributes:
        listing: Its name; that of the photo where the catalog names none.
        rows: Rows of the table, (n,), 1 <= n <= `MAX_PHOTOS`.
        views: What each photo shows, "" where unknown, (n,).
        verdict: `authentic`, `counterfeit`, or "" (undecided: unlabelled).
        split: `train`, `validation`, `test` or "".
    """

    listing: str
    rows: np.ndarray
    views: tuple[str, ...]
    verdict: str
    split: str

    def __len__(self) -> int:
        return len(self.rows)


def bags_of(table: pd.DataFrame) -> list[Bag]:
    """The listings of a catalog table, in the order of their first rows.

    A verdict on some photos of a listing is the verdict on all of it.

    Raises:
        InputError: if a listing has more than `MAX_PHOTOS` photos, two verdicts, or photos in two splits.
    """
    images = table["image"].tolist()
    names = table["listing"].tolist() if "listing" in table else [""] * len(images)
    members: dict[tuple[bool, str], list[int]] = {}  # a listing may be named like a photo
    for row, (name, image) in enumerate(zip(names, images, strict=True)):
        members.setdefault((bool(name), name or image), []).append(row)
    views, verdicts, splits = (
        table[column].to_numpy(object) if column in table else np.full(len(images), "", object)
        for column in ("view", "verdict", "split")
    )
    bags = []
    for (_, name), members_rows in members.items():
        rows = np.array(members_rows)
        if len(rows) > MAX_PHOTOS:
            raise InputError(
                f"listing {name!r}: has {len(rows)} photos, more than {MAX_PHOTOS}; "
                "drop its least telling rows, or name the listing of each row anew"
            )
        distinct = sorted(set(verdicts[rows]) - {""})
        if len(distinct) > 1:
            raise InputError(f"listing {name!r}: its rows bear two verdicts ({', '.join(distinct)})")
        if len(set(splits[rows])) > 1:
            where = ", ".join(sorted(split or "none" for split in set(splits[rows])))
            raise InputError(f"listing {name!r}: its rows are in two splits ({where}); run `vitrine split --anew`")
        bags.append(Bag(name, rows, tuple(views[rows]), distinct[0] if distinct else "", splits[rows[0]]))
    return bags


def balanced(bags: Sequence[Bag]) -> list[Bag]:
    """Bags with those that have a verdict repeated, until they are about as many as those without.

    Where most listings are undecided, a step would hold one verdict or two, and cross entropy on so few teaches
    nothing.
    """
    decided = [bag for bag in bags if bag.verdict]
    times = (len(bags) - len(decided)) // max(1, len(decided))
    return [*bags, *decided * (times - 1)]


def steps_of_epoch(sizes: np.ndarray, photos: int) -> int:
    """How many batches `bag_batches` makes of bags of these sizes. At least one, none of a single photo."""
    return max(1, int(sizes.sum()) // max(photos, int(sizes.max()) + 2))


def bag_batches(sizes: np.ndarray, labelled: np.ndarray, photos: int, seed: int, epoch: int) -> list[np.ndarray]:
    """All bags once, in batches of about as many photos each: a function of its arguments alone.

    A step costs what its photos cost, since the trunk sees them side by side and only the pooling pads: short bags
    therefore come many at a time. The labelled ones are dealt evenly, so that no batch is without unless there are
    fewer of them than batches.

    Args:
        sizes: Photos of each bag, (bags,).
        labelled: Which have a verdict, (bags,), bool.
        photos: Photos per batch.
        seed: Of the training.
        epoch: Counted from 0.

    Returns:
        Indices of bags, one array a batch.
    """
    random = np.random.default_rng((seed, epoch))
    place = np.empty(len(sizes))
    for group in (np.flatnonzero(labelled), np.flatnonzero(~labelled)):
        place[random.permutation(group)] = (np.arange(len(group)) + random.random(len(group))) / max(1, len(group))
    order = np.argsort(place, kind="stable")
    ends = np.cumsum(sizes[order])
    middle = ends - sizes[order] / 2
    steps = steps_of_epoch(sizes, photos)
    return np.split(order, np.searchsorted(middle, ends[-1] * np.arange(1, steps) / steps))


def packed(sizes: Sequence[int], photos: int) -> list[np.ndarray]:
    """All bags in order, in batches of at most `photos` photos (a longer bag alone): for evaluation."""
    batches: list[list[int]] = []
    full = photos
    for bag, size in enumerate(sizes):
        if full + size > photos:
            batches.append([])
            full = 0
        batches[-1].append(bag)
        full += size
    return [np.array(batch) for batch in batches]


def rows_of(bags: Sequence[Bag], indices: Iterable[int]) -> np.ndarray:
    """The rows of some bags, one bag after the other."""
    return np.concatenate([bags[i].rows for i in indices])
