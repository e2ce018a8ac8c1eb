"""Trunks lose their frozen first layers for a while, and no more than that."""

import pytest
import torch
from torch import nn

from vitrine.blocks.backbones import build_backbone
from vitrine.blocks.cut import cut_off, middle


class Net(nn.Module):
    def __init__(self, trunk):
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(4, 2)

    def forward(self, photos):
        return self.head(self.trunk(photos).mean(dim=(2, 3)))


def sequential():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1))


@pytest.mark.parametrize(
    ("name", "size", "layers", "of"),
    [
        ("mobilenet_v2", 128, 14, 19),
        ("resnet50", 224, 7, 8),
        ("convnext_tiny", 224, 6, 8),
        ("resnet18_small", 32, 0, 8),
    ],
)
def test_the_middle_is_where_cells_stand_for_sixteen_pixels(name, size, layers, of):
    trunk, _ = build_backbone(name, size)
    assert (middle(trunk, size), len(trunk)) == (layers, of)
    if layers:
        with torch.no_grad():
            assert trunk.eval()[:layers](torch.zeros(1, 3, size, size)).shape[-1] == size // 16


@pytest.mark.parametrize("layers", [1, 3, 4])
def test_both_parts_together_compute_what_the_whole_does(layers):
    net = Net(sequential()).eval()
    photos = torch.randn(2, 3, 5, 5)
    whole, keys, trunk = net(photos), list(net.state_dict()), net.trunk
    with cut_off(net, layers) as first:
        assert torch.equal(net(first(photos)), whole)
        assert set(net.state_dict()) < set(keys)  # the names stay
    assert net.trunk is trunk
    assert list(net.state_dict()) == keys


def test_what_is_trained_behind_the_cut_is_in_the_whole_afterwards():
    net = Net(sequential())
    before = {key: own.clone() for key, own in net.state_dict().items()}
    with cut_off(net, 3) as first:
        assert not any(parameter.requires_grad for parameter in first.parameters())
        optimizer = torch.optim.SGD([own for own in net.parameters() if own.requires_grad], lr=1.0)
        net(first.eval()(torch.randn(2, 3, 5, 5))).square().sum().backward()
        optimizer.step()
    changed = {key for key, own in net.state_dict().items() if not torch.equal(own, before[key])}
    assert changed == {"trunk.3.weight", "trunk.3.bias", "head.weight", "head.bias"}


def test_what_was_frozen_meanwhile_learns_again_and_nothing_else_does():
    net = Net(sequential())
    net.trunk[3].requires_grad_(False)
    with cut_off(net, 4):
        assert [name for name, own in net.named_parameters() if own.requires_grad] == ["head.weight", "head.bias"]
    learning = {name for name, own in net.named_parameters() if own.requires_grad}
    assert learning == {"trunk.0.weight", "trunk.0.bias", "trunk.1.weight", "trunk.1.bias", "head.weight", "head.bias"}


def test_a_trunk_that_is_no_sequence_is_cut_off_whole():
    net = Net(Net(nn.Identity()).trunk)
    net.trunk = nn.ModuleDict({"only": nn.Conv2d(3, 4, 1)})
    with cut_off(net, 1) as first:
        assert isinstance(net.trunk, nn.Identity)
        assert "only" in dict(first.named_children())
    assert "trunk.only.weight" in net.state_dict()


def test_all_trunks_of_a_net_are_cut():
    both = nn.ModuleList([Net(sequential()), Net(sequential())])
    with cut_off(both, 2):
        assert [len(own.trunk) for own in both] == [2, 2]
    assert [len(own.trunk) for own in both] == [4, 4]


def test_the_trunk_is_whole_again_after_an_error():
    net = Net(sequential())
    with pytest.raises(KeyboardInterrupt), cut_off(net, 2):
        raise KeyboardInterrupt
    assert len(net.trunk) == 4
