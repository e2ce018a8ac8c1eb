"""Cleaning: the rows that would spoil training leave, labels get one spelling, and every decision is written down."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.catalog import ATTRIBUTE_PREFIX, Catalog, labels_of, write_catalog
from vitrine.catalog.schema import row_errors
from vitrine.catalog.table import TEXT
from vitrine.errors import InputError
from vitrine.files import new_folder
from vitrine.quality.duplicates import Groups, exact_groups, members, near_duplicate_groups
from vitrine.quality.labels import agreed, label_columns, label_counts, normalised
from vitrine.quality.scan import scan_photos
from vitrine.quality.settings import Settings, load_settings
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
    "too_few_views": "Listings with too few photos",
    "rare_classes": "Rows whose only label is a class with too few photos",
}
CHANGING = {
    "normalised": "Labels brought to one spelling, or blanked because they mean 'no label'",
    "merged": "Labels taken over from a dropped copy",
    "contradicting": "Labels blanked because copies of the photo contradict",
    "cut": "Categories cut to a coarser level, because the finer class has too few photos",
    "blanked": "Labels blanked because their class has too few photos",
}
EXAMPLES = 12
ROW = "_row"  # the row of the catalog as it came, while rules work


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
class Drop:
    """One row leaving: its original row (0-based), the rule, the reason and what shows it."""

    row: int
    rule: str
    reason: str
    evidence: str = ""


@dataclass
class _Work:
    """The rows still in, and what happened so far."""

    table: pd.DataFrame
    photos: pd.DataFrame
    settings: Settings
    min_class_count: int
    drop_views_below: int
    drops: list[Drop] = field(default_factory=list)
    near: tuple[bytes, Groups] | None = None
    changes: dict[str, dict[tuple[int, str], tuple[str, str]]] = field(
        default_factory=lambda: {kind: {} for kind in CHANGING}
    )

    def looks(self) -> pd.DataFrame:
        """The photo table of the rows still in."""
        return self.photos.iloc[self.table[ROW].to_numpy()].reset_index(drop=True)

    def near_groups(self) -> Groups:
        """Near copies among the rows still in, looked for again only when rows have left."""
        rows = self.table[ROW].to_numpy().tobytes()
        if self.near is None or self.near[0] != rows:
            self.near = rows, near_duplicate_groups(self.looks(), self.settings.near_duplicate_distance)
        return self.near[1]

    def drop(self, positions: Iterable[int], rule: str, reasons: Sequence[str], evidence: Sequence[str] = ()) -> None:
        """Drops rows by their position in the current table."""
        positions = list(positions)
        originals = self.table[ROW].to_numpy()
        shown = evidence or [""] * len(positions)
        self.drops += [
            Drop(int(originals[position]), rule, reason, proof)
            for position, reason, proof in zip(positions, reasons, shown, strict=True)
        ]
        keep = np.ones(len(self.table), dtype=bool)
        keep[positions] = False
        self.table = self.table[keep].reset_index(drop=True)

    def change(self, kind: str, column: str, new: pd.Series) -> None:
        """Replaces a column, noting every label that changed."""
        old = self.table[column]
        for position in np.flatnonzero((old != new).to_numpy(dtype=bool)):
            key = (int(self.table[ROW].iat[position]), column)
            self.changes[kind][key] = (old.iat[position], new.iat[position])
        self.table[column] = new


def clean_catalog(
    catalog: Catalog,
    out: Path,
    min_class_count: int = 20,
    near_duplicates: bool = True,
    drop_views_below: int = 0,
    *,
    rules: Path | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Cleaning:
    """Drops the rows that would spoil training and brings labels to one spelling.

    Rules run in the order of `DROPPING`, again and again until none finds anything: cleaning a cleaned catalog changes
    nothing. Rows without labels stay, some methods learn from them.

    Writes `catalog.parquet` (rows in their order, all columns, and `sha256` and `duplicate_group` of each photo),
    `dropped.parquet` (all columns, and `row` counted from 1, `rule`, `reason`, `evidence`) and `report.html`.

    Args:
        catalog: The catalog; its rows may be unusable.
        out: New folder.
        min_class_count: Photos a class needs. Rarer categories are cut to the parent that has enough, rarer attribute
            labels blanked; a row goes only if nothing is left of its labels.
        near_duplicates: Also drop re-encoded, resized and slightly cropped copies.
        drop_views_below: Drop listings with fewer photos (authenticity paper, Section 2.2: six); 0 keeps all.
        rules: Settings on top of `configs/quality.yaml`.
        workers: Processes that decode photos.
        progress: Called with (photos done, photos in all).

    Raises:
        InputError: if no row is left, an argument is negative, or `out` is not a new folder.
    """
    if min_class_count < 0 or drop_views_below < 0:
        raise InputError("clean: min_class_count and drop_views_below cannot be negative")
    settings = load_settings(rules)
    with new_folder(out) as folder:
        photos = scan_photos(catalog, workers, progress)
        table = catalog.table.drop(columns=["sha256", "duplicate_group"], errors="ignore")
        table = table.assign(**{ROW: np.arange(len(catalog))})
        work = _Work(table, photos, settings, min_class_count, drop_views_below)
        steps = [
            _normalise,
            _drop_unusable_values,
            _drop_unusable_photos,
            _drop_keywords,
            _drop_repeated_text,
            _drop_exact,
            *([_drop_near] if near_duplicates else []),
            _drop_incomplete,
            _cut_rare,
        ]
        while True:
            seen = len(work.drops), sum(map(len, work.changes.values()))
            for step in steps:
                step(work)
                if work.table.empty:
                    raise InputError(f"no row is left after cleaning: {_why(work)}")
            if seen == (len(work.drops), sum(map(len, work.changes.values()))):
                break
        looks = work.looks()
        kept = work.table.drop(columns=ROW).assign(
            sha256=looks["sha256"], duplicate_group=group_names(looks, settings.near_duplicate_distance)
        )
        write_catalog(replace(catalog, table=kept), folder)
        _write_dropped(catalog, work, folder)
        by_rule = {name: sum(drop.rule == name for drop in work.drops) for name in DROPPING}
        result = Cleaning(
            len(catalog), len(kept), by_rule, {kind: len(entries) for kind, entries in work.changes.items()}
        )
        _page(catalog, work, result).write(folder / "report.html")
    return result


def group_names(photos: pd.DataFrame, max_distance: int) -> pd.Series:
    """A name per row that all copies of one photo share, flipped and turned ones too: the smallest of their sha256."""
    groups = near_duplicate_groups(photos, max_distance, turned=True)
    names = photos["sha256"].str[:16].to_numpy(dtype=object)
    for rows in members(groups):
        names[rows] = min(names[rows])
    return pd.Series(names, dtype=TEXT)


def units(table: pd.DataFrame) -> pd.Series:
    """What a row belongs to: its listing, else its product, else itself."""
    result = pd.Series([f"row:{image}" for image in table["image"]], dtype=TEXT)
    for name in ("product", "listing"):
        if name in table:
            result = result.where(table[name] == "", f"{name}:" + table[name])
    return result


def keyword_hits(table: pd.DataFrame, settings: Settings) -> pd.Series:
    """The excluded word in each row's description, or ""."""
    hits = pd.Series("", index=table.index, dtype=TEXT)
    if "description" not in table:
        return hits
    described = table["description"] != ""
    judged = pd.Series(False, index=table.index)
    if "verdict" in table:
        unit = units(table)
        judged = unit.isin(unit[table["verdict"] != ""])
    for words, where in ((settings.keywords, described), (settings.judged_keywords, described & judged)):
        for word in words:
            whole_word = rf"(?:^|\W){re.escape(word)}(?:\W|$)"
            found = where & table["description"].str.contains(whole_word, case=False, regex=True)
            if 0 < found.sum() <= max(1, settings.keyword_max_share * where.sum()):
                hits = hits.mask(found & (hits == ""), word)
    return hits


def repeated_text(table: pd.DataFrame, no_label: Collection[str]) -> dict[str, str]:
    """Listings that repeat the user and description of another: {listing to drop: listing to keep}.

    The one with the most labels stays, then the one with the most photos, then the first.
    """
    if "user" not in table or "description" not in table:
        return {}
    text = table["description"].str.split().str.join(" ").str.casefold()
    told = (table["user"] != "") & (text != "") & ~text.isin({word.casefold() for word in no_label})
    frame = pd.DataFrame({"unit": units(table), "user": table["user"], "text": text, "labels": label_counts(table)})
    frame = frame[told]
    if frame.empty:
        return {}
    listings = frame.groupby(["user", "text", "unit"], sort=False)["labels"].agg(["sum", "size"]).reset_index()
    listings["shared"] = listings.groupby(["user", "text"])["unit"].transform("size")
    listings = listings[listings["shared"] > 1]
    listings = listings.sort_values(["sum", "size"], ascending=False, kind="stable")
    listings["kept"] = listings.groupby(["user", "text"])["unit"].transform("first")
    again = listings[listings["unit"] != listings["kept"]]
    return dict(zip(again["unit"], again["kept"], strict=True))


def _normalise(work: _Work) -> None:
    new = normalised(work.table, work.settings.no_label)
    for name in label_columns(work.table) + [n for n in ("domain", "split") if n in work.table]:
        work.change("normalised", name, new[name])


def _drop_unusable_values(work: _Work) -> None:
    errors = row_errors(work.table)
    rows = np.flatnonzero(errors != "")
    work.drop(rows, "unusable_values", errors.iloc[rows].tolist())


def _drop_unusable_photos(work: _Work) -> None:
    looks = work.looks()
    rows = np.flatnonzero(~looks["readable"])
    work.drop(rows, "unreadable_photos", looks["error"].iloc[rows].tolist())
    looks = work.looks()
    rows = np.flatnonzero(looks[["width", "height"]].min(axis=1) < work.settings.unusable_side)
    sizes = [f"{w} x {h} pixels" for w, h in looks[["width", "height"]].iloc[rows].itertuples(index=False)]
    work.drop(rows, "tiny_photos", sizes)
    looks = work.looks()
    rows = np.flatnonzero(looks["spread"] < work.settings.blank_spread)
    work.drop(rows, "blank_photos", ["one plain colour"] * len(rows))


def _drop_keywords(work: _Work) -> None:
    hits, unit = keyword_hits(work.table, work.settings), units(work.table)
    words = dict(zip(unit[hits != ""], hits[hits != ""], strict=True))
    rows = np.flatnonzero(unit.isin(words))
    texts = work.table["description"] if "description" in work.table else work.table["image"]
    work.drop(
        rows,
        "keywords",
        [f"the seller writes {words[unit.iat[row]]!r}" for row in rows],
        texts.iloc[rows].tolist(),
    )


def _drop_repeated_text(work: _Work) -> None:
    again, unit = repeated_text(work.table, work.settings.no_label), units(work.table)
    rows = np.flatnonzero(unit.isin(again))
    kept = [again[unit.iat[row]].partition(":")[2] for row in rows]
    reasons = [f"same user and description as {name}" for name in kept]
    work.drop(rows, "repeated_text", reasons, kept)


def _drop_exact(work: _Work) -> None:
    _drop_copies(work, exact_groups(work.looks()), "exact_duplicates", "the same photo as", same_box)


def _drop_near(work: _Work) -> None:
    _drop_copies(work, work.near_groups(), "near_duplicates", "nearly the same photo as", may_be_copy)


def same_box(one: pd.Series, other: pd.Series) -> bool:
    """Whether two rows of one photo show one item: marked boxes that differ are different items."""
    return not (one.get("bbox") and other.get("bbox")) or one["bbox"] == other["bbox"]


def may_be_copy(one: pd.Series, other: pd.Series) -> bool:
    """Whether a near copy is a spare one.

    Photos of one listing, or of shop and user, are meant to look alike; and where labels contradict, two photos that
    look alike more likely show another shade of a product. All of these stay (and never part in a split).
    """
    same_listing = bool(one.get("listing")) and one["listing"] == other["listing"]
    across = {one.get("domain"), other.get("domain")} == {"shop", "user"}
    if same_listing or across or not same_box(one, other):
        return False
    columns = [name for name in one.index if name in ("category", "verdict") or name.startswith(ATTRIBUTE_PREFIX)]
    return not any(agreed(name, (one[name], other[name]))[1] for name in columns)


def _drop_copies(
    work: _Work, groups: Groups, rule: str, wording: str, spare: Callable[[pd.Series, pd.Series], bool]
) -> None:
    """Keeps one row of each group (the most labels, then large ones, then the first) and merges the others' labels."""
    columns = [name for name in label_columns(work.table) if name != "product"]
    labels = label_counts(work.table).to_numpy()
    looks = work.looks()
    pixels = looks["width"].to_numpy(dtype=np.int64) * looks["height"].to_numpy(dtype=np.int64)
    gone: dict[int, int] = {}
    new = {name: work.table[name].to_numpy(dtype=object).copy() for name in columns}
    merged = {name: work.table[name].to_numpy(dtype=object).copy() for name in columns}
    for rows in members(groups):
        # Enlarging a photo a little adds nothing to it: only one of at least twice the pixels counts as larger.
        small = 2 * pixels <= pixels[rows].max()
        order = sorted(rows.tolist(), key=lambda row: (-labels[row], small[row], row))
        kept: list[int] = []
        copies: dict[int, list[int]] = {}
        for row in order:
            here = work.table.loc[row]
            original = next((other for other in kept if spare(here, work.table.loc[other])), None)
            if original is None:
                kept.append(row)
            else:
                gone[row] = original
                copies.setdefault(original, []).append(row)
        for original, others in copies.items():
            for name in columns:
                value, contradicts = agreed(name, [work.table.at[row, name] for row in (original, *others)])
                (new if contradicts else merged)[name][original] = value
    for name in columns:
        current = work.table[name].to_numpy(dtype=object)
        blanked = pd.Series(np.where(new[name] != current, new[name], current), dtype=TEXT)
        work.change("contradicting", name, blanked)
        work.change("merged", name, pd.Series(np.where(merged[name] != current, merged[name], blanked), dtype=TEXT))
    images = work.table["image"]
    evidence = [images.iat[original] for original in gone.values()]
    work.drop(gone, rule, [f"{wording} {image}" for image in evidence], evidence)


def _drop_incomplete(work: _Work) -> None:
    if not work.drop_views_below or "listing" not in work.table:
        return
    sizes = work.table.groupby("listing")["image"].transform("size")
    few = (work.table["listing"] != "") & (sizes < work.drop_views_below)
    rows = np.flatnonzero(few)
    work.drop(rows, "too_few_views", [f"{sizes.iat[row]} of {work.drop_views_below} photos" for row in rows])


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
    reasons = [f"{old.iat[row]} has fewer than {least} photos, and the row no other label" for row in lost]
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

    return paths.map({path: cut(path) for path in paths.unique()}).astype(TEXT)


def _without_rare(column: pd.Series, least: int) -> pd.Series:
    counts: dict[str, int] = {}
    for cell, count in column.value_counts().items():
        for label in labels_of(str(cell)):
            counts[label] = counts.get(label, 0) + int(count)
    cells = {cell: "|".join(label for label in labels_of(cell) if counts[label] >= least) for cell in column.unique()}
    return column.map(cells).astype(TEXT)


def _why(work: _Work) -> str:
    counts = pd.Series([drop.rule for drop in work.drops]).value_counts()
    rule = str(counts.index[0])
    first = next(drop for drop in work.drops if drop.rule == rule)
    return f"the rule {rule!r} dropped {counts.iloc[0]} of {len(work.drops)} rows (row {first.row + 1}: {first.reason})"


def _write_dropped(catalog: Catalog, work: _Work, folder: Path) -> None:
    drops = sorted(work.drops, key=lambda drop: drop.row)
    rows = np.array([drop.row for drop in drops], dtype=np.int64)
    table = catalog.table.iloc[rows].reset_index(drop=True)
    table = table.assign(
        row=rows + 1,
        rule=pd.Series([drop.rule for drop in drops], dtype=TEXT),
        reason=pd.Series([drop.reason for drop in drops], dtype=TEXT),
        evidence=pd.Series([drop.evidence for drop in drops], dtype=TEXT),
    )
    table.to_parquet(folder / "dropped.parquet", index=False)


def _page(catalog: Catalog, work: _Work, result: Cleaning) -> Page:
    share = result.kept / result.before
    page = Page(
        "Cleaning report",
        f"{catalog.root}, data version {catalog.data_version or 'unknown'}",
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
    for kind, entries in work.changes.items():
        if entries:
            _changes(page, catalog, kind, entries)
    for name, title in DROPPING.items():
        if drops := sorted((drop for drop in work.drops if drop.rule == name), key=lambda drop: drop.row):
            note = f"{len(drops):,} rows; the first {min(len(drops), EXAMPLES)} here."
            page.heading(f"Dropped: {title.lower()}", note)
            page.photos(_shown(catalog, drop) for drop in drops[:EXAMPLES])
    return page


def _changes(page: Page, catalog: Catalog, kind: str, entries: dict[tuple[int, str], tuple[str, str]]) -> None:
    """A table of what was changed to what, the commonest first; contradictions name the photo."""
    page.heading(CHANGING[kind])
    if kind in ("contradicting", "merged"):
        rows = [
            (row + 1, catalog.table["image"].iat[row], column, old or "–", new or "–")
            for (row, column), (old, new) in sorted(entries.items())
        ]
        page.table(("Row", "Photo", "Column", "Was", "Is"), rows, shown=30)
        return
    pairs = pd.Series([(column, old, new) for (_, column), (old, new) in entries.items()]).value_counts()
    page.table(
        ("Column", "Was", "Is", "Rows"),
        [(column, old, new or "–", int(count)) for (column, old, new), count in pairs.items()],
        shown=30,
    )


def _shown(catalog: Catalog, drop: Drop) -> Photo:
    image = catalog.table["image"].iat[drop.row]
    readable: NDArray[np.bool_] | bool = drop.rule not in ("unusable_values", "unreadable_photos")
    return Photo(
        thumbnail(catalog.uri(image)) if readable else None, (f"Row {drop.row + 1}", image, drop.reason), "bad"
    )
