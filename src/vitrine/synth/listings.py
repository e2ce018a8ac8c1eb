"""One listing: its product, its photos, its rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from random import Random

from PIL import Image

from vitrine.synth.canvas import Drawing
from vitrine.synth.marks import MARKED_VIEWS, VIEWS, draw_view
from vitrine.synth.products import LEAF_WEIGHTS, MULTI_VIEW_WEIGHTS, Deck, Product, draw_product, make_product
from vitrine.synth.scenes import Box, close_up, snapshot, studio
from vitrine.synth.texts import EXPERTS, USERS, describe

ATTRIBUTES = ("colour", "pattern", "sleeve", "neck", "length", "closure", "sole")
COLUMNS = (
    "image",
    "listing",
    "product",
    "domain",
    "view",
    "bbox",
    "category",
    *(f"attr:{kind}" for kind in ATTRIBUTES),
    "verdict",
    "expert",
    "user",
    "description",
    "split",
)

_MULTI_VIEW_EVERY = 4
_RESALE_EVERY = 13
_VERDICTS: Deck = {"authentic": 4, "counterfeit": 4, "": 3}
_UNLABELLED, _NOT_ANNOTATED = 0.2, 0.06
_CUT_SHORT = (
    (0.05, 2),
    (0.07, 1),
    (0.085, 0),
)  # cumulative share of rows, levels of the category that are left

Row = dict[str, str]


@dataclass(frozen=True)
class Photo:
    """A row of the catalog and the bytes of its photo."""

    row: Row
    data: bytes


def jpeg(picture: Image.Image, quality: int = 88) -> bytes:
    """The bytes of a JPEG file."""
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _dealt(deck: Deck, index: int, key: str) -> str:
    """Card `index` of endlessly many shuffled packs: any stretch of listings holds nearly the deck's shares."""
    pack = [label for label, count in deck.items() for _ in range(count)]
    Random(f"{key}/{index // len(pack)}").shuffle(pack)
    return pack[index % len(pack)]


def is_multi_view(number: int) -> bool:
    """Whether listing `number` shows shoes in several views and has them judged."""
    return number % _MULTI_VIEW_EVERY == _MULTI_VIEW_EVERY - 1


def _is_resale(number: int) -> bool:
    """Whether listing `number` offers the product of the listing before it once more."""
    return number % _RESALE_EVERY == _RESALE_EVERY - 1 and not is_multi_view(number) and not is_multi_view(number - 1)


def product_of(seed: int, number: int, prefix: str = "") -> Product:
    """The product that listing `number` offers. The same for any number of listings."""
    number -= _is_resale(number)
    if is_multi_view(number):
        category = _dealt(MULTI_VIEW_WEIGHTS, number // _MULTI_VIEW_EVERY, f"{seed}/{prefix}shoes")
    else:
        category = _dealt(LEAF_WEIGHTS, number - number // _MULTI_VIEW_EVERY, f"{seed}/{prefix}leaves")
    return make_product(f"{prefix}P{number:05d}", category, f"{seed}/{prefix}product/{number}")


def listing_key(seed: int, number: int, prefix: str = "") -> str:
    """What everything drawn at random about a listing follows from."""
    return f"{seed}/{prefix}listing/{number}"


def copied_views(key: str, verdict: str) -> list[str]:
    """The marked views in which a listing gives itself away as a copy; none of a genuine one.

    Whether an undecided one is a copy is drawn too.
    """
    hidden = Random(f"{key}/truth")
    counterfeit = verdict == "counterfeit" or (verdict == "" and hidden.random() < 0.5)
    return hidden.sample(MARKED_VIEWS, hidden.randint(1, 3)) if counterfeit else []


def render_listing(seed: int, number: int, prefix: str = "") -> Iterator[Photo]:
    """The photos and rows of one listing. `prefix` sets apart listings that are not numbered among the others."""
    product = product_of(seed, number, prefix)
    drawing = draw_product(product)
    key = listing_key(seed, number, prefix)
    random = Random(key)
    common = {
        "listing": f"{prefix}L{number:05d}",
        "product": product.name,
        "user": random.choice(USERS),
        "description": describe(product, random),
    }
    if is_multi_view(number):
        verdict = _dealt(_VERDICTS, number // _MULTI_VIEW_EVERY, f"{seed}/{prefix}verdicts")
        common |= {
            "verdict": verdict,
            "expert": random.choice(EXPERTS) if verdict or random.random() < 0.5 else "",
        }
        shots = _multi_view(product, drawing, verdict, key)
    else:
        shots = _plain(product, drawing, _is_resale(number), key)
    for index, (row, picture) in enumerate(shots, start=1):
        image = f"images/{common['listing']}-{index}.jpg"
        data = jpeg(picture, 84 if row["domain"] == "user" else 90)
        yield Photo(dict.fromkeys(COLUMNS, "") | common | row | {"image": image}, data)


def _plain(product: Product, drawing: Drawing, resale: bool, key: str) -> Iterator[tuple[Row, Image.Image]]:
    """Shop photos, then customers' photos. Who sells again has customers' photos only."""
    random = Random(f"{key}/photos")
    shop = 0 if resale else random.choice((1, 2, 2, 3))
    user = random.choice((1, 2, 2, 3))
    for i in range(shop):
        yield _shop(product, drawing, Random(f"{key}/shop/{i}"))
    for i in range(user):
        yield _user(product, drawing, Random(f"{key}/user/{i}"))


def _multi_view(product: Product, drawing: Drawing, verdict: str, key: str) -> Iterator[tuple[Row, Image.Image]]:
    """The six views, then mostly one customer's photo. A copy gives itself away in one to three of the marked views."""
    wrong = copied_views(key, verdict)
    row, picture = _shop(product, drawing, Random(f"{key}/shop/0"))
    yield row | {"view": VIEWS[0]}, picture
    for view in MARKED_VIEWS:
        yield marked_view(product, view, view not in wrong, key)
    if Random(f"{key}/photos").random() < 0.85:
        row, picture = _user(product, drawing, Random(f"{key}/user/0"))
        yield row | {"view": "extra"}, picture


def marked_view(product: Product, view: str, genuine: bool, key: str) -> tuple[Row, Image.Image]:
    """A close-up. Which leaf it belongs to does not show in it, so its category stops at the second level."""
    random = Random(f"{key}/{view}")
    picture = close_up(draw_view(view, product.key, product.colours[0], genuine, random), random)
    return {"domain": "", "view": view, "category": product.category.rpartition("/")[0]}, picture


def _shop(product: Product, drawing: Drawing, random: Random) -> tuple[Row, Image.Image]:
    standing = product.category.startswith(("Footwear/Shoes", "Accessories"))
    picture, box = studio(drawing, random, standing)
    boxed = random.random() < 0.5
    return _labels(product, random) | {
        "domain": "shop",
        "view": "front",
        "bbox": _box(box) if boxed else "",
    }, picture


def _user(product: Product, drawing: Drawing, random: Random) -> tuple[Row, Image.Image]:
    picture, box = snapshot(drawing, random)
    return _labels(product, random) | {"domain": "user", "bbox": _box(box)}, picture


def _box(box: Box) -> str:
    return ",".join(str(value) for value in box)


def _labels(product: Product, random: Random) -> Row:
    """Category and attributes as far as somebody filled them in for this photo."""
    levels, share = 3, random.random()
    for limit, left in reversed(_CUT_SHORT):
        if share < limit:
            levels = left
    labels = {"category": "/".join(product.category.split("/")[:levels])}
    unlabelled = random.random() < _UNLABELLED
    for kind, label in product.labels().items():
        missing = random.random() < _NOT_ANNOTATED
        labels[f"attr:{kind}"] = "" if unlabelled or missing else label
    return labels
