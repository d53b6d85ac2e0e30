# Batch normalization over the rows of a matrix, backward.
#
#   backward            dbeta = sum dy;  dgamma = sum dy x^  with  x^ = (x - mean) inverse_std
#                       dx = gamma inverse_std (dy - mean(dy) - x^ mean(dy x^))
#   inference_backward  the statistics are constants: dx = gamma dy / sqrt(running_var + epsilon);
#                       dgamma and dbeta as above, with x^ from the running statistics
#
# rows channels   of x, dy, dx                              gamma  in [channels], or NULL for ones
# mean inverse_std running_mean running_var                 in [channels]
# dx              out, or NULL if not wanted; it may be dy
# dgamma dbeta    out [channels], or NULL; accumulate_gamma, accumulate_beta: += instead of =
# x running_mean  of inference_backward: NULL where dgamma is
#
# Algorithm: the tiles of norm.pxi. Phase 1: sums of dy and of dy (x - mean) in each tile. Phase 2: of
# all rows. Phase 3: dx, from the two totals. With constant statistics dx comes along in phase 1.
#
# Order of summation: four rows, groups of four of a tile, tiles, in order; tiles in double. It depends on the
# shape alone; threads take whole tiles, in phase 2 whole blocks of 16 channels.
#
# Shared: two sums of each tile and channel; mean(dy) and inverse_std mean(dy x^) of each channel.
#
# Source: Ioffe & Szegedy 2015, section 3.

cdef struct BatchNormBackwardArgs:
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
    Py_ssize_t channels
    Py_ssize_t accumulate_gamma
    Py_ssize_t accumulate_beta

cdef struct BatchNormInferenceBackwardArgs:
    const real* dy
    const real* gamma
    const real* running_var
    const real* x
    const real* running_mean
    real* dx
    real* dgamma
    real* dbeta
    real* shared
    Py_ssize_t rows
    Py_ssize_t channels
    Py_ssize_t accumulate_gamma
    Py_ssize_t accumulate_beta
    double epsilon


cdef inline Py_ssize_t norm_sums_bytes(Py_ssize_t rows, Py_ssize_t channels) noexcept nogil:
    cdef NormTile m = norm_tiles(rows, channels)
    return 2 * (m.down + 1) * channels * sizeof(real)


cdef Py_ssize_t batch_norm_backward_shared(const void* args) noexcept nogil:
    cdef const BatchNormBackwardArgs* b = <const BatchNormBackwardArgs*>args
    return norm_sums_bytes(b.rows, b.channels)


cdef Py_ssize_t batch_norm_inference_backward_shared(const void* args) noexcept nogil:
    cdef const BatchNormInferenceBackwardArgs* b = <const BatchNormInferenceBackwardArgs*>args
    return norm_sums_bytes(b.rows, b.channels)


# --- phase 1: sums of each tile -----------------------------------------------------------------

cdef inline void sums_part(int g, const NormTile* t, Py_ssize_t r, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    """Of rows r .. r + g: sums of dy and, where there is an x, of dy (x - mean)."""
    cdef real* plain = t.partial + j
    cdef real* weighted = plain + t.down * t.channels
    cdef Py_ssize_t k = r * t.channels + j
    cdef vf p = vload_upto(t.dy + k, n)
    cdef vf w = vzero()
    cdef vf mean
    cdef int i
    if t.x != NULL:
        mean = vload_upto(t.mean + j, n)
        w = p * (vload_upto(t.x + k, n) - mean)
        for i in range(1, g):
            w = vfma(vload_upto(t.dy + k + i * t.channels, n), vload_upto(t.x + k + i * t.channels, n) - mean, w)
    for i in range(1, g):
        p = p + vload_upto(t.dy + k + i * t.channels, n)
    vstore_upto(plain, p if r == 0 else vload_upto(plain, n) + p, n)
    vstore_upto(weighted, w if r == 0 else vload_upto(weighted, n) + w, n)


cdef inline void sums_rows(int g, const NormTile* t, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t j
    for j from 0 <= j <= t.width - LANES by LANES:
        sums_part(g, t, r, j, LANES)
    j = t.width // LANES * LANES
    if j < t.width:
        sums_part(g, t, r, j, t.width - j)


cdef inline void constant_dx_part(int g, const NormTile* t, const real* scale, Py_ssize_t r, Py_ssize_t j,
                                  Py_ssize_t n) noexcept nogil:
    """dx = gamma / std dy."""
    cdef vf scales = vload_upto(scale + j, n)
    cdef Py_ssize_t k = r * t.channels + j
    cdef int i
    for i in range(g):
        vstore_upto(t.out + k, scales * vload_upto(t.dy + k, n), n)
        k += t.channels


cdef inline void constant_dx_rows(int g, const NormTile* t, const real* scale, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t j
    for j from 0 <= j <= t.width - LANES by LANES:
        constant_dx_part(g, t, scale, r, j, LANES)
    j = t.width // LANES * LANES
    if j < t.width:
        constant_dx_part(g, t, scale, r, j, t.width - j)


cdef void sum_tiles(const NormTile* m, bint sums, int thread, int n_threads) noexcept nogil:
    """The sums of each tile, and where there is an `out` dx with constant statistics."""
    cdef real scale[NORM_WIDTH]
    cdef NormTile t
    cdef Py_ssize_t i, r
    for i in range(thread * m.tiles // n_threads, (thread + 1) * m.tiles // n_threads):
        t = tile_at(m, i)
        if t.out != NULL:
            tile_scales(&t, scale)
        for r from 0 <= r <= t.rows - 4 by 4:
            if sums:
                sums_rows(4, &t, r)
            if t.out != NULL:
                constant_dx_rows(4, &t, scale, r)
        for r in range(t.rows // 4 * 4, t.rows):
            if sums:
                sums_rows(1, &t, r)
            if t.out != NULL:
                constant_dx_rows(1, &t, scale, r)


cdef void batch_norm_backward_sums(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const BatchNormBackwardArgs* b = <const BatchNormBackwardArgs*>args
    cdef NormTile m = norm_tiles(b.rows, b.channels)
    m.x = b.x
    m.dy = b.dy
    m.mean = b.mean
    m.partial = b.shared
    sum_tiles(&m, True, thread, n_threads)


cdef void batch_norm_inference_backward_sums(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const BatchNormInferenceBackwardArgs* b = <const BatchNormInferenceBackwardArgs*>args
    cdef NormTile m = norm_tiles(b.rows, b.channels)
    m.x = b.x if b.dgamma != NULL else NULL
    m.dy = b.dy
    m.out = b.dx
    m.gamma = b.gamma
    m.mean = b.running_mean
    m.variance = b.running_var
    m.epsilon = b.epsilon
    m.partial = b.shared
    sum_tiles(&m, b.dgamma != NULL or b.dbeta != NULL, thread, n_threads)


# --- phase 2: of all rows -----------------------------------------------------------------------

cdef inline void put(real* p, double value, bint accumulate) noexcept nogil:
    p[0] = p[0] + <real>value if accumulate else <real>value


cdef void join_sums(const NormTile* m, real* dgamma, real* dbeta, bint accumulate_gamma, bint accumulate_beta,
                    int thread, int n_threads) noexcept nogil:
    """dgamma and dbeta; behind the partial sums, what dx takes from them."""
    cdef Py_ssize_t blocks = (m.channels + NORM_JOINED - 1) // NORM_JOINED
    cdef Py_ssize_t block, first, width, k, c
    cdef const real* p
    cdef const real* w
    cdef real* totals = m.partial + 2 * m.down * m.channels
    cdef double plain[NORM_JOINED]
    cdef double weighted[NORM_JOINED]
    cdef double inverse
    for block in range(thread * blocks // n_threads, (thread + 1) * blocks // n_threads):
        first = block * NORM_JOINED
        width = min(m.channels - first, <Py_ssize_t>NORM_JOINED)
        memset(plain, 0, sizeof(plain))
        memset(weighted, 0, sizeof(weighted))
        for k in range(m.down):
            p = m.partial + k * m.channels + first
            w = p + m.down * m.channels
            for c in range(width):
                plain[c] = plain[c] + p[c]
                weighted[c] = weighted[c] + w[c]
        for c in range(width):
            if m.inverse_std != NULL:
                inverse = m.inverse_std[first + c]
            elif m.variance != NULL:
                inverse = 1 / sqrt(m.variance[first + c] + m.epsilon)
            else:
                inverse = 1
            if dbeta != NULL:
                put(dbeta + first + c, plain[c], accumulate_beta)
            if dgamma != NULL:
                put(dgamma + first + c, weighted[c] * inverse, accumulate_gamma)
            totals[first + c] = <real>(plain[c] / max(m.rows, 1))
            totals[m.channels + first + c] = <real>(weighted[c] * inverse * inverse / max(m.rows, 1))


cdef void batch_norm_backward_join(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const BatchNormBackwardArgs* b = <const BatchNormBackwardArgs*>args
    cdef NormTile m = norm_tiles(b.rows, b.channels)
    m.inverse_std = b.inverse_std
    m.partial = b.shared
    join_sums(&m, b.dgamma, b.dbeta, b.accumulate_gamma, b.accumulate_beta, thread, n_threads)


cdef void batch_norm_inference_backward_join(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const BatchNormInferenceBackwardArgs* b = <const BatchNormInferenceBackwardArgs*>args
    cdef NormTile m = norm_tiles(b.rows, b.channels)
    if b.dgamma == NULL and b.dbeta == NULL:
        return
    m.variance = b.running_var
    m.epsilon = b.epsilon
    m.partial = b.shared
    join_sums(&m, b.dgamma, b.dbeta, b.accumulate_gamma, b.accumulate_beta, thread, n_threads)


# --- phase 3: dx --------------------------------------------------------------------------------

cdef inline void dx_part(int g, const NormTile* t, const real* scale, Py_ssize_t r, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    """out = scale (dy - mean(dy) - (x - mean) slope); `beta` and `variance` hold mean(dy) and the slope."""
    cdef vf mean = vload_upto(t.mean + j, n)
    cdef vf scales = vload_upto(scale + j, n)
    cdef vf constant = vload_upto(t.beta + j, n)
    cdef vf slope = vneg(vload_upto(t.variance + j, n))
    cdef Py_ssize_t k = r * t.channels + j
    cdef vf d
    cdef int i
    for i in range(g):
        d = vfma(vload_upto(t.x + k, n) - mean, slope, vload_upto(t.dy + k, n) - constant)
        vstore_upto(t.out + k, scales * d, n)
        k += t.channels


cdef inline void dx_rows(int g, const NormTile* t, const real* scale, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t j
    for j from 0 <= j <= t.width - LANES by LANES:
        dx_part(g, t, scale, r, j, LANES)
    j = t.width // LANES * LANES
    if j < t.width:
        dx_part(g, t, scale, r, j, t.width - j)


cdef void batch_norm_backward_dx(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const BatchNormBackwardArgs* b = <const BatchNormBackwardArgs*>args
    cdef NormTile m = norm_tiles(b.rows, b.channels)
    cdef NormTile t
    cdef real scale[NORM_WIDTH]
    cdef Py_ssize_t i, r
    if b.dx == NULL:
        return
    m.x = b.x
    m.dy = b.dy
    m.out = b.dx
    m.gamma = b.gamma
    m.mean = b.mean
    m.inverse_std = b.inverse_std
    m.beta = b.shared + 2 * m.down * m.channels
    m.variance = m.beta + m.channels
    for i in range(thread * m.tiles // n_threads, (thread + 1) * m.tiles // n_threads):
        t = tile_at(&m, i)
        tile_scales(&t, scale)
        for r from 0 <= r <= t.rows - 4 by 4:
            dx_rows(4, &t, scale, r)
        for r in range(t.rows // 4 * 4, t.rows):
            dx_rows(1, &t, scale, r)
