"""Numbers with their nouns, as people say them."""

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
