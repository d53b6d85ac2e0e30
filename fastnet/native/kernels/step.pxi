# What surrounds the ops of a step: its counters, its status, and what is kept only if it was good.
#
# control         in, out: the block of abi.pxd; NULL where an op says so
# learning_rates  in [steps of this run][n_groups]
# ranges          out [n_ranges]: the rows of all updates (update.pxi), with this step's learning rate
#
# A plan starts with `step_begin` and ends with `step_end`. Between them an op that finds fault sets the status, the
# first one wins, and every op that would change what outlives the step looks at it first: after a bad step weights,
# optimizer state, running statistics, sums and counters are as before.

cdef extern from * nogil:
    bint __atomic_compare_exchange_n(Py_ssize_t* p, Py_ssize_t* expected, Py_ssize_t desired, bint weak, int success, int failure)
    int __ATOMIC_RELAXED


cdef inline void report(Control* control, Py_ssize_t code) noexcept nogil:
    """Make the step a bad one, unless there is no control or an earlier op has found another fault; threads may find faults at once."""
    cdef Py_ssize_t good = GOOD
    if control != NULL:
        __atomic_compare_exchange_n(&control.status, &good, code, False, __ATOMIC_RELAXED, __ATOMIC_RELAXED)


cdef inline bint is_bad(const Control* control) noexcept nogil:
    return control != NULL and control.status != GOOD


cdef struct StepBeginArgs:
    const double* learning_rates
    Range* ranges
    Control* control
    Py_ssize_t n_ranges
    Py_ssize_t n_groups


cdef void step_begin(const void* args, int thread, int n_threads) noexcept nogil:
    """Count the step as if it will be good, and take its learning rates. The status must be GOOD."""
    cdef const StepBeginArgs* a = <const StepBeginArgs*>args
    cdef const double* rates
    cdef Py_ssize_t i
    if thread:
        return
    rates = a.learning_rates + a.control.run_step * a.n_groups
    for i in range(a.n_ranges):
        a.ranges[i].learning_rate = rates[a.ranges[i].group]
        a.ranges[i].scale = 1
    a.control.step += 1
    a.control.forward += 1
    a.control.run_step += 1


cdef struct StepEndArgs:
    Control* control
    Py_ssize_t batch


cdef void step_end(const void* args, int thread, int n_threads) noexcept nogil:
    """Go on to the next batch, or take back the counts of a bad step."""
    cdef const StepEndArgs* a = <const StepEndArgs*>args
    if thread:
        return
    if a.control.status == GOOD:
        a.control.cursor += a.batch
    else:
        a.control.step -= 1
        a.control.forward -= 1


# --- a loss that Python computed: result in [2] is sum(w l) / sum(w) and sum(w) -------------------------------------------

cdef struct CheckResultArgs:
    const double* result
    Control* control


cdef void check_result(const void* args, int thread, int n_threads) noexcept nogil:
    """Both must be finite, and the weights' sum positive."""
    cdef const CheckResultArgs* a = <const CheckResultArgs*>args
    if thread:
        return
    if not (0 < a.result[1] < INFINITY):
        report(a.control, BAD_WEIGHT)
    elif not (-INFINITY < a.result[0] < INFINITY):
        report(a.control, BAD_LOSS)
