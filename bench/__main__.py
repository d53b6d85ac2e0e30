"""Times fastnet against its peers.

    python -m bench --threads 1,2 --filter train --json out.json

Each number of threads is measured in a process of its own, whose thread pools (OpenMP, XLA, BLAS) all
have that number. Contenders are interleaved, and compared for equal results before they are timed. A ratio
is peer / fastnet: above 1 fastnet is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile


def _leave_checkout() -> None:
    """Take the checkout off the path: it has the sources, not always the compiled modules."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    try:
        import importlib.util

        editable = any(name.startswith("_kernels") for name in os.listdir(os.path.join(here, "fastnet", "native")))
        if not editable:
            sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != here]
            importlib.invalidate_caches()
    except OSError:
        return


def narrow(isa: str) -> dict[str, str]:
    """The environment in which fastnet and its peers use no instructions beyond `isa`.

    onnxruntime has no such setting; its cases leave it out.
    """
    names = {"FASTNET_ISA": isa, "ATEN_CPU_CAPABILITY": isa}
    names |= {"ONEDNN_MAX_CPU_ISA": isa.upper(), "MKL_ENABLE_INSTRUCTIONS": isa.upper()}
    return names | {"OPENBLAS_CORETYPE": "Haswell"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("--threads", default="1,2", help="numbers of threads (default 1,2)")
    parser.add_argument("--filter", default="", help="only cases whose group or name has this text")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each case (default 3)")
    parser.add_argument("--isa", choices=["avx2"], help="use no instructions beyond these, on either side")
    parser.add_argument("--json", help="write all figures here")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        from bench import cases

        rows = cases.run(int(arguments.threads), arguments.filter, arguments.seconds)
        with open(arguments.child, "w") as file:
            json.dump(rows, file)
        return 0
    rows = []
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for threads in arguments.threads.split(","):
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            xla = f"--xla_cpu_multi_thread_eigen={'true' if int(threads) > 1 else 'false'}"
            if int(threads) == 1:
                xla += " intra_op_parallelism_threads=1"
            if arguments.isa:
                xla += f" --xla_cpu_max_isa={arguments.isa.upper()}"
            environment = {
                **os.environ,
                **(narrow(arguments.isa) if arguments.isa else {}),
                "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads,
                "XLA_FLAGS": xla,
            }  # fmt: skip
            command = [sys.executable, "-m", "bench", "--child", file.name, "--threads", threads]
            command += ["--filter", arguments.filter, "--seconds", str(arguments.seconds)]
            subprocess.run(command, check=True, env=environment, cwd=here)
            rows += json.load(file)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)
    return 0


if __name__ == "__main__":
    _leave_checkout()
    sys.exit(main())
