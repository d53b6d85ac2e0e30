# Root mean square normalization: each row of a matrix by the root of its mean square, forward and backward.
#
#   forward    inverse_rms = 1 / sqrt(mean(x^2) + epsilon);  y = x inverse_rms gamma
#   backward   g = dy gamma;  dx = inverse_rms (g - x inverse_rms^2 mean(g x));  dgamma = sum over rows of dy x inverse_rms
#
# rows cols      of x, y, dy, dx, contiguous                gamma  in [cols], or NULL for ones
# inverse_rms    forward: out, backward: in [rows]          y may be x, and dx may be dy
# dx dgamma      out, or NULL if not wanted; accumulate_gamma: += instead of =
#
# Algorithm: a row is read twice, from L1 or L2 but for the first. Backward: its sum of g x, then dx and its
# share of dgamma, added to that of its chunk of 32 rows; phase 2 joins the chunks.
#
# Order of summation: along a row four vectors of sums over 4096 columns, then those blocks in double; along the columns
# rows of a chunk in order, then chunks in order in double. Threads take whole rows (forward), chunks (backward),
# blocks of 16 columns (phase 2).
#
# Shared: shares of dgamma of each chunk, if it is wanted.
#
# Source: Zhang & Sennrich 2019, with PyTorch's epsilon.

cdef struct RmsNormForwardArgs:
    const real* x
    const real* gamma
    real* y
    real* inverse_rms
    Py_ssize_t rows
    Py_ssize_t cols
    double epsilon

cdef struct RmsNormBackwardArgs:
    const real* x
    const real* dy
    const real* gamma
    const real* inverse_rms
    real* dx
    real* dgamma
    real* shared
    Py_ssize_t rows
    Py_ssize_t cols
    Py_ssize_t accumulate_gamma


# --- forward ------------------------------------------------------------------------------------

cdef void rms_norm_forward(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RmsNormForwardArgs* g = <const RmsNormForwardArgs*>args
    cdef Py_ssize_t row, j
    cdef const real* x
    cdef real* y
    cdef double total
    cdef vf inverse
    for row in range(thread * g.rows // n_threads, (thread + 1) * g.rows // n_threads):
        x = g.x + row * g.cols
        y = g.y + row * g.cols
        total = 0
        for j from 0 <= j < g.cols by LAYER_NORM_COLUMNS:
            total = total + block_deviation(x + j, min(g.cols - j, <Py_ssize_t>LAYER_NORM_COLUMNS), vzero())
        g.inverse_rms[row] = <real>(1 / sqrt(total / g.cols + g.epsilon))
        inverse = vset(g.inverse_rms[row])
        for j from 0 <= j < g.cols by LANES:
            vstore_upto(y + j, vload_upto(x + j, g.cols - j) * inverse * load_or(g.gamma, <real>1, j, g.cols - j), g.cols - j)


# --- backward -----------------------------------------------------------------------------------

cdef inline Py_ssize_t rms_norm_chunks(const RmsNormBackwardArgs* g) noexcept nogil:
    return (g.rows + LAYER_NORM_ROWS - 1) // LAYER_NORM_ROWS


cdef Py_ssize_t rms_norm_backward_shared(const void* args) noexcept nogil:
    cdef const RmsNormBackwardArgs* g = <const RmsNormBackwardArgs*>args
    return 0 if g.dgamma == NULL else rms_norm_chunks(g) * g.cols * sizeof(real)


cdef inline vf scaled_part(const real* dy, const real* gamma, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    return vload_upto(dy + j, n) if gamma == NULL else vload_upto(dy + j, n) * vload_upto(gamma + j, n)


cdef double row_product(const real* x, const real* dy, const real* gamma, Py_ssize_t n) noexcept nogil:
    """Sum of dy gamma x."""
    cdef vf sums[4]
    cdef double total = 0
    cdef Py_ssize_t first, j, end
    cdef int i
    for first from 0 <= first < n by LAYER_NORM_COLUMNS:
        end = min(first + LAYER_NORM_COLUMNS, n)
        for i in range(4):
            sums[i] = vzero()
        j = first
        while j + 4 * LANES <= end:
            for i in range(4):
                sums[i] = vfma(scaled_part(dy, gamma, j + i * LANES, LANES), vload(x + j + i * LANES), sums[i])
            j += 4 * LANES
        while j < end:
            sums[0] = vfma(scaled_part(dy, gamma, j, end - j), vload_upto(x + j, end - j), sums[0])
            j += LANES
        total = total + sum_of_four(sums)
    return total


cdef inline void rms_row(bint first, const RmsNormBackwardArgs* g, Py_ssize_t row, real* share) noexcept nogil:
    """dx of a row, and its terms of dgamma, added to the share unless it is the chunk's first."""
    cdef const real* x = g.x + row * g.cols
    cdef const real* dy = g.dy + row * g.cols
    cdef real* dx = <real*>advanced(g.dx, row * g.cols)
    cdef double inverse = g.inverse_rms[row]
    cdef vf scale = vset(g.inverse_rms[row]), slope = vzero(), v, d
    cdef Py_ssize_t j, n
    if dx != NULL:
        slope = vset(<real>(-row_product(x, dy, g.gamma, g.cols) * inverse * inverse / g.cols))
    for j from 0 <= j < g.cols by LANES:
        n = g.cols - j
        v = vload_upto(x + j, n)
        d = vload_upto(dy + j, n)
        if share != NULL:
            if first:
                vstore_upto(share + j, d * (v * scale), n)
            else:
                vstore_upto(share + j, vfma(d, v * scale, vload_upto(share + j, n)), n)
        if dx != NULL:
            if g.gamma != NULL:
                d = d * vload_upto(g.gamma + j, n)
            vstore_upto(dx + j, scale * vfma(v, slope, d), n)


cdef void rms_norm_backward_rows(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RmsNormBackwardArgs* g = <const RmsNormBackwardArgs*>args
    cdef Py_ssize_t chunks = rms_norm_chunks(g)
    cdef Py_ssize_t chunk, row
    cdef real* share
    for chunk in range(thread * chunks // n_threads, (thread + 1) * chunks // n_threads):
        share = NULL if g.dgamma == NULL else g.shared + chunk * g.cols
        rms_row(True, g, chunk * LAYER_NORM_ROWS, share)
        for row in range(chunk * LAYER_NORM_ROWS + 1, min((chunk + 1) * LAYER_NORM_ROWS, g.rows)):
            rms_row(False, g, row, share)


cdef void rms_norm_backward_join(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RmsNormBackwardArgs* g = <const RmsNormBackwardArgs*>args
    cdef Py_ssize_t blocks = (g.cols + NORM_JOINED - 1) // NORM_JOINED
    cdef Py_ssize_t block, width
    if g.dgamma == NULL:
        return
    for block in range(thread * blocks // n_threads, (thread + 1) * blocks // n_threads):
        width = min(g.cols - block * NORM_JOINED, <Py_ssize_t>NORM_JOINED)
        join_columns(g.shared, rms_norm_chunks(g), g.cols, g.dgamma, g.accumulate_gamma, block * NORM_JOINED, width)
