# The only OpenMP in fastnet: one parallel region that replays a list of ops.
#
# Kernels know nothing of threads but their number and their share. A region's threads
# walk the same list; a barrier of our own stands after each phase of a parallel op and
# before the first one that follows ops of thread 0. One region at a time in the
# process: a second caller, a nested one and a forked child run on their own thread.
# Denormals are flushed inside, on every thread, and the FPU mode is put back.

import os

from cython.parallel import parallel
from libc.stdint cimport int32_t, uint64_t

cdef extern from "platform.h" nogil:
    ctypedef struct fn_barrier:
        int32_t arrived
        int32_t generation
    int fn_has_openmp()
    int fn_omp_max_threads()
    int fn_omp_in_parallel()
    int fn_omp_thread()
    int fn_omp_team()
    void fn_barrier_wait(fn_barrier* b, int n_threads)
    enum:
        FN_PLACES
    void fn_take_place(int32_t* places, int thread)
    bint fn_try_lock(int32_t* lock)
    void fn_unlock(int32_t* lock)
    uint64_t fn_flush_denormals_enter()
    void fn_flush_denormals_leave(uint64_t mode)

cdef fn_barrier barrier
cdef int32_t places[FN_PLACES]      # the CPU of each thread of the present region, and of those before it
cdef int32_t region_lock = 0
cdef int32_t is_forked_child = 0


cdef void replay_serially(const Op* ops, Py_ssize_t n_ops, Py_ssize_t n_steps, Control* control) noexcept nogil:
    cdef Py_ssize_t _step, i
    cdef int p
    for _step in range(n_steps):
        for i in range(n_ops):
            for p in range(ops[i].n_phases):
                ops[i].phases[p](ops[i].args, 0, 1)
        if control != NULL and control.status:
            return


cdef void replay_as_team(const Op* ops, Py_ssize_t n_ops, Py_ssize_t n_steps, Control* control,
                         int thread, int n_threads) noexcept nogil:
    cdef Py_ssize_t _step, i, status
    cdef int p
    cdef bint alone_before
    for _step in range(n_steps):
        alone_before = False
        for i in range(n_ops):
            if ops[i].parallel:
                if alone_before:
                    fn_barrier_wait(&barrier, n_threads)
                    alone_before = False
                for p in range(ops[i].n_phases):
                    ops[i].phases[p](ops[i].args, thread, n_threads)
                    fn_barrier_wait(&barrier, n_threads)
            else:
                if thread == 0:
                    for p in range(ops[i].n_phases):
                        ops[i].phases[p](ops[i].args, 0, 1)
                alone_before = True
        if n_steps > 1 and control != NULL:
            # Everyone reads the status between two barriers, before the next step can write it.
            fn_barrier_wait(&barrier, n_threads)
            status = control.status
            fn_barrier_wait(&barrier, n_threads)
            if status:
                return


cdef void replay_in_region(const Op* ops, Py_ssize_t n_ops, Py_ssize_t n_steps, Control* control,
                           int n_threads) noexcept nogil:
    cdef uint64_t mode = 0
    barrier.arrived = 0
    fn_take_place(places, 0)
    with parallel(num_threads=n_threads):
        if fn_omp_thread():
            fn_take_place(places, fn_omp_thread())
        mode = fn_flush_denormals_enter()
        replay_as_team(ops, n_ops, n_steps, control, fn_omp_thread(), fn_omp_team())
        fn_flush_denormals_leave(mode)


cdef int run_ops(const Op* ops, Py_ssize_t n_ops, Py_ssize_t n_steps, int n_threads, Control* control) noexcept nogil:
    """Replay the list `n_steps` times, or until a step's status is bad. Returns the threads asked for."""
    cdef uint64_t mode
    if n_threads > 1 and not is_forked_child and not fn_omp_in_parallel() and fn_try_lock(&region_lock):
        replay_in_region(ops, n_ops, n_steps, control, n_threads)
        fn_unlock(&region_lock)
        return n_threads
    mode = fn_flush_denormals_enter()
    replay_serially(ops, n_ops, n_steps, control)
    fn_flush_denormals_leave(mode)
    return 1


cdef int openmp_at_import = fn_omp_max_threads()
cdef int wanted = 1


cdef int threads_now() noexcept nogil:
    """The number that was set, or fewer where OpenMP's own limit was lowered since the import."""
    cdef int limit = fn_omp_max_threads()
    return min(wanted, limit) if limit < openmp_at_import else wanted


def set_threads(int n):
    global wanted
    wanted = n


def get_wanted():
    return wanted


def get_threads():
    return threads_now() if not is_forked_child and fn_has_openmp() else 1


def has_openmp():
    return bool(fn_has_openmp())


def _after_fork_in_child():
    global is_forked_child, region_lock
    is_forked_child = 1
    region_lock = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
