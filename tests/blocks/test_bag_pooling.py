"""Flat photos to listings: nothing of a neighbour or of padding may leak in."""

import pytest
import torch

from vitrine.blocks.bag_pooling import max_pooling, mean_pooling, padded, unpadded

LENGTHS = torch.tensor([3, 1, 16, 2])


def photos(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(int(LENGTHS.sum()), *shape, generator=generator).to(dtype)


def split(values):
    return torch.split(values, LENGTHS.tolist())


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_padded_and_back(shape):
    flat = photos(*shape)
    rows = padded(flat, LENGTHS, fill=-7.0)
    assert rows.shape == (4, 16, *shape)
    for row, own, length in zip(rows, split(flat), LENGTHS, strict=True):
        assert torch.equal(row[:length], own)
        assert (row[length:] == -7).all()
    assert torch.equal(unpadded(rows, LENGTHS), flat)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(5,), (2, 3)])
def test_pooling_equals_a_loop(dtype, shape):
    flat = photos(*shape, dtype=dtype)
    means = torch.stack([own.float().mean(dim=0) for own in split(flat)])
    assert torch.allclose(mean_pooling(flat, LENGTHS).float(), means, atol=1e-6)
    assert torch.equal(max_pooling(flat, LENGTHS), torch.stack([own.amax(dim=0) for own in split(flat)]))


def test_all_below_zero_are_not_beaten_by_padding():
    assert (max_pooling(-photos(3).abs() - 1, LENGTHS) < -1).all()


def test_gradients_reach_the_photos_and_only_the_own_listing():
    flat = photos(4).requires_grad_()
    mean_pooling(flat, LENGTHS)[1].sum().backward()
    assert (flat.grad[3] == 1).all()
    assert flat.grad.abs().sum() == 4


@pytest.mark.parametrize("pool", [mean_pooling, max_pooling])
@pytest.mark.parametrize("lengths", [[0], [2, 0], []])
def test_an_empty_listing_is_refused(pool, lengths):
    with pytest.raises(ValueError, match="without photos"):
        pool(torch.zeros(sum(lengths), 3), torch.tensor(lengths, dtype=torch.int64))


def test_lengths_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="3 photos were announced, 4 came"):
        mean_pooling(torch.zeros(4, 2), torch.tensor([1, 2]))
