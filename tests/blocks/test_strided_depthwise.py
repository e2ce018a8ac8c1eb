import torch
from torch import nn

from vitrine.blocks.strided_depthwise import StridedDepthwise, keep_at_32_bits


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 8, 1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2),
    )


def test_only_strided_depthwise_convolutions_are_changed_and_the_tensors_keep_their_names() -> None:
    changed, before = net(), net().state_dict()
    keep_at_32_bits(changed)
    assert [type(layer) for layer in changed] == [nn.Conv2d, nn.Conv2d, StridedDepthwise, nn.Conv2d]
    assert list(changed.state_dict()) == list(before)
    photos = torch.randn(2, 4, 8, 8)
    assert torch.equal(changed(photos), net()(photos))


def test_under_autocast_they_give_and_get_32_bits() -> None:
    changed = net()
    keep_at_32_bits(changed)
    seen = {}
    for place, layer in enumerate(changed):
        layer.register_forward_hook(lambda _, __, output, place=place: seen.update({place: output.dtype}))
    with torch.autocast("cpu", torch.bfloat16):
        maps = changed[1](changed[0](torch.randn(2, 4, 8, 8)))
        strided = changed[2](maps)
        changed[3](strided).sum().backward()
    assert seen == {0: torch.bfloat16, 1: torch.bfloat16, 2: torch.float32, 3: torch.bfloat16}
    exact = nn.functional.conv2d(maps.float(), changed[2].weight, changed[2].bias, stride=2, padding=1, groups=8)
    assert torch.equal(strided, exact)
    assert changed[2].weight.grad is not None
    assert changed[2].weight.grad.dtype == torch.float32
