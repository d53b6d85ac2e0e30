"""Checks of network, data, loss and optimizer that take about a second, before training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fastnet import checks, labels, losses, optimizers
from fastnet.datasets.images import Images
from fastnet.health import preflight_data, preflight_loss, preflight_network, preflight_trial
from fastnet.health.findings import Finding
from fastnet.health.preflight_report import Check, Preflight
from fastnet.kernels import random

if TYPE_CHECKING:
    from fastnet.losses import Loss
    from fastnet.network import Network
    from fastnet.optimizers import Optimizer
    from fastnet.types import Array, ArrayLike, LossLike, OptimizerLike

__all__ = ["Check", "Preflight", "preflight"]


def preflight(net: Network, x: ArrayLike, y: ArrayLike, *, loss: LossLike | None = None,
              optimizer: OptimizerLike = "adam", batch_size: int = 32, seconds: float = 1.0) -> Preflight:  # fmt: skip
    """Look for what keeps a network from learning, before it is trained.

    All that is computed is computed on copies: the network is as before, and a `fit` that follows has the same bits.

    ======================  =========================================================================================
    check                   what is wrong, and how far
    ======================  =========================================================================================
    finite values           any NaN or Inf in x or y
    inputs                  deviations of columns (channels of images) differ by more than 100 or 3000, a mean is 10 or 100
                            times its deviation, the root mean square is above 10 or 30, or no value above 0.03 or 0.003;
                            constant columns
    repeated samples        1 % of the samples are there twice, or are there with another target too
    classes, targets        the largest class is 10 times the smallest, a class is missing; the targets' deviation is above
                            100 or below 0.01, their mean 10 or 100 times their deviation
    loss and output         what `fit` would refuse: loss, output and targets don't go together
    range of the output     the output's activation can't reach the targets, or keeps logits in a narrow range
    first loss              more than 10 times ln(classes), ln 2, or of values the loss of predicting 0
    activations by depth    the deviation changes by 1000 from the first layer to the last, or by 30 in one layer
    gradients by depth      relative to the weights they change by 1000 from the last hidden layer to the first
    units                   all units of a layer are equal and stay so; half of them are dead, or have a slope below 5 %
    one batch               up to 32 samples can't be learned by heart: more than a quarter of the loss of the best constant
                            prediction is left after 100 steps of the optimizer and 200 of Adam with each of three rates
    optimizer               it makes the loss of this batch larger, or hardly smaller, where Adam learns it
    use of the inputs       the same training with inputs of zero comes as far
    ======================  =========================================================================================

    The bounds are scale-free where they can be; beside each, in the modules, stands its reason. Samples are chosen at random,
    by the network's seed. Dropout and regularizers are left out, as they hide what the network could learn.

    Parameters
    ----------
    net : Network
    x : array (n, *input_shape), or `datasets.Images`
    y : array
        As for `Network.fit`.
    loss : str or Loss, optional
        By default that of the network's last `fit`.
    optimizer : str or Optimizer, default "adam"
    batch_size : int, default 32
        The batch that is learned by heart is no larger, but for 8 samples.
    seconds : float, default 1
        For the trials on one batch, the longest part. What is not decided in this time is "skipped".

    Returns
    -------
    Preflight

    Raises
    ------
    ValueError, TypeError
        `x` is not for this network, y has another length, or an option is not known. (What else is wrong with `y` is a finding.)

    References
    ----------
    Karpathy (2019), A recipe for training neural networks.

    Examples
    --------
    >>> import fastnet as fn
    >>> (x, y), _ = fn.datasets.digits()
    >>> net = fn.Network([fn.Flatten(), fn.Dense(64, activation="relu"), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    >>> report = fn.preflight(net, x, y, loss="softmax_cross_entropy", seconds=5)
    >>> report.ok, report["units"].result
    (True, 'good')
    >>> for finding in fn.preflight(net, 255 * x, y, loss="softmax_cross_entropy").findings:
    ...     print(finding.severity, finding.code)
    problem input-scale
    warning initialization-scale
    """
    begun = time.perf_counter()
    loss = losses.get(loss) if loss is not None else net.loss
    if loss is None:
        raise ValueError(f"loss is missing; one of {', '.join(losses.LOSSES)}")
    optimizer = optimizers.get(optimizer)
    optimizer.check_groups(net.parameters())
    batch_size = checks.whole_number("batch_size", batch_size, least=1)
    seconds = checks.real_number("seconds", seconds, above=0)
    inputs = labels.check_inputs("x", x.array if isinstance(x, Images) else x, net.input_shape)
    labels.check_length("y", labels.real_array("y", y), "x", len(inputs))
    samples = x if isinstance(x, Images) else inputs
    made = list(_checks(net, samples, inputs, y, loss, optimizer, batch_size, seconds))
    return Preflight(made, time.perf_counter() - begun)


def _checks(net: Network, x: Images | Array, inputs: Array, y: ArrayLike, loss: Loss, optimizer: Optimizer,
            batch_size: int, seconds: float) -> Iterator[Check]:  # fmt: skip
    """The checks one by one. Each rests on those before it: data that is not finite is looked at no further."""
    finite = preflight_data.check_finite(inputs, labels.real_array("y", y))
    yield finite
    form, targets = preflight_loss.check_form(net, loss, y)
    yield form
    if finite.findings:
        return
    n = len(inputs)
    order = random.permutation(n, seed=net.seed, path="preflight")
    size = max(1, inputs[0].size)
    rows = preflight_data.some_rows(order, size, preflight_data.STATISTICS)
    yield preflight_data.check_inputs(net, x[rows])
    rows = preflight_data.some_rows(order, size, preflight_data.COMPARED)
    if targets is None or form.findings:
        yield preflight_data.check_repeats(x[rows], None)
        return
    some = labels.Targets(targets.array[rows], targets.classes, targets.shape)
    yield preflight_data.check_repeats(x[rows], some)
    yield preflight_data.check_classes(loss, targets) or preflight_data.check_targets(loss, targets)
    yield preflight_loss.check_range(net, loss, targets)
    if n < 2:
        yield Check.skipped("one batch", "One sample is too little for more checks.")
        return
    if not net.graph.trainable_parameters():
        finding = Finding(
            "underfitting", "problem", None, None, {}, "No layer with weights is trainable: nothing will change.",
            "Set layer.trainable = True for the layers to train.",
        )  # fmt: skip
        yield Check.of("one batch", "", {}, [finding])
        return
    rows = np.sort(order[: preflight_network.samples_that_fit(net.graph)])
    some = labels.Targets(targets.array[rows], targets.classes, targets.shape)
    first = preflight_network.FirstPass.of(net, loss, x[rows], some)
    yield preflight_loss.check_first_loss(loss, first.loss, first.levels)
    yield preflight_network.check_activation_spread(first)
    yield preflight_network.check_gradient_spread(first)
    yield preflight_network.check_units(first)
    rows = preflight_trial.choose_batch(net, loss, x, targets, order, batch_size)
    yield from preflight_trial.check_batch(net, loss, optimizer, x, targets, rows, seconds)
