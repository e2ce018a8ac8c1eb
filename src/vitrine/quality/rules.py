"""What validation looks for: each rule says how many of how many, and which rows show it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.catalog import ATTRIBUTE_PREFIX, Catalog, labels_of
from vitrine.catalog.schema import ALLOWED_VALUES, BBOX_PATTERN, is_safe_path
from vitrine.quality.clean import keyword_hits, may_be_copy, repeated_text, same_box, units
from vitrine.quality.duplicates import Groups, exact_groups, members, near_duplicate_groups
from vitrine.quality.expectations import unexpected_rows
from vitrine.quality.labels import agreed, label_columns, label_counts, normalised
from vitrine.quality.settings import Settings

TEXT_COLUMNS = ("category", "description", "user", "expert", "listing", "product", "view")
UNSAFE_TEXT = r"<\s*/?\s*[a-zA-Z!]|&#|javascript:|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
UNUSUAL_MODES = ["CMYK", "YCCK", "LAB", "HSV", "F", "I", "I;16", "I;16B", "I;16L", "I;16N"]
WORDS = {"image": "path of the photo", "photo:mode": "colour mode", "photo:frames": "animation"}
EXAMPLES = 12


@dataclass(frozen=True)
class Finding:
    """What a rule found.

    Attributes:
        count: How many break the rule.
        total: Of how many.
        rows: Rows that show it (0-based), the first few.
        details: What was found, in words.
    """

    count: int
    total: int
    rows: tuple[int, ...] = ()
    details: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Count over total, 0 of none."""
        return self.count / self.total if self.total else 0.0


@dataclass(frozen=True)
class Evidence:
    """What rules look at: the catalog, its photo table, and which rows are copies of one another."""

    catalog: Catalog
    photos: pd.DataFrame
    exact: Groups
    near: Groups
    settings: Settings

    @property
    def table(self) -> pd.DataFrame:
        """The catalog's rows."""
        return self.catalog.table


def gather(catalog: Catalog, photos: pd.DataFrame, settings: Settings) -> Evidence:
    """Looks for copies once, for all rules."""
    near = near_duplicate_groups(photos, settings.near_duplicate_distance)
    return Evidence(catalog, photos, exact_groups(photos), near, settings)


def evaluate(evidence: Evidence) -> dict[str, Finding]:
    """Every rule that has something to look at in this catalog, in the order of the settings."""
    found = _tabular(evidence)
    for name, rule in RULES.items():
        finding = rule(evidence)
        if finding is not None:
            found[name] = finding
    return {name: found[name] for name in evidence.settings.rules if name in found}


# Rules over single cells: Great Expectations judges them.


def _tabular(evidence: Evidence) -> dict[str, Finding]:
    frame = _frame(evidence)
    specs = list(_expectations(frame, evidence.settings))
    outcome = unexpected_rows(frame, [(name, arguments) for _, name, arguments in specs])
    readable = int(evidence.photos["readable"].sum())
    totals = {"unusable_values": len(frame), "unsafe_text": len(frame), "missing_photos": len(frame)}
    found: dict[str, Finding] = {}
    for rule in dict.fromkeys(spec[0] for spec in specs):
        parts = [(spec[2]["column"], *result) for spec, result in zip(specs, outcome, strict=True) if spec[0] == rule]
        rows = sorted({row for _, _, listed in parts for row in listed})
        # One row may break several columns: the rows are counted where all are listed, else the worst column.
        complete = all(count == len(listed) for _, count, listed in parts)
        count = len(rows) if complete else max(len(rows), *(count for _, count, _ in parts))
        details = tuple(f"{WORDS.get(column, column)}: {count}" for column, count, _ in parts if count)
        details = details if len(parts) > 1 else ()
        found[rule] = Finding(count, totals.get(rule, readable), tuple(rows[:EXAMPLES]), details)
    if "unreadable_photos" in found:
        broken = np.flatnonzero(evidence.photos["problem"] == "unreadable")
        reasons = evidence.photos["error"].iloc[broken].str.replace(r"\s*\(.*", "", regex=True).value_counts()
        details = tuple(f"{reason}: {number}" for reason, number in reasons.items())
        found["unreadable_photos"] = Finding(len(broken), len(frame), tuple(broken[:EXAMPLES].tolist()), details)
    return found


def _frame(evidence: Evidence) -> pd.DataFrame:
    """One table of catalog and photo columns (`photo:<name>`), with nulls where a photo cannot be measured."""
    table, photos, settings = evidence.table, evidence.photos, evidence.settings
    texts = [name for name in table.columns if name in TEXT_COLUMNS or name.startswith(ATTRIBUTE_PREFIX)]
    names = dict.fromkeys([*texts, *(name for name in (*ALLOWED_VALUES, "bbox") if name in table)])
    frame = table[list(names)].astype(object)
    readable = photos["readable"]
    frame["image"] = table["image"].map(is_safe_path).astype(bool)
    frame["photo:problem"] = photos["problem"].astype(object)
    frame["photo:side"] = photos[["width", "height"]].min(axis=1).where(readable)
    frame["photo:spread"] = photos["spread"].astype("float64").where(frame["photo:side"] >= settings.unusable_side)
    frame["photo:frames"] = photos["frames"].where(readable)
    frame["photo:mode"] = photos["mode"].astype(object).where(readable, None)
    frame["photo:extension"] = photos["extension_matches"].astype(object).where(readable, None)
    return frame


def _expectations(frame: pd.DataFrame, settings: Settings) -> Iterable[tuple[str, str, dict[str, Any]]]:
    yield "unusable_values", "ExpectColumnValuesToBeInSet", {"column": "image", "value_set": [True]}
    for column, allowed in ALLOWED_VALUES.items():
        if column in frame:
            yield "unusable_values", "ExpectColumnValuesToBeInSet", {"column": column, "value_set": list(allowed)}
    if "bbox" in frame:
        yield (
            "unusable_values",
            "ExpectColumnValuesToMatchRegex",
            {"column": "bbox", "regex": rf"^(?:{BBOX_PATTERN})?$"},
        )
    arguments: dict[str, Any]
    if "category" in frame:
        arguments = {"column": "category", "regex": r"^/|//|/$"}
        yield "unusable_values", "ExpectColumnValuesToNotMatchRegex", arguments
    for column in frame:
        if column in TEXT_COLUMNS or column.startswith(ATTRIBUTE_PREFIX):
            yield "unsafe_text", "ExpectColumnValuesToNotMatchRegex", {"column": column, "regex": UNSAFE_TEXT}
    for rule, problem in (("missing_photos", "missing"), ("unreadable_photos", "unreadable")):
        arguments = {"column": "photo:problem", "value_set": [problem]}
        yield rule, "ExpectColumnValuesToNotBeInSet", arguments
    if frame["photo:mode"].notna().any():
        between = "ExpectColumnValuesToBeBetween"
        yield "tiny_photos", between, {"column": "photo:side", "min_value": settings.tiny_side}
        yield "blank_photos", between, {"column": "photo:spread", "min_value": settings.blank_spread}
        yield "wrong_extension", "ExpectColumnValuesToBeInSet", {"column": "photo:extension", "value_set": [True]}
        arguments = {"column": "photo:mode", "value_set": UNUSUAL_MODES}
        yield "unusual_mode", "ExpectColumnValuesToNotBeInSet", arguments
        yield "unusual_mode", between, {"column": "photo:frames", "max_value": 1}


# Rules over several rows, and over photos.


def _exact(evidence: Evidence) -> Finding:
    def spare(one: int, other: int) -> bool:
        return same_box(evidence.table.loc[one], evidence.table.loc[other])

    return _copies(evidence, evidence.exact, spare)


def _near(evidence: Evidence) -> Finding:
    def spare(one: int, other: int) -> bool:
        exact = evidence.exact[one] >= 0 and evidence.exact[one] == evidence.exact[other]
        return not exact and may_be_copy(evidence.table.loc[one], evidence.table.loc[other])

    return _copies(evidence, evidence.near, spare)


def _copies(evidence: Evidence, groups: Groups, spare: Callable[[int, int], bool]) -> Finding:
    """Rows that copy an earlier row of their group, as far as cleaning would call one of them spare."""
    pairs: list[tuple[int, int]] = []
    for rows in members(groups):
        for place, row in enumerate(rows.tolist()):
            original = next((other for other in rows[:place].tolist() if spare(row, other)), None)
            if original is not None:
                pairs.append((row, original))
    shown = list(dict.fromkeys(row for copy, original in pairs for row in (original, copy)))
    details = tuple(f"row {copy + 1} copies row {original + 1}" for copy, original in pairs[:5])
    return Finding(len(pairs), int(evidence.photos["readable"].sum()), tuple(shown[:EXAMPLES]), details)


def _contradicting(evidence: Evidence) -> Finding:
    table = normalised(evidence.table, evidence.settings.no_label)
    columns = [name for name in label_columns(table) if name != "product"]
    rows_found: list[int] = []
    details: list[str] = []
    for rows in members(evidence.exact):
        wrong = [name for name in columns if agreed(name, table[name].iloc[rows].tolist())[1]]
        if wrong:
            rows_found += rows.tolist()
            values = {name: " / ".join(sorted(set(table[name].iloc[rows]) - {""})) for name in wrong}
            details.append(f"row {rows[0] + 1}: " + "; ".join(f"{name}: {value}" for name, value in values.items()))
    return Finding(len(rows_found), len(table), tuple(sorted(rows_found)[:EXAMPLES]), tuple(details[:8]))


def _leakage(evidence: Evidence) -> Finding | None:
    table = evidence.table
    if "split" not in table or (table["split"] == "").all():
        return None
    given = table["split"].to_numpy(dtype=object)
    leaking = np.zeros(len(table), dtype=bool)
    details = []
    ties: dict[str, NDArray[np.int64]] = {
        name: np.where(table[name] == "", -1, pd.factorize(table[name])[0])
        for name in ("listing", "product")
        if name in table
    }
    for name, groups in {**ties, "photo (exact copies)": evidence.exact, "photo (near copies)": evidence.near}.items():
        known = (groups >= 0) & (given != "")
        splits = pd.Series(given[known]).groupby(groups[known]).nunique()
        bad = np.isin(groups, splits.index[splits > 1].to_numpy()) & known
        if bad.any():
            details.append(f"{name}: {int((splits > 1).sum())} over two splits, {int(bad.sum())} rows")
        leaking |= bad
    rows = np.flatnonzero(leaking)
    return Finding(len(rows), int((given != "").sum()), tuple(rows[:EXAMPLES].tolist()), tuple(details))


def _repeated_text(evidence: Evidence) -> Finding | None:
    if "user" not in evidence.table or "description" not in evidence.table:
        return None
    again, unit = repeated_text(evidence.table, evidence.settings.no_label), units(evidence.table)
    rows = np.flatnonzero(unit.isin(again))
    details = [f"{one.partition(':')[2]} repeats {kept.partition(':')[2]}" for one, kept in list(again.items())[:5]]
    return Finding(len(again), int(unit.nunique()), tuple(rows[:EXAMPLES].tolist()), tuple(details))


def _keywords(evidence: Evidence) -> Finding | None:
    if "description" not in evidence.table:
        return None
    hits = keyword_hits(evidence.table, evidence.settings)
    rows = np.flatnonzero(hits != "")
    details = tuple(f"{word}: {count}" for word, count in hits[hits != ""].value_counts().items())
    return Finding(len(rows), len(hits), tuple(rows[:EXAMPLES].tolist()), details)


def _views(evidence: Evidence) -> pd.DataFrame | None:
    """Listings by views: how many photos of each view; only listings of several photos with several different views."""
    table = evidence.table
    if "view" not in table or "listing" not in table:
        return None
    named = table[(table["view"] != "") & (table["listing"] != "")]
    if named.empty:
        return None
    counts = named.groupby(["listing", "view"]).size().unstack(fill_value=0)
    counts = counts[(counts > 0).sum(axis=1) >= 2]
    return None if counts.empty else counts


def _missing_views(evidence: Evidence) -> Finding | None:
    counts = _views(evidence)
    if counts is None:
        return None
    usual = counts.columns[(counts > 0).mean() >= 0.5]
    lacking = counts[(counts[usual] == 0).any(axis=1)]
    return _listings(evidence, lacking, len(counts), lambda row: [view for view in usual if row[view] == 0], "lacks")


def _repeated_views(evidence: Evidence) -> Finding | None:
    counts = _views(evidence)
    if counts is None:
        return None
    again = counts[[view for view in counts.columns if view != "extra"]]
    double = again[(again > 1).any(axis=1)]
    return _listings(evidence, double, len(counts), lambda row: list(row.index[row > 1]), "shows twice")


def _listings(
    evidence: Evidence, found: pd.DataFrame, total: int, views: Callable[[pd.Series], list[str]], verb: str
) -> Finding:
    details = tuple(f"{name} {verb} {', '.join(views(row))}" for name, row in found.head(8).iterrows())
    first = evidence.table["listing"].isin(found.index) & ~evidence.table["listing"].duplicated()
    return Finding(len(found), total, tuple(np.flatnonzero(first)[:EXAMPLES].tolist()), details)


def _rare(evidence: Evidence) -> Finding | None:
    counts = class_counts(evidence.table)
    if not counts:
        return None
    least = evidence.settings.min_class_count
    rare = sorted(((count, name) for name, count in counts.items() if count < least))
    details = tuple(f"{column.removeprefix(ATTRIBUTE_PREFIX)} {label}: {count}" for count, (column, label) in rare[:12])
    return Finding(len(rare), len(counts), (), details)


def class_counts(table: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Rows of each class: category nodes as full paths, attribute labels and verdicts, by (column, label)."""
    counts: dict[tuple[str, str], int] = {}
    for column in label_columns(table):
        if column == "product":
            continue
        for cell, number in table[column].value_counts().items():
            for label in _classes(column, str(cell)):
                counts[column, label] = counts.get((column, label), 0) + int(number)
    return counts


def _classes(column: str, cell: str) -> list[str]:
    if column == "category":
        parts = cell.split("/") if cell else []
        return ["/".join(parts[:level]) for level in range(1, len(parts) + 1)]
    return labels_of(cell) if column.startswith(ATTRIBUTE_PREFIX) else [cell] if cell else []


def _balance(evidence: Evidence) -> Finding | None:
    if "category" not in evidence.table:
        return None
    paths = evidence.table["category"]
    counts = paths[paths != ""].value_counts()
    if counts.empty:
        return None
    return Finding(int(counts.iloc[0]), int(counts.sum()), (), (f"{counts.index[0]}: {counts.iloc[0]}",))


def _unlabelled(evidence: Evidence) -> Finding:
    rows = np.flatnonzero(label_counts(evidence.table) == 0)
    return Finding(len(rows), len(evidence.table), tuple(rows[:EXAMPLES].tolist()))


def _no_labels(evidence: Evidence) -> Finding:
    filled = int((label_counts(normalised(evidence.table, evidence.settings.no_label)) > 0).sum())
    return Finding(int(filled == 0), 1, (), () if filled else ("every row is unlabelled",))


def _single_value(evidence: Evidence) -> Finding | None:
    columns = [name for name in label_columns(evidence.table) if (evidence.table[name] != "").any()]
    columns = [name for name in columns if name != "product"]
    if not columns:
        return None
    labels = {
        name: {label for cell in evidence.table[name].unique() for label in _classes(name, str(cell)) if label}
        for name in columns
    }
    if "category" in labels:
        labels["category"] = set(evidence.table["category"].unique()) - {""}
    single = [name for name in columns if len(labels[name]) == 1]
    return Finding(len(single), len(columns), (), tuple(f"{name}: {next(iter(labels[name]))}" for name in single))


def _shared_names(evidence: Evidence) -> Finding | None:
    nodes = [label for column, label in class_counts(evidence.table) if column == "category"]
    if not nodes:
        return None
    words = pd.Series(nodes).groupby(pd.Series(nodes).str.rpartition("/")[2]).apply(sorted)
    shared = words[words.str.len() > 1]
    details = tuple(" and ".join(paths) for paths in shared.head(8))
    return Finding(int(shared.str.len().sum()) if len(shared) else 0, len(nodes), (), details)


def _boxes(evidence: Evidence) -> Finding | None:
    if "bbox" not in evidence.table:
        return None
    boxes, photos = evidence.table["bbox"], evidence.photos
    judged = boxes.str.fullmatch(BBOX_PATTERN).astype(bool) & photos["readable"]
    if not judged.any():
        return None
    values = boxes[judged].str.split(",", expand=True).astype(float)
    width, height = photos.loc[judged, "width"], photos.loc[judged, "height"]
    inside = (values[2] > 0) & (values[3] > 0)
    inside &= (values[0] + values[2] <= width + 1) & (values[1] + values[3] <= height + 1)  # rounding is no fault
    rows = inside.index[~inside].to_numpy()
    return Finding(len(rows), int(judged.sum()), tuple(rows[:EXAMPLES].tolist()))


RULES: dict[str, Callable[[Evidence], Finding | None]] = {
    "exact_duplicates": _exact,
    "near_duplicates": _near,
    "contradicting_labels": _contradicting,
    "split_leakage": _leakage,
    "repeated_text": _repeated_text,
    "keywords": _keywords,
    "missing_views": _missing_views,
    "repeated_views": _repeated_views,
    "rare_classes": _rare,
    "label_balance": _balance,
    "unlabelled": _unlabelled,
    "no_labels": _no_labels,
    "single_value_labels": _single_value,
    "shared_node_names": _shared_names,
    "boxes_outside": _boxes,
}
