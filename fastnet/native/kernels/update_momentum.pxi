# Updates along the gradient and its running mean (update.pxi has what all rules share): SGD and Lion.

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


# --- Lion (Chen et al. 2023), whose decay is decoupled -------------------------------------------------------------
#   w -= lr sign(beta_1 m + (1 - beta_1) g)     m = beta_2 m + (1 - beta_2) g

cdef struct LionArgs:
    real* w
    const real* g
    real* m
    const Range* ranges
    const Control* control
    Py_ssize_t n_ranges
    double beta_1
    double beta_2


cdef void lion_run(const LionArgs* args, const Share* s) noexcept nogil:
    cdef LionArgs a = args[0]
    cdef Terms t = terms_of(s.r)
    cdef vf beta_1 = vset(<real>a.beta_1), rate_1 = vset(<real>(1 - a.beta_1))
    cdef vf beta_2 = vset(<real>a.beta_2), rate_2 = vset(<real>(1 - a.beta_2))
    cdef vf w, g, m
    cdef Py_ssize_t i, n, end = s.begin + s.n
    for i from s.begin <= i < end by LANES:
        n = end - i
        w = vload_upto(a.w + i, n)
        m = vload_upto(a.m + i, n)
        g = gradient_of(&t, vload_upto(a.g + i, n), w)
        vstore_upto(a.m + i, vfma(g, rate_2, m * beta_2), n)
        vstore_upto(a.w + i, vfma(sign_of(vfma(g, rate_1, m * beta_1)), t.minus_lr, w * t.shrink), n)


cdef void lion_update(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const LionArgs* a = <const LionArgs*>args
    cdef Share s = share_of(a.ranges, a.n_ranges, thread, n_threads)
    if a.control.status != GOOD:
        return
    while next_run(&s):
        lion_run(a, &s)
