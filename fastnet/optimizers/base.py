"""The base class of update rules."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Never

from fastnet import checks, schedules
from fastnet.optimizers.groups import ParameterGroup, near_names
from fastnet.recording.clock import Clock

if TYPE_CHECKING:
    from fastnet.parameters import Parameter
    from fastnet.recording import Context
    from fastnet.training.update import Part
    from fastnet.types import OptimizerLike, Rate

__all__ = ["Optimizer", "get"]


class Optimizer:
    """An update rule: one pass over the flat memory of parameters and gradients.

    A rule lists in `state` the arrays that it keeps, each as long as the parameters, and in `scalars` the
    numbers (float64); all are zero at first. It records its kernel in `record_update`.

    Parameters
    ----------
    learning_rate : float or Schedule
        A number, or one of `fastnet.schedules`. Setting the attribute acts at the next step.
    weight_decay : float, default 0
        weight_decay * w is added to the gradient.
    decoupled_weight_decay : bool, default False
        Instead w *= 1 - learning_rate weight_decay before the step, whatever the rule makes of the gradient (Loshchilov
        & Hutter 2019).
    decay_biases : bool, default True
        False leaves parameters with one axis (biases, norms) without decay.
    groups : list of ParameterGroup
        Parameters with settings of their own; the first group that has a parameter counts.
    """

    state: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    #: Whether each element is updated by itself, so that parameters side by side may be taken as one.
    elementwise = True

    def __init__(self, learning_rate: Rate, *, weight_decay: float = 0.0, decoupled_weight_decay: bool = False,
                 decay_biases: bool = True, groups: ParameterGroup | Sequence[ParameterGroup] = (),
                 **unknown: Never) -> None:  # fmt: skip
        if unknown:
            name = next(iter(unknown))
            known = [*inspect.signature(type(self)).parameters, *inspect.signature(Optimizer).parameters]
            raise TypeError(f"{type(self).__name__} has no argument {name!r}{checks.nearest(name, known)}")
        self.learning_rate = learning_rate
        self._weight_decay = checks.real_number("weight_decay", weight_decay, least=0)
        self._decoupled_weight_decay = checks.flag("decoupled_weight_decay", decoupled_weight_decay)
        self._decay_biases = checks.flag("decay_biases", decay_biases)
        self._groups = [groups] if isinstance(groups, ParameterGroup) else list(groups)
        for group in self._groups:
            if not isinstance(group, ParameterGroup):
                raise TypeError(f"groups must be a list of ParameterGroup; it has {checks.describe(group)}")

    @property
    def learning_rate(self) -> float | schedules.Schedule:
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        self._learning_rate = schedules.get(value)

    @property
    def weight_decay(self) -> float:
        return self._weight_decay

    @weight_decay.setter
    def weight_decay(self, value: float) -> None:
        self._weight_decay = checks.real_number("weight_decay", value, least=0)

    @property
    def decay_biases(self) -> bool:
        return self._decay_biases

    @property
    def decoupled_weight_decay(self) -> bool:
        return self._decoupled_weight_decay

    @property
    def groups(self) -> list[ParameterGroup]:
        return list(self._groups)

    def named(self, parameters: Sequence[Parameter]) -> Optimizer:
        """A copy for a copy of the network: groups that were made with its layers name their parameters."""
        twin = copy.copy(self)
        twin._groups = [group.named(parameters) for group in self._groups]
        return twin

    # What the update phase asks

    def group_of(self, parameter: Parameter) -> ParameterGroup | None:
        """The first group that has a parameter."""
        return next((group for group in self._groups if group.has(parameter)), None)

    def check_groups(self, parameters: Sequence[Parameter]) -> None:
        """Refuse groups that have none of the parameters that are updated, frozen ones among them."""
        for group in self._groups:
            if not any(group.has(parameter) for parameter in parameters):
                near = near_names(group.match, parameters)
                raise ValueError(f"{group!r} matches no parameter that {type(self).__name__} updates{near}")

    def rate_sources(self) -> list[Any]:
        """What has a `learning_rate`: this rule, then the groups with one of their own."""
        return [self, *(group for group in self._groups if group.learning_rate is not None)]

    def decay_of(self, parameter: Parameter, group: ParameterGroup | None = None) -> float:
        """The weight decay of one parameter."""
        if group is not None and group.weight_decay is not None:
            return group.weight_decay
        return self._weight_decay if self._decay_biases or len(parameter.shape) > 1 else 0.0

    def parts(self, parameters: Sequence[Parameter]) -> list[tuple[Optimizer, Sequence[Parameter]]]:
        """Pairs of a rule and the parameters that it updates: this rule and all of them, unless it leaves some to others.

        `parameters` are those of the whole network in order, frozen ones among them.
        """
        return [(self, parameters)]

    def record_update(self, ctx: Context, part: Part) -> None:
        """Record the kernel that updates a part of the parameters.

        ``part.arguments()`` has the fields that all rules share (w, g, ranges, control, n_ranges), one
        tensor for each name in `state` and `scalars`, and `work`.
        """
        raise TypeError(f"optimizer {type(self).__name__} does not define record_update")

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "decoupled_weight_decay": self.decoupled_weight_decay,
            "decay_biases": self.decay_biases,
            "groups": self.groups,
        }

    def __setattr__(self, name: str, value: Any) -> None:
        # Recordings have all settings but the learning rate in them.
        changes = name in self.__dict__ and name != "_learning_rate"
        super().__setattr__(name, value)
        if changes:
            Clock.tick()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.config().items())})"


def get(optimizer: OptimizerLike, argument: str = "optimizer") -> Optimizer:
    """An optimizer from its name, with its defaults, or as it is."""
    from fastnet import optimizers

    names = {
        "sgd": "SGD", "rmsprop": "RMSprop", "adam": "Adam", "adamw": "AdamW", "adagrad": "Adagrad", "adadelta": "Adadelta",
        "adamax": "Adamax", "nadam": "NAdam", "radam": "RAdam", "lion": "Lion", "muon": "Muon",
    }  # fmt: skip
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        raise TypeError(
            f"{argument} is the class {optimizer.__name__}; make an optimizer of it: {optimizer.__name__}()"
        )
    return getattr(optimizers, names[checks.choice(argument, optimizer, names)])()
