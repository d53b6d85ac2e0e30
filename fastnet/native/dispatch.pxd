from fastnet.native.abi cimport KernelRow

cdef class Kernel:
    cdef const KernelRow* row
    cdef object table
    cdef readonly str name
    cdef readonly tuple pointers, integers, reals
    cdef readonly dict slots
    cdef readonly Py_ssize_t n_slots
