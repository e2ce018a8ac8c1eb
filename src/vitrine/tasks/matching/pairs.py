"""Who is paired with whom (Section 3.3): user photos with shop photos of their product, with others that look alike,
and photos of a background set with each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from vitrine.catalog.gallery import IDENTITIES
from vitrine.catalog.table import texts
from vitrine.catalog.tree import CategoryTree
from vitrine.data.sampling import in_turns
from vitrine.errors import InputError


def identity_column(table: pd.DataFrame, named: str, root: str) -> str:
    """The column that names the product of each photo.

    Args:
        table: A catalog's.
        named: The column asked for; "": `product`, or `item` where no product is known.
        root: The catalog, for messages.

    Raises:
        InputError: if there is none with a value.
    """
    for column in (named,) if named else IDENTITIES:
        if column in table and (texts(table[column]) != "").any():
            return column
    raise InputError(f"{root}: {named or ' and '.join(IDENTITIES)}: no row has one; matching needs product ids")


def identities(table: pd.DataFrame, column: str) -> np.ndarray:
    """(rows,) a number per thing shown, -1 where it is not known. Only comparable within one call."""
    names = texts(table[column]) if column in table else pd.Series([""] * len(table))
    codes = pd.factorize(names)[0].astype(np.int64)
    codes[(names == "").to_numpy()] = -1
    return codes


def domain_rows(table: pd.DataFrame, domain: str, splits: Sequence[str] = ()) -> np.ndarray:
    """The rows of a domain, of some splits only where any are given. "" is a split too: that of no split."""
    domains = table.get("domain", pd.Series([""] * len(table), index=table.index))
    chosen = (domains == domain).to_numpy()
    if splits:
        split_of = table.get("split", pd.Series([""] * len(table), index=table.index))
        chosen = chosen & split_of.isin(list(splits)).to_numpy()
    return np.flatnonzero(chosen)


@dataclass(frozen=True)
class Pairable:
    """The training photos that form pairs.

    Attributes:
        users: (n,) rows of user photos whose thing has a shop photo.
        shops: (m,) rows of shop photos.
        identity: (rows,) see `identities`.
        left_out: User photos without a shop photo to pair with.
    """

    users: np.ndarray
    shops: np.ndarray
    identity: np.ndarray
    left_out: int

    @classmethod
    def of(cls, table: pd.DataFrame, column: str, root: str) -> "Pairable":
        """Those of the train split; shop photos of no split serve all splits.

        Raises:
            InputError: if no pair can be formed, or there is nothing to tell it from.
        """
        identity = identities(table, column)
        users, shops = domain_rows(table, "user", ["train"]), domain_rows(table, "shop", ["train", ""])
        users, shops = users[identity[users] >= 0], shops[identity[shops] >= 0]
        paired = np.isin(identity[users], identity[shops])
        if not paired.any():
            raise InputError(
                f"{root}: no training photo of domain user shares its {column} with one of domain shop "
                f"({len(users):,} user photos, {len(shops):,} shop photos)"
            )
        if len(np.unique(identity[shops])) < 2:
            raise InputError(f"{root}: {column}: all shop photos of the training show the same; nothing to tell apart")
        return cls(users[paired], shops, identity, int((~paired).sum()))

    def hard(self, scores: np.ndarray, first: int, count: int) -> np.ndarray:
        """Hard negatives: for some users the nearest shop photos of other products, nearest first.

        Args:
            scores: (q, m) of the users from `first` on with all shop photos.
            first: Where these users begin in `users`.
            count: K.

        Returns:
            (q, K) rows; where fewer are of other products, the nearest repeat.
        """
        users = self.users[first : first + len(scores)]
        wrong = self.identity[users][:, None] != self.identity[self.shops][None]
        ranked = np.argsort(np.where(wrong, -scores, np.inf), axis=1, kind="stable")
        there = np.minimum(wrong.sum(axis=1), count)[:, None]
        places = np.arange(count)[None] % there
        return self.shops[np.take_along_axis(ranked, places, axis=1)]


@dataclass(frozen=True)
class Background:
    """Labelled photos that carry the softmax loss.

    Attributes:
        rows: (b,) in the store.
        labels: (b,) numbers of their classes.
        classes: Names.
        own: Whether they are the product set itself.
    """

    rows: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    own: bool


def own_background(table: pd.DataFrame, identity: np.ndarray) -> Background:
    """The product set's own training photos, by the deepest level of the tree that does not tell every product apart.

    A level with as many nodes as there are products names the product, which is for the pairs to teach; only where
    categories tell nothing apart are the products themselves the classes.
    """
    split = table.get("split", pd.Series([""] * len(table), index=table.index))
    chosen = split.isin(["train", ""]).to_numpy()
    if "domain" in table:
        chosen &= ((split == "train") | (table["domain"] == "shop")).to_numpy()
    paths = table["category"].astype(str).tolist() if "category" in table else [""] * len(table)
    tree = CategoryTree([path for path, is_chosen in zip(paths, chosen, strict=True) if is_chosen])
    identity_count = len(np.unique(identity[chosen & (identity >= 0)]))
    level = max(
        (i for i in range(1, tree.depth + 1) if len(tree.level(i)) < identity_count), default=min(1, tree.depth)
    )
    background = _labelled(np.flatnonzero(chosen), paths, tree, level, own=True)
    if len(background.classes) > 1:
        return background
    rows = np.flatnonzero(chosen & (identity >= 0))
    numbers, labels = np.unique(identity[rows], return_inverse=True)
    return Background(rows, labels.astype(np.int64), tuple(map(str, numbers)), own=True)


def other_background(tables: Sequence[pd.DataFrame], first: int) -> Background:
    """The training photos of other labelled catalogs, by their deepest level, classes of different catalogs apart.

    Args:
        tables: Of the catalogs.
        first: Where the first one's rows begin in the store.
    """
    paths: list[str] = [""] * first
    rows = []
    for number, table in enumerate(tables):
        split = table.get("split", pd.Series([""] * len(table), index=table.index))
        chosen = np.flatnonzero(split.isin(["train", ""]).to_numpy())
        rows.append(len(paths) + chosen)
        categories = table["category"].astype(str) if "category" in table else [""] * len(table)
        paths += [f"{number}/{path}" if path else "" for path in categories]
    every = np.concatenate(rows)
    tree = CategoryTree([paths[row] for row in every])
    return _labelled(every, paths, tree, tree.depth, own=False)


def _labelled(rows: np.ndarray, paths: Sequence[str], tree: CategoryTree, level: int, own: bool) -> Background:
    classes = tree.level(level) if tree.depth else ()
    place = {name: i for i, name in enumerate(classes)}
    labels = np.array([place.get(tree.node(paths[row], level), -1) if paths[row] else -1 for row in rows], np.int64)
    return Background(rows[labels >= 0], labels[labels >= 0], tuple(classes), own)


@dataclass(frozen=True)
class Step:
    """The photos of one step.

    Attributes:
        users: (n,) places in `Pairable.users`.
        right: (n,) rows of shop photos of the same product.
        wrong: (n, h) numbers in [0, 1) that draw each user's hard negatives.
        background: (b,) places in `Background.rows`.
    """

    users: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    background: np.ndarray


def steps_of_epoch(
    pairable: Pairable, background: int, ratio: tuple[int, int, int], batch_size: int, seed: int, epoch: int
) -> list[Step]:
    """All user photos once, shuffled, each with a shop photo of its product, and negatives by the ratio.

    Args:
        pairable: The photos.
        background: How many background photos there are.
        ratio: Positive : hard negative : background negative pairs; the first is 1.
        batch_size: Photos of a step, about.
        seed: Of the training.
        epoch: Counted from 0.
    """
    random = np.random.default_rng((seed, epoch, 7))
    _, hard, far = ratio
    far = far if background > 1 else 0
    order = random.permutation(len(pairable.users))
    right = np.empty(len(order), np.int64)
    by_identity = {
        thing: pairable.shops[pairable.identity[pairable.shops] == thing]
        for thing in np.unique(pairable.identity[pairable.users[order]])
    }
    for place, user in enumerate(order):
        shops = by_identity[pairable.identity[pairable.users[user]]]
        right[place] = shops[random.integers(len(shops))]
    wrong = random.random((len(order), hard))
    units = max(2, round(batch_size / (2 + hard + far)))
    cuts = [*range(0, len(order), units), len(order)]
    if len(cuts) > 2 and cuts[-1] - cuts[-2] == 1:
        cuts.pop(-2)  # batch norm needs two
    drawn = in_turns(np.arange(background), far * len(order), random)
    return [Step(order[a:b], right[a:b], wrong[a:b], drawn[far * a : far * b]) for a, b in pairwise(cuts)]
