"""What a training of authenticity has to learn from."""

from vitrine.catalog import Catalog
from vitrine.data.bags import bags_of
from vitrine.errors import InputError


def count_listings(catalog: Catalog) -> dict[str, int]:
    """How many listings there are to learn from and to measure on: `train`, `undecided`, `validation`, `test`.

    Raises:
        InputError: if the training listings do not hold both verdicts, or no test listing has one.
    """
    counts = dict.fromkeys(("train", "undecided", "validation", "test"), 0)
    seen = set()
    for bag in bags_of(catalog.table):
        if bag.split == "train" and not bag.verdict:
            counts["undecided"] += 1
        elif bag.verdict and bag.split in counts:
            counts[bag.split] += 1
            seen |= {bag.verdict} if bag.split == "train" else set()
    if len(seen) < 2:
        raise InputError(
            f"{catalog.address}: verdict: the training listings do not hold both authentic and counterfeit"
        )
    if not counts["test"]:
        raise InputError(f"{catalog.address}: verdict: no test listing has one; there is nothing to measure on")
    return counts
