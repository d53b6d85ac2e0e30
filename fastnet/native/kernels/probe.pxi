# Probes of the machine, for benchmarks: what a core can multiply and add, and move, at most.
#
# probe_fma     y out [LANES]: n rounds of 12 independent vector multiply-adds, all in registers
# probe_stream  w m v in, out [n], g in [n]: the traffic of an Adam update, 28 (float64: 56) bytes
#               an element, with one addition for each array. Threads take whole blocks of 4096.

cdef struct ProbeFmaArgs:
    real* y
    Py_ssize_t n


cdef void probe_fma(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ProbeFmaArgs* a = <const ProbeFmaArgs*>args
    cdef vf sums[12]
    cdef vf x = vset(<real>0.999), y = vset(<real>0.001)
    cdef Py_ssize_t round_number
    cdef int i
    for i in range(12):
        sums[i] = vset(<real>i)
    for round_number in range(a.n):
        for i in range(12):
            sums[i] = vfma(sums[i], x, y)
    for i in range(1, 12):
        sums[0] = sums[0] + sums[i]
    if thread == 0:
        vstore(a.y, sums[0])


cdef struct ProbeStreamArgs:
    real* w
    const real* g
    real* m
    real* v
    Py_ssize_t n


cdef void probe_stream(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ProbeStreamArgs* a = <const ProbeStreamArgs*>args
    cdef Py_ssize_t blocks = a.n // 4096, i
    cdef vf g
    for i from thread * blocks // n_threads * 4096 <= i < (thread + 1) * blocks // n_threads * 4096 by LANES:
        g = vload(a.g + i)
        vstore(a.w + i, vload(a.w + i) + g)
        vstore(a.m + i, vload(a.m + i) + g)
        vstore(a.v + i, vload(a.v + i) + g)
