# Record and replay: a flat list of (phases, arguments), run without Python.
#
# A Call is a kernel with its argument struct. A Plan is a list of calls whose pointers are
# kept as (memory, offset): memories are numbered, and bound to addresses before
# a run; only the pointers into a memory that has moved are written again. Memory 0 is the scratch
# of the threads, which the plan keeps for itself and sizes by the number of threads.

from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdlib cimport calloc, free, malloc, realloc

from fastnet.native import arena
from fastnet.native.abi cimport Control, MAX_PHASES
from fastnet.native.arena cimport Block
from fastnet.native.dispatch cimport Kernel
from fastnet.native.team cimport Op, run_ops, threads_now

cdef Py_ssize_t guard = arena.PAGE if arena.GUARD_PAGES else 0      # bytes of a guard page, where there are any
cdef bint at_start = arena.GUARD_PAGES == "start"


cdef class Call:
    """A kernel with its arguments: pointers by name as present or absent, numbers by value.

    Absent pointers are NULL; absent numbers are an error.
    """

    def __cinit__(self, Kernel kernel, present, dict numbers):
        cdef Py_ssize_t i, taken = 0
        cdef str name
        self.kernel = kernel
        self.slots = <Slot*>calloc(max(kernel.n_slots, 1), sizeof(Slot))
        if self.slots == NULL:
            raise MemoryError()
        for name in present:
            if name not in kernel.pointers:
                raise TypeError(f"kernel {kernel.name!r} has no pointer {name!r}; it has {kernel.pointers}")
            self.slots[<Py_ssize_t>kernel.slots[name]].integer = 1
        i = len(kernel.pointers)
        for name in kernel.integers:
            if name == "scratch_stride":
                self.slots[i].integer = 0
            elif name in numbers:
                self.slots[i].integer = numbers[name]
                taken += 1
            else:
                raise TypeError(f"kernel {kernel.name!r} needs the integer {name!r}")
            i += 1
        for name in kernel.reals:
            if name not in numbers:
                raise TypeError(f"kernel {kernel.name!r} needs the real {name!r}")
            self.slots[i].real = numbers[name]
            taken += 1
            i += 1
        if taken < len(numbers):
            unused = numbers.keys() - set(kernel.integers) - set(kernel.reals)
            raise TypeError(f"kernel {kernel.name!r} takes no {sorted(unused)}; it takes {kernel.integers + kernel.reals}")
        self.scratch_bytes = kernel.row.scratch(self.slots) if kernel.row.scratch != NULL else 0
        self.shared_bytes = kernel.row.shared(self.slots) if kernel.row.shared != NULL else 0
        # A thread's scratch starts on a cache line, and not on the same set as its neighbour's.
        if self.scratch_bytes:
            self.used_bytes = self.scratch_bytes
            if guard:
                self.scratch_bytes = (self.used_bytes + guard - 1) // guard * guard + guard
            else:
                self.scratch_bytes = (self.used_bytes + 63) // 64 * 64 + 64
            self.slots[<Py_ssize_t>kernel.slots["scratch_stride"]].integer = self.scratch_bytes

    def __dealloc__(self):
        free(self.slots)


cdef class ControlBlock:
    """The values that change from step to step (`Control` in abi.pxd), read and written by name."""

    def __cinit__(self):
        self.block = Block(sizeof(Control))
        self.c = <Control*>self.block.data

    def begin(self, Py_ssize_t forward):
        """Before a run: no fault, no steps yet, and so many training forwards."""
        self.c.status = 0
        self.c.run_step = 0
        self.c.forward = forward

    @staticmethod
    def offset(str name):
        """Bytes from the block's start to a field."""
        cdef Control c
        if name == "step": return <char*>&c.step - <char*>&c
        if name == "forward": return <char*>&c.forward - <char*>&c
        if name == "cursor": return <char*>&c.cursor - <char*>&c
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
    property batches:
        def __get__(self): return self.c.batches
        def __set__(self, value): self.c.batches = value
    property samples:
        def __get__(self): return self.c.samples
        def __set__(self, value): self.c.samples = value
    property gathered:
        def __get__(self): return self.c.gathered
        def __set__(self, value): self.c.gathered = value
    property loss:
        def __get__(self): return self.c.loss
        def __set__(self, value): self.c.loss = value
    property weight:
        def __get__(self): return self.c.weight
        def __set__(self, value): self.c.weight = value
    property gradient_norm:
        def __get__(self): return self.c.gradient_norm
        def __set__(self, value): self.c.gradient_norm = value


cdef enum:
    LONG = 1_000_000            # multiply-adds, some 20 us, from which a run lets other Python threads go on


cdef class Plan:
    """A list of calls, over `n_memories` numbered memories besides the scratch.

    `append(call, pointers, parallel, work)` adds one: `pointers` maps field to (memory, offset in bytes), `work` is in
    multiply-adds (or elements moved, times four).
    `bind(memory, block)` and `bind_buffer(memory, array)` say where a memory is.
    `run()` replays. The plan keeps references to the blocks and
    arrays that it is bound to.
    """

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

    def append(self, Call call, dict pointers, bint parallel=False, double work=1e6):     # (LONG, as inspect can read it)
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
        self.work += work
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

    cdef void rebase(self, Py_ssize_t memory, char* base) noexcept:
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
            self.take_scratch(n_threads)
        if n_steps * self.work < LONG:
            # Letting go of the GIL, and taking it again, would take longer than what other threads gain.
            run_ops(self.ops + start, end - start, n_steps, n_threads, control)
        else:
            with nogil:
                run_ops(self.ops + start, end - start, n_steps, n_threads, control)

    cdef void take_scratch(self, int n_threads) except *:
        cdef Call call
        cdef Block block
        cdef Py_ssize_t at
        try:
            block = Block(self.scratch_bytes * n_threads)
        except MemoryError as error:
            call = max(self.calls, key=lambda call: call.scratch_bytes)
            raise MemoryError(
                f"{error} for the scratch of {n_threads} threads, of which kernel {call.kernel.name!r} needs most"
            ) from None
        if not guard:
            self.rebase(0, block.data)
        else:
            self.guarded = []
            for call in self.calls:
                if call.scratch_bytes:
                    apart = Block(call.scratch_bytes * n_threads)
                    apart.divide(range(call.scratch_bytes - guard, apart.size, call.scratch_bytes))
                    at = 0 if at_start else call.scratch_bytes - guard - call.used_bytes
                    call.slots[<Py_ssize_t>call.kernel.slots["scratch"]].pointer = (<Block>apart).data + at
                    self.guarded.append(apart)
        self.scratch = block
