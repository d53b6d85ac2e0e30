"""The lock of a network: predictions run beside one another, all else alone."""

from __future__ import annotations

import os
import threading
import time
import weakref
from threading import get_ident
from typing import Any

__all__ = ["NetworkLock"]

_locks: weakref.WeakSet[NetworkLock] = weakref.WeakSet()


class NetworkLock:
    """As a context manager, re-entrant, for what changes a network or works in its one workspace: it waits until it is alone.

    A prediction calls `begin_prediction` with a mark of its own instead, and takes it out of `predicting` when it ends, which no
    interruption can keep it from. Predictions don't wait for one another: where two Python threads predict in turns
    under one lock, each call costs two switches of threads, several times the time of a small prediction.

    Attributes
    ----------
    predicting : dict
        Mark -> thread of each prediction that runs.
    recording : RLock
        Held while a pass over the network is recorded, which writes to its graph; nothing else is waited for meanwhile.
    """

    def __init__(self) -> None:
        self._alone = threading.RLock()
        self._depth = 0  # of nested blocks of the owner
        self._owner: int | None = None  # the thread that is alone, or waits for predictions to end
        self.predicting: dict[object, int] = {}
        self.recording = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> Any:
        self._alone.acquire()
        self._depth += 1
        if self._depth == 1:
            self._owner = get_ident()
            if self.predicting:
                self._wait_for_predictions()
        return self

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
        self._alone.release()

    def _wait_for_predictions(self) -> None:
        """New ones see an owner and wait; those of the own thread are around this block, and end after it."""
        seconds = 1e-5
        try:
            while any(thread != self._owner for thread in list(self.predicting.values())):
                time.sleep(seconds)
                seconds = min(2 * seconds, 1e-3)
        except BaseException:
            self.__exit__()
            raise

    def begin_prediction(self, mark: Any) -> None:
        # First the mark, then the look, as an owner does: one of the two sees the other.
        thread = get_ident()
        self.predicting[mark] = thread
        if self._owner is not None and self._owner != thread and list(self.predicting.values()).count(thread) == 1:
            del self.predicting[mark]
            with self._alone:
                self.predicting[mark] = thread

    def _after_fork(self) -> None:
        """Of all threads only this one lives on; what others held is free."""
        thread = get_ident()
        for mark, other in list(self.predicting.items()):
            if other != thread:
                del self.predicting[mark]
        self.recording = threading.RLock()
        if self._owner != thread:
            self._alone = threading.RLock()
            self._depth = 0
            self._owner = None


def _after_fork_in_child() -> None:
    for lock in _locks:
        lock._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
