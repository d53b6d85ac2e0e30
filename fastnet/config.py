"""Which instruction set, how many threads, and what this build is."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from fastnet import checks, targets
from fastnet.native import dispatch, team
from fastnet.processors import available_cpus, is_pool_worker

if TYPE_CHECKING:
    from fastnet.native.dispatch import Kernel

__all__ = ["get_num_threads", "isa", "kernel", "set_num_threads", "show_config", "threads"]


@cache
def isa() -> str:
    """Name of the instruction set in use: the best of this CPU, or what ``FASTNET_ISA`` names.

    Raises
    ------
    ValueError
        ``FASTNET_ISA`` names a set that does not exist or that this CPU lacks.
    """
    known = [row.name for row in targets.targets_of()]
    supported = dispatch.supported_targets()
    name = os.environ.get("FASTNET_ISA", "")
    if not name:
        return supported[-1]
    if name == "baseline" and known[0] == "neon":
        return "neon"
    checks.choice("FASTNET_ISA", name, known)
    if name not in supported:
        raise ValueError(f"FASTNET_ISA={name}: this CPU lacks these instructions; it supports {', '.join(supported)}")
    return name


@cache
def _table(dtype: str) -> dict[str, Kernel]:
    return dispatch.load_table(isa(), dtype)


def kernel(name: str, dtype: str) -> Kernel:
    """A compiled kernel of the instruction set in use; `dtype` is "float32" or "float64"."""
    return _table(dtype)[name]


def _default_threads() -> int:
    for variable in ("FASTNET_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(variable, "").split(",")[0].strip()
        if text:
            if not text.isdigit() or int(text) < 1:
                if variable == "OMP_NUM_THREADS":
                    continue
                raise ValueError(f"{variable}={text}: expected a whole number of at least 1")
            return int(text)
    return 1 if is_pool_worker() else available_cpus()


def set_num_threads(n: int) -> None:
    """Use `n` threads from now on, in the whole process; `n` may exceed the number of cores.

    A step whose work is small uses fewer, and limits set through OpenMP or threadpoolctl are obeyed.
    Results do not depend on it.
    """
    team.set_threads(checks.whole_number("n", n, least=1))


def get_num_threads() -> int:
    """The number of threads that a large enough step uses."""
    return team.get_threads()


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Use `n` threads inside of the ``with`` block.

    Examples
    --------
    >>> import fastnet as fn
    >>> with fn.threads(1):
    ...     fn.get_num_threads()
    1
    """
    before = team.get_wanted()
    set_num_threads(n)
    try:
        yield
    finally:
        team.set_threads(before)


def openmp_runtimes() -> list[str]:
    """Paths of the OpenMP runtimes loaded in this process (Linux)."""
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split(None, 5)[5].strip() for line in maps if "/" in line}
    except OSError:
        return []
    names = ("libgomp", "libomp", "libiomp")
    return sorted(path for path in paths if os.path.basename(path).startswith(names))


def configuration() -> dict[str, Any]:
    """What `show_config` prints, as a dict."""
    import numpy

    from fastnet import __version__

    return {
        "fastnet": __version__,
        "build": dispatch.BUILD_ID,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "platform": f"{sys.platform} {targets.machine()}",
        "isa": isa(),
        "isa supported": ", ".join(dispatch.supported_targets()),
        "threads": get_num_threads(),
        "cpus available": available_cpus(),
        "openmp": ", ".join(openmp_runtimes()) or ("yes" if team.has_openmp() else "no: one thread"),
    }


def show_config() -> None:
    """Print versions, instruction set, threads and the OpenMP runtimes of this process."""
    for name, value in configuration().items():
        print(f"{name:<16}{value}")


team.set_threads(_default_threads())
