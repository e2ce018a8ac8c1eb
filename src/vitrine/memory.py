"""Memory that is freed: kept by the process for the next step, or given back; and when Python looks for it."""

import contextlib
import ctypes
import gc
import mmap
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
LARGEST_MMAP_THRESHOLD = 32 << 20  # the most that glibc takes
NEVER = 2**31 - 1
OFTEN, SELDOM = gc.get_threshold(), (20_000, 10, 10)


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


def ask_for_huge_pages(address: int, size: int) -> None:
    """Has Linux hold memory that was not written yet in pages of 2 MiB, where it can; it is read a tenth faster.

    Args:
        address: Where it begins.
        size: In bytes.
    """
    with contextlib.suppress(OSError, AttributeError, ValueError):  # another system
        start = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
        length = max(0, address + size - start)
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), ctypes.c_int(mmap.MADV_HUGEPAGE))


def collect_seldom() -> None:
    """Has Python seldom look for garbage from now on.

    Loading torch, pandas or kfp makes a million objects that stay. By default Python goes through them again and again
    while there come more: of `import torch, torchvision` 0.4 of 3.6 s of processor time.
    """
    gc.set_threshold(*SELDOM)


def collect_often() -> None:
    """Undoes `collect_seldom`: a cycle that nothing holds any more may hold a batch's activations.

    What was there before, libraries above all, is left out of the search.
    """
    if gc.get_threshold() == SELDOM:
        gc.freeze()
        gc.set_threshold(*OFTEN)
