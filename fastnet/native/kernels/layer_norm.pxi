# Layer normalization: each row of a matrix by its own mean and variance, forward and backward.
#
#   forward    inverse_std = 1 / sqrt(variance + epsilon);  y = (x - mean) inverse_std gamma + beta
#   backward   x^ = (x - mean) inverse_std;  g = dy gamma
#              dx = inverse_std (g - mean(g) - x^ mean(g x^));  dgamma = sum over rows of dy x^;  dbeta = sum dy
#
# rows cols      of x, y, dy, dx, contiguous                gamma beta  in [cols], or NULL for ones and zeros
# mean inverse_std    forward: out, backward: in [rows]     y may be x, and dx may be dy
# dx dgamma dbeta     out, or NULL if not wanted; accumulate_gamma, accumulate_beta: += instead of =
#
# Algorithm: a row is read three times, from L1 or L2 but for the first: its mean, its squared deviations
# from that, y. Backward: the two means of a row, then dx, and its shares of dgamma and dbeta
# added to those of its chunk of 32 rows; phase 2 joins the chunks.
#
# Order of summation: along a row four vectors of sums (backward two) over 4096 columns, then those blocks in double; along the
# columns rows of a chunk in order, then chunks in order in double. Threads take whole blocks of rows (forward),
# chunks (backward), blocks of 16 columns (phase 2).
#
# Shared: shares of dgamma and dbeta of each chunk, if one of them is wanted.
#
# Source: Ba, Kiros, Hinton 2016, with PyTorch's conventions.

cdef enum:
    LAYER_NORM_ROWS = 32        # of a chunk
    LAYER_NORM_COLUMNS = 4096   # summed in `real`

cdef struct LayerNormForwardArgs:
    const real* x
    const real* gamma
    const real* beta
    real* y
    real* mean
    real* inverse_std
    Py_ssize_t rows
    Py_ssize_t cols
    double epsilon

cdef struct LayerNormBackwardArgs:
    const real* x
    const real* dy
    const real* gamma
    const real* mean
    const real* inverse_std
    real* dx
    real* dgamma
    real* dbeta
    real* shared
    Py_ssize_t rows
    Py_ssize_t cols
    Py_ssize_t accumulate_gamma
    Py_ssize_t accumulate_beta


cdef inline real sum_of_four(vf* sums) noexcept nogil:
    return vsum((sums[0] + sums[2]) + (sums[1] + sums[3]))


# --- forward ------------------------------------------------------------------------------------

cdef real block_sum(const real* x, Py_ssize_t n) noexcept nogil:
    cdef vf sums[4]
    cdef Py_ssize_t j = 0
    cdef int i
    for i in range(4):
        sums[i] = vzero()
    while j + 4 * LANES <= n:
        for i in range(4):
            sums[i] = sums[i] + vload(x + j + i * LANES)
        j += 4 * LANES
    while j < n:
        sums[0] = sums[0] + vload_upto(x + j, n - j)
        j += LANES
    return sum_of_four(sums)


cdef real block_deviation(const real* x, Py_ssize_t n, vf mean) noexcept nogil:
    """Sum of (x - mean)^2."""
    cdef vf sums[4]
    cdef vf d
    cdef Py_ssize_t j = 0
    cdef int i
    for i in range(4):
        sums[i] = vzero()
    while j + 4 * LANES <= n:
        for i in range(4):
            d = vload(x + j + i * LANES) - mean
            sums[i] = vfma(d, d, sums[i])
        j += 4 * LANES
    while j < n:
        d = vload_upto(x + j, n - j) - mean
        d = vfirst(d, min(n - j, <Py_ssize_t>LANES))
        sums[0] = vfma(d, d, sums[0])
        j += LANES
    return sum_of_four(sums)


cdef inline void row_normalize_part(const LayerNormForwardArgs* g, Py_ssize_t row, Py_ssize_t j, vf mean, vf inverse,
                                    Py_ssize_t n) noexcept nogil:
    cdef vf v = (vload_upto(g.x + row * g.cols + j, n) - mean) * inverse
    if g.gamma != NULL:
        v = v * vload_upto(g.gamma + j, n)
    if g.beta != NULL:
        v = v + vload_upto(g.beta + j, n)
    vstore_upto(g.y + row * g.cols + j, v, n)


cdef void layer_norm_forward(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const LayerNormForwardArgs* g = <const LayerNormForwardArgs*>args
    cdef Py_ssize_t row, j
    cdef const real* x
    cdef double total
    cdef vf mean, inverse
    for row in range(thread * g.rows // n_threads, (thread + 1) * g.rows // n_threads):
        x = g.x + row * g.cols
        total = 0
        for j from 0 <= j < g.cols by LAYER_NORM_COLUMNS:
            total = total + block_sum(x + j, min(g.cols - j, <Py_ssize_t>LAYER_NORM_COLUMNS))
        g.mean[row] = <real>(total / g.cols)
        mean = vset(g.mean[row])
        total = 0
        for j from 0 <= j < g.cols by LAYER_NORM_COLUMNS:
            total = total + block_deviation(x + j, min(g.cols - j, <Py_ssize_t>LAYER_NORM_COLUMNS), mean)
        g.inverse_std[row] = <real>(1 / sqrt(total / g.cols + g.epsilon))
        inverse = vset(g.inverse_std[row])
        for j from 0 <= j <= g.cols - LANES by LANES:
            row_normalize_part(g, row, j, mean, inverse, LANES)
        j = g.cols // LANES * LANES
        if j < g.cols:
            row_normalize_part(g, row, j, mean, inverse, g.cols - j)


# --- backward -----------------------------------------------------------------------------------

cdef inline Py_ssize_t layer_norm_chunks(const LayerNormBackwardArgs* g) noexcept nogil:
    return (g.rows + LAYER_NORM_ROWS - 1) // LAYER_NORM_ROWS


cdef Py_ssize_t layer_norm_backward_shared(const void* args) noexcept nogil:
    cdef const LayerNormBackwardArgs* g = <const LayerNormBackwardArgs*>args
    if g.dgamma == NULL and g.dbeta == NULL:
        return 0
    return 2 * layer_norm_chunks(g) * g.cols * sizeof(real)


cdef inline vf gradient_part(const LayerNormBackwardArgs* g, const real* dy, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    return vload_upto(dy + j, n) if g.gamma == NULL else vload_upto(dy + j, n) * vload_upto(g.gamma + j, n)


cdef void row_sums(const LayerNormBackwardArgs* g, Py_ssize_t row, double* plain, double* weighted) noexcept nogil:
    """Sums over a row of g and of g (x - mean)."""
    cdef const real* x = g.x + row * g.cols
    cdef const real* dy = g.dy + row * g.cols
    cdef vf mean = vset(g.mean[row])
    cdef vf p[2]
    cdef vf w[2]
    cdef vf v
    cdef Py_ssize_t first, j, end, n
    cdef int i
    plain[0] = 0
    weighted[0] = 0
    for first from 0 <= first < g.cols by LAYER_NORM_COLUMNS:
        end = min(first + LAYER_NORM_COLUMNS, g.cols)
        for i in range(2):
            p[i] = vzero()
            w[i] = vzero()
        j = first
        while j + 2 * LANES <= end:
            for i in range(2):
                v = gradient_part(g, dy, j + i * LANES, LANES)
                p[i] = p[i] + v
                w[i] = vfma(v, vload(x + j + i * LANES) - mean, w[i])
            j += 2 * LANES
        while j < end:
            n = min(end - j, <Py_ssize_t>LANES)
            v = gradient_part(g, dy, j, n)
            p[0] = p[0] + v
            w[0] = vfma(v, vfirst(vload_upto(x + j, n) - mean, n), w[0])
            j += LANES
        plain[0] = plain[0] + vsum(p[0] + p[1])
        weighted[0] = weighted[0] + vsum(w[0] + w[1])


cdef inline void row_dx_part(const LayerNormBackwardArgs* g, Py_ssize_t row, Py_ssize_t j, vf constant, vf slope,
                             Py_ssize_t n) noexcept nogil:
    cdef vf d = gradient_part(g, g.dy + row * g.cols, j, n) - constant
    d = vfma(vload_upto(g.x + row * g.cols + j, n) - vset(g.mean[row]), slope, d)
    vstore_upto(g.dx + row * g.cols + j, vset(g.inverse_std[row]) * d, n)


cdef void row_dx(const LayerNormBackwardArgs* g, Py_ssize_t row) noexcept nogil:
    cdef double plain, weighted
    cdef double inverse = g.inverse_std[row]
    cdef vf constant, slope
    cdef Py_ssize_t j
    row_sums(g, row, &plain, &weighted)
    constant = vset(<real>(plain / g.cols))
    slope = vset(<real>(-weighted * inverse * inverse / g.cols))
    for j from 0 <= j <= g.cols - LANES by LANES:
        row_dx_part(g, row, j, constant, slope, LANES)
    j = g.cols // LANES * LANES
    if j < g.cols:
        row_dx_part(g, row, j, constant, slope, g.cols - j)


cdef inline void share_part(const LayerNormBackwardArgs* g, Py_ssize_t row, Py_ssize_t j, real* gamma_share,
                            real* beta_share, bint first, Py_ssize_t n) noexcept nogil:
    cdef vf dy = vload_upto(g.dy + row * g.cols + j, n)
    cdef vf normalized = (vload_upto(g.x + row * g.cols + j, n) - vset(g.mean[row])) * vset(g.inverse_std[row])
    cdef vf share = vzero() if first else vload_upto(gamma_share + j, n)
    vstore_upto(gamma_share + j, vfma(dy, normalized, share), n)
    share = vzero() if first else vload_upto(beta_share + j, n)
    vstore_upto(beta_share + j, share + dy, n)


cdef void row_shares(const LayerNormBackwardArgs* g, Py_ssize_t row, real* gamma_share, bint first) noexcept nogil:
    """Add a row's terms of dgamma and dbeta to those of its chunk."""
    cdef real* beta_share = gamma_share + layer_norm_chunks(g) * g.cols
    cdef Py_ssize_t j
    for j from 0 <= j <= g.cols - LANES by LANES:
        share_part(g, row, j, gamma_share, beta_share, first, LANES)
    j = g.cols // LANES * LANES
    if j < g.cols:
        share_part(g, row, j, gamma_share, beta_share, first, g.cols - j)


cdef void layer_norm_backward_rows(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const LayerNormBackwardArgs* g = <const LayerNormBackwardArgs*>args
    cdef Py_ssize_t chunks = layer_norm_chunks(g)
    cdef Py_ssize_t chunk, row
    cdef bint shares = g.dgamma != NULL or g.dbeta != NULL
    for chunk in range(thread * chunks // n_threads, (thread + 1) * chunks // n_threads):
        for row in range(chunk * LAYER_NORM_ROWS, min((chunk + 1) * LAYER_NORM_ROWS, g.rows)):
            # Before dx, which may be written over dy.
            if shares:
                row_shares(g, row, g.shared + chunk * g.cols, row == chunk * LAYER_NORM_ROWS)
            if g.dx != NULL:
                row_dx(g, row)


cdef void join_columns(const real* shares, Py_ssize_t chunks, Py_ssize_t cols, real* out, bint accumulate,
                       Py_ssize_t first, Py_ssize_t width) noexcept nogil:
    cdef double total[NORM_JOINED]
    cdef const real* p
    cdef Py_ssize_t k, c
    memset(total, 0, sizeof(total))
    for k in range(chunks):
        p = shares + k * cols + first
        for c in range(width):
            total[c] = total[c] + p[c]
    for c in range(width):
        put(out + first + c, total[c], accumulate)


cdef void layer_norm_backward_join(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const LayerNormBackwardArgs* g = <const LayerNormBackwardArgs*>args
    cdef Py_ssize_t chunks = layer_norm_chunks(g)
    cdef Py_ssize_t blocks = (g.cols + NORM_JOINED - 1) // NORM_JOINED
    cdef Py_ssize_t block, width
    for block in range(thread * blocks // n_threads, (thread + 1) * blocks // n_threads):
        width = min(g.cols - block * NORM_JOINED, <Py_ssize_t>NORM_JOINED)
        if g.dgamma != NULL:
            join_columns(g.shared, chunks, g.cols, g.dgamma, g.accumulate_gamma, block * NORM_JOINED, width)
        if g.dbeta != NULL:
            join_columns(g.shared + chunks * g.cols, chunks, g.cols, g.dbeta, g.accumulate_beta,
                         block * NORM_JOINED, width)
