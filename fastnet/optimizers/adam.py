"""Adam and AdamW."""

from __future__ import annotations

from fastnet import checks
from fastnet.files import register
from fastnet.optimizers.base import Optimizer

__all__ = ["Adam", "AdamW"]


@register
class Adam(Optimizer):
    """m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w -= lr m^ / (sqrt(v^) + epsilon)

    with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t) (Kingma & Ba 2015, algorithm 1), as in PyTorch. Keras and
    scikit-learn add epsilon to the uncorrected sqrt(v).

    Parameters
    ----------
    learning_rate : float or Schedule, default 1e-3
    beta_1, beta_2 : float, default 0.9, 0.999
    epsilon : float, default 1e-8
    amsgrad : bool, default False
        Divide by the greatest v so far (Reddi, Kale & Kumar 2018).
    weight_decay : float, default 0
        Adds weight_decay * w to g; `AdamW` decouples it.
    decay_biases : bool, default True

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.Adam(3e-4).learning_rate
    0.0003
    """

    def __init__(self, learning_rate=1e-3, *, beta_1=0.9, beta_2=0.999, epsilon=1e-8, amsgrad=False,
                 weight_decay=0.0, decay_biases=True):  # fmt: skip
        super().__init__(learning_rate, weight_decay=weight_decay, decay_biases=decay_biases)
        self.beta_1 = checks.real_number("beta_1", beta_1, least=0, below=1)
        self.beta_2 = checks.real_number("beta_2", beta_2, least=0, below=1)
        self.epsilon = checks.real_number("epsilon", epsilon, least=0)
        self.amsgrad = checks.flag("amsgrad", amsgrad)
        self.state = ("m", "v", "v_max") if self.amsgrad else ("m", "v")

    def record_update(self, ctx, segment):
        ctx.call("adam_update", **segment.arguments(self), decoupled=int(self.decoupled),
                 beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)  # fmt: skip

    def config(self):
        return {
            **super().config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


@register
class AdamW(Adam):
    """Adam with decoupled weight decay: w *= 1 - lr weight_decay before the step (Loshchilov & Hutter 2019).

    As in PyTorch, with its default of 1e-2; Keras' default is 4e-3.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.AdamW(1e-3, weight_decay=0.05, decay_biases=False).weight_decay
    0.05
    """

    decoupled = True

    def __init__(self, learning_rate=1e-3, *, beta_1=0.9, beta_2=0.999, epsilon=1e-8, amsgrad=False,
                 weight_decay=1e-2, decay_biases=True):  # fmt: skip
        super().__init__(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, amsgrad=amsgrad,
                         weight_decay=weight_decay, decay_biases=decay_biases)  # fmt: skip
