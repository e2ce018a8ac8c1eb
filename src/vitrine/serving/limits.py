"""What one client, and all of them together, may ask of the server."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from vitrine.errors import InputError, did_you_mean

DIGITS = 15  # of a number in a request; no limit needs more, and Python reads no more than 4,300


@dataclass(frozen=True)
class Limits:
    """Beyond these a request is refused in words, before it costs more than its own bytes.

    Attributes:
        photo_bytes: Of one photo.
        request_bytes: Of one request.
        waiting_bytes: Of the bodies of all requests that are being read or answered.
        pixels: That one photo may declare.
        photos: Of one request.
        waiting_photos: Of all requests that are being answered; beyond, 503.
        hits: Products of one search.
        body_seconds: Until a request's headers, and then its body, must have arrived.
        answer_seconds: Until the answer must stand; beyond, 503.
    """

    photo_bytes: int = 20 << 20
    request_bytes: int = 64 << 20
    waiting_bytes: int = 512 << 20
    pixels: int = 50_000_000
    photos: int = 32
    waiting_photos: int = 256
    hits: int = 200
    body_seconds: float = 20.0
    answer_seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < math.inf:
                raise InputError(f"{field.name}={value}: must be above 0, and finite")

    def check_count(self, photos: int) -> None:
        """Raises a RefusedError for more photos than a request may bring."""
        if photos > self.photos:
            raise RefusedError(413, f"{photos} photos; {self.photos} a request at most")

    def check_photo(self, name: str, data: bytes) -> None:
        """Raises a RefusedError for a photo of too many bytes."""
        if len(data) > self.photo_bytes:
            raise RefusedError(413, f"{name}: {len(data):,} bytes; {self.photo_bytes:,} at most")


def parse_limits(given: Sequence[str]) -> Limits:
    """Limits from `KEY=VALUE`.

    >>> parse_limits(["photos=8", "answer_seconds=2.5"]).photos
    8

    Raises:
        InputError: for an unknown key, naming the nearest, or a value that is no finite number above 0.
    """
    defaults = asdict(Limits())
    limits: dict[str, Any] = {}
    for text in given:
        key, _, value = text.partition("=")
        if key not in defaults:
            raise InputError(f"--limit {text}: unknown; {did_you_mean(key, defaults)}")
        try:
            limits[key] = type(defaults[key])(value)
        except ValueError as error:
            raise InputError(f"--limit {text}: {value!r} is not a number") from error
    return Limits(**limits)


def whole_number(text: str) -> int:
    """The number that a client wrote in decimal digits; -1 if these are none, or too many.

    >>> whole_number("0012"), whole_number("+12"), whole_number("9" * 5000)
    (12, -1, -1)
    """
    digits = text.lstrip("0")
    return int(digits or "0") if text.isascii() and text.isdigit() and len(digits) <= DIGITS else -1


class RefusedError(Exception):
    """A request that is not answered.

    Attributes:
        status: Of HTTP.
        retry_after: Seconds after which asking again may help; None: it will not.
    """

    def __init__(self, status: int, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after = retry_after


def busy(reason: str, retry_after: float = 1) -> RefusedError:
    """503, with the seconds to wait."""
    return RefusedError(503, reason, max(1, min(60, round(retry_after))))
