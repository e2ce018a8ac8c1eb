"""Folding batch norms changes nothing but rounding, and only what is certain to be a pair."""

import pytest
import torch
from torch import nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.folded import fold_batch_norms


def norms(net):
    return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def lived_in(net):
    """With statistics of a net that has seen photos."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return net.eval()


@pytest.mark.parametrize("name", ["resnet18_narrow", "mobilenet_v2"])
def test_a_trunk_answers_the_same_without_its_norms(name):
    torch.manual_seed(0)
    trunk = lived_in(build_backbone(name, 64)[0]).to(memory_format=torch.channels_last)
    before, photos = norms(trunk), torch.randn(2, 3, 64, 64)
    folded = fold_batch_norms(trunk)
    assert norms(trunk) == before > 10
    assert norms(folded) == 0
    with torch.inference_mode():
        right = trunk(photos)
        assert torch.allclose(folded(photos), right, rtol=1e-3, atol=1e-4 * float(right.abs().max()))


def test_what_may_be_no_pair_stays():
    class Other(nn.Sequential):
        def forward(self, x):
            return self[1](x)

    apart = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3))
    batch = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False))
    for net in (Other(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)), apart, batch):
        assert norms(fold_batch_norms(net)) == 1
