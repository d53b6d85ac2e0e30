# Gradients of several batches for one update, which then has the gradient of all their samples together.
#
# g        in: a batch's gradients; out: where the batch is the last, those of all of them
# sum      in, out: of the batches before
# ranges   in [n_ranges]: those that are updated (update.pxi)
# control  in: loss's weight sum(w), cursor, samples; in, out: batches, gathered, step, status
# every    batches make an update; so does the last batch of a pass over the data
#
#   sum += W g, W = sum(w) of the batch;   in the last batch  g = sum / (W_1 + W_2 + ...)
#
# `join_batches` for each piece of memory, then `wait`, the update, and `resume`. Between the last two the status of a batch
# that is not the last is WAITING: what it keeps from changing is what a bad step keeps from changing. The counters are
# changed by `resume` alone, so that a batch which turns out bad, even as late as when gradients are clipped, counts for
# nothing.

cdef struct JoinBatchesArgs:
    real* g
    real* sum
    const Range* ranges
    const Control* control
    Py_ssize_t n_ranges
    Py_ssize_t every
    Py_ssize_t batch

cdef struct WaitArgs:
    Control* control
    Py_ssize_t every
    Py_ssize_t batch


cdef inline bint is_last(const Control* control, Py_ssize_t every, Py_ssize_t batch) noexcept nogil:
    return control.batches + 1 >= every or control.cursor + batch >= control.samples


cdef void join_batches(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const JoinBatchesArgs* a = <const JoinBatchesArgs*>args
    cdef Share s = share_of(a.ranges, a.n_ranges, thread, n_threads)
    cdef bint first = a.control.batches == 0, last = is_last(a.control, a.every, a.batch)
    cdef vf weight = vset(<real>a.control.weight), share, x
    cdef Py_ssize_t i, n
    if a.control.status != GOOD or (first and last):
        return
    share = vset(<real>(1 / (a.control.gathered + a.control.weight)))
    while next_run(&s):
        for i from s.begin <= i < s.begin + s.n by LANES:
            n = s.begin + s.n - i
            x = vload_upto(a.g + i, n) * weight
            if not first:
                x = x + vload_upto(a.sum + i, n)
            if last:
                vstore_upto(a.g + i, x * share, n)
            else:
                vstore_upto(a.sum + i, x, n)


cdef void wait(const void* args, int thread, int n_threads) noexcept nogil:
    cdef const WaitArgs* a = <const WaitArgs*>args
    if thread == 0 and not is_last(a.control, a.every, a.batch):
        report(a.control, WAITING)


cdef void resume(const void* args, int thread, int n_threads) noexcept nogil:
    cdef Control* control = (<const WaitArgs*>args).control
    if thread:
        return
    if control.status == WAITING:
        control.status = GOOD
        control.step -= 1
        control.batches += 1
        control.gathered += control.weight
    elif control.status == GOOD:
        control.batches = 0
        control.gathered = 0
