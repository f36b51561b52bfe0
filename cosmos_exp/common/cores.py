"""How many cores this process may use: the default number of threads and workers."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from cosmos_exp.common.errors import UserError

GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Cores that the process may run on, by its affinity and the CPU quota of its control groups; OMP_NUM_THREADS
    where that is lower. Depends on what is set for the process, never on the machine's load.

    Raises UserError where OMP_NUM_THREADS is no positive number.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    cores = affinity if quota is None else max(1, min(affinity, math.ceil(quota)))
    return min(cores, openmp_threads() or cores)


def openmp_threads() -> int | None:
    """OMP_NUM_THREADS: the number of the outermost level, where several are listed; None where it is not set."""
    given = os.environ.get("OMP_NUM_THREADS", "").strip()
    if not given:
        return None
    first = given.partition(",")[0].strip()
    if not first.isdecimal() or int(first) < 1:
        raise UserError(f"OMP_NUM_THREADS={given!r} in the environment: must be a number of threads, 1 or more")
    return int(first)


def cpu_quota(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> float | None:
    """Seconds of CPU per second that the control groups of this process allow; None: no limit.

    A group's limit holds for all groups below it (kernel documentation, cgroup-v2: cpu.max; sched-bwc: cpu.cfs_*).
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    limits = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            limits += [_limit(folder / "cpu.max") for folder in _upwards(groups, path)]
        elif "cpu" in controllers.split(","):
            root = groups / controllers if (groups / controllers).is_dir() else groups / "cpu"
            limits += [_limit(f / "cpu.cfs_quota_us", f / "cpu.cfs_period_us") for f in _upwards(root, path)]
    return min((limit for limit in limits if limit is not None), default=None)


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """The group's folder and all above it. In a container the path may be that on the host: then the root alone."""
    folder = root / path.lstrip("/")
    while folder != root and root in folder.parents:
        yield folder
        folder = folder.parent
    yield root


def _limit(*files: Path) -> float | None:
    """Quota divided by period, both in microseconds; None where one of them is absent or the quota is unlimited."""
    try:
        quota, period = " ".join(file.read_text() for file in files).split()
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
