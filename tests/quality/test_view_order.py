"""Views out of order, repeated and missing, against a slow account listing by listing."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrine.catalog.table import TEXT
from vitrine.quality.view_order import DISORDERED, EXTRA, MISSING, REPEATED, SAME_PHOTO, view_report

SIX = ["appearance", "tag", "midsole", "insole", "box_logo", "stamp"]


def catalog(**listings):
    rows = [(name, view) for name, views in listings.items() for view in views]
    return pd.DataFrame(rows, columns=["listing", "view"]).astype(TEXT)


def details(report, *kinds):
    return {(row.listing, row.row): row.detail for row in report.of(*kinds).itertuples()}


def test_listings_that_leave_the_usual_order_are_named():
    usual = {f"l{n}": SIX for n in range(5)}
    table = catalog(
        **usual,
        swapped=["tag", "appearance", *SIX[2:]],
        cut=["appearance", "midsole", "stamp"],  # in order, as far as it goes
        wrong=["stamp", "midsole"],
        more=[*SIX[:3], EXTRA, *SIX[3:], EXTRA],
        single=["stamp"],
    )
    report = view_report(table)
    assert report.usual == tuple(SIX)
    assert report.order_share == pytest.approx(6 / 7)
    assert report.listings == 9  # one view alone has no order
    assert details(report, DISORDERED) == {
        ("swapped", 30): "shows tag, appearance, midsole, insole, box_logo, stamp",
        ("wrong", 39): "shows stamp, midsole",
    }
    assert details(report, MISSING) == {
        ("cut", 36): "lacks tag, insole, box_logo",
        ("wrong", 39): "lacks appearance, tag, insole, box_logo",
    }


def test_without_a_majority_there_is_no_usual_order():
    table = catalog(a=["tag", "stamp"], b=["stamp", "tag"], c=["tag", "stamp"], d=["stamp", "tag"])
    report = view_report(table)
    assert (set(report.usual), report.order_share) == ({"tag", "stamp"}, 0.0)
    assert report.problems.empty


def test_rows_of_a_listing_need_not_stand_together():
    table = catalog(a=["tag", "stamp"], b=["tag", "stamp"], c=["tag", "stamp"])
    mixed = table.iloc[[4, 0, 3, 2, 1, 5]].reset_index(drop=True)  # b shows its stamp first
    assert details(view_report(mixed), DISORDERED) == {("b", 2): "shows stamp, tag"}


def test_one_view_twice_and_one_photo_under_two_views():
    table = catalog(a=["tag", "stamp", "tag", EXTRA, EXTRA], b=["tag", "stamp"], c=["tag", "tag"], d=["tag", EXTRA])
    copies = np.array([-1, -1, -1, 3, 3, 5, 5, 7, 7, 9, 9])
    report = view_report(table, copies)
    assert details(report, REPEATED) == {("a", 0): "shows tag 2 times"}  # c shows a single view only
    assert details(report, SAME_PHOTO) == {
        ("b", 5): "shows one photo as tag and as stamp",
        ("d", 9): "shows one photo as tag and as extra",
    }
    assert view_report(table).of(SAME_PHOTO).empty


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"image": ["a"]}, dtype=TEXT),
        pd.DataFrame({"listing": ["a", "a"], "view": ["", ""]}, dtype=TEXT),
        pd.DataFrame({"listing": ["", ""], "view": ["tag", "box"]}, dtype=TEXT),
        pd.DataFrame({"listing": ["a"], "view": ["tag"]}, dtype=TEXT),
        pd.DataFrame({"listing": [], "view": []}, dtype=TEXT),
    ],
)
def test_catalogs_without_listings_of_named_views_have_no_problems(table):
    report = view_report(table, np.full(len(table), -1))
    assert (report.listings, report.usual) == (0, ())
    assert report.problems.empty
    assert list(report.problems) == ["listing", "row", "kind", "detail"]


def slowly(table, copies):
    """The same, one listing after the other."""
    rows = {}
    for row, (name, view) in enumerate(zip(table["listing"], table["view"], strict=True)):
        if name and view:
            rows.setdefault(name, []).append((row, view))
    rows = {name: photos for name, photos in rows.items() if len({view for _, view in photos}) > 1}
    shows = Counter(view for photos in rows.values() for view in {view for _, view in photos})
    usual = {view for view, count in shows.items() if view != EXTRA and count >= len(rows) / 2}
    sequences = {}
    for name, photos in rows.items():
        sequences[name] = list(dict.fromkeys(view for _, view in photos if view in usual))
    whole = Counter(tuple(views) for views in sequences.values() if len(views) == len(usual))
    order = ()
    if whole and len(usual) > 1:
        best, count = whole.most_common(1)[0]
        order = best if count > 0.5 * whole.total() else ()
    found = set()
    for name, photos in rows.items():
        if order and [view for view in order if view in sequences[name]] != sequences[name]:
            found.add((name, DISORDERED))
        if usual - set(sequences[name]):
            found.add((name, MISSING))
        if any(count > 1 for view, count in Counter(view for _, view in photos).items() if view != EXTRA):
            found.add((name, REPEATED))
        views = {}
        for row, view in photos:
            if copies[row] >= 0:
                views.setdefault(copies[row], set()).add(view)
        if any(len(names) > 1 for names in views.values()):
            found.add((name, SAME_PHOTO))
    return len(rows), order, found


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "a", "b", "c", "d"]),
            st.sampled_from(["", "tag", "box", "stamp", EXTRA, "<i>"]),
            st.integers(-1, 3),
        ),
        max_size=40,
    )
)
def test_the_account_is_that_of_a_loop_over_listings(rows):
    table = pd.DataFrame([row[:2] for row in rows], columns=["listing", "view"]).astype(TEXT)
    copies = np.array([row[2] for row in rows], dtype=np.int64)
    listings, order, found = slowly(table, copies)
    report = view_report(table, copies)
    assert report.listings == listings
    assert set(zip(report.problems["listing"], report.problems["kind"], strict=True)) == found
    if order:
        assert report.usual == order
        assert report.order_share > 0.5
    for problem in report.problems.itertuples():
        assert table["listing"].iat[problem.row] == problem.listing


def test_a_large_catalog_is_looked_at_in_one_go():
    rng = np.random.default_rng(0)
    rows = 600_000
    names = np.array([f"l{n}" for n in range(rows // 6)], dtype=object)
    places = np.tile(np.arange(6), rows // 6).reshape(-1, 6)
    places[rng.random(len(places)) < 0.01] = [1, 0, 2, 3, 4, 5]
    table = pd.DataFrame(
        {
            "listing": pd.Series(np.repeat(names, 6), dtype=TEXT),
            "view": pd.Series(np.array(SIX, dtype=object)[places.ravel()], dtype=TEXT),
        }
    )
    report = view_report(table, np.full(rows, -1))
    assert report.usual == tuple(SIX)
    assert 800 < len(report.of(DISORDERED)) < 1200
