"""The listings that systems are measured on hold what their description promises."""

import pytest

from benchmarks.tables.authenticity_data import (
    MARK_VIEWS,
    PAIRS,
    real_listings,
    rendered_listings,
)
from vitrine.catalog import read_catalog
from vitrine.data.bags import bags_of


@pytest.fixture(scope="module")
def real(datasets, tmp_path_factory, slow_to_make):
    out = tmp_path_factory.mktemp("real") / "catalog"
    real_listings(datasets / "grocery", out)
    return read_catalog(out)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory, slow_to_make):
    out = tmp_path_factory.mktemp("rendered") / "catalog"
    rendered_listings(out, 40)
    return read_catalog(out)


def test_no_real_photo_is_in_two_splits_and_a_deciding_one_in_one_listing(real):
    table = real.table
    assert table.groupby("image")["split"].nunique().max() == 1
    assert table[table["decisive"] == "yes"].groupby("image")["listing"].nunique().max() == 1
    assert table.groupby("listing")["image"].nunique().equals(table.groupby("listing").size())


def test_one_or_two_photos_decide_and_the_rest_are_shared(real):
    table = real.table.assign(kind=real.table["image"].str.split("/").str[-2])
    listings = table.groupby("listing")
    assert listings.size().between(3, 7).all()
    decisive = listings["decisive"].agg(lambda column: int((column == "yes").sum()))
    assert set(decisive) == {1, 2}
    sides = {"authentic": {pair[0] for pair in PAIRS}, "counterfeit": {pair[1] for pair in PAIRS}}
    for verdict, kinds in sides.items():
        own = table[table["verdict"] == verdict]
        assert set(own.loc[own["decisive"] == "yes", "kind"]) == kinds
        assert set(own.loc[own["decisive"] == "", "kind"]) == {pair[2] for pair in PAIRS}


def test_undecided_listings_are_three_in_ten_and_only_teach(real, rendered):
    for catalog, base in ((real, "train"), (rendered, "all")):
        bags = bags_of(catalog.table)
        undecided = [bag for bag in bags if not bag.verdict]
        assert {bag.split for bag in undecided} == {"train"}
        among = [bag for bag in bags if base == "all" or bag.split == "train"]
        assert len(undecided) / len(among) == pytest.approx(0.3, abs=0.02)


def test_the_rendered_mark_sits_in_two_views(rendered):
    table = rendered.table
    assert set(table.loc[table["decisive"] == "yes", "view"]) == set(MARK_VIEWS)
    assert table.groupby("listing")["verdict"].nunique().max() == 1
    assert [sum(bag.split == split for bag in bags_of(table)) for split in ("train", "validation", "test")] == [
        24,
        4,
        12,
    ]
