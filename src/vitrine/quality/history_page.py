"""The part of a report that says what changed since the previous revision, and Evidently's full page of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vitrine.catalog import ATTRIBUTE_PREFIX
from vitrine.files import atomic_write
from vitrine.quality.history import (
    MEASURES,
    Difference,
    LabelChange,
    MeasureChange,
    RowChanges,
    RuleChange,
    measures,
)
from vitrine.report import Page, Photo, Tile, percent
from vitrine.report.harmless import confined, harmless

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vitrine.evaluation.shift import Finding

BEFORE, NOW = "#98a2b3", "#3454d1"
STATES = {"new": "New", "worse": "Worse", "better": "Better", "solved": "Solved"}
WORDS = {  # less, more, and what the number is
    "brightness": ("darker", "brighter", "mean grey, 0 black to 255 white"),
    "contrast": ("flatter", "richer in contrast", "standard deviation of grey"),
    "colourfulness": ("paler", "more colourful", "0 grey; above 60 vivid"),
    "sharpness": ("less sharp", "sharper", "variance of the Laplacian"),
    "side": ("smaller", "larger", "pixels of the shorter side"),
    "bytes": ("smaller files", "larger files", "kB"),
}
NAMED = 20  # labels of a column that are compared by name
MOVED, FURTHEST = 3, 8  # columns that moved whose photos are shown, and photos of each
OTHERS = "all other labels"


def difference_sections(page: Page, difference: Difference) -> None:
    """Adds what changed since the previous revision: rules, rows, labels and photos, in words first."""
    before = difference.data_version[0] or "unknown version"
    page.heading("Since the previous revision", f"Compared with the validation of data version {before}.")
    states = {state: sum(change.state == state for change in difference.rules) for state in STATES}
    moved = [change for change in difference.measures if change.moved]
    mixes = [change for change in difference.labels if change.moved]
    then, now = difference.counts.get("photos", (0, 0))
    page.tiles(
        [
            Tile("Photos", f"{now:,}", hint=_more(then, now)),
            Tile("New problems", str(states["new"]), "bad" if states["new"] else "good"),
            Tile("Problems that grew", str(states["worse"]), "warn" if states["worse"] else "good"),
            Tile("Problems solved", str(states["solved"]), "good" if states["solved"] else ""),
            Tile(
                "Label columns with another mix",
                f"{len(mixes)} of {len(difference.labels)}",
                "warn" if mixes else "good",
            ),
            Tile(
                "Photo measures that moved", f"{len(moved)} of {len(difference.measures)}", "warn" if moved else "good"
            ),
        ]
    )
    page.table(
        ("What", "Before", "Now", "Difference"),
        [
            (name.capitalize(), f"{old:,}", f"{new:,}", f"{new - old:+,}")
            for name, (old, new) in difference.counts.items()
        ],
    )
    _rules(page, [change for change in difference.rules if change.state != "same"])
    if difference.table is not None:
        _rows(page, difference.table)
    _labels(page, difference)
    _photos(page, difference.measures)


@dataclass(frozen=True)
class Distances:
    """Samples of two revisions, column by column.

    Attributes:
        before: What `vitrine.quality.history.sample` drew from the previous revision, in words that are no markup.
        now: The same of the current one.
        columns: What the catalog calls each column of the two.
        findings: How far each moved, furthest first, beside what chance explains between samples of these two sizes,
            over all columns together (see `vitrine.evaluation.shift`): Evidently's own choice of a test looks at the
            reference's size alone.
    """

    before: pd.DataFrame
    now: pd.DataFrame
    columns: Mapping[str, str]
    findings: Sequence["Finding"]

    @property
    def numbers(self) -> list[str]:
        """The columns that hold numbers; the others hold labels."""
        return [name for name in self.now if name in MEASURES]


def distances(before: pd.DataFrame, now: pd.DataFrame) -> Distances:
    """Compares what `vitrine.quality.history.sample` drew from two revisions, where both have enough to compare."""
    names = [name for name in now if name in before and _filled(before[name]) and _filled(now[name])]
    numbers = [name for name in names if name in MEASURES]
    columns = {harmless(name): name for name in names}
    mixes = [name for name in columns if name not in numbers]
    sides = [side[names].rename(columns=harmless) for side in (now, before)]
    for name in mixes:
        both = pd.concat([side[name] for side in sides])
        named = set(both[both != ""].value_counts().index[:NAMED])
        words = {cell: harmless(str(cell)) if cell in named else OTHERS for cell in both.unique() if cell != ""}
        for side in sides:
            side[name] = side[name].map(words)
    for side in sides:
        side[numbers] = side[numbers].round(6)  # a histogram cannot divide a range of a few rounding errors
    return Distances(sides[1], sides[0], columns, column_findings(sides[1], sides[0], numbers, mixes))


def distance_section(
    page: Page, found: Distances, table: pd.DataFrame, photos: pd.DataFrame, shown: Callable[[int], Photo]
) -> None:
    """Adds how far each column moved, furthest first, and the photos that lie furthest in those that did.

    Args:
        page: The page.
        found: The comparison.
        table: The current catalog's.
        photos: Its photo table, of the same rows.
        shown: The thumbnail of a row.
    """
    if not found.findings:
        return
    page.heading(
        "Distances, furthest first",
        f"Between {len(found.before):,} photos of before and {len(found.now):,} of now, in units of what chance "
        "explains between samples of these sizes, over all columns together: beyond 1 a column has moved. Bars end at "
        "3.",
    )
    bars = [(_title(found.columns[one.signal]), min(one.ratio, 3.0), f"{one.ratio:.2f}") for one in found.findings]
    page.bars(bars, maximum=3.0)
    for finding in [one for one in found.findings if one.moved][:MOVED]:
        rows = _furthest(finding, found, table, photos)
        title = _title(found.columns[finding.signal])
        page.heading(f"Photos that lie furthest: {title}", f"Of the current revision ({finding.change}).")
        page.photos(shown(int(row)) for row in rows)


def _furthest(finding: "Finding", found: Distances, table: pd.DataFrame, photos: pd.DataFrame) -> np.ndarray:
    """Rows that are most unlike before: beyond its mean, or of the label whose share grew most."""
    before, now = found.before[finding.signal], found.now[finding.signal]
    if finding.signal in found.numbers:
        beyond = measures(photos)[finding.signal] - before.mean()
        beyond = np.where(photos["readable"], beyond * np.sign(now.mean() - before.mean()), np.nan)
        rows = np.argsort(-beyond, kind="stable")  # NaN comes last
        return rows[np.isfinite(beyond[rows])][:FURTHEST]
    shares = [side[side.notna()].value_counts(normalize=True) for side in (before, now)]
    grown = shares[1].sub(shares[0], fill_value=0.0).idxmax()
    cells = table[found.columns[finding.signal]].astype(object)
    if grown == OTHERS:
        words = set(found.now[finding.signal].dropna())
        own = [cell != "" and harmless(str(cell)) not in words for cell in cells]
    else:
        own = [harmless(str(cell)) == grown for cell in cells]
    rows = np.flatnonzero(np.array(own, dtype=bool) & photos["readable"].to_numpy(dtype=bool))
    return rows[:: max(1, len(rows) // FURTHEST)][:FURTHEST]  # from all over the table


def evidently_page(found: Distances, out: Path) -> bool:
    """Evidently's data drift page over the samples of two revisions: one file with its scripts inside.

    Returns:
        False, and no page, where there is nothing to compare.
    """
    import warnings

    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    if not found.findings:
        return False
    numbers = found.numbers
    metrics = [
        ValueDrift(
            column=finding.signal,
            method="wasserstein" if finding.signal in numbers else "jensenshannon",
            threshold=round(finding.threshold, 4),
        )
        for finding in found.findings
    ]
    mixes = [name for name in found.now if name not in numbers]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=mixes)
    current, reference = (Dataset.from_pandas(side, data_definition=definition) for side in (found.now, found.before))
    with atomic_write(out) as temporary:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)  # a measure that is the same for all photos
            Report(metrics, include_tests=True).run(current, reference).save_html(str(temporary))
        html = temporary.read_text(encoding="utf-8")
        temporary.write_text(confined(html), encoding="utf-8")
    return True


def column_findings(
    before: pd.DataFrame, now: pd.DataFrame, numbers: Sequence[str], mixes: Sequence[str]
) -> list["Finding"]:
    """How far each column moved and from where on that counts, furthest first; without those too empty to say."""
    from vitrine.evaluation.shift import DriftRules, detect

    sides = []
    for side in (before, now):
        cells = side[list(mixes)].astype(object).fillna("")
        cells = cells.map(lambda cell: str(cell).replace("|", "/"))  # Evidently compares whole cells
        sides.append(pd.concat([side[list(numbers)], cells.add_prefix("attr:")], axis=1))
    findings = detect(sides[0], sides[1], DriftRules()).findings
    return [replace(finding, signal=finding.signal.removeprefix("attr:")) for finding in findings]


def _rules(page: Page, changes: list[RuleChange]) -> None:
    page.heading("Rules that came out differently")
    if not changes:
        page.text("Every rule found what it found before.")
        return
    rows = []
    for change in changes:
        old, new = change.before, change.now
        rows.append(
            (
                STATES[change.state],
                change.title,
                "not checked" if old is None else f"{old.count:,} ({percent(old.share)})",
                "not checked" if new is None else f"{new.count:,} ({percent(new.share)})",
            )
        )
    page.table(("Change", "Rule", "Found before", "Found now"), rows)


def _rows(page: Page, rows: RowChanges) -> None:
    page.heading("Rows", "Matched by the path of the photo.")
    page.text(f"{rows.added:,} rows are new, {rows.removed:,} are gone, {rows.kept:,} stand in both revisions.")
    if not rows.columns:
        page.text("No value of a row that stayed has changed.")
        return
    page.table(
        ("Column", "Filled in", "Emptied", "Changed"),
        [
            (_title(name), f"{n['filled']:,}", f"{n['blanked']:,}", f"{n['changed']:,}")
            for name, n in rows.columns.items()
        ],
    )
    page.text("The commonest of these changes:")
    page.table(
        ("Column", "Before", "Now", "Rows"),
        [(_title(name), was or "(empty)", now or "(empty)", f"{count:,}") for name, was, now, count in rows.commonest],
    )


def _labels(page: Page, difference: Difference) -> None:
    page.heading(
        "Labels", "Shares of all labels of a column. A mix has changed when it moved further than chance explains."
    )
    for name in difference.columns_added:
        page.text(f"{_title(name)}: labels that were not there before.")
    for name in difference.columns_removed:
        page.text(f"{_title(name)}: no labels any more.")
    shown = [change for change in difference.labels if change.moved or change.appeared or change.vanished]
    if not shown:
        page.text("No column has labels that appeared or vanished, or another mix than before.")
    for change in shown:
        page.text(_label_sentence(change))
        if change.moved:
            page.table(
                ("Label", "Share before", "Share now"),
                [(label, percent(old), percent(new)) for label, old, new in change.shares],
            )


def _label_sentence(change: LabelChange) -> str:
    sentences = [f"{_title(change.column)}: {change.before:,} labels before, {change.now:,} now; "]
    sentences.append("the mix has changed." if change.moved else "the mix is about the same.")
    for names, what in ((change.appeared, "New"), (change.vanished, "Gone")):
        if names:
            more = f" and {len(names) - 8:,} more" if len(names) > 8 else ""
            sentences.append(f" {what}: {', '.join(names[:8])}{more}.")
    return "".join(sentences)


def _photos(page: Page, changes: tuple[MeasureChange, ...]) -> None:
    if not changes:
        return
    page.heading("Photos", "What the photos are like as images, whatever they show.")
    moved = [change for change in changes if change.moved]
    if not moved:
        page.text("Brightness, contrast, colours, sharpness and sizes are as before.")
        return
    for change in moved:
        page.text(_measure_sentence(change))
    page.text(
        "Half of the photos lie inside a box, nine tenths between the ends of its line. Grey is before, blue is now."
    )
    page.figure(_boxes(moved), "distributions before and now: " + ", ".join(change.name for change in moved))


def _measure_sentence(change: MeasureChange) -> str:
    less, more, unit = WORDS[change.name]
    old, new = change.before[2], change.now[2]
    if change.name == "bytes":
        old, new = old / 1000, new / 1000
    if f"{old:.4g}" == f"{new:.4g}":
        return f"{change.name.capitalize()}: spread differently around the same middle, {old:.4g} ({unit})."
    return f"Photos are {more if new > old else less}: the middle one went from {old:.4g} to {new:.4g} ({unit})."


def _boxes(changes: list[MeasureChange]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.25 * len(changes) + 0.3), layout="constrained")
    for number, change in enumerate(changes):
        axes = figure.add_subplot(len(changes), 1, number + 1)
        for place, (values, colour) in enumerate(((change.now, NOW), (change.before, BEFORE))):
            low, quarter, middle, three, high = values
            axes.plot([low, high], [place, place], color=colour, linewidth=1.4)
            axes.barh(place, three - quarter, 0.55, quarter, color=colour)
            axes.plot([middle, middle], [place - 0.28, place + 0.28], color="white", linewidth=2)
        axes.set_yticks([1, 0], ["before", "now"], fontsize=8)
        axes.set_ylim(-0.6, 1.6)
        axes.set_title(f"{change.name} ({WORDS[change.name][2]})", fontsize=9, loc="left")
        if MEASURES[change.name] and change.before[0] > 0 and change.now[0] > 0:
            axes.set_xscale("log")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure


def _more(then: int, now: int) -> str:
    return "as many as before" if then == now else f"{now - then:+,} since then"


def _title(column: str) -> str:
    return column.removeprefix(ATTRIBUTE_PREFIX).capitalize()


def _filled(column: pd.Series) -> bool:
    return bool((column.notna() & (column != "")).any())
