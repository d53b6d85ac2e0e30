# Runs of elements: filled, copied, fetched ahead. What many kernels do to a row of pixels.

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


cdef inline void prefetch_elements(const real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i from 0 <= i < n by 64 // sizeof(real):
        prefetch(x + i)
