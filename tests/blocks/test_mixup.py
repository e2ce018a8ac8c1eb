"""Mixed photos, each against its blend."""

import numpy as np
import pytest
import torch

from vitrine.blocks.mixup import mixup


def batch(n=7):
    return torch.rand(n, 3, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("alpha", [0.1, 1.0, 8.0])
def test_each_photo_is_blended_with_its_partner(alpha):
    photos = batch()
    blends, partners, share = mixup(photos, alpha, (1, 2, 3))
    assert 0 <= share <= 1
    assert sorted(partners.tolist()) == list(range(7))
    for i, partner in enumerate(partners):
        wanted = share * photos[i].double() + (1 - share) * photos[partner].double()
        torch.testing.assert_close(blends[i].double(), wanted, rtol=1e-6, atol=1e-6)
    assert torch.equal(photos, batch())


def test_without_alpha_photos_stay_as_they_are():
    blends, partners, share = mixup(batch(), 0.0, (1,))
    assert torch.equal(blends, batch())
    assert share == 1
    assert partners.tolist() == list(range(7))


def test_shares_follow_the_beta_distribution_and_the_seed_alone():
    drawn = [mixup(batch(2), 0.5, (0, step))[2] for step in range(4000)]
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.03)
    assert np.var(drawn) == pytest.approx(1 / 8, abs=0.01)  # 1 / (4 (2 alpha + 1))
    assert drawn[:5] == [mixup(batch(3), 0.5, (0, step))[2] for step in range(5)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_blends_keep_type_and_layout(dtype):
    photos = batch().to(dtype).to(memory_format=torch.channels_last)
    blends, _, _ = mixup(photos, 1.0, (0,))
    assert blends.dtype == dtype
    assert blends.is_contiguous(memory_format=torch.channels_last)
