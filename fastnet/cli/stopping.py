"""``fastnet train`` when it is stopped, and when it goes on: signals, ``--checkpoint`` and ``--resume``."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fastnet.cli.options import checkpoint_interval

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from types import FrameType

    from fastnet.cli.run_directory import RunDirectory
    from fastnet.distributed import Ranks
    from fastnet.network import Network
    from fastnet.training import Callback, ModelCheckpoint, Trainer

__all__ = ["Checkpoints", "add_arguments", "stopping_cleanly"]

EVERY, KEEP = "1 minute", 3

#: Options that may be others when a training goes on: they don't decide what is learned. The data are known by their fingerprint.
FREE = ("data", "out", "overwrite", "report", "threads", "checkpoint", "checkpoint_every", "resume", "run", "command",
        "distributed")  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="save the whole training there regularly, when it is stopped (SIGTERM, Ctrl-C) and at its end; "
        f"the newest {KEEP} are kept",
    )
    parser.add_argument(
        "--checkpoint-every",
        type=checkpoint_interval,
        default=EVERY,
        metavar="INTERVAL",
        help="such as '10 minutes', '5 epochs' or '500 batches'; default %(default)s",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the newest whole checkpoint of --checkpoint, to the same result as without the stop; "
        "begin anew where there is none. With the options of the first time",
    )


class _Terminated(KeyboardInterrupt):
    """SIGTERM, treated as Ctrl-C is."""

    code = 128 + signal.SIGTERM


class Checkpoints:
    """What --checkpoint and --resume say.

    Attributes
    ----------
    seconds : float
        What the training has taken before.

    Raises
    ------
    ValueError, OSError
        --resume without --checkpoint; the directory has checkpoints and there is no --resume.
    """

    def __init__(self, arguments: Namespace, ranks: Ranks) -> None:
        from fastnet.training import ModelCheckpoint, checkpoint_directory

        self.directory, self.resume = arguments.checkpoint, arguments.resume
        self.ranks = ranks
        self.saving: ModelCheckpoint | None = None
        self.seconds = 0.0
        if self.directory is None:
            if self.resume:
                raise ValueError("--resume goes on from a checkpoint; --checkpoint DIR says where they are")
            return
        self.found = ranks.writes and bool(checkpoint_directory.numbered(self.directory))
        if self.found and not self.resume:
            raise FileExistsError(
                f"--checkpoint: {self.directory} has checkpoints of a training; --resume goes on with it, else choose "
                "another directory"
            )
        self.saving = ModelCheckpoint(self.directory, every=arguments.checkpoint_every, keep=KEEP, on_save_error="warn")
        self.options = {name: value for name, value in vars(arguments).items() if name not in FREE}

    def make(self) -> None:
        """Make the directory: better now than after hours of training."""
        from fastnet.training import checkpoint_directory

        if self.saving is not None:
            checkpoint_directory.make(self.directory)

    @property
    def callbacks(self) -> list[Callback]:
        return [] if self.saving is None else [self.saving]

    def mark(self, net: Network) -> None:
        """Let the checkpoints of a network know the options."""
        if self.saving is not None:
            net.extra["options"] = _plain(self.options)

    def resumed(self) -> Trainer | None:
        """The trainer that goes on; None where a training begins."""
        from fastnet.training import Trainer

        if not self.resume:
            return None
        if not self.ranks.from_first(self.found):
            print(f"no checkpoint in {self.directory}: the training begins anew")
            return None
        with _plain_warnings():
            trainer = Trainer.resume(self.directory, callbacks=self.callbacks, distributed=self.ranks)
        unfinished, before = trainer.unfinished, trainer.net.extra.get("options")
        if before is None or unfinished is None:
            raise ValueError(f"--resume: {trainer.resumed_from} is not of a training by `fastnet train`")
        now = _plain(self.options)
        for name in dict.fromkeys([*before, *now]):
            if before.get(name) != now.get(name):
                raise ValueError(
                    f"--resume: --{name.replace('_', '-')} is {_shown(now.get(name))}; in the training that goes on it was "
                    f"{_shown(before.get(name))}"
                )
        self.seconds = sum(trainer.history.seconds) + unfinished.place.seconds
        print(f"going on from {trainer.resumed_from}, {unfinished.where} of {unfinished.settings.epochs}")
        return trainer


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return "left out" if value is None or value is False else "given" if value is True else str(value)


@contextlib.contextmanager
def stopping_cleanly(directory: RunDirectory | None, trainer: Trainer, checkpoints: Checkpoints) -> Iterator[None]:
    """Write the history of what was trained when Ctrl-C, SIGTERM or a loss that is not finite ends the training.

    With --checkpoint both signals wait until nothing is half done, some 50 ms or a step, and a checkpoint is saved first; a second
    signal doesn't wait. Without a directory, which another process has, nothing is written.
    """
    waiting: list[KeyboardInterrupt] = []

    def stop(number: int, frame: FrameType | None) -> None:
        error = _Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        if checkpoints.saving is None or waiting:
            raise error
        waiting.append(error)
        checkpoints.saving.interrupt(error)

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [signal.SIGTERM] if checkpoints.saving is None else [signal.SIGTERM, signal.SIGINT]
        # A signal that was ignored when the process began (by nohup, or in the background of a shell) stays ignored.
        before = {n: signal.signal(n, stop) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
    try:
        with _plain_warnings():
            yield
            if waiting:
                raise waiting[0]
    except (KeyboardInterrupt, FloatingPointError) as error:
        if directory is None:
            raise
        epochs = trainer.history.epochs
        kept = f"the history of {epochs} epoch{'s' * (epochs != 1)} is in {directory.save_interrupted(trainer.history)}"
        if isinstance(error, FloatingPointError):
            raise FloatingPointError(f"{error}; {kept}") from None
        if checkpoints.saving is not None:
            kept += f"; the same command with --resume goes on from {checkpoints.directory}"
        raise type(error)(f"interrupted; {kept}") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Warnings of checkpoints are a line each; findings are printed at the end, so there are no warnings of them before."""
    from fastnet.health import HealthWarning

    with warnings.catch_warnings():
        warnings.simplefilter("always", RuntimeWarning)
        warnings.simplefilter("ignore", HealthWarning)
        warnings.showwarning = lambda message, *_: print(f"fastnet: warning: {message}", file=sys.stderr, flush=True)
        yield
