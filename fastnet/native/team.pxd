from fastnet.native.abi cimport Control, Phase, MAX_PHASES

cdef struct Op:
    Phase phases[MAX_PHASES]
    void* args
    int n_phases
    int parallel        # else thread 0 runs it alone

cdef int run_ops(const Op* ops, Py_ssize_t n_ops, Py_ssize_t n_steps, int n_threads, Control* control) noexcept nogil
cdef int threads_now() noexcept nogil
