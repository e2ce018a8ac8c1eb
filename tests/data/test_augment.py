"""The random views: a function of the seed, the right layout, and mild."""

import pytest
import torch

from vitrine.data.augment import MEAN, STD, augment, normalise


@pytest.fixture(scope="module")
def photos():
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(64, 3, 4, 4, generator=generator)
    return (torch.nn.functional.interpolate(small, size=32, mode="bilinear") * 255).to(torch.uint8)


def test_normalise_equals_the_formula(photos):
    got = normalise(photos)
    assert got.dtype == torch.float32
    for channel in range(3):
        wanted = (photos[3, channel, 5, 7].item() / 255 - MEAN[channel]) / STD[channel]
        assert got[3, channel, 5, 7].item() == pytest.approx(wanted, abs=1e-5)


def test_repeats_with_its_seed_and_changes_with_any_part_of_it(photos):
    first = augment(photos, (1, 2, 3))
    assert torch.equal(first, augment(photos, (1, 2, 3)))
    for other in [(0, 2, 3), (1, 0, 3), (1, 2, 0), (3, 2, 1), (1, 2), (1, 2, 3, 0)]:
        assert not torch.equal(first, augment(photos, other)), other


def test_does_not_touch_the_global_generator(photos):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    augment(photos, (0,))
    assert torch.equal(state, torch.get_rng_state())


def test_shape_and_layout(photos):
    views = augment(photos, (0,))
    assert views.shape == photos.shape
    assert views.dtype == torch.float32
    assert views.is_contiguous(memory_format=torch.channels_last)
    assert torch.isfinite(views).all()


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 3, 7, 13), (1, 3, 64, 64)])
def test_any_size(shape):
    assert augment(torch.full(shape, 128, dtype=torch.uint8), (0,)).shape == shape


def test_is_mild(photos):
    """No photo is lost: plain colours stay near what they were, and on average nothing shifts."""
    plain = torch.tensor([20, 128, 240], dtype=torch.uint8).view(1, 3, 1, 1).expand(256, 3, 16, 16)
    difference = augment(plain, (0,)) - normalise(plain)
    assert difference.abs().max() < 0.75  # brightness and contrast, in deviations
    assert difference.mean().abs() < 0.05
    assert (augment(photos, (0,)).mean() - normalise(photos).mean()).abs() < 0.1


def test_views_differ_within_a_batch_and_half_are_mirrored():
    ramp = torch.linspace(0, 255, 32).to(torch.uint8).expand(400, 3, 32, 32)
    views = augment(ramp, (0,))
    assert not torch.equal(views[0], views[1])
    mirrored = views[..., :8].mean(dim=(1, 2, 3)) > views[..., -8:].mean(dim=(1, 2, 3))
    assert 0.4 < mirrored.float().mean() < 0.6


def test_is_the_same_under_autocast(photos):
    """Sampling positions in bfloat16 would be off by up to a third of a pixel at 64 px, and more at 224."""
    wanted = augment(photos, (0,))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(photos, (0,)), wanted)
