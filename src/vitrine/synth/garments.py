"""Tops, bottoms and dresses, drawn flat from the front."""

from collections.abc import Sequence
from random import Random

from vitrine.synth.canvas import Colour, Drawing, Point, ink, mirrored, mixed, oval, path, rounded, symmetric
from vitrine.synth.patterns import Cloth


def _both(drawing: Drawing, outline: Sequence[Point], cloth: Cloth, volume: int = 10) -> None:
    for side in (outline, mirrored(outline)):
        drawing.part(side, cloth.picture, cloth.edge, volume)


def _ribs(drawing: Drawing, left: float, right: float, top: float, bottom: float, colour: Colour) -> None:
    for x in range(int(left) + 12, int(right), 22):
        drawing.line([(x, top), (x, bottom)], colour, 4)


def _sleeves(drawing: Drawing, cloth: Cloth, sleeve: str, shoulder: float, side: float, random: Random) -> None:
    """Both sleeves, behind the body. `shoulder`, `side`: half widths of the body there."""
    flare = random.randint(-14, 22)
    top, pit = 205, 400
    if sleeve == "short":
        end = random.randint(360, 410)
        outline = path(
            (500 + shoulder - 40, top - 12),
            (500 + shoulder + 60, top + 10, 500 + shoulder + 142 + flare, end),
            (500 + shoulder + 30 + flare // 2, end + 62),
            (500 + side - 20, pit + 20),
        )
        _both(drawing, outline, cloth)
        hem = [(500 + shoulder + 132 + flare, end - 18), (500 + shoulder + 20 + flare // 2, end + 42)]
        for line in (hem, mirrored(hem)):
            drawing.stitches(line, cloth.edge)
    elif sleeve == "long":
        end, out = random.randint(770, 830), random.randint(118, 158)
        outline = path(
            (500 + shoulder - 40, top - 12),
            (500 + shoulder + 70, top + 20, 500 + shoulder + out - 10, 480),
            (500 + shoulder + out + 8, end),
            (500 + shoulder + out - 84, end + 12),
            (500 + shoulder + out - 110, 560, 500 + side - 20, pit),
        )
        _both(drawing, outline, cloth)
        x = 500 + shoulder + out
        cuff = [(x + 4, end - 48), (x + 8, end), (x - 84, end + 12), (x - 88, end - 38)]
        for points in (cuff, mirrored(cuff)):
            drawing.part(points, cloth.plain(14), cloth.edge, 0)


def _body(drawing: Drawing, cloth: Cloth, neck: float, shoulder: float, side: float, hem: float, bottom: float) -> None:
    half = path(
        (500, 172),
        (500 + neck, 168),
        (500 + shoulder, 205),
        (500 + shoulder - 22, 300, 500 + side, 400),
        (500 + side - 6, 600, 500 + hem, bottom),
        (500 + hem // 2, bottom + 14, 500, bottom + 12),
    )
    drawing.part(symmetric(half), cloth.picture, cloth.edge, 14)
    seam = path((500 + shoulder, 205), (500 + shoulder - 22, 300, 500 + side, 400))
    for line in (seam, mirrored(seam)):
        drawing.line(line, cloth.edge, 5)


def _neck(drawing: Drawing, cloth: Cloth, kind: str, width: float, random: Random, bare: bool = False) -> None:
    """The neckline. `bare`: a thin edge, for dresses."""
    inside, band = cloth.plain(58), mixed(cloth.base, (0, 0, 0), 12)
    thick = 14 if bare else 26
    if kind == "round":
        depth = random.randint(74, 96)
        front = path(
            (500 - width, 164),
            (500 - width, 172 + depth, 500, 176 + depth),
            (500 + width, 172 + depth, 500 + width, 164),
        )
        drawing.part(front, inside, None, 6)
        drawing.line(path(front[0], (500, 192, 500 + width, 164)), band, 16)
        drawing.line(front, cloth.edge, thick + 10)
        drawing.line(front, band, thick)
    elif kind == "v-neck":
        depth = random.randint(170, 215)
        front = [(500 - width, 164), (500, 164 + depth), (500 + width, 164)]
        drawing.part(front, inside, None, 6)
        drawing.line(path(front[0], (500, 196, 500 + width, 164)), band, 16)
        drawing.line(front, cloth.edge, thick + 10)
        drawing.line(front, band, thick)
    elif kind == "turtle":
        height = random.randint(92, 116)
        roll = path(
            (500 - width + 4, 180),
            (500 - width + 16, 172 - height),
            (500, 160 - height, 500 + width - 16, 172 - height),
            (500 + width - 4, 180),
            (500, 216, 500 - width + 4, 180),
        )
        drawing.part(roll, cloth.plain(8), cloth.edge, 8)
        _ribs(drawing, 500 - width + 18, 500 + width - 16, 182 - height, 186, mixed(cloth.base, cloth.edge, 55))
        fold = path(
            (500 - width + 10, 176 - height // 2),
            (500, 196 - height // 2, 500 + width - 10, 176 - height // 2),
        )
        drawing.line(fold, cloth.edge, 6)
    elif kind == "collar":
        spread = random.randint(70, 104)
        drawing.part([(500 - width, 150), (500, 262), (500 + width, 150)], inside, None, 6)
        drawing.part(
            path((500 - width, 152), (500, 120, 500 + width, 152), (500, 186, 500 - width, 152)),
            band,
            cloth.edge,
            0,
        )
        flap = [(500 + width - 8, 142), (500 + width + 30, 178), (500 + spread, 292), (500, 254)]
        for points in (flap, mirrored(flap)):
            drawing.part(points, cloth.plain(6), cloth.edge, 8)
    elif kind == "hood":
        rise = random.randint(40, 66)
        hood = symmetric(
            path(
                (500, rise),
                (500 + width + 66, rise, 500 + width + 62, 176),
                (500 + width + 50, 262, 500, 290),
            )
        )
        drawing.part(hood, cloth.plain(10), cloth.edge, 12)
        drawing.part(oval(500, 166, width - 8, 92), cloth.plain(60), cloth.edge, 10)
        for side in (-1, 1):
            cord = path((500 + side * 40, 252), (500 + side * 52, 310, 500 + side * 42, 372))
            drawing.line(cord, (236, 234, 226), 11)
            drawing.spot(500 + side * 42, 376, 10, (120, 118, 112))


def _buttons(drawing: Drawing, colour: Colour, x: float, top: float, bottom: float, count: int, radius: float) -> None:
    for i in range(count):
        y = top + (bottom - top) * i / (count - 1)
        drawing.spot(x, y, radius, colour, ink(colour))


def _button_colour(cloth: Cloth) -> Colour:
    return (232, 228, 214) if sum(cloth.base) < 520 else (92, 74, 60)


def draw_top(drawing: Drawing, cloth: Cloth, leaf: str, attributes: dict[str, str], random: Random) -> None:
    """A T-shirt, shirt, sweater or jacket."""
    neck = random.randint(78, 98)
    shoulder = random.randint(198, 226)
    side = shoulder + random.randint(-16, 4)
    hem, bottom = side + random.randint(-12, 18), random.randint(806, 872)
    if attributes["sleeve"] == "sleeveless":
        shoulder -= random.randint(36, 58)
    if attributes["neck"] == "hood" and leaf != "Jackets":
        bottom -= 20
    _sleeves(drawing, cloth, attributes["sleeve"], shoulder, side, random)
    _body(drawing, cloth, neck, shoulder, side, hem, bottom)
    line = mixed(cloth.base, cloth.edge, 60)
    if leaf in ("Sweaters", "Jackets"):
        welt = symmetric(
            path(
                (500, bottom - 44),
                (500 + hem - 1, bottom - 48),
                (500 + hem - 6, bottom + 4),
                (500, bottom + 16),
            )
        )
        drawing.part(welt, cloth.plain(14), cloth.edge, 0)
        _ribs(drawing, 500 - hem, 500 + hem, bottom - 40, bottom + 4, line)
    else:
        drawing.stitches([(500 - hem + 8, bottom - 22), (500, bottom - 10), (500 + hem - 8, bottom - 22)], line)
    closure = attributes.get("closure", "")
    if closure == "buttons":
        drawing.part([(478, 250), (524, 250), (524, bottom + 10), (478, bottom + 10)], cloth.picture, cloth.edge, 0)
        _buttons(drawing, _button_colour(cloth), 501, 300, bottom - 60, random.randint(5, 7), 13)
    elif closure == "zip":
        drawing.line([(500, 236), (500, bottom + 8)], cloth.edge, 26)
        drawing.stitches([(500, 236), (500, bottom + 8)], (214, 214, 210), 9, 8, 15)
        drawing.part(rounded(488, 296, 512, 346, 6), (206, 206, 200), (70, 70, 70), 0)
    _neck(drawing, cloth, attributes["neck"], neck, random)
    if leaf == "Shirts" or (leaf == "Jackets" and closure == "buttons"):
        chest = path((566, 368), (652, 368), (652, 442), (609, 472), (566, 442))
        for pocket in [chest, mirrored(chest)] if random.random() < 0.5 or leaf == "Jackets" else [chest]:
            drawing.part(pocket, cloth.picture, cloth.edge, 4)
    if leaf == "Jackets":
        slit = [(500 + side - 44, 560), (500 + side - 92, 672)]
        for points in (slit, mirrored(slit)):
            drawing.line(points, cloth.edge, 18)


def draw_trousers(drawing: Drawing, cloth: Cloth, leaf: str, attributes: dict[str, str], random: Random) -> None:
    """Trousers or shorts."""
    waist = random.randint(128, 148)
    hip = waist + random.randint(32, 52)
    if leaf == "Shorts":
        top, bottom = (
            230,
            random.randint(540, 575) if attributes["length"] == "short" else random.randint(710, 750),
        )
        outer, inner = hip + random.randint(40, 66), random.randint(22, 34)
        waist, hip, crotch = waist + 30, hip + 34, 452
        outer += 20
    else:
        top, bottom, crotch = 70, random.randint(915, 945), random.randint(390, 420)
        outer, inner = hip + random.randint(-8, 40), random.randint(30, 62)
    leg = path(
        (496, top + 40),
        (500 + waist, top + 40),
        (500 + hip + 6, top + 180, 500 + hip, crotch - 20),
        (500 + outer, bottom),
        (500 + inner, bottom + 8),
        (500 + 8, crotch),
        (496, crotch),
    )
    _both(drawing, leg, cloth, 12)
    line = (214, 160, 84) if attributes.get("weave") == "denim" else mixed(cloth.base, cloth.edge, 70)
    band = symmetric(path((500, top), (500 + waist - 4, top - 2), (500 + waist + 2, top + 46), (500, top + 50)))
    drawing.part(
        [
            (500 - waist + 14, top - 4),
            *path((500 + waist - 14, top - 4), (500, top + 26, 500 - waist + 14, top - 4)),
        ],
        cloth.plain(60),
    )
    drawing.part(band, cloth.plain(8), cloth.edge, 0)
    for x in (waist - 26, waist // 2 - 6):
        for side in (-1, 1):
            drawing.line([(500 + side * x, top - 6), (500 + side * x, top + 56)], cloth.edge, 16)
            drawing.line([(500 + side * x, top - 4), (500 + side * x, top + 54)], cloth.base, 8)
    fly = path((500, top + 50), (500, crotch - 8))
    drawing.line(fly, cloth.edge, 7)
    drawing.stitches(path((534, top + 54), (536, top + 150, 502, top + 190)), line)
    drawing.spot(500, top + 24, 13, _button_colour(cloth), cloth.edge)
    pocket = path((500 + waist - 54, top + 50), (500 + waist - 40, top + 110, 500 + hip - 10, top + 130))
    hem = [(500 + outer - 4, bottom - 28), (500 + inner - 4, bottom - 20)]
    crease = path(
        (500 + waist // 2 + 16, top + 150),
        (500 + (outer + inner) // 2, (top + bottom) // 2, 500 + (outer + inner) // 2, bottom - 34),
    )
    for edge in (pocket, mirrored(pocket)):
        drawing.line(edge, cloth.edge, 6)
    for turned in (hem, mirrored(hem)):
        drawing.stitches(turned, line)
    if leaf == "Trousers":
        for edge in (crease, mirrored(crease)):
            drawing.line(edge, mixed(cloth.base, cloth.edge, 35), 4)


_SKIRT_BOTTOM = {"short": 560, "knee": 730, "long": 905}


def draw_skirt(drawing: Drawing, cloth: Cloth, leaf: str, attributes: dict[str, str], random: Random) -> None:
    """A flared skirt; how far it reaches is its length."""
    waist, top = random.randint(124, 146), 190 if attributes["length"] != "long" else 110
    bottom = _SKIRT_BOTTOM[attributes["length"]] + random.randint(-18, 18)
    hem = waist + random.randint(110, 170) + (20 if attributes["length"] != "short" else 0)
    _skirt(drawing, cloth, waist, top + 40, hem, bottom, random)
    band = symmetric(path((500, top + 10), (500 + waist - 6, top), (500 + waist, top + 48), (500, top + 58)))
    drawing.part(band, cloth.plain(12), cloth.edge, 0)
    drawing.spot(500 + waist - 40, top + 28, 12, _button_colour(cloth), cloth.edge)


def _skirt(drawing: Drawing, cloth: Cloth, waist: float, top: float, hem: float, bottom: float, random: Random) -> None:
    half: list[Point] = path((500, top), (500 + waist, top), (500 + waist + 30, top + 60, 500 + hem, bottom - 20))
    waves = random.randint(3, 5)
    edge = [(500 + hem - hem * i / waves, bottom) for i in range(waves + 1)]
    for i, (x, y) in enumerate(edge[1:]):
        half = path(
            half[0],
            *half[1:],
            (x + hem / waves / 2, y + (26 if i % 2 == 0 else 12), x, y - (0 if i % 2 else 6)),
        )
    drawing.part(symmetric(half), cloth.picture, cloth.edge, 14)
    for i in range(1, waves + 1):
        pleat = path(
            (500 + waist * i / (waves + 1), top + 24),
            (500 + waist * i / waves, (top + bottom) / 2, 500 + hem * i / (waves + 1), bottom - 16),
        )
        for line in (pleat, mirrored(pleat)):
            drawing.line(line, mixed(cloth.base, cloth.edge, 55), 5)


def draw_dress(drawing: Drawing, cloth: Cloth, leaf: str, attributes: dict[str, str], random: Random) -> None:
    """A dress: bodice, belt and skirt."""
    gown = leaf == "Evening Gowns"
    neck, waist = random.randint(72, 90), random.randint(104, 122)
    shoulder = random.randint(150, 172) - (26 if attributes["sleeve"] == "sleeveless" else 0)
    level = random.randint(410, 440)
    bottom = {"short": 690, "knee": 800, "long": 950}[attributes["length"]] + random.randint(-14, 8)
    hem = random.randint(250, 300) if gown else random.randint(190, 262)
    _sleeves(drawing, cloth, attributes["sleeve"], shoulder, shoulder - 6, random)
    _skirt(drawing, cloth, waist, level - 10, hem, bottom, random)
    half = path(
        (500, 172),
        (500 + neck, 166),
        (500 + shoulder, 200),
        (500 + shoulder - 26, 270, 500 + shoulder - 2, 340),
        (500 + waist + 4, level - 40, 500 + waist, level),
        (500, level + 8),
    )
    drawing.part(symmetric(half), cloth.picture, cloth.edge, 10)
    _neck(drawing, cloth, attributes["neck"], neck - (14 if gown else 6), random, bare=True)
    belt = symmetric(
        path((500, level - 12), (500 + waist + 2, level - 18), (500 + waist + 2, level + 18), (500, level + 24))
    )
    drawing.part(belt, mixed(cloth.base, (0, 0, 0), 30), cloth.edge, 0)
    if gown:
        drawing.part(rounded(474, level - 16, 526, level + 26, 10), (222, 190, 92), (110, 84, 20), 0)
