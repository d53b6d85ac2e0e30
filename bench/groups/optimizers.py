"""Updates of flat memory, by the optimizers' rules, against torch's fused ones where there are any."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bench import machine
from bench.settings import Case
from bench.timing import measure, repeat

SIZES = (100_000, 10_000_000)
CHECKED_STEPS = 3


@dataclass(frozen=True)
class Rule:
    """A kernel, its state (c: a number, others: an array each), torch's class with its fastest settings, and options of both."""

    name: str
    kernel: str
    state: str
    torch: str | None = None
    fused: bool = False
    options: dict = field(default_factory=dict)

    def arrays(self, n: int) -> int:
        """Arrays that an update reads or writes: weights and state both, gradients are read."""
        return 3 + 2 * len(self.state.replace("c", ""))


RULES = [
    Rule("Adam", "adam_update", "mv", "Adam", fused=True),
    Rule("SGD with momentum", "sgd_update", "m", "SGD", fused=True, options={"momentum": 0.9}),
    Rule("NAdam", "nadam_update", "mvc", "NAdam"),
    Rule("RAdam", "radam_update", "mv", "RAdam"),
    Rule("Adamax", "adamax_update", "mu", "Adamax"),
    Rule("Adadelta", "adadelta_update", "vd", "Adadelta"),
    Rule("Lion", "lion_update", "m"),
]


def cases(setup):
    for rule in setup.some(RULES, 1):
        for n in SIZES:
            yield Case(f"{rule.name}, {n:,} parameters", lambda rule=rule, n=n: update(setup, rule, n))


def update(setup, rule: Rule, n: int):
    from fastnet import kernels

    kernel = getattr(kernels, rule.kernel)
    rng = np.random.default_rng(0)
    w, g = rng.random(n, dtype=np.float32), rng.random(n, dtype=np.float32)
    state = [np.zeros(1) if key == "c" else np.zeros(n, np.float32) for key in rule.state]
    step = [0]

    def ours():
        step[0] += 1
        kernel(w, g, *state, step=step[0], **rule.options)

    ways = ("eager",) if setup.quick else ("eager", "compiled")
    made = setup.make(
        {f"torch {how}": lambda how=how: torch_update(setup, rule, w, g, how) for how in ways if rule.torch}
    )
    for _ in range(CHECKED_STEPS):
        ours()
    contenders = {"fastnet": repeat(ours)}
    for name, (call, parameter) in made.items():
        for _ in range(CHECKED_STEPS):
            call()
        np.testing.assert_allclose(w, parameter.detach().numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
        contenders[name] = repeat(call)
    moved = 4 * n * rule.arrays(n)
    return measure(setup, contenders, moved=moved, stream=machine.stream_probe(setup.threads, 4 * 4 * n))


def torch_update(setup, rule: Rule, w, g, how: str):
    import torch

    torch.set_num_threads(setup.threads)
    parameter = torch.nn.Parameter(torch.tensor(w))
    parameter.grad = torch.tensor(g)
    options = rule.options | ({"fused": True} if rule.fused else {})
    optimizer = getattr(torch.optim, rule.torch)([parameter], **options)
    if how == "compiled":
        torch._dynamo.reset()
        return torch.compile(optimizer.step), parameter
    return optimizer.step, parameter
