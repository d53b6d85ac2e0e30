"""How many CPUs this process may use: its affinity, and the quotas of its control groups."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from fastnet.control_groups import PROCESS, groups

__all__ = ["available_cpus", "cgroup_quota", "is_pool_worker"]


def available_cpus() -> int:
    """CPUs that this process may use: its affinity, and its control groups' quotas."""
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count() or 1
    quota = cgroup_quota()
    return cpus if math.isinf(quota) else max(1, min(cpus, math.ceil(quota)))


def cgroup_quota(process: Path = PROCESS) -> float:
    """CPUs that the control groups' quotas allow, the least of all groups around the process, or infinity."""
    read = {1: _quota_of_version_1, 2: _quota}
    return min((read[version](folder) for version, folder in groups("cpu", process)), default=math.inf)


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
