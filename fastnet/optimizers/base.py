"""The base class of update rules."""

from __future__ import annotations

from fastnet import checks, schedules
from fastnet.recording.clock import Clock

__all__ = ["Optimizer", "get"]


class Optimizer:
    """An update rule: one pass over the flat memory of parameters and gradients.

    A rule lists in `state` the arrays that it keeps, each as long as the parameters (zero at first), and
    records its kernel in `record_update`.

    Attributes
    ----------
    learning_rate : float or Schedule
        A number, or one of `fastnet.schedules`. Setting it acts at the next step.
    weight_decay : float
        weight_decay * w is added to the gradient (AdamW: see there), on all parameters unless
        `decay_biases` is False, which leaves out those with one axis (biases, norms).
    """

    state: tuple[str, ...] = ()
    decoupled = False

    def __init__(self, learning_rate, *, weight_decay=0.0, decay_biases=True):
        self.learning_rate = learning_rate
        self._weight_decay = checks.real_number("weight_decay", weight_decay, least=0)
        self._decay_biases = checks.flag("decay_biases", decay_biases)

    @property
    def learning_rate(self) -> float | schedules.Schedule:
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self._learning_rate = schedules.get(value)

    @property
    def weight_decay(self) -> float:
        return self._weight_decay

    @weight_decay.setter
    def weight_decay(self, value):
        self._weight_decay = checks.real_number("weight_decay", value, least=0)

    @property
    def decay_biases(self) -> bool:
        return self._decay_biases

    def decay_of(self, parameter) -> float:
        """The weight decay of one parameter."""
        return self._weight_decay if self._decay_biases or len(parameter.shape) > 1 else 0.0

    def record_update(self, ctx, segment) -> None:
        """Record the kernel that updates one segment.

        `segment` has the fields that all rules share (`pointers`: w, g, ranges, control; `numbers`: n_ranges), one
        tensor for each name in `state`, and `work`.
        """
        raise TypeError(f"optimizer {type(self).__name__} does not define record_update")

    def config(self) -> dict:
        """The constructor's arguments."""
        return {
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "decay_biases": self.decay_biases,
        }

    def __setattr__(self, name, value):
        # Recordings have all settings but the learning rate in them.
        changes = name in self.__dict__ and name != "_learning_rate"
        super().__setattr__(name, value)
        if changes:
            Clock.tick()

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.config().items())})"


def get(optimizer, argument: str = "optimizer") -> Optimizer:
    """An optimizer from its name, with its defaults, or as it is."""
    from fastnet import optimizers

    names = {"sgd": "SGD", "rmsprop": "RMSprop", "adam": "Adam", "adamw": "AdamW", "adagrad": "Adagrad"}
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        raise TypeError(
            f"{argument} is the class {optimizer.__name__}; make an optimizer of it: {optimizer.__name__}()"
        )
    return getattr(optimizers, names[checks.choice(argument, optimizer, names)])()
