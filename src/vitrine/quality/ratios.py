"""The shares of train, validation and test rows; apart, so that checking what was asked for loads nothing."""

import math
from collections.abc import Sequence

from vitrine.errors import InputError


def parse_ratios(text: str) -> list[float]:
    """Shares of train, validation and test from `0.7,0.1,0.2`.

    Raises:
        InputError: if these are no numbers.
    """
    try:
        return [float(share) for share in text.split(",")]
    except ValueError:
        raise InputError(f"ratios {text}: reads three numbers, such as 0.7,0.1,0.2") from None


def check_ratios(ratios: Sequence[float]) -> None:
    """Raises an InputError where these are not three shares that sum to 1."""
    shown = ",".join(f"{ratio:g}" for ratio in ratios)
    if len(ratios) != 3 or not all(math.isfinite(ratio) and ratio >= 0 for ratio in ratios):
        raise InputError(f"ratios {shown}: three shares (train, validation, test), none below 0")
    if not math.isclose(sum(ratios), 1, abs_tol=1e-6):
        raise InputError(f"ratios {shown}: sum to {sum(ratios):g}, not 1")
