# Record and replay: a flat list of (phases, arguments), run without Python.
#
# A Call is a kernel with its argument struct. A Plan is a list of calls whose pointers are
# kept as (memory, offset): memories are numbered, and bound to addresses before
# a run; only the pointers into a memory that has moved are written again. Memory 0 is the scratch
# of the threads, which the plan keeps for itself and sizes by the number of threads.

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy

from fastnet.native.abi cimport Control, MAX_PHASES
from fastnet.native.arena cimport Block
from fastnet.native.dispatch cimport Kernel
from fastnet.native.team cimport Op, run_ops, threads_now

cdef extern from "platform.h" nogil:
    double fn_seconds()

cdef union Slot:
    void* pointer
    Py_ssize_t integer
    double real

cdef struct Relocation:
    Slot* slot
    Py_ssize_t memory
    Py_ssize_t offset

SCRATCH = 0


cdef class Call:
    """A kernel with its arguments: pointers by name as present or absent, numbers by value.

    Absent pointers are NULL; absent numbers are an error.
    """

    cdef readonly Kernel kernel
    cdef Slot* slots
    cdef readonly Py_ssize_t scratch_bytes, shared_bytes

    def __cinit__(self, Kernel kernel, present, dict numbers):
        cdef Py_ssize_t i
        cdef str name
        self.kernel = kernel
        self.slots = <Slot*>calloc(max(kernel.n_slots, 1), sizeof(Slot))
        if self.slots == NULL:
            raise MemoryError()
        for name in present:
            if name not in kernel.pointers:
                raise TypeError(f"kernel {kernel.name!r} has no pointer {name!r}; it has {kernel.pointers}")
            self.slots[<Py_ssize_t>kernel.slots[name]].integer = 1
        unused = numbers.keys() - set(kernel.integers) - set(kernel.reals)
        if unused:
            raise TypeError(f"kernel {kernel.name!r} takes no {sorted(unused)}; it takes {kernel.integers + kernel.reals}")
        i = len(kernel.pointers)
        for name in kernel.integers:
            if name == "scratch_stride":
                self.slots[i].integer = 0
            elif name in numbers:
                self.slots[i].integer = numbers[name]
            else:
                raise TypeError(f"kernel {kernel.name!r} needs the integer {name!r}")
            i += 1
        for name in kernel.reals:
            if name not in numbers:
                raise TypeError(f"kernel {kernel.name!r} needs the real {name!r}")
            self.slots[i].real = numbers[name]
            i += 1
        self.scratch_bytes = kernel.row.scratch(self.slots) if kernel.row.scratch != NULL else 0
        self.shared_bytes = kernel.row.shared(self.slots) if kernel.row.shared != NULL else 0
        # A thread's scratch starts on a cache line, and not on the same set as its neighbour's.
        if self.scratch_bytes:
            self.scratch_bytes = (self.scratch_bytes + 63) // 64 * 64 + 64
            self.slots[<Py_ssize_t>kernel.slots["scratch_stride"]].integer = self.scratch_bytes

    def __dealloc__(self):
        free(self.slots)


cdef class ControlBlock:
    """The values that change from step to step (`Control` in abi.pxd), read and written by name."""

    cdef Control* c
    cdef readonly Block block

    def __cinit__(self):
        self.block = Block(sizeof(Control))
        self.c = <Control*>self.block.data
        self.c.gradient_scale = 1.0

    @staticmethod
    def offset(str name):
        """Bytes from the block's start to a field."""
        cdef Control c
        if name == "step": return <char*>&c.step - <char*>&c
        if name == "forward": return <char*>&c.forward - <char*>&c
        if name == "cursor": return <char*>&c.cursor - <char*>&c
        if name == "learning_rate": return <char*>&c.learning_rate - <char*>&c
        if name == "gradient_scale": return <char*>&c.gradient_scale - <char*>&c
        if name == "loss": return <char*>&c.loss - <char*>&c
        if name == "weight": return <char*>&c.weight - <char*>&c
        raise KeyError(name)

    property status:
        def __get__(self): return self.c.status
        def __set__(self, value): self.c.status = value
    property step:
        def __get__(self): return self.c.step
        def __set__(self, value): self.c.step = value
    property forward:
        def __get__(self): return self.c.forward
        def __set__(self, value): self.c.forward = value
    property cursor:
        def __get__(self): return self.c.cursor
        def __set__(self, value): self.c.cursor = value
    property run_step:
        def __get__(self): return self.c.run_step
        def __set__(self, value): self.c.run_step = value
    property learning_rate:
        def __get__(self): return self.c.learning_rate
        def __set__(self, value): self.c.learning_rate = value
    property gradient_scale:
        def __get__(self): return self.c.gradient_scale
        def __set__(self, value): self.c.gradient_scale = value
    property loss:
        def __get__(self): return self.c.loss
        def __set__(self, value): self.c.loss = value
    property weight:
        def __get__(self): return self.c.weight
        def __set__(self, value): self.c.weight = value
    property gradient_norm:
        def __get__(self): return self.c.gradient_norm
        def __set__(self, value): self.c.gradient_norm = value


cdef class Plan:
    """A list of calls, over `n_memories` numbered memories besides the scratch.

    `append(call, pointers, parallel)` adds one: `pointers` maps field to (memory, offset in bytes).
    `bind(memory, block)` and `bind_buffer(memory, array)` say where a memory is.
    `run()` replays. The plan keeps references to the blocks and
    arrays that it is bound to.
    """

    cdef Op* ops
    cdef readonly Py_ssize_t n_ops
    cdef Py_ssize_t capacity
    cdef Relocation* relocations
    cdef Py_ssize_t n_relocations, relocation_capacity
    cdef Py_ssize_t* first              # of each memory's relocations, once sealed
    cdef char** bases
    cdef readonly Py_ssize_t n_memories
    cdef readonly Py_ssize_t scratch_bytes
    cdef readonly bint any_parallel
    cdef bint sealed
    cdef list calls, owners
    cdef Block scratch
    cdef ControlBlock control

    def __cinit__(self, Py_ssize_t n_memories, ControlBlock control=None):
        self.n_memories = n_memories + 1
        self.bases = <char**>calloc(self.n_memories, sizeof(char*))
        self.first = <Py_ssize_t*>calloc(self.n_memories + 1, sizeof(Py_ssize_t))
        if self.bases == NULL or self.first == NULL:
            raise MemoryError()
        self.calls = []
        self.owners = [None] * self.n_memories
        self.control = control

    def __dealloc__(self):
        free(self.ops)
        free(self.relocations)
        free(self.bases)
        free(self.first)

    def __len__(self):
        return self.n_ops

    @property
    def names(self):
        """Names of the kernels, in order."""
        return [call.kernel.name for call in self.calls]

    cdef void relocate(self, Slot* slot, Py_ssize_t memory, Py_ssize_t offset) except *:
        if not 0 <= memory < self.n_memories:
            raise IndexError(f"memory {memory} of {self.n_memories}")
        if self.n_relocations == self.relocation_capacity:
            self.relocation_capacity = 2 * self.relocation_capacity + 16
            self.relocations = <Relocation*>realloc(self.relocations, self.relocation_capacity * sizeof(Relocation))
            if self.relocations == NULL:
                raise MemoryError()
        self.relocations[self.n_relocations] = Relocation(slot, memory, offset)
        self.n_relocations += 1

    def append(self, Call call, dict pointers, bint parallel=False):
        cdef Kernel kernel = call.kernel
        cdef Op* op
        cdef int p
        cdef Py_ssize_t memory, offset
        if self.sealed:
            raise RuntimeError("the plan has run: it is complete")
        if self.n_ops == self.capacity:
            self.capacity = 2 * self.capacity + 16
            self.ops = <Op*>realloc(self.ops, self.capacity * sizeof(Op))
            if self.ops == NULL:
                raise MemoryError()
        op = &self.ops[self.n_ops]
        op.n_phases = 0
        for p in range(MAX_PHASES):
            op.phases[p] = kernel.row.phases[p]
            if op.phases[p] != NULL:
                op.n_phases = p + 1
        op.args = call.slots
        op.parallel = parallel
        for name, (memory, offset) in pointers.items():
            self.relocate(&call.slots[<Py_ssize_t>kernel.slots[name]], memory, offset)
        if call.scratch_bytes:
            self.relocate(&call.slots[<Py_ssize_t>kernel.slots["scratch"]], 0, 0)
            self.scratch_bytes = max(self.scratch_bytes, call.scratch_bytes)
        self.calls.append(call)
        self.any_parallel = self.any_parallel or parallel
        self.n_ops += 1

    cdef void seal(self) except *:
        """Sort the relocations by memory, so that one that moves is found at once; nothing can be appended then."""
        if self.sealed:
            return
        cdef Py_ssize_t i, memory
        cdef Relocation* ordered = <Relocation*>malloc(max(self.n_relocations, 1) * sizeof(Relocation))
        if ordered == NULL:
            raise MemoryError()
        cdef Py_ssize_t n = 0
        for memory in range(self.n_memories):
            self.first[memory] = n
            for i in range(self.n_relocations):
                if self.relocations[i].memory == memory:
                    ordered[n] = self.relocations[i]
                    n += 1
        self.first[self.n_memories] = n
        free(self.relocations)
        self.relocations = ordered
        self.sealed = True

    cdef inline void rebase(self, Py_ssize_t memory, char* base) noexcept:
        cdef Py_ssize_t i
        if self.bases[memory] == base:
            return
        self.bases[memory] = base
        for i in range(self.first[memory], self.first[memory + 1]):
            self.relocations[i].slot.pointer = base + self.relocations[i].offset

    def bind(self, Py_ssize_t memory, Block block):
        self.seal()
        if not 0 < memory < self.n_memories:
            raise IndexError(f"memory {memory} of {self.n_memories}")
        self.owners[memory] = block
        self.rebase(memory, block.data)

    def bind_buffer(self, Py_ssize_t memory, array, bint writable=False, Py_ssize_t offset=0):
        """Bind to the data of a NumPy array (anything with strides that a kernel was told of)."""
        cdef Py_buffer view
        self.seal()
        if not 0 < memory < self.n_memories:
            raise IndexError(f"memory {memory} of {self.n_memories}")
        PyObject_GetBuffer(array, &view, PyBUF_STRIDES | (PyBUF_WRITABLE if writable else 0))
        self.rebase(memory, <char*>view.buf + offset)
        PyBuffer_Release(&view)
        self.owners[memory] = array

    def run(self, Py_ssize_t n_steps=1, Py_ssize_t start=0, stop=None):
        """Replay ops start .. stop, `n_steps` times or until the control's status is bad."""
        cdef Py_ssize_t end = self.n_ops if stop is None else stop
        cdef Py_ssize_t memory
        self.seal()
        if not 0 <= start <= end <= self.n_ops:
            raise IndexError(f"ops {start} to {end} of {self.n_ops}")
        for memory in range(1, self.n_memories if start == 0 and end == self.n_ops else 0):
            if self.bases[memory] == NULL and self.first[memory] < self.first[memory + 1]:
                raise RuntimeError(f"memory {memory} is not bound")
        self.replay(n_steps, start, end)

    cdef void replay(self, Py_ssize_t n_steps, Py_ssize_t start, Py_ssize_t end) except *:
        """`run` without its checks."""
        cdef int n_threads = threads_now() if self.any_parallel else 1
        cdef Control* control = self.control.c if self.control is not None else NULL
        if self.scratch_bytes and (self.scratch is None or self.scratch.size < self.scratch_bytes * n_threads):
            self.scratch = Block(self.scratch_bytes * n_threads)
            self.rebase(0, self.scratch.data)
        with nogil:
            run_ops(self.ops + start, end - start, n_steps, n_threads, control)


def elements_to_line(array, Py_ssize_t line):
    """Elements of a C-contiguous array before the first that starts a cache line of `line` bytes, at most all."""
    cdef Py_buffer view
    cdef Py_ssize_t bytes_before
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    bytes_before = min((line - <Py_ssize_t>view.buf % line) % line, view.len)
    PyBuffer_Release(&view)
    return bytes_before // view.itemsize


cdef enum:
    MAX_ARRAYS = 12
    MAX_AXES = 8
    FORM_WORDS = MAX_ARRAYS * (1 + 2 * MAX_AXES)
    MOST_FORMS = 64             # kept for one kernel with one set of options


cdef class Form:
    """Dtype, shape and strides of the arrays of a call (None has a form too), and the plan for them."""

    cdef Py_ssize_t* words
    cdef Py_ssize_t n_words
    cdef Plan plan

    def __cinit__(self):
        self.words = NULL

    def __dealloc__(self):
        free(self.words)


cdef class KeptPlans:
    """The plans of calls on arrays, by options and form: what makes a small kernel cost well under a microsecond.

    Array i of a call is memory i + 2 of its plan. Belongs to one Python thread.
    """

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
                    form.plan.rebase(i + 2, <char*>views[i].buf)
            form.plan.replay(1, 0, form.plan.n_ops)
            return True
        finally:
            for i in range(n):
                if held[i]:
                    PyBuffer_Release(&views[i])

    def clear(self):
        self.forms.clear()

    def keep(self, tuple options, tuple arrays, Py_ssize_t n_reads, Plan plan):
        """Keep a plan for arrays of this form."""
        cdef Py_buffer views[MAX_ARRAYS]
        cdef bint held[MAX_ARRAYS]
        cdef Py_ssize_t words[FORM_WORDS]
        cdef Py_ssize_t n_words, n = 0, i
        cdef Form form = Form()
        cdef list forms = self.forms.setdefault(options, [])
        try:
            n_words = describe_arrays(arrays, n_reads, views, held, words, &n)
        finally:
            for i in range(n):
                if held[i]:
                    PyBuffer_Release(&views[i])
        form.words = <Py_ssize_t*>malloc(max(n_words, 1) * sizeof(Py_ssize_t))
        if form.words == NULL:
            raise MemoryError()
        memcpy(form.words, words, n_words * sizeof(Py_ssize_t))
        form.n_words = n_words
        plan.seal()
        form.plan = plan
        forms.insert(0, form)
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
        words[n_words] = views[i].format[0] * 256 + views[i].ndim if views[i].format[1] == 0 else -2
        n_words += 1
        for axis in range(views[i].ndim):
            words[n_words] = views[i].shape[axis]
            words[n_words + 1] = views[i].strides[axis]
            n_words += 2
    return n_words


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
