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
# statistics      in: the sums of dy and of dy (x - mean) in so many parts, from the call that stored dy (batch_statistics.pxi); or NULL
#
# Algorithm: the tiles of norm.pxi. Phase 1: sums of dy and of dy (x - mean) in each tile, where they are not given. Phase 2: of
# all rows. Phase 3: dx, from the two totals; a large one is stored past the caches (elements.pxi). With constant statistics dx comes
# along in phase 1.
#
# Order of summation: of a part as in batch_statistics.pxi; parts in order, in double. It depends on the
# shape alone; threads take whole tiles, in phase 2 whole blocks of 16 channels.
#
# Shared: mean(dy) and inverse_std mean(dy x^) of each channel; behind them the sums, where they are not given.
#
# Source: Ioffe & Szegedy 2015, section 3.

cdef struct BatchNormBackwardArgs:
    const real* x
    const real* dy
    const real* gamma
    const real* mean
    const real* inverse_std
    const real* statistics
    real* dx
    real* dgamma
    real* dbeta
    real* shared
    Py_ssize_t rows
    Py_ssize_t channels
    Py_ssize_t parts
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


cdef Py_ssize_t batch_norm_backward_shared(const void* args) noexcept nogil:
    cdef const BatchNormBackwardArgs* b = <const BatchNormBackwardArgs*>args
    return 2 * b.channels * sizeof(real) + (0 if b.parts else own_statistics_bytes(b.rows, b.channels))


cdef Py_ssize_t batch_norm_inference_backward_shared(const void* args) noexcept nogil:
    cdef const BatchNormInferenceBackwardArgs* b = <const BatchNormInferenceBackwardArgs*>args
    return 2 * b.channels * sizeof(real) + own_statistics_bytes(b.rows, b.channels)


# --- phase 1: sums of each tile -----------------------------------------------------------------

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


cdef void batch_norm_backward_sums(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const BatchNormBackwardArgs* b = <const BatchNormBackwardArgs*>args
    cdef NormTile m = norm_tiles(b.rows, b.channels)
    if b.statistics == NULL:
        collect_tiles(&m, b.shared + 2 * b.channels, b.dy, b.x, b.mean, thread, n_threads)


cdef void batch_norm_inference_backward_sums(const void* args, int thread, int n_threads) noexcept nogil:
    """The sums of each tile, and dx."""
    cdef const BatchNormInferenceBackwardArgs* b = <const BatchNormInferenceBackwardArgs*>args
    cdef NormTile m = norm_tiles(b.rows, b.channels)
    cdef NormTile t
    cdef Collector c = collector_of(b.dy, b.channels, b.shared + 2 * b.channels, b.x if b.dgamma != NULL else NULL, b.running_mean, m.down)
    cdef real scale[NORM_WIDTH]
    cdef Py_ssize_t i, r
    c.backward = True
    m.dy, m.out, m.gamma, m.variance, m.epsilon = b.dy, b.dx, b.gamma, b.running_var, b.epsilon
    for i in range(thread * m.tiles // n_threads, (thread + 1) * m.tiles // n_threads):
        t = tile_at(&m, i)
        if b.dx != NULL:
            tile_scales(&t, scale)
        for r from 0 <= r < t.rows by COLLECTED:
            if b.dgamma != NULL or b.dbeta != NULL:
                collect_tile_rows(&c, &m, i, r, min(t.rows - r, <Py_ssize_t>COLLECTED))
            if b.dx != NULL and r + COLLECTED <= t.rows:
                constant_dx_rows(COLLECTED, &t, scale, r)
        if b.dx != NULL:
            for r in range(t.rows // COLLECTED * COLLECTED, t.rows):
                constant_dx_rows(1, &t, scale, r)


# --- phase 2: of all rows -----------------------------------------------------------------------

cdef inline void put(real* p, double value, bint accumulate) noexcept nogil:
    p[0] = p[0] + <real>value if accumulate else <real>value


cdef void join_sums(const Statistics* s, const real* inverse_std, const real* variance, double epsilon, real* dgamma, real* dbeta,
                    bint accumulate_gamma, bint accumulate_beta, Py_ssize_t rows, Py_ssize_t channels, real* totals, int thread,
                    int n_threads) noexcept nogil:
    """dgamma and dbeta; and in `totals` what dx takes from them."""
    cdef Py_ssize_t blocks = (channels + NORM_JOINED - 1) // NORM_JOINED
    cdef Py_ssize_t block, first, width, k, c
    cdef const real* p
    cdef const real* w
    cdef double plain[NORM_JOINED]
    cdef double weighted[NORM_JOINED]
    cdef double inverse
    for block in range(thread * blocks // n_threads, (thread + 1) * blocks // n_threads):
        first = block * NORM_JOINED
        width = min(channels - first, <Py_ssize_t>NORM_JOINED)
        memset(plain, 0, sizeof(plain))
        memset(weighted, 0, sizeof(weighted))
        for k in range(s.parts):
            p, w = s.first + k * channels + first, s.second + k * channels + first
            if s.counts[k]:
                for c in range(width):
                    plain[c] = plain[c] + p[c]
                    weighted[c] = weighted[c] + w[c]
        for c in range(width):
            if inverse_std != NULL:
                inverse = inverse_std[first + c]
            elif variance != NULL:
                inverse = 1 / sqrt(variance[first + c] + epsilon)
            else:
                inverse = 1
            if dbeta != NULL:
                put(dbeta + first + c, plain[c], accumulate_beta)
            if dgamma != NULL:
                put(dgamma + first + c, weighted[c] * inverse, accumulate_gamma)
            totals[first + c] = <real>(plain[c] / max(rows, 1))
            totals[channels + first + c] = <real>(weighted[c] * inverse * inverse / max(rows, 1))


cdef void batch_norm_backward_join(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const BatchNormBackwardArgs* b = <const BatchNormBackwardArgs*>args
    cdef Statistics s = statistics_of(b.statistics, b.parts, b.shared + 2 * b.channels, b.rows, b.channels)
    join_sums(&s, b.inverse_std, NULL, 0, b.dgamma, b.dbeta, b.accumulate_gamma, b.accumulate_beta, b.rows, b.channels, b.shared,
              thread, n_threads)


cdef void batch_norm_inference_backward_join(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const BatchNormInferenceBackwardArgs* b = <const BatchNormInferenceBackwardArgs*>args
    cdef Statistics s = statistics_of(NULL, 0, b.shared + 2 * b.channels, b.rows, b.channels)
    if b.dgamma != NULL or b.dbeta != NULL:
        join_sums(&s, NULL, b.running_var, b.epsilon, b.dgamma, b.dbeta, b.accumulate_gamma, b.accumulate_beta, b.rows, b.channels,
                  b.shared, thread, n_threads)


# --- phase 3: dx --------------------------------------------------------------------------------

cdef inline void dx_part(int g, const NormTile* t, const real* scale, Py_ssize_t r, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    """out = scale (dy - mean(dy) - (x - mean) slope); `beta` and `variance` hold mean(dy) and the slope."""
    cdef vf mean = vload_upto(t.mean + j, n)
    cdef vf scales = vload_upto(scale + j, n)
    cdef vf constant = vload_upto(t.beta + j, n)
    cdef vf slope = vneg(vload_upto(t.variance + j, n))
    cdef Py_ssize_t k = r * t.channels + j
    # What the stores could change, for all that a compiler knows, is read once.
    cdef const real* x = t.x
    cdef const real* dy = t.dy
    cdef real* out = t.out
    cdef Py_ssize_t channels = t.channels
    cdef bint streamed = t.streamed
    cdef vf d
    cdef int i
    for i in range(g):
        d = vfma(vload_upto(x + k, n) - mean, slope, vload_upto(dy + k, n) - constant)
        store_or_stream(streamed, out + k, scales * d, n)
        k += channels


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
    m.streamed = b.dx != b.dy and streams_rows(&m)
    m.gamma = b.gamma
    m.mean = b.mean
    m.inverse_std = b.inverse_std
    m.beta = b.shared
    m.variance = m.beta + m.channels
    for i in range(thread * m.tiles // n_threads, (thread + 1) * m.tiles // n_threads):
        t = tile_at(&m, i)
        tile_scales(&t, scale)
        for r from 0 <= r <= t.rows - 4 by 4:
            fetch_rows(t.x + r * t.channels, &m, 4)
            fetch_rows(t.dy + r * t.channels, &m, 4)
            dx_rows(4, &t, scale, r)
        for r in range(t.rows // 4 * 4, t.rows):
            dx_rows(1, &t, scale, r)
    if m.streamed:
        vfence()
