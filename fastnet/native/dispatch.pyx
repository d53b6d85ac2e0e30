# From the CPU to a table of kernels.

from importlib import import_module

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid

from fastnet import targets
from fastnet.native.abi cimport ABI_VERSION, KernelRow, KernelTable

cdef extern from "platform.h":
    int fn_cpu_level()

cdef extern from *:
    const char* FN_BUILD_ID

BUILD_ID = FN_BUILD_ID.decode()


def cpu_level():
    """The level of instructions that this CPU and system support, as in `targets.Target.level`."""
    return fn_cpu_level()


cdef class Kernel:
    """One row of a table: a kernel, and the names of its arguments in their order."""

    def __init__(self):
        raise TypeError("kernels come from load_table()")

    def __repr__(self):
        return f"<kernel {self.name} ({', '.join(self.pointers)} | {', '.join(self.integers)} | {', '.join(self.reals)})>"


cdef Kernel kernel_of(const KernelRow* row, object table):
    cdef Kernel kernel = Kernel.__new__(Kernel)
    kernel.row = row
    kernel.table = table
    kernel.name = row.name.decode()
    groups = [tuple(group.split()) for group in row.fields.decode().split("|")]
    kernel.pointers, kernel.integers, kernel.reals = groups
    names = kernel.pointers + kernel.integers + kernel.reals
    kernel.slots = {name: i for i, name in enumerate(names)}
    kernel.n_slots = len(names)
    if len(kernel.slots) != kernel.n_slots or row.size != 8 * kernel.n_slots:
        raise ImportError(
            f"kernel {kernel.name!r}: its row names {kernel.n_slots} fields, its struct has {row.size // 8}"
        )
    return kernel


def load_table(str target, str dtype):
    """The kernels of one instruction set and dtype, by name."""
    cdef const KernelTable* table
    cdef Py_ssize_t i
    name = f"fastnet.native.{targets.module_name(target, dtype)}"
    module = import_module(name)
    capsule = module.TABLE
    if not PyCapsule_IsValid(capsule, "fastnet.kernel_table"):
        raise ImportError(f"{name} has no kernel table")
    table = <const KernelTable*>PyCapsule_GetPointer(capsule, "fastnet.kernel_table")
    if table.abi_version != ABI_VERSION or table.size != sizeof(KernelTable) or table.build_id.decode() != BUILD_ID:
        raise ImportError(
            f"{name} belongs to another build of fastnet ({table.build_id.decode()}, not {BUILD_ID}): reinstall it"
        )
    if table.target.decode() != target or table.dtype.decode() != dtype:
        raise ImportError(f"{name} holds kernels for {table.target.decode()} {table.dtype.decode()}")
    kernels = {}
    for i in range(table.n_rows):
        kernel = kernel_of(&table.rows[i], capsule)
        kernels[kernel.name] = kernel
    return kernels


def supported_targets():
    """Names of this architecture's instruction sets that the CPU can run, plainest first."""
    level = fn_cpu_level()
    return [row.name for row in targets.targets_of() if row.level <= level]
