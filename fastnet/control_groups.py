"""The control groups of Linux around a process: the folders that say what they may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PROCESS", "groups"]

PROCESS = Path("/proc/self")


def groups(controller: str, process: Path = PROCESS) -> Iterator[tuple[int, Path]]:
    """Version and folder of the process' group and all groups around it.

    As far as they are mounted: in a container those outside are not.

    Parameters
    ----------
    controller : str
        "cpu" or "memory": which of version 1's hierarchies is meant; version 2 has one for all.
    process : Path
        The folder with the process' files `cgroup` and `mountinfo`.
    """
    try:
        own = [line.split(":", 2) for line in (process / "cgroup").read_text().splitlines()]
        mounts = [line.partition(" - ") for line in (process / "mountinfo").read_text().splitlines()]
    except OSError:
        return
    for mount, _, system in mounts:
        kind, _, options = system.partition(" ")
        if kind == "cgroup2":
            version, controllers = 2, {""}
        elif kind == "cgroup" and controller in options.split()[-1].split(","):
            version, controllers = 1, {controller}
        else:
            continue
        root, point = mount.split()[3:5]
        for _, names, path in own:
            if not controllers & set(names.split(",")):
                continue
            # A path that does not lead through the mount's root belongs to a group outside, of which the mount shows nothing.
            inside = os.path.relpath(path, root)
            folder = Path(point) if inside.startswith("..") else Path(point, inside)
            while True:
                yield version, folder
                if folder == Path(point):
                    break
                folder = folder.parent
