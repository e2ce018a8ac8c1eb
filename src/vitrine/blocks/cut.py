"""Taking the frozen first layers off the trunks of a net while the rest is trained."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from vitrine.blocks.spatial_attention import stages

COARSE = 16  # pixels of the photo a cell of the last frozen map stands for


def middle(trunk: nn.Sequential, image_size: int) -> int:
    """How many layers a trunk has up to the last whose map has a cell for each 16 x 16 pixels; 0: cannot be cut.

    What lies before is edges, colours and textures, which transfer as they are, and most of the arithmetic; what lies
    behind is what a catalog's own labels change (Yosinski et al., How transferable are features in deep neural
    networks?, NIPS 2014).
    """
    places = [place for place, (_, height, _) in stages(trunk, image_size) if height * COARSE >= image_size]
    count = max(places) + 1 if places else 0
    return count if count < len(trunk) else 0


@contextmanager
def cut_off(net: nn.Module, layers: int) -> Iterator[nn.Module]:
    """Within, every trunk of a net begins behind its first layers, and is to be given what these make of photos.

    Args:
        net: Whose trunks (any module's `trunk`) have these layers in common.
        layers: How many, from 1 on; a trunk that is no `nn.Sequential` is one layer.

    Yields:
        The first layers, frozen; afterwards they learn again where they did before.
    """
    owners = [module for module in net.modules() if isinstance(getattr(module, "trunk", None), nn.Module)]
    whole = [module.get_submodule("trunk") for module in owners]
    kept = whole[0][:layers] if isinstance(whole[0], nn.Sequential) else whole[0]
    learnt = [parameter for parameter in kept.parameters() if parameter.requires_grad]
    first = kept.requires_grad_(False)
    for module, trunk in zip(owners, whole, strict=True):
        module.trunk = trunk[layers:] if isinstance(trunk, nn.Sequential) else nn.Identity()  # layers keep their names
    try:
        yield first
    finally:
        for module, trunk in zip(owners, whole, strict=True):
            module.trunk = trunk
        for parameter in learnt:
            parameter.requires_grad_(True)
