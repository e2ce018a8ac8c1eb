"""What a validation leaves for the next one to compare with, and how two revisions of a catalog differ.

A report folder holds `results.json` (the rules), `summary.json` (how labels and photos are distributed; usually some
kilobytes, and bounded whatever the catalog's size) and `sample.parquet` (5,000 rows, for Evidently's page).
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from vitrine import files
from vitrine.catalog import ATTRIBUTE_PREFIX
from vitrine.errors import InputError
from vitrine.quality.hashes import lowest, text_hashes
from vitrine.quality.labels import label_columns, label_counts
from vitrine.untrusted import parse_json

RESULTS, SUMMARY, SAMPLE = "results.json", "summary.json", "sample.parquet"
FORMAT = 1
TOP = 200  # labels of a column that are kept by name
COLUMNS = 60  # label columns that are kept
LABEL = 200  # characters of a label
QUANTILES = 100
SAMPLED = 5000
MEASURES = {  # of readable photos; True: differences count by ratio, not by amount
    "brightness": False,
    "contrast": False,
    "colourfulness": False,
    "sharpness": True,
    "side": True,
    "bytes": True,
}
OTHER_COLUMNS = ("view", "domain", "split", "expert")
LEAST_SHIFT = 0.1  # standard deviations
CHANCE_SHIFT = 3.3  # times sqrt(1/n + 1/m): what samples of one source exceed about once in a thousand times
LEAST_MIX = 0.1  # Jensen-Shannon distance
SURE = 0.999
SHOWN = 8


@dataclass(frozen=True)
class RuleState:
    """How a rule came out in one validation."""

    name: str
    title: str
    severity: str
    passed: bool
    count: int
    share: float


@dataclass(frozen=True)
class Revision:
    """One validated revision of a catalog: its rules, its summary and (if at hand) its sample."""

    rules: Mapping[str, RuleState]
    summary: Mapping[str, Any]
    sample: pd.DataFrame | None = None


@dataclass(frozen=True)
class RuleChange:
    """A rule then and now; `state` is `new`, `worse`, `better`, `solved` or `same`. None: not looked for."""

    name: str
    title: str
    state: str
    before: RuleState | None
    now: RuleState | None


@dataclass(frozen=True)
class LabelChange:
    """How the mix of labels of one column changed.

    Attributes:
        column: The label column.
        before: Labels it held, all in all.
        now: The same, now.
        distance: Jensen-Shannon distance of the two mixes, 0 to 1.
        threshold: What chance, or an unimportant change, would stay below.
        moved: Whether the mix changed further than that.
        shares: The labels whose share changed most, with the share then and now.
        appeared: Labels that were not there before.
        vanished: Labels that are no longer there.
    """

    column: str
    before: int
    now: int
    distance: float
    threshold: float
    moved: bool
    shares: tuple[tuple[str, float, float], ...]
    appeared: tuple[str, ...]
    vanished: tuple[str, ...]


@dataclass(frozen=True)
class MeasureChange:
    """How the photos changed in one respect; `quantiles` at 5, 25, 50, 75 and 95 % then and now.

    `shift` is the Wasserstein distance in standard deviations of before (of the logarithm for sizes and sharpness).
    """

    name: str
    shift: float
    threshold: float
    moved: bool
    before: tuple[float, ...]
    now: tuple[float, ...]


@dataclass(frozen=True)
class RowChanges:
    """Rows of two tables, matched by `image` (and by their order among rows of one image).

    Attributes:
        added: Rows that are new.
        removed: Rows that are gone.
        kept: Rows that stand in both.
        columns: Per column, of the kept rows: how many were `filled`, `blanked` or `changed`.
        commonest: The commonest changes: column, value then, value now, rows.
        examples: Rows of the current table (0-based) whose labels changed, the first few.
    """

    added: int
    removed: int
    kept: int
    columns: dict[str, dict[str, int]]
    commonest: tuple[tuple[str, str, str, int], ...]
    examples: tuple[int, ...]


@dataclass(frozen=True)
class Difference:
    """How two revisions differ.

    Attributes:
        data_version: Of before and now.
        counts: What there was and is of everything that is only counted, by name.
        rules: Every rule that either validation judged.
        labels: Every label column that both have, the most changed first.
        columns_added: Label columns that are new.
        columns_removed: Label columns that are gone.
        measures: Every measure that both have, the most changed first.
        table: What happened to single rows; None where the previous table is not at hand.
    """

    data_version: tuple[str, str]
    counts: dict[str, tuple[int, int]]
    rules: tuple[RuleChange, ...]
    labels: tuple[LabelChange, ...]
    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    measures: tuple[MeasureChange, ...]
    table: RowChanges | None


def summarise(table: pd.DataFrame, photos: pd.DataFrame, data_version: str) -> dict[str, Any]:
    """What `summary.json` holds: counts, the commonest labels of each column, quantiles of the photos' measures."""
    names = [name for name in label_columns(table) if name != "product"]
    names += [name for name in OTHER_COLUMNS if name in table]
    readable = photos["readable"].to_numpy(dtype=bool)
    counts = {
        "photos": len(table),
        "photos that can be read": int(readable.sum()),
        "photos with a label": int((label_counts(table) > 0).sum()),
    }
    for name in ("listing", "product"):
        if name in table:
            counts[f"{name}s"] = int(table[name].nunique()) - int((table[name] == "").any())
    return {
        "format": FORMAT,
        "data_version": data_version,
        "counts": counts,
        "labels": {name: mix for name in names[:COLUMNS] if (mix := _mix(name, table[name]))["labels"]},
        "measures": {
            name: [float(f"{value:.6g}") for value in np.quantile(values, np.linspace(0, 1, QUANTILES + 1))]
            for name, values in measures(photos[readable]).items()
            if len(values)
        },
    }


def sample(table: pd.DataFrame, photos: pd.DataFrame, size: int = SAMPLED) -> pd.DataFrame:
    """At most `size` readable photos with their measures and labels.

    The choice hangs on the paths of the photos alone: what stands in two revisions is in the samples of both.
    """
    rows = np.flatnonzero(photos["readable"].to_numpy(dtype=bool))
    rows = rows[lowest(text_hashes(table["image"].iloc[rows]), size)]
    chosen = table.iloc[rows]
    columns: dict[str, Any] = dict(measures(photos.iloc[rows]))
    for name in [*label_columns(table), *OTHER_COLUMNS]:
        if name in table and name != "product":
            columns[name] = chosen[name].astype(object).to_numpy()
    return pd.DataFrame(columns)


def revision(results: Any, summary: Any, sampled: pd.DataFrame | None = None) -> Revision:
    """A revision from the contents of its files.

    Raises:
        ValueError: if they are not what a validation writes.
    """
    try:
        if summary["format"] != FORMAT:
            raise ValueError(f"summary has format {summary['format']!r}, not {FORMAT}")
        rules = {
            str(rule["name"]): RuleState(
                str(rule["name"]),
                str(rule["title"]),
                str(rule["severity"]),
                bool(rule["passed"]),
                int(rule["count"]),
                float(rule["share"]),
            )
            for rule in results["rules"]
        }
        checked: dict[str, Any] = {
            "data_version": str(summary["data_version"]),
            "counts": {str(name): int(count) for name, count in summary["counts"].items()},
            "labels": {str(name): _checked(mix) for name, mix in summary["labels"].items()},
            "measures": {
                str(name): np.asarray(values, dtype=np.float64)
                for name, values in summary["measures"].items()
                if name in MEASURES
            },
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"lacks or misreads {error}") from error
    for name, values in checked["measures"].items():
        if values.shape != (QUANTILES + 1,) or not np.isfinite(values).all() or (np.diff(values) < 0).any():
            raise ValueError(f"quantiles of {name} are not {QUANTILES + 1} rising numbers")
    return Revision(rules, checked, sampled)


def read_revision(report: str) -> Revision:
    """Reads the report folder of an earlier validation.

    Args:
        report: A folder or `s3://` prefix.

    Raises:
        InputError: if it is none, or was written by a version that left no summary.
    """
    root = files.absolute(report)
    try:
        results, summary = (parse_json(files.read_bytes(files.join(root, name))) for name in (RESULTS, SUMMARY))
        where = files.join(root, SAMPLE)
        sampled = pd.read_parquet(io.BytesIO(files.read_bytes(where))) if files.exists(where) else None
        return revision(results, summary, sampled)
    except FileNotFoundError as error:
        raise InputError(f"{root}: no report of an earlier validation ({RESULTS} and {SUMMARY})") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{root}: not a usable report of an earlier validation ({reason})") from error


def write_revision(folder: Any, summary: Mapping[str, Any], sampled: pd.DataFrame) -> None:
    """Writes `summary.json` and `sample.parquet` into a report folder."""
    files.write_json(folder / SUMMARY, summary)
    sampled.to_parquet(folder / SAMPLE, index=False)


def compare(before: Revision, now: Revision, table: RowChanges | None = None) -> Difference:
    """How two revisions differ.

    Args:
        before: The earlier one.
        now: The current one.
        table: What `row_changes` found, where the earlier table is at hand.
    """
    old, new = before.summary, now.summary
    names = dict.fromkeys([*old["counts"], *new["counts"]])
    labels = [
        _label_change(name, old["labels"][name], mix) for name, mix in new["labels"].items() if name in old["labels"]
    ]
    measures = [
        _measure_change(name, old, new) for name in MEASURES if name in old["measures"] and name in new["measures"]
    ]
    return Difference(
        (old["data_version"], new["data_version"]),
        {name: (old["counts"].get(name, 0), new["counts"].get(name, 0)) for name in names},
        _rule_changes(before.rules, now.rules),
        tuple(sorted(labels, key=lambda change: -change.distance / change.threshold)),
        tuple(name for name in new["labels"] if name not in old["labels"]),
        tuple(name for name in old["labels"] if name not in new["labels"]),
        tuple(sorted(measures, key=lambda change: -change.shift / change.threshold)),
        table,
    )


def row_changes(before: pd.DataFrame, now: pd.DataFrame) -> RowChanges:
    """What happened to single rows between two tables; rows are told apart by 64-bit hashes of their paths."""
    source, target = _matched(text_hashes(before["image"]), text_hashes(now["image"]))
    names = [
        name for name in [*label_columns(now), *OTHER_COLUMNS, "listing", "bbox"] if name in now and name in before
    ]
    columns: dict[str, dict[str, int]] = {}
    commonest: list[tuple[str, str, str, int]] = []
    rows = np.zeros(len(now), dtype=bool)
    for name in names:
        was, is_now = before[name].iloc[source].reset_index(drop=True), now[name].iloc[target].reset_index(drop=True)
        other = (was != is_now).to_numpy(dtype=bool)
        if not other.any():
            continue
        was, is_now = was[other], is_now[other]
        filled, blanked = (was == "").to_numpy(dtype=bool), (is_now == "").to_numpy(dtype=bool)
        columns[name] = {
            "filled": int(filled.sum()),
            "blanked": int(blanked.sum()),
            "changed": int((~filled & ~blanked).sum()),
        }
        pairs = pd.DataFrame({"was": was, "now": is_now}).value_counts().head(SHOWN)
        commonest += [(name, _cut(str(one)), _cut(str(two)), int(count)) for (one, two), count in pairs.items()]
        rows[target[other]] = True
    commonest.sort(key=lambda change: -change[3])
    kept = len(source)
    examples = tuple(np.flatnonzero(rows)[:SHOWN].tolist())
    return RowChanges(len(now) - kept, len(before) - kept, kept, columns, tuple(commonest[: 2 * SHOWN]), examples)


def _mix(name: str, column: pd.Series) -> dict[str, Any]:
    """How many labels a column holds, how many different ones, and the commonest by name."""
    counts = column[column != ""].value_counts()
    if name.startswith(ATTRIBUTE_PREFIX):
        cells = counts.rename("count").rename_axis("label").reset_index()
        cells["label"] = cells["label"].astype(object).str.split("|")
        cells = cells.explode("label")
        cells["label"] = cells["label"].str.strip()
        counts = cells[cells["label"] != ""].groupby("label")["count"].sum()
    ordered = counts.rename("count").rename_axis("label").reset_index()
    ordered = ordered.sort_values(["count", "label"], ascending=[False, True])
    top = ordered.head(TOP)
    named: dict[str, int] = {}
    for label, count in zip(top["label"], top["count"], strict=True):
        named[_cut(label)] = named.get(_cut(label), 0) + int(count)
    return {"labels": int(counts.sum()), "different": len(counts), "counts": named}


def _checked(mix: Any) -> dict[str, Any]:
    counts = {str(label): int(count) for label, count in mix["counts"].items()}
    if min(counts.values(), default=1) < 1 or int(mix["labels"]) < sum(counts.values()):
        raise ValueError("counts of labels that are none")
    return {"labels": int(mix["labels"]), "different": int(mix["different"]), "counts": counts}


def measures(photos: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """What `MEASURES` names, (rows,) each, of a photo table."""
    values = {"side": photos[["width", "height"]].min(axis=1)}
    return {name: np.asarray(values.get(name, photos.get(name)), dtype=np.float64) for name in MEASURES}


def _rule_changes(before: Mapping[str, RuleState], now: Mapping[str, RuleState]) -> tuple[RuleChange, ...]:
    changes = []
    for name in dict.fromkeys([*now, *before]):
        old, new = before.get(name), now.get(name)
        failed, fails = old is not None and not old.passed, new is not None and not new.passed
        state = "same"
        if fails and not failed:
            state = "new"
        elif failed and not fails:
            state = "solved"
        elif old is not None and new is not None and old.count != new.count and old.share != new.share:
            state = "worse" if new.share > old.share else "better"
        changes.append(RuleChange(name, (new or old).title, state, old, new))  # type: ignore[union-attr]
    order = ("new", "worse", "better", "solved", "same")
    return tuple(sorted(changes, key=lambda change: order.index(change.state)))


def _label_change(column: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> LabelChange:
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import chi2

    names = sorted({*old["counts"], *new["counts"]})
    # Rare labels are known together only. One that is named on one side may be among the unnamed of the other.
    rest = [mix["labels"] - sum(mix["counts"].values()) for mix in (old, new)]
    sides = [
        np.array([mix["counts"].get(name, 0) for name in names] + [more], float)
        for mix, more in zip((old, new), rest, strict=True)
    ]
    shares = [side / side.sum() for side in sides]
    distance = float(jensenshannon(*shares, base=2))
    # Of samples of one mix, 8 ln 2 times the divergence is close to chi-square (k - 1 degrees) times 1/n + 1/m.
    freedom = max(int(((sides[0] + sides[1]) > 0).sum()) - 1, 1)
    chance = sqrt(chi2.ppf(SURE, freedom) * (1 / old["labels"] + 1 / new["labels"]) / (8 * log(2)))
    threshold = max(LEAST_MIX, chance)
    order = np.argsort(-np.abs(shares[1] - shares[0])[: len(names)], kind="stable")[:SHOWN]
    return LabelChange(
        column,
        old["labels"],
        new["labels"],
        distance,
        threshold,
        distance > threshold,
        tuple((names[i], float(shares[0][i]), float(shares[1][i])) for i in order if shares[0][i] != shares[1][i]),
        tuple(name for name in new["counts"] if name not in old["counts"]) if not rest[0] else (),
        tuple(name for name in old["counts"] if name not in new["counts"]) if not rest[1] else (),
    )


def _measure_change(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> MeasureChange:
    before, now = old["measures"][name], new["measures"][name]
    one, two = (np.log1p(np.maximum(values, 0)) if MEASURES[name] else values for values in (before, now))
    spread = max(float(one.std()), 1e-6)
    shift = min(float(np.abs(one - two).mean()) / spread, 99.0)
    photos = [max(side["counts"].get("photos that can be read", 1), 1) for side in (old, new)]
    threshold = max(LEAST_SHIFT, CHANCE_SHIFT * sqrt(1 / photos[0] + 1 / photos[1]))
    shown = [QUANTILES * percent // 100 for percent in (5, 25, 50, 75, 95)]
    return MeasureChange(
        name, shift, threshold, shift > threshold, tuple(before[shown].tolist()), tuple(now[shown].tolist())
    )


def _matched(old: NDArray[np.uint64], new: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which rows are the same: of equal numbers the first matches the first, the second the second."""
    old_order, new_order = np.argsort(old, kind="stable"), np.argsort(new, kind="stable")
    old, new = old[old_order], new[new_order]
    start = np.flatnonzero(np.r_[True, new[1:] != new[:-1]][: len(new)])
    again = np.arange(len(new)) - np.repeat(start, np.diff(np.r_[start, len(new)]))
    place = np.searchsorted(old, new) + again
    there = place < len(old)
    there[there] = old[place[there]] == new[there]
    return old_order[place[there]], new_order[there]


def _cut(label: str) -> str:
    return label if len(label) <= LABEL else f"{label[: LABEL - 1]}…"
