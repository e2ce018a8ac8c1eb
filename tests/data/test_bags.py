"""Listings as bags: whose photos belong together, and how they are dealt into steps."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.data.bags import MAX_PHOTOS, bag_batches, bags_of, balanced, packed, rows_of, steps_of_epoch
from vitrine.errors import InputError


def table(**columns):
    return pd.DataFrame({"image": [f"{i}.jpg" for i in range(len(next(iter(columns.values()))))], **columns})


class TestBagsOf:
    def test_photos_of_a_listing_belong_together_wherever_they_stand(self):
        bags = bags_of(
            table(
                listing=["b", "a", "b", ""],
                view=["tag", "", "stamp", "tag"],
                verdict=["authentic", "", "authentic", "counterfeit"],
                split=["train", "test", "train", "validation"],
            )
        )
        assert [(bag.listing, bag.rows.tolist(), bag.views, bag.verdict, bag.split) for bag in bags] == [
            ("b", [0, 2], ("tag", "stamp"), "authentic", "train"),
            ("a", [1], ("",), "", "test"),
            ("3.jpg", [3], ("tag",), "counterfeit", "validation"),
        ]
        assert [len(bag) for bag in bags] == [2, 1, 1]

    def test_without_columns_every_photo_is_an_undecided_listing(self):
        bags = bags_of(pd.DataFrame({"image": ["x.jpg", "y.jpg"]}))
        assert [(bag.listing, bag.rows.tolist(), bag.views, bag.verdict, bag.split) for bag in bags] == [
            ("x.jpg", [0], ("",), "", ""),
            ("y.jpg", [1], ("",), "", ""),
        ]

    def test_a_listing_named_like_a_photo_is_another_one(self):
        assert len(bags_of(table(listing=["1.jpg", ""]))) == 2

    def test_rows_numbered_in_any_way(self):
        frame = table(listing=["a", "b", "a"], verdict=["", "", "authentic"])
        frame.index = [7, 3, 9]
        assert [(bag.rows.tolist(), bag.verdict) for bag in bags_of(frame)] == [([0, 2], "authentic"), ([1], "")]

    def test_a_verdict_on_one_photo_is_the_verdict_on_the_listing(self):
        (bag,) = bags_of(table(listing=["a"] * 3, verdict=["", "counterfeit", ""]))
        assert bag.verdict == "counterfeit"

    def test_contradictions_name_the_listing(self):
        with pytest.raises(InputError, match=r"listing 'b': its rows bear two verdicts \(authentic, counterfeit\)"):
            bags_of(table(listing=["a", "b", "b"], verdict=["", "authentic", "counterfeit"]))
        with pytest.raises(InputError, match=r"listing 'b': its rows are in two splits \(none, train\)"):
            bags_of(table(listing=["a", "b", "b"], split=["test", "train", ""]))

    def test_too_many_photos_name_the_listing_and_what_to_do(self):
        assert len(bags_of(table(listing=["a"] * MAX_PHOTOS))[0]) == MAX_PHOTOS
        with pytest.raises(InputError, match="listing 'a': has 17 photos, more than 16; drop"):
            bags_of(table(listing=["a"] * (MAX_PHOTOS + 1)))


SIZES = st.lists(st.integers(1, MAX_PHOTOS), min_size=1, max_size=60)


class TestBatches:
    @given(SIZES, st.integers(2, 64), st.integers(0, 3), st.integers(0, 3), st.data())
    def test_every_bag_once_and_the_announced_number_of_batches(self, sizes, photos, seed, epoch, data):
        sizes = np.array(sizes)
        labelled = np.array(data.draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes))))
        batches = bag_batches(sizes, labelled, photos, seed, epoch)
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(sizes)))
        assert len(batches) == steps_of_epoch(sizes, photos)
        if sizes.sum() > 1:
            assert min(sizes[batch].sum() for batch in batches) > 1  # batch norm needs two photos
        again = bag_batches(sizes, labelled, photos, seed, epoch)
        assert all((a == b).all() for a, b in zip(batches, again, strict=True))

    def test_batches_hold_about_as_many_photos_each(self):
        sizes = np.random.default_rng(0).integers(1, MAX_PHOTOS + 1, 1000)
        photos = [sizes[batch].sum() for batch in bag_batches(sizes, np.ones(1000, bool), 128, 0, 0)]
        assert min(photos) > 128 - MAX_PHOTOS
        assert max(photos) < 128 + 2 * MAX_PHOTOS

    def test_short_bags_come_many_at_a_time(self):
        short, long = np.full(320, 2), np.full(40, 16)
        batches = [bag_batches(sizes, np.ones(len(sizes), bool), 64, 0, 0) for sizes in (short, long)]
        assert [len(own) for own in batches] == [10, 10]
        assert [len(own[0]) for own in batches] == [32, 4]

    def test_labelled_bags_are_dealt_evenly(self):
        labelled = np.arange(400) < 40
        batches = bag_batches(np.full(400, 4), labelled, 64, 5, 1)
        assert {int(labelled[batch].sum()) for batch in batches} <= {0, 1, 2, 3}
        assert np.mean([labelled[batch].any() for batch in batches]) > 0.8

    def test_epochs_and_seeds_differ(self):
        sizes = np.full(50, 3)
        orders = [
            np.concatenate(bag_batches(sizes, np.ones(50, bool), 30, seed, epoch)).tolist()
            for seed, epoch in ((0, 0), (0, 1), (1, 0))
        ]
        assert orders[0] != orders[1] != orders[2] != orders[0]


@given(SIZES, st.integers(1, 40))
def test_packed_keeps_the_order_and_the_limit(sizes, photos):
    batches = packed(sizes, photos)
    assert np.concatenate(batches).tolist() == list(range(len(sizes)))
    for batch, following in zip(batches, [*batches[1:], None], strict=True):
        total = sum(sizes[i] for i in batch)
        assert total <= photos or len(batch) == 1
        if following is not None:
            assert total + sizes[following[0]] > photos  # no batch could have been fuller


def test_rows_of_bags_one_after_the_other():
    bags = bags_of(table(listing=["b", "a", "b"]))
    assert rows_of(bags, [1, 0]).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("decided", "undecided", "times"), [(3, 27, 9), (3, 8, 2), (3, 5, 1), (5, 3, 1), (5, 0, 1), (0, 4, 0)]
)
def test_balanced_repeats_decided_bags_until_they_are_as_many(decided, undecided, times):
    count = decided + undecided
    verdict = ["authentic"] * decided + [""] * undecided
    listings = [f"l{i}" for i in range(count)]
    bags = bags_of(table(listing=listings, image=listings, verdict=verdict, split=["train"] * count))
    found = balanced(bags)
    assert found[:count] == bags
    assert [sum(bag is own for own in found) for bag in bags] == [times] * decided + [1] * undecided
