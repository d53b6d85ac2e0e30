"""Whole training steps, whole epochs, and what a replayed step costs besides its kernels' arithmetic."""

from __future__ import annotations

from bench import machine
from bench.agreement import agreeing, check
from bench.nets import NETS, Training, mlp
from bench.rows import Row
from bench.settings import Case
from bench.timing import fast_enough, measure, repeat

DENSE = [
    Training(mlp(64, 64, 10), 32, 1600),
    Training(mlp(784, 128, 10), 128, 6400),
    Training(mlp(784, 128, 10), 32, 6400),
    Training(mlp(784, 512, 512, 10), 128, 6400),
]
IMAGES = [Training(NETS[name], 64, 256) for name in ("LeNet", "VGG-small", "ResNet-20")]
EPOCHS = 10
LONGEST = 2.0  # seconds of a call
#: The same layers as the first of DENSE, so the same list of calls, with hardly a multiplication in them.
TINY = Training(mlp(1, 1, 2), 1, 50)


def cases(setup):
    for training in setup.some(DENSE, 2):
        yield Case(f"{training.name}, fit", lambda training=training: steps(setup, training, whole=True))
        yield Case(f"{training.name}, train_on_batch", lambda training=training: steps(setup, training))
    for training in setup.some(IMAGES, 1):
        name = f"{training.name}, {training.net.optimizer}"
        yield Case(name, lambda training=training: steps(setup, training))
    yield Case(f"{DENSE[0].name}, {EPOCHS} epochs of net.fit", lambda: epochs(setup, DENSE[0]))
    yield Case("fixed cost of a step", lambda: fixed_cost(setup))


def torch_ways(setup, training: Training) -> dict:
    from bench.peers import with_torch

    return {
        name: lambda how=how, layout=layout: with_torch.steps(training, setup.threads, how, layout)
        for name, how, layout in with_torch.ways(training.net, setup, compiled=not setup.quick)
    }


def peers_of(setup, training: Training, whole: bool = False) -> dict:
    """Contenders that do steps; with `whole` also those that only do whole epochs."""
    made = setup.make(torch_ways(setup, training)) if setup.has("torch") else {}
    if setup.has("jax"):
        from bench.peers import with_jax

        made["jax"] = with_jax.steps(training)
        # XLA's convolutions are 12 times slower in a scan: one network shows it.
        if whole or (training.net is NETS["LeNet"] and not setup.quick):
            made["jax scan"] = with_jax.scanned(training)
    if whole and setup.has("sklearn"):
        from bench.peers import with_sklearn

        made["sklearn"] = with_sklearn.steps(training)
    return made


def steps(setup, training: Training, whole: bool = False) -> Row:
    """Steps through `train_on_batch`; or with `whole` inside of `fit`, against peers' whole epochs, too."""
    from bench.peers import ours

    notes: list[str] = []
    call, reference = ours.steps(training)
    calls = agreeing(peers_of(setup, training, whole), reference, training.checked[1], notes)
    calls = fast_enough(calls, LONGEST, notes)
    if whole:
        call, _ = ours.fit(training)
    bytes_of_update = 28 * training.net.parameters  # of Adam, the smallest amount that a step must move
    stream = machine.stream_probe(setup.threads, 16 * training.net.parameters)
    fma = machine.fma_probe(setup.threads)

    def of_the_bound(timing):
        """Our time over the least that the machine allows: products at the FMA peak, and the update at the bandwidth."""
        products = training.flops * timing.median("fma") / fma[1]
        update = bytes_of_update * timing.median("stream") / stream[1]
        return {"times the bound": timing.median("fastnet") / (products + update)}

    row = measure(
        setup, {"fastnet": call, **calls}, flops=training.flops, fma=fma, stream=stream,
        figures=None if training.net.of_images else of_the_bound,
    )  # fmt: skip
    row.notes += notes
    return row


def epochs(setup, training: Training) -> Row:
    """Whole epochs, shuffled, as a user runs them: our recording of the step is within, JAX' and torch's compilation is not."""
    from bench.peers import ours

    made = {"fastnet": ours.epochs(training, EPOCHS)}
    if setup.has("torch"):
        from bench.peers import with_torch

        for how in ("eager",) if setup.quick else ("eager", "compiled"):
            made[f"torch {how}"] = with_torch.epochs(training, EPOCHS, setup.threads, how)
    if setup.has("skorch"):
        from bench.peers import with_skorch

        made["skorch"] = with_skorch.epochs(training, EPOCHS, setup.threads)
    if setup.has("jax"):
        from bench.peers import with_jax

        made["jax scan"] = with_jax.epochs(training, EPOCHS)
    if setup.has("sklearn"):
        from bench.peers import with_sklearn

        made["sklearn"] = with_sklearn.epochs(training, EPOCHS)
    check({name: [loss] for name, (_, loss) in made.items()}, training.checked[1])
    return measure(
        setup, {name: repeat(call) for name, (call, _) in made.items()},
        flops=EPOCHS * training.steps * training.flops, fma=machine.fma_probe(setup.threads),
    )  # fmt: skip


def fixed_cost(setup) -> Row:
    """What a replayed step costs whatever its kernels compute: calls, control block, the streams of random numbers, barriers.

    It is bounded from above by a network whose step has the same list of calls as that of 64-64-10, which is checked, and in
    which each of them has one to four numbers to work on. Peers do the same step in their ways.
    """
    from bench.peers import ours

    names = []
    for training in (DENSE[0], TINY):
        trained = ours.trainer(training.net)
        trained.train_on_batch(*training.batches()[0])
        names.append(program_of(trained).plan.names)
    if names[0] != names[1]:
        raise AssertionError(f"the small step has other calls: {names[1]}, not {names[0]}")
    _, reference = ours.steps(TINY)
    calls = agreeing(peers_of(setup, TINY, whole=True), reference, TINY.checked[1], [])
    row = measure(setup, {"fastnet": ours.fit(TINY)[0], **calls})
    row.figures["calls of kernels"] = len(names[1])
    return row


def program_of(trainer):
    """The program that a Trainer has run last."""
    return next(reversed(trainer._programs._programs.values()))
