"""The lock of a network: predictions run beside one another, all else alone."""

from __future__ import annotations

import os
import threading
import time
import weakref

__all__ = ["NetworkLock"]

_locks: weakref.WeakSet = weakref.WeakSet()


class NetworkLock:
    """As a context manager, re-entrant, for what changes a network or works in its one workspace: it waits until it is alone.

    Predictions call `begin_prediction` and `end_prediction` instead. They don't wait for one another: where two
    Python threads predict in turns under one lock, each call costs two switches of threads, several times the
    time of a small prediction.

    Attributes
    ----------
    recording : RLock
        Held while a pass over the network is recorded, which writes to its graph; nothing else is waited for meanwhile.
    """

    def __init__(self):
        self._alone = threading.RLock()
        self._depth = 0  # of nested blocks of the owner
        self._owner: int | None = None  # the thread that is alone, or waits for predictions to end
        self._predicting: list[int] = []  # the thread of each prediction that runs
        self.recording = threading.RLock()
        _locks.add(self)

    def __enter__(self):
        self._alone.acquire()
        self._depth += 1
        if self._depth == 1:
            self._owner = threading.get_ident()
            if self._predicting:
                self._wait_for_predictions()
        return self

    def __exit__(self, *exception):
        self._depth -= 1
        if self._depth == 0:
            self._owner = None
        self._alone.release()

    def _wait_for_predictions(self) -> None:
        """New ones see an owner and wait; those of the own thread are around this block, and end after it."""
        seconds = 1e-5
        try:
            while any(thread != self._owner for thread in self._predicting):
                time.sleep(seconds)
                seconds = min(2 * seconds, 1e-3)
        except BaseException:
            self.__exit__()
            raise

    def begin_prediction(self) -> None:
        # First the mark, then the look, as an owner does: one of the two sees the other.
        thread = threading.get_ident()
        self._predicting.append(thread)
        if self._owner is not None and self._owner != thread and self._predicting.count(thread) == 1:
            self._predicting.remove(thread)
            with self._alone:
                self._predicting.append(thread)

    def end_prediction(self) -> None:
        self._predicting.remove(threading.get_ident())

    def _after_fork(self) -> None:
        """Of all threads only this one lives on; what others held is free."""
        thread = threading.get_ident()
        self._predicting = [other for other in self._predicting if other == thread]
        self.recording = threading.RLock()
        if self._owner != thread:
            self._alone = threading.RLock()
            self._depth = 0
            self._owner = None


def _after_fork_in_child():
    for lock in _locks:
        lock._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
