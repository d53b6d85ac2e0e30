"""When recordings are out of date."""

from __future__ import annotations


class Clock:
    """Counts changes of configuration, so that recordings made before one are not used after it."""

    time = 0

    @classmethod
    def tick(cls) -> None:
        cls.time += 1
