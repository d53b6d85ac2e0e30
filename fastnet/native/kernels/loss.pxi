# Softmax cross-entropy with its gradient; and how every loss begins and ends.
#
# logits    in [rows, classes]              labels  in, int32 [rows], or targets in [rows, classes]: probabilities
# weights   in [rows] or NULL: one each     dlogits out [rows, classes], may be logits itself, or NULL: the loss alone
# partials  scratch, double, one for each 32 rows            result  out, double: {sum w l / sum w, sum w}
# control   in, out: status, or NULL
#
#   t = (1 - smoothing) target + smoothing / classes      l = -sum t log softmax(z) = T log S - sum t (z - max z)
#   with S = sum exp(z - max z), T = sum t                dlogits = w / sum w (T softmax(z) - t)
#
# Phase 1, thread 0: labels and weights are checked, weights summed. Phase 2: chunks of 32 rows are divided among the
# threads. Phase 3, thread 0: partials are added in order. Within a chunk LANES rows are computed side by side: each over
# its classes by vectors (padding lanes are -Inf, whose exponential is 0), until a vector has the sum of each; the lanes
# of these are added together (vsum_each), and one logarithm serves them all.
#
# Order of summation: the classes of a row in LANES interleaved sums, then those in a tree, which depends on `classes`
# alone; w l over a chunk in LANES sums, in double, and the chunks in order.
#
# What is wrong sets the status, where no earlier op has: a label outside of the classes (or a target that is negative or
# NaN) BAD_LABEL, weights that are negative, NaN or have no positive finite sum BAD_WEIGHT, a loss that isn't finite
# BAD_LOSS. In the first two cases dlogits is not to be used, and result is NaN. With a status bad before, nothing is
# written. No rows: result is {0, 0}.

cdef enum:
    LOSS_CHUNK = 32              # rows of one partial sum: a multiple of all LANES

cdef struct SoftmaxArgs:
    const real* logits
    const int32_t* labels
    const real* targets
    const real* weights
    real* dlogits
    double* partials
    double* result
    Control* control
    Py_ssize_t rows
    Py_ssize_t classes
    double smoothing


# --- what all losses share --------------------------------------------------------------------------------------

cdef double sum_of_weights(const real* weights, Py_ssize_t rows) noexcept nogil:
    """In double; NaN unless every weight is at least 0 and the sum is positive and finite."""
    cdef vd sums[2]
    cdef vf w, least = vzero()
    cdef double total
    cdef Py_ssize_t i
    cdef int h
    if weights == NULL:
        return rows
    sums[0] = sums[1] = vdset(0)
    for i from 0 <= i < rows by LANES:
        w = vload_upto(weights + i, rows - i)
        least = vmin(w, least)
        for h in range(WIDE):
            sums[h] = sums[h] + vwiden(w, h)
    total = vdsum(sums[0] + sums[1])
    return total if 0 < total < INFINITY and not vany(vlt(least, vzero())) else NAN


cdef void begin_loss(const int32_t* labels, const real* weights, double* result, Control* control,
                     Py_ssize_t rows, Py_ssize_t classes) noexcept nogil:
    cdef Py_ssize_t i
    cdef bint outside = False
    if is_bad(control):
        return
    result[0] = 0
    result[1] = 0
    if rows == 0:
        return
    if labels != NULL:
        for i in range(rows):
            outside |= <uint32_t>labels[i] >= <size_t>classes
        if outside:
            report(control, BAD_LABEL)
    result[1] = NAN if outside else sum_of_weights(weights, rows)
    if result[1] != result[1]:
        result[0] = NAN
        report(control, BAD_WEIGHT)


cdef inline bint is_void(const double* result, const Control* control, Py_ssize_t rows) noexcept nogil:
    """Is there nothing to compute, by what phase 1 has found?"""
    return rows == 0 or is_bad(control) or result[1] != result[1]


cdef void end_loss(const double* partials, double* result, Control* control, Py_ssize_t rows, Py_ssize_t cols,
                   bint has_classes) noexcept nogil:
    """Add the partials; one of -Inf says that its chunk has a bad target, where there are classes."""
    cdef double total = 0
    cdef Py_ssize_t c
    cdef bint outside = False
    if is_void(result, control, rows):
        return
    for c in range((rows + LOSS_CHUNK - 1) // LOSS_CHUNK):
        outside = outside or (has_classes and partials[c] == -INFINITY)
        total += partials[c]
    result[0] = total / (result[1] * cols)
    if outside:
        result[0] = NAN
        result[1] = NAN
        report(control, BAD_LABEL)
    elif not -INFINITY < result[0] < INFINITY:
        report(control, BAD_LOSS)


# --- softmax cross-entropy ------------------------------------------------------------------------------------------

cdef void softmax_begin(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const SoftmaxArgs* a = <const SoftmaxArgs*>args
    if thread == 0:
        begin_loss(a.labels, a.weights, a.result, a.control, a.rows, a.classes)


cdef inline vf exp_of_negative(vf x) noexcept nogil:
    """e^x for x <= 0: vexp but for its upper limit, and 0 as soon as the result would be denormal."""
    cdef vf t, r
    r = exp_reduced(vmax(vset(<real>(-709 if IS_DOUBLE else -88)), x), &t)
    return horner2(exp_series(r), r, <real>1, <real>1) * power_of_two(t)


cdef inline vf row_vector(const real* z, Py_ssize_t n) noexcept nogil:
    """A whole vector of a row, or its last n < LANES elements with -Inf behind them."""
    return vload(z) if n >= LANES else vload_or(z, n, -<real>INFINITY)


cdef inline double softmax_group(const SoftmaxArgs* args, Py_ssize_t r0, Py_ssize_t n, bint few, bint has_labels) noexcept nogil:
    """Rows r0 .. r0 + n, at most LANES: their dlogits, and the sum of w l; -Inf if a target is negative or NaN.

    `few`: one or two vectors in a row, so that exponentials stay on the stack; else dlogits keeps them.
    """
    cdef SoftmaxArgs a = args[0]
    cdef Py_ssize_t C = a.classes, i, j, end = whole_vectors(C)
    cdef vf greatest[LANES]
    cdef vf sums[LANES]             # of exp(d), where d = z - max z
    cdef vf sums_d[LANES]
    cdef vf sums_t[LANES]
    cdef vf sums_td[LANES]
    cdef vf exps[2 * LANES]
    cdef real of_row[LANES]
    cdef real scales[LANES]
    cdef real shares[LANES]
    cdef real floors[LANES]
    cdef const real* z
    cdef const real* t
    cdef real* dz
    cdef vf d, e, x, target, S, T, g, loss, td, inside, numbers
    cdef vf least = vzero()
    cdef vf keep = vset(<real>(1 - a.smoothing)), uniform = vset(<real>(a.smoothing / C))
    cdef vd total[2]
    cdef int h
    cdef bint smooth = not has_labels or a.smoothing > 0

    for i in range(LANES):
        greatest[i] = sums[i] = sums_d[i] = sums_t[i] = sums_td[i] = vset(<real>1)
        of_row[i] = i
    numbers = vload(of_row)
    inside = vset(<real>(C % LANES))
    for i in range(n):
        z = a.logits + (r0 + i) * C
        x = row_vector(z, C)
        for j from LANES <= j < end by LANES:
            x = vmax(x, row_vector(z + j, C - j))
        greatest[i] = x
        if has_labels:
            of_row[i] = z[a.labels[r0 + i]]
    x = vmax_each(greatest)
    td = vload(of_row) - x
    vstore(of_row, x)

    for i in range(n):
        z = a.logits + (r0 + i) * C
        t = a.targets + (r0 + i) * C
        dz = a.dlogits + (r0 + i) * C
        S = vzero()
        if smooth:
            sums_d[i] = sums_t[i] = sums_td[i] = vzero()
        for j from 0 <= j < end by LANES:
            d = row_vector(z + j, C - j) - vset(of_row[i])
            e = exp_of_negative(d)
            S = S + e
            if few:
                exps[2 * i + j // LANES] = e
            elif a.dlogits != NULL:
                vstore_end(dz + j, e, C - j)
            if smooth:
                if C - j < LANES:
                    d = vselect(vlt(numbers, inside), d, vzero())
                sums_d[i] = sums_d[i] + d
            if not has_labels:
                target = vload_upto(t + j, C - j)
                least = vmin(least, vselect(visnan(target), vset(<real>-1), target))
                sums_t[i] = sums_t[i] + target
                sums_td[i] = vfma(target, d, sums_td[i])
        sums[i] = S

    S = vsum_each(sums)
    T = vset(<real>1)
    if not has_labels:
        T = vfma(keep, vsum_each(sums_t), vset(<real>a.smoothing))
        td = vsum_each(sums_td)
    loss = vfma(T, vlog(S), vneg(keep * td))
    if a.smoothing > 0:
        loss = vfma(vneg(uniform), vsum_each(sums_d), loss)
    vstore(of_row, loss)
    loss = vload_n(of_row, n)
    g = vload_n(a.weights + r0, n) if a.weights != NULL else vset(<real>1)
    total[0] = total[1] = vdset(0)
    for h in range(WIDE):
        total[h] = vwiden(g, h) * vwiden(loss, h)
    if a.dlogits != NULL:
        g = g / vset(<real>a.result[1])
        vstore(scales, g * T / S)
        vstore(shares, vneg(g * keep))
        vstore(floors, vneg(g * uniform))
        for i in range(n):
            dz = a.dlogits + (r0 + i) * C
            t = a.targets + (r0 + i) * C
            for j from 0 <= j < end by LANES:
                e = exps[2 * i + j // LANES] if few else vload_upto(dz + j, C - j)
                x = vfma(e, vset(scales[i]), vset(floors[i]))
                if not has_labels:
                    x = vfma(vload_upto(t + j, C - j), vset(shares[i]), x)
                elif few:
                    d = vset(<real>(a.labels[r0 + i] - j))
                    x = vselect(veq(numbers, d), x + vset(shares[i]), x)
                vstore_end(dz + j, x, C - j)
            if has_labels and not few:
                dz[a.labels[r0 + i]] += shares[i]
    if not has_labels and vany(vlt(least, vzero())):
        return -INFINITY
    return vdsum(total[0] + total[1])


cdef double softmax_group_of(const SoftmaxArgs* a, Py_ssize_t r, Py_ssize_t n) noexcept nogil:
    """The forms of the function above that are worth code of their own."""
    if a.labels == NULL:
        return softmax_group(a, r, n, False, False)
    if a.classes <= 2 * LANES:
        return softmax_group(a, r, n, True, True)
    return softmax_group(a, r, n, False, True)


cdef void softmax_rows(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const SoftmaxArgs* a = <const SoftmaxArgs*>args
    cdef Py_ssize_t chunks = (a.rows + LOSS_CHUNK - 1) // LOSS_CHUNK
    cdef Py_ssize_t c, r, end, n
    cdef double total
    if is_void(a.result, a.control, a.rows):
        return
    for c in range(thread * chunks // n_threads, (thread + 1) * chunks // n_threads):
        end = min((c + 1) * LOSS_CHUNK, a.rows)
        total = 0
        for r from c * LOSS_CHUNK <= r < end by LANES:
            n = min(end - r, <Py_ssize_t>LANES)
            total += softmax_group_of(a, r, n)
        a.partials[c] = total


cdef void softmax_end(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const SoftmaxArgs* a = <const SoftmaxArgs*>args
    if thread == 0:
        end_loss(a.partials, a.result, a.control, a.rows, 1, a.labels == NULL)
