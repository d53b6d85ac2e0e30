"""A thread that works ahead: it makes the next items while the last one is used."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

__all__ = ["Ahead"]

LAST_WAIT = 2.0  # seconds for what a thread is busy with when it is stopped; it cannot be interrupted


class Ahead(Generic[T]):
    """An iterator over `items` whose items are made by one thread, in their order.

    Where making one fails, those before it are given first, then the error is raised, with the traceback of where it came from.

    Parameters
    ----------
    items : iterator
        Used by the thread alone from now on.
    depth : int
        Items that may wait.
    name : str
        The thread's.
    """

    def __init__(self, items: Iterable[T], depth: int, name: str) -> None:
        self._items = items
        self._depth = depth
        self._ready: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=f"fastnet {name}", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            for item in self._items:
                with self._changed:
                    self._ready.append(item)
                    self._changed.notify_all()
                    while len(self._ready) > self._depth - 1 and not self._closed:
                        self._changed.wait()
                    if self._closed:
                        return
                del item
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def __iter__(self) -> Ahead[T]:
        return self

    def __next__(self) -> T:
        with self._changed:
            while not self._ready and not self._ended:
                self._changed.wait()
            if self._ready:
                item = self._ready.popleft()
                self._changed.notify_all()
                return item
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        raise StopIteration

    def close(self) -> bool:
        """End the thread; what it has made and nobody took is lost. False if it is still busy with an item."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._thread.join(LAST_WAIT)
        return not self._thread.is_alive()
