# Optimizer updates over flat memory, one pass each: what all rules share. The formulas are PyTorch's.
#
# The rules: update_momentum.pxi, update_squares.pxi, update_adam.pxi, update_muon.pxi. Their arguments are called alike:
#
# w           in, out: parameters           g  in: gradients
# b           momentum buffer or NULL       m, v, s, a, d, u  running means, sums and maxima, in and out
# ranges      in [n_ranges]: which elements of these arrays, with their settings
# control     in: step (the count of this update, from 1); with a status that is not GOOD an update changes nothing
#
# All arrays have the same layout; ranges don't overlap. In the rules, g is the gradient after clipping and with decay * w
# added, and w what a decoupled decay leaves of it (Loshchilov & Hutter 2019): each rule has either by `Terms`.
#
# Blocks of 4096 elements of each range are divided among the threads in order, so that a thread updates the rows of a
# weight matrix whose gradients it has computed (gemm.pxi). Every element is computed
# for itself, so the bits depend on nothing else. Coefficients are computed in double. In cache the root and the
# division are the limit, beyond it the memory; the hardware sees these streams coming, and prefetching brought nothing.

cdef enum:
    UPDATE_BLOCK = 4096

# A row of the table that `step_begin` and `clip` keep and updates read.
cdef struct Range:
    Py_ssize_t offset
    Py_ssize_t n
    Py_ssize_t group        # whose learning rate it takes
    Py_ssize_t decoupled    # the decay shrinks w instead of being added to the gradient
    double decay
    double limit            # of each element of the gradient; INFINITY for none
    double learning_rate    # of this step
    double scale            # of this step's gradient

# A thread's share of the blocks, range after range.
cdef struct Share:
    const Range* r          # the present range
    Py_ssize_t left         # ranges from it on
    Py_ssize_t base         # number of the first block of the range after it
    Py_ssize_t thread
    Py_ssize_t n_threads
    Py_ssize_t block        # number of the present run's first block
    Py_ssize_t begin        # the present run of elements, from the arrays' start
    Py_ssize_t n


cdef inline Py_ssize_t blocks_in(Py_ssize_t n) noexcept nogil:
    return (n + UPDATE_BLOCK - 1) // UPDATE_BLOCK


cdef inline Share share_of(const Range* ranges, Py_ssize_t n_ranges, int thread, int n_threads) noexcept nogil:
    cdef Share s
    s.r = ranges - 1
    s.left = n_ranges + 1
    s.base = 0
    s.thread = thread
    s.n_threads = n_threads
    s.block = 0
    s.begin = 0
    s.n = 0
    return s


cdef inline bint next_run(Share* s) noexcept nogil:
    """Move to the next range of which this thread has a run of elements."""
    cdef Py_ssize_t blocks, low, high
    while s.left > 1:
        s.r += 1
        s.left -= 1
        blocks = blocks_in(s.r.n)
        low = s.thread * blocks // s.n_threads
        high = (s.thread + 1) * blocks // s.n_threads
        s.block = s.base + low
        s.base += blocks
        if low < high:
            s.begin = s.r.offset + low * UPDATE_BLOCK
            s.n = min(high * UPDATE_BLOCK, s.r.n) - low * UPDATE_BLOCK
            return True
    return False


# What all rules do with a range's gradient and weights before they go on.
cdef struct Terms:
    vf scale
    vf limit
    vf decay
    vf shrink
    vf minus_lr


cdef inline Terms terms_of(const Range* r) noexcept nogil:
    cdef Terms t
    t.scale = vset(<real>r.scale)
    t.limit = vset(<real>r.limit)
    t.decay = vset(0 if r.decoupled else <real>r.decay)
    t.shrink = vset(<real>(1 - r.learning_rate * r.decay) if r.decoupled else 1)
    t.minus_lr = vset(<real>-r.learning_rate)
    return t


cdef inline vf gradient_of(const Terms* t, vf g, vf w) noexcept nogil:
    """clamp(scale g, -limit, limit) + decay w."""
    return vfma(w, t.decay, vmax(vneg(t.limit), vmin(t.limit, g * t.scale)))


cdef inline vf sign_of(vf x) noexcept nogil:
    """-1, 0 or 1, or NaN. The least number that is not denormal times the greatest is above 1."""
    return vmax(vset(-1), vmin(vset(1), x * vset(REAL_MAX)))


# A pair of doubles whose sum is the value.
cdef struct Pair:
    double high
    double low


cdef inline Pair product_of(Pair a, Pair b) noexcept nogil:
    cdef double p = a.high * b.high
    cdef double e = fma(a.high, b.high, -p) + (a.high * b.low + a.low * b.high)
    cdef Pair c
    c.high = p + e
    c.low = e - (c.high - p)
    return c


cdef void powers_of(double a, double b, Py_ssize_t n, double* a_to_n, double* b_to_n) noexcept nogil:
    """a ** n and b ** n by repeated squaring of pairs: right to the last bit or two, on every system the same.

    Both in one loop, as each by itself waits for its products.
    """
    cdef Pair power_a = Pair(1, 0), power_b = Pair(1, 0), square_a = Pair(a, 0), square_b = Pair(b, 0)
    while n > 0:
        if n & 1:
            power_a = product_of(power_a, square_a)
            power_b = product_of(power_b, square_b)
        square_a = product_of(square_a, square_a)
        square_b = product_of(square_b, square_b)
        n >>= 1
    a_to_n[0] = power_a.high
    b_to_n[0] = power_b.high
