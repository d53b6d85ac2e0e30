"""Checks before training: the first pass of a batch forward and backward, layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastnet import initializers
from fastnet.graph import INPUT, Node
from fastnet.health.evidence import difference_of_units
from fastnet.health.findings import Finding
from fastnet.health.flat_ends import FLAT_SLOPE, Ends, activation_of, ends_of
from fastnet.health.preflight_loss import Levels
from fastnet.health.preflight_report import Check
from fastnet.layers import BatchNorm, Dropout

if TYPE_CHECKING:
    from fastnet.graph import Graph
    from fastnet.labels import Targets
    from fastnet.losses import Loss
    from fastnet.network import Network
    from fastnet.parameters import Parameter
    from fastnet.types import Array, Figures

__all__ = ["FirstPass", "check_activation_spread", "check_gradient_spread", "check_units", "deterministic_copy",
           "samples_that_fit"]  # fmt: skip

MOST_SAMPLES, LEAST_SAMPLES = 256, 16
MOST_VALUES = 1 << 22  # of all layers' outputs for these samples

# Between the first and the last layer. A factor of 1000 cannot be made up for by one learning rate: where that of the last
# layer is right, the first one needs a thousand times the steps (AutoTrainer has the same bound). Of a factor of a
# million nothing is left in float32 beside the noise of batches. Four sigmoid layers, which do train, lose a
# factor of about 100.
NOTABLE_FACTOR, HOPELESS_FACTOR = 1e3, 1e6
# In one layer: He's and Glorot's draws keep the deviation within a factor of two, a sigmoid divides it by four to ten.
LAYER_FACTOR = 30

BOUNDED = ("tanh", "sigmoid")
MANY_UNITS = 0.5  # share of dead or saturated ones that costs quality; as SageMaker Debugger
NEARLY_ALL = 0.95
FEW_UNITS = 8  # half of so few die by the chance of first weights


@dataclass
class FirstPass:
    """What the first forward and backward pass of a batch gives, on a copy of the network.

    Attributes
    ----------
    net : Network
        The copy; its running statistics are the batch's.
    x : ndarray
    outputs : dict of str to ndarray
        Each node's, as in training without dropout.
    gradients : dict of str to ndarray
        Each parameter's.
    loss : float
    levels : Levels
        What the loss says of simple predictions for this batch.
    """

    net: Network
    x: np.ndarray
    outputs: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    loss: float
    levels: Levels

    @classmethod
    def of(cls, net: Network, loss: Loss, x: Array, targets: Targets) -> FirstPass:
        net = deterministic_copy(net)
        for layer in net.layers:
            if isinstance(layer, BatchNorm):
                # One forward then makes the running statistics those of the batch, and predictions what training sees.
                layer.momentum = 1.0
        y = net.forward(x, training=True)
        value, dy = loss.gradient(y, targets.array)
        net.backward(dy)
        gradients = {p.name: p.grad.copy() for p in net.graph.trainable_parameters()}
        return cls(net, x, net.activations(x), gradients, value, Levels.of(loss, targets, net.output_shape))

    def input_of(self, node: Node) -> np.ndarray:
        return self.x if node.inputs[0] == INPUT else self.outputs[node.inputs[0]]

    def weighted(self) -> list[tuple[Node, Parameter]]:
        """The nodes that have weights to learn, in their order, with them; layers that are used twice once."""
        found: dict[int, tuple[Node, Parameter]] = {}
        for node in self.net.graph.nodes:
            weights = [p for p in node.layer.parameters() if p.name in self.gradients and len(p.shape) > 1]
            if weights:
                found.setdefault(id(node.layer), (node, weights[0]))
        return list(found.values())


def deterministic_copy(net: Network) -> Network:
    """A copy that learns the data alone: without dropout, and without penalties on its weights."""
    with net.lock:
        copy = net.copy()
    for layer in copy.layers:
        if isinstance(layer, Dropout):
            layer.rate = 0.0
        layer.regularizer = None
    return copy


def samples_that_fit(graph: Graph) -> int:
    """How many samples' activations are looked at."""
    values = sum(math.prod(node.shape) for node in graph.nodes)
    return min(MOST_SAMPLES, max(LEAST_SAMPLES, MOST_VALUES // max(values, 1)))


def signal(values: np.ndarray) -> float:
    """How much a layer's output says about the samples: the root of the mean, over elements, of the variance over samples."""
    return float(np.sqrt(values.astype(np.float64).var(axis=0).mean()))


def _trend(values: list[float]) -> tuple[float, float]:
    """Factor from layer to layer of a geometric series through the values, and from the first to the last."""
    logs = np.log(values)
    slope = np.polyfit(np.arange(len(logs)), logs, 1)[0]
    # The series and its two ends must agree: one layer that is out of line makes no change by depth.
    totals = slope * (len(logs) - 1), logs[-1] - logs[0]
    total = min(totals, key=abs) if totals[0] * totals[1] > 0 else 0.0
    return float(np.exp(slope)), float(np.exp(np.clip(total, -700, 700)))


def _severity(factor: float) -> str | None:
    """Of a factor between first and last layer, at least 1."""
    return "problem" if factor > HOPELESS_FACTOR else "warning" if factor > NOTABLE_FACTOR else None


def check_activation_spread(first: FirstPass) -> Check:
    """How the variation between samples grows or shrinks with depth, and in single layers."""
    name = "activations by depth"
    bad = next((node for node, values in first.outputs.items() if not np.isfinite(values).all()), None)
    if bad is not None:
        finding = Finding(
            "non-finite", "problem", bad, None, {},
            f"The output of {bad} has NaN or Inf for the first batch.",
            "Scale the inputs to mean 0 and std 1, and leave init= to its default.",
        )  # fmt: skip
        return Check.of(name, "", {}, [finding])
    graph, found, spreads = first.net.graph, [], {}
    weights = {node.name: weight for node, weight in first.weighted()}
    for node in graph.nodes:
        readers = [reader.layer for reader in graph.readers(node.name)]
        if node.name == graph.output or not (node.layer.many_inputs or node.name in weights):
            continue
        # Outputs may start small. A norm takes the scale away; a branch may add nothing at first, the sum behind it counts.
        if any(reader.is_norm for reader in readers) or all(reader.many_inputs for reader in readers):
            continue
        after = signal(first.outputs[node.name])
        if not after:
            continue
        spreads[node.name] = after
        before = 0.0 if node.layer.many_inputs else signal(first.input_of(node))
        if not before or not weights[node.name].value.any():
            continue
        gain = after / before
        # Of large inputs tanh and sigmoid make ends of their range, which is the units' fault.
        least = 0 if activation_of(node.layer) in BOUNDED else 1 / LAYER_FACTOR
        if not least <= gain <= LAYER_FACTOR:
            found.append(Finding(
                "initialization-scale", "warning", node.name, None, {"gain": gain, "std before": before, "std after": after},
                f"{node.name} makes its input {max(gain, 1 / gain):.3g} times as {'large' if gain > 1 else 'small'}: std "
                f"{before:.3g} to {after:.3g}.",
                f"Leave init= of {node.name!r} to its default (He or Glorot, by the activation), or call fn.lsuv(net, x).",
            ))  # fmt: skip
    numbers = {f"std of {layer}": value for layer, value in spreads.items()}
    if len(spreads) < 2:
        return Check.of(name, "No two layers to compare that a norm doesn't scale.", numbers, found)
    rate, total = _trend(list(spreads.values()))
    numbers |= {"rate": rate, "last / first": total}
    severity = _severity(max(total, 1 / total))
    if severity:
        ends = list(spreads)
        found.append(Finding(
            "initialization-scale", severity, None, None, numbers,
            f"The signal {'grows' if rate > 1 else 'shrinks'} with depth, by {rate:.3g} a layer: std {spreads[ends[0]]:.3g} "
            f"behind {ends[0]}, {spreads[ends[-1]]:.3g} behind {ends[-1]}.",
            "Leave init= to its default, take relu instead of sigmoid, put BatchNorm behind the layers, or call "
            "fn.lsuv(net, x).",
        ))  # fmt: skip
    return Check.of(name, f"From the first to the last of {len(spreads)} layers the std changes by {total:.3g}, "
                    f"{rate:.2g} a layer.", numbers, found)  # fmt: skip


def check_gradient_spread(first: FirstPass) -> Check:
    """How weight gradients, relative to weights, grow or shrink from the last hidden layer to the first."""
    name = "gradients by depth"
    sizes, weighted = {}, first.weighted()
    for node, weight in weighted:
        gradient = first.gradients[weight.name].astype(np.float64)
        if not np.isfinite(gradient).all():
            finding = Finding(
                "non-finite", "problem", node.name, None, {}, f"The first gradient of {weight.name} has NaN or Inf.",
                "Scale the inputs to mean 0 and std 1, and leave init= to its default.",
            )  # fmt: skip
            return Check.of(name, "", {}, [finding])
        # A last layer that starts small makes all gradients before it small alike, and soon grows.
        if gradient.any() and node is not weighted[-1][0]:
            sizes[node.name] = _rms(gradient) / _weight_size(weight)
    numbers = {f"gradient / weight of {layer}": size for layer, size in sizes.items()}
    if len(sizes) < 2:
        return Check.of(name, "There are no two hidden layers to compare.", numbers)
    rate, total = _trend(list(sizes.values())[::-1])
    numbers |= {"rate": rate, "first / last": total}
    severity = _severity(max(total, 1 / total))
    if severity is None:
        return Check.of(name, f"From the last to the first of {len(sizes)} hidden layers the gradients change by {total:.3g}, "
                        f"{rate:.2g} a layer.", numbers)  # fmt: skip
    layers = list(sizes)
    vanish = total < 1
    finding = Finding(
        "vanishing-gradients" if vanish else "exploding-gradients", severity, layers[0], None, numbers,
        f"Gradients {'vanish' if vanish else 'explode'} on their way back, by {rate:.3g} a layer: relative to the weights "
        f"{sizes[layers[-1]]:.3g} in {layers[-1]}, {sizes[layers[0]]:.3g} in {layers[0]}.",
        "Take relu instead of sigmoid or tanh, put BatchNorm behind the layers or Residual around them, or fewer layers."
        if vanish else "Leave init= to its default, put BatchNorm behind the layers, or pass clip_norm=1 to fit.",
    )  # fmt: skip
    return Check.of(name, "", numbers, [finding])


def _weight_size(weight: Parameter) -> float:
    """The root mean square of a layer's weights; of weights that start smaller, that of outputs as large as the inputs."""
    fan_in, _ = weight.fans or initializers.fans(weight.shape)
    return max(_rms(weight.value.astype(np.float64)), 1 / math.sqrt(fan_in))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def check_units(first: FirstPass) -> Check:
    """Units that are all the same, that are 0 for every sample, or whose activation has no slope left."""
    found: list[Finding] = []
    numbers: Figures = {}
    for node, weight in first.weighted():
        arrays = weight.value, first.gradients[weight.name]
        if all(difference_of_units(array) is not None for array in arrays) and node.shape[-1:] != (1,):
            found.append(Finding(
                "symmetric-initialization", "problem", node.name, None, {"units": weight.shape[-1]},
                f"All {weight.shape[-1]} units of {node.name} have the same weights and the same gradients: they stay equal "
                "for ever, and the layer is worth one unit.",
                f"Draw the weights of {node.name!r} at random: leave init= to its default.",
            ))  # fmt: skip
    for node in first.net.graph.nodes:
        activation = activation_of(node.layer)
        values = first.outputs[node.name]
        if activation in ("relu", "relu6"):
            found += _dead(node, values, numbers)
        ends = ends_of(getattr(node.layer, "activation", None))
        if ends is not None and ends.has_flat:
            found += _saturated(node, values, activation, ends, numbers)
    return Check.of("units", "Units differ, and answer to their inputs.", numbers, found)


def _dead(node: Node, values: Array, numbers: Figures) -> list[Finding]:
    dead = (values.reshape(-1, values.shape[-1]) == 0).all(axis=0)
    share = numbers[f"dead in {node.name}"] = float(dead.mean())
    units = len(dead)
    if share < MANY_UNITS or (units < FEW_UNITS and share < 1):
        return []
    return [Finding(
        "dead-relu", "problem" if share >= NEARLY_ALL else "warning", node.name, None, {"share": share, "units": units},
        f"{dead.sum()} of {units} units of {node.name} are 0 for all {len(values)} samples: no gradient passes them, and "
        "they don't learn.",
        "Scale the inputs to mean 0 and std 1, start with biases of 0, or take leaky_relu.",
    )]  # fmt: skip


def _saturated(node: Node, values: Array, activation: str, ends: Ends, numbers: Figures) -> list[Finding]:
    share = numbers[f"saturated in {node.name}"] = float(((values <= ends.low) | (values >= ends.high)).mean())
    if share < MANY_UNITS:
        return []
    return [Finding(
        "saturated-activation", "problem" if share >= NEARLY_ALL else "warning", node.name, None, {"share": share},
        f"{share:.0%} of the outputs of {node.name} are at the ends of {activation}, where its slope is less than "
        f"{FLAT_SLOPE:.0%} of its greatest: hardly a gradient passes them.",
        "Scale the inputs to mean 0 and std 1, and leave init= to its default.",
    )]  # fmt: skip
