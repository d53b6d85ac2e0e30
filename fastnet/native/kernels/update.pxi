# Optimizer updates over flat memory, one pass each; the formulas are PyTorch's.
#
# w           in, out: parameters           g  in: gradients
# b           momentum buffer or NULL       m, v, s, a  running means and sums, in and out
# ranges      in [n_ranges]: which elements of these arrays, with their settings
# control     in: step (the count of this update, from 1); with a status that is not GOOD an update changes nothing
#
# All arrays have the same layout; ranges don't overlap. Below, g is the gradient after clipping and with decay * w added,
# and w what a decoupled decay leaves of it (Loshchilov & Hutter 2019): each rule has either by `Terms`.
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


cdef Py_ssize_t blocks_of(const Range* ranges, Py_ssize_t n_ranges) noexcept nogil:
    cdef Py_ssize_t i, total = 0
    for i in range(n_ranges):
        total += (ranges[i].n + UPDATE_BLOCK - 1) // UPDATE_BLOCK
    return total


cdef Share share_of(const Range* ranges, Py_ssize_t n_ranges, int thread, int n_threads) noexcept nogil:
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


cdef bint next_run(Share* s) noexcept nogil:
    """Move to the next range of which this thread has a run of elements."""
    cdef Py_ssize_t blocks, low, high
    while s.left > 1:
        s.r += 1
        s.left -= 1
        blocks = (s.r.n + UPDATE_BLOCK - 1) // UPDATE_BLOCK
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


# --- SGD:  b = momentum b + g (b = g in the first step);  w -= lr b,  nesterov: w -= lr (g + momentum b) -----------

cdef struct SgdArgs:
    real* w
    const real* g
    real* b
    const Range* ranges
    const Control* control
    Py_ssize_t n_ranges
    Py_ssize_t nesterov
    double momentum


cdef inline void sgd_run(const SgdArgs* args, const Share* s, bint momentum, bint first) noexcept nogil:
    cdef SgdArgs a = args[0]
    cdef Terms t = terms_of(s.r)
    cdef vf mu = vset(<real>a.momentum)
    cdef vf w, g, b
    cdef Py_ssize_t i, n, end = s.begin + s.n
    for i from s.begin <= i < end by LANES:
        n = end - i
        w = vload_upto(a.w + i, n)
        g = gradient_of(&t, vload_upto(a.g + i, n), w)
        if momentum:
            b = g if first else vfma(vload_upto(a.b + i, n), mu, g)
            vstore_upto(a.b + i, b, n)
            g = vfma(b, mu, g) if a.nesterov else b
        vstore_upto(a.w + i, vfma(g, t.minus_lr, w * t.shrink), n)


cdef void sgd_update(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const SgdArgs* a = <const SgdArgs*>args
    cdef Share s = share_of(a.ranges, a.n_ranges, thread, n_threads)
    if a.control.status != GOOD:
        return
    while next_run(&s):
        if a.b == NULL:
            sgd_run(a, &s, False, False)
        elif a.control.step == 1:
            sgd_run(a, &s, True, True)
        else:
            sgd_run(a, &s, True, False)


# --- Adam (Kingma & Ba 2015), AMSGrad (Reddi et al. 2018), AdamW (Loshchilov & Hutter 2019) -----------------------
#   m = beta_1 m + (1 - beta_1) g     v = beta_2 v + (1 - beta_2) g^2     v_max = max(v_max, v)
#   w -= lr / (1 - beta_1^step) m / (sqrt(v / (1 - beta_2^step)) + epsilon)          v_max for v where it is not NULL

cdef struct AdamArgs:
    real* w
    const real* g
    real* m
    real* v
    real* v_max
    const Range* ranges
    const Control* control
    Py_ssize_t n_ranges
    double beta_1
    double beta_2
    double epsilon

# What one step makes of them: epsilon' = epsilon sqrt(c), lr' = lr sqrt(c) / (1 - beta_1^step) with
# c = 1 - beta_2^step, which saves a division.
cdef struct AdamStep:
    double epsilon
    double rate_factor


cdef inline vf vload_of(const real* p, Py_ssize_t u, Py_ssize_t n) noexcept nogil:
    return vload_upto(p + u * LANES, max(n - u * LANES, 0))


cdef inline void vstore_of(real* p, Py_ssize_t u, vf x, Py_ssize_t n) noexcept nogil:
    vstore_upto(p + u * LANES, x, max(n - u * LANES, 0))


cdef inline void adam_run(const AdamArgs* args, const AdamStep* c, const Share* s, bint amsgrad, bint plain) noexcept nogil:
    """`plain`: without clipping and decay.

    Vectors are loaded TOGETHER before any is stored: a load waits for a store at the same place of another page.
    """
    cdef AdamArgs a = args[0]
    cdef Terms t = terms_of(s.r)
    cdef vf rate_1 = vset(<real>(1 - a.beta_1)), beta_2 = vset(<real>a.beta_2), rate_2 = vset(<real>(1 - a.beta_2))
    cdef vf epsilon = vset(<real>c.epsilon), minus_lr = vset(<real>(-s.r.learning_rate * c.rate_factor))
    cdef vf w[TOGETHER]
    cdef vf g[TOGETHER]
    cdef vf m[TOGETHER]
    cdef vf v[TOGETHER]
    cdef vf root
    cdef Py_ssize_t i, u, n, end = s.begin + s.n
    for i from s.begin <= i < end by TOGETHER * LANES:
        n = end - i
        for u in range(TOGETHER):
            w[u] = vload_of(a.w + i, u, n)
            g[u] = vload_of(a.g + i, u, n)
            m[u] = vload_of(a.m + i, u, n)
            v[u] = vload_of(a.v + i, u, n)
        for u in range(TOGETHER):
            if not plain:
                g[u] = gradient_of(&t, g[u], w[u])
                w[u] = w[u] * t.shrink
            v[u] = vfma(g[u] * g[u], rate_2, v[u] * beta_2)
            m[u] = vfma(g[u] - m[u], rate_1, m[u])
            root = v[u]
            if amsgrad:
                root = vmax(vload_of(a.v_max + i, u, n), v[u])
                vstore_of(a.v_max + i, u, root, n)
            w[u] = vfma(m[u] / (vroot(root) + epsilon), minus_lr, w[u])
        for u in range(TOGETHER):
            vstore_of(a.m + i, u, m[u], n)
            vstore_of(a.v + i, u, v[u], n)
            vstore_of(a.w + i, u, w[u], n)


cdef void adam_update(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const AdamArgs* a = <const AdamArgs*>args
    cdef Share s = share_of(a.ranges, a.n_ranges, thread, n_threads)
    cdef AdamStep c
    cdef double correction_1, correction_2
    if a.control.status != GOOD:
        return
    powers_of(a.beta_1, a.beta_2, a.control.step, &correction_1, &correction_2)
    correction_1 = 1 - correction_1
    correction_2 = sqrt(1 - correction_2)
    c.epsilon = a.epsilon * correction_2
    c.rate_factor = correction_2 / correction_1
    while next_run(&s):
        if a.v_max != NULL:
            adam_run(a, &c, &s, True, False)
        elif s.r.scale == 1 and s.r.limit == INFINITY and s.r.decay == 0:
            adam_run(a, &c, &s, False, True)
        else:
            adam_run(a, &c, &s, False, False)


# --- RMSprop (Tieleman & Hinton 2012; centered: Graves 2013) -------------------------------------------------------
#   v = rho v + (1 - rho) g^2     a = rho a + (1 - rho) g     d = g / (sqrt(v - a^2) + epsilon)
#   w -= lr d,  with momentum: b = momentum b + d; w -= lr b.  Where rounding makes v - a^2 negative, it is zero.

cdef struct RmspropArgs:
    real* w
    const real* g
    real* v
    real* b
    real* a
    const Range* ranges
    const Control* control
    Py_ssize_t n_ranges
    double rho
    double epsilon
    double momentum


cdef inline void rmsprop_run(const RmspropArgs* args, const Share* s, bint momentum, bint centered) noexcept nogil:
    cdef RmspropArgs p = args[0]
    cdef Terms t = terms_of(s.r)
    cdef vf rho = vset(<real>p.rho), rate = vset(<real>(1 - p.rho))
    cdef vf epsilon = vset(<real>p.epsilon), mu = vset(<real>p.momentum)
    cdef vf w, g, v, a
    cdef Py_ssize_t i, n, end = s.begin + s.n
    for i from s.begin <= i < end by LANES:
        n = end - i
        w = vload_upto(p.w + i, n)
        g = gradient_of(&t, vload_upto(p.g + i, n), w)
        v = vfma(g * g, rate, vload_upto(p.v + i, n) * rho)
        vstore_upto(p.v + i, v, n)
        if centered:
            a = vload_upto(p.a + i, n)
            a = vfma(g - a, rate, a)
            vstore_upto(p.a + i, a, n)
            v = vmax(vzero(), vfma(vneg(a), a, v))
        g = g / (vroot(v) + epsilon)
        if momentum:
            g = vfma(vload_upto(p.b + i, n), mu, g)
            vstore_upto(p.b + i, g, n)
        vstore_upto(p.w + i, vfma(g, t.minus_lr, w * t.shrink), n)


cdef void rmsprop_update(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RmspropArgs* p = <const RmspropArgs*>args
    cdef Share s = share_of(p.ranges, p.n_ranges, thread, n_threads)
    if p.control.status != GOOD:
        return
    while next_run(&s):
        if p.b == NULL and p.a == NULL:
            rmsprop_run(p, &s, False, False)
        elif p.a == NULL:
            rmsprop_run(p, &s, True, False)
        elif p.b == NULL:
            rmsprop_run(p, &s, False, True)
        else:
            rmsprop_run(p, &s, True, True)


# --- Adagrad (Duchi et al. 2011) ----------------------------------------------------------------------------------
#   s += g^2     w -= lr / (1 + (step - 1) learning_rate_decay) g / (sqrt(s) + epsilon)

cdef struct AdagradArgs:
    real* w
    const real* g
    real* s
    const Range* ranges
    const Control* control
    Py_ssize_t n_ranges
    double learning_rate_decay
    double epsilon


cdef void adagrad_run(const AdagradArgs* args, const Share* s) noexcept nogil:
    cdef AdagradArgs a = args[0]
    cdef Terms t = terms_of(s.r)
    cdef vf epsilon = vset(<real>a.epsilon)
    cdef vf minus_lr = vset(<real>(-s.r.learning_rate / (1 + (a.control.step - 1) * a.learning_rate_decay)))
    cdef vf w, g, squares
    cdef Py_ssize_t i, n, end = s.begin + s.n
    for i from s.begin <= i < end by LANES:
        n = end - i
        w = vload_upto(a.w + i, n)
        g = gradient_of(&t, vload_upto(a.g + i, n), w)
        squares = vfma(g, g, vload_upto(a.s + i, n))
        vstore_upto(a.s + i, squares, n)
        vstore_upto(a.w + i, vfma(g / (vroot(squares) + epsilon), minus_lr, w * t.shrink), n)


cdef void adagrad_update(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const AdagradArgs* a = <const AdagradArgs*>args
    cdef Share s = share_of(a.ranges, a.n_ranges, thread, n_threads)
    if a.control.status != GOOD:
        return
    while next_run(&s):
        adagrad_run(a, &s)
