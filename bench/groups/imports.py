"""The start of a process: imports over that of NumPy, each in processes of its own, in turn."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

from bench.processes import with_path
from bench.rows import Row
from bench.settings import Case
from bench.timing import Timing

#: Of ours and of peers, whose imports take seconds.
ROUNDS, QUICK_ROUNDS = (51, 5), (7, 1)
#: Contender -> what is imported behind NumPy. scikit-learn's cost is that of what a network takes from it.
MODULES = {
    "fastnet": "import fastnet",
    "torch": "import torch",
    "jax": "import jax.numpy",
    "sklearn": "from sklearn.neural_network import MLPClassifier",
    "onnxruntime": "import onnxruntime",
}


def cases(setup):
    if setup.first:
        yield Case("import", lambda: imports(setup))


def imports(setup) -> Row:
    """Of fastnet: what `import fastnet` adds to `import numpy`; the others are as they are, over the same."""
    import fastnet

    codes = {"alone": "import numpy"} | {
        name: f"import numpy\n{code}" for name, code in MODULES.items() if name == "fastnet" or setup.has(name)
    }
    taken = {name: [] for name in codes}
    environment = with_path(os.path.dirname(os.path.dirname(fastnet.__file__)))
    most, of_peers = QUICK_ROUNDS if setup.quick else ROUNDS
    for index in range(most):
        for name, code in codes.items():
            if name in ("alone", "fastnet") or index < of_peers:
                begun = time.perf_counter()
                subprocess.run([sys.executable, "-P", "-c", code], check=True, env=environment)
                taken[name].append(time.perf_counter() - begun)
    alone = np.array(taken.pop("alone"))
    timing = Timing({name: np.array(values) - alone[: len(values)] for name, values in taken.items()})
    row = Row("", "", setup.threads, {name: timing.figures(name) for name in timing.seconds}, isa=setup.isa)
    for name in timing.seconds:
        if name != "fastnet":
            f = row.contenders[name]
            f.ratio = f.median_seconds / row.contenders["fastnet"].median_seconds
    row.figures["milliseconds of import numpy"] = 1e3 * float(np.median(alone))
    return row
