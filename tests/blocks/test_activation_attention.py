"""Attention maps of activations against the formula, number by number."""

import math

import pytest
import torch

from vitrine.blocks.activation_attention import activation_attention


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_equals_the_formula(dtype):
    features = torch.randn(3, 5, 4, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
    got = activation_attention(features)
    assert got.dtype == torch.float32
    for photo, own in zip(features.tolist(), got.tolist(), strict=True):
        mean = [[sum(photo[c][y][x] ** 2 for c in range(5)) / 5 for x in range(2)] for y in range(4)]
        length = math.sqrt(sum(value**2 for line in mean for value in line))
        for y in range(4):
            assert own[y] == pytest.approx([value / length for value in mean[y]], rel=1e-5)


def test_a_net_that_is_silent_looks_nowhere():
    assert activation_attention(torch.zeros(1, 3, 2, 2)).tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
