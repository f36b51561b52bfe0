"""A real Slurm on this machine, run by root from one folder: no systemd, no accounting, no cgroups."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")

CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthInfo=socket={root}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
SlurmdParameters=config_overrides
SlurmdTimeout=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
KillWait=5
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=NO
"""
NODE = "NodeName={name} NodeHostname={name} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=2000\n"

AS_A_MACHINE = ("unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child")
"""Runs a command with a host name and processes of its own, all of which end with it."""


def missing(*, machines: bool = False) -> str:
    """Why it cannot run here; empty where it can. machines: as several."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"Slurm is not installed ({', '.join(absent)}): apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "a Slurm of our own needs root"
    if machines and subprocess.run([*AS_A_MACHINE, "hostname", "n1"], capture_output=True).returncode:
        return "one machine cannot stand for several here (unshare)"
    return ""


@dataclass
class Slurm:
    """environment: that in which its commands find it. machines: the names of its nodes, each as if it were a machine
    of its own; none: its one node is this machine."""

    root: Path
    environment: dict[str, str]
    machines: Sequence[str]
    _at_work: dict[str, subprocess.Popen] = field(default_factory=dict)

    def switch_on(self, *machines: str) -> None:
        """Start nodes and wait until they can take jobs."""
        for name in machines:
            node = [*AS_A_MACHINE, "sh", "-c", f"hostname {name} && exec slurmd -D -N {name}"]
            log = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            self._at_work[name] = subprocess.Popen(node, env=self.environment, **log)
        if not self.machines:
            subprocess.run(["slurmd"], env=self.environment, check=True)
        self._until_idle()

    def switch_off(self, machine: str) -> None:
        """At once, with everything that runs on it."""
        node = self._at_work.pop(machine)
        node.kill()
        node.wait()

    def close(self) -> None:
        """End all jobs and daemons."""
        subprocess.run(["scancel", "--user=root"], env=self.environment)
        self._until_empty()
        for name in list(self._at_work):
            self.switch_off(name)
        for file in [*self.root.glob("slurmd-*.pid"), self.root / "slurmctld.pid", self.root / "munge.pid"]:
            if file.exists() and not (self.machines and file.name.startswith("slurmd-")):  # these are no pids here
                os.kill(int(file.read_text()), signal.SIGTERM)

    def _until_idle(self, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            command = ["sinfo", "--noheader", "--Node", "--format=%T"]
            done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
            if set(done.stdout.split()) == {"idle"}:
                return
            time.sleep(0.1)
        raise RuntimeError(f"Slurm's nodes are not idle after {seconds:g} s: {done.stdout}{done.stderr}")

    def _until_empty(self, seconds: float = 10.0) -> None:
        """Wait for the jobs that a failed test has left."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not subprocess.run(["squeue", "--noheader"], env=self.environment, capture_output=True).stdout:
                return
            time.sleep(0.1)


@contextmanager
def own_slurm(root: Path, machines: Sequence[str] = ()) -> Iterator[Slurm]:
    """A Slurm whose nodes are on."""
    host = socket.gethostname().split(".")[0]
    (root / "state").mkdir(parents=True)
    key = root / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    config = CONFIG.format(host=host, port=_free_port(), root=root)
    for name in machines or (host,):
        (root / f"spool-{name}").mkdir()
        config += NODE.format(name=name, port=_free_port(), cpus=1 if machines else 3)
    (root / "slurm.conf").write_text(config)
    munge = [f"--{name}={root}/munge.{name.removesuffix('-file')}" for name in ("pid-file", "log-file", "seed-file")]
    munge += [f"--socket={root}/munge.socket", f"--key-file={key}", "--force"]
    _reach_own_address()
    slurm = Slurm(root, {**os.environ, "SLURM_CONF": str(root / "slurm.conf")}, machines)
    try:
        subprocess.run(["munged", *munge], check=True)
        subprocess.run(["slurmctld"], env=slurm.environment, check=True)
        slurm.switch_on(*machines)
        yield slurm
    finally:
        slurm.close()


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
