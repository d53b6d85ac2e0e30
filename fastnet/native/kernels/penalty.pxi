# Regularizers: what the weights themselves add to the loss and to its gradient.
#
# w         in [n]: a parameter             g  in, out: its gradient, or NULL where only the loss is wanted
# partials  double, one for each block of 4096 elements
# control   in: weight   in, out: loss, status
#
#   loss += l1 sum |w| + l2 sum w^2         g += l1 sign(w) + 2 l2 w,  sign(0) = 0         (as Keras)
#
# With `per_sample` l1 and l2 are divided by the batch's weight, sum(w) of the samples, which the loss has left in `control`.
#
# The sums are in double, a block's vectors in two sums, blocks in order; threads take whole blocks. After a bad step the
# loss stays as it is.

cdef struct PenaltyArgs:
    const real* w
    real* g
    Control* control
    double* partials
    Py_ssize_t n
    Py_ssize_t per_sample
    double l1
    double l2


cdef inline double penalty_share(const PenaltyArgs* a) noexcept nogil:
    """What l1 and l2 are multiplied by. A batch without weight has status BAD_WEIGHT, and its result is not used."""
    return 1 / a.control.weight if a.per_sample and a.control.weight > 0 else 1


cdef Py_ssize_t penalty_shared(const void* args) noexcept nogil:
    return blocks_in((<const PenaltyArgs*>args).n) * sizeof(double)


cdef void penalty(const void* args, int thread, int n_threads) noexcept nogil:
    cdef PenaltyArgs a = (<const PenaltyArgs*>args)[0]
    cdef Py_ssize_t blocks = blocks_in(a.n), block, i, n, end
    cdef double share = penalty_share(&a)
    cdef vf l1 = vset(<real>(share * a.l1)), twice_l2 = vset(<real>(2 * share * a.l2)), w
    cdef vd absolutes[WIDE]
    cdef vd squares[WIDE]
    cdef vd x
    cdef int h
    for block in range(thread * blocks // n_threads, (thread + 1) * blocks // n_threads):
        for h in range(WIDE):
            absolutes[h] = squares[h] = vdset(0)
        end = min((block + 1) * UPDATE_BLOCK, a.n)
        for i from block * UPDATE_BLOCK <= i < end by LANES:
            n = end - i
            w = vload_upto(a.w + i, n)
            for h in range(WIDE):
                x = vwiden(w, h)
                absolutes[h] = absolutes[h] + vdabs(x)
                squares[h] = squares[h] + x * x
            if a.g != NULL:
                vstore_upto(a.g + i, vload_upto(a.g + i, n) + vfma(sign_of(w), l1, w * twice_l2), n)
        for h in range(1, WIDE):
            absolutes[0] = absolutes[0] + absolutes[h]
            squares[0] = squares[0] + squares[h]
        a.partials[block] = share * (a.l1 * vdsum(absolutes[0]) + a.l2 * vdsum(squares[0]))


cdef void penalty_end(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const PenaltyArgs* a = <const PenaltyArgs*>args
    cdef Py_ssize_t block
    cdef double total = 0
    if thread or a.control.status != GOOD:
        return
    for block in range(blocks_in(a.n)):
        total += a.partials[block]
    a.control.loss += total
    if not a.control.loss < INFINITY:
        a.control.status = BAD_LOSS
