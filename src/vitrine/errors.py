"""The one exception a user's own input can cause."""

from collections.abc import Iterable


class InputError(ValueError):
    """Unusable input or arguments. The message is one line that says what and where.

    The command line prints it on stderr and exits with code 2.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that someone who wrote `name` most likely meant; "" where there is none at all."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1, cutoff=0.0)
    return close[0] if close else ""
