# Batch normalization over the rows of a matrix, forward.
#
#   forward     mean and variance of each channel over the rows;  inverse_std = 1 / sqrt(variance + epsilon)
#               y = activation((x - mean) inverse_std gamma + beta + added);  unbiased_variance = variance rows / (rows - 1)
#   inference   the same y with running_mean and running_var
#   commit      running = (1 - momentum) running + momentum new, where control has no bad status
#
# rows channels   of x and y                                gamma beta  in [channels], or NULL for ones and zeros
# mean inverse_std unbiased_variance                        out [channels]
# added           in, like x, or NULL for zeros             y may be x
# control         in, or NULL
# statistics      in: those of x in so many parts, from the call that stored it (batch_statistics.pxi); or NULL
#
# Algorithm: the tiles of norm.pxi. Phase 1: mean and M2 = sum of (x - mean)^2 of each tile, where they are not given.
# Phase 2 joins the parts: M2 = sum of M2_p + n_p (mean_p - mean)^2. Phase 3: y;
# a large one is stored past the caches (elements.pxi).
#
# Order of summation: of a part as in batch_statistics.pxi; parts in order, in double.
# It depends on the shape alone; threads take whole tiles, in phase 2 whole blocks of 16 channels.
# No rows give mean and variance 0.
#
# Shared: the statistics, where they are not given.
#
# Source: Ioffe & Szegedy 2015, with PyTorch's conventions. Joining: Chan, Golub, LeVeque 1983.

cdef struct BatchNormForwardArgs:
    const real* x
    const real* gamma
    const real* beta
    const real* added
    const real* statistics
    real* y
    real* mean
    real* inverse_std
    real* unbiased_variance
    real* shared
    Py_ssize_t rows
    Py_ssize_t channels
    Py_ssize_t parts
    Py_ssize_t activation
    double epsilon
    double alpha

cdef struct BatchNormInferenceArgs:
    const real* x
    const real* gamma
    const real* beta
    const real* running_mean
    const real* running_var
    const real* added
    real* y
    Py_ssize_t rows
    Py_ssize_t channels
    Py_ssize_t activation
    double epsilon
    double alpha

cdef struct BatchNormCommitArgs:
    const real* mean
    const real* unbiased_variance
    real* running_mean
    real* running_var
    const Control* control
    Py_ssize_t channels
    double momentum


# --- phase 1: mean and M2 of each tile ----------------------------------------------------------

cdef Py_ssize_t batch_norm_forward_shared(const void* args) noexcept nogil:
    cdef const BatchNormForwardArgs* b = <const BatchNormForwardArgs*>args
    return 0 if b.parts else own_statistics_bytes(b.rows, b.channels)


cdef void batch_norm_statistics(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const BatchNormForwardArgs* b = <const BatchNormForwardArgs*>args
    cdef NormTile m = norm_tiles(b.rows, b.channels)
    if b.statistics == NULL:
        collect_tiles(&m, b.shared, b.x, NULL, NULL, thread, n_threads)


# --- phase 2: of all rows -----------------------------------------------------------------------

cdef void batch_norm_join(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const BatchNormForwardArgs* b = <const BatchNormForwardArgs*>args
    cdef Statistics s = statistics_of(b.statistics, b.parts, b.shared, b.rows, b.channels)
    cdef Py_ssize_t blocks = (b.channels + NORM_JOINED - 1) // NORM_JOINED
    cdef Py_ssize_t block, first, width, k, c
    cdef const real* means
    cdef const real* m2s
    cdef double mean[NORM_JOINED]
    cdef double m2[NORM_JOINED]
    cdef double d
    for block in range(thread * blocks // n_threads, (thread + 1) * blocks // n_threads):
        first = block * NORM_JOINED
        width = min(b.channels - first, <Py_ssize_t>NORM_JOINED)
        memset(mean, 0, sizeof(mean))
        memset(m2, 0, sizeof(m2))
        for k in range(s.parts):
            means = s.first + k * b.channels + first
            if s.counts[k]:
                for c in range(width):
                    mean[c] = mean[c] + s.counts[k] * means[c]
        for c in range(width):
            mean[c] = mean[c] / max(b.rows, 1)
        for k in range(s.parts):
            means, m2s = s.first + k * b.channels + first, s.second + k * b.channels + first
            if s.counts[k]:
                for c in range(width):
                    d = means[c] - mean[c]
                    m2[c] = m2[c] + (m2s[c] + s.counts[k] * d * d)
        for c in range(width):
            b.mean[first + c] = <real>mean[c]
            b.inverse_std[first + c] = <real>(1 / sqrt(m2[c] / max(b.rows, 1) + b.epsilon))
            b.unbiased_variance[first + c] = <real>(m2[c] / max(b.rows - 1, 1))


# --- phase 3: y ---------------------------------------------------------------------------------

cdef inline void normalize_part(int g, const NormTile* t, const real* scale, Py_ssize_t r, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    cdef vf mean = vload_upto(t.mean + j, n)
    cdef vf scales = vload_upto(scale + j, n)
    cdef vf shift = load_or(t.beta, <real>0, j, n)
    cdef vf floor = vset(<real>0 if t.activation == RELU else -<real>INFINITY)
    cdef Py_ssize_t k = r * t.channels + j
    # What the stores could change, for all that a compiler knows, is read once.
    cdef const real* x = t.x
    cdef const real* added = t.added
    cdef real* out = t.out
    cdef Py_ssize_t channels = t.channels
    cdef bint streamed = t.streamed
    cdef vf y
    cdef int i
    for i in range(g):
        y = vfma(vload_upto(x + k, n) - mean, scales, shift)
        if added != NULL:
            y = y + vload_upto(added + k, n)
        store_or_stream(streamed, out + k, vmax(floor, y), n)
        k += channels


cdef inline void normalize_rows(int g, const NormTile* t, const real* scale, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t j, i
    for j from 0 <= j <= t.width - LANES by LANES:
        normalize_part(g, t, scale, r, j, LANES)
    j = t.width // LANES * LANES
    if j < t.width:
        normalize_part(g, t, scale, r, j, t.width - j)
    if t.activation > RELU:
        for i in range(r, r + g):
            activate(t.activation, t.alpha, t.out + i * t.channels, t.out + i * t.channels, t.width)


cdef void normalize_tiles(NormTile* m, int thread, int n_threads) noexcept nogil:
    cdef real scale[NORM_WIDTH]
    cdef NormTile t
    cdef Py_ssize_t i, r
    m.streamed = m.out != m.x and m.out != m.added and m.activation <= RELU and streams_rows(m)
    for i in range(thread * m.tiles // n_threads, (thread + 1) * m.tiles // n_threads):
        t = tile_at(m, i)
        tile_scales(&t, scale)
        for r from 0 <= r <= t.rows - 4 by 4:
            fetch_rows(t.x + r * t.channels, m, 4)
            normalize_rows(4, &t, scale, r)
        for r in range(t.rows // 4 * 4, t.rows):
            normalize_rows(1, &t, scale, r)
    if m.streamed:
        vfence()


cdef void batch_norm_normalize(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const BatchNormForwardArgs* b = <const BatchNormForwardArgs*>args
    cdef NormTile m = norm_tiles(b.rows, b.channels)
    m.x = b.x
    m.added = b.added
    m.activation, m.alpha = b.activation, b.alpha
    m.out = b.y
    m.gamma = b.gamma
    m.beta = b.beta
    m.mean = b.mean
    m.inverse_std = b.inverse_std
    normalize_tiles(&m, thread, n_threads)


cdef void batch_norm_inference(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const BatchNormInferenceArgs* b = <const BatchNormInferenceArgs*>args
    cdef NormTile m = norm_tiles(b.rows, b.channels)
    m.x = b.x
    m.added = b.added
    m.activation, m.alpha = b.activation, b.alpha
    m.out = b.y
    m.gamma = b.gamma
    m.beta = b.beta
    m.mean = b.running_mean
    m.variance = b.running_var
    m.epsilon = b.epsilon
    normalize_tiles(&m, thread, n_threads)


# --- running statistics -------------------------------------------------------------------------

cdef inline void blend(real* running, const real* new, vf kept, vf momentum, Py_ssize_t n) noexcept nogil:
    vstore_upto(running, vfma(kept, vload_upto(running, n), momentum * vload_upto(new, n)), n)


cdef void batch_norm_commit(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const BatchNormCommitArgs* b = <const BatchNormCommitArgs*>args
    cdef Py_ssize_t i
    cdef vf kept = vset(<real>(1 - b.momentum))
    cdef vf momentum = vset(<real>b.momentum)
    if b.control != NULL and b.control.status != GOOD:
        return
    for i from share_start(b.channels, thread, n_threads) <= i < share_start(b.channels, thread + 1, n_threads) by LANES:
        blend(b.running_mean + i, b.mean + i, kept, momentum, b.channels - i)
        blend(b.running_var + i, b.unbiased_variance + i, kept, momentum, b.channels - i)
