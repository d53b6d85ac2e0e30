"""How many CPUs this process may use: its affinity, and the quotas of its control groups."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

__all__ = ["available_cpus", "cgroup_quota", "is_pool_worker"]


def available_cpus() -> int:
    """CPUs that this process may use: its affinity, and its control groups' quotas."""
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count() or 1
    quota = cgroup_quota()
    return cpus if math.isinf(quota) else max(1, min(cpus, math.ceil(quota)))


def cgroup_quota(process: Path = Path("/proc/self")) -> float:
    """CPUs that the control groups' quotas allow, or infinity.

    The least one counts of the process' group and all groups around it, as far as they are mounted (in a container those
    outside are not).

    Parameters
    ----------
    process : Path
        The folder with the process' files `cgroup` and `mountinfo`.
    """
    try:
        groups = [line.split(":", 2) for line in (process / "cgroup").read_text().splitlines()]
        mounts = [line.partition(" - ") for line in (process / "mountinfo").read_text().splitlines()]
    except OSError:
        return math.inf
    least = math.inf
    for mount, _, system in mounts:
        kind, _, options = system.partition(" ")
        if kind == "cgroup2":
            read, controllers = _quota, {""}
        elif kind == "cgroup" and "cpu" in options.split()[-1].split(","):
            read, controllers = _quota_of_version_1, {"cpu"}
        else:
            continue
        root, point = mount.split()[3:5]
        for _, names, path in groups:
            if not controllers & set(names.split(",")):
                continue
            # A path that does not lead through the mount's root belongs to a group outside, of which the mount shows nothing.
            inside = os.path.relpath(path, root)
            folder = Path(point) if inside.startswith("..") else Path(point, inside)
            while True:
                least = min(least, read(folder))
                if folder == Path(point):
                    break
                folder = folder.parent
    return least


def _quota(folder: Path) -> float:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return math.inf


def _quota_of_version_1(folder: Path) -> float:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        return math.inf if quota <= 0 else quota / int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return math.inf


def is_pool_worker() -> bool:
    """Whether multiprocessing started this process, by whichever method: it has siblings that want CPUs too."""
    module = sys.modules.get("multiprocessing.process")
    if module is None:
        return False
    # While a spawned worker still imports the main module, only `_inheriting` tells it from others.
    return module.parent_process() is not None or getattr(module.current_process(), "_inheriting", False)
