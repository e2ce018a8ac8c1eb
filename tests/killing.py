"""Ending a process right after one of its renames, as a kill or a power cut does: nothing is cleaned up."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

KILLED = 41


def killed_at(number: int, work: Callable[..., object], *arguments: Any, **options: Any) -> bool:
    """Whether `work`, in a child process, came to its rename of that number (from 1) and was ended there."""
    child = os.fork()
    if not child:
        left = [number]

        def after(rename: Callable[..., Any]) -> Callable[..., Any]:
            def renamed(*paths: Any, **known: Any) -> Any:
                done = rename(*paths, **known)
                left[0] -= 1
                if not left[0]:
                    os._exit(KILLED)
                return done

            return renamed

        # `Path.replace` calls `os.replace`: a rename counts once.
        for name in ("rename", "replace"):
            setattr(os, name, after(getattr(os, name)))
        try:
            work(*arguments, **options)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


def kills(work: Callable[[int], Callable[[], object]]) -> Iterator[int]:
    """Ends `work(number)` at its first rename, another at its second ... and at last one that is done before its end.

    Yields:
        The number, after each.
    """
    for number in count(1):
        killed = killed_at(number, work(number))
        yield number
        if not killed:
            assert number > 1, "nothing was renamed"
            return
