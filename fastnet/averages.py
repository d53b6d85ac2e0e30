"""Averages of the weights that training passes through, which often generalize better than the last ones."""

from __future__ import annotations

from typing import Any

from fastnet import checks
from fastnet.files import register

__all__ = ["EMA", "SWA", "WeightAverage"]


class WeightAverage:
    """The base class: what `Trainer` and `Network.fit` take as `average`.

    The average is configuration; the averaged weights belong to the Trainer. While validation data are evaluated and at the end of
    each epoch, where callbacks save and compare, the network has the averaged weights; training goes on from its own. When `fit`
    ends the network keeps the averaged ones, and the Trainer the others for a further `fit`. Running statistics of batch
    normalization are those of training, unless `renews_statistics`.
    """

    decay = -1.0  # of `average` in native/kernels/average.pxi: negative for equal parts
    by_epoch = False
    renews_statistics = False

    def is_due(self, epochs: int) -> bool:
        """Whether the weights after so many epochs take part."""
        return False

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(vars(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.config().items())})"


@register
class EMA(WeightAverage):
    """a = decay a + (1 - decay) w after each update; a = w after the first.

    As PyTorch's ``AveragedModel(multi_avg_fn=get_ema_multi_avg_fn(decay))`` and Keras' ``use_ema``: without correction
    of a bias, as there is none to correct.

    Parameters
    ----------
    decay : float, default 0.999
        In [0, 1). The last 1 / (1 - decay) updates count most.

    References
    ----------
    Polyak, Juditsky (1992), Acceleration of stochastic approximation by averaging.

    Examples
    --------
    >>> import fastnet as fn
    >>> (x, y), _ = fn.datasets.digits()
    >>> net = fn.Network([fn.Flatten(), fn.Dense(10)], input_shape=(8, 8, 1), seed=0)
    >>> history = net.fit(x, y, loss="softmax_cross_entropy", average=fn.EMA(0.99), verbose=0)
    """

    def __init__(self, decay: float = 0.999) -> None:
        self.decay = checks.real_number("decay", decay, least=0, below=1)


@register
class SWA(WeightAverage):
    """Stochastic weight averaging: the mean of the weights at the ends of epochs.

    Batch normalization has the statistics that the training data have under the averaged weights whenever the network has these
    weights: where validation or a callback looks at them, and at the end, whatever ended the training (also early stopping, an
    error or Ctrl-C, after at least one epoch that takes part). This takes a forward pass over the training data for each epoch
    that takes part, and where nobody looks one at the end, which a second Ctrl-C cuts short. Training goes on from its own
    statistics.

    Parameters
    ----------
    start : int
        The first epoch, counted from 1, whose weights take part. The paper starts at three quarters of the training.
    every : int, default 1
        Epochs from one that takes part to the next.

    References
    ----------
    Izmailov, Podoprikhin, Garipov, Vetrov, Wilson (2018), Averaging weights leads to wider optima and better generalization.

    Examples
    --------
    >>> import fastnet as fn
    >>> fn.SWA(start=15).is_due(16)
    True
    """

    by_epoch = True
    renews_statistics = True

    def __init__(self, start: int, every: int = 1) -> None:
        self.start = checks.whole_number("start", start, least=1)
        self.every = checks.whole_number("every", every, least=1)

    def is_due(self, epochs: int) -> bool:
        return epochs >= self.start and (epochs - self.start) % self.every == 0


def get(value: Any) -> WeightAverage | None:
    """An average of weights, or None."""
    if value is None or isinstance(value, WeightAverage):
        return value
    raise TypeError(f"average must be fn.EMA(...), fn.SWA(...) or None; got {checks.describe(value)}")
