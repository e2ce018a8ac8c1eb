"""Shoes from the side, slides from above."""

from random import Random

from vitrine.synth.canvas import Colour, Drawing, Point, ink, luma, mixed, oval, path, rectangle
from vitrine.synth.patterns import Cloth

_WHITE = (238, 237, 231)
_DARK = (48, 46, 46)


def _laces(drawing: Drawing, start: Point, end: Point, count: int, width: float, colour: Colour) -> None:
    """Bars of lace between `start` and `end`, the eyelets at their lower ends."""
    for i in range(count):
        x = start[0] + (end[0] - start[0]) * i / (count - 1)
        y = start[1] + (end[1] - start[1]) * i / (count - 1)
        drawing.line([(x - width * 0.55, y - width * 0.5), (x + width * 0.5, y + width * 0.55)], ink(colour), 29)
        drawing.line([(x - width * 0.55, y - width * 0.5), (x + width * 0.5, y + width * 0.55)], colour, 19)
        drawing.spot(x + width * 0.5, y + width * 0.55, 12, _DARK)


def _side_mark(drawing: Drawing, kind: int, x: float, y: float, colour: Colour) -> None:
    if kind == 0:
        for i in range(3):
            left = x + i * 48
            drawing.part(
                [(left, y - 84), (left + 28, y - 84), (left + 4, y + 76), (left - 24, y + 76)],
                colour,
                ink(colour),
                0,
            )
    elif kind == 1:
        swoop = path(
            (x - 90, y + 10),
            (x - 40, y + 80, x + 190, y - 70),
            (x + 20, y + 10, x - 30, y + 4),
            (x - 60, y - 6, x - 90, y + 10),
        )
        drawing.part(swoop, colour, ink(colour), 0)
    elif kind == 2:
        drawing.spot(x + 40, y, 58, colour, ink(colour))
        drawing.spot(x + 40, y, 28, ink(colour))
    else:
        drawing.part(
            [
                (x - 60, y + 60),
                (x, y - 60),
                (x + 40, y + 10),
                (x + 80, y - 60),
                (x + 140, y + 60),
                (x + 100, y + 60),
                (x + 80, y + 10),
                (x + 40, y + 70),
                (x, y + 10),
                (x - 20, y + 60),
            ],
            colour,
            ink(colour),
            0,
        )


def draw_sneaker(drawing: Drawing, cloth: Cloth, leaf: str, attributes: dict[str, str], random: Random) -> None:
    """A sneaker from the side, the toe to the left."""
    chunky = attributes["sole"] == "chunky"
    rise = random.choice((0, 0, 0, 130))  # high tops
    floor, thick = 770, random.randint(128, 150) if chunky else random.randint(56, 70)
    sole_top = floor - thick
    lift = sole_top - 690
    shift = rise
    upper = path(
        (92, sole_top + 20),
        (86, 596 + lift, 196, 566 + lift),
        (330, 540 + lift, 426, 452 + lift),
        (512, 376 + lift - shift // 2, 560, 318 + lift - shift),
        (598, 288 + lift - shift, 650, 322 + lift - shift),
        (706, 398 + lift - shift, 800, 382 + lift - shift),
        (858, 366 + lift - shift, 884, 318 + lift - shift),
        (922, 316 + lift - shift, 912, 396 + lift),
        (902, 540 + lift, 918, sole_top + 20),
    )
    tongue = path(
        (500, 400 + lift - shift // 2),
        (540, 300 + lift - shift),
        (590, 250 + lift - shift, 632, 300 + lift - shift),
        (640, 400 + lift - shift),
    )
    accent = cloth.second if cloth.second != cloth.base else mixed(cloth.base, (255, 255, 255), 40)
    trim = _WHITE if luma(cloth.base) < 185 else mixed(cloth.base, (0, 0, 0), 55)
    overlay = mixed(cloth.base, (0, 0, 0) if luma(cloth.base) > 90 else (255, 255, 255), random.randint(10, 26))
    drawing.part(tongue, mixed(cloth.base, (0, 0, 0), 22), cloth.edge, 6)
    drawing.part(upper, cloth.picture, cloth.edge, 16)
    toe = path(
        (92, sole_top + 14),
        (86, 600 + lift, 196, 567 + lift),
        (236, 560 + lift),
        (290, 630 + lift, 280, sole_top + 14),
    )
    heel = path(
        (800, sole_top + 14),
        (770, 560 + lift, 838, 470 + lift),
        (906, 430 + lift),
        (902, 540 + lift, 917, sole_top + 14),
    )
    drawing.part(toe, overlay, cloth.edge, 8)
    drawing.part(heel, overlay, cloth.edge, 8)
    drawing.stitches([(x, y + 18) for x, y in toe[11:-1]], mixed(cloth.edge, overlay, 30))
    _side_mark(
        drawing,
        random.randrange(4),
        random.randint(520, 600),
        random.randint(548, 580) + lift,
        accent if attributes["pattern"] != "plain" else trim,
    )
    collar = path(
        (650, 326 + lift - shift),
        (706, 402 + lift - shift, 800, 386 + lift - shift),
        (858, 370 + lift - shift, 884, 322 + lift - shift),
    )
    drawing.line(collar, mixed(cloth.base, (0, 0, 0), 45), 26)
    _fasten(drawing, attributes["closure"], cloth, (330, 528 + lift), (548, 352 + lift - shift), trim, random)
    _sneaker_sole(drawing, sole_top, floor, chunky, random)


def _fasten(
    drawing: Drawing, closure: str, cloth: Cloth, start: Point, end: Point, trim: Colour, random: Random
) -> None:
    if closure == "laces":
        eyestay = [
            (start[0] - 40, start[1] - 4),
            (end[0] - 22, end[1] - 22),
            (end[0] + 56, end[1] + 46),
            (start[0] + 72, start[1] + 70),
        ]
        drawing.part(eyestay, mixed(cloth.base, (0, 0, 0), 30), cloth.edge, 0)
        _laces(drawing, (start[0] + 14, start[1] + 8), (end[0] + 12, end[1] + 10), random.randint(4, 6), 78, trim)
    elif closure == "velcro":
        for share in (0.22, 0.72):
            x, y = start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share
            band = [(x - 46, y - 8), (x - 4, y - 48), (x + 170, y + 76), (x + 128, y + 128)]
            drawing.part(band, trim, ink(trim), 6)
            drawing.stitches([(x - 20, y + 0), (x + 130, y + 108)], ink(trim))


def _sneaker_sole(drawing: Drawing, top: float, floor: float, chunky: bool, random: Random) -> None:
    side = _WHITE if random.random() < 0.75 else _DARK
    rubber = random.choice(((176, 120, 66), _DARK, (206, 204, 198)))
    sole = path(
        (66, top + 10),
        (120, top + 24, 260, top + 14),
        (600, top + 6, 930, top - 8),
        (958, floor - 40, 934, floor),
        (120, floor),
        (52, floor - 8, 66, top + 10),
    )
    drawing.part(sole, side, ink(side), 8)
    drawing.part(
        path(
            (58, floor - 16),
            (940, floor - 22),
            (936, floor + 4),
            (120, floor + 6),
            (66, floor, 58, floor - 16),
        ),
        rubber,
        ink(rubber),
        0,
    )
    if chunky:
        wave = path((74, floor - 56), (260, top - 10, 480, floor - 60), (680, floor - 20, 940, top + 30))
        drawing.line(wave, mixed(side, ink(side), 60), 16)
        for x in range(110, 920, 70):
            drawing.part(rectangle(x, floor - 14, x + 34, floor + 16), rubber, None, 0)
    else:
        drawing.line([(80, floor - 36), (940, floor - 40)], mixed(side, ink(side), 50), 6)


def draw_boot(drawing: Drawing, cloth: Cloth, leaf: str, attributes: dict[str, str], random: Random) -> None:
    """An ankle boot from the side, the toe to the left."""
    sole = attributes["sole"]
    top, width = random.randint(96, 190), random.randint(-14, 24)
    floor = 890
    thick = {"flat": 44, "chunky": 108, "heel": 40}[sole]
    rise = 120 if sole == "heel" else 0  # the heel end stands higher
    toe, heel = floor - thick, floor - thick - rise
    upper = path(
        (132, toe + 8),
        (112, toe - 128, 250, toe - 172),
        (410, toe - 214, 436, heel - 330),
        (446, 380, 432 - width, top),
        (590, top - 22, 764 + width, top + 6),
        (744, 420, 776, heel - 190),
        (808, heel - 80, 788, heel + 8),
        (600, heel + 12, 420, (toe + heel) // 2 + 16 + rise // 3),
        (300, toe + 10, 132, toe + 8),
    )
    drawing.part(upper, cloth.picture, cloth.edge, 18)
    cap = path((132, toe + 6), (112, toe - 128, 250, toe - 172), (330, toe - 100, 310, toe + 6))
    drawing.part(cap, mixed(cloth.base, cloth.edge, 18), cloth.edge, 10)
    drawing.stitches(
        path((610, top + 60), (590, 480, 640, heel - 120), (680, heel - 60, 784, heel - 70)),
        cloth.edge,
        14,
        10,
    )
    drawing.line(path((432 - width, top + 34), (590, top + 12, 764 + width, top + 40)), cloth.edge, 12)
    closure = attributes["closure"]
    if closure == "laces":
        lace = (222, 190, 120) if random.random() < 0.5 else _WHITE
        if luma(cloth.base) > 180:
            lace = _DARK
        _laces(drawing, (360, heel - 262), (462, 420), 3, 66, lace)
        _laces(drawing, (462, 380), (456 - width // 2, top + 70), 3, 66, lace)
    elif closure == "zip":
        drawing.line([(610, top + 20), (620, heel - 60)], _DARK, 34)
        drawing.stitches([(610, top + 20), (620, heel - 60)], (216, 214, 206), 10, 8, 20)
        drawing.part(rectangle(600, top + 40, 630, top + 96), (216, 206, 170), _DARK, 0)
    else:
        gore = path(
            (540, top + 14),
            (690, top + 12),
            (650, heel - 200, 620, heel - 180),
            (580, heel - 240, 540, top + 14),
        )
        drawing.part(gore, mixed(cloth.base, (0, 0, 0), 45), cloth.edge, 4)
        for x in range(556, 680, 20):
            drawing.line([(x, top + 26), (x + (615 - x) * 0.5, heel - 250)], ink(mixed(cloth.base, (0, 0, 0), 45)), 4)
        drawing.strap(path((700, top + 6), (740, top - 66, 752, top + 8)), cloth.edge, 18)
    _boot_sole(drawing, sole, toe, heel, floor)


def _boot_sole(drawing: Drawing, sole: str, toe: float, heel: float, floor: float) -> None:
    rubber = (74, 56, 44) if sole != "chunky" else _DARK
    if sole == "heel":
        arch = path(
            (116, toe),
            (300, toe + 8, 430, (toe + heel) // 2 + 50),
            (600, heel + 4, 800, heel),
            (800, heel + 30),
            (620, heel + 36, 470, toe),
            (360, floor, 300, floor),
            (116, floor - 4),
        )
        drawing.part(arch, rubber, ink(rubber), 0)
        drawing.part([(664, heel + 24), (802, heel + 20), (780, floor), (700, floor)], rubber, ink(rubber), 8)
        return
    slab = path((110, toe), (806, toe - 4), (812, floor), (130, floor), (96, floor - 10, 110, toe))
    drawing.part(slab, rubber, ink(rubber), 8)
    drawing.stitches([(126, toe + 14), (796, toe + 10)], (220, 196, 130), 16, 12)
    if sole == "chunky":
        for x in range(130, 790, 84):
            drawing.part(rectangle(x, floor - 34, x + 44, floor + 18), rubber, ink(rubber), 0)
    else:
        drawing.part(rectangle(640, toe, 812, floor + 14), rubber, ink(rubber), 0)


def draw_slides(drawing: Drawing, cloth: Cloth, leaf: str, attributes: dict[str, str], random: Random) -> None:
    """A pair of slides from above."""
    width, length = random.randint(112, 132), random.randint(318, 352)
    foam = random.choice(((70, 68, 68), (226, 222, 212), (170, 130, 92)))
    strap = random.randint(400, 450)
    for x, lean in ((316, -10), (684, 10)):
        side = -1 if x < 500 else 1
        foot = path(
            (x, 500 - length),
            (x + width, 500 - length, x + width - 4, 400),
            (x + width - 30 + lean, 620, x + width - 22, 720),
            (x + width - 30, 500 + length, x, 500 + length),
            (x - width + 30, 500 + length, x - width + 22, 720),
            (x - width + 30 + lean, 620, x - width + 4, 400),
            (x - width, 500 - length, x, 500 - length),
        )
        drawing.part(foot, foam, ink(foam), 16)
        inner = [(x + (px - x) * 0.8, 500 + (py - 500) * 0.9) for px, py in foot]
        drawing.line(inner, mixed(foam, ink(foam), 55), 7)
        drawing.part(oval(x, 500 + length * 0.66, 34, 44), mixed(foam, ink(foam), 25), None, 0)
        band = path(
            (x - width - 16, strap),
            (x, strap - 110, x + width + 16, strap),
            (x + width + 6, strap - 190),
            (x, strap - 268, x - width - 6, strap - 190),
        )
        drawing.part(band, cloth.picture, cloth.edge, 14)
        drawing.stitches([(x - width + 4, strap - 26), (x, strap - 76), (x + width - 4, strap - 26)], cloth.edge)
        if attributes["closure"] == "buckle":
            drawing.part(
                rectangle(x + side * 70 - 34, strap - 190, x + side * 70 + 34, strap - 100),
                (214, 200, 150),
                _DARK,
                0,
            )
            drawing.part(
                rectangle(x + side * 70 - 16, strap - 170, x + side * 70 + 16, strap - 120),
                cloth.base,
                _DARK,
                0,
            )
