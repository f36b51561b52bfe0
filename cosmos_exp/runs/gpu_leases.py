"""GPUs of this machine, each leased to one process, or to as many as allow each other.

A lease is a lock on a file that all users of the machine see. The kernel ends it with the process that holds it,
however that process ends. Only processes of this package heed leases.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import re
import subprocess
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

log = logging.getLogger(__name__)

FOLDER = Path("/dev/shm/cosmos-exp-gpus")
VISIBLE = "CUDA_VISIBLE_DEVICES"
RETRY = 1.0
"""Seconds between two tries, on average."""

_held: list[int] = []  # file descriptors, until the process ends


def hold(device: str, count: int = 1, jobs_per_gpu: int = 1, folder: Path = FOLDER) -> list[str]:
    """Lease GPUs to this process until it ends, waiting for them where others have them. Returns their names.

    A process that holds GPUs already keeps these. device: `cuda` takes any, and lets this process see no others;
    `cuda:N` takes this one. jobs_per_gpu: how many processes may share one; idle ones are taken first, and a process
    that wants one for itself never shares. Must come before CUDA is first used.
    """
    wanted = re.fullmatch(r"cuda(?::(\d+))?", device)
    if _held or wanted is None:
        return []
    gpus = visible_gpus()
    if wanted[1] is not None:
        gpus = gpus[int(wanted[1]) :][:1]
    if len(gpus) < count:
        return []  # the checks of the config say what is missing
    taken = _wait_for(gpus, count, jobs_per_gpu, folder)
    if wanted[1] is None:
        os.environ[VISIBLE] = ",".join(taken)
    return taken


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use, in their order: UUIDs where the driver tells them."""
    shown = os.environ.get(VISIBLE)
    try:
        command = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return shown.split(",") if shown else []
    uuids = dict(line.split(", ") for line in lines)
    return list(uuids.values()) if shown is None else [uuids.get(name, name) for name in shown.split(",") if name]


def _wait_for(gpus: Sequence[str], count: int, jobs_per_gpu: int, folder: Path) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_uid == os.getuid():
        folder.chmod(0o1777)
    waiting = False
    while True:
        locks: dict[str, list[int]] = {}
        for place, gpu in product(range(jobs_per_gpu), gpus):
            if len(locks) < count and gpu not in locks and (taken := _lease(folder, gpu, place, jobs_per_gpu == 1)):
                locks[gpu] = taken
        if len(locks) == count:
            _held.extend(descriptor for descriptors in locks.values() for descriptor in descriptors)
            return list(locks)
        for descriptors in locks.values():
            _close(descriptors)
        if not waiting:
            log.info("waiting for %d of %d GPUs, which other runs have", count, len(gpus))
            waiting = True
        time.sleep(RETRY * random.uniform(0.5, 1.5))  # so that two that want several do not block each other for ever


def _lease(folder: Path, gpu: str, place: int, alone: bool) -> list[int]:
    """Descriptors of the locks of one place on a GPU; empty where others have it. alone: no others on the same GPU."""
    name = re.sub(r"[^\w.-]", "_", gpu)
    whole = _locked(folder / f"{name}.lock", fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    if whole is None:
        return []
    part = _locked(folder / f"{name}.{place}.lock", fcntl.LOCK_EX)
    if part is None:
        os.close(whole)
        return []
    return [whole, part]


def _locked(path: Path, kind: int) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)  # creating a file that another user has is refused in such folders
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
