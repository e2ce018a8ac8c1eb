"""A model's figures beside those of the frozen net it started from (see `baseline`)."""

from collections.abc import Mapping

from vitrine.evaluation.constant import PREFIX as CONSTANT
from vitrine.report import Page, percent

PREFIX = "baseline/"
NOT_COMPARED = ("count", "seconds_per_1000_images", "shop_photos", "without_answer")
NO_MERIT = ("ece", "mistake_height", "asked", "attention_entropy")  # no shares of which more is better: not on the page
MOST = 20  # rows of the page's table; metrics.json has them all


def prefixed(metrics: Mapping[str, float]) -> dict[str, float]:
    """A baseline's figures under the names that metrics.json has for them."""
    return {PREFIX + key: value for key, value in metrics.items() if key.rpartition("/")[2] not in NOT_COMPARED}


def add_baseline(page: Page, metrics: Mapping[str, float]) -> None:
    """A table of both, the figures over everything first; nothing where there is no baseline.

    Before it, one of the constant model.
    """
    blind = sorted((key for key in metrics if CONSTANT + key in metrics), key=lambda key: "/" in key)
    if blind:
        page.heading(
            "Beside a constant model",
            "The commonest label whatever the photo, or of searches a random order. A model has to be better than this "
            "by more than chance.",
        )
        page.table(
            ["figure", "this model", "constant", "difference"],
            [
                (key, percent(metrics[key]), percent(metrics[CONSTANT + key]), _points(metrics, key, CONSTANT))
                for key in blind
            ],
        )
    both = [key for key in metrics if PREFIX + key in metrics and key.rpartition("/")[2] not in NO_MERIT]
    if not both:
        return
    both.sort(key=lambda key: key.count("/"))  # what is over everything first
    page.heading(
        "Beside the frozen net",
        "The published weights that training started from, as they came, with a logistic regression for each question "
        "or, for searching, compared by cosine. A model below them is not worth its training.",
    )
    rows = [(key, metrics[key], metrics[PREFIX + key]) for key in both[:MOST]]
    page.table(
        ["figure", "this model", "frozen net", "difference"],
        [(key, percent(value), percent(frozen), f"{100 * (value - frozen):+.1f}") for key, value, frozen in rows],
    )
    if len(both) > MOST:
        page.text(f"{len(both) - MOST:,} more figures, each with the frozen net's, are in metrics.json.")


def _points(metrics: Mapping[str, float], key: str, prefix: str) -> str:
    return f"{100 * (metrics[key] - metrics[prefix + key]):+.1f}"
