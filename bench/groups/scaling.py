"""How cost grows: a training step against the batch's size, the width, the depth and the images' size; and two threads over one.

One thing changes along an axis, and torch's compiled steps are left out of --quick alone. Where a peer's line crosses ours is named
behind each axis (`crossovers`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

from bench import machine
from bench.agreement import agreeing
from bench.nets import ADAM, GLOBAL, NETS, POOL, Net, Training, conv, dense, mlp
from bench.rows import Figures, Row
from bench.settings import Case
from bench.timing import fast_enough, measure

EPOCH = 8  # batches
LONGEST = 1.0  # seconds of a call


class Axis(NamedTuple):
    name: str
    make: Callable[[int], Training]
    positions: tuple[int, ...]
    quick: tuple[int, ...]


def of_images(size: int) -> Net:
    """Three convolutions: with pools in between, so that deep layers see few pixels."""
    layers = [conv(16, 3, relu=True), POOL, conv(32, 3, relu=True), POOL, conv(64, 3, relu=True), GLOBAL, dense(10)]
    return Net(f"16-32-64 {size}x{size}", layers, (size, size, 3), ADAM)


def trained(net: Net, batch: int) -> Training:
    return Training(net, batch, EPOCH * batch)


AXES = [
    Axis("batch size, 256-256-10", lambda n: trained(mlp(256, 256, 10), n), (1, 4, 16, 64, 256, 1024), (1, 64, 1024)),
    Axis("width, n-n-10 batch 32", lambda n: trained(mlp(n, n, 10), 32), (16, 64, 256, 512, 1024, 2048), (16, 256)),
    Axis(
        "depth, n hidden layers of 128, batch 32",
        lambda n: trained(mlp(128, *[128] * n, 10), 32),
        (1, 2, 4, 8, 16, 32),
        (),
    ),
    Axis("batch size, LeNet", lambda n: trained(NETS["LeNet"], n), (1, 4, 16, 64, 128), ()),
    Axis("image size, 16-32-64 batch 16", lambda n: trained(of_images(n), 16), (8, 16, 32, 64, 96), (8, 32)),
]
#: Steps that two threads share.
SHARED = [Training(NETS["LeNet"], 64, 256), Training(mlp(784, 512, 512, 10), 128, 1280),
          *(Training(NETS[name], 64, 256) for name in ("VGG-small", "ResNet-20"))]  # fmt: skip


def cases(setup):
    for axis in AXES:
        for position in axis.quick if setup.quick else axis.positions:
            yield Case(f"{axis.name}: {position}", lambda axis=axis, position=position: point(setup, axis, position))
    if setup.threads > 1:
        for training in setup.some(SHARED, 2):
            yield Case(f"threads, {training.name}", lambda training=training: threads(setup, training))


def point(setup, axis: Axis, position: int) -> Row:
    from bench.groups.train import torch_ways
    from bench.peers import ours

    notes: list[str] = []
    training = axis.make(position)
    call, reference = ours.steps(training)
    made = setup.make(torch_ways(setup, training)) if setup.has("torch") else {}
    if setup.has("jax"):
        from bench.peers import with_jax

        made |= {"jax": with_jax.steps(training)} | (
            {} if setup.quick or training.net.of_images else {"jax scan": with_jax.scanned(training)}
        )
    calls = fast_enough(agreeing(made, reference, training.checked[1], notes), LONGEST, notes)
    row = measure(setup, {"fastnet": call, **calls}, flops=training.flops, fma=machine.fma_probe(setup.threads))
    row.series, row.position, row.notes = axis.name, position, notes
    return row


def threads(setup, training: Training) -> Row:
    """The same step on one thread and on all, in turn; figures have the speedup. torch can change its threads in a process, too."""
    import fastnet as fn

    def speedups(timing):
        sides = [name for name in ("fastnet", "torch") if name in timing.seconds]
        return {f"speedup of {name}": timing.ratio(f"{name} one thread", name)[0] for name in sides}

    try:
        row = measure(setup, sides_of(setup, training), figures=speedups)
    finally:
        fn.set_num_threads(setup.threads)
    row.best.clear()
    return row


def sides_of(setup, training: Training) -> dict:
    """Contenders that set their number of threads: all, and one."""
    import fastnet as fn
    from bench.peers import ours

    def limited(call, *limits):
        def limited_call(n):
            for limit, n_threads in limits:
                limit(n_threads)
            return call(n)

        return limited_call

    step, reference = ours.steps(training)
    opened, sides = [], {}
    if setup.has("torch"):
        import torch

        from bench.peers import with_torch

        layout = "channels_last" if training.net.of_images else ""
        made = {"torch": with_torch.steps(training, setup.threads, "eager", layout)}
        theirs = agreeing(made, reference, training.checked[1], [])["torch"]
        sides["torch"] = limited(theirs, (torch.set_num_threads, setup.threads))
        sides["torch one thread"] = limited(theirs, (torch.set_num_threads, 1))
        opened = [(torch.set_num_threads, setup.threads)]  # torch's limit is OpenMP's, which fastnet obeys
    return {
        "fastnet": limited(step, *opened, (fn.set_num_threads, setup.threads)),
        "fastnet one thread": limited(step, *opened, (fn.set_num_threads, 1)),
        **sides,
    }


def crossovers(rows: list[Row]) -> list[str]:
    """Where, along each axis, a peer (in its best setting at each point) becomes faster than fastnet, or slower.

    Points at which neither is, within the interval of the ratio, are passed over.
    """
    found = []
    for key in dict.fromkeys((row.series, row.threads, row.isa) for row in rows if row.series):
        line = sorted((r for r in rows if (r.series, r.threads, r.isa) == key), key=lambda r: r.position)
        for peer in dict.fromkeys(name.split()[0] for row in line for name in row.contenders if name != "fastnet"):
            known = [(row.position, row.ratio(peer)) for row in line if row.ratio(peer) and decided(row.of(peer))]
            where = f"{key[0]}, {key[1]} thread{'s' if key[1] > 1 else ''}: {peer}"
            crossed = False
            for (x0, r0), (x1, r1) in itertools.pairwise(known):
                if (r0 >= 1) != (r1 >= 1):
                    share = math.log(r0) / (math.log(r0) - math.log(r1))
                    at = math.exp(math.log(x0) + share * (math.log(x1) - math.log(x0)))
                    found.append(f"{where} is {'faster' if r1 < 1 else 'slower'} from about {at:.3g}")
                    crossed = True
            if known and not crossed:
                low, high = min(r for _, r in known), max(r for _, r in known)
                found.append(
                    f"{where} takes {low:.3g} to {high:.3g} times as long, at {known[0][0]:g} to {known[-1][0]:g}"
                )
    return found


def decided(peer: Figures) -> bool:
    """Whether 1 lies outside of the interval of a ratio."""
    return peer.ratio_low is None or not peer.ratio_low <= 1 <= peer.ratio_high
