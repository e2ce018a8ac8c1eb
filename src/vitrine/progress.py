"""How far long work has got: a bar on a terminal, else a line every half minute, and none of short work."""

import sys
from time import monotonic
from typing import Any

from vitrine.untrusted import printable

EVERY = 30.0  # seconds between lines


class Progress:
    """What is done of what there is to do, with its rate and the time that is left.

    Args:
        what: The work, such as `scanning`.
        unit: What is counted, in the singular.
        total: Units in all; None: told later, or not known.
        done: Units that were done before.
    """

    def __init__(self, what: str, unit: str, total: int | None = None, done: int = 0) -> None:
        self._what, self._unit, self._total, self._done, self._first = what, unit, total, done, done
        self._started = self._told = monotonic()
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            bar: Any = tqdm(desc=what, unit=unit, total=total, initial=done, leave=False, unit_scale=unit == "byte")
            self._bar = bar

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, done: int, total: int) -> None:
        """So many of so many are done."""
        self._total = total
        if self._bar is not None:
            self._bar.total = total
        self.update(done - self._done)

    def update(self, more: int = 1) -> None:
        """So many more are done."""
        self._done += more
        if self._bar is not None:
            self._bar.update(more)
        elif monotonic() - self._told >= EVERY:
            self._told = monotonic()
            print(printable(self.line()), file=sys.stderr, flush=True)

    def line(self) -> str:
        """`scanning: 1,200 of 5,000 photos, 40 a second, 95 s left`."""
        seconds = max(monotonic() - self._started, 1e-9)
        rate = (self._done - self._first) / seconds
        of = "" if self._total is None else f" of {self._total:,}"
        line = f"{self._what}: {self._done:,}{of} {self._unit}s, {rate:.3g} a second"
        if self._total is None or not rate:
            return line
        return f"{line}, {lasting((self._total - self._done) / rate)} left"

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()


def lasting(seconds: float) -> str:
    """A time in the words of its size.

    >>> lasting(45.2), lasting(600), lasting(5000)
    ('45 s', '10 min', '1 h 23 min')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
