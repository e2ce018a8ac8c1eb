"""Numbers with their nouns, and lists, as people write them."""

IRREGULAR = {
    "category": "categories",
    "copy": "copies",
    "query": "queries",
    "class": "classes",
    "epoch": "epochs",
    "pass": "passes",
}


def counted(number: int, noun: str) -> str:
    """A number and its noun: `1 photo`, `2 photos`, `1,200 classes`.

    >>> counted(1, "photo"), counted(0, "class"), counted(1200, "row")
    ('1 photo', '0 classes', '1,200 rows')
    """
    return f"{number:,} {noun if number == 1 else IRREGULAR.get(noun, f'{noun}s')}"


def comma_separated(text: str) -> tuple[str, ...]:
    """The parts of a list such as `a, b`.

    >>> comma_separated(" a,b, ,")
    ('a', 'b')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())
