"""What is left of processes that were killed: how they are told from living ones, and what is removed after them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cosmos_exp.common.files import partial_name, remove_partial_files, write_atomic
from cosmos_exp.common.locks import locked, remove_unused
from cosmos_exp.common.processes import has_open, is_alive

HOLDER = """\
import sys, time
from pathlib import Path
from cosmos_exp.common.locks import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """A process that has the lock of the file `it.lock`."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path / "it.lock")], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    yield process
    process.kill()
    process.wait()


def test_a_zombie_is_not_alive(holder: subprocess.Popen) -> None:
    assert is_alive(holder.pid)
    holder.kill()  # and not waited for: its parent is busy, or its init collects nobody
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    os.kill(holder.pid, 0)
    assert not is_alive(holder.pid)


def test_a_stopped_process_that_is_killed_is_dead_at_once(holder: subprocess.Popen, tmp_path: Path) -> None:
    holder.send_signal(signal.SIGSTOP)
    assert is_alive(holder.pid) and has_open(holder.pid, tmp_path / "it.lock")
    holder.kill()
    assert not is_alive(holder.pid)


def test_no_process_has_the_number_zero() -> None:
    assert not is_alive(0)


def test_a_lock_leaves_no_file(tmp_path: Path) -> None:
    with locked(tmp_path / "it.lock"):
        assert (tmp_path / "it.lock").exists()
        with pytest.raises(BlockingIOError), locked(tmp_path / "it.lock", wait=False):
            pytest.fail("locked twice")
    assert list(tmp_path.iterdir()) == []


def test_of_those_that_wait_for_a_vanishing_lock_one_at_a_time_gets_it(tmp_path: Path) -> None:
    inside, most = [], []

    def work() -> None:
        for _ in range(20):
            with locked(tmp_path / "it.lock"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), max(most), list(tmp_path.iterdir())) == (80, 1, [])


def test_the_lock_file_of_a_killed_process_goes_and_that_of_a_living_one_stays(holder, tmp_path: Path) -> None:
    remove_unused(tmp_path / "it.lock")
    assert (tmp_path / "it.lock").exists()
    holder.kill()
    holder.wait()
    assert (tmp_path / "it.lock").exists(), "the kernel frees the lock and keeps the file"
    remove_unused(tmp_path / "it.lock")
    assert list(tmp_path.iterdir()) == []


def test_partial_files_of_the_dead_go(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    mine = tmp_path / partial_name("status.json")
    theirs = tmp_path / mine.name.replace(f".{os.getpid()}-", f".{dead.pid}-")
    other = tmp_path / theirs.name.replace("@", "@node-")
    old = tmp_path / f".metrics.json.{dead.pid}.{dead.pid}.partial"
    for path in (mine, theirs, other, old):
        path.write_text("{")
    remove_partial_files(tmp_path)
    assert (mine.exists(), theirs.exists(), other.exists(), old.exists()) == (True, False, True, True)
    for path in (other, old):
        os.utime(path, (time.time() - 3600,) * 2)
    remove_partial_files(tmp_path)
    assert list(tmp_path.iterdir()) == [mine]


def test_a_file_is_written_under_such_a_name(tmp_path: Path) -> None:
    write_atomic(tmp_path / "it.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["it.json"]
