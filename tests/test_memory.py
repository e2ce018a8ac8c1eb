"""Freed memory stays with the process, or is given back, and Python looks for garbage when it pays."""

import ctypes
import mmap
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vitrine.memory import ask_for_huge_pages, keep_freed_memory

HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
FAULTS = """
import ctypes, resource, sys
from vitrine.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def step():
    blocks = [libc.malloc(1 << 20) for _ in range(20)]
    for block in blocks:
        ctypes.memset(block, 1, 1 << 20)
    for block in blocks:
        libc.free(block)
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library is not glibc")
def test_pages_are_not_mapped_anew():
    plain, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True, text=True).stdout)
        for how in ("plain", "keep")
    )
    assert plain > 10 * 20 * 100  # 256 pages in 1 MiB
    assert kept < plain / 50


HELD = """
import ctypes
from vitrine.memory import give_back_freed_memory, keep_freed_memory
keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
before, blocks, between = resident(), [], []
for _ in range(100):
    blocks.append(libc.malloc(1 << 20))
    ctypes.memset(blocks[-1], 1, 1 << 20)
    between.append(libc.malloc(100))
for block in blocks:
    libc.free(block)
print(resident() - before)
give_back_freed_memory()
print(resident() - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not keep_freed_memory(), reason="reads /proc; the C library is not glibc"
)
def test_memory_between_blocks_in_use_is_given_back():
    said = subprocess.run([sys.executable, "-c", HELD], capture_output=True, check=True, text=True).stdout
    held, left = map(int, said.split())
    assert held > 95
    assert left < 10


COLLECTED = """
import gc, sys
from vitrine.memory import collect_often, collect_seldom
usual, runs = gc.get_threshold(), []
gc.callbacks.append(lambda phase, info: runs.append(phase))
if sys.argv[1] != "usual":
    collect_seldom()
if sys.argv[1] == "often":
    collect_often()
    collect_often()
stays = [[] for _ in range(50_000)]
print(len(runs), gc.get_threshold() == usual)
"""


@pytest.mark.parametrize(("how", "rarely"), [("usual", False), ("seldom", True), ("often", False)])
def test_garbage_is_looked_for_seldom_while_libraries_load(how, rarely):
    said = subprocess.run([sys.executable, "-c", COLLECTED, how], capture_output=True, check=True, text=True).stdout
    runs, usual = said.split()
    assert (int(runs) < 10) == rarely
    assert usual == str(not rarely)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/smaps")
@pytest.mark.skipif(not HUGE.exists() or "[never]" in HUGE.read_text(), reason="this kernel has no huge pages to give")
def test_memory_is_marked_for_huge_pages():
    memory = mmap.mmap(-1, 8 << 20)
    view = (ctypes.c_char * len(memory)).from_buffer(memory)
    address = ctypes.addressof(view)
    ask_for_huge_pages(address + 100, len(memory) - 200)  # whole pages within
    areas = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    marked = [area.split("-")[0] for area in areas if re.search(r"VmFlags:.* hg", area)]
    assert f"{address + mmap.PAGESIZE:x}" in marked
    del view
    memory.close()


def test_memory_too_small_for_a_page_is_left_alone():
    ask_for_huge_pages(4097, 10)
