# Runs of elements: filled, copied, fetched ahead, stored past the caches. What many kernels do to a row of pixels.
#
# A store to a line that is in no cache reads it first, which is a third of what an activation moves. An array that is larger than the last
# cache would not be there for its reader anyway: it is stored past the caches, with the same bits.

cdef inline void fill_elements(real* y, Py_ssize_t n, real value) noexcept nogil:
    cdef Py_ssize_t i
    for i from 0 <= i < n by LANES:
        vstore_upto(y + i, vset(value), n - i)


cdef inline void copy_row(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i = 0
    while i + LANES <= n:
        vstore(y + i, vload(x + i))
        i += LANES
    if i < n:
        vstore_n(y + i, vload_n(x + i, n - i), n - i)


cdef inline void copy_between_zeros(const real* x, Py_ssize_t n, real* y, Py_ssize_t left, Py_ssize_t right) noexcept nogil:
    """n elements behind `left` zeros and before `right` of them."""
    fill_elements(y, left, 0)
    copy_row(x, y + left, n)
    fill_elements(y + left + n, right, 0)


cdef enum:
    STREAMED = 1 << 25          # bytes of an array from which it is stored past the caches


cdef inline bint is_streamed(const void* y, Py_ssize_t n) noexcept nogil:
    """Whether an array of n elements, none of which has just been read, is stored past the caches."""
    return n >= STREAMED // <Py_ssize_t>sizeof(real) and <size_t>y % (LANES * sizeof(real)) == 0


cdef inline Py_ssize_t begin_of_vector(Py_ssize_t c, Py_ssize_t C) noexcept nogil:
    """Where to read a vector of C channels that is to begin at c: the last one earlier, so that it is whole, if C allows."""
    return c if c + LANES <= C else max(C - LANES, <Py_ssize_t>0)


cdef inline void store_or_stream(bint streamed, real* y, vf v, Py_ssize_t n) noexcept nogil:
    """n lanes, or all; where they are streamed, y is at a whole vector of the array."""
    if streamed and n >= LANES:
        vstream(y, v)
    else:
        vstore_upto(y, v, n)


cdef inline void stream_row(const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i from 0 <= i < n by LANES:
        store_or_stream(True, y + i, vload_upto(x + i, n - i), n - i)


cdef inline void prefetch_elements(const real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i from 0 <= i < n by 64 // sizeof(real):
        prefetch(x + i)
