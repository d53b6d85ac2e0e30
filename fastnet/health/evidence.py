"""What the rules of diagnosis look at: the monitor's table, the data, the losses, and the network as it was at first."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.health.baseline import avoidable_share, constant_loss, perfect_loss
from fastnet.health.flat_ends import activation_of
from fastnet.health.scale import Scale, first_scalings
from fastnet.labels import Targets

if TYPE_CHECKING:
    from fastnet.graph import Graph
    from fastnet.health.table import HealthTable
    from fastnet.losses import Loss
    from fastnet.parameters import Parameter
    from fastnet.training.trainer import Trainer
    from fastnet.types import Array, ArrayLike, Shape

__all__ = ["NOTHING_LEARNED", "Beginning", "Evidence", "Hidden", "median"]

MOST_SAMPLES, LEAST_SAMPLES = 2000, 32  # of the data that are looked at before training
MOST_VALUES = 1 << 20  # of these samples' inputs
NOTHING_LEARNED = 0.95  # level of the loss: batches make it waver by some hundredths
SAME = 1e-5  # relative difference of units that rounding explains


def median(values: ArrayLike, axis: int | None = None) -> Any:
    """The median of what is a number; not a number where nothing is. (np.nanmedian takes milliseconds for small arrays.)"""
    values = np.sort(values, axis=axis)  # NaN comes last
    axis = 0 if axis is None else axis
    n = np.expand_dims(np.sum(~np.isnan(values), axis=axis), axis)
    if not values.shape[axis]:
        return np.squeeze(np.full(n.shape, np.nan), axis)[()]
    middle = [np.take_along_axis(values, at, axis) for at in ((n - 1) // 2, n // 2 - (n == 0))]
    return np.squeeze((middle[0] + middle[1]) / 2, axis)[()]


@dataclass(frozen=True)
class Hidden:
    """A layer with a weight matrix.

    Attributes
    ----------
    name : str
    weight : Parameter
    activation : str or None
        Of its own, or the one behind it.
    normed : bool
        Whether only a norm layer reads its output, so that its scale doesn't matter.
    last : bool
        Whether its output is the network's.
    """

    name: str
    weight: Parameter
    activation: str | None
    normed: bool
    last: bool


@dataclass
class Beginning:
    """The network and the data before the first step.

    Attributes
    ----------
    fresh : bool
        Whether the network had not been trained before.
    gains : dict of str to float
        By layer, the root mean square of a weight times sqrt(fan_in): 1.41 for He normal, about 1 for Glorot.
    inputs : Scale or None
        Of the features (or channels).
    classes : ndarray or None
        How many samples each class has, where targets are class numbers.
    base_loss : float or None
        The loss of the best constant prediction.
    perfect_loss : float
        The loss of predicting the targets.
    symmetric : set of str
        Hidden layers whose units were all equal.
    """

    fresh: bool
    gains: dict[str, float] = field(default_factory=dict)
    inputs: Scale | None = None
    classes: Array | None = None
    base_loss: float | None = None
    perfect_loss: float = 0.0
    symmetric: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, trainer: Trainer) -> Beginning:
        graph = trainer.net.graph
        feed: Any = trainer.feed
        begun = cls(fresh=trainer.net.executor.control.forward == 0 and trainer.step == 0)
        for hidden in weight_layers(graph):
            w = hidden.weight.value
            fan_in = (hidden.weight.fans or (w.size // w.shape[-1], 0))[0]
            begun.gains[hidden.name] = float(np.sqrt(np.mean(np.square(w, dtype=np.float64)) * fan_in))
        begun.symmetric = set(symmetric_layers(graph))
        if feed.x is None:  # batches of which none has come yet
            return begun
        step = -(-len(feed.x) // MOST_SAMPLES)
        few = max(LEAST_SAMPLES, MOST_VALUES // math.prod(graph.input_shape))
        rows = np.arange(0, len(feed.x), max(step, -(-len(feed.x) // few)))
        if feed.images is not None:
            feed.images.wait(rows)  # for their bytes, which the others don't have yet
        x = feed.x[rows]
        begun.inputs = Scale.of(x if feed.scale == 1 else x * np.float64(feed.scale))
        targets = feed.targets
        if targets.is_labels:
            classes = targets.array.astype(np.int64).ravel()
            if feed.checked:  # as a memory map is, while batches are gathered
                classes = classes[(classes >= 0) & (classes < targets.classes)]
            begun.classes = np.bincount(classes, minlength=targets.classes)
        begun.base_loss, begun.perfect_loss = _ends(trainer.loss, feed, graph.output_shape, step)
        return begun


def _ends(loss: Loss, feed: Any, output_shape: Shape, step: int) -> tuple[float | None, float]:
    """The losses of the best constant prediction, None where a loss of one's own doesn't say, and of a perfect one."""
    targets = Targets(feed.targets.array[::step], feed.targets.classes, feed.targets.shape)
    weights = None if feed.weights is None else feed.weights[::step]
    if weights is not None and not weights.any():
        return None, 0.0
    try:
        return constant_loss(loss, targets, output_shape, weights), perfect_loss(loss, targets, output_shape, weights)
    except (TypeError, ValueError):
        return None, 0.0


def weight_layers(graph: Graph) -> list[Hidden]:
    """The layers with trainable weights, in the order of the network."""
    found: list[Hidden] = []
    for node in graph.nodes:
        weight = next((p for p in node.layer.parameters() if p.local_name == "weight" and len(p.shape) > 1), None)
        if weight is None or not weight.trainable or any(hidden.weight is weight for hidden in found):
            continue
        readers = graph.readers(node.name)
        activation: str | None = activation_of(node.layer)
        if activation == "linear":
            activation = node.layer.activation_behind
        normed = len(readers) == 1 and readers[0].layer.is_norm and activation_of(node.layer) == "linear"
        found.append(Hidden(node.name, weight, activation, normed, node.name == graph.output))
    return found


class Evidence:
    """Everything that is known of a run so far.

    Attributes
    ----------
    table, history, beginning, fault, graph
    loss : Loss
    """

    def __init__(self, trainer: Trainer, table: HealthTable, beginning: Beginning, symmetric: dict[str, float]) -> None:
        self.graph = trainer.net.graph
        self.penalty = trainer.net.penalty(trainer.history.settings.get("batch_size", 1))
        self.loss = trainer.loss
        self.table = table
        self.history = trainer.history
        self.beginning = beginning
        self.fault = trainer.fault
        self.symmetric = symmetric

    @cached_property
    def layers(self) -> list[Hidden]:
        """Layers with weights that are in the table."""
        known = set(self.table.names("weight"))
        return [hidden for hidden in weight_layers(self.graph) if hidden.weight.name in known]

    @cached_property
    def steps(self) -> np.ndarray:
        """Updates done at each look."""
        return np.array([look.step for look in self.table.looks])

    @cached_property
    def losses(self) -> np.ndarray:
        """The batch's loss at each look."""
        return np.array([look.loss for look in self.table.looks])

    def column(self, column: str, kind: str) -> np.ndarray:
        """A figure of the weights of each layer over the looks, (layers, looks); not a number where a layer was frozen."""
        figures = np.full((len(self.layers), len(self.table)), np.nan)
        for row, hidden in zip(figures, self.layers, strict=True):
            series = self.table.series(hidden.weight.name, kind)
            row[series.at] = series.values[column]
        return figures

    @cached_property
    def relative_gradients(self) -> np.ndarray:
        """Norm of the gradient over the norm of the weights, (layers, looks)."""
        weights = self.column("norm", "weight")
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(weights > 0, self.column("norm", "gradient") / weights, np.nan)

    @cached_property
    def update_ratios(self) -> np.ndarray:
        return self.column("update_ratio", "update")

    @cached_property
    def epoch_losses(self) -> np.ndarray:
        """Training losses, epoch by epoch, without the regularizers' penalty as far as it is known."""
        return np.array(self.history.get("loss", [])) - self.penalty

    @property
    def later(self) -> slice:
        """The second half of the looks, at least the last three."""
        n = len(self.table)
        return slice(min(n // 2, max(n - 3, 0)), n)

    def level(self, loss: float) -> float | None:
        """The share of the best constant prediction's avoidable loss that is left: 1 is nothing learned, 0 perfect."""
        base, perfect = self.beginning.base_loss, self.beginning.perfect_loss
        return None if base is None or not base > perfect else avoidable_share(loss, base, perfect)

    @property
    def present_level(self) -> float | None:
        """That of the last epoch, or of the last looks where no epoch is finished."""
        if len(self.epoch_losses):
            return self.level(self.epoch_losses[-1])
        if len(self.losses):
            return self.level(float(np.median(self.losses[-3:])) - self.penalty)
        return None

    @cached_property
    def input_is_normed(self) -> bool:
        """Whether the first layers that read the input normalize it."""
        return bool(first_scalings(self.graph))


def symmetric_layers(graph: Graph) -> dict[str, float]:
    """Hidden layers whose units all have the same weights, with the greatest difference relative to the weights."""
    found = {}
    for hidden in weight_layers(graph):
        difference = None if hidden.last else difference_of_units(hidden.weight.value)
        if difference is not None:
            found[hidden.name] = difference
    return found


def difference_of_units(values: np.ndarray) -> float | None:
    """The greatest difference of columns (a unit each), relative to the values, where rounding explains it; else None."""
    columns = values.reshape(-1, values.shape[-1])
    if columns.shape[1] < 2:
        return None
    greatest, difference = float(np.abs(columns).max()), float(np.abs(columns - columns[:, :1]).max())
    if not difference <= SAME * greatest:
        return None
    return difference / greatest if greatest else 0.0
