"""Processes of this machine, and the files that they have open."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether a process can still do something: a zombie cannot, nor one that a SIGKILL is about to end."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # no /proc, or it has just ended
        return not Path("/proc/self").exists()
    says = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    pending = int(says.get("SigPnd", "0"), 16) | int(says.get("ShdPnd", "0"), 16)
    return says.get("State", "R")[:1] not in "ZX" and not pending >> (signal.SIGKILL - 1) & 1


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open; False where that cannot be seen."""
    try:
        return any(os.path.samefile(entry, path) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.exists())
    except OSError:
        return False


def child_has_ended(pid: int) -> bool:
    """Whether a child of this process has ended. Its exit code is left for others to collect."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def end_child(pid: int, number: int, patience: float) -> bool:
    """Ask a child of this process to end by a signal; kill it where it has not done so after `patience` seconds, and
    return False.

    For signal handlers, which may have interrupted Popen.wait, whose lock must not be waited for.
    """
    if child_has_ended(pid):
        return True
    os.kill(pid, number)
    deadline = time.monotonic() + patience
    while not child_has_ended(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return False
        time.sleep(0.1)
    return True
