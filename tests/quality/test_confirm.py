import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vitrine.quality import confirm, signature
from vitrine.quality.confirm import COPY, DIFFERENT, PICTURE, SIDE, confirmed, differences, same_photo

from .conftest import draw


def photo(seed: int, size: tuple[int, int] = (160, 200)) -> Image.Image:
    """A drawing with soft structure all over, as photos have."""
    rng = np.random.default_rng(seed)
    ground = Image.fromarray(rng.integers(60, 200, (6, 5, 3)).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return Image.blend(ground, draw(seed).resize(size, Image.Resampling.BICUBIC), 0.6)


def wallet(stitches: int = 0, shade: tuple[int, int, int] = (30, 25, 28)) -> Image.Image:
    """A dark rectangle on white, perhaps with lines on it: what a signature cannot tell apart."""
    image = Image.new("RGB", (160, 160), "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((35, 45, 125, 120), fill=shade)
    for line in range(stitches):
        pen.line((40, 60 + 14 * line, 120, 60 + 14 * line), fill=(190, 90, 90), width=3)
    return image


def planes(*images: Image.Image) -> np.ndarray:
    return np.stack(
        [np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.float32) for image in images]
    )


def save(folder, name: str, image: Image.Image, **options: object) -> str:
    image.save(folder / name, **options)
    return str(folder / name)


def cropped(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = image.size
    return image.crop(
        (round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom)))
    )


def test_copies_are_confirmed(tmp_path):
    originals, copies = [], []
    changes = {
        "jpeg": lambda image: (image, {"quality": 45}),
        "webp": lambda image: (image, {"quality": 45}),
        "half": lambda image: (image.resize((80, 100), Image.Resampling.LANCZOS), {"quality": 75}),
        "large": lambda image: (image.resize((250, 320), Image.Resampling.LANCZOS), {"quality": 75}),
        "crop": lambda image: (cropped(image, 0.04, 0.01, 0.0, 0.03), {"quality": 85}),
        "corner": lambda image: (cropped(image, 0.04, 0.04, 0, 0), {"quality": 85}),
    }
    for seed in range(5):
        for name, change in changes.items():
            image, options = change(photo(seed))
            originals.append(save(tmp_path, f"{seed}.png", photo(seed)))
            copies.append(save(tmp_path, f"{seed}-{name}.{'webp' if name == 'webp' else 'jpg'}", image, **options))
    assert confirmed(originals, copies, workers=1).all()
    assert confirmed(copies, originals, workers=1).all()


def test_things_that_only_look_alike_are_not_confirmed(tmp_path):
    plain = save(tmp_path, "plain.png", wallet())
    others = [wallet(1), wallet(3), wallet(shade=(70, 40, 30)), wallet(shade=(28, 25, 60))]
    others = [save(tmp_path, f"{place}.png", image) for place, image in enumerate(others)]
    again = save(tmp_path, "again.jpg", wallet(), quality=60)
    verdicts = confirmed([plain] * 5, [*others, again], workers=1)
    assert verdicts.tolist() == [False, False, False, False, True]
    # Signatures let the stitched wallet pass: this is why pixels are looked at.
    looks = np.stack([signature.signature(np.asarray(image)) for image in (wallet(), wallet(1))])
    assert signature.same_photo(looks, looks, np.array([0]), np.array([1])).all()


def test_faint_things_on_white_are_told_apart(tmp_path):
    rings = []
    for place, boxes in enumerate((((20, 40, 70, 90), (90, 70, 140, 120)), ((20, 30, 60, 110), (95, 50, 135, 130)))):
        image = Image.new("RGB", (160, 160), "white")
        for box in boxes:
            ImageDraw.Draw(image).ellipse(box, outline=(225, 225, 228), width=5)
        rings.append(save(tmp_path, f"ring{place}.png", image))
    again = save(tmp_path, "again.jpg", Image.open(rings[0]), quality=80)
    assert confirmed([rings[0], rings[0]], [rings[1], again], workers=1).tolist() == [False, True]


def test_a_photo_that_cannot_be_read_confirms_nothing(tmp_path):
    good = save(tmp_path, "good.png", photo(0))
    (tmp_path / "text.jpg").write_text("no photo")
    first = [good, good, str(tmp_path / "gone.jpg")]
    second = [str(tmp_path / "text.jpg"), good, str(tmp_path / "gone.jpg")]
    assert confirmed(first, second, workers=1).tolist() == [DIFFERENT, PICTURE, DIFFERENT]
    assert confirmed([], []).tolist() == []


@pytest.mark.parametrize("turn", range(signature.TURNS))
def test_photos_are_laid_as_signatures_turn_them(tmp_path, turn):
    cells = signature.cell_colours(np.asarray(photo(3)))
    look = signature.signatures_of(signature.smoothed(cells))
    expected = signature.turned(look, turn)[0]
    turned = confirm._turned(photo(3), turn)
    assert np.abs(signature.signature(np.asarray(turned)).astype(int) - expected).max() <= 6
    # Laid back by the turn that undoes it, it is the photo again.
    undo = next(other for other in range(8) if (signature.turned(signature.turned(look, turn), other) == look).all())
    first, second = save(tmp_path, "a.png", photo(3)), save(tmp_path, "b.jpg", turned, quality=85)
    laid = np.array([0, 0], dtype=np.uint8), np.array([undo, (undo + 1) % 8], dtype=np.uint8)
    assert (confirmed([first, first], [second, second], 1, laid) >= COPY).tolist() == [True, False]


def test_batches_and_processes_change_nothing(tmp_path, monkeypatch):
    names = [save(tmp_path, f"{seed}.png", photo(seed, (80, 90))) for seed in range(6)]
    copies = [save(tmp_path, f"{seed}.jpg", photo(seed, (80, 90)), quality=70) for seed in range(6)]
    first = [name for name in names for _ in range(6)]
    whole = confirmed(first, copies * 6, workers=1)
    assert (whole >= COPY).reshape(6, 6).tolist() == np.eye(6, dtype=bool).tolist()
    monkeypatch.setattr(confirm, "BATCH", 5)
    assert confirmed(first, copies * 6, workers=2).tolist() == whole.tolist()


def test_a_known_shift_is_registered():
    """A photo and its right part: what is found is the shift and zoom that was made, and nothing is left."""
    image = photo(1, (400, 400))
    moved = image.crop((16, 0, 400, 400))  # 4 % off the left: the rest is stretched
    warp = confirm._registered(planes(image), planes(moved))[0]
    # A pixel at share u of the whole stands at (u - 0.04) / 0.96 of the crop: at the centre 0.021 further left.
    assert warp == pytest.approx([0.02, 0, -0.02, 0], abs=0.004)
    colour, luma, contrast = differences(planes(image), planes(moved))
    assert luma[0] <= colour[0] + 1e-3
    assert colour[0] < 3 < contrast[0]


def test_differences_are_block_means_without_a_warp(monkeypatch):
    """With registration off, against a loop over blocks."""
    monkeypatch.setattr(confirm, "_registered", lambda one, other: np.zeros((len(one), 4), dtype=np.float32))
    one, other = planes(photo(4)), planes(photo(5))
    worst = worst_luma = 0.0
    for top in range(0, SIDE, 8):
        for left in range(0, SIDE, 8):
            rows, columns = range(max(top, 2), min(top + 8, SIDE - 2)), range(max(left, 2), min(left + 8, SIDE - 2))
            values = [one[0, y, x].astype(float) - other[0, y, x] for y in rows for x in columns]
            mean = sum(values) / len(values)
            worst = max(worst, *np.abs(mean))
            worst_luma = max(worst_luma, abs(mean @ np.array([0.299, 0.587, 0.114])))
    colour, luma, _ = differences(one, other)
    assert colour[0] == pytest.approx(worst, abs=1e-3)
    assert luma[0] == pytest.approx(worst_luma, abs=1e-3)


def test_limits_grow_for_small_photos_and_shrink_for_faint_ones():
    def patched(image: np.ndarray, levels: float) -> np.ndarray:
        changed = image.copy()
        changed[:, 24:32, 40:48] += levels  # one block
        return changed

    one, scale = planes(draw(2)) * 0.8, np.ones(1, dtype=np.float32)
    assert same_photo(one, patched(one, 8), scale).all()
    assert not same_photo(one, patched(one, 12), scale).any()
    assert same_photo(one, patched(one, 12), 2 * scale).all()
    faint = 240 + (one - 128) / 20  # the same drawing, hardly visible
    assert not same_photo(faint, patched(faint, 8), scale).any()
    # Noise of colour alone may be stronger: blue counts little in luma.
    blue = one.copy()
    blue[:, 24:32, 40:48, 2] += 16
    assert same_photo(one, blue, scale).all()
    blue[:, 24:32, 40:48, 2] += 16
    assert not same_photo(one, blue, scale).any()


def test_large_jpegs_are_decoded_at_a_fraction(tmp_path):
    large = photo(6).resize((1600, 2000), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", quality=80)
    (tmp_path / "large.jpg").write_bytes(buffer.getvalue())
    small = save(tmp_path, "small.jpg", photo(6), quality=80)
    decoded = confirm._decoded(str(tmp_path / "large.jpg"))
    assert decoded is not None
    assert min(decoded.size) == confirm.DECODE
    assert confirmed([str(tmp_path / "large.jpg")], [small], workers=1).all()


ANEW = {
    "saved anew": lambda photo: encoded(photo, quality=40),
    "as WEBP": lambda photo: encoded(photo, "WEBP", quality=50),
    "halved": lambda photo: encoded(photo.resize((photo.width // 2, photo.height // 2)), quality=80),
    "enlarged": lambda photo: encoded(photo.resize((photo.width * 3 // 2, photo.height * 3 // 2)), quality=80),
}


def encoded(image, format="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("change", ANEW.values(), ids=ANEW)
def test_what_was_saved_anew_or_resized_is_the_same_picture(tmp_path, change):
    first = [save(tmp_path, f"{seed}.png", photo(seed)) for seed in range(8)]
    second = [tmp_path / f"{seed}.copy" for seed in range(8)]
    for seed, path in enumerate(second):
        path.write_bytes(change(photo(seed)))
    assert confirmed(first, [str(path) for path in second], 1).tolist() == [PICTURE] * 8


def test_a_shade_painted_into_a_photo_makes_it_another_picture(tmp_path):
    """A shirt on a table, its colour changed by so little that the photos still count as near copies."""
    shirt, found = photo(1).convert("RGB"), []
    for number, (box, levels) in enumerate({(20, 20, 60, 70): 5, (10, 30, 80, 60): 6, (40, 8, 70, 90): 5}.items()):
        painted = np.asarray(shirt).astype(int)
        painted[box[1] : box[3], box[0] : box[2], 0] += levels  # redder
        path = save(tmp_path, f"{number}.png", Image.fromarray(painted.clip(0, 255).astype(np.uint8)))
        found.append(int(confirmed([save(tmp_path, "shirt.png", shirt)], [path], 1)[0]))
    assert found == [COPY] * 3


def test_a_crop_is_a_copy_and_not_the_same_picture(tmp_path):
    whole = photo(2)
    cut = whole.crop((6, 0, whole.width, whole.height))
    assert confirmed([save(tmp_path, "a.png", whole)], [save(tmp_path, "b.png", cut)], 1).tolist() == [COPY]


def test_a_small_thing_on_white_shows_too_little_to_be_the_same_picture():
    one = np.full((1, SIDE, SIDE, 3), 255, dtype=np.float32)
    one[:, 20:44, 28:36] = np.random.default_rng(0).uniform(0, 200, (24, 8, 3))
    assert same_photo(one, one, np.ones(1, np.float32)).all()
    assert not confirm.same_picture(one, one, np.zeros(1, bool)).any()
