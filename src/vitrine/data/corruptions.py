"""The 15 corruptions of ImageNet-C at 5 severities (Hendrycks and Dietterich, Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations, ICLR 2019), on photos of any size.

The constants are the published ones but where the list below says otherwise. Lengths (radii, shifts, flakes) are given
for photos of 224 px there; here they scale with the shorter side, so that a severity hides as much of a photo of 64 px
as of one of 1024. Noise, pixelate and JPEG act on single pixels and do not scale.

Where this differs from the published code:
- The draw of a photo is the same at every severity, so that a severity differs from the next by its constants only.
- Glass blur moves all pixels at once, each to a random place near by, instead of swapping them one after the other.
- Frost is drawn (ridges of fractal noise), where the original pastes five photographs of frost. Its severities and
  those of fog are a little further apart than the published ones, of which some hardly differ.
- Snow's field of noise is brought back to its published deviation after flakes were made larger, which flattens it.
- The original elastic transform is strongest at its two lowest severities (0.1 and 0.2 of the side, then 0.02). Here
  the bend and the wrinkles grow with the severity.
"""

import hashlib
import io
from collections.abc import Callable, Sequence

import numpy as np
import scipy  # its parts are loaded when they are asked for, which takes seconds
import torch
from PIL import Image

SEVERITIES = (1, 2, 3, 4, 5)
PUBLISHED_SIDE = 224.0

Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]
"""(h, w, 3) float32 in [0, 1], severity - 1, draw -> the same shape, not yet clipped to [0, 1]."""


def corrupt(photo: np.ndarray, name: str, severity: int, seed: Sequence[int] = (0,)) -> np.ndarray:
    """A corrupted copy of a photo.

    Args:
        photo: (h, w, 3) uint8, of at least one pixel.
        name: One of `CORRUPTIONS`.
        severity: 1 to 5.
        seed: What the draw depends on, beside the name: see `photo_seed`.

    Returns:
        (h, w, 3) uint8.

    Raises:
        ValueError: for another shape or dtype, an unknown name or severity.
    """
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or not photo.size:
        raise ValueError(f"a photo is (h, w, 3) uint8, not {photo.shape} {photo.dtype}")
    if name not in CORRUPTIONS or severity not in SEVERITIES:
        raise ValueError(f"no corruption {name!r} of severity {severity!r}")
    draw = np.random.default_rng([*seed, list(CORRUPTIONS).index(name)])
    changed = CORRUPTIONS[name](photo.astype(np.float32) / 255, severity - 1, draw)
    return (changed.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def photo_seed(image: str, seed: int = 0) -> tuple[int, int]:
    """What the draw of one photo of a catalog depends on: its `image` value and a seed, not its place in the table."""
    return seed, int.from_bytes(hashlib.blake2b(image.encode(), digest_size=8).digest(), "big")


def corrupt_some(pixels: torch.Tensor, which: np.ndarray, draws: np.ndarray) -> torch.Tensor:
    """A batch in which some photos are corrupted, each by a kind and a severity that its number draws.

    Args:
        pixels: (n, 3, h, w) uint8.
        which: (n,) bool.
        draws: (n,) integers >= 0.
    """
    if not which.any():
        return pixels
    photos = pixels.permute(0, 2, 3, 1).contiguous().numpy().copy()
    names = list(CORRUPTIONS)
    for i in np.flatnonzero(which):
        draw = np.random.default_rng(int(draws[i]))
        name, severity = names[draw.integers(len(names))], SEVERITIES[draw.integers(len(SEVERITIES))]
        photos[i] = corrupt(photos[i], name, severity, (int(draws[i]),))
    return torch.from_numpy(photos).permute(0, 3, 1, 2)


def gaussian_noise(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """Noise of a dark scene."""
    deviation = (0.08, 0.12, 0.18, 0.26, 0.38)[level]
    return photo + deviation * draw.standard_normal(photo.shape, dtype=np.float32)


def shot_noise(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """Noise of counting photons: Poisson with that many photons at full light."""
    photons = (60, 25, 12, 5, 3)[level]
    return draw.poisson(photo * photons).astype(np.float32) / photons


def impulse_noise(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """Salt and pepper, each value of each channel by itself."""
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[level]
    place, salt = draw.random(photo.shape, dtype=np.float32), draw.random(photo.shape, dtype=np.float32) < 0.5
    return np.where(place < share, salt.astype(np.float32), photo)


def defocus_blur(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """A lens out of focus: every point becomes a disc."""
    radius = (3, 4, 6, 8, 10)[level] * _scale(photo)
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return _filter(photo, (radius + 0.5 - np.hypot(x, y)).clip(0, 1))  # the rim counts by the share it covers


def glass_blur(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """Frosted glass: blurred, pixels scattered, blurred."""
    sigma, reach, rounds = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[level]
    sigma, shift = sigma * _scale(photo), reach * _scale(photo)
    photo = _smooth(photo, sigma)
    for _ in range(rounds):
        photo = _moved(photo, *draw.uniform(-shift, shift, (2, *photo.shape[:2])))
    return _smooth(photo, sigma)


def motion_blur(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """A camera that moved."""
    radius, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[level]
    return _streaked(photo, radius * _scale(photo), sigma * _scale(photo), draw.uniform(-45, 45))


def zoom_blur(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """A camera that moved towards the product: the mean of closer and closer crops."""
    last, step = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))[level]
    height, width = photo.shape[:2]
    image = _image(photo)
    steps = np.arange(1, last, step)
    total = photo.copy()
    for closer in steps:
        left, top = width / 2 * (1 - 1 / closer), height / 2 * (1 - 1 / closer)
        box = (left, top, width - left, height - top)
        total += np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box), np.float32) / 255
    return total / (len(steps) + 1)


def snow(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """Falling flakes in front of a photo that is whiter than it was."""
    mean, deviation, size, threshold, radius, sigma, keep = (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )[level]
    height, width = photo.shape[:2]
    larger = max(1.0, size * _scale(photo))
    coarse = draw.standard_normal((height, width), dtype=np.float32)[
        : int(np.ceil(height / larger)), : int(np.ceil(width / larger))
    ]
    field = scipy.ndimage.zoom(coarse, (height / coarse.shape[0], width / coarse.shape[1]), order=1)
    flakes = mean + deviation * field / max(float(field.std()), 1e-6)  # interpolation flattened it
    flakes = np.where(flakes < threshold, 0, flakes.clip(0, 1))[:, :, None]
    flakes = _streaked(flakes, radius * _scale(photo), sigma * _scale(photo), draw.uniform(-135, -45))
    grey = photo @ np.array([0.299, 0.587, 0.114], np.float32)
    white = keep * photo + (1 - keep) * np.maximum(photo, 1.5 * grey[:, :, None] + 0.5)
    return white + flakes + flakes[::-1, ::-1]


def frost(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """Ice on a window, drawn: bright ridges of fractal noise, bluish."""
    keep, ice = ((1, 0.4), (0.85, 0.55), (0.75, 0.68), (0.7, 0.76), (0.65, 0.84))[level]
    ridges = 1 - np.abs(2 * _plasma(photo, 1.7, draw) - 1)
    fine = 1 - np.abs(2 * _plasma(photo, 1.3, draw) - 1)
    crystals = 0.25 + 0.75 * (ridges**2 * (0.5 + 0.5 * fine) / 0.75).clip(0, 1)
    return keep * photo + ice * crystals[:, :, None] * np.array([0.88, 0.94, 1.0], np.float32)


def fog(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """Drifts of grey."""
    thickness, decay = ((1.5, 2), (2, 1.9), (2.5, 1.8), (3.1, 1.7), (3.8, 1.6))[level]
    brightest = photo.max()
    drifts = thickness * _plasma(photo, decay, draw)[:, :, None]
    return (photo + drifts) * brightest / (brightest + thickness)


def brightness(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """More light: the value of HSV rises, hue and saturation stay."""
    value = np.maximum.reduce([photo[..., channel] for channel in range(3)])[:, :, None]
    raised = np.minimum(value + (0.1, 0.2, 0.3, 0.4, 0.5)[level], 1)
    return np.where(value > 0, photo / np.maximum(value, 1e-6) * raised, raised)


def contrast(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """Less difference from each channel's mean."""
    mean = photo.mean(axis=(0, 1), keepdims=True)
    return mean + (0.4, 0.3, 0.2, 0.1, 0.05)[level] * (photo - mean)


def elastic_transform(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """A random affine bend, and wrinkles. Both in shares of the shorter side."""
    wrinkle = (0.004, 0.006, 0.008, 0.010, 0.012)[level] * min(photo.shape[:2])  # deviation, pixels
    bend = (0.02, 0.03, 0.04, 0.05, 0.06)[level]
    height, width = photo.shape[:2]
    linear, shift = draw.uniform(-bend, bend, (2, 2)), draw.uniform(-bend, bend, 2) * min(height, width)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    sigma = 0.02 * min(height, width)
    noise = [scipy.ndimage.gaussian_filter(draw.uniform(-1, 1, (height, width)), sigma, truncate=3) for _ in range(2)]
    wrinkles = [wrinkle * field / max(float(field.std()), 1e-6) for field in noise]
    down = linear[0, 0] * y + linear[0, 1] * x + shift[0] + wrinkles[0]
    right = linear[1, 0] * y + linear[1, 1] * x + shift[1] + wrinkles[1]
    return _moved(photo, down, right)


def pixelate(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """Fewer pixels, shown large."""
    share = (0.6, 0.5, 0.4, 0.3, 0.25)[level]
    height, width = photo.shape[:2]
    few = _image(photo).resize((max(1, int(width * share)), max(1, int(height * share))), Image.Resampling.BOX)
    return np.asarray(few.resize((width, height), Image.Resampling.BOX), np.float32) / 255


def jpeg_compression(photo: np.ndarray, level: int, draw: np.random.Generator) -> np.ndarray:
    """Saved as JPEG of low quality."""
    buffer = io.BytesIO()
    _image(photo).save(buffer, "JPEG", quality=(25, 18, 15, 10, 7)[level])
    return np.asarray(Image.open(buffer).convert("RGB"), np.float32) / 255


CORRUPTIONS: dict[str, Corruption] = {
    function.__name__: function
    for function in (
        gaussian_noise, shot_noise, impulse_noise,
        defocus_blur, glass_blur, motion_blur, zoom_blur,
        snow, frost, fog, brightness,
        contrast, elastic_transform, pixelate, jpeg_compression,
    )
}  # fmt: skip


def _scale(photo: np.ndarray) -> float:
    """The length of one published pixel in pixels of this photo."""
    return min(photo.shape[:2]) / PUBLISHED_SIDE


def _image(photo: np.ndarray) -> Image.Image:
    return Image.fromarray((photo * 255 + 0.5).astype(np.uint8))


def _smooth(photo: np.ndarray, sigma: float) -> np.ndarray:
    return scipy.ndimage.gaussian_filter(photo, (sigma, sigma, 0)) if sigma > 0 else photo


def _filter(photo: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Every channel of (h, w, c) through a (2 a + 1, 2 b + 1) kernel, which is made to sum to 1; borders mirrored."""
    kernel = (kernel / kernel.sum()).astype(np.float32)[:, :, None]
    down, right = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = np.pad(photo, ((down, down), (right, right), (0, 0)), "symmetric")
    return scipy.signal.oaconvolve(padded, kernel, mode="valid", axes=(0, 1))


def _streaked(photo: np.ndarray, radius: float, sigma: float, angle: float) -> np.ndarray:
    """Smeared along a line of `radius` pixels at `angle` degrees, the further the fainter (deviation `sigma`)."""
    reach = max(1, int(np.ceil(radius)))
    steps = np.linspace(0, radius, 4 * reach + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    y, x = steps * np.sin(np.deg2rad(angle)) + reach, steps * np.cos(np.deg2rad(angle)) + reach
    kernel = np.zeros((2 * reach + 2, 2 * reach + 2))
    for down in (0, 1):  # each point is shared out among the four pixels around it
        for right in (0, 1):
            near = (1 - np.abs(y - (np.floor(y) + down))) * (1 - np.abs(x - (np.floor(x) + right)))
            np.add.at(kernel, (np.floor(y).astype(int) + down, np.floor(x).astype(int) + right), weights * near)
    return _filter(photo, kernel[:-1, :-1])


def _moved(photo: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Each pixel taken from (y + down, x + right), bilinearly; beyond the rim the rim itself. Fields are (h, w)."""
    height, width = photo.shape[:2]
    y = (np.arange(height)[:, None] + down).clip(0, height - 1)
    x = (np.arange(width)[None, :] + right).clip(0, width - 1)
    top, left = y.astype(np.intp), x.astype(np.intp)
    bottom, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    v, u = (y - top).astype(np.float32)[:, :, None], (x - left).astype(np.float32)[:, :, None]
    upper = photo[top, left] * (1 - u) + photo[top, beside] * u
    lower = photo[bottom, left] * (1 - u) + photo[bottom, beside] * u
    return upper * (1 - v) + lower * v


def _plasma(photo: np.ndarray, decay: float, draw: np.random.Generator) -> np.ndarray:
    """Fractal noise over a photo, (h, w) in [0, 1], by diamonds and squares; each octave is 1 / decay as strong."""
    side = 1 << max(1, int(np.ceil(np.log2(max(photo.shape[:2])))))
    field = np.zeros((side, side), np.float32)
    step, wobble = side, 1.0
    while step >= 2:
        half = step // 2
        corners = field[::step, ::step]
        squares = corners + np.roll(corners, -1, 0)
        squares = (squares + np.roll(squares, -1, 1)) / 4
        field[half::step, half::step] = squares + wobble * draw.uniform(-1, 1, squares.shape)
        centres, corners = field[half::step, half::step], field[::step, ::step]
        above = centres + np.roll(centres, 1, 0) + corners + np.roll(corners, -1, 1)
        field[::step, half::step] = above / 4 + wobble * draw.uniform(-1, 1, above.shape)
        beside = centres + np.roll(centres, 1, 1) + corners + np.roll(corners, -1, 0)
        field[half::step, ::step] = beside / 4 + wobble * draw.uniform(-1, 1, beside.shape)
        step, wobble = half, wobble / decay
    field = field[: photo.shape[0], : photo.shape[1]]
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(high - low, 1e-6)
