"""Processes of their own: the environment that limits their pools, and where they find bench and fastnet."""

from __future__ import annotations

import importlib
import os
import sys

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def leave_checkout() -> None:
    """Take the checkout off the path: it has the sources, not always the compiled modules."""
    if any(name.startswith("_kernels") for name in os.listdir(os.path.join(CHECKOUT, "fastnet", "native"))):
        return
    importlib.import_module("bench")  # so that its modules are found when the checkout is not on the path
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != CHECKOUT]
    importlib.invalidate_caches()


def with_path(folder: str) -> dict[str, str]:
    """The environment, in which modules are looked for here first."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))}


def limited(threads: int, isa: str) -> dict[str, str]:
    """In which every pool has so many threads, and nobody uses instructions beyond `isa`.

    onnxruntime has no setting for the latter; its cases leave it out.
    """
    xla = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    if threads == 1:
        xla += " intra_op_parallelism_threads=1"
    count = str(threads)
    names = {"OMP_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count, "MKL_NUM_THREADS": count}
    if isa:
        xla += f" --xla_cpu_max_isa={isa.upper()}"
        names |= {"FASTNET_ISA": isa, "ATEN_CPU_CAPABILITY": isa, "OPENBLAS_CORETYPE": "Haswell"}
        names |= {"ONEDNN_MAX_CPU_ISA": isa.upper(), "MKL_ENABLE_INSTRUCTIONS": isa.upper()}
    return with_path(CHECKOUT) | names | {"XLA_FLAGS": xla}
