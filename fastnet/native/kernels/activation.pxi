# Elementwise activations, forward and backward.

cdef enum Activation:
    LINEAR = 0
    RELU = 1

cdef void activate(Py_ssize_t kind, double alpha, const real* x, real* y, Py_ssize_t n) noexcept nogil:
    pass

cdef void activate_backward(Py_ssize_t kind, double alpha, const real* saved, const real* dy, real* dx, Py_ssize_t n) noexcept nogil:
    pass
