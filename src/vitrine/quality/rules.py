"""What validation looks for: each rule says how many of how many, and which rows show it."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.catalog import ATTRIBUTE_PREFIX, Catalog, labels_of
from vitrine.catalog.schema import ALLOWED_VALUES, BBOX_PATTERN, composed, row_errors, unsafe_paths
from vitrine.catalog.table import TEXT
from vitrine.quality.boxes import is_box, outside
from vitrine.quality.copies import NO_LINKS, Row, first_copies, may_be_copy, records, same_box, spare_rows
from vitrine.quality.defects import MASKS, Mask, defects
from vitrine.quality.duplicates import Groups, Links, Rows, linked, members
from vitrine.quality.expectations import build, judge, unexpected
from vitrine.quality.experts import deviating, disagreements, expert_rates
from vitrine.quality.label_noise import Features, LabelNoise, label_noise
from vitrine.quality.labels import agreed, label_columns, label_counts, named, normalised
from vitrine.quality.links import CopyLinks
from vitrine.quality.listings import keyword_hits, repeated_text, unit_name, units
from vitrine.quality.overlays import watermarks
from vitrine.quality.settings import Settings
from vitrine.quality.view_order import DISORDERED, MISSING, REPEATED, SAME_PHOTO, ViewReport, view_report

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult

TEXT_COLUMNS = ("image", "category", "description", "user", "expert", "listing", "product", "view")
# Markup, cells that a spreadsheet takes for formulas, control characters and those that turn the direction of text.
UNSAFE_TEXT = (
    r"(?i)<[a-z!/?]|&(?:#|lt;|gt;|quot;)|javascript:|^[=@]|^[+-][^|]*\|.*!"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
UNUSUAL_MODES = ["CMYK", "YCCK", "LAB", "HSV", "F", "I", "I;16", "I;16B", "I;16L", "I;16N", "RGB;16", "RGBA;16"]
WORDS = {"photo:path": "path of the photo", "photo:mode": "colour mode", "photo:frames": "animation"}
EXAMPLES = 12
NUMBERS = dict(enumerate(("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), start=2))


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
    """What rules look at.

    Attributes:
        catalog: The catalog as it was given, but for names that mean "none".
        normal: Its rows with labels in one spelling, and none where a word means "no label".
        photos: Its photo table.
        links: Which photos are copies of which.
        exact: Groups of exact copies.
        pictures: Groups of copies that were saved anew or resized, exact ones included.
        near: Groups of near copies, all of these included.
        turned: The same with mirrored and turned copies.
        noise: Labels that the photos contradict.
        defects: Which photos are unlike the others in a way that spoils them, by rule.
        settings: Thresholds and words.
    """

    catalog: Catalog
    normal: pd.DataFrame
    photos: pd.DataFrame
    links: CopyLinks
    exact: Groups
    pictures: Groups
    near: Groups
    turned: Groups
    noise: LabelNoise
    defects: dict[str, Mask]
    settings: Settings

    @cached_property
    def views(self) -> ViewReport:
        """What is wrong with the views of listings."""
        return view_report(self.table, self.exact)

    @cached_property
    def unusable(self) -> pd.Series:
        """Why each row cannot be used, as cleaning says it; "" where it can."""
        reasons = row_errors(self.normal).to_numpy(dtype=object)
        unread = ~self.photos["readable"].to_numpy(dtype=bool) & (reasons == "")
        reasons[unread] = self.photos["error"].to_numpy(dtype=object)[unread]
        return pd.Series(reasons, dtype=TEXT)

    @property
    def table(self) -> pd.DataFrame:
        """The catalog's rows."""
        return self.catalog.table


def gather(
    catalog: Catalog,
    photos: pd.DataFrame,
    links: CopyLinks,
    settings: Settings,
    features: Sequence[Features] = (),
    workers: int | None = None,
) -> Evidence:
    """What several rules ask for, once for all of them; the photos' signatures are asked for here alone."""
    kinds = (links.exact, [links.pictures], [links.near], [links.turned])  # each holds those before it
    exact, pictures, near, turned = (linked(len(photos), list(chain.from_iterable(kinds[: n + 1]))) for n in range(4))
    catalog = catalog.with_table(named(catalog.table, settings.no_label))
    normal = normalised(catalog.table, settings.no_label)
    noise = label_noise(normal, photos, near, features, max_rows=settings.label_noise_rows)
    spoilt = defects(photos, settings)
    spoilt["watermarks"] = watermarks(catalog, photos, near, settings.label_noise_rows, workers)
    photos = photos.drop(columns="signature")  # most of the table
    return Evidence(catalog, normal, photos, links, exact, pictures, near, turned, noise, spoilt, settings)


def evaluate(evidence: Evidence) -> tuple[dict[str, Finding], "list[ExpectationValidationResult]"]:
    """Every rule that has something to look at in this catalog, in the order of the settings.

    Returns:
        What each found, and what Great Expectations says of the rules that it judged.
    """
    findings, results = _tabular(evidence)
    for name, rule in RULES.items():
        finding = rule(evidence)
        if finding is not None:
            findings[name] = finding
    return {name: findings[name] for name in evidence.settings.rules if name in findings}, results


# Rules over single cells: Great Expectations judges them.


def _tabular(evidence: Evidence) -> tuple[dict[str, Finding], "list[ExpectationValidationResult]"]:
    frame = _frame(evidence)
    specs = list(_expectations(frame, evidence.settings))
    results = judge(frame, build([(name, arguments) for _, name, arguments in specs]))
    outcome = [unexpected(result) for result in results]
    readable = int(evidence.photos["readable"].sum())
    totals = {"unusable_values": len(frame), "unsafe_text": len(frame), "missing_photos": len(frame)}
    findings: dict[str, Finding] = {}
    for rule in dict.fromkeys(spec[0] for spec in specs):
        parts = [(spec[2]["column"], *result) for spec, result in zip(specs, outcome, strict=True) if spec[0] == rule]
        rows = sorted({row for _, _, listed in parts for row in listed})
        # One row may break several columns: the rows are counted where all are listed, else the worst column.
        complete = all(count == len(listed) for _, count, listed in parts)
        count = len(rows) if complete else max(len(rows), *(count for _, count, _ in parts))
        details = tuple(f"{WORDS.get(column, column)}: {count}" for column, count, _ in parts if count)
        details = details if len(parts) > 1 else ()
        findings[rule] = Finding(count, totals.get(rule, readable), tuple(rows[:EXAMPLES]), details)
    if "unreadable_photos" in findings:
        broken = np.flatnonzero(evidence.photos["problem"] == "unreadable")
        reasons = evidence.photos["error"].iloc[broken].str.replace(r"\s*\(.*", "", regex=True).value_counts()
        details = tuple(f"{reason}: {number}" for reason, number in reasons.items())
        findings["unreadable_photos"] = Finding(len(broken), len(frame), tuple(broken[:EXAMPLES].tolist()), details)
    return findings, results


def _frame(evidence: Evidence) -> pd.DataFrame:
    """One table of catalog and photo columns (`photo:<name>`), with nulls where a photo cannot be measured."""
    table, photos, settings = evidence.table, evidence.photos, evidence.settings
    texts = [name for name in table.columns if name in TEXT_COLUMNS or name.startswith(ATTRIBUTE_PREFIX)]
    names = dict.fromkeys([*texts, *(name for name in (*ALLOWED_VALUES, "bbox") if name in table)])
    readable = photos["readable"]
    side = np.minimum(photos["width"], photos["height"]).astype("float64").where(readable)
    measures = {
        "photo:path": ~unsafe_paths(table["image"]),
        "photo:problem": photos["problem"],
        "photo:side": side,
        "photo:spread": photos["spread"].astype("float64").where(side >= settings.unusable_side),
        "photo:colourfulness": photos["colourfulness"].astype("float64"),
        "photo:pixels": (photos["width"].astype("float64") * photos["height"]).where(readable),
        "photo:frames": photos["frames"].astype("float64").where(readable),
        "photo:mode": photos["mode"].where(readable),
        "photo:extension": photos["extension_matches"].astype("float64").where(readable),
        "photo:error": photos["error"].where(readable),
    }
    return table[list(names)].assign(**measures)


def _expectations(frame: pd.DataFrame, settings: Settings) -> Iterable[tuple[str, str, dict[str, Any]]]:
    yield "unusable_values", "ExpectColumnValuesToBeInSet", {"column": "photo:path", "value_set": [True]}
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
        arguments = {"column": "category", "regex": r"^\s*/|/\s*/|/\s*$"}
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
        yield "wrong_extension", "ExpectColumnValuesToBeInSet", {"column": "photo:extension", "value_set": [1.0]}
        yield "huge_photos", between, {"column": "photo:pixels", "max_value": settings.huge_pixels}
        yield "grey_photos", between, {"column": "photo:colourfulness", "min_value": settings.grey_colourfulness}
        arguments = {"column": "photo:mode", "value_set": UNUSUAL_MODES}
        yield "unusual_mode", "ExpectColumnValuesToNotBeInSet", arguments
        yield "unusual_mode", between, {"column": "photo:frames", "max_value": 1}
        yield "no_end_marker", "ExpectColumnValuesToBeInSet", {"column": "photo:error", "value_set": [""]}


# Rules over several rows, and over photos.


def _defect(name: str) -> Callable[[Evidence], Finding | None]:
    def rule(evidence: Evidence) -> Finding | None:
        total = int(evidence.photos["readable"].sum())
        rows = np.flatnonzero(evidence.defects[name])
        return Finding(len(rows), total, tuple(rows[:EXAMPLES].tolist())) if total else None

    return rule


def _exact(evidence: Evidence) -> Finding:
    def spare(one: Row, other: Row, _: bool) -> bool:
        return same_box(one, other)

    return _copies(evidence, evidence.exact, NO_LINKS, spare)


def _near(evidence: Evidence) -> Finding:
    return _copies(evidence, _without_copies(evidence.near, evidence.exact), evidence.links.near, may_be_copy)


def _without_copies(groups: Groups, copies: Groups) -> Groups:
    """Groups in which the first of closer copies, which have rules of their own, stands for all."""
    later = (copies >= 0) & (copies != np.arange(len(copies)))
    return np.where(later, -1, groups)


def _copies(evidence: Evidence, groups: Groups, near: Links, spare: Callable[[Row, Row, bool], bool]) -> Finding:
    """Rows that copy an earlier row of their group, as far as cleaning would call one of them spare."""
    shown = records(evidence.normal, evidence.photos, np.flatnonzero(groups >= 0))
    first = first_copies(evidence.exact)
    pairs = list(spare_rows(members(groups), shown, spare, first, near, evidence.links.pictures).items())
    examples = list(dict.fromkeys(row for copy, original in pairs[:EXAMPLES] for row in (original, copy)))
    details = tuple(f"row {copy + 1} copies row {original + 1}" for copy, original in pairs[:5])
    return Finding(len(pairs), int(evidence.photos["readable"].sum()), tuple(examples[:EXAMPLES]), details)


def _contradicting(evidence: Evidence) -> Finding:
    return _contradictions(evidence, evidence.pictures)


def _contradicting_copies(evidence: Evidence) -> Finding:
    return _contradictions(evidence, _without_copies(evidence.near, evidence.pictures))


def _contradictions(evidence: Evidence, groups: Groups) -> Finding:
    """Rows of one photo, and of one marked box in it, whose labels cannot all be right."""
    columns = [name for name in label_columns(evidence.normal) if name != "product"]
    shown = records(evidence.normal, evidence.photos, np.flatnonzero(groups >= 0))
    wrong_rows: list[int] = []
    details: list[str] = []
    for group in members(groups):
        rows = group.tolist()
        marked: list[int] = []  # a row for each different box
        for row in rows:
            if shown[row].get("bbox") and not any(same_box(shown[row], shown[other]) for other in marked):
                marked.append(row)
        for item in marked or rows[:1]:
            numbers = [row for row in rows if same_box(shown[row], shown[item])]
            wrong = [name for name in columns if agreed(name, [shown[row][name] for row in numbers])[1]]
            if wrong:
                wrong_rows += numbers
                sentences = (
                    f"{name}: {' / '.join(sorted({shown[row][name] for row in numbers} - {''}))}" for name in wrong
                )
                details.append(f"row {numbers[0] + 1}: {'; '.join(sentences)}")
    rows = sorted(set(wrong_rows))
    return Finding(len(rows), len(evidence.table), tuple(rows[:EXAMPLES]), tuple(details[:8]))


def _left_out(evidence: Evidence) -> Finding:
    rows = np.flatnonzero(evidence.unusable != "")
    return Finding(len(rows), len(evidence.table), tuple(rows[:EXAMPLES].tolist()))


def _spellings(evidence: Evidence) -> Finding | None:
    """Labels that are written in several ways, each of them once."""
    written: dict[tuple[str, str], dict[str, int]] = {}  # column and label -> ways to write it, and rows
    for name in label_columns(evidence.table):
        if name != "product":
            cells = pd.DataFrame({"given": evidence.table[name], "normal": evidence.normal[name]}).value_counts()
            for (given, normal), count in cells.items():
                for label, label_given in _written(name, str(given), str(normal)):
                    ways = written.setdefault((name, label), {})
                    ways[label_given] = ways.get(label_given, 0) + int(count)
    if not written:
        return None
    several = {key: ways for key, ways in written.items() if len(ways) > 1}
    details = []
    rows: set[int] = set()
    for (column, label), ways in several.items():
        spelled = ", ".join(
            f"{spelling} {count:,}" for spelling, count in sorted(ways.items(), key=lambda way: (-way[1], way[0]))
        )
        number = NUMBERS.get(len(ways), str(len(ways)))
        details.append(f"{column.removeprefix(ATTRIBUTE_PREFIX)} {label}: {number} spellings ({spelled})")
        given = evidence.table[column]
        odd = [cell for cell in given.unique() if (set(_ways(column, cell)) & set(ways)) - {label}]
        rows |= set(np.flatnonzero(given.isin(odd))[:EXAMPLES].tolist())
    return Finding(len(several), len(written), tuple(sorted(rows)[:EXAMPLES]), tuple(details[:12]))


def _ways(column: str, cell: str) -> list[str]:
    """The labels of a cell as they are written."""
    return labels_of(cell) if column.startswith(ATTRIBUTE_PREFIX) else [cell]


def _written(column: str, given: str, normal: str) -> list[tuple[str, str]]:
    """The labels of a cell, and how each is written there; those that were cut or blanked are no spelling."""

    def plain(label: str) -> str:
        return re.sub(r"\s*/\s*", "/", " ".join(composed(label).split())).casefold()

    usual = {plain(label): label for label in _ways(column, normal)}
    return [(usual[plain(label)], label) for label in _ways(column, given) if label and plain(label) in usual]


def _leakage(evidence: Evidence) -> Finding | None:
    table = evidence.table
    if "split" not in table or (evidence.normal["split"] == "").all():
        return None
    given = evidence.normal["split"].to_numpy(dtype=object)
    leaking = np.zeros(len(table), dtype=bool)
    details = []
    ties: dict[str, NDArray[np.int64]] = {
        name: np.where(table[name] == "", -1, pd.factorize(table[name])[0])
        for name in ("listing", "product")
        if name in table
    }
    for name, groups in {
        **ties,
        "photo": evidence.exact,
        "photo (near copies)": evidence.near,
        "photo (mirrored or turned)": evidence.turned,
    }.items():
        grouped = (groups >= 0) & (given != "")
        splits = pd.Series(given[grouped]).groupby(groups[grouped]).nunique()
        bad = np.isin(groups, splits.index[splits > 1].to_numpy()) & grouped
        if bad.any():
            details.append(f"{name}: {int((splits > 1).sum())} over two splits, {int(bad.sum())} rows")
        leaking |= bad
    rows = np.flatnonzero(leaking)
    return Finding(len(rows), int((given != "").sum()), tuple(rows[:EXAMPLES].tolist()), tuple(details))


def _repeated_text(evidence: Evidence) -> Finding | None:
    if "user" not in evidence.table or "description" not in evidence.table:
        return None
    kept, unit = repeated_text(evidence.table, evidence.settings.no_label), units(evidence.table)
    rows = np.flatnonzero(kept >= 0)
    first = rows[np.unique(unit[rows], return_index=True)[1]]  # a row of each listing
    names = [(unit_name(evidence.table, row), unit_name(evidence.table, kept[row])) for row in first[:5].tolist()]
    details = tuple(f"{again} repeats {name}" for again, name in names)
    return Finding(len(first), len(np.unique(unit)), tuple(rows[:EXAMPLES].tolist()), details)


def _keywords(evidence: Evidence) -> Finding | None:
    if "description" not in evidence.table:
        return None
    hits, unit = keyword_hits(evidence.table, evidence.settings), units(evidence.table)
    rows = np.flatnonzero(hits != "")
    words = hits.iloc[rows].groupby(unit[rows]).first()  # of each listing
    details = tuple(f"{word}: {count}" for word, count in words.value_counts().items())
    return Finding(len(words), len(np.unique(unit)), tuple(rows[:EXAMPLES].tolist()), details)


def _missing_views(evidence: Evidence) -> Finding | None:
    return _of_views(evidence, MISSING)


def _repeated_views(evidence: Evidence) -> Finding | None:
    return _of_views(evidence, REPEATED)


def _disordered_views(evidence: Evidence) -> Finding | None:
    return _of_views(evidence, DISORDERED)


def _one_photo_two_views(evidence: Evidence) -> Finding | None:
    return _of_views(evidence, SAME_PHOTO)


def _of_views(evidence: Evidence, kind: str) -> Finding | None:
    """Listings with one kind of problem, of those that show several different views."""
    if not evidence.views.listings:
        return None
    of_kind = evidence.views.of(kind)
    first = of_kind.head(8)
    details = tuple(f"{name} {detail}" for name, detail in zip(first["listing"], first["detail"], strict=True))
    rows = tuple(of_kind["row"].head(EXAMPLES).tolist())
    return Finding(int(of_kind["listing"].nunique()), evidence.views.listings, rows, details)


def _label_noise(evidence: Evidence) -> Finding | None:
    judged = sum(column.used for column in evidence.noise.columns if not column.reason)
    if not judged:
        return None
    suspects = evidence.noise.suspects
    details = tuple(
        f"row {suspect.row + 1}, {suspect.column.removeprefix(ATTRIBUTE_PREFIX)}: "
        f"{suspect.given} looks like {suspect.suggested}"
        for suspect in suspects.head(EXAMPLES).itertuples(index=False)
    )
    rows = tuple(dict.fromkeys(suspects["row"].head(EXAMPLES).tolist()))
    return Finding(len(suspects), judged, rows, details)


def _expert_disagreement(evidence: Evidence) -> Finding | None:
    if "verdict" not in evidence.normal or not (judged := (evidence.normal["verdict"] != "").to_numpy(bool)).any():
        return None
    contradictions = disagreements(evidence.normal, evidence.exact, evidence.settings.no_label)
    count = int(contradictions.groupby("tie")["item"].nunique().sum())
    items = contradictions.groupby(["tie", "item"], sort=False).agg(
        name=("name", "first"), says=("verdict", " / ".join)
    )
    details = tuple(f"{row.name[:60]}: {row.says}" for row in items.head(8).itertuples(index=False))
    total = len(np.unique(units(evidence.normal)[judged]))
    return Finding(count, total, tuple(contradictions["row"].head(EXAMPLES).tolist()), details)


def _deviating_experts(evidence: Evidence) -> Finding | None:
    rates = expert_rates(evidence.normal)
    if rates.empty:
        return None
    apart = deviating(rates)
    details = tuple(
        f"{row.expert}: {row.verdict or 'no verdict'} in {row.share:.0%} of {row.listings} listings, "
        f"the others in {row.expected:.0%}"
        for row in apart.head(8).itertuples(index=False)
    )
    return Finding(int(apart["expert"].nunique()), int(rates["expert"].nunique()), (), details)


def _rare(evidence: Evidence) -> Finding | None:
    counts = class_counts(evidence.normal)
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
    if "category" not in evidence.normal:
        return None
    paths = evidence.normal["category"]
    counts = paths[paths != ""].value_counts()
    if counts.empty:
        return None
    return Finding(int(counts.iloc[0]), int(counts.sum()), (), (f"{counts.index[0]}: {counts.iloc[0]}",))


def _unlabelled(evidence: Evidence) -> Finding:
    rows = np.flatnonzero(label_counts(evidence.normal) == 0)
    return Finding(len(rows), len(evidence.table), tuple(rows[:EXAMPLES].tolist()))


def _no_labels(evidence: Evidence) -> Finding:
    filled = int((label_counts(evidence.normal) > 0).sum())
    return Finding(int(filled == 0), 1, (), () if filled else ("every row is unlabelled",))


def _single_value(evidence: Evidence) -> Finding | None:
    columns = [name for name in label_columns(evidence.normal) if (evidence.normal[name] != "").any()]
    columns = [name for name in columns if name != "product"]
    if not columns:
        return None
    labels = {
        name: {label for cell in evidence.normal[name].unique() for label in _classes(name, str(cell)) if label}
        for name in columns
    }
    if "category" in labels:
        labels["category"] = set(evidence.normal["category"].unique()) - {""}
    single = [name for name in columns if len(labels[name]) == 1]
    return Finding(len(single), len(columns), (), tuple(f"{name}: {next(iter(labels[name]))}" for name in single))


def _shared_names(evidence: Evidence) -> Finding | None:
    nodes = [label for column, label in class_counts(evidence.normal) if column == "category"]
    if not nodes:
        return None
    words = pd.Series(nodes).groupby(pd.Series(nodes).str.rpartition("/")[2]).apply(sorted)
    shared = words[words.str.len() > 1]
    details = tuple(" and ".join(paths) for paths in shared.head(8))
    return Finding(int(shared.str.len().sum()) if len(shared) else 0, len(nodes), (), details)


def _boxes(evidence: Evidence) -> Finding | None:
    judged, boxes = _judged_boxes(evidence)
    if not len(judged):
        return None
    width, height = (evidence.photos[name].to_numpy()[judged] for name in ("width", "height"))
    rows = judged[outside(boxes, width, height)]
    return Finding(len(rows), len(judged), tuple(rows[:EXAMPLES].tolist()))


def _turned_boxes(evidence: Evidence) -> Finding | None:
    """Boxes in the frame of the stored pixels: they leave the photo as the eye sees it, and fit the turned one."""
    judged, boxes = _judged_boxes(evidence)
    across = evidence.photos["orientation"].to_numpy()[judged] >= 5  # EXIF: rows and columns change places
    judged, boxes = judged[across], boxes[across]
    if not len(judged):
        return None
    width, height = (evidence.photos[name].to_numpy()[judged] for name in ("width", "height"))
    rows = judged[outside(boxes, width, height) & ~outside(boxes, height, width)]
    return Finding(len(rows), len(judged), tuple(rows[:EXAMPLES].tolist()))


def _judged_boxes(evidence: Evidence) -> tuple[Rows, pd.Series]:
    """The rows of photos with a box, and their boxes."""
    if "bbox" not in evidence.table:
        return np.empty(0, dtype=np.int64), pd.Series(dtype=TEXT)
    rows = np.flatnonzero(is_box(evidence.table["bbox"]).to_numpy() & evidence.photos["readable"].to_numpy())
    return rows, evidence.table["bbox"].iloc[rows]


RULES: dict[str, Callable[[Evidence], Finding | None]] = {
    **{name: _defect(name) for name in (*MASKS, "watermarks")},
    "left_out": _left_out,
    "spellings": _spellings,
    "exact_duplicates": _exact,
    "near_duplicates": _near,
    "contradicting_labels": _contradicting,
    "contradicting_copies": _contradicting_copies,
    "split_leakage": _leakage,
    "repeated_text": _repeated_text,
    "keywords": _keywords,
    "missing_views": _missing_views,
    "repeated_views": _repeated_views,
    "disordered_views": _disordered_views,
    "one_photo_two_views": _one_photo_two_views,
    "expert_disagreement": _expert_disagreement,
    "deviating_experts": _deviating_experts,
    "label_noise": _label_noise,
    "rare_classes": _rare,
    "label_balance": _balance,
    "unlabelled": _unlabelled,
    "no_labels": _no_labels,
    "single_value_labels": _single_value,
    "shared_node_names": _shared_names,
    "boxes_outside": _boxes,
    "turned_boxes": _turned_boxes,
}
