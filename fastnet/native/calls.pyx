# Kernel calls on arrays: finding the plan of a call that was made before costs well under a microsecond.
#
# A call's form is what its plan depends on besides the options: dtype, shape and strides of each array. The forms of a
# kernel with the same options are compared one after the other, the last used first; only addresses differ
# between two calls of one form.

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport INFINITY
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from fastnet.native.arena cimport Block
from fastnet.native.plan cimport ControlBlock, Plan

cdef enum:
    MAX_ARRAYS = 12
    MAX_AXES = 8
    FORM_WORDS = MAX_ARRAYS * (1 + 2 * MAX_AXES)
    MOST_FORMS = 64             # kept for one kernel with one set of options
    LINE = 64                   # bytes of a cache line


cdef class Form:
    """Dtype, shape and strides of the arrays of a call (None has a form too), and the plan for them."""

    cdef Py_ssize_t* words
    cdef Py_ssize_t n_words
    cdef Py_ssize_t memories[MAX_ARRAYS]    # of the plan, one for each array
    cdef Plan plan

    def __cinit__(self):
        self.words = NULL

    def __dealloc__(self):
        free(self.words)


cdef class KeptPlans:
    """The plans of calls on arrays, by options and form. Belongs to one Python thread, or is used under a lock."""

    cdef dict forms             # options -> list of Form, the last used first

    def __cinit__(self):
        self.forms = {}

    def run(self, tuple options, tuple arrays, Py_ssize_t n_reads, bint apart=False):
        """Run the plan that is kept for arrays of this form; False if there is none.

        The arrays from `n_reads` on are written. With `apart` these must not overlap any other one.
        """
        cdef Py_buffer views[MAX_ARRAYS]
        cdef bint held[MAX_ARRAYS]
        cdef Py_ssize_t words[FORM_WORDS]
        cdef Py_ssize_t n_words, n = 0, i
        cdef list forms = <list>self.forms.get(options)
        cdef Form form
        if forms is None:
            return False
        try:
            n_words = describe_arrays(arrays, n_reads, views, held, words, &n)
            form = find_form(forms, words, n_words)
            if form is None:
                return False
            if apart and overlapping(views, held, n, n_reads):
                raise ValueError("an array that is written overlaps another one")
            for i in range(n):
                if held[i]:
                    form.plan.rebase(form.memories[i], <char*>views[i].buf)
            form.plan.replay(1, 0, form.plan.n_ops)
            return True
        finally:
            for i in range(n):
                if held[i]:
                    PyBuffer_Release(&views[i])

    def clear(self):
        self.forms.clear()

    def keep(self, tuple options, tuple arrays, Py_ssize_t n_reads, Plan plan, memories=None):
        """Keep a plan for arrays of this form, in place of any before; they are its `memories` (by default 2, 3, ...)."""
        cdef Py_buffer views[MAX_ARRAYS]
        cdef bint held[MAX_ARRAYS]
        cdef Py_ssize_t words[FORM_WORDS]
        cdef Py_ssize_t n_words, n = 0, i
        cdef Form form
        cdef list forms = self.forms.setdefault(options, [])
        try:
            n_words = describe_arrays(arrays, n_reads, views, held, words, &n)
        finally:
            for i in range(n):
                if held[i]:
                    PyBuffer_Release(&views[i])
        form = find_form(forms, words, n_words)
        if form is None:
            form = Form()
            form.words = <Py_ssize_t*>malloc(max(n_words, 1) * sizeof(Py_ssize_t))
            if form.words == NULL:
                raise MemoryError()
            memcpy(form.words, words, n_words * sizeof(Py_ssize_t))
            form.n_words = n_words
            forms.insert(0, form)
        for i in range(len(arrays)):
            form.memories[i] = i + 2 if memories is None else memories[i]
        plan.seal()
        form.plan = plan
        if len(forms) > MOST_FORMS:
            forms.pop()
        if len(self.forms) > 4 * MOST_FORMS:
            self.forms.pop(next(iter(self.forms)))


cdef Py_ssize_t describe_arrays(tuple arrays, Py_ssize_t n_reads, Py_buffer* views, bint* held, Py_ssize_t* words,
                                Py_ssize_t* n) except -1:
    """Take the arrays' buffers and write their form; returns its number of words, and in `n` the buffers to release."""
    cdef Py_ssize_t n_words = 0, i, axis
    if len(arrays) > MAX_ARRAYS:
        raise ValueError(f"kernels take at most {MAX_ARRAYS} arrays; got {len(arrays)}")
    for i in range(len(arrays)):
        array = arrays[i]
        held[i] = array is not None
        if array is None:
            words[n_words] = -1
            n_words += 1
            n[0] = i + 1
            continue
        PyObject_GetBuffer(array, &views[i], PyBUF_STRIDES | PyBUF_FORMAT | (PyBUF_WRITABLE if i >= n_reads else 0))
        n[0] = i + 1
        if views[i].ndim > MAX_AXES:
            raise ValueError(f"kernels take arrays of at most {MAX_AXES} axes; got {views[i].ndim}")
        words[n_words] = word_of_format(views[i].format) + views[i].ndim
        n_words += 1
        for axis in range(views[i].ndim):
            words[n_words] = views[i].shape[axis]
            words[n_words + 1] = views[i].strides[axis]
            n_words += 2
    return n_words


cdef inline Py_ssize_t word_of_format(const char* format) noexcept:
    """A number for an element's type: 'f' and 'd', but also '>f' and what structures have; its last byte is free."""
    cdef size_t word = 0
    while format[0]:
        word = 131 * word + <unsigned char>format[0]
        format += 1
    return <Py_ssize_t>(word << 8)


cdef Form find_form(list forms, const Py_ssize_t* words, Py_ssize_t n_words):
    cdef Py_ssize_t i
    cdef Form form
    for i in range(len(forms)):
        form = <Form>forms[i]
        if form.n_words == n_words and memcmp(form.words, words, n_words * sizeof(Py_ssize_t)) == 0:
            if i:
                forms.insert(0, forms.pop(i))
            return form
    return None


cdef bint overlapping(const Py_buffer* views, const bint* held, Py_ssize_t n, Py_ssize_t n_reads) noexcept:
    """Whether the span of memory of a written array meets that of another one."""
    cdef const char* low[MAX_ARRAYS]
    cdef const char* high[MAX_ARRAYS]
    cdef Py_ssize_t i, j, axis
    for i in range(n):
        low[i] = high[i] = NULL
        if not held[i]:
            continue
        low[i] = <const char*>views[i].buf
        high[i] = low[i] + views[i].itemsize
        for axis in range(views[i].ndim):
            if views[i].shape[axis] == 0:
                high[i] = low[i]
                break
            if views[i].strides[axis] < 0:
                low[i] += (views[i].shape[axis] - 1) * views[i].strides[axis]
            else:
                high[i] += (views[i].shape[axis] - 1) * views[i].strides[axis]
        if i >= n_reads:
            for j in range(i):
                if low[i] < high[j] and low[j] < high[i]:
                    return True
    return False


cdef struct Range:              # of native/kernels/update.pxi
    Py_ssize_t offset
    Py_ssize_t n
    Py_ssize_t group
    Py_ssize_t decoupled
    double decay
    double limit
    double learning_rate
    double scale


cdef class UpdateSettings:
    """What the update of an array reads besides arrays: the control block, and two ranges.

    The first range are the elements up to a cache line's start: NumPy aligns to 16 bytes, and vectors that cross cache
    lines take twice as long.
    """

    cdef readonly ControlBlock control
    cdef readonly Block ranges

    def __cinit__(self):
        self.control = ControlBlock()
        self.ranges = Block(2 * sizeof(Range))

    def set(self, w, step, learning_rate, weight_decay, bint decoupled):
        """For one update of `w`, a C-contiguous array.

        TypeError or ValueError, without words, for numbers that are not an int from 1 on and two floats from 0 on.
        """
        cdef Py_buffer view
        cdef Py_ssize_t n, head
        cdef Range* ranges = <Range*>self.ranges.data
        cdef double rate, decay
        if type(step) is not int or type(learning_rate) is not float or type(weight_decay) is not float:
            raise TypeError
        rate = learning_rate
        decay = weight_decay
        if not (0 <= rate < INFINITY and 0 <= decay < INFINITY) or step < 1:
            raise ValueError
        PyObject_GetBuffer(w, &view, PyBUF_STRIDES)
        n = view.len // view.itemsize
        head = min((LINE - <Py_ssize_t>view.buf % LINE) % LINE // view.itemsize, n)
        PyBuffer_Release(&view)
        ranges[0] = Range(0, head, 0, decoupled, decay, INFINITY, rate, 1.0)
        ranges[1] = Range(head, n - head, 0, decoupled, decay, INFINITY, rate, 1.0)
        self.control.c.status = 0
        self.control.c.step = step
