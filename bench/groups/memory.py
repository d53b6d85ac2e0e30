"""Memory: of a training process, of a step's workspace against the least that it could be, and of further batch sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import accumulate

from bench.groups.train import program_of
from bench.memory_child import SIZES
from bench.nets import NETS, Training, mlp
from bench.processes import CHECKOUT, with_path
from bench.rows import Figures, Row
from bench.settings import Case

WORKSPACES = [Training(NETS["ResNet-20"], 64, 64), *(Training(NETS[n], 64, 64) for n in ("LeNet", "VGG-small")),
              Training(mlp(784, 512, 512, 10), 128, 128)]  # fmt: skip
SIDES = ("fastnet", "torch contiguous", "torch channels_last")


def cases(setup):
    yield Case("VGG-small training process", lambda: processes(setup, "training"))
    yield Case(f"LeNet, {SIZES - 1} further batch sizes", lambda: processes(setup, "batch_sizes"))
    for training in setup.some(WORKSPACES, 1) if setup.first else ():
        yield Case(f"{training.name}, workspace", lambda training=training: workspace(setup, training))


def processes(setup, what: str) -> Row:
    row = Row("", "", setup.threads, {}, isa=setup.isa)
    for side in SIDES:
        if side == "fastnet" or setup.has(side):
            command = [sys.executable, "-m", "bench", "--process", what, side, "--threads", str(setup.threads)]
            environment = with_path(CHECKOUT)
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
            found = json.loads(printed)
            row.contenders[side] = Figures(megabytes=found.pop("megabytes"))
            row.figures |= {name.replace("_", " "): value for name, value in found.items()}
    least = row.contenders["fastnet"].megabytes
    torch = {side: f.megabytes for side, f in row.contenders.items() if side != "fastnet"}
    if torch:
        row.best["torch"] = min(torch, key=torch.get)
        for side, used in torch.items():
            row.contenders[side].ratio = used / least if least else None
    return row


def workspace(setup, training: Training) -> Row:
    """Bytes of a step's workspace, and the least that the lifetimes of its values allow."""
    from bench.peers import ours

    trained = ours.trainer(training.net)
    trained.train_on_batch(*training.batches()[0])
    program = program_of(trained)
    bound = most_live(program)
    figures = {
        "megabytes that are live at once, at most": bound / 2**20,
        "percent over that": 100 * (program.workspace_bytes / bound - 1),
        "megabytes of parameters": 4 * training.net.parameters / 2**20,
    }
    contenders = {"fastnet": Figures(megabytes=program.workspace_bytes / 2**20)}
    return Row("", "", setup.threads, contenders, figures=figures, isa=setup.isa)


def most_live(program) -> int:
    """The maximum over the calls of a program of the bytes that a value is kept in: no layout needs less."""
    from fastnet.recording import layout

    changes: Counter = Counter()
    for storage, (first, last) in layout.lifetimes(program.recording, program.shared).items():
        changes[first] += storage.nbytes
        changes[last + 1] -= storage.nbytes
    return max(accumulate(changes[index] for index in sorted(changes)))
