# Pooling: the greatest, the mean or the sum of the elements in each window of an image, channel by channel.
#
#   max       y[n, p, q, c] = max over r, s of x[n, p sh - ph + r, q sw - pw + s, c]
#   average   y = sum over r, s of the same / divisor
#
# N          images                            H W C   of x: height, width, channels
# P Q        of y: height, width               R S     of the window
# sh sw      stride                            ph pw   padding above and to the left
# HP WP      height and width of x with all of its padding
# x y        NHWC, contiguous. Taps outside of the image don't count; every window has at least one inside
# argmax     out [N, P, Q, C], or NULL: the tap r S + s of the maximum; uint8, or int32 if `wide`,
#            as windows of more than 256 taps need it
# divisor    DIVISOR_IMAGE: taps inside of the image; DIVISOR_PADDED: inside of the padded image; DIVISOR_ONE: 1, a sum
#
# The first of equal maxima wins. A NaN wins over all numbers, and the last NaN over others, as in PyTorch.
#
# Algorithm: vectors of channels, all taps of a window in registers. Windows of 2 x 2 and 3 x 3 that are not cut by the
# border have their taps unrolled; the others go four vectors at a time, so that long chains of taps run side by side.
# Pooling over the whole image is one such window.
#
# Order of summation: the taps of a row of the window, then the rows. Threads take whole rows of y.

cdef enum Divisor:
    DIVISOR_IMAGE = 0
    DIVISOR_PADDED = 1
    DIVISOR_ONE = 2

cdef enum:
    POOL_VECTORS = 4

# The windows of all pooling kernels; part of their arguments.
cdef struct Windows:
    Py_ssize_t N
    Py_ssize_t H
    Py_ssize_t W
    Py_ssize_t C
    Py_ssize_t P
    Py_ssize_t Q
    Py_ssize_t R
    Py_ssize_t S
    Py_ssize_t sh
    Py_ssize_t sw
    Py_ssize_t ph
    Py_ssize_t pw

cdef struct MaxPoolArgs:
    const real* x
    real* y
    void* argmax
    Windows windows
    Py_ssize_t wide

cdef struct AveragePoolArgs:
    const real* x
    real* y
    Windows windows
    Py_ssize_t HP
    Py_ssize_t WP
    Py_ssize_t divisor

# A window: its taps inside of the image, from r0, s0 up to r1, s1, and where it lies.
cdef struct Window:
    Py_ssize_t r0
    Py_ssize_t r1
    Py_ssize_t s0
    Py_ssize_t s1
    Py_ssize_t x            # element of tap (0, 0), which may lie outside of the image
    Py_ssize_t y


cdef inline Window window_at(const Windows* w, Py_ssize_t n, Py_ssize_t p, Py_ssize_t q) noexcept nogil:
    cdef Window t
    cdef Py_ssize_t h = p * w.sh - w.ph, v = q * w.sw - w.pw
    t.r0 = max(-h, <Py_ssize_t>0)
    t.r1 = min(w.H - h, w.R)
    t.s0 = max(-v, <Py_ssize_t>0)
    t.s1 = min(w.W - v, w.S)
    t.x = ((n * w.H + h) * w.W + v) * w.C
    t.y = ((n * w.P + p) * w.Q + q) * w.C
    return t


cdef inline Window unrolled(const Window* t, Py_ssize_t size) noexcept nogil:
    """The same window with a compile-time size."""
    cdef Window u = t[0]
    u.r0 = u.s0 = 0
    u.r1 = u.s1 = size
    return u


cdef inline bint is_whole(const Window* t, Py_ssize_t size) noexcept nogil:
    return t.r0 == 0 and t.s0 == 0 and t.r1 == size and t.s1 == size


# --- maximum ------------------------------------------------------------------------------------

cdef inline void store_argmax(bint wide, void* argmax, Py_ssize_t i, vf place, Py_ssize_t n) noexcept nogil:
    if wide:
        vistore_ints(<int32_t*>argmax + i, vbits(place), n)
    else:
        vistore_bytes(<uint8_t*>argmax + i, vbits(place), n)


cdef inline void max_vectors(int count, bint places, const MaxPoolArgs* a, const Window* t, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    """`count` vectors of channels from j on; n channels where it is one vector."""
    cdef vf best[POOL_VECTORS]
    cdef vf place[POOL_VECTORS]     # bits of the tap's number
    cdef vf v, tap
    cdef vm wins
    cdef Py_ssize_t r, s
    cdef Py_ssize_t row = a.windows.W * a.windows.C
    cdef const real* x = a.x + t.x + j
    cdef int i
    for i in range(count):
        best[i] = vload_upto(x + t.r0 * row + t.s0 * a.windows.C + i * LANES, n)
        place[i] = vfrombits(visplat(<ireal>(t.r0 * a.windows.S + t.s0)))
    for r in range(t.r0, t.r1):
        for s in range(t.s0, t.s1):
            if r == t.r0 and s == t.s0:
                continue
            tap = vfrombits(visplat(<ireal>(r * a.windows.S + s)))
            for i in range(count):
                v = vload_upto(x + r * row + s * a.windows.C + i * LANES, n)
                if not places:
                    # The maximum keeps a NaN that is there; one that comes is put in.
                    best[i] = vselect(visnan(v), v, vmax(v, best[i]))
                else:
                    wins = vor(vgt(v, best[i]), visnan(v))
                    best[i] = vselect(wins, v, best[i])
                    place[i] = vselect(wins, tap, place[i])
    for i in range(count):
        vstore_upto(a.y + t.y + j + i * LANES, best[i], n)
        if places:
            store_argmax(a.wide, a.argmax, t.y + j + i * LANES, place[i], n)


cdef inline void max_window(int count, bint places, const MaxPoolArgs* a, const Window* t) noexcept nogil:
    """All channels, at least a vector: the last one overlaps the one before."""
    cdef Py_ssize_t j = 0
    if count > 1:
        while j + count * LANES <= a.windows.C:
            max_vectors(count, places, a, t, j, LANES)
            j += count * LANES
    while j < a.windows.C:
        max_vectors(1, places, a, t, begin_of_vector(j, a.windows.C), LANES)
        j += LANES


cdef inline void max_rows(bint places, const MaxPoolArgs* args, Py_ssize_t first, Py_ssize_t end) noexcept nogil:
    cdef MaxPoolArgs a = args[0]
    cdef Window t, u
    cdef Py_ssize_t row, q
    cdef bint two = a.windows.R == 2 and a.windows.S == 2, three = a.windows.R == 3 and a.windows.S == 3
    for row in range(first, end):
        for q in range(a.windows.Q):
            t = window_at(&a.windows, row // a.windows.P, row % a.windows.P, q)
            if a.windows.C < LANES:
                max_vectors(1, places, &a, &t, 0, a.windows.C)
            elif two and is_whole(&t, 2):
                a.windows.S = 2
                u = unrolled(&t, 2)
                max_window(1, places, &a, &u)
            elif three and is_whole(&t, 3):
                a.windows.S = 3
                u = unrolled(&t, 3)
                max_window(1, places, &a, &u)
            else:
                max_window(POOL_VECTORS, places, &a, &t)


cdef void max_pool(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const MaxPoolArgs* a = <const MaxPoolArgs*>args
    cdef Py_ssize_t rows = a.windows.N * a.windows.P
    cdef Py_ssize_t first = rows * thread // n_threads, end = rows * (thread + 1) // n_threads
    if a.argmax == NULL:
        max_rows(False, a, first, end)
    else:
        max_rows(True, a, first, end)


# --- average ------------------------------------------------------------------------------------

cdef inline real divisor_of(const Windows* w, Py_ssize_t HP, Py_ssize_t WP, Py_ssize_t divisor, Py_ssize_t p,
                            Py_ssize_t q) noexcept nogil:
    cdef Window t
    if divisor == DIVISOR_ONE:
        return 1
    if divisor == DIVISOR_PADDED:
        return <real>(min(HP - p * w.sh, w.R) * min(WP - q * w.sw, w.S))
    t = window_at(w, 0, p, q)
    return <real>((t.r1 - t.r0) * (t.s1 - t.s0))


cdef inline void average_vectors(int count, const AveragePoolArgs* a, const Window* t, real divisor, Py_ssize_t j,
                                 Py_ssize_t n) noexcept nogil:
    cdef vf total[POOL_VECTORS]
    cdef vf sums[POOL_VECTORS]
    cdef Py_ssize_t r, s
    cdef Py_ssize_t row = a.windows.W * a.windows.C
    cdef const real* x = a.x + t.x + j
    cdef int i
    for i in range(count):
        total[i] = vzero()
    for r in range(t.r0, t.r1):
        for i in range(count):
            sums[i] = vzero()
        for s in range(t.s0, t.s1):
            for i in range(count):
                sums[i] = sums[i] + vload_upto(x + r * row + s * a.windows.C + i * LANES, n)
        for i in range(count):
            total[i] = total[i] + sums[i]
    for i in range(count):
        vstore_upto(a.y + t.y + j + i * LANES, total[i] / vset(divisor), n)


cdef inline void average_window(int count, const AveragePoolArgs* a, const Window* t, real divisor) noexcept nogil:
    """All channels, at least a vector: the last one overlaps the one before."""
    cdef Py_ssize_t j = 0
    if count > 1:
        while j + count * LANES <= a.windows.C:
            average_vectors(count, a, t, divisor, j, LANES)
            j += count * LANES
    while j < a.windows.C:
        average_vectors(1, a, t, divisor, begin_of_vector(j, a.windows.C), LANES)
        j += LANES


cdef void average_pool(const void* args, int thread, int n_threads) noexcept nogil:
    cdef AveragePoolArgs a = (<const AveragePoolArgs*>args)[0]
    cdef Py_ssize_t rows = a.windows.N * a.windows.P
    cdef Py_ssize_t row, p, q
    cdef bint two = a.windows.R == 2 and a.windows.S == 2, three = a.windows.R == 3 and a.windows.S == 3
    cdef Window t, u
    cdef real divisor
    for row in range(rows * thread // n_threads, rows * (thread + 1) // n_threads):
        p = row % a.windows.P
        for q in range(a.windows.Q):
            t = window_at(&a.windows, row // a.windows.P, p, q)
            divisor = divisor_of(&a.windows, a.HP, a.WP, a.divisor, p, q)
            if a.windows.C < LANES:
                average_vectors(1, &a, &t, divisor, 0, a.windows.C)
            elif two and is_whole(&t, 2):
                u = unrolled(&t, 2)
                average_window(1, &a, &u, divisor)
            elif three and is_whole(&t, 3):
                u = unrolled(&t, 3)
                average_window(1, &a, &u, divisor)
            else:
                average_window(POOL_VECTORS, &a, &t, divisor)
