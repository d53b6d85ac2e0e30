# The pixels of each sample times one row of factors, forward and backward: the gates of squeeze-and-excitation.
#
#   forward    y = x w, w the same for all rows of a sample
#   backward   dx = dy w;  dw = sum over the rows of a sample of dy x
#
# batch rows channels    x, y, dy, dx [batch, rows, channels], contiguous      w dw  [batch, channels]
# dx dw                  out, or NULL if not wanted                            y may be x, and dx may be dy
#
# Order of summation: eight rows, even and odd ones by themselves; those sums in double. Threads take whole rows of all
# samples (forward), blocks of 256 channels of a sample (backward).
#
# Source: Hu, Shen, Sun 2018, "Squeeze-and-excitation networks".

cdef enum:
    MULTIPLIED = 256            # channels of a block

cdef struct MultiplyRowsArgs:
    const real* x
    const real* w
    real* y
    Py_ssize_t batch
    Py_ssize_t rows
    Py_ssize_t channels

cdef struct MultiplyRowsBackwardArgs:
    const real* x
    const real* w
    const real* dy
    real* dx
    real* dw
    Py_ssize_t batch
    Py_ssize_t rows
    Py_ssize_t channels


cdef void multiply_rows(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const MultiplyRowsArgs* g = <const MultiplyRowsArgs*>args
    cdef Py_ssize_t row = thread * g.batch * g.rows // n_threads
    cdef Py_ssize_t end = (thread + 1) * g.batch * g.rows // n_threads
    cdef Py_ssize_t sample_end, j, n
    cdef const real* x
    cdef const real* w
    cdef real* y
    while row < end:
        w = g.w + row // g.rows * g.channels
        sample_end = min(end, (row // g.rows + 1) * g.rows)
        while row < sample_end:
            x = g.x + row * g.channels
            y = g.y + row * g.channels
            for j from 0 <= j < g.channels by LANES:
                n = g.channels - j
                vstore_upto(y + j, vload_upto(x + j, n) * vload_upto(w + j, n), n)
            row += 1


cdef inline void multiply_rows_part(int h, const MultiplyRowsBackwardArgs* g, Py_ssize_t at, vf w, double* total,
                                    Py_ssize_t n) noexcept nogil:
    """h rows of one vector of channels: dx, and the sum of dy x, added to `total`."""
    cdef vf sums[2]
    cdef vf dy
    cdef int i
    sums[0] = vzero()
    sums[1] = vzero()
    for i in range(h):
        dy = vload_upto(g.dy + at, n)
        sums[i % 2] = vfma(dy, vload_upto(g.x + at, n), sums[i % 2])
        if g.dx != NULL:
            vstore_upto(g.dx + at, dy * w, n)
        at += g.channels
    add_wide(total, sums[0] + sums[1])


cdef inline void multiply_rows_block(int h, const MultiplyRowsBackwardArgs* g, Py_ssize_t at, const real* w, double* total,
                                     Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t j = 0
    while j + LANES <= width:
        multiply_rows_part(h, g, at + j, vload(w + j), total + j, LANES)
        j += LANES
    if j < width:
        multiply_rows_part(h, g, at + j, vload_n(w + j, width - j), total + j, width - j)


cdef void multiply_rows_backward(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const MultiplyRowsBackwardArgs* g = <const MultiplyRowsBackwardArgs*>args
    cdef Py_ssize_t across = (g.channels + MULTIPLIED - 1) // MULTIPLIED
    cdef Py_ssize_t unit, sample, first, width, r, j, at
    cdef const real* w
    cdef double total[MULTIPLIED]
    for unit in range(thread * g.batch * across // n_threads, (thread + 1) * g.batch * across // n_threads):
        sample = unit // across
        first = unit % across * MULTIPLIED
        width = min(g.channels - first, <Py_ssize_t>MULTIPLIED)
        w = g.w + sample * g.channels + first
        at = sample * g.rows * g.channels + first
        memset(total, 0, sizeof(total))
        for r from 0 <= r <= g.rows - SUMMED_ROWS by SUMMED_ROWS:
            multiply_rows_block(SUMMED_ROWS, g, at + r * g.channels, w, total, width)
        for r in range(g.rows // SUMMED_ROWS * SUMMED_ROWS, g.rows):
            multiply_rows_block(1, g, at + r * g.channels, w, total, width)
        if g.dw != NULL:
            for j in range(width):
                g.dw[sample * g.channels + first + j] = <real>total[j]
