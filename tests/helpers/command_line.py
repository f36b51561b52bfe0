"""The command in the process of the tests, where it is its messages that count: a process of its own takes seconds to
start."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from cosmos_exp.cli import main as cli
from cosmos_exp.runs.stopping import SIGNALS


def run_here(*arguments: str, cwd: Path) -> CompletedProcess:
    """`cosmos-exp` with these arguments, in this folder."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, _process_as_it_was(), redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr("sys.argv", ["cosmos-exp", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
    return CompletedProcess(arguments, end.value.code, out.getvalue(), err.getvalue())


@contextmanager
def _process_as_it_was() -> Iterator[None]:
    """Take back what Hydra and a run change of their process: handlers of log records and signals."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    signals = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGINT)}
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for number, handler in signals.items():
            signal.signal(number, handler)
