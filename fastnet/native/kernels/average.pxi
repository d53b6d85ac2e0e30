# An average of the weights over updates: exponential (Polyak & Juditsky 1992, as PyTorch's and Keras') or of equal parts,
# as for stochastic weight averaging (Izmailov et al. 2018).
#
# w        in [n]: parameters                a  in, out: their average
# count    in, out, one: averages taken before; the first one copies w
# control  in: with a status that is not GOOD nothing changes
#
#   a += rate (w - a),   rate = 1 - decay, or 1 / (count + 1) where decay is negative

cdef struct AverageArgs:
    const real* w
    real* a
    Py_ssize_t* count
    const Control* control
    Py_ssize_t n
    double decay


cdef void average(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const AverageArgs* a = <const AverageArgs*>args
    cdef Py_ssize_t blocks = blocks_in(a.n)
    cdef Py_ssize_t i, n, end = min((thread + 1) * blocks // n_threads * UPDATE_BLOCK, a.n)
    cdef Py_ssize_t count = a.count[0]
    cdef vf rate = vset(<real>(1 - a.decay if a.decay >= 0 else 1.0 / (count + 1)))
    cdef vf w, mean
    if a.control.status != GOOD:
        return
    for i from thread * blocks // n_threads * UPDATE_BLOCK <= i < end by LANES:
        n = end - i
        w = vload_upto(a.w + i, n)
        mean = vload_upto(a.a + i, n)
        vstore_upto(a.a + i, vfma(w - mean, rate, mean) if count else w, n)


cdef void average_end(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const AverageArgs* a = <const AverageArgs*>args
    if thread == 0 and a.control.status == GOOD:
        a.count[0] += 1
