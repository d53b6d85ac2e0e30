"""Callbacks: what a Trainer calls between epochs and batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from fastnet import checks
from fastnet.files import register

if TYPE_CHECKING:
    from fastnet.training.steps import Probe
    from fastnet.training.trainer import Trainer
    from fastnet.types import Figures

__all__ = ["Callback", "EarlyStopping", "LambdaCallback", "Monitor", "ReduceLROnPlateau", "TerminateOnNaN"]


class Callback:
    """Base class: override what you need. A callback is configuration; what it must remember it
    keeps in ``trainer.state(self)``, a dict that belongs to the run.

    `logs` has the epoch's figures so far, the batch's in `on_batch_end`. A callback that overrides
    `on_batch_end` makes training return to Python after every step. ``trainer.stop()`` ends training
    after the running epoch.

    A checkpoint (`Trainer.save_checkpoint`) holds that dict. One that defines ``config() -> dict``, its constructor's arguments,
    is made anew by `Trainer.resume`; one that doesn't is given to it.
    """

    #: Settings that `Trainer.resume` may be given others of, as they don't decide what is learned.
    may_differ: tuple[str, ...] = ()
    #: Whether, of several ranks, only the first calls it: because it writes or shows something, and changes nothing.
    on_one_rank = False
    #: Attributes that say where it writes: made anew by `Trainer.resume`, it may do so beside the checkpoint alone.
    writes_to: tuple[str, ...] = ()

    def on_train_begin(self, trainer: Trainer, logs: Figures) -> None:
        """Before the first epoch; in a training that goes on from a checkpoint, too, before `restore_state`."""

    def on_train_end(self, trainer: Trainer, logs: Figures) -> None:
        """Called whatever ended the training: the last epoch, a stop, Ctrl-C, an error."""

    def on_epoch_begin(self, trainer: Trainer, logs: Figures) -> None: ...

    def on_epoch_end(self, trainer: Trainer, logs: Figures) -> None: ...

    def on_batch_end(self, trainer: Trainer, logs: Figures) -> None: ...

    def batches_until_pause(self, trainer: Trainer) -> int | None:
        """In how many batches at the latest, from 1 on, training has to return to Python; None: whenever it does.

        See `on_pause`; a callback without that isn't asked.
        """

    def on_pause(self, trainer: Trainer) -> None:
        """Called wherever nothing is half done: where training returns to Python between two steps (about every 50 ms), between
        parts of the validation, and after an epoch when all callbacks have had their `on_epoch_end`. The place for
        ``trainer.save_checkpoint(path)``.
        """

    def state_to_save(self, trainer: Trainer) -> dict[str, Any]:
        """What a checkpoint holds for this callback: what ``trainer.state(self)`` has, unless a subclass knows better.

        Numbers, texts, arrays, and lists, tuples, sets and dicts of them.
        """
        return trainer.state(self)

    def restore_state(self, trainer: Trainer, state: dict[str, Any]) -> None:
        """Take up what `state_to_save` gave."""
        trainer.state(self).update(state)

    def batches_until_look(self, trainer: Trainer) -> int | None:
        """In how many batches a step is to be looked at from inside; 0: the next one.

        A callback that defines this has `probe_for`, which gives the `Probe` of that step, and gets `on_look` after it.
        """

    def probe_for(self, trainer: Trainer) -> Probe | None: ...

    def on_look(self, trainer: Trainer) -> None: ...


def looks_inside(callback: Callback) -> bool:
    return type(callback).batches_until_look is not Callback.batches_until_look


def watches_batches(callback: Callback) -> bool:
    # Asked of the object, as a LambdaCallback has what it was given.
    return getattr(callback.on_batch_end, "__func__", None) is not Callback.on_batch_end


def nonfinite_rule(callbacks: Iterable[Callback], on_nonfinite: str) -> str:
    """What `fit` does about a step that is not finite, with these callbacks."""
    ends = any(isinstance(callback, TerminateOnNaN) for callback in callbacks)
    return "stop" if ends and on_nonfinite == "raise" else on_nonfinite


def pauses(callback: Callback) -> bool:
    return type(callback).on_pause is not Callback.on_pause


def listed(given: Any) -> list[Callback]:
    """One or several callbacks as a list."""
    if isinstance(given, Callback):
        given = [given]
    given = list(given)
    for callback in given:
        if isinstance(callback, type) or not isinstance(callback, Callback):
            raise TypeError(f"callbacks must be a list of callbacks; it has {checks.describe(callback)}")
    return given


class LambdaCallback(Callback):
    """A callback made of functions, each called as the method of its name: ``function(trainer, logs)``.

    Only what is given is called: without `on_batch_end` training does not return to Python after each step.

    Parameters
    ----------
    on_train_begin, on_train_end, on_epoch_begin, on_epoch_end, on_batch_end : callable, optional
        See `Callback`. (Keras' functions get the number of the epoch: here that is ``trainer.history.epochs``.)
        `Trainer.resume` has to be given such a callback again, as no file holds functions.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
    >>> show = fn.LambdaCallback(on_epoch_end=lambda trainer, logs: print(trainer.history.epochs, sorted(logs)))
    >>> history = net.fit(np.ones((8, 2)), np.ones(8), loss="mse", epochs=2, callbacks=[show], verbose=0)
    1 ['loss']
    2 ['loss']
    """

    def __init__(self, *, on_train_begin: Callable[[Trainer, Figures], object] | None = None,
                 on_train_end: Callable[[Trainer, Figures], object] | None = None,
                 on_epoch_begin: Callable[[Trainer, Figures], object] | None = None,
                 on_epoch_end: Callable[[Trainer, Figures], object] | None = None,
                 on_batch_end: Callable[[Trainer, Figures], object] | None = None) -> None:  # fmt: skip
        given = {
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_batch_end": on_batch_end,
        }
        for name, function in given.items():
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"{name} must be a function of (trainer, logs); got {checks.describe(function)}")
            setattr(self, name, function)


@register
class TerminateOnNaN(Callback):
    """End training, without an error, where the loss is no longer a finite number.

    ``fit(on_nonfinite=...)`` says what is done about a *step* whose loss or gradients are not finite; it has changed nothing in
    any case. With this callback the default, "raise", becomes "stop": `fit` returns, ``history.stopped`` is "not
    finite", and ``trainer.fault`` names the layer. That is Keras' callback of this name. With "continue" such steps are skipped as
    always.

    Besides it looks at what `on_nonfinite` does not see: it ends training after an epoch whose "val_loss" is not finite, or whose
    "loss" is not, as no step of it was good.

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
    >>> x, y = np.full((8, 2), 1e20), np.ones(8)
    >>> history = net.fit(x, y, loss="mse", optimizer="sgd", epochs=3, callbacks=[fn.TerminateOnNaN()], verbose=0)
    >>> history.stopped, history.epochs
    ('not finite', 0)
    """

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    def on_epoch_end(self, trainer: Trainer, logs: Figures) -> None:
        if not all(math.isfinite(logs[name]) for name in ("loss", "val_loss") if name in logs):
            trainer.stop("not finite")


class Monitor(Callback):
    """What watches one figure: which, and whether less or more is better."""

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        self.monitor = monitor
        self.mode = checks.choice("mode", mode, ["auto", "min", "max"])
        self.min_delta = checks.real_number("min_delta", min_delta, least=0)

    def value(self, logs: Figures) -> float:
        if self.monitor not in logs:
            hint = "; give fit a validation" if self.monitor.startswith("val_") else ""
            raise ValueError(
                f"monitor {self.monitor!r} is not among the figures {', '.join(logs)}"
                f"{checks.nearest(self.monitor, logs)}{hint}"
            )
        return logs[self.monitor]

    def is_better(self, value: float, best: float | None) -> bool:
        if not math.isfinite(value):
            return False
        if best is None:
            return True
        more = self.mode == "max" or (
            self.mode == "auto" and self.monitor.removeprefix("val_").endswith(("accuracy", "r2"))
        )
        margin = self.margin(best)
        return value > best + margin if more else value < best - margin

    def margin(self, best: float) -> float:
        """By how much a value must be better than the best one so far."""
        return self.min_delta

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"monitor": self.monitor, "mode": self.mode, "min_delta": self.min_delta}


@register
class EarlyStopping(Monitor):
    """Stop when a figure has not improved for `patience` epochs, and go back to the best weights.

    Parameters
    ----------
    monitor : str, default "val_loss"
    patience : int, default 5
        Epochs without improvement after which training stops. (Keras: 0.)
    min_delta : float, default 0
        What counts as an improvement is more than this.
    mode : {"auto", "min", "max"}
        "auto": accuracies and r2 are better when greater, all else when less.
    restore_best : bool, default True
        At the end give the network the weights (and running statistics) of the best epoch, whatever
        ended the training.
    """

    def __init__(self, monitor: str = "val_loss", *, patience: int = 5, min_delta: float = 0.0,
                 mode: Literal["auto", "min", "max"] = "auto", restore_best: bool = True) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.patience = checks.whole_number("patience", patience, least=0)
        self.restore_best = checks.flag("restore_best", restore_best)

    def on_train_begin(self, trainer: Trainer, logs: Figures) -> None:
        trainer.state(self).update(best=None, best_epoch=None, waited=0, weights=None)

    def on_epoch_end(self, trainer: Trainer, logs: Figures) -> None:
        state = trainer.state(self)
        value = self.value(logs)
        if self.is_better(value, state["best"]):
            state.update(best=value, best_epoch=trainer.history.epochs, waited=0)
            if self.restore_best:
                state["weights"] = trainer.net.state_dict()
            return
        state["waited"] += 1
        if state["waited"] >= max(self.patience, 1):
            trainer.stop("early stopping")

    def on_train_end(self, trainer: Trainer, logs: Figures) -> None:
        state = trainer.state(self)
        if self.restore_best and state.get("weights") is not None:
            trainer.net.load_state_dict(state["weights"])
            state["weights"] = None

    def config(self) -> dict[str, Any]:
        return {**super().config(), "patience": self.patience, "restore_best": self.restore_best}


@register
class ReduceLROnPlateau(Monitor):
    """Lower the learning rate when a figure has stopped improving.

    After more than `patience` epochs in a row without improvement ``trainer.rate_factor`` is multiplied by
    `factor`. It multiplies what the optimizer's number or schedule gives, so that a warm-up may stand before it. As in
    PyTorch; Keras acts one epoch earlier, and its `min_delta` is an absolute threshold.

    Parameters
    ----------
    monitor : str, default "val_loss"
    factor : float, default 0.1
        Below 1.
    patience : int, default 10
    mode : {"auto", "min", "max"}
        As in `EarlyStopping`.
    threshold : float, default 1e-4
        What counts as an improvement is more than this.
    threshold_mode : {"relative", "absolute"}
        "relative": `threshold` is a share of the best value so far.
    cooldown : int, default 0
        Epochs after a reduction that are not counted.
    min_rate : float, default 0
        The learning rate is not reduced below this (PyTorch and Keras: min_lr).

    Examples
    --------
    >>> import numpy as np, fastnet as fn
    >>> net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
    >>> trainer = fn.Trainer(net, loss="mse", optimizer=fn.SGD(0.5))
    >>> callback = fn.ReduceLROnPlateau("loss", patience=2, threshold_mode="absolute", threshold=1e3)
    >>> history = trainer.fit(np.zeros((8, 2)), np.ones(8), epochs=4, callbacks=[callback], verbose=0)
    >>> trainer.rate_factor, trainer.learning_rate
    (0.1, 0.05)
    """

    def __init__(self, monitor: str = "val_loss", *, factor: float = 0.1, patience: int = 10,
                 mode: Literal["auto", "min", "max"] = "auto", threshold: float = 1e-4,
                 threshold_mode: Literal["relative", "absolute"] = "relative", cooldown: int = 0,
                 min_rate: float = 0.0) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta=0.0)
        self.factor = checks.real_number("factor", factor, least=0, below=1)
        self.patience = checks.whole_number("patience", patience, least=0)
        self.threshold = checks.real_number("threshold", threshold, least=0)
        self.threshold_mode = checks.choice("threshold_mode", threshold_mode, ["relative", "absolute"])
        self.cooldown = checks.whole_number("cooldown", cooldown, least=0)
        self.min_rate = checks.real_number("min_rate", min_rate, least=0)

    def margin(self, best: float) -> float:
        return self.threshold * abs(best) if self.threshold_mode == "relative" else self.threshold

    def on_train_begin(self, trainer: Trainer, logs: Figures) -> None:
        trainer.state(self).update(best=None, waited=0, cooling=0)

    def on_epoch_end(self, trainer: Trainer, logs: Figures) -> None:
        state = trainer.state(self)
        value = self.value(logs)
        if self.is_better(value, state["best"]):
            state.update(best=value, waited=0)
        else:
            state["waited"] += 1
        if state["cooling"]:
            state["cooling"] -= 1
            state["waited"] = 0
        if state["waited"] > self.patience:
            state.update(waited=0, cooling=self.cooldown)
            rate = trainer.learning_rate
            if rate > self.min_rate:
                trainer.rate_factor *= max(self.factor, self.min_rate / rate)

    def config(self) -> dict[str, Any]:
        return {
            "monitor": self.monitor,
            "factor": self.factor,
            "patience": self.patience,
            "mode": self.mode,
            "threshold": self.threshold,
            "threshold_mode": self.threshold_mode,
            "cooldown": self.cooldown,
            "min_rate": self.min_rate,
        }
