"""Which rows a step sees."""

from collections import Counter

import numpy as np
import pytest

from vitrine.data.sampling import class_balanced, mixed, shuffled


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 16, 17, 100])
def test_shuffled_covers_all_rows_once_without_a_batch_of_one(rows):
    own = np.arange(rows) * 3 + 5
    batches = shuffled(own, 8, seed=0, epoch=0)
    assert sorted(np.concatenate(batches)) == sorted(own)
    assert all(1 < len(batch) <= 9 for batch in batches) or rows == 1


@pytest.mark.parametrize("rows", [1, 5, 8, 9])
def test_shuffled_shows_a_row_again_once_all_were_shown(rows):
    own = np.arange(rows)
    order = np.concatenate(shuffled(own, 4, seed=0, epoch=0, views=3))
    assert all(sorted(order[i : i + rows]) == own.tolist() for i in range(0, 3 * rows, rows))
    assert rows < 5 or order[:rows].tolist() != order[rows : 2 * rows].tolist()


def test_shuffled_is_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        return np.concatenate(shuffled(np.arange(50), 8, seed, epoch)).tolist()

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


@pytest.fixture
def long_tailed():
    return [np.arange(100), np.arange(100, 107), np.array([200])]


def test_classes_are_even(long_tailed):
    batches = class_balanced(long_tailed, batch_size=10, steps=9, seed=0, epoch=0)
    assert len(batches) == 9
    assert all(len(rows) == len(classes) == 10 for rows, classes in batches)
    counts = Counter(np.concatenate([classes for _, classes in batches]).tolist())
    assert counts == {0: 30, 1: 30, 2: 30}


def test_a_row_is_drawn_for_a_class_it_carries(long_tailed):
    for rows, classes in class_balanced(long_tailed, 10, 9, seed=3, epoch=1):
        assert all(row in long_tailed[label] for row, label in zip(rows, classes, strict=True))


def test_all_photos_of_a_class_are_seen_before_any_is_seen_again(long_tailed):
    batches = class_balanced(long_tailed, 10, 9, seed=0, epoch=0)
    rows, classes = (np.concatenate(part) for part in zip(*batches, strict=True))
    for label, members in enumerate(long_tailed):
        drawn = rows[classes == label].tolist()
        for i in range(0, len(drawn), len(members)):
            turn = drawn[i : i + len(members)]
            assert len(set(turn)) == len(turn)


def test_a_row_of_two_classes_serves_both():
    batches = class_balanced([np.array([0, 1]), np.array([1, 2])], 4, 5, seed=0, epoch=0)
    drawn = {(int(row), int(label)) for rows, labels in batches for row, label in zip(rows, labels, strict=True)}
    assert drawn == {(0, 0), (1, 0), (1, 1), (2, 1)}


def test_more_classes_than_places_leaves_no_place_empty():
    members = [np.array([label]) for label in range(50)]
    ((rows, classes),) = class_balanced(members, batch_size=4, steps=1, seed=0, epoch=0)
    assert rows.tolist() == classes.tolist()
    assert len(set(rows.tolist())) == 4


def test_epochs_differ_and_repeat(long_tailed):
    def drawn(epoch):
        return np.concatenate([rows for rows, _ in class_balanced(long_tailed, 10, 3, 0, epoch)]).tolist()

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


class TestMixed:
    OWN, FURTHER = np.arange(100, 140), np.arange(500, 510)
    ANNOTATED = (np.array([100, 101, 102]), np.arange(100, 130), np.empty(0, np.int64))

    def epoch(self, shares, views=2, batch_size=16, epoch=0, further=FURTHER):
        return mixed(self.OWN, self.ANNOTATED, further, shares, views, batch_size, 0, epoch)

    def test_each_own_photo_is_shown_as_often_as_asked(self):
        rows = np.concatenate([batch.rows for batch in self.epoch((0, 0, 0), views=3)])
        assert sorted(rows.tolist()) == sorted(self.OWN.tolist() * 3)
        assert sorted(rows[:40].tolist()) == self.OWN.tolist()  # no second view before all had a first

    def test_shares_are_of_all_photos_and_take_none_of_the_own(self):
        batches = self.epoch((0.2, 0.1, 0.3))
        rows = np.concatenate([batch.rows for batch in batches])
        corrupted = np.concatenate([batch.corrupted for batch in batches])
        assert len(rows) == 200  # 80 are 40 %
        assert corrupted.sum() == 60
        assert (rows[~corrupted] >= 500).sum() == 20
        clean = rows[~corrupted]
        counts = np.array([(clean == row).sum() for row in self.OWN])
        assert (counts >= 2).all()
        # of 40 drawn from annotated photos, half from the three of the first type
        assert (counts[:3] - 2).sum() >= 20

    def test_every_part_of_an_epoch_holds_some_of_everything(self):
        batches = self.epoch((0, 0.25, 0.25), batch_size=32)
        for batch in batches:
            assert 2 <= (batch.rows[~batch.corrupted] >= 500).sum() <= 14
            assert 2 <= batch.corrupted.sum() <= 14

    def test_what_there_is_none_of_has_no_share(self):
        rows = np.concatenate([batch.rows for batch in self.epoch((0, 0.5, 0), further=np.empty(0, np.int64))])
        assert len(rows) == 80

    def test_seed_and_epoch_decide(self):
        first, again, other = self.epoch((0, 0.2, 0.2)), self.epoch((0, 0.2, 0.2)), self.epoch((0, 0.2, 0.2), epoch=1)
        assert all((a.rows == b.rows).all() and (a.draws == b.draws).all() for a, b in zip(first, again, strict=True))
        assert not all((a.rows == b.rows).all() for a, b in zip(first, other, strict=True))

    def test_no_batch_of_one(self):
        sizes = [len(batch.rows) for batch in self.epoch((0, 0, 0), views=1, batch_size=13)]
        assert sizes == [13, 13, 14]
