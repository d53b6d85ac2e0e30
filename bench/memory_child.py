"""The memory of a process that does nothing else; printed as JSON by `python -m bench --process training fastnet --threads 1`."""

from __future__ import annotations

import json

from bench.machine import resident_megabytes
from bench.nets import ADAM, FLATTEN, NETS, POOL, Net, Training, conv, dense

STEPS = 8
BATCH = 64
#: More than four channels, with which torch 2.13 writes out of bounds in channels_last (AVX2).
TINY = Net("tiny", [conv(8, 3, relu=True), POOL, FLATTEN, dense(10)], (8, 8, 3), ADAM)
SIZES = 16


def steps_of(side: str, threads: int, training: Training):
    """A function that does n steps."""
    if side == "fastnet":
        import fastnet
        from bench.peers import ours

        fastnet.set_num_threads(threads)
        return ours.steps(training)[0]
    from bench.peers import with_torch

    return with_torch.steps(training, threads, "eager", side.split()[-1])[0]


def training(side: str, threads: int) -> dict:
    """What training VGG-small adds at most, over what a tiny network needs that is trained in the same way."""
    steps_of(side, threads, Training(TINY, BATCH, 4 * BATCH))  # what is imported with the first step
    before = resident_megabytes("VmHWM")
    steps_of(side, threads, Training(NETS["VGG-small"], BATCH, 4 * BATCH))(STEPS)
    return {"megabytes": resident_megabytes("VmHWM") - before}


def batch_sizes(side: str, threads: int) -> dict:
    """What SIZES - 1 further batch sizes add to the most that LeNet's training takes; the largest size came first."""
    if side == "fastnet":
        import fastnet
        from bench.peers import ours

        fastnet.set_num_threads(threads)
        trainer = ours.trainer(NETS["LeNet"])
        step = trainer.train_on_batch
    else:
        import torch

        from bench.peers import with_torch

        torch.set_num_threads(threads)
        layout = side.split()[-1]
        stepped = with_torch.stepper(NETS["LeNet"], "eager", layout)

        def step(x, y):
            return stepped(with_torch.images(x, layout), torch.tensor(y))

    x, y = Training(NETS["LeNet"], BATCH, BATCH).data()
    for _ in range(3):
        step(x, y)
    before = resident_megabytes("VmHWM")
    workspace = trainer.workspace.block.size if side == "fastnet" else 0
    for n in range(BATCH - SIZES + 1, BATCH):
        step(x[:n], y[:n])
    found = {"megabytes": resident_megabytes("VmHWM") - before}
    if side == "fastnet":
        found["workspace_megabytes"] = (trainer.workspace.block.size - workspace) / 2**20
    return found


def main(what: str, side: str, threads: int) -> None:
    print(json.dumps({"training": training, "batch_sizes": batch_sizes}[what](side, threads)))
