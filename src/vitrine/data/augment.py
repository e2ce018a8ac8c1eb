"""Random crop, mirror and mild deformation of a whole batch at once, on the batch's own device."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

MEAN = (0.485, 0.456, 0.406)  # ImageNet's, so that published weights fit
STD = (0.229, 0.224, 0.225)
DRAWS = 9  # random numbers that a view takes


def normalise(photos: Tensor) -> Tensor:
    """(n, 3, h, w) uint8 to float32 with the mean and deviation of ImageNet."""
    mean = torch.tensor(MEAN, device=photos.device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=photos.device).view(1, 3, 1, 1)
    return (photos.float() / 255 - mean) / std


def augment(photos: Tensor, seed: tuple[int, ...]) -> Tensor:
    """Normalised photos under a random view each; what is drawn depends on `seed` alone (say: run, epoch, step), so
    that a resumed training repeats it.

    Args:
        photos: (n, 3, h, w) uint8.
        seed: Any integers.

    Returns:
        (n, 3, h, w) float32, channels last.
    """
    return transformed(photos, torch.rand(DRAWS, len(photos), generator=generator_of(seed)))


def transformed(photos: Tensor, draws: Tensor) -> Tensor:
    """Normalised photos mirrored, scaled, shifted, turned, sheared, brighter or darker. Hue is left as it is, because
    colour is a label.

    Args:
        photos: (n, 3, h, w) uint8.
        draws: Uniform random numbers, a column a photo, (`DRAWS`, n), in [0, 1).

    Returns:
        (n, 3, h, w) float32, channels last.
    """
    n, left = len(photos), iter(draws)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * next(left)

    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    zoom, squeeze = uniform(0.75, 1.05), uniform(0.9, 1.1)  # < 1: a crop
    angle = uniform(-10, 10) * math.pi / 180
    shear = uniform(-0.08, 0.08)
    shift_x, shift_y = uniform(-0.12, 0.12), uniform(-0.12, 0.12)
    cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
    theta = torch.stack(
        [
            torch.stack([mirror * cos * squeeze, -sin + shear, shift_x], dim=1),
            torch.stack([mirror * sin, cos / squeeze, shift_y], dim=1),
        ],
        dim=1,
    )  # (n, 2, 3)
    gain, offset = uniform(0.8, 1.2), uniform(-0.2, 0.2)
    device = photos.device
    with torch.autocast(device.type, enabled=False):  # bfloat16 coordinates would miss by a good part of a pixel
        grid = F.affine_grid(theta.to(device), list(photos.shape), align_corners=False)
        views = F.grid_sample(normalise(photos), grid, padding_mode="border", align_corners=False)
    views = views * gain.to(device).view(n, 1, 1, 1) + offset.to(device).view(n, 1, 1, 1)
    return views.contiguous(memory_format=torch.channels_last)


def generator_of(seed: tuple[int, ...]) -> torch.Generator:
    """A generator that depends on all of some integers."""
    return torch.Generator().manual_seed(_mix(seed))


def _mix(seed: tuple[int, ...]) -> int:
    """One 63-bit integer from several, so that neighbours share no stream."""
    state = 0x9E3779B97F4A7C15
    for value in seed:
        state = ((state ^ (value & 0xFFFFFFFF)) * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) & (2**64 - 1)
        state ^= state >> 29
    return state >> 1
