cdef class Block:
    cdef char* data
    cdef readonly Py_ssize_t size
