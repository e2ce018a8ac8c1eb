"""The salient-sensitive module, cell by cell (Section 3.2)."""

import math

import pytest
import torch

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.spatial_attention import SpatialAttention, stages


@pytest.fixture
def module():
    torch.manual_seed(0)
    module = SpatialAttention(5, 3, 4)
    with torch.no_grad():
        module.template.copy_(torch.randn(3, 4))
        module.score.weight.copy_(torch.randn(module.score.weight.shape))
        module.score.bias.fill_(0.3)
    return module


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_formula(module, dtype):
    module = module.to(dtype)
    features = torch.randn(2, 5, 3, 4, dtype=dtype)
    with torch.no_grad():
        weighted, heat = module(features)
    assert weighted.shape == features.shape
    assert heat.shape == (2, 3, 4)
    kernel, bias = module.score.weight.flatten().tolist(), module.score.bias.item()
    for n in range(2):
        for y in range(3):
            for x in range(4):
                scored = sum(w * features[n, c, y, x].item() for c, w in enumerate(kernel)) + bias
                cell = 1 / (1 + math.exp(-scored)) * module.template[y, x].item()
                assert heat[n, y, x].item() == pytest.approx(cell, rel=1e-5, abs=1e-7)
                for c in range(5):
                    assert weighted[n, c, y, x].item() == pytest.approx(features[n, c, y, x].item() * cell, rel=1e-4)


def test_starts_as_the_identity_and_learns_from_the_first_step():
    module = SpatialAttention(512, 7, 7)
    features = torch.randn(8, 512, 7, 7)
    weighted, heat = module(features)
    assert torch.equal(weighted, features)
    assert (heat == 1).all()
    (weighted * torch.randn_like(weighted)).sum().backward()
    assert (module.score.weight.grad != 0).any()


def test_the_template_learns_for_all_channels_at_once(module):
    weighted, _ = module(torch.randn(2, 5, 3, 4))
    weighted.sum().backward()
    assert module.template.grad.shape == (3, 4)
    assert (module.template.grad != 0).all()


def test_one_cell():
    weighted, heat = SpatialAttention(2, 1, 1)(torch.ones(1, 2, 1, 1))
    assert weighted.shape == (1, 2, 1, 1)
    assert heat.shape == (1, 1, 1)


def test_the_stages_of_a_trunk_on_any_device():
    trunk, _ = build_backbone("mobilenet_v2", 64)
    here = stages(trunk, 64)
    assert [shape for _, shape in here] == [(1280, 2, 2), (96, 4, 4), (32, 8, 8), (24, 16, 16), (16, 32, 32)]
    assert stages(trunk.to("meta"), 64) == here
