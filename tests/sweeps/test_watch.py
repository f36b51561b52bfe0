"""One bar for the cells of a sweep, or lines where there is no terminal."""

from __future__ import annotations

import logging
import os
import socket
from datetime import datetime, timedelta, timezone
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cosmos_exp.common import progress
from cosmos_exp.runs.run_folder import RunFolder, Status
from cosmos_exp.runs.states import DONE, FAILED, QUEUED, RUNNING
from cosmos_exp.sweeps.queue import RECORD, SweepFolder
from cosmos_exp.sweeps.watch import Watch, seconds_left


def write(folder: Path, number: int, state: str, seconds: float = 0.0, **values) -> None:
    started = (datetime.now(timezone.utc) - timedelta(seconds=seconds)).isoformat(timespec="seconds")
    here = dict(host=socket.gethostname(), pid=os.getpid())
    RunFolder(folder / f"{number}_abc").write_status(Status(state, "abc", started=started, **here, **values))


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    """Of twelve cells that were queued: three are done after 100 s each, one failed, two are at work, six wait."""
    (tmp_path / RECORD).write_text("{}")
    write(tmp_path, 12, DONE)  # of an earlier command
    for number in range(12):
        write(tmp_path, number, QUEUED)
    watch = Watch(SweepFolder(tmp_path))
    for number in range(4):
        write(tmp_path, number, FAILED if number == 3 else DONE, 100.0)
    for number in (4, 5):
        write(tmp_path, number, RUNNING, 20.0, stage="single_view", step="5/20")
    return watch


def test_time_left_is_shared_by_the_workers(watch: Watch) -> None:
    assert seconds_left(watch.statuses()) == pytest.approx((6 * 100 + 2 * 80) / 2, abs=5)
    assert seconds_left({}) == 0.0


@pytest.mark.parametrize(("width", "at_work"), [(80, ""), (120, ", #4 single_view 5/20, #5 single_view 5/20")])
def test_the_bar_fits_the_terminal(watch: Watch, width: int, at_work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=StringIO(), force_terminal=True, width=width, color_system=None, soft_wrap=True)
    monkeypatch.setattr(progress, "console", console)
    with watch.shown() as show:
        show()
    assert f"4/12 0:00:00 about 6 min left, 1 failed{at_work}\r" in console.file.getvalue().replace("\n", "\r")


def test_before_the_time_left_is_known_the_cells_at_work_have_its_room(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / RECORD).write_text("{}")
    for number in (0, 1, 2):
        write(tmp_path, number, QUEUED if number else RUNNING, 20.0, stage="multi_view", step="15/20")
    console = Console(file=StringIO(), force_terminal=True, width=80, color_system=None, soft_wrap=True)
    monkeypatch.setattr(progress, "console", console)
    with Watch(SweepFolder(tmp_path)).shown() as show:
        show()
    assert "0/3 0:00:00 #0 multi_view 15/20" in console.file.getvalue()


def test_without_a_terminal_it_is_a_line_when_cells_are_over(watch: Watch, monkeypatch, caplog) -> None:
    monkeypatch.setattr(progress, "console", Console(file=StringIO()))
    with caplog.at_level(logging.INFO), watch.shown() as show:
        for _ in range(3):
            show()
        write(watch.sweep.path, 4, DONE, 100.0)
        show()
    assert caplog.messages == [
        "4 of 12 cells, 1 failed, about 6 min left",
        "5 of 12 cells, 1 failed, about 11 min left",
    ]
