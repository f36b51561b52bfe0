"""A real Slurm on this machine, run by root from one folder: no systemd, no accounting, no cgroups."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
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
SlurmdTimeout={patience}
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
    """root: its folder. environment: that in which its commands find it. nodes: the daemons of those that are on."""

    root: Path
    environment: dict[str, str]
    nodes: dict[str, subprocess.Popen] = field(default_factory=dict)

    def start(self, munge: Sequence[str], nodes: Mapping[str, Sequence[str]]) -> None:
        """Start the daemons, those of the nodes by these commands, and wait until the nodes can take jobs."""
        subprocess.run(["munged", *munge], check=True)
        subprocess.run(["slurmctld"], env=self.environment, check=True)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        for name, command in nodes.items():
            self.nodes[name] = subprocess.Popen(command, env=self.environment, **quiet)
        self._until_idle()

    def switch_off(self, node: str) -> None:
        """At once; where it is a machine of its own, with everything that runs on it."""
        daemon = self.nodes.pop(node)
        daemon.kill()
        daemon.wait()

    def close(self) -> None:
        """End all jobs and daemons."""
        subprocess.run(["scancel", "--user=root"], env=self.environment)
        self._until_empty()
        for node in list(self.nodes):
            self.switch_off(node)
        for name in ("slurmctld.pid", "munge.pid"):
            if (self.root / name).exists():
                os.kill(int((self.root / name).read_text()), signal.SIGTERM)

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
    """A Slurm whose nodes are on. machines: their names, each as if it were a machine of its own, and missed after ten
    seconds; none: its one node is this machine."""
    host = socket.gethostname().split(".")[0]
    (root / "state").mkdir(parents=True)
    key = root / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    config, nodes = CONFIG.format(host=host, port=_free_port(), root=root, patience=10 if machines else 300), {}
    for name in machines or (host,):
        (root / f"spool-{name}").mkdir()
        config += NODE.format(name=name, port=_free_port(), cpus=1 if machines else 3)
        daemon = ["slurmd", "-D", "-N", name]
        nodes[name] = [*AS_A_MACHINE, "sh", "-c", f"hostname {name} && exec {' '.join(daemon)}"] if machines else daemon
    (root / "slurm.conf").write_text(config)
    munge = [f"--{name}={root}/munge.{name.removesuffix('-file')}" for name in ("pid-file", "log-file", "seed-file")]
    munge += [f"--socket={root}/munge.socket", f"--key-file={key}", "--force"]
    _reach_own_address()
    slurm = Slurm(root, {**os.environ, "SLURM_CONF": str(root / "slurm.conf")})
    try:
        slurm.start(munge, nodes)
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
