"""Checks before training: whether the loss fits the network's output and the targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import labels, losses
from fastnet.health.baseline import avoidable_share, constant_loss, perfect_loss
from fastnet.health.findings import Finding
from fastnet.health.preflight_report import Check

if TYPE_CHECKING:
    from fastnet.graph import Node
    from fastnet.labels import Targets
    from fastnet.losses import Loss
    from fastnet.network import Network
    from fastnet.types import ArrayLike, Shape

__all__ = ["Levels", "check_first_loss", "check_form", "check_range"]

# The first loss over that of outputs of zero. Three times ln(classes) means that logits deviate by 4 or so: their softmax is one
# class, drawn at random. A dense network on the digits learns as well when it starts at 5 times, and not from 73 times. A
# squared error is the sum of two variances: that of the outputs may be nine times the targets' and is soon unlearned.
NOTABLE_CROSS_ENTROPY = 3
LARGE_LOSS = 10
REACHED = 0.5  # a loss so far below that of outputs of zero is no accident of first weights

OUTSIDE = 0.01  # of the targets' range: what a target may lie outside of the output's range
UNREACHABLE = 0.05  # share of targets out of reach that keeps the network from learning
FLOOR = 0.1  # of the loss of outputs of zero: the least loss that an output's range may leave

#: The values that an activation can have.
RANGES = {
    "relu": (0, np.inf),
    "relu6": (0, 6),
    "sigmoid": (0, 1),
    "softmax": (0, 1),
    "log_softmax": (-np.inf, 0),
    "tanh": (-1, 1),
    "softplus": (0, np.inf),
    "selu": (-1.7581, np.inf),
    "gelu": (-0.17, np.inf),
    "gelu_tanh": (-0.1701, np.inf),
    "silu": (-0.2785, np.inf),
    "hard_swish": (-0.375, np.inf),
}


@dataclass(frozen=True)
class Levels:
    """What a loss says of some predictions of targets: of zeros, the best constant, and of the targets themselves."""

    zeros: float
    constant: float
    perfect: float

    @classmethod
    def of(cls, loss: Loss, targets: Targets, output_shape: Shape) -> Levels:
        zeros = np.zeros((len(targets.array), *output_shape))
        return cls(
            loss.value(zeros, targets.array),
            constant_loss(loss, targets, output_shape),
            perfect_loss(loss, targets, output_shape),
        )

    def left(self, value: float) -> float:
        """The share of the best constant prediction's avoidable loss that is left: 0 where all is learned, 1 at the constant."""
        return avoidable_share(value, self.constant, self.perfect)

    @property
    def tells_apart(self) -> bool:
        """Whether knowing the inputs can make the loss smaller."""
        return self.constant - self.perfect > 1e-6 * max(abs(self.constant), abs(self.perfect))


def _range_of(activation: Any) -> tuple[float, float]:
    """Least and greatest value of an activation."""
    if activation is not None and activation.name == "elu":
        return -activation.alpha, np.inf
    return RANGES.get(getattr(activation, "name", ""), (-np.inf, np.inf))


def check_form(net: Network, loss: Loss, y: ArrayLike) -> tuple[Check, Targets | None]:
    """Whether loss, output and targets go together at all; the targets as the loss takes them, or None."""
    name = "loss and output"
    try:
        loss.check_output(net.output_shape)
        targets = labels.form_of(loss, y, net.output_shape)
    except (ValueError, TypeError) as error:
        finding = Finding(
            "labels", "problem", None, None, {}, f"fit refuses this: {error}.", _form_remedy(net, loss, y)
        )
        return Check.of(name, "", {}, [finding]), None
    findings = []
    try:
        net.check_head(loss)
    except ValueError as error:
        node, _ = net.graph.output_activation()
        assert node is not None, "no head is refused without an activation"
        findings.append(Finding(
            "saturated-activation", "problem", node.name, None, {}, f"fit refuses this: {error}.",
            f"Leave the activation of {node.name!r} out: activation=None.",
        ))  # fmt: skip
    findings += _label_findings(loss, targets)
    return Check.of(name, f"{type(loss).__name__} fits an output of shape {net.output_shape} and these targets.", {},
                    findings), targets  # fmt: skip


def _form_remedy(net: Network, loss: Loss, y: ArrayLike) -> str:
    """The nearest loss or form of targets that fits."""
    y = np.asarray(y)
    whole = y.dtype.kind in "iub" or (y.dtype.kind == "f" and y.size and (y == np.round(y)).all())
    outputs = net.output_shape[-1] if net.output_shape else 1
    if loss.head == "softmax" and outputs == 1:
        return 'Take loss="sigmoid_cross_entropy" with one output, or give the last layer a unit for each class.'
    if loss.head != "softmax" and y.ndim == 1 and outputs > 1 and whole:
        return (
            f'Take loss="softmax_cross_entropy", where each sample has one of the {outputs} classes; y stays as it is.'
        )
    if loss.head == "softmax" and y.dtype.kind == "f" and whole:
        return "Pass y.astype(int)."
    return (
        f"Give the network an output for each value of y, or y the shape (n, {', '.join(map(str, net.output_shape))})."
    )


def _label_findings(loss: Loss, targets: Targets) -> list[Finding]:
    array = targets.array
    least, greatest = float(array.min()), float(array.max())
    numbers = {"least": least, "greatest": greatest}
    if targets.classes is not None:
        if least >= 0 and greatest < targets.classes:
            return []
        shift = least == 1 and greatest == targets.classes
        return [Finding(
            "labels", "problem", None, None, numbers,
            f"The labels go from {least:g} to {greatest:g}; the network has {targets.classes} outputs, for labels 0 to "
            f"{targets.classes - 1}.",
            "Labels count from 0: pass y - 1." if shift
            else f"Number the classes from 0 (np.unique(y, return_inverse=True)), or give the last layer "
                 f"{greatest + 1:.0f} units.",
        )]  # fmt: skip
    if loss.head is not None and (least < 0 or greatest > 1):
        many = loss.head == "sigmoid" and targets.shape == (1,) and len(np.unique(array)) > 2
        pair = least == -1 and greatest == 1
        return [Finding(
            "labels", "problem", None, None, numbers,
            f"{type(loss).__name__} takes probabilities, from 0 to 1; the targets go from {least:g} to {greatest:g}.",
            "Pass (y + 1) / 2: 0 and 1 instead of -1 and 1." if pair
            else 'For classes take loss="softmax_cross_entropy" and a unit for each of them.' if many
            else "Pass 0 and 1, or probabilities.",
        )]  # fmt: skip
    if loss.head == "softmax" and len(array):
        off = float(np.abs(array.astype(np.float64).sum(axis=1) - 1).max())
        if off > 1e-3:
            return [Finding(
                "labels", "warning", None, None, {"off": off},
                f"The probabilities of a sample should sum to 1; sums are off by up to {off:.3g}.",
                'Divide each row by its sum; where several classes may be right take loss="sigmoid_cross_entropy".',
            )]  # fmt: skip
    if isinstance(loss, losses.Poisson) and least < 0:
        return [Finding(
            "labels", "problem", None, None, numbers,
            f"The Poisson loss takes counts; the least target is {least:g}.", 'Take loss="mse" for such targets.',
        )]  # fmt: skip
    return []


def check_range(net: Network, loss: Loss, targets: Targets) -> Check:
    """Whether the output's activation can say what the targets are."""
    name = "range of the output"
    node, activation = net.graph.output_activation()
    low, high = _range_of(activation)
    if node is None or (low, high) == (-np.inf, np.inf):
        return Check.of(name, "The output can have any value.")
    activation = activation.name
    numbers = {name: bound for name, bound in (("least output", low), ("greatest output", high)) if np.isfinite(bound)}
    if loss.head is not None:
        findings = _logit_findings(loss, targets, node, activation, low, high)
        return Check.of(name, f"{activation} leaves logits room enough.", numbers, findings)
    values = targets.array.astype(np.float64)
    if isinstance(loss, losses.Poisson):
        values = np.log(np.maximum(values, values[values > 0].min(initial=1.0)))
    slack = OUTSIDE * float(np.ptp(values))
    out = (values < low - slack) | (values > high + slack)
    share = float(out.mean())
    numbers |= {"least target": float(values.min()), "greatest target": float(values.max()), "out of reach": share}
    if not share:
        return Check.of(name, f"{activation} reaches all targets.", numbers)
    logarithms = "logarithms of the " if isinstance(loss, losses.Poisson) else ""
    finding = Finding(
        "saturated-activation", "problem" if share >= UNREACHABLE else "warning", node.name, None, numbers,
        f"{node.name} ends with {activation}, whose outputs lie between {low:g} and {high:g}; the {logarithms}targets go "
        f"from {values.min():.4g} to {values.max():.4g}, and {share:.0%} of them are out of reach.",
        f"Leave the activation of {node.name!r} out (activation=None), or bring the targets into its range.",
    )  # fmt: skip
    return Check.of(name, "", numbers, [finding])


def _logit_findings(
    loss: Loss, targets: Targets, node: Node, activation: str, low: float, high: float
) -> list[Finding]:
    """An activation that keeps logits in a range, and the least loss that this leaves."""
    low, high = max(low, -50.0), min(high, 50.0)
    states = targets.classes or (targets.array.shape[1] if loss.head == "softmax" else 2)
    if loss.head == "softmax":
        floor, zeros = np.log1p((states - 1) * np.exp(low - high)), np.log(states)
    else:
        floor, zeros = max(np.log1p(np.exp(-high)), np.log1p(np.exp(low))), np.log(2)
    if floor <= FLOOR * zeros and activation not in ("relu", "relu6"):
        return []
    bounded = floor > FLOOR * zeros
    meaning = f"{node.name} ends with {activation}, and its outputs are logits to {type(loss).__name__}: " + (
        f"between {low:g} and {high:g} they can't bring the loss below {floor:.2g}, where outputs of 0 have {zeros:.2g}."
        if bounded else "a unit that is 0 for all samples learns no more."
    )  # fmt: skip
    severity = "problem" if floor > REACHED * zeros else "warning"
    return [Finding(
        "saturated-activation", severity, node.name, None, {"least loss": floor, "loss of zeros": zeros}, meaning,
        f"Leave the activation of {node.name!r} out: activation=None.",
    )]  # fmt: skip


def check_first_loss(loss: Loss, value: float, levels: Levels) -> Check:
    """The loss of first outputs against that of outputs of zero: ln(classes), ln 2, or the targets' mean square."""
    name = "first loss"
    numbers = {"loss": value, "expected": levels.zeros}
    if not np.isfinite(value):
        finding = Finding(
            "non-finite", "problem", None, None, {}, f"The loss of the first batch is {value}.",
            "See that all weights are finite; scale the inputs to mean 0 and std 1.",
        )  # fmt: skip
        return Check.of(name, "", numbers, [finding])
    known = loss.head is not None or isinstance(loss, (losses.MeanSquaredError, losses.MeanAbsoluteError, losses.Huber))
    if not known or levels.zeros <= 0:
        return Check.skipped(name, f"The first loss is {value:.4g}; nothing is known to compare it with.", numbers)
    ratio = numbers["ratio"] = value / levels.zeros
    what = {"softmax": "the logarithm of the number of classes", "sigmoid": "ln 2"}.get(
        loss.head or "", "that of predicting 0"
    )
    if ratio > (LARGE_LOSS if loss.head is None else NOTABLE_CROSS_ENTROPY):
        finding = Finding(
            "initialization-scale", "warning" if ratio > LARGE_LOSS else "info", None, None, numbers,
            f"The loss starts at {value:.4g}, {ratio:.3g} times {what} ({levels.zeros:.4g}): the first outputs are too "
            "large, and training begins with making them small.",
            "Scale the inputs to mean 0 and std 1, and leave init= to its default; or begin with a smaller last layer, "
            "init=fn.initializers.Normal(std=0.01).",
        )  # fmt: skip
        return Check.of(name, "", numbers, [finding])
    more = ": the network seems to be trained already" if ratio < REACHED else ""
    return Check.of(
        name, f"The loss starts at {value:.4g}, {ratio:.2g} times {what} ({levels.zeros:.4g}){more}.", numbers
    )
