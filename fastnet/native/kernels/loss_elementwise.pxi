# Losses of single values: sigmoid cross-entropy, squared, absolute and Huber error, Poisson.
#
# logits, prediction  in [rows, cols]: x       targets  in [rows, cols]: t
# weights   in [rows] or NULL: one each        dlogits, dprediction  out [rows, cols], may be x itself, or NULL
# partials, result, control                    as in loss.pxi, where the phases and the statuses are told
#
# A sample's loss is the mean over its columns of
#   sigmoid    max(x, 0) - x y + log(1 + e^-|x|)       y = (1 - smoothing) t + smoothing / 2; BAD_LABEL: t not in 0 .. 1
#   squared    e^2                                     e = x - t
#   absolute   |e|                                     slope 0 at 0
#   huber      e^2 / 2, beyond delta: delta (|e| - delta / 2)
#   poisson    e^x - t x
# and the gradient is w / (sum w cols) times the slope.
#
# The elements of a chunk of 32 rows are one run, in tiles with the weight of each element beside it, so that a single
# column is computed by whole vectors too. Order of summation: w l over a chunk in LANES sums, in double, then a tree;
# chunks in order.

cdef enum ElementLoss:
    LOSS_SQUARED
    LOSS_ABSOLUTE
    LOSS_HUBER
    LOSS_POISSON
    LOSS_SIGMOID
    LOSS_TILE = 512         # elements whose weights are laid out at a time

# What the two argument structs below have in common.
cdef struct Elements:
    const real* x
    const real* t
    const real* weights
    real* dx
    double* partials
    double* result
    Control* control
    Py_ssize_t rows
    Py_ssize_t cols
    double parameter        # smoothing or delta


cdef inline vf loss_of(int kind, vf x, vf t, vf parameter, vf* slope) noexcept nogil:
    cdef vf e, y, a, rest, steep
    if kind == LOSS_SIGMOID:
        y = vfma(vset(<real>1) - parameter, t, vset(<real>0.5) * parameter)
        e = exp_of_negative(vneg(vabs(x)))
        # 1 / (1 + e) - y, or e / (1 + e) - y for x < 0, over one denominator: nothing cancels where the label is right.
        rest = vset(<real>1) - y
        steep = vselect(vlt(x, vzero()), rest, vneg(y))
        slope[0] = vfma(steep, e, vselect(vlt(x, vzero()), vneg(y), rest)) / (vset(<real>1) + e)
        return vfma(vneg(x), y, vmax(vzero(), x)) + vlog1p(e)
    if kind == LOSS_POISSON:
        e = vexp(x)
        slope[0] = e - t
        return vfma(vneg(t), x, e)
    e = x - t
    if kind == LOSS_SQUARED:
        slope[0] = e + e
        return e * e
    if kind == LOSS_ABSOLUTE:
        slope[0] = vselect(vgt(e, vzero()), vset(<real>1), vselect(vlt(e, vzero()), vset(<real>-1), e))
        return vabs(e)
    a = vabs(e)
    slope[0] = vmin(parameter, vmax(vneg(parameter), e))
    return vselect(vgt(a, parameter), parameter * vfma(vset(<real>-0.5), parameter, a), vset(<real>0.5) * e * e)


cdef void lay_out_weights(const real* weights, Py_ssize_t cols, Py_ssize_t first, Py_ssize_t n,
                          real* laid_out) noexcept nogil:
    """The weight of each of n elements from the first on, or 1. Writes up to a vector beyond them."""
    cdef Py_ssize_t row = first // cols, left = cols - first % cols
    cdef Py_ssize_t i = 0, j
    cdef vf w
    while i < n:
        w = vset(weights[row] if weights != NULL else 1)
        left = min(left, n - i)
        for j from 0 <= j < left by LANES:
            vstore(laid_out + i + j, w)
        i += left
        left = cols
        row += 1


cdef inline double element_chunk(int kind, const Elements* elements, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
    """Rows r0 .. r1: their gradients, and the sum of w l over all columns; -Inf if a label is out of range."""
    cdef Elements a = elements[0]
    cdef Py_ssize_t end = r1 * a.cols, tile, i, n
    cdef real laid_out[LOSS_TILE + LANES]
    cdef const real* weights = laid_out
    cdef vf parameter = vset(<real>a.parameter), scale = vset(<real>(1 / (a.result[1] * a.cols)))
    cdef vf x, t, w, loss, slope
    cdef vm outside = vlt(vzero(), vzero())
    cdef vd total[2]
    cdef int h
    total[0] = total[1] = vdset(0)
    for tile from r0 * a.cols <= tile < end by LOSS_TILE:
        n = min(end - tile, <Py_ssize_t>LOSS_TILE)
        if a.weights != NULL and a.cols == 1:
            weights = a.weights + tile
        elif a.weights != NULL:
            lay_out_weights(a.weights, a.cols, tile, n, laid_out)
        elif tile == r0 * a.cols:
            lay_out_weights(NULL, n, 0, n, laid_out)
        for i from 0 <= i < n by LANES:
            x = vload_upto(a.x + tile + i, n - i)
            t = vload_upto(a.t + tile + i, n - i)
            w = vload_upto(weights + i, n - i)
            loss = loss_of(kind, x, t, parameter, &slope)
            if kind == LOSS_SIGMOID:
                outside = vor(outside, vnot(vand(vge(t, vzero()), vle(t, vset(<real>1)))))
            for h in range(WIDE):
                total[h] = total[h] + vwiden(w, h) * vwiden(loss, h)
            if a.dx != NULL:
                vstore_upto(a.dx + tile + i, slope * (w * scale), n - i)
    return -INFINITY if kind == LOSS_SIGMOID and vany(outside) else vdsum(total[0] + total[1])


cdef inline void element_rows(int kind, const Elements* a, int thread, int n_threads) noexcept nogil:
    cdef Py_ssize_t chunks = (a.rows + LOSS_CHUNK - 1) // LOSS_CHUNK
    cdef Py_ssize_t c
    if is_void(a.result, a.control, a.rows):
        return
    for c in range(thread * chunks // n_threads, (thread + 1) * chunks // n_threads):
        a.partials[c] = element_chunk(kind, a, c * LOSS_CHUNK, min((c + 1) * LOSS_CHUNK, a.rows))


# --- sigmoid cross-entropy ------------------------------------------------------------------------------------------

cdef struct SigmoidArgs:
    const real* logits
    const real* targets
    const real* weights
    real* dlogits
    double* partials
    double* result
    Control* control
    Py_ssize_t rows
    Py_ssize_t cols
    double smoothing


cdef void sigmoid_begin(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const SigmoidArgs* a = <const SigmoidArgs*>args
    if thread == 0:
        begin_loss(NULL, a.weights, a.result, a.control, a.rows, a.cols)


cdef void sigmoid_rows(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const SigmoidArgs* a = <const SigmoidArgs*>args
    cdef Elements e = Elements(a.logits, a.targets, a.weights, a.dlogits, a.partials, a.result, a.control,
                               a.rows, a.cols, a.smoothing)
    element_rows(LOSS_SIGMOID, &e, thread, n_threads)


cdef void sigmoid_end(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const SigmoidArgs* a = <const SigmoidArgs*>args
    if thread == 0:
        end_loss(a.partials, a.result, a.control, a.rows, a.cols, True)


# --- errors of regression -------------------------------------------------------------------------------------------

cdef struct RegressionArgs:
    const real* prediction
    const real* targets
    const real* weights
    real* dprediction
    double* partials
    double* result
    Control* control
    Py_ssize_t rows
    Py_ssize_t cols
    Py_ssize_t kind
    double delta


cdef void regression_begin(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RegressionArgs* a = <const RegressionArgs*>args
    if thread == 0:
        begin_loss(NULL, a.weights, a.result, a.control, a.rows, a.cols)


cdef void regression_rows(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RegressionArgs* a = <const RegressionArgs*>args
    cdef Elements e = Elements(a.prediction, a.targets, a.weights, a.dprediction, a.partials, a.result, a.control,
                               a.rows, a.cols, a.delta)
    if a.kind == LOSS_SQUARED:
        element_rows(LOSS_SQUARED, &e, thread, n_threads)
    elif a.kind == LOSS_ABSOLUTE:
        element_rows(LOSS_ABSOLUTE, &e, thread, n_threads)
    elif a.kind == LOSS_HUBER:
        element_rows(LOSS_HUBER, &e, thread, n_threads)
    else:
        element_rows(LOSS_POISSON, &e, thread, n_threads)


cdef void regression_end(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const RegressionArgs* a = <const RegressionArgs*>args
    if thread == 0:
        end_loss(a.partials, a.result, a.control, a.rows, a.cols, False)
