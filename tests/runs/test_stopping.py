"""Runs that are asked to stop: where they heed it, and what their status says."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from cosmos_exp.runs import report, stopping
from cosmos_exp.runs.report import Report
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import CANCELLED, FAILED, INTERRUPTED, PREEMPTED
from cosmos_exp.runs.stopping import Stopped


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
