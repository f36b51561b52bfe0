"""`python -m cosmos_exp.llm.keeper GRACE COMMAND ...`: runs a server that must not outlive who started it.

Whoever starts it holds the other end of its standard input. When that is closed, however that process ends, or on
SIGTERM, the server is asked to end; after GRACE seconds it is killed with all processes that it has started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """The server's exit code; 0 where it was asked to end."""
    grace, command = float(arguments[0]), arguments[1:]
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    ended = threading.Event()
    threading.Thread(target=_until_closed, args=(asked,), daemon=True).start()
    threading.Thread(target=_until_ended, args=(server, ended, asked), daemon=True).start()
    asked.wait()
    if ended.is_set():
        _signal(server, signal.SIGKILL)  # what it has left behind
        return server.returncode if server.returncode >= 0 else 128 - server.returncode
    with contextlib.suppress(ProcessLookupError):
        server.terminate()
    ended.wait(grace)
    _signal(server, signal.SIGKILL)
    return 0


def _until_closed(asked: threading.Event) -> None:
    while os.read(0, 1 << 10):
        pass
    asked.set()


def _until_ended(server: subprocess.Popen[bytes], ended: threading.Event, asked: threading.Event) -> None:
    server.wait()
    ended.set()
    asked.set()


def _signal(server: subprocess.Popen[bytes], number: int) -> None:
    """To all processes of its session that have made no group of their own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
