"""Arrays of more than 2^31 elements that take some 30 MB: all but their ends are the same pages again and again.

Their last `TAIL` bytes are pages of their own, which a kernel reads or writes once. Before them an array that is only read is zero
(and all of it the system's one page of zeros); one that is written has `PERIOD` bytes, which many elements share. The period is no
power of two, so that an offset which has lost its upper bits leads to other bytes, or out of the array.
"""

import ctypes
import mmap
import os
import weakref

import numpy as np

HUGE_PAGE = 2 << 20
PERIOD = 9 * HUGE_PAGE
TAIL = 2 * HUGE_PAGE
MAP_FIXED, MADV_HUGEPAGE, FAILED = 0x10, 14, ctypes.c_void_p(-1).value
SHARED, OWN = mmap.MAP_SHARED | MAP_FIXED, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


def _map(address, size, flags, file=-1):
    call = ctypes.CDLL(None, use_errno=True).mmap
    call.restype = ctypes.c_void_p
    call.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    found = call(address, size, mmap.PROT_READ | mmap.PROT_WRITE, flags | 0x4000, file, 0)  # MAP_NORESERVE
    if found in (None, FAILED):
        raise OSError(ctypes.get_errno(), "mmap")
    return found


def large(shape, written=False):
    """A float32 array of zeros whose elements before the tail share memory if they are `written`."""
    n = int(np.prod(shape))
    assert n > 2**31
    size = -(-4 * n // HUGE_PAGE) * HUGE_PAGE
    reserved = _map(None, size + HUGE_PAGE, OWN)
    base = -(-reserved // HUGE_PAGE) * HUGE_PAGE
    libc = ctypes.CDLL(None)
    if written:
        file = os.memfd_create("fastnet-test")
        os.ftruncate(file, PERIOD)
        for start in range(0, size - TAIL, PERIOD):
            _map(base + start, min(PERIOD, size - TAIL - start), SHARED, file)
        os.close(file)
    libc.madvise(ctypes.c_void_p(base), ctypes.c_size_t(size - TAIL), MADV_HUGEPAGE)
    # The array ends with its last page.
    memory = (ctypes.c_char * size).from_address(base)
    weakref.finalize(memory, libc.munmap, ctypes.c_void_p(reserved), ctypes.c_size_t(size + HUGE_PAGE))
    return np.frombuffer(memory, np.float32)[size // 4 - n :].reshape(shape)
