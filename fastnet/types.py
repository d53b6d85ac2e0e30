"""The types that recur in fastnet's signatures, for annotations: ``from fastnet.types import ActivationLike``.

Names are given as literals, which editors complete, beside `str`, so that a name may come from a loop or a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from fastnet.activations import Activation, Rowwise
    from fastnet.augment import Operation
    from fastnet.averages import WeightAverage
    from fastnet.constraints import Constraint
    from fastnet.initializers import Initializer
    from fastnet.layers.base import Layer
    from fastnet.losses import Loss
    from fastnet.metrics import Metric
    from fastnet.optimizers import Optimizer, ParameterGroup
    from fastnet.parameters import Parameter
    from fastnet.regularizers import Regularizer
    from fastnet.schedules import Schedule
    from fastnet.training import Callback

    class NamedLayer(Layer):
        """What ``net["name"]`` gives: of a class that the name does not tell, so that any attribute may be asked for."""

        weight: Parameter
        bias: Any

        def __getattr__(self, name: str) -> Any: ...


__all__ = [
    "ActivationLike", "ActivationName", "AdamSettings", "Array", "ArrayLike", "Augment", "Average", "Batches", "Borders",
    "Callbacks", "ClassWeight", "ConstraintRule", "DType", "Figures", "GroupSettings", "Init", "InitName", "Layers", "LayerNames",
    "LossLike", "LossName", "MetricLike", "MetricName", "Metrics", "OptimizerLike", "OptimizerName", "OptimizerSettings", "Padding",
    "Path", "Rate", "RegularizerRule", "Shape", "Sizes", "Validation",
]  # fmt: skip

Array: TypeAlias = NDArray[Any]
Path: TypeAlias = str | os.PathLike[str]
DType: TypeAlias = Literal["float32", "float64"] | str | np.dtype[Any] | type[np.floating[Any]] | type[float]
Figures: TypeAlias = dict[str, float]

Shape: TypeAlias = tuple[int, ...]
Sizes: TypeAlias = int | Sequence[int]
Borders: TypeAlias = int | Sequence[int | Sequence[int]]
Padding: TypeAlias = Literal["same", "valid"] | Borders

ActivationName: TypeAlias = Literal[
    "linear", "relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "softplus", "relu6",
    "hard_swish", "softmax", "log_softmax",
]  # fmt: skip
InitName: TypeAlias = Literal[
    "zeros", "ones", "constant", "normal", "truncated_normal", "uniform", "glorot_uniform", "glorot_normal",
    "xavier_uniform", "xavier_normal", "he_uniform", "he_normal", "kaiming_uniform", "kaiming_normal", "lecun_uniform",
    "lecun_normal", "orthogonal", "identity",
]  # fmt: skip
LossName: TypeAlias = Literal["softmax_cross_entropy", "sigmoid_cross_entropy", "mse", "mae", "huber", "poisson"]
MetricName: TypeAlias = Literal["accuracy", "mse", "mae", "r2"]
OptimizerName: TypeAlias = Literal[
    "sgd", "rmsprop", "adam", "adamw", "adagrad", "adadelta", "adamax", "nadam", "radam", "lion", "muon"
]

# Union, and not |, where a name in quotes is part of it.
ActivationLike: TypeAlias = Union[ActivationName, str, "Activation", "Rowwise"]
Init: TypeAlias = Union[InitName, str, "Initializer", Array, list[Any], tuple[Any, ...]]
LossLike: TypeAlias = Union[LossName, str, "Loss"]
MetricLike: TypeAlias = Union[MetricName, str, "Metric"]
Metrics: TypeAlias = MetricLike | Sequence[MetricLike]
OptimizerLike: TypeAlias = Union[OptimizerName, str, "Optimizer"]
Rate: TypeAlias = Union[float, "Schedule"]
RegularizerRule: TypeAlias = Union["Regularizer", Mapping[str, "Regularizer | None"]]
ConstraintRule: TypeAlias = Union["Constraint", Mapping[str, "Constraint | None"]]
Average: TypeAlias = "WeightAverage"

Layers: TypeAlias = Union["Layer", Iterable["Layer"]]
LayerNames: TypeAlias = Union[str, "Layer", Sequence["str | Layer"]]
Callbacks: TypeAlias = Union["Callback", Iterable["Callback"]]
Augment: TypeAlias = Iterable["Operation"]
ClassWeight: TypeAlias = Literal["balanced"] | Mapping[Any, float] | ArrayLike
#: Tuples (x, y) or (x, y, sample_weight), or what gives them anew for each epoch.
Batches: TypeAlias = Iterable[tuple[Any, ...]] | Callable[[], Iterable[Any]]
Validation: TypeAlias = float | tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike | None] | Batches


class GroupSettings(TypedDict, total=False):
    """What all optimizers take by name."""

    decay_biases: bool
    groups: ParameterGroup | Sequence[ParameterGroup]


class OptimizerSettings(GroupSettings, total=False):
    """And those that leave the weight decay, and its kind, to `Optimizer`."""

    weight_decay: float
    decoupled_weight_decay: bool


class AdamSettings(GroupSettings, total=False):
    """Of Adam, for `AdamW`."""

    beta_1: float
    beta_2: float
    epsilon: float
    amsgrad: bool
    epsilon_hat: bool
