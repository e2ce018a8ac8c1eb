"""Splitting: train, validation and test such that nothing a model saw is asked again.

A row's split follows from a hash of its group's name alone, so rows added later do not move it. Only where a small
class would be left without a test or validation row is the group next in hash order moved there: in classes of a few
dozen groups or more that practically never happens, so stability and coverage rarely meet.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.catalog import ATTRIBUTE_PREFIX, Catalog, holds_gallery, labels_of, write_catalog
from vitrine.catalog.table import TEXT, texts
from vitrine.errors import InputError
from vitrine.files import new_folder
from vitrine.quality.duplicates import chain, linked
from vitrine.quality.labels import label_counts, named
from vitrine.quality.links import COLUMNS, copy_links, knows_copies, record_copies
from vitrine.quality.ratios import check_ratios
from vitrine.quality.scan import read_photo_table, scan_photos
from vitrine.quality.settings import load_settings
from vitrine.report import Page, Tile, percent
from vitrine.words import counted

SPLITS = ("train", "validation", "test")
MIN_GROUPS = 5  # a class of fewer groups is left to chance
TIES = {
    "listing": "one listing",
    "product": "one product",
    "sha256": "one file",
    "duplicate_group": "copies of one photo",
    "image": "one photo",
}
COPIES = (*COLUMNS, "image")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assignment:
    """Which split every row goes to, and what had to be decided.

    Attributes:
        split: One of `SPLITS` per row.
        groups: The group of each row, numbered from 0.
        conflicts: Rows whose group came in two splits, and went to train.
        moved: Groups moved so that a small class stands in every split.
        kept: Rows that kept the split they came with.
        gallery: Shop photos that were left out of the dealing.
        shown: User photos of which a copy is in the gallery, so that finding it says nothing: their groups
            went to train.
    """

    split: pd.Series
    groups: NDArray[np.int64]
    conflicts: list[int]
    moved: int
    kept: int
    gallery: int = 0
    shown: int = 0


def split_catalog(
    catalog: Catalog,
    out: Path,
    ratios: Sequence[float] = (0.7, 0.1, 0.2),
    respect: bool = True,
    seed: int = 0,
    *,
    measured: str = "",
    gallery: bool | None = None,
    photos: Sequence[Path] = (),
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Fills `split` so that no listing, product or photo (copies of it included) stands in two splits.

    Writes `catalog.parquet` and `report.html`. A cleaned catalog brings what tells copies. Of any other the photos are
    looked at first, be it put together of cleaned ones: their columns do not say what is copied from one to the other.

    Args:
        catalog: The catalog.
        out: New folder.
        ratios: Shares of train, validation and test groups; they sum to 1.
        respect: Keep the splits that rows come with. A group that came in two goes to train.
        seed: Another seed deals the groups anew.
        measured: The column that models are measured by, such as `verdict`: what has none goes to train. Default: any
            label.
        gallery: Shop photos are what user photos are matched with: they are dealt to no split and serve all of them.
            None: where user photos show the same products or items (see `holds_gallery`).
        photos: Folders of the catalog's photo table, if it was made before.
        workers: Processes that decode photos.
        progress: Called with (photos done, photos in all).

    Returns:
        Rows per split, and those of the gallery where there is one.

    Raises:
        InputError: if the ratios are not three shares that sum to 1, there is no `measured` column, a `gallery` but
            no user photo, or `out` is not a new folder.
    """
    check_ratios(ratios)
    if measured and measured not in catalog.table:
        raise InputError(f"{catalog.address}: no column {measured!r} to measure by")
    if gallery and not ("domain" in catalog.table and (catalog.table["domain"] == "user").any()):
        raise InputError(f"{catalog.address}: no photo of domain 'user' to match with a gallery of shop photos")
    gallery = holds_gallery(catalog.table) if gallery is None else gallery
    with new_folder(out) as folder:
        settings = load_settings()
        ties = named(catalog.table, settings.no_label)
        known = knows_copies(catalog)
        if not known:
            brought = [name for name in COLUMNS if name in ties]
            if brought:
                _log.warning(
                    "%s: %s not from one cleaning of just these rows; the photos are looked at again",
                    catalog.address,
                    f"{' and '.join(brought)} {'is' if len(brought) == 1 else 'are'}",
                )
            photo_table = read_photo_table(catalog, photos) if photos else scan_photos(catalog, workers, progress)
            links = copy_links(catalog, photo_table, settings.near_duplicate_distance, workers)
            # Of rows that only such as were dropped since tie together.
            earlier = [chain(texts(ties[name])) for name in brought]
            groups = linked(len(photo_table), [*links.exact, links.near, links.turned, *earlier])
            names = pd.Series(groups).astype(str).where(groups >= 0, "").astype(TEXT)
            # A copied error page is no copy of a photo.
            digests = photo_table["sha256"].where(photo_table["readable"], "")
            ties = ties.assign(sha256=digests, duplicate_group=names)
        assignment = assign(ties, ratios, respect, seed, measured, gallery)
        table = catalog.table.assign(split=assignment.split)
        write_catalog(replace(catalog, table=table), folder)
        if known:
            record_copies(table, folder)
        _page(catalog, table, ties, assignment, ratios).write(folder / "report.html")
    counts = {split: int((table["split"] == split).sum()) for split in SPLITS}
    return counts | ({"gallery": assignment.gallery} if assignment.gallery else {})


def assign(
    table: pd.DataFrame,
    ratios: Sequence[float],
    respect: bool = True,
    seed: int = 0,
    measured: str = "",
    gallery: bool = False,
) -> Assignment:
    """Deals the rows of a table to splits; see `split_catalog`. Ties are the columns of `TIES` that are present."""
    dealt = (table["domain"] != "shop").to_numpy(dtype=bool) if gallery else np.ones(len(table), dtype=bool)
    groups = groups_of(table)
    count = int(groups.max(initial=-1)) + 1
    names = _group_names(table, groups, count)
    draws = np.array([_draw(seed, name) for name in names])
    # Test is the lowest part of the hash range, train the highest: a changed share moves as few groups as possible.
    edges = np.array([ratios[2], ratios[2] + ratios[1]])
    split = 2 - np.searchsorted(edges, draws, side="right")  # index into SPLITS
    split = np.where((split == 0) & (ratios[0] == 0), 1 if ratios[1] else 2, split)

    labels = (table[measured] != "").astype(int) if measured else label_counts(table)
    labelled = np.bincount(groups, weights=np.where(dealt, labels, 0), minlength=count) > 0
    if labelled.any():
        # There is nothing to measure on groups without labels, but some methods learn from them.
        split[~labelled] = 0 if ratios[0] else split[~labelled]
    free = labelled if labelled.any() else np.ones(count, dtype=bool)

    given = np.full(count, -1)
    conflicts: list[int] = []
    if respect and "split" in table:
        came = table["split"].map({name: number for number, name in enumerate(SPLITS)})
        came_with = came.notna().to_numpy() & dealt
        lowest, highest = np.full(count, 99), np.full(count, -1)
        np.minimum.at(lowest, groups[came_with], came[came_with].astype(int))
        np.maximum.at(highest, groups[came_with], came[came_with].astype(int))
        given = np.where(highest < 0, -1, np.where(lowest == highest, highest, 0))
        conflicts = np.flatnonzero(((highest >= 0) & (lowest != highest))[groups]).tolist()
        split = np.where(given >= 0, given, split)
        free = free & (given < 0)
    copied = _copies_of(table, ~dealt) & dealt
    shown = np.bincount(groups[copied], minlength=count) > 0
    split[shown & free & (ratios[0] > 0)] = 0
    free = free & ~shown
    moved = _cover(split, draws, free, _strata(table[dealt], groups[dealt]), [ratio > 0 for ratio in ratios])
    rows = pd.Series(np.array(SPLITS, dtype=object)[split[groups]], dtype=TEXT)
    rows[~dealt] = ""  # whatever split they came with: user photos of the same product need not have been in it
    conflicts = [row for row in conflicts if dealt[row]]
    kept = int((given[groups] >= 0)[dealt].sum())
    return Assignment(rows, groups, conflicts, moved, kept, int((~dealt).sum()), int(copied.sum()))


def parted(table: pd.DataFrame, split: pd.Series) -> dict[str, int]:
    """By column of `TIES`, how many of its values stand in two splits; rows of no split are not asked."""
    dealt = (split != "").to_numpy(dtype=bool)
    parts = {}
    for column in TIES:
        if column in table:
            names, splits = table[column].to_numpy(dtype=object)[dealt], split.to_numpy(dtype=object)[dealt]
            pairs = pd.DataFrame({"name": names, "split": splits})
            pairs = pairs[pairs["name"] != ""].drop_duplicates()
            parts[column] = int(pairs["name"].duplicated().groupby(pairs["name"]).any().sum())
    return parts


def _copies_of(table: pd.DataFrame, of: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(rows,) those that show the same photo as one of some rows, themselves included."""
    copies = of.copy()
    for column in COPIES:
        if column in table and of.any():
            names = table[column].to_numpy(dtype=object)
            copies |= pd.Series(names).isin(set(names[of & table[column].notna().to_numpy()]) - {""}).to_numpy()
    return copies


def groups_of(table: pd.DataFrame) -> NDArray[np.int64]:
    """Numbers from 0 the sets of rows that share a listing, product or photo, directly or through other rows."""
    links = [chain(table[name]) for name in TIES if name in table]
    leaders = linked(len(table), links)
    leaders = np.where(leaders < 0, np.arange(len(table)), leaders)
    return np.unique(leaders, return_inverse=True)[1].astype(np.int64)


def _group_names(table: pd.DataFrame, groups: NDArray[np.int64], count: int) -> list[str]:
    """The name a group's split hangs on: its smallest product, else its smallest listing, else its smallest image."""
    names = np.full(count, "", dtype=object)
    for column in ("product", "listing", "image"):
        if column in table:
            rows = np.flatnonzero((table[column] != "").to_numpy(dtype=bool) & (names == "")[groups])
            codes, values = pd.factorize(table[column].iloc[rows], sort=True)
            least = np.full(count, len(values))
            np.minimum.at(least, groups[rows], codes)
            named = least < len(values)
            names[named] = [f"{column}:{value}" for value in values.take(least[named])]
    return names.tolist()


def _draw(seed: int, name: str) -> float:
    """A number in [0, 1) that only the seed and the name decide."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _strata(table: pd.DataFrame, groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The groups of each class that every split should know, the smallest class first: leaves, verdicts, attributes."""
    parts: dict[tuple[str, str], list[NDArray[np.int64]]] = {("", ""): [groups]}  # of each class, cell by cell
    for column in table.columns:
        if column in ("category", "verdict") or column.startswith(ATTRIBUTE_PREFIX):
            cells = table[column].to_numpy(dtype=object)
            for cell, rows in pd.Series(np.arange(len(table))).groupby(cells).indices.items():
                for label in labels_of(cell) if column.startswith(ATTRIBUTE_PREFIX) else [cell]:
                    if label:
                        parts.setdefault((column, label), []).append(groups[rows])
    strata = {key: np.unique(np.concatenate(members)) for key, members in parts.items()}
    return [
        strata[key] for key in sorted(strata, key=lambda key: (len(strata[key]), key)) if len(strata[key]) >= MIN_GROUPS
    ]


def _cover(
    split: NDArray[np.int64],
    draws: NDArray[np.float64],
    free: NDArray[np.bool_],
    strata: Sequence[NDArray[np.int64]],
    wanted: Sequence[bool],
) -> int:
    """Moves single groups into splits that a class would be missing from, in hash order; returns how many."""
    counts = np.array([[int((split[stratum] == number).sum()) for number in range(3)] for stratum in strata])
    counts = counts.reshape(len(strata), 3)
    belongs: dict[int, list[int]] = {}
    for index, stratum in enumerate(strata):
        if len(stratum) < 10_000:  # larger classes stand in every split and can spare a group
            for group in stratum:
                belongs.setdefault(int(group), []).append(index)
    moved = 0
    for index, stratum in enumerate(strata):
        for target in (2, 1, 0):
            if not wanted[target] or counts[index, target]:
                continue
            order = stratum[np.argsort(draws[stratum], kind="stable")]
            for group in order[::-1] if target == 0 else order:
                source = split[group]
                mine = belongs.get(int(group), [index])
                if free[group] and counts[index, source] > 1 and all(counts[other, source] > 1 for other in mine):
                    split[group] = target
                    counts[mine, source] -= 1
                    counts[mine, target] += 1
                    moved += 1
                    break
    return moved


def _page(
    catalog: Catalog, table: pd.DataFrame, ties: pd.DataFrame, assignment: Assignment, ratios: Sequence[float]
) -> Page:
    rows = {name: int((table["split"] == name).sum()) for name in SPLITS}
    empty = [name for name, ratio in zip(SPLITS, ratios, strict=True) if ratio > 0 and not rows[name]]
    broken = parted(ties, table["split"])
    torn = [f"{count:,} of {TIES[name]}" for name, count in broken.items() if count]
    tone = "bad" if empty or torn else "warn" if assignment.conflicts else "good"
    verdict = f"No rows in {' and '.join(empty)}" if empty else "No listing, product or photo stands in two splits"
    verdict = f"In two splits: {'; '.join(torn)}" if torn else verdict
    page = Page("Split report", f"{catalog.address}, data version {catalog.data_version or 'unknown'}", verdict, tone)
    page.tiles(Tile(name.capitalize(), f"{count:,}", hint=percent(count / len(table))) for name, count in rows.items())
    page.heading("How rows were dealt")
    sizes = np.bincount(assignment.groups)
    page.table(
        ("What", "Number"),
        [
            ("Groups of rows that belong together (one listing, product or photo)", len(sizes)),
            ("Rows in the largest group", int(sizes.max())),
            ("Rows that kept the split they came with", assignment.kept),
            ("Rows whose group came in two splits, and went to train", len(assignment.conflicts)),
            ("Groups moved so that a small class stands in every split", assignment.moved),
            ("Shop photos: the gallery of every split, dealt to none", assignment.gallery),
            ("User photos with a copy in the gallery, whose groups went to train", assignment.shown),
        ],
    )
    page.heading("What may not be parted", costs(ties, table["split"], ratios))
    page.table(
        ("Rows of", "Rows that stand with others", "Checked: in two splits"),
        [(TIES[name], _tied(ties[name]), count) for name, count in broken.items()],
    )
    if assignment.conflicts:
        page.heading("Came in two splits", "These rows share a listing, product or photo with a row of another split.")
        shown = catalog.table.iloc[assignment.conflicts]
        columns = [name for name in ("image", "listing", "product", "split") if name in shown]
        page.table(
            ("Row", *columns),
            [(row + 1, *values) for row, values in zip(assignment.conflicts, shown[columns].itertuples(index=False))],  # noqa: B905
            shown=20,
        )
    for column in ("category", "verdict", *sorted(name for name in table if name.startswith(ATTRIBUTE_PREFIX))):
        if column in table and (table[column] != "").any():
            page.heading(f"{column.removeprefix(ATTRIBUTE_PREFIX).capitalize()} in each split")
            page.table(("Class", *SPLITS, "all"), _balance(table, column), shown=60)
    return page


def costs(ties: pd.DataFrame, split: pd.Series, ratios: Sequence[float]) -> str:
    """What keeping rows together cost: how far shares are from those asked for, and which classes a split lacks.

    Args:
        ties: The rows, with the columns of `TIES`.
        split: What each was dealt to; "" is not dealt.
        ratios: Shares of train, validation and test.
    """
    dealt = split[split != ""]
    shares = [float((dealt == name).mean()) if len(dealt) else 0.0 for name in SPLITS]
    off = max(abs(share - asked) for share, asked in zip(shares, ratios, strict=True))
    lacking = 0
    for name in ("category", "verdict", *(str(tie) for tie in ties if str(tie).startswith(ATTRIBUTE_PREFIX))):
        if name in ties:
            tied = ties[name].ne("").to_numpy(dtype=bool) & split.ne("").to_numpy(dtype=bool)
            counts = pd.crosstab(ties[name][tied], split[tied]).reindex(columns=SPLITS, fill_value=0)
            wanted = counts[[split_name for split_name, ratio in zip(SPLITS, ratios, strict=True) if ratio > 0]]
            lacking += int(((counts.sum(axis=1) >= MIN_GROUPS) & (wanted == 0).any(axis=1)).sum())
    got = " / ".join(percent(share) for share in shares)
    asked_for = " / ".join(percent(ratio) for ratio in ratios)
    verb = "is" if lacking == 1 else "are"
    lost = f"{counted(lacking, 'class')} of {MIN_GROUPS} rows or more {verb} missing from a split"
    lost = lost if lacking else "no class is lost"
    return f"Cost: asked for {asked_for}, dealt {got} (at most {100 * off:.1f} points off); {lost}."


def _tied(names: pd.Series) -> int:
    """Rows whose value another row has too."""
    filled = names[names != ""]
    return int(filled.duplicated(keep=False).sum())


def _balance(table: pd.DataFrame, column: str) -> Iterable[tuple[str, int, int, int, int]]:
    """Rows of each class per split, the commonest class first."""
    cells = table.groupby([column, "split"]).size()
    counts: dict[str, dict[str, int]] = {}
    for (cell, split), number in cells.items():
        if not split:  # the gallery
            continue
        for label in labels_of(cell) if column.startswith(ATTRIBUTE_PREFIX) else [cell] if cell else []:
            row = counts.setdefault(label, dict.fromkeys(SPLITS, 0))
            row[split] += int(number)
    for label, row in sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0])):
        yield label, row["train"], row["validation"], row["test"], sum(row.values())
