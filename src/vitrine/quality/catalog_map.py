"""The map of a validated catalog: what its photos show, coloured by their labels and by what was found about them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from vitrine.catalog import ATTRIBUTE_PREFIX, category_depth, category_level, is_safe_path
from vitrine.quality.hashes import lowest, text_hashes
from vitrine.quality.label_noise import Features, Rows
from vitrine.quality.label_noise_page import column_title
from vitrine.quality.rules import Evidence
from vitrine.report.map import MOST, Colouring, laid_out, write_map

COPIES = (  # the surest first
    ("exact", "exact copy"),
    ("pictures", "same picture, saved anew"),
    ("near", "near copy"),
    ("turned", "mirrored or turned copy"),
)


def write_catalog_map(
    path: Path, evidence: Evidence, embed: Features, progress: Callable[[int, int], None] | None = None
) -> int:
    """Writes the page of at most `MOST` photos; of more, those that something was found about and a sample.

    Args:
        path: The file.
        evidence: What validation knows.
        embed: Gives the vectors of some rows; see `vitrine.quality.embedding`.
        progress: Called with (thumbnails done, thumbnails in all).

    Returns:
        How many photos it shows.
    """
    findings = _findings(evidence)
    rows = _shown(evidence, (findings != "").any(axis=1).to_numpy())
    if not len(rows):
        return 0
    table, findings = evidence.table.iloc[rows], findings.iloc[rows]
    labels = _labels(evidence.normal).iloc[rows]
    captions = [
        [str(image), f"Row {row + 1}", *filter(None, shown_labels), *filter(None, finding)]
        for image, row, shown_labels, finding in zip(
            table["image"], rows, labels.itertuples(index=False), findings.itertuples(index=False), strict=True
        )
    ]
    colourings = [Colouring(str(name), columns[name].tolist()) for columns in (labels, findings) for name in columns]
    colourings = [colouring for colouring in colourings if len(set(colouring.values)) > 1]
    catalog = evidence.catalog
    few = "" if len(rows) == len(evidence.table) else f" of {len(evidence.table):,}"
    write_map(
        path,
        "The catalog as a map",
        f"{catalog.address}, data version {catalog.data_version or 'unknown'}: {len(rows):,}{few} photos. "
        "Near each other lies what looks alike to a net trained on other photos; how far apart groups lie says little.",
        laid_out(embed(rows)),
        [catalog.uri(image) for image in table["image"]],
        captions,
        colourings or [Colouring("Nothing is known that tells photos apart", [""] * len(rows))],
        progress,
    )
    return len(rows)


def _shown(evidence: Evidence, told_of: np.ndarray) -> Rows:
    images = evidence.table["image"]
    usable = evidence.photos["readable"].to_numpy(bool) & images.map(is_safe_path).to_numpy(bool)
    rows = np.flatnonzero(usable)
    if len(rows) <= MOST:
        return rows
    drawn = text_hashes(images, 0)
    chosen = np.flatnonzero(usable & told_of)
    chosen = chosen[lowest(drawn[chosen], MOST // 2)]
    rest = np.setdiff1d(rows, chosen)
    return np.sort(np.concatenate([chosen, rest[lowest(drawn[rest], MOST - len(chosen))]]))


def _labels(table: pd.DataFrame) -> pd.DataFrame:
    """What photos are called: category levels, attributes, verdict, view, domain and split."""
    columns = {}
    if "category" in table:
        for level in range(1, category_depth(table) + 1):
            columns[column_title(f"level{level}")] = category_level(table["category"].astype(object), level)
    for name in table:
        if str(name).startswith(ATTRIBUTE_PREFIX) or name in ("verdict", "view", "domain", "split"):
            columns[column_title(str(name))] = table[name].astype(object)
    return pd.DataFrame(columns, index=table.index).fillna("")


def _findings(evidence: Evidence) -> pd.DataFrame:
    """What was found about each row, in words, a column a kind; "" = nothing."""
    count = len(evidence.table)
    suspects = np.full(count, "", dtype=object)
    for suspect in evidence.noise.suspects.iloc[::-1].itertuples(index=False):  # the surest stays
        suspects[suspect.row] = f"{column_title(suspect.column)}: looks like {suspect.suggested}"
    copies = np.full(count, "", dtype=object)
    for name, word in reversed(COPIES):
        copies[getattr(evidence, name) >= 0] = word
    faults = np.full(count, "", dtype=object)
    for name, mask in evidence.defects.items():
        faults[mask] = evidence.settings.rules[name].title
    return pd.DataFrame({"Suspect labels": suspects, "Copies": copies, "Photo faults": faults})
