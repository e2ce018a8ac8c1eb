"""What a ring buffer holds after every write, against a list."""

import torch

from vitrine.blocks.ring_buffer import filled, remember


def test_the_newest_rows_stay():
    values, labels, seen = torch.zeros(5, 2), torch.full((5,), -1), torch.zeros((), dtype=torch.int64)
    kept, number = [], 0
    for count in (2, 0, 2, 3, 7, 1, 5):
        new = torch.arange(number, number + count)
        remember(seen, (values, torch.stack([new, -new], dim=1).float()), (labels, new))
        kept = [*kept, *new.tolist()][-5:]
        number += count
        rows = filled(seen, 5)
        assert sorted(labels[:rows].tolist()) == kept
        assert torch.equal(values[:rows, 0], labels[:rows].float())
        assert torch.equal(values[:rows, 1], -labels[:rows].float())


def test_a_buffer_of_no_rows_holds_none():
    seen = torch.zeros((), dtype=torch.int64)
    remember(seen, (torch.zeros(0, 2), torch.ones(3, 2)))
    assert filled(seen, 0) == 0
