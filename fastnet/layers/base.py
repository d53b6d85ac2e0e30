"""The base class of layers, those that record kernels and those that users write in NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastnet import checks, constraints, initializers, regularizers
from fastnet.parameters import Parameter
from fastnet.recording.clock import Clock

if TYPE_CHECKING:
    from fastnet.types import Array, ConstraintRule, Init, RegularizerRule, Shape, Sizes

__all__ = ["Layer"]


class Layer:
    """One step of a network.

    A layer in NumPy defines three methods, and works everywhere a built-in one does:

    - ``build(shape) -> output_shape``: `shape` is one sample's; parameters are added here.
    - ``forward(x, training=False) -> y``: `x` is a read-only batch.
    - ``backward(dy) -> dx``: the loss's gradient at the output to the one at the input; each
      parameter's is given to `Parameter.add_gradient`.

    Where a layer is used in two places, each place works on a shallow copy of the object, with the
    same parameters. Arrays that `forward` gets stay valid until `backward` has returned.

    The built-in layers define `record_forward` and `record_backward` instead, which say
    what kernels they need. The nearest class in the method resolution order that defines either pair decides.

    Parameters
    ----------
    name : str, optional
        By default the type and a number, counted in each container: "dense_1". The attribute is then the name of the layer's
        (first) place in its network, "residual_1.dense_1", and None if it is in two networks that call it differently.
    regularizer : Regularizer, or dict of parameter's name to Regularizer, optional
        What the layer's weights add to the loss, such as ``fn.L2(1e-4)``. Without a name it is for the parameters with more
        than one axis, so not for biases. Can be set at any time.
    constraint : Constraint, or dict of parameter's name to Constraint, optional
        What the weights are put back into after each update, such as ``fn.MaxNorm(2)``; as `regularizer`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnet as fn
    >>> class Scale(fn.Layer):
    ...     def build(self, shape):
    ...         self.weight = self.add_parameter("weight", shape, init="ones")
    ...         return shape
    ...     def forward(self, x, training=False):
    ...         self.x = x
    ...         return x * self.weight.value
    ...     def backward(self, dy):
    ...         self.weight.add_gradient((dy * self.x).sum(axis=0))
    ...         return dy * self.weight.value
    >>> net = fn.Network([fn.Dense(4), Scale(), fn.Dense(1)], input_shape=(3,), seed=0)
    >>> fn.check_gradients(net, np.ones((2, 3)), np.zeros((2, 1)), loss="mse").ok
    True
    """

    name: str | None = None
    _told_name: str | None = None  # what networks call it: no name to keep, or to take into another network
    many_inputs = False  # build and record_forward get a list of shapes, of tensors
    is_norm = False  # the default initialization looks through it to the activation behind
    activation_behind: str | None = None  # set by the graph before `build`
    _trainable = True
    _shapes: Any
    _regularizer: RegularizerRule | None = None
    _constraint: ConstraintRule | None = None
    _runner: Any = None  # set by the floor above: runs a layer alone

    def __init__(self, *, name: str | None = None, regularizer: RegularizerRule | None = None,
                 constraint: ConstraintRule | None = None) -> None:  # fmt: skip
        if name is not None:
            if not isinstance(name, str) or not name or "." in name:
                raise ValueError(f"name must be a text without dots; got {checks.describe(name)}")
            self.name = name
        if regularizer is not None:
            self.regularizer = regularizer
        if constraint is not None:
            self.constraint = constraint

    if TYPE_CHECKING:
        # Of the built-in layers; what a layer in NumPy has not.
        record_forward: Any
        record_backward: Any
        _alone: Any

    # What a layer defines

    def build(self, shape: Any) -> Shape:
        """Add the parameters for inputs of this shape (one sample's); return the output's shape."""
        return shape

    def forward(self, x: Any, training: bool = False) -> Array:
        """The layer's output for a batch.

        A built-in layer called alone records and runs just itself; its first call builds it.
        """
        return Layer._runner(self, x).forward(x, training=training)

    def backward(self, dy: Any) -> Any:
        """The gradient at the input from the one at the output of the last ``forward(x, training=True)``."""
        return Layer._runner(self, None).backward(dy)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, to save the layer and make it anew."""
        return {"name": self.given_name} if self.given_name else {}

    def multiply_adds(self, shape: Any, output_shape: Shape) -> int:
        """Those of one sample's forward pass, for `summary`; shapes are one sample's, as in `build`."""
        return 0

    # What a layer has

    @property
    def given_name(self) -> str | None:
        """The name that it was made with, without one that a network has given it."""
        return None if self.name == self._told_name else self.name

    def tell_name(self, name: str) -> None:
        """Say what a network calls the layer; a name that it was made with stays."""
        if self.given_name is not None or self._told_name == name:
            return
        if self._told_name is None:
            self.name = self._told_name = name
        else:
            self.name, self._told_name = None, ""  # which no network says

    def parameters(self) -> list[Parameter]:
        """The layer's own, in the order in which `build` added them."""
        return list(self.__dict__.get("_parameters", {}).values())

    @property
    def is_built(self) -> bool:
        return "_shapes" in self.__dict__

    @property
    def trainable(self) -> bool:
        """False: its parameters keep their values in training (and a norm its running statistics)."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = checks.flag("trainable", value)
        Clock.tick()

    @property
    def regularizer(self) -> RegularizerRule | None:
        return self._regularizer

    @regularizer.setter
    def regularizer(self, value: RegularizerRule | None) -> None:
        self._regularizer = self._rule("regularizer", value, regularizers.get)
        Clock.tick()

    @property
    def constraint(self) -> ConstraintRule | None:
        return self._constraint

    @constraint.setter
    def constraint(self, value: ConstraintRule | None) -> None:
        self._constraint = self._rule("constraint", value, constraints.get)
        Clock.tick()

    def _rule(self, argument: str, value: Any, get: Callable[[str, Any], Any]) -> Any:
        """A rule for weights, or a dict of rules by parameter; of a layer that is built, the names are looked up."""
        if isinstance(value, dict):
            value = {name: get(f"{argument}[{name!r}]", rule) for name, rule in value.items()}
        else:
            value = get(argument, value)
        if self.is_built:
            self._check_rule(argument, value)
        return value

    def _check_rule(self, argument: str, value: Any) -> None:
        learned = [p for p in self.parameters() if p.trainable]
        names = [p.local_name for p in learned]
        if isinstance(value, dict):
            for name in value:
                if name not in names:
                    raise ValueError(
                        f"{argument} has the key {name!r}; the parameters of {type(self).__name__} are "
                        f"{', '.join(names) or 'none'}{checks.nearest(name, names)}"
                    )
        elif value is not None and not self.has_weights:
            hint = f"; name one: {argument}={{{names[0]!r}: {value!r}}}" if names else ""
            raise ValueError(f"{argument}: {type(self).__name__} has no parameter with more than one axis{hint}")

    @property
    def has_weights(self) -> bool:
        """Whether it has a parameter with more than one axis that training learns."""
        return any(p.trainable and len(p.shape) > 1 for p in self.parameters())

    def rule_of(self, argument: str, parameter: Parameter) -> Any:
        """The "regularizer" or "constraint" of one of the layer's parameters, or None."""
        value = getattr(self, argument)
        if isinstance(value, dict):
            return value.get(parameter.local_name)
        return value if parameter.trainable and len(parameter.shape) > 1 else None

    def add_parameter(self, name: str, shape: Sizes, *, init: Init = "glorot_uniform", trainable: bool = True,
                      fans: tuple[int, int] | None = None) -> Parameter:  # fmt: skip
        """Add an array to the layer, in `build`.

        Parameters
        ----------
        name : str
            "weight", "bias", ...: unique in the layer.
        shape : tuple of int
        init : str, Initializer or array
        trainable : bool
            False for what training keeps but does not learn.
        fans : (int, int), optional
            fan_in and fan_out, where they don't follow from the shape.
        """
        parameters = self.__dict__.setdefault("_parameters", {})
        if name in parameters:
            raise ValueError(f"name {name!r}: the layer already has a parameter of that name")
        init = initializers.get(init, "init")
        parameters[name] = Parameter(name, shape, init, trainable, fans)
        return parameters[name]

    def build_once(self, shape: Any) -> Shape:
        """Build on first use; afterwards the shape must lead to the same parameters."""
        if self.is_built:
            before, output = self._shapes
            if before != shape:
                return self._rebuild(shape)
            return output
        output = self.build(shape)
        if output is None:
            raise TypeError(f"{type(self).__name__}.build must return the output's shape; it returned None")
        for argument in ("regularizer", "constraint"):
            self._check_rule(argument, getattr(self, argument))
        self._shapes = shape, output
        return output

    def _rebuild(self, shape: Any) -> Shape:
        """A built layer on inputs of another shape: allowed as long as its parameters keep their shapes."""
        kept = self._parameters_kept()
        attributes = dict(self.__dict__)
        self.__dict__["_parameters"] = {}
        try:
            output = self.build(shape)
            fresh = {name: p.shape for name, p in self.__dict__["_parameters"].items()}
        finally:
            self.__dict__.clear()
            self.__dict__.update(attributes)
        if fresh != {name: p.shape for name, p in kept.items()}:
            raise ValueError(
                f"layer {self.name or type(self).__name__!r} was built for inputs of shape {self._shapes[0]}; "
                f"it cannot take {shape}"
            )
        return output

    def _parameters_kept(self) -> dict[str, Parameter]:
        return dict(self.__dict__.get("_parameters", {}))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.config().items())
        return f"{type(self).__name__}({arguments})"


def is_numpy_layer(layer: Layer) -> bool:
    """True if the nearest class that defines either pair defines `forward` or `backward`."""
    for cls in type(layer).__mro__:
        if cls is Layer:
            break
        if "record_forward" in vars(cls) or "record_backward" in vars(cls):
            return False
        if "forward" in vars(cls) or "backward" in vars(cls):
            return True
    raise TypeError(f"layer {type(layer).__name__} defines neither forward and backward nor record_forward")


def type_name(cls: type) -> str:
    """ "conv2d_transpose" for Conv2DTranspose, "rms_norm" for RMSNorm, "prelu" for PReLU."""
    name = cls.__name__.replace("ReLU", "Relu")
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z]{2})(?=[A-Z][a-z])|(?<=[0-9]D)(?=[A-Z])", "_", name).lower()
