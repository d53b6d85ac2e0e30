# The functions of math.pxi, and the root of vec.h, on arrays, each by itself: y = f(x).
#
# n         elements; x and y contiguous, and perhaps the same memory
# function  which (the enum)
# Threads take whole blocks of 4096 elements; whole vectors and the last part of one go through the same code.

cdef enum Elementary:
    EXP = 0
    EXPM1 = 1
    LOG = 2
    LOG1P = 3
    ERF = 4
    SQRT = 5

cdef struct ElementaryArgs:
    const real* x
    real* y
    Py_ssize_t n
    Py_ssize_t function


cdef inline vf elementary_of(Py_ssize_t function, vf x) noexcept nogil:
    if function == EXP:
        return vexp(x)
    if function == EXPM1:
        return vexpm1(x)
    if function == LOG:
        return vlog(x)
    if function == LOG1P:
        return vlog1p(x)
    if function == SQRT:
        return vroot(x)
    return verf(x)


cdef inline void elementary_loop(Py_ssize_t function, const real* x, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i from 0 <= i < n by LANES:
        vstore_upto(y + i, elementary_of(function, vload_upto(x + i, n - i)), n - i)


cdef void elementary(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const ElementaryArgs* g = <const ElementaryArgs*>args
    cdef Py_ssize_t i = share_start(g.n, thread, n_threads)
    cdef Py_ssize_t n = share_start(g.n, thread + 1, n_threads) - i
    if g.function == EXP: elementary_loop(EXP, g.x + i, g.y + i, n)
    elif g.function == EXPM1: elementary_loop(EXPM1, g.x + i, g.y + i, n)
    elif g.function == LOG: elementary_loop(LOG, g.x + i, g.y + i, n)
    elif g.function == LOG1P: elementary_loop(LOG1P, g.x + i, g.y + i, n)
    elif g.function == ERF: elementary_loop(ERF, g.x + i, g.y + i, n)
    elif g.function == SQRT: elementary_loop(SQRT, g.x + i, g.y + i, n)
