# Rectifier with a learned slope, forward and backward.
#
#   forward    y = x where x > 0, else slope x
#   backward   dx = dy where x > 0, else slope dy;  dslope = sum of x dy where x is not above 0
#
# rows channels  of x, y, dy, dx, contiguous                slope  in [channels], or with `single` [1]: one for all
# dx dslope      out, or NULL if not wanted; accumulate: dslope += instead of =
# y may be x, and dx may be dy
#
# Algorithm: the tiles of norm.pxi, whose gamma is the slope. Phase 1 of backward: dx, and the sums of each tile and
# channel; phase 2 joins them. A NaN in x goes into y, and one in x or dy into dslope.
#
# Order of summation: four rows, groups of four of a tile, tiles in double, in order; with `single` the channels of a tile
# in double, tile after tile, by thread 0. Threads take whole tiles, in phase 2 blocks of 16 channels.
#
# Shared: the sums of each tile and channel, if dslope is wanted.
#
# Source: He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers".

cdef struct PreluArgs:
    const real* x
    const real* slope
    real* y
    Py_ssize_t rows
    Py_ssize_t channels
    Py_ssize_t single

cdef struct PreluBackwardArgs:
    const real* x
    const real* slope
    const real* dy
    real* dx
    real* dslope
    real* shared
    Py_ssize_t rows
    Py_ssize_t channels
    Py_ssize_t single
    Py_ssize_t accumulate


cdef inline vf slope_part(const real* slope, bint single, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    return vset(slope[0]) if single else vload_upto(slope + j, n)


# --- forward ------------------------------------------------------------------------------------

cdef inline void prelu_part(int g, const NormTile* t, bint single, Py_ssize_t r, Py_ssize_t j, Py_ssize_t n) noexcept nogil:
    cdef vf slope = slope_part(t.gamma, single, j, n), v
    cdef Py_ssize_t k = r * t.channels + j
    cdef int i
    for i in range(g):
        v = vload_upto(t.x + k, n)
        vstore_upto(t.out + k, vselect(vgt(v, vzero()), v, slope * v), n)
        k += t.channels


cdef inline void prelu_rows(int g, const NormTile* t, bint single, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t j
    for j from 0 <= j <= t.width - LANES by LANES:
        prelu_part(g, t, single, r, j, LANES)
    j = t.width // LANES * LANES
    if j < t.width:
        prelu_part(g, t, single, r, j, t.width - j)


cdef void prelu(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const PreluArgs* p = <const PreluArgs*>args
    cdef NormTile m = norm_tiles(p.rows, p.channels)
    cdef NormTile t
    cdef Py_ssize_t i, r
    m.x = p.x
    m.out = p.y
    for i in range(thread * m.tiles // n_threads, (thread + 1) * m.tiles // n_threads):
        t = tile_at(&m, i)
        t.gamma = p.slope if p.single else p.slope + i % m.across * NORM_WIDTH
        for r from 0 <= r <= t.rows - 4 by 4:
            prelu_rows(4, &t, p.single, r)
        for r in range(t.rows // 4 * 4, t.rows):
            prelu_rows(1, &t, p.single, r)


# --- backward -----------------------------------------------------------------------------------

cdef Py_ssize_t prelu_backward_shared(const void* args) noexcept nogil:
    cdef const PreluBackwardArgs* p = <const PreluBackwardArgs*>args
    return 0 if p.dslope == NULL else norm_tiles(p.rows, p.channels).down * p.channels * sizeof(real)


cdef inline void prelu_backward_part(int g, const NormTile* t, bint single, Py_ssize_t r, Py_ssize_t j,
                                     Py_ssize_t n) noexcept nogil:
    cdef vf slope = slope_part(t.gamma, single, j, n), x, dy, sum = vzero()
    cdef vm above
    cdef Py_ssize_t k = r * t.channels + j
    cdef int i
    for i in range(g):
        x = vload_upto(t.x + k, n)
        dy = vload_upto(t.dy + k, n)
        above = vgt(x, vzero())
        sum = vfma(vselect(above, vzero(), x), dy, sum)
        if t.out != NULL:
            vstore_upto(t.out + k, vselect(above, dy, slope * dy), n)
        k += t.channels
    if t.partial != NULL:
        vstore_upto(t.partial + j, sum if r == 0 else vload_upto(t.partial + j, n) + sum, n)


cdef inline void prelu_backward_rows(int g, const NormTile* t, bint single, Py_ssize_t r) noexcept nogil:
    cdef Py_ssize_t j
    for j from 0 <= j <= t.width - LANES by LANES:
        prelu_backward_part(g, t, single, r, j, LANES)
    j = t.width // LANES * LANES
    if j < t.width:
        prelu_backward_part(g, t, single, r, j, t.width - j)


cdef void prelu_backward(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const PreluBackwardArgs* p = <const PreluBackwardArgs*>args
    cdef NormTile m = norm_tiles(p.rows, p.channels)
    cdef NormTile t
    cdef Py_ssize_t i, r
    m.x = p.x
    m.dy = p.dy
    m.out = p.dx
    m.partial = NULL if p.dslope == NULL else p.shared
    for i in range(thread * m.tiles // n_threads, (thread + 1) * m.tiles // n_threads):
        t = tile_at(&m, i)
        t.gamma = p.slope if p.single else p.slope + i % m.across * NORM_WIDTH
        for r from 0 <= r <= t.rows - 4 by 4:
            prelu_backward_rows(4, &t, p.single, r)
        for r in range(t.rows // 4 * 4, t.rows):
            prelu_backward_rows(1, &t, p.single, r)


cdef void prelu_backward_join(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const PreluBackwardArgs* p = <const PreluBackwardArgs*>args
    cdef Py_ssize_t down = norm_tiles(p.rows, p.channels).down
    cdef Py_ssize_t blocks = (p.channels + NORM_JOINED - 1) // NORM_JOINED
    cdef Py_ssize_t block, k
    cdef double total = 0
    if p.dslope == NULL:
        return
    if p.single:
        if thread == 0:
            for k in range(down * p.channels):
                total = total + p.shared[k]
            put(p.dslope, total, p.accumulate)
        return
    for block in range(thread * blocks // n_threads, (thread + 1) * blocks // n_threads):
        join_columns(p.shared, down, p.channels, p.dslope, p.accumulate, block * NORM_JOINED,
                     min(p.channels - block * NORM_JOINED, <Py_ssize_t>NORM_JOINED))
