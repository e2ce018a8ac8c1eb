"""Memory that is freed: kept by the process for the next step, or given back."""

import contextlib
import ctypes
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
LARGEST_MMAP_THRESHOLD = 32 << 20  # the most that glibc takes
NEVER = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Asks glibc not to hand freed memory back; True if it agreed. Nothing happens with another C library.

    By default each training step gives back the memory of its activations and gradients, and has it mapped and zeroed
    anew, page by page, in the next one: 5 to 10 % of a step of the narrow net. The process keeps what it needed most.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # macOS, musl
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))


def give_back_freed_memory() -> None:
    """Has glibc give back what is free, also in the midst of its heaps. Nothing happens with another C library.

    Whatever lies behind a large block in its thread's heap, however small, keeps glibc from giving the block back: once
    a server has loaded a model beside one that answers, that can be the memory of a whole batch.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
