# Each sample of a batch mixed with another one: inputs, targets, labels and weights.
#
# x         in [rows, width]        labels  in, int32 [rows]
# partners  in, int64 [rows]: the sample that is mixed in
# share     in, double: what the sample itself keeps
# y         out [rows, width], or [rows, classes]; not x
#
#   mix_rows    y[r] = share x[r] + (1 - share) x[partners[r]]
#   mix_labels  the same of the rows that are 1 at the label and 0 elsewhere; a label outside of the classes, which an earlier
#               op has reported, counts as none
#
# Threads take whole rows, each of which is one sample: the thread of the gather wrote it.
#
# Source: Zhang, Cisse, Dauphin & Lopez-Paz 2018, "mixup: beyond empirical risk minimization".

cdef struct MixRowsArgs:
    const real* x
    const int64_t* partners
    const double* share
    real* y
    Py_ssize_t rows
    Py_ssize_t width

cdef struct MixLabelsArgs:
    const int32_t* labels
    const int64_t* partners
    const double* share
    real* y
    Py_ssize_t rows
    Py_ssize_t classes


cdef void mix_rows(const void* args, int thread, int n_threads) noexcept nogil:
    cdef MixRowsArgs a = (<const MixRowsArgs*>args)[0]
    cdef vf own = vset(<real>a.share[0]), other = vset(<real>(1 - a.share[0]))
    cdef const real* x
    cdef const real* partner
    cdef real* y
    cdef Py_ssize_t r, i, rest
    for r in range(thread * a.rows // n_threads, (thread + 1) * a.rows // n_threads):
        x = a.x + r * a.width
        partner = a.x + a.partners[r] * a.width
        y = a.y + r * a.width
        for i from 0 <= i < a.width by LANES:
            rest = a.width - i
            vstore_upto(y + i, vfma(own, vload_upto(x + i, rest), other * vload_upto(partner + i, rest)), rest)


cdef void mix_labels(const void* args, int thread, int n_threads) noexcept nogil:
    cdef MixLabelsArgs a = (<const MixLabelsArgs*>args)[0]
    cdef real* y
    cdef Py_ssize_t r
    cdef uint32_t own, other
    for r in range(thread * a.rows // n_threads, (thread + 1) * a.rows // n_threads):
        y = a.y + r * a.classes
        fill_elements(y, a.classes, 0)
        own = <uint32_t>a.labels[r]
        other = <uint32_t>a.labels[a.partners[r]]
        if own < <size_t>a.classes:
            y[own] += <real>a.share[0]
        if other < <size_t>a.classes:
            y[other] += <real>(1 - a.share[0])
