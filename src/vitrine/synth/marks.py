"""Close-ups of a shoe's marks, where a counterfeit shows.

A genuine emblem carries three bars, a copied one two; genuine stitching is short and even, a copied one long and
uneven. Both survive mirroring, rotation and reduction. Everything else in a picture is drawn from random numbers that
do not know the verdict.
"""

from dataclasses import dataclass
from random import Random

from vitrine.synth.canvas import Colour, Drawing, Point, ink, luma, mixed, oval, path, rectangle, rounded
from vitrine.synth.patterns import dyed

VIEWS = ("appearance", "tag", "midsole", "insole", "box_logo", "stamp")
MARKED_VIEWS = VIEWS[1:]
SIZE = 224

_SEGMENTS = {  # which of the seven segments of a digit are lit: top, upper left/right, middle, lower left/right, bottom
    "0": "1110111", "1": "0010010", "2": "1011101", "3": "1011011", "4": "0111010",
    "5": "1101011", "6": "1101111", "7": "1010010", "8": "1111111", "9": "1111011",
}  # fmt: skip


@dataclass(frozen=True)
class Brand:
    """A maker: the outline of its emblem and its two colours."""

    outline: int
    box: Colour
    print: Colour


def brand_of(key: str) -> Brand:
    """The maker of the shoe `key`."""
    random = Random(f"{key}/brand")
    box = random.choice([(206, 92, 38), (34, 34, 38), (36, 62, 120), (196, 170, 128), (150, 30, 44), (46, 104, 84)])
    return Brand(random.randrange(4), box, random.choice([(242, 240, 232), (236, 206, 120)]))


def draw_view(view: str, key: str, colour: str, genuine: bool, random: Random) -> Drawing:
    """One close-up of the shoe `key` in its colour; `genuine` decides the one mark of this view, and nothing else."""
    brand = brand_of(key)
    base = dyed(colour, Random(f"{key}/upper"))
    copied = Random(random.getrandbits(64))  # what only a copy draws from, so that the rest stays the same
    drawing = Drawing((128, 128, 128), SIZE)
    _DRAW[view](drawing, brand, base, genuine, random, copied)
    return drawing


def _emblem(
    drawing: Drawing,
    brand: Brand,
    x: float,
    y: float,
    r: float,
    colour: Colour,
    ground: Colour,
    genuine: bool,
) -> None:
    outlines = (
        oval(x, y, r, r),
        path(
            (x - r * 0.9, y - r),
            (x + r * 0.9, y - r),
            (x + r, y + r * 0.6, x, y + r),
            (x - r, y + r * 0.6, x - r * 0.9, y - r),
        ),
        [
            (x, y - r),
            (x + r, y - r * 0.45),
            (x + r, y + r * 0.45),
            (x, y + r),
            (x - r, y + r * 0.45),
            (x - r, y - r * 0.45),
        ],
        rounded(x - r, y - r, x + r, y + r, r * 0.4),
    )
    outline = outlines[brand.outline]
    drawing.part(outline, colour, None, 0)
    drawing.part([(x + (px - x) * 0.84, y + (py - y) * 0.84) for px, py in outline], ground, None, 0)
    bars = ((-0.42, 0.5), (0.0, 0.5), (0.42, 0.5)) if genuine else ((-0.26, 0.5), (0.26, 0.5))
    for level, width in bars:
        top = y + r * level - r * 0.11
        drawing.part(rectangle(x - r * width, top, x + r * width, top + r * 0.22), colour, None, 0)


def _thread(ground: Colour) -> Colour:
    return (232, 230, 222) if luma(ground) < 120 else (52, 46, 44)


def _seam(drawing: Drawing, points: list[Point], colour: Colour, genuine: bool, copied: Random) -> None:
    if genuine:
        drawing.stitches(points, colour, 32, 24, 19)
        return
    for first, second in zip(points[::2], points[2::2], strict=False):
        dash = copied.randint(58, 84)
        drawing.stitches([first, second], colour, dash, copied.randint(36, 54), 19)


def _digits(drawing: Drawing, text: str, x: float, y: float, size: float, colour: Colour) -> None:
    wide, stroke = size * 0.5, size * 0.13
    for digit in text:
        lines = (
            ((x, y), (x + wide, y)),
            ((x, y), (x, y + size / 2)),
            ((x + wide, y), (x + wide, y + size / 2)),
            ((x, y + size / 2), (x + wide, y + size / 2)),
            ((x, y + size / 2), (x, y + size)),
            ((x + wide, y + size / 2), (x + wide, y + size)),
            ((x, y + size), (x + wide, y + size)),
        )
        for lit, line in zip(_SEGMENTS[digit], lines, strict=True):
            if lit == "1":
                drawing.line(list(line), colour, stroke)
        x += size * 0.78


def _print_lines(drawing: Drawing, x: float, y: float, width: float, rows: int, colour: Colour, random: Random) -> None:
    """Lines of small print, too small to read."""
    for row in range(rows):
        at = x
        while at < x + width - 30:
            word = random.randint(24, 80)
            drawing.line([(at, y + row * 34), (min(at + word, x + width), y + row * 34)], colour, 13)
            at += word + 18


def _wordmark(drawing: Drawing, brand: Brand, x: float, y: float, size: float, colour: Colour) -> None:
    """The maker's name in block letters that every brand arranges in its own way."""
    for i in range(5):
        left = x + i * size * 0.9
        drawing.line([(left, y), (left, y + size)], colour, size * 0.18)
        if (brand.outline + i) % 3:
            drawing.line([(left, y), (left + size * 0.6, y)], colour, size * 0.18)
        if (brand.outline + i) % 2:
            drawing.line([(left, y + size), (left + size * 0.6, y + size)], colour, size * 0.18)
        else:
            drawing.line([(left + size * 0.6, y), (left + size * 0.6, y + size)], colour, size * 0.18)


def _tag(drawing: Drawing, brand: Brand, base: Colour, genuine: bool, random: Random, copied: Random) -> None:
    drawing.part(rectangle(0, 0, 1000, 1000), mixed(base, (0, 0, 0), 18), None, 0)
    for x in range(0, 1000, 36):
        drawing.line([(x, 0), (x, 1000)], mixed(base, (0, 0, 0), 30), 10)
    paper = (238, 236, 228) if random.random() < 0.6 else (44, 44, 48)
    text: Colour = (222, 220, 212) if paper[0] < 100 else (40, 40, 44)
    label = rounded(random.randint(120, 160), 110, random.randint(840, 880), 890, 50)
    drawing.part(label, paper, ink(paper), 8)
    drawing.stitches(
        [(px + (500 - px) * 0.07, py + (500 - py) * 0.07) for px, py in label],
        mixed(paper, text, 40),
        24,
        16,
        8,
    )
    _emblem(drawing, brand, 500, 345, 172, text, paper, genuine)
    _digits(drawing, str(random.randint(36, 46)), 240, 580, 110, text)
    _print_lines(drawing, 430, 590, 340, 4, mixed(paper, text, 65), random)
    x = 230
    while x < 760:
        wide = random.choice((8, 14, 22))
        drawing.part(rectangle(x, 750, x + wide, 830), text, None, 0)
        x += wide + random.choice((10, 16))


def _midsole(drawing: Drawing, brand: Brand, base: Colour, genuine: bool, random: Random, copied: Random) -> None:
    drawing.part(rectangle(0, 0, 1000, 1000), base, None, 0)
    for y in range(-300, 360, 26):
        drawing.line([(0, y), (1000, y + random.randint(60, 64))], mixed(base, ink(base), 18), 8)
    side: Colour = random.choice(((236, 234, 226), (206, 200, 188), (64, 62, 62)))
    bend = random.randint(-50, 50)
    top = path((0, 330), (500, 330 + bend, 1000, 330))
    drawing.part([*top, (1000, 800), (0, 800)], side, ink(side), 10)
    drawing.line([(x, y + 16) for x, y in top], mixed(side, ink(side), 60), 10)
    _seam(drawing, [(x, y + 110) for x, y in top], _thread(side), genuine, copied)
    for y in (560, 610, 660):
        drawing.line([(x, py + y - 330) for x, py in top], mixed(side, ink(side), 35), 12)
    rubber: Colour = random.choice(((150, 100, 58), (52, 50, 50)))
    drawing.part(rectangle(0, 780, 1000, 900), rubber, ink(rubber), 6)
    for x in range(random.randint(-60, 0), 1000, 90):
        drawing.part(rectangle(x, 860, x + 52, 930), rubber, ink(rubber), 0)
    drawing.part(rectangle(0, 930, 1000, 1000), (170, 160, 148), None, 0)


def _insole(drawing: Drawing, brand: Brand, base: Colour, genuine: bool, random: Random, copied: Random) -> None:
    drawing.part(rectangle(0, 0, 1000, 1000), mixed(base, (0, 0, 0), 45), None, 0)
    foam: Colour = random.choice(((226, 214, 190), (196, 196, 200), (74, 78, 92), (206, 170, 130)))
    width = random.randint(330, 370)
    bed = path(
        (500, 40),
        (500 + width + 60, 40, 500 + width, 420),
        (500 + width - 60, 960, 500, 960),
        (500 - width + 60, 960, 500 - width, 420),
        (500 - width - 60, 40, 500, 40),
    )
    drawing.part(bed, foam, ink(foam), 14)
    _seam(
        drawing,
        [(500 + (x - 500) * 0.82, 500 + (y - 500) * 0.86) for x, y in bed],
        ink(foam),
        genuine,
        copied,
    )
    _wordmark(drawing, brand, 350, 420, 72, mixed(foam, ink(foam), 80))
    _print_lines(drawing, 380, 580, 240, 2, mixed(foam, ink(foam), 60), random)


def _box_logo(drawing: Drawing, brand: Brand, base: Colour, genuine: bool, random: Random, copied: Random) -> None:
    drawing.part(rectangle(0, 0, 1000, 1000), (random.randint(150, 200), 160, 140), None, 0)
    drawing.part(rectangle(40, 60, 960, 940), brand.box, ink(brand.box), 14)
    edge = random.randint(150, 190)
    drawing.line([(40, edge), (960, edge)], ink(brand.box), 10)
    x, y = random.randint(400, 600), random.randint(450, 490)
    _emblem(drawing, brand, x, y, 215, brand.print, brand.box, genuine)
    _wordmark(drawing, brand, x - 190, 730, 90, brand.print)


def _stamp(drawing: Drawing, brand: Brand, base: Colour, genuine: bool, random: Random, copied: Random) -> None:
    hide: Colour = random.choice(((202, 164, 116), (222, 214, 200), (150, 108, 74), (186, 188, 186)))
    drawing.part(rectangle(0, 0, 1000, 1000), hide, None, 0)
    for _ in range(60):
        x, y = random.randint(0, 1000), random.randint(0, 1000)
        drawing.line(
            [(x, y), (x + random.randint(-40, 40), y + random.randint(-20, 20))],
            mixed(hide, ink(hide), 18),
            7,
        )
    pressed: Colour = random.choice((mixed(hide, (0, 0, 0), 62), (52, 64, 120), (130, 36, 40)))
    x = random.randint(430, 570)
    _emblem(drawing, brand, x, 370, 200, pressed, hide, genuine)
    _digits(drawing, str(random.randint(1000, 9999)), x - 180, 680, 120, pressed)
    _print_lines(drawing, x - 180, 880, 360, 1, pressed, random)


_DRAW = {"tag": _tag, "midsole": _midsole, "insole": _insole, "box_logo": _box_logo, "stamp": _stamp}
