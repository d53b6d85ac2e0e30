# Pooling, backward: the gradient at the input of max and average pooling.
#
#   max       dx[n, h, w, c] = sum of dy[n, p, q, c] over the windows whose maximum was at (h, w)
#   average   dx[n, h, w, c] = sum of dy[n, p, q, c] / divisor over the windows that cover (h, w)
#
# The letters are those of pool.pxi. dy, argmax in [N, P, Q, C]; dx out [N, H, W, C], each element stored once.
# With windows side by side and divisor 1 the second is upsampling by repetition.
#
# Algorithm: rows of dx in memory's order; nothing is scattered, so nothing needs clearing. Where windows don't overlap, each
# vector of dy goes to the taps of its window in this row, and what no window covers is set to zero. Where they do, an
# element of dx collects from the windows that cover it. A large dx is stored past the caches (elements.pxi).
#
# Order of summation: windows in the order of y. Threads take whole rows of dx.

cdef struct MaxPoolBackwardArgs:
    const real* dy
    const void* argmax
    real* dx
    Windows windows
    Py_ssize_t wide

cdef struct AveragePoolBackwardArgs:
    const real* dy
    real* dx
    Windows windows
    Py_ssize_t HP
    Py_ssize_t WP
    Py_ssize_t divisor

cdef enum PoolGradient:
    GRADIENT_MAX
    GRADIENT_AVERAGE

# What both gradients need.
cdef struct PoolBackward:
    const real* dy
    const void* argmax
    real* dx
    Windows windows
    Py_ssize_t HP
    Py_ssize_t WP
    Py_ssize_t divisor
    bint wide               # argmax is int32
    real factor             # 1 / divisor of a window that nothing cuts
    bint streamed           # dx is stored past the caches

# Windows that cover a row, or a column, of dx: from first up to end.
cdef struct Cover:
    Py_ssize_t first
    Py_ssize_t end


cdef inline vi load_argmax(const PoolBackward* b, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    if b.wide:
        return viload_ints(<const int32_t*>b.argmax + i, n)
    return viload_bytes(<const uint8_t*>b.argmax + i, n)


cdef inline real factor_of(int kind, const PoolBackward* b, Py_ssize_t p, Py_ssize_t q) noexcept nogil:
    """1 / divisor of a window."""
    cdef const Windows* w = &b.windows
    cdef Py_ssize_t h = p * w.sh - w.ph, v = q * w.sw - w.pw
    if kind != GRADIENT_AVERAGE:
        return 1
    if h >= 0 and v >= 0 and h + w.R <= w.H and v + w.S <= w.W:
        return b.factor
    return <real>1 / divisor_of(w, b.HP, b.WP, b.divisor, p, q)


# --- windows side by side -----------------------------------------------------------------------

cdef inline void spread_vector(int kind, const PoolBackward* b, Py_ssize_t taps, Py_ssize_t tap, Py_ssize_t source, real* dx,
                               vf factor, Py_ssize_t n) noexcept nogil:
    """One vector of dy to `taps` pixels of dx, the first of which is number `tap` of the window."""
    cdef vf dy = vload_upto(b.dy + source, n)
    cdef vi argmax
    cdef vf dx_part
    cdef Py_ssize_t s
    if kind == GRADIENT_AVERAGE:
        dy = dy * factor
        for s in range(taps):
            store_or_stream(b.streamed, dx + s * b.windows.C, dy, n)
    else:
        argmax = load_argmax(b, source, n)
        for s in range(taps):
            dx_part = vselect(vieq(argmax, visplat(<ireal>(tap + s))), dy, vzero())
            store_or_stream(b.streamed, dx + s * b.windows.C, dx_part, n)


cdef inline void spread_window(int kind, const PoolBackward* b, Py_ssize_t taps, Py_ssize_t tap, Py_ssize_t source, real* dx,
                               real factor) noexcept nogil:
    """All channels, at least a vector: the last one overlaps the one before."""
    cdef Py_ssize_t c, j
    for c from 0 <= c < b.windows.C by LANES:
        j = begin_of_vector(c, b.windows.C)
        spread_vector(kind, b, taps, tap, source + j, dx + j, vset(factor), LANES)


cdef inline void spread_row(int kind, const PoolBackward* b, Py_ssize_t n, Py_ssize_t h, real* dx) noexcept nogil:
    cdef const Windows* w = &b.windows
    cdef Py_ssize_t p = (h + w.ph) // w.sh, r = (h + w.ph) % w.sh
    cdef Py_ssize_t q, left, first, end, tap, source, done = 0
    cdef real factor
    if p >= w.P or r >= w.R:
        fill_elements(dx, w.W * w.C, 0)
        return
    for q in range(w.Q):
        left = q * w.sw - w.pw
        first = max(left, <Py_ssize_t>0)
        end = min(left + w.S, w.W)
        source = ((n * w.P + p) * w.Q + q) * w.C
        if first > done:
            fill_elements(dx + done * w.C, (first - done) * w.C, 0)
        tap = r * w.S + first - left
        factor = factor_of(kind, b, p, q)
        if w.C < LANES:
            spread_vector(kind, b, end - first, tap, source, dx + first * w.C, vset(factor), w.C)
        elif end - first == 2:
            spread_window(kind, b, 2, tap, source, dx + first * w.C, factor)
        else:
            spread_window(kind, b, end - first, tap, source, dx + first * w.C, factor)
        done = end
    if done < w.W:
        fill_elements(dx + done * w.C, (w.W - done) * w.C, 0)


# --- windows that overlap -----------------------------------------------------------------------

cdef inline void collect_vectors(int count, int kind, const PoolBackward* b, const Cover* rows, const Cover* columns,
                                 Py_ssize_t tap, Py_ssize_t source, real* dx, Py_ssize_t n) noexcept nogil:
    """dx of `count` vectors of one pixel. `tap` is its number in window (0, 0), `source` the element of dy there."""
    cdef const Windows* w = &b.windows
    cdef vf sums[POOL_VECTORS]
    cdef vf dy, factor
    cdef vi number
    cdef Py_ssize_t p, q, k
    cdef int i
    for i in range(count):
        sums[i] = vzero()
    for p in range(rows.first, rows.end):
        for q in range(columns.first, columns.end):
            k = source + (p * w.Q + q) * w.C
            factor = vset(factor_of(kind, b, p, q))
            number = visplat(<ireal>(tap - p * w.sh * w.S - q * w.sw))
            for i in range(count):
                dy = vload_upto(b.dy + k + i * LANES, n)
                if kind == GRADIENT_AVERAGE:
                    sums[i] = vfma(dy, factor, sums[i])
                else:
                    dy = vselect(vieq(load_argmax(b, k + i * LANES, n), number), dy, vzero())
                    sums[i] = sums[i] + dy
    for i in range(count):
        store_or_stream(b.streamed, dx + i * LANES, sums[i], n)


cdef inline Cover cover(Py_ssize_t place, Py_ssize_t size, Py_ssize_t stride, Py_ssize_t windows) noexcept nogil:
    """The windows that cover a place of the padded axis."""
    cdef Cover c
    c.first = max(place - size + stride, <Py_ssize_t>0) // stride
    c.end = min(place // stride + 1, windows)
    return c


cdef inline void collect_row(int kind, const PoolBackward* b, Py_ssize_t n, Py_ssize_t h, real* dx) noexcept nogil:
    cdef const Windows* w = &b.windows
    cdef Cover rows = cover(h + w.ph, w.R, w.sh, w.P)
    cdef Cover columns
    cdef Py_ssize_t v, j, tap, source = n * w.P * w.Q * w.C
    for v in range(w.W):
        columns = cover(v + w.pw, w.S, w.sw, w.Q)
        tap = (h + w.ph) * w.S + v + w.pw
        j = 0
        while j + POOL_VECTORS * LANES <= w.C:
            collect_vectors(POOL_VECTORS, kind, b, &rows, &columns, tap, source + j, dx + v * w.C + j, LANES)
            j += POOL_VECTORS * LANES
        while j + LANES <= w.C:
            collect_vectors(1, kind, b, &rows, &columns, tap, source + j, dx + v * w.C + j, LANES)
            j += LANES
        if j < w.C:
            collect_vectors(1, kind, b, &rows, &columns, tap, source + j, dx + v * w.C + j, w.C - j)


# --- kernels ------------------------------------------------------------------------------------

cdef inline void pool_gradient(int kind, const PoolBackward* b, int thread, int n_threads) noexcept nogil:
    cdef const Windows* w = &b.windows
    cdef bint apart = w.sh >= w.R and w.sw >= w.S
    cdef Py_ssize_t rows = w.N * w.H
    cdef Py_ssize_t row
    for row in range(rows * thread // n_threads, rows * (thread + 1) // n_threads):
        if apart:
            spread_row(kind, b, row // w.H, row % w.H, b.dx + row * w.W * w.C)
        else:
            collect_row(kind, b, row // w.H, row % w.H, b.dx + row * w.W * w.C)
    if b.streamed:
        vfence()


cdef void max_pool_backward(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const MaxPoolBackwardArgs* a = <const MaxPoolBackwardArgs*>args
    cdef PoolBackward b
    memset(&b, 0, sizeof(b))
    b.dy = a.dy
    b.argmax = a.argmax
    b.dx = a.dx
    b.streamed = a.windows.C % LANES == 0 and is_streamed(a.dx, a.windows.N * a.windows.H * a.windows.W * a.windows.C)
    b.windows = a.windows
    b.wide = a.wide
    pool_gradient(GRADIENT_MAX, &b, thread, n_threads)


cdef void average_pool_backward(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const AveragePoolBackwardArgs* a = <const AveragePoolBackwardArgs*>args
    cdef PoolBackward b
    memset(&b, 0, sizeof(b))
    b.dy = a.dy
    b.dx = a.dx
    b.streamed = a.windows.C % LANES == 0 and is_streamed(a.dx, a.windows.N * a.windows.H * a.windows.W * a.windows.C)
    b.windows = a.windows
    b.HP = a.HP
    b.WP = a.WP
    b.divisor = a.divisor
    b.factor = 1 if a.divisor == DIVISOR_ONE else <real>1 / <real>(a.windows.R * a.windows.S)
    pool_gradient(GRADIENT_AVERAGE, &b, thread, n_threads)
