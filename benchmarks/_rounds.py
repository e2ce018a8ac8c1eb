"""Functions timed in turn, so that whatever else the machine does falls on all alike."""

import time
from collections.abc import Callable, Sequence


def alternating(functions: Sequence[Callable[[], object]], rounds: int, warm_up: int = 3) -> list[list[float]]:
    """Seconds of each function in each round, on the GPU if there is one; which goes first changes each time."""
    import torch

    settle = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(-warm_up, rounds):
        order = range(len(functions)) if turn % 2 else reversed(range(len(functions)))
        for i in order:
            settle()
            started = time.perf_counter()
            functions[i]()
            settle()
            if turn >= 0:
                times[i].append(time.perf_counter() - started)
    return times
