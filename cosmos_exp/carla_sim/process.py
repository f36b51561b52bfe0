"""The embedded server as a process of its own.

The `carla` client holds Python's lock while it waits for an answer, so server and client cannot share a process.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cosmos_exp.common.errors import UserError

LISTENING = "carla-sim: listening on"
PATTERN = re.compile(re.escape(LISTENING) + r" (\S+):(\d+)")
STOPPING = 10.0  # seconds until a server that was asked to end is killed


@dataclass(frozen=True)
class ServerProcess:
    """A server that listens. port: of its RPC; its streams are on the next one."""

    process: subprocess.Popen
    host: str
    port: int


@contextmanager
def server_process(arguments: Sequence[str]) -> Iterator[ServerProcess]:
    """Run `cosmos-exp carla-sim` with these arguments, and end it on leaving. `--port 0` takes any free port.

    Raises UserError with the server's own message where it does not start.
    """
    command = [sys.executable, "-m", "cosmos_exp", "carla-sim", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            found = PATTERN.search(line)
            if found:
                yield ServerProcess(process, found.group(1), int(found.group(2)))
                return
        raise UserError("".join(said).strip() or f"carla-sim ended with status {process.wait()}")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOPPING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()
