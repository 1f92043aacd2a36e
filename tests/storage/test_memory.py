"""Memory that was freed is given back: what is left of a process is what it uses."""

import ctypes
from pathlib import Path

import pytest

from storage.memory import give_back

BLOCK_BYTES, BLOCKS = 4000, 10_000


def resident_bytes():
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def test_what_was_freed_in_the_middle_is_given_back():
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        pytest.skip("this C library keeps nothing back")
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    blocks = [libc.malloc(BLOCK_BYTES) for _ in range(BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK_BYTES)
    for block in blocks[:-1]:  # the last one keeps the others from going by themselves
        libc.free(block)
    freed = resident_bytes()
    give_back()
    left = resident_bytes()
    libc.free(blocks[-1])
    assert freed - left > BLOCK_BYTES * BLOCKS // 2
