"""How many threads a process takes by default."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cosmos_exp.common.cores import cpu_quota, usable_cores
from cosmos_exp.common.errors import UserError


def groups(root: Path, membership: str, files: dict[str, str]) -> tuple[Path, Path]:
    for name, content in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "self").write_text(membership)
    return root / "cgroup", root / "self"


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/job/step\n", {"job/cpu.max": "200000 100000\n", "job/step/cpu.max": "max 100000\n"}, 2.0),
        ("0::/a/path/of/the/host\n", {"cpu.max": "50000 100000\n"}, 0.5),
        ("0::/../../outside\n", {"cpu.max": "50000 100000\n"}, 0.5),
        ("3:cpu,cpuacct:/x\n", {"cpu,cpuacct/x/cpu.cfs_quota_us": "-1\n"}, None),
        (
            "3:cpu,cpuacct:/x\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "400000\n", "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"},
            4.0,
        ),
        ("0::/\n", {"cpu.max": "unreadable\n"}, None),
        ("", {}, None),
    ],
)
def test_quota_of_control_groups(tmp_path: Path, membership: str, files: dict[str, str], quota: float | None):
    assert cpu_quota(*groups(tmp_path, membership, files)) == quota


def test_openmp_setting_limits_the_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
    monkeypatch.setenv("OMP_NUM_THREADS", "1,4")
    assert usable_cores() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    with pytest.raises(UserError, match="OMP_NUM_THREADS='many' in the environment: must be a number of threads"):
        usable_cores()


@pytest.mark.parametrize(("given", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_waiting_threads_sleep_unless_the_user_chose_otherwise(given: dict[str, str], policy: str):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | given
    code = "import cosmos_exp, os; print(os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == policy


@pytest.mark.parametrize("given", ["", "2"])
def test_matrix_products_of_numpy_have_one_thread_unless_the_user_chose_otherwise(given: str):
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    environment |= {"OPENBLAS_NUM_THREADS": given} if given else {}
    code = (
        "import cosmos_exp, os; import numpy as np; x = np.ones((600, 600)); x @ x;"
        "print(len(os.listdir('/proc/self/task')))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == (min(int(given), len(os.sched_getaffinity(0))) if given else 1)
