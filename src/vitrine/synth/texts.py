"""What sellers write."""

from random import Random

from vitrine.synth.products import Product

USERS = tuple(
    f"{name}{mark}"
    for name in (
        "ada",
        "bela",
        "chidi",
        "dina",
        "emre",
        "fleur",
        "goran",
        "hanna",
        "ines",
        "jonas",
        "kaya",
        "lior",
    )
    for mark in ("", "_shop", ".vintage", "77")
)
EXPERTS = ("expert-amara", "expert-boris", "expert-celine", "expert-daichi", "expert-elif", "expert-farid")

_NOUNS = {
    "T-Shirts": ("t-shirt", "tee", "top"),
    "Shirts": ("shirt", "button-up shirt", "work shirt"),
    "Sweaters": ("sweater", "jumper", "knit"),
    "Jackets": ("jacket", "light jacket", "outdoor jacket"),
    "Trousers": ("trousers", "pants", "pair of trousers"),
    "Shorts": ("shorts", "summer shorts", "pair of shorts"),
    "Skirts": ("skirt", "flared skirt", "swing skirt"),
    "Day Dresses": ("dress", "day dress", "summer dress"),
    "Evening Gowns": ("gown", "evening gown", "party dress"),
    "Sneakers": ("sneakers", "trainers", "running shoes"),
    "Boots": ("boots", "ankle boots", "pair of boots"),
    "Slides": ("slides", "pool sandals", "sandals"),
    "Backpacks": ("backpack", "rucksack", "school bag"),
    "Handbags": ("handbag", "purse", "shoulder bag"),
    "Totes": ("tote", "tote bag", "shopper"),
    "Caps": ("cap", "baseball cap", "hat"),
}
_OPENINGS = (
    "Selling my",
    "Lovely",
    "Hardly used",
    "Favourite",
    "For sale:",
    "Almost new",
    "Well kept",
    "My sister's",
    "",
)
_CONDITIONS = (
    "worn twice",
    "never worn, tags are gone",
    "washed once",
    "a few signs of use, see photos",
    "no stains, no holes",
    "kept in a smoke-free home",
    "bought last spring",
    "a present that did not fit",
    "in very good shape",
    "used for one season",
)
_SIZES = (
    "size XS",
    "size S",
    "size M",
    "size L",
    "size XL",
    "fits small",
    "fits true to size",
    "runs a bit large",
)
_CLOSINGS = (
    "Ships tomorrow.",
    "Pick-up possible in the evening.",
    "Ask me for measurements.",
    "Price is fixed.",
    "I combine postage.",
    "Have a look at my other things.",
    "Sent tracked.",
    "Open to fair offers.",
    "First come, first served.",
    "",
)
KEYWORDS = (
    "replica 1:1, nobody will notice",
    "no returns, box only",
    "AAA quality copy, message me for the link",
)


def describe(product: Product, random: Random) -> str:
    """One seller's text about a product. It never depends on a verdict."""
    words = [random.choice(_OPENINGS)]
    if random.random() < 0.6:
        words.append(random.choice(product.colours))
    if product.pattern != "plain" and random.random() < 0.4:
        words.append(product.pattern)
    words.append(random.choice(_NOUNS[product.leaf]))
    first = " ".join(word for word in words if word)
    details = random.sample(_CONDITIONS, random.randint(1, 2))
    if random.random() < 0.7:
        details.insert(random.randint(0, len(details)), random.choice(_SIZES))
    closing = random.choice(_CLOSINGS)
    return f"{first[0].upper()}{first[1:]}, {', '.join(details)}. {closing}".strip()
