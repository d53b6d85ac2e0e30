"""All arrays that NumPy makes in a process lie between guard pages: an access past their end (or start) is a fault at once."""

import ctypes

import numpy as np

from fastnet.native import arena

SET_HANDLER = 304  # of NumPy's C API: PyDataMem_SetHandler (NEP 49)


def install():
    """For all arrays of this thread from now on; those that are there already stay where they are."""
    core = getattr(np, "_core", None) or np.core  # before NumPy 2
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    functions = ctypes.cast(pointer(core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(functions[SET_HANDLER])
    set_handler(arena.guarded_numpy_allocator())
    assert is_guarded(np.ones(3))


def is_guarded(array):
    """Whether an array's data lie against a page's border: by chance one in a hundred would."""
    first = array.__array_interface__["data"][0]
    return first % arena.PAGE == 0 if arena.GUARD_PAGES == "start" else (first + array.nbytes) % arena.PAGE == 0
