# Updates by running means of the gradient and of its size (update.pxi has what all rules share): Adam, NAdam, RAdam, Adamax.
#
#   m = beta_1 m + (1 - beta_1) g     v = beta_2 v + (1 - beta_2) g^2
#
# In Adam, NAdam and RAdam w changes by (of_m m + of_g g) / (sqrt(v) + epsilon'), in RAdam's first steps by of_m m, with three
# coefficients of the step: of_m and of_g have the learning rate and the sign in them, and a root of v's bias correction
# (1 - beta_2^step) stands in all of them instead of under v, which saves a division.

# One step of one range.
cdef struct Moments:
    real* w
    const real* g
    real* m
    real* v
    real* v_max             # AMSGrad's
    double beta_1
    double beta_2
    double epsilon
    double of_m
    double of_g             # NAdam's

cdef enum MomentsRule:
    ADAM
    AMSGRAD
    NADAM
    UNRECTIFIED             # RAdam's first steps


cdef inline vf vload_of(const real* p, Py_ssize_t u, Py_ssize_t n) noexcept nogil:
    return vload_upto(p + u * LANES, max(n - u * LANES, 0))


cdef inline void vstore_of(real* p, Py_ssize_t u, vf x, Py_ssize_t n) noexcept nogil:
    vstore_upto(p + u * LANES, x, max(n - u * LANES, 0))


cdef inline void moments_run(const Moments* step, const Share* s, int rule, bint plain) noexcept nogil:
    """`plain`: without clipping and decay.

    Vectors are loaded TOGETHER before any is stored: a load waits for a store at the same place of another page.
    """
    cdef Moments a = step[0]
    cdef Terms t = terms_of(s.r)
    cdef vf rate_1 = vset(<real>(1 - a.beta_1)), beta_2 = vset(<real>a.beta_2), rate_2 = vset(<real>(1 - a.beta_2))
    cdef vf epsilon = vset(<real>a.epsilon), of_m = vset(<real>a.of_m), of_g = vset(<real>a.of_g)
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
            if rule == AMSGRAD:
                root = vmax(vload_of(a.v_max + i, u, n), v[u])
                vstore_of(a.v_max + i, u, root, n)
            if rule == UNRECTIFIED:
                w[u] = vfma(m[u], of_m, w[u])
            elif rule == NADAM:
                w[u] = w[u] + vfma(g[u], of_g, m[u] * of_m) / (vroot(root) + epsilon)
            else:
                w[u] = vfma(m[u] / (vroot(root) + epsilon), of_m, w[u])
        for u in range(TOGETHER):
            vstore_of(a.m + i, u, m[u], n)
            vstore_of(a.v + i, u, v[u], n)
            vstore_of(a.w + i, u, w[u], n)


# --- Adam (Kingma & Ba 2015), AMSGrad (Reddi et al. 2018), AdamW (Loshchilov & Hutter 2019) -----------------------
#   v_max = max(v_max, v)
#   w -= lr / (1 - beta_1^step) m / (sqrt(v / (1 - beta_2^step)) + epsilon)          v_max for v where it is not NULL
#
# With `epsilon_hat` epsilon is added to sqrt(v), before the correction.

cdef struct AdamArgs:
    real* w
    const real* g
    real* m
    real* v
    real* v_max
    const Range* ranges
    const Control* control
    Py_ssize_t n_ranges
    Py_ssize_t epsilon_hat
    double beta_1
    double beta_2
    double epsilon


cdef void adam_update(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const AdamArgs* a = <const AdamArgs*>args
    cdef Share s = share_of(a.ranges, a.n_ranges, thread, n_threads)
    cdef Moments step
    cdef double correction_1, correction_2, epsilon
    if a.control.status != GOOD:
        return
    powers_of(a.beta_1, a.beta_2, a.control.step, &correction_1, &correction_2)
    correction_1 = 1 - correction_1
    correction_2 = sqrt(1 - correction_2)
    epsilon = a.epsilon if a.epsilon_hat else a.epsilon * correction_2
    step = Moments(a.w, a.g, a.m, a.v, a.v_max, a.beta_1, a.beta_2, epsilon, 0, 0)
    while next_run(&s):
        step.of_m = -s.r.learning_rate * (correction_2 / correction_1)
        if a.v_max != NULL:
            moments_run(&step, &s, AMSGRAD, False)
        elif s.r.scale == 1 and s.r.limit == INFINITY and s.r.decay == 0:
            moments_run(&step, &s, ADAM, True)
        else:
            moments_run(&step, &s, ADAM, False)


# --- NAdam (Dozat 2016) -------------------------------------------------------------------------------------------
#   mu_t = beta_1 (1 - 0.5 momentum_base^t)     c_t = 1 - mu_1 ... mu_t
#   w -= lr (mu_{t+1} / c_{t+1} m + (1 - mu_t) / c_t g) / (sqrt(v / (1 - beta_2^t)) + epsilon),     t = step
#
# momentum_base is 0.96^momentum_decay. `c` has c_{t-1}, one double that is zero before the first step: it becomes
# mu_t c + (1 - mu_t), in a second phase, when all threads have read it.

cdef struct NadamArgs:
    real* w
    const real* g
    real* m
    real* v
    double* c
    const Range* ranges
    const Control* control
    Py_ssize_t n_ranges
    double beta_1
    double beta_2
    double epsilon
    double momentum_base


cdef void nadam_update(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const NadamArgs* a = <const NadamArgs*>args
    cdef Share s = share_of(a.ranges, a.n_ranges, thread, n_threads)
    cdef Moments step
    cdef double power, correction, mu, next_mu, c, next_c
    if a.control.status != GOOD:
        return
    powers_of(a.momentum_base, a.beta_2, a.control.step, &power, &correction)
    correction = sqrt(1 - correction)
    mu = a.beta_1 * (1 - 0.5 * power)
    next_mu = a.beta_1 * (1 - 0.5 * power * a.momentum_base)
    c = mu * a.c[0] + (1 - mu)
    next_c = next_mu * c + (1 - next_mu)
    step = Moments(a.w, a.g, a.m, a.v, NULL, a.beta_1, a.beta_2, a.epsilon * correction, 0, 0)
    while next_run(&s):
        step.of_m = -s.r.learning_rate * correction * (next_mu / next_c)
        step.of_g = -s.r.learning_rate * correction * ((1 - mu) / c)
        moments_run(&step, &s, NADAM, False)


cdef void nadam_end(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const NadamArgs* a = <const NadamArgs*>args
    cdef double power, unused, mu
    if thread or a.control.status != GOOD:
        return
    powers_of(a.momentum_base, 1, a.control.step, &power, &unused)
    mu = a.beta_1 * (1 - 0.5 * power)
    a.c[0] = mu * a.c[0] + (1 - mu)


# --- RAdam (Liu et al. 2020) --------------------------------------------------------------------------------------
#   rho_inf = 2 / (1 - beta_2) - 1     rho = rho_inf - 2 step beta_2^step / (1 - beta_2^step)
#   rho > 5:  w -= lr r / (1 - beta_1^step) m sqrt(1 - beta_2^step) / (sqrt(v) + epsilon)
#             r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho))
#   else:     w -= lr / (1 - beta_1^step) m

cdef struct RadamArgs:
    real* w
    const real* g
    real* m
    real* v
    const Range* ranges
    const Control* control
    Py_ssize_t n_ranges
    double beta_1
    double beta_2
    double epsilon


cdef void radam_update(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RadamArgs* a = <const RadamArgs*>args
    cdef Share s = share_of(a.ranges, a.n_ranges, thread, n_threads)
    cdef Moments step
    cdef double power_1, power_2, rho, rho_inf, factor
    if a.control.status != GOOD:
        return
    powers_of(a.beta_1, a.beta_2, a.control.step, &power_1, &power_2)
    rho_inf = 2 / (1 - a.beta_2) - 1
    rho = rho_inf - 2 * a.control.step * power_2 / (1 - power_2)
    factor = 1 / (1 - power_1)
    if rho > 5:
        factor *= sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) * sqrt(1 - power_2)
    step = Moments(a.w, a.g, a.m, a.v, NULL, a.beta_1, a.beta_2, a.epsilon, 0, 0)
    while next_run(&s):
        step.of_m = -s.r.learning_rate * factor
        if rho > 5:
            moments_run(&step, &s, ADAM, False)
        else:
            moments_run(&step, &s, UNRECTIFIED, False)


# --- Adamax (Kingma & Ba 2015, section 7.1) -----------------------------------------------------------------------
#   u = max(beta_2 u, |g| + epsilon)     w -= lr / (1 - beta_1^step) m / u

cdef struct AdamaxArgs:
    real* w
    const real* g
    real* m
    real* u
    const Range* ranges
    const Control* control
    Py_ssize_t n_ranges
    double beta_1
    double beta_2
    double epsilon


cdef inline void adamax_run(const AdamaxArgs* args, const Share* s, double rate_factor) noexcept nogil:
    cdef AdamaxArgs a = args[0]
    cdef Terms t = terms_of(s.r)
    cdef vf rate_1 = vset(<real>(1 - a.beta_1)), beta_2 = vset(<real>a.beta_2), epsilon = vset(<real>a.epsilon)
    cdef vf minus_lr = vset(<real>(-s.r.learning_rate * rate_factor))
    cdef vf w, g, m, u
    cdef Py_ssize_t i, n, end = s.begin + s.n
    for i from s.begin <= i < end by LANES:
        n = end - i
        w = vload_upto(a.w + i, n)
        m = vload_upto(a.m + i, n)
        u = vload_upto(a.u + i, n)
        g = gradient_of(&t, vload_upto(a.g + i, n), w)
        m = vfma(g - m, rate_1, m)
        u = vmax(u * beta_2, vabs(g) + epsilon)
        vstore_upto(a.m + i, m, n)
        vstore_upto(a.u + i, u, n)
        vstore_upto(a.w + i, vfma(m / u, minus_lr, w * t.shrink), n)


cdef void adamax_update(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const AdamaxArgs* a = <const AdamaxArgs*>args
    cdef Share s = share_of(a.ranges, a.n_ranges, thread, n_threads)
    cdef double power, unused
    if a.control.status != GOOD:
        return
    powers_of(a.beta_1, 1, a.control.step, &power, &unused)
    while next_run(&s):
        adamax_run(a, &s, 1 / (1 - power))
