"""Cloth: colours, printed patterns and weave, each a square picture the shapes are cut from."""

from dataclasses import dataclass
from random import Random

import numpy
from PIL import Image, ImageDraw, ImageFilter

from vitrine.synth.canvas import SIZE, Colour, Drawing, ink, mixed, oval, shaded

COLOURS: dict[str, Colour] = {
    "black": (40, 40, 44),
    "white": (240, 240, 236),
    "grey": (146, 148, 152),
    "red": (200, 36, 44),
    "orange": (236, 128, 36),
    "yellow": (244, 206, 62),
    "green": (52, 140, 74),
    "blue": (54, 118, 208),
    "navy": (34, 46, 94),
    "purple": (124, 66, 158),
    "pink": (240, 146, 182),
    "brown": (120, 76, 46),
    "beige": (216, 194, 156),
}

_CLOSE = (
    {"black", "navy", "brown", "purple"},
    {"white", "beige", "yellow"},
    {"blue", "navy", "purple"},
    {"grey", "beige", "white"},
    {"red", "orange", "brown"},
    {"orange", "yellow"},
    {"red", "pink", "purple"},
    {"grey", "blue", "green", "brown"},
)


def contrasting(colour: str) -> list[str]:
    """The colours that stand out against `colour`."""
    return [other for other in COLOURS if not any({colour, other} <= group for group in _CLOSE) and other != colour]


@dataclass(frozen=True)
class Cloth:
    """What a product is made of."""

    picture: Image.Image
    base: Colour
    second: Colour
    edge: Colour

    def plain(self, share: int = 0) -> Image.Image:
        """The same cloth without its print, `share` percent darker: linings, waistbands."""
        return Image.new("RGB", self.picture.size, mixed(self.base, (0, 0, 0), share))


def dyed(colour: str, random: Random) -> Colour:
    """One product's own shade of a named colour."""
    red, green, blue = COLOURS[colour]
    tone = random.randint(-9, 9)
    return (
        max(0, min(255, red + tone + random.randint(-6, 6))),
        max(0, min(255, green + tone + random.randint(-6, 6))),
        max(0, min(255, blue + tone + random.randint(-6, 6))),
    )


def weave(kind: str, random: Random) -> Image.Image:
    """A grey map of the cloth's surface: `jersey`, `knit`, `denim`, `leather` or `canvas`."""
    noise = numpy.random.Generator(numpy.random.PCG64(random.getrandbits(63)))
    rows, columns = numpy.mgrid[0:SIZE, 0:SIZE]
    if kind == "knit":
        slant = numpy.where(columns % 12 < 6, columns % 12, 11 - columns % 12)
        grey = 255 - 15 * ((rows + slant) % 8 < 3) - 12 * (columns % 12 == 0)
    elif kind == "denim":
        grey = 252 - 26 * ((rows + columns) % 6 < 2) - noise.integers(0, 26, (SIZE, SIZE))
    elif kind == "leather":
        speck = Image.fromarray(noise.integers(0, 256, (SIZE // 4, SIZE // 4), dtype=numpy.uint8))
        soft = numpy.asarray(speck.resize((SIZE, SIZE), Image.Resampling.BILINEAR), dtype=numpy.int64)
        grey = 255 - soft * 30 // 255
    elif kind == "canvas":
        grey = 255 - 14 * (rows % 6 < 2) - 14 * (columns % 6 < 2)
    else:
        grey = 255 - noise.integers(0, 12, (SIZE, SIZE))
    return Image.fromarray(grey.astype(numpy.uint8))


def folds(random: Random, strength: int) -> Image.Image:
    """A grey map of soft creases, for cloth that hangs or lies."""
    grey = Image.new("L", (SIZE, SIZE), 255)
    draw = ImageDraw.Draw(grey)
    for _ in range(6):
        x, y = random.randint(70, SIZE - 70), random.randint(90, SIZE - 60)
        lean, length, width = random.randint(-34, 34), random.randint(30, 80), random.randint(5, 11)
        points = [
            (x, y),
            (x + lean + width, y + length // 2),
            (x + 2 * lean, y + length),
            (x + lean, y + length // 2),
        ]
        draw.polygon(points, fill=255 - strength)
    return grey.filter(ImageFilter.BoxBlur(5))


def cloth(pattern: str, colours: tuple[str, ...], kind: str, random: Random) -> Cloth:
    """The cloth of one product: its pattern in its own phase, scale and shades."""
    base = dyed(colours[0], random)
    second = dyed(colours[1], random) if len(colours) > 1 else mixed(base, (255, 255, 255), 25)
    sheet = Drawing(base)
    _PRINTS[pattern](sheet, base, second, random)
    return Cloth(shaded(sheet.rgb, weave(kind, random)), base, second, ink(base))


def _plain(sheet: Drawing, base: Colour, second: Colour, random: Random) -> None:
    return


def _striped(sheet: Drawing, base: Colour, second: Colour, random: Random) -> None:
    period, phase = random.randint(78, 150), random.randint(0, 149)
    width = period * random.randint(32, 58) // 100
    upright = random.random() < 0.3
    for start in range(phase - 300, 1000, period):
        stripe = [(0, start), (1000, start), (1000, start + width), (0, start + width)]
        points = [(y, x) for x, y in stripe] if upright else stripe
        sheet.part(points, second, volume=0)


def _checked(sheet: Drawing, base: Colour, second: Colour, random: Random) -> None:
    period, phase = random.randint(105, 165), random.randint(0, 120)
    width, line = period * random.randint(42, 52) // 100, random.random() < 0.5
    half = mixed(base, second, 55)
    starts = range(phase - period, 1000, period)
    for start in starts:
        sheet.part([(start, 0), (start + width, 0), (start + width, 1000), (start, 1000)], half, volume=0)
    for start in starts:
        sheet.part([(0, start), (1000, start), (1000, start + width), (0, start + width)], half, volume=0)
    for left in starts:
        for top in starts:
            box = [(left, top), (left + width, top), (left + width, top + width), (left, top + width)]
            sheet.part(box, second, volume=0)
    if line:
        for start in starts:
            at = start + width + (period - width) // 2
            sheet.line([(at, 0), (at, 1000)], second, 7)
            sheet.line([(0, at), (1000, at)], second, 7)


def _dotted(sheet: Drawing, base: Colour, second: Colour, random: Random) -> None:
    period = random.randint(88, 140)
    radius = period * random.randint(24, 32) // 100
    dx, dy = random.randint(0, 100), random.randint(0, 100)
    for row, y in enumerate(range(dy - 150, 1100, period)):
        for x in range(dx - 150 + (row % 2) * period // 2, 1100, period):
            sheet.spot(x, y, radius, second)


def _floral(sheet: Drawing, base: Colour, second: Colour, random: Random) -> None:
    period, petal = random.randint(150, 200), random.randint(27, 34)
    heart = mixed(COLOURS["yellow"], second, 15) if second != COLOURS["yellow"] else COLOURS["brown"]
    leaf = mixed(COLOURS["green"], base, 25)
    ring = ((0, -10), (95, -31), (59, 81), (-59, 81), (-95, -31))
    dx, dy = random.randint(0, 150), random.randint(0, 150)
    for row, y0 in enumerate(range(dy - 200, 1150, period)):
        for x0 in range(dx - 200 + (row % 2) * period // 2, 1150, period):
            x, y = x0 + random.randint(-18, 18), y0 + random.randint(-18, 18)
            side = random.choice((-1, 1))
            sheet.part(oval(x + side * petal * 2, y + petal * 2, petal, petal // 2), leaf, volume=0)
            for px, py in ring:
                top = -100 if (px, py) == ring[0] else py
                sheet.spot(x + px * petal // 80, y + top * petal // 80, petal, second)
            sheet.spot(x, y, petal * 7 // 10, heart)


def _zigzag(sheet: Drawing, base: Colour, second: Colour, random: Random) -> None:
    period, width = random.randint(120, 165), random.randint(42, 56)
    step, phase = random.randint(50, 70), random.randint(0, 100)
    for y in range(phase - 200, 1200, period):
        points = [(x, y + (step if i % 2 else 0)) for i, x in enumerate(range(-phase, 1100, step))]
        sheet.line([(float(x), float(top)) for x, top in points], second, width)


def _blocks(sheet: Drawing, base: Colour, second: Colour, random: Random) -> None:
    level, slant = random.randint(430, 540), random.randint(-70, 70)
    sheet.part([(0, level - slant), (1000, level + slant), (1000, 1000), (0, 1000)], second, volume=0)


_PRINTS = {
    "plain": _plain,
    "graphic": _plain,  # the print is put on the finished shape, in `shapes`
    "striped": _striped,
    "checked": _checked,
    "dotted": _dotted,
    "floral": _floral,
    "zigzag": _zigzag,
    "colour-block": _blocks,
}
