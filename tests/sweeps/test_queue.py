"""The folder of a sweep as a queue: who gets which cell, and what a reader makes of a silent one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.runs.run_folder import SILENCE, RunFolder, Status
from cosmos_exp.runs.states import CANCELLED, DONE, KILLED, PREEMPTED, QUEUED, RUNNING
from cosmos_exp.sweeps.queue import RECORD, SweepFolder, commanded

TAKER = """\
import sys
from pathlib import Path
from cosmos_exp.sweeps.queue import SweepFolder
sweep = SweepFolder(Path(sys.argv[1]))
while (cell := sweep.take("")) is not None:
    print(cell.path.name)
"""


@pytest.fixture
def queue(tmp_path: Path) -> SweepFolder:
    """Twelve waiting cells."""
    (tmp_path / RECORD).write_text("{}")
    folder = SweepFolder(tmp_path)
    folder.begin((tmp_path / f"{number}_abc", "abc") for number in range(12))
    return folder


def write(queue: SweepFolder, name: str, ago: float = 0.0, **values) -> None:
    """A status as another process would have left it, some seconds ago."""
    then = (datetime.now(timezone.utc) - timedelta(seconds=ago)).isoformat(timespec="seconds")
    path = queue.path / name / "status.json"
    path.write_text(json.dumps(vars(Status(**{"run_id": "abc", "updated": then, **values}))))


def test_cells_are_taken_in_their_order_once(queue: SweepFolder) -> None:
    taken = [queue.take("").path.name for _ in range(12)]
    assert taken == [f"{number}_abc" for number in range(12)]
    assert queue.take("") is None
    status = queue.statuses()[queue.path / "3_abc"]
    assert (status.state, status.pid, status.host) == (RUNNING, os.getpid(), socket.gethostname())


def test_of_processes_that_race_each_cell_goes_to_one(queue: SweepFolder) -> None:
    command = [sys.executable, "-c", TAKER, str(queue.path)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    taken = Counter(name for racer in racers for name in racer.communicate()[0].split())
    assert set(taken.values()) == {1}
    assert len(taken) == 12


def test_a_preempted_cell_waits_again(queue: SweepFolder) -> None:
    write(queue, "0_abc", state=PREEMPTED)
    assert queue.take("").path.name == "0_abc"


def test_a_job_that_slurm_begins_anew_takes_back_its_cell_and_no_other(queue: SweepFolder) -> None:
    write(queue, "0_abc", state=RUNNING, host="node7", job="12_3")
    write(queue, "1_abc", state=RUNNING, host="node8", job="12_4")
    assert (queue.waiting("12_4"), queue.waiting()) == (11, 10)
    assert queue.take("12_4").path.name == "1_abc"
    assert queue.take("").path.name == "2_abc"


@pytest.mark.parametrize(("ago", "state"), [(SILENCE / 2, RUNNING), (SILENCE * 2, KILLED)])
def test_a_node_that_is_silent_is_lost(queue: SweepFolder, ago: float, state: str) -> None:
    write(queue, "0_abc", ago, state=RUNNING, host="node7", pid=1, stage="render")
    cell = queue.path / "0_abc"
    status = RunFolder(cell).living_status()
    assert status.state == state
    assert (cell in queue.unfinished()) == (state == RUNNING)
    assert cell in queue.unfinished(lost=True), "Slurm may begin its job anew"
    if state == KILLED:
        assert "during render: no sign of life from node7 since" in status.error


def test_a_process_that_is_gone_is_killed_at_once(queue: SweepFolder) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    write(queue, "0_abc", state=RUNNING, host=socket.gethostname(), pid=process.pid)
    assert RunFolder(queue.path / "0_abc").living_status().state == KILLED


def test_cancel_empties_the_queue_and_asks_those_at_work(queue: SweepFolder) -> None:
    cell = queue.take("")
    assert queue.cancel() == (11, 1)
    assert cell.stop.exists()
    assert Counter(s.state for s in queue.statuses().values()) == {CANCELLED: 11, RUNNING: 1}


def test_a_new_launch_leaves_no_cell_of_the_old_one_waiting(queue: SweepFolder) -> None:
    write(queue, "0_abc", state=DONE)
    queue.begin([(queue.path / "0_xyz", "xyz")])
    states = {path.name: status.state for path, status in queue.statuses().items()}
    assert (states["0_abc"], states["1_abc"], states["0_xyz"]) == (DONE, CANCELLED, QUEUED)


def test_a_sweep_at_work_is_not_launched_again(queue: SweepFolder) -> None:
    queue.take("")
    with pytest.raises(UserError, match=r"is running \(0_abc\): see cosmos-exp status"):
        queue.begin([(queue.path / "0_abc", "abc")])


AT_WORK = """\
import os, socket, sys, time
from pathlib import Path
from cosmos_exp.runs.report import only_run_in
from cosmos_exp.sweeps.queue import SweepFolder
cell = SweepFolder(Path(sys.argv[1])).take("")
with only_run_in(cell.path):
    print(cell.path.name, flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def at_work(queue: SweepFolder):
    """A function: a process that works on the next cell for some seconds."""
    processes = []

    def start(seconds: float = 600.0) -> subprocess.Popen:
        command = [sys.executable, "-c", AT_WORK, str(queue.path), str(seconds)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert processes[-1].stdout.readline().strip()
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_a_zombie_holds_no_cell(queue: SweepFolder, at_work) -> None:
    worker = at_work()
    assert queue.statuses()[queue.path / "0_abc"].state == RUNNING
    worker.kill()
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    assert queue.statuses()[queue.path / "0_abc"].state == KILLED


def test_a_worker_that_is_stopped_is_ended_before_its_cell_is_run_again(queue: SweepFolder, at_work) -> None:
    worker, cell = at_work(), RunFolder(queue.path / "0_abc")
    worker.send_signal(signal.SIGSTOP)
    assert cell.hanging_process() is None, "it was alive a moment ago"
    write(queue, "0_abc", 2 * SILENCE, state=RUNNING, host=socket.gethostname(), pid=worker.pid)
    assert cell.hanging_process() == worker.pid
    queue.end_hanging(orphans=False)
    assert worker.wait() == -signal.SIGKILL
    queue.enqueue([(cell.path, "abc")])
    assert queue.take("").path == cell.path


def test_cancel_ends_a_worker_that_is_stopped(queue: SweepFolder, at_work) -> None:
    worker = at_work()
    worker.send_signal(signal.SIGSTOP)
    write(queue, "0_abc", 2 * SILENCE, state=RUNNING, host=socket.gethostname(), pid=worker.pid)
    write(queue, "1_abc", 2 * SILENCE, state=RUNNING, host="node7", pid=1)
    assert queue.cancel() == (10, 2)
    assert worker.wait() == -signal.SIGKILL
    assert queue.statuses()[queue.path / "0_abc"].state == CANCELLED
    assert RunFolder(queue.path / "1_abc").stop.exists(), "its supervisor on node7 ends it"


def test_another_process_of_that_number_is_left_alone(queue: SweepFolder) -> None:
    write(queue, "0_abc", 2 * SILENCE, state=RUNNING, host=socket.gethostname(), pid=os.getpid())
    queue.end_hanging(orphans=True)


def test_workers_that_lost_their_command_are_waited_for_then_killed(queue: SweepFolder, at_work, monkeypatch) -> None:
    monkeypatch.setattr("cosmos_exp.sweeps.queue.GRACE", 5.0)
    ends, stays = at_work(0.1), at_work()
    queue.end_hanging(orphans=True)
    assert (ends.wait(), stays.wait()) == (0, -signal.SIGKILL)


def test_what_another_command_has_begun_stays_with_it(queue: SweepFolder) -> None:
    """Two retries at once chose the same cells, and one of them was faster."""
    taken = queue.take("").path
    queue.enqueue([(taken, "abc")])
    assert queue.statuses()[taken].state == RUNNING


def test_one_command_launches_a_sweep_and_others_may_help(queue: SweepFolder) -> None:
    with commanded(queue.path, alone=True) as only:
        assert only
        with pytest.raises(UserError, match="run by another command"), commanded(queue.path, alone=True):
            pytest.fail("launched twice")
        with commanded(queue.path) as only:
            assert not only
    with commanded(queue.path, alone=True):
        pass
    assert not [path.name for path in queue.path.iterdir() if path.name in (".lock", ".at_work", ".feed")]


def test_cells_may_lie_in_any_folders(queue: SweepFolder) -> None:
    nested = queue.path / "cells" / "guidance=1"
    queue.add(nested, 12)
    queue.enqueue([(nested, "abc")])
    assert queue.cells()[-1].path == nested
    assert (queue.number(nested), queue.name(nested)) == (12, "cells/guidance=1")
    assert queue.number(queue.path / "3_abc") == 3
    with pytest.raises(UserError, match="cells 12 and 13 would have the same folder 'cells/guidance=1'"):
        queue.add(nested, 13)
