import io
import itertools

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from vitrine.errors import InputError
from vitrine.quality import confirm, signature
from vitrine.quality.alignment import LUMA, SIDE, UPRIGHT, aligned, start_of
from vitrine.quality.confirm import COPY, DIFFERENT, PICTURE, WHOLE, confirmed, pixel_digests
from vitrine.quality.frames import CROPPED

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


@pytest.mark.slow
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
            image, options = change(soft(seed))
            originals.append(save(tmp_path, f"{seed}.png", soft(seed)))
            copies.append(save(tmp_path, f"{seed}-{name}.{'webp' if name == 'webp' else 'jpg'}", image, **options))
    assert confirmed(originals, copies, workers=1).sum() >= len(copies) - 3
    assert confirmed(copies, originals, workers=1).sum() >= len(copies) - 3


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
    assert (confirmed([rings[0], rings[0]], [rings[1], again], workers=1) >= COPY).tolist() == [False, True]


def test_a_damaged_photo_is_no_copy_and_of_one_that_cannot_be_read_nothing_is_known(tmp_path):
    good, text, gone = save(tmp_path, "good.png", photo(0)), str(tmp_path / "text.jpg"), str(tmp_path / "gone.jpg")
    (tmp_path / "text.jpg").write_text("no photo")
    assert confirmed([good, good], [text, good], workers=1).tolist() == [DIFFERENT, PICTURE]
    assert pixel_digests([text], workers=1) == [""]
    for unreadable in (gone, str(tmp_path)):
        with pytest.raises(InputError, match=unreadable):
            confirmed([good, good], [good, unreadable], workers=1)
        with pytest.raises(InputError, match=unreadable):
            pixel_digests([good, unreadable], workers=1)
    assert confirmed([], []).tolist() == []


@pytest.mark.parametrize("turn", range(signature.TURNS))
def test_photos_are_laid_as_signatures_turn_them(tmp_path, turn):
    cells = signature.cell_colours(np.asarray(photo(3)))
    look = signature.signatures_of(signature.smoothed(cells))
    expected = signature.turned(look, turn)[0]
    whole = confirm.Decoded(photo(3), True, photo(3).size, {}, 2, False)
    turned = confirm.turned(whole, turn).image
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


def test_a_known_crop_is_found():
    """A photo and its right part: what is found is the shift and zoom that was made, and nothing is left."""
    image = photo(1, (400, 400))
    moved = image.crop((16, 0, 400, 400))  # 4 % off the left: the rest is stretched
    found = aligned(planes(moved)[0], planes(image)[0], UPRIGHT)
    assert found is not None
    assert 0.03 * SIDE < found.moved < 0.06 * SIDE
    assert found.seen[0] == pytest.approx(1, abs=0.01)
    assert 0.85 < found.seen[1] < 0.99
    assert found.correlation > 0.99
    assert max(found.luma, found.colour) < 0.5
    assert aligned(planes(photo(2))[0], planes(photo(5))[0], UPRIGHT) is None


@pytest.mark.parametrize(("gain", "about"), [(1.25, "black"), (0.8, "black"), (1.3, "mean"), (0.7, "mean")])
def test_brightness_and_contrast_are_measured(gain, about):
    one = planes(photo(3))[0]
    fixed = 0.0 if about == "black" else float((one @ LUMA).mean())
    found = aligned(one, (fixed + gain * (one - fixed)).clip(0, 255), UPRIGHT)
    assert found is not None
    assert found.gain == pytest.approx(max(gain, 1 / gain), rel=0.03)
    assert found.swapped == (gain < 1)
    assert max(found.luma, found.colour) < 0.3


def test_a_mark_near_the_rim_is_left_out_and_one_in_the_middle_is_not():
    grain = np.random.default_rng(0).uniform(0, 255, (24, 24, 3)).astype(np.float32)
    one = cv2.resize(grain, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    for corner, expected in ((46, True), (26, False)):
        marked = one.copy()
        marked[corner : corner + 12, corner : corner + 12] = (20, 60, 160)
        marked[corner + 4 : corner + 8, corner + 2 : corner + 10] = 255
        found = aligned(one, marked, UPRIGHT)
        assert found is not None
        assert (found.mark is not None and found.colour < 0.1) == expected


def test_contrast_is_changed_about_the_mean_of_the_whole_photo():
    """A watch on white, guessed to be a crop: the mean of what is judged, less the white rim, is another."""
    watch = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(watch)
    pen.ellipse((8, 8, 56, 56), fill=(60, 62, 66), outline=(170, 172, 176), width=5)
    for place in range(12):
        angle = np.pi * place / 6
        pen.line([(32 + r * np.cos(angle), 32 + r * np.sin(angle)) for r in (12, 18)], fill=(200, 200, 190), width=2)
    one = np.asarray(watch.filter(ImageFilter.GaussianBlur(0.7)), dtype=np.float32)
    mean = float((one @ LUMA).mean())
    found = aligned(one, (mean + 1.3 * (one - mean)).clip(0, 255), start_of(WHOLE, CROPPED))
    assert found is not None
    assert (found.moved, found.gain) == (0, pytest.approx(1.3, abs=0.01))
    assert found.offset == pytest.approx(-0.3 * mean, abs=1)
    assert found.luma < 0.3


def test_sharpening_is_made_up_for_and_another_shade_is_not(tmp_path):
    rng = np.random.default_rng(1)
    things, grain = (
        Image.fromarray(rng.integers(0, 256, (down, across, 1)).repeat(3, axis=2).astype(np.uint8)).resize((60, 80), 0)
        for down, across in ((5, 4), (27, 20))
    )
    image = Image.blend(things, grain, 0.35).filter(ImageFilter.GaussianBlur(0.7))
    one = save(tmp_path, "one.jpg", image, quality=90)
    sharp = save(tmp_path, "sharp.jpg", image.filter(ImageFilter.UnsharpMask(1, 120, 0)), quality=90)
    shade = np.asarray(image).astype(int)
    shade[25:55, 18:40, 0] += 16
    painted = Image.fromarray(shade.clip(0, 255).astype(np.uint8)).filter(ImageFilter.UnsharpMask(1, 120, 0))
    other = save(tmp_path, "other.jpg", painted, quality=90)
    left = []
    for path in (sharp, other):
        source, target = (confirm._decoded(name) for name in (one, path))
        assert source is not None
        assert target is not None
        found = aligned(*confirm.laid(source.image, target.image), UPRIGHT)
        assert found is not None
        left.append(confirm.left_once_saved(source, target, found))
    assert left[0] < confirm.SAVED < left[1]


def test_blocks_that_lie_apart_are_no_part_of_a_mark():
    """They are judged: noise there does not hide the mark, another thing there makes another photo."""
    grain = np.random.default_rng(0).uniform(0, 255, (24, 24, 3)).astype(np.float32)
    one = cv2.resize(grain, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    marked = one.copy()
    marked[46:58, 46:58] = (20, 60, 160)
    marked[50:54, 48:56] = 255
    marked[8:16, 8:16, 0] += 24  # within the thing's own detail
    found = aligned(one, marked, UPRIGHT)
    assert found is not None
    assert found.mark is not None
    assert min(found.mark) >= 0.5
    assert found.colour > 1.05


def test_every_turn_is_undone_by_one():
    image = photo(5, (SIDE, SIDE))
    decoded = confirm.Decoded(image, True, image.size, {}, 2, False)
    for left, right in itertools.product(range(8), repeat=2):
        once = confirm.turned(confirm.turned(decoded, confirm.RELATIVE[left][right]), right).image
        assert once.tobytes() == confirm.turned(decoded, left).image.tobytes()


def soft(seed: int) -> Image.Image:
    """Without edges that are sharper than a lens makes them."""
    return photo(seed).filter(ImageFilter.GaussianBlur(1.5))


CHANGED = {
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
    "more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "grey": lambda image: image.convert("L"),
    "turned a little": lambda image: image.rotate(1.5, Image.Resampling.BICUBIC, fillcolor="white"),
    "without a border": lambda image: cropped(image, 0.08, 0.08, 0.08, 0.08),
    "with a border": lambda image: ImageOps.expand(image, 16, "white"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGED)
def test_changed_copies_are_confirmed(tmp_path, name):
    frames = {
        "without a border": (CROPPED, WHOLE),
        "with a border": (WHOLE, (16 / 192, 16 / 232, 176 / 192, 216 / 232)),
    }
    one, other = (np.float32([frame] * 6) for frame in frames.get(name, (WHOLE, WHOLE)))
    first = [save(tmp_path, f"{seed}.png", soft(seed)) for seed in range(6)]
    second = [save(tmp_path, f"{seed}.jpg", CHANGED[name](soft(seed)), quality=90) for seed in range(6)]
    found = confirmed(first, second, 1, frames=(one, other)) >= COPY
    # A turn by 1.5 degrees is near the limit of what is confirmed, and processors round differently.
    assert found.sum() >= (4 if name == "turned a little" else 5)
    differ = (confirmed(second, first, 1, frames=(other, one)) >= COPY) != found
    assert differ.sum() <= (1 if name == "turned a little" else 0)


def test_a_painted_shade_is_told_from_what_a_jpeg_lost(tmp_path):
    """A lipstick in two shades, each saved once: they differ by less than what a copy of low quality lost."""
    shades = []
    for number, shade in enumerate(((150, 40, 60), (150, 52, 60))):
        image = wallet(3)
        ImageDraw.Draw(image).rectangle((70, 20, 90, 44), fill=shade)
        shades.append(save(tmp_path, f"{number}.jpg", image, quality=80))
    worn = save(tmp_path, "worn.jpg", Image.open(shades[0]), quality=30)
    assert confirmed([shades[0]] * 2, [shades[1], worn], 1).tolist() == [DIFFERENT, PICTURE]


def test_large_jpegs_are_decoded_at_a_fraction(tmp_path):
    large = photo(6).resize((1600, 2000), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", quality=80)
    (tmp_path / "large.jpg").write_bytes(buffer.getvalue())
    small = save(tmp_path, "small.jpg", photo(6), quality=80)
    decoded = confirm._decoded(str(tmp_path / "large.jpg"))
    assert decoded is not None
    assert (min(decoded.image.size), decoded.whole, decoded.tables) == (200, False, {})
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


def test_a_shade_painted_into_a_photo_makes_it_another_photo(tmp_path):
    """A shirt on a table, its colour changed by little."""
    shirt, found = photo(1).convert("RGB"), []
    for number, (box, levels) in enumerate({(20, 20, 60, 70): 5, (10, 30, 80, 60): 6, (40, 8, 70, 90): 5}.items()):
        painted = np.asarray(shirt).astype(int)
        painted[box[1] : box[3], box[0] : box[2], 0] += levels  # redder
        path = save(tmp_path, f"{number}.png", Image.fromarray(painted.clip(0, 255).astype(np.uint8)))
        found.append(int(confirmed([save(tmp_path, "shirt.png", shirt)], [path], 1)[0]))
    assert found == [DIFFERENT] * 3


def test_a_crop_is_a_copy_and_not_the_same_picture(tmp_path):
    whole = photo(2)
    cut = whole.crop((6, 0, whole.width, whole.height))
    assert confirmed([save(tmp_path, "a.png", whole)], [save(tmp_path, "b.png", cut)], 1).tolist() == [COPY]


def test_a_small_thing_on_white_shows_too_little_to_be_the_same_picture():
    one = np.full((1, SIDE, SIDE, 3), 255, dtype=np.float32)
    one[:, 20:44, 28:36] = np.random.default_rng(0).uniform(0, 200, (24, 8, 3))
    assert not confirm.same_picture(one, one, np.zeros(1, bool)).any()
