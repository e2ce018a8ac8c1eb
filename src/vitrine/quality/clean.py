"""Cleaning: the rows that would spoil training leave, labels get one spelling, and every decision is written down."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vitrine.catalog import ATTRIBUTE_PREFIX, Catalog, labels_of, write_catalog
from vitrine.catalog.left_out import LEFT_OUT, LeftOut, refuse_many, write_left_out
from vitrine.catalog.schema import row_errors
from vitrine.catalog.table import TEXT, as_arrow, texts
from vitrine.errors import InputError
from vitrine.files import new_folder, write_json
from vitrine.quality.boxes import clipped, outside
from vitrine.quality.copies import NO_LINKS, Row, first_copies, may_be_copy, records, same_box, spare_rows
from vitrine.quality.duplicates import Groups, Links, Rows, among, chain, linked, members
from vitrine.quality.embedding import label_features
from vitrine.quality.label_noise import label_noise
from vitrine.quality.labels import LABEL_COLUMNS, NAMES, agreed, label_columns, label_counts, normalised, replaced
from vitrine.quality.links import CopyLinks, copy_links, group_names, record_copies
from vitrine.quality.listings import keyword_hits, repeated_text, unit_name, units
from vitrine.quality.scan import read_photo_table, scan_photos
from vitrine.quality.settings import Settings, load_settings
from vitrine.quality.view_order import DISORDERED, REPEATED, SAME_PHOTO, view_report
from vitrine.report import Page, Photo, Tile, percent, thumbnail

DROPPING = {
    "unusable_values": "Rows that break the catalog format",
    "unreadable_photos": "Photos that are missing or cannot be opened",
    "tiny_photos": "Photos of a few pixels",
    "blank_photos": "Blank photos",
    "keywords": "Listings with excluded words",
    "repeated_text": "Same user and description as another listing",
    "exact_duplicates": "Exact copies of another photo",
    "near_duplicates": "Near copies of another photo",
    "label_noise": "Rows with a label that the photo contradicts",
    "too_few_views": "Listings with too few photos",
    "disordered_views": "Listings whose views are out of order or repeated",
    "rare_classes": "Rows whose only label is a class with too few photos",
}
CHANGING = {
    "normalised": "Labels brought to one spelling, or blanked because they mean 'no label'",
    "boxes": "Boxes cut to what lies inside their photos, or blanked",
    "merged": "Labels taken over from a dropped copy",
    "contradicting": "Labels blanked because copies of the photo contradict",
    "cut": "Categories cut to a coarser level, because the finer class has too few photos",
    "blanked": "Labels blanked because their class has too few photos",
}
ASKED = ["readable", "error", "width", "height", "spread", "sha256"]  # of the photo table, once copies are known
UNUSABLE = ("unusable_values", "unreadable_photos")  # faults of what came; the other rules are choices
EXAMPLES = 12
SHOWN = 30
RARE_LABELS = "rare_labels.json"


@dataclass(frozen=True)
class Cleaning:
    """What cleaning did.

    Attributes:
        before: Rows that came.
        kept: Rows that stay.
        dropped: Rows each rule dropped, in the order of the rules.
        changed: Labels changed, by kind of change.
    """

    before: int
    kept: int
    dropped: dict[str, int]
    changed: dict[str, int]

    def counts(self) -> dict[str, int]:
        """Every figure by name, for a list of metrics."""
        dropped = {f"dropped/{name}": count for name, count in self.dropped.items()}
        changed = {f"changed/{name}": count for name, count in self.changed.items()}
        return {"before": self.before, "kept": self.kept, **dropped, **changed}


@dataclass(frozen=True)
class Drops:
    """Rows that one rule drops: their original rows (0-based), why, and what shows it."""

    rule: str
    rows: Rows
    reasons: pd.Series
    evidence: pd.Series


@dataclass(frozen=True)
class Changes:
    """Labels of one column that one rule changes: their original rows (0-based), what was there and what is."""

    kind: str
    column: str
    rows: Rows
    old: pd.Series
    new: pd.Series


@dataclass
class _Work:
    """The rows still in, and what happened so far.

    Attributes:
        table: The rows still in.
        rows: Their original rows.
        photos: The photo table of all original rows.
        links: Which original rows show one photo.
    """

    table: pd.DataFrame
    rows: Rows
    photos: pd.DataFrame
    links: CopyLinks
    settings: Settings
    min_class_count: int
    drop_views_below: int
    suspects: pd.DataFrame | None
    judged: dict[str, pd.Series]  # groups of copies that an earlier cleaning left side by side
    labels: pd.DataFrame = field(default_factory=pd.DataFrame)  # of all original rows, once normalised
    drops: list[Drops] = field(default_factory=list)
    changes: list[Changes] = field(default_factory=list)

    def photo(self, name: str) -> NDArray[Any]:
        """A measure of the photos of the rows still in."""
        return self.photos[name].to_numpy()[self.rows]

    @cached_property
    def first(self) -> Rows:
        """The first exact copy of each original row."""
        return first_copies(linked(len(self.photos), self.links.exact))

    def groups(self, links: Sequence[Links]) -> Groups:
        """Groups of the rows still in."""
        return linked(len(self.rows), [among(pairs, self.rows, len(self.photos)) for pairs in links])

    def drop(self, rows: Rows, rule: str, reasons: Sequence[str] | pd.Series, evidence: Sequence[str] = ()) -> None:
        """Drops rows by their position in the current table."""
        if not len(rows):
            return
        texts = [
            pd.Series(values, dtype=TEXT).reset_index(drop=True) for values in (reasons, evidence or [""] * len(rows))
        ]
        self.drops.append(Drops(rule, self.rows[rows], *texts))
        keep = np.ones(len(self.table), dtype=bool)
        keep[rows] = False
        self.table, self.rows = self.table[keep].reset_index(drop=True), self.rows[keep]
        if self.table.empty:
            raise InputError(f"no row is left after cleaning: {_why(self)}")

    def change(self, kind: str, column: str, new: pd.Series) -> None:
        """Replaces a column, noting every label that changed."""
        old = self.table[column]
        rows = np.flatnonzero((old != new).to_numpy(dtype=bool))
        if len(rows):
            self.changes.append(Changes(kind, column, self.rows[rows], old.iloc[rows], new.iloc[rows]))
            self.table[column] = new


def clean_catalog(
    catalog: Catalog,
    out: Path,
    min_class_count: int = 20,
    near_duplicates: bool = True,
    drop_views_below: int = 0,
    drop_disordered: bool = False,
    drop_suspects: bool = False,
    *,
    rules: Path | None = None,
    max_left_out: float = 1.0,
    photos: Sequence[Path] = (),
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Cleaning:
    """Drops the rows that would spoil training and brings labels to one spelling.

    Rules run in the order of `DROPPING`, again and again until none finds anything: cleaning a cleaned catalog changes
    nothing. Rows without labels stay, some methods learn from them.

    Writes `catalog.parquet` (rows in their order, all columns, and `sha256` and `duplicate_group` of each photo),
    `dropped.parquet` (all columns, and `row` counted from 1, `rule`, `reason`, `evidence`), `left_out.csv` (`row`,
    `image`, `reason` of the same rows), `rare_labels.json` (per
    label column the labels of which nothing is left; categories are nodes), `copies.json` (for `split_catalog`) and
    `report.html`.

    Args:
        catalog: The catalog; its rows may be unusable.
        out: New folder.
        min_class_count: Photos a class needs. Rarer categories are cut to the parent that has enough, rarer attribute
            labels blanked; a row goes only if nothing is left of its labels.
        near_duplicates: Also drop re-encoded, resized and slightly cropped copies.
        drop_views_below: Drop listings with fewer photos (Yang et al. 2020, Section 2.2: six); 0 keeps all.
        drop_disordered: Drop listings whose views are out of order or repeated (the same section).
        drop_suspects: Drop rows with a label that the photo contradicts (see `vitrine.quality.label_noise`). They are
            looked for once, so that cleaning a cleaned catalog with it again may find others.
        rules: Settings on top of `configs/quality.yaml`.
        max_left_out: The share of the rows that may be unusable (`UNUSABLE`); see `refuse_many`.
        photos: Folders of the catalog's photo table, if it was made before.
        workers: Processes that decode photos.
        progress: Called with (photos done, photos in all).

    Raises:
        InputError: if no row is left, more than `max_left_out` are unusable, an argument is negative, or `out` is not a
            new folder.
    """
    if min_class_count < 0 or drop_views_below < 0:
        raise InputError("clean: min_class_count and drop_views_below cannot be negative")
    settings = load_settings(rules)
    with new_folder(out) as folder:
        photo_table = read_photo_table(catalog, photos) if photos else scan_photos(catalog, workers, progress)
        links = copy_links(catalog, photo_table, settings.near_duplicate_distance, workers)
        suspects = _suspects(catalog, photo_table, links, settings) if drop_suspects else None
        photo_table = photo_table[ASKED]  # the signatures alone are most of the table
        table = catalog.table.drop(columns=["sha256", "duplicate_group"], errors="ignore")
        judged = {name: texts(catalog.table[name]) for name in ("duplicate_group",) if name in catalog.table}
        every = np.arange(len(catalog))
        work = _Work(table, every, photo_table, links, settings, min_class_count, drop_views_below, suspects, judged)
        steps = [
            _normalise,
            _drop_unusable_values,
            _drop_unusable_photos,
            _cut_boxes,
            _drop_keywords,
            _drop_repeated_text,
            _drop_exact,
            *([_drop_near] if near_duplicates else []),
            _drop_suspects,
            _drop_incomplete,
            *([_drop_disordered] if drop_disordered else []),
            _cut_rare,
        ]
        for step in steps[:3]:  # what makes rows unusable, before anything is decided about the others
            step(work)
        refuse_many(_left_out(catalog, work, UNUSABLE), len(catalog), max_left_out, catalog.address, Path(out))
        while True:
            seen = len(work.drops), len(work.changes)
            for step in steps:
                step(work)
            if seen == (len(work.drops), len(work.changes)):
                break
        digests = photo_table["sha256"].take(work.rows).reset_index(drop=True)
        # Rows that only dropped ones tie together still share what they show, and must not part in a split.
        ties = [*links.exact, links.near, links.turned, *(chain(judged) for judged in work.judged.values())]
        names = group_names(digests, linked(len(photo_table), ties)[work.rows])
        kept = work.table.assign(sha256=digests, duplicate_group=names)
        write_catalog(replace(catalog, table=kept), folder)
        record_copies(kept, folder)
        _write_dropped(catalog, work, folder)
        write_left_out(folder / LEFT_OUT, _left_out(catalog, work, DROPPING))
        write_json(folder / RARE_LABELS, _rare_labels(work.labels, kept))
        result = Cleaning(
            len(catalog),
            len(kept),
            {name: sum(len(drops.rows) for drops in work.drops if drops.rule == name) for name in DROPPING},
            {kind: sum(len(changes.rows) for changes in work.changes if changes.kind == kind) for kind in CHANGING},
        )
        _page(catalog, work, result).write(folder / "report.html")
    return result


def _normalise(work: _Work) -> None:
    new = normalised(work.table, work.settings.no_label)
    others = [name for name in (*NAMES, "domain", "split", "bbox") if name in work.table and name not in LABEL_COLUMNS]
    for name in label_columns(work.table) + others:
        work.change("normalised", name, new[name])
    if work.labels.empty:
        # Whether copies contradict is asked of these: cutting rare classes must not make one of two products spare.
        work.labels = work.table.assign(**work.judged)


def _drop_unusable_values(work: _Work) -> None:
    errors = row_errors(work.table)
    rows = np.flatnonzero(errors != "")
    work.drop(rows, "unusable_values", errors.iloc[rows])


def _drop_unusable_photos(work: _Work) -> None:
    rows = np.flatnonzero(~work.photo("readable").astype(bool))
    work.drop(rows, "unreadable_photos", work.photos["error"].take(work.rows[rows]))
    width, height = work.photo("width"), work.photo("height")
    rows = np.flatnonzero(np.minimum(width, height) < work.settings.unusable_side)
    work.drop(rows, "tiny_photos", [f"{width[row]} x {height[row]} pixels" for row in rows])
    rows = np.flatnonzero(work.photo("spread") < work.settings.blank_spread)
    work.drop(rows, "blank_photos", ["one plain colour"] * len(rows))


def _cut_boxes(work: _Work) -> None:
    if "bbox" not in work.table:
        return
    width, height, boxes = work.photo("width"), work.photo("height"), work.table["bbox"]
    rows = np.flatnonzero(boxes != "")
    rows = rows[outside(boxes.iloc[rows], width[rows], height[rows])]
    new = boxes.copy()
    new.iloc[rows] = clipped(boxes.iloc[rows], width[rows], height[rows])
    work.change("boxes", "bbox", new)


def _drop_keywords(work: _Work) -> None:
    hits, unit = keyword_hits(work.table, work.settings), units(work.table)
    hit = (hits != "").to_numpy(dtype=bool)
    words = dict(zip(unit[hit], hits[hit], strict=True))
    rows = np.flatnonzero(np.isin(unit, unit[hit]))
    texts = work.table["description"] if "description" in work.table else work.table["image"]
    reasons = [f"the seller writes {words[unit[row]]!r}" for row in rows]
    work.drop(rows, "keywords", reasons, texts.iloc[rows].tolist())


def _drop_repeated_text(work: _Work) -> None:
    stays = repeated_text(work.table, work.settings.no_label)
    rows = np.flatnonzero(stays >= 0)
    kept = [unit_name(work.table, row) for row in stays[rows].tolist()]
    work.drop(rows, "repeated_text", [f"same user and description as {name}" for name in kept], kept)


def _drop_exact(work: _Work) -> None:
    def spare(one: Row, other: Row, _: bool) -> bool:
        return same_box(one, other)

    _drop_copies(work, NO_LINKS, "exact_duplicates", "the same photo as", spare)


def _drop_near(work: _Work) -> None:
    _drop_copies(work, work.links.near, "near_duplicates", "nearly the same photo as", may_be_copy)


def _drop_copies(work: _Work, near: Links, rule: str, wording: str, spare: Callable[[Row, Row, bool], bool]) -> None:
    """Of exact copies, and of near ones as far as they are given, the spare rows go and their labels are merged.

    What stays is the row with the most labels, then a large photo, then the first.
    """
    labels = label_counts(work.table).to_numpy()
    pixels = work.photo("width").astype(np.int64) * work.photo("height")
    groups = work.groups([*work.links.exact, near])
    ordered = []
    for rows in members(groups):
        # Enlarging a photo a little adds nothing to it: only one of at least twice the pixels counts as larger.
        small = 2 * pixels[rows] <= pixels[rows].max()
        ordered.append(work.rows[rows[np.lexsort((rows, small, -labels[rows]))]])
    shown = records(work.labels, work.photos, work.rows[groups >= 0])
    spares = spare_rows(ordered, shown, spare, work.first, near, work.links.pictures)
    rows = np.searchsorted(work.rows, sorted(spares))
    originals = np.searchsorted(work.rows, [spares[row] for row in sorted(spares)])
    copies: dict[int, list[int]] = {}
    for row, original in zip(rows.tolist(), originals.tolist(), strict=True):
        copies.setdefault(original, []).append(row)
    for name in label_columns(work.table):
        if name != "product":
            _merge(work, name, copies)
    evidence = work.table["image"].iloc[originals].tolist()
    work.drop(rows, rule, [f"{wording} {image}" for image in evidence], evidence)


def _merge(work: _Work, name: str, copies: dict[int, list[int]]) -> None:
    """Takes over the labels of copies that go; where copies contradict, what they agree on stays."""
    column = work.table[name]
    cells = {row: str(column.iat[row]) for original, others in copies.items() for row in (original, *others)}
    for kind, wanted in (("contradicting", True), ("merged", False)):
        changed: dict[int, str] = {}
        for original, others in copies.items():
            value, contradicts = agreed(name, [cells[row] for row in (original, *others)])
            if contradicts == wanted and value != cells[original]:
                changed[original] = value
        if changed:
            new = column.copy()
            new.iloc[list(changed)] = list(changed.values())
            work.change(kind, name, new)
            column = new


def _suspects(catalog: Catalog, photos: pd.DataFrame, links: CopyLinks, settings: Settings) -> pd.DataFrame:
    """The surest suspect label of each row that has one."""
    normal = normalised(catalog.table, settings.no_label)
    groups = linked(len(photos), [*links.exact, links.near])
    features = label_features(catalog, photos, settings.embedding)
    suspects = label_noise(normal, photos, groups, features, max_rows=settings.label_noise_rows).suspects
    return suspects.drop_duplicates("row").set_index("row")


def _drop_suspects(work: _Work) -> None:
    if work.suspects is None:
        return
    rows = np.flatnonzero(np.isin(work.rows, work.suspects.index))
    of_rows = work.suspects.loc[work.rows[rows]]
    suspect_labels = zip(of_rows["column"], of_rows["given"], of_rows["suggested"], strict=True)
    reasons = [
        f"{column.removeprefix(ATTRIBUTE_PREFIX)} {given} looks like {other}" for column, given, other in suspect_labels
    ]
    work.drop(rows, "label_noise", reasons)


def _drop_incomplete(work: _Work) -> None:
    if not work.drop_views_below or "listing" not in work.table:
        return
    codes, _ = pd.factorize(work.table["listing"])
    sizes = np.bincount(codes)[codes]
    rows = np.flatnonzero((work.table["listing"] != "").to_numpy(dtype=bool) & (sizes < work.drop_views_below))
    work.drop(rows, "too_few_views", [f"{sizes[row]} of {work.drop_views_below} photos" for row in rows])


def _drop_disordered(work: _Work) -> None:
    disordered = view_report(work.table, work.groups(work.links.exact)).of(DISORDERED, REPEATED, SAME_PHOTO)
    if disordered.empty:
        return
    first = disordered.drop_duplicates("listing")
    reasons = dict(zip(first["listing"], first["detail"], strict=True))
    rows = np.flatnonzero(work.table["listing"].isin(reasons))
    work.drop(rows, "disordered_views", [reasons[listing] for listing in work.table["listing"].iloc[rows]])


def _cut_rare(work: _Work) -> None:
    least = work.min_class_count
    for name in label_columns(work.table):
        if name.startswith(ATTRIBUTE_PREFIX):
            work.change("blanked", name, _without_rare(work.table[name], least))
    if "category" not in work.table:
        return
    old = work.table["category"]
    new = cut_rare(old, least)
    others = work.table.assign(category="")
    lost = np.flatnonzero((old != "") & (new == "") & (label_counts(others) == 0))
    work.change("cut", "category", new.where(new != "", old))
    reasons = [f"{path} has fewer than {least} photos, and the row no other label" for path in old.iloc[lost]]
    blanked = work.table["category"].where((new != "") | (old == ""), "")
    blanked.iloc[lost] = old.iloc[lost]
    work.change("blanked", "category", blanked)
    work.drop(lost, "rare_classes", reasons)


def cut_rare(paths: pd.Series, least: int) -> pd.Series:
    """Category paths cut back to the deepest node that `least` rows lie under, "" where there is none."""
    counts: dict[str, int] = {}
    for path, count in paths[paths != ""].value_counts().items():
        parts = str(path).split("/")
        for level in range(1, len(parts) + 1):
            node = "/".join(parts[:level])
            counts[node] = counts.get(node, 0) + int(count)

    def cut(path: str) -> str:
        while path and counts[path] < least:
            path = path.rpartition("/")[0]
        return path

    return replaced(paths, cut)


def _without_rare(column: pd.Series, least: int) -> pd.Series:
    counts: dict[str, int] = {}
    for cell, count in column.value_counts().items():
        for label in labels_of(str(cell)):
            counts[label] = counts.get(label, 0) + int(count)
    return replaced(column, lambda cell: "|".join(label for label in labels_of(cell) if counts[label] >= least))


def _rare_labels(before: pd.DataFrame, kept: pd.DataFrame) -> dict[str, list[str]]:
    """Labels that were there and are not any more, for whoever meets them in later photos."""
    gone = {name: _nodes(before[name]) - _nodes(kept[name]) for name in label_columns(before)}
    return {name: sorted(labels) for name, labels in gone.items() if labels}


def _nodes(column: pd.Series) -> set[str]:
    """The labels of an attribute column, or the nodes of a category column."""
    labels = {label for cell in column.unique() for label in labels_of(str(cell))}
    if column.name != "category":
        return labels
    return {"/".join(path.split("/")[: i + 1]) for path in labels for i in range(path.count("/") + 1)}


def _why(work: _Work) -> str:
    counts = {rule: sum(len(drops.rows) for drops in work.drops if drops.rule == rule) for rule in DROPPING}
    rule = max(counts, key=counts.__getitem__)
    first = next(drops for drops in work.drops if drops.rule == rule)
    total = sum(counts.values())
    return f"the rule {rule!r} dropped {counts[rule]} of {total} rows (row {first.rows[0] + 1}: {first.reasons.iat[0]})"


def _left_out(catalog: Catalog, work: _Work, rules: Collection[str]) -> list[LeftOut]:
    """The rows that some rules dropped, in their order."""
    images = catalog.table["image"]
    left_out = [
        LeftOut(row + 1, str(images.iat[row]), f"{DROPPING[drops.rule]}: {reason}")
        for drops in work.drops
        if drops.rule in rules
        for row, reason in zip(drops.rows.tolist(), drops.reasons, strict=True)
    ]
    return sorted(left_out, key=lambda entry: int(entry.row))


def _write_dropped(catalog: Catalog, work: _Work, folder: Path) -> None:
    rows = np.concatenate([np.empty(0, dtype=np.int64), *(drops.rows for drops in work.drops)])
    order = np.argsort(rows, kind="stable")
    none = pd.Series([], dtype=TEXT)
    dropped = {
        "rule": pd.Series([drops.rule for drops in work.drops for _ in drops.rows], dtype=TEXT),
        "reason": pd.concat([none, *(drops.reasons for drops in work.drops)]),
        "evidence": pd.concat([none, *(drops.evidence for drops in work.drops)]),
    }
    table = catalog.table.iloc[rows[order]].reset_index(drop=True).assign(row=rows[order] + 1)
    table = table.assign(**{name: values.iloc[order].reset_index(drop=True) for name, values in dropped.items()})
    pq.write_table(as_arrow(table, catalog.kinds), folder / "dropped.parquet")


def _page(catalog: Catalog, work: _Work, result: Cleaning) -> Page:
    share = result.kept / result.before
    page = Page(
        "Cleaning report",
        f"{catalog.address}, data version {catalog.data_version or 'unknown'}",
        f"{result.kept:,} of {result.before:,} rows stay",
        "good" if share >= 0.8 else "warn" if share >= 0.5 else "bad",
    )
    page.tiles(
        [
            Tile("Rows that came", f"{result.before:,}"),
            Tile("Rows dropped", f"{result.before - result.kept:,}", hint=percent(1 - share)),
            Tile("Rows that stay", f"{result.kept:,}", "good"),
            Tile("Labels changed", f"{sum(result.changed.values()):,}"),
        ]
    )
    page.heading("From the rows that came to the rows that stay", "Each line is what is left after that rule.")
    left = result.before
    bars = [("Before", float(left), f"{left:,}")]
    for name, count in result.dropped.items():
        left -= count
        if count:
            bars.append((DROPPING[name], float(left), f"{left:,} (−{count:,})"))
    page.bars([*bars, ("Kept", float(left), f"{left:,}")], maximum=float(result.before))
    page.table(
        ("Rule", "Rows dropped", "Share of all rows"),
        [(DROPPING[name], count, percent(count / result.before)) for name, count in result.dropped.items()],
    )
    page.heading("Labels that were changed", "The photos stay; only what is written about them changes.")
    page.table(("Change", "Labels"), [(CHANGING[kind], count) for kind, count in result.changed.items()])
    for kind in CHANGING:
        if changes := [changes for changes in work.changes if changes.kind == kind]:
            _changes(page, catalog, kind, changes)
    for name, title in DROPPING.items():
        if result.dropped[name]:
            of_rule = [drops for drops in work.drops if drops.rule == name]
            shown = [
                _shown(catalog, drops, place) for drops in of_rule for place in range(min(len(drops.rows), EXAMPLES))
            ]
            note = f"{result.dropped[name]:,} rows; the first {min(len(shown), EXAMPLES)} here."
            page.heading(f"Dropped: {title.lower()}", note)
            page.photos(shown[:EXAMPLES])
    return page


def _changes(page: Page, catalog: Catalog, kind: str, changes: Sequence[Changes]) -> None:
    """A table of what was changed to what, the commonest first; contradictions name the photo."""
    page.heading(CHANGING[kind])
    if kind in ("contradicting", "merged"):
        rows = [
            (row + 1, catalog.table["image"].iat[row], change.column, old or "–", new or "–")
            for change in changes
            for row, old, new in zip(change.rows[:SHOWN].tolist(), change.old[:SHOWN], change.new[:SHOWN], strict=True)
        ]
        page.table(("Row", "Photo", "Column", "Was", "Is"), sorted(rows), shown=SHOWN)
        return
    counts = pd.concat(
        pd.DataFrame({"column": change.column, "old": change.old.to_numpy(), "new": change.new.to_numpy()})
        .value_counts()
        .head(SHOWN)
        for change in changes
    )
    counts = counts.groupby(level=[0, 1, 2]).sum().sort_values(ascending=False, kind="stable")
    page.table(
        ("Column", "Was", "Is", "Rows"),
        [(column, old, new or "–", int(count)) for (column, old, new), count in counts.items()],
        shown=SHOWN,
    )


def _shown(catalog: Catalog, drops: Drops, place: int) -> Photo:
    row = int(drops.rows[place])
    image = catalog.table["image"].iat[row]
    readable = drops.rule not in ("unusable_values", "unreadable_photos")
    picture = thumbnail(catalog.uri(image)) if readable else None
    return Photo(picture, (f"Row {row + 1}", image, drops.reasons.iat[place]), "bad")
