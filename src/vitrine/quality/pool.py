"""Work on photos in processes, in order and with bounded memory."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from vitrine.errors import InputError

WAITING = 4  # items per worker that are under way at any time

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int | None = None,
    start: Callable[[], None] | None = None,
) -> Iterator[Result]:
    """What `work` makes of each item, in their order.

    Args:
        work: A function of a module, which processes can find.
        items: What to work on; a single item is worked on here.
        workers: Processes; by default one per processor.
        start: Called first in each process.

    Raises:
        InputError: if a process was killed; which item it was at is not known.
    """
    count = min(workers or os.cpu_count() or 1, len(items))
    if count <= 1:
        if start is not None:
            start()
        yield from map(work, items)
        return
    # A forked worker needs nothing of the caller's main module, and touches no lock that another thread may hold.
    method = "fork" if sys.platform == "linux" else "spawn"
    with ProcessPoolExecutor(count, mp_context=get_context(method), initializer=start) as pool:
        running: deque[Future[Result]] = deque()
        try:
            for item in items:
                running.append(pool.submit(work, item))
                if len(running) >= WAITING * count:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        except BrokenProcessPool as error:
            raise InputError(
                f"looking at photos: one of {count} processes was killed, most likely because memory ran out; "
                "start again with more"
            ) from error
        finally:
            for future in running:
                future.cancel()
