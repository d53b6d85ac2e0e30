"""What ranks need beside their steps to train as one: the same beginning, the same end, and signals that all of them take."""

from __future__ import annotations

import contextlib
import signal
import threading
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet.recording.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastnet.distributed import Ranks
    from fastnet.network import Network
    from fastnet.training.trainer import Trainer

__all__ = ["Signals", "begin_alike", "check_alike"]


def begin_alike(trainer: Trainer) -> None:
    """Give all ranks rank 0's weights, seed and counts.

    Raises
    ------
    ValueError
        The ranks' trainers are not of the same network and settings.
    """
    ranks, net = trainer.distributed, trainer.net
    if ranks.size == 1:
        return
    mine = _told(trainer)
    first = ranks.from_first(mine)
    with ranks.agreeing():
        for name, value in mine.items():
            if value != first.get(name):
                raise ValueError(f"{name} is {value}; on rank 0 it is {first.get(name)}: all ranks must train the same")
    for segment in _segments(net):
        ranks.copy_from_first(segment.values.array(np.uint8))
    control = net.executor.control
    seed, net.epochs, control.forward = ranks.from_first((net.seed, net.epochs, control.forward))
    if seed != net.seed:
        net.seed = net.executor.seed = seed
        Clock.tick()


def _told(trainer: Trainer) -> dict[str, str]:
    net, update = trainer.net, trainer.update
    return {
        "the network": repr([(node.name, repr(node.layer), node.inputs, node.shape) for node in net.graph.nodes]),
        "dtype": net.dtype,
        "loss": repr(trainer.loss),
        "metrics": repr(trainer.metrics),
        "optimizer": repr(trainer.optimizer),
        "clipping": repr(update.clipping),
        "accumulate": repr(update.accumulate),
        "average": repr(None if update.average is None else update.average.rule),
        "microbatch": repr(trainer.microbatch),
        "distributed": repr(trainer.distributed.settings()),
    }


def _segments(net: Network) -> list[Any]:
    return list(dict.fromkeys(parameter.segment for parameter in net.graph.parameters.values()))


def check_alike(ranks: Ranks, net: Network) -> None:
    """Refuse to go on where the ranks' weights are not the same bits any more.

    Raises
    ------
    RuntimeError
        A callback or layer has changed one rank's weights alone, or a machine computes wrongly.
    """
    if ranks.size == 1:
        return
    checksum = 0
    for segment in _segments(net):
        checksum = zlib.crc32(segment.values.block, checksum)
    found = ranks.gather(np.array([checksum], np.float64))[:, 0]
    other = next((rank for rank, value in enumerate(found) if value != found[0]), None)
    if other is not None:
        raise RuntimeError(
            f"the weights of rank {other} are others than those of rank 0: what changes weights must do so on all"
        )


class Signals:
    """SIGINT and SIGTERM, which one rank may get alone: they wait until all ranks can take them between two steps.

    Their handlers are put back behind the block; one that is not Python's, or is ignored, stays as it is.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.waiting = 0
        self._before: dict[int, Any] = {}

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        if self.ranks.size == 1 or threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in map(int, (signal.SIGINT, signal.SIGTERM)):
            handler = signal.getsignal(number)
            if callable(handler):
                self._before[number] = signal.signal(number, self._wait)
        try:
            yield
        finally:
            for deferred, handler in self._before.items():
                signal.signal(deferred, handler)

    def _wait(self, number: int, frame: Any) -> None:
        self.waiting = number

    def take(self, numbers: list[int]) -> None:
        """Do what the handler does that was there before: on all ranks, of the first signal that one of them has got."""
        first = next((number for number in numbers if number), 0)
        if first:
            self.waiting = 0
            self._before.get(first, signal.default_int_handler)(first, None)
