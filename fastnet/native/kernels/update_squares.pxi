# Updates divided by the root of a mean or sum of squares (update.pxi has what all rules share): RMSprop, Adagrad, Adadelta.

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


# --- Adadelta (Zeiler 2012) ---------------------------------------------------------------------------------------
#   v = rho v + (1 - rho) g^2     x = sqrt(d + epsilon) / sqrt(v + epsilon) g     d = rho d + (1 - rho) x^2     w -= lr x
#
# Two roots, although one of the quotient would do: that underflows where v is great.

cdef struct AdadeltaArgs:
    real* w
    const real* g
    real* v
    real* d
    const Range* ranges
    const Control* control
    Py_ssize_t n_ranges
    double rho
    double epsilon


cdef void adadelta_run(const AdadeltaArgs* args, const Share* s) noexcept nogil:
    cdef AdadeltaArgs a = args[0]
    cdef Terms t = terms_of(s.r)
    cdef vf rho = vset(<real>a.rho), rate = vset(<real>(1 - a.rho)), epsilon = vset(<real>a.epsilon)
    cdef vf w, g, v, d
    cdef Py_ssize_t i, n, end = s.begin + s.n
    for i from s.begin <= i < end by LANES:
        n = end - i
        w = vload_upto(a.w + i, n)
        v = vload_upto(a.v + i, n)
        d = vload_upto(a.d + i, n)
        g = gradient_of(&t, vload_upto(a.g + i, n), w)
        v = vfma(g * g, rate, v * rho)
        g = vroot(d + epsilon) / vroot(v + epsilon) * g
        vstore_upto(a.v + i, v, n)
        vstore_upto(a.d + i, vfma(g * g, rate, d * rho), n)
        vstore_upto(a.w + i, vfma(g, t.minus_lr, w * t.shrink), n)


cdef void adadelta_update(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const AdadeltaArgs* a = <const AdadeltaArgs*>args
    cdef Share s = share_of(a.ranges, a.n_ranges, thread, n_threads)
    if a.control.status != GOOD:
        return
    while next_run(&s):
        adadelta_run(a, &s)
