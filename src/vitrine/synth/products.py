"""What the marketplace sells: the category tree, and one product's looks and labels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from vitrine.synth.accessories import draw_backpack, draw_cap, draw_handbag, draw_tote
from vitrine.synth.canvas import Colour, Drawing, ink, oval, path
from vitrine.synth.footwear import draw_boot, draw_slides, draw_sneaker
from vitrine.synth.garments import draw_dress, draw_skirt, draw_top, draw_trousers
from vitrine.synth.patterns import COLOURS, cloth, contrasting, folds

Deck = dict[str, int]  # label -> weight


@dataclass(frozen=True)
class Shelf:
    """A leaf of the category tree: how its products are drawn and what they may look like."""

    draw: Callable[..., None]
    patterns: Deck
    weaves: Deck
    attributes: dict[str, Deck] = field(default_factory=dict)
    creases: int = 0
    print_at: tuple[int, int, int] = (500, 480, 120)  # centre and radius of a graphic print


_PRINTED = {"plain": 5, "striped": 5, "checked": 2, "dotted": 3, "floral": 3, "zigzag": 2, "colour-block": 2}
_SHOES = {"plain": 8, "colour-block": 3, "checked": 2, "floral": 2, "zigzag": 1, "dotted": 1}
_BAGS = {"plain": 6, "striped": 2, "checked": 2, "dotted": 2, "floral": 2, "zigzag": 1, "colour-block": 2}

SHELVES: dict[str, Shelf] = {
    "Apparel/Topwear/T-Shirts": Shelf(
        draw_top,
        _PRINTED | {"graphic": 6},
        {"jersey": 1},
        {"sleeve": {"short": 6, "sleeveless": 2, "long": 2}, "neck": {"round": 6, "v-neck": 4}},
        46,
    ),
    "Apparel/Topwear/Shirts": Shelf(
        draw_top,
        _PRINTED | {"checked": 6},
        {"canvas": 1, "jersey": 2, "denim": 1},
        {"sleeve": {"long": 6, "short": 4}, "neck": {"collar": 1}, "closure": {"buttons": 1}},
        46,
    ),
    "Apparel/Topwear/Sweaters": Shelf(
        draw_top,
        _PRINTED | {"zigzag": 4, "floral": 0, "graphic": 2},
        {"knit": 1},
        {
            "sleeve": {"long": 8, "sleeveless": 2},
            "neck": {"round": 3, "v-neck": 3, "turtle": 3, "hood": 2},
        },
        36,
    ),
    "Apparel/Topwear/Jackets": Shelf(
        draw_top,
        {"plain": 8, "checked": 2, "colour-block": 4},
        {"denim": 2, "leather": 2, "canvas": 2},
        {
            "sleeve": {"long": 8, "sleeveless": 2},
            "neck": {"collar": 5, "hood": 5},
            "closure": {"zip": 6, "buttons": 4},
        },
        46,
    ),
    "Apparel/Bottomwear/Trousers": Shelf(
        draw_trousers,
        {"plain": 8, "striped": 2, "checked": 3},
        {"denim": 5, "canvas": 3, "jersey": 1},
        {"length": {"long": 1}},
        50,
    ),
    "Apparel/Bottomwear/Shorts": Shelf(
        draw_trousers,
        {"plain": 5, "striped": 2, "checked": 3, "floral": 3, "dotted": 1},
        {"denim": 3, "canvas": 3},
        {"length": {"short": 6, "knee": 4}},
        44,
    ),
    "Apparel/Bottomwear/Skirts": Shelf(
        draw_skirt, _PRINTED, {"jersey": 2, "canvas": 1}, {"length": {"short": 4, "knee": 4, "long": 3}}, 44
    ),
    "Apparel/Dresses/Day Dresses": Shelf(
        draw_dress,
        _PRINTED | {"floral": 5},
        {"jersey": 1},
        {
            "sleeve": {"sleeveless": 4, "short": 5, "long": 2},
            "neck": {"round": 5, "v-neck": 4, "collar": 2},
            "length": {"short": 5, "knee": 5},
        },
        40,
    ),
    "Apparel/Dresses/Evening Gowns": Shelf(
        draw_dress,
        {"plain": 8, "dotted": 2, "floral": 1},
        {"jersey": 1},
        {"sleeve": {"sleeveless": 6, "long": 3}, "neck": {"v-neck": 6, "round": 3}, "length": {"long": 1}},
        56,
    ),
    "Footwear/Shoes/Sneakers": Shelf(
        draw_sneaker,
        _SHOES,
        {"canvas": 3, "leather": 2},
        {"closure": {"laces": 7, "velcro": 3}, "sole": {"flat": 5, "chunky": 5}},
    ),
    "Footwear/Shoes/Boots": Shelf(
        draw_boot,
        _SHOES | {"plain": 14},
        {"leather": 1},
        {"closure": {"laces": 4, "zip": 3, "slip-on": 3}, "sole": {"flat": 3, "chunky": 3, "heel": 3}},
    ),
    "Footwear/Sandals/Slides": Shelf(
        draw_slides,
        _BAGS,
        {"leather": 1, "canvas": 1},
        {"closure": {"slip-on": 6, "buckle": 4}, "sole": {"flat": 1}},
    ),
    "Accessories/Bags/Backpacks": Shelf(
        draw_backpack, _BAGS, {"canvas": 3, "leather": 1}, {"closure": {"zip": 6, "buckle": 4}}
    ),
    "Accessories/Bags/Handbags": Shelf(
        draw_handbag, _BAGS, {"leather": 1}, {"closure": {"zip": 4, "buckle": 4, "open": 2}}
    ),
    "Accessories/Bags/Totes": Shelf(
        draw_tote,
        _BAGS | {"graphic": 5},
        {"canvas": 1},
        {"closure": {"open": 6, "zip": 3}},
        print_at=(500, 650, 140),
    ),
    "Accessories/Headwear/Caps": Shelf(draw_cap, _BAGS | {"graphic": 4}, {"canvas": 1}, print_at=(510, 500, 84)),
}

# How often each leaf is drawn for listings without views (multi-view listings are Sneakers and Boots). Gowns, slides,
# caps and backpacks are rare on purpose: macro figures differ from micro ones only when some leaves are rare.
LEAF_WEIGHTS: Deck = {
    "Apparel/Topwear/T-Shirts": 7,
    "Apparel/Topwear/Shirts": 5,
    "Apparel/Topwear/Sweaters": 5,
    "Apparel/Topwear/Jackets": 4,
    "Apparel/Bottomwear/Trousers": 4,
    "Apparel/Bottomwear/Shorts": 3,
    "Apparel/Bottomwear/Skirts": 3,
    "Apparel/Dresses/Day Dresses": 5,
    "Apparel/Dresses/Evening Gowns": 1,
    "Footwear/Sandals/Slides": 2,
    "Accessories/Bags/Backpacks": 2,
    "Accessories/Bags/Handbags": 4,
    "Accessories/Bags/Totes": 3,
    "Accessories/Headwear/Caps": 2,
}
MULTI_VIEW_WEIGHTS: Deck = {"Footwear/Shoes/Sneakers": 5, "Footwear/Shoes/Boots": 3}


@dataclass(frozen=True)
class Product:
    """One product: where it stands in the tree and what it looks like. `key` seeds everything drawn of it."""

    name: str
    category: str
    pattern: str
    colours: tuple[str, ...]
    weave: str
    attributes: dict[str, str]
    key: str

    @property
    def leaf(self) -> str:
        """The last level of its category."""
        return self.category.rpartition("/")[2]

    def labels(self) -> dict[str, str]:
        """Its attribute labels by type, colour and pattern included; several labels are joined with `|`."""
        return {"colour": "|".join(self.colours), "pattern": self.pattern} | self.attributes


def pick(deck: Deck, random: Random) -> str:
    """One label, drawn by weight."""
    ticket = random.randrange(sum(deck.values()))
    for label, weight in deck.items():
        ticket -= weight
        if ticket < 0:
            return label
    raise AssertionError("weights add up to nothing")


def make_product(name: str, category: str, key: str) -> Product:
    """The product that `key` stands for on this leaf."""
    random = Random(f"{key}/looks")
    shelf = SHELVES[category]
    pattern = pick(shelf.patterns, random)
    first = random.choice(list(COLOURS))
    colours = (first,) if pattern == "plain" else (first, random.choice(contrasting(first)))
    attributes = {kind: pick(deck, random) for kind, deck in shelf.attributes.items()}
    return Product(name, category, pattern, colours, pick(shelf.weaves, random), attributes, key)


def draw_product(product: Product) -> Drawing:
    """The product, cut out: the same drawing for every photo of it."""
    random = Random(f"{product.key}/drawing")
    shelf = SHELVES[product.category]
    material = cloth(product.pattern, product.colours, product.weave, random)
    drawing = Drawing(material.edge)
    details = product.attributes | {"weave": product.weave, "pattern": product.pattern}
    shelf.draw(drawing, material, product.leaf, details, random)
    if product.pattern == "graphic":
        x, y, radius = shelf.print_at
        _graphic(drawing, x + random.randint(-14, 14), y + random.randint(-30, 30), radius, material.second, random)
    if shelf.creases:
        drawing.darken(folds(random, shelf.creases))
    return drawing


def _graphic(drawing: Drawing, x: float, y: float, size: float, colour: Colour, random: Random) -> None:
    """A print on the front: star, heart, sun, peaks or a bolt."""
    r = size * random.randint(86, 118) / 100
    shape = random.randrange(5)
    if shape == 0:
        star = [(0, -100), (26, -32), (95, -31), (40, 12), (59, 81), (0, 40)]
        points = [*star, *[(-px, py) for px, py in reversed(star[1:-1])]]
        outline = [(x + px * r / 100, y + py * r / 100) for px, py in points]
    elif shape == 1:
        outline = path(
            (x, y - r * 0.45),
            (x + r * 0.3, y - r * 1.15, x + r * 0.95, y - r * 0.6),
            (x + r * 1.2, y, x, y + r),
            (x - r * 1.2, y, x - r * 0.95, y - r * 0.6),
            (x - r * 0.3, y - r * 1.15, x, y - r * 0.45),
        )
    elif shape == 2:
        outline = oval(x, y, r, r)
    elif shape == 3:
        outline = [(x - r * 1.1, y + r * 0.7), (x - r * 0.35, y - r * 0.8), (x, y - r * 0.1)]
        outline += [(x + r * 0.35, y - r * 0.5), (x + r * 1.1, y + r * 0.7)]
    else:
        outline = [(x + r * 0.3, y - r), (x - r * 0.7, y + r * 0.2), (x - r * 0.1, y + r * 0.15)]
        outline += [(x - r * 0.3, y + r), (x + r * 0.7, y - r * 0.25), (x + r * 0.1, y - r * 0.2)]
    drawing.part(outline, colour, None, 0)
    if shape == 2:
        for level in (0.1, 0.45, 0.75):
            drawing.line([(x - r, y + r * level), (x + r, y + r * level)], ink(colour), 12)
    if random.random() < 0.5:
        for width, level in ((0.9, 1.35), (0.55, 1.65)):
            drawing.line([(x - r * width, y + r * level), (x + r * width, y + r * level)], colour, 22)
