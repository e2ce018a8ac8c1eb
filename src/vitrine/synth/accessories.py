"""Bags and caps."""

from random import Random

from vitrine.synth.canvas import Colour, Drawing, ink, mirrored, mixed, path, rectangle, rounded, symmetric
from vitrine.synth.patterns import Cloth

_METAL = (216, 190, 112)
_STEEL = (206, 208, 210)
_DARK = (46, 44, 44)


def _zip(drawing: Drawing, points: list[tuple[float, float]], random: Random) -> None:
    drawing.line(points, _DARK, 24)
    drawing.stitches(points, _STEEL, 8, 8, 12)
    x, y = points[1] if random.random() < 0.5 else points[-2]
    drawing.part(rounded(x - 11, y, x + 11, y + 54, 8), _STEEL, _DARK, 0)


def _buckle(drawing: Drawing, x: float, y: float, metal: Colour, inside: Colour) -> None:
    drawing.part(rounded(x - 40, y - 34, x + 40, y + 34, 10), metal, _DARK, 0)
    drawing.part(rectangle(x - 22, y - 17, x + 22, y + 17), inside, _DARK, 0)
    drawing.line([(x - 26, y), (x + 26, y)], metal, 10)


def draw_backpack(drawing: Drawing, cloth: Cloth, leaf: str, attributes: dict[str, str], random: Random) -> None:
    """A backpack from the front, closed by zips or by buckled straps."""
    half, top, bottom = random.randint(226, 258), random.randint(150, 176), random.randint(880, 910)
    dark = mixed(cloth.base, (0, 0, 0), 35)
    drawing.strap(
        path((450, top + 6), (452, top - 84, 500, top - 84), (548, top - 84, 550, top + 6)),
        dark,
        30,
        cloth.edge,
    )
    for strap in (
        points := path((500 - half + 40, 330), (500 - half - 70, 560, 500 - half + 30, bottom - 30)),
        mirrored(points),
    ):
        drawing.strap(strap, dark, 44, cloth.edge)
    body = symmetric(
        path(
            (500, top),
            (500 + half - 8, top, 500 + half - 6, 370),
            (500 + half + 8, bottom - 60),
            (500 + half, bottom, 500 + half - 60, bottom),
            (500, bottom),
        )
    )
    drawing.part(body, cloth.picture, cloth.edge, 18)
    pocket_top = random.randint(560, 610)
    pocket = rounded(500 - half + 46, pocket_top, 500 + half - 46, bottom - 34, 50)
    if attributes["closure"] == "zip":
        _zip(
            drawing,
            path(
                (500 - half + 26, 480),
                (500 - half + 40, top + 56, 500, top + 52),
                (500 + half - 40, top + 56, 500 + half - 26, 480),
            ),
            random,
        )
        drawing.part(pocket, cloth.picture, cloth.edge, 12)
        _zip(
            drawing,
            [(500 - half + 76, pocket_top + 48), (420, pocket_top + 46), (500 + half - 76, pocket_top + 48)],
            random,
        )
    else:
        drawing.part(pocket, cloth.picture, cloth.edge, 12)
        flap = symmetric(
            path(
                (500, top - 6),
                (500 + half + 4, top - 4, 500 + half + 6, 330),
                (500 + half - 4, 500, 500 + half - 70, 512),
                (500, 520),
            )
        )
        drawing.part(flap, cloth.picture, cloth.edge, 14)
        for x in (500 - half // 2, 500 + half // 2):
            drawing.line([(x, 380), (x, 640)], cloth.edge, 48)
            drawing.line([(x, 380), (x, 640)], dark, 36)
            _buckle(drawing, x, 590, _METAL, dark)
    drawing.part(rounded(452, 396, 548, 448, 10), mixed(cloth.base, ink(cloth.base), 45), cloth.edge, 0)
    drawing.line([(468, 422), (532, 422)], (232, 230, 222), 10)


def draw_handbag(drawing: Drawing, cloth: Cloth, leaf: str, attributes: dict[str, str], random: Random) -> None:
    """A handbag with two handles, its mouth zipped, under a buckled flap, or open."""
    upper, lower = random.randint(230, 280), random.randint(310, 360)
    top, bottom = random.randint(430, 470), random.randint(800, 850)
    arch = random.randint(120, 190)
    dark = mixed(cloth.base, (0, 0, 0), 28)
    reach = upper - random.randint(70, 100)
    drawing.strap(
        path(
            (500 - reach + 30, top + 20),
            (500 - reach + 60, arch + 34, 500, arch + 34),
            (500 + reach - 60, arch + 34, 500 + reach - 30, top + 20),
        ),
        mixed(dark, (0, 0, 0), 30),
        26,
    )
    body = symmetric(
        path(
            (500, top),
            (500 + upper, top),
            (500 + lower + 6, bottom - 60),
            (500 + lower, bottom, 500 + lower - 50, bottom),
            (500, bottom + 6),
        )
    )
    drawing.part(body, cloth.picture, cloth.edge, 18)
    drawing.strap(
        path(
            (500 - reach, top + 70),
            (500 - reach + 20, arch, 500, arch),
            (500 + reach - 20, arch, 500 + reach, top + 70),
        ),
        dark,
        32,
        cloth.edge,
    )
    for x in (500 - reach, 500 + reach):
        drawing.part(rounded(x - 26, top + 34, x + 26, top + 110, 12), dark, cloth.edge, 0)
        drawing.spot(x, top + 84, 11, _METAL, _DARK)
    if attributes["closure"] == "zip":
        _zip(
            drawing,
            [(500 - upper + 20, top + 10), (400, top + 14), (600, top + 14), (500 + upper - 20, top + 10)],
            random,
        )
        pocket = path((500 - lower + 110, 640), (500, 668, 500 + lower - 110, 640))
        drawing.line(pocket, cloth.edge, 7)
    elif attributes["closure"] == "buckle":
        drop = random.randint(620, 670)
        flap = symmetric(
            path(
                (500, top - 8),
                (500 + upper + 6, top - 6),
                (500 + upper + 10, drop - 60),
                (500 + upper - 30, drop, 500, drop + 20),
            )
        )
        drawing.part(flap, cloth.picture, cloth.edge, 12)
        drawing.line([(500, drop - 110), (500, drop + 60)], dark, 56)
        _buckle(drawing, 500, drop + 10, _METAL, dark)
    else:
        drawing.part(
            path((500 - upper, top), (500, top - 36, 500 + upper, top), (500, top + 40, 500 - upper, top)),
            cloth.plain(60),
            cloth.edge,
            4,
        )
    drawing.stitches([(500 - lower + 30, bottom - 34), (500 + lower - 30, bottom - 34)], ink(cloth.base))


def draw_tote(drawing: Drawing, cloth: Cloth, leaf: str, attributes: dict[str, str], random: Random) -> None:
    """A tote bag with two long straps, its mouth zipped or open."""
    half, top, bottom = random.randint(250, 290), random.randint(370, 410), random.randint(890, 920)
    arch, reach = random.randint(90, 140), random.randint(110, 140)
    dark = mixed(cloth.base, (0, 0, 0), 20)
    handle = path(
        (500 - reach, top + 20),
        (500 - reach + 10, arch, 500, arch),
        (500 + reach - 10, arch, 500 + reach, top + 20),
    )
    drawing.strap([(x + 12, y + 26) for x, y in handle], mixed(dark, (0, 0, 0), 35), 34)
    body = symmetric(
        path(
            (500, top + 6),
            (500 + half - 14, top),
            (500 + half, 640, 500 + half - 4, bottom),
            (500, bottom + 10),
        )
    )
    drawing.part(body, cloth.picture, cloth.edge, 16)
    if attributes["closure"] == "zip":
        _zip(drawing, [(500 - half + 30, top + 8), (430, top + 12), (500 + half - 30, top + 8)], random)
    else:
        drawing.part(
            path(
                (500 - half + 14, top),
                (500, top - 34, 500 + half - 14, top),
                (500, top + 30, 500 - half + 14, top),
            ),
            cloth.plain(58),
            cloth.edge,
            4,
        )
    drawing.strap(
        [
            *path((500 - reach - 2, top + 120), (500 - reach, top)),
            *handle,
            (500 + reach, top),
            (500 + reach + 2, top + 120),
        ],
        dark,
        40,
        cloth.edge,
    )
    drawing.stitches([(500 - half + 24, top + 46), (500 + half - 24, top + 46)], ink(cloth.base))


def draw_cap(drawing: Drawing, cloth: Cloth, leaf: str, attributes: dict[str, str], random: Random) -> None:
    """A baseball cap, the brim to the left."""
    height, width = random.randint(250, 290), random.randint(296, 324)
    left, right = 590 - width, 590 + width
    brim_drop = random.randint(36, 78)
    crown = path(
        (left, 650),
        (left - 10, 650 - height * 1.5, 590, 640 - height * 1.35),
        (right + 6, 650 - height * 1.4, right, 660),
        (590, 710, left, 650),
    )
    drawing.part(crown, cloth.picture, cloth.edge, 20)
    top = 640 - height * 1.02
    for bend in (-0.62, 0.02, 0.62):
        seam = path((590, top), (590 + width * bend * 1.2, 520, 590 + width * bend, 676))
        drawing.line(seam, cloth.edge, 6)
    for bend in (-0.4, 0.34):
        drawing.spot(590 + width * bend, 470, 10, cloth.edge)
    drawing.part(path((560, top + 6), (590, top - 38, 620, top + 6)), cloth.plain(20), cloth.edge, 0)
    brim = path(
        (left - 4, 640),
        (left + 130, 700, left + 330, 690),
        (left + 160, 742 + brim_drop, left - 130, 736 + brim_drop),
        (left - 240, 730, left - 4, 640),
    )
    brim_cloth = cloth.second if attributes["pattern"] == "colour-block" else mixed(cloth.base, (0, 0, 0), 16)
    drawing.part(brim, brim_cloth, cloth.edge, 12)
    drawing.stitches(path((left - 20, 676), (left + 120, 730, left + 270, 706)), ink(brim_cloth))
    if random.random() < 0.5:
        drawing.part(rounded(right - 70, 600, right + 16, 664, 12), mixed(cloth.base, (0, 0, 0), 40), cloth.edge, 0)
        _buckle(drawing, right - 26, 634, _STEEL, _DARK)
    else:
        drawing.line(path((left, 646), (590, 706, right, 656)), cloth.edge, 8)
