"""Builds the compiled modules: every kernel once for each row of targets.py and each dtype.

A kernel module is a one-line .pyx, written here into the build folder, that
includes `native/table.pxi`; width, dtype and blocking reach the C compiler as
macros. The other native modules are compiled once, for the plainest CPU.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent
NATIVE = Path("fastnet/native")
GENERATED = Path("build/generated")


def load_targets():
    spec = importlib.util.spec_from_file_location("fastnet_targets", HERE / "fastnet/targets.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


targets = load_targets()
ARCHITECTURE = os.environ.get("FASTNET_BUILD_MACHINE") or targets.machine()
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
LIMITED_API = not FREE_THREADED
WITH_OPENMP = os.environ.get("FASTNET_OPENMP", "1") != "0"
DEBUG = os.environ.get("FASTNET_DEBUG", "0") == "1"
# Those of CFLAGS come first, and so don't take the place of the ones below.
LAST_FLAGS = os.environ.get("FASTNET_CFLAGS", "").split()

# -O3 for its early unrolling, without which the sums of large tiles stay in memory (a third of the speed), less what makes modules
# larger and nothing faster (SMALLER): copies of functions for constants, of loops for aliases, of code before and after jumps.
# -fwrapv: CPython has it in its own flags, which CFLAGS replace; without it products take an eighth longer.
# -fno-math-errno, -fno-trapping-math: sqrt and comparisons become single instructions.
# Never -ffast-math: it deletes NaN tests and changes the FPU mode of the whole process.
# INLINED: functions that say so are, and no others. More of it makes modules a twentieth larger and steps no faster, and in one
# great function GCC no longer sees that Winograd's coefficients are constants.
WINDOWS = sys.platform == "win32"
CLANG = WINDOWS or sys.platform == "darwin" or "clang" in os.environ.get("CC", "")
SMALLER = [
    "-fno-unswitch-loops",
    "-fno-ipa-cp-clone",
    "-fno-split-loops",
    "-fno-split-paths",
    "-fno-version-loops-for-strides",
    "-fno-gcse-after-reload",
    "-fno-loop-unroll-and-jam",
    "-fno-loop-interchange",
    "-fno-predictive-commoning",
    "-fno-tree-loop-distribution",
    "-fvect-cost-model=very-cheap",
    "-fno-schedule-insns2",
    "-fno-align-jumps",
    "-fno-align-labels",
]
INLINED = ["-fno-inline-functions", "-fno-inline-functions-called-once", "-fno-inline-small-functions"]
KERNEL_FLAGS = [
    "-O3",
    "-fwrapv",
    *([] if CLANG else [*INLINED, *SMALLER]),
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
]
COMMON_FLAGS = [
    "-fvisibility=hidden",
    "-Wno-unused-function",
    # Nothing throws. (Windows' exceptions of the CPU want the tables.)
    *([] if WINDOWS else ["-fno-asynchronous-unwind-tables"]),
]
LINK_FLAGS = ["-Wl,-s"] if sys.platform.startswith("linux") and not DEBUG else []
OPENMP = {
    "darwin": (["-Xpreprocessor", "-fopenmp"], ["-lomp"]),
    "win32": (["-fopenmp"], ["libomp.lib"]),
}.get(sys.platform, (["-fopenmp"], ["-fopenmp"]))

# Commands that describe the project, and compile nothing.
DESCRIPTIONS = {"dist_info", "egg_info", "sdist"}

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    # Functions as C modules have them, with signatures for inspect: what Python-like ones need is as large as three modules.
    "binding": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",
    "auto_pickle": False,  # nothing here can be pickled
    "freethreading_compatible": True,
}


def build_id() -> str:
    """Names the sources: modules of two builds refuse to work together."""
    digest = hashlib.sha256()
    for path in sorted((HERE / NATIVE).rglob("*")):
        if path.suffix in {".pyx", ".pxd", ".pxi", ".h"}:
            digest.update(path.name.encode() + path.read_bytes())
    digest.update((HERE / "fastnet/targets.py").read_bytes())
    return digest.hexdigest()[:16]


def write_if_changed(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def spelled(flags) -> list[str]:
    """As the compiler takes them: clang-cl hands what stands behind /clang: to clang."""
    return [f"/clang:{flag}" for flag in flags] if WINDOWS else list(flags)


def extension(name: str, source: Path, flags=(), macros=(), link=()) -> Extension:
    limited = [("Py_LIMITED_API", "0x030B0000")] if LIMITED_API else []
    return Extension(
        f"fastnet.native.{name}",
        [str(source)],
        include_dirs=[str(NATIVE)],
        define_macros=[*limited, ("FN_BUILD_ID", f'"{build_id()}"'), *macros],
        extra_compile_args=spelled([*COMMON_FLAGS, *flags, *LAST_FLAGS]),
        extra_link_args=[*LINK_FLAGS, *link],
        depends=[str(p) for p in sorted(NATIVE.rglob("*.p[xy]*")) + sorted(NATIVE.glob("*.h"))],
        py_limited_api=LIMITED_API,
    )


def kernel_extension(target, dtype: str) -> Extension:
    name = targets.module_name(target.name, dtype)
    source = GENERATED / f"{name}.pyx"
    write_if_changed(source, 'include "table.pxi"\n')
    blocking = target.blocking(dtype)
    macros = [
        ("FN_TARGET", f'"{target.name}"'),
        ("FN_VECTOR_BYTES", str(target.vector_bytes)),
        ("FN_DOUBLE", str(int(dtype == "float64"))),
        ("FN_MR", str(blocking.height)),
        ("FN_MR_NARROW", str(blocking.narrow)),
        ("FN_NV", str(blocking.vectors)),
        ("FN_KC", str(blocking.kc)),
        ("FN_PACKED_BYTES", str(blocking.packed)),
        # A helper that is not inlined passes its vectors through memory.
        ("CYTHON_INLINE", "inline __attribute__((always_inline))"),
    ]
    flags = [*KERNEL_FLAGS, *target.flags]
    if DEBUG:
        flags.append("-g")
    return extension(name, source, flags, macros)


def chosen_targets():
    """All instruction sets of the architecture, or those of FASTNET_BUILD_ISA (to try a kernel quickly)."""
    names = os.environ.get("FASTNET_BUILD_ISA", "")
    return [row for row in targets.targets_of(ARCHITECTURE) if not names or row.name in names.split(",")]


def extensions() -> list[Extension]:
    openmp_compile, openmp_link = OPENMP if WITH_OPENMP else ([], [])
    return [
        extension("team", NATIVE / "team.pyx", ["-O2", *openmp_compile], link=openmp_link),
        *(extension(name, NATIVE / f"{name}.pyx", ["-Os"]) for name in ("plan", "calls", "dispatch", "arena")),
        *(kernel_extension(row, dtype) for row in chosen_targets() for dtype in targets.DTYPES),
    ]


def cythonized() -> list[Extension]:
    return cythonize(
        extensions(),
        include_path=[str(NATIVE), "."],
        compiler_directives=DIRECTIVES,
        build_dir="build/cython",
        nthreads=0,
        quiet=True,
    )


class BuildExtensions(build_ext):
    """Compiles the modules side by side, which `pip install .` does not ask for by itself."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        if WINDOWS:
            # Microsoft's compiler lacks the vector types that kernels are written in, and an OpenMP that may be given away.
            clang = shutil.which("clang-cl")
            if clang is None:
                raise SystemExit("fastnet is compiled by clang-cl, which is not on PATH; LLVM's installer has it")
            self.compiler.initialize()
            self.compiler.cc = clang
            self.compiler.add_library_dir(str(Path(clang).parent.parent / "lib"))
        super().build_extensions()


if __name__ == "__main__":
    setup(
        ext_modules=[] if DESCRIPTIONS & set(sys.argv) else cythonized(),
        cmdclass={"build_ext": BuildExtensions},
        options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED_API else {},
    )
