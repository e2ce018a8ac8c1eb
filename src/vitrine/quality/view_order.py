"""Views out of order, repeated or missing (Yang et al. 2020, Section 2.2: "incomplete or in an incorrect order").

Users upload the views of an item in a fixed order, so a listing whose photos come in another order has most likely a
photo under the wrong view. What is usual is learned from the catalog itself; `extra` photos come as they like.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitrine.catalog.table import TEXT

EXTRA = "extra"
USUAL = 0.5  # of the listings: what that many show is a usual view, an order that more follow is the usual one
DISORDERED, REPEATED, SAME_PHOTO, MISSING = "disordered", "repeated", "same photo", "missing"

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class ViewReport:
    """What is wrong with the views of a catalog.

    Attributes:
        listings: Listings that were looked at: those that show several different views.
        usual: The usual views; in their usual order, if there is one.
        order_share: Of the listings that show all usual views, how many show them in that order; 0 without a usual
            order.
        problems: `listing`, `row` (0-based: where the listing or the photo first stands), `kind` (`DISORDERED`,
            `REPEATED`, `SAME_PHOTO`, `MISSING`) and `detail` in words, sorted by kind and row.
    """

    listings: int
    usual: tuple[str, ...]
    order_share: float
    problems: pd.DataFrame

    def of(self, *kinds: str) -> pd.DataFrame:
        """The problems of some kinds."""
        return self.problems[self.problems["kind"].isin(kinds)].reset_index(drop=True)


@dataclass(frozen=True)
class _Shown:
    """Rows with a named view, of listings that show several; sorted by listing, then row."""

    listing: Indices  # number of the listing
    view: Indices  # number of the view
    row: Indices
    listings: pd.Index
    views: pd.Index


def view_report(table: pd.DataFrame, copies: Indices | None = None) -> ViewReport:
    """Looks at the views of every listing, in the order of the catalog's rows.

    Args:
        table: A catalog table.
        copies: A group number per row of exact copies of one photo, -1 for a photo that is alone; None leaves out
            whether one photo stands under two views.
    """
    shown = _shown(table)
    if shown is None:
        return ViewReport(0, (), 0.0, _frame([]))
    first = _first_of_each(shown)
    listings = len(np.unique(shown.listing))
    usual = _usual(first, listings)
    order, share = _usual_order(first, usual)
    parts = [_repeated(shown)]
    if copies is not None:
        parts.append(_same_photo(shown, copies))
    if len(order):
        parts.append(_disordered(first, order))
    if len(usual):
        parts.append(_missing(first, usual))
    names = tuple(str(shown.views[view]) for view in (order if len(order) else usual))
    return ViewReport(listings, names, share, _frame(parts))


def _shown(table: pd.DataFrame) -> _Shown | None:
    if "view" not in table or "listing" not in table:
        return None
    rows = np.flatnonzero(((table["view"] != "") & (table["listing"] != "")).to_numpy(dtype=bool))
    listing, listings = pd.factorize(table["listing"].iloc[rows])
    view, views = pd.factorize(table["view"].iloc[rows])
    order = np.argsort(listing, kind="stable")
    shown = _Shown(listing[order], view[order], rows[order], listings, views)
    first = _first_of_each(shown)
    several = (np.bincount(first.listing, minlength=len(listings)) > 1)[shown.listing]
    return _part(shown, several) if several.any() else None


def _part(shown: _Shown, wanted: NDArray[np.bool_] | Indices) -> _Shown:
    return _Shown(shown.listing[wanted], shown.view[wanted], shown.row[wanted], shown.listings, shown.views)


def _first_of_each(shown: _Shown) -> _Shown:
    """Only the first photo of each view of a listing."""
    return _part(shown, np.sort(np.unique(_pairs(shown), return_index=True)[1]))


def _pairs(shown: _Shown) -> Indices:
    return shown.listing * max(len(shown.views), 1) + shown.view


def _usual(first: _Shown, listings: int) -> Indices:
    """The views that at least half of the listings show, in the order of the catalog."""
    times = np.bincount(first.view, minlength=len(first.views))
    return np.flatnonzero((times >= USUAL * listings) & (np.asarray(first.views) != EXTRA))


def _usual_order(first: _Shown, usual: Indices) -> tuple[Indices, float]:
    """The order of the usual views that most listings with all of them follow, and how many do; none without one."""
    if len(usual) < 2:
        return np.empty(0, dtype=np.int64), 0.0
    usual_views = _part(first, np.isin(first.view, usual))
    whole = np.bincount(usual_views.listing, minlength=len(first.listings)) == len(usual)
    orders = usual_views.view[whole[usual_views.listing]].reshape(-1, len(usual))  # (listings, views)
    if not len(orders):
        return np.empty(0, dtype=np.int64), 0.0
    weights = np.uint64(len(usual)) ** np.arange(len(usual), dtype=np.uint64)  # one number an order, up to 15 views
    numbers = (np.searchsorted(usual, orders).astype(np.uint64) * weights).sum(axis=1)
    _, examples, times = np.unique(numbers, return_index=True, return_counts=True)
    share = float(times.max() / times.sum())
    return (orders[examples[times.argmax()]], share) if share > USUAL else (np.empty(0, dtype=np.int64), 0.0)


def _disordered(first: _Shown, order: Indices) -> pd.DataFrame:
    place = np.full(len(first.views), -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    placed = _part(first, place[first.view] >= 0)
    places = place[placed.view]
    back = (places[1:] < places[:-1]) & (placed.listing[1:] == placed.listing[:-1])
    wrong = np.isin(placed.listing, placed.listing[1:][back])
    listing, places, row = placed.listing[wrong], places[wrong], placed.row[wrong]
    names, starts, inverse = np.unique(listing, return_index=True, return_inverse=True)
    sequences = np.full((len(names), len(order)), -1, dtype=np.int16)
    sequences[inverse, np.arange(len(listing)) - starts[inverse]] = places
    views = [str(first.views[view]) for view in order]
    detail = _in_words(
        sequences, lambda numbers: f"shows {', '.join(views[number] for number in numbers if number >= 0)}"
    )
    return _problems(first, names, row[starts], DISORDERED, detail)


def _missing(first: _Shown, usual: Indices) -> pd.DataFrame:
    names, starts, inverse = np.unique(first.listing, return_index=True, return_inverse=True)
    lacks = np.ones((len(names), len(usual)), dtype=bool)
    for column, view in enumerate(usual):
        lacks[inverse[first.view == view], column] = False
    wrong = lacks.any(axis=1)
    views = [str(first.views[view]) for view in usual]
    detail = _in_words(
        lacks[wrong],
        lambda missing: f"lacks {', '.join(view for view, lack in zip(views, missing, strict=True) if lack)}",
    )
    return _problems(first, names[wrong], first.row[starts[wrong]], MISSING, detail)


def _repeated(shown: _Shown) -> pd.DataFrame:
    """Every further photo of one view counts once per listing and view."""
    ours = _part(shown, np.asarray(shown.views)[shown.view] != EXTRA)
    _, starts, times = np.unique(_pairs(ours), return_index=True, return_counts=True)
    starts, times = starts[times > 1], times[times > 1]
    view = pd.Series(ours.views.to_numpy(dtype=object)[ours.view[starts]], dtype=TEXT)
    detail = "shows " + view + " " + pd.Series(times).astype(str).astype(TEXT) + " times"
    return _problems(shown, ours.listing[starts], ours.row[starts], REPEATED, detail)


def _same_photo(shown: _Shown, copies: Indices) -> pd.DataFrame:
    ours = _part(shown, copies[shown.row] >= 0)
    photo = np.unique(copies[ours.row], return_inverse=True)[1]
    order = np.lexsort((ours.row, photo, ours.listing))
    ours, photo = _part(ours, order), photo[order]
    start = np.flatnonzero(np.r_[True, (ours.listing[1:] != ours.listing[:-1]) | (photo[1:] != photo[:-1])])
    if not len(photo):
        return _frame([])
    leader = np.repeat(start, np.diff(np.r_[start, len(photo)]))
    other = np.flatnonzero(ours.view != ours.view[leader])
    other = other[np.unique(leader[other], return_index=True)[1]]  # the first photo under another view
    names = ours.views.to_numpy(dtype=object)
    one, two = (pd.Series(names[ours.view[rows]], dtype=TEXT) for rows in (leader[other], other))
    detail = "shows one photo as " + one + " and as " + two
    return _problems(shown, ours.listing[other], ours.row[leader[other]], SAME_PHOTO, detail)


def _in_words(patterns: NDArray, say: Callable[[list[int]], str]) -> pd.Series:
    """A sentence per row of a matrix; each different row is put into words once."""
    different, inverse = np.unique(patterns, axis=0, return_inverse=True)
    sentences = np.array([say(pattern) for pattern in different.tolist()], dtype=object)
    return pd.Series(sentences[inverse.ravel()] if len(patterns) else [], dtype=TEXT)


def _problems(shown: _Shown, listing: Indices, row: Indices, kind: str, detail: pd.Series) -> pd.DataFrame:
    columns = {
        "listing": shown.listings.take(listing).array,
        "row": row,
        "kind": pd.Series([kind], dtype=TEXT).repeat(len(row)).array,
        "detail": detail.array,
    }
    return pd.DataFrame(columns).astype({"listing": TEXT})


def _frame(parts: list[pd.DataFrame]) -> pd.DataFrame:
    if not parts:
        dtypes = {"listing": TEXT, "row": "int64", "kind": TEXT, "detail": TEXT}
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes.items()})
    return pd.concat(parts).sort_values(["kind", "row"], kind="stable", ignore_index=True)
