"""The 15 corruptions of ImageNet-C: shape, dtype, draws, severities, and the published formulas where they are short."""

import io

import numpy as np
import pytest
from PIL import Image

from vitrine.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt, photo_seed

NAMES = list(CORRUPTIONS)


def scene(height, width, seed):
    """Something like a photo: light and shade, patches with edges, stripes that grow finer, grain."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    photo = 0.55 + 0.25 * np.sin(3 * y + seed)[:, :, None] * np.array([1, 0.6, 0.3])
    for _ in range(12):
        top, left, side = draw.random(3) * [1, 1, 0.3]
        inside = (np.abs(y - top) < side) & (np.abs(x - left) < side * draw.uniform(0.3, 1))
        photo = np.where(inside[:, :, None], draw.random(3), photo)
    stripes = np.sin(25 * (x + 0.3 * y) ** 2 + seed)[:, :, None]
    photo = photo + 0.12 * stripes + 0.02 * draw.standard_normal((height, width, 3))
    return (photo.clip(0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (17, 31), (64, 64), (40, 160)])
def test_shape_and_dtype_stay_and_the_photo_itself_is_not_changed(name, size):
    photo = scene(*size, 0)
    before = photo.copy()
    for severity in SEVERITIES:
        changed = corrupt(photo, name, severity)
        assert changed.shape == photo.shape
        assert changed.dtype == np.uint8
    assert np.array_equal(photo, before)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [48, 64, 160])
def test_a_higher_severity_changes_more(name, side):
    """The mean squared change over several photos rises with each step."""
    photos = [scene(side, side, seed) for seed in range(8)]
    changes = [
        np.mean([(corrupt(p, name, s, (0, i)).astype(float) - p) ** 2 for i, p in enumerate(photos)])
        for s in SEVERITIES
    ]
    assert (np.diff(changes) > 0).all(), changes
    assert changes[0] > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_the_same_photo_and_seed_give_the_same_bytes(name):
    photo = scene(40, 33, 1)
    first = corrupt(photo, name, 3, photo_seed("a.jpg"))
    assert np.array_equal(first, corrupt(photo.copy(), name, 3, photo_seed("a.jpg")))


@pytest.mark.parametrize(
    "name", sorted(set(NAMES) - {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"})
)
def test_another_photo_or_seed_is_drawn_otherwise(name):
    photo = scene(40, 33, 1)
    first = corrupt(photo, name, 3, photo_seed("a.jpg"))
    assert not np.array_equal(first, corrupt(photo, name, 3, photo_seed("b.jpg")))
    assert not np.array_equal(first, corrupt(photo, name, 3, photo_seed("a.jpg", 1)))


def test_there_are_fifteen():
    assert len(NAMES) == 15


def test_noise_has_the_published_size():
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert (corrupt(grey, "gaussian_noise", 1) / 255).std() == pytest.approx(0.08, rel=0.02)
    # Poisson: variance = value / photons
    assert (corrupt(grey, "shot_noise", 1) / 255).std() == pytest.approx((128 / 255 / 60) ** 0.5, rel=0.02)
    salted = corrupt(grey, "impulse_noise", 5)
    assert (salted == 0).mean() == pytest.approx(0.27 / 2, rel=0.05)
    assert (salted == 255).mean() == pytest.approx(0.27 / 2, rel=0.05)


def test_brightness_is_the_value_of_hsv():
    import colorsys

    photo = scene(6, 5, 2)
    changed = corrupt(photo, "brightness", 2)
    for y in range(6):
        for x in range(5):
            h, s, v = colorsys.rgb_to_hsv(*(photo[y, x] / 255))
            wanted = np.array(colorsys.hsv_to_rgb(h, s, min(1, v + 0.2))) * 255
            assert np.abs(changed[y, x] - wanted).max() <= 1
    assert (corrupt(np.zeros((2, 2, 3), np.uint8), "brightness", 5) == 128).all()


def test_contrast_keeps_the_mean_and_scales_the_rest():
    photo = scene(20, 20, 3)
    changed = corrupt(photo, "contrast", 4).astype(float)
    mean = photo.mean(axis=(0, 1))
    assert np.abs(changed - (mean + 0.1 * (photo - mean))).max() <= 1


def test_jpeg_and_pixelate_are_pillow_s():
    photo = scene(64, 64, 4)
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=10)
    assert (
        np.abs(corrupt(photo, "jpeg_compression", 4).astype(int) - np.asarray(Image.open(buffer)).astype(int)).max()
        <= 1
    )
    blocks = corrupt(photo, "pixelate", 5)
    assert all((blocks[i : i + 4, j : j + 4] == blocks[i, j]).all() for i in range(0, 64, 4) for j in range(0, 64, 4))


@pytest.mark.parametrize("name", ["defocus_blur", "motion_blur", "glass_blur", "zoom_blur"])
def test_a_plain_photo_does_not_blur(name):
    plain = np.full((50, 70, 3), (200, 100, 50), np.uint8)
    assert np.abs(corrupt(plain, name, 5).astype(int) - plain).max() <= 1


def test_defocus_is_the_mean_over_a_disc():
    """An edge at 224 px, smeared by the published radius."""
    photo = np.zeros((224, 224, 3), np.uint8)
    photo[112:] = 255
    profile = corrupt(photo, "defocus_blur", 5)[:, 100, 0] / 255
    for t in (-8, -4, 4, 8):  # the share of a disc that lies beyond a line at distance t from its centre
        beyond = (np.arccos(t / 10) - t / 10 * np.sqrt(1 - (t / 10) ** 2)) / np.pi
        assert profile[round(111.5 - t)] == pytest.approx(beyond, abs=0.05)


def test_lengths_scale_with_the_photo():
    """An edge of a photo twice as large is smeared over twice the pixels."""
    widths = []
    for side in (112, 224):
        edge = np.zeros((side, side, 3), np.uint8)
        edge[:, side // 2 :] = 255
        smeared = corrupt(edge, "defocus_blur", 5)[side // 2, :, 0]
        widths.append(((smeared > 0) & (smeared < 255)).sum())
    assert widths[1] == pytest.approx(2 * widths[0], abs=2)


@pytest.mark.parametrize(
    ("photo", "name", "severity"),
    [
        (np.zeros((4, 4), np.uint8), "fog", 1),
        (np.zeros((4, 4, 3), np.float32), "fog", 1),
        (np.zeros((0, 4, 3), np.uint8), "fog", 1),
        (np.zeros((4, 4, 3), np.uint8), "mist", 1),
        (np.zeros((4, 4, 3), np.uint8), "fog", 0),
        (np.zeros((4, 4, 3), np.uint8), "fog", 6),
    ],
)
def test_refused(photo, name, severity):
    with pytest.raises(ValueError, match=r"a photo is|no corruption"):
        corrupt(photo, name, severity)
