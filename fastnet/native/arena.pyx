# Blocks of memory that kernels work in: zeroed, touched, 64-byte aligned, on huge
# pages where they are large. A NumPy view (`np.frombuffer(block, ...)`) owns a
# reference to its block, so that a block lives as long as anyone can see it.
#
# FASTNET_GUARD_PAGES=end (or start) is a mode for tests: every block ends (or starts) exactly where a page begins that
# nobody may touch, and so does all that shares a block otherwise (`native/plan.pyx`, `recording/layout.py`). An access one byte
# past that side is a fault at once. Blocks are then aligned as their size is.

import os

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.pycapsule cimport PyCapsule_New
from libc.string cimport memcpy, memset, strcpy

cdef extern from "platform.h" nogil:
    ctypedef struct fn_guarded:
        size_t size
    void* fn_allocate(size_t size)
    void fn_free(void* p)
    size_t fn_page_size()
    void* fn_allocate_guarded(size_t size, int at_start)
    fn_guarded* fn_guarded_of(void* p)
    void fn_free_guarded(void* p)
    int fn_protect_page(void* p)

cdef extern from *:
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    UNWRITTEN = 0xFF            # bytes of what nobody has written yet: NaN

GUARD_PAGES = os.environ.get("FASTNET_GUARD_PAGES", "")
if GUARD_PAGES not in ("", "end", "start"):
    raise ImportError(f"FASTNET_GUARD_PAGES must be 'end' or 'start'; got {GUARD_PAGES!r}")
if GUARD_PAGES and not fn_page_size():
    raise ImportError("FASTNET_GUARD_PAGES needs a system with mmap")
PAGE = fn_page_size()

cdef bint is_guarded = bool(GUARD_PAGES)
cdef bint at_start = GUARD_PAGES == "start"


cdef class Block:
    """`size` bytes."""

    def __cinit__(self, size):
        if size < 0:
            raise ValueError(f"size must not be negative, got {size}")
        if size <= PY_SSIZE_T_MAX:
            self.size = size
            with nogil:
                if is_guarded:
                    self.data = <char*>fn_allocate_guarded(self.size, at_start)
                else:
                    self.data = <char*>fn_allocate(self.size)
        if self.data == NULL:
            raise MemoryError(f"cannot allocate {size:,} bytes")

    def __dealloc__(self):
        if is_guarded:
            fn_free_guarded(self.data)
        else:
            fn_free(self.data)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data, self.size, 0, flags)

    def __len__(self):
        return self.size

    @property
    def address(self):
        return <size_t>self.data

    def divide(self, pages):
        """Make guards of the pages at some offsets, in a block of whole pages; all others hold NaN until they are written."""
        cdef Py_ssize_t offset
        memset(self.data, UNWRITTEN, self.size)
        for offset in pages:
            if not 0 <= offset <= self.size - <Py_ssize_t>PAGE or fn_protect_page(self.data + offset):
                raise MemoryError(f"cannot protect the page at {offset:,} of {self.size:,} bytes")


# --- the same for NumPy's arrays (NEP 49), in the processes of tests ------------------------------------------------------------

cdef struct NumPyAllocator:             # PyDataMem_Handler, version 1
    char name[127]
    unsigned char version
    void* context
    void* (*allocate)(void*, size_t) noexcept nogil
    void* (*allocate_zeroed)(void*, size_t, size_t) noexcept nogil
    void* (*reallocate)(void*, void*, size_t) noexcept nogil
    void (*release)(void*, void*, size_t) noexcept nogil


cdef void* allocate_array(void* context, size_t size) noexcept nogil:
    cdef void* p = fn_allocate_guarded(size, at_start)
    if p != NULL:
        memset(p, UNWRITTEN, size)
    return p


cdef void* allocate_zeroed_array(void* context, size_t n, size_t size) noexcept nogil:
    if size and n > <size_t>PY_SSIZE_T_MAX // size:
        return NULL
    return fn_allocate_guarded(n * size, at_start)


cdef void* reallocate_array(void* context, void* p, size_t size) noexcept nogil:
    cdef void* moved = allocate_array(context, size)
    if moved != NULL and p != NULL:
        memcpy(moved, p, min(size, fn_guarded_of(p).size))
        fn_free_guarded(p)
    return moved


cdef void release_array(void* context, void* p, size_t size) noexcept nogil:
    fn_free_guarded(p)


cdef NumPyAllocator numpy_allocator
strcpy(numpy_allocator.name, "fastnet guard pages")
numpy_allocator.version = 1
numpy_allocator.allocate = allocate_array
numpy_allocator.allocate_zeroed = allocate_zeroed_array
numpy_allocator.reallocate = reallocate_array
numpy_allocator.release = release_array


def guarded_numpy_allocator():
    """What PyDataMem_SetHandler takes: arrays end at a guard page (or begin behind one, with FASTNET_GUARD_PAGES=start)."""
    return PyCapsule_New(&numpy_allocator, "mem_handler", NULL)
