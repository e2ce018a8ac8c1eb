"""Photographs: a cut-out product in a studio, or in somebody's room.

A scene is composed at twice the photo's size and halved. All arithmetic is integer, or IEEE basic operations.
"""

from collections.abc import Callable
from random import Random

import numpy
from PIL import Image, ImageDraw, ImageFilter

from vitrine.synth.canvas import Colour, Drawing, mixed, shaded

Box = tuple[int, int, int, int]  # x, y, width, height in pixels of the photo

SHAPES = ((112, 112), (112, 112), (96, 120), (120, 96), (104, 128), (128, 112), (96, 96))


def studio(drawing: Drawing, random: Random, standing: bool) -> tuple[Image.Image, Box]:
    """A shop's photo: clean light ground, soft shadow, the item filling the frame. `standing`: on a floor."""
    width, height = random.choice(SHAPES)
    size = (2 * width, 2 * height)
    tint = random.randint(238, 252)
    wall = (tint, tint - random.randint(0, 3), tint - random.randint(0, 5))
    photo = Image.new("RGB", size, wall)
    lower = mixed(wall, (0, 0, 0), random.randint(3, 8))
    horizon = random.randint(68, 78) * size[1] // 100
    ImageDraw.Draw(photo).rectangle((0, horizon, size[0], size[1]), fill=lower)
    photo = photo.filter(ImageFilter.BoxBlur(22))
    tilt = random.randint(-3, 3) / 100
    fill = random.randint(80, 90) / 100
    middle = (size[0] * random.randint(48, 52) / 100, size[1] * random.randint(48, 52) / 100)
    cut, mask = _placed(drawing, size, middle, fill, tilt, 1.0)
    x, _, right, bottom = mask.getbbox() or (0, 0, *size)
    shadow = Image.new("L", size, 255)
    if standing:
        box = (x, bottom - 12, right, bottom + 10)
        ImageDraw.Draw(shadow).ellipse(box, fill=120)
        shadow = shadow.filter(ImageFilter.BoxBlur(7))
    else:
        dx, dy = random.randint(-3, 5), random.randint(4, 9)
        shadow.paste(165, (dx, dy), mask)
        shadow = shadow.filter(ImageFilter.BoxBlur(6))
    photo = shaded(photo, shadow)
    photo.paste(cut, (0, 0), mask)
    light = random.randint(247, 262)
    photo = _cast(photo.reduce(2), (light, light, light))
    return _grain(photo, 1, random), _box(mask)


def snapshot(drawing: Drawing, random: Random) -> tuple[Image.Image, Box]:
    """A customer's photo: cluttered ground, tilted, cropped, off-colour, unsharp, noisy."""
    width, height = random.choice(SHAPES)
    size = (2 * width, 2 * height)
    photo = random.choice(_GROUNDS)(size, random)
    for _ in range(random.randint(1, 4)):
        _clutter(photo, random, near_edge=False)
    tilt = random.randint(-20, 20) / 100
    fill = random.randint(66, 104) / 100
    drift = max(4, int(fill * 14))
    middle = (
        size[0] * (50 + random.randint(-drift, drift)) / 100,
        size[1] * (50 + random.randint(-drift, drift)) / 100,
    )
    cut, mask = _placed(drawing, size, middle, fill, tilt, random.randint(88, 112) / 100)
    shadow = Image.new("L", size, 255)
    shadow.paste(120, (random.randint(-8, 8), random.randint(3, 10)), mask)
    photo = shaded(photo, shadow.filter(ImageFilter.BoxBlur(5)))
    photo.paste(cut, (0, 0), mask)
    if random.random() < 0.3:
        _clutter(photo, random, near_edge=True)
    photo = shaded(photo, _light(size, random, 96)).reduce(2)
    warm = random.randint(-30, 30)
    exposure = random.randint(208, 282)
    photo = _cast(photo, (exposure + warm, exposure + random.randint(-8, 8), exposure - warm))
    if random.random() < 0.5:
        photo = photo.filter(ImageFilter.BoxBlur(random.choice((0.3, 0.5, 0.8))))
    return _grain(photo, random.randint(3, 9), random), _box(mask)


def close_up(drawing: Drawing, random: Random) -> Image.Image:
    """A near photo of a detail that fills the frame, drawn on a whole canvas."""
    size = (drawing.size, drawing.size)
    t = random.randint(-5, 5) / 100
    cosine, sine = _rotation(t)
    zoom = random.randint(78, 85) / 100  # the canvas's rim stays outside the frame
    half = drawing.size / 2
    dx, dy = random.randint(-8, 8), random.randint(-8, 8)
    a, b = zoom * cosine, zoom * sine
    matrix = (a, b, half + dx - a * half - b * half, -b, a, half + dy + b * half - a * half)
    photo = drawing.rgb.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    photo = shaded(photo, _light(size, random, 60)).reduce(2)
    warm, exposure = random.randint(-16, 16), random.randint(228, 272)
    photo = _cast(photo, (exposure + warm, exposure, exposure - warm))
    return _grain(photo, random.randint(1, 5), random)


def _rotation(t: float) -> tuple[float, float]:
    """Cosine and sine of the angle whose half has the tangent t: exact arithmetic where `math.cos` is not portable."""
    return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)


def _placed(
    drawing: Drawing,
    size: tuple[int, int],
    middle: tuple[float, float],
    fill: float,
    tilt: float,
    stretch: float,
) -> tuple[Image.Image, Image.Image]:
    """The drawing's colours and mask on a scene of `size`, centred on `middle` and filling a share `fill` of it."""
    left, top, right, bottom = drawing.alpha.getbbox() or (0, 0, drawing.size, drawing.size)
    scale = fill * min(size[0] / (right - left), size[1] / (bottom - top))
    cosine, sine = _rotation(tilt)
    x, y = middle
    a, b = cosine / scale, sine / scale
    d, e = -sine / (scale * stretch), cosine / (scale * stretch)
    u, v = (left + right) / 2, (top + bottom) / 2
    matrix = (a, b, u - a * x - b * y, d, e, v - d * x - e * y)
    bilinear = Image.Resampling.BILINEAR
    cut = drawing.rgb.transform(size, Image.Transform.AFFINE, matrix, bilinear)
    return cut, drawing.alpha.transform(size, Image.Transform.AFFINE, matrix, bilinear)


def _box(mask: Image.Image) -> Box:
    """Where the item is in the finished photo."""
    small = mask.reduce(2).point([255 if value >= 128 else 0 for value in range(256)])
    left, top, right, bottom = small.getbbox() or (0, 0, *small.size)
    return left, top, right - left, bottom - top


def _cast(photo: Image.Image, gains: Colour) -> Image.Image:
    """Each channel times gain / 256."""
    table = [min(255, value * gain // 256) for gain in gains for value in range(256)]
    return photo.point(table)


def _grain(photo: Image.Image, strength: int, random: Random) -> Image.Image:
    noise = numpy.random.Generator(numpy.random.PCG64(random.getrandbits(63)))
    pixels = numpy.asarray(photo, dtype=numpy.int64)
    grain = noise.integers(-strength, strength + 1, pixels.shape) + noise.integers(
        -strength, strength + 1, pixels.shape
    )
    return Image.fromarray((pixels + grain).clip(0, 255).astype(numpy.uint8))


def _light(size: tuple[int, int], random: Random, depth: int) -> Image.Image:
    """A grey map: light that falls off towards one side, by at most `depth`."""
    across, down = random.randint(-depth // 2, depth // 2), random.randint(-depth // 2, depth // 2)
    columns = numpy.arange(size[0]) * across // size[0] + max(0, -across)
    rows = numpy.arange(size[1]) * down // size[1] + max(0, -down)
    return Image.fromarray((255 - columns[None, :] - rows[:, None]).astype(numpy.uint8))


def _clutter(photo: Image.Image, random: Random, near_edge: bool) -> None:
    """A thing that lies about: a book, a mug from above, a cable, a leaf. `near_edge`: over a corner of the frame."""
    width, height = photo.size
    draw = ImageDraw.Draw(photo)
    colour = (random.randint(30, 235), random.randint(30, 225), random.randint(30, 225))
    dark = mixed(colour, (0, 0, 0), 45)
    if near_edge:
        x, y = random.choice((-8, width + 8)), random.choice((random.randint(0, height), height + 6))
    else:
        x, y = random.randint(0, width), random.randint(0, height)
    reach = random.randint(18, 44)
    kind = random.randrange(4)
    if kind == 0:
        lean = random.randint(-14, 14)
        points = [(x - reach, y - reach + lean), (x + reach - lean, y - reach), (x + reach, y + reach - lean)]
        draw.polygon([*points, (x - reach + lean, y + reach)], fill=colour, outline=dark)
        draw.line([(x - reach + 8, y - reach + lean + 6), (x - reach + lean + 8, y + reach - 4)], fill=dark, width=3)
        draw.line([(x - reach // 3, y - reach // 4), (x + reach // 2, y - reach // 4)], fill=dark, width=4)
    elif kind == 1:
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour, outline=dark, width=3)
        inner = reach * 7 // 10
        draw.ellipse((x - inner, y - inner, x + inner, y + inner), fill=dark)
    elif kind == 2:
        points = [(x, y)]
        for _ in range(6):
            x, y = x + random.randint(-40, 40), y + random.randint(-40, 40)
            points.append((x, y))
        draw.line(points, fill=dark, width=5, joint="curve")
    else:
        for dx, dy in ((-30, -18), (-12, -34), (14, -34), (30, -14), (26, 14)):
            draw.polygon(
                [(x, y), (x + dx - dy // 3, y + dy), (x + 2 * dx, y + 2 * dy), (x + dx, y + dy + dx // 3)],
                fill=(48, 104, 56),
            )


def _wood(size: tuple[int, int], random: Random) -> Image.Image:
    base = random.choice(((176, 130, 84), (140, 98, 62), (204, 172, 130), (96, 70, 52)))
    photo = Image.new("RGB", size, base)
    draw = ImageDraw.Draw(photo)
    plank = random.randint(34, 54)
    for top in range(0, size[1], plank):
        draw.rectangle((0, top, size[0], top + plank), fill=mixed(base, (0, 0, 0), random.randint(0, 16)))
        for _ in range(7):
            y, x = top + random.randint(3, plank), random.randint(-40, size[0])
            draw.line(
                [(x, y), (x + random.randint(40, 120), y + random.randint(-1, 1))],
                fill=mixed(base, (60, 30, 10), 28),
            )
        draw.line([(0, top), (size[0], top)], fill=mixed(base, (0, 0, 0), 50), width=2)
    return photo.transpose(Image.Transpose.ROTATE_90).resize(size) if random.random() < 0.5 else photo


def _sheet(size: tuple[int, int], random: Random) -> Image.Image:
    base = random.choice(((226, 226, 230), (196, 208, 222), (222, 204, 190), (170, 180, 164), (92, 98, 116)))
    photo = Image.new("RGB", size, base)
    draw = ImageDraw.Draw(photo)
    for _ in range(9):
        x, y = random.randint(-20, size[0]), random.randint(-20, size[1])
        points = [
            (x, y),
            (x + random.randint(30, 90), y + random.randint(-50, 50)),
            (x + random.randint(60, 160), y + random.randint(-40, 80)),
        ]
        draw.line(points, fill=mixed(base, (0, 0, 0), 22), width=random.randint(6, 14), joint="curve")
        draw.line(
            [(px + 6, py - 8) for px, py in points],
            fill=mixed(base, (255, 255, 255), 45),
            width=6,
            joint="curve",
        )
    return photo.filter(ImageFilter.BoxBlur(5))


def _tiles(size: tuple[int, int], random: Random) -> Image.Image:
    base = random.choice(((206, 204, 196), (160, 168, 172), (188, 150, 120), (120, 132, 128)))
    photo = Image.new("RGB", size, mixed(base, (0, 0, 0), 35))
    draw = ImageDraw.Draw(photo)
    side, dx, dy = random.randint(40, 70), random.randint(0, 39), random.randint(0, 39)
    for x in range(-dx, size[0], side):
        for y in range(-dy, size[1], side):
            draw.rectangle(
                (x + 2, y + 2, x + side - 2, y + side - 2),
                fill=mixed(base, (255, 255, 255), random.randint(0, 18)),
            )
    return photo


def _speckled(size: tuple[int, int], random: Random, base: Colour, share: int, blur: float) -> Image.Image:
    noise = numpy.random.Generator(numpy.random.PCG64(random.getrandbits(63)))
    grey = Image.fromarray(noise.integers(255 - share, 256, (size[1], size[0]), dtype=numpy.uint8))
    return shaded(Image.new("RGB", size, base), grey.filter(ImageFilter.BoxBlur(blur)))


def _carpet(size: tuple[int, int], random: Random) -> Image.Image:
    base = random.choice(((186, 170, 150), (120, 116, 120), (150, 84, 76), (92, 110, 132), (222, 216, 206)))
    photo = _speckled(size, random, base, 150, 1)
    if random.random() < 0.5:
        draw = ImageDraw.Draw(photo)
        for inset in (10, 26):
            draw.rectangle(
                (inset, inset, size[0] - inset, size[1] - inset),
                outline=mixed(base, (40, 20, 20), 50),
                width=4,
            )
    return photo


def _grass(size: tuple[int, int], random: Random) -> Image.Image:
    photo = _speckled(size, random, (112, 156, 72), 120, 1)
    draw = ImageDraw.Draw(photo)
    for _ in range(160):
        x, y = random.randint(0, size[0]), random.randint(0, size[1])
        shade = random.choice(((70, 120, 46), (132, 176, 84), (92, 138, 58)))
        draw.line([(x, y), (x + random.randint(-6, 6), y - random.randint(6, 16))], fill=shade, width=2)
    return photo


def _bricks(size: tuple[int, int], random: Random) -> Image.Image:
    base = random.choice(((168, 92, 72), (190, 178, 164), (136, 112, 100)))
    photo = Image.new("RGB", size, (206, 200, 190))
    draw = ImageDraw.Draw(photo)
    for row, y in enumerate(range(0, size[1], 22)):
        for x in range(-50 + (row % 2) * 26, size[0], 52):
            draw.rectangle((x, y, x + 48, y + 18), fill=mixed(base, (0, 0, 0), random.randint(0, 26)))
    return photo


def _room(size: tuple[int, int], random: Random) -> Image.Image:
    """A wall, a skirting board and a floor."""
    wall = (random.randint(120, 232), random.randint(120, 226), random.randint(110, 220))
    photo = Image.new("RGB", size, wall)
    draw = ImageDraw.Draw(photo)
    floor = random.randint(60, 76) * size[1] // 100
    draw.rectangle((0, floor, size[0], size[1]), fill=random.choice(((150, 112, 76), (98, 90, 86), (190, 180, 168))))
    draw.rectangle((0, floor - 8, size[0], floor), fill=mixed(wall, (255, 255, 255), 60))
    if random.random() < 0.6:
        x, y = random.randint(0, size[0] - 60), random.randint(0, 40)
        draw.rectangle((x, y, x + 64, y + 48), fill=mixed(wall, (40, 60, 90), 60), outline=(70, 56, 44), width=5)
    return photo


_GROUNDS: tuple[Callable[[tuple[int, int], Random], Image.Image], ...] = (
    _wood,
    _wood,
    _sheet,
    _sheet,
    _tiles,
    _carpet,
    _grass,
    _bricks,
    _room,
    _room,
)
