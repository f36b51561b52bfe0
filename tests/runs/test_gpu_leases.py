"""GPU leases between processes, on GPUs that need not exist."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

USER = """\
import os, sys, time
from pathlib import Path
from cosmos_exp.runs import gpu_leases as leases
folder, device, count, jobs, seconds = sys.argv[1:]
gpus = leases.hold(device, int(count), int(jobs), Path(folder) / "leases")
for gpu in gpus:
    place = Path(folder) / "at_work" / gpu
    others = len(list(place.iterdir()))
    (place / str(os.getpid())).touch()
    print(gpu, others, os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
time.sleep(float(seconds))
for gpu in gpus:
    (Path(folder) / "at_work" / gpu / str(os.getpid())).unlink()
"""


@pytest.fixture
def use(tmp_path: Path):
    """A function: start a process that leases some of the GPUs a to d, and says which, and who else was there."""
    for gpu in "abcd":
        (tmp_path / "at_work" / gpu).mkdir(parents=True)
    started = []

    def start(device: str = "cuda", count: int = 1, jobs: int = 1, seconds: float = 0.5, visible: str = "a,b,c,d"):
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": visible, "PATH": ""}  # no driver here
        arguments = [sys.executable, "-c", USER, str(tmp_path), device, str(count), str(jobs), str(seconds)]
        started.append(subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def said(process: subprocess.Popen) -> list[tuple[str, int, str]]:
    lines = (line.split() for line in process.communicate(timeout=60)[0].splitlines())
    return [(gpu, int(others), visible) for gpu, others, visible in lines]


def test_eight_jobs_on_four_gpus_never_meet(use) -> None:
    leased = [said(process) for process in [use() for _ in range(8)]]
    assert all(len(gpus) == 1 for gpus in leased)
    assert [others for ((_, others, _),) in leased] == [0] * 8
    assert all(visible == gpu for ((gpu, _, visible),) in leased)


def test_jobs_of_two_gpus_and_of_one_never_meet(use) -> None:
    leased = [said(process) for process in [use(count=count) for count in (2, 1, 2, 3, 1)]]
    assert sorted(map(len, leased)) == [1, 1, 2, 2, 3]
    assert all(others == 0 for gpus in leased for _, others, _ in gpus)


def test_where_it_is_allowed_two_share_a_gpu_and_a_third_waits(use) -> None:
    leased = [said(process) for process in [use(jobs=2, visible="a") for _ in range(3)]]
    assert sorted(others for ((_, others, _),) in leased) in ([0, 0, 1], [0, 1, 1])


def test_idle_gpus_are_taken_before_any_is_shared(use) -> None:
    leased = [said(process) for process in [use(jobs=2, seconds=3) for _ in range(4)]]
    assert sorted(gpu for ((gpu, _, _),) in leased) == ["a", "b", "c", "d"]


def test_who_shares_does_not_meet_who_does_not(use) -> None:
    leased = [said(process) for process in [use(jobs=2, visible="a"), use(jobs=1, visible="a")]]
    assert [others for ((_, others, _),) in leased] == [0, 0]


def test_a_killed_process_leaves_its_gpu_to_the_next(use, tmp_path: Path) -> None:
    first = use(seconds=600, visible="a")
    assert first.stdout.readline().startswith("a ")
    second = use(visible="a")
    time.sleep(1)
    assert second.poll() is None
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert [gpu for gpu, _, _ in said(second)] == ["a"]


def test_a_numbered_device_is_that_gpu_and_keeps_its_number(use) -> None:
    ((gpu, _, visible),) = said(use(device="cuda:2"))
    assert (gpu, visible) == ("c", "a,b,c,d")


def test_without_gpus_there_is_nothing_to_lease(use) -> None:
    assert said(use(visible="")) == said(use(device="cpu")) == []
