# Group normalization: each group of channels of a sample by its mean and variance over all pixels, forward and backward.
#
#   forward    inverse_std = 1 / sqrt(variance + epsilon);  y = (x - mean) inverse_std gamma + beta
#   backward   x^ = (x - mean) inverse_std;  g = dy gamma;  dgamma = sum over samples and pixels of dy x^;  dbeta = sum dy
#              dx = inverse_std (g - mean(g) - x^ mean(g x^)), means over the group's pixels and channels
#
# batch rows channels    x, y, dy, dx [batch, rows, channels], contiguous; the rows of a sample are its pixels
# groups                 of neighbouring channels, all of one size
# gamma beta             in [channels], or NULL for ones and zeros
# mean inverse_std       forward: out, backward: in [batch, groups]
# dx dgamma dbeta        out, or NULL if not wanted; accumulate_gamma, accumulate_beta: += instead of =
# y may be x, and dx may be dy
#
# Algorithm: a sample is read three times, from L2 but for the first: means, squared deviations from them, y; backward
# twice: sums of dy and dy (x - mean) of each channel, from which those of the group and dgamma, dbeta follow, then dx.
# Sums run down the channels, so that groups of any size are the same vector code; some rows at a time, vector after
# vector, so that memory is read and written in its order. Phase 2 of backward joins samples.
#
# Order of summation: eight rows, even and odd ones by themselves; those sums in double, then a group's channels in
# double; dgamma and dbeta over the samples in double. A channel's sums don't depend on its place in a vector: threads take
# whole groups, any part of a sample's, in phase 2 whole blocks of 16 channels.
#
# Scratch: sums of each channel in double, and what each is multiplied by. Shared: shares of dgamma and dbeta of each sample,
# if one of them is wanted.
#
# Source: Wu & He 2018, with PyTorch's conventions.

cdef enum:
    SUMMED_ROWS = 8             # summed in `real`

cdef struct GroupNormForwardArgs:
    const real* x
    const real* gamma
    const real* beta
    real* y
    real* mean
    real* inverse_std
    real* scratch
    Py_ssize_t batch
    Py_ssize_t rows
    Py_ssize_t channels
    Py_ssize_t groups
    Py_ssize_t scratch_stride
    double epsilon

cdef struct GroupNormBackwardArgs:
    const real* x
    const real* dy
    const real* gamma
    const real* mean
    const real* inverse_std
    real* dx
    real* dgamma
    real* dbeta
    real* scratch
    real* shared
    Py_ssize_t batch
    Py_ssize_t rows
    Py_ssize_t channels
    Py_ssize_t groups
    Py_ssize_t accumulate_gamma
    Py_ssize_t accumulate_beta
    Py_ssize_t scratch_stride

# Some groups of a sample: pointers to their first channel, and what is known of each channel.
cdef struct GroupSlice:
    const real* x
    const real* dy
    real* out
    double* sums                # of each channel, padded to whole vectors, as all that follow
    double* weighted
    real* center
    real* scale
    real* constant
    real* slope
    Py_ssize_t rows
    Py_ssize_t channels         # from row to row
    Py_ssize_t width
    Py_ssize_t first            # channel, group
    Py_ssize_t group
    Py_ssize_t size             # of a group
    Py_ssize_t count            # groups


cdef Py_ssize_t group_norm_forward_scratch(const void* args) noexcept nogil:
    cdef const GroupNormForwardArgs* g = <const GroupNormForwardArgs*>args
    return whole_vectors(g.channels) * (sizeof(double) + 2 * sizeof(real))


cdef Py_ssize_t group_norm_backward_scratch(const void* args) noexcept nogil:
    cdef const GroupNormBackwardArgs* g = <const GroupNormBackwardArgs*>args
    return whole_vectors(g.channels) * (2 * sizeof(double) + 4 * sizeof(real))


cdef Py_ssize_t group_norm_backward_shared(const void* args) noexcept nogil:
    cdef const GroupNormBackwardArgs* g = <const GroupNormBackwardArgs*>args
    if g.dgamma == NULL and g.dbeta == NULL:
        return 0
    return 2 * g.batch * g.channels * sizeof(real)


cdef GroupSlice group_slice(Py_ssize_t rows, Py_ssize_t channels, Py_ssize_t groups, Py_ssize_t unit, Py_ssize_t end,
                            real* scratch) noexcept nogil:
    """The groups of one sample from `unit` on, a number that counts those of all samples; `end` is past the thread's last."""
    cdef GroupSlice s
    cdef Py_ssize_t padded = whole_vectors(channels)
    memset(&s, 0, sizeof(s))
    s.rows = rows
    s.channels = channels
    s.size = channels // groups
    s.group = unit % groups
    s.count = min(groups - s.group, end - unit)
    s.first = s.group * s.size
    s.width = s.count * s.size
    s.sums = <double*>scratch
    s.center = <real*>(s.sums + padded)
    s.scale = s.center + padded
    s.constant = s.scale + padded
    s.slope = s.constant + padded
    s.weighted = <double*>(s.slope + padded)
    return s


# --- sums of each channel -----------------------------------------------------------------------

cdef inline void add_wide(double* total, vf v) noexcept nogil:
    cdef int h
    for h in range(WIDE):
        vdstore(total + h * LANES64, vdload(total + h * LANES64) + vwiden(v, h))


cdef inline vf row_term(bint squared, const GroupSlice* s, Py_ssize_t at, vf center, vf sum, Py_ssize_t n) noexcept nogil:
    cdef vf v = vload_upto(s.x + at, n)
    if squared:
        v = v - center
        return vfma(v, v, sum)
    return sum + v


cdef inline void channel_sums(bint squared, int h, const GroupSlice* s, Py_ssize_t r, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    """Add x, or (x - center)^2, of h rows of one vector of channels to `sums`."""
    cdef vf even = vzero(), odd = vzero(), center = vzero()
    cdef Py_ssize_t at = r * s.channels + j
    cdef int i
    if squared:
        center = vload(s.center + j)
    for i in range(h):
        if i % 2:
            odd = row_term(squared, s, at, center, odd, n)
        else:
            even = row_term(squared, s, at, center, even, n)
        at += s.channels
    add_wide(s.sums + j, even + odd)


cdef inline void sum_rows(bint squared, int h, const GroupSlice* s, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t j = 0
    while j + LANES <= s.width:
        channel_sums(squared, h, s, r, j, LANES)
        j += LANES
    if j < s.width:
        channel_sums(squared, h, s, r, j, s.width - j)


cdef inline void sum_channels(bint squared, const GroupSlice* s) noexcept nogil:
    cdef Py_ssize_t r
    memset(s.sums, 0, whole_vectors(s.width) * sizeof(double))
    for r from 0 <= r <= s.rows - SUMMED_ROWS by SUMMED_ROWS:
        sum_rows(squared, SUMMED_ROWS, s, r)
    for r in range(s.rows // SUMMED_ROWS * SUMMED_ROWS, s.rows):
        sum_rows(squared, 1, s, r)


cdef inline double group_total(const double* sums, const GroupSlice* s, Py_ssize_t group) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t c
    for c in range(group * s.size, (group + 1) * s.size):
        total = total + sums[c]
    return total


# --- forward ------------------------------------------------------------------------------------

cdef inline void group_normalize(int h, const GroupSlice* s, const real* beta, Py_ssize_t r, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    """y of h rows of one vector of channels."""
    cdef vf center = vload(s.center + j)
    cdef vf scale = vload(s.scale + j)
    cdef vf shift = load_or(beta, <real>0, s.first + j, n)
    cdef Py_ssize_t at = r * s.channels + j
    cdef int i
    for i in range(h):
        vstore_upto(s.out + at, vfma(vload_upto(s.x + at, n) - center, scale, shift), n)
        at += s.channels


cdef inline void group_normalize_rows(int h, const GroupSlice* s, const real* beta, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t j = 0
    while j + LANES <= s.width:
        group_normalize(h, s, beta, r, j, LANES)
        j += LANES
    if j < s.width:
        group_normalize(h, s, beta, r, j, s.width - j)


cdef void group_norm_slice(const GroupNormForwardArgs* g, Py_ssize_t sample, GroupSlice* s) noexcept nogil:
    cdef Py_ssize_t i, c, r, at = sample * g.groups + s.group
    cdef double elements = <double>s.rows * s.size
    sum_channels(False, s)
    for c in range(s.width, whole_vectors(s.width)):
        s.center[c] = 0
        s.scale[c] = 0
    for i in range(s.count):
        g.mean[at + i] = <real>(group_total(s.sums, s, i) / elements)
        for c in range(i * s.size, (i + 1) * s.size):
            s.center[c] = g.mean[at + i]
    sum_channels(True, s)
    for i in range(s.count):
        g.inverse_std[at + i] = <real>(1 / sqrt(group_total(s.sums, s, i) / elements + g.epsilon))
        for c in range(i * s.size, (i + 1) * s.size):
            s.scale[c] = g.inverse_std[at + i] if g.gamma == NULL else g.inverse_std[at + i] * g.gamma[s.first + c]
    for r from 0 <= r <= s.rows - 4 by 4:
        group_normalize_rows(4, s, g.beta, r)
    for r in range(s.rows // 4 * 4, s.rows):
        group_normalize_rows(1, s, g.beta, r)


cdef void group_norm_forward(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const GroupNormForwardArgs* g = <const GroupNormForwardArgs*>args
    cdef Py_ssize_t unit = thread * g.batch * g.groups // n_threads
    cdef Py_ssize_t end = (thread + 1) * g.batch * g.groups // n_threads
    cdef Py_ssize_t sample
    cdef GroupSlice s
    while unit < end:
        s = group_slice(g.rows, g.channels, g.groups, unit, end, <real*>(<char*>g.scratch + thread * g.scratch_stride))
        sample = unit // g.groups
        s.x = g.x + sample * g.rows * g.channels + s.first
        s.out = g.y + sample * g.rows * g.channels + s.first
        group_norm_slice(g, sample, &s)
        unit += s.count


# --- backward -----------------------------------------------------------------------------------

cdef inline void sum_gradients(int h, const GroupSlice* s, Py_ssize_t r, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    """Add dy and dy (x - center) of h rows of one vector of channels to `sums` and `weighted`."""
    cdef vf plain[2]
    cdef vf weighted[2]
    cdef vf center = vload(s.center + j), dy
    cdef Py_ssize_t at = r * s.channels + j
    cdef int i
    for i in range(2):
        plain[i] = vzero()
        weighted[i] = vzero()
    for i in range(h):
        dy = vload_upto(s.dy + at, n)
        plain[i % 2] = plain[i % 2] + dy
        weighted[i % 2] = vfma(dy, vload_upto(s.x + at, n) - center, weighted[i % 2])
        at += s.channels
    add_wide(s.sums + j, plain[0] + plain[1])
    add_wide(s.weighted + j, weighted[0] + weighted[1])


cdef inline void sum_gradient_rows(int h, const GroupSlice* s, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t j = 0
    while j + LANES <= s.width:
        sum_gradients(h, s, r, j, LANES)
        j += LANES
    if j < s.width:
        sum_gradients(h, s, r, j, s.width - j)


cdef inline void group_dx(int h, const GroupSlice* s, Py_ssize_t r, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    """dx of h rows of one vector of channels."""
    cdef vf center = vload(s.center + j)
    cdef vf scale = vload(s.scale + j)
    cdef vf constant = vload(s.constant + j)
    cdef vf slope = vload(s.slope + j)
    cdef vf d
    cdef Py_ssize_t at = r * s.channels + j
    cdef int i
    for i in range(h):
        d = vfma(vload_upto(s.x + at, n) - center, slope, constant)
        vstore_upto(s.out + at, vfma(vload_upto(s.dy + at, n), scale, d), n)
        at += s.channels


cdef inline void group_dx_rows(int h, const GroupSlice* s, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t j = 0
    while j + LANES <= s.width:
        group_dx(h, s, r, j, LANES)
        j += LANES
    if j < s.width:
        group_dx(h, s, r, j, s.width - j)


cdef void group_gradients(const GroupNormBackwardArgs* g, Py_ssize_t at, Py_ssize_t i, GroupSlice* s) noexcept nogil:
    """From the sums of group i's channels: what dx is made of."""
    cdef double elements = <double>s.rows * s.size, inverse = g.inverse_std[at + i], gamma, plain = 0, weighted = 0
    cdef Py_ssize_t c
    for c in range(i * s.size, (i + 1) * s.size):
        gamma = 1 if g.gamma == NULL else g.gamma[s.first + c]
        s.scale[c] = <real>(gamma * inverse)
        plain = plain + gamma * s.sums[c]
        weighted = weighted + gamma * s.weighted[c]
    for c in range(i * s.size, (i + 1) * s.size):
        s.constant[c] = <real>(-plain * inverse / elements)
        s.slope[c] = <real>(-weighted * inverse * inverse * inverse / elements)


cdef void group_norm_backward_slice(const GroupNormBackwardArgs* g, Py_ssize_t sample, GroupSlice* s) noexcept nogil:
    cdef Py_ssize_t i, c, r, at = sample * g.groups + s.group
    cdef real* share = g.shared + sample * g.channels + s.first
    memset(s.sums, 0, whole_vectors(s.width) * sizeof(double))
    memset(s.weighted, 0, whole_vectors(s.width) * sizeof(double))
    for c in range(s.width, whole_vectors(s.width)):
        s.center[c] = 0
        s.scale[c] = 0
        s.constant[c] = 0
        s.slope[c] = 0
    for i in range(s.count):
        for c in range(i * s.size, (i + 1) * s.size):
            s.center[c] = g.mean[at + i]
    for r from 0 <= r <= s.rows - SUMMED_ROWS by SUMMED_ROWS:
        sum_gradient_rows(SUMMED_ROWS, s, r)
    for r in range(s.rows // SUMMED_ROWS * SUMMED_ROWS, s.rows):
        sum_gradient_rows(1, s, r)
    for i in range(s.count):
        group_gradients(g, at, i, s)
        if g.dgamma != NULL or g.dbeta != NULL:
            for c in range(i * s.size, (i + 1) * s.size):
                share[c] = <real>(s.weighted[c] * g.inverse_std[at + i])
                share[g.batch * g.channels + c] = <real>s.sums[c]
    if g.dx != NULL:
        for r from 0 <= r <= s.rows - 4 by 4:
            group_dx_rows(4, s, r)
        for r in range(s.rows // 4 * 4, s.rows):
            group_dx_rows(1, s, r)


cdef void group_norm_backward(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const GroupNormBackwardArgs* g = <const GroupNormBackwardArgs*>args
    cdef Py_ssize_t unit = thread * g.batch * g.groups // n_threads
    cdef Py_ssize_t end = (thread + 1) * g.batch * g.groups // n_threads
    cdef Py_ssize_t sample
    cdef GroupSlice s
    while unit < end:
        s = group_slice(g.rows, g.channels, g.groups, unit, end, <real*>(<char*>g.scratch + thread * g.scratch_stride))
        sample = unit // g.groups
        s.x = g.x + sample * g.rows * g.channels + s.first
        s.dy = g.dy + sample * g.rows * g.channels + s.first
        s.out = <real*>advanced(g.dx, sample * g.rows * g.channels + s.first)
        group_norm_backward_slice(g, sample, &s)
        unit += s.count


cdef void group_norm_backward_join(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const GroupNormBackwardArgs* g = <const GroupNormBackwardArgs*>args
    cdef Py_ssize_t blocks = (g.channels + NORM_JOINED - 1) // NORM_JOINED
    cdef Py_ssize_t block, width
    for block in range(thread * blocks // n_threads, (thread + 1) * blocks // n_threads):
        width = min(g.channels - block * NORM_JOINED, <Py_ssize_t>NORM_JOINED)
        if g.dgamma != NULL:
            join_columns(g.shared, g.batch, g.channels, g.dgamma, g.accumulate_gamma, block * NORM_JOINED, width)
        if g.dbeta != NULL:
            join_columns(g.shared + g.batch * g.channels, g.batch, g.channels, g.dbeta, g.accumulate_beta,
                         block * NORM_JOINED, width)
