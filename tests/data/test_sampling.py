"""Which rows a step sees."""

from collections import Counter

import numpy as np
import pytest

from vitrine.data.sampling import class_balanced, shuffled


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 16, 17, 100])
def test_shuffled_covers_all_rows_once_without_a_batch_of_one(rows):
    own = np.arange(rows) * 3 + 5
    batches = shuffled(own, 8, seed=0, epoch=0)
    assert sorted(np.concatenate(batches)) == sorted(own)
    assert all(1 < len(batch) <= 9 for batch in batches) or rows == 1


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
