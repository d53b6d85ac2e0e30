# The norm of all gradients, for clipping and for the step's status; and a check of any array.
#
# Two ops, as gradients may lie in several memories: `squares` for each, one after the other in one array of partials,
# then `clip` of all of them.
#
# g         in: gradients
# ranges    [n_ranges], those that count (update.pxi); `clip` writes their scale
# partials  double, one for each block of 4096 elements of each range
# control   in, out: gradient_norm, status
# each      1: each range by its own norm; 0: all by that of all
#
#   norm = sqrt(sum g^2)       scale = min(1, clip_norm / (norm + 1e-6)), or 1 where clip_norm is 0   (as PyTorch)
#
# Order of summation: in double, a block's vectors in four sums, blocks in order. float32 squares can neither overflow
# nor underflow there; in float64 an element beyond 1.3e154 makes the norm infinite, which is a bad gradient like any
# other that isn't finite. With a bad status the control stays as it is.

cdef struct SquaresArgs:
    const real* g
    const Range* ranges
    double* partials
    Py_ssize_t n_ranges

cdef struct ClipArgs:
    const double* partials
    Range* ranges
    Control* control
    Py_ssize_t n_ranges
    Py_ssize_t each
    double clip_norm


cdef double sum_of_squares(const real* g, Py_ssize_t n) noexcept nogil:
    cdef vd sums[4]
    cdef vd x
    cdef Py_ssize_t i
    cdef int h
    sums[0] = sums[1] = sums[2] = sums[3] = vdset(0)
    for i from 0 <= i < n by 2 * LANES:
        for h in range(WIDE):
            x = vwiden(vload_upto(g + i, n - i), h)
            sums[h] = sums[h] + x * x
            x = vwiden(vload_upto(g + i + LANES, max(n - i - LANES, 0)), h)
            sums[2 + h] = sums[2 + h] + x * x
    return vdsum((sums[0] + sums[1]) + (sums[2] + sums[3]))


cdef void squares(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const SquaresArgs* a = <const SquaresArgs*>args
    cdef Share s = share_of(a.ranges, a.n_ranges, thread, n_threads)
    cdef Py_ssize_t i
    while next_run(&s):
        for i from 0 <= i < s.n by UPDATE_BLOCK:
            a.partials[s.block] = sum_of_squares(a.g + s.begin + i, min(s.n - i, <Py_ssize_t>UPDATE_BLOCK))
            s.block += 1


cdef inline double scale_for(double norm, double clip_norm) noexcept nogil:
    return min(1.0, clip_norm / (norm + 1e-6)) if clip_norm > 0 else 1.0


cdef void clip(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ClipArgs* a = <const ClipArgs*>args
    cdef Py_ssize_t i, j, block = 0
    cdef double total = 0, squares
    if thread or a.control.status != GOOD:
        return
    for i in range(a.n_ranges):
        squares = 0
        for j in range(blocks_in(a.ranges[i].n)):
            squares += a.partials[block]
            block += 1
        total += squares
        if a.each:
            a.ranges[i].scale = scale_for(sqrt(squares), a.clip_norm)
    a.control.gradient_norm = sqrt(total)
    if not total < INFINITY:
        a.control.status = BAD_GRADIENT
    elif not a.each:
        for i in range(a.n_ranges):
            a.ranges[i].scale = scale_for(a.control.gradient_norm, a.clip_norm)


# --- is everything finite? x in [n]; if not, the status becomes `code`. Threads take whole blocks. ---------------------

cdef struct CheckFiniteArgs:
    const real* x
    Control* control
    Py_ssize_t n
    Py_ssize_t code


cdef void check_finite(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const CheckFiniteArgs* a = <const CheckFiniteArgs*>args
    cdef Py_ssize_t blocks = blocks_in(a.n)
    cdef Py_ssize_t i
    cdef vf zeros = vzero()         # becomes NaN with the first that is not finite
    cdef Py_ssize_t end = min((thread + 1) * blocks // n_threads * UPDATE_BLOCK, a.n)
    for i from thread * blocks // n_threads * UPDATE_BLOCK <= i < end by LANES:
        zeros = vfma(vload_upto(a.x + i, a.n - i), vzero(), zeros)
    if vany(visnan(zeros)):
        report(a.control, a.code)
