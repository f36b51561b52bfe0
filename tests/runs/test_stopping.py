"""Runs that are asked to stop: where they heed it, and what their status says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import partial_name, write_json
from cosmos_exp.common.locks import locked
from cosmos_exp.runs import report, stopping
from cosmos_exp.runs.report import Report, only_run_in
from cosmos_exp.runs.run_folder import RunFolder, Status
from cosmos_exp.runs.states import CANCELLED, FAILED, INTERRUPTED, PREEMPTED, RUNNING
from cosmos_exp.runs.stopping import Stopped

pytestmark = pytest.mark.own_process  # a signal that is not heeded ends it


@pytest.fixture
def folder(tmp_path: Path):
    handlers = {number: signal.getsignal(number) for number in (*stopping.SIGNALS, signal.SIGINT)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stopping.listen()
    yield RunFolder(tmp_path)
    stopping.forget()
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_a_signal_ends_the_run_at_its_next_step(number: int, folder: RunFolder) -> None:
    run, steps = Report(folder, "abc"), []
    with pytest.raises(Stopped), run.until_done(), run.stage("single_view") as tick:
        for step in range(1, 4):
            if step == 2:
                os.kill(os.getpid(), number)
            steps.append(step)
            tick(step, 3)
    status = folder.read_status()
    assert (steps, status.state, status.stage, status.step) == ([1, 2], PREEMPTED, "single_view", "1/3")
    assert signal.Signals(number).name in status.error


def test_no_stage_begins_after_the_request(folder: RunFolder) -> None:
    run = Report(folder, "abc")
    with pytest.raises(Stopped), run.until_done():
        os.kill(os.getpid(), signal.SIGUSR2)
        with run.stage("render"):
            pytest.fail("begun")


def test_a_helper_that_the_signal_ended_is_no_failure(folder: RunFolder) -> None:
    run = Report(folder, "abc")
    with pytest.raises(Stopped), run.until_done():
        os.kill(os.getpid(), signal.SIGUSR2)
        raise RuntimeError("a process ended before the clip was done")
    assert folder.read_status().state == PREEMPTED
    stopping.forget()
    again = Report(folder, "abc")
    with pytest.raises(RuntimeError), again.until_done():
        raise RuntimeError("without a request it is one")
    assert (folder.read_status().state, folder.read_status().attempts) == (FAILED, 2)


def test_the_stop_file_cancels(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "HEARTBEAT", 0.01)
    run = Report(folder, "abc")
    with pytest.raises(Stopped), run.until_done(), run.stage("single_view") as tick:
        folder.stop.touch()
        while True:
            tick(1, 2)
    assert folder.read_status().state == CANCELLED
    assert not folder.stop.exists()


def test_an_interrupt_that_c_code_turned_into_an_error_is_no_failure(folder: RunFolder) -> None:
    run = Report(folder, "abc")
    with pytest.raises(KeyboardInterrupt), run.until_done():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise ValueError("could not determine the shape of object type 'torch.storage.UntypedStorage'") from None
    assert folder.read_status().state == INTERRUPTED


def test_an_interrupt_that_was_lost_ends_the_run_at_its_next_step(folder: RunFolder) -> None:
    run, steps = Report(folder, "abc"), []
    with pytest.raises(KeyboardInterrupt), run.until_done(), run.stage("single_view") as tick:
        for step in range(1, 4):
            if step == 2:
                with contextlib.suppress(KeyboardInterrupt):
                    os.kill(os.getpid(), signal.SIGINT)
            steps.append(step)
            tick(step, 3)
    assert (steps, folder.read_status().state) == ([1, 2], INTERRUPTED)


def test_an_interrupt_that_was_swallowed_comes_again(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a compiler does with that of its callback, however long the stage then takes."""
    monkeypatch.setattr(stopping, "AGAIN", 0.05)
    run = Report(folder, "abc")
    with pytest.raises(KeyboardInterrupt), run.until_done(), run.stage("render"):
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        while True:
            time.sleep(0.01)
    assert folder.read_status().state == INTERRUPTED


def test_an_interrupt_that_was_swallowed_at_the_end_counts(folder: RunFolder) -> None:
    run = Report(folder, "abc")
    with pytest.raises(KeyboardInterrupt), run.until_done(), contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert folder.read_status().state == INTERRUPTED


def test_a_second_interrupt_does_not_disturb_the_end_of_the_first(folder: RunFolder) -> None:
    run, cleaned = Report(folder, "abc"), []
    with pytest.raises(KeyboardInterrupt), run.until_done():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C to the whole group, and from the command
            cleaned.append(True)
    assert (cleaned, folder.read_status().state) == ([True], INTERRUPTED)


def test_a_folder_whose_process_hangs_is_not_waited_for_without_end(folder: RunFolder, monkeypatch) -> None:
    monkeypatch.setattr(report, "SILENCE", 0.2)
    monkeypatch.setattr(report, "LOOK", 0.01)
    folder.write_status(Status(RUNNING, "abc", pid=4711, host="node7"))
    written = folder.read_status()
    written.updated = "2020-01-01T00:00:00+00:00"
    write_json(folder.status, vars(written))
    with (
        locked(folder.lock),
        pytest.raises(UserError, match="in use by process 4711 of node7"),
        only_run_in(folder.path),
    ):
        pytest.fail("two runs in one folder")


def test_a_run_leaves_neither_its_lock_nor_what_a_dead_one_has_half_written(folder: RunFolder) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    half = folder.path / "hdmap" / partial_name("clip_0.mp4").replace(f".{os.getpid()}-", f".{dead.pid}-")
    half.parent.mkdir()
    half.write_bytes(b"half")
    with only_run_in(folder.path):
        assert not half.exists()
    assert [path.name for path in folder.path.iterdir()] == ["hdmap"]
