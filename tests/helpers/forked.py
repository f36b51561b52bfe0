"""`cosmos-exp` in a process of its own, forked off one that has loaded its libraries, which takes a new one seconds.

For tests of what commands do to files and to each other. What a new process loads, and what libraries read from its
environment while they are loaded, is for `subprocess`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from helpers import fork_server

LIBRARIES = (  # none that looks for models of other packages, which a command may have on a path of its own
    "cosmos_exp.cli.hydra_app",
    "cosmos_exp.config.validate",
    "cosmos_exp.pipeline.run",
    "cosmos_exp.pipeline.stages",
    "cosmos_exp.rendering.renderer",
)
NETWORKS = (*LIBRARIES, "cosmos_exp.models.transfer1.generation", "cosmos_exp.models.transfer1.model")
SERVER = ("cosmos_exp.cli.commands.serve", "cosmos_exp.serving.server", "cosmos_exp.sweeps.server_job", "gradio")


class Forked:
    """A command that runs; like subprocess.Popen, in a session of its own, with its output in text.

    libraries: that it needs.
    """

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        libraries: tuple[str, ...] = LIBRARIES,
    ):
        self._output = [tempfile.TemporaryFile("a+") for _ in range(2)]  # noqa: SIM115
        self._server, own = socket.socketpair()
        with own, open(os.devnull) as nothing:
            files = [own.fileno(), nothing.fileno(), *(file.fileno() for file in self._output)]
            socket.send_fds(_server(libraries), [b"1"], files)
        command = {"arguments": arguments, "cwd": str(cwd), "environment": dict(environment or os.environ)}
        self._server.sendall(json.dumps(command).encode() + b"\n")
        self.pid = int(self._line())
        self.arguments = arguments
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._server], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, negative for a signal. Raises subprocess.TimeoutExpired after so many seconds."""
        if self.returncode is None:
            if not select.select([self._server], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.arguments, timeout or 0)
            self._line()
            self._server.sendall(b"how\n")
            self.returncode = os.waitstatus_to_exitcode(int(self._line()))
        return self.returncode

    def _line(self) -> str:
        """What is told next. Read byte by byte: what a buffer held would be hidden from `select`."""
        line = b""
        while not line.endswith(b"\n") and (byte := self._server.recv(1)):
            line += byte
        return line.decode()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; stdout and stderr."""
        self.wait(timeout)
        return self.stdout, self.stderr

    @property
    def stdout(self) -> str:
        return self._text(0)

    @property
    def stderr(self) -> str:
        return self._text(1)

    def _text(self, number: int) -> str:
        self._output[number].seek(0)
        return self._output[number].read()

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run_forked(
    *arguments: str,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    libraries: tuple[str, ...] = LIBRARIES,
) -> subprocess.CompletedProcess[str]:
    """`cosmos-exp` with these arguments, in this folder, in no more than 300 seconds."""
    command = Forked(*arguments, cwd=cwd, environment=environment, libraries=libraries)
    try:
        out, err = command.communicate(timeout=300)
    finally:
        command.kill()
    return subprocess.CompletedProcess(arguments, command.wait(), out, err)


@cache
def _server(libraries: tuple[str, ...]) -> socket.socket:
    """The socket of a fork server of this process, with which it ends, and which has loaded the libraries."""
    ours, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    with asked:
        subprocess.Popen(
            [sys.executable, "-m", fork_server.__name__, str(asked.fileno()), *libraries],
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
            pass_fds=[asked.fileno()],
            start_new_session=True,
        )
    return ours
