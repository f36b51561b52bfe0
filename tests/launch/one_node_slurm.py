"""A real Slurm of one node, run by root from one folder: no systemd, no accounting, no cgroups."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")

CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
AuthInfo=socket={root}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=3 RealMemory=2000
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE OverSubscribe=NO
"""


def missing() -> str:
    """Why it cannot run here; empty where it can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"Slurm is not installed ({', '.join(absent)}): apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "a Slurm of our own needs root"


@contextmanager
def one_node_slurm(root: Path) -> Iterator[dict[str, str]]:
    """Yields the environment in which Slurm's commands find it."""
    for name in ("state", "spool"):
        (root / name).mkdir(parents=True)
    key = root / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    config = root / "slurm.conf"
    values = {"host": socket.gethostname().split(".")[0], "port": _free_port(), "node_port": _free_port(), "root": root}
    config.write_text(CONFIG.format(**values))
    environment = {**os.environ, "SLURM_CONF": str(config)}
    munge = [f"--{name}={root}/munge.{name.removesuffix('-file')}" for name in ("pid-file", "log-file", "seed-file")]
    munge += [f"--socket={root}/munge.socket", f"--key-file={key}", "--force"]
    _reach_own_address()
    try:
        subprocess.run(["munged", *munge], check=True)
        for daemon in ("slurmctld", "slurmd"):
            subprocess.run([daemon, "-f", str(config)], env=environment, check=True)
        _until_idle(environment)
        yield environment
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment)
        _until_empty(environment)
        for name in ("slurmd.pid", "slurmctld.pid", "munge.pid"):
            if (root / name).exists():
                subprocess.run(["kill", (root / name).read_text().strip()])


def _until_idle(environment: dict[str, str], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True)
        if done.stdout.strip() == "idle":
            return
        time.sleep(0.1)
    raise RuntimeError(f"Slurm's node is not idle after {seconds:g} s: {done.stdout}{done.stderr}")


def _until_empty(environment: dict[str, str], seconds: float = 10.0) -> None:
    """Wait for the jobs that a failed test has left."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not subprocess.run(["squeue", "--noheader"], env=environment, capture_output=True).stdout:
            return
        time.sleep(0.1)


def _reach_own_address() -> None:
    """Slurm resolves addresses only where the machine has one beside 127.0.0.1."""
    if not shutil.which("ip"):
        return
    shown = subprocess.run(["ip", "-4", "-o", "addr", "show", "scope", "global"], capture_output=True, text=True)
    if not shown.stdout.strip():
        subprocess.run(["ip", "link", "set", "lo", "up"])
        subprocess.run(["ip", "addr", "add", "10.255.255.1/32", "dev", "lo"])


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
