# Blocks of memory that kernels work in: zeroed, touched, 64-byte aligned, on huge
# pages where they are large. A NumPy view (`np.frombuffer(block, ...)`) owns a
# reference to its block, so that a block lives as long as anyone can see it.

from cpython.buffer cimport PyBuffer_FillInfo

cdef extern from "platform.h" nogil:
    void* fn_allocate(size_t size)
    void fn_free(void* p)


cdef class Block:
    """`size` bytes."""

    def __cinit__(self, Py_ssize_t size):
        if size < 0:
            raise ValueError(f"size must not be negative, got {size}")
        with nogil:
            self.data = <char*>fn_allocate(<size_t>size)
        if self.data == NULL:
            raise MemoryError(f"cannot allocate {size:,} bytes")
        self.size = size

    def __dealloc__(self):
        fn_free(self.data)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data, self.size, 0, flags)

    def __len__(self):
        return self.size

    @property
    def address(self):
        return <size_t>self.data
