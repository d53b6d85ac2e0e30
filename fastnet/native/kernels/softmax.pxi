# softmax and log_softmax over the last axis, forward and backward; and what losses need of one row.
#
#   y = e^(x - max x) / S                       S = sum e^(x - max x)          dx = y (dy - sum dy y)
#   y = (x - max x) - log S                                                    dx = dy - e^y sum dy
#
# x, y, dy, dx  [rows, cols], contiguous; x and y may be the same memory, and so may dy and dx
#
# A row of any length goes through the same code: vectors, the last one filled up with -Inf, whose exponential is
# 0 (dy and y: with 0). Entries of -Inf are legal. A NaN, a +Inf, or nothing but -Inf in a row makes all of it NaN.
#
# Order of summation: LANES interleaved sums, then a tree over the lanes; it depends on `cols` alone.
# Threads take whole groups of rows, of some 4096 elements.

cdef struct RowwiseArgs:
    const real* x
    real* y
    Py_ssize_t rows
    Py_ssize_t cols

cdef struct RowwiseBackwardArgs:
    const real* y
    const real* dy
    real* dx
    Py_ssize_t rows
    Py_ssize_t cols


# --- one row: results are in every lane ---------------------------------------------------------------

cdef inline vf load_filled(const real* x, Py_ssize_t n) noexcept nogil:
    return vload(x) if n >= LANES else vload_or(x, n, -<real>INFINITY)


cdef inline vf row_max(const real* x, Py_ssize_t n) noexcept nogil:
    """The greatest of n numbers; anything where there is a NaN."""
    cdef vf most = vset(-<real>INFINITY)
    cdef Py_ssize_t i
    for i from 0 <= i < n by LANES:
        most = vmax(load_filled(x + i, n - i), most)
    return vmax_lanes(most)


cdef inline vf row_exp(const real* x, vf most, real* y, Py_ssize_t n) noexcept nogil:
    """y = e^(x - most), and their sum; y may be NULL or x."""
    cdef vf total = vzero()
    cdef Py_ssize_t i
    cdef vf v
    for i from 0 <= i < n by LANES:
        v = vexp(load_filled(x + i, n - i) - most)
        total = total + v
        if y != NULL:
            vstore_upto(y + i, v, n - i)
    return vsum_lanes(total)


cdef inline vf row_log_sum_exp(const real* x, Py_ssize_t n, vf* most) noexcept nogil:
    """log sum e^(x - most), with most = max x."""
    most[0] = row_max(x, n)
    return vlog(row_exp(x, most[0], NULL, n))


# --- kernels ----------------------------------------------------------------------------------------

cdef inline Py_ssize_t row_start(Py_ssize_t rows, Py_ssize_t cols, int thread, int n_threads) noexcept nogil:
    """Where a thread's share of the rows begins; that of thread + 1 is where it ends."""
    cdef Py_ssize_t group = max(ELEMENTWISE_BLOCK // max(cols, 1), 1)
    return min((rows + group - 1) // group * thread // n_threads * group, rows)


cdef void softmax(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RowwiseArgs* g = <const RowwiseArgs*>args
    cdef Py_ssize_t r, i, n = g.cols
    cdef const real* x
    cdef real* y
    cdef vf scale
    for r in range(row_start(g.rows, n, thread, n_threads), row_start(g.rows, n, thread + 1, n_threads)):
        x = g.x + r * n
        y = g.y + r * n
        scale = vset(<real>1) / row_exp(x, row_max(x, n), y, n)
        for i from 0 <= i < n by LANES:
            vstore_upto(y + i, vload_upto(y + i, n - i) * scale, n - i)


cdef void log_softmax(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RowwiseArgs* g = <const RowwiseArgs*>args
    cdef Py_ssize_t r, i, n = g.cols
    cdef const real* x
    cdef real* y
    cdef vf most, log_sum
    for r in range(row_start(g.rows, n, thread, n_threads), row_start(g.rows, n, thread + 1, n_threads)):
        x = g.x + r * n
        y = g.y + r * n
        log_sum = row_log_sum_exp(x, n, &most)
        for i from 0 <= i < n by LANES:
            vstore_upto(y + i, (vload_upto(x + i, n - i) - most) - log_sum, n - i)


cdef void softmax_backward(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RowwiseBackwardArgs* g = <const RowwiseBackwardArgs*>args
    cdef Py_ssize_t r, i, n = g.cols
    cdef const real* y
    cdef const real* dy
    cdef real* dx
    cdef vf total
    for r in range(row_start(g.rows, n, thread, n_threads), row_start(g.rows, n, thread + 1, n_threads)):
        y = g.y + r * n
        dy = g.dy + r * n
        dx = g.dx + r * n
        total = vzero()
        for i from 0 <= i < n by LANES:
            total = vfma(vload_upto(dy + i, n - i), vload_upto(y + i, n - i), total)
        total = vsum_lanes(total)
        for i from 0 <= i < n by LANES:
            vstore_upto(dx + i, (vload_upto(dy + i, n - i) - total) * vload_upto(y + i, n - i), n - i)


cdef void log_softmax_backward(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RowwiseBackwardArgs* g = <const RowwiseBackwardArgs*>args
    cdef Py_ssize_t r, i, n = g.cols
    cdef const real* y
    cdef const real* dy
    cdef real* dx
    cdef vf total
    for r in range(row_start(g.rows, n, thread, n_threads), row_start(g.rows, n, thread + 1, n_threads)):
        y = g.y + r * n
        dy = g.dy + r * n
        dx = g.dx + r * n
        total = vzero()
        for i from 0 <= i < n by LANES:
            total = total + vload_upto(dy + i, n - i)
        total = vneg(vsum_lanes(total))
        for i from 0 <= i < n by LANES:
            vstore_upto(dx + i, vfma(vexp(vload_upto(y + i, n - i)), total, vload_upto(dy + i, n - i)), n - i)
