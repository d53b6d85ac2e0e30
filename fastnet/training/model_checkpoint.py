"""The callback that saves networks, or whole checkpoints of the training."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from fastnet import checks
from fastnet.files import register
from fastnet.training import checkpoint_directory
from fastnet.training.callbacks import Monitor

if TYPE_CHECKING:
    from fastnet.training.trainer import Trainer
    from fastnet.types import Figures, Path

__all__ = ["ModelCheckpoint", "interval"]

EVERY = re.compile(r"(\d*)\s*(batch|epoch|second|minute|hour)(?:e?s)?")
SECONDS = {"second": 1, "minute": 60, "hour": 3600}


@register
class ModelCheckpoint(Monitor):
    """Save the network after epochs, or with `every` all of the training, to go on from after a stop.

    Without `every` a file holds the network as `Network.save` writes it, for `fn.load`. With it `path` is a directory of whole
    checkpoints, ``checkpoint-000001500.safetensors`` after 1500 batches of the network's life, for `Trainer.resume`. One is also
    written when training ends after its last epoch. They are written at once or not at all, and an old one is removed
    only after a new one is there.

    Parameters
    ----------
    path : str or Path
        May have "{epoch}" and names of figures: "runs/{epoch:03}-{val_loss:.3f}.safetensors". With `every` a directory, which is
        made where it isn't there, for one training.
    monitor : str, default "val_loss"
    best_only : bool, default True
        Save only when `monitor` has improved.
    mode, min_delta
        As in `EarlyStopping`.
    every : int or str, optional
        A number of batches, or with its unit: "500 batches", "epoch", "5 epochs", "10 minutes", "30 seconds". Batches are counted
        through epochs. Training returns to Python for them where it would not otherwise.
    keep : int, default 3
        With `every`: so many checkpoints are left, the newest ones.
    on_save_error : {"raise", "warn"}
        What to do where a file cannot be written (a full disk, no permission): raise the error, which ends training, or
        warn (RuntimeWarning) and go on; the next checkpoint is tried in its time. Older files are whole in any case.

    Raises
    ------
    ValueError, TypeError
        A setting is out of its range, or one that chooses networks stands beside `every`.
    FileExistsError
        When training begins: the directory has checkpoints of another training.

    Examples
    --------
    >>> import tempfile, numpy as np, fastnet as fn
    >>> x, y = np.ones((8, 2)), np.ones(8)
    >>> net = fn.Network([fn.Dense(1)], input_shape=(2,), seed=0)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     saving = fn.ModelCheckpoint(directory, every=2, keep=1)
    ...     history = net.fit(x, y, loss="mse", epochs=3, batch_size=4, callbacks=[saving], verbose=0)
    ...     trainer = fn.Trainer.resume(directory)
    >>> trainer.step
    6
    """

    may_differ = ("path", "every", "keep", "on_save_error")
    writes_to = ("path",)

    def __init__(self, path: Path, monitor: str | None = None, *, best_only: bool | None = None,
                 mode: Literal["auto", "min", "max"] = "auto", min_delta: float = 0.0, every: int | str | None = None,
                 keep: int | None = None, on_save_error: Literal["raise", "warn"] = "raise") -> None:  # fmt: skip
        super().__init__("val_loss" if monitor is None else monitor, mode, min_delta)
        self.path = path
        self.best_only = checks.flag("best_only", best_only is None or best_only)
        self.every = every
        self._interruption: BaseException | None = None
        self.keep = 3 if keep is None else checks.whole_number("keep", keep, least=1)
        self.on_save_error = checks.choice("on_save_error", on_save_error, ["raise", "warn"])
        if every is None:
            if keep is not None:
                raise ValueError("keep is a number of checkpoints: it needs every=")
            return
        self._amount, self._unit = interval(every)
        given = {"monitor": monitor, "best_only": best_only, "mode": mode if mode != "auto" else None,
                 "min_delta": min_delta or None}  # fmt: skip
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f"{name} chooses networks to save; with every= all of the training is saved: use two ModelCheckpoints"
                )

    def on_train_begin(self, trainer: Trainer, logs: Figures) -> None:
        state = trainer.state(self)
        state.update(best=None)
        if self.every is None:
            return
        self._plan_next(trainer)
        if not trainer.distributed.writes:
            return
        other = None
        with self._errors():
            checkpoint_directory.make(self.path)
            checkpoint_directory.remove_temporaries(self.path)
            other = checkpoint_directory.run_in(self.path)
        if other not in (None, trainer.run_id):
            raise FileExistsError(
                f"{self.path} has checkpoints of another training: fn.Trainer.resume({str(self.path)!r}) goes on with it; "
                "else choose another directory, or remove them"
            )

    def on_epoch_end(self, trainer: Trainer, logs: Figures) -> None:
        if self.every is not None:
            return
        state = trainer.state(self)
        if self.best_only:
            value = self.value(logs)
            if not self.is_better(value, state["best"]):
                return
            state["best"] = value
        try:
            path = str(self.path).format(epoch=trainer.history.epochs, **logs)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"path {str(self.path)!r} cannot be filled with epoch, {', '.join(logs)}: {error}"
            ) from None
        if trainer.distributed.writes:
            with self._errors():
                trainer.net.save(path)

    # Whole checkpoints

    def batches_until_pause(self, trainer: Trainer) -> int | None:
        if self.every is None or self._unit != "batch":
            return None
        return max(1, trainer.state(self)["due"] - trainer.batches)

    def on_pause(self, trainer: Trainer) -> None:
        if self.every is None:
            return
        if self._interruption is not None:
            interruption, self._interruption = self._interruption, None
            self.save(trainer)
            raise interruption
        running = trainer.running
        if self._now(trainer) >= trainer.state(self)["due"] or (running is not None and running.is_ending):
            self._plan_next(trainer)
            self.save(trainer)

    def interrupt(self, error: BaseException) -> None:
        """Save a checkpoint as soon as nothing is half done, and raise an exception then, which ends the training.

        For a handler of signals, as the library installs none:
        ``signal.signal(signal.SIGTERM, lambda *_: saving.interrupt(SystemExit(143)))``.
        """
        if self.every is None:
            raise ValueError("interrupt saves a checkpoint: it needs a ModelCheckpoint with every=")
        self._interruption = error

    def save(self, trainer: Trainer) -> None:
        """Write a checkpoint now, and remove those that are too old; of several ranks the first does."""
        if not trainer.distributed.writes:
            return
        with self._errors():
            trainer.save_checkpoint(checkpoint_directory.path_of(self.path, trainer.batches))
            checkpoint_directory.remove_old(self.path, self.keep, trainer.batches)

    def _now(self, trainer: Trainer) -> float:
        """The count, or time, that `every` is measured by."""
        if self._unit == "batch":
            return trainer.batches
        return trainer.history.epochs if self._unit == "epoch" else time.monotonic()

    def _plan_next(self, trainer: Trainer) -> None:
        trainer.state(self)["due"] = self._now(trainer) + self._amount

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self.on_save_error == "raise":
                raise
            warnings.warn(f"{error}; training goes on", RuntimeWarning, stacklevel=5)

    def state_to_save(self, trainer: Trainer) -> dict[str, Any]:
        state = dict(trainer.state(self))
        if self.every is not None and self._unit in SECONDS:
            state.pop("due", None)  # another process has another clock
        return state

    def config(self) -> dict[str, Any]:
        config = {"path": str(self.path), "on_save_error": self.on_save_error}
        if self.every is None:
            return {**config, **super().config(), "best_only": self.best_only}
        return {**config, "every": self.every, "keep": self.keep}


def interval(every: int | str | None) -> tuple[int, str]:
    """How many of which unit; seconds for all times."""
    if not isinstance(every, str):
        return checks.whole_number("every", every, least=1), "batch"
    match = EVERY.fullmatch(every.strip())
    amount = int(match[1] or 1) if match else 0
    if match is None or amount < 1:
        raise ValueError(
            "every must be a number of batches, or a text such as '500 batches', 'epoch', '5 epochs', '10 minutes'; "
            f"got {every!r}"
        )
    unit = match[2]
    return (amount * SECONDS[unit], "second") if unit in SECONDS else (amount, unit)
