"""Experts who contradict each other about one item, and experts whose verdicts differ from the others' beyond chance.

Verdicts are an expert's opinion: "different experts have different identification capabilities" (Yang et al.
2020, Section 2.2). Where two of them judged the same item, a contradiction is a label that is wrong for certain.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import fisher_exact, norm

from vitrine.catalog.table import TEXT
from vitrine.quality.listings import units

OUTCOMES = ("authentic", "counterfeit", "")  # "": left unlabelled
FEW = 5  # expected cases below which the normal approximation does not hold
LEAST = 0.05  # difference of shares that matters, however certain

Indices = NDArray[np.int64]


def disagreements(table: pd.DataFrame, copies: Indices | None = None, no_label: Collection[str] = ()) -> pd.DataFrame:
    """Verdicts on one item that cannot all be right.

    One item is: one listing; one `product`; listings of one user with one description (as people write when they upload
    an item again); listings that show the very same photo.

    Args:
        table: A catalog table.
        copies: A group number per row of exact copies of one photo, -1 for a photo that is alone.
        no_label: Descriptions that stand for none.

    Returns:
        Per contradictory item one row per expert and verdict: `tie` (`listing`, `product`, `text` or `photo`), `item`
        (numbered from 0 within its tie, by first row), `name` (of the listing or product, or the text), `expert`,
        `verdict`, `listings` (that many) and `row` (0-based, the first).
    """
    if "verdict" not in table or not (table["verdict"] != "").any():
        return _no_disagreements()
    unit = _units(table)
    verdict = pd.factorize(table["verdict"])[0]
    has_verdict = (table["verdict"] != "").to_numpy(dtype=bool)
    contradictions = []
    for tie, item, name in _ties(table, unit, copies, no_label):
        rows = np.flatnonzero(has_verdict & (item >= 0))
        rows = rows[np.isin(item[rows], _with_several(item[rows], verdict[rows]))]
        if tie != "listing":  # what one listing contradicts itself in is said once
            rows = rows[np.isin(item[rows], _with_several(item[rows], unit[rows]))]
        if not len(rows):
            continue
        judged = pd.DataFrame({"item": item[rows], "unit": unit[rows], "row": rows})
        judged["verdict"] = table["verdict"].iloc[rows].array
        judged["expert"] = table["expert"].iloc[rows].array if "expert" in table else ""
        grouped = judged.groupby(["item", "expert", "verdict"], sort=False)
        rows_of = grouped.agg(listings=("unit", "nunique"), row=("row", "first")).reset_index()
        first = rows_of.groupby("item")["row"].transform("min")
        rows_of = rows_of.assign(first=first).sort_values(["first", "row"], kind="stable")
        rows_of["item"] = pd.factorize(rows_of["item"])[0]
        rows_of["name"] = table[name].iloc[rows_of["first"]].array
        contradictions.append(rows_of.assign(tie=tie)[list(_no_disagreements())])
    texts = dict.fromkeys(["tie", "name", "expert", "verdict"], TEXT)
    return pd.concat(contradictions, ignore_index=True).astype(texts) if contradictions else _no_disagreements()


def expert_rates(table: pd.DataFrame) -> pd.DataFrame:
    """How often each expert says authentic, says counterfeit or leaves a listing unlabelled, against all others.

    Shares are compared by the two-proportion z test with the variance pooled (Fisher's exact test where fewer than
    `FEW` cases are expected); p-values are corrected for all comparisons together (Holm, "A simple sequentially
    rejective multiple test procedure", 1979).

    Returns:
        One row per expert and outcome, the most certain difference first: `expert`, `verdict` ("" for unlabelled),
        `count`, `listings` (that the expert saw), `share`, `expected` (the share among the others' listings) and `p`.
        Empty with fewer than two experts.
    """
    empty = pd.DataFrame(columns=["expert", "verdict", "count", "listings", "share", "expected", "p"])
    if "expert" not in table or "verdict" not in table:
        return empty
    rows = np.flatnonzero((table["expert"] != "").to_numpy(dtype=bool))
    expert, experts = pd.factorize(table["expert"].iloc[rows])
    if len(experts) < 2:
        return empty
    seen = pd.DataFrame({"expert": expert, "unit": _units(table)[rows]})
    seen["outcome"] = pd.Categorical(table["verdict"].iloc[rows].astype(object), OUTCOMES).codes
    # A listing counts once per expert, with the verdict if one of its photos has it.
    seen = seen[seen["outcome"] >= 0].sort_values("outcome", kind="stable").drop_duplicates(["expert", "unit"])
    cell = seen["expert"].to_numpy() * len(OUTCOMES) + seen["outcome"].to_numpy()
    count = np.bincount(cell, minlength=len(experts) * len(OUTCOMES)).reshape(len(experts), len(OUTCOMES))
    return _compared(count, pd.Series(experts, dtype=TEXT))


def deviating(rates: pd.DataFrame, least: float = LEAST, level: float = 0.01) -> pd.DataFrame:
    """The rows of `expert_rates` that differ by at least `least` and beyond chance (corrected p below `level`)."""
    apart = (rates["share"] - rates["expected"]).abs() >= least
    return rates[apart & (rates["p"] < level)].reset_index(drop=True)


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values corrected for their number: the k-th smallest of m times m - k + 1, never falling, at most 1."""
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected


def _compared(count: Indices, experts: pd.Series) -> pd.DataFrame:
    """The table of `expert_rates` from counts, (experts, outcomes)."""
    listings = count.sum(axis=1, keepdims=True) * np.ones_like(count)  # (experts, outcomes)
    others = count.sum(axis=0) - count
    rest = listings.sum(axis=0) - listings
    share, expected = count / np.maximum(listings, 1), others / np.maximum(rest, 1)
    pooled = (count + others) / np.maximum(listings + rest, 1)
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(listings, 1) + 1 / np.maximum(rest, 1)))
    z = np.divide(share - expected, deviation, out=np.zeros(count.shape), where=deviation > 0)
    p = 2 * norm.sf(np.abs(z))
    expected_cases = np.minimum(listings, rest) * np.minimum(pooled, 1 - pooled)
    for place in zip(*np.nonzero((expected_cases < FEW) & (deviation > 0)), strict=True):
        mine, theirs = count[place], others[place]
        p[place] = fisher_exact([[mine, listings[place] - mine], [theirs, rest[place] - theirs]]).pvalue
    size = count.size
    frame = pd.DataFrame(
        {
            "expert": experts.repeat(len(OUTCOMES)).array,
            "verdict": pd.Series(OUTCOMES * len(experts), dtype=TEXT),
            "count": count.reshape(size),
            "listings": listings.reshape(size),
            "share": share.reshape(size),
            "expected": expected.reshape(size),
            "p": holm(p.reshape(size)),
            "apart": -np.abs(z).reshape(size),
        }
    )
    frame = frame[listings.reshape(size) > 0]
    return frame.sort_values(["p", "apart", "expert"], kind="stable", ignore_index=True).drop(columns="apart")


def _with_several(item: Indices, value: Indices) -> Indices:
    """The items that come with more than one value."""
    kinds = int(value.max(initial=0)) + 1
    items = np.unique(item * kinds + value) // kinds
    return items[1:][items[1:] == items[:-1]]


def _units(table: pd.DataFrame) -> Indices:
    """A number per listing; a row without one stands for itself, since what shares a product is a tie of its own."""
    return units(table.drop(columns="product", errors="ignore"))


def _ties(
    table: pd.DataFrame, unit: Indices, copies: Indices | None, no_label: Collection[str]
) -> list[tuple[str, Indices, str]]:
    """Kinds of ties, an item number per row (-1: none), and the column that names the item."""
    image = "listing" if "listing" in table else "image"
    ties = [("listing", unit, image)]
    if "product" in table:
        ties.append(("product", np.where(table["product"] == "", -1, pd.factorize(table["product"])[0]), "product"))
    if "user" in table and "description" in table:
        text = table["description"].str.replace(r"\s+", " ", regex=True).str.strip().str.lower()
        user, words = pd.factorize(table["user"])[0], pd.factorize(text)[0]
        has_text = (table["user"] != "") & (text != "") & ~text.isin([word.lower() for word in no_label])
        both = user.astype(np.int64) * (int(words.max(initial=0)) + 1) + words
        ties.append(("text", np.where(has_text, both, -1), "description"))
    if copies is not None:
        ties.append(("photo", copies, image))
    return ties


def _no_disagreements() -> pd.DataFrame:
    dtypes = {
        "tie": TEXT,
        "item": "int64",
        "name": TEXT,
        "expert": TEXT,
        "verdict": TEXT,
        "listings": "int64",
        "row": "int64",
    }
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes.items()})
