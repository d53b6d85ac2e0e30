# Sums for metrics, added to by batch after batch, in double.
#
# prediction  in [rows, classes] or [rows, cols]: logits, or values
# labels      in, int32 [rows], or NULL           targets  in, like prediction, or NULL
# weights     in [rows] or NULL: one each         sums     in, out, double; layouts below
# control     in, or NULL: with a status that is not GOOD nothing is changed
#
# count_correct   sums = {sum w correct, sum w}
#   CORRECT_CLASS: the label (or the argmax of the targets) is among the top_k predictions; of equal ones, as argmax has
#     it, the first wins. A NaN outranks every number, and a label whose own prediction is NaN is wrong.
#   CORRECT_SIGN: the share of the columns where prediction > 0 says the same as target > 0.5; NaN is wrong
# regression_sums
#   SQUARED_ERROR, ABSOLUTE_ERROR: sums = {sum w l, sum w}, l the mean over the columns
#   R_SQUARED: sums = {sum w, then cols means of t, cols sums w (t - mean)^2, cols sums w (t - prediction)^2}, all zero
#     at the start; R^2 of a column is 1 - its third / its second
#
# Thread 0 does it all, rows in order, so the bits are the same for any number of threads. Means of t and sums of squares
# about them move with each row (West 1979), as sum w t^2 - (sum w t)^2 / sum w would cancel.

cdef enum CorrectKind:
    CORRECT_CLASS
    CORRECT_SIGN

cdef enum RegressionSum:
    SQUARED_ERROR
    ABSOLUTE_ERROR
    R_SQUARED

cdef struct CountCorrectArgs:
    const real* prediction
    const int32_t* labels
    const real* targets
    const real* weights
    double* sums
    const Control* control
    Py_ssize_t rows
    Py_ssize_t classes
    Py_ssize_t top_k
    Py_ssize_t kind


cdef inline Py_ssize_t first_greatest(const real* x, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, best = 0
    for i in range(1, n):
        if x[i] > x[best]:
            best = i
    return best


cdef inline Py_ssize_t outranking(const real* x, Py_ssize_t n, real least, bint ties) noexcept nogil:
    """How many of n elements are above `least`, or equal where `ties`, or NaN; all of them if `least` is NaN."""
    cdef vf level = vset(least), v
    cdef Py_ssize_t i, count = 0, padding = (LANES - n % LANES) % LANES
    for i from 0 <= i < n by LANES:
        v = vload_upto(x + i, n - i)
        count += vcount(vnot(vlt(v, level) if ties else vle(v, level)))
    if (not 0 < least) if ties else (not 0 <= least):
        count -= padding                        # whose lanes are zero
    return count


cdef inline bint is_among_top(const real* x, Py_ssize_t n, Py_ssize_t label, Py_ssize_t top_k) noexcept nogil:
    if not 0 <= label < n or x[label] != x[label]:
        return False
    return outranking(x, label, x[label], True) + outranking(x + label + 1, n - label - 1, x[label], False) < top_k


cdef inline double share_of_signs(const real* x, const real* t, Py_ssize_t n) noexcept nogil:
    cdef vf half = vset(<real>0.5), p, q
    cdef Py_ssize_t i, count = 0, padding = (LANES - n % LANES) % LANES
    for i from 0 <= i < n by LANES:
        p = vload_upto(x + i, n - i)
        q = vload_upto(t + i, n - i)
        count += vcount(vor(vand(vgt(p, vzero()), vgt(q, half)), vand(vle(p, vzero()), vle(q, half))))
    return <double>(count - padding) / <double>n


cdef void count_correct(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const CountCorrectArgs* a = <const CountCorrectArgs*>args
    cdef const real* x = a.prediction
    cdef Py_ssize_t r, label
    cdef double w, right, correct = 0, total = 0
    if thread or is_bad(a.control):
        return
    for r in range(a.rows):
        if a.kind == CORRECT_SIGN:
            right = share_of_signs(x, a.targets + r * a.classes, a.classes)
        else:
            label = a.labels[r] if a.labels != NULL else first_greatest(a.targets + r * a.classes, a.classes)
            right = 1 if is_among_top(x, a.classes, label, a.top_k) else 0
        w = 1 if a.weights == NULL else a.weights[r]
        correct += w * right
        total += w
        x += a.classes
    a.sums[0] += correct
    a.sums[1] += total


cdef struct RegressionSumsArgs:
    const real* prediction
    const real* targets
    const real* weights
    double* sums
    const Control* control
    Py_ssize_t rows
    Py_ssize_t cols
    Py_ssize_t kind


cdef inline double row_error(const real* p, const real* t, Py_ssize_t n, bint squared) noexcept nogil:
    """Sum over one row of e^2 or |e|, by vectors of doubles."""
    cdef vd total[2]
    cdef vd e
    cdef Py_ssize_t i
    cdef int h
    total[0] = total[1] = vdset(0)
    for i from 0 <= i < n by LANES:
        for h in range(WIDE):
            e = vwiden(vload_upto(p + i, n - i), h) - vwiden(vload_upto(t + i, n - i), h)
            total[h] = total[h] + (e * e if squared else vdabs(e))
    return vdsum(total[0] + total[1])


cdef void add_r_squared(const RegressionSumsArgs* a) noexcept nogil:
    cdef double* mean = a.sums + 1
    cdef double* about_mean = mean + a.cols
    cdef double* residual = about_mean + a.cols
    cdef Py_ssize_t r, c
    cdef double w, t, e, delta, part
    for r in range(a.rows):
        w = 1 if a.weights == NULL else a.weights[r]
        if w == 0:
            continue
        a.sums[0] += w
        part = w / a.sums[0]
        for c in range(a.cols):
            t = a.targets[r * a.cols + c]
            e = t - <double>a.prediction[r * a.cols + c]
            delta = t - mean[c]
            mean[c] += part * delta
            about_mean[c] += w * delta * (t - mean[c])
            residual[c] += w * e * e


cdef void regression_sums(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RegressionSumsArgs* a = <const RegressionSumsArgs*>args
    cdef const real* p = a.prediction
    cdef const real* t = a.targets
    cdef Py_ssize_t r
    cdef double w, error, sum_errors = 0, sum_weights = 0
    if thread or is_bad(a.control):
        return
    if a.kind == R_SQUARED:
        add_r_squared(a)
        return
    for r in range(a.rows):
        error = row_error(p, t, a.cols, True) if a.kind == SQUARED_ERROR else row_error(p, t, a.cols, False)
        w = 1 if a.weights == NULL else a.weights[r]
        sum_errors += w * (error / a.cols)
        sum_weights += w
        p += a.cols
        t += a.cols
    a.sums[0] += sum_errors
    a.sums[1] += sum_weights


# --- a loss's result = {sum w l / sum w, sum w} of one batch, added to totals = {sum w l, sum w} ----------------------

cdef struct AddResultArgs:
    const double* result
    double* totals
    const Control* control


cdef void add_result(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const AddResultArgs* a = <const AddResultArgs*>args
    if thread or is_bad(a.control):
        return
    a.totals[0] += a.result[0] * a.result[1]
    a.totals[1] += a.result[1]
