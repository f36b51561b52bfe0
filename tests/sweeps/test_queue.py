"""The folder of a sweep as a queue: who gets which cell, and what a reader makes of a silent one."""

from __future__ import annotations

import json
import os
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
from cosmos_exp.sweeps.queue import RECORD, SweepFolder

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
