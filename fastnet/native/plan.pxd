from fastnet.native.abi cimport Control
from fastnet.native.arena cimport Block
from fastnet.native.dispatch cimport Kernel
from fastnet.native.team cimport Op

cdef union Slot:
    void* pointer
    Py_ssize_t integer
    double real

cdef struct Relocation:
    Slot* slot
    Py_ssize_t memory
    Py_ssize_t offset

cdef class Call:
    cdef readonly Kernel kernel
    cdef Slot* slots
    cdef readonly Py_ssize_t scratch_bytes, shared_bytes    # of each thread, with what lies between two; of all
    cdef Py_ssize_t used_bytes                              # of a thread's scratch

cdef class ControlBlock:
    cdef Control* c
    cdef readonly Block block

cdef class Plan:
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
    cdef readonly double work           # of one step
    cdef bint sealed
    cdef list calls, owners
    cdef Block scratch
    cdef list guarded                   # between guard pages each call has scratch of its own
    cdef ControlBlock control
    cdef void relocate(self, Slot* slot, Py_ssize_t memory, Py_ssize_t offset) except *
    cdef void seal(self) except *
    cdef void rebase(self, Py_ssize_t memory, char* base) noexcept
    cdef void replay(self, Py_ssize_t n_steps, Py_ssize_t start, Py_ssize_t end) except *
    cdef void take_scratch(self, int n_threads) except *
